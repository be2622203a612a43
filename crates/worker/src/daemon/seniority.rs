//! What a worker leaves to older ones, so that all of them together stay cheap: the more are older, the rarer are
//! its own turns at what each of them could do for all. Whoever is left follows, as its count of older ones falls.

/// So many of the oldest workers are seniors, whose turn is always: more than die at once when a host does that runs
/// some of them.
pub(crate) const SENIORS: usize = 5;

/// One turn in so many, at most ten, is the own of a worker that so many live ones are older than.
pub(crate) fn turns_per_own(older: usize) -> u32 {
    u32::try_from(older / SENIORS + 1).map_or(10, |turns| turns.min(10))
}

/// Waits while it is the turn of older workers, of whom there are so many at each moment; each turn is waited for by
/// `turn`.
pub(crate) async fn until_own_turn<T: Future<Output = ()>>(
    older: impl Fn() -> usize,
    mut turn: impl FnMut() -> T,
) {
    let mut own = 1;
    while own < turns_per_own(older()) {
        turn().await;
        own += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    use futures::FutureExt;

    #[test]
    fn the_five_oldest_leave_nothing_and_everybody_has_one_turn_in_ten() {
        let turns = [0, 4, 5, 9, 10, 44, 45, 99, usize::MAX].map(turns_per_own);
        assert_eq!(turns, [1, 1, 2, 2, 3, 9, 10, 10, 10]);
    }

    #[test]
    fn a_turn_comes_after_those_of_the_older_ones_and_sooner_when_these_are_gone() {
        let turns = |older: &dyn Fn(u32) -> usize| {
            let passed = Cell::new(0);
            let waiting = until_own_turn(
                || older(passed.get()),
                || async { passed.set(passed.get() + 1) },
            );
            waiting.now_or_never().expect("no turn takes time");
            passed.get()
        };
        assert_eq!(turns(&|_| 4), 0);
        assert_eq!(turns(&|_| 12), 2);
        assert_eq!(turns(&|_| 99), 9);
        assert_eq!(turns(&|passed| if passed < 3 { 99 } else { 0 }), 3);
    }

    #[test]
    fn a_hundred_workers_take_as_many_turns_as_twenty_who_leave_nothing() {
        let all: f64 = (0..100)
            .map(|older| 1.0 / f64::from(turns_per_own(older)))
            .sum();
        assert!((19.0..20.0).contains(&all), "{all} turns");
    }
}
