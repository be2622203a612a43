//! The languages whose imports are resolved.

use serde_json::json;

use super::indexed::{Indexed, lines, web};

#[test]
fn a_rust_workspace_is_followed_through_modules_and_crates() {
    let indexed = Indexed::new(&[
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\"crates/*\"]\n[workspace.dependencies]\n\
             acme-util = { path = \"crates/util\" }\n",
        ),
        (
            "crates/app/Cargo.toml",
            "[package]\nname = \"acme-app\"\n[dependencies]\nacme-util.workspace = true\n\
             json = { package = \"serde_json\", version = \"1\" }\n",
        ),
        (
            "crates/app/src/main.rs",
            "mod report;\nmod store;\nuse report::print;\nenum Kind { One }\nuse Kind::One;\n\
             fn main() { print() }\n",
        ),
        (
            "crates/app/src/report.rs",
            "use acme_util::text::shout;\nuse crate::store::Row;\npub fn print() {}\n",
        ),
        (
            "crates/app/src/store/mod.rs",
            "mod sql;\nuse json::Value;\npub struct Row;\n",
        ),
        (
            "crates/app/src/store/sql.rs",
            "use std::fs;\nuse super::Row;\n",
        ),
        ("crates/app/tests/smoke.rs", "use acme_util::text;\n"),
        (
            "crates/util/Cargo.toml",
            "[package]\nname = \"acme-util\"\n",
        ),
        ("crates/util/src/lib.rs", "pub mod text;\n"),
        (
            "crates/util/src/text.rs",
            "pub fn shout() {}\n#[cfg(test)]\nmod tests;\n",
        ),
        ("crates/util/src/text/tests.rs", "use super::*;\n"),
    ]);
    let main = indexed.deps("crates/app/src/main.rs");
    assert_eq!(
        lines(&main),
        [
            "1 crates/app/src/report.rs",
            "1 crates/app/src/store/mod.rs",
            "2 crates/app/src/store/sql.rs",
            "2 crates/util/src/text.rs",
            "3 crates/util/src/text/tests.rs",
        ]
    );
    assert_eq!(main["external"], json!([]));
    assert_eq!(main["transitive_external"], json!(["serde_json", "std"]));
    assert_eq!(main["unresolved"], json!(["Kind::One"]));
    assert_eq!(
        (&main["language"], &main["coverage"], &main["complete"]),
        (&json!("rust"), &json!("full"), &json!(true))
    );
    let store = indexed.deps("crates/app/src/store/mod.rs");
    assert_eq!(store["external"], json!(["serde_json"]));
    assert_eq!(store["transitive_external"], json!(["std"]));
    assert_eq!(
        indexed.impact("crates/util/src/text.rs"),
        [
            "1 crates/app/src/report.rs",
            "1 crates/app/tests/smoke.rs test",
            "1 crates/util/src/lib.rs",
            "1 crates/util/src/text/tests.rs test",
            "2 crates/app/src/main.rs",
        ]
    );
}

#[test]
fn python_is_followed_through_relative_imports_and_source_folders() {
    let indexed = Indexed::new(&[
        (
            "pyproject.toml",
            "[project]\nname = \"shop\"\n[tool.setuptools.packages.find]\nwhere = [\"src\"]\n",
        ),
        ("src/shop/__init__.py", "from .cart import Cart\n"),
        (
            "src/shop/cart.py",
            "from . import prices\nfrom .models.item import Item\n\nclass Cart:\n    pass\n",
        ),
        ("src/shop/models/__init__.py", ""),
        ("src/shop/models/item.py", "import requests\n"),
        (
            "src/shop/prices.py",
            "import decimal\nfrom shop.models import item\n",
        ),
        ("tests/conftest.py", "import pytest\n"),
        ("tests/helpers.py", "from shop import Cart\n"),
        (
            "tests/test_cart.py",
            "import pytest\nfrom helpers import make\nfrom shop.cart import Cart\n",
        ),
    ]);
    let test = indexed.deps("tests/test_cart.py");
    assert_eq!(
        lines(&test),
        [
            "1 src/shop/cart.py",
            "1 tests/helpers.py",
            "2 src/shop/__init__.py",
            "2 src/shop/models/item.py",
            "2 src/shop/prices.py",
        ]
    );
    assert_eq!(test["external"], json!(["pytest"]));
    assert_eq!(test["transitive_external"], json!(["decimal", "requests"]));
    assert_eq!(test["unresolved"], json!([]));
    assert_eq!(
        indexed.impact("src/shop/models/item.py"),
        [
            "1 src/shop/cart.py",
            "1 src/shop/prices.py",
            "2 src/shop/__init__.py",
            "2 tests/test_cart.py test",
            "3 tests/helpers.py test",
        ]
    );
}

#[test]
fn typescript_and_javascript_are_followed_through_aliases_and_index_files() {
    let web = web();
    let app = web.deps("src/app.tsx");
    assert_eq!(
        lines(&app),
        [
            "1 src/config.json",
            "1 src/ui/index.ts",
            "2 src/ui/button.tsx",
            "3 src/theme.ts",
        ]
    );
    assert_eq!(app["external"], json!(["react"]));
    assert_eq!(app["transitive_external"], json!([]));
    assert_eq!(
        web.impact("src/theme.ts"),
        [
            "1 scripts/colours.mjs",
            "1 src/ui/button.tsx",
            "2 src/ui/button.test.tsx test",
            "2 src/ui/index.ts",
            "3 src/app.tsx",
        ]
    );
    assert_eq!(web.impact("src/config.json"), ["1 src/app.tsx"]);
}

#[test]
fn go_files_see_their_package_and_the_packages_that_they_import() {
    let store = "package store\n\nimport \"github.com/x/y/z\"\n";
    let main = "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.com/shop/internal/store\"\n)\n";
    let indexed = Indexed::new(&[
        (
            "go.mod",
            "module example.com/shop\n\ngo 1.22\n\nrequire github.com/x/y v1.2.3\n",
        ),
        ("cmd/tool/main.go", main),
        (
            "internal/store/sql.go",
            "package store\n\nimport \"database/sql\"\n",
        ),
        ("internal/store/store.go", store),
        (
            "internal/store/store_test.go",
            "package store\n\nimport \"testing\"\n",
        ),
        ("main.go", main),
    ]);
    let main = indexed.deps("main.go");
    assert_eq!(
        lines(&main),
        ["1 internal/store/sql.go", "1 internal/store/store.go"]
    );
    assert_eq!(main["external"], json!(["fmt"]));
    let outside = json!(["database/sql", "github.com/x/y"]);
    assert_eq!(main["transitive_external"], outside);
    assert_eq!(
        indexed.impact("internal/store/sql.go"),
        [
            "1 cmd/tool/main.go",
            "1 internal/store/store.go",
            "1 internal/store/store_test.go test",
            "1 main.go",
        ]
    );
    let tests = indexed.json("impact", "internal/store/sql.go", &["--tests"]);
    assert_eq!(lines(&tests), ["1 internal/store/store_test.go test"]);
}
