//! The remotes of the registered repositories: whether somebody answers there.

use std::collections::BTreeMap;
use std::time::Duration;

use leasectl_core::database::Database;
use leasectl_core::repository;
use leasectl_remote::{Locality, RemoteUrl};

use super::Check;
use crate::cli::{Context, with_causes};

/// How long a remote may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Repositories of one page.
const PAGE: u16 = 200;

/// One check for each host, or folder, that any registered repository lives on.
pub(super) async fn checks(context: &Context, database: &Database) -> Vec<Check> {
    let places = match places(database).await {
        Ok(places) => places,
        Err(check) => return vec![check],
    };
    if places.is_empty() {
        return vec![Check::ok("remotes", "no repository is registered")];
    }
    let asked = places
        .into_iter()
        .map(|(place, names)| ask(context, place, names));
    futures::future::join_all(asked).await
}

/// Where a remote answers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Place {
    Host(String, u16),
    Folder(String),
    Refused(String),
}

async fn places(database: &Database) -> Result<BTreeMap<Place, Vec<String>>, Check> {
    let mut places: BTreeMap<Place, Vec<String>> = BTreeMap::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = repository::list(database, PAGE, cursor.as_deref())
            .await
            .map_err(|error| {
                Check::fail(
                    "remotes",
                    with_causes(&error),
                    "see database and schema above",
                )
            })?;
        for repository in page.items {
            let place = place(&repository.git_url);
            places.entry(place).or_default().push(repository.name);
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(places),
        }
    }
}

fn place(url: &str) -> Place {
    let Ok(remote) = RemoteUrl::parse(url, Locality::AllowLocal) else {
        return Place::Refused(url.to_owned());
    };
    match (remote.host(), remote.effective_port()) {
        (Some(host), Some(port)) => Place::Host(host.trim_matches(['[', ']']).to_owned(), port),
        (Some(_), None) | (None, _) => Place::Folder(remote.path().to_owned()),
    }
}

async fn ask(context: &Context, place: Place, names: Vec<String>) -> Check {
    let used_by = match names.as_slice() {
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => String::new(),
    };
    match place {
        Place::Refused(url) => Check::fail(
            format!("remote {url}"),
            "this release does not accept it",
            format!("register {used_by} anew"),
        ),
        Place::Folder(path) => {
            let name = format!("remote {path}");
            if context.environment().locality == Locality::PublicOnly {
                return Check::warn(
                    name,
                    format!("a local path, for {used_by}"),
                    "workers fetch it only with LEASECTL_ALLOW_LOCAL=1",
                );
            }
            if std::path::Path::new(&path).exists() {
                Check::ok(name, format!("exists, for {used_by}"))
            } else {
                Check::fail(
                    name,
                    format!("is not there, for {used_by}"),
                    "restore or remove it",
                )
            }
        }
        Place::Host(host, port) => connect(&host, port, &used_by).await,
    }
}

async fn connect(host: &str, port: u16, used_by: &str) -> Check {
    let name = format!("remote {host}:{port}");
    let connecting = tokio::net::TcpStream::connect((host, port));
    let advice = "check the network, the name and the firewall; a proxy is not asked here";
    match tokio::time::timeout(CONNECT_WITHIN, connecting).await {
        Ok(Ok(_)) => Check::ok(name, format!("accepts connections, for {used_by}")),
        Ok(Err(error)) => Check::fail(name, format!("{error}, for {used_by}"), advice),
        Err(_) => Check::fail(
            name,
            format!("no connection within {CONNECT_WITHIN:?}, for {used_by}"),
            advice,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_is_asked_where_it_answers() {
        let host = |host: &str, port| Place::Host(host.to_owned(), port);
        assert_eq!(place("https://example.org/a/b"), host("example.org", 443));
        assert_eq!(
            place("ssh://git@example.org:2222/a/b"),
            host("example.org", 2222)
        );
        assert_eq!(
            place("file:///srv/git/a"),
            Place::Folder("/srv/git/a".to_owned())
        );
        assert!(matches!(place("nonsense"), Place::Refused(_)));
    }
}
