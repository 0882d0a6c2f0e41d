#!/bin/sh
# All nodes are killed at once under load and started again: nothing that was
# acknowledged is missing, on any node.
#   HF_ROUNDS=N   how many times (2)
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

cluster_up 3 >/dev/null || die "the cluster did not form"
n=0
while [ "$n" -lt "${HF_ROUNDS:-2}" ]; do
    n=$((n + 1))
    ports=
    for i in $(cluster_nodes); do
        ports="$ports $(node_port "$i")"
    done
    # shellcheck disable=SC2086  # a list of ports
    "$build/gap" --writers 16 --seconds 30 --acked "$CL_DIR/acked" $ports \
        >"$CL_DIR/gap.out" 2>/dev/null &
    writer=$!
    sleep 2
    # shellcheck disable=SC2046  # a list of numbers
    kill -s KILL $(for i in $(cluster_nodes); do node_pid "$i"; done)
    wait "$writer" || true # its connections are gone
    writer=
    for i in $(cluster_nodes); do
        node_wait_gone "$i" 5
        node_start "$i"
    done
    for i in $(cluster_nodes); do
        node_wait_ready "$i" 30 || die "round $n: node $i did not start"
    done
    kv --timeout 30s status --wait >/dev/null || die "round $n: no cluster"
    while read -r key number; do
        [ "$number" -gt 0 ] || die "round $n: nothing was acknowledged"
        for i in $(cluster_nodes); do
            have=$(node_cli "$i" GET "$key") ||
                die "round $n: node $i does not answer"
            # One more may have been applied without its reply.
            [ "${have:-0}" -ge "$number" ] && [ "$have" -le $((number + 1)) ] ||
                die "node $i: $key is '$have', acknowledged was $number"
        done
    done <"$CL_DIR/acked"
    echo "round $n: $(cut -d, -f1 "$CL_DIR/gap.out"), none missing"
done
echo "cold start: $n rounds, nothing acknowledged is missing"
