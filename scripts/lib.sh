# Shared by scripts/*.sh (POSIX sh). Source it; it sets HF_ROOT.
# shellcheck shell=sh

HF_ROOT=${HF_ROOT:-$(cd "$(dirname "$0")/.." && pwd)}

say() { printf '%s\n' "$*"; }

# The reason, on stderr, and the end.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Milliseconds since boot; two differ by what passed, whatever the date does.
now_ms() {
    awk '{ printf "%d\n", $1 * 1000 }' /proc/uptime
}

# run_logged LOG WHAT COMMAND...: quiet when all is well; otherwise the end of
# the log and the reason.
run_logged() {
    log=$1
    what=$2
    shift 2
    "$@" >"$log" 2>&1 && return 0
    tail -n 40 "$log" >&2
    die "$what failed; the whole output is in $log"
}

# The generated files are not kept in git: make them when they are missing or
# older than what they come from.
bootstrap() {
    (
        cd "$HF_ROOT" || exit 1
        newer=yes
        if [ -x configure ] && [ -f Makefile.in ]; then
            newer=$(find configure.ac Makefile.am ./*/local.mk \
                -newer Makefile.in | head -n 1)
        fi
        [ -z "$newer" ] || autoreconf -fi
    )
}

# build_dir DIR CONFIGURE-ARGUMENT...: configure (once, or when the arguments
# change) and make everything, or $build_goals, in DIR under the tree's top.
build_dir() {
    dir=$HF_ROOT/$1
    shift
    mkdir -p "$dir"
    bootstrap
    if [ ! -f "$dir/config.status" ] ||
        [ "$*" != "$(cat "$dir/.arguments" 2>/dev/null)" ]; then
        (cd "$dir" && "$HF_ROOT/configure" --quiet "$@")
        printf '%s\n' "$*" >"$dir/.arguments"
    fi
    # shellcheck disable=SC2086  # a list of words
    make -C "$dir" --no-print-directory -j"$(nproc)" ${build_goals:-}
}

# The commit of the tree, with "+changes" where git can tell; a machine
# without git reads it from the files.
commit_name() {
    if command -v git >/dev/null; then
        c=$(git -C "$HF_ROOT" rev-parse --short=12 HEAD 2>/dev/null)
        [ -z "$(git -C "$HF_ROOT" status --porcelain 2>/dev/null)" ] ||
            c=$c+changes
    else
        c=$(cat "$HF_ROOT/.git/HEAD" 2>/dev/null || true)
        case $c in
            'ref: '*) c=$(cat "$HF_ROOT/.git/${c#ref: }" 2>/dev/null || true) ;;
        esac
        c=$(printf %.12s "$c")
    fi
    echo "${c:-unknown}"
}

# The address of the source that gives this release its main part, whatever
# file and format it is written in.
own_mirror() {
    apt-get indextargets \
        --format '$(CREATED_BY)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)' |
        awk -F '|' -v c="$1" '$1 == "Packages" && $2 == c && $3 == "main" {
            sub("/$", "", $4); print $4; exit }'
}

# What that source says of its signature, as options of a one-line source.
own_trust() {
    set -- "$1" "$(grep -lsF -e "$1" /etc/apt/sources.list \
        /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources |
        head -n 1)"
    [ -n "$2" ] || return 0
    key=$(sed -n 's/^Signed-By: *\(\/.*\)/\1/p
        s/^deb .*[[ ]signed-by=\([^] ]*\).*/\1/p' "$2" | head -n 1)
    if [ -n "$key" ]; then
        echo "[signed-by=$key]"
    elif grep -qiE '^Trusted: *yes|[[ ]trusted=yes' "$2"; then
        echo "[trusted=yes]"
    fi
}
