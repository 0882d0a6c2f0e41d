#!/bin/sh
# Change feeds while leaders are killed: a consumer at each node sees every
# change once and in order, and any position that is kept can be resumed.
#   HF_CHANGES=N  changes (30000)
#   HF_KILLS=N    leaders killed (SIGKILL) and started again, while the
#                 changes are made (2)
#   HF_KEPT=N     changes that nodes keep (20000)
set -eu
CL_FLAGS="--history-count ${HF_KEPT:-20000} --snapshot-floor 1m \
--segment-size 1m --log-budget 128m"
. "${srcdir:-.}/tests/fault/process.sh"

changes=${HF_CHANGES:-30000}
kills=0

last_revision() {
    kv call XINFO STREAM __changes__ 2>/dev/null |
        sed -n '/^last-generated-id$/{n;s/-.*//;p;}'
}

cluster_up 3 >/dev/null || die "the cluster did not form"
began=$(now_ms)
# shellcheck disable=SC2046  # a list of words
"$build/tests/fault/feed_watch" "$changes" \
    $(cluster_endpoints | tr , ' ') >"$CL_DIR/feed" 2>&1 &
writer=$! # process.sh ends it
# About nine changes have one revision: a kill each time that another share
# of them was made.
share=$((changes / 9 / (${HF_KILLS:-2} + 1)))
while kill -0 "$writer" 2>/dev/null && [ "$kills" -lt "${HF_KILLS:-2}" ]; do
    now=$(last_revision)
    if [ "${now:-0}" -ge $(((kills + 1) * share)) ]; then
        leader=$(cluster_wait_leader 20) || die "no leader"
        node_kill "$leader"
        kills=$((kills + 1))
        sleep 1
        node_start "$leader"
        node_wait_ready "$leader" 20 >/dev/null || die "node $leader"
    fi
    sleep 0.1
done
status=0
wait "$writer" || status=$?
writer=
[ "$status" = 0 ] || die "$(cat "$CL_DIR/feed")"
# The bounds may be changed while it runs, and only when they are named.
kept=$(node_cli 1 XLEN __changes__)
node_cli 1 CONFIG SET slowlog-max-len 99 >/dev/null
[ "$(node_cli 1 XLEN __changes__)" = "$kept" ] || die "changes were dropped"
node_cli 1 CONFIG SET history-count 7 >/dev/null
[ "$(node_cli 1 XLEN __changes__)" = 7 ] || die "history-count was not taken"
[ "$kills" = "${HF_KILLS:-2}" ] || die "only $kills leaders were killed"
echo "$(cat "$CL_DIR/feed"); $kills leaders killed," \
    "$((($(now_ms) - began) / 1000)) s"
