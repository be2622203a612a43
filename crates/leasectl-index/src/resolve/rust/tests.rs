//! The paths of Rust, in a workspace as Cargo lays them out.

use super::super::testing::Layout;
use crate::language::Language::Rust;
use crate::tags::ImportKind::{Declaration, Item, Module};
use crate::tags::{Import, ImportKind};

const ROOT: &str = "
[workspace]
members = [\"crates/*\"]
[workspace.dependencies]
acme-core = { path = \"crates/core\", version = \"1\" }
serde = { version = \"1\", features = [\"derive\"] }
[patch.crates-io]
patched = { path = \"vendor/patched\" }
";
const CORE: &str = "
[package]
name = \"acme-core\"
[dependencies]
serde.workspace = true
json = { package = \"serde_json\", version = \"1\" }
patched = \"1\"
[target.'cfg(unix)'.dependencies]
libc = \"0.2\"
";
const CLI: &str = "
[package]
name = \"acme-cli\"
build = \"build/main.rs\"
[lib]
name = \"acme\"
path = \"src/library.rs\"
[[bin]]
name = \"x\"
path = \"src/cli/x.rs\"
[dependencies]
acme-core = { workspace = true }
kernel = { package = \"acme-core\", path = \"../core\" }
[dev-dependencies]
rand-core = { path = \"../rand\" }
";

/// The shape of a workspace with a library, a command and its tests.
fn workspace() -> Layout {
    Layout::new(
        &[
            "crates/core/src/lib.rs",
            "crates/core/src/job.rs",
            "crates/core/src/job/state.rs",
            "crates/core/src/job/state/tests.rs",
            "crates/core/src/store/mod.rs",
            "crates/core/src/store/sql.rs",
            "crates/core/src/inline/deep.rs",
            "crates/core/src/sys_unix.rs",
            "crates/core/src/sys_helper.rs",
            "crates/core/src/main.rs",
            "crates/core/src/bin/tool.rs",
            "crates/core/src/bin/big/main.rs",
            "crates/core/src/bin/big/part.rs",
            "crates/core/tests/claim.rs",
            "crates/core/tests/common/mod.rs",
            "crates/core/tests/suite/main.rs",
            "crates/core/tests/suite/case.rs",
            "crates/core/examples/demo.rs",
            "crates/core/build.rs",
            "crates/cli/src/library.rs",
            "crates/cli/src/args.rs",
            "crates/cli/src/cli/x.rs",
            "crates/cli/src/cli/y.rs",
            "crates/rand/src/lib.rs",
            "vendor/patched/src/lib.rs",
        ],
        &[
            ("Cargo.toml", ROOT),
            ("crates/core/Cargo.toml", CORE),
            ("crates/cli/Cargo.toml", CLI),
            (
                "crates/rand/Cargo.toml",
                "[package]\nname = \"rand-core\"\n[lib]\nname = \"rnd\"\n",
            ),
            (
                "vendor/patched/Cargo.toml",
                "[package]\nname = \"patched\"\n",
            ),
        ],
    )
}

fn check(from: &str, kind: ImportKind, expected: &[(&str, &str)]) {
    let layout = workspace();
    for (target, answer) in expected {
        assert_eq!(
            &layout.resolve(Rust, from, kind, target),
            answer,
            "{target} from {from}"
        );
    }
}

#[test]
fn declarations_are_files_beside_or_below() {
    check(
        "crates/core/src/lib.rs",
        Declaration,
        &[
            ("job", "crates/core/src/job.rs"),
            ("store", "crates/core/src/store/mod.rs"),
            ("inline::deep", "crates/core/src/inline/deep.rs"),
            ("gone", "unknown"),
        ],
    );
    check(
        "crates/core/src/job.rs",
        Declaration,
        &[("state", "crates/core/src/job/state.rs")],
    );
    check(
        "crates/core/src/store/mod.rs",
        Declaration,
        &[("sql", "crates/core/src/store/sql.rs")],
    );
    check(
        "crates/core/tests/claim.rs",
        Declaration,
        &[("common", "crates/core/tests/common/mod.rs")],
    );
    check(
        "crates/core/tests/suite/main.rs",
        Declaration,
        &[("case", "crates/core/tests/suite/case.rs")],
    );
}

#[test]
fn paths_end_at_the_deepest_module_with_a_file() {
    check(
        "crates/core/src/job/state.rs",
        Item,
        &[
            ("crate::store::sql::Claim", "crates/core/src/store/sql.rs"),
            ("crate::store::*", "crates/core/src/store/mod.rs"),
            ("crate::inline::deep::X", "crates/core/src/inline/deep.rs"),
            ("crate::Error", "crates/core/src/lib.rs"),
            ("crate::*", "crates/core/src/lib.rs"),
            ("self::tests::x", "crates/core/src/job/state/tests.rs"),
            ("self::*", "crates/core/src/job/state.rs"),
            ("super::Job", "crates/core/src/job.rs"),
            ("super::super::store::Sql", "crates/core/src/store/mod.rs"),
            ("super::super::Error", "crates/core/src/lib.rs"),
            ("super::super::super::Error", "unknown"),
            ("tests::x", "crates/core/src/job/state/tests.rs"),
            ("LocalEnum::*", "unknown"),
        ],
    );
}

#[test]
fn every_crate_of_a_package_has_its_own_root() {
    check(
        "crates/core/src/main.rs",
        Item,
        &[("crate::Args", "crates/core/src/main.rs")],
    );
    check(
        "crates/core/src/bin/big/part.rs",
        Item,
        &[("crate::Big", "crates/core/src/bin/big/main.rs")],
    );
    check(
        "crates/core/src/bin/tool.rs",
        Item,
        &[("acme_core::job::Job", "crates/core/src/job.rs")],
    );
    check(
        "crates/core/tests/suite/case.rs",
        Item,
        &[("crate::helper", "crates/core/tests/suite/main.rs")],
    );
    check(
        "crates/core/tests/common/mod.rs",
        Item,
        &[("crate::helper", "crates/core/tests/claim.rs")],
    );
    check(
        "crates/core/examples/demo.rs",
        Item,
        &[("acme_core::run", "crates/core/src/lib.rs")],
    );
    check(
        "crates/cli/src/args.rs",
        Item,
        &[("crate::Cli", "crates/cli/src/library.rs")],
    );
    check(
        "crates/cli/src/cli/y.rs",
        Item,
        &[("super::Cli", "crates/cli/src/cli/x.rs")],
    );
}

#[test]
fn dependencies_lead_into_the_workspace_or_have_a_name() {
    check(
        "crates/cli/src/args.rs",
        Item,
        &[
            (
                "acme_core::job::state::State",
                "crates/core/src/job/state.rs",
            ),
            ("kernel::Error", "crates/core/src/lib.rs"),
            ("rnd::Rng", "crates/rand/src/lib.rs"),
            ("acme::Cli", "crates/cli/src/library.rs"),
            ("std::fmt", "external std"),
            ("unheard::of", "unknown"),
        ],
    );
    check(
        "crates/core/src/lib.rs",
        Item,
        &[
            ("serde::Serialize", "external serde"),
            ("json::Value", "external serde_json"),
            ("libc::c_int", "external libc"),
            ("patched::x", "vendor/patched/src/lib.rs"),
        ],
    );
    check(
        "crates/core/src/job.rs",
        Module,
        &[("serde", "external serde"), ("alloc", "external alloc")],
    );
}

#[test]
fn a_path_attribute_moves_a_module() {
    let mut layout = workspace();
    let lib = layout
        .0
        .file("crates/core/src/lib.rs")
        .expect("it is there");
    let import = |kind, target: &str| Import {
        target: target.to_owned(),
        kind,
        line: 3,
    };
    let imports = [
        import(Declaration, "sys"),
        import(ImportKind::File, "sys_unix.rs"),
    ];
    layout.0.declare(lib, Rust, &imports);
    let of = |from, kind, target| layout.resolve(Rust, from, kind, target);
    let unix = "crates/core/src/sys_unix.rs";
    assert_eq!(of("crates/core/src/lib.rs", Declaration, "sys"), unix);
    assert_eq!(
        of("crates/core/src/lib.rs", ImportKind::File, "sys_unix.rs"),
        unix
    );
    assert_eq!(of("crates/core/src/job.rs", Item, "crate::sys::open"), unix);
    assert_eq!(
        of(unix, Declaration, "sys_helper"),
        "crates/core/src/sys_helper.rs"
    );
    assert_eq!(of(unix, Item, "super::Error"), "crates/core/src/lib.rs");
}

#[test]
fn a_single_crate_without_a_manifest_still_has_modules() {
    let layout = Layout::new(&["src/main.rs", "src/a.rs", "src/a/b.rs"], &[]);
    assert_eq!(
        layout.resolve(Rust, "src/a/b.rs", Item, "crate::a::X"),
        "src/a.rs"
    );
    assert_eq!(
        layout.resolve(Rust, "src/main.rs", Item, "a::b::X"),
        "src/a/b.rs"
    );
    assert_eq!(
        layout.resolve(Rust, "src/main.rs", Item, "serde::X"),
        "external serde"
    );
}
