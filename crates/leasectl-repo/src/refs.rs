//! The references of a clone, read and published as a whole.
//!
//! Loose references are renamed into place one by one, which a crash can interrupt half-way; the
//! packed form is one file, so publishing it is one rename. Our clones hold packed references only;
//! loose ones that somebody else made are read, and give way to what the remote says.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use gix::{
    ObjectId,
    bstr::{BString, ByteSlice as _},
};

use crate::stamp::Published;

/// What a reference points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// The object.
    pub(crate) id: ObjectId,
    /// What the object finally leads to, if it is an annotated tag.
    pub(crate) peeled: Option<ObjectId>,
}

/// All references by full name.
pub(crate) type Refs = BTreeMap<BString, Target>;

/// Reads all references of the clone in `dir`, loose ones first.
pub(crate) fn read(dir: &Path) -> io::Result<Refs> {
    let mut refs = read_packed(dir)?;
    for (name, path) in loose(dir)? {
        if let Some(id) = fs::read(&path)
            .ok()
            .and_then(|text| ObjectId::from_hex(text.trim_end()).ok())
        {
            refs.insert(name, Target { id, peeled: None });
        }
    }
    Ok(refs)
}

/// The branches among the references: short name and commit in hex, sorted by name.
pub(crate) fn branches(refs: &Refs) -> Vec<(String, String)> {
    let branches = refs.iter().filter_map(|(name, target)| {
        let short = name.strip_prefix(b"refs/heads/")?.to_str().ok()?;
        Some((short.to_owned(), target.id.to_string()))
    });
    branches.collect()
}

/// Where HEAD of the clone in `dir` points.
pub(crate) fn read_head(dir: &Path) -> io::Result<Head> {
    let text = fs::read(dir.join(Published::Head.file()))?;
    let text = text.trim_end();
    if let Some(name) = text.strip_prefix(b"ref: ") {
        return Ok(Head::Branch(name.into()));
    }
    let id = ObjectId::from_hex(text).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "HEAD is neither a name nor an id",
        )
    })?;
    Ok(Head::Commit(id))
}

/// Where a HEAD points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Head {
    /// To a branch, by full name; the branch need not exist.
    Branch(BString),
    /// To a commit.
    Commit(ObjectId),
}

impl Head {
    /// The content of the file.
    pub(crate) fn to_text(&self) -> Vec<u8> {
        match self {
            Self::Branch(name) => [b"ref: ", name.as_slice(), b"\n"].concat(),
            Self::Commit(id) => format!("{id}\n").into_bytes(),
        }
    }

    /// The commit that it leads to.
    pub(crate) fn commit(&self, refs: &Refs) -> Option<ObjectId> {
        match self {
            Self::Branch(name) => refs.get(name).map(|target| target.id),
            Self::Commit(id) => Some(*id),
        }
    }

    /// The short name of the branch that it leads to.
    pub(crate) fn branch(&self) -> Option<String> {
        match self {
            Self::Branch(name) => {
                Some(name.strip_prefix(b"refs/heads/")?.to_str().ok()?.to_owned())
            }
            Self::Commit(_) => None,
        }
    }
}

/// The content of a packed-refs file.
pub(crate) fn to_packed(refs: &Refs) -> Vec<u8> {
    let mut text = Vec::with_capacity(64 + refs.len() * 80);
    text.extend_from_slice(b"# pack-refs with: peeled fully-peeled sorted \n");
    for (name, target) in refs {
        text.extend_from_slice(target.id.to_string().as_bytes());
        text.push(b' ');
        text.extend_from_slice(name);
        text.push(b'\n');
        if let Some(peeled) = target.peeled {
            text.push(b'^');
            text.extend_from_slice(peeled.to_string().as_bytes());
            text.push(b'\n');
        }
    }
    text
}

/// Deletes the loose references among `names`, which would hide the packed ones.
pub(crate) fn remove_loose(dir: &Path, outdated: impl Fn(&BString) -> bool) -> io::Result<()> {
    for (name, path) in loose(dir)? {
        if outdated(&name) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn read_packed(dir: &Path) -> io::Result<Refs> {
    let text = match fs::read(dir.join(Published::PackedRefs.file())) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Refs::new()),
        Err(e) => return Err(e),
    };
    let damaged = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "a line of packed-refs is damaged",
        )
    };
    let mut entries: Vec<(BString, Target)> = Vec::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if let Some(peeled) = line.strip_prefix(b"^") {
            let (_, target) = entries.last_mut().ok_or_else(damaged)?;
            target.peeled = Some(ObjectId::from_hex(peeled).map_err(|_| damaged())?);
            continue;
        }
        let (id, name) = line.split_once_str(" ").ok_or_else(damaged)?;
        let id = ObjectId::from_hex(id).map_err(|_| damaged())?;
        entries.push((name.into(), Target { id, peeled: None }));
    }
    Ok(entries.into_iter().collect())
}

/// All loose references: full name and file.
fn loose(dir: &Path) -> io::Result<Vec<(BString, PathBuf)>> {
    fn walk(dir: &Path, name: &[u8], found: &mut Vec<(BString, PathBuf)>) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = [name, b"/", entry.file_name().as_encoded_bytes()].concat();
            if entry.file_type()?.is_dir() {
                walk(&entry.path(), &name, found)?;
            } else if !name.ends_with(b".lock") {
                found.push((name.into(), entry.path()));
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(&dir.join("refs"), b"refs", &mut found)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> ObjectId {
        ObjectId::from_hex(digit.to_string().repeat(40).as_bytes()).unwrap()
    }

    #[test]
    fn packed_references_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("refs")).unwrap();
        let mut refs = Refs::new();
        refs.insert(
            "refs/heads/main".into(),
            Target {
                id: id('1'),
                peeled: None,
            },
        );
        refs.insert(
            "refs/tags/v1".into(),
            Target {
                id: id('2'),
                peeled: Some(id('1')),
            },
        );
        refs.insert(
            "refs/heads/a b".into(),
            Target {
                id: id('3'),
                peeled: None,
            },
        );
        fs::write(dir.path().join("packed-refs"), to_packed(&refs)).unwrap();
        assert_eq!(read(dir.path()).unwrap(), refs);
    }

    #[test]
    fn damaged_references_are_invalid_data() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["no id at all", "123 refs/heads/main", "^1111", "\0\0\0\0"] {
            fs::write(dir.path().join("packed-refs"), text).unwrap();
            let error = read(dir.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text:?}");
        }
    }

    #[test]
    fn a_head_survives_being_written() {
        let dir = tempfile::tempdir().unwrap();
        for head in [
            Head::Branch("refs/heads/main".into()),
            Head::Commit(id('4')),
        ] {
            fs::write(dir.path().join("HEAD"), head.to_text()).unwrap();
            assert_eq!(read_head(dir.path()).unwrap(), head);
        }
    }
}
