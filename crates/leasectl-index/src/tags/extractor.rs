//! The parser and the walk, within limits.
//!
//! tree-sitter asks a callback every hundred steps of the parse whether it shall go on; the walk asks
//! the same question every few thousand nodes.

use std::ops::ControlFlow;
use std::time::Instant;

use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree};

use super::limits::{BrokenLimit, Limits, MAX_TEXT_BYTES, Outcome};
use super::nesting::is_too_deep;
use super::notes::Notes;
use super::rules::{Rule, Rules, Step, Table};
use super::{Tags, c, cpp, csharp, go, java, javascript, php, python, ruby, rust, typescript};
use crate::language::Grammar;
use crate::stop::{Stop, Stopped};

/// How many nodes are walked between two looks at the clock.
const NODES_PER_CHECK: u32 = 4096;

/// A grammar that this build's parser cannot load.
#[derive(Debug, thiserror::Error)]
#[error("loading the grammar {grammar:?}")]
pub struct GrammarError {
    grammar: Grammar,
    #[source]
    cause: tree_sitter::LanguageError,
}

/// The name and version under which the payloads of a grammar are stored.
///
/// The version grows with every change of the grammar's crate or of the rules that changes what is
/// extracted; then only the payloads of this grammar are made again.
#[must_use]
pub const fn extractor_id(grammar: Grammar) -> (&'static str, u32) {
    match grammar {
        Grammar::Rust => ("tags.rust", 1),
        Grammar::Python => ("tags.python", 1),
        Grammar::JavaScript => ("tags.javascript", 1),
        Grammar::TypeScript => ("tags.typescript", 1),
        Grammar::Tsx => ("tags.tsx", 1),
        Grammar::Go => ("tags.go", 1),
        Grammar::Java => ("tags.java", 1),
        Grammar::C => ("tags.c", 1),
        Grammar::Cpp => ("tags.cpp", 1),
        Grammar::CSharp => ("tags.csharp", 1),
        Grammar::Ruby => ("tags.ruby", 1),
        Grammar::Php => ("tags.php", 1),
    }
}

/// Extracts symbols and imports; one thread owns it and keeps its parsers warm.
#[derive(Default)]
pub struct Extractor {
    loaded: [Option<Loaded>; Grammar::ALL.len()],
}

struct Loaded {
    parser: Parser,
    table: Table,
}

impl Extractor {
    /// An extractor that has loaded no grammar yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses a blob and notes what it defines and imports.
    ///
    /// The deadline is counted from here and takes the place of one that `stop` has. Syntax errors and
    /// invalid UTF-8 are no failure: what is around them is found.
    ///
    /// # Errors
    /// [`GrammarError`] if the grammar does not fit the parser that this was built with, which a test
    /// rules out.
    pub fn extract(
        &mut self,
        grammar: Grammar,
        content: &[u8],
        limits: &Limits,
        stop: Stop<'_>,
    ) -> Result<Outcome, GrammarError> {
        if content.len() > limits.bytes {
            return Ok(Outcome::Skipped(BrokenLimit::Bytes));
        }
        if is_too_deep(grammar, content, limits.depth) {
            return Ok(Outcome::Skipped(BrokenLimit::Depth));
        }
        let loaded = self.load(grammar)?;
        let stop = stop.or_at(Instant::now() + limits.time);
        let outcome = match parse(&mut loaded.parser, content, stop) {
            Ok(Some(tree)) => walk(&tree, content, &loaded.table, limits, stop),
            Ok(None) => Outcome::Extracted(Tags::default()),
            Err(reason) => stopped(reason),
        };
        Ok(outcome)
    }

    fn load(&mut self, grammar: Grammar) -> Result<&mut Loaded, GrammarError> {
        let slot = &mut self.loaded[grammar as usize];
        match slot {
            Some(loaded) => Ok(loaded),
            None => Ok(slot.insert(Loaded::new(grammar)?)),
        }
    }
}

impl Loaded {
    fn new(grammar: Grammar) -> Result<Self, GrammarError> {
        let (language, rules) = parts(grammar);
        let mut parser = Parser::new();
        parser
            .set_language(&language)
            .map_err(|cause| GrammarError { grammar, cause })?;
        Ok(Self {
            parser,
            table: Table::new(&language, rules),
        })
    }
}

