//! Go: functions, methods, types, and the constants and variables of a package; import specs.

use tree_sitter::Node;

use super::notes::Notes;
use super::rules::{Rule, Rules, Scope, Step};
use super::{ImportKind, SymbolKind};

pub(super) const RULES: Rules = &[
    (
        "function_declaration",
        Rule::Define(SymbolKind::Function, Some(Scope::Function)),
    ),
    (
        "method_declaration",
        Rule::Define(SymbolKind::Method, Some(Scope::Function)),
    ),
    ("func_literal", Rule::Open(Scope::Function)),
    ("method_elem", Rule::Define(SymbolKind::Method, None)),
    ("type_spec", Rule::Visit(type_spec)),
    ("type_alias", Rule::Define(SymbolKind::Type, None)),
    ("const_spec", Rule::Visit(constants)),
    ("var_spec", Rule::Visit(variables)),
    ("import_spec", Rule::Visit(import)),
    ("comment", Rule::Pass),
    ("parameter_list", Rule::Pass),
    ("literal_value", Rule::Pass),
];

fn type_spec<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let kind = match node.child_by_field_name("type").map(|of| of.kind()) {
        Some("struct_type") => SymbolKind::Struct,
        Some("interface_type") => SymbolKind::Interface,
        Some(_) | None => SymbolKind::Type,
    };
    if let Some(name) = node.child_by_field_name("name") {
        notes.symbol(kind, name, node);
    }
    Step::Inside
}

fn constants<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    names(notes, SymbolKind::Constant, node)
}

fn variables<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    names(notes, SymbolKind::Variable, node)
}

fn names<'t>(notes: &mut Notes<'t>, kind: SymbolKind, node: Node<'t>) -> Step {
    if notes.at_module_level() {
        let mut cursor = node.walk();
        for name in node.children_by_field_name("name", &mut cursor) {
            if name.kind() == "identifier" {
                notes.symbol(kind, name, node);
            }
        }
    }
    Step::Inside
}

fn import<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    if let Some(path) = node.child_by_field_name("path")
        && let Some(target) = notes.unquoted(path)
    {
        notes.import(ImportKind::Module, target, path);
    }
    Step::Past
}

#[cfg(test)]
mod tests {
    use super::super::testing::{imports, symbols};
    use crate::language::Grammar::Go;

    #[test]
    fn definitions_have_their_kinds_and_lines() {
        let source = "\
package store

const (
\tA, B = iota, 1
\t_
)
var pool = sync.Pool{New: func() any { var inner int; return inner }}
type Set[K comparable, V any] struct {
\tm map[K]V
}
type (
\tReader interface { Read(p []byte) (int, error); io.Closer }
\tID int
\tAlias = Set[string, int]
)
func (s *Set[K, V]) Get(k K) V {
\tconst local = 1
\ttype hidden struct{}
\treturn s.m[k]
}
func Map[T, U any](xs []T, f func(T) U) []U { return nil }
";
        assert_eq!(
            symbols(Go, source),
            [
                "constant A 4-4",
                "constant B 4-4",
                "variable pool 7-7",
                "struct Set 8-10",
                "interface Reader 12-12",
                "method Read 12-12",
                "type ID 13-13",
                "type Alias 14-14",
                "method Get 16-20",
                "struct hidden 18-18",
                "function Map 21-21",
            ]
        );
    }

    #[test]
    fn import_specs_count_with_and_without_names() {
        let source = "package p\nimport \"fmt\"\nimport (\n\tx \"a.com/b/c/v2\"\n\t_ `d`\n\t. \"e\"\n)\nimport \"C\"\n";
        assert_eq!(
            imports(Go, source),
            ["2 fmt", "4 a.com/b/c/v2", "5 d", "6 e", "8 C"]
        );
    }

    #[test]
    fn code_around_a_syntax_error_is_found() {
        let source =
            "package p\nimport \"fmt\"\nfunc one() { if { }\n\nfunc two() {}\ntype T struct{}\n";
        assert!(
            symbols(Go, source)
                .iter()
                .any(|symbol| symbol.starts_with("struct T"))
        );
        assert_eq!(imports(Go, source), ["2 fmt"]);
    }
}
