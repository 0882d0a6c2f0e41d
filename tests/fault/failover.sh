#!/bin/sh
# The leader is killed, and stopped, under 16 writers on the other nodes that
# neither retry nor reconnect: each counts on without an error, no number is
# left out or given twice, and no gap is longer than the limit.
#   HF_ROUNDS=N   rounds of each fault (2)
#   HF_GAP_MS=N   the longest gap allowed (1500; 10000 in a sanitizer build)
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

rounds=${HF_ROUNDS:-2}
limit=${HF_GAP_MS:-1500}
if grep -q 'fsanitize=address' "$build/Makefile"; then
    limit=${HF_GAP_MS:-10000}
fi

# round FAULT: one failover; the longest gap is added to $CL_DIR/gaps.
round() {
    leader=$(cluster_wait_leader 20) || die "no leader"
    others=
    for i in $(cluster_nodes); do
        [ "$i" = "$leader" ] || others="$others $(node_port "$i")"
    done
    # shellcheck disable=SC2086  # a list of ports
    "$build/gap" --writers 16 --seconds 4 --acked "$CL_DIR/acked" $others \
        >"$CL_DIR/gap.out" &
    writer=$!
    sleep 1
    case $1 in
        kill) node_kill "$leader" ;;
        stop) node_signal "$leader" STOP ;;
    esac
    wait "$writer" || die "$1 of node $leader: $(cat "$CL_DIR/gap.out")"
    echo "$1 of node $leader: $(cat "$CL_DIR/gap.out")"
    gap=$(sed 's/.*longest gap \([0-9]*\) ms.*/\1/' "$CL_DIR/gap.out")
    echo "$gap" >>"$CL_DIR/gaps"
    [ "$gap" -le "$limit" ] || die "a gap of $gap ms; at most $limit allowed"
    case $1 in
        kill) node_start "$leader" ;;
        stop) node_signal "$leader" CONT ;;
    esac
    node_wait_ready "$leader" 30 || die "node $leader did not start"
    kv --timeout 30s status --wait >/dev/null ||
        die "node $leader did not come back"
    while read -r key number; do
        for i in $(cluster_nodes); do
            have=$(redis-cli -p "$(node_port "$i")" GET "$key") ||
                die "node $i does not answer"
            [ "$have" = "$number" ] ||
                die "node $i: $key is '$have', acknowledged was $number"
        done
    done <"$CL_DIR/acked"
}

cluster_up 3 >/dev/null || die "the cluster did not form"
n=0
while [ "$n" -lt "$rounds" ]; do
    round kill
    round stop
    n=$((n + 1))
done
sort -n "$CL_DIR/gaps" | awk '{ a[NR] = $1 }
    END { print "gaps: p50 " a[int((NR + 1) / 2)] " ms, max " a[NR] " ms" }'
