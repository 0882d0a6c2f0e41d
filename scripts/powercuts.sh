#!/bin/sh
# ./dev powercuts [--rounds N] [--method undo|ext4|xfs|all] [--seed S]
# Cuts the power of real nodes under load N times (100) and looks that nothing
# acknowledged is missing. Methods and rounds: tests/fault/powercut.sh; "all"
# spends the rounds 4:3:3 on undo, ext4 and xfs. A quarter of the rounds are
# about a node alone, the rest about three. Each piece of 25 rounds goes to
# the ledger; without --seed it goes on where the last one ended. As root.
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/ledger.sh"

piece=25
rounds=100
method=all
seed=
while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || die "$1 needs a value"
    case $1 in
        --rounds) rounds=$2 ;;
        --method) method=$2 ;;
        --seed) seed=$2 ;;
        *) die "no such flag: $1" ;;
    esac
    shift 2
done
case $method in undo | ext4 | xfs | all) ;; *) die "no such method: $method" ;; esac
[ "$rounds" -gt 0 ] 2>/dev/null || die "not a number of rounds: $rounds"

HF_COMMIT=$(commit_name)
export HF_COMMIT
"$HF_ROOT/scripts/build.sh" >/dev/null
log=$HF_ROOT/build/powercuts.log
make -C "$HF_ROOT/build" --no-print-directory -s check TESTS= >"$log" 2>&1 ||
    die "the tests did not build ($log)"

# The method of piece $1 of 10.
method_of() {
    if [ "$method" != all ]; then
        echo "$method"
        return 0
    fi
    case $1 in
        0 | 3 | 6 | 9) echo undo ;;
        1 | 4 | 7) echo ext4 ;;
        *) echo xfs ;;
    esac
}

done_=0
cuts=0
acked=0
failures=0
k=0
begun=$(now_ms)
while [ "$done_" -lt "$rounds" ]; do
    n=$((rounds - done_))
    [ "$n" -le "$piece" ] || n=$piece
    m=$(method_of $((k % 10)))
    # Each method gets its share of both.
    nodes=3
    [ $(((k + k / 10) % 4)) != 3 ] || nodes=1
    k=$((k + 1))
    from=${seed:-$(ledger_next powercut)}
    [ -z "$seed" ] || seed=$((seed + n))
    out=$HF_ROOT/build/powercuts-$from.log
    start=$(now_ms)
    status=0
    # The first round's seed is the one after HF_SEED.
    (cd "$HF_ROOT/build" && env srcdir="$HF_ROOT" HF_PROGRESS=1 \
        HF_METHOD="$m" HF_NODES="$nodes" HF_ROUNDS="$n" \
        HF_SEED=$((from - 1)) sh "$HF_ROOT/tests/fault/powercut.sh") \
        >"$out" 2>&1 || status=$?
    [ "$status" != 77 ] || die "$m: $(tail -n 1 "$out")"
    last=$(grep '^power cuts' "$out" | tail -n 1)
    c=$(echo "$last" | sed -n 's/.* \([0-9]*\) cuts.*/\1/p')
    a=$(echo "$last" | sed -n 's/.* \([0-9]*\) acknowledged.*/\1/p')
    ran=$(grep -c '^seed ' "$out" || true)
    [ "$status" = 0 ] || {
        failures=$((failures + 1))
        say "FAILED: $(grep -m 1 '^error: ' "$out"); $out"
    }
    done_=$((done_ + n))
    cuts=$((cuts + ${c:-0}))
    acked=$((acked + ${a:-0}))
    ledger_add powercut "method=$m" "nodes=$nodes" "from=$from" \
        "to=$((from + n - 1))" "count=$ran" "faults=${c:-0}" \
        "seconds=$((($(now_ms) - start + 500) / 1000))" \
        "acknowledged=${a:-0}" "failures=$((status != 0))"
    say "$done_ of $rounds: ${last:-seeds $from-$((from + n - 1)) failed}"
    [ "$status" != 0 ] || rm -f "$out"
done
say "power cuts: $done_ rounds, $cuts cuts of nodes, $acked acknowledged," \
    "$failures failures, $((($(now_ms) - begun) / 1000)) s"
[ "$failures" = 0 ]
