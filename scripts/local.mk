EXTRA_DIST += \
	scripts/lib.sh
