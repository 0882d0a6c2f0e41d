#!/bin/sh
# etc/haproxy.cfg in front of a cluster: "kv incr" by four writers through its
# one address while the leader is killed, then a node, and a third is stopped.
# Each exits 0 and the sum is exact: kv names its requests, so that a second attempt through
# another node is not a second addition.
#   HF_WRITES=N   how many altogether (200)
#   HF_PAUSE=S    how long the last one is stopped (0.5)
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

writes=${HF_WRITES:-200}
each=$((writes / 4))
command -v haproxy >/dev/null || die "haproxy is missing: ./dev deps --test"
cluster_up 3 >/dev/null || die "the cluster did not form"
# One of the ports that are free for more nodes.
front=$(node_port 4)
sed -e "s|127.0.0.1:6379|127.0.0.1:$front|" \
    -e "s|10.0.0.1:7379|$(node_at 1)|" -e "s|10.0.0.2:7379|$(node_at 2)|" \
    -e "s|10.0.0.3:7379|$(node_at 3)|" \
    "$HF_ROOT/etc/haproxy.cfg" >"$CL_DIR/haproxy.cfg"
haproxy -q -c -f "$CL_DIR/haproxy.cfg" || die "haproxy refuses etc/haproxy.cfg"
haproxy -db -f "$CL_DIR/haproxy.cfg" >"$CL_DIR/haproxy.log" 2>&1 &
# shellcheck disable=SC2034  # process_end ends it
beside=$!
tries=100
until redis-cli -p "$front" PING 2>/dev/null | grep -q PONG; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] ||
        die "haproxy does not answer: $(tail -n 3 "$CL_DIR/haproxy.log")"
    sleep 0.1
done

write() {
    i=0
    while [ "$i" -lt "$each" ]; do
        i=$((i + 1))
        status=0
        "$CL_BIN/kv" --endpoints "127.0.0.1:$front" --timeout 30s \
            incr sum >>"$CL_DIR/sums" 2>>"$CL_DIR/errors" || status=$?
        echo "$status" >>"$CL_DIR/statuses"
    done
}
done_writes() { wc -l <"$CL_DIR/statuses"; }
# wait_for N: N writes are done.
wait_for() {
    tries=1200
    while [ "$(done_writes)" -lt "$1" ]; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "only $(done_writes) writes in two minutes"
        sleep 0.1
    done
}

: >"$CL_DIR/statuses"
writers=
for w in 1 2 3 4; do
    write &
    writers="$writers $!"
done
wait_for $((writes / 10))
for quarter in 1 2 3; do
    victim=$quarter
    [ "$quarter" != 1 ] || victim=$(cluster_wait_leader 20) || die "no leader"
    # The last one says nothing more: haproxy has to find that out.
    if [ "$quarter" = 3 ]; then
        node_pause "$victim"
    else
        node_kill "$victim"
    fi
    wait_for $((writes * (2 * quarter + 1) / 10))
    [ "$(done_writes)" -lt "$writes" ] || die "the writes ended too early"
    [ "$quarter" != 3 ] || sleep "${HF_PAUSE:-0.5}"
    node_resume "$victim" || node_start "$victim"
    node_wait_ready "$victim" 30 || die "node $victim did not start"
    wait_for $((writes * (2 * quarter + 2) / 10))
done
for w in $writers; do
    wait "$w"
done
bad=$(grep -vcx 0 "$CL_DIR/statuses" || true)
[ "$bad" = 0 ] || die "$bad of $writes did not exit 0: $(sort "$CL_DIR/errors" |
    uniq -c | head -n 3)"
kv --timeout 30s status --wait >/dev/null || die "the cluster is not whole"
for i in $(cluster_nodes); do
    sum=$(node_cli "$i" GET sum)
    [ "$sum" = "$writes" ] || die "node $i: the sum is $sum, not $writes"
done
[ "$(sort -u "$CL_DIR/sums" | wc -l)" = "$writes" ] ||
    die "a sum was answered twice"
echo "$writes times kv incr through haproxy, two nodes killed and one stopped:" \
    "all exit 0, the sum is $writes"
