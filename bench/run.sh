#!/bin/sh
# Holdfast, etcd and redis-server side by side: three nodes, three nodes, and
# one server that syncs every write, on one machine and one file system. All
# run the whole time; the rows take turns, several rounds, so that what else
# the machine does meets all alike. Clients talk to the leader. Holdfast and
# redis-server get the same client, redis-benchmark; etcd gets the same load
# from etcd_load. Prints medians and ratios; each line names its target.
#   --quick          about a minute: three short rounds
#   HF_BENCH_N=N     requests of a row with 64 connections (60000)
#   HF_BENCH_ROUNDS=N  rounds (5)
#   HF_BENCH_KEYS=N  keys of the memory row (1000000)
set -eu
. "$HF_ROOT/scripts/lib.sh"

"$HF_ROOT/scripts/deps.sh" --bench
n=${HF_BENCH_N:-60000}
rounds=${HF_BENCH_ROUNDS:-5}
keys=${HF_BENCH_KEYS:-1000000}
case ${1:-} in
    --quick)
        n=${HF_BENCH_N:-15000}
        rounds=${HF_BENCH_ROUNDS:-3}
        ;;
    '') ;;
    *)
        echo "usage: ./dev bench [--quick]" >&2
        exit 2
        ;;
esac
one=$((n / 20))
work=$HF_ROOT/build/bench.data
rm -rf "$work"
mkdir -p "$work/rows"
CL_DIR=$work/holdfast
CL_PORT=${HF_BENCH_PORT:-7479}
. "$HF_ROOT/scripts/cluster.sh"
load=$HF_ROOT/build/resp_load

redis_port=$((CL_PORT + 100))
etcd_port=$((CL_PORT + 200))
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

# ---- the three ----

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

etcd_client() { echo "http://127.0.0.1:$((etcd_port + $1))"; }
etcd_peer() { echo "http://127.0.0.1:$((etcd_port + 10 + $1))"; }

# Leaves the leader's port in $etcd_lead.
etcd_start() {
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
    etcd_lead=$(grep ', true,' "$work/etcd.status" | head -n 1 |
        sed 's/^[^,]*:\([0-9]*\),.*/\1/')
}

etcd_stop() {
    # shellcheck disable=SC2086
    kill $etcd_pids
    # shellcheck disable=SC2086
    wait $etcd_pids 2>/dev/null || true
    etcd_pids=
}

# Leaves the leader's port in $lead, the processes in $hf_pids.
holdfast_start() {
    cluster_up 3 >"$work/up.log" 2>&1 || {
        cat "$work/up.log" >&2
        die "holdfast did not start"
    }
    leader=$(cluster_wait_leader 20) || die "holdfast has no leader"
    lead=$(node_port "$leader")
    hf_pids="$(node_pid 1) $(node_pid 2) $(node_pid 3)"
}

# ---- rows: one line "REQUESTS_PER_SECOND P50_MS P99_MS CPU_US" a round;
#      CPU_US: processor time of all servers for each request ----

# cpu_us PID...: microseconds of processor time so far.
cpu_us() {
    for pid in "$@"; do
        awk -v hz="$(getconf CLK_TCK)" '{ printf "%.0f\n",
            ($14 + $15) * 1000000 / hz }' "/proc/$pid/stat"
    done | awk '{ s += $1 } END { printf "%.0f\n", s }'
}

cpu_each() { awk -v a="$1" -v b="$2" -v n="$3" 'BEGIN { print (b - a) / n }'; }

# resp_row NAME set|get CONNECTIONS REQUESTS PORT PID...
resp_row() {
    row=$1.$2.$3
    row_n=$4
    row_port=$5
    row_what=$2
    row_conns=$3
    shift 5
    cpu=$(cpu_us "$@")
    redis-benchmark -p "$row_port" -t "$row_what" -n "$row_n" \
        -c "$row_conns" -d 128 -r 100000 --csv 2>"$work/err" |
        tail -n 1 | tr -d '"' >"$work/row"
    [ ! -s "$work/err" ] || die "$row: $(head -n 1 "$work/err")"
    cpu=$(cpu_each "$cpu" "$(cpu_us "$@")" "$row_n")
    awk -F , -v cpu="$cpu" '{ print $2, $5, $7, cpu }' "$work/row" \
        >>"$work/rows/$row"
}

