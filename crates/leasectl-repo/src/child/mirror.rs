//! One clone or fetch, from the first byte to published references.
//!
//! Order of events: list what the remote has, receive what is missing, see the packs safely to the
//! disk, check that what the references will point to is there, publish. A crash before the last
//! step leaves packs that no stamp knows; the next fetch deletes them.

use std::{
    fs, io,
    io::BufRead,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use gix::{
    odb::pack,
    protocol::{
        self, Handshake,
        fetch::{Context, Options, RefMap, Shallow, Tags, refmap},
    },
};
use leasectl_remote::Refspec;

use super::{
    classify,
    link::Link,
    meter::Meter,
    negotiate::{self, Bases, Local},
    publish::{self, Plan},
    repack,
    transport::{self, Connected},
    watch::Watch,
};
use crate::{
    error::SizeLimit,
    layout,
    progress::Phase,
    refs::{self, Refs},
    repository,
    stamp::{self, Stamp},
    wire::{Failure, Outcome, Request},
};

/// Serves the request.
pub(crate) fn run(request: &Request, link: &Arc<Link>) -> Result<Outcome, Failure> {
    let meter = Arc::new(Meter::new(request.limits.clone()));
    let mirror = Mirror {
        request,
        meter: Arc::clone(&meter),
        watch: Watch::start(Arc::clone(&meter), Arc::clone(link)),
        refspecs: parse_refspecs(&request.refspecs)?,
    };
    mirror
        .run(link)
        .map_err(|failure| meter.trouble().unwrap_or(failure))
}

struct Mirror<'a> {
    request: &'a Request,
    meter: Arc<Meter>,
    watch: Watch,
    refspecs: Vec<Refspec>,
}

