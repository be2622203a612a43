//! Changes that a remote offers: made in advance, and moved by writing refs, as fast as a branch.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::dice::Dice;
use crate::git::Origin;

/// Changes of one repository.
const PROPOSALS: usize = 8;
/// Heads that each of them moves between.
const VERSIONS: usize = 3;
/// Changes whose first version the default branch merges at times.
const LANDING: usize = 4;

/// What a change's ref may lead to.
#[derive(Debug)]
struct Version {
    head: String,
    /// The default branch of that time merged with it, as a forge tries it.
    test_merge: String,
}

/// The changes of one remote.
#[derive(Debug)]
pub(super) struct Proposals {
    git_dir: PathBuf,
    versions: Vec<Vec<Version>>,
}

/// Refs of a change, by its number.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Refs {
    head: String,
    test_merge: Option<String>,
}

impl Refs {
    /// The last one is of Gerrit and the one before of GitLab; the others are of GitHub.
    fn of(number: usize, version: usize) -> Self {
        match number {
            PROPOSALS => Self {
                head: format!("refs/changes/{number:02}/{number}/{}", version + 1),
                test_merge: None,
            },
            7 => Self::named("refs/merge-requests", number),
            _ => Self::named("refs/pull", number),
        }
    }

    fn named(prefix: &str, number: usize) -> Self {
        Self {
            head: format!("{prefix}/{number}/head"),
            test_merge: Some(format!("{prefix}/{number}/merge")),
        }
    }
}

impl Proposals {
    /// Has a repository whose default branch was at these heads offer changes. Adds the heads to which merging some
    /// of them leads.
    pub(super) fn make(origin: &Origin, heads: &mut Vec<String>) -> Self {
        let mut stream = Stream::default();
        for number in 1..=PROPOSALS {
            for version in 0..VERSIONS {
                stream.propose(number, version, heads);
            }
        }
        for number in 1..=LANDING {
            stream.land(number, heads);
        }
        let marks = stream.marks;
        let made = origin.import(stream.text + "done\n");
        let mut ids = made.lines().map(str::to_owned);
        let mut next = || ids.next().expect("an id for each mark");
        let versions = (0..PROPOSALS).map(|_| {
            let versions = (0..VERSIONS).map(|_| Version {
                head: next(),
                test_merge: next(),
            });
            versions.collect()
        });
        let versions: Vec<Vec<Version>> = versions.collect();
        heads.extend((0..LANDING).map(|_| next()));
        // One is merged without a commit of its own.
        heads.push(versions[LANDING][0].head.clone());
        assert_eq!(made.lines().count(), marks, "ids of git fast-import");
        Self {
            git_dir: origin.path().to_owned(),
            versions,
        }
    }

    /// Pushes a change again or for the first time, or withdraws it.
    pub(super) fn move_one(&self, dice: &mut Dice) {
        let number = 1 + dice.roll(PROPOSALS);
        if dice.roll(6) == 0 {
            self.withdraw(number);
            return;
        }
        let version = dice.roll(VERSIONS);
        let refs = self.offer(number, version);
        let Some(test_merge) = refs.test_merge else {
            return;
        };
        match dice.roll(3) {
            0 => self.write(&test_merge, &self.versions[number - 1][version].test_merge),
            1 => self.remove(&test_merge),
            // It is of an older head then.
            _ => {}
        }
    }

    /// Has the first change lead to another head than before, or be offered again.
    pub(super) fn move_for_certain(&self) {
        let number = 1;
        let refs = Refs::of(number, 0);
        let before = fs::read_to_string(self.git_dir.join(&refs.head)).unwrap_or_default();
        let versions = &self.versions[number - 1];
        let is_other = |version: &Version| version.head != before.trim();
        let other = versions.iter().position(is_other);
        self.offer(number, other.expect("several versions"));
    }

    fn offer(&self, number: usize, version: usize) -> Refs {
        let refs = Refs::of(number, version);
        if number == PROPOSALS {
            // A push is one more patch set; the highest counts.
            for newer in version + 1..VERSIONS {
                self.remove(&Refs::of(number, newer).head);
            }
        }
        self.write(&refs.head, &self.versions[number - 1][version].head);
        refs
    }

    fn withdraw(&self, number: usize) {
        for version in 0..VERSIONS {
            let refs = Refs::of(number, version);
            self.remove(&refs.head);
            refs.test_merge.iter().for_each(|name| self.remove(name));
        }
    }

