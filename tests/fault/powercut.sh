#!/bin/sh
# The power goes on all nodes at once under load: they are killed, and a
# seeded choice of what they had not synced is taken back (undo.c,
# powercut.c). After the restart nothing acknowledged is missing.
#   HF_ROUNDS=N   how many times (3)
#   HF_SEED=S     of the first cut; the next ones count on
#   HF_MUTANT=M   (mutants build) the rounds that catch M are counted, and at
#                 least a third of them must
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

rounds=${HF_ROUNDS:-3}
seed=${HF_SEED:-$(date +%s)}
# Small files, so that a round also has new segments and snapshots.
CL_FLAGS='--segment-size 1m --snapshot-floor 1m'
# The preloaded library comes before the sanitizers'; it has none itself.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
export ASAN_OPTIONS
echo 3 >"$CL_DIR/size"

start_all() {
    for i in $(cluster_nodes); do
        mkdir -p "$CL_DIR/keep$i"
        CL_WRAP="env LD_PRELOAD=$build/tests/fault/undo.so
            UNDO_DIR=$CL_DIR/n$i UNDO_KEEP=$CL_DIR/keep$i
            UNDO_LOG=$CL_DIR/undo$i"
        node_start "$i"
    done
    for i in $(cluster_nodes); do
        node_wait_ready "$i" 30 || return 1
    done
}

# Power off: dead, and what was not safe is taken back. Status 3 of powercut
# means that the run proves nothing.
cut_power() {
    kill_all
    for i in $(cluster_nodes); do
        "$build/tests/fault/powercut" $((seed * 10 + i)) "$CL_DIR/n$i" \
            "$CL_DIR/undo$i" >>"$CL_DIR/cuts" ||
            die "seed $seed, node $i: the cut failed"
        rm -rf "$CL_DIR/undo$i" "$CL_DIR/keep$i"
    done
}

# One cut; the reason of a failure goes to $CL_DIR/why.
round() {
    # shellcheck disable=SC2046  # a list of words
    "$build/gap" --writers 16 --seconds 30 --acked "$CL_DIR/acked" \
        $(for i in $(cluster_nodes); do node_at "$i"; done) \
        >"$CL_DIR/gap.out" 2>/dev/null &
    writer=$!
    sleep "1.$((seed % 10))"
    cut_power
    wait "$writer" || true # its connections are gone
    writer=
    cat "$CL_DIR/acked" >>"$CL_DIR/acked.all"
    start_all || {
        echo "a node did not start" >"$CL_DIR/why"
        return 1
    }
    kv --timeout 20s status --wait >/dev/null 2>"$CL_DIR/why" || return 1
    # Each of the 16 had one request under way.
    check_acked "$CL_DIR/acked" 1 >"$CL_DIR/why" || return 1
    check_acked "$CL_DIR/acked.all" 1 >"$CL_DIR/why"
}

begin() {
    : >"$CL_DIR/acked.all"
    start_all && cluster_up 3 >/dev/null || die "the cluster did not form"
}

begin
n=0
caught=0
while [ "$n" -lt "$rounds" ]; do
    n=$((n + 1))
    seed=$((seed + 1))
    if round; then
        echo "seed $seed: $(cut -d, -f1 "$CL_DIR/gap.out"), none missing"
        continue
    fi
    caught=$((caught + 1))
    why="$(head -n 1 "$CL_DIR/why")"
    [ -n "${HF_MUTANT:-}" ] || die "seed $seed: $why"
    echo "seed $seed: caught: $why"
    for i in $(cluster_nodes); do
        node_kill "$i" || true
        rm -rf "$CL_DIR/n$i" "$CL_DIR/undo$i" "$CL_DIR/keep$i"
    done
    rm -f "$CL_DIR/initialised"
    [ "$n" = "$rounds" ] || begin
done
awk '{ gsub(",", ""); n += $2; p += $5; r += $8 } END { print NR \
    " nodes lost power: " n " steps seen, " p " not safe, " r " taken back" }' \
    "$CL_DIR/cuts"
if [ -n "${HF_MUTANT:-}" ]; then
    echo "power cuts: $HF_MUTANT caught in $caught of $n"
    [ $((caught * 3)) -ge "$n" ]
else
    echo "power cuts: $n of all nodes, nothing acknowledged is missing"
fi
