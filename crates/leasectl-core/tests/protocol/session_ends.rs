//! P4: what a worker learns of its liveness session: its settings, its end, and what hinders another.

use std::time::Duration;

use leasectl_core::database::{DatabaseError, DatabaseUrl};
use leasectl_core::liveness::{LivenessError, LivenessSession, Obstacle, PoolerSign, SessionEnd};
use leasectl_embedded::scratch;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::fixture::Fixture;

const DEADLINE: Duration = Duration::from_secs(60);

const ANNOUNCED: SessionEnd = SessionEnd { is_announced: true };
const UNANNOUNCED: SessionEnd = SessionEnd {
    is_announced: false,
};

impl Fixture {
    /// Makes whoever tries for a liveness lock hear that error.
    async fn refuse_locks(&self, code: &str) {
        let refusing = format!(
            "create or replace function leasectl.try_liveness_lock(key integer) returns boolean \
             language plpgsql as $$ begin raise exception 'no' using errcode = '{code}'; end $$"
        );
        self.client().await.batch_execute(&refusing).await.unwrap();
    }

    /// Ends every liveness session of this database, as an administrator may.
    async fn terminate_sessions(&self) {
        let ended = self
            .execute(
                "select pg_terminate_backend(pid) from pg_stat_activity \
                  where datname = current_database() and application_name = 'leasectl liveness'",
                &[],
            )
            .await;
        assert_eq!(ended, 1);
    }

