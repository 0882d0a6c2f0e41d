# Rows over the number of keys: three clusters side by side, with few, many
# and very many keys of 16 bytes with values of 100.
# shellcheck shell=sh
# shellcheck disable=SC2154  # set by scripts/bench.sh

sizes='small middle large'

size_keys() {
    case $1 in
        small) echo "$small_keys" ;;
        middle) echo "$middle_keys" ;;
        large) echo "$large_keys" ;;
    esac
}

# Started and filled once, however many rows want them; memory is what the
# largest node has grown by, beside redis-server's for the same keys.
growth_up() {
    [ ! -e "$work/growth.up" ] || return 0
    for size in $sizes; do
        want=$(size_keys "$size")
        say "    filling $want keys"
        holdfast_start "$size"
        before=$(cluster_rss)
        fill "$lead" "$want" 100
        sleep 1
        after=$(cluster_rss)
        cp "$work/fill" "$work/fill.$size"
        echo $(((after - before) * 1024 / want)) >"$work/bytes.$size"
        redis_start growth
        before=$(rss_kb "$redis_growth")
        fill "$(redis_port growth)" "$want" 100
        sleep 1
        after=$(rss_kb "$redis_growth")
        echo $(((after - before) * 1024 / want)) >"$work/bytes.redis.$size"
        kill "$redis_growth"
        wait "$redis_growth" 2>/dev/null || true
    done
    : >"$work/growth.up"
}
cluster_rss() {
    for i in 1 2 3; do
        rss_kb "$(node_pid $i)"
    done | sort -n | tail -n 1
}

# on SIZE: that cluster from here on. The loads take nine tenths of its keys;
# what starts is asked for one of the others, whose values are still known.
on() {
    cluster_use "$1"
    all_keys=$(size_keys "$1")
    keys=$((all_keys / 10 * 9))
    holdfast_find
}

row_memory() {
    growth_up
    for size in $sizes; do
        rec "$size" keys "$(size_keys "$size")"
        rec "$size" bytes "$(cat "$work/bytes.$size")"
        rec "$size" redis_bytes "$(cat "$work/bytes.redis.$size")"
        rec "$size" fill_rps "$(cut -d ' ' -f 1 "$work/fill.$size")"
    done
}

# The same loads at every size.
row_growth() {
    growth_up
    for size in $sizes; do
        on "$size"
        for what in set get; do
            for pipe in 1 16; do
                row_of=$row
                row=$row.$what$pipe
                calibrate "$size" 64 rb_rate "$lead" "$what" 64 "$pipe" 100
                row=$row_of
                got=$(rb "$lead" "$what" 64 "$pipe" 100 "$n")
                rec "$size" "${what}_p${pipe}_rps" "${got%% *}"
            done
        done
    done
}

# Snapshots one after the other on all nodes, writes at half of the peak.
row_growsnap() {
    growth_up
    for size in $sizes; do
        on "$size"
        rate=$(have growth "$size" set_p1_rps)
        [ -n "$rate" ] || rate=$(rb_rate "$lead" set 64 1 100 "$first_n")
        rate=$(part "$rate" 50)
        took=$snap_seconds
        [ "$size" != large ] || took=$snap_seconds_large
        loop_reset
        kvb "$lead" --connections 64 --rate "$rate" --reads 0 \
            --value-size 100 --duration "${took}s"
        rec "$size" quiet_p999 "$(kvb_get p999)"
        rec "$size" quiet_loop_longest_ms "$(loop_longest)"
        loop_reset
        snapshots_begin
        kvb "$lead" --connections 64 --rate "$rate" --reads 0 \
            --value-size 100 --duration "${took}s"
        rec "$size" snap_loop_longest_ms "$(loop_longest)"
        snapshots_end
        rec "$size" snap_p999 "$(kvb_get p999)"
        rec "$size" snap_count "$snapshots"
    done
}

# Killed and started: one node, then all at once; until each answers a GET of
# a random key rightly. The log as the load left it, then (in the second half)
# a snapshot and little behind it.
row_start() {
    growth_up
    for size in $sizes; do
        on "$size"
        start_one log
        start_all log
        snapshot_all
        start_one snap
        start_all snap
    done
}
start_one() {
    holdfast_find
    node_kill "$away"
    began=$(date +%s%6N)
    node_start "$away"
    took=$("$build/resp_load" first "$side" "$all_keys" 100 \
        "$began" "$keys")
    rec "$size" "one_$1_ms" "$took"
}
start_all() {
    for i in 1 2 3; do
        node_kill "$i"
    done
    began=$(date +%s%6N)
    for i in 1 2 3; do
        node_start "$i"
    done
    firsts=
    for i in 1 2 3; do
        "$build/resp_load" first "$(node_port "$i")" "$all_keys" 100 \
            "$began" "$keys" >"$work/first.$i" &
        firsts="$firsts $!"
    done
    for pid in $firsts; do
        wait "$pid" || die "a node never answered rightly"
    done
    rec "$size" "all_$1_ms" "$(sort -n "$work"/first.? | tail -n 1)"
    holdfast_find
}
snapshot_all() {
    for i in 1 2 3; do
        node_cli "$i" BGSAVE >/dev/null
    done
    snapshots_wait
}

# A day at a thousand writes a second, written as fast as it goes: what is a
# long log's worth to throughput and to a start? Once, in the first round.
row_age() {
    [ "$round" = 1 ] || return 0
    size=holdfast
    holdfast_find
    all_keys=$((keys + 10000))
    fill "$lead" "$all_keys" 100
    age_probes before_rps
    rb "$lead" set 64 16 100 "$age_n" >/dev/null
    age_probes after_rps
    rec $size disk_mb "$(du -sm "$CL_DIR/n$leader" | cut -f 1)"
    start_one log
}
age_probes() {
    for _ in 1 2 3 4 5; do
        got=$(rb "$lead" set 64 1 100 "$age_probe")
        rec $size "$1" "${got%% *}"
    done
}
