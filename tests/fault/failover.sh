#!/bin/sh
# The leader is killed, stopped, and cut off, under 16 writers on the other
# nodes that neither retry nor reconnect: each counts on without an error, no
# number is left out or given twice, and no gap is longer than the limit. The
# stopped and the cut-off one come back while the writers go on.
#   HF_FAULTS=F   which: any of kill, stop, cut ("kill stop")
#   HF_ROUNDS=N   rounds of each fault (2)
#   HF_GAP_MS=N   the longest gap allowed (1500; 10000 in a sanitizer build)
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

faults=${HF_FAULTS:-kill stop}
rounds=${HF_ROUNDS:-2}
limit=${HF_GAP_MS:-1500}
if grep -q 'fsanitize=address' "$build/Makefile"; then
    limit=${HF_GAP_MS:-10000}
fi

# inflict FAULT NODE, then, later, relieve FAULT NODE.
inflict() {
    case $1 in
        kill) node_kill "$2" ;;
        stop) node_signal "$2" STOP ;;
        cut) net_cut "$2" ;;
    esac
}
relieve() {
    case $1 in
        kill) node_start "$2" ;;
        stop) node_signal "$2" CONT ;;
        cut)
            [ "$(net_dropped)" -gt 0 ] || die "the cut swallowed no packet"
            net_heal
            ;;
    esac
}

# round FAULT: one failover; the longest gap is added to $CL_DIR/gaps.FAULT.
round() {
    leader=$(cluster_wait_leader 20) || die "no leader"
    others=
    for i in $(cluster_nodes); do
        [ "$i" = "$leader" ] || others="$others $(node_at "$i")"
    done
    # shellcheck disable=SC2046,SC2086  # lists of words
    $(client_in) "$build/gap" --writers 16 --seconds 4 \
        --acked "$CL_DIR/acked" $others >"$CL_DIR/gap.out" 2>"$CL_DIR/gap.err" &
    writer=$!
    sleep 1
    inflict "$1" "$leader"
    sleep 2
    relieve "$1" "$leader"
    wait "$writer" || die "$1 of node $leader: $(cat "$CL_DIR"/gap.*)"
    writer=
    echo "$1 of node $leader: $(cat "$CL_DIR/gap.out")"
    gap=$(sed 's/.*longest gap \([0-9]*\) ms.*/\1/' "$CL_DIR/gap.out")
    echo "$gap" >>"$CL_DIR/gaps.$1"
    [ "$gap" -le "$limit" ] || die "a gap of $gap ms; at most $limit allowed"
    node_wait_ready "$leader" 30 || die "node $leader did not start"
    kv --timeout 30s status --wait >/dev/null ||
        die "node $leader did not come back"
    [ "$(wc -l <"$CL_DIR/acked")" = 16 ] || die "not 16 writers"
    while read -r key number; do
        for i in $(cluster_nodes); do
            have=$(node_cli "$i" GET "$key") || die "node $i does not answer"
            [ "$have" = "$number" ] ||
                die "node $i: $key is '$have', acknowledged was $number"
        done
    done <"$CL_DIR/acked"
}

case " $faults " in
    *' cut '*)
        CL_NET=hf$$
        net_up 3 || {
            echo "network namespaces and iptables are not to be had here"
            exit 77
        }
        ;;
esac
cluster_up 3 >/dev/null || die "the cluster did not form"
n=0
while [ "$n" -lt "$rounds" ]; do
    for fault in $faults; do
        round "$fault"
    done
    n=$((n + 1))
done
for fault in $faults; do
    sort -n "$CL_DIR/gaps.$fault" | awk -v f="$fault" '{ a[NR] = $1 }
        END { print f ": " NR " rounds, 0 errors, 0 breaks, gap p50 " \
            a[int((NR + 1) / 2)] " ms, max " a[NR] " ms" }'
done
