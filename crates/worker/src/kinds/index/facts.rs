//! How a file is treated: what its path says, and what its content says whatever the path.
//!
//! A payload belongs to a blob, so what depends on the path is decided for each path, and what was seen
//! in the content is kept beside the payload as a hint: a blob that is found again under another name is
//! treated without being read.

use leasectl_core::index::Treatment;
use leasectl_index::{
    Attributes, Detection, Grammar, MAX_FILE_BYTES, PREFIX_BYTES, SkipReason, by_first_line,
    classify, detect, extractor_id, is_cpp_header,
};
use leasectl_repo::Marks;

/// What the content of a blob says, whatever its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Facts {
    /// A remark says that a program wrote it.
    is_generated: bool,
    /// What its first line asks to be run by.
    interpreter: Option<Grammar>,
    /// As a header it is C++.
    is_cpp: bool,
}

/// Joins the words of a hint.
const AND: char = ' ';
const GENERATED: &str = "generated";
const CPP: &str = "cpp-header";

impl Facts {
    /// Of these bytes.
    pub(super) fn of(content: &[u8]) -> Self {
        let head = &content[..content.len().min(PREFIX_BYTES)];
        // A name that says nothing by itself.
        let verdict = classify("x", 1, MAX_FILE_BYTES, head, &Attributes::default());
        Self {
            is_generated: verdict.no_symbols() == Some(SkipReason::Generated),
            interpreter: by_first_line(head),
            is_cpp: is_cpp_header(head),
        }
    }

    /// The hint that is kept; nothing when there is nothing to say.
    pub(super) fn to_hint(self) -> Option<String> {
        let words = [
            self.is_generated.then_some(GENERATED),
            self.interpreter.map(|grammar| extractor_id(grammar).0),
            self.is_cpp.then_some(CPP),
        ];
        let words: Vec<_> = words.into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join(&AND.to_string()))
    }

    /// What a hint says; words of other releases say nothing.
    pub(super) fn from_hint(hint: Option<&str>) -> Self {
        let words = || hint.unwrap_or_default().split(AND);
        Self {
            is_generated: words().any(|word| word == GENERATED),
            interpreter: words().find_map(grammar_of),
            is_cpp: words().any(|word| word == CPP),
        }
    }
}

fn grammar_of(extractor: &str) -> Option<Grammar> {
    Grammar::ALL
        .into_iter()
        .find(|grammar| extractor_id(*grammar).0 == extractor)
}

/// What the path of a file and the attributes of the tree say of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ByPath {
    detection: Detection,
    is_binary: bool,
    /// Why it has no symbols, as far as the path says.
    excluded: Option<SkipReason>,
    /// The tree says that it is not generated, whatever its remark says.
    is_own: bool,
}

impl ByPath {
    pub(super) fn of(path: &str, marks: Marks) -> Self {
        let says = Attributes {
            generated: marks.generated,
            vendored: marks.vendored,
            documentation: marks.documentation,
            language: marks.language,
            binary: marks.binary,
        };
        let excluded = classify(path, 1, MAX_FILE_BYTES, b"", &says).no_symbols();
        Self {
            detection: detect(path, says.language.as_deref()),
            is_binary: excluded == Some(SkipReason::Binary),
            excluded,
            is_own: says.generated == Some(false),
        }
    }

    /// The grammar of the file, given what its content says.
    fn grammar(&self, facts: Facts) -> Option<Grammar> {
        match self.detection {
            Detection::Known(grammar) => Some(grammar),
            Detection::AskFirstLine => facts.interpreter,
            Detection::Header if facts.is_cpp => Some(Grammar::Cpp),
            Detection::Header => Some(Grammar::C),
            Detection::NoExtractor => None,
        }
    }

    /// The grammar by which symbols and imports are extracted, if they are.
    pub(super) fn wanted(&self, facts: Facts) -> Option<Grammar> {
        let is_left_out = self.excluded.is_some() || (facts.is_generated && !self.is_own);
        self.grammar(facts).filter(|_| !is_left_out)
    }

    /// How the file is treated.
    pub(super) fn treatment(&self, facts: Facts) -> Treatment {
        let by_content = (facts.is_generated && !self.is_own).then_some(SkipReason::Generated);
        Treatment {
            language: self
                .grammar(facts)
                .map(|grammar| grammar.language().name().to_owned()),
            text: !self.is_binary,
            tags: self
                .wanted(facts)
                .map(|grammar| extractor_id(grammar).0.to_owned()),
            skip: self
                .excluded
                .or(by_content)
                .map(|reason| reason.as_str().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn treat(path: &str, content: &[u8]) -> Treatment {
        ByPath::of(path, Marks::default()).treatment(Facts::of(content))
    }

    #[test]
    fn a_hint_says_what_the_content_said() {
        for content in [
            &b""[..],
            b"#!/usr/bin/env python3\n# @generated\n",
            b"#!/bin/sh\n",
            b"// Code generated by x. DO NOT EDIT.\n",
            b"namespace a { class B; }\n",
        ] {
            let facts = Facts::of(content);
            assert_eq!(Facts::from_hint(facts.to_hint().as_deref()), facts);
        }
        assert_eq!(Facts::from_hint(Some("some later word")), Facts::default());
    }

    #[test]
    fn a_bare_name_is_what_its_first_line_runs() {
        let script = treat("bin/deploy", b"#!/usr/bin/env python3\n");
        assert_eq!(script.language.as_deref(), Some("python"));
        assert_eq!(script.tags.as_deref(), Some("tags.python"));
        assert_eq!(treat("LICENSE", b"MIT\n").language, None);
    }

    #[test]
    fn a_header_is_what_it_looks_like() {
        assert_eq!(
            treat("a.h", b"int f(void);\n").language.as_deref(),
            Some("c")
        );
        let cpp = treat("a.h", b"namespace a { class B; }\n");
        assert_eq!(cpp.language.as_deref(), Some("cpp"));
    }

    #[test]
    fn generated_and_vendored_files_have_text_and_a_reason() {
        for (path, content, reason) in [
            (
                "a.go",
                &b"// Code generated by x. DO NOT EDIT.\n"[..],
                "generated",
            ),
            ("vendor/a/b.go", b"package b\n", "vendored"),
        ] {
            let treatment = treat(path, content);
            assert!(treatment.text);
            assert_eq!(treatment.tags, None);
            assert_eq!(treatment.skip.as_deref(), Some(reason));
            assert_eq!(treatment.language.as_deref(), Some("go"));
        }
    }

    #[test]
    fn the_tree_has_the_last_word() {
        let own = Marks {
            generated: Some(false),
            ..Marks::default()
        };
        let remark = Facts::of(b"// Code generated by x. DO NOT EDIT.\n");
        let treatment = ByPath::of("a.go", own).treatment(remark);
        assert_eq!(treatment.tags.as_deref(), Some("tags.go"));
        let binary = Marks {
            binary: Some(true),
            ..Marks::default()
        };
        let treatment = ByPath::of("a.go", binary).treatment(Facts::default());
        assert_eq!(
            (treatment.text, treatment.skip.as_deref()),
            (false, Some("binary"))
        );
    }
}
