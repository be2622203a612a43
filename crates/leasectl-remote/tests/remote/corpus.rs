//! Reads the corpus files: one case per line, columns parted by tabs, `#` starts a comment.

use std::path::Path;

/// One line of a corpus file.
pub(crate) struct Case {
    /// Where the case stands, for messages.
    pub(crate) place: String,
    /// The columns, escapes resolved.
    pub(crate) columns: Vec<String>,
}

/// Reads `name` from the corpus folder and checks that each line has `columns` columns.
pub(crate) fn read(name: &str, columns: usize) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(name);
    let text = std::fs::read_to_string(&path).expect("the corpus file can be read");
    let mut cases = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with("# ") {
            continue;
        }
        let place = format!("{name}:{}", number + 1);
        let found: Vec<String> = line.split('\t').map(unescaped).collect();
        assert_eq!(found.len(), columns, "{place}: wrong number of columns");
        cases.push(Case {
            place,
            columns: found,
        });
    }
    assert!(cases.len() > 10, "{name} lost its cases");
    cases
}

/// Resolves `\\`, `\xHH` and `\u{…}`.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let (code, remainder) = match after.as_bytes() {
            [b'\\', ..] => ("5c", &after[1..]),
            [b'x', ..] => (&after[1..3], &after[3..]),
            [b'u', b'{', ..] => after[2..].split_once('}').expect("an escape is closed"),
            _ => panic!("unknown escape in {text:?}"),
        };
        let code = u32::from_str_radix(code, 16).expect("an escape is hexadecimal");
        plain.push(char::from_u32(code).expect("an escape is a character"));
        rest = remainder;
    }
    plain + rest
}
