//! The child process that does all network work.
//!
//! It lives exactly as long as somebody wants its result: its standard input stays open for as long
//! as the parent lives, and when that ends it kills its whole process group. It holds the lock of
//! its clone itself (see [`take_lock`]), so a killed parent leaves neither a writer without a lock
//! nor a lock without a writer. Nothing here touches the clone's final path.

mod classify;
mod exchange;
mod http;
mod limits;
mod link;
mod meter;
mod mirror;
mod negotiate;
mod pipe;
mod publish;
mod repack;
mod transport;
mod watch;

use std::{io, panic, process::ExitCode, sync::Arc};

use crate::lost_pages::Since;
use crate::wire::{Failure, Message};

/// Entry of the hidden subcommand: one request on standard input, JSON lines on standard output.
///
/// Returns when the request is done or has failed; the outcome is the last line written.
#[must_use]
pub fn git_child_main() -> ExitCode {
    let Ok(_lock) = take_lock() else {
        return ExitCode::FAILURE;
    };
    let Ok((link, request)) = link::Link::open() else {
        return ExitCode::FAILURE;
    };
    let link = Arc::new(link);
    if let Err(error) = limits::apply(&request.limits) {
        link.send(&Message::Failed(Failure::Local(format!(
            "resource limits: {error}"
        ))));
        return ExitCode::FAILURE;
    }
    let opened = Since::now();
    let done = panic::catch_unwind(panic::AssertUnwindSafe(|| mirror::run(&request, &link)));
    // Whatever was found out rests on what was lost.
    let done = done.map(|done| match done {
        _ if opened.has_lost() => Err(Failure::Corrupt("a pack lost pages".to_owned())),
        done => done,
    });
    match done {
        Ok(Ok(outcome)) => {
            link.send(&Message::Done(outcome));
            ExitCode::SUCCESS
        }
        Ok(Err(failure)) => {
            link.send(&Message::Failed(failure));
            ExitCode::FAILURE
        }
        // The panic's own message went to standard error, which the parent keeps.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Takes the lock over from standard error.
///
/// The parent hands the open lock file over as standard error, because that is the one way to pass
/// a descriptor to exactly this child: clearing close-on-exec on any other would leak the lock into
/// whatever another thread happens to start at that moment. Here it moves to a descriptor that is
/// not inherited further, and standard error becomes a second name of standard output, where the
/// parent keeps lines that are not messages for its log.
fn take_lock() -> io::Result<rustix::fd::OwnedFd> {
    let lock = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?;
    rustix::stdio::dup2_stderr(rustix::stdio::stdout())?;
    Ok(lock)
}
