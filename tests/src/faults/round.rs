//! One round: a world of its own, faults, calm, and the verdict.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::check::{Violation, judge};
use super::clones::fault_of;
use super::kind::Kind;
use super::member::POLL;
use super::record::{RepositorySeen, Trial, What};
use super::tally::Tally;
use super::world::World;
use super::{Plan, audit, remains};
use crate::wait::pause;

/// Between two faults.
const GAP: Duration = Duration::from_millis(30);
/// Between two looks at clones and at the arguments of processes.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long everything may take to end when the faults have stopped, on a slow and busy machine.
const CALM: Duration = Duration::from_secs(180);
/// Between two looks whether everything has ended.
const CALM_LOOK: Duration = Duration::from_millis(100);

/// What came of a round.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    pub(super) violations: Vec<Violation>,
    pub(super) history: Counts,
}

impl Outcome {
    /// A round that could not be finished; the panic's own message was shown.
    pub(super) fn of_a_broken_round() -> Self {
        let broken = Violation {
            invariant: "the suite",
            found: "the round panicked".to_owned(),
        };
        Self {
            violations: vec![broken],
            ..Self::default()
        }
    }
}

/// How much there was to judge.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) jobs: usize,
    pub(super) changes: usize,
    pub(super) claims: usize,
    pub(super) takeovers: usize,
    pub(super) effects: usize,
    /// Times that what a change changes was written.
    pub(super) snapshots: usize,
    /// Claims of fetches while a backfill of the repository was under way, and the other way round.
    pub(super) side_by_side: usize,
    /// Changes of remotes that were compared with what git says.
    pub(super) proposals: usize,
    pub(super) cut_off: usize,
    pub(super) clones: usize,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.jobs += other.jobs;
        self.changes += other.changes;
        self.claims += other.claims;
        self.takeovers += other.takeovers;
        self.effects += other.effects;
        self.snapshots += other.snapshots;
        self.side_by_side += other.side_by_side;
        self.proposals += other.proposals;
        self.cut_off += other.cut_off;
        self.clones += other.clones;
    }
}

/// Injects that many faults, or fewer when the time is over, and judges what they did.
pub(super) fn run(plan: &Plan, seed: u64, faults: u64, until: Option<Instant>) -> Outcome {
    let mut world = World::new(seed, plan.workers);
    if plan.sabotage {
        world.sabotage();
    }
    let mut looked = Instant::now();
    while world.tally.total() < faults && until.is_none_or(|until| Instant::now() < until) {
        world.tend();
        if plan.sabotage {
            world.freeze_within_the_fence();
        } else {
            let kind = Kind::draw(&mut world.dice);
            world.inject(kind);
        }
        if looked.elapsed() > LOOK_EVERY {
            looked = Instant::now();
            world.look_at_a_clone();
            let pids = world.all_processes();
            world.secrets.search_arguments(&pids);
        }
        pause(GAP);
    }
    let (trial, mut violations) = finish(&mut world);
    violations.extend(judge(&trial));
    if let (Some(folder), false) = (&plan.keep, violations.is_empty()) {
        keep(&world, &trial, &folder.join(seed.to_string()));
    }
    Outcome {
        violations,
        history: counts(&trial),
        tally: std::mem::take(&mut world.tally),
    }
}

/// Ends the faults, waits for every job's end, and gathers what is to be judged.
fn finish(world: &mut World) -> (Trial, Vec<Violation>) {
    world.calm();
    let accepted = world.load.take().map(super::load::Load::stop);
    let (answers, wrong_answers) = world.garbage.end();
    for answer in answers {
        world.secrets.search("an answer of the service", &answer);
    }
    wait_for_the_end(world);
    // The clones of the small disk are nobody's concern from here on.
    if world.small_disk.is_some() && world.members.len() > 1 {
        let last = world.members.pop();
        world
            .fences
            .extend(last.iter().flat_map(super::member::Member::take_fences));
    }
    world.say_modes();
    wait_for_the_end(world);
    let repositories = (0..world.sources.len())
        .map(|number| recovered(world, number))
        .collect();
    let beside = world.work_beside();
    wait_for_the_end(world);
    let sql = world.sql();
    let sources = world.sources.iter();
    let proposals = sources.map(|source| remains::look(&sql, source)).collect();
    let states = states(world);
    let mut fences = Vec::new();
    for member in &mut world.members {
        member.kill();
        fences.extend(member.take_fences());
    }
    fences.append(&mut world.fences);
    let logs = world.stage.folder().join("logs");
    world.secrets.search_logs(&logs);
    let dump = sql.dump();
    world.secrets.search("a row", &dump);
    let unexpected = |invariant, found: &[String]| {
        let found = found.iter().cloned();
        found
            .map(|found| Violation { invariant, found })
            .collect::<Vec<_>>()
    };
    let mut violations = unexpected("end of a worker", &world.exits);
    violations.extend(unexpected("answer of the service", &wrong_answers));
    let trial = Trial {
        changes: audit::read(&sql),
        fences,
        accepted: accepted.unwrap_or_default(),
        states,
        cut_off: std::mem::take(&mut world.cut_off),
        clones: world.clones.seen(),
        repositories,
        proposals,
        beside,
        leaks: world.secrets.leaks(),
        poll_us: i64::try_from(POLL.as_micros()).unwrap_or(i64::MAX),
    };
    (trial, violations)
}

