# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of byte code share: engines, found by variables;
commands that run interleaved, and what they took; memory as /proc has it;
tables and goals.  A command is a list of words: VARIABLE=VALUE for its
environment, a path, arguments.  All take their folders from kernels.sh."""

import json
import math
import os
import random
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time

RUNS = int(os.environ.get("RUNS", "5"))
STARTS = int(os.environ.get("STARTS", "40"))
ROW_S = 10
LIMIT_S = 300
NAME = "bench-" + os.path.splitext(os.path.basename(sys.argv[0]))[0]
FILES = os.environ["KERNELS_IN"]
HERE = os.environ["TMPDIR"]
BUILD = os.environ["BUILD"]
TIMER = os.path.join(BUILD, "bench", "spawn_time")
NODE_HOST = """
import { readFileSync } from "node:fs";
import { WASI } from "node:wasi";
const wasi = new WASI({ version: "preview1", args: process.argv.slice(2) });
const { instance } = await WebAssembly.instantiate(
    readFileSync(process.argv[2]), wasi.getImportObject());
process.exitCode = wasi.start(instance);
"""
complaints = []


def say(words):
    """Where it is not in the way of --json."""
    print(f"{NAME}: {words}", file=sys.stderr, flush=True)


def complain(words):
    complaints.append(words)
    say(words)


# ---- commands --------------------------------------------------------------

def split(command):
    """(environment, argv)"""
    at = 0
    while "=" in command[at].split("/")[0]:
        at += 1
    settings = dict(word.split("=", 1) for word in command[:at])
    return {**os.environ, **settings}, command[at:]


def last_line(out):
    lines = out.decode(errors="replace").strip().splitlines()
    return lines[-1][:100] if lines else "nothing"


class Run:
    """One process: its status, output, seconds and what went wrong."""

    def __init__(self, command, stdin="/dev/null"):
        env, argv = split(command)
        ours_end, its_end = os.pipe()
        actions = [(os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
                   (os.POSIX_SPAWN_DUP2, its_end, 1),
                   (os.POSIX_SPAWN_DUP2, its_end, 2)]
        start = time.monotonic()
        pid = os.posix_spawn(argv[0], argv, env, file_actions=actions)
        os.close(its_end)
        late = not self.read(ours_end)
        if late:
            os.kill(pid, signal.SIGKILL)
        os.close(ours_end)
        _, status, usage = os.wait4(pid, 0)
        self.wall = time.monotonic() - start
        self.status = os.waitstatus_to_exitcode(status)
        self.cpu = usage.ru_utime + usage.ru_stime
        self.peak_kb = usage.ru_maxrss
        self.why = (f"no end after {LIMIT_S} s" if late else
                    f"status {self.status}: {self.last_line()}")

    def read(self, fd):
        self.out, end = b"", time.monotonic() + LIMIT_S
        while select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
            more = os.read(fd, 65536)
            if not more:
                return True
            self.out = (self.out + more)[-65536:]
        return False

    def last_line(self):
        return last_line(self.out)


class Engine:
    """files: what it takes in place of a FILE.wasm."""

    def __init__(self, name, command, ours=False, compiles=False, files=None):
        self.name, self.command, self.ours = name, command, ours
        self.compiles, self.files = compiles, files or {}

    def run(self, words):
        return [*self.command, self.files.get(words[0], words[0]), *words[1:]]

    def compiler(self):
        """Which one built it leaves its name in the file."""
        with open(self.command[0], "rb") as f:
            return "clang" if b"clang version" in f.read() else "gcc"


def find(name, quiet=False):
    """The program that the variable of its name tells, else as in PATH."""
    path = shutil.which(os.environ.get(name.upper(), name))
    if not path and not quiet:
        say(f"{name} is not here ({name.upper()}= names it)")
    return path and os.path.abspath(path)


def others():
    host = os.path.join(HERE, "host.mjs")
    with open(host, "w") as f:
        f.write(NODE_HOST)
    found = []
    for name, words in (("wasmi", []), ("wasm3", []), ("wasmtime", ["run"]),
                        ("node", ["--no-warnings", host])):
        path = find(name)
        if path:
            found.append(Engine(name, [path, *words]))
    return found


def try_once(engine, words, want, what, stdin="/dev/null"):
    """Can it?  What ours cannot is a failure, a wrong answer always is."""
    run = Run(engine.run(words), stdin)
    if run.status != 0:
        (complain if engine.ours else say)(
            f"{engine.name} cannot run {what}: {run.why}")
        return None
    if want is not None and run.out != want:
        complain(f"WRONG: {engine.name} on {what}: {run.last_line()}, not "
                 f"{last_line(want)}")
        return None
    return run


# ---- figures ---------------------------------------------------------------

def mean(values):
    return math.exp(statistics.fmean(map(math.log, values)))


def figure(times):
    """Of seconds, or whatever else."""
    middle = statistics.median(times)
    return {"s": middle, "spread": (max(times) - min(times)) / middle,
            "low": min(times), "high": max(times)}


def over(found, above, below):
    if above in found and below in found:
        return found[above]["s"] / found[below]["s"]
    return None


def cpu_of(commands, want, what, stdin="/dev/null"):
    """{name: figure} of CPU time, of RUNS interleaved runs."""
    times = {name: [] for name in commands}
    for _ in range(RUNS):
        for name in random.sample(list(commands), len(commands)):
            run = Run(commands[name], stdin)
            if run.status != 0 or run.out != want:
                complain(f"WRONG: {name} on {what}, which it did before: "
                         f"{run.why}")
            times[name].append(run.cpu)
    return {name: figure(found) for name, found in times.items()}


def empty(folder):
    shutil.rmtree(folder)
    os.mkdir(folder, 0o700)


def measure(commands, emptied=None, least=3):
    """{name: {median, 10 %, 90 % in us, most resident kB, CPU us}}, of runs
    that were interleaved."""
    if not commands:
        return {}
    start = time.monotonic()
    for command in commands.values():
        if emptied:
            empty(emptied)
        Run(command)
    once = time.monotonic() - start
    runs = max(min(least, STARTS), min(STARTS, round(ROW_S / once)))
    path = os.path.join(HERE, "commands")
    with open(path, "w") as f:
        for name, command in commands.items():
            f.write(name + "\t" + " ".join(command) + "\n")
    timer = [TIMER, "-n", str(runs), "-t",
             *(["-e", emptied] if emptied else []), path]
    out = subprocess.run(timer, check=True,
                         stdout=subprocess.PIPE).stdout.decode()
    found = {}
    for line in out.splitlines():
        name, *figures = line.split("\t")
        found[name] = {"us": float(figures[0]), "us_low": float(figures[1]),
                       "us_high": float(figures[2]),
                       "peak_kb": int(figures[4]),
                       "cpu_us": float(figures[5])}
    return found


def memory(pid, code_in=None):
    """{field: kB} of all that a process has mapped, or of what it has mapped
    of the files in a folder and cannot write: a module's first memory may be
    mapped from there too, and is there to be written."""
    found, counts = {}, code_in is None
    with open(f"/proc/{pid}/" + ("smaps_rollup" if counts else "smaps")) as f:
        for line in f:
            words = line.split()
            if words[0][-1] != ":":
                counts = code_in is None or (words[1][1] == "-" and
                                             words[-1].startswith(code_in))
            elif counts and words[-1] == "kB":
                found[words[0][:-1]] = found.get(words[0][:-1], 0) + int(
                    words[1])
    return found


# ---- what is told ----------------------------------------------------------

def show_table(title, rows, columns, cell, widths):
    """cell(row, column): a text, or None; widths: of titles, of columns."""
    print(f"\n{title:{widths[0]}}" +
          "".join(f"{c:>{widths[1]}}" for c in columns))
    for row in rows:
        print(f"{row:{widths[0]}}" + "".join(
            f"{cell(row, c) or '-':>{widths[1]}}" for c in columns),
            flush=True)


def span(low, middle, high, digits=2):
    return f"{middle:9.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def time_cell(got):
    return got and span(*(got[k] / 1000 for k in ("us_low", "us", "us_high")))


def goal(what, got, limit, least=False, unit="x", low=None, high=None):
    """What is reached, of at the most (or the least) what is wanted."""
    return {"what": what, "got": got, "goal": limit, "unit": unit,
            "least": least, "low": low, "high": high,
            "met": got >= limit if least else got <= limit}


def unknown(what, why):
    return {"what": what, "got": None, "why": why}


def show_goal(it):
    if it["got"] is None:
        print(f"  ?      {it['what']}: not measured: {it['why']}")
        return
    spread = ("" if it["low"] is None else
              f" ({it['low']:.2f}-{it['high']:.2f})")
    print(f"  {'met   ' if it['met'] else 'missed'} {it['what']}: "
          f"{it['got']:.2f}{it['unit']}{spread}, goal "
          f"{'>=' if it['least'] else '<='} {it['goal']:.2f}{it['unit']}")


def show_goals(goals, title):
    if goals:
        print(f"\n{title}")
    for it in goals:
        show_goal(it)


def words_told(parts):
    """(those of the parts that the command line names, or all; --json)"""
    wanted = [w for w in sys.argv[1:] if w != "--json"]
    for part in wanted:
        if part not in parts:
            say(f"parts are: {' '.join(parts)}")
            sys.exit(100)
    return wanted or parts, "--json" in sys.argv


def finish(result, as_json, title):
    """Goals and failures come last."""
    result["failures"] = complaints
    if as_json:
        print(json.dumps(result, indent=1))
    else:
        show_goals(result["goals"], title)
        for words in complaints:
            print(f"FAILED: {words}")
    sys.exit(1 if complaints else 0)
