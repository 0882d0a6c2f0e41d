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
    [ -z "${beside:-}" ] || kill -KILL "$beside" 2>/dev/null || true
    [ -z "${writer:-}" ] || kill "$writer" 2>/dev/null || true
    net_down
    # A frozen one first thaws.
    for m in $(awk -v d="$CL_DIR/" 'index($2, d) == 1 { print $2 }' \
        /proc/self/mounts); do
        [ -z "${frozen:-}" ] || fsfreeze -u "$m" 2>/dev/null || true
        umount "$m" 2>/dev/null || umount -l "$m" || true
    done
    if [ "$status" = 0 ]; then
        rm -rf "$CL_DIR"
    else
        echo "logs and data are kept in $CL_DIR"
        cluster_explain
    fi
    exit "$status"
}
trap process_end EXIT
trap 'exit 1' HUP INT TERM PIPE

# check_acked FILE MORE: each line of FILE is a key and the number that was
# acknowledged last; every node has that, or at most MORE above it (applied,
# but the reply was lost). What is wrong goes to stdout.
check_acked() {
    for i in $(cluster_nodes); do
        awk '{ print "GET " $1 }' "$1" | node_cli "$i" >"$CL_DIR/have" \
            2>/dev/null || {
            echo "node $i does not answer"
            return 1
        }
        paste -d ' ' "$1" "$CL_DIR/have" | awk -v node="$i" -v more="$2" '
            $3 == "" || $3 + 0 < $2 || $3 + 0 > $2 + more {
                print "node " node ": " $1 " is \"" $3 \
                    "\", acknowledged was " $2
                bad = 1
            }
            END { exit bad || NR == 0 }' || return 1
    done
}

# kill_all: every node with one signal, as when the power goes.
kill_all() {
    # shellcheck disable=SC2046  # a list of numbers
    kill -s KILL $(for i in $(cluster_nodes); do node_pid "$i"; done)
    for i in $(cluster_nodes); do
        node_wait_gone "$i" 30
    done
}

# Key and value number $1 of fill: 16 and 100 bytes.
key() { printf 'k:%014d' "$1"; }
value() { printf '%0100d' "$1"; }

# fill N: N keys through node 1.
fill() {
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++)
        printf "SET k:%014d %0100d\r\n", i, i }' |
        redis-cli -p "$(node_port 1)" --pipe >"$CL_DIR/fill" 2>&1 &&
        grep -q 'errors: 0' "$CL_DIR/fill" ||
        die "filling failed: $(tail -n 3 "$CL_DIR/fill")"
    [ "$(node_cli 1 DBSIZE)" = "$1" ] || die "not $1 keys"
}