/// Waits until there is no live job any more; backoffs are aged instead of waited for, those of changes too.
fn wait_for_the_end(world: &mut World) {
    let started = Instant::now();
    let age = "update leasectl.job set not_before = now() where state = 'scheduled' \
                  and not_before > now()";
    let age_changes = "update leasectl.change_failure set retry_at = now() where retry_at > now()";
    let count = "select count(*) from leasectl.job";
    while started.elapsed() < CALM {
        world.replace_ended();
        let sql = world.sql();
        drop(sql.try_rows(age_changes, &[]));
        drop(sql.try_rows(age, &[]));
        if let Ok(rows) = sql.try_rows(count, &[])
            && rows[0].get::<_, i64>(0) == 0
        {
            return;
        }
        pause(CALM_LOOK);
    }
}

/// Fetches a repository once more, without any fault. One of its changes has moved, so that a pass has to follow.
fn recovered(world: &mut World, number: usize) -> RepositorySeen {
    let sql = world.sql();
    world.sources[number].proposals.move_for_certain();
    let (id, name) = {
        let source = &world.sources[number];
        (source.id.clone(), source.name.clone())
    };
    let call = "select leasectl.enqueue(repo => $1, kind => 'fetch')::text";
    let job: String = sql.one(call, &[&id]);
    wait_for_the_end(world);
    let state = sql.rows(
        "select state from leasectl.job_status where id::text = $1",
        &[&job],
    );
    let head = sql.rows(
        "select head from leasectl.branch where repo_id::text = $1 and name = 'main'",
        &[&id],
    );
    let remote_head = world.sources[number].origin.find("main");
    RepositorySeen {
        name,
        state: state.first().map(|row| row.get(0)).unwrap_or_default(),
        remote_head: remote_head.unwrap_or_default(),
        recorded_head: head
            .first()
            .and_then(|row| row.get::<_, Option<String>>(0))
            .unwrap_or_default(),
        fault: fault_of(&world.shared_dir().join(&id).join("clone.git")),
    }
}

fn states(world: &World) -> BTreeMap<String, String> {
    let rows = world
        .sql()
        .rows("select id::text, state from leasectl.job_status", &[]);
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn counts(trial: &Trial) -> Counts {
    let mut counts = Counts {
        jobs: trial.states.len(),
        changes: trial.changes.len(),
        cut_off: trial.cut_off.iter().map(|seen| seen.running).sum(),
        clones: trial.clones.len(),
        proposals: trial.proposals.iter().map(|seen| seen.offered.len()).sum(),
        ..Counts::default()
    };
    let mut live: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for change in &trial.changes {
        match &change.what {
            What::Job { id, before, after } => {
                let token = |row: &Option<Box<super::record::JobRow>>| row.as_ref()?.token;
                if token(after).is_some() && token(after) != token(before) {
                    counts.claims += 1;
                    counts.takeovers += usize::from(token(before).is_some());
                    let other = after.as_ref().and_then(|row| other_lane(&row.lane));
                    let is_beside =
                        other.is_some_and(|lane| live.contains_key(&(change.repo.as_str(), lane)));
                    counts.side_by_side += usize::from(is_beside);
                }
                let Some(row) = after.as_ref().or(before.as_ref()) else {
                    continue;
                };
                let lane = (change.repo.as_str(), row.lane.as_str());
                if after.as_ref().is_some_and(|row| row.is_running()) {
                    live.insert(lane, id);
                } else if live.get(&lane) == Some(&id.as_str()) {
                    live.remove(&lane);
                }
            }
            What::Repository { .. } => counts.effects += 1,
            What::Snapshot => counts.snapshots += 1,
            What::Finished { .. } | What::Pass { .. } | What::Inventory { .. } | What::Branch => {}
        }
    }
    counts
}

/// The other one of the two lanes that keep changes.
fn other_lane(lane: &str) -> Option<&'static str> {
    match lane {
        "fetch" => Some("backfill"),
        "backfill" => Some("fetch"),
        _ => None,
    }
}

/// Keeps logs and history of a round that broke something.
fn keep(world: &World, trial: &Trial, folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    let logs = world.stage.folder().join("logs");
    for entry in fs::read_dir(logs).into_iter().flatten().flatten() {
        drop(fs::copy(entry.path(), folder.join(entry.file_name())));
    }
    let changes = trial.changes.iter().map(|change| format!("{change:?}\n"));
    let history: String = changes.collect();
    let fences: String = trial.fences.iter().map(|f| format!("{f:?}\n")).collect();
    fs::write(folder.join("history"), history + &fences).expect("written");
}
