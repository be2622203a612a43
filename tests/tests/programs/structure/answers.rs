//! What an answer needs, what it says of its own gaps, and what is refused.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use leasectl_tests::{Fault, Finished, noise};
use serde_json::{Value, json};

use super::indexed::{Indexed, lines, web};

#[test]
fn what_is_not_known_is_said_and_not_passed_over() {
    let large = format!("import os\n{}", "x = 1\n".repeat(90_000));
    let indexed = Indexed::new(&[
        ("Main.java", "import java.util.List;\nclass Main {}\n"),
        ("large.py", &large),
        ("src/x.c", "#include <stdio.h>\n#include \"x.h\"\n"),
        ("src/x.h", "int f(void);\n"),
        ("vendor/dep.go", "package dep\n\nimport \"fmt\"\n"),
    ]);
    for (file, language, coverage, skip, note) in [
        (
            "Main.java",
            json!("java"),
            "none",
            json!(null),
            "imports of java are not",
        ),
        (
            "large.py",
            json!("python"),
            "none",
            json!("too_large"),
            "too_large",
        ),
        ("src/x.c", json!("c"), "relative", json!(null), "relative"),
        (
            "vendor/dep.go",
            json!("go"),
            "none",
            json!("vendored"),
            "vendored",
        ),
        ("README.md", json!(null), "none", json!(null), "no language"),
    ] {
        let answer = indexed.deps(file);
        assert_eq!(answer["language"], language, "{file}");
        assert_eq!(
            (&answer["coverage"], &answer["skip"]),
            (&json!(coverage), &skip),
            "{file}"
        );
        let text = indexed.run("deps", file, &[]).ok();
        assert!(text.stderr.contains(note), "{file}: {}", text.stderr);
    }
    assert_eq!(
        indexed.deps("Main.java")["unresolved"],
        json!(["java.util.List"])
    );
    let source = indexed.deps("src/x.c");
    assert_eq!(lines(&source), ["1 src/x.h"]);
    assert_eq!(source["external"], json!(["stdio.h"]));
    assert_eq!(indexed.impact("src/x.h"), ["1 src/x.c"]);
    let nobody = indexed.run("impact", "README.md", &[]).ok();
    assert!(nobody.stderr.contains("README.md"), "{}", nobody.stderr);
    let java = indexed.run("impact", "Main.java", &["--json"]).ok();
    assert!(java.stderr.contains("not resolved"), "{}", java.stderr);
}

#[test]
fn only_names_from_outside_need_a_clone_and_one_that_vanished_is_made_again() {
    let web = web();
    let clone = web.stage.clone_dir(&web.repo);
    fs::remove_dir_all(&clone).unwrap();
    web.remote.set_fault(Fault::Refuse);
    assert_eq!(web.impact("src/ui/index.ts"), ["1 src/app.tsx"]);
    let inside = ["1 src/ui/button.tsx", "2 src/theme.ts"];
    assert_eq!(lines(&web.deps("src/ui/index.ts")), inside);
    assert!(!clone.exists(), "it was not asked for");

    web.run("deps", "src/app.tsx", &[]).expect_code(4);
    web.remote.set_fault(Fault::None);
    assert_eq!(web.deps("src/app.tsx")["external"], json!(["react"]));
    assert!(clone.exists());
}

#[test]
fn a_clone_that_rotted_is_made_again_while_manifests_are_read() {
    // So large that the middle of the pack is a part of it.
    let numbers = noise(100_000, 7)
        .iter()
        .map(u8::to_string)
        .collect::<String>();
    let manifest =
        format!("[package]\nname = \"app\"\n[dependencies]\nlibc = \"1\"\n# {numbers}\n");
    let indexed = Indexed::new(&[
        ("Cargo.toml", &manifest),
        ("src/lib.rs", "use libc::c_int;\n"),
    ]);
    let packs = fs::read_dir(indexed.stage.clone_dir(&indexed.repo).join("objects/pack")).unwrap();
    let mut packs = packs.map(|entry| entry.unwrap().path());
    let pack = packs
        .find(|path| path.extension().is_some_and(|end| end == "pack"))
        .unwrap();
    let seen = fs::metadata(&pack).unwrap();
    fs::set_permissions(&pack, Permissions::from_mode(0o644)).unwrap();
    let mut file = OpenOptions::new().write(true).open(&pack).unwrap();
    file.seek(SeekFrom::Start(seen.len() / 3)).unwrap();
    let third = usize::try_from(seen.len() / 3).unwrap();
    file.write_all(&vec![0; third]).unwrap();
    // Same size and same time: nothing shows that bits have rotted.
    let times = FileTimes::new().set_modified(seen.modified().unwrap());
    File::set_times(&file, times).unwrap();
    let before = indexed.remote.seen().packs;

    assert_eq!(indexed.deps("src/lib.rs")["external"], json!(["libc"]));

    assert!(indexed.remote.seen().packs > before, "nobody noticed");
}

#[test]
fn an_answer_can_be_cut_short_and_read_as_a_table() {
    let web = web();
    let cut = web.json("deps", "src/app.tsx", &["--limit", "1"]);
    assert_eq!(
        (lines(&cut), &cut["complete"], &cut["external"]),
        (
            vec!["1 src/config.json".to_owned()],
            &json!(false),
            &json!(["react"])
        )
    );
    let direct = web.json("deps", "src/app.tsx", &["--direct"]);
    assert_eq!(lines(&direct), ["1 src/config.json", "1 src/ui/index.ts"]);
    assert_eq!(
        (&direct["complete"], &direct["transitive_external"]),
        (&json!(true), &Value::Null)
    );
    let direct = web.json("impact", "src/theme.ts", &["--direct", "--ref", "main"]);
    assert_eq!(
        lines(&direct),
        ["1 scripts/colours.mjs", "1 src/ui/button.tsx"]
    );
    let words = |finished: Finished| -> Vec<String> {
        let lines = finished.stdout.lines();
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    let deps = web.run("deps", "src/app.tsx", &["--direct"]).ok();
    let table = [
        "DISTANCE KIND NAME",
        "1 file src/config.json",
        "1 file src/ui/index.ts",
        "1 external react",
    ];
    assert_eq!(words(deps), table);
    let impact = web.run("impact", "src/theme.ts", &["--tests"]).ok();
    assert_eq!(
        words(impact),
        ["DISTANCE KIND PATH", "2 test src/ui/button.test.tsx"]
    );
}

#[test]
fn what_is_not_there_and_what_makes_no_sense_are_told_apart() {
    let indexed = Indexed::new(&[("src/lib.rs", "")]);
    let repo = indexed.repo.as_str();
    for command in ["deps", "impact"] {
        for (file, args, said) in [
            ("src/gone.rs", &[][..], "worker enqueue index"),
            ("src", &[], "folder"),
            ("src/lib.rs", &["--ref", "nope"], "nope"),
        ] {
            let finished = indexed.run(command, file, args).expect_code(3);
            assert!(finished.stderr.contains(said), "{}", finished.stderr);
        }
        for file in [
            "../x",
            "/etc/passwd",
            "a//b",
            "./x",
            ".git/x",
            "-x",
            "--x=y",
            "a\\b",
            "",
        ] {
            // Before the database is touched: this one cannot be.
            let refused = indexed.stage.command([command, repo, "--", file]);
            let away = refused.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
            away.run().expect_code(2);
        }
        for args in [&["--ref", "--x"][..], &["--limit", "0"], &["--x"]] {
            indexed.run(command, "src/lib.rs", args).expect_code(2);
        }
    }
}
