//! Python: classes, functions, the names of a module, and its imports.
//!
//! `import a.b` is the module `a.b`. `from a import b` is the item `a.b`, because `b` may be a module
//! or a name inside of `a`; the dots of a relative import stay in front: `.a.b`, `..b`.

use tree_sitter::Node;

use super::notes::Notes;
use super::rules::{Rule, Rules, Scope, Step};
use super::{ImportKind, SymbolKind};

pub(super) const RULES: Rules = &[
    (
        "class_definition",
        Rule::Define(SymbolKind::Class, Some(Scope::Type)),
    ),
    ("function_definition", Rule::Visit(function)),
    ("assignment", Rule::Visit(assignment)),
    ("type_alias_statement", Rule::Visit(type_alias)),
    ("import_statement", Rule::Visit(import)),
    ("import_from_statement", Rule::Visit(import_from)),
    ("future_import_statement", Rule::Pass),
    ("parameters", Rule::Pass),
    ("argument_list", Rule::Pass),
    ("string", Rule::Pass),
    ("list", Rule::Pass),
    ("dictionary", Rule::Pass),
];

fn function<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    if let Some(name) = node.child_by_field_name("name") {
        notes.symbol(notes.function_kind(), name, node);
    }
    Step::Into(Scope::Function)
}

/// Notes the name that a module-level assignment binds; in capitals it is a constant.
fn assignment<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    if !notes.at_module_level() {
        return Step::Past;
    }
    if let Some(left) = node.child_by_field_name("left")
        && left.kind() == "identifier"
    {
        let shouted = notes
            .bytes(left)
            .iter()
            .all(|byte| !byte.is_ascii_lowercase());
        let kind = if shouted {
            SymbolKind::Constant
        } else {
            SymbolKind::Variable
        };
        notes.symbol(kind, left, node);
    }
    Step::Past
}

fn type_alias<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let name = node
        .child_by_field_name("left")
        .and_then(|left| left.named_child(0));
    let bare = name.map(|name| {
        if name.kind() == "generic_type" {
            name.named_child(0).unwrap_or(name)
        } else {
            name
        }
    });
    if let Some(name) = bare {
        notes.symbol(SymbolKind::Type, name, node);
    }
    Step::Past
}

/// The dotted name of an import without its new name.
fn dotted(notes: &Notes<'_>, node: Node<'_>) -> Option<String> {
    if node.kind() == "aliased_import" {
        return notes.joined_text(node.child_by_field_name("name")?);
    }
    notes.joined_text(node)
}

fn import<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let mut cursor = node.walk();
    for name in node.children_by_field_name("name", &mut cursor) {
        if let Some(target) = dotted(notes, name) {
            notes.import(ImportKind::Module, target, name);
        }
    }
    Step::Past
}

fn import_from<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let module = node.child_by_field_name("module_name");
    let Some(module) = module.and_then(|module| notes.joined_text(module)) else {
        return Step::Past;
    };
    let dot = if module.ends_with('.') { "" } else { "." };
    let mut cursor = node.walk();
    for child in node.named_children(&mut cursor).skip(1) {
        let item = match child.kind() {
            "wildcard_import" => Some("*".to_owned()),
            "dotted_name" | "aliased_import" => dotted(notes, child),
            _ => None,
        };
        if let Some(item) = item {
            notes.import(ImportKind::Item, format!("{module}{dot}{item}"), child);
        }
    }
    Step::Past
}

#[cfg(test)]
mod tests {
    use super::super::testing::{imports, symbols};
    use crate::language::Grammar::Python;

    #[test]
    fn definitions_have_their_kinds_and_lines() {
        let source = "\
MAX_SIZE: int = 10
default = other = None
type Pair[T] = tuple[T, T]
@decorator(x=1)
@other
class Store(Base, metaclass=Meta):
    limit = 3
    async def read(self, key: str) -> bytes:
        def helper():
            pass
        local = 1
        return b''
    class Inner:
        def deep(self): ...

def run(a, /, b, *, c=lambda x: x):
    global default

if True:
    def conditional(): pass
a, b = 1, 2
";
        assert_eq!(
            symbols(Python, source),
            [
                "constant MAX_SIZE 1-1",
                "variable default 2-2",
                "type Pair 3-3",
                "class Store 6-14",
                "method read 8-12",
                "function helper 9-10",
                "class Inner 13-14",
                "method deep 14-14",
                "function run 16-17",
                "function conditional 20-20",
            ]
        );
    }

    #[test]
    fn imports_keep_dots_and_names() {
        let source = "\
from __future__ import annotations
import os, os.path as p
import a.b.c
from . import sibling
from .. import up as down
from .pkg.mod import (
    One,
    two as Two,
)
from x.y import *
def late():
    from ...far import thing
if TYPE_CHECKING:
    import typing
";
        assert_eq!(
            imports(Python, source),
            [
                "2 os",
                "2 os.path",
                "3 a.b.c",
                "4 .sibling",
                "5 ..up",
                "7 .pkg.mod.One",
                "8 .pkg.mod.two",
                "10 x.y.*",
                "12 ...far.thing",
                "14 typing",
            ]
        );
    }

    #[test]
    fn crlf_bom_and_invalid_bytes_change_nothing() {
        let source = b"\xef\xbb\xbfimport a\r\ndef f():\r\n    return '\xff\xfe'\r\n\r\nclass C:\r\n    pass\r\n";
        assert_eq!(symbols(Python, source), ["function f 2-3", "class C 5-6"]);
        assert_eq!(imports(Python, source), ["1 a"]);
    }

    #[test]
    fn code_around_a_syntax_error_is_found() {
        let source = "import a\ndef one(:\n    pass\n\ndef two():\n    pass\n";
        assert!(symbols(Python, source).contains(&"function two 5-6".to_owned()));
        assert_eq!(imports(Python, source), ["1 a"]);
    }
}
