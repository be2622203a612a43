//! `deploy/systemd/`: the units and the environment file that they share.

use std::collections::BTreeSet;
use std::path::Path;

use leasectl_tests::{Invocation, skip};

use crate::files;
use crate::launch::{self, Launch};

const UNITS: [&str; 2] = ["leasectl-api", "leasectl-worker"];

/// One unit file: (section, name, value) in the order of the file.
struct Unit(Vec<(String, String, String)>);

impl Unit {
    fn read(name: &str) -> Self {
        let mut section = String::new();
        let mut entries = Vec::new();
        for line in files::text(&format!("deploy/systemd/{name}.service")).lines() {
            if let Some(title) = line
                .strip_prefix('[')
                .and_then(|line| line.strip_suffix(']'))
            {
                title.clone_into(&mut section);
            } else if !line.is_empty() && !line.starts_with('#') {
                let (key, value) = line
                    .split_once('=')
                    .unwrap_or_else(|| panic!("{name}: {line}"));
                entries.push((section.clone(), key.to_owned(), value.to_owned()));
            }
        }
        Self(entries)
    }

    fn service(&self, wanted: &str) -> Vec<&str> {
        let all = self
            .0
            .iter()
            .filter(|(section, key, _)| section == "Service" && key == wanted);
        all.map(|(_, _, value)| value.as_str()).collect()
    }

    fn one(&self, wanted: &str) -> &str {
        match self.service(wanted)[..] {
            [value] => value,
            ref other => panic!("{wanted} is given {} times", other.len()),
        }
    }
}

/// The names that the environment file sets or suggests.
pub(crate) fn environment_file() -> BTreeSet<String> {
    files::text("deploy/systemd/leasectl.env.example")
        .lines()
        .filter_map(|line| line.trim_start_matches('#').split_once('='))
        .map(|(name, _)| name.to_owned())
        .collect()
}

pub(crate) fn launches() -> Vec<Launch> {
    UNITS.iter().map(|name| launch(name)).collect()
}

fn launch(name: &str) -> Launch {
    let unit = Unit::read(name);
    let words: Vec<String> = unit
        .one("ExecStart")
        .split(' ')
        .map(str::to_owned)
        .collect();
    let mut launch = Launch::new(&format!("deploy/systemd/{name}.service"), &words);
    launch.variables = environment_file()
        .into_iter()
        .map(|name| (name, String::new()))
        .collect();
    for assignment in unit.service("Environment") {
        let (name, value) = assignment.split_once('=').expect("NAME=value");
        launch.variables.insert(name.to_owned(), value.to_owned());
    }
    launch.grace = Some(files::duration(unit.one("TimeoutStopSec")));
    launch
}

#[test]
fn units_wait_for_readiness_and_watch_the_program() {
    for name in UNITS {
        let unit = Unit::read(name);
        assert_eq!(unit.one("Type"), "notify", "{name}");
        assert_eq!(unit.one("NotifyAccess"), "main", "{name}");
        assert!(
            files::duration(unit.one("WatchdogSec")).as_secs() >= 10,
            "{name}"
        );
        assert_eq!(unit.one("Restart"), "always", "{name}");
        // Only the program is asked to stop; what it started is its own business.
        assert_eq!(unit.one("KillMode"), "mixed", "{name}");
    }
}

#[test]
fn units_are_confined_and_own_their_folders() {
    for name in UNITS {
        let unit = Unit::read(name);
        assert_eq!(unit.one("User"), "leasectl", "{name}");
        for key in ["CapabilityBoundingSet", "AmbientCapabilities"] {
            assert_eq!(unit.one(key), "", "{name}: {key}");
        }
        assert_eq!(unit.one("NoNewPrivileges"), "yes", "{name}");
        assert_eq!(unit.one("ProtectSystem"), "strict", "{name}");
        assert_eq!(
            unit.one("EnvironmentFile"),
            "/etc/leasectl/leasectl.env",
            "{name}"
        );
        let data = &launch(name).variables["LEASECTL_DATA_DIR"];
        assert_eq!(
            data,
            &format!("/var/lib/{}", unit.one("StateDirectory")),
            "{name}"
        );
    }
    let unit = Unit::read("leasectl-worker");
    let clones = &launch("leasectl-worker").variables["LEASECTL_REPOS_DIR"];
    assert!(clones.starts_with(&format!("/var/cache/{}/", unit.one("CacheDirectory"))));
    assert!(files::text("deploy/systemd/leasectl.sysusers.conf").contains("\nu leasectl "));
}

#[test]
fn systemd_itself_finds_nothing_wrong() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for name in UNITS {
        let built = launch::program(&launch(name).program);
        let installed = format!("/usr/local/bin/{}", launch(name).program);
        let text = files::text(&format!("deploy/systemd/{name}.service"));
        let text = text.replace(&installed, &built.to_string_lossy());
        let path = folder.path().join(format!("{name}.service"));
        std::fs::write(path, text).expect("the unit can be written");
    }
    let units = UNITS.map(|name| folder.path().join(format!("{name}.service")));
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        skip("systemd-analyze is not installed");
        return;
    }
    let verify = Invocation::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(units);
    let complaints = verify.run().stderr;
    let ours: Vec<&str> = complaints
        .lines()
        .filter(|line| line.contains("leasectl-"))
        .collect();
    assert!(ours.is_empty(), "{complaints}");
}
