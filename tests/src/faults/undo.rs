//! How faults end that last for a while.

use std::fs;

use leasectl_repo::serve::Fault;

use super::processes::Handlers;
use super::proxy::Weather;
use super::world::World;

/// The end of a fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Undo {
    /// SIGCONT to this worker.
    Thaw(usize),
    /// Fair weather for this worker's connections.
    Weather(usize),
    /// This worker has been cut off for longer than its trust window; its weather is fair afterwards.
    CutOff(usize, Handlers),
    /// The remote behaves.
    Remote,
    /// The oldest held transaction ends.
    Held,
    /// The small disk has room again.
    Disk,
    /// This worker is killed: it got no more of something.
    Kill(usize),
}

impl World {
    pub(super) fn undo(&mut self, undo: &Undo) {
        match undo {
            Undo::Thaw(number) => self.members[*number].thaw(),
            Undo::Weather(number) => {
                let member = &self.members[*number];
                // What cuts a worker off ends by its own means, after it was judged.
                if !member.is_cut_off {
                    member
                        .proxy
                        .set_weather(|weather| *weather = Weather::default());
                }
            }
            Undo::CutOff(number, handlers) => {
                self.judge_cut_off(*number, handlers);
                self.members[*number].is_cut_off = false;
                self.undo(&Undo::Weather(*number));
            }
            Undo::Remote => {
                self.remote.set_fault(Fault::None);
                self.remote.set_bytes_per_second(None);
            }
            Undo::Held => {
                if !self.held.is_empty() {
                    drop(self.held.remove(0));
                }
            }
            Undo::Disk => {
                if let Some(disk) = &self.small_disk {
                    drop(fs::remove_file(disk.path().join("ballast")));
                }
            }
            Undo::Kill(number) => {
                self.members[*number].kill();
            }
        }
    }
}
