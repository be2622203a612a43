//! The stored form of [`Tags`].
//!
//! ```text
//! form (1 byte) | symbols (varint) | imports (varint)
//! symbol: kind (1 byte) | line_start − the one before | line_end − line_start | length | name
//! import: kind (1 byte) | line − the one before | bytes shared with the target before | length | rest
//! ```
//!
//! All other numbers are varints. Lines and targets cost what they differ from their neighbour, so the form
//! needs no compressor: general compression of so few bytes per blob saved little, and would let a
//! rotten payload swell in memory. Decoding trusts nothing: a corrupt payload is an error, and costs
//! memory within the limits of extraction.

use super::limits::MAX_TEXT_BYTES;
use super::notes::is_storable;
use super::{Import, ImportKind, MAX_NAME_BYTES, Symbol, SymbolKind, Tags};
use crate::varint::{put_varint, take_varint};

/// The number of this form; another one is refused.
const FORM: u8 = 1;
/// No entry takes fewer bytes than this, so a count can be checked before memory is taken for it.
const MIN_ENTRY_BYTES: usize = 4;

/// Why a payload cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The payload was written in a form that this build does not know.
    #[error("reading symbols of the unknown form {0}")]
    UnknownForm(u8),
    /// The bytes are not what [`encode`] writes.
    #[error("reading symbols at byte {at}: {what}")]
    Corrupt {
        /// Where reading stopped.
        at: usize,
        /// What was wrong there.
        what: &'static str,
    },
}

/// Writes tags in their stored form.
#[must_use]
pub fn encode(tags: &Tags) -> Vec<u8> {
    let mut out = vec![FORM];
    put_length(&mut out, tags.symbols.len());
    put_length(&mut out, tags.imports.len());
    let mut before = 0;
    for symbol in &tags.symbols {
        out.push(symbol.kind as u8);
        put_varint(&mut out, symbol.line_start.saturating_sub(before));
        put_varint(&mut out, symbol.line_end.saturating_sub(symbol.line_start));
        put_length(&mut out, symbol.name.len());
        out.extend_from_slice(symbol.name.as_bytes());
        before = symbol.line_start;
    }
    let (mut before, mut target) = (0, "");
    for import in &tags.imports {
        let shared = shared_bytes(target, &import.target);
        out.push(import.kind as u8);
        put_varint(&mut out, import.line.saturating_sub(before));
        put_length(&mut out, shared);
        put_length(&mut out, import.target.len() - shared);
        out.extend_from_slice(&import.target.as_bytes()[shared..]);
        (before, target) = (import.line, &import.target);
    }
    out
}

/// Reads tags from their stored form.
///
/// # Errors
/// [`CodecError`] if the bytes are of another form, or are not exactly what [`encode`] writes.
pub fn decode(payload: &[u8]) -> Result<Tags, CodecError> {
    let mut reader = Reader {
        payload,
        at: 0,
        text_bytes: 0,
    };
    let form = reader.byte()?;
    if form != FORM {
        return Err(CodecError::UnknownForm(form));
    }
    let symbols = reader.count()?;
    let imports = reader.count()?;
    let mut tags = Tags {
        symbols: Vec::with_capacity(symbols),
        imports: Vec::with_capacity(imports),
    };
    let mut before = 0;
    for _ in 0..symbols {
        let symbol = reader.symbol(before)?;
        before = symbol.line_start;
        tags.symbols.push(symbol);
    }
    for _ in 0..imports {
        let import = reader.import(tags.imports.last())?;
        tags.imports.push(import);
    }
    if reader.at == payload.len() {
        Ok(tags)
    } else {
        Err(reader.corrupt("bytes after the end"))
    }
}

/// Counts and lengths are far below 2³² here: extraction limits both.
fn put_length(out: &mut Vec<u8>, length: usize) {
    put_varint(out, u32::try_from(length).unwrap_or(u32::MAX));
}

/// How many bytes two targets share at their beginning, ending between characters.
fn shared_bytes(a: &str, b: &str) -> usize {
    let mut shared = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    while !b.is_char_boundary(shared) {
        shared -= 1;
    }
    shared
}

struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
    text_bytes: usize,
}

