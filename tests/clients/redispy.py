"""redis-py: redispy.py VERB MODE SEEDS FILE
VERB: families or load. MODE: plain, cluster (the library's defaults), tuned,
once (tuned, and nothing is sent twice by the library). SEEDS: host:port,...
"""

import sys

import load
import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry

verb, mode, seeds, path = sys.argv[1:5]
seeds = [(s.rsplit(":", 1)[0], int(s.rsplit(":", 1)[1])) for s in seeds.split(",")]
old = int(redis.__version__.split(".")[0]) < 5


def connect(**more):
    host, port = seeds[0]
    if mode == "plain":
        # [redis-py plain]
        return redis.Redis(host=host, port=port, socket_timeout=5, **more)
        # [end]
    if mode == "cluster":
        return redis.RedisCluster(host=host, port=port, **more)
    nodes = [ClusterNode(host, port) for host, port in seeds]
    if old and mode == "tuned":
        # [redis-py 4 tuned]
        return redis.RedisCluster(
            startup_nodes=nodes,
            socket_timeout=1,
            socket_connect_timeout=1,
        )
        # [end]
    if old:
        # [redis-py 4 once]
        return redis.RedisCluster(
            startup_nodes=nodes,
            socket_timeout=1,
            socket_connect_timeout=1,
            cluster_error_retry_attempts=1,
        )
        # [end]
    if mode == "tuned":
        # [redis-py tuned]
        return redis.RedisCluster(
            startup_nodes=nodes,
            dynamic_startup_nodes=False,
            socket_timeout=1,
            socket_connect_timeout=1,
        )
        # [end]
    # [redis-py once]
    return redis.RedisCluster(
        startup_nodes=nodes,
        dynamic_startup_nodes=False,
        socket_timeout=1,
        socket_connect_timeout=1,
        retry=Retry(NoBackoff(), 0),
    )
    # [end]


checks = 0


def check(what, have, want):
    global checks
    checks += 1
    if have != want:
        print(f"{what}: {have!r}, expected {want!r}")
        sys.exit(1)


def families(r, tag):
    def key(name):
        return f"{tag}:{name}"

    a, b, n = key("a"), key("b"), key("n")
    # Strings.
    check("set", r.set(a, "1"), True)
    check("get", r.get(a), b"1")
    check("get none", r.get(key("none")), None)
    check("set nx", r.set(a, "2", nx=True), None)
    check("set xx get", r.set(a, "2", xx=True, get=True), b"1")
    check("setnx", r.setnx(a, "3"), False)
    check("incr", r.incr(n), 1)
    check("incrby", r.incrby(n, 41), 42)
    check("decr", r.decr(n), 41)
    check("append", r.append(b, "xyz"), 3)
    check("strlen", r.strlen(b), 3)
    check("getdel", r.getdel(b), b"xyz")
    r.set(key("text"), "abc")
    try:
        r.incr(key("text"))
        check("incr of a text", "no error", "an error")
    except redis.ResponseError as e:
        check("incr of a text", "not an integer" in str(e), True)
    check("getset", r.getset(key("text"), "abcdef"), b"abc")
    check("getrange", r.getrange(key("text"), 1, 3), b"bcd")
    check("setrange", r.setrange(key("text"), 6, "gh"), 8)
    check("incrbyfloat", r.incrbyfloat(key("f"), 10.5), 10.5)
    check("incrbyfloat again", r.incrbyfloat(key("f"), 0.1), 10.6)
    # Expiry.
    check("setex", r.setex(b, 100, "v"), True)
    check("ttl", r.ttl(b) in (99, 100), True)
    check("pexpire", bool(r.pexpire(b, 50000)), True)
    check("pttl", 0 < r.pttl(b) <= 50000, True)
    check("persist", bool(r.persist(b)), True)
    check("ttl none", r.ttl(b), -1)
    check("expire at", bool(r.expireat(b, 1)), True)
    check("exists", r.exists(b), 0)
    # Keys.
    check("type", r.type(a), b"string")
    for i in range(100):
        r.set(key(f"scan:{i:03}"), i)
    want = {key(f"scan:{i:03}").encode() for i in range(100)}
    check("scan", set(r.scan_iter(match=key("scan:*"), count=7)), want)
    check("touch", r.touch(a), 1)
    check("delete", r.delete(a), 1)
    check("object", r.object("encoding", key("text")), b"embstr")
    dumped = r.dump(key("text"))
    check("restore", r.restore(key("text2"), 0, dumped) in (True, b"OK"), True)
    check("get restored", r.get(key("text2")), b"abcdefgh")
    check("mset", r.mset({f"{{{tag}}}:1": "x", f"{{{tag}}}:2": "y"}), True)
    check("mget", r.mget(f"{{{tag}}}:1", f"{{{tag}}}:2"), [b"x", b"y"])
    # About the server.
    check("ping", r.ping(), True)
    info = r.info() if mode == "plain" else r.info(target_nodes=redis.RedisCluster.RANDOM)
    check("info", str(info["redis_version"])[0] in "78", True)
    if mode == "plain":
        check("config get", "maxmemory" in r.config_get("maxmemory"), True)
        check("client setname", r.client_setname("one"), True)
        check("client getname", r.client_getname() in (b"one", "one"), True)
        check("client id", r.client_id() > 0, True)
        check("dbsize", r.dbsize() > 100, True)
        check("time", len(r.time()), 2)
        check("client list", r.client_list()[0]["addr"].startswith("127."), True)
        check("config set", r.config_set("slowlog-log-slower-than", 10000), True)
        check("slowlog", r.slowlog_len() >= 0, True)
        check("memory usage", r.memory_usage(key("text")) > 0, True)
        check("wait", r.wait(1, 1000) >= 1, True)
        check("rename", bool(r.rename(key("text2"), key("text3"))), True)
        check("command", r.command_count() > 100, True)
        feed_and_channels(r, key)
        users(r, key)
        check("role", len(r.execute_command("ROLE")) > 0, True)
    # Named requests by the generic call, and its own commands.
    if mode == "plain":
        s = r.execute_command("ONCE", "OPEN")
        named = ("ONCE", s, 1, "INCR", key("named"))
        check("once", r.execute_command(*named), 1)
        check("once again", r.execute_command(*named), 1)
        check("once close", r.execute_command("ONCE", "CLOSE", s), 1)
        check("txn", r.execute_command("TXN", 1, key("t"), 0, 1, 3, "SET", key("t"), "v"), [b"OK"])
    # Big values and long pipelines.
    big = b"x" * (1 << 20)
    check("set 1 MiB", r.set(a, big), True)
    check("get 1 MiB", r.get(a) == big, True)
    r.delete(a)
    p = r.pipeline() if mode != "plain" else r.pipeline(transaction=False)
    for i in range(10000):
        p.incr(n)
    check("pipeline", p.execute()[-1], 41 + 10000)
    if mode == "plain":
        transactions(r, key)


