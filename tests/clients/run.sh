#!/bin/sh
# Real client libraries against a real cluster: every command family, then
# failovers under load, with what the application saw. Run in a build
# directory, as the tests of tests/fault. The rows of the table are in
# clients/rows there; the last line counts.
#   HF_FAULTS=L   which: kill (the leader is gone for 3 s), restart (for
#                 0.3 s), stop (says nothing for 3 s), cut (clients reach it,
#                 the other nodes do not, for 8 s; as root), transfer ("kill")
#   HF_MODES=L    plain (a live node's plain port), cluster (the library's
#                 defaults), tuned, once (tuned, nothing sent twice by the
#                 library) ("plain tuned once")
#   HF_ROUNDS=N   rounds of each fault (1)
#   HF_GROUPS=L   which libraries, those of a group at the same time; "/"
#                 between groups (all in one group)
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

here=$HF_ROOT/tests/clients
faults=${HF_FAULTS:-kill}
modes=${HF_MODES:-plain tuned once}
rounds=${HF_ROUNDS:-1}
groups=${HF_GROUPS:-redis-py-4.3.4 redis-py-6.1.0 ioredis-5 ioredis-6
    node-redis-4 node-redis-5 node-redis-6 hiredis redis-cli valkey-cli}
clients=$(echo "$groups" | tr / ' ')
libs=$build/clients
rows=$libs/rows
passed=0
failed=0

