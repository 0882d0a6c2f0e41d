#!/bin/sh
# ./dev demo [--once]: see it survive. Three nodes on loopback, a writer, the
# leader killed, nothing lost. Leaves the cluster running; --once stops it.
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"

once=no
case "$#:${1:-}" in
    0:) ;;
    1:--once) once=yes ;;
    *)
        echo "usage: ./dev demo [--once]" >&2
        exit 2
        ;;
esac

step() { printf '\n== %s\n' "$*"; }

# After an error the nodes are stopped, their logs stay.
writer=
ended=no
on_exit() {
    [ "$ended" = no ] || return 0
    [ -z "$writer" ] || kill "$writer" 2>/dev/null || true
    cluster_down
    echo "the demo did not finish; logs: $CL_DIR/n*.log" >&2
}
trap on_exit EXIT
trap 'exit 1' HUP INT TERM

fail() {
    cluster_explain
    die "$*"
}

mkdir -p "$CL_DIR"
step "Build"
"$HF_ROOT/scripts/deps.sh" || die "installing what is missing failed"
run_logged "$CL_DIR/build.log" "the build" "$HF_ROOT/scripts/build.sh"
say "build/holdfastd and build/kv"

step "Three nodes on loopback form a cluster"
[ "$(cluster_size)" = 3 ] || cluster_wipe
cluster_up 3 || die "the cluster did not form"

step "Write through kv, read through redis-cli on every node"
value="hello at $(date +%T)"
kv set greeting "$value" >/dev/null || fail "kv set failed"
say "kv set greeting '$value'"
for i in $(cluster_nodes); do
    got=$(redis-cli -p "$(node_port "$i")" GET greeting) ||
        fail "redis-cli on node $i failed"
    [ "$got" = "$value" ] || fail "node $i says '$got'"
    say "redis-cli -p $(node_port "$i") GET greeting  ->  $got"
done

step "Kill the leader with SIGKILL while a writer runs on another node"
leader=$(cluster_wait_leader 10) || fail "no leader"
other=$((leader % 3 + 1))
"$CL_BIN/gap" --seconds 60 --acked "$CL_DIR/acked" "$(node_port "$other")" \
    >"$CL_DIR/gap.out" 2>"$CL_DIR/gap.err" &
writer=$!
sleep 2
kill -0 "$writer" 2>/dev/null || fail "the writer ended: $(cat "$CL_DIR/gap.err")"
say "node $leader leads; a writer counts through node $other; killing $leader"
node_kill "$leader" || fail "node $leader did not die"
sleep 3
kill -TERM "$writer" 2>/dev/null || true
status=0
wait "$writer" || status=$?
writer=
say "writer: $(cat "$CL_DIR/gap.out")"
[ "$status" = 0 ] || fail "the writer saw errors: $(cat "$CL_DIR/gap.err")"

new=$(cluster_wait_leader 10) || fail "no new leader"
say "node $new leads now"
# check_acked NODE: it has every acknowledged number.
check_acked() {
    while read -r key number; do
        [ "$number" -gt 0 ] || fail "the writer got nothing acknowledged"
        have=$(redis-cli -p "$(node_port "$1")" GET "$key")
        [ "${have:-0}" -ge "$number" ] ||
            fail "node $1 has $key = '$have', but $number was acknowledged"
        say "node $1 has $have; $number was acknowledged"
    done <"$CL_DIR/acked"
}
for i in $(cluster_nodes); do
    [ "$i" = "$leader" ] || check_acked "$i"
done
say "nothing acknowledged is missing"

step "Restart node $leader; it catches up"
began=$(now_ms)
node_start "$leader"
node_wait_ready "$leader" 10 || fail "node $leader did not start"
kv --timeout 30s status --wait || fail "node $leader did not catch up"
say "caught up $(($(now_ms) - began)) ms after its start"
check_acked "$leader"

ended=yes
if [ "$once" = yes ]; then
    step "Done; stopping the cluster"
    cluster_down
    exit 0
fi
step "Done; the cluster is running"
say "use:   redis-cli -p $CL_PORT        (or 7380, 7381: any node takes any command)"
say "       build/kv --endpoints $(cluster_endpoints) status"
say "stop:  ./dev down"
