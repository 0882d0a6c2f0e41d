#!/bin/sh
# What people point at a Redis: redis-cli in all its modes, its cluster mode,
# redis-benchmark, the exporter of Prometheus, and the questions of a
# dashboard, against three nodes. Each must find what it asks for, on the
# leader and on a follower, and none may cause an error that it logs.
set -eu
. "${srcdir:-.}/tests/fault/process.sh"
exporter=$(command -v prometheus-redis-exporter) ||
    die "prometheus-redis-exporter is missing: scripts/deps.sh --test"
command -v redis-benchmark >/dev/null || exit 77
export REDISCLI_RCFILE=/dev/null NO_COLOR=1

cat >"$CL_DIR.conf" <<'CONF'
# a comment that stays
slowlog-max-len = 200
CONF
mv "$CL_DIR.conf" "$CL_DIR/settings.ini"
CL_FLAGS="--config=$CL_DIR/settings.ini"
cluster_up 3 || die "the cluster did not form"
leader=$(cluster_wait_leader 20) || die "no leader"
follower=$((leader % 3 + 1))
lp=$(node_port "$leader")
fp=$(node_port "$follower")

# expect WHAT PATTERN: the file "out" has a line that matches.
expect() {
    grep -Eq -- "$2" "$CL_DIR/out" || {
        cat "$CL_DIR/out"
        die "$1: no line matches $2"
    }
}
run() { "$@" >"$CL_DIR/out" 2>&1 || {
    cat "$CL_DIR/out"
    die "$* failed"
}; }
# stopped SECONDS COMMAND...: what it has written when it is ended.
stopped() {
    seconds=$1
    shift
    timeout "$seconds" stdbuf -oL "$@" >"$CL_DIR/out" 2>&1 || true
}

say "keys"
c_fill() {
    awk 'BEGIN { for (i = 0; i < 500; i++) printf "SET key:%d %0*d\n", i, i % 90 + 1, i
                 print "SET big " sprintf("%05000d", 1)
                 print "SET t 1 EX 100" }' |
        redis-cli -p "$lp" >/dev/null
}
c_fill
for p in "$lp" "$fp"; do
    run redis-cli -p "$p" --bigkeys
    expect "--bigkeys" '^Biggest string found .*"big".* has 5000 bytes'
    expect "--bigkeys" '^Sampled 502 keys'
    run redis-cli -p "$p" --memkeys
    expect "--memkeys" '^Biggest string found .*"big".* has 50[0-9][0-9] bytes'
    run redis-cli -p "$p" --scan --pattern 'key:1*'
    [ "$(sort -u "$CL_DIR/out" | wc -l)" = 111 ] || die "--scan misses keys"
    stopped 3 redis-cli -p "$p" --stat -i 1
    expect "--stat" '^502 '
    stopped 2 redis-cli -p "$p" --latency
    expect "--latency" '[0-9]+ [0-9]+ [0-9.]+ [0-9]+'
done

say "redis-cli --cluster"
for i in "$leader" "$follower"; do
    at=127.0.0.1:$(($(node_port "$i") + 1000))
    run redis-cli --cluster check "$at"
    expect check 'All nodes agree about slots configuration'
    expect check 'All 16384 slots covered'
    expect check '2 additional replica'
    run redis-cli --cluster info "$at"
    expect info '502 keys \| 16384 slots \| 2 slaves'
    run redis-cli --cluster call "$at" dbsize
    [ "$(grep -c ': 502$' "$CL_DIR/out")" = 3 ] || die "--cluster call"
    redis-cli --cluster reshard "$at" --cluster-from all --cluster-to "$(
        redis-cli -p "$lp" cluster myid)" --cluster-slots 1 --cluster-yes \
        >"$CL_DIR/out" 2>&1 && die "reshard did not fail"
done

say "CLUSTER, byte by byte"
redis_port=$("$build/tests/fault/freeport" 1)
mkdir -p "$CL_DIR/redis"
redis-server --port "$redis_port" --bind 127.0.0.1 --cluster-enabled yes \
    --cluster-port "$("$build/tests/fault/freeport" 1)" \
    --save '' --dir "$CL_DIR/redis" >"$CL_DIR/redis.log" 2>&1 &
beside=$!
for _ in $(seq 100); do
    redis-cli -p "$redis_port" cluster addslotsrange 0 16383 >/dev/null 2>&1 ||
        true
    redis-cli -p "$redis_port" cluster info >"$CL_DIR/out" 2>/dev/null || true
    ! grep -q cluster_state:ok "$CL_DIR/out" || break
    sleep 0.3
done
expect redis-server cluster_state:ok
run python3 "$HF_ROOT/tests/clients/compare.py" "$((lp + 1000))" \
    "$redis_port" "$HF_ROOT/docs/PROTOCOL.md" \
    "$HF_ROOT/tests/clients/compare-cluster.txt"
expect CLUSTER '0 wrong'
kill "$beside"
wait "$beside" 2>/dev/null || true
beside=
c_fill

say "redis-benchmark"
run redis-benchmark -p "$fp" -n 500 -c 10 -P 4 -q -t ping,set,get,incr,mset
[ "$(grep -c 'requests per second' "$CL_DIR/out")" -ge 5 ] ||
    die "redis-benchmark did less than it was asked for"
grep -qi error "$CL_DIR/out" && die "redis-benchmark met an error"

