#!/bin/sh
# The same lines to Holdfast and to redis-server 7.0: to a cluster of one node,
# then to a follower of three. compare.py tells how replies are compared, and
# docs/PROTOCOL.md which lines may differ.
# Usage: compare.sh, in a build directory; HF_COMPARE=FILE...: only these.
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

dir=$HF_ROOT/tests/clients
version=$(redis-server --version 2>/dev/null | sed -n 's/.* v=\([0-9.]*\).*/\1/p')
case $version in
    7.0.*) ;;
    *) die "redis-server 7.0 is needed; found: ${version:-none} (./dev deps --test)" ;;
esac

# One database, as Holdfast has; nothing on disk.
start_redis() {
    redis_port=$("$build/tests/fault/freeport" 1)
    mkdir -p "$CL_DIR/redis"
    redis-server --port "$redis_port" --bind 127.0.0.1 --databases 1 --save '' \
        --appendonly no --dir "$CL_DIR/redis" >"$CL_DIR/redis.log" 2>&1 &
    beside=$!
    i=0
    until [ "$(redis-cli -p "$redis_port" PING 2>/dev/null)" = PONG ]; do
        i=$((i + 1))
        [ "$i" -lt 100 ] || die "redis-server does not start"
        sleep 0.1
    done
}

# compare NODE WORD...
compare() {
    port=$(node_port "$1")
    shift
    # shellcheck disable=SC2086  # a list of files
    python3 "$dir/compare.py" "$port" "$redis_port" \
        "$HF_ROOT/docs/PROTOCOL.md" "$@" \
        ${HF_COMPARE:-"$dir"/compare/*.txt}
}

start_redis
failed=0
cluster_up 1 >/dev/null || die "the node did not start"
echo "== one node"
compare 1 || failed=1
cluster_wipe
cluster_up 3 >/dev/null || die "the cluster did not form"
echo "== a follower of three"
leader=$(cluster_wait_leader 20) || die "no leader"
compare "$((leader % 3 + 1))" --follower || failed=1
[ "$failed" = 0 ] || die "replies differ"
