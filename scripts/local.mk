EXTRA_DIST += \
	scripts/bench.sh \
	scripts/build.sh \
	scripts/cluster.sh \
	scripts/demo.sh \
	scripts/deps.sh \
	scripts/down.sh \
	scripts/jepsen.sh \
	scripts/engine.sh \
	scripts/failover.awk \
	scripts/failover.sh \
	scripts/fuzz.sh \
	scripts/ledger.sh \
	scripts/lib.sh \
	scripts/lint.sh \
	scripts/mutants.sh \
	scripts/powercuts.sh \
	scripts/protocol \
	scripts/prove.sh \
	scripts/sim.sh \
	scripts/storage.sh \
	scripts/svg.awk \
	scripts/test.sh \
	scripts/up.sh
