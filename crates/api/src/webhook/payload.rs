//! What a delivery says, as far as it matters: which repository changed.

use std::borrow::Cow;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use leasectl_core::webhook::Forge;
use leasectl_remote::{Locality, RemoteUrl};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::problem::{Code, Problem};

/// What a delivery asks for.
#[derive(Debug)]
pub(crate) enum Said {
    /// Branches, tags or changes of the repository with these remotes are others now.
    Changed(Vec<RemoteUrl>),
    /// Nothing that a fetch would show.
    Nothing,
}

/// A body in which GitHub and Gitea put the JSON when a hook's content type is that of a form.
#[derive(Deserialize)]
struct Form<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

/// The events of GitHub, Gitea and Forgejo that are acted upon.
#[derive(Deserialize)]
struct GitHubPayload {
    repository: Urls,
    #[serde(rename = "ref")]
    reference: Option<String>,
    number: Option<u64>,
    pull_request: Option<IgnoredAny>,
}

/// The events of GitLab that are acted upon.
#[derive(Deserialize)]
struct GitLabPayload {
    object_kind: Option<String>,
    event_name: Option<String>,
    project: Option<Urls>,
    repository: Option<Urls>,
}

/// The names under which forges give a repository's remotes.
#[derive(Deserialize)]
struct Urls {
    clone_url: Option<String>,
    ssh_url: Option<String>,
    html_url: Option<String>,
    git_http_url: Option<String>,
    git_ssh_url: Option<String>,
    web_url: Option<String>,
}

const NAMELESS: &str = "it does not name the repository that changed";

/// The JSON of a body, which may be wrapped in a form.
pub(crate) fn unwrapped<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let is_form = headers.get(CONTENT_TYPE).is_some_and(|value| {
        value
            .as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"application/x-www-form-urlencoded")
    });
    if !is_form {
        return Some(Cow::Borrowed(body));
    }
    let form: Form<'_> = serde_urlencoded::from_bytes(body).ok()?;
    Some(Cow::Owned(form.payload.into_owned().into_bytes()))
}

impl Said {
    /// Reads the JSON of a delivery.
    ///
    /// # Errors
    /// When it is not what the event says.
    pub(crate) fn read(
        forge: Forge,
        event: &str,
        json: &[u8],
        locality: Locality,
    ) -> Result<Self, Problem> {
        let urls = match forge {
            Forge::GitHub | Forge::Gitea => github(event, json)?,
            Forge::GitLab => gitlab(event, json)?,
        };
        Ok(match urls {
            Some(urls) => Self::Changed(urls.remotes(event, locality)?),
            None => Self::Nothing,
        })
    }
}

fn github(event: &str, json: &[u8]) -> Result<Option<Urls>, Problem> {
    let is_of_a_ref = matches!(event, "push" | "create" | "delete");
    if !is_of_a_ref && event != "pull_request" {
        return Ok(None);
    }
    let payload: GitHubPayload = parsed(event, json)?;
    if is_of_a_ref && payload.reference.is_none() {
        return Err(another(event, "it has no ref"));
    }
    if !is_of_a_ref && payload.number.is_none() && payload.pull_request.is_none() {
        return Err(another(event, "it has neither number nor pull_request"));
    }
    Ok(Some(payload.repository))
}

fn gitlab(event: &str, json: &[u8]) -> Result<Option<Urls>, Problem> {
    let expected: &[&str] = match event {
        "Push Hook" => &["push"],
        "Tag Push Hook" => &["tag_push"],
        "Merge Request Hook" => &["merge_request"],
        // Every event of the instance has this name.
        "System Hook" => &["push", "tag_push", "merge_request", "repository_update"],
        _ => return Ok(None),
    };
    let payload: GitLabPayload = parsed(event, json)?;
    let kind = payload.object_kind.or(payload.event_name);
    let kind = kind.ok_or_else(|| another(event, "it has neither object_kind nor event_name"))?;
    match (expected.contains(&kind.as_str()), event) {
        (true, _) => {
            let urls = payload.project.or(payload.repository);
            urls.map(Some).ok_or_else(|| another(event, NAMELESS))
        }
        (false, "System Hook") => Ok(None),
        (false, _) => Err(another(event, "its object_kind is that of another one")),
    }
}

impl Urls {
    fn remotes(self, event: &str, locality: Locality) -> Result<Vec<RemoteUrl>, Problem> {
        let given = [
            self.clone_url,
            self.git_http_url,
            self.ssh_url,
            self.git_ssh_url,
            self.html_url,
            self.web_url,
        ];
        let given: Vec<String> = given.into_iter().flatten().collect();
        if given.is_empty() {
            return Err(another(event, NAMELESS));
        }
        // A remote that may not be registered leads to no repository.
        let remotes = given
            .iter()
            .filter_map(|url| RemoteUrl::parse(url, locality).ok());
        Ok(remotes.collect())
    }
}

fn parsed<'a, T: Deserialize<'a>>(event: &str, json: &'a [u8]) -> Result<T, Problem> {
    let what = match json.first() {
        Some(b'{') => "it is broken, lacks the repository, or has a field of another type",
        Some(_) | None => "it is no JSON object",
    };
    serde_json::from_slice(json).map_err(|_not_it| another(event, what))
}

