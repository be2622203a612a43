//! TypeScript: what JavaScript has, and interfaces, type aliases, enums and namespaces.

use tree_sitter::Node;

use super::SymbolKind;
use super::javascript::{assignment, call, declarator, export, field, import, method};
use super::notes::Notes;
use super::rules::{Rule, Rules, Scope, Step};

pub(super) const RULES: Rules = &[
    (
        "class_declaration",
        Rule::Define(SymbolKind::Class, Some(Scope::Type)),
    ),
    (
        "abstract_class_declaration",
        Rule::Define(SymbolKind::Class, Some(Scope::Type)),
    ),
    ("class", Rule::Define(SymbolKind::Class, Some(Scope::Type))),
    (
        "interface_declaration",
        Rule::Define(SymbolKind::Interface, Some(Scope::Type)),
    ),
    ("enum_declaration", Rule::Define(SymbolKind::Enum, None)),
    (
        "type_alias_declaration",
        Rule::Define(SymbolKind::Type, Some(Scope::Function)),
    ),
    ("internal_module", Rule::Visit(namespace)),
    ("module", Rule::Visit(namespace)),
    (
        "function_declaration",
        Rule::Define(SymbolKind::Function, Some(Scope::Function)),
    ),
    (
        "function_signature",
        Rule::Define(SymbolKind::Function, None),
    ),
    (
        "generator_function_declaration",
        Rule::Define(SymbolKind::Function, Some(Scope::Function)),
    ),
    ("function_expression", Rule::Open(Scope::Function)),
    ("generator_function", Rule::Open(Scope::Function)),
    ("arrow_function", Rule::Open(Scope::Function)),
    ("method_definition", Rule::Visit(method)),
    ("method_signature", Rule::Visit(method)),
    ("abstract_method_signature", Rule::Visit(method)),
    ("public_field_definition", Rule::Visit(field)),
    ("variable_declarator", Rule::Visit(declarator)),
    ("assignment_expression", Rule::Visit(assignment)),
    ("import_statement", Rule::Visit(import)),
    ("export_statement", Rule::Visit(export)),
    ("call_expression", Rule::Visit(call)),
    ("comment", Rule::Pass),
    ("string", Rule::Pass),
    ("regex", Rule::Pass),
];

/// Notes `namespace a.b` and `declare module "x"` by their whole names.
fn namespace<'t>(notes: &mut Notes<'t>, node: Node<'t>) -> Step {
    if let Some(name) = node.child_by_field_name("name") {
        let text = if name.kind() == "string" {
            notes.unquoted(name)
        } else {
            notes.text(name)
        };
        if let Some(text) = text {
            notes.symbol_called(SymbolKind::Module, text, node);
        }
    }
    Step::Into(Scope::Module)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{imports, symbols};
    use crate::language::Grammar::{Tsx, TypeScript};

    #[test]
    fn definitions_have_their_kinds_and_lines() {
        let source = "\
export interface Shape<T> extends Base {
  area(): number;
  name: string;
}
export type Pair<A, B = A> = { left: A; swap(): void };
declare global { interface Window { x: 1 } }
const enum Level { Low, High = 2 }
namespace Geo.Flat { export const ORIGIN = 0; export function at() {} }
declare module 'pkg' { export function load(x: string): void; }
@Component({ selector: 'x' })
export abstract class Store<T extends object> implements Shape<T> {
  constructor(private readonly x: number) { super() }
  protected abstract area(): number;
  private handle = async (): Promise<void> => {};
  @Input() plain = 3;
}
export function over(x: string): void;
export function over(x: unknown) { return <string>x; }
export const make = <T,>(x: T): T => x;
";
        assert_eq!(
            symbols(TypeScript, source),
            [
                "interface Shape 1-4",
                "method area 2-2",
                "type Pair 5-5",
                "function swap 5-5",
                "interface Window 6-6",
                "enum Level 7-7",
                "module Geo.Flat 8-8",
                "constant ORIGIN 8-8",
                "function at 8-8",
                "module pkg 9-9",
                "function load 9-9",
                "class Store 11-16",
                "method constructor 12-12",
                "method area 13-13",
                "method handle 14-14",
                "function over 17-17",
                "function over 18-18",
                "function make 19-19",
            ]
        );
    }

    #[test]
    fn type_imports_and_import_require_count() {
        let source = "\
import type { A } from './a';
import fs = require('fs');
export type { B } from './b';
type C = import('./c').C;
const d = await import('./d');
";
        assert_eq!(
            imports(TypeScript, source),
            ["1 ./a", "2 fs", "3 ./b", "4 ./c", "5 ./d"]
        );
    }

    #[test]
    fn tsx_reads_elements() {
        let source = "export const App: FC<Props> = ({ x }) => <div onClick={() => x}>{x}</div>;\n";
        assert_eq!(symbols(Tsx, source), ["function App 1-1"]);
    }
}
