#!/bin/sh
# What campaigns have run, so that hours add up over many runs and a campaign
# goes on where the last one ended. Source it after lib.sh (POSIX sh), or:
#   ./dev ledger               totals by kind
#   ./dev ledger --markdown    the same as a table for docs/RELIABILITY.md
#   ./dev ledger --write       put it there
# (scripts/ledger.sh run by itself does that.)
#
# The ledger is the file ledger.jsonl in $HF_LEDGER, outside the tree, by
# default $XDG_STATE_HOME/holdfast or ~/.local/state/holdfast. One line of
# JSON a finished piece; nothing is ever changed or removed in it:
#   {"kind":"sim","commit":"0123456789ab","dirty":false,"cores":2,
#    "when":"2026-01-31T12:00:00Z","from":1,"to":1000,"count":1000,
#    "seconds":600,"faults":25000,"failures":0}
# kind   sim flips cuts errors files powercut jepsen fuzz failover ...
# from, to   seeds or positions; a kind without them just adds up
# failed   numbers of the seeds that failed, separated by spaces
# shellcheck shell=sh

ledger_dir() {
    echo "${HF_LEDGER:-${XDG_STATE_HOME:-${HOME:-/root}/.local/state}/holdfast}"
}

ledger_file() {
    echo "$(ledger_dir)/ledger.jsonl"
}

# ledger_next KIND [FIRST]: the first number after all that are finished, in
# whatever tree they ran; FIRST (1) when there is none.
ledger_next() {
    {
        cat "$(ledger_file)" 2>/dev/null || true
    } | awk -v kind="$1" -v next_="${2:-1}" '
        index($0, "\"kind\":\"" kind "\"") && match($0, /"to":[0-9]+/) {
            n = substr($0, RSTART + 5, RLENGTH - 5) + 1
            if (n > next_) next_ = n
        }
        END { printf "%.0f\n", next_ }'
}

# Text as a JSON string; numbers, true and false as they are.
ledger_value() {
    case $1 in
        true | false) printf %s "$1" ;;
        '' | *[!0-9.]* | .* | *. | *.*.* | 0[0-9]*)
            printf '"%s"' "$(printf %s "$1" | tr -d '\000-\037' |
                sed 's/[\\"]/\\&/g')"
            ;;
        *) printf %s "$1" ;;
    esac
}

# ledger_add KIND KEY=VALUE...: one finished piece, on the disk on return.
ledger_add() {
    ledger_kind=$1
    shift
    ledger_commit=${HF_COMMIT:-$(commit_name)} # that of the start, if set
    ledger_dirty=false
    case $ledger_commit in *+changes) ledger_dirty=true ;; esac
    ledger_line="{\"kind\":$(ledger_value "$ledger_kind")"
    ledger_line="$ledger_line,\"commit\":\"${ledger_commit%+changes}\""
    ledger_line="$ledger_line,\"dirty\":$ledger_dirty,\"cores\":$(nproc)"
    ledger_line="$ledger_line,\"when\":\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\""
    for ledger_pair in "$@"; do
        ledger_line="$ledger_line,$(ledger_value "${ledger_pair%%=*}")"
        ledger_line="$ledger_line:$(ledger_value "${ledger_pair#*=}")"
    done
    mkdir -p "$(ledger_dir)"
    # One write of less than a page, appended: two campaigns do not mix.
    printf '%s}\n' "$ledger_line" >>"$(ledger_file)"
    sync "$(ledger_file)"
}

# Totals, one line a kind: kind, pieces, count, faults, hours, failures,
# commits, first and last day; separated by tabs.
ledger_totals() {
    {
        cat "$(ledger_file)" 2>/dev/null || true
    } | awk '
        function field(name, v) {
            if (!match($0, "\"" name "\":(\"[^\"]*\"|[^,}]*)")) return ""
            v = substr($0, RSTART, RLENGTH)
            sub(/^"[^"]*":/, "", v)
            gsub(/"/, "", v)
            return v
        }
        {
            k = field("kind")
            if (k == "") next
            if (!(k in pieces)) order[++n] = k
            pieces[k]++
            count[k] += field("count")
            faults[k] += field("faults")
            seconds[k] += field("seconds")
            failures[k] += field("failures")
            c = field("commit")
            if (!((k, c) in seen)) { seen[k, c] = 1; commits[k]++ }
            day = substr(field("when"), 1, 10)
            if (from[k] == "" || day < from[k]) from[k] = day
            if (day > to[k]) to[k] = day
        }
        END {
            for (i = 1; i <= n; i++) {
                k = order[i]
                printf "%s\t%d\t%.0f\t%.0f\t%.2f\t%d\t%d\t%s\t%s\n", k,
                    pieces[k], count[k], faults[k], seconds[k] / 3600,
                    failures[k], commits[k], from[k], to[k]
            }
        }'
}

ledger_print() {
    echo "ledger: $(ledger_file)"
    ledger_totals | awk -F '\t' '
        BEGIN {
            f = "%-10s %7s %14s %14s %9s %8s %7s  %s\n"
            printf f, "kind", "pieces", "count", "faults", "hours", "failed",
                "commits", "from, to"
        }
        { printf f, $1, $2, $3, $4, $5, $6, $7, $8 ", " $9 }'
}

ledger_markdown() {
    echo '| kind | pieces | count | faults | hours | failures | commits | from | to |'
    echo '|---|--:|--:|--:|--:|--:|--:|---|---|'
    ledger_totals | awk -F '\t' '{
        printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
            $1, $2, $3, $4, $5, $6, $7, $8, $9
    }'
}

# Between the two marks of docs/RELIABILITY.md.
ledger_write() {
    doc=$HF_ROOT/docs/RELIABILITY.md
    table=$(mktemp)
    ledger_markdown >"$table"
    awk -v table="$table" '
        /^<!-- ledger/ { print; while ((getline l < table) > 0) print l; skip = 1 }
        /^<!-- end -->/ { skip = 0 }
        !skip' "$doc" >"$table.doc"
    cat "$table.doc" >"$doc"
    rm -f "$table" "$table.doc"
}

case ${0##*/} in
    ledger.sh)
        set -eu
        # shellcheck source=scripts/lib.sh
        . "$(dirname "$0")/lib.sh"
        case ${1:-} in
            '') ledger_print ;;
            --markdown) ledger_markdown ;;
            --write) ledger_write ;;
            --json) cat "$(ledger_file)" ;;
            *) die "usage: ./dev ledger [--markdown | --write | --json]" ;;
        esac
        ;;
esac