/// A grammar and the rules for its node kinds.
fn parts(grammar: Grammar) -> (tree_sitter::Language, Rules) {
    match grammar {
        Grammar::Rust => (tree_sitter_rust::LANGUAGE.into(), rust::RULES),
        Grammar::Python => (tree_sitter_python::LANGUAGE.into(), python::RULES),
        Grammar::JavaScript => (tree_sitter_javascript::LANGUAGE.into(), javascript::RULES),
        Grammar::TypeScript => (
            tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
            typescript::RULES,
        ),
        Grammar::Tsx => (
            tree_sitter_typescript::LANGUAGE_TSX.into(),
            typescript::RULES,
        ),
        Grammar::Go => (tree_sitter_go::LANGUAGE.into(), go::RULES),
        Grammar::Java => (tree_sitter_java::LANGUAGE.into(), java::RULES),
        Grammar::C => (tree_sitter_c::LANGUAGE.into(), c::RULES),
        Grammar::Cpp => (tree_sitter_cpp::LANGUAGE.into(), cpp::RULES),
        Grammar::CSharp => (tree_sitter_c_sharp::LANGUAGE.into(), csharp::RULES),
        Grammar::Ruby => (tree_sitter_ruby::LANGUAGE.into(), ruby::RULES),
        Grammar::Php => (tree_sitter_php::LANGUAGE_PHP.into(), php::RULES),
    }
}

/// What a stop means for the blob that was being worked on.
fn stopped(reason: Stopped) -> Outcome {
    match reason {
        Stopped::Asked => Outcome::Cancelled,
        Stopped::Late => Outcome::Skipped(BrokenLimit::Time),
    }
}

fn parse(parser: &mut Parser, content: &[u8], stop: Stop<'_>) -> Result<Option<Tree>, Stopped> {
    let mut verdict = Ok(());
    let mut progress = |_: &ParseState| {
        verdict = stop.check();
        if verdict.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    let options = ParseOptions::new().progress_callback(&mut progress);
    let mut read = |at: usize, _| content.get(at..).unwrap_or_default();
    let tree = parser.parse_with_options(&mut read, None, Some(options));
    // A parse that was stopped would otherwise be taken up again with the next content.
    parser.reset();
    verdict.map(|()| tree)
}

fn walk(tree: &Tree, content: &[u8], table: &Table, limits: &Limits, stop: Stop<'_>) -> Outcome {
    let mut notes = Notes::new(content);
    let mut cursor = tree.walk();
    let (mut depth, mut nodes) = (0_usize, 0_u32);
    'next: loop {
        nodes += 1;
        if nodes == NODES_PER_CHECK {
            nodes = 0;
            if let Err(reason) = stop.check() {
                return stopped(reason);
            }
        }
        if look(&mut notes, table, cursor.node(), depth) && cursor.goto_first_child() {
            depth += 1;
            if depth > limits.depth {
                return Outcome::Skipped(BrokenLimit::Depth);
            }
            continue;
        }
        let (entries, text_bytes) = notes.size();
        if entries > limits.entries || text_bytes > MAX_TEXT_BYTES {
            return Outcome::Skipped(BrokenLimit::Entries);
        }
        loop {
            notes.close(depth);
            if cursor.goto_next_sibling() {
                continue 'next;
            }
            if !cursor.goto_parent() {
                return Outcome::Extracted(notes.finish());
            }
            depth -= 1;
        }
    }
}

