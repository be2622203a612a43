//! Rust: items, and what `use`, `mod` and `extern crate` ask for.
//!
//! A `use` tree becomes one path per leaf. Paths that begin with `self` or `super` inside of a module
//! written in place are told from the file's own module, so `use super::*` in `mod tests` becomes
//! `self::*`. A glob keeps its `*`, a rename loses its new name.

use tree_sitter::Node;

use super::notes::Notes;
use super::rules::{Rule, Rules, Scope, Step};
use super::{ImportKind, SymbolKind};

/// How deep a `use` tree may nest; what is deeper is left out.
const MAX_USE_DEPTH: usize = 32;

pub(super) const RULES: Rules = &[
    ("const_item", Rule::Define(SymbolKind::Constant, None)),
    ("enum_item", Rule::Define(SymbolKind::Enum, None)),
    ("macro_definition", Rule::Define(SymbolKind::Macro, None)),
    ("static_item", Rule::Define(SymbolKind::Variable, None)),
    ("struct_item", Rule::Define(SymbolKind::Struct, None)),
    ("union_item", Rule::Define(SymbolKind::Struct, None)),
    (
        "trait_item",
        Rule::Define(SymbolKind::Trait, Some(Scope::Type)),
    ),
    ("type_item", Rule::Define(SymbolKind::Type, None)),
    ("associated_type", Rule::Define(SymbolKind::Type, None)),
    ("impl_item", Rule::Open(Scope::Type)),
    ("function_item", Rule::Visit(function)),
    ("function_signature_item", Rule::Visit(function)),
    ("mod_item", Rule::Visit(module)),
    ("attribute_item", Rule::Visit(attribute)),
    ("use_declaration", Rule::Visit(use_declaration)),
    ("extern_crate_declaration", Rule::Visit(extern_crate)),
    ("inner_attribute_item", Rule::Pass),
    ("line_comment", Rule::Pass),
    ("block_comment", Rule::Pass),
    ("token_tree", Rule::Pass),
    ("parameters", Rule::Pass),
    ("type_parameters", Rule::Pass),
    ("type_arguments", Rule::Pass),
    ("generic_type", Rule::Pass),
    ("reference_type", Rule::Pass),
    ("scoped_identifier", Rule::Pass),
    ("scoped_type_identifier", Rule::Pass),
    ("string_literal", Rule::Pass),
    ("field_declaration_list", Rule::Pass),
    ("ordered_field_declaration_list", Rule::Pass),
    ("where_clause", Rule::Pass),
    ("visibility_modifier", Rule::Pass),
];

fn function<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    if let Some(name) = node.child_by_field_name("name") {
        notes.symbol(notes.function_kind(), name, node);
    }
    Step::Into(Scope::Function)
}

fn module<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let path = notes.path_attribute.take();
    let Some(name) = node.child_by_field_name("name") else {
        return Step::Inside;
    };
    if node.child_by_field_name("body").is_some() {
        notes.symbol(SymbolKind::Module, name, node);
        return notes
            .text(name)
            .map_or(Step::Into(Scope::Module), Step::IntoModule);
    }
    if let Some(name_text) = notes.text(name) {
        let mut target = notes.inline_modules().join("::");
        if !target.is_empty() {
            target.push_str("::");
        }
        target.push_str(name_text.trim_start_matches("r#"));
        notes.import(ImportKind::Declaration, target, name);
        if let Some(path) = path {
            notes.import(ImportKind::File, path, name);
        }
    }
    Step::Past
}

/// Remembers the value of `#[path = "…"]` for the module that follows.
fn attribute<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let attribute = node.named_child(0).filter(|attribute| {
        attribute
            .named_child(0)
            .is_some_and(|name| notes.bytes(name) == b"path")
    });
    let value = attribute.and_then(|attribute| attribute.child_by_field_name("value"));
    if let Some(path) = value.and_then(|value| notes.unquoted(value)) {
        notes.path_attribute = Some(path);
    }
    Step::Past
}

