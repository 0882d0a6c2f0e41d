#!/usr/bin/python3
"""doc.py: keeps docs/CLIENTS.md and the tests in agreement. In that page

    <!-- snippet FILE [marker] -->

is followed by a block of code: what stands between "[marker]" and "[end]" in
tests/clients/FILE, or the whole of FILE if it is named from the top of the
tree. Without words the blocks are compared, and a difference is told, status
1; --write puts them right; --table ROWS (what tests/clients/run.sh leaves)
puts the table of the last campaign in as well."""

import collections
import os
import re
import sys
import textwrap

top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
page = os.path.join(top, "docs", "CLIENTS.md")
KINDS = {"py": "python", "mjs": "js", "c": "c", "cfg": ""}
FAULTS = ["kill", "restart", "stop", "transfer"]
MODES = {"plain": "plain port", "cluster": "cluster port, defaults",
         "tuned": "cluster port, tuned", "once": "the same, resending off"}


def snippet(name, marker):
    where = name if marker is None else "tests/clients/" + name
    text = open(os.path.join(top, where)).read()
    if marker is None:
        return text
    lines = text.split("\n")
    begin = [i for i, x in enumerate(lines) if f"[{marker}]" in x]
    if len(begin) != 1:
        sys.exit(f"docs/CLIENTS.md: {len(begin)} places [{marker}] in {name}")
    end = next(i for i in range(begin[0], len(lines)) if "[end]" in lines[i])
    return textwrap.dedent("\n".join(lines[begin[0] + 1 : end])) + "\n"


def filled(text):
    def block(m):
        code = snippet(m[2], m[3])
        return f"{m[1]}\n```{KINDS[m[2].rsplit('.', 1)[-1]]}\n{code}```\n"

    return re.sub(
        r"(<!-- snippet (\S+)(?: \[([^]]+)\])? -->)\n```\w*\n(?:.*?\n)??```\n",
        block, text, flags=re.S)


def table(rows):
    cells = collections.defaultdict(lambda: collections.defaultdict(list))
    sums = collections.defaultdict(lambda: [0, 0, 0])
    for line in open(rows):
        f = [x.strip() for x in line.strip().strip("|").split("|")]
        lib, mode, fault, acked, errors, lost, doubled, gap, back = f
        ms = int(gap.split()[0])
        if back == "never":
            told = (2, "never")
        elif back == "when it is back":
            told = (1, "when it is back")
        else:
            told = (0, f"{ms / 1000:.2f} s")
        cells[lib, mode][fault].append((told[0], ms, told[1], int(errors)))
        for i, n in enumerate((acked, lost, doubled)):
            sums[lib, mode][i] += int(n)
    out = ["| library | connected to | writes | lost | twice "
           "| killed, away 3 s | killed, back after 0.3 s | says nothing for 3 s "
           "| leadership handed over |",
           "|---|---|---|---|---|---|---|---|---|"]
    for (lib, mode), faults in sorted(
            cells.items(), key=lambda x: (x[0][0], list(MODES).index(x[0][1]))):
        told = "cluster port" if lib == "hiredis" and mode == "once" else MODES[mode]
        row = [lib, told] + [str(n) for n in sums[lib, mode]]
        for fault in FAULTS:
            worst = max(faults[fault], default=(0, 0, "-", 0))
            errors = sum(x[3] for x in faults[fault])
            row.append(worst[2] + (f", {errors} errors" if errors != 1 else
                                   ", 1 error"))
        out.append("| " + " | ".join(row) + " |")
    return "\n".join(out) + "\n"


def main():
    text = open(page).read()
    want = filled(text)
    if sys.argv[1:2] == ["--table"]:
        want = re.sub(
            r"(<!-- table: begin -->\n).*?(<!-- table: end -->)",
            lambda m: m[1] + "\n" + table(sys.argv[2]) + "\n" + m[2], want,
            flags=re.S)
    if sys.argv[1:]:
        open(page, "w").write(want)
    elif want != text:
        print("docs/CLIENTS.md: differs from the tests"
              " (tests/clients/doc.py --write)")
        sys.exit(1)


main()
