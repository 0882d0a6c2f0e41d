#!/bin/sh
# A pipeline of 200 reads of a value of 4 MiB: the client gets all of them,
# and the node that answers never holds more than a few of them in memory.
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

limit_kib=400000
cluster_up 3 >/dev/null || die "the cluster did not form"
port=$(node_port 2)
head -c 4194304 /dev/zero | tr '\0' x |
    redis-cli -p "$port" -x SET large >/dev/null
redis-cli -p "$port" SET small x >/dev/null

# Small ones first: they make the connection take many at a time.
{
    yes "$(printf 'GET small\r')" | head -n 3000
    yes "$(printf 'GET large\r')" | head -n 200
} >"$CL_DIR/commands"
redis-cli -p "$port" --pipe <"$CL_DIR/commands" >"$CL_DIR/pipe.out" 2>&1 ||
    die "the pipeline broke: $(cat "$CL_DIR/pipe.out")"
grep -q 'errors: 0, replies: 3200' "$CL_DIR/pipe.out" ||
    die "replies: $(cat "$CL_DIR/pipe.out")"
peak=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' \
    "/proc/$(node_pid 2)/status")
echo "200 replies of 4 MiB; peak memory of the node: $peak KiB"
[ "$peak" -lt "$limit_kib" ] || die "more than $limit_kib KiB"
