#!/usr/bin/env bash
# Every check of rendis, the same for a person and for CI. Goes on after a step that fails, sums up at the end, and
# ends with status 1 if one did.
#
#   scripts/test.sh          what is installed is used; what is not is named in the summary
#   scripts/test.sh --full   first installs cargo-deny, cargo-machete and cargo-fuzz (takes minutes), fuzzes longer
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

full=no
case "${1:-}" in
    "") ;;
    --full) full=yes ;;
    *)
        printf 'usage: scripts/test.sh [--full]\n' >&2
        exit 2
        ;;
esac

scripts/setup.sh

have() { command -v "$1" >/dev/null 2>&1; }

# A step that hangs must not take the day with it. The limit is generous for a machine with two cores.
limited() {
    if have timeout; then
        timeout --foreground 1200 "$@"
    else
        "$@"
    fi
}

summary=()
failed=0

step() {
    local name=$1 begun=$SECONDS
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    if limited "$@"; then
        summary+=("ok       $name ($((SECONDS - begun)) s)")
    else
        summary+=("FAILED   $name ($((SECONDS - begun)) s)")
        failed=1
    fi
}

left_out() {
    printf '\n== %s: left out, %s\n' "$1" "$2"
    summary+=("left out $1: $2")
}

if [ "$full" = yes ]; then
    for tool in cargo-deny cargo-machete cargo-fuzz; do
        have "$tool" || step "install $tool" cargo install --locked --quiet "$tool"
    done
fi

step "format" cargo fmt --all --check
step "format of the benchmarks" cargo fmt --manifest-path bench/Cargo.toml --check
step "format of the fuzz targets" cargo fmt --manifest-path fuzz/Cargo.toml --check
step "clippy" cargo clippy --workspace --all-targets --all-features -- -D warnings
# No part of the workspace; in its target directory, so that what both depend on is there already.
step "clippy of the benchmarks" cargo clippy --manifest-path bench/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}" \
    --locked --all-targets -- -D warnings
step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --quiet
step "tests" cargo test --workspace --all-features --no-fail-fast --lib --bins --tests --examples
step "clients of other languages" scripts/clients.sh
step "documentation's examples" cargo test --workspace --all-features --no-fail-fast --doc

if ! have cargo-fuzz; then
    left_out "fuzzing" "cargo-fuzz is not installed; the property tests above stand in for it"
elif ! have c++; then
    left_out "fuzzing" "libFuzzer needs a C++ compiler; the property tests above stand in for it"
else
    seconds=5
    [ "$full" = yes ] && seconds=60
    for target in $(scripts/fuzz.sh); do
        step "fuzzing $target" scripts/fuzz.sh "$target" "$seconds"
    done
fi

if have cargo-deny; then
    step "licences and sources" cargo deny --all-features check bans licenses sources
    if cargo deny fetch db >/dev/null 2>&1; then
        step "advisories" cargo deny --all-features check advisories
    else
        left_out "advisories" "the database cannot be reached"
    fi
else
    left_out "licences, sources, advisories" "cargo-deny is not installed"
fi

if have cargo-machete; then
    step "unused dependencies" cargo machete
else
    left_out "unused dependencies" "cargo-machete is not installed"
fi

if have shellcheck; then
    step "shell scripts" shellcheck scripts/*.sh .ci/run
else
    left_out "shell scripts" "shellcheck is not installed"
fi

printf '\n== summary\n'
printf '%s\n' "${summary[@]}"
if [ "$failed" -eq 0 ]; then
    printf 'all checks passed in %s s\n' "$SECONDS"
else
    printf 'some checks FAILED\n'
fi
exit "$failed"
