//! The handler of SIGBUS. What runs in it allocates nothing, takes no lock that anything outside of it takes, and
//! changes no `errno`: it may interrupt anything that reads a mapped file.

#![expect(
    unsafe_code,
    reason = "a signal handler, and pages in the place of others"
)]

use std::fs::File;
use std::io;
use std::mem;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use libc::{c_int, c_void, siginfo_t};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use crate::maps::Finder;

/// How often this process lost pages of a file.
static LOST: AtomicU64 = AtomicU64::new(0);

static INSTALLED: OnceLock<Installed> = OnceLock::new();

/// Whether a thread looks for what is mapped: the lines that it reads are only whole while nobody else reads them
/// or changes what they tell.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// How often in a row a page faulted that was readable by the time its thread had its turn.
static QUICKER: AtomicU64 = AtomicU64::new(0);

/// More than threads can meet one fault: such a page faults although it was replaced.
const MOST_QUICKER: u64 = 10_000;

/// What the handler works with.
struct Installed {
    covers: fn(&[u8]) -> bool,
    page_bytes: usize,
    /// Open from the start: a process that has no descriptors left can lose pages all the same.
    maps: File,
    /// Who had the signal before.
    before: libc::sigaction,
}

/// From now on pages of mapped files that cannot be read are zeros, where `covers` says so of the file's name
/// without its folders. Only maps that are neither written nor executed are meant. `covers` runs in a signal
/// handler: it must not allocate, lock or panic. A second call changes nothing.
///
/// # Errors
/// When `/proc` is not mounted or the handler is refused; the signal then ends the process as before.
pub fn survive(covers: fn(&[u8]) -> bool) -> io::Result<()> {
    if INSTALLED.get().is_some() {
        return Ok(());
    }
    let installed = Installed {
        covers,
        page_bytes: rustix::param::page_size(),
        maps: File::open("/proc/self/maps")?,
        before: current_action()?,
    };
    if INSTALLED.set(installed).is_err() {
        return Ok(());
    }
    // SAFETY: `sigaction` is plain data, for which zeros are an empty mask and no flags.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = on_sigbus as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // No other handler comes on top of it: the stack for signals is small.
    // SAFETY: the set is valid to be written.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    set_action(&action)
}

/// How often pages of a mapped file could not be read since this process began. Whoever looks before and after
/// knows whether what was not found between may have been lost.
#[must_use]
pub fn lost() -> u64 {
    LOST.load(Ordering::Acquire)
}

fn current_action() -> io::Result<libc::sigaction> {
    // SAFETY: as in `survive`.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: no action is given, and the place for the current one is valid.
    let answer = unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut action) };
    if answer == 0 {
        Ok(action)
    } else {
        Err(io::Error::last_os_error())
    }
}

fn set_action(action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: the action is whole: either the handler of this module, which keeps to what a handler may do, or
    // one that was in force before.
    let answer = unsafe { libc::sigaction(libc::SIGBUS, action, ptr::null_mut()) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

extern "C" fn on_sigbus(_signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel hands over what it knows of the signal, until the handler returns.
    let info = unsafe { &*info };
    let Some(installed) = INSTALLED.get() else {
        return;
    };
    // Any other code is not about the pages of a file: memory that broke, or somebody sent it.
    if info.si_code == libc::BUS_ADRERR {
        // SAFETY: the address is valid for this signal and code.
        let address = unsafe { info.si_addr() } as usize;
        if installed.replace(address) {
            return;
        }
    }
    // Not ours: the same read faults again, and meets whoever had the signal before.
    let given_back = set_action(&installed.before);
    if given_back.is_err() || info.si_code <= 0 {
        // SAFETY: `raise` may be called in a handler; the signal waits until it returns.
        unsafe { libc::raise(libc::SIGBUS) };
    }
}

/// One thread at a time; whoever waits has nothing else to do, and the signals of whoever does not are blocked.
struct Turn;

impl Turn {
    fn wait() -> Self {
        while IS_TAKEN.swap(true, Ordering::Acquire) {
            rustix::thread::sched_yield();
        }
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        IS_TAKEN.store(false, Ordering::Release);
    }
}

impl Installed {
    /// Puts zeros in the place of the page at the address and of what follows it in the same map: of a file that
    /// was cut short nothing behind it is left either, and there is one fault instead of thousands.
    ///
    /// `false` when what is there is none of the files that were named.
    fn replace(&self, address: usize) -> bool {
        const CHUNK_BYTES: usize = 512;
        let _turn = Turn::wait();
        let mut finder = Finder::of(address);
        let mut chunk = [0; CHUNK_BYTES];
        let mut offset = 0;
        let found = loop {
            let Ok(read) = rustix::io::pread(&self.maps, &mut chunk, offset) else {
                return false;
            };
            let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else {
                return false;
            };
            if let Some(found) = finder.take(bytes) {
                break found;
            }
            offset += bytes.len() as u64;
        };
        if !found.is_read_only {
            return false;
        }
        if found.name().is_empty() {
            // Another thread met the same fault and was quicker.
            return QUICKER.fetch_add(1, Ordering::Relaxed) < MOST_QUICKER;
        }
        if !(self.covers)(found.name()) {
            return false;
        }
        QUICKER.store(0, Ordering::Relaxed);
        // Counted first: whoever sees the zeros sees the count as well.
        LOST.fetch_add(1, Ordering::AcqRel);
        let page = address & !(self.page_bytes - 1);
        // SAFETY: these pages belong to one private or shared map of a file that is read and never written, and
        // whoever is interrupted here keeps that map alive. They cannot be read as they are; what takes their
        // place can, at the same addresses and until they are unmapped.
        let replaced = unsafe {
            mmap_anonymous(
                ptr::without_provenance_mut(page),
                found.end - page,
                ProtFlags::READ,
                MapFlags::PRIVATE | MapFlags::FIXED,
            )
        };
        replaced.is_ok()
    }
}