def feed_and_channels(r, key):
    r.set(key("feed"), "1")
    feed = "__changes__:" + key("feed")
    (last, fields), = r.xrevrange(feed, count=1)
    check("xrevrange", (fields[b"type"], fields[b"value"]), (b"set", b"1"))
    r.set(key("feed"), "2")
    reply = r.xread({feed: last}, count=1)
    # A map in RESP3; of one list more in some versions.
    entries = list(reply.values())[0] if isinstance(reply, dict) else reply[0][1]
    fields = entries[0][1] if len(entries[0]) == 2 else entries[0][0][1]
    check("xread", fields[b"value"], b"2")
    p = r.pubsub(ignore_subscribe_messages=True)
    p.subscribe(key("channel"))
    p.psubscribe(key("chan?*"))
    # Its reply to the subscription comes before what is published.
    p.get_message(timeout=1)
    p.get_message(timeout=1)
    check("publish", r.publish(key("channel"), "hello"), 2)
    heard = [p.get_message(timeout=5) for _ in range(2)]
    check("heard", sorted(m["type"] for m in heard), ["message", "pmessage"])
    check("message", heard[0]["data"], b"hello")
    p.close()


def users(r, key):
    name = key("user")
    check("acl setuser", bool(r.acl_setuser(
        name, enabled=True, passwords=["+word"], keys=[key("*")],
        commands=["+get"])), True)
    host, port = seeds[0]
    u = redis.Redis(host=host, port=port, username=name, password="word")
    check("get as user", u.get(key("text")) is not None, True)
    try:
        u.set(key("text"), "1")
        check("set as user", "done", "NoPermissionError")
    except redis.exceptions.NoPermissionError:
        check("acl deluser", r.acl_deluser(name), 1)


def transactions(r, key):
    w = key("watched")
    r.set(w, "1")
    with r.pipeline() as p:
        p.watch(w)
        p.multi()
        p.set(w, "2")
        p.get(w)
        check("exec", p.execute(), [True, b"2"])
    with r.pipeline() as p:
        p.watch(w)
        r.set(w, "3")
        p.multi()
        p.set(w, "4")
        try:
            p.execute()
            check("exec of a changed key", "done", "WatchError")
        except redis.WatchError:
            check("watched", r.get(w), b"3")


def main():
    if verb == "families":
        families(connect(), "py:" + path.rsplit("/", 1)[-1])
        if not old:
            families(connect(protocol=3), "py3:" + path.rsplit("/", 1)[-1])
        print(f"{checks} checks")
        return

    # [redis-py threads]
    # The re-reading of the topology is not safe between threads: there a
    # client for each of them; a plain one may be shared, it has a pool.
    shared = connect() if mode in ("plain", "cluster") else None
    # [end]

    def writer():
        r = shared or connect()
        return r.append, r.incr

    load.run(path, writer)


main()
