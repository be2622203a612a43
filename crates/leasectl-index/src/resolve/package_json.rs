//! What `package.json` says about where a package's files are.

use serde_json::{Map, Value};

/// How many files an `exports` entry may offer before the rest is left alone.
const MAX_OFFERS: usize = 64;

/// A package of the tree.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) dir: String,
    pub(super) name: Option<String>,
    fields: Map<String, Value>,
}

impl Package {
    pub(super) fn parse(dir: &str, content: &str) -> Option<Self> {
        let Ok(Value::Object(fields)) = serde_json::from_str(content) else {
            return None;
        };
        let name = fields
            .get("name")
            .and_then(Value::as_str)
            .map(str::to_owned);
        Some(Self {
            dir: dir.to_owned(),
            name,
            fields,
        })
    }

    /// The files, relative to the package, that may be meant by `subpath` (`.` or `./x`), best first.
    pub(super) fn offers(&self, subpath: &str) -> Vec<String> {
        let mut offers = Vec::new();
        if let Some(exports) = self.fields.get("exports") {
            let by_subpath = exports
                .as_object()
                .filter(|map| map.keys().any(|key| key.starts_with('.')));
            match by_subpath {
                Some(map) => offers_of(map, subpath, &mut offers),
                None if subpath == "." => collect(exports, "", &mut offers),
                None => {}
            }
        }
        if subpath == "." {
            for field in ["source", "module", "main", "types", "typings", "browser"] {
                let value = self.fields.get(field).and_then(Value::as_str);
                offers.extend(value.map(str::to_owned));
            }
        }
        offers
    }

    /// The files that an own alias (`#x`) may mean.
    pub(super) fn own_alias(&self, alias: &str) -> Vec<String> {
        let mut offers = Vec::new();
        if let Some(map) = self.fields.get("imports").and_then(Value::as_object) {
            offers_of(map, alias, &mut offers);
        }
        offers
    }
}

/// Collects what the best matching key of an `exports` or `imports` map offers.
fn offers_of(map: &Map<String, Value>, wanted: &str, offers: &mut Vec<String>) {
    if let Some(value) = map.get(wanted) {
        return collect(value, "", offers);
    }
    let matched = map.iter().filter_map(|(key, value)| {
        let star = match_star(key, wanted)?;
        Some((key.len(), value, star))
    });
    if let Some((_, value, star)) = matched.max_by_key(|(length, ..)| *length) {
        collect(value, star, offers);
    }
}

/// What the `*` of a pattern stands for in a text that matches it.
pub(super) fn match_star<'t>(pattern: &str, text: &'t str) -> Option<&'t str> {
    let (before, after) = pattern.split_once('*')?;
    let rest = text.strip_prefix(before)?;
    rest.strip_suffix(after)
}

/// Collects the files of a target: a text, a list of them, or conditions, each tried in turn.
///
/// `serde_json` bounds how deep this can go.
fn collect(value: &Value, star: &str, offers: &mut Vec<String>) {
    if offers.len() >= MAX_OFFERS {
        return;
    }
    match value {
        Value::String(path) => offers.push(path.replacen('*', star, 1)),
        Value::Array(values) => values.iter().for_each(|value| collect(value, star, offers)),
        Value::Object(map) => map.values().for_each(|value| collect(value, star, offers)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
