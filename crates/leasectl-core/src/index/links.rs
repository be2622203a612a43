//! To what imports lead. That depends on all of a tree, so it cannot belong to a blob or a directory; but most
//! of it is the same in the next tree. So links are stored as Git stores trees: a row for a directory, named by
//! its content and by the links below it. Trees share what they have in common without anybody having to know
//! what a resolver looked at.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};
use tokio_postgres::types::ToSql;

use super::author::Author;
use super::error::{IndexError, TRIES};
use super::ids::{DirId, LinksId};
use super::scope::IndexScope;
use crate::database::Client;

/// Files by path, each with a path for every one of its imports, in their order: the file or directory to which
/// it leads, `.` for the root, or nothing. Files of which nothing leads anywhere can be left out.
pub type Resolutions = HashMap<String, Vec<Option<String>>>;

type DigestBytes = [u8; 32];

/// The most files and directories of one transaction, unless one directory has more.
const BATCH_ENTRIES: usize = 5_000;

/// A directory's links before they are stored.
struct Node {
    digest: DigestBytes,
    files: Vec<Option<String>>,
    dirs: Vec<Option<DigestBytes>>,
    /// Levels below.
    height: usize,
}

/// Stores to what the imports of a tree lead; nothing when none leads anywhere. `root` is the tree's directory.
///
/// # Errors
/// [`IndexError::Gone`] when the directory was collected; also when the lease is lost, or the database is away.
pub async fn store_links<'a>(
    client: &mut Client,
    author: impl Into<Author<'a>>,
    scope: &IndexScope,
    root: DirId,
    resolutions: &Resolutions,
) -> Result<Option<LinksId>, IndexError> {
    if resolutions.is_empty() {
        return Ok(None);
    }
    let author = author.into();
    let mut nodes = HashMap::new();
    let Some(top) = build(&listing(client, root).await?, resolutions, &mut nodes)? else {
        return Ok(None);
    };
    let all: Vec<&DigestBytes> = nodes.keys().collect();
    let mut known = known_links(client, scope, &all).await?;
    let mut levels: BTreeMap<usize, Vec<&Node>> = BTreeMap::new();
    for node in nodes
        .values()
        .filter(|node| !known.contains_key(&node.digest))
    {
        levels.entry(node.height).or_default().push(node);
    }
    for mut level in levels.into_values() {
        level.sort_by_key(|node| node.digest);
        let mut rest = &level[..];
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_length(rest));
            known.extend(store_batch(client, author, scope, batch, &known).await?);
            rest = later;
        }
    }
    known.get(&top).copied().map(Some).ok_or(IndexError::Gone)
}

fn batch_length(nodes: &[&Node]) -> usize {
    let mut entries = 0;
    let fits = nodes.iter().take_while(|node| {
        let first = entries == 0;
        entries += 1 + node.files.len() + node.dirs.len();
        first || entries <= BATCH_ENTRIES
    });
    fits.count()
}

/// The names of the files and directories of each directory, by its path with a slash at the end.
type Listing = BTreeMap<String, (Vec<String>, Vec<String>)>;

async fn listing(client: &Client, root: DirId) -> Result<Listing, IndexError> {
    let statement = client.prepare_cached(include_str!("listing.sql")).await?;
    let rows = client.query(&statement, &[&root.get()]).await?;
    Ok(rows
        .iter()
        .map(|row| (row.get("prefix"), (row.get("files"), row.get("dirs"))))
        .collect())
}

/// Makes the nodes of a tree from the leaves to the root, and answers the root's.
fn build(
    listing: &Listing,
    resolutions: &Resolutions,
    nodes: &mut HashMap<DigestBytes, Node>,
) -> Result<Option<DigestBytes>, IndexError> {
    let mut made: HashMap<&str, (DigestBytes, usize)> = HashMap::new();
    // Backwards: what is below a directory has its path as a prefix, and so comes after it.
    for (prefix, (files, dirs)) in listing.iter().rev() {
        let files: Vec<Option<String>> = files
            .iter()
            .map(|name| pack(resolutions.get(&format!("{prefix}{name}"))?))
            .collect();
        let below: Vec<Option<(DigestBytes, usize)>> = dirs
            .iter()
            .map(|name| made.get(format!("{prefix}{name}/").as_str()).copied())
            .collect();
        let height = below.iter().flatten().map(|(_, height)| height + 1).max();
        if height.is_none() && files.iter().all(Option::is_none) {
            continue;
        }
        let height = height.unwrap_or(0);
        let dirs: Vec<Option<DigestBytes>> = below
            .iter()
            .map(|one| one.map(|(digest, _)| digest))
            .collect();
        let digest = digest(&files, &dirs);
        made.insert(prefix, (digest, height));
        nodes.insert(
            digest,
            Node {
                digest,
                files,
                dirs,
                height,
            },
        );
    }
    if !listing.contains_key("") {
        return Err(IndexError::Gone);
    }
    Ok(made.get("").map(|(digest, _)| *digest))
}

/// A file's links as a row holds them: no path holds two slashes in a row, begins or ends with one.
fn pack(links: &[Option<String>]) -> Option<String> {
    let paths: Vec<&str> = links
        .iter()
        .map(|path| {
            path.as_deref()
                .filter(|path| is_path(path))
                .unwrap_or_default()
        })
        .collect();
    paths
        .iter()
        .any(|path| !path.is_empty())
        .then(|| paths.join("//"))
}

