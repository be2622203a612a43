//! Whether stored hunks are a valid diff: whether they make the new file of the old one.

use std::collections::HashMap;

use leasectl_core::ids::RepoId;

use super::super::index::World;
use super::Source;
use crate::error::BenchError;
use crate::floor::as_f64;
use crate::report::{Bar, Report, Unit};

/// Objects that `git cat-file` is asked for at once.
const AT_ONCE: usize = 200;

/// What `git cat-file` answers for each of the names that it reads.
const CONTENTS: &str = "git cat-file --batch < \"$1.names\" > \"$1\"";

/// Every file whose lines were compared, in changes that no limit has cut.
const FILES: &str = "\
    select f.number, f.ord, coalesce(c.merge_base, '4b825dc642cb6eb9a060e54bf8d69288fbee4904') as base, \
           c.studied_head, coalesce(f.old_path, f.path) as old_path, f.path, f.additions, f.deletions \
      from leasectl.change_files f join leasectl.changes c using (repo_id, family, number) \
     where f.repo_id = $1 and f.additions is not null and cardinality(c.limits) = 0 order by f.number, f.ord";

const HUNKS: &str = "\
    select number, file_ord, old_start, old_lines, new_start, new_lines \
      from leasectl.change_hunks where repo_id = $1 order by number, file_ord, ord";

/// Where lines differ: first line and number of lines, old and new.
type Hunk = [i32; 4];

/// A file of a change, as it is stored.
struct Stored {
    /// What git calls the old and the new content; either may not exist.
    names: [String; 2],
    additions: i32,
    deletions: i32,
    hunks: Vec<Hunk>,
}

/// Applies the hunks of every file of every change.
pub(super) async fn changes(
    world: &World,
    repo: RepoId,
    source: &Source,
    report: &mut Report,
) -> Result<(), BenchError> {
    let files = stored(world, repo).await?;
    let mut wrong = 0;
    for files in files.chunks(AT_ONCE) {
        let names = files.iter().flat_map(|file| file.names.iter());
        let contents = contents(source, names.map(String::as_str).collect()).await?;
        for (file, [old, new]) in files.iter().zip(contents.as_chunks::<2>().0) {
            wrong += usize::from(!makes(file, old, new));
        }
    }
    let name = "files whose hunks were applied";
    report.add(name, Unit::Count, Bar::None, as_f64(files.len()));
    let name = "… to another content than the head's";
    report.add(name, Unit::Count, Bar::AtMost(0.0), as_f64(wrong));
    Ok(())
}

async fn stored(world: &World, repo: RepoId) -> Result<Vec<Stored>, BenchError> {
    let client = &world.queue.own;
    let mut hunks: HashMap<(i64, i32), Vec<Hunk>> = HashMap::new();
    for row in client.query(HUNKS, &[&repo.as_uuid()]).await? {
        let numbers = [row.get(2), row.get(3), row.get(4), row.get(5)];
        hunks
            .entry((row.get(0), row.get(1)))
            .or_default()
            .push(numbers);
    }
    let rows = client.query(FILES, &[&repo.as_uuid()]).await?;
    let name = |commit: String, path: String| format!("{commit}:{path}");
    let files = rows.iter().map(|row| Stored {
        names: [
            name(row.get("base"), row.get("old_path")),
            name(row.get("studied_head"), row.get("path")),
        ],
        additions: row.get("additions"),
        deletions: row.get("deletions"),
        hunks: hunks
            .remove(&(row.get("number"), row.get("ord")))
            .unwrap_or_default(),
    });
    Ok(files.collect())
}

/// The contents of those names; nothing where there is no such file.
async fn contents(source: &Source, names: Vec<&str>) -> Result<Vec<Vec<u8>>, BenchError> {
    let asked = source.written().with_extension("names");
    std::fs::write(asked, names.join("\n") + "\n")?;
    let answer = std::fs::read(source.shell(CONTENTS).await?)?;
    let contents = parsed(&answer, names.len());
    contents.ok_or_else(|| BenchError::Unexpected("git cat-file was not understood".to_owned()))
}

