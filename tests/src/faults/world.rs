//! Where a round happens: a database server, remotes, workers behind proxies, a service, and work.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use leasectl_core::ids::RepoId;
use leasectl_embedded::scratch::{ScratchServer, ScratchSettings};
use leasectl_repo::serve::Fault;

use super::audit;
use super::clock::WrongClock;
use super::clones::Clones;
use super::garbage::Garbage;
use super::load::Load;
use super::member::{self, Member};
use super::poison::Poison;
use super::proposals::Proposals;
use super::proxy::Sprung;
use super::record::{CutOff, FenceAsked};
use super::secrets::Secrets;
use super::tally::Tally;
use super::undo::Undo;
use crate::dice::Dice;
use crate::git::Origin;
use crate::mount::SmallDisk;
use crate::remote::Remote;
use crate::skip::skip;
use crate::sql::{Held, Sql};
use crate::stage::Stage;

/// Repositories that the load works on.
const REPOSITORIES: usize = 5;
/// What a clone of each takes over the wire, in bytes.
const WEIGHT_BYTES: usize = 60_000;
/// Heads that a remote moves between.
const HEADS: usize = 24;
/// Which changes of the repositories are kept current, in turn.
const MODES: [&str; 3] = ["full_history", "open_and_recent", "open_only"];
/// The disk of one worker, in bytes.
const SMALL_DISK_BYTES: u64 = 12 << 20;

/// A repository and the heads that it moves between.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) heads: Vec<String>,
    pub(super) proposals: Proposals,
    /// Which of its changes are kept current at the beginning and the end; in between that is said anew at random.
    pub(super) mode: &'static str,
}

/// Everything that faults can happen to. Fields are dropped in their order: processes first.
#[derive(Debug)]
pub(super) struct World {
    pub(super) dice: Dice,
    /// Decides how remotes move, so that the schedule of faults does not hang on it.
    motion: Dice,
    pub(super) tally: Tally,
    pub(super) members: Vec<Member>,
    pub(super) garbage: Garbage,
    pub(super) load: Option<Load>,
    pub(super) sprung: Receiver<Sprung>,
    pub(super) undo: Vec<(Instant, Undo)>,
    pub(super) held: Vec<Held>,
    pub(super) poison: Poison,
    pub(super) clones: Clones,
    pub(super) secrets: Secrets,
    pub(super) cut_off: Vec<CutOff>,
    /// Fences of proxies that are gone.
    pub(super) fences: Vec<FenceAsked>,
    /// Workers that ended although nothing had been done to them.
    pub(super) exits: Vec<String>,
    pub(super) sources: Vec<Source>,
    pub(super) remote: Remote,
    pub(super) small_disk: Option<SmallDisk>,
    pub(super) clock: WrongClock,
    pub(super) stage: Stage,
}

impl World {
    /// Sets everything up and starts the work.
    pub(super) fn new(seed: u64, workers: usize) -> Self {
        // Durable, because an immediate stop of a server without fsync proves nothing.
        let settings = ScratchSettings::new()
            .on_tcp()
            .with("fsync", "on")
            .with("full_page_writes", "on")
            .with("max_connections", "300")
            .with("max_wal_size", "128MB")
            .with("track_commit_timestamp", "on")
            // A connection whose way fell silent before it said who it is must not hold up a restart for a
            // minute: the way opens again only after it.
            .with("authentication_timeout", "2s");
        let server = ScratchServer::start(settings).unwrap_or_else(|error| panic!("{error}"));
        let stage = Stage::on(server);
        let database = stage.database_url().rsplit('/').next().expect("a database");
        let url = stage.server().tcp_url(database).expect("a port");
        let url = format!("{url}?sslmode=disable");
        audit::install(&stage.sql());

        let secrets = Secrets::plant(&stage, &url);
        let remote = Remote::start();
        let sources: Vec<Source> = (0..=REPOSITORIES)
            .map(|number| source(&stage, &remote, number))
            .collect();
        let small_disk = SmallDisk::mount(&stage.folder().join("small"), SMALL_DISK_BYTES)
            .map_err(|reason| skip(&reason))
            .ok();
        let (sender, sprung) = channel();
        let clock = WrongClock::compile(stage.folder());
        let members = (0..workers).map(|number| {
            let own_disk = small_disk.as_ref().filter(|_| number + 1 == workers);
            let shared = stage.repos_dir();
            let repos_dir = own_disk.map_or(shared, |disk| disk.path().to_owned());
            Member::new(number, &url, &repos_dir, sender.clone())
        });
        let members: Vec<Member> = members.collect();
        let garbage = Garbage::start(&stage, &url, workers, sender, secrets.api_token());
        let poisoned = sources.last().expect("one repository").id.clone();
        let mut world = Self {
            dice: Dice::with_seed(seed),
            motion: Dice::with_seed(seed ^ 0x000C_4A9E),
            tally: Tally::default(),
            members,
            garbage,
            load: None,
            sprung,
            undo: Vec::new(),
            held: Vec::new(),
            poison: Poison::new(poisoned),
            clones: Clones::default(),
            secrets,
            cut_off: Vec::new(),
            fences: Vec::new(),
            exits: Vec::new(),
            sources,
            remote,
            small_disk,
            clock,
            stage,
        };
        world.say_modes();
        for number in 0..workers {
            world.members[number].start(&world.stage, &world.clock, 0);
        }
        // The last repository is kept for poison.
        let repos: Vec<RepoId> = world.sources[..REPOSITORIES]
            .iter()
            .map(|source| source.id.parse().expect("an id"))
            .collect();
        world.load = Some(Load::start(
            world.stage.database_url(),
            &repos,
            seed ^ 0x10AD,
        ));
        world
    }

