"""Users on three nodes: acl.py ROUNDS PORT PORT PORT. See acl.sh."""
import socket
import sys
import time


class Conn:
    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), 10)
        self.f = self.s.makefile("rb")

    def send(self, *words):
        out = b"*%d\r\n" % len(words)
        for w in words:
            w = w.encode() if isinstance(w, str) else w
            out += b"$%d\r\n%s\r\n" % (len(w), w)
        self.s.sendall(out)

    def read(self):
        line = self.f.readline()
        if not line:
            return "closed"
        kind, rest = line[:1], line[1:-2].decode("latin-1")
        if kind in b"*~>":
            return [self.read() for _ in range(int(rest))]
        if kind == b"%":
            return [self.read() for _ in range(2 * int(rest))]
        if kind in b"$=":
            n = int(rest)
            return None if n < 0 else self.f.read(n + 2)[:-2].decode("latin-1")
        return line[:-2].decode("latin-1")

    def __call__(self, *words):
        if len(words) == 1:
            words = words[0].split()
        try:
            self.send(*words)
            return self.read()
        except OSError:
            return "closed"


bad = 0
tried = 0


def expect(what, reply, starts):
    global bad, tried
    tried += 1
    text = str(reply)
    if not any(text.startswith(s) for s in starts.split("|")):
        bad += 1
        print(f"{what}: {text[:200]}, not {starts}")


rounds = int(sys.argv[1])
ports = [int(p) for p in sys.argv[2:5]]
root = [Conn(p) for p in ports]

expect("root", root[0]("ACL SETUSER root on >sesame-root ~* &* +@all"), "+OK")
for c in root:
    expect("AUTH root", c("AUTH root sesame-root"), "+OK")
expect("set", root[0]("MSET app:1 one other:1 two"), "+OK")

# ---- a user of ~app:* and read commands can do nothing else ----

expect("app", root[1]("ACL SETUSER app on >sesame-app ~app:* +@read"), "+OK")
allowed = {"auth", "hello", "quit", "reset"}
rows = root[0]("COMMAND")
names = []
for row in rows:
    names.append(([row[0]], row[1], "+@read" in row[6] or "@read" in row[6]))
    for sub in row[9]:
        names.append((sub[0].split("|"), sub[1], "+@read" in sub[6]))
for port in ports:
    app = Conn(port)
    expect("AUTH app", app("AUTH app sesame-app"), "+OK")
    for words, arity, reads in names:
        if words[0] in allowed:
            continue
        words = words + ["other:1"] * (abs(int(arity[1:])) - len(words))
        reply = app(*words)
        if reads:
            # Bad words are an error before permissions are looked at; and
            # these look at no key.
            if words[0] in ("dbsize", "keys", "scan", "randomkey", "lolwut"):
                continue
            expect(" ".join(words), reply, "-NOPERM|-ERR")
        else:
            expect(" ".join(words), reply,
                   "-NOPERM|-ERR syntax|-ERR unknown|-ERR wrong")
    for line, starts in (
            ("GET app:1", "one"), ("STRLEN app:1", ":3"),
            ("MGET app:1 app:2", "['one', None]"), ("EXISTS app:1", ":1"),
            ("RANGE app: app;", "['app:1', 'one']"),
            ("GET other:1", "-NOPERM"), ("MGET app:1 other:1", "-NOPERM"),
            ("RANGE app other:2", "-NOPERM"), ("EXISTS other:1", "-NOPERM"),
            ("SET app:1 x", "-NOPERM"), ("DEL app:1", "-NOPERM"),
            ("MULTI", "-NOPERM"), ("TXN 0 1 3 set app:1 x", "-NOPERM"),
            ("TXN 0 1 2 get other:1", "-NOPERM"), ("ONCE OPEN", "-NOPERM"),
            ("XRANGE __changes__ - +", "-NOPERM"),
            ("XREAD COUNT 1 STREAMS __changes__:app: 0", "-NOPERM"),
            ("PUBLISH app:1 x", "-NOPERM"), ("SUBSCRIBE app:1", "-NOPERM"),
            ("CONFIG GET *", "-NOPERM"), ("INFO", "-NOPERM"),
            ("CLIENT LIST", "-NOPERM"), ("MONITOR", "-NOPERM"),
            ("MEMBER LIST", "-NOPERM"), ("STATUS", "-NOPERM"),
            ("ACL SETUSER app +@all", "-NOPERM"), ("ACL LIST", "-NOPERM"),
            ("ACL WHOAMI", "-NOPERM"), ("SHUTDOWN", "-NOPERM|-ERR unknown"),
            ("FLUSHALL", "-NOPERM"), ("WATCH other:1", "-NOPERM")):
        expect(f"app at {port}: {line}", app(line), starts)
