//! Java: types, methods, constants, and imports with their `.*`.

use tree_sitter::Node;

use super::notes::Notes;
use super::rules::{Rule, Rules, Scope, Step};
use super::{ImportKind, SymbolKind};

pub(super) const RULES: Rules = &[
    (
        "class_declaration",
        Rule::Define(SymbolKind::Class, Some(Scope::Type)),
    ),
    (
        "record_declaration",
        Rule::Define(SymbolKind::Class, Some(Scope::Type)),
    ),
    (
        "enum_declaration",
        Rule::Define(SymbolKind::Enum, Some(Scope::Type)),
    ),
    (
        "interface_declaration",
        Rule::Define(SymbolKind::Interface, Some(Scope::Type)),
    ),
    (
        "annotation_type_declaration",
        Rule::Define(SymbolKind::Interface, Some(Scope::Type)),
    ),
    (
        "annotation_type_element_declaration",
        Rule::Define(SymbolKind::Method, None),
    ),
    (
        "method_declaration",
        Rule::Define(SymbolKind::Method, Some(Scope::Function)),
    ),
    (
        "constructor_declaration",
        Rule::Define(SymbolKind::Method, Some(Scope::Function)),
    ),
    (
        "compact_constructor_declaration",
        Rule::Define(SymbolKind::Method, Some(Scope::Function)),
    ),
    ("field_declaration", Rule::Visit(field)),
    ("constant_declaration", Rule::Visit(constants)),
    ("module_declaration", Rule::Define(SymbolKind::Module, None)),
    ("import_declaration", Rule::Visit(import)),
    ("line_comment", Rule::Pass),
    ("block_comment", Rule::Pass),
    ("formal_parameters", Rule::Pass),
    ("modifiers", Rule::Pass),
];

/// Notes a `static final` field, which is Java's constant; other fields do not count.
fn field<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let modifiers = node
        .named_child(0)
        .filter(|child| child.kind() == "modifiers");
    let has = |word: &[u8]| {
        let words = modifiers
            .map(|modifiers| notes.bytes(modifiers))
            .unwrap_or_default();
        words
            .split(u8::is_ascii_whitespace)
            .any(|found| found == word)
    };
    if has(b"static") && has(b"final") {
        return constants(notes, node);
    }
    Step::Inside
}

fn constants<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let mut cursor = node.walk();
    for declarator in node.children_by_field_name("declarator", &mut cursor) {
        if let Some(name) = declarator.child_by_field_name("name") {
            notes.symbol(SymbolKind::Constant, name, node);
        }
    }
    Step::Inside
}

fn import<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let mut cursor = node.walk();
    let mut target = None;
    let mut star = "";
    for child in node.named_children(&mut cursor) {
        match child.kind() {
            "identifier" | "scoped_identifier" => target = notes.joined_text(child),
            "asterisk" => star = ".*",
            _ => {}
        }
    }
    if let Some(target) = target {
        notes.import(ImportKind::Item, format!("{target}{star}"), node);
    }
    Step::Past
}

#[cfg(test)]
mod tests {
    use super::super::testing::{imports, symbols};
    use crate::language::Grammar::Java;

    #[test]
    fn definitions_have_their_kinds_and_lines() {
        let source = "\
package a.b;
@Deprecated
public final class Store<T extends Comparable<T>> implements Shape {
    private static final int LIMIT = 3, OTHER = 4;
    private int count;
    public Store() {}
    @Override
    public <R> R map(Function<T, R> f) throws IOException {
        Runnable r = () -> {};
        class Local {}
        return null;
    }
    static class Nested { enum Level { LOW { void x() {} }, HIGH } }
}
interface Shape { int SIDES = 4; default int area() { return 0; } }
record Pair(int a, int b) { Pair { } }
@interface Marker { String value() default \"\"; }
";
        assert_eq!(
            symbols(Java, source),
            [
                "class Store 2-14",
                "constant LIMIT 4-4",
                "constant OTHER 4-4",
                "method Store 6-6",
                "method map 7-12",
                "class Local 10-10",
                "class Nested 13-13",
                "enum Level 13-13",
                "method x 13-13",
                "interface Shape 15-15",
                "constant SIDES 15-15",
                "method area 15-15",
                "class Pair 16-16",
                "method Pair 16-16",
                "interface Marker 17-17",
                "method value 17-17",
            ]
        );
    }

    #[test]
    fn imports_keep_their_star() {
        let source = "import java.util.List;\nimport static org.x.Assert.*;\nimport a . b .C;\n";
        assert_eq!(
            imports(Java, source),
            ["1 java.util.List", "2 org.x.Assert.*", "3 a.b.C"]
        );
    }

    #[test]
    fn code_around_a_syntax_error_is_found() {
        let source = "import a.B;\nclass One { void x( { } }\nclass Two { void y() {} }\n";
        assert!(
            symbols(Java, source)
                .iter()
                .any(|symbol| symbol.starts_with("method y"))
        );
        assert_eq!(imports(Java, source), ["1 a.B"]);
    }
}
