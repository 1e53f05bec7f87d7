# SPDX-License-Identifier: Apache-2.0
"""Part of cache.py: modules as "brood compile --optimise" leaves them, in a
cache for each kind of it, and what that took.  It takes long, so that each
module is done once; what is measured is that one time.  What is hot a profile tells,
of two runs of the same work before, where there is some.  A run counts as
optimised if it maps an object that has such functions, else it is a failure.
The cache is named by BROOD_CACHE: brood run looks for small modules in none
that is not.

CPU time is that of brood and of all its processes.  Memory is what these had
at once, looked at each 50 ms, and the most that one of them had."""

import json
import os
import shutil
import subprocess
import threading
import time

from common import (HERE, Engine, Run, complain, goal, memory, say, show_table,
                    split, unknown)

BROOD = os.environ["BROOD"]
KINDS = ("hot", "all")
WANTED = os.environ.get("OPTIMISE", " ".join(KINDS)).split()
LOOK_S = 0.05
PROFILED_RUNS = 2
NAMES = {"hot": "brood, hot", "all": "brood, optimised"}
CRUBY_CPU_S, CRUBY_PEAK_MB = 30, 600


def folder(kind):
    return os.path.join(HERE, "optimised-" + kind)


def engine(kind):
    """The same as "brood", from the other cache."""
    return Engine(NAMES[kind], [f"BROOD_CACHE={folder(kind)}", BROOD, "run"],
                  True, True)


def missing():
    """Why it cannot be done at all, or None."""
    if not WANTED:
        return "OPTIMISE= names no kind"
    if not shutil.which(os.path.join(os.path.dirname(BROOD), "brood-aotc")):
        return "brood was built without brood-aotc"
    return None


# ---- the compilation -------------------------------------------------------

