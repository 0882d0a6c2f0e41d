#!/bin/sh
# kv without a verb through the loss of leaders: each increment of a script
# takes effect once and none fails, transactions among them; a subscription
# goes on at another node.
#   HF_LINES=N   increments at least (3000)
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

lines=${HF_LINES:-3000}
cluster_up 3 >/dev/null || die "the cluster did not start"
KV_ENDPOINTS=$(cluster_endpoints)
export KV_ENDPOINTS

echo "subscribe news" | "$build/kv" >"$CL_DIR/news" 2>"$CL_DIR/news.err" &
beside=$!
# It goes on until both leaders were lost.
awk -v least="$lines" -v stop="$CL_DIR/stop" 'BEGIN {
    for (i = 1; i <= least || (getline x <stop) < 0; i++) {
        if (i % 10) {
            print "incr n"
        } else {
            print "multi\nincr n\nset last " i "\nexec"
        }
    }
    print i - 1 >"/dev/stderr"
}' 2>"$CL_DIR/lines" |
    "$build/kv" >"$CL_DIR/script.out" 2>"$CL_DIR/script.err" &
writer=$!
for third in 1 2; do
    while have=$("$build/kv" get n 2>/dev/null || true)
        [ "${have:-0}" -lt $((third * lines / 3)) ]; do
        kill -0 "$writer" 2>/dev/null || break
        sleep 0.1
    done
    leader=$(cluster_wait_leader 20) || die "no leader"
    node_kill "$leader"
    sleep 1
    node_start "$leader"
    node_wait_ready "$leader" 30 || die "node $leader did not come back"
done
kill -0 "$writer" 2>/dev/null || die "kv ended too early"
: >"$CL_DIR/stop"
wait "$writer" || {
    status=$?
    writer=
    die "kv ended with $status: $(tail -n 3 "$CL_DIR/script.err")"
}
writer=
lines=$(cat "$CL_DIR/lines")
have=$("$build/kv" get n)
[ "$have" = "$lines" ] || die "n is $have after $lines increments"

# The first node is the one that is subscribed to, at least at first.
heard() {
    for _ in $(seq 50); do
        for at in $(cluster_nodes); do
            node_cli "$at" publish news "$1" >/dev/null 2>&1 || true
        done
        ! grep -q "$1" "$CL_DIR/news" || return 0
        sleep 0.2
    done
    die "$1 was not heard: $(cat "$CL_DIR/news" "$CL_DIR/news.err")"
}
heard one
for node in $(cluster_nodes); do
    node_kill "$node"
    heard "without-$node"
    node_start "$node"
    node_wait_ready "$node" 30 || die "node $node did not come back"
done
echo "kv_script: ok, $lines increments"