    /// The database, over its socket: no fault of the network is in between.
    pub(super) fn sql(&self) -> Sql {
        self.stage.sql()
    }

    /// Undoes something later.
    pub(super) fn later(&mut self, after: Duration, undo: Undo) {
        self.undo.push((Instant::now() + after, undo));
    }

    /// Between two faults: what is due is undone, ended workers are replaced, and remotes move on.
    pub(super) fn tend(&mut self) {
        let now = Instant::now();
        while let Some(due) = self.undo.iter().position(|(at, _)| *at <= now) {
            let (_, undo) = self.undo.swap_remove(due);
            self.undo(&undo);
        }
        self.take_sprung();
        self.replace_ended();
        self.tend_poison();
        for found in self.garbage.answers() {
            self.tally.count(found);
        }
        self.move_a_head();
        let which = self.motion.roll(self.sources.len());
        self.sources[which].proposals.move_one(&mut self.motion);
    }

    /// Says which changes of each repository are kept current, and has a pass accepted for each.
    pub(super) fn say_modes(&self) {
        for source in &self.sources {
            let words = ["backfill", source.id.as_str(), "--mode", source.mode];
            self.stage.run(&words).ok();
        }
    }

    fn take_sprung(&mut self) {
        while let Ok(sprung) = self.sprung.try_recv() {
            self.tally.trap(&sprung.trap);
            self.after_trap(sprung);
        }
    }

    /// Starts another worker where one has ended. One that is started while the database is away
    /// ends with 4 and is started again, as a supervisor would.
    pub(super) fn replace_ended(&mut self) {
        for number in 0..self.members.len() {
            let member = &mut self.members[number];
            if !member.has_ended() {
                continue;
            }
            let was_ready = member.owner().is_some();
            let is_doomed = member.is_doomed;
            let Some((code, end)) = member.reap() else {
                continue;
            };
            let is_explained = is_doomed || code == -9 || (code == 4 && !was_ready);
            if !is_explained {
                let exit = format!("worker {number} ended with {code}: {end}");
                self.exits.push(exit);
            }
            self.members[number].start(&self.stage, &self.clock, 0);
        }
    }

    /// Points the branch of some repository at another commit, older or newer.
    fn move_a_head(&mut self) {
        let which = self.dice.roll(self.sources.len());
        self.move_head_of(which);
    }

    pub(super) fn move_head_of(&mut self, which: usize) {
        let source = &self.sources[which];
        let head = &source.heads[self.dice.roll(source.heads.len())];
        let refs = source.origin.path().join("refs/heads");
        // As git does it, so that a reader sees the old or the new one.
        fs::write(refs.join("main.lock"), format!("{head}\n")).expect("written");
        fs::rename(refs.join("main.lock"), refs.join("main")).expect("renamed");
    }

    /// Ends every fault.
    pub(super) fn calm(&mut self) {
        for (_, undo) in std::mem::take(&mut self.undo) {
            // Cut short, it shows nothing.
            if !matches!(undo, Undo::CutOff(..)) {
                self.undo(&undo);
            }
        }
        for number in 0..self.members.len() {
            self.members[number].is_cut_off = false;
            self.undo(&Undo::Weather(number));
            self.undo(&Undo::Thaw(number));
            self.members[number].proxy.disarm();
        }
        self.garbage.calm();
        self.remote.set_fault(Fault::None);
        self.remote.set_bytes_per_second(None);
        self.held.clear();
        self.poison.give_up();
        self.take_sprung();
    }

    /// The folder of clones that most workers share.
    pub(super) fn shared_dir(&self) -> PathBuf {
        self.stage.repos_dir()
    }
}

/// Makes a repository with a history long enough to move about in, and registers it.
fn source(stage: &Stage, remote: &Remote, number: usize) -> Source {
    let name = format!("acme/r{number}");
    let origin = remote.heavy_repository(&name, WEIGHT_BYTES);
    let mut heads = origin.commit_many("main", HEADS);
    let proposals = Proposals::make(&origin, &mut heads);
    Source {
        id: stage.register(&remote.url(&name)),
        name,
        origin,
        heads,
        proposals,
        mode: MODES[number % MODES.len()],
    }
}

/// Where the token files of hosts lie.
pub(super) fn token_dir(stage: &Stage) -> PathBuf {
    member::secrets(stage)
}
