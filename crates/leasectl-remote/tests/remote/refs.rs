//! Ref names and refspecs, also against the judgement of the git program.

use std::io::Write as _;
use std::process::{Command, Stdio};

use leasectl_remote::{
    MAX_REF_BYTES, RefName, RefNameError, Refspec, RefspecError, default_refspecs,
};

use crate::corpus;

#[test]
fn every_ref_name_of_the_corpus_is_judged_as_written() {
    let cases = corpus::read("ref_names.txt", 2);
    assert!(
        cases.len() > 110,
        "the corpus shrank to {} cases",
        cases.len()
    );
    for case in &cases {
        let [expected, text] = &case.columns[..] else {
            unreachable!("two columns")
        };
        let outcome = match RefName::parse(text) {
            Ok(name) => {
                assert_eq!(name.as_str(), text);
                "ok".to_owned()
            }
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(&outcome, expected, "{}: {text:?}", case.place);
    }
}

#[test]
fn every_refspec_of_the_corpus_is_judged_as_written() {
    for case in corpus::read("refspecs.txt", 2) {
        let [expected, text] = &case.columns[..] else {
            unreachable!("two columns")
        };
        let outcome = match Refspec::parse(text) {
            Ok(refspec) => refspec.to_string(),
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(&outcome, expected, "{}: {text:?}", case.place);
    }
}

#[test]
fn git_accepts_every_ref_name_that_is_accepted_here() {
    let judge = |arguments: &[&str]| {
        #[expect(
            clippy::disallowed_methods,
            reason = "the test asks git for its judgement"
        )]
        let status = Command::new("git")
            .args(["check-ref-format"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.map(|status| status.success())
    };
    if judge(&["refs/heads/main"]).is_err() {
        // Around the capture of the test runner, so that it is seen although the test passes.
        writeln!(
            std::io::stderr(),
            "SKIPPED: git is not installed and cannot be asked"
        )
        .expect("standard error");
        return;
    }
    for case in corpus::read("ref_names.txt", 2) {
        let text = &case.columns[1];
        if RefName::parse(text).is_ok() {
            let accepted = judge(&["--allow-onelevel", text]).expect("git runs");
            assert!(accepted, "{}: git refuses {text:?}", case.place);
        }
    }
    for refspec in default_refspecs() {
        let accepted = judge(&["--refspec-pattern", refspec.source()]).expect("git runs");
        assert!(accepted, "git refuses {refspec}");
    }
}

#[test]
fn ref_names_have_limits() {
    assert_eq!(RefName::parse(""), Err(RefNameError::Empty));
    assert!(RefName::parse(&"a".repeat(250)).is_ok());
    assert_eq!(RefName::parse(&"a".repeat(251)), Err(RefNameError::TooLong));
    let long = format!("{}a", "abcdefghi/".repeat(102));
    assert!(RefName::parse(&format!("{long}bcd")).is_ok());
    assert_eq!(long.len() + 3, MAX_REF_BYTES);
    assert_eq!(
        RefName::parse(&format!("{long}bcde")),
        Err(RefNameError::TooLong)
    );
    assert_eq!(
        Refspec::parse(""),
        Err(RefspecError::Ref(RefNameError::Empty))
    );
}

#[test]
fn the_default_refspecs_mirror_branches_tags_and_change_refs() {
    let written: Vec<String> = default_refspecs().iter().map(ToString::to_string).collect();
    assert_eq!(
        written,
        [
            "+refs/heads/*:refs/heads/*",
            "+refs/tags/*:refs/tags/*",
            "+refs/pull/*/head:refs/pull/*/head",
            "+refs/pull/*/merge:refs/pull/*/merge",
            "+refs/merge-requests/*/head:refs/merge-requests/*/head",
            "+refs/changes/*:refs/changes/*",
        ]
    );
    for refspec in default_refspecs() {
        assert_eq!(Refspec::parse(&refspec.to_string()), Ok(refspec));
    }
}

#[test]
fn a_ref_alone_is_mirrored_by_force() {
    let refspec = Refspec::parse("refs/heads/main").expect("a full name alone is accepted");
    assert!(refspec.forced());
    assert!(!refspec.is_pattern());
    assert_eq!(refspec.source(), refspec.destination());
    let refspec = Refspec::parse("refs/heads/*:refs/heads/*").expect("a pattern is accepted");
    assert!(!refspec.forced());
    assert!(refspec.is_pattern());
}
