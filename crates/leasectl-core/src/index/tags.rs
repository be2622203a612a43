//! Symbols and imports of one blob, and the text in which a row holds them.
//!
//! The views read that text in SQL: a line for each, the letter of its kind first. The letters are in
//! `leasectl.index_symbol_kind` too, and never change.

macro_rules! kinds {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $letter:literal $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// The kind of this stable name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.name() == name)
            }

            fn from_letter(letter: char) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.letter() == letter)
            }

            fn letter(self) -> char {
                match self {
                    $(Self::$variant => $letter,)+
                }
            }
        }
    };
}

kinds! {
    /// What a symbol is, as the view `leasectl.index_symbols` says it.
    SymbolKind {
        /// A function that belongs to no type.
        Function = 'f' "function",
        /// A function of a type.
        Method = 'm' "method",
        /// A class.
        Class = 'c' "class",
        /// A struct or union.
        Struct = 's' "struct",
        /// An enumeration.
        Enum = 'e' "enum",
        /// A trait.
        Trait = 't' "trait",
        /// An interface.
        Interface = 'i' "interface",
        /// A module or namespace.
        Module = 'n' "module",
        /// A value that does not change.
        Constant = 'k' "constant",
        /// A variable of a file or module.
        Variable = 'v' "variable",
        /// Another named type.
        Type = 'y' "type",
        /// A macro.
        Macro = 'd' "macro",
    }
}

kinds! {
    /// How the target of an import is meant.
    ImportKind {
        /// A module, package or namespace by its name.
        Module = 'm' "module",
        /// Something that may be a module or a thing inside of one.
        Item = 'i' "item",
        /// A module declared to be part of the same program.
        Declaration = 'd' "declaration",
        /// A file relative to the one that asks.
        File = 'f' "file",
        /// A file that the toolchain searches for.
        System = 's' "system",
    }
}

/// A definition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symbol {
    /// Its name; control characters become blanks.
    pub name: String,
    /// What it is.
    pub kind: SymbolKind,
    /// The first line, counted from 1.
    pub line_start: u32,
    /// The last line, inclusive.
    pub line_end: u32,
}

/// What a file asks of another file, a module or a package.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    /// The target as written; control characters become blanks.
    pub target: String,
    /// How it is meant.
    pub kind: ImportKind,
    /// The line on which it stands, counted from 1.
    pub line: u32,
}

/// Symbols as a row holds them; nothing for none.
pub(super) fn pack_symbols(symbols: &[Symbol]) -> Option<String> {
    pack(symbols, |symbol, text| {
        text.push(symbol.kind.letter());
        text.push_str(&symbol.line_start.to_string());
        text.push(' ');
        let further = symbol.line_end.saturating_sub(symbol.line_start);
        if further > 0 {
            text.push_str(&further.to_string());
        }
        text.push(' ');
        push_clean(text, &symbol.name);
    })
}

/// Imports as a row holds them; nothing for none.
pub(super) fn pack_imports(imports: &[Import]) -> Option<String> {
    pack(imports, |import, text| {
        text.push(import.kind.letter());
        text.push_str(&import.line.to_string());
        text.push(' ');
        push_clean(text, &import.target);
    })
}

/// The symbols that a row holds; nothing when it holds something else.
pub(super) fn unpack_symbols(text: &str) -> Option<Vec<Symbol>> {
    let symbol = |line: &str| {
        let (head, rest) = line.split_once(' ')?;
        let (further, name) = rest.split_once(' ')?;
        let (letter, line_start) = lettered(head)?;
        let further = if further.is_empty() {
            0
        } else {
            further.parse().ok()?
        };
        Some(Symbol {
            name: name.to_owned(),
            kind: SymbolKind::from_letter(letter)?,
            line_start,
            line_end: line_start.checked_add(further)?,
        })
    };
    text.split('\n').map(symbol).collect()
}

/// The imports that a row holds; nothing when it holds something else.
pub(super) fn unpack_imports(text: &str) -> Option<Vec<Import>> {
    let import = |line: &str| {
        let (head, target) = line.split_once(' ')?;
        let (letter, line) = lettered(head)?;
        Some(Import {
            target: target.to_owned(),
            kind: ImportKind::from_letter(letter)?,
            line,
        })
    };
    text.split('\n').map(import).collect()
}

/// A letter and a number.
fn lettered(head: &str) -> Option<(char, u32)> {
    let letter = head.chars().next()?;
    let number = head.get(letter.len_utf8()..)?.parse().ok()?;
    Some((letter, number))
}

fn pack<T>(items: &[T], mut push: impl FnMut(&T, &mut String)) -> Option<String> {
    let mut text = String::with_capacity(items.len() * 24);
    for item in items {
        if !text.is_empty() {
            text.push('\n');
        }
        push(item, &mut text);
    }
    (!items.is_empty()).then_some(text)
}

/// A line break would end the entry, and PostgreSQL takes no NUL.
fn push_clean(text: &mut String, name: &str) {
    text.extend(name.chars().map(|c| if c.is_control() { ' ' } else { c }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name_or_letter() {
        for &kind in SymbolKind::ALL {
            assert_eq!(SymbolKind::from_name(kind.name()), Some(kind));
            assert_eq!(SymbolKind::from_letter(kind.letter()), Some(kind));
        }
        for &kind in ImportKind::ALL {
            assert_eq!(ImportKind::from_letter(kind.letter()), Some(kind));
        }
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let symbol = |name: &str, line_start, line_end| Symbol {
            name: name.to_owned(),
            kind: SymbolKind::Type,
            line_start,
            line_end,
        };
        let symbols = [
            symbol("a b", 1, 1),
            symbol("", 7, u32::MAX),
            symbol("ü", 0, 2),
        ];
        let packed = pack_symbols(&symbols).unwrap();
        assert_eq!(unpack_symbols(&packed).as_deref(), Some(&symbols[..]));
        let import = |target: &str, line| Import {
            target: target.to_owned(),
            kind: ImportKind::System,
            line,
        };
        let imports = [import("", 1), import(" x  y ", 2)];
        let packed = pack_imports(&imports).unwrap();
        assert_eq!(unpack_imports(&packed).as_deref(), Some(&imports[..]));
        for bad in ["", "f", "f1", "f 1 x", "x1  n", "f1 x n", "f4294967296  n"] {
            assert_eq!(unpack_symbols(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_line_holds_what_it_must_and_no_more() {
        let symbol = |name: &str, line_start, line_end| Symbol {
            name: name.to_owned(),
            kind: SymbolKind::Function,
            line_start,
            line_end,
        };
        let packed = pack_symbols(&[symbol("one", 3, 3), symbol("operator\nnew", 4, 16)]);
        assert_eq!(packed.as_deref(), Some("f3  one\nf4 12 operator new"));
        assert_eq!(pack_symbols(&[]), None);
    }
}
