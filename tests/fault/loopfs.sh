# Sourced first by tests that need file systems of their own: files in the
# test's directory, mounted through loop devices in a private mount namespace,
# so that nothing outlives the test, however it ends. process_end unmounts.
# shellcheck shell=sh
if [ -z "${HF_PRIVATE:-}" ]; then
    [ "$(id -u)" = 0 ] || {
        echo "not root: no loop devices"
        exit 77
    }
    unshare -m true 2>/dev/null || {
        echo "no private mount namespace here"
        exit 77
    }
    HF_PRIVATE=1 exec unshare -m --propagation private sh "$0" "$@"
fi

# loopfs_make KIND I MB: an empty file system for node I, mounted on its data
# directory; 77 when this machine cannot.
loopfs_make() {
    img=$CL_DIR/$2.img
    mkdir -p "$CL_DIR/n$2"
    rm -f "$img"
    truncate -s "$3M" "$img"
    command -v "mkfs.$1" >/dev/null || {
        echo "no mkfs.$1 here"
        exit 77
    }
    case $1 in
        ext4) mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$img" ;;
        *) "mkfs.$1" -q -f "$img" ;;
    esac
    loopfs_mount "$2" 2>"$CL_DIR/mount.err" || {
        echo "no $1 can be mounted here: $(head -n 1 "$CL_DIR/mount.err")"
        exit 77
    }
    chmod 700 "$CL_DIR/n$2"
}

# The loop device goes with the mount.
loopfs_mount() { mount -o loop "$CL_DIR/$1.img" "$CL_DIR/n$1"; }

# A process that was just killed may hold it for a moment yet.
loopfs_umount() {
    tries=100
    until umount "$CL_DIR/n$1" 2>/dev/null; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "node $1: cannot unmount"
        sleep 0.02
    done
}
