#!/bin/sh
# ./dev bench: Holdfast beside etcd and redis-server on one machine and one
# file system: our three nodes, three of etcd, one redis-server that syncs
# every write, the same without persistence, and the floors of disk and
# loopback (bench/floor.c).
#
#   ./dev bench [ROW|GROUP...] [--rounds N] [--quick] [--write]
#   ./dev bench --list      the rows and their groups
#   ./dev bench --report    the tables of what was measured before
#
# Without words the groups "main" and "open" run. The rows of a group take
# turns: every row once with all its peers, then the next round, five of them;
# a figure is the median, beside the smallest and the largest. Loads are public tools where they can
# do it: redis-benchmark, h2load, kv bench; bench/etcd_load.c says why it is.
#   --rounds N  rounds (5)
#   --quick     short runs of few keys, two rounds: does it all work?
#   --write     what was measured goes to docs/BENCHMARKS.md, docs/bench-*.svg
# Rows: build/bench/rows/ROW. A row that runs again replaces what it found
# before; the report has all rows there are, each with its day and commit.
# Results: build/bench/result.md, result.json, bench-*.svg.
#   HF_BENCH_PORT=N   first port (22100; 60 from there, and those 100 to
#                     213, 1000 to 1060 and 10000 to 10060 above)
#   HF_BENCH_DIR=DIR  where data go (build/bench/data): the disk that counts
#   HF_BENCH_SECONDS, HF_BENCH_KEYS, HF_BENCH_LARGE: of a run (4), keys
#                     (100000), keys of the largest cluster (10000000)
set -eu
. "$(dirname "$0")/lib.sh"
. "$HF_ROOT/scripts/cluster.sh"
build=$HF_ROOT/build
out=$build/bench
rows=$out/rows
work=${HF_BENCH_DIR:-$out/data}
base_port=${HF_BENCH_PORT:-22100}
. "$HF_ROOT/bench/lib.sh"
. "$HF_ROOT/bench/rows/closed.sh"
. "$HF_ROOT/bench/rows/open.sh"
. "$HF_ROOT/bench/rows/growth.sh"

list() {
    cat <<'LIST'
floor      main    disk, loopback, and what a majority write or read needs
set64      main    SET 128 B, 64 connections
set64p16   main    ... with 16 requests in flight on each
get64      main    linearizable GET, 64 connections
get64p16   main    ... with 16 requests in flight on each
set64x4k   main    SET 4 KiB, 64 connections
get64x4k   main    GET 4 KiB, 64 connections
set1       main    SET, one connection, beside the floor
get1       main    linearizable GET, one connection, beside the floor
stale      main    GET: linearizable on the leader, stale on a follower
conns      main    1 to 5,000 connections
open       open    open loop at half of the peak, with and without snapshots
h2load     tools   etcd by h2load and by etcd_load: do they agree?
load       load    throughput and latency over offered load
values     more    values from 16 B to 1 MiB
catchup    more    writes while a follower catches up
memory     growth  memory per key at three sizes, beside redis-server
growth     growth  throughput at three sizes
start      growth  start of one node and of all three, at three sizes
growsnap   growth  writes while snapshots are taken, at three sizes
age        age     after a day's worth of log
LIST
}

usage() {
    echo "usage: ./dev bench [ROW|GROUP...] [--rounds N] [--quick] [--write]" \
        "| --list | --report" >&2
    exit 2
}

rounds=
quick=
write=
report_only=
wanted=
while [ $# -gt 0 ]; do
    case $1 in
        --rounds)
            [ $# -ge 2 ] || usage
            rounds=$2
            shift
            ;;
        --quick) quick=yes ;;
        --write) write=yes ;;
        --report) report_only=yes ;;
        --list)
            list
            exit 0
            ;;
        -*) usage ;;
        all) wanted="$wanted $(list | awk '{ print $1 }' | tr '\n' ' ')" ;;
        *)
            found=$(list | awk -v w="$1" '$1 == w || $2 == w { print $1 }')
            [ -n "$found" ] || die "no row or group $1; see ./dev bench --list"
            wanted="$wanted $found"
            ;;
    esac
    shift
