#!/bin/sh
# ./dev fuzz [--minutes M | --seconds S] [--target T] [--jobs J]: bytes of
# nobody's making, for M minutes (1) each target, J targets at once (one a
# processor), with clang's libFuzzer and its sanitizers.
#   config machine peer resp snap vote wal
#
# A run starts from tests/fuzz/corpus and from what earlier runs found, which
# is kept in fuzz/ beside the ledger; what is new is merged into that. An
# input that fails is kept there too, with the command that runs it again.
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/ledger.sh"

all='config machine peer resp snap vote wal'
bin=$HF_ROOT/build-fuzz/tests/fuzz
out=$HF_ROOT/build-fuzz/runs
kept=$(ledger_dir)/fuzz

stat_of() { sed -n "s/^stat::$2: *\([0-9]*\).*/\1/p" "$1" | tail -n 1; }

# Seconds that the last run took, edges, features and inputs of a log's line.
last_of() {
    grep -E '^#[0-9]+.* cov: ' "$1" | tail -n 1 |
        sed -n "s/.* $2: *\([0-9]*\).*/\1/p"
}

keep_crashes() {
    for f in "$out/$1"-crash-* "$out/$1"-leak-* "$out/$1"-timeout-* \
        "$out/$1"-oom-*; do
        [ -f "$f" ] || continue
        mkdir -p "$kept/crashes"
        cp "$f" "$kept/crashes/"
        say "    $bin/fuzz_$1 $kept/crashes/${f##*/}"
    done
}

# one TARGET: run it, merge, record. Status 1 if an input failed.
one() {
    t=$1
    log=$out/$t.log
    new=$out/$t.new
    rm -rf "$new" "$out/$t"-*
    mkdir -p "$new" "$kept/$t"
    set -- -max_len=16384 -timeout=25 -rss_limit_mb=2048
    t0=$(now_ms)
    status=0
    "$bin/fuzz_$t" "$@" "-max_total_time=$seconds" -print_final_stats=1 \
        "-artifact_prefix=$out/$t-" "$new" "$kept/$t" \
        "$HF_ROOT/tests/fuzz/corpus/$t" >"$log" 2>&1 || status=$?
    took=$((($(now_ms) - t0 + 500) / 1000))
    "$bin/fuzz_$t" "$@" -merge=1 "$kept/$t" "$new" \
        >"$out/$t.merge.log" 2>&1 || true # what crashes stays out
    n=$(stat_of "$log" number_of_executed_units)
    bad=$((status != 0))
    ledger_add fuzz "target=$t" "seconds=$took" "count=${n:-0}" \
        "executions=${n:-0}" "failures=$bad" "crashes=$bad"
    printf '%-8s %4d s %10d executions %7d/s %5d edges %6d features %5d inputs  %s\n' \
        "$t" "$took" "${n:-0}" "$((${n:-0} / (took > 0 ? took : 1)))" \
        "$(last_of "$log" cov)" "$(last_of "$log" ft)" \
        "$(find "$kept/$t" -type f | wc -l)" \
        "$([ "$bad" = 0 ] && echo passed || echo FAILED)"
    [ "$bad" = 0 ] || {
        grep -aE 'assertion failed|runtime error|^==.*ERROR|^SUMMARY' "$log" |
            cut -c 1-300 | sed 's/^/    /'
        keep_crashes "$t"
    }
    rm -rf "$new"
    return "$bad"
}

build() {
    command -v clang >/dev/null ||
        die "clang is missing: ./dev deps --test installs it"
    # Its runtime is a package of its own, and may not be there.
    mkdir -p "$out"
    cat >"$out/try.c" <<'TRY'
int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n);
int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n)
{
    return p == 0 && n > 0;
}
TRY
    clang -fsanitize=fuzzer,address,undefined -o "$out/try" "$out/try.c" \
        >"$out/try.log" 2>&1 || {
        tail -n 3 "$out/try.log" >&2
        die "clang has no libFuzzer: ./dev deps --test installs it"
    }
    run_logged "$out/build.log" "the build in build-fuzz" \
        "$HF_ROOT/scripts/build.sh" fuzz
}

seconds=60
jobs=$(nproc)
targets=$all
while [ $# -gt 0 ]; do
    case $1 in
        --minutes | --seconds | --jobs)
            case ${2:-} in '' | 0 | *[!0-9]*) die "$1 takes a number" ;; esac
            case $1 in
                --minutes) seconds=$(($2 * 60)) ;;
                --seconds) seconds=$2 ;;
                *) jobs=$2 ;;
            esac
            ;;
        --target)
            case " $all " in
                *" ${2:-} "*) targets=$2 ;;
                *) die "no such target: ${2:-} ($all)" ;;
            esac
            ;;
        --one) # of a run that has built everything
            seconds=$HF_FUZZ_SECONDS
            one "$2" && exit 0
            exit 1
            ;;
        *) die "fuzz takes --minutes, --seconds, --target and --jobs" ;;
    esac
    shift 2
done

build
HF_COMMIT=$(commit_name)
export HF_COMMIT HF_FUZZ_SECONDS="$seconds"
# shellcheck disable=SC2086  # a list of words
printf '%s\n' $targets |
    xargs -n 1 -P "$jobs" "$HF_ROOT/scripts/fuzz.sh" --one >"$out/results" &&
    bad=0 || bad=1
cat "$out/results"
ran=$(grep -c ' passed$' "$out/results" || true)
wanted=$(echo "$targets" | wc -w)
say "fuzz: $ran passed, $((wanted - ran)) failed"
[ "$bad" = 0 ] && [ "$ran" = "$wanted" ]
