#!/bin/sh
# What the rows under OUT/rows found, as tables, JSON and plots:
#   bench/report.sh OUT [--write]
# OUT/result.md, result.json, and bench-*.svg of the rows that have one;
# --write copies them into docs/.
set -eu
. "$(dirname "$0")/../scripts/lib.sh"
out=$1
write=${2:-}
rows=$out/rows
found=$(find "$rows" -type f ! -name '*.dist' | sort)
[ -n "$found" ] || die "nothing was measured; run ./dev bench first"

version() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo '?'; }
processor() { sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1; }
{
    echo "cpu=$(nproc) x $(processor)"
    echo "memory=$(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1e6 }' \
        /proc/meminfo)"
    echo "kernel=$(uname -sr)"
    echo "fs=$(stat -f -c %T "$out"), $(df --output=source "$out" | tail -n 1)"
    echo "system=$(. /etc/os-release && echo "$PRETTY_NAME")"
    echo "holdfast=$("$HF_ROOT/build/holdfastd" --version 2>/dev/null |
        head -n 1), libraft $(pkg-config --modversion raft)"
    echo "etcd=$(version etcd-server)"
    echo "redis=$(version redis-server)"
    echo "nghttp2=$(version nghttp2-client)"
} >"$out/machine"

# shellcheck disable=SC2086  # a list of files
report() {
    awk -v form="$1" -v machine="$out/machine" \
        -v targets="$HF_ROOT/bench/targets" -f "$HF_ROOT/bench/report.awk" \
        $found
}
report md >"$out/result.md"
report json >"$out/result.json"
report text

plot() { # FILE AWK-WORD...
    svg=$out/$1
    shift
    awk "$@" -f "$HF_ROOT/scripts/svg.awk" -f "$HF_ROOT/bench/plot.awk" \
        >"$svg" || rm -f "$svg"
}
# Of the last round: one run's distribution is one run's.
dists() { # ROW
    [ ! -s "$rows/$1.dist" ] || awk 'NR == FNR { if ($3 > last[$2]) {
        last[$2] = $3 }; next } $3 == last[$2] { print $2, $4, $5 }' \
        "$rows/$1.dist" "$rows/$1.dist"
}
dists set64 | plot bench-latency.svg -v percent=1 -v ylog=1 -v yname=ms \
    -v title='SET 128 B, 64 connections: latency' -v xname=percentile
dists set1 | plot bench-latency-1.svg -v percent=1 -v ylog=1 -v yname=ms \
    -v title='SET 128 B, one connection: latency' -v xname=percentile
dists open | plot bench-latency-open.svg -v percent=1 -v ylog=1 -v yname=ms \
    -v title='SET 128 B, open loop at half of the own peak: latency' \
    -v xname=percentile
report load | awk '{ print $1, $2, $3 }' | plot bench-load.svg \
    -v yname=answers/s -v xname=requests/s \
    -v title='SET 128 B, 64 connections: throughput over offered load'
report load | awk '{ print $1, $2, $4 }' | plot bench-load-p99.svg -v ylog=1 \
    -v yname='p99, ms' -v xname=requests/s \
    -v title='SET 128 B, 64 connections: p99 over offered load'

for svg in latency latency-1 latency-open load load-p99; do
    [ ! -s "$out/bench-$svg.svg" ] ||
        printf '\n![%s](bench-%s.svg)\n' "$svg" "$svg" >>"$out/result.md"
done

[ -n "$write" ] || exit 0
# shellcheck disable=SC2086  # a list of files
quick=$(grep -l '^# rounds .*quick' $found | sed 's,.*/,,' | tr '\n' ' ')
[ -z "$quick" ] || die "not written: --quick measured $quick"
page=$HF_ROOT/docs/BENCHMARKS.md
begin='<!-- ./dev bench --write: from here -->'
end='<!-- ./dev bench --write: to here -->'
grep -qxF -e "$begin" "$page" && grep -qxF -e "$end" "$page" ||
    die "$page has no place for it ($begin)"
awk -v begin="$begin" -v end="$end" -v result="$out/result.md" '
    $0 == end { skip = 0 }
    !skip
    $0 == begin {
        while ((getline line <result) > 0) print line
        skip = 1
    }' "$page" >"$out/page"
cp "$out/page" "$page"
cp "$out"/bench-*.svg "$HF_ROOT/docs/"
say "written: docs/BENCHMARKS.md, $(cd "$out" && echo bench-*.svg)"
