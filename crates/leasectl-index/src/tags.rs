//! The symbols and imports of one blob, found by parsing it.
//!
//! A payload of this kind belongs to a blob, an extractor's name and its version, never to a path:
//! the same bytes under another name may be another language. So nothing in here sees a path.
//!
//! What counts as a symbol: what a reader would look up by name and find in one place. Definitions
//! count, declarations without a body (C prototypes) do not; members that run code are methods (C#
//! properties among them); plain fields, enum variants, parameters and local variables do not count.
//! Variables count where they belong to a file or a module.
//!
//! **Invariants**
//! - Hostile content costs bounded time and memory: bytes, time, depth and the number of entries are
//!   limited, and what broke a limit is recorded as a [`BrokenLimit`].
//! - Whatever was extracted is inside the limits, so it can always be stored.
//! - Names and targets are valid UTF-8 without control characters, so a database takes them.

mod c;
mod cpp;
mod csharp;
mod extractor;
mod go;
mod java;
mod javascript;
mod limits;
mod nesting;
mod notes;
mod php;
mod python;
mod ruby;
mod rules;
mod rust;
#[cfg(test)]
mod testing;
mod typescript;

pub use extractor::{Extractor, GrammarError, extractor_id};
pub use limits::{BrokenLimit, Limits, Outcome};

/// The most bytes that a symbol's name or an import's target may have; longer ones are left out.
pub const MAX_NAME_BYTES: usize = 1024;

/// What one blob defines and what it asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// The definitions, in the order in which they begin.
    pub symbols: Vec<Symbol>,
    /// The imports, in the order in which they stand.
    pub imports: Vec<Import>,
}

/// A definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// The name without its surroundings: `push` of `Vec::push`.
    pub name: String,
    /// What is defined.
    pub kind: SymbolKind,
    /// The first line, counted from 1.
    pub line_start: u32,
    /// The last line, inclusive.
    pub line_end: u32,
}

/// What a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SymbolKind {
    /// A function that belongs to no type.
    Function,
    /// A function, constructor, accessor or property of a type.
    Method,
    /// A class; a Java or C# record.
    Class,
    /// A struct or union.
    Struct,
    /// An enumeration.
    Enum,
    /// A Rust or PHP trait.
    Trait,
    /// An interface; a Java annotation type.
    Interface,
    /// A module or namespace.
    Module,
    /// A value that does not change.
    Constant,
    /// A variable of a file or module.
    Variable,
    /// Another named type: an alias, a typedef, a delegate, a concept.
    Type,
    /// A macro.
    Macro,
}

impl SymbolKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Function,
        Self::Method,
        Self::Class,
        Self::Struct,
        Self::Enum,
        Self::Trait,
        Self::Interface,
        Self::Module,
        Self::Constant,
        Self::Variable,
        Self::Type,
        Self::Macro,
    ];

    /// The stable name, as in the public view `leasectl.index_symbols`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Method => "method",
            Self::Class => "class",
            Self::Struct => "struct",
            Self::Enum => "enum",
            Self::Trait => "trait",
            Self::Interface => "interface",
            Self::Module => "module",
            Self::Constant => "constant",
            Self::Variable => "variable",
            Self::Type => "type",
            Self::Macro => "macro",
        }
    }

    /// The kind of this stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What a file asks of another file, a module or a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The target as written, brought into one form per language; see [`ImportKind`].
    pub target: String,
    /// How the target is meant.
    pub kind: ImportKind,
    /// The line on which the target stands, counted from 1.
    pub line: u32,
}

/// How the target of an import is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ImportKind {
    /// A module, package or namespace by its name: `import a.b`, `"github.com/x/y"`, `./x`.
    Module,
    /// Something that may be a module or a thing inside of one: `use a::b`, `from a import b`.
    Item,
    /// A module declared to be part of the same program: `mod x;`.
    Declaration,
    /// A file relative to this one: `#[path]`, `#include ""`, `require_relative`.
    ///
    /// The file of a Rust `#[path]` follows its declaration directly, on the same line.
    File,
    /// A file that the toolchain searches for: `#include <>`.
    System,
}

impl ImportKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Module,
        Self::Item,
        Self::Declaration,
        Self::File,
        Self::System,
    ];
}
