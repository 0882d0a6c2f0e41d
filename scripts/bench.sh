#!/bin/sh
# ./dev bench: see bench/README.md for what is measured and how.
set -eu
. "$(dirname "$0")/lib.sh"

[ -x "$HF_ROOT/build/holdfastd" ] || "$HF_ROOT/scripts/build.sh"
exec "$HF_ROOT/bench/run.sh" "$@"
