#!/bin/sh
# Bad input, and what it gets: data directories that are not right, wrong
# settings, kv init at the wrong moment, peers and clients without manners.
# Each is refused with its reason and its exit status; nothing is lost
# silently, and nobody else notices.
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

tool=$build/tests/fault
checks=0
# A port of its own for each node that a case starts; 5 nodes fit above.
port=$((CL_PORT + 4))
at="--listen 127.0.0.1:$port --peer-listen 127.0.0.1:$((port + 10000))"

ok() {
    checks=$((checks + 1))
    echo "ok: $*"
}

# refuses STATUS PATTERN NAME WORD...: holdfastd with these words ends with
# STATUS and says PATTERN (extended); with status 2 in one line.
refuses() {
    want=$1
    pattern=$2
    name=$3
    shift 3
    status=0
    timeout 20 "$CL_BIN/holdfastd" "$@" >"$CL_DIR/out" 2>&1 </dev/null ||
        status=$?
    [ "$status" = "$want" ] ||
        die "$name: status $status, not $want: $(cat "$CL_DIR/out")"
    grep -qE -- "$pattern" "$CL_DIR/out" ||
        die "$name: no \"$pattern\" in: $(cat "$CL_DIR/out")"
    [ "$want" != 2 ] || [ "$(wc -l <"$CL_DIR/out")" = 1 ] ||
        die "$name: not one line: $(cat "$CL_DIR/out")"
    ok "$name: status $status: $(grep -E -- "$pattern" "$CL_DIR/out" |
        tail -n 1 | sed 's/^[^ ]*Z //')"
}

# run_start WORD...: a node in the background; run_end kills it.
run_start() {
    # shellcheck disable=SC2086  # a list of words
    ${run_in:-} "$CL_BIN/holdfastd" "$@" >"$CL_DIR/run.log" 2>&1 </dev/null &
    beside=$!
}
run_end() {
    kill -KILL "$beside" 2>/dev/null || true
    wait "$beside" 2>/dev/null || true
    beside=
}
run_ready() {
    tries=100
    until redis-cli -p "$port" PING 2>/dev/null | grep -q PONG; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "$1: $(cat "$CL_DIR/run.log")"
        sleep 0.1
    done
}

# ---- settings ----

settings() {
    d="--data-dir $CL_DIR/none"
    # shellcheck disable=SC2086  # lists of words
    {
        refuses 2 'data-dir: missing' "no data directory" $at
        refuses 2 'no such flag' "an unknown flag" $d --nonsense 1
        refuses 2 'needs a value' "a flag without its value" --data-dir
        refuses 2 'not HOST:PORT' "a port out of range" $d \
            --listen 127.0.0.1:70000
        refuses 2 'given twice' "a flag given twice" $d $d
        refuses 2 'not a number from' "a number out of range" $d \
            --heartbeat 1
        refuses 2 'neither auto nor refuse' "a repair of no kind" $d \
            --repair perhaps
        refuses 2 'more than a third' "contradictory times" $d \
            --heartbeat 200 --election-timeout 300
        refuses 2 'are both' "one port for two things" $d \
            --listen 127.0.0.1:$port --peer-listen 127.0.0.1:$port
        refuses 2 'peer-listen' "a peer that cannot reach us" $d $at \
            --join 10.1.2.3:17379
        refuses 2 'insecure' "beyond loopback" $d --listen 0.0.0.0:$port
        refuses 2 'cannot read' "a missing settings file" $d \
            --config "$CL_DIR/no.conf"
        refuses 2 '--join name.invalid:1: ' "a name that nobody knows" $d \
            --listen "127.0.0.1:$port" --insecure \
            --peer-listen "0.0.0.0:$((port + 10000))" \
            --announce-peer "127.0.0.1:$((port + 10000))" \
            --join name.invalid:1
    }
    printf 'listen = 127.0.0.1:%d\nnonsense = 1\n' "$port" >"$CL_DIR/bad.conf"
    # shellcheck disable=SC2086  # lists of words
    refuses 2 'no such setting' "an unknown setting in the file" $d \
        --config "$CL_DIR/bad.conf"
    printf 'listen 127.0.0.1\n' >"$CL_DIR/bad.conf"
    # shellcheck disable=SC2086  # lists of words
    refuses 2 'line 1' "a line that is no setting" $d \
        --config "$CL_DIR/bad.conf"
}

