#!/bin/sh
# ./dev sim --seed S | --seeds N | --minutes M: simulated clusters. A failure
# names its seed and the commit; the same seed replays it exactly.
set -eu
. "$(dirname "$0")/lib.sh"

sim=$HF_ROOT/build/holdfast-sim
[ -x "$sim" ] || "$HF_ROOT/scripts/build.sh"
HF_COMMIT=$(git -C "$HF_ROOT" rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git -C "$HF_ROOT" status --porcelain 2>/dev/null)" ] ||
    HF_COMMIT=$HF_COMMIT+changes
export HF_COMMIT
exec "$sim" "$@"
