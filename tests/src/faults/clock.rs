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
