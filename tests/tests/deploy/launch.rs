//! A program as a deployment file starts it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::{compose, files, image, kubernetes, railway, systemd};

/// One place in `deploy/` where one of our programs is started.
pub(crate) struct Launch {
    /// Which file, and what in it.
    pub(crate) place: String,
    /// `worker` or `leasectl-api`.
    pub(crate) program: String,
    /// What follows the program's name.
    pub(crate) arguments: Vec<String>,
    /// The variables that the file sets; empty values for what comes from elsewhere.
    pub(crate) variables: BTreeMap<String, String>,
    /// The HTTP paths that are probed, by whatever means.
    pub(crate) probes: Vec<String>,
    /// How long the program may take to stop; none where the file does not say.
    pub(crate) grace: Option<Duration>,
}

impl Launch {
    /// Splits `words` into program and arguments.
    pub(crate) fn new(place: &str, words: &[String]) -> Self {
        let (program, arguments) = words.split_first().expect("a command has words");
        let program = program
            .strip_prefix("/usr/local/bin/")
            .unwrap_or(program)
            .to_owned();
        assert!(
            matches!(program.as_str(), "worker" | "leasectl-api"),
            "{place}: {program} is none of our programs"
        );
        Self {
            place: place.to_owned(),
            program,
            arguments: arguments.to_vec(),
            variables: BTreeMap::new(),
            probes: Vec::new(),
            grace: None,
        }
    }

    /// The value that follows `flag`, or is joined to it with `=`.
    pub(crate) fn flag(&self, flag: &str) -> Option<&str> {
        let at = self.arguments.iter().position(|word| word == flag);
        let separate = at
            .and_then(|at| self.arguments.get(at + 1))
            .map(String::as_str);
        let joined = || {
            let with_value = |word: &'_ String| word.starts_with(&format!("{flag}="));
            self.arguments
                .iter()
                .find(|word| with_value(word))?
                .split_once('=')
        };
        separate.or_else(|| joined().map(|(_, value)| value))
    }

    /// The names of the flags among the arguments.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &str> {
        let flags = self.arguments.iter().filter(|word| word.starts_with("--"));
        flags.map(|word| word.split('=').next().unwrap_or(word))
    }
}

/// Every launch of every file.
pub(crate) fn all() -> Vec<Launch> {
    let mut launches = vec![image::launch()];
    launches.extend(compose::launches());
    launches.extend(kubernetes::launches());
    launches.extend(systemd::launches());
    launches.extend(railway::launches());
    launches
}

/// Where one of our programs was built.
pub(crate) fn program(name: &str) -> PathBuf {
    match name {
        "worker" => leasectl_tests::worker_program(),
        _ => leasectl_tests::api_program(),
    }
}

#[test]
fn every_file_of_the_folder_is_looked_at() {
    let mut found = Vec::new();
    let mut folders = vec![files::top().join("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("deploy/ can be listed") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let inside = path.strip_prefix(files::top()).expect("it lies inside");
                found.push(inside.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    let known = [
        "deploy/Dockerfile",
        "deploy/README.md",
        "deploy/compose.yaml",
        "deploy/healthcheck",
        "deploy/kubernetes/api.yaml",
        "deploy/kubernetes/kustomization.yaml",
        "deploy/kubernetes/worker.yaml",
        "deploy/railway.json",
        "deploy/railway.worker.json",
        "deploy/systemd/leasectl-api.service",
        "deploy/systemd/leasectl-worker.service",
        "deploy/systemd/leasectl.env.example",
        "deploy/systemd/leasectl.sysusers.conf",
    ];
    assert_eq!(found, known, "a file is missing here or is not tested");
}
