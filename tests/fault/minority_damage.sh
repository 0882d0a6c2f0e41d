#!/bin/sh
# One node of three comes back with damaged files, under load on the others:
# they go on without an error; it is repaired from them, or refuses with its
# reason; then it is made the leader, and everything acknowledged is there.
#   HF_ROUNDS=N   (2); the kinds of damage take turns
#   HF_LIMIT_S=N  seconds until it is whole (40)
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

tool=$build/tests/fault
rounds=${HF_ROUNDS:-2}
limit=${HF_LIMIT_S:-40}
repaired=0
rejoined=0
refused=0
unhurt=0
# Small files, so that there are several of each.
CL_FLAGS="--segment-size 1m --snapshot-floor 1m --log-level info"

load_start() {
    at=$(for i in "$@"; do node_at "$i"; done)
    # shellcheck disable=SC2086  # a list of words
    "$build/gap" --writers 16 --seconds 600 --prefix "r$round:" \
        --acked "$CL_DIR/acked" $at >"$CL_DIR/gap.out" 2>"$CL_DIR/gap.err" &
    writer=$!
    sleep 0.3
}
load_stop() {
    kill -TERM "$writer"
    wait "$writer" || die "round $round ($what): the writers on the others: \
$(cat "$CL_DIR/gap.out" "$CL_DIR/gap.err")"
    writer=
}

id_of() { node_cli "$1" --raw STATUS | sed -n '/^node_id$/{n;p;}'; }

# The numbers of its log files, and its newest snapshot.
logs() { (cd "$1" && ls log/*.log); }
newest() { logs "$1" | tail -n 1; }

spoil() {
    dir=$CL_DIR/n$victim
    case $((round % 8)) in
        1)
            what="bit of the newest log file"
            "$tool/damage" "$dir/$(newest "$dir")" middle >/dev/null
            ;;
        2)
            what="header of the newest log file"
            "$tool/damage" "$dir/$(newest "$dir")" 100 >/dev/null
            ;;
        3)
            what="bit of the snapshot"
            "$tool/damage" "$dir/$(cd "$dir" && ls snap/*.snap | tail -n 1)" \
                middle >/dev/null
            ;;
        4)
            what="newest log file cut"
            truncate -s 40000 "$dir/$(newest "$dir")"
            ;;
        5)
            what="two log files swapped"
            last=$(newest "$dir")
            one=$(logs "$dir" | tail -n 2 | head -n 1)
            mv "$dir/$one" "$dir/x"
            mv "$dir/$last" "$dir/$one"
            mv "$dir/x" "$dir/$last"
            ;;
        6)
            what="both votes"
            "$tool/damage" "$dir/vote.a" 100 >/dev/null
            "$tool/damage" "$dir/vote.b" 100 >/dev/null
            ;;
        7)
            what="snapshot deleted"
            rm -f "$dir"/snap/*.snap
            ;;
        0)
            what="oldest log file deleted"
            rm -f "$dir/$(logs "$dir" | head -n 1)"
            ;;
    esac
}

# Its log since it was started with the damage.
since() { tail -n "+$((mark + 1))" "$(node_log "$victim")"; }

# Is it a voter that serves, as it says itself and as the others say?
whole() {
    [ "$(kv member list 2>/dev/null | grep -c ' voter ')" = 3 ] &&
        kv member list 2>/dev/null | grep -F "$(node_at "$victim")" |
        grep -qE 'follower|leader' &&
        [ "$(node_cli "$victim" GET round 2>/dev/null)" = "$round" ]
}

wait_whole() {
    tries=$((limit * 5))
    until whole; do
        if ! node_pid "$victim" >/dev/null; then
            since | grep -qE 'damaged|missing|another' ||
                die "round $round ($what): ended without a reason"
            refused=$((refused + 1))
            rm -rf "$CL_DIR/n$victim"
            node_start "$victim"
        fi
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "round $round ($what): node $victim is not \
whole after $limit s: $(since | tail -n 5)"
        sleep 0.2
    done
    if since | grep -q 'repair: the seat is granted'; then
        rejoined=$((rejoined + 1))
    elif since | grep -q 'is whole again'; then
        repaired=$((repaired + 1))
    else
        unhurt=$((unhurt + 1))
    fi
}

make_leader() {
    tries=50
    until [ "$(cluster_leader)" = "$victim" ]; do
        kv member transfer "$(id_of "$victim")" >/dev/null 2>&1 || true
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "round $round ($what): node $victim does \
not get to lead"
        sleep 0.2
    done
}

one_round() {
    victim=$((round % 3 + 1))
    what=
    load_start $((victim % 3 + 1)) $(((victim + 1) % 3 + 1))
    redis-benchmark -p "$(node_port $((victim % 3 + 1)))" -t set -n 4000 \
        -d 1000 -r 2000 -c 8 -P 8 -q >/dev/null 2>&1
    node_cli $((victim % 3 + 1)) SET round "$round" >/dev/null
    sleep 0.2
    node_kill "$victim"
    mark=$(wc -l <"$(node_log "$victim")")
    spoil
    node_start "$victim"
    wait_whole
    load_stop
    make_leader
    check_acked "$CL_DIR/acked" 0 || die "round $round ($what): an \
acknowledged write is missing"
    echo "round $round: $what: $(cat "$CL_DIR/gap.out")"
}

cluster_up 3 >/dev/null || die "the cluster did not form"
round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    one_round
done
echo "$rounds rounds of damage on one node of three: $repaired repaired," \
    "$rejoined came back as new members, $refused refused," \
    "$unhurt not hurt; no error on the others, nothing missing"
