#!/bin/sh
# Live random values overwritten four times over while one follower is away:
# does it catch up by snapshot while writes go on, how much disk does each
# node take at most, and what do the leader's own snapshots cost its writers?
#   HF_SNAP_MB=N     live data (512)
#   HF_SNAP_VALUE=N  bytes of a value (4000)
set -eu
HF_ROOT=${HF_ROOT:-$(cd "$(dirname "$0")/.." && pwd)}
export HF_ROOT
. "$HF_ROOT/scripts/lib.sh"

mb=${HF_SNAP_MB:-512}
value=${HF_SNAP_VALUE:-4000}
keys=$((mb * 1048576 / (value + 16)))
work=$HF_ROOT/build/snapshot.data
rm -rf "$work"
mkdir -p "$work"
CL_DIR=$work/nodes
CL_PORT=${HF_SNAP_PORT:-21479}
. "$HF_ROOT/scripts/cluster.sh"
load=$HF_ROOT/build/resp_load
watch_pid=

stop_all() {
    [ -z "$watch_pid" ] || kill "$watch_pid" 2>/dev/null || true
    for i in 1 2 3; do
        node_kill "$i" || true
    done
    [ -n "${HF_SNAP_KEEP:-}" ] || rm -rf "$work"
}
trap stop_all EXIT
trap 'exit 1' HUP INT TERM

disk_mb() { du -sm "$CL_DIR/n$1" 2>/dev/null | cut -f 1; }

# Each node's largest use of the disk so far, in $work/disk.N.
watch_disk() {
    while :; do
        for i in 1 2 3; do
            now=$(disk_mb "$i")
            [ "${now:-0}" -le "$(cat "$work/disk.$i")" ] ||
                echo "$now" >"$work/disk.$i"
        done
        sleep 0.3
    done
}

applied() {
    redis-cli -p "$(node_port "$1")" STATUS 2>/dev/null |
        grep -A1 '^applied_index$' | tail -n 1
}

# Windows of the leader's snapshots, "FROM_US TO_US" each, from its log.
windows() {
    sed -n 's/^\([^ ]*\) .*snapshot at [0-9]*: [0-9]* bytes in \([0-9]*\) ms$/\1 \2/p' \
        "$CL_DIR/n$1.log" | while read -r at ms; do
        end=$(date -d "$at" +%s%6N)
        echo "$((end - ms * 1000)) $end"
    done
}

# p99 FILE: of the second column, in ms, and how many there are.
p99() {
    sort -n -k 2,2 "$1" | awk '{ v[NR] = $2 } END { printf "%.1f %d\n",
        NR ? v[int(NR * 0.99) + (NR < 100)] / 1000 : 0, NR }'
}

cluster_up 3 >"$work/up.log" 2>&1 || die "the cluster did not form"
leader=$(cluster_wait_leader 20) || die "no leader"
away=$((leader % 3 + 1))
port=$(node_port "$leader")
for i in 1 2 3; do
    echo 0 >"$work/disk.$i"
done
watch_disk &
watch_pid=$!
say "filling $keys values of $value bytes"
"$load" fill "$port" "$keys" "$value" >/dev/null
say "node $away is killed; every value is overwritten four times over"
node_kill "$away"
"$load" write "$port" "$keys" "$value" $((keys * 4)) 8 4 "$work/lat" >"$work/w"
say "writes: $(cat "$work/w") (per second, p50, p99, max ms)"

say "node $away is back; writes go on"
before=$(grep -c 'installed in' "$(node_log "$away")" || true)
"$load" write "$port" "$keys" "$value" $((keys * 2)) 8 4 >"$work/w2" &
writer=$!
began=$(now_ms)
node_start "$away"
caught=
while [ -z "$caught" ]; do
    sleep 0.2
    [ $(($(now_ms) - began)) -lt 180000 ] || die "node $away never caught up"
    target=$(applied "$leader")
    mine=$(applied "$away")
    [ -n "$mine" ] && [ -n "$target" ] && [ "$mine" -gt 0 ] &&
        [ $((target - mine)) -lt 100 ] && caught=$(($(now_ms) - began))
done
going=no
kill -0 "$writer" 2>/dev/null && going=yes
wait "$writer" || die "a writer failed"
now=$(grep -c 'installed in' "$(node_log "$away")" || true)
say "caught up in $caught ms, $((now - before)) installs, writes going on:" \
    "$going; writes: $(cat "$work/w2")"
[ "$now" -gt "$before" ] || die "no snapshot was installed"

sleep 1
kill "$watch_pid"
watch_pid=
limit=$((mb * 7 / 2 + 256))
for i in 1 2 3; do
    say "node $i: at most $(cat "$work/disk.$i") MB of disk (limit $limit)"
done
windows "$leader" >"$work/windows"
awk -v out="$work" 'NR == FNR { from[NR] = $1; to[NR] = $2; n = NR; next }
    { in_one = 0
      for (i = 1; i <= n; i++) {
          if ($1 >= from[i] && $1 - $2 <= to[i]) in_one = 1
      }
      print >(out (in_one ? "/in" : "/out")) }' "$work/windows" "$work/lat"
touch "$work/in" "$work/out"
say "p99 during the leader's $(wc -l <"$work/windows") snapshots:" \
    "$(p99 "$work/in"); outside: $(p99 "$work/out") (ms, requests)"
for i in 1 2 3; do
    "$load" check "$(node_port "$i")" "$keys" "$value" >"$work/sum.$i"
done
cmp -s "$work/sum.1" "$work/sum.2" && cmp -s "$work/sum.1" "$work/sum.3" ||
    die "the nodes differ"
say "all three nodes hold the same data"
