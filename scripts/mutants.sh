#!/bin/sh
# ./dev mutants [NAME...]: put each deliberate fault in, one at a time, and
# show which test catches it. One line a mutant:
#   NAME  caught by TEST (what is wrong)   or   NOT CAUGHT
# Exit 1 if one is not caught.
#   HF_MUTANT_SEEDS=N  seeds of the simulator for each (300)
set -eu
. "$(dirname "$0")/lib.sh"

"$HF_ROOT/scripts/deps.sh"
dir=$HF_ROOT/build-mutants
mkdir -p "$dir"
run_logged "$dir/build.log" "the mutants build" \
    "$HF_ROOT/scripts/build.sh" mutants
run_logged "$dir/check.log" "the tests without a mutant" \
    make -C "$dir" --no-print-directory -j"$(nproc)" check

# Name of the first test that fails with mutant $1 in place.
caught_by() {
    for t in $(find "$dir/tests/unit" -type f -name 'test_*' -perm -u+x |
        sort); do
        HF_MUTANT=$1 timeout 120 "$t" >/dev/null 2>&1 || {
            basename "$t"
            return 0
        }
    done
    if [ -x "$dir/holdfast-sim" ]; then
        HF_MUTANT=$1 timeout 600 "$dir/holdfast-sim" \
            --seeds "${HF_MUTANT_SEEDS:-300}" --stop \
            >"$dir/sim-$1.log" 2>&1 || {
            echo "simulation, $(grep -m 1 -oE 'seed [0-9]+' "$dir/sim-$1.log")"
            return 0
        }
    fi
    return 1
}

list=$(mktemp)
trap 'rm -f "$list"' EXIT
HF_MUTANT=list "$dir/kv" >"$list"
missed=0
total=0
while read -r name text; do
    case " $* " in '  ' | *" $name "*) ;; *) continue ;; esac
    total=$((total + 1))
    if by=$(caught_by "$name"); then
        printf '%-28s caught by %s (%s)\n' "$name" "$by" "$text"
    else
        printf '%-28s NOT CAUGHT (%s)\n' "$name" "$text"
        missed=$((missed + 1))
    fi
done <"$list"
echo "$total mutants, $((total - missed)) caught, $missed not caught"
[ "$total" -gt 0 ] && [ "$missed" = 0 ]
