//! From what the remote lists to what the clone shows.

use std::{fs, io, path::Path};

use gix::{
    bstr::{BStr, BString, ByteSlice as _},
    protocol::{fetch::RefMap, handshake::Ref},
};
use leasectl_remote::Refspec;

use super::negotiate::remote_head;
use crate::{
    layout,
    refs::{self, Head, Refs, Target},
    stamp::{Print, Published, Stamp},
};

/// The references as they will be, and what changes on the way there.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// All references afterwards.
    pub(crate) next: Refs,
    /// Names that get another target or a first one.
    pub(crate) moved: Vec<BString>,
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
    pub(crate) change_refs_changed: bool,
}

impl Plan {
    /// Compares what the remote lists with what is here. `may_move` decides about references whose
    /// refspec is not forced. An exact name that nobody has ends in an error: that name.
    pub(crate) fn new(
        ref_map: &RefMap,
        current: &Refs,
        refspecs: &[Refspec],
        mut may_move: impl FnMut(&Target, &Target) -> bool,
    ) -> Result<Self, String> {
        let mut plan = Self::default();
        let mut listed = Refs::new();
        for mapping in &ref_map.mappings {
            let gix::protocol::fetch::refmap::Source::Ref(reference) = &mapping.remote else {
                continue;
            };
            let Some(name) = &mapping.local else { continue };
            let (_, Some(id), peeled) = reference.unpack() else {
                continue;
            };
            // Git refuses such names too; they could not be written to packed-refs.
            if gix::validate::reference::name(name.as_bstr()).is_err() {
                continue;
            }
            let target = Target {
                id: id.to_owned(),
                peeled: peeled.map(ToOwned::to_owned),
            };
            listed.insert(name.clone(), target);
        }
        for (name, target) in current {
            if listed.contains_key(name) {
                continue;
            }
            if refspecs
                .iter()
                .any(|refspec| maps_to(refspec, name.as_bstr()))
            {
                plan.deleted += 1;
                plan.change_refs_changed |= is_change_ref(name.as_bstr());
            } else {
                plan.next.insert(name.clone(), *target);
            }
        }
        for refspec in refspecs.iter().filter(|refspec| !refspec.is_pattern()) {
            let name = BStr::new(refspec.destination());
            if !listed.contains_key(name) && !current.contains_key(name) {
                return Err(refspec.source().to_owned());
            }
        }
        for (name, target) in listed {
            plan.take(name, target, current, refspecs, &mut may_move);
        }
        Ok(plan)
    }

    fn take(
        &mut self,
        name: BString,
        target: Target,
        current: &Refs,
        refspecs: &[Refspec],
        may_move: &mut impl FnMut(&Target, &Target) -> bool,
    ) {
        let old = current.get(&name);
        if old.is_some_and(|old| old.id == target.id) {
            self.next.insert(name, target);
            return;
        }
        let forced = refspecs
            .iter()
            .any(|refspec| refspec.forced() && maps_to(refspec, name.as_bstr()));
        match old {
            Some(old) if !forced && !may_move(old, &target) => {
                self.next.insert(name, *old);
                return;
            }
            Some(_) => self.updated += 1,
            None => self.created += 1,
        }
        self.change_refs_changed |= is_change_ref(name.as_bstr());
        self.moved.push(name.clone());
        self.next.insert(name, target);
    }

    /// Whether anything is to be written.
    pub(crate) fn changes(&self) -> bool {
        self.created + self.updated + self.deleted > 0
    }
}

/// Where HEAD goes: where the remote's is, else it stays.
pub(crate) fn next_head(ref_map: &RefMap, next: &Refs, current: Option<Head>) -> Head {
    let branch = |name: &BString| {
        name.starts_with(b"refs/heads/") && gix::validate::reference::name(name.as_bstr()).is_ok()
    };
    match remote_head(ref_map) {
        Some(Ref::Symbolic { target, .. } | Ref::Unborn { target, .. }) if branch(target) => {
            Head::Branch(target.clone())
        }
        Some(Ref::Direct { object, .. } | Ref::Symbolic { object, .. }) => Head::Commit(*object),
        Some(Ref::Peeled { object, .. }) => Head::Commit(*object),
        Some(Ref::Unborn { .. }) | None => current.unwrap_or_else(|| guessed_head(next)),
    }
}

fn guessed_head(next: &Refs) -> Head {
    let usual = ["refs/heads/main", "refs/heads/master"].map(BString::from);
    let first = next.keys().find(|name| name.starts_with(b"refs/heads/"));
    let name = usual
        .iter()
        .find(|name| next.contains_key(*name))
        .or(first)
        .unwrap_or(&usual[0]);
    Head::Branch(name.clone())
}

/// Makes `next` and `head` the references of the clone in `dir`, all references in one rename, with
/// a stamp that fits before and after it.
pub(crate) fn publish(
    dir: &Path,
    url: &str,
    plan: &Plan,
    current: &Refs,
    head: &Head,
) -> io::Result<()> {
    let mut next = Vec::new();
    for (what, content) in [
        (Published::PackedRefs, refs::to_packed(&plan.next)),
        (Published::Head, head.to_text()),
    ] {
        let path = dir.join(what.file());
        if fs::read(&path).is_ok_and(|current| current == content) {
            continue;
        }
        let lock = layout::lock_name(&path);
        layout::write_synced(&lock, &content)?;
        next.push((what, Print::of(&lock)?));
    }
    Stamp::take(dir, url, &next)?.write(dir)?;
    for (what, _) in next {
        let path = dir.join(what.file());
        fs::rename(layout::lock_name(&path), &path)?;
    }
    layout::sync_dir(dir)?;
    let deleted = |name: &BString| current.contains_key(name) && !plan.next.contains_key(name);
    refs::remove_loose(dir, |name| deleted(name) || plan.moved.contains(name))
}

/// Whether the refspec is responsible for this reference of the clone.
fn maps_to(refspec: &Refspec, name: &BStr) -> bool {
    match refspec.destination().split_once('*') {
        None => name == BStr::new(refspec.destination()),
        Some((before, after)) => {
            name.len() > before.len() + after.len()
                && name.starts_with(before.as_bytes())
                && name.ends_with(after.as_bytes())
        }
    }
}

/// Whether this is the reference of a pull or merge request, or of a Gerrit change.
fn is_change_ref(name: &BStr) -> bool {
    [
        &b"refs/pull/"[..],
        b"refs/merge-requests/",
        b"refs/changes/",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refspec_is_responsible_for_what_its_pattern_names() {
        let refspec = |text: &str| Refspec::parse(text).unwrap();
        let pulls = refspec("+refs/pull/*/head:refs/pull/*/head");
        assert!(maps_to(&pulls, b"refs/pull/7/head".as_bstr()));
        assert!(!maps_to(&pulls, b"refs/pull/7/merge".as_bstr()));
        assert!(!maps_to(&pulls, b"refs/pull/head".as_bstr()));
        let main = refspec("refs/heads/main");
        assert!(maps_to(&main, b"refs/heads/main".as_bstr()));
        assert!(!maps_to(&main, b"refs/heads/main2".as_bstr()));
    }
}
