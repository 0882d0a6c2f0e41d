#!/bin/sh
# ./dev storage [flips|cuts|errors|files|all] [--seed S] [--points N]
#               [--from N] [--jobs N]: storage faults on a disk in memory.
# Every piece that ran to its end goes into the ledger.
#   flips   every bit of log, vote files, snapshot, identity (about 6 million)
#   cuts    the power fails in every changing call of scripts; without --from
#           it goes on after the last script in the ledger (N: 1,000,000)
#   errors  a call of the disk fails, each in turn, in six ways
#   files   every file cut short, missing, swapped, of another node
# A failure names the seed and the ordinal that show it again.
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/ledger.sh"

storm=$HF_ROOT/build/holdfast-storm
HF_COMMIT=$(commit_name)
export HF_COMMIT
what=all
case ${1:-} in
    flips | cuts | errors | files | all)
        what=$1
        shift
        ;;
esac
[ "$what" != all ] || what="files flips errors cuts"
[ -x "$storm" ] || "$HF_ROOT/scripts/build.sh" >/dev/null

# value KEY: of the last line, "KIND: key=value ...".
value() {
    printf '%s\n' "$last" | sed -n "s/.* $1=\([^ ]*\).*/\1/p"
}

failed=0
for kind in $what; do
    log=$HF_ROOT/build/storage-$kind.log
    set_from=
    case "$kind $*" in
        cuts*--from*) ;;
        cuts*--points*) set_from="--from $(ledger_next cuts 0)" ;;
        cuts*) set_from="--from $(ledger_next cuts 0) --points 1000000" ;;
    esac
    status=0
    # shellcheck disable=SC2086  # words, or none
    nice -n 10 "$storm" "$kind" "$@" $set_from >"$log" || status=$?
    cat "$log"
    last=$(grep "^$kind: seed=" "$log" | tail -n 1)
    [ -n "$last" ] || exit "$status"
    ledger_add "$kind" "seed=$(value seed)" "from=$(value from)" \
        "to=$(value to)" "of=$(value of)" "count=$(value count)" \
        "faults=$(value count)" "failures=$(value failures)" \
        "seconds=$(value seconds)"
    [ "$status" = 0 ] || failed=1
done
exit "$failed"
