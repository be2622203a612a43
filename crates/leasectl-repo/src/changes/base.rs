//! What a change is compared with, and which commits it is made of.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use gix::ObjectId;
use gix::hashtable::HashSet;
use tokio_util::sync::CancellationToken;

use super::ancestry::Ancestry;
use super::error::StudyError;
use super::graph::Graph;
use super::inventory::ChangeRef;
use super::objects::Objects;

/// The most commits that a change may have beyond the default branch.
const MOST_COMMITS: usize = 500_000;

/// Where a change starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeBase {
    /// The commit of its target that it is compared with; none if the default branch is unborn.
    pub base: Option<ObjectId>,
    /// The best common ancestor of base and head, if there is any.
    pub merge_base: Option<ObjectId>,
    /// Whether the head is an ancestor of the default branch's head, or is it.
    pub is_ancestor: bool,
}

/// Where a change starts, and its commits.
pub(super) struct Extent {
    pub(super) base: ChangeBase,
    /// The commit at its head.
    pub(super) head: ObjectId,
    /// What head has and base has not, in the order of `git log`.
    pub(super) commits: Vec<ObjectId>,
}

/// Finds base, merge base and commits of a change.
pub(super) fn extent(
    objects: &Objects,
    ancestry: &Ancestry,
    change: &ChangeRef,
    cancel: &CancellationToken,
) -> Result<Extent, StudyError> {
    let head = objects.resolve(change.head)?;
    let base = base(objects, ancestry, change, head)?;
    let (merge_base, commits) = match base {
        Some(base) => match ancestry.place(&base) {
            Some(place) => from_line(objects, ancestry, place, head, cancel)?,
            None => from_anywhere(objects, ancestry, base, head, cancel)?,
        },
        None => (
            None,
            log(objects, ancestry, head, cancel, |_| false)?.commits,
        ),
    };
    Ok(Extent {
        base: ChangeBase {
            base,
            merge_base,
            is_ancestor: ancestry.landed(&head).is_some(),
        },
        head,
        commits,
    })
}

/// The target as the forge merged the change with it; else what the default branch was before the change
/// landed; else what it is.
fn base(
    objects: &Objects,
    ancestry: &Ancestry,
    change: &ChangeRef,
    head: ObjectId,
) -> Result<Option<ObjectId>, StudyError> {
    if let Some(test_merge) = change.test_merge {
        let commit = objects.resolve(test_merge)?;
        let node = objects.node(&commit, &mut Vec::new())?;
        if let [base, merged] = node.parents[..]
            && merged == head
        {
            return Ok(Some(base));
        }
    }
    let before = match ancestry.landed(&head) {
        // What stands on the line itself was not merged: nothing says what it was before.
        Some(place) if ancestry.place(&head).is_none() => place.checked_sub(1),
        Some(_) | None => None,
    };
    Ok(match before {
        Some(place) => Some(ancestry.at(place)),
        None => ancestry.head().map(|head| ancestry.graph().id(head)),
    })
}

type MergeBaseAndCommits = (Option<ObjectId>, Vec<ObjectId>);

/// For a base on the line: its ancestors are what had landed there.
fn from_line(
    objects: &Objects,
    ancestry: &Ancestry,
    place: u32,
    head: ObjectId,
    cancel: &CancellationToken,
) -> Result<MergeBaseAndCommits, StudyError> {
    let is_of_base = |id: &ObjectId| ancestry.landed(id).is_some_and(|landed| landed <= place);
    let log = log(objects, ancestry, head, cancel, is_of_base)?;
    let graph = ancestry.graph();
    let mut reached: Vec<u32> = log
        .reached
        .iter()
        .filter_map(|id| graph.number(id))
        .collect();
    if reached.len() > 1 {
        reached = without_ancestors(graph, reached);
    }
    Ok((newest(graph, reached), log.commits))
}

/// For any other base: the ancestors of both are walked, children first.
fn from_anywhere(
    objects: &Objects,
    ancestry: &Ancestry,
    base: ObjectId,
    head: ObjectId,
    cancel: &CancellationToken,
) -> Result<MergeBaseAndCommits, StudyError> {
    let mut graph = Graph::new(Some(ancestry.graph()), MOST_COMMITS);
    let base = graph.add(objects, base, cancel)?;
    let tip = graph.add(objects, head, cancel)?;
    let mut walk = Walk::default();
    walk.mark(base, Marks::BASE);
    walk.mark(tip, Marks::HEAD);
    let mut found = Vec::new();
    while let Some((number, marks)) = walk.next() {
        if marks == Marks::HEAD | Marks::BASE {
            found.push(number);
        }
        let beyond = if marks & Marks::HEAD != 0 && marks & Marks::BASE != 0 {
            marks | Marks::STALE
        } else {
            marks
        };
        for &parent in graph.parents(number) {
            walk.mark(parent, beyond);
        }
    }
    let is_of_base = |id: &ObjectId| {
        let number = graph.number(id);
        number.is_some_and(|number| walk.marks(number) & Marks::BASE != 0)
    };
    let log = log(objects, ancestry, head, cancel, is_of_base)?;
    Ok((newest(&graph, found), log.commits))
}