impl Mirror<'_> {
    fn run(&self, link: &Arc<Link>) -> Result<Outcome, Failure> {
        let dir = &self.request.dir;
        // It was acceptable when it was registered; it may not be under the settings of now.
        let url = self.request.remote().map_err(|_| Failure::AddressRefused)?;
        if !self.request.create {
            sweep_clone(dir).map_err(|error| self.local(&error))?;
        }
        let mut transport = transport::connect(&url, self.request.locality(), &self.meter, link)?;
        let (mut handshake, ref_map) = self.list(&mut transport)?;
        if self.request.create {
            repository::create(dir, ref_map.object_hash).map_err(|error| self.local(&error))?;
        }
        let repo = repository::open(dir, self.request.limits.max_object_bytes)
            .map_err(|error| classify::objects(&self.meter, &error))?;
        if repo.object_hash() != ref_map.object_hash {
            return Err(Failure::Corrupt(
                "the remote changed its hash algorithm".to_owned(),
            ));
        }
        let current = refs::read(dir).map_err(|error| self.local(&error))?;
        if self.lacks_objects(&repo, &ref_map, &current) {
            self.receive(&repo, &mut handshake, &mut transport, &ref_map)?;
        }
        drop(transport);
        self.finish(&repo, &ref_map, &current)
    }

    /// Lists the references that the refspecs ask for, and HEAD.
    fn list(&self, transport: &mut Connected) -> Result<(Handshake, RefMap), Failure> {
        let remote = |error: gix::Error| classify::remote(&self.meter, &error);
        let mut progress = self.watch.progress("list");
        self.meter.listing(true);
        let mut handshake = protocol::handshake(
            &mut *transport,
            protocol::transport::Service::UploadPack,
            |_| Ok(None),
            Vec::new(),
            &mut progress,
        )
        .map_err(remote)?;
        let parse = |text: &str| {
            gix::refspec::parse(text.into(), gix::refspec::parse::Operation::Fetch)
                .map(|refspec| refspec.to_owned())
                .map_err(remote)
        };
        let fetch_refspecs = self
            .refspecs
            .iter()
            .map(|refspec| parse(&refspec.to_string()))
            .collect::<Result<_, _>>()?;
        let wanted = refmap::init::Context {
            fetch_refspecs,
            extra_refspecs: vec![parse("HEAD")?],
        };
        let ref_map = handshake
            .prepare_lsrefs_or_extract_refmap(agent(), true, wanted)
            .map_err(remote)?
            .fetch_blocking(&mut progress, &mut *transport, false)
            .map_err(remote)?;
        self.meter.listing(false);
        let max_refs = self.request.limits.max_refs;
        if ref_map.remote_refs.len() as u64 > max_refs {
            return Err(Failure::TooLarge(SizeLimit::Refs(max_refs)));
        }
        Ok((handshake, ref_map))
    }

    /// Whether the remote lists objects that are not here.
    fn lacks_objects(&self, repo: &gix::Repository, ref_map: &RefMap, current: &Refs) -> bool {
        use gix::objs::Exists as _;
        let repo = negotiate::without_refresh(repo);
        ref_map.mappings.iter().any(|mapping| {
            mapping.remote.as_id().is_some_and(|id| {
                let unchanged = mapping
                    .local
                    .as_ref()
                    .and_then(|name| current.get(name))
                    .is_some_and(|target| target.id == id);
                !unchanged && !repo.objects.exists(id)
            })
        })
    }

    /// Receives one pack with everything that is missing and sees it safely to the disk.
    fn receive(
        &self,
        repo: &gix::Repository,
        handshake: &mut Handshake,
        transport: &mut Connected,
        ref_map: &RefMap,
    ) -> Result<(), Failure> {
        self.watch.enter(Phase::Receiving);
        let quiet = negotiate::without_refresh(repo);
        let mut graph = quiet.revision_graph(None);
        let mut local = Local::new(&quiet, &mut graph, ref_map, Arc::clone(&self.meter));
        let bases = (!self.request.create).then(|| Bases::new(repo, Arc::clone(&self.meter)));
        let directory = stamp::pack_dir(&self.request.dir);
        let options = self.pack_options();
        let mut received = None;
        protocol::fetch(
            &mut local,
            |input: &mut dyn BufRead, progress, interrupt: &AtomicBool| {
                received = Some(pack::Bundle::write_to_directory(
                    input,
                    Some(&directory),
                    progress,
                    interrupt,
                    bases,
                    repo.object_hash(),
                    options,
                )?);
                Ok(true)
            },
            self.watch.progress("receive"),
            self.watch.interrupt(),
            Context {
                handshake,
                transport,
                user_agent: agent(),
                trace_packetlines: false,
            },
            Options {
                shallow_file: self.request.dir.join("shallow"),
                shallow: &Shallow::NoChange,
                tags: Tags::None,
                reject_shallow_remote: true,
            },
        )
        .map_err(|error| self.explain(repo, &error))?;
        self.watch.enter(Phase::Publishing);
        let Some(received) = received else {
            return Ok(());
        };
        let keep = received.keep_path.iter().try_for_each(fs::remove_file);
        let synced = received
            .data_path
            .iter()
            .chain(&received.index_path)
            .try_for_each(|path| fs::File::open(path)?.sync_all());
        keep.and(synced)
            .and_then(|()| layout::sync_dir(&directory))
            .map_err(|error| self.local(&error))
    }

    fn pack_options(&self) -> pack::bundle::write::Options {
        pack::bundle::write::Options {
            alloc_limit_bytes: usize::try_from(self.request.limits.max_object_bytes).ok(),
            ..Default::default()
        }
    }

    /// Receiving failed and nobody noted why: if the clone itself is damaged that is the reason,
    /// else the remote sent something wrong.
    fn explain(&self, repo: &gix::Repository, error: &gix::Error) -> Failure {
        let failure = classify::remote(&self.meter, error);
        if self.meter.trouble().is_some() || !matches!(failure, Failure::Unavailable(_)) {
            return failure;
        }
        match repository::verify_packs(repo) {
            Ok(()) => failure,
            Err(damage) => Failure::Corrupt(classify::chain(&damage)),
        }
    }

    /// Checks that everything is there, and publishes.
    fn finish(
        &self,
        repo: &gix::Repository,
        ref_map: &RefMap,
        current: &Refs,
    ) -> Result<Outcome, Failure> {
        let dir = &self.request.dir;
        let old_head = if self.request.create {
            None
        } else {
            refs::read_head(dir).ok()
        };
        let plan = Plan::new(ref_map, current, &self.refspecs, |old, new| {
            repo.merge_base(old.id, new.id)
                .is_ok_and(|base| base.is_some_and(|base| base == old.id))
        })
        .map_err(Failure::RefNotFound)?;
        let head = publish::next_head(ref_map, &plan.next, old_head.clone());
        let (commit, old_commit) = (
            head.commit(&plan.next),
            old_head.as_ref().and_then(|head| head.commit(current)),
        );
        let moved = plan
            .moved
            .iter()
            .filter_map(|name| plan.next.get(name))
            .map(|target| target.id);
        for id in moved.chain(commit) {
            self.check_tip(repo, &id)?;
        }
        let head_moved = old_head.as_ref() != Some(&head);
        if self.request.create || plan.changes() || head_moved || Stamp::read(dir).is_err() {
            self.watch.enter(Phase::Publishing);
            let url = &self.request.url;
            publish::publish(dir, url, &plan, current, &head)
                .and_then(|()| {
                    if self.request.create {
                        repository::sync_layout(dir)
                    } else {
                        repack::repack_if_many(dir, url)
                    }
                })
                .map_err(|error| self.local(&error))?;
        }
        Ok(Outcome {
            default_branch: head.branch(),
            head: commit.map(|id| id.to_string()),
            head_changed: commit.is_some() && (head_moved || commit != old_commit),
            refs_created: plan.created,
            refs_updated: plan.updated,
            refs_deleted: plan.deleted,
            change_refs_changed: plan.change_refs_changed,
            bytes_received: self.meter.received(),
        })
    }

    /// An object that a reference is about to point to must be there and readable.
    fn check_tip(&self, repo: &gix::Repository, id: &gix::oid) -> Result<(), Failure> {
        match repo.try_find_object(id) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(Failure::Unavailable(format!(
                "the remote listed {id} but did not send it"
            ))),
            Err(error) => Err(classify::objects(&self.meter, &error)),
        }
    }

    fn local(&self, error: &io::Error) -> Failure {
        classify::local(&self.meter, error)
    }
}

