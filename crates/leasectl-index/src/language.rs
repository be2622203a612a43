//! Which language a file is written in, decided from its name before anybody reads it.
//!
//! A listing of a tree has paths and blob ids. What is missing in the store is asked for by blob,
//! extractor and version, so the extractor must follow from the path alone wherever it can. Only a
//! name that says nothing (`bin/deploy`) sends the caller to the first line of the content.
//!
//! **Invariants**
//! - The name of a language is stable: it stands in the public view `leasectl.index_files`.
//! - The same paths and attributes give the same answer, on every machine.

/// A language whose symbols and imports are extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Language {
    /// Rust.
    Rust,
    /// Python, stub files among them.
    Python,
    /// JavaScript, JSX among it.
    JavaScript,
    /// TypeScript, TSX among it.
    TypeScript,
    /// Go.
    Go,
    /// Java.
    Java,
    /// C.
    C,
    /// C++.
    Cpp,
    /// C#.
    CSharp,
    /// Ruby.
    Ruby,
    /// PHP.
    Php,
}

impl Language {
    /// Every language, in the order in which they are documented.
    pub const ALL: [Self; 11] = [
        Self::Rust,
        Self::Python,
        Self::JavaScript,
        Self::TypeScript,
        Self::Go,
        Self::Java,
        Self::C,
        Self::Cpp,
        Self::CSharp,
        Self::Ruby,
        Self::Php,
    ];

    /// The stable name, as in SQL and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Go => "go",
            Self::Java => "java",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::CSharp => "csharp",
            Self::Ruby => "ruby",
            Self::Php => "php",
        }
    }

    /// The language of this stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|language| language.name() == name)
    }
}

/// A grammar that a file is parsed with.
///
/// TypeScript has two, because `<T>x` is a cast in one and an element in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grammar {
    /// Rust.
    Rust,
    /// Python.
    Python,
    /// JavaScript with JSX.
    JavaScript,
    /// TypeScript without JSX.
    TypeScript,
    /// TypeScript with JSX.
    Tsx,
    /// Go.
    Go,
    /// Java.
    Java,
    /// C.
    C,
    /// C++.
    Cpp,
    /// C#.
    CSharp,
    /// Ruby.
    Ruby,
    /// PHP inside or outside of HTML.
    Php,
}

impl Grammar {
    /// Every grammar.
    pub const ALL: [Self; 12] = [
        Self::Rust,
        Self::Python,
        Self::JavaScript,
        Self::TypeScript,
        Self::Tsx,
        Self::Go,
        Self::Java,
        Self::C,
        Self::Cpp,
        Self::CSharp,
        Self::Ruby,
        Self::Php,
    ];

    /// The language that this grammar parses.
    #[must_use]
    pub const fn language(self) -> Language {
        match self {
            Self::Rust => Language::Rust,
            Self::Python => Language::Python,
            Self::JavaScript => Language::JavaScript,
            Self::TypeScript | Self::Tsx => Language::TypeScript,
            Self::Go => Language::Go,
            Self::Java => Language::Java,
            Self::C => Language::C,
            Self::Cpp => Language::Cpp,
            Self::CSharp => Language::CSharp,
            Self::Ruby => Language::Ruby,
            Self::Php => Language::Php,
        }
    }

    /// The grammar that a `linguist-language` attribute or an interpreter names, in any case.
    fn from_label(label: &str) -> Option<Self> {
        match label.to_ascii_lowercase().as_str() {
            "rust" | "rs" => Some(Self::Rust),
            "python" | "py" | "pypy" | "python2" | "python3" => Some(Self::Python),
            "javascript" | "js" | "jsx" | "node" | "nodejs" => Some(Self::JavaScript),
            "typescript" | "ts" | "deno" | "ts-node" | "tsx-node" => Some(Self::TypeScript),
            "tsx" => Some(Self::Tsx),
            "go" | "golang" => Some(Self::Go),
            "java" => Some(Self::Java),
            "c" => Some(Self::C),
            "c++" | "cpp" => Some(Self::Cpp),
            "c#" | "csharp" => Some(Self::CSharp),
            "ruby" | "rb" | "jruby" => Some(Self::Ruby),
            "php" => Some(Self::Php),
            _ => None,
        }
    }
}

/// What a path says about its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detection {
    /// The file is parsed with this grammar.
    Known(Grammar),
    /// The name says nothing; [`by_first_line`] may.
    AskFirstLine,
    /// A header of C or of C++: [`is_cpp_header`] tells.
    Header,
    /// No extractor reads this file.
    NoExtractor,
}

/// Decides by the `linguist-language` attribute if there is one, else by the name.
///
/// An attribute that names a language without an extractor is obeyed: nothing is extracted.
#[must_use]
pub fn detect(path: &str, attribute: Option<&str>) -> Detection {
    if let Some(label) = attribute {
        return Grammar::from_label(label).map_or(Detection::NoExtractor, Detection::Known);
    }
    let name = file_name(path);
    if extension(name) == Some("h") {
        return Detection::Header;
    }
    if let Some(grammar) = by_extension(path).or_else(|| by_name(name)) {
        return Detection::Known(grammar);
    }
    if name.contains('.') {
        Detection::NoExtractor
    } else {
        Detection::AskFirstLine
    }
}

/// The grammar that the interpreter of a `#!` line asks for.
///
/// `head` is the beginning of the content; no more than 256 bytes of it are looked at.
#[must_use]
pub fn by_first_line(head: &[u8]) -> Option<Grammar> {
    let head = &head[..head.len().min(256)];
    let line = head
        .strip_prefix(b"#!")?
        .split(|&byte| byte == b'\n')
        .next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let mut program = file_name(words.next()?);
    if program == "env" {
        program = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    }
    let bare = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    Grammar::from_label(bare)
}

