//! A wall clock that is wrong, for one process: a small library that is loaded before the C library.

use std::path::{Path, PathBuf};

use crate::process::Invocation;

const SOURCE: &str = include_str!("shim.c");

/// The compiled library.
#[derive(Debug)]
pub(super) struct WrongClock {
    library: PathBuf,
}

impl WrongClock {
    /// Compiles it into a folder, with the compiler that Rust links with too.
    pub(super) fn compile(folder: &Path) -> Self {
        let source = folder.join("clock.c");
        let library = folder.join("clock.so");
        std::fs::write(&source, SOURCE).expect("written");
        Invocation::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .run()
            .ok();
        Self { library }
    }

    /// What a process's environment needs for a clock that is off by that much.
    pub(super) fn environment(&self, offset_s: i64) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAULTS_CLOCK_OFFSET", offset_s.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_the_library_reads_another_time_of_day() {
        let folder = tempfile::tempdir().unwrap();
        let clock = WrongClock::compile(folder.path());
        let read = |offset_s: i64| -> i64 {
            let mut date = Invocation::new("date").args(["+%s"]);
            for (name, value) in clock.environment(offset_s) {
                date = date.env(name, value);
            }
            date.run().ok().line().parse().unwrap()
        };
        let now = crate::faults::record::now() / 1_000_000;
        assert!((read(3_600) - now - 3_600).abs() < 60);
        assert!((read(-3_600) - now + 3_600).abs() < 60);
    }
}
