# Shortcuts for people; `.ci/run` is what counts.

# List the shortcuts.
default:
    @just --list

# The whole gate. Writes nothing but target/.
check:
    .ci/run

# All tests, or those whose name contains a word.
test *words:
    cargo test --workspace --locked {{ words }}

# The only one that changes files.
fix:
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
    cargo fmt --all

# Plants one bug after the other, all or those named, and fails where no test notices.
planted *bugs:
    .ci/planted {{ bugs }}

# The binary as it is released, with what belongs to it, in target/dist.
release:
    .ci/release

# Follows docs/operations.md word by word.
operations:
    cargo build
    .ci/operations

# A flash sale in a cluster of its own, with a leader that is killed.
sale *flags="--stock 1 --buyers 50000 --connections 256 --kill-leader-after 200ms":
    cargo run --release -- sale {{ flags }}

# Load on a cluster of its own, measured, and its books checked.
bench workload="hot" *flags="":
    cargo run --release -- bench {{ workload }} {{ flags }}

# Lets libFuzzer look for an input on which a target fails: a package, the test's name, for how long.
fuzz package target time="60s":
    cargo bolero test -p {{ package }} --rustc-bootstrap --sanitizer NONE --time {{ time }} {{ target }}
