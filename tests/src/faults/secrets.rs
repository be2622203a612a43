//! Canaries: secrets that the programs are given, and the places where they must not turn up.

use std::fs;
use std::path::Path;

use super::world::token_dir;
use crate::stage::Stage;

/// The secrets of a round and where one was found.
#[derive(Debug)]
pub(super) struct Secrets {
    canaries: Vec<String>,
    leaks: Vec<String>,
}

impl Secrets {
    /// Makes secrets; the database's password is one.
    pub(super) fn plant(stage: &Stage, url: &str) -> Self {
        let password = url.split(['@', ':']).nth(2).expect("a password");
        let token = "canary-of-a-git-host";
        let folder = token_dir(stage);
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("127.0.0.1"), token).expect("written");
        let canaries = [password, token, "canary-of-the-service"];
        Self {
            canaries: canaries.map(str::to_owned).into(),
            leaks: Vec::new(),
        }
    }

    /// The secret of the service.
    pub(super) fn api_token(&self) -> &str {
        &self.canaries[2]
    }

    /// Looks for every secret in a text.
    pub(super) fn search(&mut self, place: &str, text: &str) {
        for canary in &self.canaries {
            if let Some(at) = text.find(canary.as_str()) {
                let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
                let line: String = text[start..].lines().next().unwrap_or_default().into();
                let shown: String = line.replace(canary, "CANARY").chars().take(200).collect();
                self.leaks.push(format!("{place}: {shown}"));
            }
        }
    }

    /// Looks at the arguments of every process whose directory or files are the stage's.
    pub(super) fn search_arguments(&mut self, pids: &[u32]) {
        for pid in pids {
            let path = Path::new("/proc").join(pid.to_string()).join("cmdline");
            let arguments = fs::read(path).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
            self.search("arguments of a process", &arguments);
        }
    }

    /// Looks through all logs of a folder.
    pub(super) fn search_logs(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let log = fs::read(entry.path()).unwrap_or_default();
            let place = format!("log {}", entry.file_name().to_string_lossy());
            self.search(&place, &String::from_utf8_lossy(&log));
        }
    }

    /// Where secrets were found.
    pub(super) fn leaks(&self) -> Vec<String> {
        self.leaks.clone()
    }
}
