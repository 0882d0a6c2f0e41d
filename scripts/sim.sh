#!/bin/sh
# ./dev sim --seed S | --seeds N | --minutes M: simulated clusters. A failure
# names its seed and the commit; the same seed replays it exactly.
#
# ./dev sim --engine-asserts ...: the same against an engine with its
# assertions on, in build-asserts/; with --seeds N also N seeds of the driver
# alone (raft_sim). An assertion that fires ends its seed, which failed.
set -eu
. "$(dirname "$0")/lib.sh"

HF_COMMIT=$(commit_name)
export HF_COMMIT
if [ "${1:-}" != --engine-asserts ]; then
    sim=$HF_ROOT/build/holdfast-sim
    [ -x "$sim" ] || "$HF_ROOT/scripts/build.sh"
    exec "$sim" "$@"
fi

shift
engine=$("$HF_ROOT/scripts/engine.sh")
log=$HF_ROOT/build-asserts/build.log
run_logged "$log" "the build in build-asserts" build_dir build-asserts \
    --enable-developer "--with-engine=$engine"
echo "engine: $engine"
status=0
"$HF_ROOT/build-asserts/holdfast-sim" "$@" || status=$?
if [ "${1:-}" = --seeds ]; then
    "$HF_ROOT/build-asserts/tests/sim/raft_sim" --seeds "$2" || status=$?
fi
exit "$status"