impl Reader<'_> {
    fn corrupt(&self, what: &'static str) -> CodecError {
        CodecError::Corrupt { at: self.at, what }
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        let byte = self
            .payload
            .get(self.at)
            .copied()
            .ok_or_else(|| self.corrupt("the end"))?;
        self.at += 1;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u32, CodecError> {
        let left = self.payload.get(self.at..).unwrap_or_default();
        let (number, rest) = take_varint(left).ok_or_else(|| self.corrupt("no number"))?;
        self.at = self.payload.len() - rest.len();
        Ok(number)
    }

    fn length(&mut self) -> Result<usize, CodecError> {
        let number = self.number()?;
        usize::try_from(number).map_err(|_| self.corrupt("a number too large"))
    }

    /// A number of entries for which there are enough bytes left.
    fn count(&mut self) -> Result<usize, CodecError> {
        let count = self.length()?;
        if count > (self.payload.len() - self.at) / MIN_ENTRY_BYTES {
            return Err(self.corrupt("more entries than bytes"));
        }
        Ok(count)
    }

    fn line(&mut self, before: u32) -> Result<u32, CodecError> {
        let more = self.number()?;
        before
            .checked_add(more)
            .ok_or_else(|| self.corrupt("a line too large"))
    }

    /// `shared` followed by the text that stands here.
    fn text(&mut self, shared: &str) -> Result<String, CodecError> {
        let length = self.length()?;
        let end = self
            .at
            .checked_add(length)
            .filter(|end| *end <= self.payload.len());
        let bytes = end.and_then(|end| self.payload.get(self.at..end));
        let bytes = bytes.ok_or_else(|| self.corrupt("a text past the end"))?;
        self.text_bytes += shared.len() + length;
        if shared.len() + length > MAX_NAME_BYTES || self.text_bytes > 2 * MAX_TEXT_BYTES {
            return Err(self.corrupt("a text too long"));
        }
        let rest = std::str::from_utf8(bytes).map_err(|_| self.corrupt("a text not UTF-8"))?;
        let text = format!("{shared}{rest}");
        if !is_storable(&text) {
            return Err(self.corrupt("a text with control characters"));
        }
        self.at += length;
        Ok(text)
    }

    fn symbol(&mut self, before: u32) -> Result<Symbol, CodecError> {
        let kind = SymbolKind::ALL.get(usize::from(self.byte()?)).copied();
        let kind = kind.ok_or_else(|| self.corrupt("an unknown kind of symbol"))?;
        let line_start = self.line(before)?;
        let line_end = self.line(line_start)?;
        Ok(Symbol {
            name: self.text("")?,
            kind,
            line_start,
            line_end,
        })
    }

    fn import(&mut self, before: Option<&Import>) -> Result<Import, CodecError> {
        let (line, target) = before.map_or((0, ""), |import| (import.line, &import.target));
        let kind = ImportKind::ALL.get(usize::from(self.byte()?)).copied();
        let kind = kind.ok_or_else(|| self.corrupt("an unknown kind of import"))?;
        let line = self.line(line)?;
        let shared = self.length()?;
        let shared = target
            .get(..shared)
            .ok_or_else(|| self.corrupt("shares too much"))?;
        Ok(Import {
            target: self.text(shared)?,
            kind,
            line,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Tags {
        let symbol = |name: &str, kind, line_start, line_end| Symbol {
            name: name.to_owned(),
            kind,
            line_start,
            line_end,
        };
        let import = |target: &str, kind, line| Import {
            target: target.to_owned(),
            kind,
            line,
        };
        Tags {
            symbols: vec![
                symbol("Größe", SymbolKind::Struct, 3, 300),
                symbol("x", SymbolKind::Method, 3, 3),
                symbol("y", SymbolKind::Macro, 70_000, 70_001),
            ],
            imports: vec![
                import("crate::äa::x", ImportKind::Item, 1),
                import("crate::äb", ImportKind::Module, 1),
                import("crate::ä", ImportKind::System, 900),
            ],
        }
    }

    #[test]
    fn what_was_written_is_read_back() {
        assert_eq!(decode(&encode(&sample())), Ok(sample()));
        assert_eq!(decode(&encode(&Tags::default())), Ok(Tags::default()));
    }

    #[test]
    fn characters_that_share_a_byte_are_not_torn() {
        assert_eq!(shared_bytes("ä", "ö"), 0);
        assert_eq!(shared_bytes("aä", "aäö"), 3);
    }

    #[test]
    fn every_cut_and_every_extra_byte_is_refused() {
        let whole = encode(&sample());
        for end in 0..whole.len() {
            assert!(decode(&whole[..end]).is_err(), "{end}");
        }
        assert!(decode(&[whole, vec![0]].concat()).is_err());
    }

    #[test]
    fn another_form_is_refused_by_its_number() {
        assert_eq!(decode(&[9, 0, 0]), Err(CodecError::UnknownForm(9)));
    }

    #[test]
    fn a_count_without_bytes_takes_no_memory() {
        assert!(decode(&[FORM, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]).is_err());
    }

    #[test]
    fn control_characters_are_refused() {
        assert!(decode(&[FORM, 1, 0, 0, 1, 0, 1, 0]).is_err());
    }

    proptest! {
        #[test]
        fn corrupt_payloads_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
            let _ = decode(&[&[FORM], bytes.as_slice()].concat());
        }

        #[test]
        fn a_flipped_byte_is_refused_or_read_as_something_valid(at in 0_usize..60, to: u8) {
            let mut payload = encode(&sample());
            let at = at % payload.len();
            payload[at] = to;
            if let Ok(tags) = decode(&payload) {
                prop_assert_eq!(decode(&encode(&tags)), Ok(tags));
            }
        }
    }
}
