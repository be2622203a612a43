//! An indexer as a worker has one, over made-up trees: what is known is not read, and every step can be the
//! last one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use leasectl_core::database::Client;
use leasectl_core::ids::RepoId;
use leasectl_core::index::{
    self, BlobId, Context, DirId, Extractor, ExtractorId, IndexError, IndexScope, NewBlob, NewDir,
    NewFile, NewRef, ObjectId, RefState, Resolutions, TagsPayload, TextPayload, Treatment,
    TreatmentId,
};
use leasectl_core::kind::Lane;
use leasectl_core::lease::{Fence, Lease};

use crate::fixture::{Fixture, INDEX, owner};
use crate::tree::{self, Dir};

/// The release of the extractors.
pub(crate) const FIRST: [Extractor<'static>; 2] = [
    Extractor {
        name: "tags.rust",
        version: 1,
    },
    Extractor {
        name: "trigram",
        version: 1,
    },
];

/// One run of an indexer: a lease, and a connection of its own.
pub(crate) struct Indexer {
    pub(crate) repo: RepoId,
    pub(crate) lease: Lease,
    pub(crate) fence: Fence,
    pub(crate) client: Client,
    pub(crate) scope: IndexScope,
    pub(crate) treatment: TreatmentId,
    /// Blobs that had to be read.
    pub(crate) read: usize,
    /// To what the resolver has every import lead, instead of to the file that has its target as path.
    pub(crate) leads_to: Option<&'static str>,
}

/// How far a run goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// So many blobs are stored.
    Blobs(usize),
    /// So many levels of directories are stored.
    Levels(usize),
    /// Everything is there but the ref.
    Links,
    End,
}

pub(crate) async fn lease(fixture: &Fixture, repo: RepoId, name: &str) -> Lease {
    fixture.enqueue(repo, &INDEX, name).await;
    fixture.claim_one(&owner(name), Lane::Index).await
}

impl Indexer {
    pub(crate) async fn new(fixture: &Fixture, repo: RepoId) -> Self {
        Self::with(fixture, repo, &FIRST).await
    }

    pub(crate) async fn with(fixture: &Fixture, repo: RepoId, release: &[Extractor<'_>]) -> Self {
        let lease = lease(fixture, repo, "me").await;
        assert_eq!(lease.job().repo_id, repo);
        let fence = lease.fence();
        let mut client = fixture.client().await;
        let scope = index::open_scope(&mut client, &fence, repo, release)
            .await
            .unwrap()
            .unwrap();
        let rust = Treatment {
            language: Some("rust".to_owned()),
            text: true,
            tags: Some("tags.rust".to_owned()),
            skip: None,
        };
        let ids = index::treatment_ids(&mut client, &fence, &[rust])
            .await
            .unwrap();
        Self {
            repo,
            lease,
            fence,
            client,
            scope,
            treatment: ids[0],
            read: 0,
            leads_to: None,
        }
    }

    pub(crate) fn tags(&self) -> ExtractorId {
        self.scope.extractor("tags.rust").unwrap()
    }

    /// Indexes a tree from what is there, and publishes it.
    pub(crate) async fn index(&mut self, name: &str, tree: &Dir) -> Result<RefState, IndexError> {
        Ok(self
            .index_until(name, tree, Until::End)
            .await?
            .expect("the run went to its end"))
    }

    pub(crate) async fn index_until(
        &mut self,
        name: &str,
        tree: &Dir,
        until: Until,
    ) -> Result<Option<RefState>, IndexError> {
        if let Some(root) = index::known_root(&self.client, &self.scope, tree.oid).await? {
            return Ok(Some(self.publish(name, root.dir, None).await?));
        }
        let mut missing = Vec::new();
        let mut dirs = HashMap::new();
        self.look(tree, &mut missing, &mut dirs).await?;
        let contents: BTreeSet<u64> = missing
            .iter()
            .flatten()
            .flat_map(|dir| dir.files.iter().map(|(_, c)| *c))
            .collect();
        let Some(blobs) = self
            .store_blobs(contents.into_iter().collect(), until)
            .await?
        else {
            return Ok(None);
        };
        for (done, level) in missing.iter().rev().enumerate() {
            if until == Until::Levels(done) {
                return Ok(None);
            }
            self.store_level(level, &blobs, &mut dirs).await?;
        }
        let root = dirs[&tree.oid];
        let resolutions = self.resolve(tree, root).await?;
        let links = index::store_links(
            &mut self.client,
            &self.fence,
            &self.scope,
            root,
            &resolutions,
        )
        .await?;
        if until == Until::Links {
            return Ok(None);
        }
        Ok(Some(self.publish(name, root, links).await?))
    }

    /// The directories that are not there, level by level, each once.
    pub(crate) async fn look<'a>(
        &self,
        tree: &'a Dir,
        missing: &mut Vec<Vec<&'a Dir>>,
        dirs: &mut HashMap<ObjectId, DirId>,
    ) -> Result<(), IndexError> {
        let mut level = vec![tree];
        let mut depths: BTreeMap<ObjectId, (usize, &Dir)> = BTreeMap::new();
        let mut depth = 0;
        while !level.is_empty() {
            let names: Vec<_> = level
                .iter()
                .map(|dir| (dir.oid, Context::default()))
                .collect();
            let known = index::known_dirs(&self.client, &self.scope, &names).await?;
            let mut next = Vec::new();
            for (dir, known) in level.into_iter().zip(known) {
                if let Some(id) = known {
                    dirs.insert(dir.oid, id);
                } else {
                    depths.insert(dir.oid, (depth, dir));
                    next.extend(dir.dirs.iter().map(|(_, below)| below));
                }
            }
            (level, depth) = (next, depth + 1);
        }
        *missing = vec![Vec::new(); depth];
        for (depth, dir) in depths.into_values() {
            missing[depth].push(dir);
        }
        Ok(())
    }

