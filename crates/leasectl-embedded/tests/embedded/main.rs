//! The shared server, used by this process and by others that are started and killed.

#![expect(clippy::expect_used, reason = "helpers of tests")]

mod world;

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use leasectl_embedded::{Embedded, EmbeddedError, EmbeddedOptions, FindError, Left};
use rustix::process::Signal;

use self::world::{
    DATA_DIR, User, execute, folder, open, options, prepared, server_pid, wait_until,
};

#[test]
fn a_user_in_a_process_of_its_own() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how the other tests talk to this one"
    )]
    let Some(data_dir) = std::env::var_os(DATA_DIR) else {
        return;
    };
    let embedded = open(Path::new(&data_dir));
    println!("user: {}", embedded.url());
    std::io::stdin()
        .read_exact(&mut [0; 6])
        .expect("told to leave");
    println!("user: {:?}", embedded.stop_if_last().expect("left"));
}

#[test]
fn the_last_of_several_processes_stops_the_server() {
    let root = prepared();
    let first = User::joined(root.path());
    let embedded = open(root.path());
    let second = User::joined(root.path());
    let pid = server_pid(root.path());
    assert_eq!(first.leave(), "StillUsed");
    execute(embedded.url(), "SELECT 1").expect("the server goes on");
    assert_eq!(embedded.stop_if_last().expect("left"), Left::StillUsed);
    assert_eq!(server_pid(root.path()), pid, "nobody restarted it");
    assert_eq!(second.leave(), "Stopped");
    assert_eq!(Embedded::running(root.path()), None);
    assert!(!root.path().join("postgres/data/postmaster.pid").exists());
}

#[test]
fn processes_that_start_together_share_one_new_server() {
    let root = folder();
    let mut users: Vec<User> = (0..4).map(|_| User::start(root.path(), None)).collect();
    let mut urls: Vec<String> = users.iter_mut().map(User::answer).collect();
    urls.dedup();
    assert_eq!(urls.len(), 1, "{urls:?}");
    let answers: Vec<String> = users.into_iter().map(User::leave).collect();
    assert_eq!(answers, ["StillUsed", "StillUsed", "StillUsed", "Stopped"]);
}

#[test]
fn a_killed_starter_takes_nothing_from_the_others() {
    let root = prepared();
    let starter = User::joined(root.path());
    let other = User::joined(root.path());
    let pid = server_pid(root.path());
    starter.kill();
    let url = Embedded::running(root.path()).expect("running");
    execute(&url, "SELECT 1").expect("the server goes on");
    assert_eq!(server_pid(root.path()), pid);
    assert_eq!(other.leave(), "Stopped", "a killed user is no user");
}

#[test]
fn a_server_left_behind_by_a_killed_user_is_adopted() {
    let root = prepared();
    User::joined(root.path()).kill();
    let url = Embedded::running(root.path()).expect("left running");
    let pid = server_pid(root.path());
    let embedded = open(root.path());
    assert_eq!(embedded.url(), url);
    assert_eq!(server_pid(root.path()), pid);
    drop(embedded);
    assert_eq!(Embedded::running(root.path()), None);
}

#[test]
fn a_crashed_server_comes_back_with_what_was_committed() {
    let root = prepared();
    let embedded = open(root.path());
    execute(embedded.url(), "CREATE TABLE kept (id int)").expect("made");
    rustix::process::kill_process(server_pid(root.path()), Signal::KILL).expect("killed");
    wait_until("the server's end", || {
        Embedded::running(root.path()).is_none()
    });
    embedded.ensure_running().expect("started again");
    execute(embedded.url(), "INSERT INTO kept VALUES (1)").expect("kept");

    rustix::process::kill_process(server_pid(root.path()), Signal::KILL).expect("killed");
    wait_until("the server's end", || {
        Embedded::running(root.path()).is_none()
    });
    let newcomer = User::joined(root.path());
    execute(embedded.url(), "INSERT INTO kept VALUES (2)").expect("kept");
    assert_eq!(newcomer.leave(), "StillUsed");
    assert_eq!(embedded.stop_if_last().expect("left"), Left::Stopped);
}

#[test]
fn a_server_whose_socket_was_removed_is_restarted() {
    let root = prepared();
    let embedded = open(root.path());
    let pid = server_pid(root.path());
    fs::remove_file(root.path().join("postgres/socket/.s.PGSQL.5432")).expect("removed");
    assert_eq!(Embedded::running(root.path()), None);
    assert!(embedded.is_alive());
    embedded.ensure_running().expect("restarted");
    execute(embedded.url(), "SELECT 1").expect("it answers");
    assert_ne!(server_pid(root.path()), pid);
}

#[test]
fn asking_for_a_running_server_creates_nothing() {
    let root = folder();
    let data_dir = root.path().join("not/yet");
    assert_eq!(Embedded::running(&data_dir), None);
    assert!(!data_dir.exists());
    assert_eq!(fs::read_dir(root.path()).expect("readable").count(), 0);
}

