//! Telling the remote what is here and what is wanted.

use std::{collections::HashSet, ops::DerefMut as _, sync::Arc};

use gix::{
    ObjectId,
    bstr::ByteSlice as _,
    negotiate::{Algorithm, Graph, Negotiator},
    odb::store::RefreshMode,
    protocol::fetch::{
        Arguments, Negotiate, RefMap, Response, Shallow, Tags,
        negotiate::{self, Action, Round},
    },
};

use super::{classify, meter::Meter};

/// The local side of one fetch. Its errors mean that objects of the clone cannot be read.
pub(crate) struct Local<'a, 'graph, 'cache> {
    repo: &'a gix::Repository,
    graph: &'a mut Graph<'graph, 'cache>,
    ref_map: &'a RefMap,
    negotiator: Box<dyn Negotiator>,
    meter: Arc<Meter>,
}

/// A view of the repository whose look-ups do not search for new packs: many of them will miss.
pub(crate) fn without_refresh(repo: &gix::Repository) -> gix::Repository {
    let mut repo = repo.clone();
    repo.objects.refresh = RefreshMode::Never;
    repo
}

impl<'a, 'graph, 'cache> Local<'a, 'graph, 'cache> {
    /// `repo` comes from [`without_refresh`].
    pub(crate) fn new(
        repo: &'a gix::Repository,
        graph: &'a mut Graph<'graph, 'cache>,
        ref_map: &'a RefMap,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            repo,
            graph,
            ref_map,
            negotiator: Algorithm::Consecutive.into_negotiator(),
            meter,
        }
    }

    fn noted<T>(&self, result: gix::Result<T>) -> gix::Result<T> {
        result.inspect_err(|error| {
            let _ = self.meter.note(classify::objects(&self.meter, error));
        })
    }
}

impl Negotiate for Local<'_, '_, '_> {
    fn mark_complete_and_common_ref(&mut self) -> gix::Result<Action> {
        type NoAlternates = std::iter::Empty<(gix::refs::file::Store, gix::OdbHandle)>;
        let action = negotiate::mark_complete_and_common_ref(
            &self.repo.objects,
            &self.repo.refs,
            || Ok(NoAlternates::default()),
            self.negotiator.deref_mut(),
            self.graph,
            self.ref_map,
            &Shallow::NoChange,
            negotiate::make_refmapping_ignore_predicate(Tags::None, self.ref_map),
        );
        self.noted(action)
    }

    /// Wants by object, not by name: a name may move between the listing and now, and then the
    /// listed object would not come.
    fn add_wants(&mut self, arguments: &mut Arguments, known: &[bool]) -> bool {
        let mut wanted: HashSet<ObjectId> = HashSet::new();
        for (mapping, _) in self
            .ref_map
            .mappings
            .iter()
            .zip(known)
            .filter(|(_, known)| !**known)
        {
            if let Some(id) = mapping.remote.as_id()
                && wanted.insert(id.to_owned())
            {
                arguments.want(id);
            }
        }
        !wanted.is_empty()
    }

    fn one_round(
        &mut self,
        state: &mut negotiate::one_round::State,
        arguments: &mut Arguments,
        previous: Option<&Response>,
    ) -> gix::Result<(Round, bool)> {
        let round = negotiate::one_round(
            self.negotiator.deref_mut(),
            self.graph,
            state,
            arguments,
            previous,
        );
        self.noted(round)
    }
}

/// Looks up bases for thin packs and notes when an object of the clone cannot be read.
#[derive(Clone)]
pub(crate) struct Bases {
    objects: gix::OdbHandle,
    meter: Arc<Meter>,
}

impl Bases {
    pub(crate) fn new(repo: &gix::Repository, meter: Arc<Meter>) -> Self {
        Self {
            objects: repo.objects.clone(),
            meter,
        }
    }
}

impl gix::objs::Find for Bases {
    fn try_find<'a>(
        &self,
        id: &gix::oid,
        buffer: &'a mut Vec<u8>,
    ) -> gix::Result<Option<gix::objs::Data<'a>>> {
        self.objects.try_find(id, buffer).inspect_err(|error| {
            let _ = self.meter.note(classify::objects(&self.meter, error));
        })
    }
}

/// The remote's HEAD, if it has one.
pub(crate) fn remote_head(ref_map: &RefMap) -> Option<&gix::protocol::handshake::Ref> {
    ref_map
        .remote_refs
        .iter()
        .find(|reference| reference.unpack().0 == b"HEAD".as_bstr())
}
