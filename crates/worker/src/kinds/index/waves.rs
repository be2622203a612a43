//! In which order directories are stored: each after all that it names, whatever level the walk found it at.
//! The same directory may stand at several depths of a tree, and the walk sees it once.

use std::collections::HashMap;

use super::walk::{DirKey, UnknownDir};

/// The directories in waves: each names only directories of the waves before it, or known ones.
pub(super) fn waves(levels: Vec<Vec<UnknownDir>>) -> Vec<Vec<UnknownDir>> {
    let dirs: Vec<UnknownDir> = levels.into_iter().flatten().collect();
    let places: HashMap<DirKey, usize> = dirs.iter().map(|dir| dir.key).zip(0..).collect();
    // For each directory, who names it, once for each time, and how many that it names are not in a wave yet.
    let mut named_by: Vec<Vec<usize>> = vec![Vec::new(); dirs.len()];
    let mut missing = vec![0_usize; dirs.len()];
    for (place, dir) in dirs.iter().enumerate() {
        for below in dir.dirs.iter().filter_map(|(_, key)| places.get(key)) {
            named_by[*below].push(place);
            missing[place] += 1;
        }
    }
    let mut dirs: Vec<Option<UnknownDir>> = dirs.into_iter().map(Some).collect();
    let mut ready: Vec<usize> = (0..dirs.len()).filter(|dir| missing[*dir] == 0).collect();
    let mut waves = Vec::new();
    while !ready.is_empty() {
        let mut next = Vec::new();
        for above in ready.iter().flat_map(|dir| &named_by[*dir]) {
            missing[*above] -= 1;
            if missing[*above] == 0 {
                next.push(*above);
            }
        }
        waves.push(ready.iter().filter_map(|dir| dirs[*dir].take()).collect());
        ready = next;
    }
    waves
}

#[cfg(test)]
mod tests {
    use leasectl_core::index::{Context, EntryName, ObjectId};

    use super::*;

    fn key(number: u8) -> DirKey {
        let oid = ObjectId::from_bytes(&[number; 20]).unwrap();
        (oid, Context::default())
    }

    fn dir(number: u8, names: &[u8]) -> UnknownDir {
        let named = |child: &u8| {
            let name = EntryName::from_bytes(format!("d{child}").as_bytes()).unwrap();
            (name, key(*child))
        };
        UnknownDir {
            key: key(number),
            files: Vec::new(),
            dirs: names.iter().map(named).collect(),
        }
    }

    fn numbers(waves: &[Vec<UnknownDir>]) -> Vec<Vec<u8>> {
        let number = |dir: &UnknownDir| dir.key.0.as_bytes()[0];
        let wave = |wave: &Vec<UnknownDir>| wave.iter().map(number).collect();
        waves.iter().map(wave).collect()
    }

    #[test]
    fn a_directory_that_stands_at_two_depths_comes_before_both_that_name_it() {
        // 1 names 2 and 9; 9 also stands below 2/3. 7 is known already.
        let levels = vec![
            vec![dir(1, &[2, 9])],
            vec![dir(2, &[3, 7]), dir(9, &[])],
            vec![dir(3, &[9, 9])],
        ];
        assert_eq!(
            numbers(&waves(levels)),
            [vec![9], vec![3], vec![2], vec![1]]
        );
    }

    #[test]
    fn a_flat_tree_is_two_waves_and_nothing_is_none() {
        let levels = vec![vec![dir(1, &[2, 3])], vec![dir(2, &[]), dir(3, &[])]];
        assert_eq!(numbers(&waves(levels)), [vec![2, 3], vec![1]]);
        assert!(waves(Vec::new()).is_empty());
    }
}
