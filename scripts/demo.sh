#!/usr/bin/env bash
# Shows rendis at work: local servers, one of them killed under load and brought back. Ends by itself.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh demo
echo "demo: building rendis; the first time takes a few minutes"
cargo build --release --package rendis-cli
exec cargo run --release --quiet --package rendis-cli --bin rendis -- demo "$@"
