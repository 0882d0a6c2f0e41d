#!/bin/sh
# Every system call of a node that touches its files fails once, or from then
# on, with EIO, ENOSPC and EROFS: the Nth call of a thread, for each N of a
# short run (start, recovery, 1,000 or so increments, a new log file, a
# snapshot, stop). The node goes on, or ends with status 74 and its reason
# (before it serves also with 2 or 75); after a restart without faults nothing
# acknowledged is missing. Once with a node alone from nothing, once with a
# node alone that has a log, and with one node of three, whose others must
# serve on without an error.
#   HF_RUNS=N   how many faults, spread over all by seed (15)
#   HF_ALL=1    all of them
#   HF_SEED=S
# write() is not among them: only the messages to stderr are written with it,
# which the reference run checks.
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

command -v strace >/dev/null || {
    echo "no strace here"
    exit 77
}
strace -D -f --seccomp-bpf -e trace=pwrite64 true 2>/dev/null || {
    echo "strace cannot trace here"
    exit 77
}

seed=${HF_SEED:-$(date +%s)}
runs=${HF_RUNS:-15}
calls=openat,pread64,pwrite64,pwritev,fsync,fdatasync,rename,renameat
calls=$calls,renameat2,unlink,unlinkat,ftruncate,fallocate,mkdir,mkdirat
small='--segment-size 1m --snapshot-floor 1m'

# ---- one run ----

# load SECONDS AT...: increments; what was acknowledged is added up.
load() {
    seconds=$1
    shift
    "$build/gap" --writers 16 --seconds 30 --acked "$CL_DIR/acked" "$@" \
        >"$CL_DIR/gap.out" 2>"$CL_DIR/gap.err" &
    writer=$!
    sleep "$seconds"
    kill "$writer" 2>/dev/null || true
    loaded=0
    wait "$writer" || loaded=$?
    writer=
    awk '$2 > 0' "$CL_DIR/acked" >>"$CL_DIR/acked.all" 2>/dev/null || true
    rm -f "$CL_DIR/acked"
}

# Start node $1 with the strace words $2; 1 if it ended before it was ready.
faulty_start() {
    : >"$(node_log "$1")"
    CL_WRAP="strace -D -f --seccomp-bpf -qq -o $CL_DIR/strace $2"
    node_start "$1"
    node_started=$started
    CL_WRAP=
    node_wait_ready "$1" 5
}

# Node $1 is to end now; its status is put into $status.
faulty_end() {
    node_signal "$1" TERM || true
    node_wait_gone "$1" 8 || die "$fault: node $1 does not end"
    status=0
    wait "$node_started" 2>/dev/null || status=$?
}

# It served until the end, or said why not.
judge() {
    ended=$(grep -c -e 'stopped with status' -e '^holdfastd: ' "$(node_log "$1")" || true)
    case $status in
        0) outcome=served ;;
        74) outcome=74 ;;
        2 | 75 | 127) outcome=$status ;; # 127: the dynamic linker
        *)
            tail -n 5 "$(node_log "$1")" >&2
            die "$fault: node $1 ended with status $status"
            ;;
    esac
    if [ "$outcome" = 74 ] || [ "$outcome" = 75 ]; then
        [ "$ended" = 1 ] || die "$fault: status $status without a reason"
    fi
    # After it has served nothing else than the disk is to blame.
    if [ "$2" = 1 ] && [ "$outcome" != served ] && [ "$outcome" != 74 ]; then
        tail -n 5 "$(node_log "$1")" >&2
        die "$fault: status $status while it served"
    fi
    outcomes="$outcomes $outcome"
}

# Without faults it has everything.
sound() {
    node_start "$1"
    node_wait_ready "$1" 20 || {
        tail -n 5 "$(node_log "$1")" >&2
        die "$fault: no start afterwards"
    }
    [ -s "$CL_DIR/acked.all" ] || return 0
    tries=10
    until check_acked "$CL_DIR/acked.all" 1 >"$CL_DIR/why"; do
        tries=$((tries - 1))
        grep -q -e 'is "[0-9]' "$CL_DIR/why" && tries=0
        [ "$tries" -gt 0 ] || die "$fault: $(head -n 1 "$CL_DIR/why")"
        sleep 0.1
    done
}

