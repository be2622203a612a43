//! Ruby: classes, modules, methods and constants; `require` and its kin with literal arguments.

use tree_sitter::Node;

use super::notes::Notes;
use super::rules::{Rule, Rules, Scope, Step};
use super::{ImportKind, SymbolKind};

pub(super) const RULES: Rules = &[
    ("class", Rule::Visit(class)),
    ("module", Rule::Visit(module)),
    ("singleton_class", Rule::Open(Scope::Type)),
    ("method", Rule::Visit(method)),
    (
        "singleton_method",
        Rule::Define(SymbolKind::Method, Some(Scope::Function)),
    ),
    ("assignment", Rule::Visit(assignment)),
    ("call", Rule::Visit(call)),
    ("comment", Rule::Pass),
    ("method_parameters", Rule::Pass),
];

fn class<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    noted(notes, SymbolKind::Class, node)
}

fn module<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    noted(notes, SymbolKind::Module, node)
}

/// Notes the last part of `A::B`.
fn noted<'t>(notes: &mut Notes<'t>, kind: SymbolKind, node: Node<'t>) -> Step {
    if let Some(name) = node.child_by_field_name("name") {
        notes.symbol(kind, name.child_by_field_name("name").unwrap_or(name), node);
    }
    Step::Into(Scope::Type)
}

fn method<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    if let Some(name) = node.child_by_field_name("name") {
        notes.symbol(notes.function_kind(), name, node);
    }
    Step::Into(Scope::Function)
}

fn assignment<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    if let Some(left) = node.child_by_field_name("left")
        && left.kind() == "constant"
        && !notes.in_function()
    {
        notes.symbol(SymbolKind::Constant, left, node);
    }
    Step::Inside
}

fn call<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    let (Some(method), None) = (
        node.child_by_field_name("method"),
        node.child_by_field_name("receiver"),
    ) else {
        return Step::Inside;
    };
    let (kind, place) = match notes.bytes(method) {
        b"require" | b"load" => (ImportKind::Module, 0),
        b"require_relative" => (ImportKind::File, 0),
        b"autoload" => (ImportKind::Module, 1),
        _ => return Step::Inside,
    };
    let argument = node
        .child_by_field_name("arguments")
        .and_then(|arguments| arguments.named_child(place));
    if let Some(argument) = argument.filter(|argument| argument.kind() == "string")
        && let Some(target) = notes
            .unquoted(argument)
            .filter(|target| !target.contains("#{"))
    {
        notes.import(kind, target, argument);
    }
    Step::Inside
}

#[cfg(test)]
mod tests {
    use super::super::testing::{imports, symbols};
    use crate::language::Grammar::Ruby;

    #[test]
    fn definitions_have_their_kinds_and_lines() {
        let source = "\
module Outer
  LIMIT = 3
  class Store < Base
    attr_reader :x
    def initialize(n = 1, *rest, key: 2, &block)
      @n = n
    end
    def self.build; end
    def empty? = true
    def ==(other) true end
    class << self
      def hidden; end
    end
  end
end
class A::B; end
def run
  <<~TEXT
    class NotHere; end
  TEXT
end
Point = Struct.new(:x, :y) do
  def dist; end
end
";
        assert_eq!(
            symbols(Ruby, source),
            [
                "module Outer 1-15",
                "constant LIMIT 2-2",
                "class Store 3-14",
                "method initialize 5-7",
                "method build 8-8",
                "method empty? 9-9",
                "method == 10-10",
                "method hidden 12-12",
                "class B 16-16",
                "function run 17-21",
                "constant Point 22-24",
                "function dist 23-23",
            ]
        );
    }

    #[test]
    fn requires_with_literals_count() {
        let source = "require 'json'\nrequire_relative \"../lib/x\"\nautoload :Y, 'y/z'\nrequire \"a/#{b}\"\nfoo.require 'no'\nload('tasks/t.rake')\n";
        assert_eq!(
            imports(Ruby, source),
            ["1 json", "2 ../lib/x", "3 y/z", "6 tasks/t.rake"]
        );
    }

    #[test]
    fn code_around_a_syntax_error_is_found() {
        let source = "require 'a'\ndef one(\n\nclass Two\n  def x; end\nend\n";
        assert!(
            symbols(Ruby, source)
                .iter()
                .any(|symbol| symbol.contains(" x "))
        );
        assert_eq!(imports(Ruby, source), ["1 a"]);
    }
}
