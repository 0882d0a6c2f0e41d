dist_doc_DATA += \
	docs/ARCHITECTURE.md \
	docs/BENCHMARKS.md \
	docs/CLIENTS.md \
	docs/FORMATS.md \
	docs/LIBRARY.md \
	docs/LIMITS.md \
	docs/OPERATIONS.md \
	docs/PROTOCOL.md \
	docs/RELIABILITY.md \
	docs/bench-latency-1.svg \
	docs/bench-latency-open.svg \
	docs/bench-latency.svg \
	docs/failover.svg
dist_man_MANS += \
	docs/man/holdfastd.8 \
	docs/man/kv.1
