# Shared by scripts/bench.sh and bench/rows/*.sh (POSIX sh; source it after
# scripts/lib.sh and scripts/cluster.sh): the peers, the loads, the records.
#
# A row measures the same thing on several peers. It runs once a round, for
# all its peers in turn, so that what else the machine does meets all alike.
# What it finds goes to a file of its own, $rows/ROW, a line for each value:
#   ROW PEER METRIC ROUND VALUE
# and, for the plots, $rows/ROW.dist: ROW PEER ROUND PERCENT MS
# The peers: holdfast (the leader of three nodes), follower (one of the other
# two), etcd (the leader of three), redis-always (appendonly yes, appendfsync
# always), redis-memory (no persistence), floor (no server at all).
# shellcheck shell=sh
# shellcheck disable=SC2086,SC2154,SC2034  # lists of words and pids; what
# scripts/bench.sh and the rows set and use

# ---- records ----

# rec PEER METRIC VALUE
rec() { echo "$row $1 $2 $round $3" >>"$rows/$row"; }

# dist PEER FILE: "PERCENT MS" lines of one run.
dist() {
    awk -v row="$row" -v peer="$1" -v round="$round" \
        '{ print row, peer, round, $1, $2 }' "$2" >>"$rows/$row.dist"
}

# have ROW PEER METRIC: the median so far.
have() {
    awk -v p="$2" -v m="$3" '$2 == p && $3 == m { print $5 }' "$rows/$1" \
        2>/dev/null | sort -n | awk '{ v[NR] = $1 }
        END { if (NR) print v[int((NR + 1) / 2)] }'
}

# ---- the peers ----

# cluster_use NAME: which of our clusters is meant from here on.
cluster_use() {
    CL_DIR=$work/$1
    case $1 in
        main) CL_PORT=$base_port ;;
        small) CL_PORT=$((base_port + 20)) ;;
        middle) CL_PORT=$((base_port + 40)) ;;
        large) CL_PORT=$((base_port + 60)) ;;
        *) die "no such cluster: $1" ;;
    esac
    clusters="$clusters $1"
}

# Leaves the numbers of leader and follower in $leader, $away, their ports in
# $lead, $side.
holdfast_find() {
    leader=$(cluster_wait_leader 30) || die "holdfast has no leader"
    away=$((leader % 3 + 1))
    lead=$(node_port "$leader")
    side=$(node_port "$away")
}

# holdfast_start NAME
holdfast_start() {
    cluster_use "$1"
    cluster_up 3 >"$work/up.log" 2>&1 || {
        cat "$work/up.log" >&2
        die "holdfast did not start"
    }
    holdfast_find
}

# redis_start always|memory|growth: on its port; its pid is then in
# $redis_always and so on. The one for growth is as the one in memory.
redis_port() {
    case $1 in
        always) echo $((base_port + 100)) ;;
        memory) echo $((base_port + 101)) ;;
        growth) echo $((base_port + 102)) ;;
    esac
}
redis_start() {
    mkdir -p "$work/redis-$1"
    port=$(redis_port "$1")
    aof=no
    [ "$1" != always ] || aof=yes
    redis-server --port "$port" --bind 127.0.0.1 --dir "$work/redis-$1" \
        --save '' --appendonly "$aof" --appendfsync always \
        --maxclients 20000 >"$work/redis-$1.log" 2>&1 &
    pids="$pids $!"
    eval "redis_$1=$!"
    tries=100
    until redis-cli -p "$port" PING >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "redis-server did not start"
        sleep 0.1
    done
}

etcd_client() { echo "http://127.0.0.1:$((base_port + 200 + $1))"; }
etcd_peer() { echo "http://127.0.0.1:$((base_port + 210 + $1))"; }

etcd_start() {
    all=e1=$(etcd_peer 1),e2=$(etcd_peer 2),e3=$(etcd_peer 3)
    for i in 1 2 3; do
        etcd --name "e$i" --data-dir "$work/etcd$i" \
            --quota-backend-bytes 8589934592 \
            --listen-client-urls "$(etcd_client $i)" \
            --advertise-client-urls "$(etcd_client $i)" \
            --listen-peer-urls "$(etcd_peer $i)" \
            --initial-advertise-peer-urls "$(etcd_peer $i)" \
            --initial-cluster "$all" >"$work/etcd$i.log" 2>&1 &
        eval "etcd_pid$i=$!"
        pids="$pids $!"
    done
    tries=100
    until etcd_find; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "etcd did not start"
        sleep 0.2
    done
}