say "the questions of a dashboard"
for q in info 'module list' 'config get databases' dbsize 'cluster shards' \
    'cluster info' 'client list' 'scan 0 count 10 type string' \
    'memory usage big' 'slowlog get 10' 'latency latest' 'command docs' \
    'command' 'memory stats' 'memory doctor' 'latency doctor' lolwut role \
    'latency histogram' 'cluster links' 'info everything'; do
    for p in "$lp" "$((lp + 1000))" "$fp" "$((fp + 1000))"; do
        for three in '' -3; do
            # shellcheck disable=SC2086  # words
            run redis-cli -c $three -p "$p" $q
            ! grep -Eq '^(\(error\) )?(ERR|MOVED|CLUSTERDOWN|TRYAGAIN) ' "$CL_DIR/out" ||
                die "$q is answered with $(cat "$CL_DIR/out")"
        done
    done
done

say "numbers are real"
n() { redis-cli -p "$1" info everything | tr -d '\r' | sed -n "s/^$2[:=]//p"; }
before=$(n "$fp" keyspace_hits)
redis-cli -p "$fp" get big >/dev/null
redis-cli -p "$fp" get none >/dev/null
[ "$(n "$fp" keyspace_hits)" = $((before + 1)) ] || die "keyspace_hits"
[ "$(n "$fp" keyspace_misses)" -ge 1 ] || die "keyspace_misses"
redis-cli -p "$fp" config resetstat >/dev/null
redis-cli -p "$fp" incr big >/dev/null 2>&1 || true
redis-cli -p "$fp" get >/dev/null 2>&1 || true
redis-cli -p "$fp" info everything | tr -d '\r' >"$CL_DIR/out"
expect Commandstats '^cmdstat_incr:calls=1,.*rejected_calls=0,failed_calls=1$'
expect Commandstats '^cmdstat_get:calls=0,.*rejected_calls=1,failed_calls=0$'
expect Errorstats '^errorstat_ERR:count=2$'
expect Latencystats '^latency_percentiles_usec_incr:p50=[1-9]'
expect Keyspace '^db0:keys=50[0-9],expires=1,avg_ttl=[1-9]'
expect Holdfast '^raft_role:follower$'

say "settings"
c() { redis-cli -p "$lp" "$@"; }
c config set slowlog-log-slower-than 0 maxclients 500 >/dev/null
c get big >/dev/null
[ "$(c slowlog len)" -ge 1 ] || die "SLOWLOG kept nothing"
c slowlog get 1 >"$CL_DIR/out"
c config set slowlog-log-slower-than 10000 >/dev/null
[ "$(c config get clients-max | tail -n 1)" = 500 ] || die "clients-max"
c config rewrite | grep -q OK || die "CONFIG REWRITE"
cp "$CL_DIR/settings.ini" "$CL_DIR/out"
expect REWRITE '^# a comment that stays$'
expect REWRITE '^slowlog-max-len = 200$'
expect REWRITE '^clients-max = 500$'
c debug sleep 0 2>&1 | grep -q 'DEBUG command not allowed' || die "DEBUG"

say "snapshots, leadership, the end"
[ "$(c save)" = OK ] || die "SAVE"
[ "$(n "$lp" snapshot_index)" -gt 0 ] || die "SAVE made no snapshot"
[ "$(c wait 2 2000)" = 0 ] || [ "$(c wait 2 2000)" = 2 ] || die "WAIT"
[ "$(printf 'set w 1\nwait 2 5000\n' | redis-cli -p "$fp" | tail -n 1)" = 2 ] ||
    die "WAIT does not find the write on both others"
redis-cli -p "$fp" cluster failover | grep -q OK || die "CLUSTER FAILOVER"
[ "$(redis-cli -p "$fp" role | head -n 1)" = master ] ||
    die "CLUSTER FAILOVER did not bring leadership"
redis-cli -p "$lp" cluster failover | grep -q OK || die "back again"

say "prometheus-redis-exporter"
web=127.0.0.1:$("$build/tests/fault/freeport" 1)
for p in "$lp" "$fp"; do
    "$exporter" -web.listen-address "$web" \
        -redis.addr "redis://127.0.0.1:$p" -include-system-metrics \
        -export-client-list -include-config-metrics \
        >"$CL_DIR/exporter" 2>&1 &
    beside=$!
    for _ in $(seq 100); do
        curl -sf "http://$web/metrics" >"$CL_DIR/out" && break
        sleep 0.3
    done
    curl -sf "http://$web/metrics" >"$CL_DIR/out" || die "no metrics"
    kill "$beside"
    wait "$beside" 2>/dev/null || true
    beside=
    expect exporter '^redis_up 1$'
    expect exporter '^redis_exporter_last_scrape_error\{err=""\} 0$'
    expect exporter '^redis_db_keys\{db="db0"\} 50[0-9]$'
    expect exporter '^redis_commands_total\{cmd="(get|ping|info)"\}'
    expect exporter '^redis_connected_clients [1-9]'
    expect exporter '^redis_slowlog_length '
    ! grep -Eqi 'level=(error|warn)|err' "$CL_DIR/exporter" ||
        die "the exporter logs: $(cat "$CL_DIR/exporter")"
done

redis-cli -p "$fp" shutdown nosave >"$CL_DIR/out" 2>/dev/null || true
[ ! -s "$CL_DIR/out" ] || die "SHUTDOWN has a reply: $(cat "$CL_DIR/out")"
node_wait_gone "$follower" 10
tail -n 1 "$(node_log "$follower")" | grep -q 'stopped in order' ||
    die "SHUTDOWN was not in order"
say "all tools found what they asked for"
