#!/bin/sh
# The leader is killed and cut off, ten times each, under writers that neither
# retry nor reconnect: no error, no number left out or given twice, nothing
# acknowledged is lost. The gaps are printed and not judged: they are measured
# where nothing else runs (./dev failover). Skipped (77) without namespaces.
#   HF_ROUNDS=N   rounds of each fault (10)
set -eu
HF_BUILD=$PWD
HF_ROOT=$(cd "${srcdir:-.}" && pwd)
export HF_BUILD HF_ROOT
command -v redis-cli >/dev/null || exit 77
exec "$HF_ROOT/scripts/failover.sh" --runs "${HF_ROUNDS:-10}" \
    --faults kill,isolate --fault-ms 400 --after-ms 500