# Leaves the leader's port, its pid and a follower's pid in $etcd_lead,
# $etcd_leader, $etcd_follower.
etcd_find() {
    etcd_lead=
    for i in 1 2 3; do
        ETCDCTL_API=3 etcdctl endpoint status \
            --endpoints "$(etcd_client $i)" >"$work/etcd.status" \
            2>/dev/null || return 1
        if grep -q ', true,' "$work/etcd.status"; then
            etcd_lead=$((base_port + 200 + i))
            eval "etcd_leader=\$etcd_pid$i"
            eval "etcd_follower=\$etcd_pid$((i % 3 + 1))"
        fi
    done
    [ -n "$etcd_lead" ]
}

# How many calls of METHOD etcd has answered with grpc-status 0, and with
# another one: "OK OTHER".
etcd_handled() {
    curl -s "http://127.0.0.1:$etcd_lead/metrics" |
        awk -v m="grpc_method=\"$1\"" '/^grpc_server_handled_total/ &&
            index($0, m) { if (/grpc_code="OK"/) ok += $2; else bad += $2 }
            END { printf "%.0f %.0f\n", ok, bad }'
}

# Everything of this run ends and is forgotten.
peers_stop() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
    done
    for c in $(echo "$clusters" | tr ' ' '\n' | sort -u); do
        cluster_use "$c"
        for i in 1 2 3; do
            node_kill "$i" || true
        done
    done
    wait 2>/dev/null || true
    rm -rf "$work"
    pids=
    clusters=
}

# ---- processor time ----

# cpu_us PID: of a process, user and system, so far.
cpu_us() {
    awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, "")
        printf "%.0f\n", ($12 + $13) * 1000000 / hz }' "/proc/$1/stat"
}

# cpu_begin PEER; cpu_end PEER REQUESTS: records cpu_leader and cpu_follower,
# microseconds a request.
cpu_pids() {
    case $1 in
        holdfast) echo "$(node_pid "$leader") $(node_pid "$away")" ;;
        etcd) echo "$etcd_leader $etcd_follower" ;;
        redis-always) echo "$redis_always" ;;
        redis-memory) echo "$redis_memory" ;;
        *) echo ;;
    esac
}
cpu_begin() {
    cpu_before=
    for pid in $(cpu_pids "$1"); do
        cpu_before="$cpu_before $(cpu_us "$pid")"
    done
}
cpu_end() {
    cpu_name=cpu_leader
    set -- "$1" "$2" $cpu_before
    for pid in $(cpu_pids "$1"); do
        rec "$1" "$cpu_name" "$(awk -v a="$3" -v b="$(cpu_us "$pid")" \
            -v n="$2" 'BEGIN { printf "%.3f", (b - a) / n }')"
        cpu_name=cpu_follower
        set -- "$1" "$2" "${4:-0}"
    done
}

# ---- the loads; each records rps, p50, p99, p999, max (ms) and, where it
#      can, the distribution ----

peer_port() {
    case $1 in
        holdfast) echo "$lead" ;;
        follower) echo "$side" ;;
        etcd) echo "$etcd_lead" ;;
        redis-always) redis_port always ;;
        redis-memory) redis_port memory ;;
    esac
}

# figures PEER RPS P50 P99 P999 MAX
figures() {
    rec "$1" rps "$2"
    rec "$1" p50 "$3"
    rec "$1" p99 "$4"
    rec "$1" p999 "$5"
    rec "$1" max "$6"
}

# How many requests PEER answers in $seconds in this row, to $n; the first
# round finds out, which warms up as well. calibrate PEER CONNECTIONS COMMAND
# WORD...: the command gets a number as its last word and prints requests a
# second.
calibrate() {
    n_file=$work/n.$row.$1
    n_first=$((first_n * $2 / 64 + 100))
    shift 2
    n=$(cat "$n_file" 2>/dev/null) || {
        rate=$("$@" "$n_first") || exit 1
        n=$(awk -v r="$rate" -v s="$seconds" \
            'BEGIN { n = int(r * s); print n < 1000 ? 1000 : n }')
        echo "$n" >"$n_file"
    }
}

# rb PORT set|get CONNECTIONS PIPELINE VALUE REQUESTS: redis-benchmark; prints
# "RPS P50 P99 P999 MAX" (it ends at the first error reply) and leaves the
# distribution in $work/dist.
rb() {
    redis-benchmark -p "$1" -t "$2" -c "$3" -P "$4" -d "$5" \
        -r "$keys" -n "$6" >"$work/out" 2>"$work/err" ||
        die "redis-benchmark at port $1: $(cat "$work/err" "$work/out" |
            grep -i error | head -n 1)"
    tr '\r' '\n' <"$work/out" | awk -v dist="$work/dist" '
        /^Cumulative/ { past = 1 }
        !past && / <= .* milliseconds / { p = $1; sub("%", "", p)
            print p, $3 >dist
            if (p999 == "" && p >= 99.9) p999 = $3 }
        /throughput summary:/ { rps = $3 }
        /avg +min +p50/ { getline; p50 = $3; p99 = $5; max = $6 }
        END { if (rps == "") exit 1; print rps, p50, p99, p999, max }'
}
rb_rate() { rb "$@" | awk '{ print $1 }'; }

