//! The hostile texts that the validators are held against, for the programs' own doors.

/// Remotes that must be refused even where local ones are allowed.
#[must_use]
pub fn hostile_urls() -> Vec<String> {
    let text = include_str!("../../crates/leasectl-remote/tests/corpus/hostile_urls.txt");
    rows(text, 3)
        .filter(|columns| columns[1].chars().all(char::is_alphanumeric))
        .map(|columns| unescaped(columns[2]))
        .collect()
}

/// Refspecs that must be refused.
#[must_use]
pub fn hostile_refspecs() -> Vec<String> {
    let text = include_str!("../../crates/leasectl-remote/tests/corpus/refspecs.txt");
    rows(text, 2)
        .filter(|columns| !columns[0].contains("refs/"))
        .map(|columns| unescaped(columns[1]))
        .collect()
}

/// Repository names that must be refused.
#[must_use]
pub fn hostile_names() -> Vec<String> {
    let text = include_str!("../../crates/leasectl-remote/tests/corpus/repo_names.txt");
    refused(text)
}

/// Ref names that must be refused.
#[must_use]
pub fn hostile_refs() -> Vec<String> {
    let text = include_str!("../../crates/leasectl-remote/tests/corpus/ref_names.txt");
    refused(text)
}

fn refused(text: &str) -> Vec<String> {
    rows(text, 2)
        .filter(|columns| columns[0] != "ok")
        .map(|columns| unescaped(columns[1]))
        .collect()
}

fn rows(text: &str, columns: usize) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(move |line| line.splitn(columns, '\t').collect::<Vec<_>>())
        .filter(move |row| row.len() == columns)
}

/// `\xHH` and `\u{H…}` are characters, `\\` is a backslash.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (digits, taken) = match rest.as_bytes().first() {
            Some(b'x') => (&rest[1..3], 3),
            Some(b'u') => {
                let end = rest.find('}').expect("a closing brace");
                (&rest[2..end], end + 1)
            }
            _ => {
                plain.push('\\');
                rest = &rest[1..];
                continue;
            }
        };
        let code = u32::from_str_radix(digits, 16).expect("hexadecimal digits");
        plain.push(char::from_u32(code).expect("a character"));
        rest = &rest[taken..];
    }
    plain.push_str(rest);
    plain
}
