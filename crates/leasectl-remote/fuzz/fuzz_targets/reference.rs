#![no_main]
//! Holds the parsers of this kind of text to what `judge` says of every input.

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/remote/judge.rs"]
#[expect(dead_code, reason = "each target judges one kind of text")]
mod judge;

fuzz_target!(|text: &str| judge::reference(text));
