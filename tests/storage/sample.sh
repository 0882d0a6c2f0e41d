#!/bin/sh
# A sample of each storage fault; ./dev storage has them all.
#   HF_STORAGE_FLIPS, HF_STORAGE_CUTS, HF_STORAGE_ERRORS   points of each
set -eu
storm=./holdfast-storm
status=0
"$storm" flips --points "${HF_STORAGE_FLIPS:-20000}" --quiet || status=1
"$storm" cuts --points "${HF_STORAGE_CUTS:-100000}" --quiet || status=1
"$storm" errors --points "${HF_STORAGE_ERRORS:-600}" --quiet || status=1
"$storm" files --quiet || status=1
exit "$status"
