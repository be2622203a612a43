//! Objects as a study needs them, read by one thread at a time.

use gix::ObjectId;
use gix::objs::commit::ref_iter::Token;
use gix::objs::{CommitRef, CommitRefIter, Data, Find as _, Kind};

use super::error::StudyError;
use crate::content::Content;
use crate::lost_pages::{Since, lacks};

/// Bytes of objects that a thread keeps: the trees and blobs of neighbouring commits are mostly the same.
const KEPT_BYTES: usize = 16 << 20;

/// Bytes of what other objects are made from in a pack.
const KEPT_DELTA_BASES_BYTES: usize = 16 << 20;

/// Reads objects.
pub(super) struct Objects {
    repo: gix::Repository,
    opened: Since,
}

/// What the history of commits is made of.
pub(super) struct Node {
    pub(super) tree: ObjectId,
    pub(super) parents: Vec<ObjectId>,
    /// Seconds since 1970 when it was committed; 0 if that cannot be read.
    pub(super) time: i64,
}

impl Objects {
    pub(super) fn new(content: &Content) -> Self {
        let mut repo = content.repository();
        repo.object_cache_size(KEPT_BYTES);
        repo.objects.set_pack_cache(|| {
            let cache =
                gix::odb::pack::cache::lru::MemoryCappedHashmap::new(KEPT_DELTA_BASES_BYTES);
            Box::new(cache)
        });
        Self {
            repo,
            opened: content.opened(),
        }
    }

    /// An object, or nothing if the clone does not have it.
    fn try_find<'a>(
        &self,
        id: &gix::oid,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Option<Data<'a>>, StudyError> {
        match self.repo.objects.try_find(id, buffer) {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) => match lacks(&self.repo, id) {
                Ok(true) => Ok(None),
                Ok(false) => Err(StudyError::damaged("an object is not found any more")),
                Err(error) => Err(StudyError::reading(id, error)),
            },
            Err(error) => {
                let error = StudyError::reading(id, error);
                // What is too large may be a length that was made up of what is left.
                let is_large = matches!(error, StudyError::Change { .. });
                if is_large && self.opened.has_lost() {
                    return Err(StudyError::damaged("an object lost pages"));
                }
                Err(error)
            }
        }
    }

    /// The commit that an id from outside leads to, through tags if need be.
    pub(super) fn resolve(&self, id: ObjectId) -> Result<ObjectId, StudyError> {
        const MOST_TAGS: usize = 16;
        let mut buffer = Vec::new();
        let mut at = id;
        for _ in 0..MOST_TAGS {
            let found = self.try_find(&at, &mut buffer)?;
            let object = found.ok_or(StudyError::Missing { id })?;
            match object.kind {
                Kind::Commit => return Ok(at),
                Kind::Tag => {
                    let tag = gix::objs::TagRefIter::from_bytes(object.data, object.object_hash);
                    at = tag.target_id().map_err(|_| StudyError::invalid(&at))?;
                }
                Kind::Tree | Kind::Blob => break,
            }
        }
        Err(StudyError::not_a_commit(id))
    }

    fn commit_data<'a>(
        &self,
        id: &gix::oid,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Data<'a>, StudyError> {
        match self.try_find(id, buffer)? {
            Some(object) if object.kind == Kind::Commit => Ok(object),
            Some(_) => Err(StudyError::invalid(id)),
            None => Err(StudyError::damaged("a commit is missing")),
        }
    }

    /// A commit of the clone.
    pub(super) fn commit<'a>(
        &self,
        id: &gix::oid,
        buffer: &'a mut Vec<u8>,
    ) -> Result<CommitRef<'a>, StudyError> {
        let object = self.commit_data(id, buffer)?;
        CommitRef::from_bytes(object.data, object.object_hash).map_err(|_| StudyError::invalid(id))
    }

    /// What a commit of the clone is to the history.
    pub(super) fn node(&self, id: &gix::oid, buffer: &mut Vec<u8>) -> Result<Node, StudyError> {
        let object = self.commit_data(id, buffer)?;
        let mut tree = None;
        let mut node = Node {
            tree: ObjectId::null(object.object_hash),
            parents: Vec::new(),
            time: 0,
        };
        // Whoever wrote a signature that cannot be read has a history all the same.
        for token in
            CommitRefIter::from_bytes(object.data, object.object_hash).map_while(Result::ok)
        {
            match token {
                Token::Tree { id } => tree = Some(id),
                Token::Parent { id } => node.parents.push(id),
                Token::Committer { signature } => {
                    node.time = signature.seconds();
                    break;
                }
                Token::Author { .. }
                | Token::Encoding(_)
                | Token::ExtraHeader(_)
                | Token::Message(_) => {}
            }
        }
        node.tree = tree.ok_or_else(|| StudyError::invalid(id))?;
        Ok(node)
    }

    /// Reads a tree into the buffer; the entries are for the caller to parse.
    pub(super) fn tree(&self, id: &gix::oid, buffer: &mut Vec<u8>) -> Result<(), StudyError> {
        if id.is_empty_tree() {
            buffer.clear();
            return Ok(());
        }
        match self.try_find(id, buffer)? {
            Some(object) if object.kind == Kind::Tree => Ok(()),
            Some(_) => Err(StudyError::invalid(id)),
            None => Err(StudyError::damaged("a tree is missing")),
        }
    }

    /// How many bytes a blob has.
    pub(super) fn blob_bytes(&self, id: &gix::oid) -> Result<u64, StudyError> {
        let header = self.repo.try_find_header(id);
        match header.map_err(|error| StudyError::reading(id, error))? {
            Some(header) => Ok(header.size()),
            None => Err(StudyError::damaged("a blob is missing")),
        }
    }

    /// Reads a blob into the buffer.
    pub(super) fn blob(&self, id: &gix::oid, buffer: &mut Vec<u8>) -> Result<(), StudyError> {
        match self.try_find(id, buffer)? {
            Some(object) if object.kind == Kind::Blob => Ok(()),
            Some(_) => Err(StudyError::invalid(id)),
            None => Err(StudyError::damaged("a blob is missing")),
        }
    }

    pub(super) fn hash_kind(&self) -> gix::hash::Kind {
        self.repo.object_hash()
    }
}
