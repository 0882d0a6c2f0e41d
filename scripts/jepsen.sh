#!/bin/sh
# ./dev jepsen: real nodes in network namespaces under clients and faults, and
# a verdict (jepsen-lite/HISTORY.md). As root; without namespaces or iptables
# it says so and exits 77.
#   --nodes N         3 or 5 (5)
#   --minutes M       or --seconds T: clients and faults (2 minutes)
#   --workload LIST   all, or names (all)
#   --nemesis LIST    all, families or single faults (all; jepsen-lite/nemesis*.c)
#   --seed S          of clients and faults (the date)
#   --clients N       clients of each workload
#   --upgrade DIR     rolling upgrades to DIR/holdfastd and back
#   --bin DIR         what to run (build; a mutants build: build-mutants)
#   --dir D           the run's folder (build/jepsen/SEED-DATE)
#   --keep            keep the nodes' data of a good run too
#   --campaign        runs of 10 minutes, three nodes and five in turn, until
#                     the minutes are done; seeds go on from the ledger
# A run that is not valid keeps everything. Exit: as holdfast-check, 0 valid.
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/ledger.sh"

# campaign MINUTES WORD...
campaign() {
    left=$1
    shift
    bad=0
    while [ "$left" -gt 0 ]; do
        piece=$((left < 10 ? left : 10))
        s=$(ledger_next jepsen)
        n=$((s % 3 == 0 ? 3 : 5))
        HF_CAMPAIGN=1 "$0" "$@" --nodes "$n" --minutes "$piece" --seed "$s" || bad=$((bad + 1))
        left=$((left - piece))
    done
    ledger_print | grep -E '^(kind|jepsen) '
    [ "$bad" = 0 ]
}
if [ "${1:-}" = --campaign ]; then
    shift
    minutes=60
    if [ "${1:-}" = --minutes ]; then
        minutes=${2:-}
        shift 2
    fi
    case $minutes in '' | *[!0-9]*) die "--campaign --minutes M ..." ;; esac
    campaign "$minutes" "$@"
    exit
fi

nodes=5
seconds=120
workload=all
nemesis=all
seed=$(date +%s)
clients=
upgrade=
bin=
dir=
keep=
usage() {
    sed -n '2,18s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
whole_number() {
    case $1 in '' | *[!0-9]*) die "\"$1\" is not a whole number" ;; esac
}
while [ $# -gt 0 ]; do
    [ "$1" = --keep ] || [ $# -ge 2 ] || usage
    case $1 in
        --keep)
            keep=yes
            shift
            continue
            ;;
        --nodes) nodes=$2 ;;
        --minutes)
            whole_number "$2"
            seconds=$(($2 * 60))
            ;;
        --seconds)
            whole_number "$2"
            seconds=$2
            ;;
        --workload) workload=$2 ;;
        --nemesis) nemesis=$2 ;;
        --seed) seed=$2 ;;
        --clients) clients=$2 ;;
        --upgrade) upgrade=$2 ;;
        --bin) bin=$2 ;;
        --dir) dir=$2 ;;
        *) usage ;;
    esac
    shift 2
done
case $nodes in 3 | 5) ;; *) usage ;; esac
[ "$seconds" -ge 20 ] || die "at least 20 seconds"

if [ -z "$bin" ]; then
    bin=$HF_ROOT/build
    run_logged "$HF_ROOT/build/jepsen-build.log" "the build" \
        "$HF_ROOT/scripts/build.sh"
fi
bin=$(cd "$bin" && pwd)
make -C "$bin" --no-print-directory -s tests/fault/powercut \
    tests/fault/undo.so >/dev/null || die "the tools did not build"

run=${dir:-$HF_ROOT/build/jepsen/$seed-$(date +%H%M%S)}
[ ! -e "$run/run.json" ] || die "$run has a run"
mkdir -p "$run/nodes"
run=$(cd "$run" && pwd)

