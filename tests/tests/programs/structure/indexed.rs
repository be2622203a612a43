//! A repository that a real worker has indexed, and what is asked of it.

use leasectl_tests::{Finished, Remote, Stage, assert_fields};
use serde_json::{Value, json};

/// A repository whose default branch is indexed; the worker that did it is gone.
pub(crate) struct Indexed {
    pub(crate) stage: Stage,
    pub(crate) remote: Remote,
    pub(crate) repo: String,
    head: String,
}

impl Indexed {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let stage = Stage::new();
        let remote = Remote::start();
        let origin = remote.repository("acme/app");
        for (path, content) in files {
            origin.commit("main", path, content.as_bytes());
        }
        let repo = stage.register(&remote.url("acme/app"));
        let worker = stage.worker().start();
        let job = stage.json(&["enqueue", "index", &repo, "--wait"]);
        assert_eq!(job["state"], "completed", "{job}");
        drop(worker);
        let head = origin.find("main").unwrap();
        Self {
            stage,
            remote,
            repo,
            head,
        }
    }

    pub(crate) fn run(&self, command: &str, file: &str, args: &[&str]) -> Finished {
        let words = [command, self.repo.as_str(), file];
        self.stage.command(words).args(args).run()
    }

    pub(crate) fn json(&self, command: &str, file: &str, args: &[&str]) -> Value {
        let args = [args, &["--json"]].concat();
        let answer = self.run(command, file, &args).ok().json();
        assert_fields(
            &answer,
            "ref commit file language coverage items next_cursor complete",
        );
        assert_eq!(
            (&answer["ref"], &answer["commit"], &answer["file"]),
            (&json!("main"), &json!(self.head), &json!(file))
        );
        answer
    }

    /// What a file depends on, as the answer has it.
    pub(crate) fn deps(&self, file: &str) -> Value {
        let answer = self.json("deps", file, &[]);
        assert_fields(&answer, "skip external transitive_external unresolved");
        answer
    }

    /// What depends on a file, a line for each.
    pub(crate) fn impact(&self, file: &str) -> Vec<String> {
        lines(&self.json("impact", file, &[]))
    }
}

/// The items of an answer: distance, path, and whether it is a test.
pub(crate) fn lines(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().unwrap().iter();
    let line = |item: &Value| {
        let test = if item["test"] == true { " test" } else { "" };
        format!(
            "{} {}{test}",
            item["distance"],
            item["path"].as_str().unwrap()
        )
    };
    items.map(line).collect()
}

/// A small web application with an alias, a folder with an index file, and a script.
pub(crate) fn web() -> Indexed {
    Indexed::new(&[
        (
            "package.json",
            "{\"name\": \"web\", \"private\": true, \"dependencies\": {\"react\": \"18\"}}\n",
        ),
        (
            "tsconfig.json",
            "{\n  // The aliases.\n  \"compilerOptions\": {\n    \"baseUrl\": \".\",\n    \
             \"paths\": { \"@/*\": [\"src/*\"] },\n  },\n}\n",
        ),
        ("scripts/colours.mjs", "import '../src/theme.js';\n"),
        (
            "src/app.tsx",
            "import React from 'react';\nimport { Button } from '@/ui';\n\
             import config from './config.json';\nexport const App = () => <Button />;\n",
        ),
        ("src/config.json", "{}\n"),
        ("src/theme.ts", "export const theme = {};\n"),
        (
            "src/ui/button.test.tsx",
            "import { Button } from './button';\n",
        ),
        (
            "src/ui/button.tsx",
            "import { theme } from '../theme.js';\nexport const Button = () => <b />;\n",
        ),
        ("src/ui/index.ts", "export { Button } from './button';\n"),
    ])
}
