#!/bin/sh
# Messages, events and client-side caching on a cluster whose leader is killed
# and stopped in turn: push.py says what is checked.
#   HF_ROUNDS=N   leaders (6)
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

rounds=${HF_ROUNDS:-6}
cluster_up 3 >/dev/null || die "the cluster did not form"
for i in $(cluster_nodes); do
    redis-cli -p "$(node_port "$i")" \
        CONFIG SET notify-keyspace-events E\$ >/dev/null
done
# shellcheck disable=SC2046  # words
python3 "$HF_ROOT/tests/clients/push.py" 600 \
    $(for i in $(cluster_nodes); do node_at "$i"; done) \
    >"$CL_DIR/push.out" 2>&1 &
writer=$!
k=0
while [ "$k" -lt "$rounds" ]; do
    k=$((k + 1))
    sleep 1
    leader=$(cluster_wait_leader 20) || die "no leader"
    # Killed, it is replaced so soon that nothing need be dropped.
    if [ $((k % 2)) = 1 ]; then
        node_kill "$leader"
        sleep 1
        node_start "$leader"
        node_wait_ready "$leader" 30 || die "node $leader did not start"
    else
        node_signal "$leader" STOP
        sleep 1
        node_signal "$leader" CONT
    fi
done
sleep 1
kill "$writer" 2>/dev/null || true
wait "$writer" || die "$(cat "$CL_DIR/push.out")"
writer=
cat "$CL_DIR/push.out"
echo "PASS: $rounds leaders killed or stopped, nothing kept was old"
