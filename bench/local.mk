# Measurements; built with everything else, installed nowhere.
noinst_PROGRAMS += gap etcd_load
gap_SOURCES = bench/gap.c
gap_LDADD =
etcd_load_SOURCES = bench/etcd_load.c
etcd_load_LDADD = base/libbase.a
EXTRA_DIST += bench/run.sh
