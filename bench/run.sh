#!/bin/sh
# Holdfast, etcd and redis-server side by side: three nodes, three nodes, and
# one server that syncs every write, on one machine and one file system, one
# after the other. Clients talk to the leader. Prints one table.
#   HF_BENCH_N=N   requests of a row with 64 connections (100000)
set -eu
. "$HF_ROOT/scripts/lib.sh"

"$HF_ROOT/scripts/deps.sh" --bench
n=${HF_BENCH_N:-100000}
one=$((n / 20))
work=$HF_ROOT/build/bench.data
rm -rf "$work"
mkdir -p "$work"
CL_DIR=$work/holdfast
CL_PORT=7479
. "$HF_ROOT/scripts/cluster.sh"

redis_port=7579
etcd_port=7679
redis_pid=
etcd_pids=
stop_all() {
    cluster_down
    # shellcheck disable=SC2086  # a list of pids
    [ -z "$redis_pid$etcd_pids" ] ||
        kill $redis_pid $etcd_pids 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap stop_all EXIT
trap 'exit 1' HUP INT TERM

# resp_row NAME set|get CONNECTIONS REQUESTS PORT
resp_row() {
    redis-benchmark -p "$5" -t "$2" -n "$4" -c "$3" -d 128 -r 100000 --csv \
        2>"$work/err" | tail -n 1 | tr -d '"' >"$work/row"
    [ ! -s "$work/err" ] || die "$1: $(head -n 1 "$work/err")"
    awk -F , -v name="$1" -v what="$2" -v c="$3" '{ printf \
        "%-10s %-4s %4d %10.0f %10.3f %10.3f\n", name, what, c, $2, $5, $7 }' \
        "$work/row"
}

# etcd_row put|get set|get CONNECTIONS REQUESTS PORT
etcd_row() {
    "$HF_ROOT/build/etcd_load" "$1" "$3" "$4" 100000 128 "$5" >"$work/row" ||
        die "etcd"
    awk -v what="$2" -v c="$3" '{ printf \
        "%-10s %-4s %4d %10.0f %10.3f %10.3f\n", "etcd", what, c, $1, $2, $3 }' \
        "$work/row"
}

rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

# memory_row NAME PORT PID: what the process grows by for each key of 16 bytes
# with a value of 100.
memory_row() {
    redis-cli -p "$2" FLUSHALL >/dev/null
    keys_before=$(redis-cli -p "$2" DBSIZE)
    before=$(rss_kb "$3")
    redis-benchmark -p "$2" -t set -n $((n * 20)) -c 64 -P 16 -d 100 \
        -r $((n * 10)) -q >/dev/null 2>"$work/err" || true
    [ ! -s "$work/err" ] || die "$1: $(head -n 1 "$work/err")"
    keys=$(($(redis-cli -p "$2" DBSIZE) - keys_before))
    printf '%-10s %d keys, %d bytes of memory each\n' "$1" "$keys" \
        $((($(rss_kb "$3") - before) * 1024 / keys)) >>"$work/memory"
}

bench_holdfast() {
    cluster_up 3 >"$work/up.log" 2>&1 || {
        cat "$work/up.log" >&2
        die "holdfast did not start"
    }
    leader=$(cluster_wait_leader 20) || die "holdfast has no leader"
    port=$(node_port "$leader")
    resp_row holdfast set 64 "$n" "$port"
    resp_row holdfast get 64 "$n" "$port"
    resp_row holdfast set 1 "$one" "$port"
    cluster_wipe # an own start, so that no memory is used already
    cluster_up 3 >"$work/up.log" 2>&1 || die "holdfast did not start again"
    leader=$(cluster_wait_leader 20) || die "holdfast has no leader"
    memory_row holdfast "$(node_port "$leader")" "$(node_pid "$leader")"
    cluster_down
}

# redis_start WORDS...
redis_start() {
    mkdir -p "$work/redis"
    redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$work/redis" \
        --save '' "$@" >"$work/redis.log" 2>&1 &
    redis_pid=$!
    tries=100
    until redis-cli -p "$redis_port" PING >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "redis-server did not start"
        sleep 0.1
    done
}

redis_stop() {
    kill "$redis_pid"
    wait "$redis_pid" 2>/dev/null || true
    redis_pid=
}

bench_redis() {
    redis_start --appendonly yes --appendfsync always
    resp_row redis set 64 "$n" "$redis_port"
    resp_row redis get 64 "$n" "$redis_port"
    resp_row redis set 1 "$one" "$redis_port"
    redis_stop
    redis_start --appendonly no
    memory_row redis "$redis_port" "$redis_pid"
    redis_stop
}

etcd_client() { echo "http://127.0.0.1:$((etcd_port + $1))"; }
etcd_peer() { echo "http://127.0.0.1:$((etcd_port + 10 + $1))"; }

bench_etcd() {
    all=e1=$(etcd_peer 1),e2=$(etcd_peer 2),e3=$(etcd_peer 3)
    for i in 1 2 3; do
        etcd --name "e$i" --data-dir "$work/etcd$i" \
            --listen-client-urls "$(etcd_client $i)" \
            --advertise-client-urls "$(etcd_client $i)" \
            --listen-peer-urls "$(etcd_peer $i)" \
            --initial-advertise-peer-urls "$(etcd_peer $i)" \
            --initial-cluster "$all" >"$work/etcd$i.log" 2>&1 &
        etcd_pids="$etcd_pids $!"
    done
    tries=100
    until ETCDCTL_API=3 etcdctl endpoint status --endpoints \
        "$(etcd_client 1),$(etcd_client 2),$(etcd_client 3)" \
        >"$work/etcd.status" 2>/dev/null &&
        grep -q ', true,' "$work/etcd.status"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "etcd did not start"
        sleep 0.2
    done
    port=$(grep ', true,' "$work/etcd.status" | head -n 1 |
        sed 's/^[^,]*:\([0-9]*\),.*/\1/')
    etcd_row put set 64 $((n / 2)) "$port"
    etcd_row get get 64 $((n / 2)) "$port"
    etcd_row put set 1 "$one" "$port"
    # shellcheck disable=SC2086
    kill $etcd_pids
    # shellcheck disable=SC2086
    wait $etcd_pids 2>/dev/null || true
    etcd_pids=
}

say "$(nproc) processors, $(stat -f -c %T "$work"), values of 128 bytes"
printf '%-10s %-4s %4s %10s %10s %10s\n' \
    store what conn requests/s p50_ms p99_ms
for store in holdfast etcd redis; do
    "bench_$store"
done
cat "$work/memory"
