#!/bin/sh
# ./dev deps: install what is missing to build, demo and test (with
# --test, --lint or --bench also what only those run). Does nothing, fast, when all is there.
#
# libraft must be 0.22.1 or a later 0.22. Debian bookworm has an older one;
# only then bookworm-backports is added, from the mirror that this machine's
# own apt uses. No service is started.
set -eu
. "$(dirname "$0")/lib.sh"

packages="autoconf automake make gcc libc6-dev pkg-config libuv1-dev
    liblz4-dev libmpfr-dev libxxhash-dev liblzf-dev libssl-dev libinih-dev libedit-dev libcmocka-dev
    libjansson-dev libjemalloc-dev redis-tools"
case "${1:-}" in
    --lint)
        packages="$packages clang clang-format clang-tidy universal-ctags
            shellcheck python3"
        ;;
    --test)
        packages="$packages iproute2 iptables clang strace xfsprogs e2fsprogs
            redis-server python3 libhiredis-dev haproxy valkey-tools
            prometheus-redis-exporter curl"
        # Node.js may have come from elsewhere, with an npm of its own.
        command -v node >/dev/null || packages="$packages nodejs"
        command -v npm >/dev/null || packages="$packages npm"
        ;;
    --bench) packages="$packages redis-server etcd-server etcd-client
        nghttp2-client curl jq" ;;
esac

installed() {
    case $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null) in
        ii* | hi*) return 0 ;;
    esac
    return 1
}

missing=
for p in $packages; do
    installed "$p" || missing="$missing $p"
done

raft_good() {
    pkg-config --exists 'raft >= 0.22.1 raft < 0.23' 2>/dev/null
}

# What clang's sanitizers and its fuzzer link is a package of its own, with
# clang's number in its name: only what clang depends on tells it.
clang_runtime_good() {
    [ "${1:-}" != --test ] || find /usr/lib/llvm-*/lib/clang /usr/lib/clang \
        -name 'libclang_rt.fuzzer*' 2>/dev/null | grep -q .
}
clang_runtime() {
    apt-cache depends clang |
        sed -n 's/^ *Depends: clang-\([0-9]*\)$/libclang-rt-\1-dev/p'
}

if [ -z "$missing" ] && raft_good && clang_runtime_good "$@"; then
    exit 0
fi

command -v apt-get >/dev/null ||
    die "this is not Debian; needed:$missing libraft 0.22.1 (static)"
if [ "$(id -u)" != 0 ]; then
    raft_good || missing="$missing libraft-dev(0.22.1)"
    die "missing:$missing
run as root:  $HF_ROOT/dev deps"
fi

# No package of the list brings a server, but what they pull in may: forbid
# starting anything while this runs.
policy=/usr/sbin/policy-rc.d
made=
log=$(mktemp)
trap 'rm -f "$log" $made' EXIT
trap 'exit 1' HUP INT TERM
if [ ! -e "$policy" ]; then
    made=$policy
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
# Quiet while all is well.
apt_get() {
    apt-get -qq -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@" \
        </dev/null >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        return 1
    }
}
install_packages() {
    apt_get install --no-install-recommends "$@"
}

# Version of libraft-dev that some source offers and that we can use.
raft_offered() {
    apt-cache madison libraft-dev 2>/dev/null |
        awk -F ' *[|] *' '$3 !~ /Sources/ { print $2 }' |
        while read -r v; do
            if dpkg --compare-versions "$v" ge 0.22.1 &&
                dpkg --compare-versions "$v" lt 0.23~; then
                echo "$v"
                break
            fi
        done
}

add_backports() {
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ -n "$codename" ] || die "/etc/os-release names no VERSION_CODENAME"
    mirror=$(own_mirror "$codename")
    [ -n "$mirror" ] || die "apt has no source for $codename main"
    list=/etc/apt/sources.list.d/holdfast-backports.list
    say "adding $codename-backports ($list): libraft here is too old"
    echo "deb $(own_trust "$mirror") $mirror $codename-backports main" >"$list"
    apt_get update || {
        rm -f "$list"
        die "apt-get update failed with $codename-backports"
    }
}

say "installing:$missing$(raft_good || echo ' libraft-dev')"
apt_get update || die "apt-get update failed"
# Bookworm has valkey-tools in its backports only.
case $missing in
    *valkey-tools*)
        [ -n "$(apt-cache madison valkey-tools)" ] || add_backports
        ;;
esac
clang_runtime_good "$@" || missing="$missing $(clang_runtime)"
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086  # a list of words
    install_packages $missing || die "apt-get install failed"
fi
if ! raft_good; then
    [ -n "$(raft_offered)" ] || add_backports
    version=$(raft_offered)
    [ -n "$version" ] || die "no apt source offers libraft-dev 0.22.1"
    suite=$(apt-cache madison libraft-dev | awk -F ' *[|] *' -v v="$version" \
        '$2 == v { split($3, w, " "); split(w[2], s, "/"); print s[1]; exit }')
    install_packages -t "$suite" libraft-dev || die "apt-get install failed"
    raft_good || die "libraft $version was installed, but pkg-config says: $(
        pkg-config --modversion raft 2>&1)"
fi
