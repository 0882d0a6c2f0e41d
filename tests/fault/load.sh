#!/bin/sh
# All workloads of jepsen-lite for a few seconds, through the loss of a leader:
# the history is well-formed (every process does one thing at a time, every
# invoke has one end, time never goes back, no process goes on after an
# unknown outcome), every workload got something done, and every node gave the
# same state at the end.
#   HF_SECONDS=N   of traffic (4)
#   HF_SEED=N      (1)
set -eu
. "${srcdir:-.}/tests/fault/process.sh"

seconds=${HF_SECONDS:-4}
seed=${HF_SEED:-1}
history=$CL_DIR/history.jsonl

cluster_up 3 >/dev/null || die "the cluster did not start"
nodes=$(for i in $(cluster_nodes); do
    echo "$(node_at "$i"):$(($(node_port "$i") + 1000))"
done | paste -sd , -)
leader=$(cluster_wait_leader 20) || die "no leader"
"$build/holdfast-load" --nodes "$nodes" --workload all --seed "$seed" \
    --seconds "$seconds" --history "$history" >"$CL_DIR/load.out" 2>&1 &
writer=$!
sleep 1
node_kill "$leader"
sleep 1
node_start "$leader"
wait "$writer" || {
    writer=
    die "holdfast-load: $(cat "$CL_DIR/load.out")"
}
writer=
cat "$CL_DIR/load.out"

# One line is one event; its fields are picked by name.
awk '
    function field(name, text) {
        if (!match($0, "\"" name "\":[^,}]*")) { return "" }
        text = substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3)
        gsub(/"/, "", text)
        return text
    }
    function bad(why) { print NR ": " why ": " $0; wrong++ }
    !/^\{"t":[0-9]+,.*\}$/ { bad("not an event") }
    {
        t = substr($0, 6) + 0
        if (t < last) { bad("time goes back") }
        last = t
        type = field("type")
    }
    type == "load_summary" { summaries++; next }
    summaries { bad("after the summary") }
    { p = field("p"); w = field("w") }
    type == "invoke" {
        if (p in open) { bad("two at a time") }
        if (p in retired) { bad("a retired process") }
        open[p] = w
        next
    }
    type == "ok" || type == "fail" || type == "info" {
        if (open[p] != w) { bad("an end without an invoke") }
        delete open[p]
        ends[w " " type]++
        if (type == "info") { retired[p] = 1 }
        if (w == "state") { state[field("v") field("index")]++ }
        if (/"final":true/) { finals[w " " field("node")]++ }
        next
    }
    { bad("what is this") }
    END {
        n = split("register append set counter bank ids lock stale ttl state",
                  names, " ")
        for (i = 1; i <= n; i++) {
            if (!ends[names[i] " ok"]) { bad("nothing done: " names[i]) }
        }
        for (i = 1; i <= 3; i++) {
            if (!finals["set " i]) { bad("no final read at node " i) }
        }
        for (p in open) { bad("without an end: process " p) }
        for (s in state) { if (state[s] != 3) { bad("states differ") } }
        if (summaries != 1) { bad("no summary") }
        print NR " lines"
        exit wrong > 0
    }' "$history" || die "the history is not well-formed"