done
[ -n "$wanted" ] ||
    wanted=$(list | awk '$2 == "main" || $2 == "open" { print $1 }')
# Each once, in the order of the list.
wanted=$(list | awk -v w="$(echo $wanted)" 'BEGIN { n = split(w, a, " ")
    for (i = 1; i <= n; i++) want[a[i]] = 1 } $1 in want { print $1 }')

seconds=${HF_BENCH_SECONDS:-4}
keys=${HF_BENCH_KEYS:-100000}
rounds=${rounds:-5}
first_n=20000
floor_n=5000
open_keys=1000000
open_seconds=15
load_percents='10 25 50 75 100 150 200 300 400 600'
value_bytes=268435456
value_n=20000
catchup_n=2000000
catchup_probe=100000
small_keys=10000
middle_keys=1000000
large_keys=${HF_BENCH_LARGE:-10000000}
snap_seconds=20
snap_seconds_large=90
age_n=86400000
age_probe=100000
if [ -n "$quick" ]; then
    seconds=${HF_BENCH_SECONDS:-1}
    keys=${HF_BENCH_KEYS:-10000}
    [ "$rounds" -lt 5 ] || rounds=2
    first_n=2000
    floor_n=500
    open_keys=20000
    open_seconds=2
    load_percents='25 100 400'
    value_bytes=16777216
    value_n=2000
    catchup_n=50000
    catchup_probe=10000
    small_keys=1000
    middle_keys=10000
    large_keys=${HF_BENCH_LARGE:-50000}
    snap_seconds=2
    snap_seconds_large=4
    age_n=200000
    age_probe=10000
fi
case $rounds in '' | *[!0-9]* | 0) usage ;; esac

pids=
clusters=
report() {
    "$HF_ROOT/bench/report.sh" "$out" ${write:+--write}
}

# What the row says of itself, before its values.
row_begin() {
    rm -f "$rows/$row.dist"
    {
        echo "# date $(date -u +%Y-%m-%dT%H:%MZ)"
        echo "# commit $(commit_name)"
        echo "# rounds $rounds${quick:+, quick}"
        echo "# load $(cut -d ' ' -f 1 /proc/loadavg)"
    } >"$rows/$row"
}

# All peers, with all keys.
main_up() {
    redis_start always
    redis_start memory
    etcd_start
    holdfast_start main
    for p in "$lead" "$(redis_port always)" "$(redis_port memory)"; do
        fill "$p" "$keys" 128
    done
    "$build/etcd_load" put 64 "$keys" "$keys" 128 "$etcd_lead" 16 >/dev/null
}

# The rows of a group take turns; its peers are its own.
group_run() {
    group_rows=
    for row in $wanted; do
        group_rows="$group_rows $(list |
            awk -v r="$row" -v g="$1" '$1 == r && $2 == g { print r }')"
    done
    [ -n "$(echo $group_rows)" ] || return 0
    say "$1: starting"
    rm -rf "$work"
    mkdir -p "$work" "$rows"
    [ "$1" = growth ] || main_up
    for round in $(seq "$rounds"); do
        for row in $group_rows; do
            say "$1: round $round of $rounds: $row"
            [ "$round" != 1 ] || row_begin
            row_keys=$keys
            row_seconds=$seconds
            if [ "$1" != growth ]; then
                # Who leads may have changed.
                cluster_use main
                holdfast_find
                etcd_find || die "etcd has no leader"
            fi
            "row_$row"
            keys=$row_keys
            seconds=$row_seconds
        done
    done
    peers_stop
}

if [ -z "$report_only" ]; then
    "$HF_ROOT/scripts/deps.sh" --bench
    [ -x "$build/holdfastd" ] || "$HF_ROOT/scripts/build.sh"
    mkdir -p "$rows"
    trap peers_stop EXIT
    trap 'exit 1' HUP INT TERM
    # Sockets of 5,000 clients, on both sides.
    # shellcheck disable=SC3045  # dash and bash have it
    ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

    for group in $(list | awk '{ print $2 }' | uniq); do
        group_run "$group"
    done
fi
report