/// Whether a header (`.h`) is one of C++.
///
/// Its name does not tell, and its neighbours in a tree would make one blob two things. So the content
/// tells: a line that begins with a word of C++ which no header of C begins a line with. `head` is the
/// beginning of the content.
#[must_use]
pub fn is_cpp_header(head: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 9] = [
        b"class ",
        b"namespace ",
        b"namespace{",
        b"template ",
        b"template<",
        b"using ",
        b"public:",
        b"private:",
        b"protected:",
    ];
    head.split(|&byte| byte == b'\n').any(|line| {
        let line = line.trim_ascii_start();
        BEGINNINGS.iter().any(|word| line.starts_with(word))
    })
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn extension(name: &str) -> Option<&str> {
    match name.rsplit_once('.') {
        Some(("", _)) | None => None,
        Some((_, extension)) => Some(extension),
    }
}

fn by_extension(path: &str) -> Option<Grammar> {
    match extension(file_name(path))? {
        "rs" => Some(Grammar::Rust),
        "py" | "pyi" | "pyw" => Some(Grammar::Python),
        "js" | "mjs" | "cjs" | "jsx" => Some(Grammar::JavaScript),
        "ts" | "mts" | "cts" => Some(Grammar::TypeScript),
        "tsx" => Some(Grammar::Tsx),
        "go" => Some(Grammar::Go),
        "java" => Some(Grammar::Java),
        "c" => Some(Grammar::C),
        "cc" | "cpp" | "cxx" | "c++" | "C" | "hh" | "hpp" | "hxx" | "h++" | "ipp" | "tpp" => {
            Some(Grammar::Cpp)
        }
        "cs" | "csx" => Some(Grammar::CSharp),
        "rb" | "rake" | "gemspec" | "ru" => Some(Grammar::Ruby),
        "php" | "phtml" => Some(Grammar::Php),
        _ => None,
    }
}

fn by_name(name: &str) -> Option<Grammar> {
    match name {
        "SConstruct" | "SConscript" | "wscript" => Some(Grammar::Python),
        "Rakefile" | "Gemfile" | "Vagrantfile" | "Podfile" | "Capfile" | "Guardfile" => {
            Some(Grammar::Ruby)
        }
        "Jakefile" => Some(Grammar::JavaScript),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Detection {
        detect(path, None)
    }

    #[test]
    fn every_name_leads_back_to_its_language() {
        for language in Language::ALL {
            assert_eq!(Language::from_name(language.name()), Some(language));
        }
        assert_eq!(Language::from_name("cobol"), None);
    }

    #[test]
    fn the_extension_decides() {
        assert_eq!(of("src/lib.rs"), Detection::Known(Grammar::Rust));
        assert_eq!(of("a.b/x.d.ts"), Detection::Known(Grammar::TypeScript));
        assert_eq!(of("App.tsx"), Detection::Known(Grammar::Tsx));
        assert_eq!(Grammar::Tsx.language(), Language::TypeScript);
        assert_eq!(of("x.c++"), Detection::Known(Grammar::Cpp));
        assert_eq!(of("README.md"), Detection::NoExtractor);
        assert_eq!(of(".rs"), Detection::NoExtractor);
    }

    #[test]
    fn a_well_known_name_decides_without_an_extension() {
        assert_eq!(of("ops/Rakefile"), Detection::Known(Grammar::Ruby));
        assert_eq!(of("SConstruct"), Detection::Known(Grammar::Python));
    }

    #[test]
    fn a_bare_name_sends_to_the_first_line() {
        assert_eq!(of("bin/deploy"), Detection::AskFirstLine);
        assert_eq!(
            by_first_line(b"#!/usr/bin/env python3\n"),
            Some(Grammar::Python)
        );
        assert_eq!(
            by_first_line(b"#!/usr/bin/env -S A=b node --x\r\n"),
            Some(Grammar::JavaScript)
        );
        assert_eq!(
            by_first_line(b"#! /usr/local/bin/ruby2.7"),
            Some(Grammar::Ruby)
        );
        assert_eq!(
            by_first_line(b"#!/usr/bin/python3.12 -u\n"),
            Some(Grammar::Python)
        );
        assert_eq!(by_first_line(b"#!/bin/sh\n"), None);
        assert_eq!(by_first_line(b"#!\n"), None);
        assert_eq!(by_first_line(b"#!\xff\xfe\n"), None);
        assert_eq!(by_first_line(b""), None);
    }

    #[test]
    fn an_attribute_outranks_the_name() {
        let of = |path, label| detect(path, Some(label));
        assert_eq!(of("x.inc", "PHP"), Detection::Known(Grammar::Php));
        assert_eq!(of("x.rs", "RenderScript"), Detection::NoExtractor);
        assert_eq!(of("x.h", "C++"), Detection::Known(Grammar::Cpp));
    }

    #[test]
    fn a_header_is_what_its_content_looks_like() {
        assert_eq!(of("x.h"), Detection::Header);
        assert_eq!(of("x.hpp"), Detection::Known(Grammar::Cpp));
        for cpp in [
            "#pragma once\nnamespace a {\n}\n",
            "// x\r\n  template<typename T> struct A;\r\n",
            "struct A {\n public:\n  int f();\n};\n",
        ] {
            assert!(is_cpp_header(cpp.as_bytes()), "{cpp}");
        }
        for c in [
            "#ifdef __cplusplus\nextern \"C\" {\n#endif\nint f(void);\n",
            "/* The class of a namespace,\n * using a template */\nstruct a;\n",
            "",
        ] {
            assert!(!is_cpp_header(c.as_bytes()), "{c}");
        }
    }
}
