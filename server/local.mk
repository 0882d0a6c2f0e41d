# One library per folder; edge -> node -> {command, store}.
noinst_LIBRARIES += \
	server/libserver_store.a \
	server/libserver_command.a \
	server/libserver_node.a \
	server/libserver_edge.a

server_libserver_store_a_SOURCES =
server_libserver_command_a_SOURCES =
server_libserver_node_a_SOURCES =
server_libserver_edge_a_SOURCES =