    /// Stores the blobs that are not there, and answers all their numbers.
    async fn store_blobs(
        &mut self,
        contents: Vec<u64>,
        until: Until,
    ) -> Result<Option<HashMap<u64, BlobId>>, IndexError> {
        let oids: Vec<_> = contents
            .iter()
            .map(|&content| tree::blob(content))
            .collect();
        let known = index::known_blobs(&self.client, &self.scope, &oids).await?;
        let (mut ids, mut fresh) = (HashMap::new(), Vec::new());
        for (&content, known) in contents.iter().zip(known) {
            match known {
                Some(known) if known.text.is_some() && known.tags.contains(&self.tags()) => {
                    ids.insert(content, known.id);
                }
                Some(_) | None => fresh.push(content),
            }
        }
        if let Until::Blobs(most) = until {
            fresh.truncate(most);
        }
        self.read += fresh.len();
        let blobs: Vec<_> = fresh
            .iter()
            .map(|&content| self.extracted(content))
            .collect();
        let stored =
            index::store_payloads(&mut self.client, &self.fence, &self.scope, &blobs).await?;
        ids.extend(fresh.into_iter().zip(stored));
        Ok((!matches!(until, Until::Blobs(_))).then_some(ids))
    }

    pub(crate) fn extracted(&self, content: u64) -> NewBlob {
        NewBlob {
            oid: tree::blob(content),
            bytes: 9_000,
            text: Some(TextPayload::Vector {
                lines: 300,
                vector: tree::vector(content),
                hint: None,
            }),
            tags: vec![(
                self.tags(),
                TagsPayload::Found {
                    symbols: tree::symbols(content),
                    imports: tree::imports(content),
                },
            )],
        }
    }

    async fn store_level(
        &mut self,
        level: &[&Dir],
        blobs: &HashMap<u64, BlobId>,
        dirs: &mut HashMap<ObjectId, DirId>,
    ) -> Result<(), IndexError> {
        let new: Vec<NewDir> = level
            .iter()
            .map(|dir| self.new_dir(dir, blobs, dirs))
            .collect();
        let ids = index::store_dirs(&mut self.client, &self.fence, &self.scope, &new).await?;
        dirs.extend(level.iter().map(|dir| dir.oid).zip(ids));
        Ok(())
    }

    pub(crate) fn new_dir(
        &self,
        dir: &Dir,
        blobs: &HashMap<u64, BlobId>,
        dirs: &HashMap<ObjectId, DirId>,
    ) -> NewDir {
        let file = |(name, content): &(String, u64)| NewFile {
            name: tree::name(name),
            blob: blobs[content],
            treatment: self.treatment,
        };
        NewDir {
            oid: dir.oid,
            context: Context::default(),
            files: dir.files.iter().map(file).collect(),
            dirs: dir
                .dirs
                .iter()
                .map(|(name, dir)| (tree::name(name), dirs[&dir.oid]))
                .collect(),
        }
    }

    async fn resolve(&self, tree: &Dir, root: DirId) -> Result<Resolutions, IndexError> {
        let paths = tree.paths();
        let mut resolutions = Resolutions::new();
        for found in index::imports(&self.client, root, None).await? {
            let target = match self.leads_to {
                Some(path) => path.to_owned(),
                None => found.import.target,
            };
            let leads = paths.contains_key(&target).then_some(target);
            resolutions.entry(found.path).or_default().push(leads);
        }
        Ok(resolutions)
    }

    async fn publish(
        &mut self,
        name: &str,
        root: DirId,
        links: Option<index::LinksId>,
    ) -> Result<RefState, IndexError> {
        let fenced = self.fence.begin(&mut self.client).await?;
        let new = NewRef {
            repo_id: self.repo,
            name,
            commit: tree::commit(1),
            root,
            links,
        };
        let state = index::publish(&fenced, &new).await?;
        fenced.commit().await?;
        Ok(state.expect("the repository is there"))
    }
}
