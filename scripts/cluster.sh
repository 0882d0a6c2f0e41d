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
#   CL_NET   a name: each node in a network namespace of its own, so that the
#            wires between them can be cut (none; see net_up below; root)
# shellcheck shell=sh

CL_DIR=${CL_DIR:-$HF_ROOT/local}
CL_PORT=${CL_PORT:-7379}
CL_BIN=${CL_BIN:-$HF_ROOT/build}
CL_FLAGS=${CL_FLAGS:-}
CL_WRAP=${CL_WRAP:-}
CL_NET=${CL_NET:-}

# With CL_NET all ports are the same and the hosts differ.
node_host() { if [ -n "$CL_NET" ]; then echo "10.99.0.$1"; else echo 127.0.0.1; fi; }
node_port() { if [ -n "$CL_NET" ]; then echo "$CL_PORT"; else echo $((CL_PORT + $1 - 1)); fi; }
node_at() { echo "$(node_host "$1"):$(node_port "$1")"; }
node_peer_at() { echo "$(node_host "$1"):$(($(node_port "$1") + 10000))"; }
# Words in front of a client's command, and of node $1's.
client_in() { [ -z "$CL_NET" ] || echo "ip netns exec $CL_NET-hub"; }
node_in() { [ -z "$CL_NET" ] || echo "ip netns exec $CL_NET-n$1"; }
# node_cli I WORD...: one command through redis-cli at node I.
node_cli() {
    cli_i=$1
    shift
    # shellcheck disable=SC2046  # a list of words
    $(client_in) timeout 10 redis-cli -h "$(node_host "$cli_i")" \
        -p "$(node_port "$cli_i")" "$@"
}
node_log() { echo "$CL_DIR/n$1.log"; }

# How many nodes this cluster was made for; 0 when there is none.
cluster_size() { cat "$CL_DIR/size" 2>/dev/null || echo 0; }
cluster_nodes() { seq 1 "$(cluster_size)"; }

cluster_endpoints() {
    cluster_nodes | while read -r i; do
        node_at "$i"
    done | paste -sd , -
}

cluster_peers() {
    cluster_nodes | while read -r i; do
        node_peer_at "$i"
    done | paste -sd , -
}

# The pid of node $1 if it runs. The pid file may be old and the number used
# by something else by now, so the data directory must be in its words.
node_pid() {
    pid=$(cat "$CL_DIR/n$1.pid" 2>/dev/null) || return 1
    [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] || return 1
    words=$({ tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null) ||
        return 1
    if [ -n "$words" ]; then
        printf '%s\n' "$words" | grep -qxF -- "$CL_DIR/n$1" || return 1
    else
        # Killed: its words go with its memory, before its ports are free.
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = holdfastd ] || return 1
    fi
    # Dead, but not yet collected by its parent. While other threads of it
    # still end, its ports are taken and its directory is locked.
    if awk '/^State:/ { z = $2 == "Z" } /^Threads:/ { t = $2 }
        END { exit !(z && t <= 1) }' "/proc/$pid/status" 2>/dev/null; then
        return 1
    fi
    echo "$pid"
}

# What stands in front of node $1's holdfastd; a script may have its own.
node_wrap() { echo "$CL_WRAP"; }

# The words of node $1's command line, one a line.
node_words() {
    # shellcheck disable=SC2046,SC2086  # lists of words
    printf '%s\n' $(node_in "$1") $(node_wrap "$1") "$CL_BIN/holdfastd" \
        --data-dir "$CL_DIR/n$1" --listen "$(node_at "$1")" \
        --peer-listen "$(node_peer_at "$1")" \
        --join "$(cluster_peers)" ${CL_NET:+--insecure} $CL_FLAGS
}

# Start node $1; returns when the process runs, not when it is ready.
node_start() {
    if node_pid "$1" >/dev/null; then
        return 0
    fi
    # shellcheck disable=SC2046  # a list of words
    setsid $(node_words "$1") >>"$(node_log "$1")" 2>&1 </dev/null &
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
    node_wait_gone "$1" 30
}

# node_pause I, and node_resume I: it stands still and goes on.
node_pause() { node_signal "$1" STOP; }
node_resume() { node_signal "$1" CONT; }

# node_wipe I: killed, and all it held is gone; its log stays.
node_wipe() {
    node_kill "$1"
    rm -rf "${CL_DIR:?}/n$1"
}

