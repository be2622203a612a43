//! What holds for every input, tried on arbitrary and on nearly valid texts.

use proptest::prelude::*;

use crate::judge;

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_canonical_url_is_harmless_and_stays_as_it_is(text in nearly_a_url()) {
        judge::url(&text);
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>()) {
        judge::url(&text);
        judge::reference(&text);
        judge::path(&text);
    }

    #[test]
    fn an_accepted_ref_is_no_option_pattern_or_escape(text in "(refs/(heads|tags|pull)/)?\\PC{0,24}") {
        judge::reference(&text);
    }

    #[test]
    fn an_accepted_refspec_reads_back_as_it_is_written(
        text in "[+^]?(refs/)?[a-z*/-]{0,10}:?(refs/)?[a-z*/-]{0,10}",
    ) {
        judge::reference(&text);
    }

    #[test]
    fn an_accepted_name_has_two_parts(text in "\\PC{0,12}/?[a-zA-Z0-9._~-]{0,12}") {
        judge::path(&text);
    }

    #[test]
    fn an_accepted_path_stays_beneath_the_top(text in "[a-z./:~ -]{0,24}|\\PC{0,24}") {
        judge::path(&text);
    }

    #[test]
    fn no_text_makes_the_pattern_parser_panic(text in "[]a\\[{},*?!^/-]{0,40}|\\PC{0,40}") {
        judge::path(&text);
    }
}