/// Reads what `git cat-file --batch` writes: `ID blob BYTES`, the content and a line feed, or `NAME missing`.
fn parsed(mut answer: &[u8], count: usize) -> Option<Vec<Vec<u8>>> {
    let mut contents = Vec::with_capacity(count);
    for _ in 0..count {
        let end = answer.iter().position(|&byte| byte == b'\n')?;
        let (line, rest) = answer.split_at(end);
        let (content, rest) = if line.ends_with(b" missing") {
            (&[][..], rest)
        } else {
            let bytes = str::from_utf8(line).ok()?.rsplit(' ').next()?;
            rest.get(1..)?.split_at_checked(bytes.parse().ok()?)?
        };
        contents.push(content.to_vec());
        answer = rest.get(1..)?;
    }
    Some(contents)
}

/// Whether the hunks of the file make the new content of the old one, and its counts are theirs.
fn makes(file: &Stored, old: &[u8], new: &[u8]) -> bool {
    let sum = |place: usize| -> i32 { file.hunks.iter().map(|hunk| hunk[place]).sum() };
    (sum(1), sum(3)) == (file.deletions, file.additions)
        && applied(&file.hunks, old, new).is_some_and(|made| made == new)
}

/// The old content with the lines of each hunk replaced by those that the new content has there.
fn applied(hunks: &[Hunk], old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let lines = |content: &'_ [u8]| -> Vec<Vec<u8>> {
        let lines = content.split_inclusive(|&byte| byte == b'\n');
        lines.map(<[u8]>::to_vec).collect()
    };
    let (old, new) = (lines(old), lines(new));
    let (mut made, mut kept) = (Vec::new(), 0);
    for &hunk in hunks {
        let [old_start, old_lines, new_start, new_lines] =
            hunk.map(|number| number.unsigned_abs() as usize);
        // Without lines of its own a hunk tells the line before it.
        let from = |start: usize, count: usize| start.checked_sub(usize::from(count > 0));
        let begin = from(old_start, old_lines)?;
        made.extend_from_slice(old.get(kept..begin)?);
        kept = begin + old_lines;
        let begin = from(new_start, new_lines)?;
        made.extend_from_slice(new.get(begin..begin + new_lines)?);
    }
    made.extend_from_slice(old.get(kept..)?);
    Some(made.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(additions: i32, deletions: i32, hunks: &[Hunk]) -> Stored {
        Stored {
            names: [String::new(), String::new()],
            additions,
            deletions,
            hunks: hunks.to_vec(),
        }
    }

    #[test]
    fn hunks_are_applied_where_they_say_and_a_wrong_one_is_told() {
        let (old, new) = (b"a\nb\nc\nd", b"x\na\nB\nd");
        let right = file(2, 2, &[[0, 0, 1, 1], [2, 2, 3, 1]]);
        assert!(makes(&right, old, new));
        let one_further = file(2, 2, &[[0, 0, 1, 1], [3, 2, 3, 1]]);
        assert!(!makes(&one_further, old, new));
        let not_counted = file(2, 1, &[[0, 0, 1, 1], [2, 2, 3, 1]]);
        assert!(!makes(&not_counted, old, new));
        let too_few = file(1, 2, &[[2, 2, 3, 1]]);
        assert!(!makes(&too_few, old, new));
        let beyond = file(1, 9, &[[2, 9, 3, 1]]);
        assert!(!makes(&beyond, old, new));
    }

    #[test]
    fn contents_follow_their_sizes_and_missing_ones_are_empty() {
        let answer = b"0123 blob 4\na\nb\n\nHEAD:x y missing\n4567 blob 0\n\n";
        let expected = vec![b"a\nb\n".to_vec(), Vec::new(), Vec::new()];
        assert_eq!(parsed(answer, 3), Some(expected));
        assert_eq!(parsed(answer, 4), None);
    }
}
