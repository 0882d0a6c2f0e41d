#!/bin/sh
# ./dev bench: beside etcd and redis-server; bench/run.sh says how.
set -eu
. "$(dirname "$0")/lib.sh"

[ -x "$HF_ROOT/build/holdfastd" ] || "$HF_ROOT/scripts/build.sh"
exec "$HF_ROOT/bench/run.sh" "$@"
