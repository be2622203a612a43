//! C#: types, methods and properties, constants, namespaces; `using` directives.
//!
//! A `record struct` is a class here: the grammar has one kind of node for all records.

use tree_sitter::Node;

use super::notes::Notes;
use super::rules::{Rule, Rules, Scope, Step};
use super::{ImportKind, SymbolKind};

pub(super) const RULES: Rules = &[
    (
        "namespace_declaration",
        Rule::Define(SymbolKind::Module, Some(Scope::Module)),
    ),
    (
        "file_scoped_namespace_declaration",
        Rule::Define(SymbolKind::Module, None),
    ),
    (
        "class_declaration",
        Rule::Define(SymbolKind::Class, Some(Scope::Type)),
    ),
    (
        "record_declaration",
        Rule::Define(SymbolKind::Class, Some(Scope::Type)),
    ),
    (
        "struct_declaration",
        Rule::Define(SymbolKind::Struct, Some(Scope::Type)),
    ),
    (
        "interface_declaration",
        Rule::Define(SymbolKind::Interface, Some(Scope::Type)),
    ),
    ("enum_declaration", Rule::Define(SymbolKind::Enum, None)),
    ("delegate_declaration", Rule::Define(SymbolKind::Type, None)),
    (
        "method_declaration",
        Rule::Define(SymbolKind::Method, Some(Scope::Function)),
    ),
    (
        "constructor_declaration",
        Rule::Define(SymbolKind::Method, Some(Scope::Function)),
    ),
    (
        "property_declaration",
        Rule::Define(SymbolKind::Method, Some(Scope::Function)),
    ),
    (
        "event_declaration",
        Rule::Define(SymbolKind::Method, Some(Scope::Function)),
    ),
    (
        "local_function_statement",
        Rule::Define(SymbolKind::Function, Some(Scope::Function)),
    ),
    ("field_declaration", Rule::Visit(field)),
    ("using_directive", Rule::Visit(using)),
    ("comment", Rule::Pass),
    ("parameter_list", Rule::Pass),
    ("attribute_list", Rule::Pass),
];

/// Notes a `const` field, and a `static readonly` one, which is used alike.
fn field<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let mut cursor = node.walk();
    let (mut is_const, mut is_static, mut is_readonly) = (false, false, false);
    let mut variables = None;
    for child in node.named_children(&mut cursor) {
        match child.kind() {
            "modifier" => match notes.bytes(child) {
                b"const" => is_const = true,
                b"static" => is_static = true,
                b"readonly" => is_readonly = true,
                _ => {}
            },
            "variable_declaration" => variables = Some(child),
            _ => {}
        }
    }
    if let Some(variables) = variables.filter(|_| is_const || (is_static && is_readonly)) {
        for declarator in variables.named_children(&mut cursor) {
            if let Some(name) = declarator.child_by_field_name("name")
                && declarator.kind() == "variable_declarator"
            {
                notes.symbol(SymbolKind::Constant, name, node);
            }
        }
    }
    Step::Inside
}

/// Notes the namespace or type that a `using` names; in `using x = y` that is `y`.
fn using<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let mut cursor = node.walk();
    let target = node.named_children(&mut cursor).last();
    if let Some(target) = target
        && let Some(text) = notes.joined_text(target)
    {
        notes.import(ImportKind::Item, text, node);
    }
    Step::Past
}

#[cfg(test)]
mod tests {
    use super::super::testing::{imports, symbols};
    use crate::language::Grammar::CSharp;

    #[test]
    fn definitions_have_their_kinds_and_lines() {
        let source = "\
namespace A.B
{
    [Serializable]
    public sealed partial class Store<T> : IShape where T : class
    {
        public const int Limit = 3;
        private static readonly string[] Names = { \"a\" };
        private int count;
        public Store(int n) { }
        public int Count { get; private set; } = 0;
        public async Task<int> RunAsync<U>(U x) => await Go();
        void Outer() { int Local(int y) => y; }
        public event EventHandler Changed { add { } remove { } }
    }
    public record Pair(int A, int B);
    public record struct Spot(int X);
    interface IShape { int Area(); }
    enum Level { Low, High }
    delegate void Callback(int x);
}
";
        assert_eq!(
            symbols(CSharp, source),
            [
                "module A.B 1-20",
                "class Store 3-14",
                "constant Limit 6-6",
                "constant Names 7-7",
                "method Store 9-9",
                "method Count 10-10",
                "method RunAsync 11-11",
                "method Outer 12-12",
                "function Local 12-12",
                "method Changed 13-13",
                "class Pair 15-15",
                "class Spot 16-16",
                "interface IShape 17-17",
                "method Area 17-17",
                "enum Level 18-18",
                "type Callback 19-19",
            ]
        );
    }

    #[test]
    fn using_directives_count_in_every_form() {
        let source = "global using System;\nusing System.Linq;\nusing static System.Math;\nusing Alias = A.B.C<int>;\nnamespace X;\nclass Y { void Z() { using var f = Open(); } }\n";
        assert_eq!(
            imports(CSharp, source),
            ["1 System", "2 System.Linq", "3 System.Math", "4 A.B.C<int>"]
        );
        assert_eq!(
            symbols(CSharp, source),
            ["module X 5-5", "class Y 6-6", "method Z 6-6"]
        );
    }

    #[test]
    fn code_around_a_syntax_error_is_found() {
        let source = "using A;\nclass One { void X( { } }\nclass Two { void Y() { } }\n";
        assert!(
            symbols(CSharp, source)
                .iter()
                .any(|symbol| symbol.starts_with("method Y"))
        );
        assert_eq!(imports(CSharp, source), ["1 A"]);
    }
}
