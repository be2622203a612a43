//! Faults of worker processes: signals, traps at statements, wrong clocks, exhausted resources.

use std::fs;
use std::time::Duration;

use leasectl_repo::serve::Fault;
use rustix::process::Resource;

use super::member::STALE_AFTER;
use super::proxy::{Blow, Moment, Sprung, Trap};
use super::record::CutOff;
use super::undo::Undo;
use super::wire::Statement;
use super::world::World;

/// How long a handler may need to stop when its trust has ended, on a busy machine.
const STOPPING: Duration = Duration::from_millis(1_500);
/// Offsets of wrong clocks, in seconds.
const OFFSETS: [i64; 2] = [3_600, -3_600];
/// What a worker still gets that is to run out of memory.
const MEMORY_BYTES: u64 = 1 << 20;
/// Descriptors that are left to a worker that is to run out of them.
const DESCRIPTORS: usize = 2;

/// Git processes of a worker at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Handlers {
    worker: u32,
    children: Vec<u32>,
}

impl World {
    pub(super) fn kill(&mut self, number: usize) {
        if self.members[number].kill() {
            self.tally.count("SIGKILL");
        }
    }

    /// Kills a worker whose handler is in the middle of a clone.
    pub(super) fn kill_while_cloning(&mut self) {
        let cloning = self.sources.iter().find(|source| {
            let folder = self.shared_dir().join(&source.id);
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let mut names = entries.map(|entry| entry.file_name());
            names.any(|name| name.as_encoded_bytes().starts_with(b"new-"))
        });
        let Some(repo) = cloning.map(|source| source.id.clone()) else {
            return;
        };
        let look = "select owner from leasectl.lease_status where repo_id::text = $1";
        let Ok(rows) = self.sql().try_rows(look, &[&repo]) else {
            return;
        };
        let Some(owner) = rows.first().map(|row| row.get::<_, String>(0)) else {
            return;
        };
        let mut members = self.members.iter_mut();
        let cloning = members.find(|member| member.owner() == Some(owner.as_str()));
        if cloning.is_some_and(super::member::Member::kill) {
            self.tally.count("SIGKILL in mid-clone");
        }
    }

    pub(super) fn set_trap(&mut self, number: usize) {
        const STATEMENTS: [Statement; 9] = [
            Statement::Claim,
            Statement::Reclaim,
            Statement::Heartbeat,
            Statement::Settle,
            Statement::Fence,
            Statement::RecordBranches,
            Statement::SwitchInventory,
            Statement::RecordSnapshots,
            Statement::Commit,
        ];
        let statement = STATEMENTS[self.dice.roll(STATEMENTS.len())];
        let moment = match self.dice.roll(2) {
            0 => Moment::BeforeItIsSent,
            _ => Moment::BeforeItIsAnswered,
        };
        let blow = match self.dice.roll(6) {
            0 | 1 => Blow::Kill,
            2 => Blow::Freeze,
            _ => Blow::Reset,
        };
        let trap = Trap {
            statement,
            moment,
            blow,
        };
        self.members[number].proxy.set_trap(trap);
    }

    /// Takes the lock out of every worker's fence.
    pub(super) fn sabotage(&mut self) {
        for member in &self.members {
            member.proxy.sabotage();
        }
    }

    /// Freezes whoever has written under its fence, until somebody else has taken over.
    pub(super) fn freeze_within_the_fence(&mut self) {
        let trap = Trap {
            statement: Statement::RecordBranches,
            moment: Moment::BeforeItIsAnswered,
            blow: Blow::Freeze,
        };
        for member in self.members.iter().filter(|member| !member.is_frozen) {
            member.proxy.set_trap(trap);
        }
    }

    /// What follows a trap that sprang.
    pub(super) fn after_trap(&mut self, sprung: Sprung) {
        let Some(member) = self.members.get_mut(sprung.worker) else {
            return;
        };
        if sprung.trap.blow == Blow::Freeze {
            member.is_frozen = true;
            let length = Duration::from_millis(100 * self.dice.number(2, 40));
            self.later(length, Undo::Thaw(sprung.worker));
        }
    }

