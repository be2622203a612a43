//! Handlers whose behaviour the tests steer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use leasectl_core::failure::{ErrorCode, JobError};
use leasectl_core::kind::{ArgSpec, ArgType, KindSpec, Lane};
use leasectl_worker::daemon::{Handler, JobContext};
use serde_json::{Value, json};
use tokio::sync::watch;

/// A kind of the fetch lane; `n` only tells jobs apart.
pub(crate) const WORK: KindSpec = KindSpec {
    name: "work",
    lane: Lane::Fetch,
    args: &[ArgSpec {
        name: "n",
        takes: ArgType::Integer {
            min: 0,
            max: 1_000_000,
        },
        required: false,
    }],
};

/// A kind of another lane.
pub(crate) const OTHER: KindSpec = KindSpec {
    name: "other",
    lane: Lane::Index,
    args: &[],
};

type Body = dyn Fn(JobContext) -> BoxFuture<'static, Result<Value, JobError>> + Send + Sync;

struct Scripted {
    spec: KindSpec,
    body: Box<Body>,
}

#[async_trait]
impl Handler for Scripted {
    fn spec(&self) -> KindSpec {
        self.spec
    }

    async fn run(&self, context: JobContext) -> Result<Value, JobError> {
        (self.body)(context).await
    }
}

/// A handler that does what the closure says.
pub(crate) fn handler<F>(
    spec: KindSpec,
    body: impl Fn(JobContext) -> F + Send + Sync + 'static,
) -> Arc<dyn Handler>
where
    F: Future<Output = Result<Value, JobError>> + Send + 'static,
{
    Arc::new(Scripted {
        spec,
        body: Box::new(move |context| Box::pin(body(context))),
    })
}

/// A handler that does nothing.
pub(crate) fn no_op() -> Arc<dyn Handler> {
    handler(WORK, |_| async { Ok(json!({})) })
}

/// A handler that waits to be told to stop, and then does.
pub(crate) fn endless() -> Arc<dyn Handler> {
    handler(WORK, |context| async move {
        context.cancel.cancelled().await;
        Err(stopped())
    })
}

/// A handler that never ends and never looks whether it should.
pub(crate) fn wedged() -> Arc<dyn Handler> {
    handler(WORK, |_| std::future::pending())
}

/// What a handler says that stopped because it was told to.
pub(crate) fn stopped() -> JobError {
    JobError::retryable(ErrorCode::Cancelled, "told to stop")
}

/// A gate that handlers wait at, and that counts them.
#[derive(Clone)]
pub(crate) struct Gate {
    open: watch::Sender<bool>,
    inside: Arc<AtomicUsize>,
    most_inside: Arc<AtomicUsize>,
    entered: Arc<AtomicUsize>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self {
            open: watch::Sender::new(false),
            inside: Arc::default(),
            most_inside: Arc::default(),
            entered: Arc::default(),
        }
    }

    /// Lets everybody through, now and later.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// How many handlers entered so far.
    pub(crate) fn entered(&self) -> usize {
        self.entered.load(Ordering::SeqCst)
    }

    /// How many handlers are inside.
    pub(crate) fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }

    /// How many handlers were inside at once, at most.
    pub(crate) fn most_inside(&self) -> usize {
        self.most_inside.load(Ordering::SeqCst)
    }

    /// A handler that waits at this gate, or until it is told to stop.
    pub(crate) fn handler(&self, spec: KindSpec) -> Arc<dyn Handler> {
        let gate = self.clone();
        handler(spec, move |context| {
            let gate = gate.clone();
            async move { gate.pass(&context).await }
        })
    }

    async fn pass(&self, context: &JobContext) -> Result<Value, JobError> {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_inside.fetch_max(inside, Ordering::SeqCst);
        self.entered.fetch_add(1, Ordering::SeqCst);
        let mut open = self.open.subscribe();
        let passed = tokio::select! {
            _ = open.wait_for(|open| *open) => Ok(json!({"passed": true})),
            () = context.cancel.cancelled() => Err(stopped()),
        };
        self.inside.fetch_sub(1, Ordering::SeqCst);
        passed
    }
}

/// A handler that reports an advance this often until the gate opens.
pub(crate) fn advancing(gate: &Gate, every: Duration) -> Arc<dyn Handler> {
    let gate = gate.clone();
    handler(WORK, move |context| {
        let gate = gate.clone();
        async move {
            let progress = context.progress.clone();
            let advance = async {
                for done in 1.. {
                    progress.report(done, None, "steps");
                    tokio::time::sleep(every).await;
                }
            };
            tokio::select! {
                passed = gate.pass(&context) => passed,
                () = advance => Err(stopped()),
            }
        }
    })
}
