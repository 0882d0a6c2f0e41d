# The one launcher of real clusters (POSIX sh; source it after lib.sh).
# ./dev up, the demo and every test of real processes use it.
#
# Node i of a cluster (i = 1, 2, ...) has its data, pid and log under
# $CL_DIR/n<i>, n<i>.pid, n<i>.log, and these ports on loopback:
#   plain CL_PORT + i - 1, cluster 1000 above it, peers 10000 above it.
#
# Set before use, or leave as they are:
#   CL_DIR   directory of the cluster      ($HF_ROOT/local)
#   CL_PORT  plain port of node 1          (7379)
#   CL_BIN   where holdfastd and kv are    ($HF_ROOT/build)
#   CL_FLAGS more words for each holdfastd (none)
#   CL_WRAP  words in front of holdfastd   (none; env LD_PRELOAD=..., valgrind)
# shellcheck shell=sh

CL_DIR=${CL_DIR:-$HF_ROOT/local}
CL_PORT=${CL_PORT:-7379}
CL_BIN=${CL_BIN:-$HF_ROOT/build}
CL_FLAGS=${CL_FLAGS:-}
CL_WRAP=${CL_WRAP:-}

node_port() { echo $((CL_PORT + $1 - 1)); }
node_log() { echo "$CL_DIR/n$1.log"; }

# How many nodes this cluster was made for; 0 when there is none.
cluster_size() { cat "$CL_DIR/size" 2>/dev/null || echo 0; }
cluster_nodes() { seq 1 "$(cluster_size)"; }

cluster_endpoints() {
    cluster_nodes | while read -r i; do
        printf '127.0.0.1:%d\n' "$(node_port "$i")"
    done | paste -sd , -
}

cluster_peers() {
    cluster_nodes | while read -r i; do
        printf '127.0.0.1:%d\n' $(($(node_port "$i") + 10000))
    done | paste -sd , -
}

# The pid of node $1 if it runs. The pid file may be old and the number used
# by something else by now, so the data directory must be in its words.
node_pid() {
    pid=$(cat "$CL_DIR/n$1.pid" 2>/dev/null) || return 1
    [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] || return 1
    tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null |
        grep -qxF -- "$CL_DIR/n$1" || return 1
    # Dead, but not yet collected by its parent.
    ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null ||
        return 1
    echo "$pid"
}

# Start node $1; returns when the process runs, not when it is ready.
node_start() {
    if node_pid "$1" >/dev/null; then
        return 0
    fi
    port=$(node_port "$1")
    # shellcheck disable=SC2086  # CL_WRAP and CL_FLAGS are lists of words
    setsid $CL_WRAP "$CL_BIN/holdfastd" --data-dir "$CL_DIR/n$1" \
        --listen "127.0.0.1:$port" \
        --peer-listen "127.0.0.1:$((port + 10000))" \
        --join "$(cluster_peers)" $CL_FLAGS \
        >>"$(node_log "$1")" 2>&1 </dev/null &
    started=$!
    echo "$started" >"$CL_DIR/n$1.pid"
    # Until it has become holdfastd it does not look like one.
    while kill -0 "$started" 2>/dev/null && ! node_pid "$1" >/dev/null; do
        grep -q '^State:[[:space:]]*Z' "/proc/$started/status" 2>/dev/null &&
            break
        sleep 0.01
    done
}

# node_signal I SIGNAL
node_signal() {
    pid=$(node_pid "$1") || return 1
    kill -s "$2" "$pid"
}

# node_wait_gone I SECONDS
node_wait_gone() {
    tries=$(($2 * 20))
    while node_pid "$1" >/dev/null; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.05
    done
}

node_kill() {
    node_signal "$1" KILL || return 0
    node_wait_gone "$1" 5
}

# In order: it hands leadership over first.
node_stop() {
    node_signal "$1" TERM || return 0
    node_wait_gone "$1" 15 || node_kill "$1"
}

kv() {
    "$CL_BIN/kv" --endpoints "${KV_ENDPOINTS:-$(cluster_endpoints)}" "$@"
}

# The node that holds the lead, as node $1 (or the first that answers) names
# it: the master of the one shard, known by its cluster port. A node that
# knows no leader names itself, so two must agree.
cluster_leader() {
    first=
    for i in $(cluster_nodes); do
        node_pid "$i" >/dev/null || continue
        lead=$(timeout 3 redis-cli -p "$(node_port "$i")" --raw \
            CLUSTER SLOTS 2>/dev/null | sed -n 4p)
        case $lead in '' | *[!0-9]*) continue ;; esac
        lead=$((lead - 1000 - CL_PORT + 1))
        [ "$lead" -ge 1 ] && [ "$lead" -le "$(cluster_size)" ] || continue
        if [ "$(cluster_size)" = 1 ] || [ "$lead" = "$first" ]; then
            echo "$lead"
            return 0
        fi
        first=$lead
    done
    return 1
}

# cluster_wait_leader SECONDS
cluster_wait_leader() {
    tries=$(($1 * 10))
    until cluster_leader; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
    done
}

# The last words of each node, for a person who asks why.
cluster_explain() {
    for i in $(cluster_nodes); do
        echo "--- node $i ($(node_log "$i"))"
        tail -n 5 "$(node_log "$i")" 2>/dev/null || true
    done >&2
}

# node_wait_ready I SECONDS: its plain port takes connections and answers.
node_wait_ready() {
    tries=$(($2 * 10))
    until timeout 2 redis-cli -p "$(node_port "$1")" PING 2>/dev/null |
        grep -q PONG; do
        tries=$((tries - 1))
        if [ "$tries" -le 0 ] || ! node_pid "$1" >/dev/null; then
            return 1
        fi
        sleep 0.1
    done
}

# cluster_up N: a cluster of N nodes, new or from the data that is there, and
# ready to serve. 1 and a message on stderr if not.
cluster_up() {
    [ -x "$CL_BIN/holdfastd" ] || {
        echo "$CL_BIN/holdfastd is not built" >&2
        return 1
    }
    mkdir -p "$CL_DIR"
    have=$(cluster_size)
    if [ "$have" != 0 ] && [ "$have" != "$1" ]; then
        echo "$CL_DIR holds a cluster of $have nodes, not $1;" \
            "forget it with: rm -r $CL_DIR" >&2
        return 1
    fi
    echo "$1" >"$CL_DIR/size"
    for i in $(cluster_nodes); do
        node_start "$i"
    done
    for i in $(cluster_nodes); do
        node_wait_ready "$i" 10 || {
            echo "node $i did not start" >&2
            cluster_explain
            return 1
        }
    done
    if [ ! -e "$CL_DIR/initialised" ]; then
        kv --timeout 30s init || {
            cluster_explain
            return 1
        }
        : >"$CL_DIR/initialised"
    fi
    kv --timeout 30s status --wait || {
        cluster_explain
        return 1
    }
}

cluster_down() {
    for i in $(cluster_nodes); do
        node_signal "$i" TERM || true
    done
    for i in $(cluster_nodes); do
        node_wait_gone "$i" 15 || node_kill "$i"
        rm -f "$CL_DIR/n$i.pid"
    done
}

# Stop it and forget everything it held.
cluster_wipe() {
    cluster_down
    for i in $(cluster_nodes); do
        rm -rf "$CL_DIR/n$i" "$CL_DIR/n$i.log"
    done
    rm -f "$CL_DIR/size" "$CL_DIR/initialised"
}
