//! To what the imports of a tree lead, which depends on all of its paths and a few manifests.

use leasectl_core::index::{DirId, IndexScope, LinksId, files, imports, store_links};
use leasectl_repo::Content;

use super::run::{Failure, Run, ask};
use crate::structure::{TreeImports, languages, paths, read_manifests};

impl Run<'_> {
    /// Resolves the imports of a tree and stores where they lead.
    pub(super) async fn link(
        &self,
        scope: &IndexScope,
        content: &Content,
        root: DirId,
    ) -> Result<Option<LinksId>, Failure> {
        let files = ask!(self, client => files(client, root));
        let found = ask!(self, client => imports(client, root, None));
        let content = content.clone();
        let resolutions = self
            .blocking(move || {
                let manifests = read_manifests(&content, &files)?;
                let imports = TreeImports::new(&languages(&files), found);
                let resolver = imports.resolver(paths(&files), &manifests);
                Ok(imports.resolutions(&resolver))
            })
            .await?;
        let author = self.author;
        Ok(ask!(self, client => store_links(client, author, scope, root, &resolutions)))
    }
}
