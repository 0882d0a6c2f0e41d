#!/bin/sh
# ./dev mutants [--part PART] [NAME...]: put each deliberate fault in, one at
# a time, and show which test catches it. One line a mutant:
#   NAME  caught by TEST: CASE, SECONDS (what is wrong)   or   NOT CAUGHT
# PART is one of acl driver log peer store node edge feed client jepsen server.
# Exit 1 if one is not caught.
#
# The tests most likely to catch it come first, then the other unit tests,
# then (for log) storage faults, then simulated clusters. A test that does not
# end within its time counts as one that caught it; simulated clusters notice
# by themselves what hangs.
#   HF_MUTANT_SEEDS=N  simulated seeds for each (300)
#   HF_MUTANT_JOBS=N   mutants at once (2)
set -eu
. "$(dirname "$0")/lib.sh"

dir=$HF_ROOT/build-mutants
out=$dir/mutants
seeds=${HF_MUTANT_SEEDS:-300}
parts="acl driver log peer store node edge feed client jepsen server"
unit_seconds=60
sim_seconds=600

# As "make check" runs them.
export srcdir="$HF_ROOT"

unit_tests() {
    find "$dir/tests/unit" -type f -name 'test_*' -perm -u+x |
        sed 's,.*/,,' | sort
}

# The tests that are about part $1.
likely() {
    case $1 in
        acl) echo "test_acl test_machine test_conn" ;;
        driver) echo "test_driver test_pace" ;;
        log) echo "test_wal test_vote test_snap test_identity test_formats" ;;
        peer) echo "test_peer test_snapxfer test_message" ;;
        node) echo "test_node test_push test_bounds" ;;
        store) echo "test_machine test_store test_map test_strings" ;;
        feed) echo "test_feed test_node test_client" ;;
        edge)
            echo "test_conn test_pubsub test_tracking test_push" \
                "test_bounds test_command test_machine"
            ;;
        client) echo "test_client test_resp test_kv test_kv_bench" ;;
        server) echo "test_server test_node" ;;
        jepsen) find "$dir/tests/unit" -type f -perm -u+x \
            \( -name 'test_check*' -o -name 'test_history_out' \) |
            sed 's,.*/,,' ;;
    esac
}

# The likely ones, then the rest.
in_order() {
    first=$(likely "$1")
    for t in $first; do
        echo "$t"
    done
    unit_tests | while read -r t; do
        case " $first " in *" $t "*) ;; *) echo "$t" ;; esac
    done
}

# The first case that failed, or the one that ran when the program ended.
failed_case() {
    sed -n 's/^\[  FAILED  \] \([a-z][^ ]*\)$/\1/p' "$1" | head -n 1 |
        grep . || sed -n 's/^\[ RUN      \] //p' "$1" | tail -n 1
}

# unit LOG TEST: true if the test fails; prints which case.
unit() {
    status=0
    # A shell of its own: the one that waits tells of a crash.
    (cd "$dir" && timeout "$unit_seconds" "tests/unit/$2" || exit $?) \
        >"$1" 2>&1 || status=$?
    case $status in
        0) return 1 ;;
        124) why=", which did not end" ;;
        126 | 127) die "$2 cannot be run" ;;
        *) why= ;;
    esac
    echo "$2: $(failed_case "$1")$why"
}

# sim LOG NAME PROGRAM ARGUMENT...: true if a seed fails; prints which.
sim() {
    log=$1
    name=$2
    shift 2
    status=0
    (timeout "$sim_seconds" "$@" --mutant "$name" || exit $?) \
        >"$log" 2>&1 || status=$?
    seed=$(grep -m 1 -oE 'seed [0-9]+' "$log" || true)
    case $status in
        0 | 124) return 1 ;;
        1) [ -n "$seed" ] || die "see $log" ;;
        *)
            [ "$status" -gt 128 ] || die "see $log"
            seed=${seed:-"a crash"}
            ;;
    esac
    echo "$(basename "$1"), $seed"
}

drivers() {
    for scenario in 0 1 2 3 4; do
        sim "$1" "$2" "$dir/tests/sim/raft_sim" \
            --scenario "$scenario" --seeds "$seeds" -x && return 0
    done
    return 1
}

# Storage faults: the sweeps, a sample of each.
storm() {
    for sweep in "files" "flips --points 20000" "errors --points 600" \
        "cuts --points 50000"; do
        status=0
        # shellcheck disable=SC2086  # words
        (cd "$dir" && timeout "$unit_seconds" ./holdfast-storm $sweep \
            --quiet --jobs 1 --mutant "$2" || exit $?) >"$1" 2>&1 || status=$?
        case $status in
            0) ;;
            2 | 126 | 127) die "see $1" ;;
            *)
                echo "holdfast-storm ${sweep%% *}"
                return 0
                ;;
        esac
    done
    return 1
}