# node_upgrade I DIR: ended in order, and started with DIR/holdfastd.
node_upgrade() {
    node_stop "$1"
    upgrade_from=$CL_BIN
    CL_BIN=$2
    node_start "$1"
    CL_BIN=$upgrade_from
}

# In order: it hands leadership over first.
node_stop() {
    node_signal "$1" TERM || return 0
    node_wait_gone "$1" 15 || node_kill "$1"
}

kv() {
    # shellcheck disable=SC2046  # a list of words
    $(client_in) "$CL_BIN/kv" \
        --endpoints "${KV_ENDPOINTS:-$(cluster_endpoints)}" "$@"
}

# The node that holds the lead, as node $1 (or the first that answers) names
# it: the master of the one shard, known by its cluster port. A node that
# knows no leader names itself, so two must agree.
cluster_leader() {
    first=
    for i in $(cluster_nodes); do
        node_pid "$i" >/dev/null || continue
        at=$(node_cli "$i" --raw CLUSTER SLOTS 2>/dev/null |
            sed -n 3,4p | paste -sd : -)
        lead=
        for k in $(cluster_nodes); do
            if [ "$at" = "$(node_host "$k"):$(($(node_port "$k") + 1000))" ]
            then
                lead=$k
            fi
        done
        [ -n "$lead" ] || continue
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
    until node_cli "$1" PING 2>/dev/null | grep -q PONG; do
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
        node_wait_ready "$i" 30 || {
            echo "node $i did not start" >&2
            cluster_explain
            return 1
        }
    done
    if [ ! -e "$CL_DIR/initialised" ]; then
        # A node answers clients a moment before its peers.
        tries=5
        until kv --timeout 30s init 2>"$CL_DIR/init.err"; do
            tries=$((tries - 1))
            if [ "$tries" -le 0 ]; then
                cat "$CL_DIR/init.err" >&2
                cluster_explain
                return 1
            fi
            sleep 0.5
        done
        rm -f "$CL_DIR/init.err"
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

# ---- wires that can be cut (CL_NET): a hub with a bridge and the clients,
# one namespace a node, every rule in the hub's FORWARD, so that nodes see
# nothing and the machine's own network is not touched.

# net_up N: 1 if this machine cannot.
net_up() {
    [ "$(id -u)" = 0 ] && command -v ip >/dev/null &&
        command -v iptables >/dev/null || return 1
    ip netns add "$CL_NET-hub" 2>/dev/null || return 1
    (
        set -e
        hub="ip -n $CL_NET-hub"
        $hub link set lo up
        $hub link add br0 type bridge
        $hub link set br0 up
        $hub addr add 10.99.0.100/24 dev br0
        for i in $(seq 1 "$1"); do
            ip netns add "$CL_NET-n$i"
            $hub link add "v$i" type veth peer name eth0 netns "$CL_NET-n$i"
            $hub link set "v$i" master br0 up
            ip -n "$CL_NET-n$i" link set lo up
            ip -n "$CL_NET-n$i" addr add "10.99.0.$i/24" dev eth0
            ip -n "$CL_NET-n$i" link set eth0 up
        done
        ip netns exec "$CL_NET-hub" sysctl -qw \
            net.bridge.bridge-nf-call-iptables=1
        ip netns exec "$CL_NET-hub" iptables -w -F FORWARD
    ) 2>/dev/null || {
        net_down
        return 1
    }
}

# Processes in them must have ended.
net_down() {
    [ -n "$CL_NET" ] || return 0
    for ns in $(ip netns list 2>/dev/null | awk '{ print $1 }' |
        grep -x -e "$CL_NET-hub" -e "$CL_NET-n[0-9]*"); do
        ip netns del "$ns"
    done
}

# net_cut I: nothing passes between node I and the other nodes; all at once.
net_cut() {
    {
        echo '*filter'
        for k in $(cluster_nodes); do
            [ "$k" != "$1" ] || continue
            echo "-A FORWARD -s $(node_host "$1") -d $(node_host "$k") -j DROP"
            echo "-A FORWARD -s $(node_host "$k") -d $(node_host "$1") -j DROP"
        done
        echo COMMIT
    } | ip netns exec "$CL_NET-hub" iptables-restore -w --noflush
}

# How many packets the cuts have swallowed: none means they did not work.
net_dropped() {
    ip netns exec "$CL_NET-hub" iptables -w -nvxL FORWARD |
        awk '$3 == "DROP" { n += $1 } END { print n + 0 }'
}

net_heal() { ip netns exec "$CL_NET-hub" iptables -w -F FORWARD; }
