//! The image: `deploy/Dockerfile` and what it copies.

use std::collections::BTreeMap;

use crate::files;
use crate::launch::Launch;

/// One instruction, continuation lines joined.
struct Instruction {
    name: String,
    rest: String,
}

/// The instructions, parted into stages.
fn stages() -> Vec<Vec<Instruction>> {
    let text = files::text("deploy/Dockerfile").replace("\\\n", " ");
    let mut stages: Vec<Vec<Instruction>> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            continue;
        }
        let (name, rest) = line.split_once(' ').expect("an instruction has arguments");
        if name == "FROM" {
            stages.push(Vec::new());
        }
        let stage = stages.last_mut().expect("FROM comes first");
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        stage.push(Instruction {
            name: name.to_owned(),
            rest,
        });
    }
    stages
}

fn only<'a>(stage: &'a [Instruction], name: &str) -> &'a str {
    let mut found = stage.iter().filter(|instruction| instruction.name == name);
    let first = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "several {name}");
    &first.rest
}

fn exec_form(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("not in exec form: {text}"))
}

/// What the image sets for whichever program it starts.
pub(crate) fn variables() -> BTreeMap<String, String> {
    let stages = stages();
    let runtime = stages.last().expect("there are stages");
    let words = only(runtime, "ENV").split(' ');
    words
        .map(|word| word.split_once('=').expect("NAME=value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

pub(crate) fn launch() -> Launch {
    let stages = stages();
    let runtime = stages.last().expect("there are stages");
    let mut launch = Launch::new("Dockerfile CMD", &exec_form(only(runtime, "CMD")));
    launch.variables = variables();
    launch
}

#[test]
fn the_image_is_built_in_stages_from_the_locked_dependencies() {
    let stages = stages();
    assert_eq!(stages.len(), 2);
    let build = &stages[0];
    let toolchain = files::text("rust-toolchain.toml");
    let version = toolchain.split('"').nth(1).expect("a channel is pinned");
    assert!(
        only(build, "FROM").starts_with(&format!("rust:{version}-")),
        "{version}"
    );
    let run = only(build, "RUN");
    assert!(run.contains("cargo build --release --locked"), "{run}");
    for program in ["worker", "leasectl-api"] {
        assert!(run.contains(&format!("--bin {program}")), "{run}");
    }
}

#[test]
fn the_image_holds_both_programs_and_what_they_need() {
    let stages = stages();
    let runtime = &stages[1];
    let copies: Vec<&str> = runtime
        .iter()
        .filter(|instruction| instruction.name == "COPY")
        .map(|instruction| instruction.rest.as_str())
        .collect();
    for program in ["worker", "leasectl-api"] {
        let path = format!("/source/target/release/{program} ");
        assert!(
            copies.iter().any(|copy| copy.contains(&path)),
            "{program} is not copied"
        );
    }
    let packages = only(runtime, "RUN");
    for package in ["git", "ca-certificates", "openssh-client"] {
        assert!(packages.contains(package), "{package} is not installed");
    }
    for copy in copies.iter().filter(|copy| !copy.contains("--from")) {
        let mut sources: Vec<&str> = copy
            .split(' ')
            .filter(|word| !word.starts_with("--"))
            .collect();
        sources.pop();
        for source in sources {
            assert!(
                files::top().join(source).is_file(),
                "{source} does not exist"
            );
        }
    }
}

#[test]
fn the_image_runs_as_an_ordinary_user_without_a_shell_in_between() {
    let stages = stages();
    let runtime = &stages[1];
    let user = only(runtime, "USER");
    let (uid, gid) = user.split_once(':').expect("uid:gid");
    assert!(
        uid.parse::<u32>().is_ok_and(|uid| uid >= 1_000),
        "{user} must be a number, not root"
    );
    assert_eq!(uid, gid);
    assert!(
        !runtime
            .iter()
            .any(|instruction| instruction.name == "ENTRYPOINT")
    );
    assert_eq!(exec_form(only(runtime, "CMD")), ["leasectl-api"]);
    assert_eq!(only(runtime, "STOPSIGNAL"), "SIGTERM");
    assert_eq!(only(runtime, "EXPOSE"), variables()["PORT"]);
}

#[test]
fn the_health_check_of_the_image_is_the_script_that_is_tested() {
    let stages = stages();
    let (_, test) = only(&stages[1], "HEALTHCHECK")
        .split_once(" CMD ")
        .expect("CMD");
    assert_eq!(exec_form(test), ["leasectl-healthcheck"]);
    let copied = stages[1].iter().any(|instruction| {
        instruction
            .rest
            .ends_with("deploy/healthcheck /usr/local/bin/leasectl-healthcheck")
    });
    assert!(copied);
}

#[test]
fn the_build_context_holds_what_is_copied() {
    let ignore = files::text(".dockerignore");
    let kept: Vec<&str> = ignore
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let manifest = files::text("Cargo.toml");
    let members = manifest
        .split("members = [")
        .nth(1)
        .and_then(|rest| rest.split(']').next());
    for member in members
        .expect("the workspace has members")
        .split('"')
        .skip(1)
        .step_by(2)
    {
        let folder = member.split('/').next().unwrap_or(member);
        assert!(
            kept.contains(&folder),
            "{member} would be missing in the build"
        );
    }
    for path in [
        "Cargo.lock",
        "Cargo.toml",
        "migrations",
        "rust-toolchain.toml",
    ] {
        assert!(kept.contains(&path), "{path} would be missing in the build");
    }
}
