#!/usr/bin/env bash
# Fuzzes a target, for a minute or as many seconds as it is told:
#
#   scripts/fuzz.sh              names the targets
#   scripts/fuzz.sh plan         runs one
#   scripts/fuzz.sh plan 600     runs it for ten minutes
#
# Begins with what is in fuzz/seeds, and keeps what it finds in fuzz/corpus. It uses the compiler of the workspace:
# RUSTC_BOOTSTRAP has a stable one take the flags of sanitizers.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

export RUSTC_BOOTSTRAP=1
if [ $# -eq 0 ]; then
    exec cargo fuzz list
fi

target=$1
options=("-max_total_time=${2:-60}")
case $target in
config) options+=(-dict=fuzz/dict/config.dict) ;;
plan | request) options+=(-dict=fuzz/dict/words.dict) ;;
# Sessions of many requests from the start.
session) options+=(-dict=fuzz/dict/words.dict -len_control=0) ;;
esac

mkdir -p "fuzz/corpus/$target"
exec cargo fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- "${options[@]}"
