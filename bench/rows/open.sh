# Rows by kv bench: open loops, stale reads, many connections, and writes
# while something else goes on.
# shellcheck shell=sh
# shellcheck disable=SC2154  # set by scripts/bench.sh

# Linearizable on the leader and stale on a follower, by one tool.
row_stale() {
    for pipe in 1 16; do
        kvb "$lead" --connections 64 --pipeline "$pipe" --reads 100 \
            --duration "${seconds}s"
        rec holdfast "p${pipe}_rps" "$(kvb_get rps)"
        kvb "$side" --connections 64 --pipeline "$pipe" --reads 100 --stale \
            --duration "${seconds}s"
        rec follower "p${pipe}_rps" "$(kvb_get rps)"
    done
}

# The peak that rates are parts of: the row set64's, or one run now.
peak_of() {
    got=$(have set64 "$1" rps)
    [ -n "$got" ] || got=$(cat "$work/peak.$1" 2>/dev/null || true)
    if [ -z "$got" ]; then
        if [ "$1" = etcd ]; then
            got=$(etcd_load_n put 64 "$keys" 128 1 "$first_n")
        else
            got=$(rb "$(peer_port "$1")" set 64 1 128 "$((first_n * 10))")
        fi
        echo "${got%% *}" >"$work/peak.$1"
    fi
    echo "${got%% *}"
}
part() { awk -v r="$1" -v p="$2" 'BEGIN { printf "%d", r * p / 100 }'; }

# offered PEER RATE METRIC-PREFIX: writes at a fixed rate for a while.
offered() {
    if [ "$1" = etcd ]; then
        n=$(part "$2" $((seconds * 100)))
        got=$("$build/etcd_load" put 64 "$n" "$keys" 128 "$etcd_lead" 16 \
            "$2" "$work/dist")
        # shellcheck disable=SC2086
        set -- "$1" "$2" "$3" $got
    else
        kvb "$(peer_port "$1")" --connections 64 --rate "$2" --reads 0 \
            --value-size 128 --duration "${seconds}s"
        kvb_dist >"$work/dist"
        set -- "$1" "$2" "$3" "$(kvb_get rps)" "$(kvb_get p50)" \
            "$(kvb_get p99)" "$(kvb_get p999)" "$(kvb_get max)"
    fi
    rec "$1" "$3rate" "$2"
    rec "$1" "$3rps" "$4"
    rec "$1" "$3p50" "$5"
    rec "$1" "$3p99" "$6"
    rec "$1" "$3p999" "$7"
    rec "$1" "$3max" "$8"
}

# Half of the peak, beside etcd and redis-server at half of theirs; then again
# while all three nodes take snapshots of $open_keys keys all the time.
row_open() {
    seconds=$open_seconds
    if [ ! -e "$work/open.filled" ]; then
        fill "$lead" "$open_keys" 100
        : >"$work/open.filled"
    fi
    for peer in holdfast etcd redis-always; do
        offered $peer "$(part "$(peak_of $peer)" 50)" ''
        dist $peer "$work/dist"
    done
    loop_reset
    snapshots_begin
    offered holdfast "$(part "$(peak_of holdfast)" 50)" snap_
    rec holdfast snap_loop_longest_ms "$(loop_longest)"
    snapshots_end
    dist holdfast-snapshots "$work/dist"
    rec holdfast snap_count "$snapshots"
}

# Throughput and latency over offered load.
row_load() {
    for peer in holdfast etcd redis-always; do
        for percent in $load_percents; do
            offered $peer "$(part "$(peak_of $peer)" "$percent")" \
                "at${percent}_"
        done
    done
}

# 1 to 5,000 connections; of the 5,000 the half is idle.
row_conns() {
    for conns in 1 16 64 256 1000 5000; do
        idle=0
        [ "$conns" != 5000 ] || idle=2500
        for reads in 0 100; do
            what="set"
            [ "$reads" = 0 ] || what="get"
            kvb "$lead" --connections "$((conns - idle))" --idle "$idle" \
                --reads "$reads" --duration "${seconds}s"
            rec holdfast "${what}_${conns}_rps" "$(kvb_get rps)"
            rec holdfast "${what}_${conns}_p99" "$(kvb_get p99)"
            rec holdfast "${what}_${conns}_errors" "$(kvb_get errors)"
        done
    done
}

# A follower is away for $catchup_n writes; writes while it catches up.
row_catchup() {
    got=$(rb "$lead" set 64 1 128 "$catchup_probe")
    rec holdfast before_rps "${got%% *}"
    node_kill "$away"
    rb "$lead" set 64 16 128 "$catchup_n" >/dev/null
    node_start "$away"
    began=$(now_ms)
    (
        until [ "$(node_lag "$away")" -lt 1000 ]; do
            sleep 0.1
        done
        echo $(($(now_ms) - began)) >"$work/caught"
    ) &
    pids="$pids $!"
    got=$(rb "$lead" set 64 1 128 "$catchup_probe")
    rec holdfast during_rps "${got%% *}"
    wait $!
    rec holdfast caught_up_ms "$(cat "$work/caught")"
}

# How many entries node I has still to apply, by what the leader has.
node_lag() {
    here=$(applied_index "$1")
    there=$(applied_index "$leader")
    if [ "${here:-0}" = 0 ]; then
        echo 1000000000
    else
        echo $((there - here))
    fi
}
applied_index() {
    node_cli "$1" INFO holdfast 2>/dev/null | tr -d '\r' |
        sed -n 's/^applied_index://p'
}
