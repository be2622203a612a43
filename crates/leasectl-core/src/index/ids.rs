//! Identities of the index: numbers that PostgreSQL gave, and names that Git gave.

use std::error::Error as StdError;
use std::fmt;

use serde::{Serialize, Serializer};
use thiserror::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, private::BytesMut};

macro_rules! number_id {
    ($(#[$meta:meta])* $name:ident, $number:ty) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name($number);

        impl $name {
            pub(super) fn new(number: $number) -> Self {
                Self(number)
            }

            /// The number as it is stored.
            #[must_use]
            pub fn get(self) -> $number {
                self.0
            }
        }
    };
}

number_id! {
    /// A trust domain: what is known of content is shared inside of it only.
    DomainId, i32
}
number_id! {
    /// A set of extractor versions that work together.
    RulesetId, i32
}
number_id! {
    /// One version of one extractor.
    ExtractorId, i16
}
number_id! {
    /// A way in which files are treated.
    TreatmentId, i16
}
number_id! {
    /// A blob of a trust domain.
    BlobId, i64
}
number_id! {
    /// A directory as one ruleset sees it.
    DirId, i64
}
number_id! {
    /// To what the imports below a directory lead.
    LinksId, i64
}

/// The most bytes of either hash.
const LONGEST: usize = 32;

/// An object's name in Git, of either algorithm: 20 bytes are SHA-1, 32 are SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(Short);

/// A digest of what the directories above decide about the files below, such as their attributes.
///
/// Equal directories of equal context hold equal answers. At most 32 bytes; empty at the root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Context(Short);

/// A few bytes, held in place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct Short {
    bytes: [u8; LONGEST],
    length: u8,
}

/// Bytes that are no name of an object, or no context.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{length} bytes are neither the length of a SHA-1 nor of a SHA-256, or too many")]
pub struct BadLength {
    /// How many there are.
    pub length: usize,
}

impl Short {
    fn new(given: &[u8]) -> Option<Self> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..given.len())?.copy_from_slice(given);
        let length = u8::try_from(given.len()).ok()?;
        Some(Self { bytes, length })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl ObjectId {
    /// The object of these 20 or 32 bytes.
    ///
    /// # Errors
    /// When there are more or fewer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadLength> {
        let length = bytes.len();
        match Short::new(bytes) {
            Some(short) if length == 20 || length == 32 => Ok(Self(short)),
            Some(_) | None => Err(BadLength { length }),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Context {
    /// The context of these bytes.
    ///
    /// # Errors
    /// When there are more than 32.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadLength> {
        let length = bytes.len();
        Short::new(bytes).map(Self).ok_or(BadLength { length })
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// As hexadecimal digits.
impl Serialize for ObjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'a> FromSql<'a> for ObjectId {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self::from_bytes(<&[u8]>::from_sql(ty, raw)?)?)
    }

    fn accepts(ty: &Type) -> bool {
        <&[u8] as FromSql>::accepts(ty)
    }
}

impl ToSql for ObjectId {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.as_bytes().to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <&[u8] as ToSql>::accepts(ty)
    }

    tokio_postgres::types::to_sql_checked!();
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({:02x?})", self.as_bytes())
    }
}

/// The name of an entry of a directory, as text.
///
/// Git's names are bytes. Valid UTF-8 is kept as it is. What is not is written as Git quotes it,
/// `"caf\351.txt"`, and so is a name that looks as if it were quoted: two names never become one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EntryName(String);

/// A name that no honest tree has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the name of a tree's entry is empty, too long, or holds a slash or a NUL")]
pub struct BadEntryName;

/// Longer names exist on no file system.
const LONGEST_NAME: usize = 4_096;

impl EntryName {
    /// The entry of that name.
    ///
    /// # Errors
    /// When it is empty, longer than 4,096 bytes, or holds a slash or a NUL.
    pub fn from_bytes(name: &[u8]) -> Result<Self, BadEntryName> {
        if name.is_empty()
            || name.len() > LONGEST_NAME
            || name.iter().any(|b| matches!(b, 0 | b'/'))
        {
            return Err(BadEntryName);
        }
        match std::str::from_utf8(name) {
            Ok(text) if !looks_quoted(text) => Ok(Self(text.to_owned())),
            Ok(_) | Err(_) => Ok(Self(quoted(name))),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The bytes that Git has for a path whose names are written as [`EntryName`] writes them.
#[must_use]
pub fn path_bytes(path: &str) -> Vec<u8> {
    let names = path.split('/').map(|name| {
        if looks_quoted(name) {
            unquoted(&name.as_bytes()[1..name.len() - 1])
        } else {
            name.as_bytes().to_vec()
        }
    });
    names.collect::<Vec<_>>().join(&b'/')
}

fn unquoted(mut rest: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| byte - b'0';
    let mut bytes = Vec::with_capacity(rest.len());
    loop {
        rest = match rest {
            [] => return bytes,
            [b'\\', byte @ (b'"' | b'\\'), after @ ..] => {
                bytes.push(*byte);
                after
            }
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] => {
                bytes.push(digit(a) << 6 | digit(b) << 3 | digit(c));
                after
            }
            [byte, after @ ..] => {
                bytes.push(*byte);
                after
            }
        };
    }
}

fn looks_quoted(text: &str) -> bool {
    text.len() > 1 && text.starts_with('"') && text.ends_with('"') && text.contains('\\')
}

fn quoted(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    text.push('"');
    for &byte in name {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            0x20..0x7f => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\{byte:03o}")),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_twenty_or_thirty_two_bytes() {
        for (length, good) in [(0, false), (19, false), (20, true), (32, true), (33, false)] {
            assert_eq!(ObjectId::from_bytes(&vec![7; length]).is_ok(), good);
        }
        let id = ObjectId::from_bytes(&[0xab; 20]).unwrap();
        assert_eq!(id.to_string(), "ab".repeat(20));
    }

    #[test]
    fn a_path_as_it_is_written_says_which_bytes_git_has() {
        let names: [&[u8]; 6] = [
            b"plain",
            "\u{e9} \"x\"".as_bytes(),
            b"caf\xe9\xff\"\\\n",
            b"\"caf\\351.txt\"",
            b"\"",
            b"\\",
        ];
        let written = names.map(|name| EntryName::from_bytes(name).unwrap());
        let path = written.map(|name| name.as_str().to_owned()).join("/");
        assert_eq!(path_bytes(&path), names.join(&b'/'));
    }

    #[test]
    fn names_stay_as_they_are_unless_they_are_no_text() {
        let name = |bytes: &[u8]| EntryName::from_bytes(bytes).unwrap().as_str().to_owned();
        assert_eq!(name("tab\tname \"é\\".as_bytes()), "tab\tname \"é\\");
        assert_eq!(name(b"caf\xe9.txt"), "\"caf\\351.txt\"");
        // Would be the same text otherwise.
        assert_eq!(name(b"\"caf\\351.txt\""), "\"\\\"caf\\\\351.txt\\\"\"");
        for bad in [&b""[..], b"a/b", b"a\0b", &[b'x'; 5_000]] {
            assert_eq!(EntryName::from_bytes(bad), Err(BadEntryName));
        }
    }
}
