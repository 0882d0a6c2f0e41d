#!/bin/sh
# Users on three real nodes: what ACL SETUSER says holds on every node from
# the moment on at which it returned; a user of read commands and ~app:* can
# do nothing else; no password is found in clear anywhere; users survive a
# restart of all nodes.
#   HF_ROUNDS=N   changes of permission, each tried on the others at once (200)
set -eu
. "${srcdir:-.}/tests/fault/process.sh"
command -v python3 >/dev/null || exit 77

# seek: the words that no file of the cluster may have.
seek() {
    sync
    if grep -rlaF -e sesame "$CL_DIR" >"$CL_DIR.found"; then
        cat "$CL_DIR.found"
        rm -f "$CL_DIR.found"
        die "a password lies there in clear"
    fi
    rm -f "$CL_DIR.found"
}

users() { node_cli "$1" --user root --pass sesame-root --no-auth-warning \
    ACL LIST; }

CL_FLAGS="$CL_FLAGS --log-level debug --segment-size 1m --snapshot-floor 1m"
cluster_up 3 >/dev/null || die "the cluster did not form"
python3 "$HF_ROOT/tests/clients/acl.py" "${HF_ROUNDS:-200}" \
    "$(node_port 1)" "$(node_port 2)" "$(node_port 3)" || die "see above"
# Until each node has a snapshot with the users in it.
tries=100
until [ "$(find "$CL_DIR" -name '*.snap' | wc -l)" = 3 ]; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || die "no snapshots"
    head -c 300000 /dev/urandom | node_cli 1 --user root --pass sesame-root \
        --no-auth-warning -x SET "app:big:$((tries % 4))" >/dev/null
done
seek
before=$(users 1)
for i in 1 2 3; do
    [ "$(users $i)" = "$before" ] || die "node $i has other users"
done
for i in 1 2 3; do
    node_kill $i
done
seek
for i in 1 2 3; do
    node_start $i
done
tries=300
until [ "$(users 2 2>/dev/null)" = "$before" ]; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || die "other users after the restart: $(users 2)"
    sleep 0.1
done
[ "$(node_cli 3 GET app:1)" = "NOAUTH Authentication required." ] ||
    die "open after the restart"
echo "restart of all: $(echo "$before" | wc -l) users as before, still closed"
