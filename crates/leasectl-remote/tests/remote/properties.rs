//! What holds for every input, tried on arbitrary and on nearly valid texts.

use leasectl_remote::{
    Locality, MAX_NAME_BYTES, MAX_URL_BYTES, PathGlob, RefName, Refspec, RemoteUrl, RepoName,
    Scheme, TreePath,
};
use proptest::prelude::*;

/// Texts that are close enough to a URL to get past the first checks.
fn nearly_a_url() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![
        Just("https://".to_owned()),
        Just("ssh://git@".to_owned()),
        Just("http://".to_owned()),
        Just("file://".to_owned()),
        Just("git@".to_owned()),
        Just(String::new()),
        "[a-zA-Z+]{1,6}(://|:|::)",
    ];
    let host = prop_oneof![
        Just("Example.com".to_owned()),
        "[a-zA-Z0-9._-]{1,20}",
        "(xn--)?[a-z0-9-]{1,12}\\.com",
        "(0x)?[0-9a-f]{1,4}(\\.(0x)?[0-9a-f]{1,3}){0,3}\\.?",
        "\\[[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}\\]",
        "\\PC{0,8}",
    ];
    let port = prop_oneof![Just(String::new()), ":[0-9]{0,6}", ":\\PC{0,3}"];
    let separator = prop_oneof![Just("/"), Just(":"), Just("")];
    let path = prop_oneof![
        "[a-zA-Z0-9._~+-]{1,12}(/[a-zA-Z0-9._~+-]{1,12}){0,4}/{0,2}",
        "[a-z0-9%./ @-]{0,30}",
        "([a-z]|%[0-9a-fA-F]{2}){0,12}",
        "\\PC{0,20}",
    ];
    (scheme, host, port, separator, path).prop_map(|(scheme, host, port, separator, path)| {
        format!("{scheme}{host}{port}{separator}{path}")
    })
}

fn localities() -> impl Strategy<Value = Locality> {
    prop_oneof![Just(Locality::PublicOnly), Just(Locality::AllowLocal)]
}

fn judge_url(text: &str, locality: Locality) -> Result<(), TestCaseError> {
    let Ok(url) = RemoteUrl::parse(text, locality) else {
        return Ok(());
    };
    let canonical = url.as_str();
    prop_assert_eq!(RemoteUrl::parse(canonical, locality), Ok(url.clone()));
    prop_assert!(canonical.len() <= MAX_URL_BYTES);
    prop_assert!(!canonical.contains("::") && !canonical.contains("/../"));
    prop_assert!(
        url.path()
            .split('/')
            .skip(1)
            .all(|part| !part.starts_with('-'))
    );
    let name = url.suggested_name();
    prop_assert!(name.as_str().len() <= MAX_NAME_BYTES);
    prop_assert_eq!(RepoName::parse(name.as_str()), Ok(name));
    if url.scheme() == Scheme::File {
        prop_assert_eq!(locality, Locality::AllowLocal);
        return Ok(());
    }
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+%:/@[]".contains(&byte);
    prop_assert!(canonical.bytes().all(harmless), "{}", canonical);
    let theirs = url::Url::parse(canonical);
    prop_assert!(theirs.is_ok(), "the URL standard refuses {}", canonical);
    if let Ok(theirs) = theirs {
        prop_assert_eq!(theirs.path(), url.path());
        prop_assert_eq!(theirs.port(), url.port());
        if !canonical.contains('[') {
            prop_assert_eq!(theirs.host_str(), url.host());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_canonical_url_is_harmless_and_stays_as_it_is(
        text in nearly_a_url(),
        locality in localities(),
    ) {
        judge_url(&text, locality)?;
    }

    #[test]
    fn no_text_makes_the_url_parser_panic(text in any::<String>(), locality in localities()) {
        judge_url(&text, locality)?;
    }

    #[test]
    fn an_accepted_ref_is_no_option_pattern_or_escape(text in "(refs/(heads|tags|pull)/)?\\PC{0,24}") {
        if let Ok(name) = RefName::parse(&text) {
            prop_assert_eq!(name.as_str(), &text);
            prop_assert!(!text.starts_with('-') && !text.contains(".."));
            prop_assert!(!text.contains(['*', ' ', '~', '^', ':', '?', '[', '\\']));
        }
    }

    #[test]
    fn an_accepted_refspec_reads_back_as_it_is_written(
        text in "[+^]?(refs/)?[a-z*/-]{0,10}:?(refs/)?[a-z*/-]{0,10}",
    ) {
        if let Ok(refspec) = Refspec::parse(&text) {
            prop_assert_eq!(Refspec::parse(&refspec.to_string()), Ok(refspec.clone()));
            prop_assert_eq!(refspec.source().contains('*'), refspec.destination().contains('*'));
            prop_assert!(refspec.destination().starts_with("refs/"));
        }
    }

    #[test]
    fn an_accepted_name_has_two_parts(text in "\\PC{0,12}/?[a-zA-Z0-9._~-]{0,12}") {
        if let Ok(name) = RepoName::parse(&text) {
            let rebuilt = format!("{}/{}", name.owner(), name.name());
            prop_assert_eq!(rebuilt, text);
            prop_assert!(!name.owner().is_empty() && !name.name().is_empty());
        }
    }

    #[test]
    fn an_accepted_path_stays_beneath_the_top(text in "[a-z./:~ -]{0,24}|\\PC{0,24}") {
        if let Ok(path) = TreePath::parse(&text) {
            prop_assert!(!path.as_str().starts_with('/'));
            let parts: Vec<&str> = path.as_str().split('/').collect();
            prop_assert!(parts.iter().all(|part| !matches!(*part, "" | "." | ".." | ".git")));
        }
    }

    #[test]
    fn no_text_makes_the_pattern_parser_panic(text in "[]a\\[{},*?!^/-]{0,40}|\\PC{0,40}") {
        if let Ok(glob) = PathGlob::parse(&text) {
            prop_assert_eq!(glob.as_str(), text);
        }
    }
}
