#!/bin/sh
# ./dev down: stop the local cluster; its data stays.
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cluster.sh"

cluster_down
