# Measurements; built with everything else, installed nowhere.
noinst_PROGRAMS += bench_map gap etcd_load floor resp_load watchdog
bench_map_SOURCES = bench/bench_map.c
bench_map_LDADD = server/libserver_store.a base/libbase.a
gap_SOURCES = bench/gap.c
gap_LDADD =
floor_SOURCES = bench/floor.c
floor_LDADD =
watchdog_SOURCES = bench/watchdog.c
watchdog_LDADD =
etcd_load_SOURCES = bench/etcd_load.c
etcd_load_LDADD = base/libbase.a
resp_load_SOURCES = bench/resp_load.c
resp_load_LDADD = base/libbase.a
EXTRA_DIST += bench/lib.sh bench/report.sh bench/report.awk \
	bench/plot.awk bench/targets bench/rows/closed.sh bench/rows/growth.sh \
	bench/rows/open.sh bench/cold.sh bench/snapshot.sh