fn extern_crate<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    if let Some(name) = node.child_by_field_name("name")
        && let Some(target) = notes.text(name).filter(|target| target != "self")
    {
        notes.import(ImportKind::Module, target, name);
    }
    Step::Past
}

fn use_declaration<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    // Names that a function uses only inside of itself still make the file depend on them.
    if let Some(argument) = node.child_by_field_name("argument") {
        expand(notes, String::new(), argument, MAX_USE_DEPTH);
    }
    Step::Past
}

/// Notes the leaves of a `use` tree below the path `prefix`.
fn expand(notes: &mut Notes<'_>, prefix: String, node: Node<'_>, depth_left: usize) {
    let Some(depth_left) = depth_left.checked_sub(1) else {
        return;
    };
    match node.kind() {
        "use_list" => {
            let mut cursor = node.walk();
            for child in node.named_children(&mut cursor) {
                expand(notes, prefix.clone(), child, depth_left);
            }
        }
        "scoped_use_list" => {
            let path = node.child_by_field_name("path");
            let Some(prefix) =
                path.map_or(Some(prefix.clone()), |path| extend(notes, &prefix, path))
            else {
                return;
            };
            if let Some(list) = node.child_by_field_name("list") {
                expand(notes, prefix, list, depth_left);
            }
        }
        "use_as_clause" => {
            if let Some(path) = node.child_by_field_name("path") {
                expand(notes, prefix, path, depth_left);
            }
        }
        "use_wildcard" => {
            let path = node.named_child(0);
            let path = path.map_or(Some(prefix.clone()), |path| extend(notes, &prefix, path));
            if let Some(path) = path {
                let target = if path.is_empty() {
                    "*".to_owned()
                } else {
                    format!("{path}::*")
                };
                leaf(notes, target, node);
            }
        }
        "line_comment" | "block_comment" => {}
        _ => {
            if let Some(path) = extend(notes, &prefix, node) {
                leaf(notes, path, node);
            }
        }
    }
}

/// The path `prefix::node`; `self` at the end of a list names the prefix itself.
fn extend(notes: &Notes<'_>, prefix: &str, node: Node<'_>) -> Option<String> {
    let path = notes.joined_text(node)?.replace("r#", "");
    let path = path.trim_start_matches("::");
    let is_path = path
        .chars()
        .all(|c| c.is_alphanumeric() || c == '_' || c == ':');
    match (prefix, path) {
        _ if !is_path || prefix.len() + path.len() > super::MAX_NAME_BYTES => None,
        ("", path) => Some(path.to_owned()),
        (prefix, "self") => Some(prefix.to_owned()),
        (prefix, path) => Some(format!("{prefix}::{path}")),
    }
}

fn leaf(notes: &mut Notes<'_>, path: String, place: Node<'_>) {
    let path = from_the_file(&notes.inline_modules(), path);
    notes.import(ImportKind::Item, path, place);
}

/// Tells a `self` or `super` path inside of inline modules from the file's own module.
fn from_the_file(inline: &[&str], path: String) -> String {
    if inline.is_empty() {
        return path;
    }
    let mut rest = path.as_str();
    let mut modules = inline;
    if let Some(after) = rest.strip_prefix("self::") {
        rest = after;
    } else if !rest.starts_with("super::") {
        return path;
    }
    while let (Some(after), [outer @ .., _]) = (rest.strip_prefix("super::"), modules) {
        (rest, modules) = (after, outer);
    }
    let mut whole = if rest.starts_with("super::") {
        String::new()
    } else {
        "self::".to_owned()
    };
    for module in modules {
        whole.push_str(module);
        whole.push_str("::");
    }
    whole.push_str(rest);
    whole
}

#[cfg(test)]
mod tests {
    use super::super::testing::{imports, symbols};
    use crate::language::Grammar::Rust;