    /// This database behind a proxy on TCP, with what cuts every connection through it.
    async fn behind_a_proxy(&self) -> (DatabaseUrl, AbortHandle) {
        let server = scratch::shared().unwrap();
        let socket = format!(".s.PGSQL.{}", server.port());
        let socket = server.socket_dir().join(socket);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = tokio::spawn(async move {
            // They end with this task.
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = UnixStream::connect(&socket).await.unwrap();
                connections.spawn(async move {
                    // However it ends.
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        let client = self.client().await;
        let row = client.query_one("select current_database()", &[]).await;
        let name: String = row.unwrap().get(0);
        let url = format!("postgres://leasectl@127.0.0.1:{port}/{name}?sslmode=disable");
        (DatabaseUrl::parse(&url).unwrap(), proxy.abort_handle())
    }
}

async fn ended(session: &mut LivenessSession) -> SessionEnd {
    let ended = tokio::time::timeout(DEADLINE, session.ended()).await;
    ended.expect("the session ends")
}

#[tokio::test]
async fn a_session_that_the_server_ends_says_that_this_was_announced() {
    let fixture = Fixture::new().await;
    let mut session = fixture.session().await;
    session.answers().await.unwrap();
    assert_eq!(session.end(), UNANNOUNCED);
    fixture.terminate_sessions().await;
    assert_eq!(ended(&mut session).await, ANNOUNCED);
    assert_eq!(session.end(), ANNOUNCED);
    assert!(session.answers().await.is_err());
    assert!(session.configure().await.is_err());
}

#[tokio::test]
async fn a_session_that_is_cut_was_not_announced_to_end_and_nobody_answers_on_it() {
    let fixture = Fixture::new().await;
    let (url, proxy) = fixture.behind_a_proxy().await;
    let mut session = LivenessSession::open(&url).await.unwrap();
    proxy.abort();
    assert_eq!(ended(&mut session).await, UNANNOUNCED);
    let error = session.answers().await.unwrap_err();
    assert_eq!(error.obstacle(), Obstacle::NoAnswer, "{error:?}");
    let error = LivenessSession::open(&url).await.unwrap_err();
    assert_eq!(error.obstacle(), Obstacle::NoAnswer, "{error:?}");
}

#[tokio::test]
async fn an_announcement_that_answers_a_statement_is_remembered() {
    let fixture = Fixture::new().await;
    let mut session = fixture.session().await;
    fixture.refuse_locks("57P01").await;
    let error = session.ping().await.unwrap_err();
    assert_eq!(error.obstacle(), Obstacle::GoingDown, "{error:?}");
    assert_eq!(session.end(), ANNOUNCED);
}

#[tokio::test]
async fn a_statement_that_is_refused_is_neither_a_shutdown_nor_silence() {
    let fixture = Fixture::new().await;
    let mut session = fixture.session().await;
    fixture.refuse_locks("42501").await;
    let error = session.ping().await.unwrap_err();
    assert_eq!(error.obstacle(), Obstacle::Refused, "{error:?}");
    assert_eq!(session.end(), UNANNOUNCED);
    session.answers().await.unwrap();
}

#[test]
fn a_pooler_is_neither_a_shutdown_nor_silence() {
    let error = LivenessError::from(PoolerSign::SharedSession);
    assert_eq!(error.obstacle(), Obstacle::Pooler);
}

#[test]
fn an_answer_that_this_program_does_not_understand_is_no_silence() {
    let error = LivenessError::from(DatabaseError::UnknownValue("a lane".to_owned()));
    assert_eq!(error.obstacle(), Obstacle::Refused);
}

#[tokio::test]
async fn settings_that_a_socket_of_this_machine_does_not_have_are_named() {
    let fixture = Fixture::new().await;
    let session = LivenessSession::open(&fixture.url).await.unwrap();
    let refused = session.configure().await.unwrap();
    let refused: Vec<_> = refused.iter().map(|setting| setting.name).collect();
    assert_eq!(
        refused,
        [
            "tcp_keepalives_idle",
            "tcp_keepalives_interval",
            "tcp_keepalives_count",
            "tcp_user_timeout"
        ]
    );
}

#[tokio::test]
async fn a_host_may_forbid_a_setting_and_the_session_lives() {
    let fixture = Fixture::new().await;
    let forbid = "create function public.set_config(name text, value text, is_local boolean) returns text \
                  language plpgsql as $$ begin \
                    if name = 'plan_cache_mode' then raise exception 'no' using errcode = '42501'; end if; \
                    return pg_catalog.set_config(name, value, is_local); end $$; \
                  do $$ begin execute format('alter database %I set search_path = public, pg_catalog', \
                    current_database()); end $$";
    let client = fixture.client().await;
    client.batch_execute(forbid).await.unwrap();
    let mut session = LivenessSession::open(&fixture.url).await.unwrap();
    let refused = session.configure().await.unwrap();
    let forbidden = refused.iter().filter(|s| s.name == "plan_cache_mode");
    assert_eq!(forbidden.count(), 1, "{refused:?}");
    session.answers().await.unwrap();
}

#[tokio::test]
async fn a_worker_knows_how_many_of_the_watched_are_older() {
    let fixture = Fixture::new().await;
    let mut workers = Vec::new();
    for name in ["first", "second", "third"] {
        workers.push(fixture.watched(name).await);
    }
    for (older, worker) in workers.iter_mut().enumerate() {
        let sighting = worker.session.sight(worker.key).await.unwrap();
        assert_eq!(sighting.older, older);
        assert_eq!(worker.session.older(worker.key).await.unwrap(), older);
    }
}

#[tokio::test]
async fn who_drains_or_is_frozen_is_nobodys_elder() {
    let fixture = Fixture::new().await;
    let mut workers = Vec::new();
    for name in ["drains", "frozen", "works", "youngest"] {
        workers.push(fixture.watched(name).await);
    }
    let youngest = workers.last_mut().unwrap();
    for change in [
        "set draining = true where owner like '%drains%'",
        "set heartbeat_at = now() - 2 * heartbeat_interval where owner like '%frozen%'",
    ] {
        let change = format!("update leasectl.worker {change}");
        assert_eq!(fixture.execute(&change, &[]).await, 1);
    }
    let sighting = youngest.session.sight(youngest.key).await.unwrap();
    assert_eq!(sighting.older, 1);
    assert_eq!(youngest.session.older(youngest.key).await.unwrap(), 1);
    // They are watched all the same.
    assert_eq!(sighting.absent, []);
}
