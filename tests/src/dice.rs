//! Random choices that can be made again: the seed is printed, and may be given.

use std::io::Write as _;

use crate::config;

/// A generator of random numbers (splitmix64).
#[derive(Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// With the seed of `LEASECTL_TESTS_SEED`, or a new one; either is printed.
    #[must_use]
    pub fn new() -> Self {
        let seed = config::seed().unwrap_or_else(new_seed);
        // Around the capture of the test runner: a test that hangs has to show it as well.
        writeln!(std::io::stderr(), "LEASECTL_TESTS_SEED={seed}").expect("standard error");
        Self { state: seed }
    }

    /// With that seed, which is printed elsewhere.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number from `least` to `most`, both included.
    pub fn number(&mut self, least: u64, most: u64) -> u64 {
        let sides = usize::try_from(most.saturating_sub(least)).unwrap_or(usize::MAX - 1) + 1;
        least + u64::try_from(self.roll(sides)).unwrap_or_default()
    }

    /// A number below `sides`.
    ///
    /// # Panics
    /// When there are no sides.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(sides).expect("few sides")).expect("below the sides")
    }
}

impl Default for Dice {
    fn default() -> Self {
        Self::new()
    }
}

/// A seed that was likely never used.
#[must_use]
pub fn new_seed() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_nsec.cast_unsigned() ^ (u64::from(std::process::id()) << 32)
}
