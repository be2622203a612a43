//! Which files hold tests, by the names that each language's tools go by.

use crate::language::Language;

/// Whether a file holds tests, or helps tests alone.
///
/// - Rust: below `tests` or `benches`, or named `tests.rs`, `test.rs`, `*_test.rs`, `*_tests.rs`.
///   Unit tests inside of a source file do not make it a test: it would be one for its other half.
/// - Python: below `tests` or `test`, or named `test_*`, `*_test`, `tests` or `conftest`.
/// - JavaScript and TypeScript: below `__tests__`, `tests`, `test`, `e2e` or `cypress`, or with `test`
///   or `spec` before the extension.
/// - Go: `*_test.go`.
/// - The others: below a directory named `test`, `tests` or `spec`, in any case.
#[must_use]
pub fn is_test(path: &str, language: Language) -> bool {
    let (dirs, name) = path.rsplit_once('/').unwrap_or(("", path));
    let below = |names: &[&str]| dirs.split('/').any(|dir| names.contains(&dir));
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    match language {
        Language::Rust => {
            let named = matches!(stem, "test" | "tests");
            below(&["tests", "benches"])
                || named
                || stem.ends_with("_test")
                || stem.ends_with("_tests")
        }
        Language::Python => {
            let named = matches!(stem, "tests" | "conftest");
            below(&["tests", "test"])
                || named
                || stem.starts_with("test_")
                || stem.ends_with("_test")
        }
        Language::JavaScript | Language::TypeScript => {
            let role = stem.rsplit_once('.').map(|(_, role)| role);
            below(&["__tests__", "tests", "test", "e2e", "cypress"])
                || matches!(role, Some("test" | "spec"))
        }
        Language::Go => name.ends_with("_test.go"),
        Language::Java
        | Language::C
        | Language::Cpp
        | Language::CSharp
        | Language::Ruby
        | Language::Php => dirs.split('/').any(|dir| {
            ["test", "tests", "spec"]
                .iter()
                .any(|known| dir.eq_ignore_ascii_case(known))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_directories_tell_tests() {
        let tests = [
            (Language::Rust, "crates/a/tests/claim.rs"),
            (Language::Rust, "src/job/tests.rs"),
            (Language::Rust, "src/job_test.rs"),
            (Language::Python, "pkg/test_x.py"),
            (Language::Python, "tests/helpers.py"),
            (Language::Python, "conftest.py"),
            (Language::TypeScript, "src/Button.test.tsx"),
            (Language::JavaScript, "src/__tests__/x.js"),
            (Language::Go, "store/a_test.go"),
            (Language::Java, "src/test/java/X.java"),
            (Language::CSharp, "App.Tests/../Test/X.cs"),
        ];
        for (language, path) in tests {
            assert!(is_test(path, language), "{path}");
        }
    }

    #[test]
    fn what_only_sounds_like_a_test_is_none() {
        let others = [
            (Language::Rust, "src/testing.rs"),
            (Language::Python, "src/latest.py"),
            (Language::TypeScript, "src/spec.ts"),
            (Language::Go, "tests/helper.go"),
            (Language::C, "contest/x.c"),
        ];
        for (language, path) in others {
            assert!(!is_test(path, language), "{path}");
        }
    }
}
