#!/bin/sh
# The power goes on one node, a majority or all of them under load. After the
# restart nothing acknowledged is missing. What a loss of power takes:
#   undo       a seeded choice of what was not synced (undo.c, powercut.c)
#   ext4, xfs  what the kernel has not on the disk: the node's own file system
#              is stopped (godown.c), mounted again, its journal replayed
#   HF_METHOD=M   undo, ext4 or xfs (undo)
#   HF_NODES=N    1 or 3 (3); alone, a node has nobody who makes up for a loss
#   HF_ROUNDS=N   how many times (3)
#   HF_SEED=S     of the first cut; the next ones count on
#   HF_MUTANT=M   (mutants build) the rounds that catch M are counted
#   HF_CATCH=N    so many of them at least (a third)
#   HF_PROGRESS=1 a line a round (else one in the end)
set -eu
method=${HF_METHOD:-undo}
[ "$method" = undo ] || . "${srcdir:-.}/tests/fault/loopfs.sh"
. "${srcdir:-.}/tests/fault/process.sh"

tool=$build/tests/fault
nodes=${HF_NODES:-3}
rounds=${HF_ROUNDS:-3}
seed=${HF_SEED:-$(date +%s)}
# Small files, so that a round also has new segments and snapshots.
CL_FLAGS='--segment-size 1m --snapshot-floor 1m'
# Of the rounds before, so many keys are looked at again.
seen=320
# The preloaded library comes before the sanitizers'; it has none itself.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
export ASAN_OPTIONS
echo "$nodes" >"$CL_DIR/size"

power_on() {
    for i in "$@"; do
        if [ "$method" = undo ]; then
            mkdir -p "$CL_DIR/keep$i"
            CL_WRAP="env LD_PRELOAD=$tool/undo.so
                UNDO_DIR=$CL_DIR/n$i UNDO_KEEP=$CL_DIR/keep$i
                UNDO_LOG=$CL_DIR/undo$i"
        fi
        node_start "$i"
    done
    for i in "$@"; do
        node_wait_ready "$i" 30 || return 1
    done
}

# Killed with one signal; those whose disk is gone may have ended already.
kill_these() {
    # shellcheck disable=SC2046  # a list of numbers
    kill -s KILL $(for i in "$@"; do node_pid "$i" || true; done) \
        2>/dev/null || true
    for i in "$@"; do
        node_wait_gone "$i" 5 || die "node $i does not end"
    done
}

# Dead, and what was not safe is taken back. Status 3 of powercut means that
# the run proves nothing.
cut_undo() {
    kill_these "$@"
    for i in "$@"; do
        "$tool/powercut" $((seed * 10 + i)) "$CL_DIR/n$i" \
            "$CL_DIR/undo$i" >>"$CL_DIR/cuts" ||
            die "seed $seed, node $i: the cut failed"
        rm -rf "$CL_DIR/undo$i" "$CL_DIR/keep$i"
    done
}

# Most cuts come when a log file or a snapshot has just got its name.
cut_loop() {
    how=
    [ $((seed % 7)) != 0 ] || how=flush
    case $((seed % 4)) in
        0) ;;
        1) how="$how snap 600 $((seed % 3 * 100))" ;;
        *) how="$how log 400 $((seed % 5 * 80))" ;;
    esac
    # shellcheck disable=SC2046,SC2086  # lists of words
    "$tool/godown" $how $(for i in "$@"; do echo "$CL_DIR/n$i"; done) \
        >>"$CL_DIR/moved" || die "seed $seed: no shutdown"
    kill_these "$@"
    for i in "$@"; do
        loopfs_umount "$i"
        loopfs_mount "$i" || die "seed $seed: node $i: no mount after the cut"
        echo cut >>"$CL_DIR/cuts"
    done
}

# Which nodes lose power, by seed: all, two of them, one.
victims() {
    [ "$nodes" = 3 ] || {
        cluster_nodes
        return 0
    }
    one=$((seed / 3 % 3 + 1))
    case $((seed % 3)) in
        0) echo 1 2 3 ;;
        1) echo "$one $((one % 3 + 1))" ;;
        2) echo "$one" ;;
    esac
}

