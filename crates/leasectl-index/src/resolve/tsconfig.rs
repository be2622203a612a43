//! The aliases of `tsconfig.json`: `paths` and `baseUrl`, through `extends` and `references`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::package_json::match_star;
use super::tree::{ancestors, join, name, parent};

/// How many configurations one may extend or refer to, in a row.
const MAX_CHAIN: usize = 8;

/// The configurations of a tree, by their path.
#[derive(Debug, Default)]
pub(super) struct Configs {
    by_path: BTreeMap<String, Config>,
}

#[derive(Debug, Default)]
struct Config {
    base_url: Option<String>,
    paths: Vec<(String, Vec<String>)>,
    /// What it extends, and after that what it refers to.
    others: Vec<String>,
}

/// Whether this file may be a configuration: `tsconfig.json`, `tsconfig.app.json`, `jsconfig.json`.
pub(super) fn is_config(path: &str) -> bool {
    let name = name(path);
    (name.starts_with("tsconfig") || name == "jsconfig.json") && name.ends_with(".json")
}

impl Configs {
    pub(super) fn read(&mut self, path: &str, content: &str) -> bool {
        let Ok(value) = serde_json::from_str::<Value>(&without_comments(content)) else {
            return false;
        };
        let dir = parent(path);
        let options = value.get("compilerOptions");
        let base_url = options.and_then(|it| join(dir, it.get("baseUrl")?.as_str()?));
        let from = base_url.as_deref().unwrap_or(dir);
        let targets = |value: &Value| {
            let targets = value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            targets.filter_map(|target| join(from, target)).collect()
        };
        let paths = options.and_then(|options| options.get("paths")?.as_object());
        let paths = paths
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), targets(value)));
        let paths = paths.collect();
        let extends = match value.get("extends") {
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one.as_str()],
            Some(_) | None => Vec::new(),
        };
        let references = value
            .get("references")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let references = references.filter_map(|reference| reference.get("path")?.as_str());
        let others = extends.into_iter().rev().chain(references);
        let others = others
            .filter(|other| other.starts_with('.'))
            .filter_map(|it| join(dir, it));
        let config = Config {
            base_url,
            paths,
            others: others.collect(),
        };
        self.by_path.insert(path.to_owned(), config);
        true
    }

    /// What a specifier may stand for by the configuration nearest to a directory, best first.
    pub(super) fn aliases(&self, dir: &str, specifier: &str) -> Vec<String> {
        let nearest = ancestors(dir).find_map(|dir| {
            let names = ["tsconfig.json", "jsconfig.json"].into_iter();
            names
                .filter_map(|name| self.by_path.get(&join(dir, name)?))
                .next()
        });
        let mut found = Vec::new();
        if let Some(config) = nearest {
            self.collect(config, specifier, MAX_CHAIN, &mut found);
        }
        found
    }

    fn collect(&self, config: &Config, specifier: &str, chain: usize, found: &mut Vec<String>) {
        let matching = config.paths.iter().filter_map(|(pattern, targets)| {
            let star = if pattern == specifier {
                ""
            } else {
                match_star(pattern, specifier)?
            };
            Some((pattern.split('*').next().map_or(0, str::len), star, targets))
        });
        if let Some((_, star, targets)) = matching.max_by_key(|(length, ..)| *length) {
            found.extend(targets.iter().map(|target| target.replacen('*', star, 1)));
        }
        found.extend(
            config
                .base_url
                .as_deref()
                .and_then(|base| join(base, specifier)),
        );
        let Some(chain) = chain.checked_sub(1) else {
            return;
        };
        for other in &config.others {
            let forms = [
                other.clone(),
                format!("{other}.json"),
                format!("{other}/tsconfig.json"),
            ];
            if let Some(other) = forms.iter().find_map(|form| self.by_path.get(form))
                && found.len() < MAX_CHAIN * MAX_CHAIN
            {
                self.collect(other, specifier, chain, found);
            }
        }
    }
}

/// JSON as its readers take it here: without comments, and without commas before a closing bracket.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.trim_start_matches('\u{feff}');
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            '"' => string_length(rest),
            '/' if rest.starts_with("//") => {
                rest = rest.find('\n').map_or("", |end| &rest[end..]);
                continue;
            }
            '/' if rest.starts_with("/*") => {
                rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
                continue;
            }
            '}' | ']' => {
                let kept = out.trim_end();
                let kept = kept.strip_suffix(',').unwrap_or(kept).len();
                out.truncate(kept);
                1
            }
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(taken);
        out.push_str(token);
        rest = after;
    }
    out
}

/// The bytes of the string literal at the start of a text.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_last_commas_are_left_out() {
        let text = "\u{feff}{ // a\n \"a//\\\"b\": [1, /* , */ 2, ], /* c */ }";
        let value: Value = serde_json::from_str(&without_comments(text)).expect("it is JSON");
        assert_eq!(value, serde_json::json!({ "a//\"b": [1, 2] }));
        assert_eq!(without_comments("{\"open"), "{\"open");
        assert_eq!(without_comments("/* open"), "");
    }

    #[test]
    fn configurations_that_extend_each_other_in_a_circle_end() {
        let mut configs = Configs::default();
        assert!(configs.read("tsconfig.json", "{\"extends\": [\"./a\", \"./a\"]}"));
        assert!(configs.read(
            "a.json",
            "{\"extends\": [\"./tsconfig\", \"./tsconfig.json\"]}"
        ));
        assert_eq!(configs.aliases("", "x"), Vec::<String>::new());
    }
}
