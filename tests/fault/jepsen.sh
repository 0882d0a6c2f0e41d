#!/bin/sh
# Five real nodes under every kind of fault and every workload, judged: valid,
# every fault bit, and the leader changed and was killed often enough for it
# to mean something. Skipped (77) without network namespaces.
#   HF_SECONDS=N  how long (180)
#   HF_SEED=S     of clients and faults (the date)
set -eu
build=$PWD
HF_ROOT=$(cd "${srcdir:-.}" && pwd)
export HF_ROOT
. "$HF_ROOT/scripts/lib.sh"

seconds=${HF_SECONDS:-180}
seed=${HF_SEED:-$(date +%s)}
run=$build/tests/jepsen.$$
status=0
"$HF_ROOT/scripts/jepsen.sh" --bin "$build" --nodes 5 --seconds "$seconds" \
    --seed "$seed" --dir "$run" >"$run.out" 2>&1 || status=$?
cat "$run.out"
[ "$status" = 0 ] || exit "$status"
least=$((seconds * 4 / 60)) # the quiet end has none
value() { sed -n 's/.*'"$1"' \([0-9]*\),.*/\1/p' "$run.out"; }
[ "$(value 'leader changes')" -ge "$least" ] || die "too few leader changes"
[ "$(value SIGKILLs)" -ge "$least" ] || die "too few SIGKILLs"
rm -rf "$run" "$run.out"
