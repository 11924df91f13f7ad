#!/usr/bin/env bash
# Installs what building and testing rendis needs and this machine has not, by the system's package manager: a Redis or
# Valkey server and a C compiler; and, but for `setup.sh demo`, redis-cli and redis-benchmark, Python and Node.js for the
# tests with clients of other languages, and by rustup rustfmt and clippy. Asks nothing; done at once when all is there.
# Rust is yours to install.
set -euo pipefail

case "${1-}" in
"") tests=yes ;;
demo) tests=no ;;
*)
    echo "usage: scripts/setup.sh [demo]" >&2
    exit 2
    ;;
esac

have() { command -v "$1" >/dev/null 2>&1; }

say() { printf 'setup: %s\n' "$*"; }

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# Runs a command as root: as we are, or by sudo where that asks no password.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        fail "this needs root, and there is no sudo without a password; please run as root: $*"
    fi
}

apt_updated=no
apt_install() {
    if as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null; then
        return 0
    fi
    # A machine that is new knows no packages yet, and one that is old knows those of yesterday.
    [ "$apt_updated" = no ] || return 1
    apt_updated=yes
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

# Installs the first of the packages that there is.
install_one_of() {
    local package
    for package in "$@"; do
        say "installing $package"
        if have apt-get; then
            apt_install "$package" && return 0
        elif have dnf; then
            as_root dnf install -q -y "$package" && return 0
        elif have apk; then
            as_root apk add -q "$package" && return 0
        elif have pacman; then
            as_root pacman -S --noconfirm --needed --quiet "$package" && return 0
        elif have brew; then
            brew install --quiet "$package" && return 0
        else
            fail "no package manager that this script knows; please install one of: $*"
        fi
    done
    fail "none of these packages could be installed: $*"
}

have_server() { have redis-server || have valkey-server; }
have_compiler() { have cc || have gcc || have clang; }

if ! have_server; then
    if have apt-get; then
        install_one_of redis-server valkey-server
    else
        install_one_of valkey redis
    fi
    have_server || fail "the package is installed, but neither redis-server nor valkey-server is in PATH"
fi

# The TLS library has parts in C.
if ! have_compiler; then
    if have apt-get; then
        apt_install libc6-dev
    elif have apk; then
        as_root apk add -q musl-dev
    fi
    install_one_of gcc
fi

if [ "$tests" = yes ]; then
    { have redis-cli && have redis-benchmark; } || install_one_of redis-tools redis valkey
    have python3 || install_one_of python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_one_of python3-venv python3-pip
    have node || install_one_of nodejs node
    have npm || install_one_of npm
fi

# Where Rust was installed a moment ago, this shell does not know it yet.
if ! have cargo && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    fail "cargo is installed but not in PATH; please run: export PATH=\"${CARGO_HOME:-$HOME/.cargo}/bin:\$PATH\""
fi
have cargo || fail "Rust is missing: please install Rust 1.88 or newer with rustup (see the Rust project's pages), or with the system's package manager"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
found=$(cargo --version | sed 's/^cargo \([0-9.]*\).*/\1/')
if [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
    fail "Rust $found is too old, rendis needs $wanted: please run: rustup update stable"
fi

parts=
[ "$tests" = no ] || parts="fmt clippy"
for part in $parts; do
    cargo "$part" --version >/dev/null 2>&1 && continue
    have rustup || fail "cargo $part is missing: please install it with the package manager that Rust came with"
    component=$part
    [ "$part" = fmt ] && component=rustfmt
    say "installing $component"
    rustup -q component add "$component"
done

if have redis-server; then
    server=$(redis-server --version)
else
    server=$(valkey-server --version)
fi
say "ready: cargo $found; $server"