# Clients that still run end by themselves.
clients_end() {
    ended=$?
    set +e
    for f in "$CL_DIR"/*/*.out; do
        [ ! -e "$f" ] || : >"${f%.out}.stop"
    done
    return "$ended"
}
trap 'clients_end; process_end' EXIT

good() { passed=$((passed + 1)); }
bad() {
    echo "FAILED: $*"
    failed=$((failed + 1))
}

# drive LIBRARY VERB MODE SEEDS FILE: the script of that library.
drive() {
    drive_lib=$1
    shift
    in=$(client_in)
    case $drive_lib in
        redis-py-*)
            PYTHONPATH=$libs/$drive_lib/usr/lib/python3/dist-packages \
                exec $in /usr/bin/python3 "$here/redispy.py" "$@"
            ;;
        ioredis-*)
            cd "$libs/node" &&
                exec $in node "$here/ioredis.mjs" "ioredis${drive_lib##*-}" "$@"
            ;;
        node-redis-*)
            cd "$libs/node" &&
                exec $in node "$here/noderedis.mjs" "redis${drive_lib##*-}" "$@"
            ;;
        hiredis) exec $in "$libs/hiredis" "$@" "$here/commands.txt" ;;
        *-cli)
            exec $in /usr/bin/python3 "$here/cli.py" "$drive_lib" "$@" \
                "$here/commands.txt"
            ;;
    esac
}

# Modes that differ from one another for that library.
modes_of() {
    for mode in $modes; do
        case $1:$mode in
            hiredis:plain | hiredis:once | *-cli:plain | *-cli:cluster) ;;
            hiredis:* | *-cli:*) continue ;;
            node-redis-*:once) continue ;;
        esac
        echo "$mode"
    done
}

# seeds MODE FIRST: the ports of that mode, that of node FIRST first.
seeds() {
    for i in "$2" $(cluster_nodes | grep -vx "$2"); do
        case $1 in
            plain) node_at "$i" ;;
            *) echo "$(node_host "$i"):$(($(node_port "$i") + 1000))" ;;
        esac
    done | paste -sd , -
}

# ---- every command family

families() {
    dir=$CL_DIR/families
    mkdir -p "$dir"
    pids=
    for client in $clients; do
        (
            for mode in plain cluster; do
                f=$dir/$client.$mode
                status=0
                (drive "$client" families "$mode" "$(seeds "$mode" 2)" \
                    "$f") >"$f.out" 2>&1 || status=$?
                echo "$status" >"$f.status"
            done
        ) &
        pids="$pids $!"
    done
    for pid in $pids; do
        wait "$pid" || true
    done
    for f in "$dir"/*.status; do
        name=$(basename "${f%.status}")
        if [ "$(cat "$f")" = 0 ]; then
            echo "$name: $(tail -n 1 "${f%.status}.out")"
            good
        else
            bad "$name: $(tail -n 8 "${f%.status}.out")"
        fi
    done
}

# ---- the tools that come with redis and valkey

# tool WORDS COMMAND...: exit 0, and its output has WORDS.
tool() {
    tool_want=$1
    shift
    if timeout 60 "$@" >"$CL_DIR/tool" 2>&1 </dev/null &&
        grep -q -- "$tool_want" "$CL_DIR/tool"; then
        good
    else
        bad "$*: $(tail -n 5 "$CL_DIR/tool")"
    fi
}

tools() {
    plain=$(node_port 2)
    port=$((plain + 1000))
    for cli in redis-cli valkey-cli; do
        tool 'All 16384 slots covered' $cli --cluster check "127.0.0.1:$port"
        tool '16384 slots | 2 ' $cli --cluster info "127.0.0.1:$port"
        tool "$((port + 1)): PONG" $cli --cluster call "127.0.0.1:$port" PING
        tool 'Biggest string' $cli -p "$plain" --bigkeys
        tool "^$cli.plain:big" $cli -p "$plain" --scan --pattern "$cli.plain*"
    done
    tool 'MSET' redis-benchmark -p "$plain" -q -n 2000 -P 8 \
        -t ping,set,get,incr,mset
    tool 'INCR' valkey-benchmark -p "$port" --cluster -q -n 2000 \
        -t set,get,incr
}

# ---- failovers

# round FAULT NUMBER LIBRARY...
round() {
    fault=$1
    dir=$CL_DIR/$fault.$2
    shift 2
    leader=$(cluster_wait_leader 20) || die "no leader"
    live=$((leader % 3 + 1))
    mkdir -p "$dir"
    pids=
    $(client_in) /usr/bin/python3 "$here/probe.py" "$(node_at "$live")" "$dir/probe" \
        >"$dir/probe.out" 2>&1 &
    pids=$!
    $(client_in) /usr/bin/python3 "$here/rules.py" "$(seeds cluster "$live")" "$dir/rules" \
        >"$dir/rules.out" 2>&1 &
    pids="$pids $!"
    wanted=2
    for client in "$@"; do
        for mode in $(modes_of "$client"); do
            f=$dir/$client.$mode
            # Cluster-aware ones start from any node, redis-cli -c from one
            # that stays.
            (drive "$client" load "$mode" "$(seeds "$mode" "$live")" "$f") \
                >"$f.out" 2>&1 &
            pids="$pids $!"
            wanted=$((wanted + 1))
        done
    done
    tries=600
    while [ "$(find "$dir" -name '*.ready' | wc -l)" -lt "$wanted" ]; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "not all clients began: $(tail "$dir"/*.out)"
        sleep 0.1
    done
    # What starts takes the processor from what runs.
    sleep 1.5
    down=0
    : >"$dir/fault"
    case $fault in
        kill)
            down=3000
            node_kill "$leader"
            sleep 3
            node_start "$leader"
            ;;
        restart)
            node_kill "$leader"
            sleep 0.3
            node_start "$leader"
            sleep 2
            ;;
        stop)
            down=3000
            node_signal "$leader" STOP
            sleep 3
            node_signal "$leader" CONT
            ;;
        cut)
            down=8000
            net_cut "$leader"
            sleep 8
            [ "$(net_dropped)" -gt 0 ] || die "the cut swallowed no packet"
            net_heal
            ;;
        transfer)
            kv member transfer >"$CL_DIR/transfer" 2>&1 ||
                die "transfer: $(cat "$CL_DIR/transfer")"
            sleep 1
            ;;
        *) die "no such fault: $fault" ;;
    esac
    sleep 2.5
    for f in "$dir"/*.ready; do
        : >"${f%.ready}.stop"
    done
    for pid in $pids; do
        wait "$pid" || true
    done
    node_wait_ready "$leader" 30 || die "node $leader did not start"
    kv --timeout 30s status --wait >/dev/null ||
        die "node $leader did not come back"
    if $(client_in) /usr/bin/python3 "$here/judge.py" "$fault" "$dir" \
        "$(node_at "$live")" "$down" >"$dir.judged" 2>&1; then :; fi
    cat "$dir.judged"
    grep '^| ' "$dir.judged" >>"$rows" || true
    wrong=$(grep -c -e '^BAD' -e '^Traceback' "$dir.judged" || true)
    failed=$((failed + wrong))
    told=$(grep -c '^| ' "$dir.judged" || true)
    [ "$told" = "$((wanted - 2))" ] || bad "$told rows of $((wanted - 2))"
    if grep -q '^ok' "$dir/rules"; then
        echo "the cluster ports: $fault: $(cat "$dir/rules")"
        good
    else
        bad "the cluster ports: $fault: $(cat "$dir/rules" "$dir/rules.out")"
    fi
    passed=$((passed + (told > wrong ? told - wrong : 0)))
}

sh "$here/install.sh" "$libs"
: >"$rows"
case " $faults " in
    *' cut '*)
        # With networks of its own: from its clients nothing is cut.
        CL_NET=hf$$
        net_up 3 || die "network namespaces and iptables are not to be had here"
        ;;
esac
cluster_up 3 >/dev/null || die "the cluster did not form"
if [ -z "$CL_NET" ]; then
    families
    tools
fi
n=0
while [ "$n" -lt "$rounds" ]; do
    n=$((n + 1))
    for fault in $faults; do
        g=0
        while g=$((g + 1)) &&
            group=$(echo "$groups" | tr '\n' ' ' |
                awk -F / -v g="$g" '{ $0 = $g; $1 = $1; print }') &&
            [ -n "$group" ]; do
            # shellcheck disable=SC2086  # a list of words
            round "$fault" "$n.$g" $group
        done
    done
done
echo "clients: $passed passed, $failed failed"
[ "$failed" = 0 ] || die "$failed failed"
