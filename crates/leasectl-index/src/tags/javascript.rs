//! JavaScript: functions, classes and the names of a module; `import`, `export … from`, `require`.
//!
//! A function bound to a name counts as a function of that name, also through `exports.x =` and
//! `X.prototype.x =`. Only literal specifiers count as imports: nothing else can be resolved.

use tree_sitter::Node;

use super::notes::Notes;
use super::rules::{Rule, Rules, Scope, Step};
use super::{ImportKind, SymbolKind};

pub(super) const RULES: Rules = &[
    (
        "class_declaration",
        Rule::Define(SymbolKind::Class, Some(Scope::Type)),
    ),
    ("class", Rule::Define(SymbolKind::Class, Some(Scope::Type))),
    (
        "function_declaration",
        Rule::Define(SymbolKind::Function, Some(Scope::Function)),
    ),
    (
        "generator_function_declaration",
        Rule::Define(SymbolKind::Function, Some(Scope::Function)),
    ),
    ("function_expression", Rule::Open(Scope::Function)),
    ("generator_function", Rule::Open(Scope::Function)),
    ("arrow_function", Rule::Open(Scope::Function)),
    ("method_definition", Rule::Visit(method)),
    ("field_definition", Rule::Visit(field)),
    ("variable_declarator", Rule::Visit(declarator)),
    ("assignment_expression", Rule::Visit(assignment)),
    ("import_statement", Rule::Visit(import)),
    ("export_statement", Rule::Visit(export)),
    ("call_expression", Rule::Visit(call)),
    ("comment", Rule::Pass),
    ("string", Rule::Pass),
    ("regex", Rule::Pass),
];

pub(super) fn method<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    if let Some(name) = node.child_by_field_name("name")
        && name.kind() != "computed_property_name"
    {
        let kind = if notes.in_type() {
            SymbolKind::Method
        } else {
            SymbolKind::Function
        };
        named(notes, kind, name, node);
    }
    Step::Into(Scope::Function)
}

/// Notes a field that holds a function: a method in all but name.
pub(super) fn field<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let name = node
        .child_by_field_name("property")
        .or_else(|| node.child_by_field_name("name"));
    if let Some(name) = name
        && node.child_by_field_name("value").is_some_and(is_function)
    {
        named(notes, SymbolKind::Method, name, node);
    }
    Step::Into(Scope::Function)
}

/// Notes a property by its name, without the quotes that it may have.
fn named<'t>(notes: &mut Notes<'t>, kind: SymbolKind, name: Node<'t>, whole: Node<'t>) {
    if name.kind() != "string" {
        notes.symbol(kind, name, whole);
    } else if let Some(text) = notes.unquoted(name) {
        notes.symbol_called(kind, text, whole);
    }
}

fn is_function(node: Node<'_>) -> bool {
    matches!(
        node.kind(),
        "function_expression" | "arrow_function" | "generator_function"
    )
}

/// Notes what a module-level `const`, `let` or `var` binds.
pub(super) fn declarator<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let Some(name) = node.child_by_field_name("name") else {
        return Step::Inside;
    };
    if !notes.at_module_level() || name.kind() != "identifier" {
        return Step::Inside;
    }
    let value = node.child_by_field_name("value");
    let kind = match value {
        Some(value) if is_function(value) => SymbolKind::Function,
        // The class expression notes itself if it has a name of its own.
        Some(value) if value.kind() == "class" => SymbolKind::Class,
        Some(_) | None if is_const(notes, node) => SymbolKind::Constant,
        Some(_) | None => SymbolKind::Variable,
    };
    notes.symbol(kind, name, node);
    Step::Inside
}

/// Whether the word before the declarators is `const`.
fn is_const(notes: &Notes<'_>, declarator: Node<'_>) -> bool {
    let kind = declarator
        .parent()
        .and_then(|whole| whole.child_by_field_name("kind"));
    kind.is_some_and(|kind| notes.bytes(kind) == b"const")
}

