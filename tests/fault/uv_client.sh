#!/bin/sh
# 64 increments at a time through libholdfast_uv while leaders are killed and
# stopped: none lost, none doubled, none fails, as long as a majority lives.
#   HF_ROUNDS=N   leaders lost (4)
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

rounds=${HF_ROUNDS:-4}
cluster_up 3 >/dev/null || die "the cluster did not start"
"$build/tests/fault/uv_load" "$(cluster_endpoints)" 64 600 uv \
    >"$CL_DIR/uv.out" 2>"$CL_DIR/uv.err" &
writer=$!
round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    leader=$(cluster_wait_leader 20) || die "no leader"
    if [ $((round % 2)) = 1 ]; then
        node_kill "$leader"
        sleep 2
        node_start "$leader"
    else
        node_signal "$leader" STOP
        sleep 3
        node_signal "$leader" CONT
    fi
    node_wait_ready "$leader" 30 || die "node $leader did not come back"
done
kill "$writer" 2>/dev/null || true
wait "$writer" || {
    writer=
    die "uv_load: $(cat "$CL_DIR/uv.out" "$CL_DIR/uv.err")"
}
writer=
cat "$CL_DIR/uv.out"
echo "uv_client: ok"