CL_BIN=$bin
CL_DIR=$run/nodes
CL_NET=hfj$$
# Small, so that a run has new segments, trims and snapshots; but all changes
# are kept, also those that only fill a disk.
CL_FLAGS='--segment-size 1m --snapshot-floor 1m --log-budget 128m
    --history-bytes 512m'
# The faults of short runs last up to 3 s: deadlines are to pass in them.
[ "$seconds" -gt 400 ] || CL_FLAGS="$CL_FLAGS --request-timeout 1200"
. "$HF_ROOT/scripts/cluster.sh"

case ",$nemesis," in
    *,all,* | *,power*) undo=:$bin/tests/fault/undo.so ;;
    *) undo= ;;
esac
# The libraries come before a sanitizer's; they have none themselves.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
export ASAN_OPTIONS
node_wrap() {
    lite=$bin/jepsen-lite
    echo "env LD_PRELOAD=$lite/clockshift.so:$lite/diskfault.so$undo
        HF_FAULT_CTL=$CL_DIR/n$1.ctl HF_FAULT_DIR=$CL_DIR/n$1
        UNDO_DIR=$CL_DIR/n$1 UNDO_KEEP=$CL_DIR/n$1.keep
        UNDO_LOG=$CL_DIR/n$1.undo"
}

load=
faults=
at_end() {
    status=$?
    trap '' HUP INT TERM PIPE
    trap - EXIT
    for pid in $load $faults; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    for i in $(cluster_nodes); do
        node_resume "$i" 2>/dev/null || true
        node_kill "$i" || true
        rm -rf "$CL_DIR/n$i.keep" "$CL_DIR/n$i.undo"
        if [ "$status" = 0 ] && [ -z "$keep" ]; then
            rm -rf "${CL_DIR:?}/n$i"
        fi
    done
    net_down
    exit "$status"
}

net_up "$nodes" || {
    say "network namespaces and iptables are not to be had here: not run"
    exit 77
}
trap at_end EXIT
trap 'exit 130' HUP INT TERM PIPE

# ["a","b"] of a,b
list() { printf '["%s"]' "$(printf %s "$1" | sed 's/,/","/g')"; }
printf '{"version":1,"seed":%s,"nodes":%s,"seconds":%s,"workloads":%s,"nemeses":%s,"commit":"%s","started":%s}\n' \
    "$seed" "$nodes" "$seconds" "$(list "$workload")" "$(list "$nemesis")" \
    "$(commit_name)" "$(date +%s)" >"$run/run.json"

echo "$nodes" >"$CL_DIR/size"
for i in $(cluster_nodes); do
    # The size of struct fault_ctl and more.
    head -c 4096 /dev/zero >"$CL_DIR/n$i.ctl"
    mkdir -p "$CL_DIR/n$i.keep"
    node_words "$i" >"$CL_DIR/n$i.argv"
done
cluster_up "$nodes" >/dev/null || die "the cluster did not form"

at=
for i in $(cluster_nodes); do
    at=$at${at:+,}$(node_host "$i"):$CL_PORT:$((CL_PORT + 1000))
done
quiet=$((seconds / 6))
[ "$quiet" -le 30 ] || quiet=30
[ "$quiet" -ge 8 ] || quiet=8
say "seed $seed, $nodes nodes, $seconds s: $run"

# A shell's job would not be ours to signal through "ip netns exec" if that
# did not become the program; it does.
# shellcheck disable=SC2046  # a list of words
$(client_in) "$bin/holdfast-load" --nodes "$at" --workload "$workload" \
    --seed "$seed" --seconds "$seconds" --history "$run/history.jsonl" \
    ${clients:+--clients "$clients"} >"$run/load.log" 2>&1 &
