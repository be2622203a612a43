//! What holds for every text, whether it comes from a strategy, from a fuzzer or from its corpus.
//!
//! The fuzz targets include this file as it is.

use leasectl_remote::{
    Locality, MAX_NAME_BYTES, MAX_REF_BYTES, MAX_URL_BYTES, PathGlob, RefName, Refspec, RemoteUrl,
    RepoName, Scheme, TreePath, is_public,
};

/// A remote URL under both localities, held against the two parsers that will read it later.
pub(crate) fn url(text: &str) {
    let local = RemoteUrl::parse(text, Locality::AllowLocal);
    let Ok(public) = RemoteUrl::parse(text, Locality::PublicOnly) else {
        if let Ok(local) = local {
            canonical(&local, Locality::AllowLocal);
        }
        return;
    };
    assert_eq!(local.as_ref(), Ok(&public), "local rules refuse {public}");
    assert!(matches!(public.scheme(), Scheme::Https | Scheme::Ssh));
    canonical(&public, Locality::PublicOnly);
}

fn canonical(url: &RemoteUrl, locality: Locality) {
    let text = url.as_str();
    let again = RemoteUrl::parse(text, locality);
    assert_eq!(again.as_ref(), Ok(url), "{text} is no fixed point");
    assert!(text.len() <= MAX_URL_BYTES);
    assert!(!text.starts_with('-') && !text.contains("::"), "{text}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
    let parts: Vec<&str> = url.path().split('/').skip(1).collect();
    let harmless = |part: &&str| {
        !part.is_empty() && !part.starts_with('-') && part.bytes().any(|byte| byte != b'.')
    };
    assert!(parts.iter().all(harmless), "{text}");
    let name = url.suggested_name();
    assert!(name.as_str().len() <= MAX_NAME_BYTES);
    assert_eq!(RepoName::parse(name.as_str()), Ok(name));
    if url.scheme() == Scheme::File {
        assert_eq!(locality, Locality::AllowLocal);
        assert!(url.local_path().is_some_and(std::path::Path::is_absolute));
        return;
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+%:/@[]".contains(&byte);
    assert!(text.bytes().all(plain), "{text}");
    as_the_standard_reads_it(url, locality);
    as_gix_reads_it(url);
}

fn as_the_standard_reads_it(ours: &RemoteUrl, locality: Locality) {
    let theirs = url::Url::parse(ours.as_str());
    let theirs = theirs.unwrap_or_else(|error| panic!("{ours}: {error}"));
    assert_eq!(theirs.scheme(), ours.scheme().as_str());
    assert_eq!(theirs.username(), ours.user().unwrap_or_default(), "{ours}");
    assert_eq!(theirs.password(), None, "{ours}");
    assert_eq!(theirs.port(), ours.port(), "{ours}");
    assert_eq!(theirs.path(), ours.path());
    assert_eq!((theirs.query(), theirs.fragment()), (None, None), "{ours}");
    let address = match theirs.host().expect("a network remote has a host") {
        url::Host::Ipv4(address) => Some(address.into()),
        url::Host::Ipv6(address) => Some(address.into()),
        url::Host::Domain(name) => name.parse().ok(),
    };
    match address {
        Some(address) => assert!(
            locality == Locality::AllowLocal || is_public(address),
            "{ours} is not public"
        ),
        None => assert_eq!(theirs.host_str(), ours.host()),
    }
}

/// gix is what opens the connection, so its host is the one that counts.
fn as_gix_reads_it(ours: &RemoteUrl) {
    let theirs = gix_url::parse(ours.as_str());
    let theirs = theirs.unwrap_or_else(|error| panic!("{ours}: {error}"));
    assert_eq!(theirs.scheme.as_str(), ours.scheme().as_str());
    assert_eq!(theirs.user(), ours.user(), "{ours}");
    assert_eq!(theirs.password(), None, "{ours}");
    assert_eq!(theirs.port, ours.port(), "{ours}");
    let host = ours.host().expect("a network remote has a host");
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let their_host = theirs.host().expect("gix finds the host");
    let their_bare = their_host.trim_start_matches('[').trim_end_matches(']');
    assert_eq!(their_bare, bare, "{ours}");
    assert!(theirs.host_argument_safe().is_some(), "{ours}");
    assert_eq!(theirs.path, ours.path_on_host(), "{ours}");
}

/// A ref name and a refspec.
pub(crate) fn reference(text: &str) {
    if let Ok(name) = RefName::parse(text) {
        assert_eq!(name.as_str(), text);
        assert!(text.len() <= MAX_REF_BYTES);
        assert!(!text.starts_with('-') && !text.contains(".."));
        assert!(!text.contains(['*', ' ', '~', '^', ':', '?', '[', '\\']));
        assert!(!text.chars().any(char::is_control));
        let theirs = gix_validate::reference::name_partial(text.into());
        assert!(theirs.is_ok(), "gix refuses {text:?}");
    }
    if let Ok(refspec) = Refspec::parse(text) {
        let again = Refspec::parse(&refspec.to_string());
        assert_eq!(again.as_ref(), Ok(&refspec));
        for side in [refspec.source(), refspec.destination()] {
            assert!(side.starts_with("refs/") && side.matches('*').count() <= 1);
            assert_eq!(side.contains('*'), refspec.is_pattern());
            let one = side.replace('*', "x");
            let theirs = gix_validate::reference::name((&*one).into());
            assert!(theirs.is_ok(), "gix refuses {side:?}");
        }
    }
}

/// A path in a tree, a pattern over paths, and a repository's name.
pub(crate) fn path(text: &str) {
    if let Ok(path) = TreePath::parse(text) {
        assert_eq!(path.as_str(), text);
        assert!(!text.starts_with(['/', '-']) && !text.contains(['\\', '\0']));
        let harmless = |part: &str| {
            !matches!(part, "" | "." | "..")
                && !part.eq_ignore_ascii_case(".git")
                && !part.eq_ignore_ascii_case("git~1")
        };
        assert!(text.split('/').all(harmless), "{text:?}");
        let beneath = std::path::Path::new(text).components();
        let is_plain = |c| matches!(c, std::path::Component::Normal(_));
        assert!(beneath.into_iter().all(is_plain), "{text:?}");
    }
    if let Ok(glob) = PathGlob::parse(text) {
        assert_eq!(glob.as_str(), text);
        assert!(!text.starts_with(['/', '-', '!']));
    }
    if let Ok(name) = RepoName::parse(text) {
        assert_eq!(format!("{}/{}", name.owner(), name.name()), text);
        assert!(!name.owner().is_empty() && !name.name().is_empty());
        assert!(text.len() <= MAX_NAME_BYTES && !text.starts_with('-'));
    }
}
