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

# loopfs_freeze I: writes to node I's disk do not return until it thaws, which
# it does at the latest when this shell ends, even by SIGKILL.
loopfs_freeze() {
    [ -n "${frozen:-}" ] || {
        # shellcheck disable=SC2016  # it is another shell's text
        setsid sh -c 'while kill -0 "$1" 2>/dev/null; do sleep 0.2; done
            for m in "$2"/n?; do fsfreeze -u "$m"; done' \
            thaw $$ "$CL_DIR" >/dev/null 2>&1 &
    }
    frozen=yes
    fsfreeze -f "$CL_DIR/n$1"
}
loopfs_thaw() { fsfreeze -u "$CL_DIR/n$1"; }

# others I: where the other nodes take clients.
others() {
    for i in $(cluster_nodes); do
        [ "$i" = "$1" ] || node_at "$i"
    done
}

# serving I: a load on the nodes beside I.
serving() {
    # shellcheck disable=SC2046,SC2154  # a list of words; of process.sh
    "$build/gap" --writers 8 --seconds 60 --acked "$CL_DIR/acked" \
        $(others "$1") >"$CL_DIR/gap.out" 2>"$CL_DIR/gap.err" &
    writer=$!
    sleep 0.3
}

# served MS WHAT: that load had no error and no gap above MS.
served() {
    kill "$writer"
    wait "$writer" || die "$2: $(cat "$CL_DIR/gap.out" "$CL_DIR/gap.err")"
    writer=
    gap=$(sed -n 's/.*longest gap \([0-9]*\) ms.*/\1/p' "$CL_DIR/gap.out")
    [ "$gap" -le "$1" ] || die "$2: no service for $gap ms"
    cat "$CL_DIR/acked" >>"$CL_DIR/acked.all"
}

# back I WHAT: node I is a full member again and nothing is missing.
back() {
    node_wait_ready "$1" 30 || die "$2: node $1 did not come back"
    kv --timeout 30s status --wait >/dev/null 2>&1 ||
        die "$2: the cluster is not whole again"
    check_acked "$CL_DIR/acked.all" 0 >"$CL_DIR/why" ||
        die "$2: $(head -n 1 "$CL_DIR/why")"
}
