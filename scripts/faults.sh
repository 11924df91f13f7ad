#!/usr/bin/env bash
# What callers notice while real servers fail under load: one of three redis-servers is killed, frozen, restarted, given a
# password, filled, kept busy and cut off, for the library and for the proxy. About six minutes; leave the machine alone
# meanwhile. Ends by itself, bounded in time, and leaves nothing running.
#
#   scripts/faults.sh                  every fault; status 1 when a promise was not kept
#   scripts/faults.sh --write          also writes docs/faults.md
#   scripts/faults.sh proxy cutoff     only those whose names hold these words: library or proxy, killed, restarted, frozen,
#                                      cutoff, password, full, script, silentscript, idle or load
#
# Packets are dropped in network namespaces that exist for this program alone and vanish with it. Where the machine allows
# none (that takes root and the package iproute2), that fault is left out, and the output says so.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1:-}" in
    -h | --help)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
        exit
        ;;
esac

scripts/setup.sh
cargo build --release --quiet --package rendis-faults --package rendis-cli
exec scripts/private-network.sh 1200 "${CARGO_TARGET_DIR:-$PWD/target}/release/rendis-faults" trials "$@"
