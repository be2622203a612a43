//! Repository names, tree paths and path patterns.

use leasectl_remote::{
    Locality, MAX_GLOB_BYTES, MAX_NAME_BYTES, MAX_PATH_BYTES, PathGlob, PathGlobError, RemoteUrl,
    RepoName, RepoNameError, TreePath, TreePathError,
};

use crate::corpus;

fn outcome<T, E: std::fmt::Debug>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

fn judge(name: &str, parse: impl Fn(&str) -> String) {
    for case in corpus::read(name, 2) {
        let [expected, text] = &case.columns[..] else {
            unreachable!("two columns")
        };
        assert_eq!(&parse(text), expected, "{}: {text:?}", case.place);
    }
}

#[test]
fn every_name_of_the_corpus_is_judged_as_written() {
    judge("repo_names.txt", |text| outcome(RepoName::parse(text)));
}

#[test]
fn every_path_of_the_corpus_is_judged_as_written() {
    judge("tree_paths.txt", |text| outcome(TreePath::parse(text)));
}

#[test]
fn every_pattern_of_the_corpus_is_judged_as_written() {
    judge("path_globs.txt", |text| outcome(PathGlob::parse(text)));
}

#[test]
fn names_paths_and_patterns_have_limits() {
    let name = format!("o/{}", "r".repeat(MAX_NAME_BYTES - 2));
    assert!(RepoName::parse(&name).is_ok());
    assert_eq!(RepoName::parse(&(name + "r")), Err(RepoNameError::TooLong));
    assert_eq!(RepoName::parse(""), Err(RepoNameError::Form));
    let path = "a".repeat(MAX_PATH_BYTES);
    assert!(TreePath::parse(&path).is_ok());
    assert_eq!(TreePath::parse(&(path + "a")), Err(TreePathError::TooLong));
    assert_eq!(TreePath::parse(""), Err(TreePathError::Empty));
    let glob = "a".repeat(MAX_GLOB_BYTES);
    assert!(PathGlob::parse(&glob).is_ok());
    assert_eq!(PathGlob::parse(&(glob + "a")), Err(PathGlobError::TooLong));
    assert_eq!(
        PathGlob::parse(""),
        Err(PathGlobError::Path(TreePathError::Empty))
    );
    assert!(PathGlob::parse(&"*".repeat(32)).is_ok());
    assert!(PathGlob::parse(&format!("{{{}a}}", "a,".repeat(63))).is_ok());
}

#[test]
fn a_name_is_parted_at_its_slash() {
    let name = RepoName::parse("group~sub/project").expect("subgroups are accepted");
    assert_eq!((name.owner(), name.name()), ("group~sub", "project"));
    assert_eq!(name.to_string(), "group~sub/project");
    assert_eq!("group~sub/project".parse(), Ok(name));
}

#[test]
fn a_taken_name_gets_a_number() {
    let numbered = |text: &str| {
        let name = RepoName::parse(text)
            .expect("the test writes names correctly")
            .numbered(2);
        assert_eq!(RepoName::parse(name.as_str()), Ok(name.clone()));
        name.to_string()
    };
    assert_eq!(numbered("o/r"), "o/r-2");
    assert_eq!(
        numbered(&format!("o/{}", "r".repeat(253))),
        format!("o/{}-2", "r".repeat(251))
    );
    assert_eq!(
        numbered(&format!("{}/r", "o".repeat(253))),
        "repositories/r-2"
    );
    assert_eq!(
        numbered(&format!("{}/rr", "o".repeat(252))),
        "repositories/rr-2"
    );
    assert_eq!(
        numbered(&format!("{}/rr", "o".repeat(251))),
        format!("{}/r-2", "o".repeat(251))
    );
}

#[test]
fn a_suggested_name_fits_however_long_the_url_is() {
    let long = "g".repeat(90);
    let text = format!(
        "https://example.com/{long}/{long}/{long}/{}.git",
        "r".repeat(300)
    );
    let url = RemoteUrl::parse(&text, Locality::PublicOnly).expect("long groups are accepted");
    let name = url.suggested_name();
    assert_eq!(name.owner(), long, "a second group would not fit");
    assert_eq!(name.name().len(), 100);
}
