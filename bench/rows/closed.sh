# Rows with closed loops: every connection sends its next request when the
# reply has come.
# shellcheck shell=sh
# shellcheck disable=SC2154  # set by scripts/bench.sh

all_peers='holdfast etcd redis-always redis-memory'

# each "PEER..." COMMAND WORD...: COMMAND PEER WORD... for each.
each() {
    each_peers=$1
    each_command=$2
    shift 2
    for each_peer in $each_peers; do
        "$each_command" "$each_peer" "$@"
    done
}

row_floor() {
    "$build/floor" "$work" "$floor_n" >"$work/floor" || die "floor"
    while read -r what p50 p99 min max mean; do
        rec floor "${what}_p50_us" "$p50"
        rec floor "${what}_p99_us" "$p99"
        rec floor "${what}_min_us" "$min"
        rec floor "${what}_max_us" "$max"
        rec floor "${what}_mean_us" "$mean"
    done <"$work/floor"
}

row_set64() { each "$all_peers" closed set 64 1 128; }
row_set64p16() { each "$all_peers" closed set 64 16 128; }
row_get64() { each "$all_peers" closed get 64 1 128; }
row_get64p16() { each "$all_peers" closed get 64 16 128; }
row_set64x4k() { each "$all_peers" closed set 64 1 4096; }
row_get64x4k() { each "$all_peers" closed get 64 1 4096; }

# The floor and the rows beside it in one go: what a disk does changes from
# minute to minute.
row_set1() {
    each "$all_peers" closed set 1 1 128
    floor_beside
}
row_get1() {
    each "$all_peers" closed get 1 1 128
    floor_beside
}
floor_beside() {
    "$build/floor" "$work" "$floor_n" >"$work/floor" || die "floor"
    while read -r what p50 p99 _; do
        rec "floor-$what" p50 "$(echo "$p50" | awk '{ print $1 / 1000 }')"
        rec "floor-$what" p99 "$(echo "$p99" | awk '{ print $1 / 1000 }')"
    done <"$work/floor"
}

# SET and GET of values from 16 B to 1 MiB, 16 connections. etcd_load stops
# at what HTTP/2 lets it send without looking at windows.
row_values() {
    for bytes in 16 1024 16384 65536 1048576; do
        for peer in holdfast etcd redis-always; do
            [ "$peer" != etcd ] || [ "$bytes" -le 16384 ] || continue
            value_run "$peer" set "$bytes"
            value_run "$peer" get "$bytes"
        done
    done
}
value_run() { # PEER set|get BYTES
    n=$((value_bytes / $3))
    [ "$n" -le "$value_n" ] || n=$value_n
    all_keys=$keys
    keys=$((n / 4)) # most are there when they are asked for
    if [ "$1" = etcd ]; then
        what=put
        [ "$2" = set ] || what="get"
        got=$(etcd_load_n "$what" 16 "$keys" "$3" 1 "$n")
    else
        got=$(rb "$(peer_port "$1")" "$2" 16 1 "$3" "$n")
    fi
    keys=$all_keys
    rec "$1" "$2_$3_rps" "${got%% *}"
}

# ---- h2load beside etcd_load ----

# The body of a gRPC request on PutRequest or RangeRequest, in octal escapes
# for printf: h2_body put|get VALUE_BYTES.
h2_body() {
    awk -v what="$1" -v n="$2" 'function u8(x) { return sprintf("\\%03o", x) }
        function varint(x) {
            return x < 128 ? u8(x) : u8(x % 128 + 128) varint(int(x / 128))
        }
        function size(x) { return x < 128 ? 1 : 1 + size(int(x / 128)) }
        BEGIN {
            body = u8(10) u8(16) "key:000000000001"
            m = 18
            if (what == "put") {
                body = body u8(18) varint(n)
                m += 1 + size(n) + n
                for (i = 0; i < n; i++) body = body "x"
            }
            printf "%s%s%s%s%s%s", u8(0), u8(0), u8(int(m / 65536)),
                u8(int(m / 256) % 256), u8(m % 256), body
        }'
}

# h2load put|get CONNECTIONS STREAMS: prints requests a second. What h2load
# counts is HTTP's status; etcd's own count of grpc-status 0 must agree.
h2_run() {
    method=Put
    [ "$1" = put ] || method=Range
    # shellcheck disable=SC2059  # the escapes are the point
    printf "$(h2_body "$1" 128)" >"$work/body"
    before=$(etcd_handled $method)
    h2load -c "$2" -m "$3" -n "$4" -d "$work/body" \
        -H 'content-type: application/grpc' -H 'te: trailers' \
        "http://127.0.0.1:$etcd_lead/etcdserverpb.KV/$method" \
        >"$work/h2" 2>&1 || die "h2load: $(tail -n 1 "$work/h2")"
    after=$(etcd_handled $method)
    ok=$((${after% *} - ${before% *}))
    bad=$((${after#* } - ${before#* }))
    [ "$ok" -ge "$4" ] && [ "$bad" = 0 ] ||
        die "h2load: of $4 requests etcd answered $ok with grpc-status 0," \
            "$bad with another"
    grep -q " $4 succeeded, 0 failed, 0 errored" "$work/h2" ||
        die "h2load: $(grep '^requests:' "$work/h2")"
    sed -n 's/^finished in .*, \([0-9.]*\) req\/s,.*/\1/p' "$work/h2"
}

h2_one() { # NAME put|get CONNECTIONS STREAMS
    row_of=$row
    row=$row.$1
    calibrate etcd "$3" h2_run "$2" "$3" "$4"
    row=$row_of
    got=$(h2_run "$2" "$3" "$4" "$n")
    rec h2load "$1_rps" "$got"
    h2_rps=$got
    got=$(etcd_load_n "$2" "$3" 1 128 "$4" "$n")
    rec etcd_load "$1_rps" "${got%% *}"
    rec etcd_load/h2load "$1_rps" "$(awk -v a="${got%% *}" -v b="$h2_rps" \
        'BEGIN { print a / b }')"
}

row_h2load() {
    h2_one put64 put 64 1
    h2_one put64m16 put 64 16
    h2_one get64 get 64 1
    h2_one get64m16 get 64 16
}
