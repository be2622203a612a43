//! The history of the default branch.
//!
//! Its first parents are the line of what the branch was; each commit landed on it at one place. So whether
//! something is an ancestor of what the branch was at some time is a comparison of two numbers.

use std::collections::HashSet;
use std::ops::Range;

use gix::ObjectId;
use tokio_util::sync::CancellationToken;

use super::error::StudyError;
use super::graph::Graph;
use super::objects::Objects;

/// All commits of the default branch, numbered in the order in which they landed.
pub(super) struct Ancestry {
    graph: Graph<'static>,
    /// The commits of the line, oldest first.
    line: Vec<u32>,
    /// Per commit the place on the line at which it landed.
    landed: Vec<u32>,
}

impl Ancestry {
    /// Reads all ancestors of the head; none if the branch is unborn.
    pub(super) fn read(
        objects: &Objects,
        head: Option<ObjectId>,
        cancel: &CancellationToken,
    ) -> Result<Self, StudyError> {
        let mut line = Vec::new();
        let mut next = head.map(|head| objects.resolve(head)).transpose()?;
        let mut buffer = Vec::new();
        while let Some(id) = next {
            if cancel.is_cancelled() {
                return Err(StudyError::Cancelled);
            }
            let node = objects.node(&id, &mut buffer)?;
            next = node.parents.first().copied();
            line.push((id, node));
        }
        let mut ancestry = Self {
            graph: Graph::new(None, usize::MAX),
            line: Vec::with_capacity(line.len()),
            landed: Vec::new(),
        };
        for (id, node) in line.into_iter().rev() {
            for parent in node.parents.iter().skip(1) {
                ancestry.graph.add(objects, *parent, cancel)?;
            }
            let number = ancestry.graph.push(id, &node)?;
            let place = place(ancestry.line.len());
            ancestry.landed.resize(ancestry.graph.len(), place);
            ancestry.line.push(number);
        }
        Ok(ancestry)
    }

    pub(super) fn graph(&self) -> &Graph<'static> {
        &self.graph
    }

    /// The number of the default branch's head.
    pub(super) fn head(&self) -> Option<u32> {
        self.line.last().copied()
    }

    /// The place on the line at which the commit landed, if it did.
    pub(super) fn landed(&self, id: &ObjectId) -> Option<u32> {
        let number = self.graph.number(id)?;
        Some(self.landed[number as usize])
    }

    /// The place on the line at which the commit stands, if it does.
    pub(super) fn place(&self, id: &ObjectId) -> Option<u32> {
        let number = self.graph.number(id)?;
        let place = self.landed[number as usize];
        (self.line[place as usize] == number).then_some(place)
    }

    /// The commit at a place on the line.
    pub(super) fn at(&self, place: u32) -> ObjectId {
        self.graph.id(self.line[place as usize])
    }

    /// The commits of the default branch that are no ancestors of any of `tips`, which are such commits.
    pub(super) fn beyond(&self, tips: &[u32]) -> Beyond {
        let mut below = HashSet::new();
        let mut todo = tips.to_vec();
        let mut reached = None;
        while let Some(number) = todo.pop() {
            let place = self.landed[number as usize];
            if self.line[place as usize] == number {
                reached = reached.max(Some(place));
            } else if below.insert(number) {
                todo.extend(self.graph.parents(number));
            }
        }
        let from = reached.map_or(0, |place| self.line[place as usize] + 1);
        Beyond {
            numbers: from..u32::try_from(self.graph.len()).unwrap_or(u32::MAX),
            except: below,
        }
    }
}

/// Commits of the default branch.
pub(super) struct Beyond {
    numbers: Range<u32>,
    except: HashSet<u32>,
}

impl Beyond {
    /// At most so many.
    pub(super) fn most(&self) -> usize {
        self.numbers.len()
    }

    /// Their numbers, in the order in which they landed.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        let numbers = self.numbers.clone();
        numbers.filter(|number| !self.except.contains(number))
    }
}

/// No line has so many commits: [`Graph`] has no numbers for them.
fn place(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
