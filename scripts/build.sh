#!/bin/sh
# ./dev build: what is missing, configure, make, into build/.
# ./dev build asan | mutants | fuzz: the same tree in another directory.
set -eu
. "$(dirname "$0")/lib.sh"

"$HF_ROOT/scripts/deps.sh"
case "${1:-}" in
    '') build_dir build --enable-developer ;;
    asan)
        build_dir build-asan --enable-developer --enable-sanitizers \
            'CFLAGS=-O1 -g'
        ;;
    mutants) build_dir build-mutants --enable-developer --enable-mutants ;;
    fuzz) build_dir build-fuzz --enable-fuzz CC=clang 'CFLAGS=-O1 -g' ;;
    *)
        echo "usage: ./dev build [asan|mutants|fuzz]" >&2
        exit 2
        ;;
esac
