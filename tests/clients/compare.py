#!/usr/bin/env python3
"""Send the same lines to Holdfast and to redis-server; compare raw replies.

Usage: compare.py HOLDFAST-PORT REDIS-PORT PROTOCOL.md [--follower] FILE...

--follower: the port is a follower's, which says so in some replies.

All lines of all files are sent twice, in RESP2 and in RESP3. Replies must be
the same bytes, but for the lines in the table between "compare: begin" and
"compare: end" of PROTOCOL.md, which must differ, in RESP2 or RESP3 or both;
with "if at all" before the reason they may. The last line counts.

A file has one command a line; words as in a shell, with \\xHH, \\r, \\n in
double quotes. It goes out as an array of bulks. Other lines:

  # ...         a comment
  @ name        a section: an empty store and new connections
  2: LINE       on connection 2 (any digit; 1 without)
  <             one more message, without sending anything
  ? LINE        numbers in the replies are only compared as numbers
  / TEXT        the bytes of TEXT, escapes as above; everything that comes is
                compared, and whether the server closed
  - LINE        nothing must come back
  ! MS          wait
"""
import re
import socket
import sys
import time

WAIT = 3.0  # seconds for a reply
QUIET = 0.12  # seconds after which nothing more comes
SLOW = 0.15
DIFFERENT_MAX = 25
SAYS_ROLE = re.compile(r"^[^:]*: (\? )?(HELLO|ROLE|WAIT)\b|role of")


def unescape(text):
    out = bytearray()
    i = 0
    while i < len(text):
        c = text[i]
        if c == "\\" and i + 1 < len(text):
            n = text[i + 1]
            if n == "x":
                out.append(int(text[i + 2 : i + 4], 16))
                i += 4
                continue
            out += {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0"}.get(
                n, n.encode()
            )
            i += 2
            continue
        out += c.encode()
        i += 1
    return bytes(out)


def split(line):
    words = []
    pattern = r'"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|(\S+)'
    for m in re.finditer(pattern, line):
        if m.group(1) is not None:
            word = unescape(m.group(1))
        elif m.group(2) is not None:
            word = m.group(2).encode()
        else:
            word = m.group(3).encode()
        # A long word: x*1000 is written as @x*1000@.
        long = re.fullmatch(rb"@(.+)\*(\d+)@", word)
        words.append(long.group(1) * int(long.group(2)) if long else word)
    return words


def request(words):
    out = b"*%d\r\n" % len(words)
    for w in words:
        out += b"$%d\r\n%s\r\n" % (len(w), w)
    return out


