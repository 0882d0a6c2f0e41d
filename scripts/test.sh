#!/bin/sh
# ./dev test: everything that must hold for a change, from nothing to the last
# line
#   N passed, N failed, N skipped
# Exit 0 only if nothing failed. About twenty minutes on two idle cores; no
# step fails because the machine is slow. Each step tells its counts and its
# time; what it printed is in build/test-STEP.log.
#
# What counts as one: a case of a unit test, a test of real processes, a
# simulated seed that ran to its end, a fuzz target, a mutant; each other step
# as a whole.
#   ./dev test --steps     list the steps
#   ./dev test STEP...     only these
#   HF_TEST_SEEDS=N   seeds to simulate (2000)
#   HF_TEST_FUZZ=S    seconds for each fuzz target (60); 0: none
#   HF_TEST_CUTS=N    power cuts (50); 0: none
#   HF_TEST_JEPSEN=S  seconds of real nodes under faults (180); 0: none
#   HF_TEST_ASAN=no   leave the sanitizer runs out
set -eu
. "$(dirname "$0")/lib.sh"

# "check" is what the others build upon.
steps='check compare clients sim cuts failover jepsen mutants fuzz sanitizers'

passed=0
failed=0
skipped=0
table=

# Every end has its last line, also one that comes early.
finish() {
    [ -z "$table" ] || printf '\n%s\n' "$table"
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
}
abort() {
    echo "error: $*" >&2
    failed=$((failed + 1))
    finish
    exit 1
}

minutes() { printf '%dm%02d' $(($1 / 60000)) $(($1 / 1000 % 60)); }

# step NAME TITLE FUNCTION: run it; say what it added, and how long it took.
step() {
    case " $chosen " in *" $1 "*) ;; *) return 0 ;; esac
    step_ms=$(now_ms)
    step_p=$passed
    step_f=$failed
    step_s=$skipped
    printf '\n== %s\n' "$2"
    "$3"
    step_time=$(minutes $(($(now_ms) - step_ms)))
    step_line=$(printf '%5d passed %3d failed %3d skipped' \
        $((passed - step_p)) $((failed - step_f)) $((skipped - step_s)))
    printf '== %s: %s (%s)\n' "$2" "$(echo "$step_line" | xargs)" "$step_time"
    table="$table$(printf '%-12s %s %7s' "$1" "$step_line" "$step_time")
"
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

# check_in DIR GOAL BUILD-WORD...: build in DIR, make the checks of GOAL.
check_in() {
    dir=$HF_ROOT/$1
    goal=$2
    shift 2
    mkdir -p "$dir"
    find "$dir" -name '*.trs' -delete
    "$HF_ROOT/scripts/build.sh" "$@" >"$dir/build.log" 2>&1 || {
        tail -n 40 "$dir/build.log" >&2
        abort "the build in $dir failed"
    }
    make -C "$dir" --no-print-directory -k -j"$(nproc)" "$goal" \
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

# logged NAME COMMAND...: its status in $status, its output in $out; the last
# lines are shown, more of them when it failed.
logged() {
    out=$HF_ROOT/build/test-$1.log
    shift
    status=0
    "$@" >"$out" 2>&1 || status=$?
    case $status in
        0 | 77) tail -n "${show:-3}" "$out" ;;
        *) tail -n 40 "$out" ;;
    esac
}

# whole NAME COMMAND...: counts as one; 77: it could not be run here.
whole() {
    logged "$@"
    count_whole
}

count_whole() {
    case $status in
        0) passed=$((passed + 1)) ;;
        77) skipped=$((skipped + 1)) ;;
        *) failed=$((failed + 1)) ;;
    esac
}

# The first number after "P passed" words of the last line that matches $1:
# what a command says of itself. A failure that it does not count counts.
said() {
    p=$(sed -n "s/^$1.*[^0-9]\([0-9][0-9]*\) $2.*/\1/p" "$out" | tail -n 1)
    f=$(sed -n "s/^$1.*[^0-9]\([0-9][0-9]*\) $3.*/\1/p" "$out" | tail -n 1)
    passed=$((passed + ${p:-0}))
    failed=$((failed + ${f:-0}))
    if [ "$status" != 0 ] && [ "${f:-0}" = 0 ]; then
        failed=$((failed + 1))
    fi
}

# ---- the steps ----

do_check() {
    check_in build check
}

do_sim() {
    show=25
    logged sim "$HF_ROOT/scripts/sim.sh" --seeds "${HF_TEST_SEEDS:-2000}"
    show=
    said 'seeds:' passed failed
    whole kept "$HF_ROOT/scripts/sim.sh" --kept
}

do_cuts() {
    [ "${HF_TEST_CUTS:-50}" != 0 ] || return 0
    whole cuts "$HF_ROOT/scripts/powercuts.sh" --method undo \
        --rounds "${HF_TEST_CUTS:-50}"
}

# Twenty: four of each fault.
do_failover() {
    show=12
    whole failover "$HF_ROOT/scripts/failover.sh" --runs 4
    show=
}

