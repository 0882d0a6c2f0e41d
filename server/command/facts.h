/* What Redis 7.0 says of its commands, for those that exist here as well:
 * flags, tips, and what is done to the keys of each key specification
 * (";" between specifications, "@WORD": they come behind WORD, "#": a note).
 * COMMAND shows it; what is not here is derived from the table. */
#ifndef HF_SERVER_COMMAND_FACTS_H
#define HF_SERVER_COMMAND_FACTS_H

/* clang-format off */
#define COMMAND_FACTS(F) \
    F("acl", "", "", "") \
    F("acl|cat", "noscript loading stale", "", "") \
    F("acl|deluser", "admin noscript loading stale", "", "") \
    F("acl|dryrun", "admin noscript loading stale", "", "") \
    F("acl|genpass", "noscript loading stale", "", "") \
    F("acl|getuser", "admin noscript loading stale", "", "") \
    F("acl|list", "admin noscript loading stale", "", "") \
    F("acl|load", "admin noscript loading stale", "", "") \
    F("acl|log", "admin noscript loading stale", "", "") \
    F("acl|save", "admin noscript loading stale", "", "") \
    F("acl|setuser", "admin noscript loading stale", "", "") \
    F("acl|users", "admin noscript loading stale", "", "") \
    F("acl|whoami", "noscript loading stale", "", "") \
    F("append", "write denyoom fast", "", "RW insert") \
    F("auth", "noscript loading stale fast no_auth allow_busy", "", "") \
    F("bgsave", "admin noscript no_async_loading", "", "") \
    F("client", "", "", "") \
    F("client|caching", "noscript loading stale", "", "") \
    F("client|getname", "noscript loading stale", "", "") \
    F("client|getredir", "noscript loading stale", "", "") \
    F("client|id", "noscript loading stale", "", "") \
    F("client|info", "noscript loading stale", "nondeterministic_output", "") \
    F("client|kill", "admin noscript loading stale", "", "") \
    F("client|list", "admin noscript loading stale", "nondeterministic_output", "") \
    F("client|no-evict", "admin noscript loading stale", "", "") \
    F("client|pause", "admin noscript loading stale", "", "") \
    F("client|reply", "noscript loading stale", "", "") \
    F("client|setname", "noscript loading stale", "", "") \
    F("client|tracking", "noscript loading stale", "", "") \
    F("client|trackinginfo", "noscript loading stale", "", "") \
    F("client|unblock", "admin noscript loading stale", "", "") \
    F("client|unpause", "admin noscript loading stale", "", "") \
    F("cluster", "", "", "") \
    F("cluster|addslots", "admin stale no_async_loading", "", "") \
    F("cluster|addslotsrange", "admin stale no_async_loading", "", "") \
    F("cluster|bumpepoch", "admin stale no_async_loading", "nondeterministic_output", "") \
    F("cluster|count-failure-reports", "admin stale", "nondeterministic_output", "") \
    F("cluster|countkeysinslot", "stale", "", "") \
    F("cluster|delslots", "admin stale no_async_loading", "", "") \
    F("cluster|delslotsrange", "admin stale no_async_loading", "", "") \
    F("cluster|failover", "admin stale no_async_loading", "", "") \
    F("cluster|flushslots", "admin stale no_async_loading", "", "") \
    F("cluster|forget", "admin stale no_async_loading", "", "") \
    F("cluster|getkeysinslot", "stale", "nondeterministic_output", "") \
    F("cluster|info", "stale", "nondeterministic_output", "") \
    F("cluster|keyslot", "stale", "", "") \
    F("cluster|links", "stale", "nondeterministic_output", "") \
    F("cluster|meet", "admin stale no_async_loading", "", "") \
    F("cluster|myid", "stale", "", "") \
    F("cluster|nodes", "stale", "nondeterministic_output", "") \
    F("cluster|replicas", "admin stale", "nondeterministic_output", "") \
    F("cluster|replicate", "admin stale no_async_loading", "", "") \
    F("cluster|reset", "admin noscript stale", "", "") \
    F("cluster|saveconfig", "admin stale no_async_loading", "", "") \
    F("cluster|set-config-epoch", "admin stale no_async_loading", "", "") \
    F("cluster|setslot", "admin stale no_async_loading", "", "") \
    F("cluster|shards", "stale", "nondeterministic_output", "") \
    F("cluster|slaves", "admin stale", "nondeterministic_output", "") \
    F("cluster|slots", "stale", "nondeterministic_output", "") \
    F("command", "loading stale", "nondeterministic_output_order", "") \
    F("command|count", "loading stale", "", "") \
    F("command|docs", "loading stale", "nondeterministic_output_order", "") \
    F("command|getkeys", "loading stale", "", "") \
    F("command|getkeysandflags", "loading stale", "", "") \
    F("command|info", "loading stale", "nondeterministic_output_order", "") \
    F("command|list", "loading stale", "nondeterministic_output_order", "") \
    F("config", "", "", "") \
    F("config|get", "admin noscript loading stale", "", "") \
    F("config|resetstat", "admin noscript loading stale", "", "") \
    F("config|rewrite", "admin noscript loading stale", "", "") \
    F("config|set", "admin noscript loading stale", "request_policy:all_nodes response_policy:all_succeeded", "") \
    F("copy", "write denyoom", "", "RO access;OW update") \
    F("dbsize", "readonly fast", "request_policy:all_shards response_policy:agg_sum", "") \
    F("debug", "admin noscript loading stale", "", "") \
    F("decr", "write denyoom fast", "", "RW access update") \
    F("decrby", "write denyoom fast", "", "RW access update") \
    F("del", "write", "request_policy:multi_shard response_policy:agg_sum", "RM delete") \
    F("discard", "noscript loading stale fast allow_busy", "", "") \
    F("dump", "readonly", "nondeterministic_output", "RO access") \
    F("echo", "loading stale fast", "", "") \
    F("exec", "noscript loading stale skip_slowlog", "", "") \
    F("exists", "readonly fast", "request_policy:multi_shard response_policy:agg_sum", "RO") \
    F("expire", "write fast", "", "RW update") \
    F("expireat", "write fast", "", "RW update") \
    F("expiretime", "readonly fast", "", "RO access") \
    F("flushall", "write", "request_policy:all_shards response_policy:all_succeeded", "") \
    F("flushdb", "write", "request_policy:all_shards response_policy:all_succeeded", "") \
    F("get", "readonly fast", "", "RO access") \
    F("getdel", "write fast", "", "RW access delete") \
    F("getex", "write fast", "", "RW access update #RW and UPDATE because it changes the TTL") \
    F("getrange", "readonly", "", "RO access") \
    F("getset", "write denyoom fast", "", "RW access update") \
    F("hello", "noscript loading stale fast no_auth allow_busy", "", "") \
    F("incr", "write denyoom fast", "", "RW access update") \
    F("incrby", "write denyoom fast", "", "RW access update") \
    F("incrbyfloat", "write denyoom fast", "", "RW access update") \
    F("info", "loading stale", "nondeterministic_output request_policy:all_shards response_policy:special", "") \
    F("keys", "readonly", "request_policy:all_shards nondeterministic_output_order", "") \
    F("lastsave", "loading stale fast", "nondeterministic_output", "") \
    F("latency", "", "", "") \
    F("latency|doctor", "admin noscript loading stale", "nondeterministic_output request_policy:all_nodes response_policy:special", "") \
    F("latency|graph", "admin noscript loading stale", "nondeterministic_output request_policy:all_nodes response_policy:special", "") \
    F("latency|histogram", "admin noscript loading stale", "nondeterministic_output request_policy:all_nodes response_policy:special", "") \
    F("latency|history", "admin noscript loading stale", "nondeterministic_output request_policy:all_nodes response_policy:special", "") \
    F("latency|latest", "admin noscript loading stale", "nondeterministic_output request_policy:all_nodes response_policy:special", "") \
    F("latency|reset", "admin noscript loading stale", "request_policy:all_nodes response_policy:all_succeeded", "") \
    F("lolwut", "readonly fast", "", "") \
    F("memory", "", "", "") \
    F("memory|doctor", "", "nondeterministic_output request_policy:all_shards response_policy:special", "") \
    F("memory|malloc-stats", "", "nondeterministic_output request_policy:all_shards response_policy:special", "") \
    F("memory|purge", "", "request_policy:all_shards response_policy:all_succeeded", "") \
    F("memory|stats", "", "nondeterministic_output request_policy:all_shards response_policy:special", "") \
    F("memory|usage", "readonly", "", "RO") \
    F("mget", "readonly fast", "request_policy:multi_shard", "RO access") \
    F("module", "", "", "") \
    F("module|list", "admin noscript", "nondeterministic_output_order", "") \
    F("module|load", "admin noscript no_async_loading", "", "") \
    F("module|loadex", "admin noscript no_async_loading", "", "") \
    F("module|unload", "admin noscript no_async_loading", "", "") \
    F("monitor", "admin noscript loading stale", "", "") \
    F("mset", "write denyoom", "request_policy:multi_shard response_policy:all_succeeded", "OW update") \
    F("msetnx", "write denyoom", "request_policy:multi_shard response_policy:agg_min", "OW insert") \
    F("multi", "noscript loading stale fast allow_busy", "", "") \
    F("object", "", "", "") \
    F("object|encoding", "readonly", "nondeterministic_output", "RO") \
    F("object|freq", "readonly", "nondeterministic_output", "RO") \
    F("object|idletime", "readonly", "nondeterministic_output", "RO") \
    F("object|refcount", "readonly", "nondeterministic_output", "RO") \
    F("persist", "write fast", "", "RW update") \
    F("pexpire", "write fast", "", "RW update") \
    F("pexpireat", "write fast", "", "RW update") \
    F("pexpiretime", "readonly fast", "", "RO access") \
    F("ping", "fast", "request_policy:all_shards response_policy:all_succeeded", "") \
    F("psetex", "write denyoom", "", "OW update") \
    F("psubscribe", "pubsub noscript loading stale", "", "") \
    F("pttl", "readonly fast", "nondeterministic_output", "RO access") \
    F("publish", "pubsub loading stale fast", "", "") \
    F("pubsub", "", "", "") \
    F("pubsub|channels", "pubsub loading stale", "", "") \
    F("pubsub|numpat", "pubsub loading stale", "", "") \
    F("pubsub|numsub", "pubsub loading stale", "", "") \
    F("pubsub|shardchannels", "pubsub loading stale", "", "") \
    F("pubsub|shardnumsub", "pubsub loading stale", "", "") \
    F("punsubscribe", "pubsub noscript loading stale", "", "") \
    F("quit", "noscript loading stale fast no_auth allow_busy", "", "") \
    F("randomkey", "readonly", "request_policy:all_shards nondeterministic_output", "") \
    F("readonly", "loading stale fast", "", "") \
    F("readwrite", "loading stale fast", "", "") \
    F("rename", "write", "", "RW access delete;OW update") \
    F("renamenx", "write fast", "", "RW access delete;OW insert") \
    F("replicaof", "admin noscript stale no_async_loading", "", "") \
    F("reset", "noscript loading stale fast no_auth allow_busy", "", "") \
    F("restore", "write denyoom", "", "OW update") \
    F("role", "noscript loading stale fast", "", "") \
    F("save", "admin noscript no_async_loading no_multi", "", "") \
    F("scan", "readonly", "nondeterministic_output request_policy:special", "") \
    F("select", "loading stale fast", "", "") \
    F("set", "write denyoom", "", "RW access update variable_flags #RW and ACCESS due to the optional `GET` argument") \
    F("setex", "write denyoom", "", "OW update") \
    F("setnx", "write denyoom fast", "", "OW insert") \
    F("setrange", "write denyoom", "", "RW update") \
    F("shutdown", "admin noscript loading stale no_multi allow_busy", "", "") \
    F("slaveof", "admin noscript stale no_async_loading", "", "") \
    F("slowlog", "", "", "") \
    F("slowlog|get", "admin loading stale", "request_policy:all_nodes nondeterministic_output", "") \
    F("slowlog|len", "admin loading stale", "request_policy:all_nodes response_policy:agg_sum nondeterministic_output", "") \
    F("slowlog|reset", "admin loading stale", "request_policy:all_nodes response_policy:all_succeeded", "") \
    F("spublish", "pubsub loading stale fast", "", "not_key") \
    F("ssubscribe", "pubsub noscript loading stale", "", "not_key") \
    F("strlen", "readonly fast", "", "RO") \
    F("subscribe", "pubsub noscript loading stale", "", "") \
    F("substr", "readonly", "", "RO access") \
    F("sunsubscribe", "pubsub noscript loading stale", "", "not_key") \
    F("time", "loading stale fast", "nondeterministic_output", "") \
    F("touch", "readonly fast", "request_policy:multi_shard response_policy:agg_sum", "RO") \
    F("ttl", "readonly fast", "nondeterministic_output", "RO access") \
    F("type", "readonly fast", "", "RO") \
    F("unlink", "write fast", "request_policy:multi_shard response_policy:agg_sum", "RM delete") \
    F("unsubscribe", "pubsub noscript loading stale", "", "") \
    F("unwatch", "noscript loading stale fast allow_busy", "", "") \
    F("wait", "noscript", "request_policy:all_shards response_policy:agg_min", "") \
    F("watch", "noscript loading stale fast allow_busy", "", "RO") \
    F("xrange", "readonly", "", "RO access") \
    F("xread", "readonly blocking movablekeys", "", "RO access @STREAMS") \
    F("xrevrange", "readonly", "", "RO access")
/* clang-format on */

#endif
