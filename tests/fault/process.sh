# Sourced by the tests of real processes: a cluster of its own, in a directory
# of its own under the build directory, on free ports, gone at the end.
# shellcheck shell=sh
build=$PWD
HF_ROOT=$(cd "${srcdir:-.}" && pwd)
export HF_ROOT
[ -x "$build/holdfastd" ] || {
    echo "run by make check in a build directory" >&2
    exit 99
}
command -v redis-cli >/dev/null || exit 77
CL_BIN=$build
CL_DIR=$(mktemp -d "$build/tests/cluster.XXXXXX")
CL_PORT=$("$build/tests/fault/freeport" 5)
. "$HF_ROOT/scripts/lib.sh"
. "$HF_ROOT/scripts/cluster.sh"

process_end() {
    status=$?
    trap - EXIT
    for i in $(cluster_nodes); do
        node_signal "$i" CONT 2>/dev/null || true
        node_kill "$i" || true
    done
    [ -z "${writer:-}" ] || kill "$writer" 2>/dev/null || true
    net_down
    if [ "$status" = 0 ]; then
        rm -rf "$CL_DIR"
    else
        echo "logs and data are kept in $CL_DIR"
        cluster_explain
    fi
    exit "$status"
}
trap process_end EXIT
trap 'exit 1' HUP INT TERM
