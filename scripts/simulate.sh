#!/usr/bin/env bash
# The engine under random faults on virtual time, many seeds of it, in an optimised build. Ends with status 1 when a seed
# breaks a promise; the seeds that did are printed, and each is run again by
# RENDIS_SEED=n cargo test -p rendis-engine --test simulation every -- --nocapture
#
#   scripts/simulate.sh             ten thousand seeds, other ones each time
#   scripts/simulate.sh 500         so many
#   scripts/simulate.sh 500 7000    so many, from this one on
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

count=${1:-10000}
from=${2:-$((RANDOM * 32768 + RANDOM))}
case "$count$from" in
    *[!0-9]*)
        printf 'usage: scripts/simulate.sh [COUNT [FROM]]\n' >&2
        exit 2
        ;;
esac

export RENDIS_SEEDS="$from..$((from + count))"
printf 'seeds %s\n' "$RENDIS_SEEDS"
exec cargo test --release --quiet -p rendis-engine --test simulation every -- --nocapture
