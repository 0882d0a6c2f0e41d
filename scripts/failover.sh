#!/bin/sh
# ./dev failover: how long writers wait when a node fails, as a distribution.
#
#   ./dev failover [--runs N] [--faults F,F,...] [--seed S] [--out FILE.svg]
#                  [--fault-ms MS] [--after-ms MS]
#   ./dev failover --healthy MINUTES
#
# Three real processes in network namespaces of their own (as root), default
# settings. WRITERS closed-loop writers at the plain ports of the nodes that
# stay, which neither retry nor reconnect; in each run one fault and, after
# about a second, its end. Two gaps are measured: the longest after the fault,
# and the longest after its end (the second gap).
#   kill     the leader is killed (SIGKILL), and started again
#   stop     the leader is stopped (SIGSTOP), and goes on
#   isolate  the leader is cut off from the others, and the wires are mended
#   orderly  the leader is asked to end (SIGTERM), and started again
#   heal     a node that does not lead is cut off, and comes back
# --seed decides the times between. An error reply, a lost connection, a number
# left out or given twice or a lost write ends it with status 1.
#
# A watchdog process runs beside it. Runs during which the whole machine stood
# still for more than 100 ms are marked and listed; the table has them.
#
# --healthy: all nodes under full load for MINUTES, no fault; counts the
# elections, which ought to be none.
#
# Lines of runs go to build/failover.runs, the plot to build/failover.svg or
# FILE.svg (docs/failover.svg is the one of a release), the figures to the
# ledger (./dev ledger).
set -eu
. "$(dirname "$0")/lib.sh"
. "$HF_ROOT/scripts/ledger.sh"

WRITERS=8
PAUSE_MS=2
STALL_MS=100
# How long a fault lasts, and the watch after it (ms).
FAULT_MS=1200
AFTER_MS=1500

runs=20
faults=kill,stop,isolate,orderly,heal
seed=1
healthy=
out=$HF_ROOT/build/failover.svg
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || die "what is $1? see the head of scripts/failover.sh"
    case $1 in
        --runs) runs=$2 ;;
        --faults) faults=$2 ;;
        --seed) seed=$2 ;;
        --out) out=$2 ;;
        --healthy) healthy=$2 ;;
        --fault-ms) FAULT_MS=$2 ;;
        --after-ms) AFTER_MS=$2 ;;
        *) die "what is $1? see the head of scripts/failover.sh" ;;
    esac
    shift 2
done
faults=$(echo "$faults" | tr , ' ')
for f in $faults; do
    case $f in
        kill | stop | isolate | orderly | heal) ;;
        *) die "no such fault: $f" ;;
    esac
done

build=${HF_BUILD:-$HF_ROOT/build}
[ -n "${HF_BUILD:-}" ] || "$HF_ROOT/scripts/build.sh" >/dev/null
CL_BIN=$build
CL_DIR=$(mktemp -d "$build/failover.XXXXXX")
CL_NET=hf$$
CL_FLAGS=${CL_FLAGS:-}
. "$HF_ROOT/scripts/cluster.sh"
rows=$build/failover.runs
stalls=$CL_DIR/stalls
watchdog=
writer=
loads=

failover_end() {
    status=$?
    trap - EXIT
    trap '' PIPE
    set +e
    for p in $writer $loads $watchdog; do
        kill "$p" 2>/dev/null || true
    done
    for i in $(cluster_nodes); do
        node_signal "$i" CONT 2>/dev/null || true
        node_kill "$i" || true
    done
    net_down
    if [ "$status" = 0 ]; then
        [ -n "${HF_KEEP:-}" ] || rm -rf "$CL_DIR"
    else
        cluster_explain
        echo "logs and data are kept in $CL_DIR"
    fi
    exit "$status"
}
trap failover_end EXIT
trap 'exit 1' HUP INT TERM PIPE

net_up 3 || {
    echo "network namespaces and iptables are not to be had here"
    exit 77
}
cluster_up 3 >/dev/null || die "the cluster did not form"
"$build/watchdog" "$STALL_MS" >"$stalls" &
watchdog=$!

# The n-th of some numbers below 1000 that the seed decides.
random() {
    awk -v s="$seed" -v n="$1" 'BEGIN { srand(s * 100003 + n); rand()
        printf "%d\n", int(rand() * 1000) }'
}
nap() { sleep "$(awk -v ms="$1" 'BEGIN { printf "%.3f", ms / 1000 }')"; }

