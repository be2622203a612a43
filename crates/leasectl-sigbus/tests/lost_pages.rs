//! Real maps of real files that are cut short, in this process and in processes that may die of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe because of what is tested here"
)]

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use memmap2::{Mmap, MmapOptions};
use rustix::process::{Signal, getpid, kill_process};

const PAGES: usize = 64;

/// Bytes of a page on this machine.
fn page() -> usize {
    rustix::param::page_size()
}

/// Names one of the deaths of this file, in the environment of the process that is to die it.
const DEATH: &str = "LEASECTL_SIGBUS_DEATH";

fn is_pack(name: &[u8]) -> bool {
    name.ends_with(b".pack")
}

/// A mapped file of ones that was cut to so many pages; its bytes were not read before.
fn cut_short(folder: &Path, name: &str, pages: usize) -> Mmap {
    let path = folder.join(name);
    let mut file = File::create(&path).unwrap();
    file.write_all(&vec![1; page() * PAGES]).unwrap();
    // SAFETY: nobody else knows of the file, and what becomes of the map when it is cut is what is tested.
    let map = unsafe { MmapOptions::new().map_copy_read_only(&File::open(&path).unwrap()) };
    file.set_len((page() * pages) as u64).unwrap();
    map.unwrap()
}

fn ones(map: &Mmap) -> usize {
    map.iter().filter(|byte| **byte == 1).count()
}

#[test]
fn what_a_file_lost_is_read_as_zeros_by_every_thread() {
    let folder = tempfile::tempdir().unwrap();
    leasectl_sigbus::survive(is_pack).unwrap();
    let before = leasectl_sigbus::lost();
    for kept in [0, 1, PAGES / 2, PAGES - 1] {
        let map = cut_short(folder.path(), "a.pack", kept);
        thread::scope(|scope| {
            let readers: Vec<_> = (0..8).map(|_| scope.spawn(|| ones(&map))).collect();
            for reader in readers {
                assert_eq!(
                    reader.join().unwrap(),
                    page() * kept,
                    "{kept} pages are left"
                );
            }
        });
    }
    assert!(leasectl_sigbus::lost() >= before + 4);
}

#[test]
fn a_page_in_the_middle_can_be_lost_before_those_at_the_beginning_are_read() {
    let folder = tempfile::tempdir().unwrap();
    leasectl_sigbus::survive(is_pack).unwrap();
    let map = cut_short(folder.path(), "a.pack", 1);
    for lost in [40, 63, 20, 2, 1] {
        assert_eq!(map[lost * page() + 17], 0, "page {lost}");
    }
    assert_eq!(ones(&map), page(), "what is left of the file is still read");
}

#[test]
fn a_deleted_file_can_lose_pages_too() {
    let folder = tempfile::tempdir().unwrap();
    leasectl_sigbus::survive(is_pack).unwrap();
    let map = cut_short(folder.path(), "a.pack", 3);
    std::fs::remove_file(folder.path().join("a.pack")).unwrap();
    assert_eq!(ones(&map), 3 * page());
}

#[test]
fn files_that_lose_pages_at_once_take_nothing_from_each_other_or_from_other_maps() {
    let folder = tempfile::tempdir().unwrap();
    leasectl_sigbus::survive(is_pack).unwrap();
    let whole = cut_short(folder.path(), "whole.pack", PAGES);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // What is mapped changes all the time, and with it what the handler reads.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let map = cut_short(folder.path(), "other.data", PAGES);
                assert_eq!(ones(&map), page() * PAGES);
            }
        });
        let losing: Vec<_> = (0..4)
            .map(|reader| {
                let (folder, whole) = (folder.path(), &whole);
                scope.spawn(move || {
                    let name = format!("{reader}.pack");
                    for round in 0..100 {
                        let map = cut_short(folder, &name, round % PAGES);
                        let other = thread::scope(|scope| scope.spawn(|| ones(&map)).join());
                        assert_eq!(ones(&map), page() * (round % PAGES), "round {round}");
                        assert_eq!(other.unwrap(), page() * (round % PAGES), "round {round}");
                        assert_eq!(ones(whole), page() * PAGES, "nobody cut it");
                    }
                })
            })
            .collect();
        let ended: Vec<_> = losing.into_iter().map(|reader| reader.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
}

/// Runs one of the deaths below in a process of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that starts processes here"
)]
fn ending(of: &str) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "one_of_the_deaths", "--ignored", "--nocapture"]);
    child.env(DEATH, of).status().unwrap()
}

#[test]
#[ignore = "the tests below run it, in processes of their own"]
fn one_of_the_deaths() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how the process is told what to do"
    )]
    let death = std::env::var(DEATH).unwrap();
    let folder = tempfile::tempdir().unwrap();
    if death != "without the handler" {
        leasectl_sigbus::survive(is_pack).unwrap();
    }
    let name = if death == "another file" {
        "a.data"
    } else {
        "a.pack"
    };
    let map = cut_short(folder.path(), name, 1);
    // Rust's own handler takes the first for a fault that will come again.
    for _ in 0..if death == "sent" { 1000 } else { 0 } {
        kill_process(getpid(), Signal::BUS).unwrap();
        thread::yield_now();
    }
    let mut open = Vec::new();
    while death == "out of descriptors"
        && let Ok(file) = File::open("/proc/self/maps")
    {
        open.push(file);
    }
    assert_eq!(ones(&map), page());
}

#[test]
fn without_the_handler_a_process_ends_by_the_signal() {
    assert_eq!(ending("without the handler").signal(), Some(libc::SIGBUS));
}

#[test]
fn a_file_that_was_not_named_ends_the_process_as_before() {
    assert_eq!(ending("another file").signal(), Some(libc::SIGBUS));
}

#[test]
fn a_signal_that_somebody_sent_ends_the_process_as_before() {
    assert_eq!(ending("sent").signal(), Some(libc::SIGBUS));
}

#[test]
fn a_process_without_descriptors_survives_as_well() {
    assert!(ending("out of descriptors").success());
}
