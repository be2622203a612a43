//! What a walk has found so far, and the scopes it is in.

use tree_sitter::Node;

use super::rules::Scope;
use super::{Import, ImportKind, MAX_NAME_BYTES, Symbol, SymbolKind, Tags};

/// The findings of one walk.
pub(super) struct Notes<'t> {
    source: &'t [u8],
    tags: Tags,
    scopes: Vec<Opened>,
    text_bytes: usize,
    /// The value of a Rust `#[path]` that belongs to the next module.
    pub(super) path_attribute: Option<String>,
}

struct Opened {
    depth: usize,
    scope: Scope,
    inline_module: Option<String>,
}

impl<'t> Notes<'t> {
    pub(super) fn new(source: &'t [u8]) -> Self {
        Self {
            source,
            tags: Tags::default(),
            scopes: Vec::new(),
            text_bytes: 0,
            path_attribute: None,
        }
    }

    /// The bytes of a node.
    pub(super) fn bytes(&self, node: Node<'_>) -> &'t [u8] {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    /// The text of a node, if it is short enough for a name and has no control characters.
    ///
    /// Bytes that are not UTF-8 become replacement characters: a name with one is still found.
    pub(super) fn text(&self, node: Node<'_>) -> Option<String> {
        let bytes = self.bytes(node);
        if bytes.len() > MAX_NAME_BYTES {
            return None;
        }
        Some(String::from_utf8_lossy(bytes).trim().to_owned())
    }

    /// The text of a node without any white space: a path written over several lines.
    pub(super) fn joined_text(&self, node: Node<'_>) -> Option<String> {
        let bytes = self.bytes(node);
        if bytes.len() > 2 * MAX_NAME_BYTES {
            return None;
        }
        Some(
            String::from_utf8_lossy(bytes)
                .chars()
                .filter(|c| !c.is_whitespace())
                .collect(),
        )
    }

    /// The text between the quotes of a string literal without interpolation.
    pub(super) fn unquoted(&self, node: Node<'_>) -> Option<String> {
        let text = self.text(node)?;
        let inner = text
            .strip_prefix(['"', '\'', '`'])?
            .strip_suffix(['"', '\'', '`'])?;
        (!inner.contains(['"', '\'', '`', '\\']) && !inner.contains("${")).then(|| inner.to_owned())
    }

    /// Notes a symbol that spans `whole` and is called what `name` says.
    pub(super) fn symbol(&mut self, kind: SymbolKind, name: Node<'_>, whole: Node<'_>) {
        if let Some(name) = self.text(name) {
            self.symbol_called(kind, name, whole);
        }
    }

    /// Notes a symbol under a name that does not stand as such in the source.
    pub(super) fn symbol_called(&mut self, kind: SymbolKind, name: String, whole: Node<'_>) {
        if !is_storable(&name) || name == "_" {
            return;
        }
        let line_start = line(whole.start_position().row);
        let end = whole.end_position();
        // A block of Python ends at the beginning of the line after it.
        let last_row = if end.column == 0 {
            end.row.saturating_sub(1)
        } else {
            end.row
        };
        let line_end = line(last_row).max(line_start);
        self.text_bytes += name.len();
        self.tags.symbols.push(Symbol {
            name,
            kind,
            line_start,
            line_end,
        });
    }

    /// Notes an import that stands at `place`.
    pub(super) fn import(&mut self, kind: ImportKind, target: String, place: Node<'_>) {
        if is_storable(&target) {
            self.text_bytes += target.len();
            let line = line(place.start_position().row);
            self.tags.imports.push(Import { target, kind, line });
        }
    }

    /// Whether a variable here belongs to the file or a module of it.
    pub(super) fn at_module_level(&self) -> bool {
        self.scopes
            .iter()
            .all(|opened| opened.scope == Scope::Module)
    }

    /// Whether a function here belongs to a type.
    pub(super) fn in_type(&self) -> bool {
        self.scopes
            .last()
            .is_some_and(|opened| opened.scope == Scope::Type)
    }

    /// Whether the walk is inside of a function.
    pub(super) fn in_function(&self) -> bool {
        self.scopes
            .iter()
            .any(|opened| opened.scope == Scope::Function)
    }

    /// What a function here is called.
    pub(super) fn function_kind(&self) -> SymbolKind {
        if self.in_type() {
            SymbolKind::Method
        } else {
            SymbolKind::Function
        }
    }

    /// The names of the inline Rust modules around the walk, outermost first.
    pub(super) fn inline_modules(&self) -> Vec<&str> {
        self.scopes
            .iter()
            .filter_map(|opened| opened.inline_module.as_deref())
            .collect()
    }

    /// Opens a scope for the children of a node at this depth.
    pub(super) fn open(&mut self, depth: usize, scope: Scope, inline_module: Option<String>) {
        self.scopes.push(Opened {
            depth,
            scope,
            inline_module,
        });
    }

    /// Closes the scope of the node at this depth, if it opened one.
    pub(super) fn close(&mut self, depth: usize) {
        self.scopes.pop_if(|last| last.depth == depth);
    }

    /// How many entries there are, and the bytes of their texts.
    pub(super) fn size(&self) -> (usize, usize) {
        (
            self.tags.symbols.len() + self.tags.imports.len(),
            self.text_bytes,
        )
    }

    /// The findings, in the order of their lines.
    pub(super) fn finish(mut self) -> Tags {
        self.tags.symbols.sort_by_key(|symbol| symbol.line_start);
        self.tags.imports.sort_by_key(|import| import.line);
        self.tags
    }
}

fn line(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX).saturating_add(1)
}

/// Whether a text may stand in a payload: not empty, not too long, no control characters.
pub(super) fn is_storable(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control)
}
