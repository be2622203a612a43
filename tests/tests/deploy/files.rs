//! Reads the files of `deploy/` and walks through YAML and JSON without ceremony.

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use serde_yaml_ng::Value;

/// The top of the repository.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in it")
        .to_owned()
}

/// The text of a file, named from the top of the repository.
pub(crate) fn text(path: &str) -> String {
    let path = top().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML file (JSON is YAML), anchors and merges resolved.
pub(crate) fn documents(path: &str) -> Vec<Value> {
    use serde::Deserialize;
    let text = text(path);
    let mut documents = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let mut value =
            Value::deserialize(document).unwrap_or_else(|error| panic!("{path}: {error}"));
        merge(&mut value).unwrap_or_else(|error| panic!("{path}: {error}"));
        documents.push(value);
    }
    assert!(!documents.is_empty(), "{path} is empty");
    documents
}

/// Resolves `<<`, also where what is merged has merges of its own.
fn merge(value: &mut Value) -> Result<(), serde_yaml_ng::Error> {
    loop {
        let before = value.clone();
        value.apply_merge()?;
        if *value == before {
            return Ok(());
        }
    }
}

/// The only document of a YAML or JSON file.
pub(crate) fn document(path: &str) -> Value {
    let mut documents = documents(path);
    assert_eq!(documents.len(), 1, "{path} holds several documents");
    documents.remove(0)
}

/// Follows `path` (keys and indexes parted by dots) down from `value`.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    find(value, path).unwrap_or_else(|| panic!("nothing at {path} in {value:?}"))
}

/// As [`at`], for what may be missing.
pub(crate) fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(value, |value, step| match value.as_sequence() {
            Some(items) => items.get(step.parse::<usize>().ok()?),
            None => value.get(step),
        })
}

/// A scalar as text.
pub(crate) fn scalar(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => serde_yaml_ng::to_string(value)
            .expect("a scalar is text")
            .trim()
            .to_owned(),
    }
}

/// A list's scalars as text; nothing for what is no list.
pub(crate) fn list(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_sequence)
        .map_or_else(Vec::new, |items| items.iter().map(scalar).collect())
}

/// A mapping's entries as text; nothing for what is no mapping.
pub(crate) fn mapping(value: Option<&Value>) -> Vec<(String, String)> {
    value
        .and_then(Value::as_mapping)
        .map_or_else(Vec::new, |entries| {
            entries
                .iter()
                .map(|(key, value)| (scalar(key), scalar(value)))
                .collect()
        })
}

/// Reads `45s`, `2min` and `45` (seconds).
pub(crate) fn duration(text: &str) -> Duration {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits
        .parse()
        .unwrap_or_else(|_| panic!("no duration: {text}"));
    match text.get(digits.len()..) {
        Some("" | "s") => Duration::from_secs(number),
        Some("min" | "m") => Duration::from_secs(number * 60),
        Some(_) | None => panic!("no duration: {text}"),
    }
}

/// Reads `50Gi`, `50GiB`, `64Mi` and so on, in bytes.
pub(crate) fn bytes(text: &str) -> u64 {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().unwrap_or_else(|_| panic!("no size: {text}"));
    match text.get(digits.len()..) {
        Some("Mi" | "MiB") => number << 20,
        Some("Gi" | "GiB") => number << 30,
        Some(_) | None => panic!("no size: {text}"),
    }
}
