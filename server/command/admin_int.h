/* Shared by the files behind server/command/admin.h only. */
#ifndef HF_SERVER_COMMAND_ADMIN_INT_H
#define HF_SERVER_COMMAND_ADMIN_INT_H

#include "server/command/admin.h"

/* One question and all that it is answered from. */
struct ask {
    const struct node_view *v;
    const struct bytes *argv;
    int argc;
    bool cluster_port; /* came in by the cluster port */
    struct buf *reply;
};

typedef void admin_fn(const struct ask *a);

/* admin.c */
void admin_field_str(struct buf *b, const char *name, const char *value);
void admin_field_int(struct buf *b, const char *name, uint64_t value);
const struct member_view *admin_self(const struct node_view *v);
/* False without members: the error reply was appended. */
bool admin_need_master(const struct ask *a);
/* False without a process: the same. */
bool admin_need_process(const struct ask *a);
double admin_ratio(uint64_t a, uint64_t b); /* of anything to nothing: 0 */
/* One line of CLUSTER NODES, without its end. */
void admin_nodes_line(const struct node_view *v,
                      const struct member_view *m,
                      struct buf *text);

/* cluster.c */
admin_fn admin_cluster_myshardid, admin_cluster_replicas, admin_cluster_links,
    admin_cluster_reports, admin_cluster_refused;

/* config.c */
admin_fn admin_config_get, admin_config_set, admin_config_resetstat,
    admin_config_rewrite;

/* observe.c */
admin_fn admin_slowlog_get, admin_slowlog_len, admin_slowlog_reset;
admin_fn admin_latency_latest, admin_latency_history, admin_latency_reset,
    admin_latency_doctor, admin_latency_graph, admin_latency_histogram;
admin_fn admin_memory_stats, admin_memory_doctor, admin_memory_purge,
    admin_memory_malloc;
admin_fn admin_lastsave, admin_debug, admin_shutdown, admin_lolwut,
    admin_module_list;

#endif
