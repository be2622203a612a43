//! Looks into the tables, and now and then changes a row to make time pass.

use tokio_postgres::types::{FromSqlOwned, ToSql};
use tokio_postgres::{Client, NoTls, Row};

use crate::runtime::{block_on, runtime};
use crate::wait::{PATIENCE, wait_until};

/// A database, by its URL; each question uses a connection of its own, so that it also works right
/// after the server was restarted.
#[derive(Clone, Debug)]
pub struct Sql {
    url: String,
}

impl Sql {
    /// The database of that URL.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
        }
    }

    /// All rows of an answer.
    ///
    /// # Panics
    /// When the statement is refused or the database is away.
    #[must_use]
    #[track_caller]
    pub fn rows(&self, statement: &str, params: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        self.try_rows(statement, params)
            .unwrap_or_else(|error| panic!("{statement}\n{error:?}"))
    }

    /// The first column of the only row.
    ///
    /// # Panics
    /// When the statement is refused, the database is away, or there is not exactly one row.
    #[must_use]
    #[track_caller]
    pub fn one<T: FromSqlOwned>(&self, statement: &str, params: &[&(dyn ToSql + Sync)]) -> T {
        let rows = self.rows(statement, params);
        assert_eq!(rows.len(), 1, "rows of {statement}");
        rows[0].get(0)
    }

    /// Runs statements that return nothing.
    ///
    /// # Panics
    /// When one is refused or the database is away.
    #[track_caller]
    pub fn run(&self, statements: &str) {
        block_on(async { connect(&self.url).await?.batch_execute(statements).await })
            .unwrap_or_else(|error| panic!("{statements}\n{error:?}"));
    }

    /// All rows of an answer, or why there are none.
    ///
    /// # Errors
    /// When the statement is refused or the database is away.
    pub fn try_rows(
        &self,
        statement: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        block_on(async { connect(&self.url).await?.query(statement, params).await })
    }

    /// Every row of every table of leasectl as text: what a leaked secret would be found in.
    ///
    /// # Panics
    /// When the database is away.
    #[must_use]
    pub fn dump(&self) -> String {
        let tables = self.rows(
            "select format('%I.%I', schemaname, tablename) from pg_tables \
              where schemaname = 'leasectl'",
            &[],
        );
        let mut dump = String::new();
        for table in tables {
            let table: String = table.get(0);
            for row in self.rows(&format!("select t::text from {table} t"), &[]) {
                dump.push_str(row.get(0));
                dump.push('\n');
            }
        }
        dump
    }

    /// Runs a statement in a transaction that stays open until the answer is dropped, to hold the
    /// programs under test where they would need what it locked.
    ///
    /// # Panics
    /// When the statement is refused or the database is away.
    #[must_use]
    #[track_caller]
    pub fn hold(&self, statement: &str) -> Held {
        self.try_hold(statement)
            .unwrap_or_else(|error| panic!("{statement}\n{error:?}"))
    }

    /// The same, or why it is impossible now.
    ///
    /// # Errors
    /// When the statement is refused or the database is away.
    pub fn try_hold(&self, statement: &str) -> Result<Held, tokio_postgres::Error> {
        block_on(async {
            let client = connect(&self.url).await?;
            client.batch_execute("begin").await?;
            client.batch_execute(statement).await?;
            Ok(Held { _client: client })
        })
    }

    /// Waits until a session of this database waits for a lock.
    ///
    /// # Panics
    /// When none does.
    #[track_caller]
    pub fn wait_for_waiter(&self) {
        wait_until(PATIENCE, "a session that waits for a lock", || {
            let waiting: i64 = self.one(
                "select count(*) from pg_stat_activity \
                  where datname = current_database() and wait_event_type = 'Lock'",
                &[],
            );
            (waiting > 0).then_some(())
        });
    }
}

/// An open transaction; dropping it ends its session, and so lets go of its locks.
#[derive(Debug)]
pub struct Held {
    _client: Client,
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    runtime().spawn(connection);
    Ok(client)
}
