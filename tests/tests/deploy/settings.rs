//! What must hold for every launch, whichever file it stands in.

use std::time::Duration;

use leasectl_tests::Invocation;

use crate::launch::{self, Launch};
use crate::manual::{self, Manual};
use crate::{files, systemd};

/// What stopping handlers and releasing leases may take after a drain.
const MARGIN: Duration = Duration::from_secs(10);
/// What the API gives requests under way.
const API_DRAIN: Duration = Duration::from_secs(10);

fn workers_and_apis() -> (Vec<Launch>, Vec<Launch>) {
    launch::all()
        .into_iter()
        .partition(|launch| launch.program == "worker")
}

#[test]
fn every_command_and_flag_exists() {
    for launch in launch::all() {
        let manual = Manual::of(&launch.program, &launch.arguments);
        for flag in launch.flags() {
            assert!(
                manual.knows(flag),
                "{}: {} has no {flag}",
                launch.place,
                launch.program
            );
        }
        if launch.program == "worker" {
            assert_eq!(launch.arguments[0], "run", "{}", launch.place);
        }
    }
}

#[test]
fn every_argument_is_understood() {
    for launch in launch::all() {
        // A command line that is understood fails for want of a database, and for nothing else.
        let nowhere = "postgres://nobody@127.0.0.1:1/none";
        let program = Invocation::new(launch::program(&launch.program)).args(&launch.arguments);
        let program = program.env("DATABASE_URL", nowhere).env("PORT", "0");
        let ended = program.env("LEASECTL_API_TOKEN", "a".repeat(64)).run();
        assert_eq!(ended.code, Some(4), "{}: {}", launch.place, ended.stderr);
    }
}

#[test]
fn every_variable_exists_and_is_documented() {
    let Some(documented) = manual::documented() else {
        return;
    };
    let mut checked = 0;
    for launch in launch::all() {
        let manual = Manual::of(&launch.program, &launch.arguments);
        for name in launch.variables.keys() {
            assert!(
                documented.contains(name),
                "{}: {name} is not in the table",
                launch.place
            );
            let git_credentials = launch.program == "worker" && name.starts_with("LEASECTL_GIT_");
            assert!(
                manual.knows(name) || git_credentials || is_for_both(name),
                "{}: {} does not read {name}",
                launch.place,
                launch.program
            );
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} variables were found");
}

/// The image and the shared environment file set these for whichever program is started.
fn is_for_both(name: &str) -> bool {
    matches!(
        name,
        "PORT"
            | "LEASECTL_API_TOKEN"
            | "LEASECTL_REPOS_DIR"
            | "LEASECTL_DATA_DIR"
            | "LEASECTL_GIT_TOKEN_DIR"
    )
}

#[test]
fn nothing_sets_the_embedded_database_or_local_remotes() {
    for launch in launch::all() {
        for name in ["LEASECTL_EMBEDDED", "LEASECTL_ALLOW_LOCAL"] {
            assert!(
                !launch.variables.contains_key(name),
                "{} sets {name}",
                launch.place
            );
        }
        assert!(
            !launch.flags().any(|flag| flag == "--embedded"),
            "{}",
            launch.place
        );
    }
    let assignments = files::text("deploy/systemd/leasectl.env.example");
    assert!(!assignments.contains("EMBEDDED") && !assignments.contains("ALLOW_LOCAL"));
}

#[test]
fn every_launch_that_stands_alone_gets_a_database() {
    for launch in launch::all() {
        let from_platform = launch.place.contains("railway") || launch.place.contains("Dockerfile");
        assert!(
            from_platform || launch.variables.contains_key("DATABASE_URL"),
            "{} has no DATABASE_URL",
            launch.place
        );
    }
}

#[test]
fn stopping_has_the_time_that_a_drain_takes() {
    let (workers, apis) = workers_and_apis();
    let mut checked = 0;
    for worker in workers {
        let drain = files::duration(worker.flag("--drain-timeout").unwrap_or("30s"));
        if let Some(grace) = worker.grace {
            assert!(
                grace >= drain + MARGIN,
                "{}: {grace:?} for {drain:?}",
                worker.place
            );
            checked += 1;
        }
    }
    for api in apis {
        if let Some(grace) = api.grace {
            assert!(
                grace >= API_DRAIN + Duration::from_secs(5),
                "{}: {grace:?}",
                api.place
            );
            checked += 1;
        }
    }
    assert!(
        checked >= 7,
        "only {checked} launches say how long stopping may take"
    );
}

#[test]
fn an_api_that_other_machines_reach_has_a_token() {
    let (_, apis) = workers_and_apis();
    for api in apis {
        let address = api.flag("--listen").map(str::to_owned).or_else(|| {
            let port = api
                .variables
                .get("PORT")
                .map(|port| format!("0.0.0.0:{port}"));
            port.or_else(|| api.variables.get("LEASECTL_LISTEN").cloned())
        });
        let open = address.is_some_and(|address| !address.starts_with("127.0.0.1:"));
        let is_image = api.place.contains("Dockerfile");
        let token = api.variables.contains_key("LEASECTL_API_TOKEN");
        assert!(
            token || is_image || !open,
            "{} would refuse to start",
            api.place
        );
    }
}

#[test]
fn the_environment_file_holds_only_settings() {
    let Some(documented) = manual::documented() else {
        return;
    };
    let names = systemd::environment_file();
    assert!(names.contains("DATABASE_URL") && names.contains("LEASECTL_API_TOKEN"));
    for name in names {
        assert!(documented.contains(&name), "{name} is no setting");
    }
}

#[test]
fn every_setting_of_the_programs_is_in_the_table() {
    let Some(documented) = manual::documented() else {
        return;
    };
    let mut checked = 0;
    for (program, arguments) in [("worker", vec!["run".to_owned()]), ("leasectl-api", vec![])] {
        for setting in Manual::of(program, &arguments).settings() {
            assert!(
                documented.contains(setting),
                "{program}: {setting} is not in the table"
            );
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} settings were found");
}
