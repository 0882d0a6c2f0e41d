/* Configurations: who is a member and in which role, as payload of CHANGE
 * entries and in snapshots. The bytes are those of raft_configuration_encode()
 * (docs/FORMATS.md); this parser exists because the engine's own trusts what
 * it reads. Pure. */
#ifndef HF_RAFTIO_CONF_H
#define HF_RAFTIO_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

enum conf_role {
    CONF_STANDBY = 0, /* gets the log, has no vote */
    CONF_VOTER = 1,
    CONF_SPARE = 2, /* a name only: gets nothing */
    CONF_NONE = -1, /* not a member; for driver_change(): remove */
};

struct conf_member {
    uint64_t id; /* never 0 */
    int role;    /* enum conf_role */
};

/* In the order of the bytes, which never changes but by one member. */
struct conf {
    unsigned n;
    struct conf_member m[LIM_NODES];
};

/* The engine wants an address for each member; Holdfast keeps addresses
 * elsewhere, so this is only the id written out. */
enum { CONF_NAME_MAX = 24 };
void conf_name(uint64_t id, char out[CONF_NAME_MAX]);

/* HF_ECORRUPT unless @b is exactly one configuration: known version, 1 to
 * LIM_NODES members, at least one voter, ids and addresses once each. */
int conf_decode(struct bytes b, struct conf *out);
struct blob *conf_encode(const struct conf *c); /* 1 reference */

const struct conf_member *conf_find(const struct conf *c, uint64_t id);
unsigned conf_voters(const struct conf *c);
/* True when @id is the only voter. */
bool conf_is_lone(const struct conf *c, uint64_t id);

#endif
