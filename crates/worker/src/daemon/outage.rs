//! One log record when the database goes away and one when it is back, whichever loop notices.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leasectl_core::database::DatabaseError;
use leasectl_core::time::BootInstant;

use super::backoff::Backoff;

/// How many loops cannot reach the database now.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutageBoard {
    loops_cut_off: Arc<AtomicUsize>,
}

impl OutageBoard {
    /// A loop's own view; `most` bounds the delay between its tries.
    pub(crate) fn watch(&self, what: &'static str, most: Duration) -> Outage {
        Outage {
            board: self.clone(),
            what,
            since: None,
            backoff: Backoff::new(Duration::from_millis(50), most),
        }
    }
}

/// Whether one loop can reach the database, and how long it waits before it tries again.
#[derive(Debug)]
pub(crate) struct Outage {
    board: OutageBoard,
    what: &'static str,
    since: Option<BootInstant>,
    backoff: Backoff,
}

impl Outage {
    /// A round trip failed; answers how long to wait before the next.
    pub(crate) fn failed(&mut self, error: &DatabaseError) -> Duration {
        let delay = self.backoff.after_failure(rand::random());
        let is_first_of_loop = self.since.is_none();
        if is_first_of_loop {
            self.since = Some(BootInstant::now());
            let cut_off_before = self.board.loops_cut_off.fetch_add(1, Ordering::AcqRel);
            if error.is_unavailable() && cut_off_before == 0 {
                tracing::warn!(
                    what = self.what,
                    error = chain(error),
                    "the database is away; trying again until it is back"
                );
            } else if !error.is_unavailable() {
                tracing::error!(
                    what = self.what,
                    error = chain(error),
                    "the database refused a statement; trying again"
                );
            }
        }
        tracing::debug!(
            what = self.what,
            error = chain(error),
            ?delay,
            "round trip failed"
        );
        delay
    }

    /// How long to wait after that answer, in a loop that asks once per interval.
    pub(crate) fn pause(
        &mut self,
        answer: Result<(), DatabaseError>,
        interval: Duration,
    ) -> Duration {
        match answer {
            Ok(()) => {
                self.over();
                jittered(interval, rand::random())
            }
            Err(error) => self.failed(&error),
        }
    }

    /// A round trip worked.
    pub(crate) fn over(&mut self) {
        self.backoff.reset();
        if let Some(since) = self.since.take()
            && self.board.loops_cut_off.fetch_sub(1, Ordering::AcqRel) == 1
        {
            tracing::info!(
                away_seconds = since.elapsed().as_secs_f64(),
                "the database is back"
            );
        }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if self.since.take().is_some() {
            self.board.loops_cut_off.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The interval shortened or lengthened by up to a tenth, which spreads the polls of many workers.
/// `random` is in 0..1.
fn jittered(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(0.9 + 0.2 * random.clamp(0.0, 1.0))
}

/// The error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    #[test]
    fn the_board_is_clear_again_when_every_loop_is_back_or_gone() {
        let board = OutageBoard::default();
        let mut one = board.watch("one", Duration::from_secs(1));
        let mut two = board.watch("two", Duration::from_secs(1));
        one.failed(&DatabaseError::ConnectTimeout);
        one.failed(&DatabaseError::ConnectTimeout);
        two.failed(&DatabaseError::ConnectTimeout);
        assert_eq!(board.loops_cut_off.load(Ordering::Acquire), 2);
        one.over();
        one.over();
        drop(two);
        assert_eq!(board.loops_cut_off.load(Ordering::Acquire), 0);
    }

    /// The levels of the log records of somebody's work.
    #[derive(Default)]
    struct Levels(Mutex<Vec<Level>>);

    impl Subscriber for Levels {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::INFO
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    fn told(work: impl FnOnce()) -> Vec<Level> {
        let levels = Arc::new(Levels::default());
        tracing::subscriber::with_default(Arc::clone(&levels), work);
        std::mem::take(&mut *levels.0.lock().unwrap())
    }

    #[test]
    fn one_record_tells_that_the_database_is_away_and_one_that_it_is_back() {
        let board = OutageBoard::default();
        let mut one = board.watch("one", Duration::from_secs(1));
        let mut two = board.watch("two", Duration::from_secs(1));
        let fails = |outage: &mut Outage| {
            told(|| {
                outage.failed(&DatabaseError::ConnectTimeout);
            })
        };
        assert_eq!(fails(&mut one), [Level::WARN]);
        assert!(fails(&mut two).is_empty());
        assert!(fails(&mut one).is_empty());
        assert!(told(|| one.over()).is_empty());
        assert_eq!(told(|| two.over()), [Level::INFO]);
        assert!(told(|| two.over()).is_empty());
    }

    #[test]
    fn a_statement_that_is_refused_is_an_error_whether_or_not_the_database_is_away() {
        let refusal = DatabaseError::UnknownValue("no".to_owned());
        let board = OutageBoard::default();
        let mut one = board.watch("one", Duration::from_secs(1));
        let mut two = board.watch("two", Duration::from_secs(1));
        let refused = told(|| {
            one.failed(&refusal);
            one.failed(&refusal);
        });
        assert_eq!(refused, [Level::ERROR]);
        let refused = told(|| {
            two.failed(&refusal);
        });
        assert_eq!(refused, [Level::ERROR]);
    }

    #[test]
    fn a_loop_pauses_for_its_interval_or_for_as_long_as_its_failures_say() {
        let board = OutageBoard::default();
        let (second, ms) = (Duration::from_secs(1), Duration::from_millis);
        let mut outage = board.watch("one", second);
        let pause = outage.pause(Ok(()), 10 * second);
        assert!((9 * second..=11 * second).contains(&pause), "{pause:?}");
        let pause = outage.pause(Err(DatabaseError::ConnectTimeout), 10 * second);
        assert!((ms(25)..=ms(50)).contains(&pause), "{pause:?}");
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        let ten = Duration::from_secs(10);
        assert_eq!(jittered(ten, 0.0), Duration::from_secs(9));
        assert_eq!(jittered(ten, 1.0), Duration::from_secs(11));
    }

    #[test]
    fn a_chain_names_the_cause() {
        let error = std::io::Error::other(DatabaseError::ConnectTimeout);
        assert!(chain(&error).contains("in time"));
    }
}