inflict() {
    case $1 in
        kill) node_signal "$2" KILL ;;
        stop) node_signal "$2" STOP ;;
        isolate | heal) net_cut "$2" ;;
        orderly) node_signal "$2" TERM ;;
    esac
}
relieve() {
    case $1 in
        kill | orderly)
            node_wait_gone "$2" 10 || die "node $2 did not end"
            node_start "$2"
            ;;
        stop) node_signal "$2" CONT ;;
        isolate | heal)
            [ "$(net_dropped)" -gt 0 ] || die "the cut swallowed no packet"
            net_heal
            ;;
    esac
}

# Each acknowledged number is at every node.
check_acked() {
    for i in $(cluster_nodes); do
        awk '{ print "GET " $1 }' "$1" | node_cli "$i" >"$CL_DIR/have" ||
            die "node $i does not answer"
        paste -d ' ' "$1" "$CL_DIR/have" | awk -v node="$i" '
            $3 != $2 { print "node " node ": " $1 " is " $3 \
                ", acknowledged was " $2; bad = 1 }
            END { exit bad || NR == 0 }' >&2 || die "a write was lost"
    done
}

# run FAULT NUMBER: "FAULT NUMBER GAP SECOND NODE STALL BEFORE" is added to
# $rows; BEFORE is the longest gap before the fault.
run() {
    leader=$(cluster_wait_leader 20) || die "no leader"
    node=$leader
    [ "$1" != heal ] || node=$((leader % 3 + 1))
    others=
    for i in $(cluster_nodes); do
        [ "$i" = "$node" ] || others="$others $(node_at "$i")"
    done
    began=$(now_ms)
    # shellcheck disable=SC2046,SC2086  # lists of words
    $(client_in) "$build/gap" --writers $WRITERS --pause $PAUSE_MS \
        --seconds 60 --acked "$CL_DIR/acked" $others \
        >"$CL_DIR/gap.out" 2>"$CL_DIR/gap.err" &
    writer=$!
    # Before it is what it will be, the signal would end it.
    until [ "$(cat "/proc/$writer/comm" 2>/dev/null)" = gap ]; do
        kill -0 "$writer" 2>/dev/null || die "no writers: $(cat "$CL_DIR/gap.err")"
        sleep 0.02
    done
    nap $((400 + $(random "$2") / 5))
    kill -USR1 "$writer"
    inflict "$1" "$node"
    nap $((FAULT_MS + $(random "$2$2") / 2))
    kill -USR1 "$writer"
    relieve "$1" "$node"
    nap "$AFTER_MS"
    kill "$writer" && wait "$writer" ||
        die "$1 of node $node: $(cat "$CL_DIR"/gap.*)"
    writer=
    node_wait_ready "$node" 30 || die "node $node did not start"
    kv --timeout 30s status --wait >/dev/null ||
        die "node $node did not come back"
    check_acked "$CL_DIR/acked"
    stall=$(awk -v from="$began" '$1 >= from && $2 > n { n = $2 }
        END { print n + 0 }' "$stalls")
    # shellcheck disable=SC2046  # the gaps of three windows
    set -- "$1" "$2" "$node" "$stall" \
        $(sed -n 's/.*, windows //p' "$CL_DIR/gap.out")
    echo "$1 $2 $6 $7 $3 $4 $5" >>"$rows"
    mark=
    [ "$4" = 0 ] || mark=", the machine stood still for $4 ms"
    echo "$1 $2: node $3, gap $6 ms, second gap $7 ms, before $5 ms$mark"
}

# figure FAULT COLUMN PART: a quantile of a column of $rows.
figure() {
    awk -v f="$1" -v c="$2" '$1 == f { print $c }' "$rows" | sort -n |
        awk -v p="$3" '{ a[NR] = $1 }
            END { i = int(p * NR); i += i < p * NR; print a[i < 1 ? 1 : i] }'
}

# The figures of each fault, for the ledger.
note() {
    for f in $faults; do
        ledger_add failover "fault=$f" "count=$runs" \
            "p50=$(figure "$f" 3 0.5)" "p99=$(figure "$f" 3 0.99)" \
            "max=$(figure "$f" 3 1)" "second_p50=$(figure "$f" 4 0.5)" \
            "second_p99=$(figure "$f" 4 0.99)" \
            "second_max=$(figure "$f" 4 1)" \
            "stalls=$(awk -v f="$f" '$1 == f && $6 > 0' "$rows" | wc -l)" \
            "seconds=$((($(now_ms) - all_began) / 1000))" "failures=0"
    done
}

# table TITLE COLUMN: quantiles of a column of $rows, a line a fault.
table() {
    echo "$1"
    printf '%-8s %5s %6s %6s %6s %6s %6s\n' fault n min p50 p90 p99 max
    for f in $faults; do
        awk -v f="$f" -v c="$2" '$1 == f { print $c }' "$rows" | sort -n |
            awk -v f="$f" 'function q(p,   i) {
                    i = int(p * NR); i += i < p * NR; return a[i < 1 ? 1 : i]
                }
                { a[NR] = $1 }
                END { if (NR > 0) printf "%-8s %5d %6d %6d %6d %6d %6d\n", f,
                    NR, a[1], q(0.5), q(0.9), q(0.99), a[NR] }'
    done
}

