#!/bin/sh
# powercut.sh on ext4 and on xfs, of three nodes and of one alone.
#   HF_ROUNDS=N   how many cuts of each (2)
set -eu
skipped=
for fs in ext4 xfs; do
    for nodes in 3 1; do
        status=0
        HF_METHOD=$fs HF_NODES=$nodes HF_ROUNDS=${HF_ROUNDS:-2} \
            sh "${srcdir:-.}/tests/fault/powercut.sh" || status=$?
        case $status in
            0) ;;
            77) skipped=yes ;;
            *) exit "$status" ;;
        esac
    done
done
[ -z "$skipped" ] || exit 77
