#!/bin/sh
# ./dev up [N]: a local cluster of N nodes (1, 3 or 5; default 3).
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"

n=${1:-3}
case $n in
    1 | 3 | 5) ;;
    *)
        echo "usage: ./dev up 1|3|5" >&2
        exit 2
        ;;
esac
[ -x "$CL_BIN/holdfastd" ] && [ -x "$CL_BIN/kv" ] ||
    "$HF_ROOT/scripts/build.sh"
cluster_up "$n" || die "the cluster did not form"
say "use:   redis-cli -p $CL_PORT, or build/kv --endpoints $(cluster_endpoints)"
say "logs:  $CL_DIR/n*.log"
say "stop:  ./dev down"