    /// As git does it, so that a reader sees the old or the new one.
    fn write(&self, name: &str, commit: &str) {
        let path = self.git_dir.join(name);
        let lock = self.git_dir.join(format!("{name}.lock"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&lock, format!("{commit}\n")).expect("written");
        fs::rename(lock, path).expect("renamed");
    }

    /// It may be gone already.
    fn remove(&self, name: &str) {
        drop(fs::remove_file(self.git_dir.join(name)));
    }
}

/// Commits for `git fast-import`, which prints the ids that are asked for.
#[derive(Default)]
struct Stream {
    text: String,
    commits: usize,
    marks: usize,
    /// Marks of the heads by number and version.
    heads: Vec<usize>,
}

impl Stream {
    /// A version of a change, and its test merge.
    fn propose(&mut self, number: usize, version: usize, heads: &[String]) {
        let refs = Refs::of(number, version);
        let base = &heads[(5 * number + 7 * version) % heads.len()];
        let base = match (number, version) {
            (6, 2) => None,
            _ => Some(base.as_str()),
        };
        let mut files = vec![(
            format!("of_{number}.rs"),
            format!("version {version}\nof {number}\n"),
        )];
        if version == 1 {
            let from = self.commit(&refs.head, base, &[], &files);
            files = vec![(format!("file{}", number % 7), format!("{number} of all"))];
            self.commit(&refs.head, Some(&from), &[], &files);
        } else {
            self.commit(&refs.head, base, &[], &files);
        }
        if version == 2 && base.is_some() {
            self.text.push_str("D README.md\n\n");
        }
        self.ask();
        self.heads.push(self.commits);
        let head = format!(":{}", self.commits);
        let target = &heads[(11 * number + 3 * version) % heads.len()];
        let name = refs.test_merge.unwrap_or_else(|| refs.head.clone());
        self.commit(&name, Some(target), &[&head], &files);
        self.ask();
        if name == refs.head {
            let back = format!("reset {name}\nfrom {head}\n\n");
            self.text.push_str(&back);
        }
    }

    /// The default branch after its last commit, or the last of these, has merged the first version of a change.
    fn land(&mut self, number: usize, heads: &[String]) {
        let before = match number {
            1 => heads.last().expect("a head").clone(),
            _ => format!(":{}", self.commits),
        };
        let head = format!(":{}", self.heads[(number - 1) * VERSIONS]);
        let file = (
            format!("of_{number}.rs"),
            format!("version 0\nof {number}\n"),
        );
        self.commit("refs/heads/main", Some(&before), &[&head], &[file]);
        self.ask();
    }

    /// A commit, on nothing where there is nothing before it; its mark.
    fn commit(
        &mut self,
        name: &str,
        from: Option<&str>,
        merges: &[&str],
        files: &[(String, String)],
    ) -> String {
        self.commits += 1;
        let mut add = |line: String| self.text.push_str(&line);
        if from.is_none() {
            add(format!("reset {name}\n\n"));
        }
        add(format!("commit {name}\nmark :{}\n", self.commits));
        add("committer Test <test@example.invalid> 1700000000 +0000\ndata 7\nPropose\n".to_owned());
        if let Some(from) = from {
            add(format!("from {from}\n"));
        }
        for merged in merges {
            add(format!("merge {merged}\n"));
        }
        for (path, content) in files {
            add(format!(
                "M 100644 inline {path}\ndata {}\n{content}\n",
                content.len()
            ));
        }
        format!(":{}", self.commits)
    }

    /// Has the id of the last commit printed.
    fn ask(&mut self) {
        self.marks += 1;
        writeln!(self.text, "get-mark :{}", self.commits).expect("a string");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (tempfile::TempDir, Origin, Vec<String>, Proposals) {
        let folder = tempfile::tempdir().unwrap();
        let origin = Origin::create(&folder.path().join("origin.git"));
        origin.commit("main", "README.md", b"# here\n");
        let mut heads = origin.commit_many("main", 24);
        let proposals = Proposals::make(&origin, &mut heads);
        (folder, origin, heads, proposals)
    }

    fn refs(origin: &Origin) -> Vec<String> {
        let refs = origin.git(&["for-each-ref", "--format=%(refname)", "refs/pull/*/head"]);
        refs.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_remote_offers_changes_of_every_kind_and_its_branch_merges_some() {
        let (_folder, origin, heads, proposals) = made();
        assert_eq!(refs(&origin).len(), 6);
        origin.git(&["rev-parse", "--verify", "refs/merge-requests/7/head"]);
        origin.git(&["rev-parse", "--verify", "refs/changes/08/8/3"]);
        origin.git(&["fsck", "--full", "--strict"]);
        let landed = &heads[heads.len() - 2];
        for versions in &proposals.versions[..LANDING] {
            origin.git(&["merge-base", "--is-ancestor", &versions[0].head, landed]);
        }
        let alone = &proposals.versions[5][2].head;
        let found = origin.try_git(&["merge-base", alone, landed]);
        assert_eq!(found.code, Some(1), "histories without a common commit");
        for (number, versions) in proposals.versions.iter().enumerate() {
            for (version, made) in versions.iter().enumerate() {
                let second = origin.git(&["rev-parse", &format!("{}^2", made.test_merge)]);
                assert_eq!(second, made.head, "{number} {version}");
            }
        }
    }

    #[test]
    fn a_change_is_withdrawn_and_offered_again() {
        let (_folder, origin, _, proposals) = made();
        proposals.withdraw(1);
        proposals.withdraw(PROPOSALS);
        assert_eq!(refs(&origin).len(), 5);
        proposals.move_for_certain();
        proposals.offer(PROPOSALS, 1);
        let head = |name: &str| origin.git(&["rev-parse", "--verify", name]);
        assert_eq!(head("refs/pull/1/head"), proposals.versions[0][0].head);
        let of_gerrit = head("refs/changes/08/8/2");
        assert_eq!(of_gerrit, proposals.versions[PROPOSALS - 1][1].head);
        proposals.move_for_certain();
        assert_eq!(head("refs/pull/1/head"), proposals.versions[0][1].head);
    }
}
