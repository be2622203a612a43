//! How far the imports of each language are resolved.

use crate::language::Language;

/// How far the imports of a language are resolved: an answer says by it what it may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// By the rules by which the language finds its modules.
    Full,
    /// Only files that are named relative to the importing one.
    Relative,
    /// Not at all.
    None,
}

impl Coverage {
    /// Of the imports of this language.
    #[must_use]
    pub const fn of(language: Language) -> Self {
        match language {
            Language::Rust
            | Language::Python
            | Language::JavaScript
            | Language::TypeScript
            | Language::Go => Self::Full,
            Language::C | Language::Cpp | Language::Ruby | Language::Php => Self::Relative,
            Language::Java | Language::CSharp => Self::None,
        }
    }

    /// The stable name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Relative => "relative",
            Self::None => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Resolution, Resolver};
    use super::*;
    use crate::tags::{Import, ImportKind};

    #[test]
    fn modules_of_a_language_are_resolved_where_the_coverage_says_so() {
        let resolver = Resolver::new(["a/b", "a/c"], []);
        let file = resolver.file("a/b").expect("it is there");
        for language in Language::ALL {
            let leads = |kind, target: &str| {
                let target = target.to_owned();
                let import = Import {
                    target,
                    kind,
                    line: 1,
                };
                resolver.resolve(file, language, &import)
            };
            // A name that no tree has is either known to be outside or not looked at.
            let named = leads(ImportKind::Module, "somewhere");
            let is_full = Coverage::of(language) == Coverage::Full;
            assert_eq!(named != Resolution::Unknown, is_full, "{language:?}");
            if Coverage::of(language) == Coverage::Relative {
                let other = resolver.file("a/c").map(Resolution::File);
                assert_eq!(Some(leads(ImportKind::File, "c")), other, "{language:?}");
            }
        }
    }
}