# One field of INFO of node $1.
info() { node_cli "$1" INFO | sed -n "s/^$2://p" | tr -d '\r'; }
# The sum of a field over all nodes, or the largest.
info_sum() {
    for i in $(cluster_nodes); do
        info "$i" "$1"
    done | awk '{ s += $1 } END { printf "%d\n", s }'
}
info_max() {
    for i in $(cluster_nodes); do
        info "$i" "$1"
    done | sort -n | tail -n 1
}

# The elections after term $1: "MS NODE TERM", MS as in /proc/uptime.
elections() {
    offset=$(($(date +%s%3N) - $(now_ms)))
    tail -q -n +1 "$CL_DIR"/n?.log |
        sed -n 's/^\([^ ]*\) .*term \([0-9]*\): node \([0-9]*\) leads (this one).*/\1 \3 \2/p' |
        while read -r at node term; do
            [ "$term" -gt "$1" ] || continue
            echo "$(($(date -d "$at" +%s%3N) - offset)) $node $term"
        done
}

healthy() {
    term=$(info_max term)
    commands=$(info_sum total_commands_processed)
    began=$(now_ms)
    for i in $(cluster_nodes); do
        # shellcheck disable=SC2046  # a list of words
        $(client_in) redis-benchmark -h "$(node_host "$i")" \
            -p "$(node_port "$i")" -t set,get -c 32 -P 16 -r 100000 -d 100 \
            -n 2000000000 -l -q >/dev/null 2>&1 &
        loads="$loads $!"
    done
    sleep $((healthy * 60))
    # shellcheck disable=SC2086  # a list of numbers
    kill $loads
    loads=
    ended=$(now_ms)
    sleep 2
    commands=$(($(info_sum total_commands_processed) - commands))
    elections "$term" >"$CL_DIR/elections"
    awk -v from="$began" '$1 >= from' "$stalls" >"$CL_DIR/stalled"
    # An election follows its cause by two election timeouts at most.
    awk 'NR == FNR { from[NR] = $1 - $2; to[NR] = $1 + 600; n = NR; next }
        { excused = ""
          for (i = 1; i <= n; i++) {
              if ($1 >= from[i] && $1 <= to[i]) {
                  excused = ", during a stall of the whole machine"
              }
          }
          print "election: term " $3 ", node " $2 excused }' \
        "$CL_DIR/stalled" "$CL_DIR/elections" | tee "$CL_DIR/found"
    awk '{ print "the whole machine stood still for " $2 " ms" }' \
        "$CL_DIR/stalled"
    elections=$(grep -vc stall "$CL_DIR/found" || true)
    silence=$(info_max leader_silence_max_ms)
    echo "healthy: $(((ended - began) / 1000)) s of full load, $commands" \
        "commands ($((commands * 1000 / (ended - began))) a second)," \
        "$elections elections, longest silence of the leader $silence ms," \
        "$(wc -l <"$CL_DIR/stalled") stalls of the machine"
    [ -n "${HF_BUILD:-}" ] ||
        ledger_add healthy "seconds=$(((ended - began) / 1000))" \
            "commands=$commands" "silence_max=$silence" \
            "stalls=$(wc -l <"$CL_DIR/stalled")" "failures=$elections"
    [ "$elections" = 0 ]
}

if [ -n "$healthy" ]; then
    healthy
    exit
fi

: >"$rows"
all_began=$(now_ms)
n=1
while [ "$n" -le "$runs" ]; do
    for f in $faults; do
        run "$f" "$n"
    done
    n=$((n + 1))
done
echo
table "gap at the fault (ms)" 3
echo
table "second gap, when it ends (ms)" 4
echo
table "before the fault, to compare" 7
echo
echo "runs during which the whole machine stood still for more than" \
    "$STALL_MS ms: $(awk '$6 > 0' "$rows" | wc -l)"
awk '$6 > 0 { print "  " $1 " " $2 ": " $6 " ms" }' "$rows"
awk -v title="$(commit_name)" -f "$HF_ROOT/scripts/svg.awk" \
    -f "$HF_ROOT/scripts/failover.awk" "$rows" >"$out"
echo "plot: $out"
[ -n "${HF_BUILD:-}" ] || note