#[test]
fn leftovers_of_a_killed_first_start_are_replaced() {
    let root = folder();
    let leftover = root.path().join("postgres/data.new-killed");
    fs::create_dir_all(&leftover).expect("made");
    fs::write(leftover.join("PG_VERSION"), "9").expect("written");
    fs::set_permissions(root.path().join("postgres"), Permissions::from_mode(0o755)).expect("set");
    let embedded = open(root.path());
    execute(embedded.url(), "SELECT 1").expect("it answers");
    assert!(!leftover.exists());
}

#[test]
fn a_long_data_directory_works_and_leaves_no_folder_behind() {
    let root = folder();
    let data_dir = root.path().join("long-".repeat(40));
    let embedded = open(&data_dir);
    execute(embedded.url(), "SELECT 1").expect("it answers");
    let record = data_dir.join("postgres/socket-dir");
    let socket_dir = PathBuf::from(fs::read_to_string(&record).expect("recorded"));
    assert_eq!(
        fs::metadata(&socket_dir)
            .expect("there")
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    assert_eq!(
        Embedded::running(&data_dir).as_deref(),
        Some(embedded.url())
    );
    drop(embedded);
    assert!(!socket_dir.exists());
}

#[test]
fn the_server_is_durable_and_listens_on_no_network_address() {
    let root = prepared();
    let embedded = open(root.path());
    for (setting, value) in [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
    ] {
        let check = format!(
            "DO $$ BEGIN ASSERT current_setting('{setting}') = '{value}', '{setting}'; END $$"
        );
        execute(embedded.url(), &check).unwrap_or_else(|error| panic!("{setting}: {error:?}"));
    }
    let socket_dir = root.path().join("postgres/socket");
    assert_eq!(
        fs::metadata(socket_dir)
            .expect("there")
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
}

#[test]
fn upgraded_programs_restart_a_server_that_nobody_uses() {
    let root = prepared();
    User::joined(root.path()).kill();
    let before = server_pid(root.path());
    let stamp = root.path().join("postgres/programs");
    let text = fs::read_to_string(&stamp).expect("recorded");
    let folder = text.lines().next().expect("the folder");
    let other_build = format!("{folder}\n1 2 3\n");
    fs::write(&stamp, &other_build).expect("written");
    let embedded = open(root.path());
    let after = server_pid(root.path());
    assert_ne!(after, before, "nobody used it, so it was restarted");

    fs::write(&stamp, &other_build).expect("written");
    let second = User::joined(root.path());
    assert_eq!(
        server_pid(root.path()),
        after,
        "it is in use, so it goes on"
    );
    drop(embedded);
    assert_eq!(second.leave(), "Stopped");
}

#[test]
fn a_named_folder_without_a_server_is_an_error_that_says_so() {
    let root = folder();
    let bin_dir = Some(root.path().to_owned());
    let result = Embedded::open(
        root.path(),
        EmbeddedOptions {
            bin_dir,
            ..options()
        },
    );
    let error = result.expect_err("there is no server");
    assert!(
        matches!(error, EmbeddedError::Find(FindError::NamedFolder { .. })),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("LEASECTL_POSTGRES_BIN"),
        "{error}"
    );
    assert_eq!(Embedded::running(root.path()), None);
}

#[test]
fn a_cluster_of_another_version_names_the_package_to_install() {
    let root = prepared();
    fs::write(root.path().join("postgres/data/PG_VERSION"), "14\n").expect("written");
    let options = options();
    let error = match Embedded::open(root.path(), options) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("a server of another version must not be started"),
    };
    assert!(
        error.contains("PostgreSQL 14") || error.contains("did not start"),
        "{error}"
    );
}

#[test]
fn an_ordinary_user_has_a_server_of_its_own() {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        println!(
            "SKIPPED: only root can act as another user; the other tests ran as an ordinary one"
        );
        return;
    }
    let program = std::env::current_exe().expect("this test's path");
    let reachable = program.ancestors().skip(1).all(|folder| {
        fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    });
    if !reachable {
        println!("SKIPPED: other users cannot enter the folder of this test's program");
        return;
    }
    let root = folder();
    std::os::unix::fs::chown(root.path(), Some(NOBODY), Some(NOBODY)).expect("given");
    let mut user = User::start(root.path(), Some(NOBODY));
    user.answer();
    let mode = fs::metadata(root.path().join("postgres"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700, "nobody else may enter");
    assert_eq!(user.leave(), "Stopped");
}

#[test]
fn root_is_told_which_folder_keeps_the_servers_account_out() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root runs the server as another account");
        return;
    }
    let root = folder();
    let locked = root.path().join("locked");
    fs::create_dir(&locked).expect("made");
    fs::set_permissions(&locked, Permissions::from_mode(0o700)).expect("set");
    let result = Embedded::open(&locked.join("data"), options());
    let error = result.expect_err("the account cannot pass").to_string();
    assert!(error.contains(&locked.display().to_string()), "{error}");
    assert!(error.contains("/var/lib/leasectl"), "{error}");
}
