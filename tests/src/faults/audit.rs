//! Reads the history that the database wrote.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_postgres::Row;

use super::record::{Change, What};
use crate::sql::Sql;

const INSTALL: &str = include_str!("audit.sql");
const READ: &str = "select seq, at_us, begun_us, booted_us, port, subject, id, repo, before, after, \
                           xmin::text, audit.us(pg_xact_commit_timestamp(xmin)) \
                      from audit.change order by seq";

/// Makes the database write its history from now on.
pub(super) fn install(sql: &Sql) {
    sql.run(INSTALL);
}

/// Everything that was written and committed.
pub(super) fn read(sql: &Sql) -> Vec<Change> {
    sql.rows(READ, &[]).iter().map(change).collect()
}

fn change(row: &Row) -> Change {
    let subject: &str = row.get(5);
    let id: String = row.get(6);
    let what = match subject {
        "job" => What::Job {
            id,
            before: part(row, 8),
            after: part(row, 9),
        },
        "finished" => What::Finished {
            id,
            row: part(row, 9).expect("a row"),
        },
        "repository" => {
            let after: Value = row.get(9);
            let head = after["head"].as_str().map(str::to_owned);
            What::Repository { head }
        }
        "pass" => What::Pass {
            before: part(row, 8),
            after: part(row, 9).expect("a row"),
        },
        "snapshot" => What::Snapshot,
        "inventory" => {
            let after: Value = row.get(9);
            let generation = after["generation"].as_i64().expect("a number");
            What::Inventory { generation }
        }
        _ => What::Branch,
    };
    Change {
        seq: row.get(0),
        at: row.get(1),
        begun: row.get(2),
        booted: row.get(3),
        port: row.get(4),
        repo: row.get(7),
        xid: row.get(10),
        committed: row.get(11),
        what,
    }
}

fn part<T: DeserializeOwned>(row: &Row, column: usize) -> Option<T> {
    let json: Option<Value> = row.get(column);
    json.map(|json| serde_json::from_value(json).expect("the columns of audit.sql"))
}
