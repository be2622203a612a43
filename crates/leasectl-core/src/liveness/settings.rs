//! What a liveness session is set to, each setting alone: a host may forbid some.

use futures::future::join_all;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::database::DatabaseError;

/// What the session is set to, so that the server notices a dead client soon and never ends an idle
/// one. The last three keep the plans of the look at the locks from going astray and from being made anew.
const SETTINGS: [(&str, &str); 11] = [
    ("tcp_keepalives_idle", "2"),
    ("tcp_keepalives_interval", "1"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "5000"),
    ("client_connection_check_interval", "1000"),
    ("idle_session_timeout", "0"),
    ("statement_timeout", "2000"),
    ("lock_timeout", "1000"),
    ("jit", "off"),
    ("enable_seqscan", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// A setting that the server did not take; a host may forbid some, and sockets have no keepalives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedSetting {
    /// Its name.
    pub name: &'static str,
    /// What the server said, or what it is set to instead.
    pub found: String,
}

/// Sets all of them in one round trip; returns those that did not take.
pub(super) async fn set(client: &Client) -> Result<Vec<RefusedSetting>, DatabaseError> {
    let answers = join_all(SETTINGS.map(|(name, wanted)| set_one(client, name, wanted))).await;
    let mut refused = Vec::new();
    for answer in answers {
        refused.extend(answer?);
    }
    Ok(refused)
}

async fn set_one(
    client: &Client,
    name: &'static str,
    wanted: &'static str,
) -> Result<Option<RefusedSetting>, DatabaseError> {
    let sql = "select set_config($1, $2, false)";
    let answer = client
        .query_typed(sql, &[(&name, Type::TEXT), (&wanted, Type::TEXT)])
        .await;
    match answer {
        Ok(rows) => {
            let found: String = rows.first().map(|row| row.get(0)).unwrap_or_default();
            Ok((!says(&found, wanted)).then_some(RefusedSetting { name, found }))
        }
        Err(error) if error.is_closed() => Err(error.into()),
        Err(error) => Ok(Some(RefusedSetting {
            name,
            found: error.to_string(),
        })),
    }
}

/// Whether a setting reads as it was written: `5000` may come back as `5s`.
fn says(found: &str, wanted: &str) -> bool {
    let in_ms = |text: &str| -> Option<u64> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let number: u64 = digits.parse().ok()?;
        match &text[digits.len()..] {
            "" | "ms" => Some(number),
            "s" => Some(number * 1_000),
            "min" => Some(number * 60_000),
            _ => None,
        }
    };
    found == wanted
        || in_ms(found).is_some_and(|found| {
            in_ms(wanted).is_some_and(|wanted| found == wanted || found == wanted * 1_000)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_may_come_back_in_another_unit() {
        for (found, wanted) in [
            ("5s", "5000"),
            ("1s", "1000"),
            ("500ms", "500"),
            ("2min", "120000"),
            ("2s", "2"),
            ("2", "2"),
            ("off", "off"),
        ] {
            assert!(says(found, wanted), "{found} for {wanted}");
        }
        for (found, wanted) in [
            ("0", "2"),
            ("10s", "1000"),
            ("3s", "2"),
            ("5h", "5"),
            ("on", "off"),
            ("", "0"),
        ] {
            assert!(!says(found, wanted), "{found} for {wanted}");
        }
    }
}
