#!/bin/sh
# Linearizable reads: on no node do they add to the log, and a leader that
# slept while another was elected does not answer from what it remembers.
#   HF_ROUNDS=N   sleeping leaders (5)
#   HF_READS=N    reads on each node (10000)
#   HF_MUTANT=M   (mutants build) an old value must come at least once
set -eu
. "${srcdir:-.}/tests/fault/process.sh"
command -v redis-benchmark >/dev/null || exit 77

# last_index I: where node I's log ends.
last_index() { node_cli "$1" --raw STATUS | sed -n '/^last_index$/{n;p;}'; }
log_ends() { for i in $(cluster_nodes); do last_index "$i"; done | paste -sd ' ' -; }

# Reads must reach every node and leave every log as it was.
quiet_reads() {
    reads=${HF_READS:-10000}
    node_cli 1 SET quiet yes >/dev/null
    sleep 1
    before=$(log_ends)
    [ "$(echo "$before" | wc -w)" = 3 ] || die "no log index in STATUS"
    for i in $(cluster_nodes); do
        redis-benchmark -h "$(node_host "$i")" -p "$(node_port "$i")" \
            -n "$reads" -c 16 -q GET quiet >"$CL_DIR/reads" 2>&1 ||
            die "reads on node $i: $(cat "$CL_DIR/reads")"
        [ "$(node_cli "$i" GET quiet)" = yes ] || die "a wrong value"
    done
    after=$(log_ends)
    [ "$before" = "$after" ] ||
        die "reads moved the logs' ends from $before to $after"
    echo "reads: $reads on each of 3 nodes, log ends at $after as before"
}

sleeping_leaders() {
    n=0
    new=0
    errors=0
    old=0
    while [ "$n" -lt "${HF_ROUNDS:-5}" ]; do
        n=$((n + 1))
        leader=$(cluster_wait_leader 20) || die "no leader"
        other=$((leader % 3 + 1))
        status=0
        "$build/tests/fault/stale_read" "$(node_pid "$leader")" \
            "$(node_port "$leader")" "$(node_port "$other")" "stale:$n" \
            >"$CL_DIR/read" || status=$?
        [ "$status" = 0 ] || [ "$status" = 3 ] || die "try $n did not work"
        while read -r _ a _ b _ c; do
            new=$((new + ${a%,})) errors=$((errors + ${b%,})) old=$((old + c))
        done <"$CL_DIR/read"
        kv --timeout 20s status --wait >/dev/null || die "no cluster"
    done
    echo "sleeping leaders: $n tries, reads that brought the new value $new," \
        "an error $errors, the old value $old"
}

cluster_up 3 >/dev/null || die "the cluster did not form"
quiet_reads
sleeping_leaders
if [ -n "${HF_MUTANT:-}" ]; then
    [ "$old" -gt 0 ]
else
    [ "$old" = 0 ]
fi
