#!/bin/sh
# ./dev sim --seed S | --seeds N | --minutes M: simulated clusters. A failure
# names its seed and the commit; the same seed replays it exactly.
set -eu
. "$(dirname "$0")/lib.sh"

sim=$HF_ROOT/build/holdfast-sim
[ -x "$sim" ] || "$HF_ROOT/scripts/build.sh"
HF_COMMIT=$(commit_name)
export HF_COMMIT
exec "$sim" "$@"