clusters() {
    # First what found something before.
    for kept in $(sed 's/[# ].*//' "$HF_ROOT/tests/sim/seeds.txt"); do
        sim "$1" "$2" "$dir/holdfast-sim" --seed "$kept" && return 0
    done
    sim "$1" "$2" "$dir/holdfast-sim" --seeds "$seeds" --stop --jobs 1
}

# A short run of real nodes that must not pass: a fault that does not bite
# makes it void.
harness() {
    rm -rf "$out/jepsen-$2"
    status=0
    "$HF_ROOT/scripts/jepsen.sh" --bin "$dir" --nodes 3 --seconds 20 \
        --workload counter --nemesis kill-any,isolate-any --seed 4 \
        --dir "$out/jepsen-$2" >"$1" 2>&1 || status=$?
    case $status in
        0) return 1 ;;
        77) die "$(tail -n 1 "$1")" ;;
    esac
    why=$(sed -n 's/^nemesis: //p' "$1")
    echo "jepsen.sh: ${why:-$(tail -n 3 "$1" | head -n 1)}"
}

# What catches mutant $2 of part $1.
caught_by() {
    log=$out/$2.log
    tried=
    tests=$(in_order "$1")
    # The rest knows nothing of the harness.
    [ "$1" != jepsen ] || tests=$(likely jepsen)
    for t in $tests; do
        HF_MUTANT=$2 unit "$log" "$t" && return 0
        if [ "$1" = driver ] && [ -z "$tried" ]; then
            tried=yes
            drivers "$log" "$2" && return 0
        fi
    done
    if [ "$1" = jepsen ]; then
        HF_MUTANT=$2 harness "$log" "$2"
        return
    fi
    if [ "$1" = log ]; then
        storm "$log" "$2" && return 0
    fi
    clusters "$log" "$2"
}

# One mutant: its line, and a file for the total.
one() {
    from=$(now_ms)
    text=$(HF_MUTANT=list "$dir/kv" | sed -n "s/^$2 //p")
    if by=$(caught_by "$1" "$2"); then
        by="caught by $by"
    else
        by="NOT CAUGHT"
    fi
    s=$((($(now_ms) - from + 500) / 1000))
    printf '%-26s %s, %d s (%s)\n' "$2" "$by" "$s" "$text" |
        tee "$out/$2.result"
}

# Every test must pass without a mutant, or it proves nothing with one.
baseline() {
    [ -x "$dir/tests/unit/$1" ] || die "$1 was not built"
    if by=$(unit "$out/$1.log" "$1"); then
        tail -n 30 "$out/$1.log" >&2
        die "without a mutant: $by"
    fi
}

part_of() {
    for p in $parts; do
        ! grep -q "M($1," "$HF_ROOT/base/mutants_$p.def.h" || echo "$p"
    done
}

# "PART NAME" of what was asked for.
selected() {
    HF_MUTANT=list "$dir/kv" | while read -r name _; do
        p=$(part_of "$name")
        [ -n "$p" ] || die "$name is in no part"
        [ -z "$part" ] || [ "$p" = "$part" ] || continue
        case " $* " in
            '  ' | *" $name "*) echo "$p $name" ;;
        esac
    done
}

# For xargs, below.
case "${1:-}" in
    --one)
        one "$2" "$3"
        exit
        ;;
    --baseline)
        baseline "$2"
        exit
        ;;
esac

part=
if [ "${1:-}" = --part ]; then
    part=${2:-}
    case " $parts " in
        *" $part "*) ;;
        *) die "the parts: $parts" ;;
    esac
    shift 2
fi
mkdir -p "$out"
run_logged "$dir/build.log" "the mutants build" \
    "$HF_ROOT/scripts/build.sh" mutants
run_logged "$dir/check.log" "the build of the tests" \
    make -C "$dir" --no-print-directory -j"$(nproc)" check TESTS=
selected "$@" >"$out/list"
for name in "$@"; do
    grep -q " $name\$" "$out/list" || die "no mutant is called $name"
done
rm -f "$out"/*.result
at_once=${HF_MUTANT_JOBS:-2}
unit_tests | xargs -n 1 -P "$at_once" "$0" --baseline
if grep -q '^jepsen ' "$out/list" && by=$(harness "$out/jepsen.log" none); then
    die "without a mutant: $by"
fi
xargs -n 2 -P "$at_once" "$0" --one <"$out/list"
total=$(wc -l <"$out/list")
missed=$(cat "$out"/*.result | grep -c ' NOT CAUGHT,' || true)
done=$(find "$out" -name '*.result' | wc -l)
echo "$total mutants, $((done - missed)) caught, $missed not caught"
[ "$total" -gt 0 ] && [ "$done" = "$total" ] && [ "$missed" = 0 ]