# The registries are asked for what is not in build/clients yet. A slow machine
# is no failure: ./dev prove clients has the limit of a second.
do_clients_run() {
    cd "$HF_ROOT/build" && srcdir=$HF_ROOT HF_RECOVERY_MS=2500 \
            sh "$HF_ROOT/tests/clients/$1.sh"
}
do_compare() {
    show=2
    whole compare do_clients_run compare
    show=
}

do_clients() {
    "$HF_ROOT/scripts/build.sh" >/dev/null 2>&1 &&
        make -C "$HF_ROOT/build" -s check TESTS= >/dev/null 2>&1 ||
        abort "the tests did not build"
    show=1
    logged clients do_clients_run run
    said 'clients:' passed failed
    whole haproxy do_clients_run haproxy
    show=
}

do_jepsen_run() {
    (cd "$HF_ROOT/build" && srcdir=$HF_ROOT \
        HF_SECONDS=${HF_TEST_JEPSEN:-180} sh "$HF_ROOT/tests/fault/jepsen.sh")
}

# Fuzzing takes whatever the steps beside it leave of the processors.
fuzz_pid=
begin_fuzz() {
    case " $chosen " in *' fuzz '*) ;; *) return 0 ;; esac
    [ "${HF_TEST_FUZZ:-60}" != 0 ] || return 0
    nice -n 10 "$HF_ROOT/scripts/fuzz.sh" \
        --seconds "${HF_TEST_FUZZ:-60}" >"$HF_ROOT/build/test-fuzz.out" 2>&1 &
    fuzz_pid=$!
}

end_fuzz() {
    fuzz_status=0
    wait "$fuzz_pid" || fuzz_status=$?
    cat "$HF_ROOT/build/test-fuzz.out"
    return "$fuzz_status"
}

do_jepsen() {
    [ "${HF_TEST_JEPSEN:-180}" != 0 ] || return 0
    [ -x "$HF_ROOT/build/holdfast-check" ] ||
        "$HF_ROOT/scripts/build.sh" >/dev/null 2>&1 ||
        abort "the build failed"
    begin_fuzz
    show=40
    logged jepsen do_jepsen_run
    # A run in which a fault did not bite says nothing: once more.
    if [ "$status" = 3 ] && grep -q '^void: ' "$out" &&
        ! grep -q VIOLATED "$out"; then
        echo "void, so once more"
        logged jepsen-again do_jepsen_run
    fi
    count_whole
    show=
}

# Five others each day, until all had their turn.
todays_mutants() {
    sed -n 's/^ *M(\([A-Z0-9_]*\),.*/\1/p' "$HF_ROOT"/base/mutants_*.def.h |
        awk -v day="$(($(date +%s) / 86400))" '{ m[NR] = $1 }
            END { for (i = 0; i < 5; i++) print m[(day * 5 + i) % NR + 1] }'
}

do_mutants() {
    show=6
    # shellcheck disable=SC2046  # a list of words
    logged mutants "$HF_ROOT/scripts/mutants.sh" $(todays_mutants)
    show=
    said '[0-9]* mutants,' caught 'not caught'
}

do_fuzz() {
    [ "${HF_TEST_FUZZ:-60}" != 0 ] || return 0
    [ -n "$fuzz_pid" ] || begin_fuzz
    show=9
    logged fuzz end_fuzz
    show=
    said 'fuzz:' passed failed
}

# In the build of the fuzzers: another compiler, so its warnings count, too.
# Of the tests of real processes those that reach most code in little time.
do_sanitizers() {
    [ "${HF_TEST_ASAN:-yes}" = yes ] || return 0
    check_in build-fuzz check-again fuzz
    for t in refuse powercut failover; do
        whole "sanitized-$t" env srcdir="$HF_ROOT" HF_ROUNDS=1 sh -c \
            "cd '$HF_ROOT/build-fuzz' && sh '$HF_ROOT/tests/fault/$t.sh'"
    done
}

chosen=${*:-$steps}
case $chosen in
    --steps)
        echo "$steps" | tr ' ' '\n'
        exit
        ;;
    -*) die "./dev test [--steps | STEP...]" ;;
esac
for name in $chosen; do
    case " $steps " in
        *" $name "*) ;;
        *) die "no such step: $name ($steps)" ;;
    esac
done

begun_ms=$(now_ms)
# Without root the tests that need networks of their own are skipped, and what
# is missing is told by the step that needs it.
tools=
[ "$(id -u)" != 0 ] || tools=--test
# shellcheck disable=SC2086  # one word or none
"$HF_ROOT/scripts/deps.sh" $tools || abort "what the build needs is not installed"
mkdir -p "$HF_ROOT/build"
step check "Unit tests and real processes" do_check
step compare "Replies beside redis-server's" do_compare
step clients "Real client libraries" do_clients
step sim "Simulated clusters" do_sim
step cuts "Power cuts of real nodes" do_cuts
step failover "Failovers" do_failover
step jepsen "Real nodes under faults (jepsen-lite)" do_jepsen
step mutants "Five deliberate faults" do_mutants
step fuzz "Strange bytes for every parser" do_fuzz
step sanitizers "Again under the address and undefined-behaviour sanitizers" \
    do_sanitizers
table="$table$(printf '%-47s %7s' all "$(minutes $(($(now_ms) - begun_ms)))")"
finish
[ "$failed" = 0 ]
