dist_doc_DATA += \
	docs/ARCHITECTURE.md