/// How this program names itself to remotes.
fn agent() -> protocol::command::Feature {
    (
        "agent",
        Some(concat!("leasectl/", env!("CARGO_PKG_VERSION")).to_owned()),
    )
}

fn parse_refspecs(texts: &[String]) -> Result<Vec<Refspec>, Failure> {
    texts
        .iter()
        .map(|text| Refspec::parse(text).map_err(|error| Failure::Local(error.to_string())))
        .collect()
}

/// Deletes what a fetch that died left inside the clone: lock files, and packs that the stamp does
/// not vouch for. Needs the lock.
fn sweep_clone(dir: &Path) -> io::Result<()> {
    fn remove_locks(dir: &Path, deep: bool) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().ends_with(b".lock") {
                layout::remove_all(&entry.path())?;
            } else if deep && entry.file_type()?.is_dir() {
                remove_locks(&entry.path(), deep)?;
            }
        }
        Ok(())
    }
    remove_locks(dir, false)?;
    remove_locks(&dir.join("refs"), true)?;
    let Ok(known) = Stamp::read(dir) else {
        return Ok(());
    };
    for entry in fs::read_dir(stamp::pack_dir(dir))? {
        let entry = entry?;
        let vouched_for = entry
            .file_name()
            .to_str()
            .is_some_and(|name| known.knows_pack(name));
        if !vouched_for {
            layout::remove_all(&entry.path())?;
        }
    }
    Ok(())
}
