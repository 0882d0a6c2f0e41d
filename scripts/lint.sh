#!/bin/sh
# ./dev lint: format, headers that stand alone, banned functions, include
# directions, function lengths, braces, places that the tour names. Prints each
# finding and counts them.
set -eu
. "$(dirname "$0")/lib.sh"

"$HF_ROOT/scripts/deps.sh" --lint
cd "$HF_ROOT"
out=$(mktemp)
trap 'rm -f "$out"' EXIT

sources() {
    find base resp client raftio server bench jepsen-lite tests -name "$1" | sort
}

FUNCTION_LINES_MAX=70
CFLAGS_LINT="-std=gnu11 -D_GNU_SOURCE -DHF_VERSION=__FILE__ -DPACKAGE_VERSION=__FILE__ -I. -Wall -Wextra
    -Wconversion -Werror $(pkg-config --cflags libuv raft liblzf)"

check_format() {
    for f in $(sources '*.[ch]'); do
        clang-format --dry-run --Werror "$f" 2>/dev/null ||
            echo "$f: not formatted (clang-format -i $f)"
    done
}

# A header that needs another one to be included first breaks its readers.
check_headers() {
    for f in $(sources '*.h'); do
        # shellcheck disable=SC2086
        echo "#include \"$f\"" | gcc $CFLAGS_LINT -fsyntax-only -x c - \
            2>/dev/null || echo "$f: does not compile alone"
    done
}

# Each has a bounded or checked sibling: snprintf, memcpy, strtoull,
# getaddrinfo, strtok_r, mkstemp, localtime_r.
check_banned() {
    words='strcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets|strtok'
    words="$words|tmpnam|mktemp|alloca|gethostbyname|localtime|gmtime|asctime"
    # shellcheck disable=SC2046
    grep -nE "(^|[^A-Za-z0-9_.>])($words)[[:space:]]*\(" $(sources '*.[ch]') |
        grep -vE ':[[:space:]]*(\*|/\*|//)' |
        sed 's/$/   <- banned function/'
}

# edge -> node -> {command, store, raftio} -> {resp, base}; client -> resp,
# base; only *_uv.[ch] see libuv.
allowed() {
    case $1 in
        base/*) echo 'base' ;;
        resp/*) echo 'resp|base' ;;
        client/*) echo 'client|resp|base' ;;
        raftio/*) echo 'raftio|resp|base' ;;
        server/store/*) echo 'server/store|resp|base' ;;
        server/command/*) echo 'server/command|server/store|resp|base' ;;
        server/node/*) echo 'server/node|server/command|server/store|raftio|resp|base' ;;
        server/edge/*) echo 'server/(edge|node|command|store)|raftio|resp|base' ;;
        *) echo '.*' ;;
    esac
}
check_includes() {
    for f in $(sources '*.[ch]'); do
        grep -nE '^#include "' "$f" |
            grep -vE "\"($(allowed "$f"))/[^/]*\"" |
            grep -v '"holdfast.h"' | # one installed header in another
            sed "s|^|$f:|; s|\$|   <- wrong direction|"
        case $f in
            *_uv.[ch] | tests/* | bench/*) ;;
            *)
                grep -nE '^#include <uv' "$f" |
                    sed "s|^|$f:|; s|\$|   <- libuv outside *_uv|"
                ;;
        esac
    done
}

check_lengths() {
    # shellcheck disable=SC2046
    ctags --c-kinds=f --fields=+ne -f - --output-format=u-ctags \
        $(sources '*.c') 2>/dev/null |
        awk -F '\t' -v max="$FUNCTION_LINES_MAX" '{
            start = 0; end = 0
            for (i = 3; i <= NF; i++) {
                if ($i ~ /^line:/) { start = substr($i, 6) }
                if ($i ~ /^end:/) { end = substr($i, 5) }
            }
            if (end - start + 1 > max) {
                print $2 ":" start ": " $1 " has " end - start + 1 " lines"
            }
        }'
}

check_tidy() {
    for f in $(sources '*.c'); do
        # shellcheck disable=SC2086
        clang-tidy --quiet "$f" --checks='-*,readability-braces-around-statements,bugprone-suspicious-memset-usage,bugprone-macro-parentheses' \
            -- $CFLAGS_LINT 2>/dev/null | grep -E '(warning|error):' || true
    done
}

# What the tour of the source names as `file.c:function` is there.
check_tour() {
    grep -oE '`[a-z_/]+\.c:[a-z_0-9]+`' docs/ARCHITECTURE.md | tr -d '`' |
        sort -u | while IFS=: read -r file name; do
        [ "$file" != file.c ] || continue
        # shellcheck disable=SC2046
        grep -qsE "(^|[^a-z_])$name\(" /dev/null \
            $(sources "${file##*/}" | grep -E "(^|/)$file$") ||
            echo "docs/ARCHITECTURE.md: there is no $file:$name"
    done
}

check_scripts() {
    shellcheck -S warning -x -P SCRIPTDIR dev scripts/*.sh bench/*.sh \
        bench/rows/*.sh tests/fault/*.sh \
        tests/clients/haproxy.sh tests/clients/install.sh \
        tests/clients/push.sh tests/clients/run.sh || true
}

# The page shows the code that the tests run.
check_clients() {
    /usr/bin/python3 tests/clients/doc.py
}

total=0
for check in format headers banned includes lengths tidy tour scripts clients; do
    "check_$check" >"$out" 2>&1 || true
    n=$(wc -l <"$out")
    printf '%-9s %s\n' "$check" "$([ "$n" = 0 ] && echo ok || echo "$n findings")"
    cat "$out"
    total=$((total + n))
done
[ "$total" = 0 ] || die "$total findings"
