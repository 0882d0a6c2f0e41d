#!/bin/sh
# Readers with caches while leaders are killed and cut off: never behind what
# they know, and told of every change. Skipped (77) without network namespaces.
#   HF_SECONDS=N  how long (100)
#   HF_SEED=S     of clients and faults (the date)
#   HF_KILLS=N    leaders killed at least, and leaders cut off at least (10)
set -eu
build=$PWD
HF_ROOT=$(cd "${srcdir:-.}" && pwd)
export HF_ROOT
. "$HF_ROOT/scripts/lib.sh"

seed=${HF_SEED:-$(date +%s)}
least=${HF_KILLS:-10}
run=$build/tests/tracking.$$
status=0
"$HF_ROOT/scripts/jepsen.sh" --bin "$build" --nodes 5 \
    --seconds "${HF_SECONDS:-100}" --seed "$seed" --dir "$run" \
    --workload tracking,register --nemesis kill-leader,isolate,split,one-way \
    >"$run.out" 2>&1 || status=$?
cat "$run.out"
[ "$status" = 0 ] || exit "$status"
# How often fault $1 was made.
made() { sed -n "s/^  $1  *\([0-9]*\), bit.*/\1/p" "$run.out"; }
kills=$(made kill-leader)
cuts=$(made isolate)
[ "${kills:-0}" -ge "$least" ] || die "too few leaders killed: $kills"
[ "${cuts:-0}" -ge "$least" ] || die "too few leaders cut off: $cuts"
say "$kills leaders killed, $cuts cut off, $(made split) splits: nothing older" \
    "than known in $(sed -n 's/^tracking .* keys, //p' "$run.out")"
rm -rf "$run" "$run.out"
