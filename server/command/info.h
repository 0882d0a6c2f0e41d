/* INFO [section ...]. Internal to server/command. */
#ifndef HF_SERVER_COMMAND_INFO_H
#define HF_SERVER_COMMAND_INFO_H

#include "server/command/admin.h"
#include "server/command/command.h"

void admin_info(const struct node_view *v,
                bool cluster_port,
                const struct bytes *argv,
                int argc,
                struct buf *reply);

#endif
