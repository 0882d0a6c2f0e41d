# Measurements; built with everything else, installed nowhere.
noinst_PROGRAMS += gap
gap_SOURCES = bench/gap.c
gap_LDADD =
