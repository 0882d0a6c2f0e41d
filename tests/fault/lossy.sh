#!/bin/sh
# Bad wires: of the packets between nodes one in five is lost and each is held
# up to 50 ms (so that they overtake each other), and one node, always the
# same, is cut off for half of each second. Writers at the other two nodes
# neither retry nor reconnect: none gets an error, and each has an answer at
# least every 2 s. Skipped (77) without network namespaces.
#   HF_SECONDS=N  how long (20)
#   HF_NODES=N    3 or 5 (3)
#   HF_GAP_MS=N   the longest gap allowed (2000)
#   HF_SEED=S     of the losses
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

seconds=${HF_SECONDS:-20}
limit=${HF_GAP_MS:-2000}
if grep -q 'fsanitize=address' "$build/Makefile"; then
    limit=${HF_GAP_MS:-10000}
fi
nodes=${HF_NODES:-3}
flapping=$nodes
CL_NET=hfl$$
net_up "$nodes" || {
    echo "network namespaces and iptables are not to be had here"
    exit 77
}
cluster_up "$nodes" >/dev/null || die "the cluster did not form"

ip netns exec "$CL_NET-hub" "$build/holdfast-netdelay" 7 0 50000 200000 \
    "${HF_SEED:-$(date +%s)}" >"$CL_DIR/delay.out" 2>&1 &
beside=$!
sleep 0.2
kill -0 "$beside" 2>/dev/null || {
    echo "no packets can be queued here: $(cat "$CL_DIR/delay.out")"
    exit 77
}
for a in $(cluster_nodes); do
    for b in $(cluster_nodes); do
        [ "$a" = "$b" ] || ip netns exec "$CL_NET-hub" iptables -w -t mangle \
            -A FORWARD -s "$(node_host "$a")" -d "$(node_host "$b")" \
            -j NFQUEUE --queue-num 7
    done
done

# shellcheck disable=SC2046  # lists of words
$(client_in) "$build/gap" --writers 8 --seconds "$seconds" \
    --acked "$CL_DIR/acked" "$(node_at 1)" "$(node_at 2)" \
    >"$CL_DIR/gap.out" 2>"$CL_DIR/gap.err" &
writer=$!
end=$(($(now_ms) + seconds * 1000))
dropped=0
while [ "$(now_ms)" -lt "$end" ]; do
    net_cut "$flapping"
    sleep 0.48
    dropped=$((dropped + $(net_dropped)))
    net_heal
    sleep 0.48
done
status=0
wait "$writer" || status=$?
writer=
kill "$beside"
wait "$beside" || die "no packet was delayed or lost: $(cat "$CL_DIR/delay.out")"
beside=
[ "$dropped" -gt 0 ] || die "the cut swallowed no packet"
elections=$(grep -ho 'term [0-9]*: node [0-9]* leads' "$CL_DIR"/n*.log |
    sort -u | wc -l)
echo "$seconds s: $(cat "$CL_DIR/gap.out"); $elections leaders;" \
    "packets $(cat "$CL_DIR/delay.out"), $dropped cut off"
[ "$status" = 0 ] || die "a writer had an error"
gap=$(sed 's/.*longest gap \([0-9]*\) ms.*/\1/' "$CL_DIR/gap.out")
[ "$gap" -le "$limit" ] || die "a gap of $gap ms; at most $limit allowed"
ip netns exec "$CL_NET-hub" iptables -w -t mangle -F FORWARD
kv --timeout 30s status --wait >/dev/null || die "not whole again"
check_acked "$CL_DIR/acked" 0 || die "an acknowledged write is missing"