/// Git names the newest one first when several are equally good.
fn newest(graph: &Graph<'_>, found: Vec<u32>) -> Option<ObjectId> {
    let newest = found.into_iter().max_by_key(|&number| graph.time(number));
    newest.map(|number| graph.id(number))
}

/// Those of the commits that are no ancestors of others of them.
fn without_ancestors(graph: &Graph<'_>, commits: Vec<u32>) -> Vec<u32> {
    let lowest = commits.iter().min().copied().unwrap_or_default();
    let mut seen = std::collections::HashSet::new();
    let mut todo: Vec<u32> = Vec::new();
    let parents = commits.iter().flat_map(|&number| graph.parents(number));
    todo.extend(parents);
    while let Some(number) = todo.pop() {
        if number >= lowest && seen.insert(number) {
            todo.extend(graph.parents(number));
        }
    }
    let kept = commits.into_iter().filter(|number| !seen.contains(number));
    kept.collect()
}

/// Which of two commits a third one is an ancestor of.
struct Marks;

impl Marks {
    const HEAD: u8 = 1;
    const BASE: u8 = 2;
    /// A better common ancestor was found.
    const STALE: u8 = 4;
}

/// Commits that are still to be looked at, children before parents.
#[derive(Default)]
struct Walk {
    marks: HashMap<u32, u8>,
    queue: BinaryHeap<u32>,
    /// How many in the queue may still lead to a common ancestor.
    live: usize,
}

impl Walk {
    fn marks(&self, number: u32) -> u8 {
        self.marks.get(&number).copied().unwrap_or_default()
    }

    fn is_live(marks: u8) -> bool {
        marks & Marks::HEAD != 0 && marks & Marks::STALE == 0
    }

    fn mark(&mut self, number: u32, marks: u8) {
        let known = self.marks.entry(number).or_default();
        let before = *known;
        *known |= marks;
        let after = *known;
        if before == 0 {
            self.queue.push(number);
        }
        self.live += usize::from(Self::is_live(after));
        self.live -= usize::from(Self::is_live(before));
    }

    fn next(&mut self) -> Option<(u32, u8)> {
        if self.live == 0 {
            return None;
        }
        let number = self.queue.pop()?;
        let marks = self.marks(number);
        self.live -= usize::from(Self::is_live(marks));
        Some((number, marks))
    }
}

/// The ancestors of a commit, down to those that were not wanted.
pub(super) struct Log {
    /// In the order of `git log`: whatever has no unseen child, by time.
    pub(super) commits: Vec<ObjectId>,
    /// Those where it ended.
    pub(super) reached: Vec<ObjectId>,
}

/// Walks from head to what `ends` says.
pub(super) fn log(
    objects: &Objects,
    ancestry: &Ancestry,
    head: ObjectId,
    cancel: &CancellationToken,
    ends: impl Fn(&ObjectId) -> bool,
) -> Result<Log, StudyError> {
    let graph = ancestry.graph();
    let mut log = Log {
        commits: Vec::new(),
        reached: Vec::new(),
    };
    let mut buffer = Vec::new();
    let mut seen = HashSet::default();
    let mut queue = BinaryHeap::new();
    let mut todo = vec![head];
    loop {
        for id in todo.drain(..) {
            if !seen.insert(id) {
                continue;
            }
            if ends(&id) {
                log.reached.push(id);
                continue;
            }
            let (time, parents) = match graph.number(&id) {
                Some(number) => {
                    let parents = graph.parents(number).iter().map(|&number| graph.id(number));
                    (graph.time(number), parents.collect())
                }
                None => {
                    let node = objects.node(&id, &mut buffer)?;
                    (node.time, node.parents)
                }
            };
            queue.push((time, Reverse(seen.len()), id, parents));
        }
        let Some((_, _, id, parents)) = queue.pop() else {
            return Ok(log);
        };
        if cancel.is_cancelled() {
            return Err(StudyError::Cancelled);
        }
        log.commits.push(id);
        if log.commits.len() > MOST_COMMITS {
            return Err(StudyError::history_too_long(MOST_COMMITS));
        }
        todo = parents;
    }
}