# alone WORDS: a node alone, with the data of $CL_DIR/base if there are any.
alone() {
    rm -rf "$CL_DIR/n1" "$CL_DIR/acked.all"
    : >"$CL_DIR/acked.all"
    fresh=yes
    if [ "$scenario" = grown ]; then
        cp -a "$CL_DIR/base" "$CL_DIR/n1"
        rm -f "$CL_DIR/n1/lock"
        fresh=
    fi
    ready=0
    if faulty_start 1 "$1"; then
        ready=1
        [ -z "$fresh" ] || kv --timeout 3s init >/dev/null 2>&1 || true
        load 0.2 "$(node_at 1)"
    fi
    faulty_end 1
    judge 1 $((ready == 1 && $(wc -l <"$CL_DIR/acked.all") > 0))
}

# member WORDS: node 2 of three, which run all the time.
member() {
    node_stop 2
    : >"$CL_DIR/acked.all"
    ready=0
    ! faulty_start 2 "$1" || ready=1
    load 0.2 "$(node_at 1)" "$(node_at 3)"
    [ "$loaded" = 0 ] || die "$fault: the others: $(cat "$CL_DIR/gap.err")"
    faulty_end 2
    judge 2 0
}

run() {
    case $scenario in
        member)
            member "$1"
            sound 2
            ;;
        *)
            alone "$1"
            sound 1
            node_kill 1
            ;;
    esac
}

# ---- which faults ----

# reference: what the run calls without a fault: "call count" of the thread
# that calls it most.
reference() {
    fault=reference
    run "-y -e trace=$calls,write"
    [ "$outcome" = served ] || die "the run without a fault: status $status"
    ! grep -E ' write\([0-9]+<'"$CL_DIR/n[0-9]/" "$CL_DIR/strace" ||
        die "write() is used for files"
    awk '{ sub(/\(.*/, "", $2) } $2 ~ /^[a-z]+[a-z0-9]*$/ && $2 != "write" {
            n = ++c[$1, $2]; if (n > max[$2]) max[$2] = n }
        END { for (k in max) print k, max[k] }' "$CL_DIR/strace" | sort
}

# Every fault of the scenario: "call error when", one a line.
faults() {
    awk '{
        split($1 == "pread64" ? "EIO" : "EIO ENOSPC EROFS", e, " ")
        for (i = 1; i in e; i++) for (n = 1; n <= $2; n++) {
            print $1, e[i], n
            print $1, e[i], n "+"
        }
    }' "$CL_DIR/calls"
}

# So many of them, each call and error as often as any other.
spread() {
    [ -z "${HF_ALL:-}" ] || {
        cat
        return 0
    }
    awk -v n="$1" -v seed="$seed" 'BEGIN { srand(seed) }
        { k = $1 " " $2; if (!(k in c)) kinds[++m] = k
          line[k, ++c[k]] = $0 }
        END { at = int(rand() * m)
            for (i = 0; i < n; i++) { k = kinds[(at + i) % m + 1]
                print line[k, int(rand() * c[k]) + 1] } }'
}

total=0
sweep() {
    scenario=$1
    outcomes=
    reference >"$CL_DIR/calls"
    count=0
    missed=0
    outcomes= # of the faults only
    faults >"$CL_DIR/all"
    spread "$2" <"$CL_DIR/all" >"$CL_DIR/faults"
    while read -r call error when <&3; do
        fault="$scenario: $call number $when: $error"
        run "-e trace=$call -e inject=$call:error=$error:when=$when"
        count=$((count + 1))
        grep -q INJECTED "$CL_DIR/strace" || missed=$((missed + 1))
        [ -z "${HF_PROGRESS:-}" ] || echo "$fault: $outcome"
    done 3<"$CL_DIR/faults"
    total=$((total + count))
    echo "$scenario: $count of $(wc -l <"$CL_DIR/all") faults;" \
        "$(echo "$outcomes" | tr ' ' '\n' | grep . | sort | uniq -c |
            awk '{ printf "%s%s %d", (NR > 1 ? ", " : ""), $2, $1 }')," \
        "$missed not reached"
}

# A log with little room left in its first file and before a snapshot.
make_base() {
    CL_FLAGS=$small
    echo 1 >"$CL_DIR/size"
    cluster_up 1 >/dev/null || die "no node"
    awk 'BEGIN { v = "x"; while (length(v) < 4000) v = v v
        for (i = 0; i < 215; i++) print "SET base" i " " substr(v, 1, 4000) }' |
        node_cli 1 >/dev/null
    node_stop 1
    mv "$CL_DIR/n1" "$CL_DIR/base"
}

make_base
sweep fresh $((runs / 3))
sweep grown $((runs / 3))
rm -rf "$CL_DIR/n1" "$CL_DIR/initialised"
echo 3 >"$CL_DIR/size"
cluster_up 3 >/dev/null || die "the cluster did not form"
sweep member $((runs / 3))
echo "failing system calls: $total, nothing acknowledged is missing"
