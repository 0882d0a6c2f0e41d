dist_doc_DATA += \
	docs/ARCHITECTURE.md \
	docs/FORMATS.md \
	docs/OPERATIONS.md \
	docs/PROTOCOL.md
