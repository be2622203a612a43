//! C: functions with a body, types with a body, typedefs, macros and the variables of a file.
//!
//! Prototypes and `extern` declarations do not count: the definition is what a reader looks for.
//! `#include "x"` is a file next to this one, `#include <x>` one that the compiler searches for.

use tree_sitter::Node;

use super::notes::Notes;
use super::rules::{Rule, Rules, Scope, Step};
use super::{ImportKind, SymbolKind};

/// How many declarators may be wrapped around a name.
const MAX_DECLARATORS: usize = 64;

pub(super) const RULES: Rules = &[
    ("function_definition", Rule::Visit(function)),
    ("declaration", Rule::Visit(declaration)),
    ("struct_specifier", Rule::Visit(structure)),
    ("union_specifier", Rule::Visit(structure)),
    ("enum_specifier", Rule::Visit(enumeration)),
    ("type_definition", Rule::Visit(typedef)),
    ("preproc_def", Rule::Define(SymbolKind::Macro, None)),
    (
        "preproc_function_def",
        Rule::Define(SymbolKind::Macro, None),
    ),
    ("preproc_include", Rule::Visit(include)),
    ("comment", Rule::Pass),
    ("initializer_list", Rule::Pass),
    ("parameter_list", Rule::Pass),
];

/// The innermost name of a declarator, and whether it declares a function.
pub(super) fn declared(declarator: Node<'_>) -> Option<(Node<'_>, bool)> {
    let (mut node, mut is_function) = (declarator, false);
    for _ in 0..MAX_DECLARATORS {
        match node.kind() {
            // A pointer to a function is a variable: the pointer stands inside of the parentheses.
            "pointer_declarator" | "reference_declarator" => is_function = false,
            "function_declarator" => is_function = true,
            "init_declarator"
            | "array_declarator"
            | "parenthesized_declarator"
            | "attributed_declarator" => {}
            _ => return Some((node, is_function)),
        }
        node = node
            .child_by_field_name("declarator")
            .or_else(|| node.named_child(0))?;
    }
    None
}

fn function<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let declarator = node.child_by_field_name("declarator").and_then(declared);
    if let Some((name, _)) = declarator.filter(|(name, _)| name.kind() == "identifier") {
        notes.symbol(SymbolKind::Function, name, node);
    }
    Step::Into(Scope::Function)
}

/// Notes the variables that a file-level declaration defines.
pub(super) fn declaration<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    if !notes.at_module_level() {
        return Step::Inside;
    }
    let mut cursor = node.walk();
    let elsewhere = node
        .named_children(&mut cursor)
        .any(|child| child.kind() == "storage_class_specifier" && notes.bytes(child) == b"extern");
    if elsewhere {
        return Step::Inside;
    }
    for declarator in node.children_by_field_name("declarator", &mut cursor) {
        if let Some((name, false)) = declared(declarator)
            && name.kind() == "identifier"
        {
            notes.symbol(SymbolKind::Variable, name, node);
        }
    }
    Step::Inside
}

fn structure<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    with_body(notes, SymbolKind::Struct, node)
}

pub(super) fn enumeration<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    with_body(notes, SymbolKind::Enum, node)
}

fn with_body<'t>(notes: &mut Notes<'t>, kind: SymbolKind, node: Node<'t>) -> Step {
    if let (Some(name), Some(_)) = (
        node.child_by_field_name("name"),
        node.child_by_field_name("body"),
    ) {
        notes.symbol(kind, name, node);
    }
    Step::Inside
}

pub(super) fn typedef<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let mut cursor = node.walk();
    for declarator in node.children_by_field_name("declarator", &mut cursor) {
        if let Some((name, _)) = declared(declarator) {
            notes.symbol(SymbolKind::Type, name, node);
        }
    }
    Step::Inside
}

pub(super) fn include<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let Some(path) = node.child_by_field_name("path") else {
        return Step::Past;
    };
    match path.kind() {
        "string_literal" => {
            if let Some(target) = notes.unquoted(path) {
                notes.import(ImportKind::File, target, path);
            }
        }
        "system_lib_string" => {
            if let Some(text) = notes.text(path) {
                let target = text.trim_matches(['<', '>']).to_owned();
                notes.import(ImportKind::System, target, path);
            }
        }
        _ => {}
    }
    Step::Past
}

#[cfg(test)]
mod tests {
    use super::super::testing::{imports, symbols};
    use crate::language::Grammar::C;

    #[test]
    fn definitions_have_their_kinds_and_lines() {
        let source = "\
#define LIMIT 3
#define MAX(a, b) \\
    ((a) > (b) ? (a) : (b))
typedef struct node { struct node *next; enum { X } tag; } node_t, *node_ptr;
typedef int (*callback)(void *, int);
struct forward;
union bits { int a; float b; };
enum level { LOW, HIGH };
extern int elsewhere;
static const char *const names[] = { \"a\" }, *other;
int prototype(int);
int (*handler)(int) = 0;
static inline struct node *
make(int n)
{
    int local = n;
    return 0;
}
#ifdef X
void *(*getter(void))(int) { return 0; }
#endif
";
        assert_eq!(
            symbols(C, source),
            [
                "macro LIMIT 1-1",
                "macro MAX 2-3",
                "type node_t 4-4",
                "type node_ptr 4-4",
                "struct node 4-4",
                "type callback 5-5",
                "struct bits 7-7",
                "enum level 8-8",
                "variable names 10-10",
                "variable other 10-10",
                "variable handler 12-12",
                "function make 13-18",
                "function getter 20-20",
            ]
        );
    }

    #[test]
    fn includes_count_in_both_forms() {
        let source = "#include <stdio.h>\n#include \"lib/x.h\"\n#include MACRO\n#ifdef Y\n# include <sys/y.h>\n#endif\n";
        assert_eq!(imports(C, source), ["1 stdio.h", "2 lib/x.h", "5 sys/y.h"]);
    }

    #[test]
    fn code_around_a_syntax_error_is_found() {
        let source =
            "#include <a.h>\nint one(int x) { return x + ; }\nint two(void) { return 0; }\n";
        assert!(
            symbols(C, source)
                .iter()
                .any(|symbol| symbol.starts_with("function two"))
        );
    }
}
