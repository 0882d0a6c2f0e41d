#!/bin/sh
# install.sh DIR: the client libraries of tests/clients, each in its pinned
# version and all below DIR; what is there already is kept. Nothing is
# installed on the machine. Node packages come by npm and package-lock.json,
# redis-py from Debian's archive by name and SHA256.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export HF_ROOT="${HF_ROOT:-$(cd "$here/../.." && pwd)}"
. "$HF_ROOT/scripts/lib.sh"
mkdir -p "$1"
dir=$(cd "$1" && pwd)

for word in node npm dpkg-deb gcc haproxy valkey-cli valkey-benchmark; do
    command -v "$word" >/dev/null || die "$word is missing: ./dev deps --test"
done
python=/usr/bin/python3
[ -x "$python" ] || die "$python is missing: ./dev deps --test"
[ -e /usr/include/hiredis/hiredis.h ] ||
    die "hiredis/hiredis.h is missing: ./dev deps --test"

install_node() {
    if cmp -s "$here/node/package-lock.json" "$dir/node/done"; then
        return 0
    fi
    rm -rf "$dir/node"
    mkdir -p "$dir/node"
    cp "$here/node/package.json" "$here/node/package-lock.json" "$dir/node/"
    (cd "$dir/node" && npm ci --cache "$dir/npm-cache" --ignore-scripts \
        --no-audit --no-fund) >"$dir/npm.log" 2>&1 || {
        tail -n 5 "$dir/npm.log" >&2
        die "npm could not fetch the Node libraries from" \
            "$(npm config get registry); the whole output is in $dir/npm.log"
    }
    cp "$here/node/package-lock.json" "$dir/node/done"
}

# The archive that this machine's apt uses for its own release.
archive() {
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    own_mirror "$codename"
}

install_debs() {
    if cmp -s "$here/debs.txt" "$dir/debs.done"; then
        return 0
    fi
    mirror=$(archive)
    [ -n "$mirror" ] || die "apt has no source for this release's main part"
    mkdir -p "$dir/debs"
    chmod 755 "$dir/debs"
    grep -v '^#' "$here/debs.txt" >"$dir/debs.list"
    while read -r into path sha; do
        deb=$dir/debs/${path##*/}
        if ! echo "$sha  $deb" | sha256sum -c --status 2>/dev/null; then
            /usr/lib/apt/apt-helper download-file "$mirror/pool/main/$path" \
                "$deb" "SHA256:$sha" >"$dir/deb.log" 2>&1 || {
                grep '^E:' "$dir/deb.log" >&2 || true
                die "$mirror/pool/main/$path could not be fetched"
            }
        fi
        mkdir -p "$dir/$into"
        dpkg-deb -x "$deb" "$dir/$into"
    done <"$dir/debs.list"
    cp "$here/debs.txt" "$dir/debs.done"
}

install_node
install_debs
gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wconversion -Werror -O1 -g \
    -o "$dir/hiredis" "$here/hiredis.c" -lhiredis -lpthread
