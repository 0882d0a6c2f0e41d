#include "server/command/category.h"

#include "base/assert.h"

static const char *const names[CATEGORY_N] = {
#define X(upper, lower) #lower,
    CATEGORIES(X)
#undef X
};

/* Full names, each followed by a space. First what Redis 7.0 has, then what
 * it does not have. */
static const struct {
    uint32_t set;
    const char *commands;
} table[] = {
    {CAT_SLOW,
     "acl acl|cat acl|genpass acl|help acl|whoami client cluster "
     "cluster|countkeysinslot cluster|getkeysinslot cluster|help "
     "cluster|info cluster|keyslot cluster|links cluster|myid "
     "cluster|nodes cluster|shards cluster|slots config config|help "
     "latency latency|help memory memory|doctor memory|help "
     "memory|malloc-stats memory|purge memory|stats module object pubsub "
     "pubsub|help slowlog slowlog|help xinfo xinfo|help "},
    {CAT_ADMIN | CAT_SLOW | CAT_DANGEROUS,
     "acl|deluser acl|dryrun acl|getuser acl|list acl|load acl|log "
     "acl|save acl|setuser acl|users bgrewriteaof bgsave "
     "cluster|addslots cluster|addslotsrange cluster|bumpepoch "
     "cluster|count-failure-reports cluster|delslots "
     "cluster|delslotsrange cluster|failover cluster|flushslots "
     "cluster|forget cluster|meet cluster|replicas cluster|replicate "
     "cluster|reset cluster|saveconfig cluster|set-config-epoch "
     "cluster|setslot cluster|slaves config|get config|resetstat "
     "config|rewrite config|set debug failover latency|doctor "
     "latency|graph latency|histogram latency|history latency|latest "
     "latency|reset module|list monitor replicaof save shutdown slaveof "
     "slowlog|get slowlog|len slowlog|reset "},
    {CAT_WRITE | CAT_STRING | CAT_FAST,
     "append decr decrby getdel getex getset incr incrby incrbyfloat "
     "setnx "},
    {CAT_FAST | CAT_CONNECTION,
     "auth echo hello ping quit readonly readwrite reset select "},
    {CAT_SLOW | CAT_CONNECTION,
     "client|caching client|getname client|getredir client|help "
     "client|id client|info client|reply client|setname "
     "client|tracking client|trackinginfo command command|count "
     "command|docs command|getkeys command|getkeysandflags "
     "command|help command|info command|list wait "},
    {CAT_ADMIN | CAT_SLOW | CAT_DANGEROUS | CAT_CONNECTION,
     "client|kill client|list client|no-evict client|pause "
     "client|unblock client|unpause "},
    {CAT_KEYSPACE | CAT_WRITE | CAT_SLOW, "copy del rename "},
    {CAT_KEYSPACE | CAT_READ | CAT_FAST,
     "dbsize exists expiretime pexpiretime pttl touch ttl type "},
    {CAT_FAST | CAT_TRANSACTION, "discard multi unwatch watch "},
    {CAT_KEYSPACE | CAT_READ | CAT_SLOW,
     "dump object|encoding object|freq object|idletime "
     "object|refcount randomkey scan "},
    {CAT_SLOW | CAT_TRANSACTION, "exec "},
    {CAT_KEYSPACE | CAT_WRITE | CAT_FAST,
     "expire expireat persist pexpire pexpireat renamenx unlink "},
    {CAT_KEYSPACE | CAT_WRITE | CAT_SLOW | CAT_DANGEROUS,
     "flushall flushdb restore "},
    {CAT_READ | CAT_STRING | CAT_FAST, "get mget strlen "},
    {CAT_READ | CAT_STRING | CAT_SLOW, "getrange lcs substr "},
    {CAT_SLOW | CAT_DANGEROUS, "info "},
    {CAT_KEYSPACE | CAT_READ | CAT_SLOW | CAT_DANGEROUS, "keys "},
    {CAT_ADMIN | CAT_FAST | CAT_DANGEROUS, "lastsave role "},
    {CAT_READ | CAT_FAST, "lolwut "},
    {CAT_READ | CAT_SLOW, "memory|usage "},
    {CAT_WRITE | CAT_STRING | CAT_SLOW,
     "mset msetnx psetex set setex setrange "},
    {CAT_KEYSPACE | CAT_SLOW, "object|help "},
    {CAT_PUBSUB | CAT_SLOW,
     "psubscribe pubsub|channels pubsub|numpat pubsub|numsub "
     "pubsub|shardchannels pubsub|shardnumsub punsubscribe ssubscribe "
     "subscribe sunsubscribe unsubscribe "},
    {CAT_PUBSUB | CAT_FAST, "publish spublish "},
    {CAT_FAST, "time "},
    {CAT_READ | CAT_STREAM | CAT_FAST, "xlen "},
    {CAT_READ | CAT_STREAM | CAT_SLOW, "xinfo|stream xrange xrevrange "},
    {CAT_READ | CAT_STREAM | CAT_SLOW | CAT_BLOCKING, "xread "},
    {CAT_READ | CAT_STRING | CAT_FAST, "digest getv "},
    {CAT_WRITE | CAT_STRING | CAT_FAST, "delex "},
    {CAT_WRITE | CAT_STRING | CAT_SLOW, "msetex "},
    {CAT_KEYSPACE | CAT_READ | CAT_SLOW, "range "},
    {CAT_FAST | CAT_TRANSACTION, "revs "},
    {CAT_SLOW | CAT_TRANSACTION, "once once|close once|open txn "},
    {CAT_SLOW | CAT_CONNECTION, "client|setinfo "},
    {CAT_SLOW, "cluster|myshardid member "},
    {CAT_ADMIN | CAT_SLOW | CAT_DANGEROUS,
     "init member|list member|promote member|remove member|transfer status "},
};

enum { IDS = 1024 };

/* Built at the first use of each, never changed after. */
static uint32_t by_id[IDS];

bool command_listed(const char *commands, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = commands; (at = strstr(at, name)) != NULL; at += n) {
        if ((at == commands || at[-1] == ' ') && at[n] == ' ') {
            return true;
        }
    }
    return false;
}

/* What is in no list: by what the row says of itself. */
static uint32_t guess(const struct command *c)
{
    uint32_t set = CAT_SLOW;

    set |= command_has(c, CMD_READ) ? CAT_READ : 0;
    set |= command_has(c, CMD_WRITE) ? CAT_WRITE : 0;
    set |= command_has(c, CMD_ADMIN) ? CAT_ADMIN | CAT_DANGEROUS : 0;
    if (strcmp(c->group, "transactions") == 0) {
        return set | CAT_TRANSACTION;
    }
    return set | category_by_name(bytes_str(c->group));
}

uint32_t command_categories(const struct command *c)
{
    char name[48];

    hf_assert(c->id < IDS);
    if (by_id[c->id] == 0) {
        command_full_name(c, name);
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            if (command_listed(table[i].commands, name)) {
                by_id[c->id] = table[i].set;
            }
        }
        if (by_id[c->id] == 0) {
            by_id[c->id] = guess(c);
        }
    }
    return by_id[c->id];
}

const char *category_name(unsigned bit)
{
    hf_assert(bit < CATEGORY_N);
    return names[bit];
}

uint32_t category_by_name(struct bytes name)
{
    for (unsigned i = 0; i < CATEGORY_N; i++) {
        if (bytes_ieq(name, names[i])) {
            return 1u << i;
        }
    }
    return 0;
}
