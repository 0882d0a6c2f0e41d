#!/bin/sh
# ./dev prove [NAME...]: the tests of real processes with the round counts of
# a release, one line a proof. About half an hour on two cores; the machine
# should do nothing else, since some of them measure time. As root (network
# namespaces, small disks).
#   clients haproxy push feed tracking failover cutoff
#   cold_start big_start powercut powercut_mutant seat stale
#   stale_mutant refuse minority_damage lossy loopcut
#   powercut_names powercut_alone powercut_ext4
#   powercut_xfs stalled_disk readonly_disk syscalls (hours: not by default)
# The whole output of each is kept in build/prove-NAME.log.
set -eu
. "$(dirname "$0")/lib.sh"

names='clients haproxy push feed tracking failover cutoff
cold_start big_start powercut powercut_mutant seat stale
stale_mutant refuse minority_damage lossy loopcut
powercut_names powercut_alone powercut_ext4
powercut_xfs stalled_disk readonly_disk'
wanted=${*:-$names}
failed=0

"$HF_ROOT/scripts/build.sh" >/dev/null
case " $wanted " in
    *_mutant* | *powercut_*) "$HF_ROOT/scripts/build.sh" mutants >/dev/null ;;
esac

# run NAME DIR SCRIPT VARIABLE=VALUE...: its last lines are the proof.
run() {
    name=$1
    dir=$HF_ROOT/$2
    script=$3
    shift 3
    log=$HF_ROOT/build/prove-$name.log
    make -C "$dir" --no-print-directory -s check TESTS= >"$log" 2>&1 || {
        echo "$name: FAILED, the tests did not build ($log)"
        failed=$((failed + 1))
        return 0
    }
    status=0
    case $script in */*) ;; *) script=fault/$script ;; esac
    (cd "$dir" && env srcdir="$HF_ROOT" "$@" \
        sh "$HF_ROOT/tests/$script.sh") >>"$log" 2>&1 || status=$?
    case $status in
        0) tail -n "$lines" "$log" | sed "s/^/$name: /" ;;
        77) echo "$name: NOT RUN, $(tail -n 1 "$log")" ;;
        *)
            echo "$name: FAILED, $(grep -m 1 '^error: ' "$log"); $log"
            failed=$((failed + 1))
            ;;
    esac
}

for proof in $wanted; do
    lines=1
    case $proof in
        haproxy)
            run haproxy build clients/haproxy HF_WRITES=1000 HF_PAUSE=6
            ;;
        push)
            run push build clients/push HF_ROUNDS=20
            ;;
        clients)
            run clients build clients/run HF_ROUNDS=2 \
                HF_FAULTS='kill restart stop transfer' \
                HF_MODES='plain cluster tuned once' \
                HF_GROUPS='redis-py-4.3.4 redis-py-6.1.0 / ioredis-5 ioredis-6 /
                node-redis-4 node-redis-5 node-redis-6 /
                hiredis redis-cli valkey-cli'
            ;;
        failover)
            lines=2
            run failover build failover HF_ROUNDS=20
            ;;
        feed)
            run feed build feed HF_CHANGES=1000000 HF_KILLS=20 HF_KEPT=200000
            ;;
        tracking) run tracking build tracking HF_SECONDS=180 HF_KILLS=20 ;;
        cutoff) run cutoff build cutoff HF_ROUNDS=20 ;;
        cold_start) run cold_start build cold_start HF_ROUNDS=20 ;;
        big_start) run big_start build big_start HF_KEYS=1000000 ;;
        powercut) run powercut build powercut HF_ROUNDS=20 ;;
        powercut_mutant)
            run powercut_mutant build-mutants powercut HF_ROUNDS=20 \
                HF_MUTANT=ACK_BEFORE_SYNC
            ;;
        loopcut)
            lines=4
            run loopcut build loopcut HF_ROUNDS=20
            ;;
        # A name that is not safe is lost for a moment only.
        powercut_names)
            run powercut_names build-mutants powercut HF_ROUNDS=40 \
                HF_METHOD=ext4 HF_NODES=1 HF_MUTANT=NO_DIR_SYNC HF_CATCH=1
            ;;
        powercut_alone)
            run powercut_alone build-mutants powercut HF_ROUNDS=40 \
                HF_NODES=1 HF_MUTANT=NO_DIR_SYNC HF_CATCH=1
            ;;
        powercut_ext4 | powercut_xfs)
            run "$proof" build-mutants powercut HF_ROUNDS=40 HF_NODES=1 \
                HF_METHOD="${proof#*_}" HF_MUTANT=SNAP_NO_SYNC HF_CATCH=1
            ;;
        stalled_disk)
            lines=3
            run stalled_disk build stalled_disk HF_ALL=1
            ;;
        readonly_disk)
            lines=2
            run readonly_disk build readonly_disk
            ;;
        syscalls)
            lines=4
            run syscalls build syscalls HF_ALL=1
            ;;
        seat)
            lines=7
            run seat build seat HF_ROUNDS=2 HF_KEYS=1000000
            ;;
        stale)
            lines=2
            run stale build stale HF_ROUNDS=200
            ;;
        stale_mutant)
            run stale_mutant build-mutants stale HF_ROUNDS=20 \
                HF_MUTANT=READ_LOCAL
            ;;
        refuse) run refuse build refuse ;;
        lossy) run lossy build lossy HF_SECONDS=300 ;;
        minority_damage)
            run minority_damage build minority_damage HF_ROUNDS=50
            ;;
        *) die "no such proof: $proof ($names)" ;;
    esac
done
[ "$failed" = 0 ]
