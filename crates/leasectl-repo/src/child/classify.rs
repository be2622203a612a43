//! What an error of Git or of the disk means for the caller.

use std::{error::Error, io};

use gix::error::{Class, ResourceExhaustionKind, types::Classification};

use super::meter::Meter;
use crate::{
    error::{SizeLimit, is_disk_full},
    wire::Failure,
};

/// An error while talking to the remote or writing what it sent.
///
/// What the transport noted comes first; then what the disk says, and what memory is for; the rest is the
/// remote's fault.
pub(crate) fn remote(meter: &Meter, error: &gix::Error) -> Failure {
    meter
        .trouble()
        .or_else(|| of_machine(meter, error))
        .unwrap_or_else(|| Failure::Unavailable(chain(error)))
}

/// An error while reading what the clone holds.
pub(crate) fn objects(meter: &Meter, error: &gix::Error) -> Failure {
    of_machine(meter, error).unwrap_or_else(|| Failure::Corrupt(chain(error)))
}

/// An error while reading or writing a file of the clone.
pub(crate) fn local(meter: &Meter, error: &io::Error) -> Failure {
    match of_disk(meter, error) {
        Some(failure) => failure,
        None if error.kind() == io::ErrorKind::InvalidData => Failure::Corrupt(error.to_string()),
        None => Failure::Local(chain(error)),
    }
}

/// A full disk, missing memory, or an object that is given none, wherever it shows.
fn of_machine(meter: &Meter, error: &gix::Error) -> Option<Failure> {
    error
        .iter_errors()
        .find_map(|error| of_disk(meter, error))
        .or_else(|| error.classify().find_map(|class| of_memory(meter, &class)))
}

/// An object that Git's code did not make room for.
fn of_memory(meter: &Meter, found: &Classification<'_>) -> Option<Failure> {
    let Class::ResourceExhaustion(kind) = found.class() else {
        return None;
    };
    let limits = meter.limits();
    Some(Failure::TooLarge(
        if kind == ResourceExhaustionKind::AllocationLimit {
            SizeLimit::Object(limits.max_object_bytes)
        } else {
            SizeLimit::Memory(limits.max_memory_bytes)
        },
    ))
}

/// A full disk or missing memory, as the system says it.
fn of_disk(meter: &Meter, error: &(dyn Error + 'static)) -> Option<Failure> {
    let error = error.downcast_ref::<io::Error>()?;
    if is_disk_full(error) {
        return Some(Failure::DiskFull);
    }
    let limits = meter.limits();
    if error.kind() == io::ErrorKind::OutOfMemory {
        Some(Failure::TooLarge(SizeLimit::Memory(
            limits.max_memory_bytes,
        )))
    } else if error.kind() == io::ErrorKind::FileTooLarge {
        Some(Failure::TooLarge(SizeLimit::Bytes(limits.max_bytes)))
    } else {
        None
    }
}

/// An error with all its causes, for logs.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