expect("untouched", root[2]("MGET app:1 other:1"), "['one', 'two']")

# ---- at once after SETUSER returns ----

flip = [Conn(p) for p in ports]
expect("flip", root[0]("ACL SETUSER flip on >sesame-flip ~app:* +@read +@write "
                       "+publish &*"), "+OK")
for c in flip:
    expect("AUTH flip", c("AUTH flip sesame-flip"), "+OK")
slowest = 0.0
for r in range(rounds):
    at = r % 3
    others = [i for i in range(3) if i != at]
    on = r % 2 == 1
    rules = "+get +set +publish" if on else "-get -set -publish"
    if r % 8 >= 6:
        rules = "+get +set +publish ~app:*" if on else "resetkeys"
    if r % 8 == 4:
        rules += " off"
    if r % 8 == 5:
        rules += " on ~app:*"
    start = time.time()
    for c in flip:
        c.send("PING")  # wakes the connection, as a busy client's would be
    for c in flip:
        c.read()
    expect(rules, root[at](f"ACL SETUSER flip {rules}"), "+OK")
    for i in others:
        flip[i].send("GET", "app:1")
        flip[i].send("SET", "app:2", str(r))
        flip[i].send("PUBLISH", "c", "x")
    for i in others:
        want = "one" if on else "-NOPERM"
        expect(f"round {r}, GET at {i} after {rules}", flip[i].read(), want)
        want = "+OK" if on else "-NOPERM"
        expect(f"round {r}, SET at {i} after {rules}", flip[i].read(), want)
        want = ":" if on or "resetkeys" in rules else "-NOPERM"
        expect(f"round {r}, PUBLISH at {i} after {rules}", flip[i].read(), want)
    # A user who was just made logs in at another node; removed, at none.
    i = others[r % 2]
    c = Conn(ports[i])
    expect("new", root[at](f"ACL SETUSER new{r} on >sesame-{r} ~* +get"), "+OK")
    expect(f"round {r}, AUTH at {i}", c(f"AUTH new{r} sesame-{r}"), "+OK")
    expect(f"round {r}, GET as new", c("GET app:1"), "one")
    expect("gone", root[at](f"ACL DELUSER new{r}"), ":1")
    expect(f"round {r}, GET as gone", c("GET app:1"), "-NOAUTH|closed")
    c = Conn(ports[others[0]])
    expect(f"round {r}, AUTH as gone", c(f"AUTH new{r} sesame-{r}"),
           "-WRONGPASS")
    slowest = max(slowest, time.time() - start)

# ---- passwords are nowhere ----

seen = []
for c in root:
    c("AUTH root sesame-wrong")
    for line in ("INFO everything", "CONFIG GET *", "CLIENT LIST", "ACL LIST",
                 "ACL GETUSER app", "ACL LOG 1000", "STATUS", "SLOWLOG GET 1000",
                 "XRANGE __changes__ - +", "COMMAND DOCS acl", "KEYS *",
                 "ACL SETUSER app <sesame-nosuch", "ACL SETUSER app >sesame-x y",
                 "DUMP app:1"):
        seen.append((line, str(c(line))))
for line, reply in seen:
    tried += 1
    if "sesame" in reply:
        bad += 1
        print(f"{line}: a password in clear: {reply[:200]}")

# ---- closed ----

anyone = [Conn(p) for p in ports]
for c in anyone:
    expect("before", c("GET app:1"), "one")
expect("close", root[0]("ACL SETUSER default off"), "+OK")
for c in anyone:
    for line in ("GET app:1", "SET app:1 x", "PING", "INFO", "HELLO 3"):
        expect(f"closed: {line}", c(line), "-NOAUTH")
print(f"users: {tried} replies looked at, {bad} not as expected; "
      f"the slowest of {rounds} rounds took {slowest * 1000:.0f} ms")
sys.exit(1 if bad else 0)
