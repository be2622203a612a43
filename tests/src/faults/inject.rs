//! Injects one fault. What finds nothing to happen to is not counted.

use std::time::Duration;

use leasectl_embedded::Mode;
use leasectl_repo::serve::Fault;

use super::kind::Kind;
use super::load::BURST;
use super::proxy::Weather;
use super::undo::Undo;
use super::world::World;

/// How often a server that did not come up is started again.
const STARTS: u32 = 5;

impl World {
    pub(super) fn inject(&mut self, kind: Kind) {
        let number = self.dice.roll(self.members.len());
        match kind {
            Kind::Kill => self.kill(number),
            Kind::Trap => self.set_trap(number),
            Kind::KillWhileCloning => self.kill_while_cloning(),
            Kind::FreezeShortly => {
                let length = self.millis(50, 700);
                self.freeze(number, length);
            }
            Kind::FreezeLong => {
                let length = self.millis(2_200, 4_000);
                self.freeze(number, length);
            }
            Kind::Drain => self.drain(number),
            Kind::WrongClock => self.set_clock_wrong(number),
            Kind::OutOfMemory => self.exhaust_memory(number),
            Kind::OutOfDescriptors => self.exhaust_descriptors(number),
            Kind::Reset | Kind::CutAfter => self.cut_connection(kind == Kind::CutAfter),
            Kind::Latency => {
                let latency = self.millis(50, 500);
                self.change_weather(number, "latency up to 500 ms", |weather| {
                    weather.latency = latency;
                });
            }
            Kind::Silence => self.change_weather(number, "nothing passes for a moment", |weather| {
                weather.is_silent = true;
            }),
            Kind::RefuseConnections => {
                self.change_weather(number, "connections refused", |weather| {
                    weather.refuses = true;
                });
            }
            Kind::CutOff => self.cut_off(number),
            Kind::Terminate => self.terminate_backend(),
            Kind::RestartFast => self.restart(Mode::Fast),
            Kind::RestartImmediate => self.restart(Mode::Immediate),
            Kind::OldSnapshot => self.hold(
                "set transaction isolation level repeatable read; select count(*) from leasectl.job",
                "old snapshot held",
            ),
            Kind::PoolExhausted => self.hold(
                "set lock_timeout = '500ms'; lock table leasectl.branch in share row exclusive mode",
                "every handler waits with a connection",
            ),
            Kind::MigrationBehindReader => self.migrate_behind_a_reader(),
            Kind::Burst => self.burst(),
            Kind::DamageClone => self.damage_clone(),
            Kind::DiskFull => {
                if self.fill_disk() {
                    let length = self.millis(500, 2_000);
                    self.later(length, Undo::Disk);
                }
            }
            Kind::Remote => self.break_remote(),
            Kind::Garbage => {
                // Counted when it was answered.
                let seed = self.dice.number(0, u64::from(u32::MAX));
                self.garbage.order(seed);
            }
            Kind::Poison => {
                let sql = self.sql();
                if self.poison.enqueue(&sql) {
                    self.tally.count("poisonous job");
                }
            }
        }
    }

    fn burst(&mut self) {
        let repo = self.sources.last().map(|source| source.id.clone());
        if let (Some(load), Some(repo)) = (&mut self.load, repo) {
            load.burst(&repo);
            self.tally.count(format!("{BURST} jobs at once"));
        }
    }

    fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.dice.number(least, most))
    }

    /// Resets a connection of a worker or of the service, now or in the middle of something.
    fn cut_connection(&mut self, later: bool) {
        let which = self.dice.roll(self.members.len() * 4 + 1);
        let member = self.members.get(which / 4);
        let proxy = member.map_or_else(|| self.garbage.proxy(), |member| &member.proxy);
        let links = proxy.links();
        if links == 0 {
            return;
        }
        let link = self.dice.roll(links);
        let bytes = self.dice.number(1, 6_000);
        if later {
            if proxy.cut_after(link, i64::try_from(bytes).unwrap_or(1)) {
                self.tally.count("connection cut after some bytes");
            }
        } else if proxy.reset(link) {
            self.tally.count("connection reset");
        }
    }

    fn change_weather(&mut self, number: usize, kind: &str, change: impl FnOnce(&mut Weather)) {
        if self.members[number].is_cut_off {
            return;
        }
        self.members[number].proxy.set_weather(change);
        let length = self.millis(200, 1_200);
        self.later(length, Undo::Weather(number));
        self.tally.count(kind);
    }

    fn terminate_backend(&mut self) {
        let end = "select pid, application_name, pg_terminate_backend(pid) from pg_stat_activity \
                    where datname = current_database() and backend_type = 'client backend' \
                      and pid <> pg_backend_pid() \
                    order by md5(pid::text || $1) limit 1";
        let salt = self.dice.roll(1_000_000).to_string();
        let Ok(rows) = self.sql().try_rows(end, &[&salt]) else {
            return;
        };
        if let Some(row) = rows.first().filter(|row| row.get(2)) {
            let name: String = row.get(1);
            self.tally
                .count(format!("pg_terminate_backend of \"{name}\""));
        }
    }

    fn restart(&mut self, mode: Mode) {
        let server = self.stage.server();
        let mut started = server.restart(mode).is_ok();
        for _ in 1..STARTS {
            started = started || server.start_again().is_ok();
        }
        assert!(started, "the database server does not start again");
        self.tally.count(match mode {
            Mode::Immediate => "database restart, immediate",
            _ => "database restart, fast",
        });
    }

    fn hold(&mut self, statement: &str, kind: &str) {
        if let Ok(held) = self.sql().try_hold(statement) {
            self.held.push(held);
            let length = self.millis(300, 1_500);
            self.later(length, Undo::Held);
            self.tally.count(kind);
        }
    }

    /// A reader, a migration that wants the table alone and gives up, and everybody behind both.
    fn migrate_behind_a_reader(&mut self) {
        self.hold(
            "select 1 from leasectl.job limit 1",
            "migration behind a reader",
        );
        let sql = self.sql();
        std::thread::spawn(move || {
            // It is refused, unless the reader goes first.
            let wanted =
                "set lock_timeout = '400ms'; lock table leasectl.job in access exclusive mode";
            drop(sql.try_hold(wanted));
        });
    }

    fn break_remote(&mut self) {
        let bytes = self.dice.number(1, 60_000);
        let (fault, name) = match self.dice.roll(6) {
            0 => (Fault::CutAfter(bytes), "remote cut in mid-pack"),
            1 => (Fault::StallAfter(bytes), "remote stalled"),
            2 => (Fault::DripAfter(bytes), "remote drips"),
            3 => (Fault::Refuse, "remote refuses connections"),
            4 => (Fault::Status(503), "remote fails"),
            _ => {
                self.remote.set_bytes_per_second(Some(60_000));
                (Fault::None, "remote slow")
            }
        };
        self.remote.set_fault(fault);
        let length = self.millis(300, 1_500);
        self.later(length, Undo::Remote);
        self.tally.count(name);
    }
}
