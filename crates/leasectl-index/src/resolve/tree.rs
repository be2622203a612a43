//! The files of one tree, by number and by path.

/// A file of the tree that a resolver was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

impl FileId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn from_index(index: usize) -> Option<Self> {
        u32::try_from(index).ok().map(Self)
    }
}

/// The paths of a tree, sorted; a file's number is its place.
#[derive(Debug)]
pub(super) struct Tree {
    paths: Vec<Box<str>>,
}

impl Tree {
    pub(super) fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut paths: Vec<Box<str>> = paths.into_iter().map(Box::from).collect();
        paths.sort_unstable();
        paths.dedup();
        Self { paths }
    }

    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    pub(super) fn id(&self, path: &str) -> Option<FileId> {
        let place = self
            .paths
            .binary_search_by(|known| known.as_ref().cmp(path))
            .ok()?;
        FileId::from_index(place)
    }

    pub(super) fn path(&self, file: FileId) -> &str {
        self.paths.get(file.index()).map_or("", |path| path)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (FileId, &str)> {
        let ids = (0..).map(FileId);
        ids.zip(self.paths.iter().map(AsRef::as_ref))
    }

    /// Whether any file lies below this directory.
    pub(super) fn has_dir(&self, dir: &str) -> bool {
        let inside = |path: &str| {
            path.strip_prefix(dir)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        let prefix = format!("{dir}/");
        let place = self
            .paths
            .partition_point(|path| path.as_ref() < prefix.as_str());
        dir.is_empty() || self.paths.get(place).is_some_and(|path| inside(path))
    }

    /// The first of these paths that there is.
    pub(super) fn first(&self, paths: impl IntoIterator<Item = String>) -> Option<FileId> {
        paths.into_iter().find_map(|path| self.id(&path))
    }
}

/// The directory of a path; the root is the empty string.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// The last part of a path.
pub(super) fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// A directory and the directories above it, up to the root.
pub(super) fn ancestors(dir: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(dir), |dir| (!dir.is_empty()).then(|| parent(dir)))
}

/// `dir/relative` without `.` and `..`; none if it leaves the tree.
pub(super) fn join(dir: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_and_directories_known() {
        let tree = Tree::new(["a/b.rs", "a-c/x", "a/b/c.rs", "a/b.rs"]);
        assert_eq!(tree.len(), 3);
        assert_eq!(tree.id("a/b.rs").map(|id| tree.path(id)), Some("a/b.rs"));
        assert!(tree.has_dir("a") && tree.has_dir("a/b") && tree.has_dir(""));
        assert!(!tree.has_dir("a/b.rs") && !tree.has_dir("a-"));
    }

    #[test]
    fn joining_never_leaves_the_tree() {
        assert_eq!(join("a/b", "../c/./d"), Some("a/c/d".to_owned()));
        assert_eq!(join("", "x"), Some("x".to_owned()));
        assert_eq!(join("a", ".."), Some(String::new()));
        assert_eq!(join("a", "../../x"), None);
    }

    #[test]
    fn ancestors_end_at_the_root() {
        assert_eq!(ancestors("a/b").collect::<Vec<_>>(), ["a/b", "a", ""]);
        assert_eq!(ancestors("").collect::<Vec<_>>(), [""]);
    }
}
