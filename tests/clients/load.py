"""Writers that count: each has a key to append to and a counter, and writes
down when it sent what and what it heard. judge.py compares that with what the
cluster has in the end.

A line of the history, separated by tabs:
    sent_us  heard_us  writer  number  append|incr  ok|error|pending  text
"""

import os
import threading
import time

WRITERS = 4
PAUSE_S = 0.015


def now_us():
    return time.monotonic_ns() // 1000


class History:
    def __init__(self, path):
        self.path = path
        self.lines = []
        self.open = {}
        self.lock = threading.Lock()

    def sent(self, writer, number, kind):
        self.open[writer] = (now_us(), number, kind)

    def heard(self, writer, status, text=""):
        at = now_us()
        with self.lock:
            sent, number, kind = self.open.pop(writer)
            text = " ".join(str(text).split())[:120]
            self.lines.append(
                f"{sent}\t{at}\t{writer}\t{number}\t{kind}\t{status}\t{text}"
            )

    def write(self):
        with self.lock:
            for writer, (sent, number, kind) in list(self.open.items()):
                self.lines.append(
                    f"{sent}\t{now_us()}\t{writer}\t{number}\t{kind}\tpending\t"
                )
            with open(self.path, "w") as f:
                f.write("".join(line + "\n" for line in self.lines))


def run(path, make_writer):
    """Each writer is make_writer() -> (append(key, text), incr(key)); all of
    them write until path.stop is there."""
    name = "/".join(path.split("/")[-2:])
    directory = os.path.dirname(path)
    history = History(path)
    ending = threading.Event()

    def write(w):
        append, incr = make_writer()
        number = 0
        while not ending.is_set():
            number += 1
            kind = "incr" if number % 2 else "append"
            history.sent(w, number, kind)
            try:
                if kind == "incr":
                    incr(f"{name}:count:{w}")
                else:
                    append(f"{name}:log:{w}", f"{number};")
                history.heard(w, "ok")
            except Exception as e:
                history.heard(w, "error", f"{type(e).__name__}: {e}")
            time.sleep(PAUSE_S)

    threads = [
        threading.Thread(target=write, args=(w,), daemon=True)
        for w in range(WRITERS)
    ]
    for t in threads:
        t.start()
    def ended():
        return os.path.exists(path + ".stop") or not os.path.exists(directory)

    while len(history.lines) < 2 * WRITERS and not ended():
        time.sleep(0.02)
    with open(path + ".clock", "w") as f:
        # What to add to the time of a file to have that of a line.
        f.write(str(now_us() - time.time_ns() // 1000))
    open(path + ".ready", "w").close()
    while not ended():
        time.sleep(0.02)
    ending.set()
    until = time.monotonic() + 1
    for t in threads:
        t.join(max(0, until - time.monotonic()))
    history.write()
    # A library may hold threads that would never end.
    os._exit(0)
