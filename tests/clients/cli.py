"""redis-cli and valkey-cli: cli.py PROGRAM VERB MODE SEEDS FILE COMMANDS, as
redispy.py. A write is a process of its own, as in a shell script."""

import os
import subprocess
import sys

import load

program, verb, mode, seeds, path, commands = sys.argv[1:7]
host, port = seeds.split(",")[0].rsplit(":", 1)
# [redis-cli]
words = ["timeout", "5", program, "-e", "-h", host, "-p", port]
if mode != "plain":
    words.append("-c")
# [end]


class Failed(Exception):
    pass


def one(*command):
    p = subprocess.run(words + list(command), capture_output=True, text=True)
    if p.returncode != 0:
        raise Failed(p.stderr or p.stdout or f"status {p.returncode}")
    return p.stdout


def reply(lines):
    """What commands.txt calls the reply that was printed as these lines."""
    first = lines[0] if lines else ""
    for kind in ("(nil)", "(integer) ", "(error) "):
        if first.startswith(kind):
            return "nil" if kind == "(nil)" else first[len(kind):]
    if first.startswith("1) "):
        return f"array of {sum(x[:1].isdigit() for x in lines)}"
    return first.strip('"')


def families():
    name = os.path.basename(path)
    checks = []
    for line in open(commands):
        want, bar, command = line.rstrip("\n").partition(" | ")
        if bar:
            checks.append((want, command.replace("hr:", name + ":")))
    # A word of our own after each reply; after EXEC for all since MULTI,
    # of which only the last is of more than one line.
    end = "end-of-reply"
    groups = []
    for want, command in checks:
        if groups and groups[-1][0][1] == "MULTI" and groups[-1][-1][1] != "EXEC":
            groups[-1].append((want, command))
        else:
            groups.append([(want, command)])
    p = subprocess.run(
        words + ["--no-raw"],
        input="".join(f"{c}\n" for g in groups for _, c in g + [("", "ECHO " + end)]),
        capture_output=True,
        text=True,
    )
    have = [[]]
    for line in p.stdout.split("\n"):
        if line.strip('"') == end:
            have.append([])
        elif line and not line.startswith("-> Redirected"):
            have[-1].append(line)
    if len(have) <= len(groups):
        print(f"{len(have) - 1} of {len(groups)} replies: {p.stderr}")
        sys.exit(1)
    for group, lines in zip(groups, have):
        for i, (want, command) in enumerate(group):
            told = reply(lines[i : i + 1] if i + 1 < len(group) else lines[i:])
            if not told.startswith(want):
                print(f"{command}: {told}, expected {want}")
                sys.exit(1)
    big = "x" * (100 << 10)
    if one("SET", name + ":big", big) != "OK\n" or one("GET", name + ":big") != big + "\n":
        print("100 KiB came back otherwise")
        sys.exit(1)
    pipe = "INCR %s:pipe\r\n" % name * 10000
    if mode == "plain":
        p = subprocess.run(words + ["--pipe"], input=pipe, capture_output=True, text=True)
        if "replies: 10000" not in p.stdout or one("GET", name + ":pipe") != "10000\n":
            print(f"pipe: {p.stdout} {p.stderr}")
            sys.exit(1)
    print(f"{len(checks) + 2} checks")


if verb == "families":
    families()
else:
    load.WRITERS = 1
    load.PAUSE_S = 0.05
    load.run(path, lambda: (lambda k, v: one("APPEND", k, v), lambda k: one("INCR", k)))
