#!/usr/bin/env bash
# Clients of other languages meet a ring of three servers: redis-py, ioredis, node-redis, go-redis, redis-cli and
# redis-benchmark, each by its own public interface. Ends by itself, and leaves nothing running.
#
# Called by scripts/test.sh; Python and Node.js are installed by scripts/setup.sh. go-redis is left out where there is no Go.
#
#   scripts/clients.sh                what is missing of the clients is installed first, in pinned versions, into a
#                                     directory below target/ that can be thrown away
#   scripts/clients.sh NAME…          only these: redis_py, ioredis, node_redis, go_redis, redis_cli
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

redis_py=8.1.0
ioredis=6.0.0
node_redis=6.3.1

target=${CARGO_TARGET_DIR:-$PWD/target}
installed=$target/clients

fail() {
    printf 'clients: %s\n' "$*" >&2
    exit 1
}

need() { command -v "$1" >/dev/null 2>&1 || fail "$1 is missing, which the test of $2 needs; please install $3"; }

# The program of a client's test, ready to run, in `program`.
prepare() {
    case "$1" in
        redis_py)
            need python3 redis-py "Python 3 with venv and pip"
            local python=$installed/python-$redis_py
            if [ ! -e "$python/ready" ]; then
                rm -rf "$python"
                python3 -m venv "$python" || fail "python3 has no venv; please install it (python3-venv)"
                "$python/bin/pip" install -q --disable-pip-version-check "redis==$redis_py"
                touch "$python/ready"
            fi
            program=("$python/bin/python3" tests/clients/redis_py.py)
            ;;
        ioredis | node_redis)
            need node "$1" "Node.js 20 or newer"
            need npm "$1" "npm"
            [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] ||
                fail "node $(node --version) is too old for the test of $1; please install Node.js 20 or newer"
            local node=$installed/node-$ioredis-$node_redis
            if [ ! -e "$node/ready" ]; then
                rm -rf "$node"
                mkdir -p "$node"
                npm install --silent --no-audit --no-fund --no-package-lock --prefix "$node" \
                    "ioredis@$ioredis" "redis@$node_redis"
                touch "$node/ready"
            fi
            program=(env "NODE_PATH=$node/node_modules" node "tests/clients/$1.cjs")
            ;;
        go_redis)
            need go go-redis "Go 1.26 or newer"
            (cd tests/clients/go_redis && go build -o "$installed/go-redis" .)
            program=("$installed/go-redis")
            ;;
        redis_cli)
            need redis-cli "redis-cli" "the tools of Redis (redis-tools)"
            need redis-benchmark "redis-benchmark" "the tools of Redis (redis-tools)"
            program=(bash tests/clients/redis_cli.sh)
            ;;
        *) fail "no client $1; there are redis_py, ioredis, node_redis, go_redis, redis_cli" ;;
    esac
}

if [ $# -eq 0 ]; then
    set -- redis_py ioredis node_redis redis_cli
    if command -v go >/dev/null 2>&1; then
        set -- "$@" go_redis
    else
        printf 'left out go_redis: Go is not installed\n'
    fi
fi

need cargo "every client" "Rust with rustup"
cargo build --quiet --package rendis-proxy --example stage
failed=0
for client in "$@"; do
    prepare "$client"
    begun=$SECONDS
    if timeout 120 "$target/debug/examples/stage" "${program[@]}"; then
        printf 'ok       %s (%s s)\n' "$client" $((SECONDS - begun))
    else
        printf 'FAILED   %s (%s s)\n' "$client" $((SECONDS - begun))
        failed=1
    fi
done
exit "$failed"