/// Notes `exports.x = function…` and `X.prototype.x = function…`.
pub(super) fn assignment<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    if let (Some(left), Some(right)) = (
        node.child_by_field_name("left"),
        node.child_by_field_name("right"),
    ) && is_function(right)
        && let Some(property) = left.child_by_field_name("property")
    {
        let object = left.child_by_field_name("object");
        let of_prototype =
            object.is_some_and(|object| notes.bytes(object).ends_with(b".prototype"));
        let kind = if of_prototype {
            SymbolKind::Method
        } else {
            SymbolKind::Function
        };
        notes.symbol(kind, property, node);
    }
    Step::Inside
}

pub(super) fn import<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let mut cursor = node.walk();
    let require = node
        .named_children(&mut cursor)
        .find(|child| child.kind() == "import_require_clause");
    let source = node
        .child_by_field_name("source")
        .or_else(|| require.and_then(|clause| clause.child_by_field_name("source")));
    if let Some(source) = source {
        specifier(notes, source);
    }
    Step::Past
}

pub(super) fn export<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    if let Some(source) = node.child_by_field_name("source") {
        specifier(notes, source);
    }
    Step::Inside
}

/// Notes `require("x")` and `import("x")`.
pub(super) fn call<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let function = node.child_by_field_name("function");
    let imports = function.is_some_and(|function| match function.kind() {
        "import" => true,
        "identifier" => notes.bytes(function) == b"require",
        _ => false,
    });
    if imports && let Some(arguments) = node.child_by_field_name("arguments") {
        let first = arguments.named_child(0);
        if let Some(literal) = first.filter(|it| matches!(it.kind(), "string" | "template_string"))
        {
            specifier(notes, literal);
        }
    }
    Step::Inside
}

fn specifier(notes: &mut Notes<'_>, literal: Node<'_>) {
    if let Some(target) = notes.unquoted(literal) {
        notes.import(ImportKind::Module, target, literal);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{imports, symbols};
    use crate::language::Grammar::JavaScript;

    #[test]
    fn definitions_have_their_kinds_and_lines() {
        let source = "\
#!/usr/bin/env node
const LIMIT = 3, fetchAll = async (x) => {
  const local = 1;
  function nested() {}
};
let counter;
var { a, b } = require('x');
export default class Store extends Base {
  #secret = 1;
  handle = () => 1;
  static async *items() {}
  get 'quoted name'() { return 1 }
  [computed]() {}
}
export function* walk() {}
exports.run = function () {};
Store.prototype.stop = function () {};
module.exports = { shorthand() {}, plain: 1 };
const Named = class {};
const view = <Panel onClick={() => go()} />;
";
        assert_eq!(
            symbols(JavaScript, source),
            [
                "constant LIMIT 2-2",
                "function fetchAll 2-5",
                "function nested 4-4",
                "variable counter 6-6",
                "class Store 8-14",
                "method handle 10-10",
                "method items 11-11",
                "method quoted name 12-12",
                "function walk 15-15",
                "function run 16-16",
                "method stop 17-17",
                "function shorthand 18-18",
                "class Named 19-19",
                "constant view 20-20",
            ]
        );
    }

    #[test]
    fn every_form_of_a_literal_import_counts() {
        let source = "\
import def, { one as two } from './one.js';
import * as ns from \"pkg/sub\";
import 'side-effect';
export { x } from '../x';
export * as all from '@scope/all';
const r = require('./r'), s = require(`./s`);
const late = () => import('./late');
require(variable); require(`./${no}`); other('./no');
export const local = 1;
";
        assert_eq!(
            imports(JavaScript, source),
            [
                "1 ./one.js",
                "2 pkg/sub",
                "3 side-effect",
                "4 ../x",
                "5 @scope/all",
                "6 ./r",
                "6 ./s",
                "7 ./late",
            ]
        );
    }

    #[test]
    fn code_around_a_syntax_error_is_found() {
        let source = "import a from 'a';\nfunction one() { let x = ; }\nfunction two() {}\n";
        assert_eq!(imports(JavaScript, source), ["1 a"]);
        assert!(symbols(JavaScript, source).contains(&"function two 3-3".to_owned()));
    }
}
