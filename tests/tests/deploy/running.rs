//! The health check, the probes and the service manager's messages, against running programs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use leasectl_embedded::scratch;
use leasectl_tests::{Finished, Invocation, PATIENCE, Running, Signal, wait_until};
use tempfile::TempDir;

use crate::{files, launch};

/// A running program, its folder, and the port where it was told to listen.
struct Started {
    running: Running,
    folder: TempDir,
    port: u16,
}

/// How the port is told.
#[derive(Clone, Copy)]
enum Told<'a> {
    /// By a flag, `FLAG 127.0.0.1:PORT`.
    Flag(&'a str),
    /// By a variable that holds an address.
    Address(&'a str),
    /// By a variable that holds a port only.
    Port(&'a str),
}

fn start(program: &str, arguments: &[&str], told: Told<'_>, more: &[(&str, &str)]) -> Started {
    let server = scratch::shared().expect("a PostgreSQL server starts");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut invocation = Invocation::new(launch::program(program))
        .args(arguments)
        .env(
            "DATABASE_URL",
            server.create_database().expect("a database can be made"),
        )
        .env("LEASECTL_DATA_DIR", folder.path())
        .env("LEASECTL_API_TOKEN", "a".repeat(64));
    for (name, value) in more {
        invocation = invocation.env(name, value);
    }
    let invocation = match told {
        Told::Flag(flag) => invocation.args([flag, address.as_str()]),
        Told::Address(name) => invocation.env(name, address),
        Told::Port(name) => invocation.env(name, port.to_string()),
    };
    let running = invocation.start(&folder.path().join("log"));
    Started {
        running,
        folder,
        port,
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// Runs the health check of the image on the process.
fn health(running: &Running) -> Finished {
    let script = files::top().join("deploy/healthcheck");
    Invocation::new(script)
        .args([running.pid().to_string()])
        .run()
}

fn wait_until_healthy(started: &mut Started) {
    wait_until(PATIENCE, "a healthy program", || {
        assert!(
            started.running.ended().is_none(),
            "it ended: {}",
            started.running.log()
        );
        (health(&started.running).code == Some(0)).then_some(())
    });
}

/// The status of `GET path`; none while nothing answers.
fn status(port: u16, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    line.split(' ').nth(1)?.parse().ok()
}

#[test]
fn the_health_check_of_the_api_finds_the_port_however_it_was_told() {
    let decoy = ("LEASECTL_LISTEN", "127.0.0.1:1");
    for (told, more) in [
        (Told::Port("PORT"), vec![decoy]),
        (Told::Address("LEASECTL_LISTEN"), vec![]),
        (Told::Flag("--listen"), vec![("PORT", "1"), decoy]),
    ] {
        let mut api = start("leasectl-api", &[], told, &more);
        wait_until_healthy(&mut api);
        assert_eq!(status(api.port, "/healthz"), Some(200));
    }
}

#[test]
fn the_health_check_of_a_worker_asks_its_metrics_listener() {
    for told in [
        Told::Flag("--metrics-listen"),
        Told::Address("LEASECTL_METRICS_LISTEN"),
    ] {
        let mut worker = start("worker", &["run"], told, &[]);
        wait_until_healthy(&mut worker);
        assert_eq!(status(worker.port, "/healthz"), Some(200));
    }
}

#[test]
fn the_health_check_notices_a_program_that_hangs_or_is_gone() {
    let mut api = start("leasectl-api", &[], Told::Port("PORT"), &[]);
    wait_until_healthy(&mut api);
    api.running.signal(Signal::STOP);
    assert_eq!(health(&api.running).code, Some(1), "it hangs");
    api.running.signal(Signal::CONT);
    assert_eq!(health(&api.running).code, Some(0), "it goes on");
    api.running.kill();
    assert_ne!(health(&api.running).code, Some(0), "it is gone");
}

#[test]
fn every_path_that_is_probed_answers() {
    let mut api = start("leasectl-api", &[], Told::Port("PORT"), &[]);
    let mut worker = start("worker", &["run"], Told::Flag("--metrics-listen"), &[]);
    wait_until_healthy(&mut api);
    wait_until_healthy(&mut worker);
    let mut probed = 0;
    for launch in launch::all() {
        let port = if launch.program == "worker" {
            worker.port
        } else {
            api.port
        };
        for path in &launch.probes {
            let what = format!("{}: 200 for {path}", launch.place);
            wait_until(PATIENCE, &what, || {
                (status(port, path)? == 200).then_some(())
            });
            probed += 1;
        }
    }
    assert!(probed >= 7, "only {probed} probes were found");
}

/// Collects what a program tells the service manager.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket can be bound");
        socket.set_nonblocking(true).expect("it does not block");
        Self {
            socket,
            heard: Vec::new(),
        }
    }

    fn wait_for(&mut self, wanted: &str, running: &Running) {
        let what = format!("{wanted} from {}", running.pid());
        wait_until(PATIENCE, &what, || {
            let mut buffer = [0_u8; 4096];
            while let Ok(length) = self.socket.recv(&mut buffer) {
                let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                self.heard.extend(message.lines().map(str::to_owned));
            }
            self.heard.iter().any(|line| line == wanted).then_some(())
        });
    }
}

fn tells_the_service_manager(program: &str, arguments: &[&str], told: Told<'_>) {
    let sockets = tempfile::tempdir().expect("a folder can be made");
    let path = sockets.path().join("notify");
    let mut manager = Manager::listen(&path);
    let path = path.to_string_lossy().into_owned();
    let more = [
        ("NOTIFY_SOCKET", path.as_str()),
        ("WATCHDOG_USEC", "400000"),
    ];
    let mut started = start(program, arguments, told, &more);
    manager.wait_for("READY=1", &started.running);
    assert_eq!(
        status(started.port, "/healthz"),
        Some(200),
        "ready means ready"
    );
    manager.wait_for("WATCHDOG=1", &started.running);
    started.running.signal(Signal::TERM);
    manager.wait_for("STOPPING=1", &started.running);
    assert_eq!(
        started.running.wait(PATIENCE),
        0,
        "{}",
        started.running.log()
    );
    drop(started.folder);
}

#[test]
fn the_api_tells_systemd_that_it_is_ready_alive_and_stopping() {
    tells_the_service_manager("leasectl-api", &[], Told::Port("PORT"));
}

#[test]
fn the_worker_tells_systemd_that_it_is_ready_alive_and_stopping() {
    tells_the_service_manager("worker", &["run"], Told::Flag("--metrics-listen"));
}
