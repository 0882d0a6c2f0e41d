/* The list of mutants. Each part adds its own lines in its own block. */
#ifndef HF_BASE_MUTANTS_DEF_H
#define HF_BASE_MUTANTS_DEF_H

#define MUTANTS(M)    \
    MUTANTS_ACL(M)    \
    MUTANTS_CLIENT(M) \
    MUTANTS_DRIVER(M) \
    MUTANTS_EDGE(M)   \
    MUTANTS_FEED(M)   \
    MUTANTS_JEPSEN(M) \
    MUTANTS_LOG(M)    \
    MUTANTS_PEER(M)   \
    MUTANTS_SERVER(M) \
    MUTANTS_STORE(M)  \
    MUTANTS_NODE(M)

#include "base/mutants_acl.def.h"
#include "base/mutants_client.def.h"
#include "base/mutants_driver.def.h"
#include "base/mutants_edge.def.h"
#include "base/mutants_feed.def.h"
#include "base/mutants_jepsen.def.h"
#include "base/mutants_log.def.h"
#include "base/mutants_node.def.h"
#include "base/mutants_peer.def.h"
#include "base/mutants_server.def.h"
#include "base/mutants_store.def.h"

#endif
