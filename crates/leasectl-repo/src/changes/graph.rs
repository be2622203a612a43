//! Commits by number instead of by id, so that questions about ancestors are answered without reading.
//!
//! **Invariant**: a commit's number is greater than those of all its ancestors.

use gix::ObjectId;
use gix::hashtable::HashMap;
use tokio_util::sync::CancellationToken;

use super::error::StudyError;
use super::objects::{Node, Objects};

/// A commit; its parents are further down in [`Graph::parents`].
struct Commit {
    id: ObjectId,
    tree: ObjectId,
    time: i64,
    first_parent: usize,
}

/// Commits together with all their ancestors.
pub(super) struct Graph<'a> {
    /// What is known already: its commits have the lower numbers.
    below: Option<&'a Graph<'static>>,
    commits: Vec<Commit>,
    parents: Vec<u32>,
    by_id: HashMap<ObjectId, u32>,
    /// The most commits that may be added.
    most: usize,
}

impl<'a> Graph<'a> {
    pub(super) fn new(below: Option<&'a Graph<'static>>, most: usize) -> Self {
        Self {
            below,
            commits: Vec::new(),
            parents: Vec::new(),
            by_id: HashMap::default(),
            most,
        }
    }

    fn offset(&self) -> usize {
        self.below.map_or(0, Graph::len)
    }

    /// How many commits there are; the next one gets this number.
    pub(super) fn len(&self) -> usize {
        self.offset() + self.commits.len()
    }

    /// The number of a commit.
    pub(super) fn number(&self, id: &ObjectId) -> Option<u32> {
        let below = self.below.and_then(|below| below.number(id));
        below.or_else(|| self.by_id.get(id).copied())
    }

    fn commit(&self, number: u32) -> &Commit {
        match self.below {
            Some(below) if (number as usize) < below.len() => below.commit(number),
            Some(_) | None => &self.commits[number as usize - self.offset()],
        }
    }

    pub(super) fn id(&self, number: u32) -> ObjectId {
        self.commit(number).id
    }

    pub(super) fn tree(&self, number: u32) -> ObjectId {
        self.commit(number).tree
    }

    /// When it was committed, in seconds since 1970.
    pub(super) fn time(&self, number: u32) -> i64 {
        self.commit(number).time
    }

    /// The numbers of its parents, in order.
    pub(super) fn parents(&self, number: u32) -> &[u32] {
        match self.below {
            Some(below) if (number as usize) < below.len() => below.parents(number),
            Some(_) | None => {
                let at = number as usize - self.offset();
                let end = self.commits.get(at + 1);
                let end = end.map_or(self.parents.len(), |next| next.first_parent);
                &self.parents[self.commits[at].first_parent..end]
            }
        }
    }

    /// Adds a commit whose parents are there.
    pub(super) fn push(&mut self, id: ObjectId, node: &Node) -> Result<u32, StudyError> {
        let number = u32::try_from(self.len()).ok();
        let number = number.filter(|_| self.commits.len() < self.most);
        let number = number.ok_or_else(|| StudyError::history_too_long(self.most))?;
        let first_parent = self.parents.len();
        for parent in &node.parents {
            let parent = self.number(parent);
            let missing = || StudyError::damaged("a parent is missing");
            self.parents.push(parent.ok_or_else(missing)?);
        }
        self.commits.push(Commit {
            id,
            tree: node.tree,
            time: node.time,
            first_parent,
        });
        self.by_id.insert(id, number);
        Ok(number)
    }

    /// Adds a commit with what is missing of its ancestors, and says its number.
    pub(super) fn add(
        &mut self,
        objects: &Objects,
        id: ObjectId,
        cancel: &CancellationToken,
    ) -> Result<u32, StudyError> {
        if let Some(number) = self.number(&id) {
            return Ok(number);
        }
        let mut buffer = Vec::new();
        // Each with the number of its parents that were looked at.
        let mut path = vec![(id, objects.node(&id, &mut buffer)?, 0)];
        let mut number = 0;
        while let Some((id, node, looked_at)) = path.last_mut() {
            let parents = node.parents.get(*looked_at..).unwrap_or_default();
            let missing = parents.iter().position(|id| self.number(id).is_none());
            if let Some(at) = missing {
                let parent = parents[at];
                *looked_at += at + 1;
                if cancel.is_cancelled() {
                    return Err(StudyError::Cancelled);
                }
                path.push((parent, objects.node(&parent, &mut buffer)?, 0));
            } else {
                number = self.push(*id, node)?;
                path.pop();
            }
        }
        Ok(number)
    }
}