class Connection:
    def __init__(self, port, resp3):
        self.port = port
        self.resp3 = resp3
        self.socket = None
        self.open()

    def open(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = socket.create_connection(("127.0.0.1", self.port), WAIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.closed = False
        if self.resp3:
            self.send(request([b"HELLO", b"3"]))
            self.reply(WAIT)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            self.closed = True

    def fill(self, wait):
        """False when nothing came in that time, or nothing will."""
        if self.closed:
            return False
        self.socket.settimeout(wait)
        try:
            more = self.socket.recv(1 << 16)
        except socket.timeout:
            return False
        except OSError:
            more = b""
        if not more:
            self.closed = True
            return False
        self.data += more
        return True

    def end_of(self, at):
        """Where the reply at @at ends, or None."""
        line = self.data.find(b"\r\n", at)
        if line < 0:
            return None
        kind, rest = self.data[at : at + 1], self.data[at + 1 : line]
        at = line + 2
        if kind in b"$=":
            n = int(rest)
            if n < 0:
                return at
            at += n + 2
            return at if at <= len(self.data) else None
        n = 0
        if kind in b"*~>":
            n = max(0, int(rest))
        elif kind in b"%":
            n = 2 * int(rest)
        for _ in range(n):
            at = self.end_of(at)
            if at is None:
                return None
        return at

    def reply(self, wait):
        until = time.monotonic() + wait
        while True:
            end = self.end_of(0)
            if end is not None:
                got, self.data = self.data[:end], self.data[end:]
                return got
            left = until - time.monotonic()
            if left <= 0 or not self.fill(left):
                return self.rest() + (
                    b"<closed>" if self.closed else b"<nothing>"
                )

    def rest(self):
        got, self.data = self.data, b""
        return got

    def everything(self, expected):
        """All that comes; patient until there is as much as @expected."""
        until = time.monotonic() + WAIT
        while self.fill(QUIET) or (
            not self.closed
            and (len(self.data) < len(expected) or b"<closed>" in expected)
            and time.monotonic() < until
        ):
            pass
        return self.rest() + (b"<closed>" if self.closed else b"")


def mask(reply):
    reply = re.sub(rb"\b[0-9a-f]{40}\b", b"<id>", reply)
    return re.sub(rb"\d+", b"<n>", reply)


class Side:
    def __init__(self, port, resp3):
        self.port = port
        self.resp3 = resp3
        self.connections = {}
        self.patience = WAIT

    def at(self, number):
        if number not in self.connections:
            self.connections[number] = Connection(self.port, self.resp3)
        return self.connections[number]

    def section(self):
        for c in self.connections.values():
            c.socket.close()
        self.connections = {}
        self.patience = WAIT
        one = Connection(self.port, False)
        one.send(request([b"FLUSHALL"]))
        got = one.reply(WAIT)
        if got != b"+OK\r\n":
            sys.exit("FLUSHALL at port %d gave %r" % (self.port, got))
        one.socket.close()

    def start(self, number, line):
        c = self.at(number)
        if line.startswith("/"):
            c.send(unescape(line[1:].strip()))
        elif line != "<":
            c.send(request(split(line.lstrip("?-").strip())))

    def finish(self, number, line, expected):
        c = self.at(number)
        if line.startswith("/"):
            return c.everything(expected)
        if line.startswith("-"):
            c.fill(QUIET)
            return c.rest() + (b"<closed>" if c.closed else b"")
        got = c.reply(self.patience)
        if b"<nothing>" in got:
            self.patience = QUIET  # not for each line that hangs on this one
        return mask(got) if line.startswith("?") else got


def lines_of(files):
    seen = {}
    for name in files:
        section = ""
        for line in open(name, encoding="utf-8"):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("@ "):
                section = line[2:]
            key = section + ": " + line
            seen[key] = seen.get(key, 0) + 1
            if seen[key] > 1:
                key += " (%d)" % seen[key]
            yield key, line


def run(ports, files, resp3, only=None):
    """{key: (holdfast's reply, redis's)} of all lines that were sent; @only:
    of these sections."""
    sides = [Side(port, resp3) for port in ports]
    replies = {}
    for key, line in lines_of(files):
        if only is not None and key.split(": ")[0] not in only:
            continue
        if line.startswith("@ "):
            for s in sides:
                s.section()
            continue
        if line.startswith("! "):
            time.sleep(int(line[2:]) / 1000)
            continue
        m = re.match(r"(\d): ?(.*)", line)
        number, line = (m.group(1), m.group(2)) if m else ("1", line)
        got = []
        for s in sides:
            s.start(number, line)
        for s in reversed(sides):  # Redis says how much is to come
            began = time.monotonic()
            got.insert(0, s.finish(number, line, got[0] if got else b""))
            took = time.monotonic() - began
            if took > SLOW and line[0] not in "/-":
                print("took %.2f s at %d: %s" % (took, s.port, line))
        replies[key] = tuple(got)
        # Both go on from the same place.
        if got[0] != got[1] or b"<closed>" in got[0]:
            for s in sides:
                c = s.at(number)
                c.fill(0.02)
                c.rest()
                if any(b"<closed>" in g for g in got):
                    c.open()
    return replies


def allowed_in(page):
    text = open(page, encoding="utf-8").read()
    m = re.search(r"<!-- compare: begin -->(.*?)<!-- compare: end -->", text, re.S)
    rows = {}
    for line in m.group(1).splitlines() if m else []:
        row = re.fullmatch(r"\| `(.*)` \| (.*) \|", line.strip())
        if row:
            rows[row.group(1).replace("\\|", "|")] = row.group(2)
    return rows


def show(reply):
    return repr(reply)[1:] if len(reply) < 600 else repr(reply[:600])[1:] + "..."


def main():
    ports = [int(sys.argv[1]), int(sys.argv[2])]
    allowed = allowed_in(sys.argv[3])
    files = sys.argv[4:]
    follower = files[0] == "--follower"
    files = files[1:] if follower else files
    different = set()
    bad = 0
    count = 0
    for resp3 in (False, True):
        replies = run(ports, files, resp3)
        count = len(replies)
        again = {
            key.split(": ")[0]
            for key, (mine, other) in replies.items()
            if mine != other
            and key not in allowed
            and not (follower and SAYS_ROLE.search(key))
        }
        if again:
            # On a busy machine a deadline may pass between the two servers,
            # and a node may lose touch with its leader and tell caches to
            # start afresh. What differs twice differs.
            print("once more: " + ", ".join(sorted(again)))
            for key, pair in run(ports, files, resp3, again).items():
                if pair[0] == pair[1]:
                    replies[key] = pair
        for key, (mine, other) in replies.items():
            if mine == other or (follower and SAYS_ROLE.search(key)):
                continue
            different.add(key)
            if key not in allowed:
                bad += 1
                print("RESP%d %s" % (3 if resp3 else 2, key))
                print("    holdfast " + show(mine))
                print("    redis    " + show(other))
    sent = {key for key, line in lines_of(files)}
    for key, reason in allowed.items():
        if key not in sent and len(files) < 2:
            continue  # one file alone: the table is for all
        if follower and SAYS_ROLE.search(key):
            continue
        if key not in different and not reason.startswith("If at all"):
            bad += 1
            print("listed, but the same: " + key)
    if len(different | set(allowed)) > DIFFERENT_MAX:
        bad += 1
        print("more than %d lines differ" % DIFFERENT_MAX)
    print(
        "%d lines in RESP2 and RESP3: %d differ, %d listed; %d wrong"
        % (count, len(different), len(allowed), bad)
    )
    sys.exit(1 if bad else 0)


main()
