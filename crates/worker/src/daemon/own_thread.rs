//! A loop on a thread and a runtime of its own: handlers that keep every thread of the main runtime
//! busy cannot stop it.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A thread that runs one future. Dropping it tells the future to end.
pub(crate) struct OwnThread {
    name: &'static str,
    thread: JoinHandle<()>,
    end: DropGuard,
    ended: oneshot::Receiver<()>,
}

impl OwnThread {
    /// Starts it. The future is made on the thread, and ends soon after its token is triggered.
    pub(crate) fn spawn<F: Future<Output = ()>>(
        name: &'static str,
        body: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (alive, ended) = oneshot::channel();
        let end = CancellationToken::new();
        let told_to_end = end.clone();
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                // Dropped when this thread ends for whatever reason, a panic included.
                let _alive: oneshot::Sender<()> = alive;
                runtime.block_on(async { body(told_to_end).await });
            })?;
        Ok(Self {
            name,
            thread,
            end: end.drop_guard(),
            ended,
        })
    }

    /// Waits until the thread has ended, which before the end of the worker means that it broke.
    pub(crate) async fn ended(&mut self) {
        // An error is what a dropped sender gives: the thread is gone.
        drop((&mut self.ended).await);
    }

    /// Tells it to end, and joins it.
    pub(crate) async fn end(self) {
        drop(self.end);
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!(thread = self.name, "a thread of the worker panicked");
        }
    }
}
