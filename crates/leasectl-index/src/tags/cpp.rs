//! C++: what C has, and classes, namespaces, aliases, concepts and member functions.
//!
//! A function defined as `A::b` is the method `b`, whether `A` is a class or a namespace: the file
//! does not say which.

use tree_sitter::Node;

use super::SymbolKind;
use super::c::{declaration, declared, enumeration, include, typedef};
use super::notes::Notes;
use super::rules::{Rule, Rules, Scope, Step};

/// How many qualifiers may stand before a name.
const MAX_QUALIFIERS: usize = 64;

pub(super) const RULES: Rules = &[
    ("function_definition", Rule::Visit(function)),
    ("declaration", Rule::Visit(declaration)),
    ("class_specifier", Rule::Visit(class)),
    ("struct_specifier", Rule::Visit(structure)),
    ("union_specifier", Rule::Visit(structure)),
    ("enum_specifier", Rule::Visit(enumeration)),
    ("type_definition", Rule::Visit(typedef)),
    ("alias_declaration", Rule::Define(SymbolKind::Type, None)),
    ("concept_definition", Rule::Define(SymbolKind::Type, None)),
    (
        "namespace_definition",
        Rule::Define(SymbolKind::Module, Some(Scope::Module)),
    ),
    ("lambda_expression", Rule::Open(Scope::Function)),
    ("preproc_def", Rule::Define(SymbolKind::Macro, None)),
    (
        "preproc_function_def",
        Rule::Define(SymbolKind::Macro, None),
    ),
    ("preproc_include", Rule::Visit(include)),
    ("comment", Rule::Pass),
    ("initializer_list", Rule::Pass),
    ("parameter_list", Rule::Pass),
    ("template_parameter_list", Rule::Pass),
];

fn function<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let Some((name, _)) = node.child_by_field_name("declarator").and_then(declared) else {
        return Step::Into(Scope::Function);
    };
    let kind = if name.kind() == "qualified_identifier" {
        SymbolKind::Method
    } else {
        notes.function_kind()
    };
    if let Some(name) = unqualified(name) {
        notes.symbol(kind, name, node);
    }
    Step::Into(Scope::Function)
}

/// The last part of `a::b<T>::c`, without template arguments.
fn unqualified(name: Node<'_>) -> Option<Node<'_>> {
    let mut node = name;
    for _ in 0..MAX_QUALIFIERS {
        match node.kind() {
            "qualified_identifier" | "template_function" | "template_method" | "template_type" => {
                node = node.child_by_field_name("name")?;
            }
            "identifier" | "field_identifier" | "type_identifier" | "destructor_name"
            | "operator_name" | "operator_cast" => return Some(node),
            _ => return None,
        }
    }
    None
}

fn class<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    with_body(notes, SymbolKind::Class, node)
}

fn structure<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    with_body(notes, SymbolKind::Struct, node)
}

fn with_body<'t>(notes: &mut Notes<'t>, kind: SymbolKind, node: Node<'t>) -> Step {
    if node.child_by_field_name("body").is_none() {
        return Step::Inside;
    }
    if let Some(name) = node.child_by_field_name("name").and_then(unqualified) {
        notes.symbol(kind, name, node);
    }
    Step::Into(Scope::Type)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{imports, symbols};
    use crate::language::Grammar::Cpp;

    #[test]
    fn definitions_have_their_kinds_and_lines() {
        let source = "\
#include <vector>
#include \"x.hpp\"
namespace a::b {
template <typename T, int N = 3>
class Store final : public Base<T> {
 public:
  explicit Store(int n) : n_(n) {}
  ~Store() override = default;
  bool operator==(const Store& o) const { return true; }
  void declared_only();
  struct Inner { int x; };
 private:
  int n_;
};
using Alias = Store<int>;
}  // namespace a::b
template <class T> concept Small = sizeof(T) < 4;
enum class Level : int { Low };
namespace { constexpr int kLimit = 3; }
auto free_function(int x) -> decltype(x) { auto f = [](int y) { int z = y; return z; }; return f(x); }
template <typename T> void a::b::Store<T>::declared_only() {}
class Forward;
";
        assert_eq!(
            symbols(Cpp, source),
            [
                "module a::b 3-16",
                "class Store 5-14",
                "method Store 7-7",
                "method ~Store 8-8",
                "method operator== 9-9",
                "struct Inner 11-11",
                "type Alias 15-15",
                "type Small 17-17",
                "enum Level 18-18",
                "variable kLimit 19-19",
                "function free_function 20-20",
                "method declared_only 21-21",
            ]
        );
        assert_eq!(imports(Cpp, source), ["1 vector", "2 x.hpp"]);
    }

    #[test]
    fn code_around_a_syntax_error_is_found() {
        let source = "class One { void x( { ;\n};\nint two() { return 0; }\n";
        assert!(
            symbols(Cpp, source)
                .iter()
                .any(|symbol| symbol.contains(" two "))
        );
    }

    #[test]
    fn a_header_of_c_is_read_as_well() {
        let source = "#ifdef __cplusplus\nextern \"C\" {\n#endif\ntypedef struct s s_t;\nint f(void);\n#ifdef __cplusplus\n}\n#endif\n";
        assert_eq!(symbols(Cpp, source), ["type s_t 4-4"]);
    }
}
