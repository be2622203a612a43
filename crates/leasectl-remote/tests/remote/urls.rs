//! Remote URLs: the hostile and the accepted corpus, limits, and what other parsers make of them.

use std::path::Path;

use leasectl_remote::{Locality, MAX_URL_BYTES, RemoteUrl, RemoteUrlError, Scheme};

use crate::corpus;

/// The canonical form, or the name of the error's variant.
fn outcome(text: &str, locality: Locality) -> String {
    match RemoteUrl::parse(text, locality) {
        Ok(url) => url.to_string(),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn every_hostile_url_is_refused_for_the_right_reason() {
    let cases = corpus::read("hostile_urls.txt", 3);
    assert!(
        cases.len() > 700,
        "the corpus shrank to {} cases",
        cases.len()
    );
    for case in &cases {
        let [public, local, text] = &case.columns[..] else {
            unreachable!("three columns")
        };
        assert!(
            !public.contains(':'),
            "{}: nothing here may be public",
            case.place
        );
        assert_eq!(
            &outcome(text, Locality::PublicOnly),
            public,
            "{}: {text:?}",
            case.place
        );
        assert_eq!(
            &outcome(text, Locality::AllowLocal),
            local,
            "{}: {text:?}",
            case.place
        );
    }
}

#[test]
fn every_accepted_url_has_its_canonical_form_and_name() {
    for case in corpus::read("accepted_urls.txt", 4) {
        let [who, text, canonical, name] = &case.columns[..] else {
            unreachable!("four columns")
        };
        let local = outcome(text, Locality::AllowLocal);
        assert_eq!(&local, canonical, "{}: {text:?}", case.place);
        let public = outcome(text, Locality::PublicOnly);
        assert_eq!(
            who == "public",
            &public == canonical,
            "{}: {public}",
            case.place
        );
        let url = RemoteUrl::parse(text, Locality::AllowLocal).expect("it was just accepted");
        assert_eq!(
            url.suggested_name().as_str(),
            name,
            "{}: {text:?}",
            case.place
        );
    }
}

#[test]
fn remotes_that_may_differ_keep_their_own_identity() {
    let different = [
        ("https://example.com/o/r", "https://example.com/o/R"),
        ("https://example.com/o/r", "https://example.com/o/r.git"),
        ("https://example.com/o/r", "https://example.com:8443/o/r"),
        ("https://example.com/o/r", "ssh://git@example.com/o/r"),
        ("ssh://a@example.com/o/r", "ssh://b@example.com/o/r"),
        ("git@example.com:~/r", "git@example.com:/r"),
        ("https://www.example.com/o/r", "https://example.com/o/r"),
    ];
    for (left, right) in different {
        assert_ne!(
            outcome(left, Locality::PublicOnly),
            outcome(right, Locality::PublicOnly),
            "{left} and {right}"
        );
    }
}

#[test]
fn the_parts_of_a_url_are_told_apart() {
    let url = RemoteUrl::parse("git@Example.com:Group/r.git", Locality::PublicOnly)
        .expect("the scp form is accepted");
    assert_eq!(url.as_str(), "ssh://git@example.com/Group/r.git");
    assert_eq!(url.scheme(), Scheme::Ssh);
    assert_eq!(url.user(), Some("git"));
    assert_eq!(url.host(), Some("example.com"));
    assert_eq!((url.port(), url.effective_port()), (None, Some(22)));
    assert_eq!(url.path(), "/Group/r.git");
    assert_eq!(url.local_path(), None);

    let url = RemoteUrl::parse(
        "https://[2606:4700:0:0:0:0:0:1]:8443/r",
        Locality::PublicOnly,
    )
    .expect("a full IPv6 address is accepted");
    assert_eq!(url.scheme(), Scheme::Https);
    assert_eq!(url.user(), None);
    assert_eq!(url.host(), Some("[2606:4700:0:0:0:0:0:1]"));
    assert_eq!((url.port(), url.effective_port()), (Some(8443), Some(8443)));

    let url = RemoteUrl::parse("/tmp/My Repositories/r", Locality::AllowLocal)
        .expect("a local path with a space is accepted");
    assert_eq!(url.scheme(), Scheme::File);
    assert_eq!(
        (url.host(), url.port(), url.effective_port()),
        (None, None, None)
    );
    assert_eq!(url.local_path(), Some(Path::new("/tmp/My Repositories/r")));
}

#[test]
fn the_other_side_is_given_the_path_that_git_would_give_it() {
    for (text, path) in [
        ("git@git.sr.ht:~user/r", "~user/r"),
        ("git@example.com:~/code/r.git", "~/code/r.git"),
        ("git@example.com:o/~r", "/o/~r"),
        (
            "git@example.com:My%20Project/caf%C3%A9",
            "/My Project/caf\u{e9}",
        ),
        ("https://git.sr.ht/~user/r", "/~user/r"),
        ("/tmp/My Repositories/~r", "/tmp/My Repositories/~r"),
    ] {
        let url = RemoteUrl::parse(text, Locality::AllowLocal).expect("it is accepted");
        assert_eq!(url.path_on_host(), path, "{text}");
    }
}

#[test]
fn a_url_is_at_most_2048_bytes_before_and_after() {
    let longest = |prefix: &str| {
        let mut text = prefix.to_owned();
        text.push_str(&"a".repeat(MAX_URL_BYTES - prefix.len()));
        text
    };
    let full = longest("https://example.com/o/");
    assert_eq!(full.len(), 2_048);
    assert_eq!(outcome(&full, Locality::PublicOnly), full);
    assert_eq!(outcome(&(full + "a"), Locality::PublicOnly), "TooLong");
    // Short enough as written, but not in canonical form.
    assert_eq!(
        outcome(&longest("git@example.com:o/"), Locality::PublicOnly),
        "TooLong"
    );
    assert_eq!(outcome(&longest("/srv/"), Locality::AllowLocal), "TooLong");
    assert_eq!(
        outcome(&"a".repeat(1_000_000), Locality::AllowLocal),
        "TooLong"
    );
    assert_eq!(outcome("", Locality::AllowLocal), "Empty");
}

#[test]
fn labels_and_hosts_have_the_limits_of_dns() {
    let label = "a".repeat(63);
    let long = format!("https://{label}.example.com/r");
    assert_eq!(outcome(&long, Locality::PublicOnly), long);
    assert_eq!(
        outcome(
            &format!("https://a{label}.example.com/r"),
            Locality::PublicOnly
        ),
        "Host"
    );
    let host = format!("{label}.{label}.{label}.{}.com", "a".repeat(57));
    assert_eq!(host.len(), 253);
    let long = format!("https://{host}/r");
    assert_eq!(outcome(&long, Locality::PublicOnly), long);
    assert_eq!(
        outcome(&format!("https://a{host}/r"), Locality::PublicOnly),
        "Host"
    );
}

#[test]
fn no_error_repeats_what_was_given() {
    for case in corpus::read("hostile_urls.txt", 3) {
        let text = &case.columns[2];
        let Err(error) = RemoteUrl::parse(text, Locality::PublicOnly) else {
            panic!("{}: accepted", case.place);
        };
        let message = error.to_string();
        assert!(
            !message.contains("ghp_") && !message.contains("pass@"),
            "{}",
            case.place
        );
        assert!(
            message.len() > 30,
            "{}: {message:?} says too little",
            case.place
        );
        assert!(
            !message.ends_with('.') && !message.contains('\n'),
            "{message:?}"
        );
    }
    let canary = "https://user:canary-7f3a@example.com/canary-7f3a?canary-7f3a";
    let error = RemoteUrl::parse(canary, Locality::AllowLocal).expect_err("it holds a password");
    assert!(!format!("{error} {error:?}").contains("canary"));
    assert_eq!(error, RemoteUrlError::QueryOrFragment);
}

/// The URL standard's parser is the HTTP client's: what it reads must be what was checked.
#[test]
fn the_url_standard_reads_every_accepted_url_alike() {
    for case in corpus::read("accepted_urls.txt", 4) {
        let canonical = &case.columns[2];
        let ours = RemoteUrl::parse(canonical, Locality::AllowLocal).expect("it is canonical");
        if ours.scheme() == Scheme::File {
            continue;
        }
        let theirs = url::Url::parse(canonical).expect("the URL standard accepts it");
        assert_eq!(theirs.scheme(), ours.scheme().as_str(), "{canonical}");
        assert_eq!(theirs.port(), ours.port(), "{canonical}");
        assert_eq!(theirs.path(), ours.path(), "{canonical}");
        assert_eq!(
            theirs.username(),
            ours.user().unwrap_or_default(),
            "{canonical}"
        );
        assert_eq!(theirs.password(), None, "{canonical}");
        assert_eq!(
            comparable_host(theirs.host_str()),
            comparable_host(ours.host())
        );
    }
}

/// IPv6 addresses are spelt differently, so they are compared as addresses.
fn comparable_host(host: Option<&str>) -> String {
    let host = host.expect("a network remote has a host");
    let inner = host.trim_start_matches('[').trim_end_matches(']');
    match inner.parse::<std::net::IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => host.to_owned(),
    }
}
