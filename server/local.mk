# One library per folder; edge -> node -> {command, store}.
noinst_LIBRARIES += \
	server/libserver_store.a \
	server/libserver_command.a \
	server/libserver_node.a \
	server/libserver_edge.a

server_libserver_store_a_SOURCES = \
	server/store/entry.c \
	server/store/history.c \
	server/store/history.h \
	server/store/machine.c \
	server/store/machine.h \
	server/store/machine_int.h \
	server/store/map.c \
	server/store/map.h \
	server/store/map_hash.c \
	server/store/map_int.h \
	server/store/map_tree.c \
	server/store/once.c \
	server/store/snapshot.c \
	server/store/store.c \
	server/store/store.h \
	server/store/users.c \
	server/store/users.h

server_libserver_command_a_SOURCES = \
	server/command/acl.c \
	server/command/acl.h \
	server/command/acl_user.c \
	server/command/admin.c \
	server/command/admin.h \
	server/command/admin_int.h \
	server/command/args.c \
	server/command/args.h \
	server/command/category.c \
	server/command/category.h \
	server/command/cluster.c \
	server/command/command.c \
	server/command/command.h \
	server/command/digest.c \
	server/command/digest.h \
	server/command/config.c \
	server/command/docs.c \
	server/command/dump.c \
	server/command/dump.h \
	server/command/float.c \
	server/command/float.h \
	server/command/feed.c \
	server/command/feed.h \
	server/command/help.h \
	server/command/info.c \
	server/command/info.h \
	server/command/facts.h \
	server/command/keyspace.c \
	server/command/notify.c \
	server/command/notify.h \
	server/command/object.c \
	server/command/stats.c \
	server/command/stats.h \
	server/command/observe.c \
	server/command/string.c \
	server/command/table.c \
	server/command/table.h \
	server/command/txn.c \
	server/command/txn.h \
	server/command/walk.c \
	server/command/walk.h

server_libserver_node_a_SOURCES = \
	server/node/admin.c \
	server/node/client.c \
	server/node/client.h \
	server/node/ctime.c \
	server/node/ctime.h \
	server/node/feed.c \
	server/node/feed.h \
	server/node/leader.c \
	server/node/leader.h \
	server/node/load.c \
	server/node/load.h \
	server/node/member.c \
	server/node/member.h \
	server/node/node.c \
	server/node/node.h \
	server/node/node_int.h \
	server/node/observer.h \
	server/node/peers_file.c \
	server/node/peers_file.h \
	server/node/publish.c \
	server/node/read.c \
	server/node/read.h \
	server/node/repair.c \
	server/node/repair.h \
	server/node/session.c \
	server/node/session.h \
	server/node/snapshot.c \
	server/node/snapshot.h \
	server/node/wait.c \
	server/node/wait.h \
	server/node/walker.c \
	server/node/walker.h

server_libserver_edge_a_SOURCES = \
	server/edge/acl_log.c \
	server/edge/acl_log.h \
	server/edge/auth.c \
	server/edge/auth.h \
	server/edge/clients.c \
	server/edge/conn.c \
	server/edge/conn.h \
	server/edge/conn_int.h \
	server/edge/dispatch.c \
	server/edge/edge.c \
	server/edge/env_int_uv.h \
	server/edge/env_uv.c \
	server/edge/env_uv.h \
	server/edge/hostport.c \
	server/edge/hostport.h \
	server/edge/exec.c \
	server/edge/htab.h \
	server/edge/local.c \
	server/edge/net_uv.c \
	server/edge/pubsub.c \
	server/edge/pubsub.h \
	server/edge/settings.c \
	server/edge/settings.h \
	server/edge/tracking.c \
	server/edge/tracking.h

bin_PROGRAMS += holdfastd
holdfastd_SOURCES = server/edge/allocator.c server/edge/allocator.h \
	server/edge/main_uv.c
# Only the server: the tests keep the allocator that the sanitizers know.
holdfastd_LDADD = $(ALL_LIBS) $(JEMALLOC_LIBS)
# Writes the tables of docs/PROTOCOL.md (scripts/protocol).
noinst_PROGRAMS += server/command/protocol
server_command_protocol_SOURCES = server/command/protocol_main.c
server_command_protocol_LDADD = \
	server/libserver_command.a \
	server/libserver_store.a \
	resp/libresp.a \
	base/libbase.a \
	$(COMMAND_SYSTEM_LIBS)
