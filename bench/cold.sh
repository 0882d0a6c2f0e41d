#!/bin/sh
# How long after the start of all three nodes, all killed before, does each
# answer a GET of a random key rightly? One million keys of 16 bytes with
# values of 100. First as the load left it, then with nothing in the log but
# what a snapshot does not cover.
#   HF_COLD_KEYS=N   keys (1000000)
#   HF_COLD_RUNS=N   starts of each kind (3)
set -eu
HF_ROOT=${HF_ROOT:-$(cd "$(dirname "$0")/.." && pwd)}
export HF_ROOT
. "$HF_ROOT/scripts/lib.sh"

keys=${HF_COLD_KEYS:-1000000}
runs=${HF_COLD_RUNS:-3}
work=$HF_ROOT/build/cold.data
rm -rf "$work"
mkdir -p "$work"
CL_DIR=$work/nodes
CL_PORT=${HF_COLD_PORT:-21379}
. "$HF_ROOT/scripts/cluster.sh"
load=$HF_ROOT/build/resp_load

stop_all() {
    for i in 1 2 3; do
        node_kill "$i" || true
    done
    rm -rf "$work"
}
trap stop_all EXIT
trap 'exit 1' HUP INT TERM

# start_all NAME: kill, start together, print what each node took.
start_all() {
    for i in 1 2 3; do
        node_kill "$i"
    done
    began=$(date +%s%6N)
    for i in 1 2 3; do
        node_start "$i" &
    done
    wait
    for i in 1 2 3; do
        "$load" first "$(node_port "$i")" "$keys" 100 "$began" >"$work/t$i" &
    done
    wait
    printf '%-10s %6s %6s %6s ms\n' "$1" "$(cat "$work/t1")" \
        "$(cat "$work/t2")" "$(cat "$work/t3")"
}

# all_starts NAME
all_starts() {
    for _ in $(seq "$runs"); do
        start_all "$1"
    done
}

# The log alone: no snapshot until the floor, which is out of reach here.
CL_FLAGS='--snapshot-floor 4g'
cluster_up 3 >"$work/up.log" 2>&1 || die "the cluster did not form"
leader=$(cluster_wait_leader 20) || die "no leader"
"$load" fill "$(node_port "$leader")" "$keys" 100 >"$work/fill"
printf '%-10s %6s %6s %6s\n' data node1 node2 node3
all_starts log

# A small floor: each node takes a snapshot as soon as it runs.
CL_FLAGS='--snapshot-floor 16m'
start_all restart >/dev/null
tries=600
until [ "$(grep -l 'snapshot at [0-9]*: ' "$CL_DIR"/n?.log | wc -l)" = 3 ]; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || die "no snapshot was taken"
    sleep 0.1
    "$load" write "$(node_port 1)" "$keys" 100 1000 1 16 >/dev/null
done
all_starts snapshot
