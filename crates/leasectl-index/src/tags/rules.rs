//! What a grammar's node kinds mean: a table that each language fills in.
//!
//! A walk over the whole tree with one table look-up per node, rather than the grammars' own queries:
//! on top of the parse it was measured to cost half as much or less for Rust, Python, PHP, C and
//! JavaScript, and it knows where it is, so that a method need not be a pattern of its own. The parse
//! is four fifths of the whole; what a rule passes by saves the most of the rest.

use tree_sitter::{Language, Node};

use super::SymbolKind;
use super::notes::Notes;

/// What the walk does at a node of some kind.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Goes inside; the node itself means nothing.
    Enter,
    /// Leaves the node and all it holds alone.
    Pass,
    /// Opens a scope without a symbol: an `impl`.
    Open(Scope),
    /// Notes a symbol with the node's `name`, and opens a scope if there is one.
    Define(SymbolKind, Option<Scope>),
    /// Leaves it to the language.
    Visit(Visit),
}

/// A language's own look at a node: notes what it finds and says how the walk goes on.
pub(super) type Visit = for<'t> fn(&mut Notes<'t>, Node<'t>) -> Step;

/// How the walk goes on after a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Inside, in the same scope.
    Inside,
    /// Inside, in a new scope.
    Into(Scope),
    /// Inside of a Rust module written in place, which has this name.
    IntoModule(String),
    /// Past the node.
    Past,
}

/// What the symbols inside of a node belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A type: its functions are methods.
    Type,
    /// A function: its variables are nobody's business.
    Function,
    /// A module or namespace: as a file.
    Module,
}

/// A language's rules, by the names of the grammar's node kinds.
pub(super) type Rules = &'static [(&'static str, Rule)];

/// The rules by the numbers of the node kinds.
pub(super) struct Table(Vec<Rule>);

impl Table {
    /// Looks every kind up once; several numbers may share a name.
    pub(super) fn new(language: &Language, rules: Rules) -> Self {
        let count = u16::try_from(language.node_kind_count()).unwrap_or(u16::MAX);
        let of = |id: u16| {
            let kind = language
                .node_kind_for_id(id)
                .filter(|_| language.node_kind_is_named(id))?;
            rules
                .iter()
                .find(|(name, _)| *name == kind)
                .map(|(_, rule)| *rule)
        };
        Self((0..count).map(|id| of(id).unwrap_or(Rule::Enter)).collect())
    }

    /// The rule of a node; what the parser could not make sense of is entered.
    pub(super) fn rule(&self, node: Node<'_>) -> Rule {
        self.0
            .get(usize::from(node.kind_id()))
            .copied()
            .unwrap_or(Rule::Enter)
    }
}
