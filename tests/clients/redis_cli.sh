#!/usr/bin/env bash
# redis-cli and redis-benchmark as people use them.
set -euo pipefail

cli() { timeout 30 redis-cli -h "$RENDIS_HOST" -p "$RENDIS_PORT" "$@"; }

fail() {
    printf 'redis-cli: %s\n' "$*" >&2
    exit 1
}

# is WANTED COMMAND…: what redis-cli prints for it.
is() {
    local wanted=$1 got
    shift
    got=$(cli "$@" 2>&1) || true
    [ "$got" = "$wanted" ] || fail "$*: printed '$got', wanted '$wanted'"
}

for protocol in -2 -3; do
    is OK "$protocol" flushall
    is PONG "$protocol" ping
    is OK "$protocol" set string "two words"
    is "two words" "$protocol" get string
    is "" "$protocol" get none
    is 2 "$protocol" hset hash a 1 b 2
    is OK "$protocol" mset a 1 b 2 c 3 d 4 e 5
    is $'5\n4\n3\n2\n1' "$protocol" mget e d c b a
    is 5 "$protocol" del a b c d e
    is 7 "$protocol" eval 'return redis.call("INCRBY", KEYS[1], ARGV[1])' 1 number 7
    is 1 "$protocol" del number
done

# Transactions and a blocking pop, as they are typed.
typed=$(printf 'MULTI\nINCR n\nINCR n\nEXEC\nBLPOP none 0.01\nMULTI\nSET n x\nDISCARD\nGET n\n' | cli)
[ "$typed" = $'OK\nQUEUED\nQUEUED\n1\n2\n\nOK\nQUEUED\nOK\n2' ] || fail "typed: '$typed'"

# Many at once.
for number in $(seq 1 1000); do printf 'SET mass:%d %d\n' "$number" "$number"; done | cli --pipe | grep -q 'errors: 0, replies: 1000' ||
    fail "--pipe"
[ "$(cli --scan --pattern 'mass:*' | sort -u | wc -l)" = 1000 ] || fail "--scan does not find all keys"
[ "$(cli --scan | sort | uniq -d | wc -l)" = 0 ] || fail "--scan finds keys twice"
cli --bigkeys >/dev/null || fail "--bigkeys"
cli info server | grep -q '^redis_version:' || fail "info"
# Keys, memory, clients, blocked clients, requests, connections.
shown=$({ cli -i 0.01 --stat || true; } | sed -n 3p\;3q)
[[ $shown =~ ^[0-9]+\ +[0-9.]+M\ +[0-9]+\ +0\ +[0-9]+\ \(\+[0-9]+\)\ +[0-9]+ ]] || fail "--stat: '$shown'"
is 1000 --eval /dev/stdin mass:1000 <<<"return redis.call('GET', KEYS[1])"

# Messages: one is published until it has been heard.
heard=$(mktemp)
trap 'rm -f "$heard"' EXIT
# Not by `cli`: what is killed must be the client, not a shell around it.
timeout 30 redis-cli -h "$RENDIS_HOST" -p "$RENDIS_PORT" subscribe news other >"$heard" &
listening=$!
deadline=$((SECONDS + 20))
until grep -q hello "$heard"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "no message came"
    cli publish news hello >/dev/null
done
kill "$listening" 2>/dev/null || true
wait "$listening" 2>/dev/null || true

# redis-benchmark begins with CONFIG GET and stops at the first error of its tests.
for more in "-P 1" "-P 32" "-P 16 --threads 2"; do
    # shellcheck disable=SC2086
    timeout 60 redis-benchmark -h "$RENDIS_HOST" -p "$RENDIS_PORT" -n 5000 -c 20 -r 1000 -q $more \
        -t ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset >"$heard" 2>&1 ||
        fail "redis-benchmark $more: $(cat "$heard")"
    if grep -qi 'error' "$heard"; then fail "redis-benchmark $more: $(cat "$heard")"; fi
done

# A shard that is killed.
kill -9 "$RENDIS_SHARD"
deadline=$((SECONDS + 20))
until [ "$(for number in $(seq 1 50); do printf 'SET after:%d x\n' "$number"; done | cli | grep -c '^OK$')" = 50 ]; do
    [ "$SECONDS" -lt "$deadline" ] || fail "keys are not served after a shard was killed"
done