fn another(event: &str, what: &str) -> Problem {
    let event: String = event.chars().take(64).collect();
    Problem::new(
        Code::InvalidJson,
        format!("the body is not that of the event {event:?}: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(forge: Forge, event: &str, json: &str) -> Result<Vec<String>, Problem> {
        let said = Said::read(forge, event, json.as_bytes(), Locality::PublicOnly)?;
        Ok(match said {
            Said::Changed(remotes) => remotes.iter().map(ToString::to_string).collect(),
            Said::Nothing => vec!["nothing".to_owned()],
        })
    }

    #[test]
    fn what_changes_refs_names_its_repository() {
        let urls = r#"{"id": 1, "clone_url": "https://f.example.com/a/b.git", "ssh_url": "git@f.example.com:a/b.git",
                       "html_url": "https://f.example.com/a/b"}"#;
        let all = [
            "https://f.example.com/a/b.git",
            "ssh://git@f.example.com/a/b.git",
            "https://f.example.com/a/b",
        ];
        for forge in [Forge::GitHub, Forge::Gitea] {
            for (event, rest) in [
                ("push", r#""ref": "refs/heads/main", "commits": []"#),
                ("create", r#""ref": "v1", "ref_type": "tag""#),
                ("delete", r#""ref": "old", "ref_type": "branch""#),
                (
                    "pull_request",
                    r#""action": "synchronize", "number": 7, "pull_request": {}"#,
                ),
            ] {
                let json = format!(r#"{{{rest}, "repository": {urls}}}"#);
                assert_eq!(read(forge, event, &json).unwrap(), all, "{event}");
            }
        }
        let urls = r#"{"git_http_url": "https://f.example.com/a/b.git", "git_ssh_url": "git@f.example.com:a/b.git",
                       "web_url": "https://f.example.com/a/b"}"#;
        for (event, kind) in [
            ("Push Hook", r#""object_kind": "push""#),
            ("Tag Push Hook", r#""object_kind": "tag_push""#),
            ("Merge Request Hook", r#""object_kind": "merge_request""#),
            ("System Hook", r#""event_name": "repository_update""#),
        ] {
            let json = format!(r#"{{{kind}, "project": {urls}}}"#);
            assert_eq!(read(Forge::GitLab, event, &json).unwrap(), all, "{event}");
        }
    }

    #[test]
    fn other_events_ask_for_nothing() {
        for event in [
            "ping",
            "issues",
            "pull_request_review",
            "star",
            "workflow_run",
        ] {
            assert_eq!(read(Forge::GitHub, event, "{}").unwrap(), ["nothing"]);
        }
        for (event, json) in [
            ("Issue Hook", "{}"),
            ("System Hook", r#"{"event_name": "user_create"}"#),
        ] {
            assert_eq!(read(Forge::GitLab, event, json).unwrap(), ["nothing"]);
        }
    }

    #[test]
    fn a_body_that_is_not_what_the_event_says_is_refused() {
        let urls = r#"{"clone_url": "https://f.example.com/a/b"}"#;
        for (forge, event, json) in [
            (Forge::GitHub, "push", String::new()),
            (Forge::GitHub, "push", "{".to_owned()),
            (Forge::GitHub, "push", "[]".to_owned()),
            (Forge::GitHub, "push", "\0".to_owned()),
            (
                Forge::GitHub,
                "push",
                format!(r#"{{"repository": {urls}}}"#),
            ),
            (
                Forge::GitHub,
                "push",
                r#"{"ref": "refs/heads/main"}"#.to_owned(),
            ),
            (
                Forge::GitHub,
                "push",
                r#"{"ref": "x", "repository": {"id": 1}}"#.to_owned(),
            ),
            (
                Forge::GitHub,
                "push",
                format!(r#"{{"ref": 7, "repository": {urls}}}"#),
            ),
            (
                Forge::Gitea,
                "pull_request",
                format!(r#"{{"ref": "x", "repository": {urls}}}"#),
            ),
            (
                Forge::GitLab,
                "Push Hook",
                format!(r#"{{"object_kind": "note", "project": {urls}}}"#),
            ),
            (
                Forge::GitLab,
                "Push Hook",
                r#"{"object_kind": "push"}"#.to_owned(),
            ),
            (Forge::GitLab, "System Hook", "{}".to_owned()),
        ] {
            assert!(read(forge, event, &json).is_err(), "{event} {json}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said() {
        let urls = r#"{"clone_url": "https://f.example.com/a/b"}"#;
        for (json, what) in [
            ("{".to_owned(), "it is broken"),
            ("[]".to_owned(), "it is no JSON object"),
            (String::new(), "it is no JSON object"),
            (format!(r#"{{"repository": {urls}}}"#), "it has no ref"),
            (r#"{"ref": "x", "repository": {}}"#.to_owned(), NAMELESS),
        ] {
            let refused = read(Forge::GitHub, "push", &json).unwrap_err();
            assert!(format!("{refused:?}").contains(what), "{json}: {refused:?}");
        }
    }

    #[test]
    fn a_remote_that_may_not_be_registered_leads_nowhere() {
        let json = r#"{"ref": "x", "repository": {"clone_url": "http://127.0.0.1/a/b", "ssh_url": "nonsense"}}"#;
        assert_eq!(read(Forge::Gitea, "push", json).unwrap(), [""; 0]);
    }

    #[test]
    fn the_json_may_come_in_a_form() {
        let mut headers = HeaderMap::new();
        let body = b"payload=%7B%22a%22%3A%22b+c%22%7D";
        assert_eq!(unwrapped(&headers, body).unwrap(), body.as_slice());
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        assert_eq!(
            unwrapped(&headers, body).unwrap(),
            br#"{"a":"b c"}"#.as_slice()
        );
        assert_eq!(unwrapped(&headers, b"a=b"), None);
    }
}
