#!/bin/sh
# The disk of the leader stalls: its writes do not return for a while. The
# others serve on within a failover, and the node comes back by itself, or
# after a restart when it has given up; nothing acknowledged is missing.
#   HF_STALLS='S...'  seconds of each stall (0.5 2)
#   HF_ALL=1          0.5, 2 and 12 s
set -eu
. "${srcdir:-.}/tests/fault/loopfs.sh"
. "${srcdir:-.}/tests/fault/process.sh"

stalls=${HF_STALLS:-0.5 2}
[ -z "${HF_ALL:-}" ] || stalls='0.5 2 12'
gap_max=2500

for i in 1 2 3; do
    loopfs_make ext4 "$i" 400
done
cluster_up 3 >/dev/null || die "the cluster did not form"
: >"$CL_DIR/acked.all"

for s in $stalls; do
    lead=$(cluster_wait_leader 20) || die "no leader"
    serving "$lead"
    loopfs_freeze "$lead"
    sleep "$s"
    loopfs_thaw "$lead"
    served "$gap_max" "a stall of $s s"
    how="came back by itself"
    sleep 0.3
    if ! node_pid "$lead" >/dev/null; then
        grep -q 'stopped with status 74' "$(node_log "$lead")" ||
            die "a stall of $s s: node $lead ended without its reason"
        how="had ended and came back"
        node_start "$lead"
    fi
    back "$lead" "a stall of $s s"
    # A stall far above the election timeout is noticed.
    case $s in
        0.*) ;;
        *)
            grep -q 'disk has stalled' "$(node_log "$lead")" ||
                die "a stall of $s s was not noticed"
            ;;
    esac
    echo "the leader's disk stalled for $s s: others without service for" \
        "$gap ms, node $lead $how"
done