fn is_path(path: &str) -> bool {
    !path.contains("//") && !path.contains('\0') && !path.starts_with('/') && !path.ends_with('/')
}

fn digest(files: &[Option<String>], dirs: &[Option<DigestBytes>]) -> DigestBytes {
    let mut hash = Sha256::new();
    hash.update(files.len().to_le_bytes());
    for file in files {
        let text = file.as_deref().unwrap_or_default();
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    for dir in dirs {
        hash.update(dir.unwrap_or_default());
    }
    hash.finalize().into()
}

async fn known_links(
    client: &Client,
    scope: &IndexScope,
    digests: &[&DigestBytes],
) -> Result<HashMap<DigestBytes, LinksId>, IndexError> {
    let names: Vec<&[u8]> = digests.iter().map(|digest| &digest[..]).collect();
    let statement = client
        .prepare_cached(include_str!("known_links.sql"))
        .await?;
    let rows = client
        .query(&statement, &[&scope.domain().get(), &names])
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| numbered(digests, row))
        .collect())
}

fn numbered(digests: &[&DigestBytes], row: &tokio_postgres::Row) -> Option<(DigestBytes, LinksId)> {
    let place = usize::try_from(row.get::<_, i64>("ord") - 1).ok()?;
    Some((**digests.get(place)?, LinksId::new(row.get("id"))))
}

async fn store_batch(
    client: &mut Client,
    author: Author<'_>,
    scope: &IndexScope,
    batch: &[&Node],
    known: &HashMap<DigestBytes, LinksId>,
) -> Result<HashMap<DigestBytes, LinksId>, IndexError> {
    for _ in 1..TRIES {
        match try_store_batch(client, author, scope, batch, known).await {
            Err(error) if error.is_lost_race() => {}
            answer => return answer,
        }
    }
    try_store_batch(client, author, scope, batch, known).await
}

async fn try_store_batch(
    client: &mut Client,
    author: Author<'_>,
    scope: &IndexScope,
    batch: &[&Node],
    known: &HashMap<DigestBytes, LinksId>,
) -> Result<HashMap<DigestBytes, LinksId>, IndexError> {
    let digests: Vec<&DigestBytes> = batch.iter().map(|node| &node.digest).collect();
    let names: Vec<&[u8]> = digests.iter().map(|digest| &digest[..]).collect();
    let (mut files_to, mut dirs_to) = (Vec::new(), Vec::new());
    let (mut files, mut dirs): (Vec<Option<&str>>, Vec<Option<i64>>) = (Vec::new(), Vec::new());
    for node in batch {
        files.extend(node.files.iter().map(Option::as_deref));
        for below in &node.dirs {
            let id = below
                .map(|digest| known.get(&digest).ok_or(IndexError::Gone))
                .transpose()?;
            dirs.push(id.map(|id| id.get()));
        }
        files_to.push(i32::try_from(files.len()).unwrap_or(i32::MAX));
        dirs_to.push(i32::try_from(dirs.len()).unwrap_or(i32::MAX));
    }
    let domain = scope.domain().get();
    let writing = author.begin(client).await?;
    let transaction = writing.statements();
    let insert = transaction
        .prepare_cached(include_str!("links_insert.sql"))
        .await?;
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&domain, &names, &files_to, &files, &dirs_to, &dirs];
    transaction.execute(&insert, &parameters).await?;
    let statement = transaction
        .prepare_cached(include_str!("known_links.sql"))
        .await?;
    let rows = transaction.query(&statement, &[&domain, &names]).await?;
    let ids = rows
        .iter()
        .filter_map(|row| numbered(&digests, row))
        .collect();
    writing.mark_durable();
    writing.commit().await?;
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(prefix: &str, files: &[&str], dirs: &[&str]) -> (String, (Vec<String>, Vec<String>)) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        (prefix.to_owned(), (owned(files), owned(dirs)))
    }

    #[test]
    fn directories_without_links_have_no_node_and_equal_ones_share_theirs() {
        let listing: Listing = [
            listed("", &["x"], &["a", "b", "c"]),
            listed("a/", &["f"], &[]),
            listed("b/", &["f"], &[]),
            listed("c/", &["f"], &[]),
        ]
        .into();
        let leads = || vec![None, Some("x".to_owned())];
        let resolutions: Resolutions =
            [("a/f".to_owned(), leads()), ("b/f".to_owned(), leads())].into();
        let mut nodes = HashMap::new();
        let top = build(&listing, &resolutions, &mut nodes).unwrap().unwrap();
        assert_eq!(nodes.len(), 2);
        let top = &nodes[&top];
        assert_eq!((top.height, top.dirs.len(), top.dirs[2]), (1, 3, None));
        let below = &nodes[&top.dirs[0].unwrap()];
        assert_eq!(below.files, [Some("//x".to_owned())]);
    }

    #[test]
    fn a_path_that_would_split_is_no_link() {
        for bad in ["a//b", "/a", "a/", ""] {
            assert_eq!(pack(&[Some(bad.to_owned())]), None, "{bad}");
        }
        assert_eq!(pack(&[Some(".".to_owned())]).as_deref(), Some("."));
    }
}
