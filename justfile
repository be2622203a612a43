# Shorthands for commands that work without just as well.

# Lists the recipes.
default:
    @just --list

# Runs the main job end to end: two workers, a real repository, no set-up.
demo *ARGS:
    cargo run --release --bin worker -- demo {{ARGS}}

# Runs all tests.
test *ARGS:
    cargo test --workspace {{ARGS}}

# Injects random faults into real programs for as long as told, and judges the history.
chaos *ARGS:
    cargo run --package leasectl-tests --bin leasectl-faults -- {{ARGS}}

# Explores the model of the lease protocol; `just model long` takes minutes and gigabytes.
model *ARGS:
    cargo run --release --package leasectl-model --example explore -- {{ARGS}}

# Runs what CI runs.
ci:
    .ci/run

# Formats the code.
fmt:
    cargo fmt --all

# Checks format and lints.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Builds the documentation of the code.
doc:
    cargo doc --workspace --no-deps

# Runs benchmarks; without arguments, says which there are.
bench *ARGS="--help":
    cargo run --release --package leasectl-bench -- {{ARGS}}