load=$!
# shellcheck disable=SC2046  # a list of words
$(client_in) "$bin/holdfast-nemesis" --dir "$run" --net "$CL_NET" \
    --nodes "$nodes" --seconds "$seconds" --quiet "$quiet" --seed "$seed" \
    --nemesis "$nemesis" --tools "$bin" --kv "$bin/kv" \
    --endpoints "$(cluster_endpoints)" --port "$CL_PORT" \
    ${upgrade:+--upgrade "$upgrade/holdfastd"} >"$run/nemesis.log" 2>&1 &
faults=$!

# A name that one of them does not know ends it at once, not the run later.
sleep 1
for part in "load $load" "nemesis $faults"; do
    if grep -qs '^State:[[:space:]]*Z' "/proc/${part#* }/status" ||
        [ ! -d "/proc/${part#* }" ]; then
        die "$(head -n 1 "$run/${part% *}.log")"
    fi
done

faults_status=0
wait "$faults" || faults_status=$?
faults=
load_status=0
wait "$load" || load_status=$?
load=

status=0
"$bin/holdfast-check" "$run" >"$run/check.log" 2>&1 || status=$?

# value NAME of the summary line
value() {
    sed -n 's/.*"type":"summary".*"'"$1"'":\([0-9a-z]*\).*/\1/p' \
        "$run/nemesis.jsonl"
}
say "operations"
awk -F '"' '{ w = ""; type = ""
        for (i = 2; i < NF; i += 2) {
            if ($i == "w" && $(i + 1) == ":") { w = $(i + 2) }
            if ($i == "type" && $(i + 1) == ":") { type = $(i + 2) }
        }
        if (w != "") { n[w, type]++; seen[w] = 1 } }
    END { for (w in seen) printf "  %-10s %8d asked %8d ok %8d fail %8d info\n",
        w, n[w, "invoke"], n[w, "ok"], n[w, "fail"], n[w, "info"] }' \
    "$run/history.jsonl" | sort
say "faults"
awk -F '"' '/"type":"(start|stop)"/ {
        type = ""; f = ""; bit = 0; t = substr($3, 2) + 0
        for (i = 2; i < NF; i += 2) {
            if ($i == "type") { type = $(i + 2) }
            if ($i == "f") { f = $(i + 2) }
        }
        if (type == "start") { n[f]++ } else { b[f] += /"bit":true/ } }
    END { for (f in n) printf "  %-16s %4d, bit %d\n", f, n[f], b[f] }' \
    "$run/nemesis.jsonl" | sort
# Between two answers that were "ok", over all clients.
gap=$(awk '/"type":"ok"/ { t = substr($0, 6) + 0
        if (last && t - last > longest) { longest = t - last; }
        last = t }
    END { printf "%.2f", longest / 1e9 }' "$run/history.jsonl")
say "leader changes $(value leader_changes), SIGKILLs $(value sigkills)," \
    "nodes ended by themselves $(value died), longest gap $gap s"
# shellcheck disable=SC2086  # two words or none
ledger_add jepsen ${HF_CAMPAIGN:+from=$seed to=$seed} "seed=$seed" "nodes=$nodes" \
    "seconds=$seconds" "count=$(grep -c '"type":"invoke"' "$run/history.jsonl")" \
    "faults=$(grep -c '"type":"start"' "$run/nemesis.jsonl")" \
    "leader_changes=$(value leader_changes)" "sigkills=$(value sigkills)" \
    "status=$status" "failures=$((status == 0 ? 0 : 1))"
cat "$run/verdict.txt" 2>/dev/null || tail -n 20 "$run/check.log"

# died_status: what else makes a run bad.
if [ "$faults_status" != 0 ]; then
    say "nemesis: $(tail -n 1 "$run/nemesis.log")"
    [ "$status" != 0 ] || status=$faults_status
fi
if [ "$load_status" != 0 ]; then
    say "clients: $(tail -n 1 "$run/load.log")"
    [ "$status" != 0 ] || status=3
fi
if [ "$status" != 0 ]; then
    say "NOT VALID ($status); everything is in $run"
    say "judge it again: $bin/holdfast-check $run"
fi
exit "$status"
