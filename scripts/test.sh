#!/bin/sh
# ./dev test: everything that must hold, from nothing to the last line
#   N passed, N failed, N skipped
# Exit 0 only if nothing failed. Twelve minutes at most on two cores.
#
# What counts as one: a case of a unit test, a test of real processes, a
# simulated seed that ran to its end.
#   HF_TEST_SEEDS=N   seeds to simulate (2000)
#   HF_TEST_ASAN=no   leave the sanitizer run out
set -eu
. "$(dirname "$0")/lib.sh"

passed=0
failed=0
skipped=0

step() { printf '\n== %s\n' "$*"; }

# Every end has its last line, also one that comes early.
finish() {
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
}
abort() {
    echo "error: $*" >&2
    failed=$((failed + 1))
    finish
    exit 1
}

# Sum of the numbers in the lines of $2 that match $1, or $3 without any.
count_in() {
    sed -n "s/^$1 \([0-9][0-9]*\) test(s).*/\1/p" "$2" |
        awk -v none="$3" '{ n += $1 } END { print NR ? n : none }'
}

# Add up the cases of what "make check" left in the build directory $1.
add_checks() {
    for trs in $(find "$1/tests" -name '*.trs' | sort); do
        out=${trs%.trs}.log
        result=$(sed -n 's/^:test-result: //p' "$trs" | head -n 1)
        case $result in
            PASS) p=1 f=0 s=0 ;;
            SKIP) p=0 f=0 s=1 ;;
            *)
                p=0 f=1 s=0
                echo "FAILED: ${trs%.trs}"
                grep -vE '^\[ +(RUN|OK)' "$out" | tail -n 30
                ;;
        esac
        passed=$((passed + $(count_in '\[  PASSED  \]' "$out" "$p")))
        skipped=$((skipped + $(count_in '\[  SKIPPED \]' "$out" "$s")))
        # A program that crashes has no such line, and still failed.
        f2=$(count_in '\[  FAILED  \]' "$out" "$f")
        [ "$f2" -ge "$f" ] || f2=$f
        failed=$((failed + f2))
    done
}

# check DIR BUILD-WORDS...: build and run the tests in DIR.
check() {
    dir=$HF_ROOT/$1
    shift
    mkdir -p "$dir"
    find "$dir" -name '*.trs' -delete
    "$HF_ROOT/scripts/build.sh" "$@" >"$dir/build.log" 2>&1 || {
        tail -n 40 "$dir/build.log" >&2
        abort "the build in $dir failed"
    }
    make -C "$dir" --no-print-directory -k -j"$(nproc)" check \
        >"$dir/check.log" 2>&1 || true
    if grep -E '(error:|: undefined reference)' "$dir/check.log"; then
        abort "tests in $dir did not build"
    fi
    [ -n "$(find "$dir/tests" -name '*.trs' | head -n 1)" ] || {
        tail -n 40 "$dir/check.log" >&2
        abort "the tests in $dir did not build"
    }
    add_checks "$dir"
}

# The simulator says for itself how many seeds passed and failed.
simulate() {
    out=$HF_ROOT/build/sim.log
    status=0
    "$HF_ROOT/scripts/sim.sh" --seeds "${HF_TEST_SEEDS:-2000}" \
        >"$out" 2>&1 || status=$?
    tail -n 25 "$out"
    p=$(sed -n 's/^seeds: \([0-9]*\) passed.*/\1/p' "$out" | tail -n 1)
    f=$(sed -n 's/^seeds:.* \([0-9]*\) failed.*/\1/p' "$out" | tail -n 1)
    passed=$((passed + ${p:-0}))
    failed=$((failed + ${f:-0}))
    if [ "$status" != 0 ] && [ "${f:-0}" = 0 ]; then
        failed=$((failed + 1))
    fi
}

# Without root the test that cuts a node off is skipped, and needs nothing.
tools=
[ "$(id -u)" != 0 ] || tools=--test
# shellcheck disable=SC2086  # one word or none
"$HF_ROOT/scripts/deps.sh" $tools || abort "what the build needs is not installed"
step "Build and unit tests"
check build
if [ -x "$HF_ROOT/build/holdfast-sim" ]; then
    step "Simulated clusters"
    simulate
fi
if [ "${HF_TEST_ASAN:-yes}" = yes ]; then
    step "The same tests under the address and undefined-behaviour sanitizers"
    HF_STORAGE_FLIPS=4000 HF_STORAGE_CUTS=10000 HF_STORAGE_ERRORS=100
    export HF_STORAGE_FLIPS HF_STORAGE_CUTS HF_STORAGE_ERRORS
    check build-asan asan
fi
echo
finish
[ "$failed" = 0 ]