def children(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as f:
                found += f.read().split()
    except OSError:
        pass
    return found


def below(pid):
    """[(private, shared) kB] of a process and of all below it"""
    try:
        it = memory(pid)
        private = it["Private_Clean"] + it["Private_Dirty"]
        found = [(private, it["Rss"] - private)]
    except (OSError, KeyError):  # it has just ended
        found = []
    for child in children(pid):
        found += below(child)
    return found


def resident_kb(pid):
    """What they share, the compiler's program, is counted once."""
    found = below(pid)
    return (sum(private for private, _ in found) +
            max((shared for _, shared in found), default=0))


class Watched:
    """One process: status, output, seconds, memory of all below it."""

    def __init__(self, command, log):
        env, argv = split(command)
        self.peak_kb, self.ended = 0, threading.Event()
        start = time.monotonic()
        with open(log, "wb") as err:
            process = subprocess.Popen(argv, env=env, stderr=err,
                                       stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE)
        looks = threading.Thread(target=self.look, args=(process.pid,))
        looks.start()
        self.out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = self.status = os.waitstatus_to_exitcode(status)
        self.ended.set()
        looks.join()
        self.wall = time.monotonic() - start
        self.cpu = usage.ru_utime + usage.ru_stime
        self.one_kb = usage.ru_maxrss
        self.peak_kb = max(self.peak_kb, self.one_kb)

    def look(self, pid):
        while not self.ended.wait(LOOK_S):
            self.peak_kb = max(self.peak_kb, resident_kb(pid))


def objects(kind):
    """{key: what "brood cache ls" tells of it}"""
    run = Run([f"BROOD_CACHE={folder(kind)}", BROOD, "cache", "ls",
               "--json"])
    return {it["key"]: it for it in json.loads(run.out)["objects"]}


def mapped(kind, words):
    """Does a run find its code there, optimised?"""
    events = os.path.join(HERE, "events")
    report = os.path.join(HERE, "report")
    run = Run([f"BROOD_EVENTS={events}", f"BROOD_REPORT={report}",
               *engine(kind).run(words)])
    if run.status != 0:
        complain(f"{NAMES[kind]} cannot run {words[0]}: {run.why}")
        return False
    with open(report) as f:
        way = json.loads(f.read())["way"]
    with open(events) as f:
        keys = [it["key"] for it in map(json.loads, f)
                if it["event"] == "cache.map"]
    os.unlink(events)
    os.unlink(report)
    there = objects(kind)
    if way == "mapped" and any(there.get(key, {}).get("optimised")
                               for key in keys):
        return True
    complain(f"{NAMES[kind]} ran {words[0]} {way}, and no optimised code")
    return False


class Optimised:
    """What has been made so far: figures by (kind, path)."""

    def __init__(self, work):
        """work: {path: (words, what it reads)}, to find what is hot"""
        self.made, self.why, self.work = {}, missing(), work
        if self.why:
            say(f"the optimiser is left out: {self.why}")
        for kind in KINDS:
            os.makedirs(folder(kind))

    def profile(self, path):
        words, stdin = self.work[path]
        for _ in range(PROFILED_RUNS):
            run = Run(engine("hot").run(words), stdin)
            if run.status != 0:
                complain(f"{NAMES['hot']} cannot run {path}: {run.why}")

    def compile(self, kind, path):
        if kind == "hot" and path in self.work:
            self.profile(path)
        log = os.path.join(HERE, "optimise.log")
        run = Watched([f"BROOD_CACHE={folder(kind)}", BROOD, "compile",
                       f"--optimise={kind}", "--json", path], log)
        if run.status != 0:
            with open(log, errors="replace") as f:
                complain(f"brood cannot optimise {path} ({kind}): "
                         f"{f.read().strip()[-200:] or run.status}")
            return None
        told = json.loads(run.out)
        for it in told["left"][:5]:
            say(f"{os.path.basename(path)} ({kind}): function "
                f"{it['function']} {it['name']} is left: {it['why']}")
        return {"wall": run.wall, "cpu": run.cpu, "peak_kb": run.peak_kb,
                "one_kb": run.one_kb, "object": told["bytes"],
                "functions": told["functions"], "wanted": told["wanted"],
                "made": told["optimised"], "left": len(told["left"])}

    def get(self, kind, words):
        """Figures; None if it was not done, or is not what a run takes."""
        if self.why or kind not in WANTED:
            return None
        at = kind, words[0]
        if at not in self.made:
            found = self.compile(kind, words[0])
            self.made[at] = found and mapped(kind, words) and found
        return self.made[at]

    def engines(self, words, kinds=KINDS):
        return [engine(kind) for kind in kinds if self.get(kind, words)]


# ---- what is told ----------------------------------------------------------

def together(all_of_them):
    """Of several modules: one figure; None if one of them has none."""
    if not all_of_them or not all(all_of_them):
        return None
    return {key: (max if key.endswith("_kb") else sum)(
        it[key] for it in all_of_them) for key in all_of_them[0]}


def bench(optimised, modules, peers):
    """modules: {name: [words of each]}; peers: {name: figures}, of another
    engine's compiler.  {name: {kind or peer: figures}}"""
    found = {}
    for name, all_of_them in modules.items():
        found[name] = {
            NAMES[kind]: got for kind in KINDS
            if (got := together([optimised.get(kind, words)
                                 for words in all_of_them]))}
        if peers.get(name):
            found[name]["wasmtime compile"] = peers[name]
    return found


def cells(it):
    mib = 1024

    def number(key, unit=1.0, digits=1):
        return key in it and f"{it[key] / unit:.{digits}f}"
    return {
        "CPU: s": number("cpu"),
        "by the clock: s": number("wall"),
        "resident at once: MiB": number("peak_kb", mib, 0),
        "most of one process: MiB": number("one_kb", mib, 0),
        "object: MiB": number("object", mib * mib, 2),
        "functions": number("functions", 1, 0),
        "  wanted": number("wanted", 1, 0),
        "  made": number("made", 1, 0),
        "  left to the baseline": number("left", 1, 0),
    }


def show(found):
    columns = {f"{name}: {who}": cells(it) for name, row in found.items()
               for who, it in row.items()}
    if columns:
        rows = next(iter(columns.values()))
        show_table("optimise", rows, columns,
                   lambda row, column: columns[column][row], (26, 28))


def goals(optimised, found):
    got = found.get("ruby", {}).get(NAMES["hot"])
    if not got:
        return [unknown("CRuby's hot functions optimised", optimised.why or
                        ("RUBY= names none" if "ruby" not in found else
                         "it did not work, or OPTIMISE= leaves it out"))]
    return [goal("CRuby's hot functions optimised: CPU", got["cpu"],
                 CRUBY_CPU_S, unit=" s"),
            goal("CRuby's hot functions optimised: most memory at once",
                 got["peak_kb"] * 1024 / 1e6, CRUBY_PEAK_MB, unit=" MB")]
