#!/bin/sh
# The engine with its assertions on: Debian's library is built without them.
#   scripts/engine.sh              make that library, once, from the source
#                                  package of the installed version, in
#                                  build-asserts/engine; print where it is
#   scripts/engine.sh --sim ...    then the simulators with it: holdfast-sim
#                                  with these words; with --seeds N raft_sim
#
# The source comes from the mirror of the machine's own apt, with lists of
# its own: apt's sources stay as they are, and root is not needed.
set -eu
. "$(dirname "$0")/lib.sh"

dir=$HF_ROOT/build-asserts/engine
version=$(dpkg-query -W -f '${Version}' libraft-dev 2>/dev/null) ||
    die "libraft-dev is not installed: ./dev deps"
lib=$dir/$version/libraft.a
own() {
    apt-get -qq -o Acquire::Retries=3 -o Dir::Etc::sourcelist="$dir/sources" \
        -o Dir::Etc::sourceparts=- -o Dir::State::lists="$dir/lists" \
        -o Dir::Cache="$dir/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}

# Debian keeps the source of a backport for as long as that release lives;
# after that the version that it was made from is the same engine.
fetch() {
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    mirror=$(own_mirror "$codename")
    [ -n "$mirror" ] || die "apt has no source for $codename main"
    trust=$(own_trust "$mirror")
    rm -rf "$dir/source" "$dir/lists"
    mkdir -p "$dir/source" "$dir/lists/partial" "$dir/cache/archives/partial"
    case $version in
        *~bpo*) suites="$codename-backports trixie" ;;
        *) suites=$codename ;;
    esac
    for suite in $suites; do
        echo "deb-src $trust $mirror $suite main"
    done >"$dir/sources"
    own update >"$dir/fetch.log" 2>&1 || {
        tail -n 5 "$dir/fetch.log" >&2
        die "no list of sources from $mirror: is there a network?"
    }
    for v in "$version" "${version%~bpo*}"; do
        ! (cd "$dir/source" && own source --only-source --download-only \
            "raft=$v") >>"$dir/fetch.log" 2>&1 || return 0
    done
    tail -n 5 "$dir/fetch.log" >&2
    die "the source of raft $version is not to be had from $mirror"
}

make_it() {
    cd "$dir/source"
    dpkg-source --no-check -x raft_*.dsc tree
    cd tree
    autoreconf -fi
    # Its warnings are its own; only assertions are wanted from "debug".
    ./configure --enable-debug --disable-shared --disable-uv --without-lz4 \
        CFLAGS='-O2 -g -Wno-error'
    make -j"$(nproc)" libraft.la
}

make_all() {
    missing=
    for tool in autoreconf libtoolize make gcc tar; do
        command -v "$tool" >/dev/null || missing="$missing $tool"
    done
    command -v dpkg-source >/dev/null || missing="$missing dpkg-source"
    [ -z "$missing" ] || die "the engine's source needs:$missing; install
    apt-get install autoconf automake libtool make gcc dpkg-dev"
    mkdir -p "$dir"
    fetch
    (make_it) >"$dir/make.log" 2>&1 || {
        tail -n 20 "$dir/make.log" >&2
        die "the engine did not build ($dir/make.log)"
    }
    made=$dir/source/tree/.libs/libraft.a
    nm "$made" | grep -q __assert_fail ||
        die "$made has no assertions after all"
    mkdir -p "${lib%/*}"
    cp "$made" "$lib"
}

simulate() {
    run_logged "$HF_ROOT/build-asserts/build.log" "the build in build-asserts" \
        build_dir build-asserts --enable-developer "--with-engine=$lib"
    HF_COMMIT=$(commit_name)
    export HF_COMMIT
    say "engine with assertions: $lib"
    status=0
    "$HF_ROOT/build-asserts/holdfast-sim" "$@" || status=$?
    if [ "${1:-}" = --seeds ]; then
        "$HF_ROOT/build-asserts/tests/sim/raft_sim" --seeds "$2" || status=$?
    fi
    return "$status"
}

[ -f "$lib" ] || make_all
case ${1:-} in
    --sim)
        shift
        simulate "$@"
        ;;
    *) say "$lib" ;;
esac
