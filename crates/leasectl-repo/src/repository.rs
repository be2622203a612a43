//! Making and opening repositories so that nothing inside them is trusted.

use std::{fs, io, path::Path};

use gix::hash::Kind;

use crate::layout;

/// Makes an empty bare repository at `dir`.
///
/// Written by hand: it needs no templates, no hooks, and no configuration but these lines.
pub(crate) fn create(dir: &Path, hash: Kind) -> io::Result<()> {
    for sub in ["objects/pack", "objects/info", "refs/heads", "refs/tags"] {
        fs::create_dir_all(dir.join(sub))?;
    }
    let (version, extensions) = if hash == Kind::Sha1 {
        (0, String::new())
    } else {
        (1, format!("[extensions]\n\tobjectFormat = {hash}\n"))
    };
    let config = format!(
        "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = true\n{extensions}[gc]\n\tauto = 0\n"
    );
    layout::write_synced(&dir.join("config"), config.as_bytes())?;
    // Replaced before the clone is shown to anybody; Git does not accept a repository without it.
    fs::write(dir.join("HEAD"), "ref: refs/heads/main\n")
}

/// Makes the directories of a new clone last; its files were seen to one by one.
pub(crate) fn sync_layout(dir: &Path) -> io::Result<()> {
    for sub in ["objects/pack", "objects", "refs", ""] {
        layout::sync_dir(&dir.join(sub))?;
    }
    Ok(())
}

/// Opens the clone at `dir` without trusting its configuration: no filters, no helpers, no
/// alternates for URLs. Being isolated alone would not be enough for that. An object is what its id says:
/// refs that have Git read another one in its place count for nothing. Reading one takes at most so many bytes of
/// memory.
pub(crate) fn open(dir: &Path, most_bytes: u64) -> gix::Result<gix::Repository> {
    gix::open::Options::isolated()
        .with(gix::sec::Trust::Reduced)
        .open_path_as_is(true)
        .config_overrides([
            format!("gitoxide.objects.allocLimit={most_bytes}"),
            "core.useReplaceRefs=false".to_owned(),
        ])
        .open(dir)
        .map(Into::into)
}

/// Reads all packs and compares them with their checksums.
pub(crate) fn verify_packs(repo: &gix::Repository) -> gix::Result {
    let store = repo.objects.store_ref();
    for entry in fs::read_dir(store.path().join("pack")).map_err(gix::Error::from_error)? {
        let path = entry.map_err(gix::Error::from_error)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "pack")
        {
            let pack = gix::odb::pack::data::File::at(&path, repo.object_hash())?;
            let interrupt = std::sync::atomic::AtomicBool::new(false);
            pack.verify_checksum(&mut gix::progress::Discard, &interrupt)?;
        }
    }
    Ok(())
}