# etcd_row put|get set|get CONNECTIONS REQUESTS
etcd_row() {
    # shellcheck disable=SC2086
    cpu=$(cpu_us $etcd_pids)
    "$HF_ROOT/build/etcd_load" "$1" "$3" "$4" 100000 128 "$etcd_lead" \
        >"$work/row" || die "etcd"
    # shellcheck disable=SC2086
    cpu=$(cpu_each "$cpu" "$(cpu_us $etcd_pids)" "$4")
    echo "$(cat "$work/row") $cpu" >>"$work/rows/etcd.$2.$3"
}

# median NAME FIELD
median() {
    sort -n -k "$2,$2" "$work/rows/$1" |
        awk -v f="$2" '{ v[NR] = $f } END { print v[int((NR + 1) / 2)] }'
}

show() {
    for row in holdfast etcd redis; do
        [ ! -s "$work/rows/$row.$1.$2" ] ||
            printf '%-10s %-4s %4d %10.0f %10.3f %10.3f %10.1f\n' \
                "$row" "$1" "$2" "$(median "$row.$1.$2" 1)" \
                "$(median "$row.$1.$2" 2)" "$(median "$row.$1.$2" 3)" \
                "$(median "$row.$1.$2" 4)"
    done
}

# ratio A B WORDS LIMIT more|less: prints A / B beside its target.
ratio() {
    awk -v a="$1" -v b="$2" -v what="$3" -v limit="$4" -v way="$5" 'BEGIN {
        r = a / b
        ok = way == "more" ? r >= limit : r <= limit
        printf "%-55s %6.2f  (target: %s %s)%s\n", what, r,
            way == "more" ? "at least" : "at most", limit,
            ok ? "" : "  MISSED"
    }'
}

rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

# memory_row PORT PID...: bytes the largest of them grew by for each key of 16
# bytes with a value of 100.
memory_row() {
    port=$1
    shift
    before=$(for pid in "$@"; do rss_kb "$pid"; done | sort -n | tail -n 1)
    "$load" fill "$port" "$keys" 100 >/dev/null
    sleep 1
    after=$(for pid in "$@"; do rss_kb "$pid"; done | sort -n | tail -n 1)
    echo $(((after - before) * 1024 / keys))
}

# ---- the run ----

say "$(nproc) processors, $(stat -f -c %T "$work"), values of 128 bytes," \
    "medians of $rounds rounds"
redis_start --appendonly yes --appendfsync always
etcd_start
holdfast_start
# shellcheck disable=SC2086  # $hf_pids is a list
for _ in $(seq "$rounds"); do
    resp_row holdfast set 64 "$n" "$lead" $hf_pids
    etcd_row put set 64 $((n / 4))
    resp_row redis set 64 "$n" "$redis_port" "$redis_pid"
    resp_row holdfast get 64 "$n" "$lead" $hf_pids
    etcd_row get get 64 $((n / 4))
    resp_row redis get 64 "$n" "$redis_port" "$redis_pid"
    # Short turns: what disturbs one should disturb the other.
    for _ in 1 2 3; do
        resp_row holdfast set 1 "$one" "$lead" $hf_pids
        resp_row redis set 1 "$one" "$redis_port" "$redis_pid"
    done
done
etcd_stop
redis_stop
cluster_wipe

# Processes of their own, so that no memory is in use already.
holdfast_start
# shellcheck disable=SC2086
hf_bytes=$(memory_row "$lead" $hf_pids)
cluster_wipe
redis_start --appendonly no
redis_bytes=$(memory_row "$redis_port" "$redis_pid")
redis_stop

printf '%-10s %-4s %4s %10s %10s %10s %10s\n' \
    store what conn requests/s p50_ms p99_ms cpu_us
show set 64
show get 64
show set 1
say "memory per key, $keys keys: holdfast $hf_bytes, redis $redis_bytes bytes"
ratio "$(median holdfast.set.64 1)" "$(median etcd.set.64 1)" \
    "SET, 64 connections, holdfast over etcd" 3 more
ratio "$(median holdfast.get.64 1)" "$(median etcd.get.64 1)" \
    "linearizable GET, 64 connections, holdfast over etcd" 4 more
ratio "$(median etcd.set.64 4)" "$(median holdfast.set.64 4)" \
    "SET, processor time of the servers, etcd over holdfast" 3 more
ratio "$(median etcd.get.64 4)" "$(median holdfast.get.64 4)" \
    "GET, processor time of the servers, etcd over holdfast" 4 more
ratio "$(median holdfast.set.1 2)" "$(median redis.set.1 2)" \
    "SET, 1 connection, median latency over redis-server" 1.8 less
ratio "$hf_bytes" "$redis_bytes" \
    "memory per key, largest node over redis-server" 1.25 less
