#!/bin/sh
# ./dev sim --seed S | --seeds N | --minutes M: simulated clusters. A failure
# names its seed and the commit; the same seed replays it exactly.
# ./dev sim --campaign [--seeds N | --minutes M] [--jobs J] [--stop]: go on
# after the highest seed in the ledger, in pieces, until N seeds or M minutes
# are done (10 minutes), beside whatever else the machine does. Failed seeds
# are recorded and listed; --stop ends at the first piece that has one.
#   HF_SIM_PIECE=N   seeds of a piece (1000)
# --fast, with --campaign: build it for speed first (./dev build fast).
# ./dev sim --kept: the seeds that found something: tests/sim/seeds.txt, and
# tests/sim/raft_seeds.txt for the driver alone (raft_sim).
# ./dev sim --engine-asserts ...: the same against an engine with its
# assertions on; with --seeds N also N seeds of the driver alone (raft_sim).
# An assertion that fires ends its seed, which failed.
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/ledger.sh"

if [ "${1:-}" = --engine-asserts ]; then
    shift
    exec "$HF_ROOT/scripts/engine.sh" --sim "$@"
fi
sim=$HF_ROOT/build/holdfast-sim
[ -x "$sim" ] || "$HF_ROOT/scripts/build.sh"
HF_COMMIT=$(commit_name)
export HF_COMMIT
if [ "${1:-}" = --kept ]; then
    bad=0
    for seed in $(sed 's/#.*//' "$HF_ROOT/tests/sim/seeds.txt" |
        awk '{ print $1 }'); do
        "$sim" --seed "$seed" >/dev/null 2>&1 || {
            say "FAILED seed $seed, again: ./dev sim --seed $seed --verbose"
            bad=$((bad + 1))
        }
    done
    drivers=$HF_ROOT/build/tests/sim/raft_sim
    [ -x "$drivers" ] || "$HF_ROOT/scripts/build.sh"
    for seed in $(sed 's/#.*//' "$HF_ROOT/tests/sim/raft_seeds.txt" |
        awk '{ print $1 }'); do
        "$drivers" --seed "$seed" --seeds 1 || {
            say "FAILED seed $seed of raft_sim"
            bad=$((bad + 1))
        }
    done
    [ "$bad" = 0 ]
    exit
fi
case " $* " in
    *' --campaign '*) ;;
    *) exec "$sim" "$@" ;;
esac

# piece FROM N: run, record and show it. Status 1 if a seed failed; events
# that are rare in a small piece are no failure.
piece() {
    out=$(mktemp)
    t0=$(now_ms)
    nice -n 19 "$sim" --from "$1" --seeds "$2" --jobs "$jobs" >"$out" 2>&1 ||
        true # the numbers below say it better
    seconds=$((($(now_ms) - t0 + 500) / 1000))
    failed=$(sed -n 's/^FAILED seed \([0-9]*\) .*/\1/p' "$out" | xargs)
    passed=$(sed -n 's/^seeds: \([0-9]*\) passed.*/\1/p' "$out")
    failures=$(sed -n 's/^seeds:.* \([0-9]*\) failed$/\1/p' "$out")
    # One that was interrupted is no piece.
    [ -n "$passed" ] || { tail -n 5 "$out" >&2; rm -f "$out"; exit 130; }
    faults=$(awk '$2 == "faults" { n = $1 } END { print n + 0 }' "$out")
    hours=$(sed -n 's/.* seeds, \([0-9.]*\) virtual hours.*/\1/p' "$out")
    ledger_add sim "from=$1" "to=$(($1 + $2 - 1))" "count=$2" \
        "seconds=$seconds" "faults=$faults" "failures=$failures" \
        "virtual_hours=$hours" "failed=$failed"
    grep '^FAILED' "$out" || true
    rm -f "$out"
    say "seeds $1 to $(($1 + $2 - 1)): $passed passed, $failures failed," \
        "$faults faults, $hours virtual hours, $seconds s"
    [ "$failures" = 0 ]
}

jobs=$(nproc)
seeds=
minutes=
stop=no
fast=no
while [ $# -gt 0 ]; do
    case $1 in
        --campaign) ;;
        --stop) stop=yes ;;
        --fast) fast=yes ;;
        --seeds | --minutes | --jobs)
            case ${2:-} in '' | *[!0-9]*) die "$1 takes a number" ;; esac
            eval "${1#--}=\$2"
            shift
            ;;
        *) die "a campaign takes --seeds, --minutes, --jobs, --stop" ;;
    esac
    shift
done
if [ "$fast" = yes ]; then
    "$HF_ROOT/scripts/build.sh" fast >/dev/null 2>&1 ||
        die "the fast build failed: ./dev build fast"
    sim=$HF_ROOT/build-fast/holdfast-sim
fi
[ -n "$seeds" ] || minutes=${minutes:-10}
end=$(($(now_ms) + ${minutes:-0} * 60000))
left=${seeds:-0}
bad=0
while :; do
    if [ -n "$minutes" ] && [ "$(now_ms)" -ge "$end" ]; then break; fi
    if [ -n "$seeds" ] && [ "$left" -le 0 ]; then break; fi
    n=${HF_SIM_PIECE:-1000}
    if [ -n "$seeds" ] && [ "$n" -gt "$left" ]; then n=$left; fi
    piece "$(ledger_next sim)" "$n" || bad=$((bad + 1))
    left=$((left - n))
    if [ "$bad" -gt 0 ] && [ "$stop" = yes ]; then break; fi
done
ledger_print | grep -E '^(kind|sim) '
[ "$bad" = 0 ]
