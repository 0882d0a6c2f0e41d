#!/bin/sh
# ./dev build: what is missing, configure, make, into build/.
# ./dev build asan | mutants | fuzz: the same tree in another directory.
# ./dev build fast: the simulator alone, for campaigns: optimised over all
#   files and by a profile of itself, a third faster. Not for a release.
set -eu
. "$(dirname "$0")/lib.sh"

# phase FLAGS: the simulator with them, into build-fast/.
phase() {
    (cd "$dir" && "$HF_ROOT/configure" --quiet CFLAGS="$fast $1" \
        LDFLAGS="$fast $1" AR=gcc-ar RANLIB=gcc-ranlib NM=gcc-nm)
    find "$dir" -name '*.[oa]' -delete
    make -C "$dir" --no-print-directory -s -j"$(nproc)" holdfast-sim
}

build_fast() {
    dir=$HF_ROOT/build-fast
    fast='-O3 -flto=2 -fno-plt -fno-semantic-interposition -march=native'
    mkdir -p "$dir"
    bootstrap
    find "$dir" -name '*.gcda' -delete
    rm -f "$dir/holdfast-sim"
    phase '-fprofile-generate'
    "$dir/holdfast-sim" --seeds 40 --jobs 1 >/dev/null
    rm -f "$dir/holdfast-sim"
    phase '-fprofile-use -fprofile-partial-training -Wno-missing-profile'
}

"$HF_ROOT/scripts/deps.sh"
case "${1:-}" in
    '') build_dir build --enable-developer ;;
    asan)
        build_dir build-asan --enable-developer --enable-sanitizers \
            'CFLAGS=-O1 -g'
        ;;
    mutants) build_dir build-mutants --enable-developer --enable-mutants ;;
    fuzz)
        build_goals=fuzzers
        build_dir build-fuzz --enable-developer --enable-fuzz CC=clang \
            'CFLAGS=-O1 -g'
        ;;
    fast) build_fast ;;
    *)
        echo "usage: ./dev build [asan|mutants|fuzz|fast]" >&2
        exit 2
        ;;
esac