    pub(super) fn freeze(&mut self, number: usize, length: Duration) {
        if !self.members[number].freeze() {
            return;
        }
        self.later(length, Undo::Thaw(number));
        let beyond = length > STALE_AFTER;
        let kind = if beyond {
            "SIGSTOP beyond the staleness"
        } else {
            "SIGSTOP for a moment"
        };
        self.tally.count(kind);
    }

    pub(super) fn drain(&mut self, number: usize) {
        if !self.members[number].is_frozen && self.members[number].drain() {
            self.tally.count("SIGTERM");
        }
    }

    /// Replaces a worker by one whose wall clock is an hour off.
    pub(super) fn set_clock_wrong(&mut self, number: usize) {
        self.members[number].kill();
        drop(self.members[number].reap());
        let offset = OFFSETS[self.dice.roll(OFFSETS.len())];
        self.members[number].start(&self.stage, &self.clock, offset);
        self.tally.count("wall clock an hour off");
    }

    pub(super) fn exhaust_memory(&mut self, number: usize) {
        let Some(pid) = self.members[number].pid() else {
            return;
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
        let size_kib = size.and_then(|size| size.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        let Some(size_kib) = size_kib else { return };
        let most = size_kib * 1_024 + MEMORY_BYTES;
        if self.members[number].limit(Resource::As, most) {
            self.later(Duration::from_secs(1), Undo::Kill(number));
            self.tally.count("out of memory");
        }
    }

    pub(super) fn exhaust_descriptors(&mut self, number: usize) {
        let Some(pid) = self.members[number].pid() else {
            return;
        };
        let open = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        let most = u64::try_from(open + DESCRIPTORS).unwrap_or(u64::MAX);
        if self.members[number].limit(Resource::Nofile, most) {
            self.later(Duration::from_millis(1_500), Undo::Kill(number));
            self.tally.count("out of descriptors");
        }
    }

    /// Lets nothing of a worker pass until it must have stopped its handlers: of one that has any, looking
    /// from this one on, so that there is something to stop.
    pub(super) fn cut_off(&mut self, number: usize) {
        let all = self.members.len();
        let from_here = (0..all).map(|step| (number + step) % all);
        let is_busy = |number: &usize| {
            let pid = self.members[*number].pid();
            pid.is_some_and(|pid| !children(pid).is_empty())
        };
        let busy = from_here.clone().find(is_busy);
        let number = busy.unwrap_or(number);
        let member = &mut self.members[number];
        let Some(pid) = member.pid() else { return };
        if member.owner().is_none() || member.is_frozen || member.is_cut_off {
            return;
        }
        member.is_cut_off = true;
        member.proxy.disarm();
        member.proxy.set_weather(|weather| weather.is_silent = true);
        let handlers = Handlers {
            worker: pid,
            children: children(pid),
        };
        if !handlers.children.is_empty() {
            // Else they would have ended by themselves.
            self.remote.set_fault(Fault::DripAfter(1));
            self.later(STALE_AFTER + STOPPING, Undo::Remote);
        }
        self.later(STALE_AFTER + STOPPING, Undo::CutOff(number, handlers));
        self.tally.count("cut off beyond the trust window");
    }

    /// Looks whether a worker that is still cut off has stopped what it did before.
    pub(super) fn judge_cut_off(&mut self, number: usize, handlers: &Handlers) {
        let member = &self.members[number];
        let is_same = member.pid() == Some(handlers.worker) && !member.has_ended();
        if !is_same || member.is_frozen {
            return;
        }
        let running = children(handlers.worker);
        let still_running = handlers.children.iter().filter(|pid| running.contains(pid));
        let seen = CutOff {
            owner: member.owner().unwrap_or_default().to_owned(),
            running: handlers.children.len(),
            still_running: still_running.count(),
        };
        self.cut_off.push(seen);
    }

    /// Processes of this world whose arguments are looked at.
    pub(super) fn all_processes(&self) -> Vec<u32> {
        let workers: Vec<u32> = self.members.iter().filter_map(|m| m.pid()).collect();
        let of_workers = workers.iter().flat_map(|pid| children(*pid));
        of_workers.chain(workers.iter().copied()).collect()
    }
}

/// The living children of a process.
fn children(parent: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    let lists: Vec<String> = lists.flatten().collect();
    let pids = lists.iter().flat_map(|list| list.split_whitespace());
    pids.filter_map(|pid| pid.parse().ok()).collect()
}