# closed PEER set|get CONNECTIONS PIPELINE VALUE: a closed loop.
closed() {
    if [ "$1" = etcd ]; then
        closed_etcd "$2" "$3" "$4" "$5"
        return
    fi
    p=$(peer_port "$1")
    calibrate "$1" "$3" rb_rate "$p" "$2" "$3" "$4" "$5"
    cpu_begin "$1"
    got=$(rb "$p" "$2" "$3" "$4" "$5" "$n") || exit 1
    cpu_end "$1" "$n"
    figures "$1" $got
    dist "$1" "$work/dist"
}

etcd_load_n() {
    # The number of requests stands third; size gives it last.
    "$build/etcd_load" "$1" "$2" "$6" "$3" "$4" "$etcd_lead" "$5" 0 \
        "$work/dist"
}
etcd_load_rate() { etcd_load_n "$@" | awk '{ print $1 }'; }

closed_etcd() {
    what=put
    [ "$1" = set ] || what="get"
    calibrate etcd "$2" etcd_load_rate "$what" "$2" "$keys" "$4" "$3"
    cpu_begin etcd
    got=$(etcd_load_n "$what" "$2" "$keys" "$4" "$3" "$n") || exit 1
    cpu_end etcd "$n"
    figures etcd $got
    dist etcd "$work/dist"
}

# kvb PORT WORD...: kv bench at that node; its JSON goes to $work/kvb. A load
# of reads or of writes, not of both. kvb_get rps|errors|p50|p99|p999|max of it
# (ms), kvb_dist: "PERCENT MS" lines.
kvb() {
    kvb_port=$1
    shift
    "$build/kv" --endpoints "127.0.0.1:$kvb_port" bench --output json \
        --spread --keys "$keys" "$@" >"$work/kvb" 2>"$work/err" || {
        head -n 3 "$work/err" >&2
        die "kv bench $* at port $kvb_port"
    }
}

kvb_side='(if .writes.count > 0 then .writes else .reads end)'
kvb_get() {
    case $1 in
        rps) jq .throughput "$work/kvb" ;;
        errors) jq '.failed + .connection_errors' "$work/kvb" ;;
        *) jq "$kvb_side.$1_us / 1000" "$work/kvb" ;;
    esac
}
kvb_dist() {
    jq -r "$kvb_side | .count as \$n | foreach .histogram[] as [\$us, \$c]
        ([0, 0]; [.[0] + \$c, \$us];
        \"\\(.[0] * 100 / \$n) \\(.[1] / 1000)\")" "$work/kvb"
}

# ---- the server's own view ----

# loop_reset; loop_longest: the longest turn of any node's loop since then, ms.
loop_reset() {
    for i in 1 2 3; do
        node_cli "$i" CONFIG RESETSTAT >/dev/null
    done
}
loop_longest() {
    for i in 1 2 3; do
        node_cli "$i" INFO holdfast
    done | tr -d '\r' | awk -F : '/^loop_turn_longest_us/ && $2 > m { m = $2 }
        END { printf "%.3f\n", m / 1000 }'
}

# Every node takes one snapshot after the other, until snapshots_end; that
# leaves how many were begun in $snapshots, when the last one has ended.
snapshots_made() {
    cat "$CL_DIR"/n?.log | grep -c 'snapshot at [0-9]*: ' || true
}
snapshots_begin() {
    snapshots_before=$(snapshots_made)
    (
        while :; do
            for i in 1 2 3; do
                redis-cli -p "$(node_port "$i")" BGSAVE >/dev/null 2>&1
            done
            sleep 1
        done
    ) &
    snapshots_pid=$!
    pids="$pids $snapshots_pid"
}
snapshots_end() {
    kill "$snapshots_pid"
    wait "$snapshots_pid" 2>/dev/null || true
    snapshots_wait
    snapshots=$(($(snapshots_made) - snapshots_before))
}

snapshots_wait() {
    tries=1800
    until [ "$(for i in 1 2 3; do
        node_cli "$i" INFO persistence
    done | grep -c '^rdb_bgsave_in_progress:0')" = 3 ]; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "a snapshot never ended"
        sleep 0.1
    done
}

# fill PORT KEYS VALUE: each key once.
fill() { "$build/resp_load" fill "$1" "$2" "$3" >"$work/fill"; }

rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
