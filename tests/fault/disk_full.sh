#!/bin/sh
# Three nodes on file systems of 300 MB: written full, they refuse writes as
# not applied, reads go on, a killed leader is replaced, nothing acknowledged
# is missing; with more room writes go on without a restart.
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

unmount() {
    for i in 1 2 3; do
        umount "$CL_DIR/n$i" 2>/dev/null || true
    done
}

for i in 1 2 3; do
    mkdir -p "$CL_DIR/n$i"
    mount -t tmpfs -o size=300m,mode=700 holdfast "$CL_DIR/n$i" 2>/dev/null || {
        unmount
        echo "no file system can be mounted here"
        exit 77
    }
done
# The end of process.sh, and the mounts.
trap 'status=$?; unmount_at_end; exit $status' EXIT
unmount_at_end() {
    (exit "$status") || true
    for i in $(cluster_nodes); do
        node_kill "$i" || true
    done
    [ "$status" = 0 ] || {
        cluster_explain
        tail -n 20 "$CL_DIR"/n*.log
    }
    unmount
    [ "$status" != 0 ] || rm -rf "$CL_DIR"
}

# Snapshots would make room again.
CL_FLAGS="--snapshot-floor 4g"
cluster_up 3 >/dev/null || die "the cluster did not form"

# sets FROM N: SETs of 64 KiB through redis-cli on stdin.
sets() {
    awk -v from="$1" -v n="$2" 'BEGIN {
        v = "x"
        while (length(v) < 65536) v = v v
        for (i = from; i < from + n; i++) { print "SET k" i " " i "." v }
    }'
}

total=0
while :; do
    sets "$total" 200 | redis-cli -p "$(node_port 2)" >"$CL_DIR/out" ||
        die "redis-cli failed"
    ok=$(grep -c '^OK$' "$CL_DIR/out" || true)
    bad=$(grep -v -e '^OK$' -e '^NOSPACE' -e '^$' "$CL_DIR/out" | head -n 1)
    [ -z "$bad" ] || die "a write on the way to the full disk: $bad"
    total=$((total + ok))
    [ "$ok" = 200 ] || break
    [ "$total" -lt 6000 ] || die "no end of room after $total writes"
done
echo "full after $total writes of 64 KiB"
grep -q '^NOSPACE' "$CL_DIR/out" || die "no NOSPACE"

# all NODE: every acknowledged write is there.
all() {
    have=$(awk -v n="$total" 'BEGIN {
        for (i = 0; i < n; i++) print "STRLEN k" i }' |
        redis-cli -p "$(node_port "$1")" | awk '$1 > 65000' | wc -l)
    [ "$have" = "$total" ] ||
        die "node $1 has $have of $total acknowledged writes"
}
all 1
all 3
case $(node_cli 1 SET never 1) in
    NOSPACE*) ;;
    *) die "a write was taken" ;;
esac

leader=$(cluster_wait_leader 20) || die "no leader"
node_kill "$leader"
other=$((leader % 3 + 1))
n=0
until [ "$(node_cli "$other" EXISTS k0)" = 1 ]; do
    n=$((n + 1))
    [ "$n" -lt 20 ] || die "no reads after the leader's end"
    sleep 0.2
done
all "$other"
node_start "$leader"

for i in 1 2 3; do
    mount -o remount,size=900m "$CL_DIR/n$i" || die "remount"
done
n=0
until [ "$(node_cli "$other" SET again 1)" = OK ]; do
    n=$((n + 1))
    [ "$n" -lt 50 ] || die "no writes though there is room"
    sleep 0.2
done
[ "$(node_cli "$other" EXISTS never)" = 0 ] || die "a refused write is there"
node_wait_ready "$leader" 30 || die "node $leader did not come back"
kv --timeout 30s status --wait >/dev/null || die "not all nodes came back"
for i in 1 2 3; do
    all "$i"
done
echo "room again: all $total writes on every node"
