#!/bin/sh
# Seats, under load: a node whose directory is gone gets its seat back; a
# second copy of a live node, and a blank node at a seat whose holder lives,
# change nothing.
#   HF_ROUNDS=N   how many directories are lost (1)
#   HF_KEYS=N     keys of 16 + 100 bytes before that (20000)
#   HF_LIMIT_S=N  seconds from the start to voter again (30)
set -eu
. "${srcdir:-.}/tests/fault/process.sh"
command -v redis-benchmark >/dev/null || exit 77

# Lines of members that vote; "kv member list" has one line a member.
voters() { kv member list 2>/dev/null | grep -c ' voter '; }
listed() { kv member list 2>/dev/null | grep -c '^[0-9]'; }

# Writers on the nodes given, until load_stop.
load_start() {
    at=$(for i in "$@"; do node_at "$i"; done)
    # shellcheck disable=SC2086  # a list of words
    "$build/gap" --writers 16 --seconds 600 --acked "$CL_DIR/acked" $at \
        >"$CL_DIR/gap.out" 2>"$CL_DIR/gap.err" &
    writer=$!
    sleep 0.5
}
load_stop() {
    kill -TERM "$writer"
    wait "$writer" || die "the writers: $(cat "$CL_DIR"/gap.*)"
    writer=
    check_acked "$CL_DIR/acked" 0 || die "an acknowledged write is missing"
}

# What kv calls a member is a new one each time; the seat is the address.
lose_directory() {
    lost=$1
    load_start $((lost % 3 + 1)) $(((lost + 1) % 3 + 1))
    node_kill "$lost"
    rm -rf "${CL_DIR:?}/n$lost"
    sleep 1
    began=$(now_ms)
    node_start "$lost"
    until [ "$(voters)" = 3 ] && kv member list |
        grep ' voter ' | grep -qF "$(node_at "$lost")" &&
        [ "$(node_cli "$lost" --raw STATUS | sed -n '/^role$/{n;p;}')" != "" ] &&
        node_cli "$lost" --raw STATUS | sed -n '/^node_id$/{n;p;}' |
        grep -qvx 0; do
        [ $(($(now_ms) - began)) -le $((${HF_LIMIT_S:-30} * 1000)) ] ||
            die "node $lost is no voter after ${HF_LIMIT_S:-30} s"
        sleep 0.1
    done
    took=$(($(now_ms) - began))
    kv --timeout 20s status --wait >/dev/null || die "not healthy"
    load_stop
    [ "$(listed)" = 3 ] || die "$(listed) members, not 3"
    echo "node $lost: directory lost, voter again after $took ms;" \
        "$(cat "$CL_DIR/gap.out")"
}

# run_beside NAME SECONDS WORD...: a further holdfastd for so long; its log is
# $CL_DIR/NAME.log, $ended its exit status or "no".
run_beside() {
    name=$1
    seconds=$2
    shift 2
    "$CL_BIN/holdfastd" --data-dir "$CL_DIR/$name" "$@" \
        >"$CL_DIR/$name.log" 2>&1 </dev/null &
    beside=$!
    ended=no
    tries=$((seconds * 10))
    while [ "$tries" -gt 0 ]; do
        grep -q '^State:[[:space:]]*Z' "/proc/$beside/status" 2>/dev/null && break
        [ -e "/proc/$beside/status" ] || break
        tries=$((tries - 1))
        sleep 0.1
    done
    [ "$tries" -gt 0 ] || kill -KILL "$beside"
    status=0
    wait "$beside" || status=$?
    [ "$tries" -le 0 ] || ended=$status
    beside=
}

# unchanged WHAT: members, ids and roles are as in $CL_DIR/before, and writes
# went on.
unchanged() {
    kv member list | awk '{ print $1, $2, $NF }' >"$CL_DIR/after"
    cmp -s "$CL_DIR/before" "$CL_DIR/after" ||
        die "$1 changed the members: $(cat "$CL_DIR/after")"
    [ "$(voters)" = 3 ] || die "$1: not three voters"
    node_pid "$held" >/dev/null || die "$1: node $held has ended"
    load_stop
    echo "$1: $2; $(cat "$CL_DIR/gap.out")"
}

second_copy() {
    cp -a "$CL_DIR/n$held" "$CL_DIR/copy"
    rm -f "$CL_DIR/copy/lock"
    load_start 1 2 3
    run_beside copy 4 --listen "127.0.0.1:$spare" \
        --peer-listen "127.0.0.1:$((spare + 10000))" \
        --join "$(cluster_peers),127.0.0.1:$((spare + 10000))"
    unchanged "a copy of node $held" "ended: $ended"
    tail -n 3 "$CL_DIR/copy.log"
}

blank_at_held_seat() {
    load_start 1 2 3
    run_beside blank 6 --listen "127.0.0.1:$spare" \
        --peer-listen "127.0.0.1:$((spare + 10000))" \
        --announce-peer "$(node_peer_at "$held")" \
        --join "$(cluster_peers)"
    grep -q 'does not let this one in: .*held by node' "$CL_DIR/blank.log" ||
        die "no reason in the log: $(cat "$CL_DIR/blank.log")"
    unchanged "a blank node at the seat of node $held" "ended: $ended"
    grep 'does not let' "$CL_DIR/blank.log" | tail -n 1
}

cluster_up 3 >/dev/null || die "the cluster did not form"
redis-benchmark -p "$(node_port 1)" -t set -n "${HF_KEYS:-20000}" \
    -r "${HF_KEYS:-20000}" -d 100 -c 32 -P 16 -q >/dev/null 2>"$CL_DIR/bench" ||
    die "filling failed: $(cat "$CL_DIR/bench")"
n=0
while [ "$n" -lt "${HF_ROUNDS:-1}" ]; do
    lose_directory $((n % 3 + 1))
    n=$((n + 1))
done
held=$(cluster_wait_leader 20) || die "no leader"
held=$((held % 3 + 1))
spare=$(node_port 5)
kv member list | awk '{ print $1, $2, $NF }' >"$CL_DIR/before"
second_copy
blank_at_held_seat