    #[test]
    fn items_have_their_kinds_and_lines() {
        let source = "
pub(crate) const LIMIT: usize = 3;
static mut COUNT: u32 = 0;
#[derive(Debug)]
pub struct Pair<T, U>
where
    T: Clone,
{
    left: T,
    right: U,
}
union Bits { a: u32, b: f32 }
enum Shape { Round, Square(u8) }
pub trait Draw { const SIDES: u8; type Pen; fn draw(&self); fn twice(&self) { self.draw() } }
type Alias<T> = Vec<T>;
macro_rules! twice { ($x:expr) => { fn hidden() {} } }
impl<T: Clone, U> Draw for Pair<T, U> {
    const SIDES: u8 = 1;
    type Pen = ();
    fn draw(&self) {
        fn helper() {}
    }
}
mod inner {
    pub async unsafe fn run<'a>(x: &'a str) -> impl Fn() + 'a { || () }
}
extern \"C\" { fn abs(x: i32) -> i32; }
const _: () = ();
";
        assert_eq!(
            symbols(Rust, source),
            [
                "constant LIMIT 2-2",
                "variable COUNT 3-3",
                "struct Pair 5-11",
                "struct Bits 12-12",
                "enum Shape 13-13",
                "trait Draw 14-14",
                "constant SIDES 14-14",
                "type Pen 14-14",
                "method draw 14-14",
                "method twice 14-14",
                "type Alias 15-15",
                "macro twice 16-16",
                "constant SIDES 18-18",
                "type Pen 19-19",
                "method draw 20-22",
                "function helper 21-21",
                "module inner 24-26",
                "function run 25-25",
                "function abs 27-27",
            ]
        );
    }

    #[test]
    fn a_use_tree_becomes_one_path_per_leaf() {
        let source = "
use std::{fmt, io::{self, Read as _}, collections::*};
use crate::
    a::b; // trailing
pub(crate) use super::up::{One, two::Two as Deux};
use ::serde::Serialize;
use {alone, r#type::raw};
extern crate alloc as a;
extern crate self as me;
fn f() { use self::local::Thing; }
";
        assert_eq!(
            imports(Rust, source),
            [
                "2 std::fmt",
                "2 std::io",
                "2 std::io::Read",
                "2 std::collections::*",
                "3 crate::a::b",
                "5 super::up::One",
                "5 super::up::two::Two",
                "6 serde::Serialize",
                "7 alone",
                "7 type::raw",
                "8 alloc",
                "10 self::local::Thing",
            ]
        );
    }

    #[test]
    fn paths_in_inline_modules_are_told_from_the_file() {
        let source = "
mod tests {
    use super::*;
    use super::super::sibling;
    use self::deep::x;
    mod nested { use super::super::Top; use super::fixtures; use super::super::super::up; mod file; }
}
use super::outside;
";
        assert_eq!(
            imports(Rust, source),
            [
                "3 self::*",
                "4 super::sibling",
                "5 self::tests::deep::x",
                "6 self::Top",
                "6 self::tests::fixtures",
                "6 super::up",
                "6 tests::nested::file",
                "8 super::outside",
            ]
        );
    }

    #[test]
    fn a_path_attribute_follows_its_module() {
        let source =
            "mod a;\n#[cfg(unix)]\n#[path = \"sys/unix.rs\"]\n/// Doc.\npub mod sys;\nmod b;";
        assert_eq!(
            imports(Rust, source),
            ["1 a", "5 sys", "5 sys/unix.rs", "6 b"]
        );
    }

    #[test]
    fn code_around_a_syntax_error_is_found() {
        let source = "fn a() {}\nfn broken( { let ;;; } }}\nstruct After;\nuse x::y;\n";
        let found = symbols(Rust, source);
        assert!(found.contains(&"function a 1-1".to_owned()), "{found:?}");
        assert!(found.contains(&"struct After 3-3".to_owned()), "{found:?}");
        assert_eq!(imports(Rust, source), ["4 x::y"]);
    }

    #[test]
    fn a_use_tree_deeper_than_the_limit_loses_its_depths_only() {
        let source = format!("use a::{}x{};\nuse b;", "{b::".repeat(100), "}".repeat(100));
        assert_eq!(imports(Rust, &source), ["2 b"]);
    }
}
