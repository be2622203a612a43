//! PHP: functions, types, constants, namespaces; `use`, `require` and `include`.

use tree_sitter::Node;

use super::notes::Notes;
use super::rules::{Rule, Rules, Scope, Step};
use super::{ImportKind, SymbolKind};

pub(super) const RULES: Rules = &[
    (
        "namespace_definition",
        Rule::Define(SymbolKind::Module, None),
    ),
    (
        "function_definition",
        Rule::Define(SymbolKind::Function, Some(Scope::Function)),
    ),
    (
        "class_declaration",
        Rule::Define(SymbolKind::Class, Some(Scope::Type)),
    ),
    (
        "interface_declaration",
        Rule::Define(SymbolKind::Interface, Some(Scope::Type)),
    ),
    (
        "trait_declaration",
        Rule::Define(SymbolKind::Trait, Some(Scope::Type)),
    ),
    (
        "enum_declaration",
        Rule::Define(SymbolKind::Enum, Some(Scope::Type)),
    ),
    (
        "method_declaration",
        Rule::Define(SymbolKind::Method, Some(Scope::Function)),
    ),
    ("const_element", Rule::Visit(constant)),
    ("function_call_expression", Rule::Visit(define)),
    ("namespace_use_declaration", Rule::Visit(use_declaration)),
    ("include_expression", Rule::Visit(include)),
    ("include_once_expression", Rule::Visit(include)),
    ("require_expression", Rule::Visit(include)),
    ("require_once_expression", Rule::Visit(include)),
    ("comment", Rule::Pass),
    ("text", Rule::Pass),
    ("formal_parameters", Rule::Pass),
    ("attribute_list", Rule::Pass),
];

fn constant<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    if let Some(name) = node.named_child(0) {
        notes.symbol(SymbolKind::Constant, name, node);
    }
    Step::Inside
}

/// Notes `define('NAME', …)`.
fn define<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let is_define = node
        .child_by_field_name("function")
        .is_some_and(|name| notes.bytes(name) == b"define");
    if is_define
        && let Some(arguments) = node.child_by_field_name("arguments")
        && let Some(first) = arguments
            .named_child(0)
            .and_then(|argument| argument.named_child(0))
        && let Some(name) = notes.unquoted(first)
    {
        notes.symbol_called(SymbolKind::Constant, name, node);
    }
    Step::Inside
}

fn use_declaration<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let mut cursor = node.walk();
    let mut prefix = String::new();
    for child in node.named_children(&mut cursor) {
        match child.kind() {
            "namespace_name" => prefix = notes.joined_text(child).unwrap_or_default() + "\\",
            "namespace_use_clause" => clause(notes, "", child),
            "namespace_use_group" => {
                let mut cursor = child.walk();
                for member in child.named_children(&mut cursor) {
                    clause(notes, &prefix, member);
                }
            }
            _ => {}
        }
    }
    Step::Past
}

/// Notes what one clause names; the alias is another field of it.
fn clause(notes: &mut Notes<'_>, prefix: &str, clause: Node<'_>) {
    let mut cursor = clause.walk();
    let name = clause
        .named_children(&mut cursor)
        .find(|child| matches!(child.kind(), "name" | "qualified_name" | "namespace_name"));
    if let Some(text) = name.and_then(|name| notes.joined_text(name)) {
        let target = format!("{prefix}{}", text.trim_start_matches('\\'));
        notes.import(ImportKind::Item, target, clause);
    }
}

/// Notes an included file; `__DIR__ . '/x.php'` is the file `x.php` next to this one.
fn include<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let mut value = node.named_child(0);
    if let Some(inner) = value.filter(|value| value.kind() == "parenthesized_expression") {
        value = inner.named_child(0);
    }
    let Some(value) = value else {
        return Step::Inside;
    };
    let target = if value.kind() == "binary_expression" {
        let left = value.child_by_field_name("left");
        left.filter(|left| notes.bytes(*left) == b"__DIR__")
            .and_then(|_| notes.unquoted(value.child_by_field_name("right")?))
            .map(|path| path.trim_start_matches('/').to_owned())
    } else {
        notes.unquoted(value)
    };
    if let Some(target) = target {
        notes.import(ImportKind::File, target, value);
    }
    Step::Inside
}

#[cfg(test)]
mod tests {
    use super::super::testing::{imports, symbols};
    use crate::language::Grammar::Php;

    #[test]
    fn definitions_have_their_kinds_and_lines() {
        let source = "\
<html><?php
namespace App\\Models;
const VERSION = '1', OTHER = 2;
define('LEGACY', 3);
#[Attr]
abstract class User extends Base implements Shape
{
    use SoftDeletes;
    public const MAX = 3;
    private int $count = 0;
    public function __construct(private string $name) {}
    abstract protected function area(): ?int;
}
interface Shape { public function area(): ?int; }
trait Loud { function shout() { return fn($x) => $x; } }
enum Suit: string { case Hearts = 'H'; public static function all(): array { return []; } }
function helper(callable $f, ...$rest) { $x = function () {}; }
?></html>
";
        assert_eq!(
            symbols(Php, source),
            [
                "module App\\Models 2-2",
                "constant VERSION 3-3",
                "constant OTHER 3-3",
                "constant LEGACY 4-4",
                "class User 5-13",
                "constant MAX 9-9",
                "method __construct 11-11",
                "method area 12-12",
                "interface Shape 14-14",
                "method area 14-14",
                "trait Loud 15-15",
                "method shout 15-15",
                "enum Suit 16-16",
                "method all 16-16",
                "function helper 17-17",
            ]
        );
    }

    #[test]
    fn uses_and_includes_count() {
        let source = "\
<?php
use App\\Models\\User;
use App\\{Models\\Post as P, Http\\Kernel};
use function App\\helper, App\\other;
use \\Root;
require_once __DIR__ . '/vendor/autoload.php';
include 'header.php';
require(\"x/y.php\");
require $dynamic;
";
        assert_eq!(
            imports(Php, source),
            [
                "2 App\\Models\\User",
                "3 App\\Models\\Post",
                "3 App\\Http\\Kernel",
                "4 App\\helper",
                "4 App\\other",
                "5 Root",
                "6 vendor/autoload.php",
                "7 header.php",
                "8 x/y.php",
            ]
        );
    }

    #[test]
    fn code_around_a_syntax_error_is_found() {
        let source = "<?php\nuse A\\B;\nfunction one( { }\nfunction two() {}\n";
        assert!(
            symbols(Php, source)
                .iter()
                .any(|symbol| symbol.contains(" two "))
        );
        assert_eq!(imports(Php, source), ["2 A\\B"]);
    }
}
