//! Changes and histories that nobody would write down, held against git.

use std::collections::BTreeMap;

use crate::changes_diff::hold;
use crate::story::{Edit, Mark, Story, gone};

/// A sequence of numbers that look random, and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % 1_000_003).unwrap() % sides
    }

    fn text(&mut self) -> Vec<u8> {
        let number = self.roll(60);
        let all = (0..number).flat_map(|_| self.line());
        let mut text: Vec<u8> = all.collect();
        if self.roll(8) == 0 {
            text.pop();
        }
        if self.roll(25) == 0 {
            text.push(0);
        }
        text
    }

    /// Few different ones, so that it is not clear which of them came or went.
    fn line(&mut self) -> Vec<u8> {
        const WORDS: [&str; 8] = [
            "",
            "{",
            "}",
            "    a();",
            "        b();",
            "\tc",
            "fn d() {",
            "e",
        ];
        let mut line = WORDS[self.roll(8)].to_owned();
        if self.roll(3) == 0 {
            line.push_str(&format!(" {}", self.roll(40)));
        }
        line.push_str(if self.roll(20) == 0 { "\r\n" } else { "\n" });
        line.into_bytes()
    }

    fn edited(&mut self, text: &[u8]) -> Vec<u8> {
        let mut lines: Vec<Vec<u8>> = text
            .split_inclusive(|&b| b == b'\n')
            .map(Vec::from)
            .collect();
        for _ in 0..=self.roll(6) {
            let at = self.roll(lines.len() + 1);
            match self.roll(4) {
                0 => lines.insert(at, self.line()),
                1 if at < lines.len() => drop(lines.remove(at)),
                2 if at < lines.len() => lines[at] = self.line(),
                _ => {
                    let more: Vec<_> = (0..self.roll(9)).map(|_| self.line()).collect();
                    lines.splice(at..at, more);
                }
            }
        }
        lines.concat()
    }
}

/// The files of a commit.
type Tree = BTreeMap<String, (&'static str, Vec<u8>)>;

/// Does something to a few files, and says what.
fn step(dice: &mut Dice, tree: &mut Tree) -> Vec<Edit> {
    const MODES: [&str; 6] = ["100644", "100644", "100644", "100644", "100755", "120000"];
    let before = tree.clone();
    for _ in 0..=dice.roll(5) {
        let some: Vec<_> = tree.keys().cloned().collect();
        let chosen = some.get(dice.roll(some.len().max(1))).cloned();
        let fresh = format!("d{}/f{}", dice.roll(4), dice.roll(30));
        match (dice.roll(7), chosen) {
            (0 | 1, _) | (_, None) => {
                tree.insert(fresh, (MODES[dice.roll(6)], dice.text()));
            }
            (2, Some(path)) => {
                let file = tree.remove(&path).unwrap();
                tree.insert(fresh, (file.0, dice.edited(&file.1)));
            }
            (3, Some(path)) => drop(tree.remove(&path)),
            (4, Some(path)) => tree.get_mut(&path).unwrap().0 = MODES[dice.roll(6)],
            (_, Some(path)) => {
                let file = tree.get_mut(&path).unwrap();
                file.1 = dice.edited(&file.1);
            }
        }
    }
    let removed = before.keys().filter(|path| !tree.contains_key(*path));
    let mut edits: Vec<_> = removed.map(|path| gone(path)).collect();
    let written = tree
        .iter()
        .filter(|(path, file)| before.get(*path) != Some(file));
    edits.extend(written.map(|(path, (mode, text))| Edit::Put(mode, path.clone(), text.clone())));
    edits
}

/// A default branch with merges, and changes that leave it anywhere.
pub(crate) fn random_story(seed: u64) -> Story {
    let mut dice = Dice(seed);
    let mut story = Story::default();
    let mut tree = Tree::new();
    let edits = step(&mut dice, &mut tree);
    let mut main = vec![(story.commit(&[], &edits), tree)];
    let tip = |main: &[(Mark, Tree)]| main.last().unwrap().clone();
    for number in 1..=25 {
        let (from, mut tree) = main[main.len() - 1 - dice.roll(main.len().min(6))].clone();
        let start = tree.clone();
        let mut head = from;
        for _ in 0..=dice.roll(3) {
            let edits = step(&mut dice, &mut tree);
            head = story.commit(&[head], &edits);
        }
        story.pull(number, head);
        let (before, mut now) = tip(&main);
        if dice.roll(3) == 0 {
            // What the change did is taken over, whatever stands there.
            let mut edits = Vec::new();
            for (path, file) in tree
                .iter()
                .filter(|(path, file)| start.get(*path) != Some(file))
            {
                now.insert(path.clone(), file.clone());
                edits.push(Edit::Put(file.0, path.clone(), file.1.clone()));
            }
            main.push((story.commit(&[before, head], &edits), now));
        } else {
            let edits = step(&mut dice, &mut now);
            main.push((story.commit(&[before], &edits), now));
        }
    }
    story.main(tip(&main).0);
    story
}

#[tokio::test]
async fn random_changes_are_what_git_says_that_they_are() {
    let (mut all, mut equal) = (0, 0);
    for seed in 1..=4 {
        let told = random_story(seed).tell().await;
        for change in &told.report.change_refs {
            all += 1;
            equal += usize::from(hold(&told, change.number));
        }
    }
    // Git may count other lines than it shows; then ours are those that it counts.
    assert!(equal * 100 >= all * 98, "{equal} of {all}");
}
