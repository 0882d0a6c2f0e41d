#!/bin/sh
# The file system of a node becomes read-only under it, as after an error on
# its disk: the node ends with its reason and status 74, the others serve on,
# and mounted again it comes back; nothing acknowledged is missing. Once a
# follower's, once the leader's.
set -eu
. "${srcdir:-.}/tests/fault/loopfs.sh"
. "${srcdir:-.}/tests/fault/process.sh"

for i in 1 2 3; do
    loopfs_make ext4 "$i" 400
    mount -o remount,errors=remount-ro "$CL_DIR/n$i"
done
cluster_up 3 >/dev/null || die "the cluster did not form"
: >"$CL_DIR/acked.all"

make_readonly() {
    device=$(awk -v d="$CL_DIR/n$1" '$2 == d { print $1 }' /proc/self/mounts)
    trigger=/sys/fs/ext4/${device##*/}/trigger_fs_error
    [ -w "$trigger" ] || {
        echo "ext4 has no trigger_fs_error here"
        exit 77
    }
    echo "a test of holdfast" >"$trigger"
}

for who in follower leader; do
    i=$(cluster_wait_leader 20) || die "no leader"
    [ "$who" = leader ] || i=$((i % 3 + 1))
    serving "$i"
    make_readonly "$i"
    node_wait_gone "$i" 5 || die "the $who goes on with a read-only disk"
    line=$(tail -n 1 "$(node_log "$i")")
    case $line in
        *'stopped with status 74'*'Read-only file system') ;;
        *) die "the $who: no reason: $line" ;;
    esac
    sleep 1
    served 2500 "the disk of the $who is read-only"
    loopfs_umount "$i"
    loopfs_mount "$i" || die "the $who: no mount"
    node_start "$i"
    back "$i" "the $who"
    echo "read-only under the $who: $gap ms without service;" \
        "${line#*stopped }"
done
