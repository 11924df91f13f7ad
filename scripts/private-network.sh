#!/usr/bin/env bash
# Runs a program for at most SECONDS with a network of its own, if the machine allows that: namespaces for network and
# mounts that vanish with the program, however it ends. It learns by RENDIS_FAULTS_PRIVATE_NETWORK that it has one.
#
#   scripts/private-network.sh SECONDS PROGRAM [ARGUMENT…]
set -euo pipefail

# ip keeps the names of namespaces in /run, which becomes the program's own too.
inside='ip link set lo up && mount -t tmpfs none /run && export RENDIS_FAULTS_PRIVATE_NETWORK=1 && exec "$@"'

limit=(timeout --kill-after 10 "$1")
shift
if unshare --net --mount sh -c "${inside/exec \"\$@\"/exec ip netns add rendis-try}" >/dev/null 2>&1; then
    exec "${limit[@]}" unshare --net --mount sh -c "$inside" sh "$@"
fi
exec "${limit[@]}" "$@"