# ---- data directories ----

# base: the directory of a cluster of one with a snapshot and several log
# files behind it (with none, a damaged log would not be missed); copies of it
# are spoilt.
make_base() {
    # shellcheck disable=SC2086  # a list of words
    run_start --data-dir "$CL_DIR/base" $at --segment-size 1m \
        --snapshot-floor 1m
    run_ready "the cluster of one"
    "$CL_BIN/kv" --endpoints "127.0.0.1:$port" init >/dev/null
    redis-benchmark -p "$port" -t set -n 3000 -d 2000 -r 3000 -c 16 -P 16 -q \
        >/dev/null 2>&1
    tries=100
    until ls "$CL_DIR"/base/snap/*.snap >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "no snapshot: $(cat "$CL_DIR/run.log")"
        sleep 0.1
    done
    run_end
    # From here on none is taken.
    # shellcheck disable=SC2086  # a list of words
    run_start --data-dir "$CL_DIR/base" $at --segment-size 1m
    run_ready "the cluster of one, again"
    tries=50
    until [ "$(redis-cli -p "$port" SET again yes 2>/dev/null)" = OK ]; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "no writes: $(cat "$CL_DIR/run.log")"
        sleep 0.1
    done
    redis-benchmark -p "$port" -t set -n 2000 -d 2000 -r 3000 -c 16 -P 16 -q \
        >/dev/null 2>&1
    redis-cli -p "$port" SET kept yes >/dev/null
    sleep 1
    # shellcheck disable=SC2086  # a list of words
    refuses 76 'in use by another process' "a directory in use" \
        --data-dir "$CL_DIR/base" --listen "127.0.0.1:$((port - 1))" \
        --peer-listen "127.0.0.1:$((port + 9999))"
    # shellcheck disable=SC2086  # a list of words
    refuses 2 'in use' "ports in use" --data-dir "$CL_DIR/none" $at
    run_end
}

# spoilt STATUS PATTERN NAME FILE HOW...: base with FILE spoilt is refused,
# and nothing of it was changed (spare files hold nothing).
spoilt() {
    want=$1
    pattern=$2
    name=$3
    file=$4
    shift 4
    rm -rf "$CL_DIR/x"
    cp -a "$CL_DIR/base" "$CL_DIR/x"
    rm -f "$CL_DIR/x/lock"
    "$tool/damage" "$CL_DIR/x/$file" "$@" >/dev/null
    before=$(cd "$CL_DIR/x" && find . -type f ! -name lock ! -name 'spare-*' -exec cksum {} + |
        sort)
    # shellcheck disable=SC2086  # a list of words
    refuses "$want" "$pattern" "$name" --data-dir "$CL_DIR/x" $at
    after=$(cd "$CL_DIR/x" && find . -type f ! -name lock ! -name 'spare-*' -exec cksum {} + |
        sort)
    [ "$before" = "$after" ] || die "$name: the files were changed"
}

# Starts, and has what was acknowledged.
starts() {
    # shellcheck disable=SC2086  # a list of words
    run_start --data-dir "$CL_DIR/x" $at
    run_ready "$1"
    tries=50
    until [ "$(redis-cli -p "$port" GET kept 2>/dev/null)" = yes ]; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "$1: $(cat "$CL_DIR/run.log")"
        sleep 0.1
    done
    run_end
    ok "$1: starts, and nothing is missing"
}

directories() {
    todo='(restore|move|empty|remove|start|join)'
    # The last but one is full of what the snapshot does not have.
    log=$(cd "$CL_DIR/base" && ls log/0*.log | tail -n 2 | head -n 1)
    snap=$(cd "$CL_DIR/base" && ls snap/* | tail -n 1)
    spoilt 75 "$log .*offset [0-9]+.*$todo" "a damaged log" "$log" middle
    spoilt 75 "$snap .*offset [0-9]+.*$todo" "a damaged snapshot" "$snap" \
        middle
    spoilt 75 "identity .*offset [0-9]+.*$todo" "a damaged identity" identity 20
    spoilt 75 'version 9,.*newer' "a newer format" identity version 9
    rm -rf "$CL_DIR/x"
    cp -a "$CL_DIR/base" "$CL_DIR/x"
    "$tool/damage" "$CL_DIR/x/vote.a" 100 >/dev/null
    starts "one bad slot of the vote"
    cp "$CL_DIR/x/vote.b" "$CL_DIR/vote.bad"
    "$tool/damage" "$CL_DIR/vote.bad" 100 >/dev/null
    cp "$CL_DIR/base/vote.a" "$CL_DIR/vote.a"
    cp "$CL_DIR/vote.bad" "$CL_DIR/base/vote.b.new"
    cp -a "$CL_DIR/base/vote.b" "$CL_DIR/vote.b"
    mv "$CL_DIR/base/vote.b.new" "$CL_DIR/base/vote.b"
    spoilt 75 "vote.*offset [0-9]+.*$todo" "both slots of the vote damaged" \
        vote.a 100
    cp -a "$CL_DIR/vote.b" "$CL_DIR/base/vote.b"
    rm -rf "$CL_DIR/x"
    cp -a "$CL_DIR/base" "$CL_DIR/x"
    rm "$CL_DIR/x/identity"
    # shellcheck disable=SC2086  # a list of words
    refuses 75 "identity.*missing.*$todo" "a missing identity" \
        --data-dir "$CL_DIR/x" $at
    # shellcheck disable=SC2086  # a list of words
    refuses 2 'Not a directory' "a file for a directory" \
        --data-dir "$CL_DIR/out" $at
}

# Files of another node, and a whole directory of another cluster.
strangers() {
    other=$((port - 1))
    "$CL_BIN/holdfastd" --data-dir "$CL_DIR/other" \
        --listen "127.0.0.1:$other" \
        --peer-listen "127.0.0.1:$((other + 10000))" \
        >"$CL_DIR/other.log" 2>&1 </dev/null &
    beside=$!
    tries=100
    until redis-cli -p "$other" PING 2>/dev/null | grep -q PONG; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "the other cluster: $(cat "$CL_DIR/other.log")"
        sleep 0.1
    done
    "$CL_BIN/kv" --endpoints "127.0.0.1:$other" init >/dev/null
    run_end
    for what in vote.a log; do
        rm -rf "$CL_DIR/x"
        cp -a "$CL_DIR/base" "$CL_DIR/x"
        case $what in
            vote.a) cp -a "$CL_DIR"/other/vote.? "$CL_DIR/x/" ;;
            log)
                rm -rf "$CL_DIR/x/log"
                cp -a "$CL_DIR/other/log" "$CL_DIR/x/log"
                ;;
        esac
        # shellcheck disable=SC2086  # a list of words
        refuses 75 '(another|other|belong|directory)' \
            "the $what of another node" --data-dir "$CL_DIR/x" $at
    done
}

# A disk of a few MiB in a mount namespace of its own, until it is full.
small_disk() {
    if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then
        echo "not shown here, needs root: unwritable and full disks"
        return 0
    fi
    mkdir -p "$CL_DIR/disk"
    cat >"$CL_DIR/on_disk.sh" <<'END'
set -eu
dir=$1 options=$2
shift 2
mount -t tmpfs -o "$options" none "$dir"
[ "$options" = "${options#*ro}" ] || :
exec "$@"
END
    run_in="unshare -m sh $CL_DIR/on_disk.sh $CL_DIR/disk"
    status=0
    # shellcheck disable=SC2086  # lists of words
    timeout 20 $run_in ro,size=1m "$CL_BIN/holdfastd" \
        --data-dir "$CL_DIR/disk/d" $at >"$CL_DIR/out" 2>&1 || status=$?
    [ "$status" = 74 ] && grep -q 'Read-only' "$CL_DIR/out" ||
        die "a read-only disk: status $status: $(cat "$CL_DIR/out")"
    ok "a read-only disk: status $status: $(tail -n 1 "$CL_DIR/out")"
    # Too small for a log: init says so, and the node ends or stays blank.
    # shellcheck disable=SC2086  # lists of words
    $run_in size=64k "$CL_BIN/holdfastd" --data-dir "$CL_DIR/disk/d" $at \
        >"$CL_DIR/run.log" 2>&1 </dev/null &
    beside=$!
    run_ready "a full disk"
    status=0
    "$CL_BIN/kv" --endpoints "127.0.0.1:$port" --timeout 10s init \
        >"$CL_DIR/out" 2>&1 || status=$?
    [ "$status" != 0 ] && cat "$CL_DIR/out" "$CL_DIR/run.log" |
        grep -qi 'no space' || die "init on a full disk: status $status:" \
        "$(cat "$CL_DIR/out" "$CL_DIR/run.log")"
    ok "init on a full disk: status $status: $(head -n 1 "$CL_DIR/out")"
    run_end
}

# A disk that fills up under writes: they are refused before it is too late,
# reads go on, and with room again writes do.
filling_disk() {
    [ -n "${run_in:-}" ] || return 0
    # shellcheck disable=SC2086  # lists of words
    $run_in size=24m "$CL_BIN/holdfastd" --data-dir "$CL_DIR/disk/d" $at \
        --segment-size 1m --snapshot-floor 4m \
        >"$CL_DIR/run.log" 2>&1 </dev/null &
    beside=$!
    run_ready "a small disk"
    "$CL_BIN/kv" --endpoints "127.0.0.1:$port" --timeout 10s init >/dev/null
    redis-cli -p "$port" SET kept yes >/dev/null
    # The mount is seen only from inside the node's own namespace.
    nsenter -t "$beside" -m dd if=/dev/zero of="$CL_DIR/disk/ballast" \
        bs=1M count=100 2>/dev/null || true
    tries=3000
    answer=OK
    value=$(head -c 20000 /dev/zero | tr '\0' v)
    while [ "$answer" = OK ] && [ "$tries" -gt 0 ]; do
        answer=$(redis-cli -p "$port" SET "big:$((tries % 50))" "$value" 2>&1)
        tries=$((tries - 1))
    done
    case $answer in
        *NOSPACE*) ;;
        *) die "a disk that fills up: \"$answer\"; $(tail -n 3 \
            "$CL_DIR/run.log")" ;;
    esac
    [ "$(redis-cli -p "$port" GET kept)" = yes ] || die "no reads, disk full"
    nsenter -t "$beside" -m rm "$CL_DIR/disk/ballast"
    tries=100
    until [ "$(redis-cli -p "$port" SET after yes)" = OK ]; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "no writes although there is room again"
        sleep 0.1
    done
    run_end
    run_in=
    ok "a disk that fills up: $answer; reads go on, then writes"
}

# ---- kv init ----

# says STATUS PATTERN NAME WORD...: kv ends so.
says() {
    want=$1
    pattern=$2
    name=$3
    shift 3
    status=0
    "$CL_BIN/kv" "$@" >"$CL_DIR/out" 2>&1 || status=$?
    [ "$status" = "$want" ] && grep -qE -- "$pattern" "$CL_DIR/out" ||
        die "$name: status $status: $(cat "$CL_DIR/out")"
    ok "$name: status $status: $(grep -E -- "$pattern" "$CL_DIR/out" |
        tail -n 1)"
}

init_missing() {
    mkdir -p "$CL_DIR"
    echo 3 >"$CL_DIR/size"
    node_start 1
    node_start 2
    node_wait_ready 1 10 && node_wait_ready 2 10 || die "two of three"
    says 3 "$(node_peer_at 3)" "init with a seat missing" \
        --endpoints "$(node_at 1)" --timeout 5s init
    # The third seat has a cluster of its own.
    "$CL_BIN/holdfastd" --data-dir "$CL_DIR/own" --listen "$(node_at 3)" \
        --peer-listen "$(node_peer_at 3)" >"$CL_DIR/own.log" 2>&1 \
        </dev/null &
    beside=$!
    node_cli_wait 3
    "$CL_BIN/kv" --endpoints "$(node_at 3)" init >/dev/null
    says 3 "$(node_peer_at 3)" "init with a seat that has a cluster" \
        --endpoints "$(node_at 1)" --timeout 5s init
    run_end
    cluster_up 3 >/dev/null || die "no cluster after refused inits"
    says 3 'already' "init twice" --endpoints "$(node_at 1)" init
}
node_cli_wait() {
    tries=100
    until node_cli "$1" PING 2>/dev/null | grep -q PONG; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "node $1 does not answer"
        sleep 0.1
    done
}

# A directory of another cluster comes up at a seat: nobody talks to it.
wrong_cluster() {
    members=$(kv member list | awk '{ print $1, $2 }')
    node_kill 3
    "$CL_BIN/holdfastd" --data-dir "$CL_DIR/own" --listen "$(node_at 3)" \
        --peer-listen "$(node_peer_at 3)" --join "$(cluster_peers)" \
        >"$CL_DIR/own.log" 2>&1 </dev/null &
    beside=$!
    tries=50
    until grep -q 'refused.*cluster' "$(node_log 1)" "$CL_DIR/own.log"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "no reason: $(cat "$CL_DIR/own.log")"
        sleep 0.1
    done
    sleep 4
    run_end
    node_start 3
    node_wait_ready 3 10 || die "node 3 did not come back"
    kv --timeout 20s status --wait >/dev/null || die "the cluster was hurt"
    [ "$members" = "$(kv member list | awk '{ print $1, $2 }')" ] ||
        [ "$(kv member list | grep -c ' voter ')" = 3 ] ||
        die "members: $(kv member list)"
    ok "another cluster's directory at a seat:" \
        "$(grep -h 'refused.*cluster' "$(node_log 1)" "$CL_DIR/own.log" |
            tail -n 1 | sed 's/^[^ ]*Z //')"
}

# ---- peers and clients ----

# rude NODE-PORT WHAT PATTERN END NAME: the answer and how it ends.
rude() {
    "$tool/rude" "$1" "$2" 2 >"$CL_DIR/out" || die "$5: cannot connect"
    head -n 1 "$CL_DIR/out" | grep -qaE -- "$3" &&
        [ "$(tail -n 1 "$CL_DIR/out")" = "$4" ] ||
        die "$5: $(cat "$CL_DIR/out")"
    ok "$5: $(head -n 1 "$CL_DIR/out" | tr -cd '[:print:]'), $4"
}

manners() {
    pids=$(for i in $(cluster_nodes); do node_pid "$i"; done)
    # shellcheck disable=SC2046  # a list of words
    "$build/gap" --writers 6 --seconds 600 --acked "$CL_DIR/acked" \
        $(for i in $(cluster_nodes); do node_at "$i"; done) \
        >"$CL_DIR/gap.out" 2>"$CL_DIR/gap.err" &
    writer=$!
    "$tool/rude" "$(node_port 1)" half 600 >/dev/null &
    silent=$!
    for i in $(cluster_nodes); do
        rude $(($(node_port "$i") + 10000)) noise '' closed \
            "noise at the peer port of node $i"
    done
    grep -q 'not a frame of this protocol' "$(node_log 1)" ||
        die "no line in the log about the noise"
    rude "$(node_port 1)" noise '^-ERR|^$' closed "noise at the plain port"
    rude "$(node_port 2)" inline '^-ERR unknown command' open \
        "an inline request that is none"
    rude "$(node_port 2)" quote '^-ERR Protocol error' closed "an open quote"
    rude "$(node_port 3)" bulk '^-ERR Protocol error' closed \
        "a value of 100 GB"
    rude "$(node_port 3)" array '^-ERR Protocol error' closed \
        "an array of a thousand million words"
    rude "$(node_port 3)" half '^$' open "half a request, then silence"
    kill "$silent"
    wait "$silent" 2>/dev/null || true
    kill -TERM "$writer"
    wait "$writer" || die "the others noticed: $(cat "$CL_DIR"/gap.*)"
    writer=
    [ "$pids" = "$(for i in $(cluster_nodes); do node_pid "$i"; done)" ] ||
        die "a node has ended"
    check_acked "$CL_DIR/acked" 0 || die "a write is missing"
    ok "meanwhile: $(cat "$CL_DIR/gap.out")"
}

crowded() {
    # shellcheck disable=SC2086  # a list of words
    run_start --data-dir "$CL_DIR/base" $at --clients-max 20
    run_ready "a node for 20 clients"
    "$build/gap" --writers 4 --seconds 600 "127.0.0.1:$port" \
        >"$CL_DIR/gap.out" 2>"$CL_DIR/gap.err" &
    writer=$!
    sleep 0.3
    rude "$port" crowd '^-ERR max number of clients' closed \
        "one client over --clients-max"
    grep -q 'clients already' "$CL_DIR/run.log" || die "no line in the log"
    kill -TERM "$writer"
    wait "$writer" || die "the others noticed: $(cat "$CL_DIR"/gap.*)"
    writer=
    run_end
}

command -v redis-benchmark >/dev/null || exit 77
settings
make_base
directories
strangers
crowded
small_disk
filling_disk
init_missing
wrong_cluster
manners
echo "bad input: $checks cases, each refused with its reason"
