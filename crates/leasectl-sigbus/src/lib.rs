//! Mapped files whose pages cannot be read give zeros instead of ending the process.
//!
//! Git's packs are read through memory maps. When a pack is cut short after it was mapped, or the disk cannot give
//! one of its pages, the kernel answers the next read of it with SIGBUS, which ends the process with everything
//! else that it does. Here such a read gets zeros: they are no object, so whoever decodes them finds the damage
//! and says so, as with a pack whose bytes rotted.
//!
//! That is right only for files whose readers find such zeros, so the process names those. A fault anywhere else,
//! or one that somebody sent, does what it did before.
//!
//! Where the idea is from: `sigbus.c` of systemd's journal, `wl_shm` of Wayland's server library, and the indexed
//! log of Sapling, which all put zeros in the place of what is lost.

mod handler;
mod maps;

pub use handler::{lost, survive};
