EXTRA_DIST += \
	scripts/build.sh \
	scripts/cluster.sh \
	scripts/demo.sh \
	scripts/deps.sh \
	scripts/down.sh \
	scripts/lib.sh \
	scripts/up.sh