# One cut; the reason of a failure goes to $CL_DIR/why.
round() {
    # shellcheck disable=SC2046  # a list of words
    "$build/gap" --writers 16 --seconds 30 --acked "$CL_DIR/acked" \
        $(for i in $(cluster_nodes); do node_at "$i"; done) \
        >"$CL_DIR/gap.out" 2>/dev/null &
    writer=$!
    # Large values, so that log files and snapshots follow one another.
    redis-benchmark -p "$(node_port $((seed % nodes + 1)))" -t set -d 3000 \
        -r 100 -c 4 -n 10000000 >/dev/null 2>&1 &
    beside=$!
    sleep "0.$((seed % 5 + 2))"
    who=$(victims)
    # shellcheck disable=SC2086  # a list of numbers
    case $method in
        undo) cut_undo $who ;;
        *) cut_loop $who ;;
    esac
    kill -KILL "$beside" 2>/dev/null || true
    wait "$beside" 2>/dev/null || true
    beside=
    # shellcheck disable=SC2086
    power_on $who || {
        echo "a node did not start" >"$CL_DIR/why"
        return 1
    }
    kill "$writer" 2>/dev/null || true
    wait "$writer" || true # connections are gone
    writer=
    cat "$CL_DIR/acked" >>"$CL_DIR/acked.all"
    kv --timeout 20s status --wait >/dev/null 2>"$CL_DIR/why" || return 1
    # Each of the 16 had one request under way.
    tail -n "$seen" "$CL_DIR/acked.all" >"$CL_DIR/acked.seen"
    check_acked "$CL_DIR/acked.seen" 1 >"$CL_DIR/why"
}

begin() {
    : >"$CL_DIR/acked.all"
    if [ "$method" != undo ]; then
        for i in $(cluster_nodes); do
            loopfs_make "$method" "$i" 400
        done
    fi
    # shellcheck disable=SC2046  # a list of numbers
    power_on $(cluster_nodes) && cluster_up "$nodes" >/dev/null ||
        die "the cluster did not form"
}

# After a mutant was caught: from nothing.
start_over() {
    # shellcheck disable=SC2046  # a list of numbers
    kill_these $(cluster_nodes)
    [ -z "$writer" ] || wait "$writer" || true
    writer=
    for i in $(cluster_nodes); do
        [ "$method" = undo ] || loopfs_umount "$i"
        rm -rf "$CL_DIR/n$i" "$CL_DIR/undo$i" "$CL_DIR/keep$i"
    done
    rm -f "$CL_DIR/initialised"
}

: >"$CL_DIR/cuts"
: >"$CL_DIR/moved"
begin
writer=
n=0
caught=0
acked=0
while [ "$n" -lt "$rounds" ]; do
    n=$((n + 1))
    seed=$((seed + 1))
    if round; then
        got=$(awk '{ n += $2 } END { print n }' "$CL_DIR/acked")
        acked=$((acked + got))
        [ -z "${HF_PROGRESS:-}" ] ||
            echo "seed $seed: nodes $who: acknowledged $got, none missing"
        [ "$got" -gt 0 ] || die "seed $seed: nothing was acknowledged"
        continue
    fi
    caught=$((caught + 1))
    why="$(head -n 1 "$CL_DIR/why")"
    [ -n "${HF_MUTANT:-}" ] || die "seed $seed: nodes $who: $why"
    echo "seed $seed: caught: $why"
    start_over
    [ "$n" = "$rounds" ] || begin
done
if [ -z "${HF_MUTANT:-}" ]; then # a last look at all
    check_acked "$CL_DIR/acked.all" 1 >"$CL_DIR/why" ||
        die "in the end: $(head -n 1 "$CL_DIR/why")"
fi
[ "$method" != undo ] ||
    awk '{ gsub(",", ""); n += $2; p += $5; r += $8 } END { print NR \
        " nodes lost power: " n " steps seen, " p " not safe, " r \
        " taken back" }' "$CL_DIR/cuts"
if [ -n "${HF_MUTANT:-}" ]; then
    echo "power cuts ($method): $HF_MUTANT caught in $caught of $n"
    [ "$caught" -ge "${HF_CATCH:-$(((n + 2) / 3))}" ]
else
    echo "power cuts ($method, nodes: $nodes): $n rounds," \
        "$(wc -l <"$CL_DIR/cuts") cuts," \
        "$(wc -l <"$CL_DIR/moved") at a new name," \
        "$acked acknowledged, none missing"
fi
