#!/bin/sh
# How soon a cluster with many keys serves again after all of its nodes were
# killed: the first correct GET of a random key on each node.
#   HF_KEYS=N      keys of 16 + 100 bytes (50000)
#   HF_ROUNDS=N    how many starts (1)
#   HF_LIMIT_MS=N  from the start to the first GET (3000; 15000 in a sanitizer
#                  build)
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

keys=${HF_KEYS:-50000}
limit=${HF_LIMIT_MS:-3000}
if grep -q 'fsanitize=address' "$build/Makefile"; then
    limit=${HF_LIMIT_MS:-15000}
fi

# first_get I: ms since $began when node I gave a right value.
first_get() {
    n=$(awk -v n="$keys" -v s="$1$began" \
        'BEGIN { srand(s); print int(rand() * n) }')
    want=$(value "$n")
    while :; do
        [ "$(redis-cli -p "$(node_port "$1")" GET "$(key "$n")" 2>/dev/null)" \
            != "$want" ] || break
        [ $(($(now_ms) - began)) -le 60000 ] || break
        sleep 0.01
    done
    echo $(($(now_ms) - began))
}

cluster_up 3 >/dev/null || die "the cluster did not form"
fill "$keys"
rounds=0
while [ "$rounds" -lt "${HF_ROUNDS:-1}" ]; do
    rounds=$((rounds + 1))
    kill_all
    began=$(now_ms)
    for i in $(cluster_nodes); do
        node_start "$i"
    done
    for i in $(cluster_nodes); do
        first_get "$i" >"$CL_DIR/first$i" &
        getters="${getters:-} $!"
    done
    # shellcheck disable=SC2086  # a list of numbers
    wait $getters
    getters=
    took=$(cat "$CL_DIR"/first[0-9] | paste -sd ' ' -)
    echo "start with $keys keys: first GET after $took ms"
    for ms in $took; do
        [ "$ms" -le "$limit" ] || die "more than $limit ms"
    done
done