/// Does what the rule of a node says; `true` if the walk goes inside.
fn look<'t>(notes: &mut Notes<'t>, table: &Table, node: Node<'t>, depth: usize) -> bool {
    let step = match table.rule(node) {
        Rule::Enter => Step::Inside,
        Rule::Pass => Step::Past,
        Rule::Open(scope) => Step::Into(scope),
        Rule::Define(kind, scope) => {
            if let Some(name) = node.child_by_field_name("name") {
                notes.symbol(kind, name, node);
            }
            scope.map_or(Step::Inside, Step::Into)
        }
        Rule::Visit(visit) => visit(notes, node),
    };
    match step {
        Step::Inside => true,
        Step::Into(scope) => {
            notes.open(depth, scope, None);
            true
        }
        Step::IntoModule(name) => {
            notes.open(depth, super::rules::Scope::Module, Some(name));
            true
        }
        Step::Past => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::MAX_NAME_BYTES;
    use super::*;

    fn extract(grammar: Grammar, content: &[u8], limits: &Limits) -> Outcome {
        let asked = AtomicBool::new(false);
        let mut extractor = Extractor::new();
        extractor
            .extract(grammar, content, limits, Stop::when(&asked))
            .expect("it loads")
    }

    #[test]
    fn every_grammar_fits_the_parser_and_has_an_extractor_of_its_own() {
        let mut names: Vec<_> = Grammar::ALL.iter().map(|it| extractor_id(*it).0).collect();
        names.dedup();
        assert_eq!(names.len(), Grammar::ALL.len());
        for grammar in Grammar::ALL {
            let outcome = extract(grammar, b"", &Limits::default());
            assert_eq!(outcome, Outcome::Extracted(Tags::default()), "{grammar:?}");
        }
    }

    #[test]
    fn every_rule_names_a_node_kind_of_its_grammar() {
        for grammar in Grammar::ALL {
            let (language, rules) = parts(grammar);
            for (kind, _) in rules {
                assert_ne!(
                    language.id_for_node_kind(kind, true),
                    0,
                    "{grammar:?} has no {kind}"
                );
            }
        }
    }

    #[test]
    fn every_limit_is_a_recorded_reason() {
        let limits = Limits {
            bytes: 4000,
            time: Duration::ZERO,
            depth: 50,
            entries: 10,
        };
        let broken =
            |content: String, limits: &Limits| extract(Grammar::Rust, content.as_bytes(), limits);
        let in_time = Limits {
            time: Duration::from_secs(60),
            ..limits
        };
        assert_eq!(
            broken(" ".repeat(4001), &in_time),
            Outcome::Skipped(BrokenLimit::Bytes)
        );
        assert_eq!(
            broken("const A: u8 = 1;".repeat(100), &limits),
            Outcome::Skipped(BrokenLimit::Time)
        );
        let deep = format!("const A: u8 = {}1{};", "(".repeat(60), ")".repeat(60));
        assert_eq!(broken(deep, &in_time), Outcome::Skipped(BrokenLimit::Depth));
        assert_eq!(
            broken("const A: u8 = 1;".repeat(11), &in_time),
            Outcome::Skipped(BrokenLimit::Entries)
        );
    }

    #[test]
    fn a_repeated_long_prefix_cannot_swell_in_memory() {
        let names = "x,".repeat(20_000);
        let content = format!("use {}::{{{names}}};", "p".repeat(1000));
        assert_eq!(
            extract(Grammar::Rust, content.as_bytes(), &Limits::default()),
            Outcome::Skipped(BrokenLimit::Entries)
        );
    }

    #[test]
    fn a_raised_flag_cancels_and_the_next_blob_is_not_confused() {
        let asked = AtomicBool::new(true);
        let mut extractor = Extractor::new();
        let content = "fn a() {}".repeat(2000);
        let mut run = |content: &str| {
            extractor
                .extract(
                    Grammar::Rust,
                    content.as_bytes(),
                    &Limits::default(),
                    Stop::when(&asked),
                )
                .expect("it loads")
        };
        assert_eq!(run(&content), Outcome::Cancelled);
        asked.store(false, Ordering::Relaxed);
        let Outcome::Extracted(tags) = run("struct B;") else {
            panic!("not extracted")
        };
        assert_eq!(tags.symbols.len(), 1);
        assert_eq!(tags.symbols[0].name, "B");
    }

    #[test]
    fn deep_nesting_ends_in_every_grammar() {
        for grammar in Grammar::ALL {
            for open in [
                "(", "[", "{", "<", "a<", "a(", "if(", "{{a:", "/*", "\"${", "`${", "#if\n",
            ] {
                let content = format!("<?php {}", open.repeat(4000));
                let limits = Limits {
                    time: Duration::from_secs(20),
                    ..Limits::default()
                };
                let _ = extract(grammar, content.as_bytes(), &limits);
            }
        }
    }

    /// Pieces that grammars care about, so that random content is not one error from end to end.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(
            &[
                "fn f",
                "use a::",
                "mod ",
                "class C",
                "def d",
                "import x",
                "from . ",
                "require('",
                "\"",
                "'",
                "`",
                "{",
                "}",
                "(",
                ")",
                "[",
                "]",
                "<",
                ">",
                ";",
                ":",
                ",",
                "\n",
                "\r\n",
                "    ",
                "\t",
                "#include <",
                "namespace ",
                "=>",
                "=",
                "<?php ",
                "struct S",
                "<<~X",
                "/*",
                "*/",
                "//",
                "#",
                "@",
                "\\",
                "é",
                "\u{feff}",
                "\0",
                "interface I",
                "type T",
                "const ",
                "\"\"\"",
            ][..],
        );
        let noise = prop::collection::vec(any::<u8>(), 0..4);
        prop::collection::vec((piece, noise), 0..80).prop_map(|parts| {
            parts
                .into_iter()
                .flat_map(|(piece, noise)| [piece.as_bytes(), &noise].concat())
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn arbitrary_bytes_never_panic_and_what_is_found_can_be_stored(content in pieces()) {
            let lines = content.iter().filter(|byte| **byte == b'\n').count() + 1;
            for grammar in Grammar::ALL {
                let outcome = extract(grammar, &content, &Limits::default());
                if let Outcome::Extracted(tags) = outcome {
                    for symbol in &tags.symbols {
                        prop_assert!(1 <= symbol.line_start && symbol.line_start <= symbol.line_end);
                        prop_assert!(symbol.line_end as usize <= lines);
                    }
                    let names = tags.symbols.iter().map(|symbol| &symbol.name);
                    for text in names.chain(tags.imports.iter().map(|import| &import.target)) {
                        prop_assert!(text.len() <= MAX_NAME_BYTES, "{text:?}");
                        prop_assert!(!text.chars().any(char::is_control), "{text:?}");
                    }
                }
            }
        }
    }
}
