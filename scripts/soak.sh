#!/usr/bin/env bash
# Random faults at full load, half of the time for the library and half for the proxy: whether an answer is wrong, whether
# one is lost, whether memory, sockets or tasks grow. Ends by itself and leaves nothing running.
#
#   scripts/soak.sh                    ten minutes; status 1 when a promise was not kept
#   scripts/soak.sh 60 --seed 7        an hour, with the faults of this seed; each run prints its own
#   scripts/soak.sh --write            also writes docs/faults.md
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

minutes=10
case "${1:-}" in
    -h | --help)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
        exit
        ;;
    [0-9]*)
        minutes=$1
        shift
        ;;
esac

scripts/setup.sh
cargo build --release --quiet --package rendis-faults --package rendis-cli
program=${CARGO_TARGET_DIR:-$PWD/target}/release/rendis-faults
exec scripts/private-network.sh $((minutes * 60 + 300)) "$program" soak --minutes "$minutes" "$@"
