# SPDX-License-Identifier: Apache-2.0
"""The goals of compiled code and of the cache that shares it: programs that
are compiled, start, run and wait for input, and what memory those take, beside
native code and other engines.  What is compared ran interleaved; told are
medians with spread.  Goals come last, and those that were missed, or for which
something is not here, are said to be so.

Beside what the baseline compiler makes stands what the optimiser makes of the
same module ("brood, optimised"; optimise.py), and of its hot functions alone.

compile: MB of code a second and core, decoding and validation included, of
RUNS processes that do it three times; by the clock, "brood compile" into an
empty cache on one core and on two, with the most memory that was resident
over the size of what comes out.

start, by the clock: from an empty cache (a new one each time) and from a
filled one; wasmtime likewise, from its automatic cache, and from a file that
it compiled before.  (10 %-90 %), the median over ours from the cache, and, for
machines that do something else as well, CPU time.

optimise: what that takes, beside wasmtime's compiler: CPU time, memory, and
functions that were made.  One time each, since it takes long.  What is hot in
SQLite and CRuby is told by the work of "run", in kernels by their loops.

run, CPU time of the whole process: the kernels of wasm.py, compiled; SQLite
(programs/work.sql) and CRuby (programs/work.rb) from the cache.

memory: 1, 10 and 50 instances of a module (others: 1 and 10) that have done
their work and wait for input: what the code's mapping has of private memory
and shares, what an instance has, and what each one more costs;
in how many words the code's mapping is not the file.

  RUNS=5            runs of each that are told by CPU time; STARTS=40 of those
                    by the clock (11 at least of what takes long; of what takes
                    more than 4 s of CPU time only the first, marked "!")
  INSTANCES="1 10 50"         how many live at once
  words: parts alone, of compile, start, optimise, run, memory
  OPTIMISE="hot all"          the kinds of it, or none
  RUBY=FILE.wasm    CRuby as a command that takes -e CODE (with _start, and
                    without _initialize, which others call as well);
                    RUBY_INIT=NAME is its export for brood run --init, if it
                    has one
  SQLITE=FILE.wasm  SQLite's shell, or the like: DATABASE [SQL], else from its
                    input; SQLITE_SOURCE=FOLDER with sqlite3.c and sqlite3.h
                    makes both that and a native one; else it is measured over
                    sqlite3 as it is in PATH (SQLITE3=)
  WASMTIME NODE WASM3 WASMI   the others, where they are not in PATH
  KERNELS="a b", BENCH_SCALE=100, --json   as in wasm.py"""

import json
import os
import shutil
import subprocess
import time

import optimise
import wasm
from common import (BUILD, FILES, HERE, RUNS, Engine, Run, complain, cpu_of,
                    empty, figure, find, finish, goal, measure, memory, others,
                    over, say, show_table, span, split, try_once, unknown,
                    words_told)

PARTS = ("compile", "start", "optimise", "run", "memory")
BROOD = os.environ["BROOD"]
PROGRAMS = os.environ["PROGRAMS"]
EMPTY = os.path.join(HERE, "empty")
FILLED = os.path.join(HERE, "filled")
INSTANCES = [int(n) for n in os.environ.get("INSTANCES", "1 10 50").split()]
PEERS_MOST = 10  # instances of each
SLOW_S = 4
STARTS_LEAST = 11
SPEED_ROUNDS = 3
HELLO = os.path.join(FILES, "start", "hello.wasm")
WAITS = os.path.join(FILES, "start", "waits.wasm")
RUBY_WAITS = "puts(1);$stdout.flush;$stdin.gets"
NAMES = {"ruby": "CRuby", "sqlite": "SQLite"}


def program(name):
    path = os.environ.get(name.upper())
    if path and os.path.exists(path):
        return os.path.abspath(path)
    say(f"{NAMES[name]} is left out: " +
        (f"{path} is not here" if path else f"{name.upper()}=FILE.wasm names "
         "it" + (", or SQLITE_SOURCE=FOLDER what it is made of"
                 if name == "sqlite" else "")))
    return None


def missing(name):
    return f"{name.upper()}= names none"


def work(programs):
    """{name: (words, what it reads)}"""
    found = {}
    if "sqlite" in programs:
        found["sqlite"] = ([programs["sqlite"], ":memory:"],
                           os.path.join(PROGRAMS, "work.sql"))
    if "ruby" in programs:
        with open(os.path.join(PROGRAMS, "work.rb")) as f:
            found["ruby"] = [programs["ruby"], "-e", f.read()], "/dev/null"
    return found


class Places:
    """Programs, engines and the ways in which these start those."""

    def __init__(self):
        os.makedirs(EMPTY)
        os.makedirs(FILLED)
        self.programs = {name: path for name in ("ruby", "sqlite")
                         if (path := program(name)) and fill(path)}
        self.init = os.environ.get("RUBY_INIT")
        self.work = work(self.programs)
        self.optimised = optimise.Optimised(
            {words[0]: (words, stdin) for words, stdin in self.work.values()})
        self.others = others()
        self.wasmtime = next((e.command[0] for e in self.others
                              if e.name == "wasmtime"), None)
        self.others = [e for e in self.others if e.name != "wasmtime"]
        self.compiled, self.cost = {}, {}
        filled, empty_too = (f"XDG_CACHE_HOME={at}" for at in (FILLED, EMPTY))
        run = [BROOD, "run"]
        self.ours = Engine("brood", [filled, *run], True, True)
        self.ours_empty = Engine("brood, empty cache", [empty_too, *run], True,
                                 True)
        self.snapshot = Engine("brood, snapshot",
                               [filled, *run, "--init", self.init or ""],
                               True, True)
        self.automatic, self.mapped = [], None
        if self.wasmtime:
            self.prepare_wasmtime(filled, empty_too)

    def prepare_wasmtime(self, filled, empty_too):
        cached = [self.wasmtime, "run", "-C", "cache=y"]
        self.automatic = [Engine("wasmtime, empty", [empty_too, *cached]),
                          Engine("wasmtime, cache", [filled, *cached])]
        for path in (HELLO, WAITS, *self.programs.values()):
            made = os.path.join(HERE, f"{len(self.compiled)}.cwasm")
            run = Run([self.wasmtime, "compile", "-o", made, path])
            if run.status == 0:
                self.compiled[path], self.cost[path] = made, run
            else:
                say(f"wasmtime cannot compile {path}: {run.why}")
        self.mapped = Engine("wasmtime, .cwasm",
                             [self.wasmtime, "run", "--allow-precompiled"],
                             files=self.compiled)

    def engines(self, what, start=False, optimised=()):
        found = [self.ours_empty] if start else []
        found += [self.ours, *optimised]
        if what == "ruby" and self.init:
            found.append(self.snapshot)
        found += self.automatic[0 if start else 1:]
        return found + ([self.mapped] if self.mapped else []) + self.others


def fill(path, *more):
    """Into the filled cache; bytes of what comes out, or None."""
    run = Run([f"XDG_CACHE_HOME={FILLED}", BROOD, "compile", "--quiet", *more,
               path])
    if run.status != 0:
        complain(f"brood cannot compile {path}: {run.why}")
        return None
    listed = json.loads(Run([f"XDG_CACHE_HOME={FILLED}", BROOD, "cache", "ls",
                             "--json"]).out)
    for it in listed["objects"]:
        if it["name"] == os.path.basename(path):
            return it["bytes"]
    complain(f"the cache has no {path} after its compilation")
    return None


def expect_way(engine, words, way):
    """A start that did not find the code is no figure of one that did."""
    report = os.path.join(HERE, "report")
    if Run([f"BROOD_REPORT={report}", *engine.run(words)]).status != 0:
        return
    with open(report) as f:
        seen = json.loads(f.read())["way"]
    os.unlink(report)
    if seen != way:
        complain(f"{engine.name} ran {words[0]} {seen}, not {way}")


def three(got):
    """(least, median, most) of a figure, in seconds"""
    if "us" in got:
        return tuple(got[k] / 1e6 for k in ("us_low", "us", "us_high"))
    return got["low"], got["s"], got["high"]


def ratio_goal(what, row, above, below, limit, of):
    """Spread: of what is above, over the median of what is below."""
    if not row and of != "hello":
        return unknown(what, missing(of))
    for name in (above, below):
        if name not in row:
            return unknown(what, f"no figure of \"{name}\"")
    base = three(row[below])[1]
    low, middle, high = (x / base for x in three(row[above]))
    return goal(what, middle, limit, low=low, high=high)


# ---- compile ---------------------------------------------------------------

def speed_once(path):
    """{step: seconds} and the bytes of code."""
    run = Run([os.path.join(BUILD, "bench", "compile_speed"), path,
               str(SPEED_ROUNDS)])
    if run.status != 0:
        return None
    lines = [line.split() for line in run.out.decode().splitlines()]
    seconds = {words[0]: float(words[1]) for words in lines[:3]}
    return seconds, int(lines[3][1])


def speeds(programs):
    """{name: {code, figures of MB/s and of each step}}"""
    seen = {name: [] for name in programs}
    for _ in range(RUNS):
        for name, path in programs.items():
            got = speed_once(path)
            if got:
                seen[name].append(got)
            else:
                complain(f"compile_speed cannot compile {path}")
                return {}
    found = {}
    for name, runs in seen.items():
        code = runs[0][1]
        found[name] = {
            "code": code, **{step: figure([s[step] for s, _ in runs])
                             for step in ("load", "compile", "link")},
            "MB/s": figure([code / 1e6 / sum(s.values()) for s, _ in runs])}
    return found


def on_cores(count):
    cores = sorted(os.sched_getaffinity(0))
    return shutil.which("taskset") and len(cores) >= count and [
        shutil.which("taskset"), "-c", ",".join(map(str, cores[:count]))]


def bench_compile(places):
    found = speeds(places.programs)
    commands = {}
    for cores in (1, 2):
        for name, path in places.programs.items():
            if on_cores(cores):
                commands[f"{name} {cores}"] = [
                    f"XDG_CACHE_HOME={EMPTY}", *on_cores(cores), BROOD,
                    "compile", "--quiet", path]
    walls = measure(commands, EMPTY, STARTS_LEAST)
    for name, path in places.programs.items():
        it = found.setdefault(name, {})
        it["object"] = fill(path)
        for cores in (1, 2):
            if f"{name} {cores}" in walls:
                it[f"wall {cores}"] = walls[f"{name} {cores}"]
        run = places.cost.get(path)
        if run:
            it["wasmtime"] = {
                "wall": run.wall, "cpu": run.cpu, "peak_kb": run.peak_kb,
                "object": os.path.getsize(places.compiled[path])}
    return found


def peak_over_object(it, cores=2):
    if not it.get("object") or f"wall {cores}" not in it:
        return None
    return it[f"wall {cores}"]["peak_kb"] * 1024 / it["object"]


def figure_cell(got, digits=2):
    return got and span(got["low"], got["s"], got["high"], digits)


def compile_rows(it):
    peer = it.get("wasmtime")

    def wall(cores):
        got = it.get(f"wall {cores}")
        return got and span(*three(got))
    peak = it.get("wall 2", it.get("wall 1"))
    return {
        "MB of code": "code" in it and f"{it['code'] / 1e6:.1f}",
        "MB/s a core": figure_cell(it.get("MB/s"), 1),
        "  decode, validate: s": figure_cell(it.get("load"), 3),
        "  compile: s": figure_cell(it.get("compile"), 3),
        "  link: s": figure_cell(it.get("link"), 3),
        "brood compile, 1 core: s": wall(1),
        "brood compile, 2: s": wall(2),
        "most resident: MiB": peak and f"{peak['peak_kb'] / 1024:.1f}",
        "object: MiB": it.get("object") and f"{it['object'] / 2 ** 20:.1f}",
        "wasmtime compile: s": peer and f"{peer['wall']:.1f}",
        "  CPU: s": peer and f"{peer['cpu']:.1f}",
        "  most resident: MiB": peer and f"{peer['peak_kb'] / 1024:.1f}",
        "  object: MiB": peer and f"{peer['object'] / 2 ** 20:.1f}",
    }


def show_compile(found):
    rows = {name: compile_rows(it) for name, it in found.items()}
    if rows:
        told = {row: 1 for it in rows.values() for row in it if it[row]}
        show_table("compile", told, rows,
                   lambda row, name: rows[name][row], (26, 24))


def compile_goals(found):
    goals = []
    for name in ("ruby", "sqlite"):
        it, who = found.get(name, {}), NAMES[name]
        if name not in found:
            goals.append(unknown(f"compile of {who}", missing(name)))
            continue
        if "MB/s" in it:
            low, middle, high = three(it["MB/s"])
            goals.append(goal(f"{who}: code compiled a core", middle, 50, True,
                              " MB/s", low, high))
        for cores, limit in ((1, 0.25), (2, 0.15)):
            what = f"{who}: brood compile on {cores} core" + "s"[:cores - 1]
            if name != "ruby":
                continue
            if f"wall {cores}" not in it:
                goals.append(unknown(what, "too few cores, or no taskset"))
                continue
            low, middle, high = three(it[f"wall {cores}"])
            goals.append(goal(what, middle, limit, False, " s", low, high))
        if peak_over_object(it):
            goals.append(goal(f"{who}: most memory over the object's size",
                              peak_over_object(it), 2))
    return goals


# ---- start -----------------------------------------------------------------

def start_words(places):
    """{row: words}"""
    rows = {"hello": [HELLO]}
    if "sqlite" in places.programs:
        rows["sqlite"] = [places.programs["sqlite"], ":memory:", "select(1)"]
    if "ruby" in places.programs:
        rows["ruby"] = [places.programs["ruby"], "-e", "puts(1)"]
    return rows


def native_start(row):
    if row == "hello":
        return [os.path.splitext(HELLO)[0]]
    native = os.environ.get("SQLITE_NATIVE") or find("sqlite3", True)
    return row == "sqlite" and native and [native, ":memory:", "select(1)"]


def check_ways(places, row, words):
    """Modules so small as hello are compiled each time."""
    if row != "hello":
        empty(EMPTY)
        expect_way(places.ours_empty, words, "compiled")
        expect_way(places.ours, words, "mapped")


def self_filling(places, engine):
    """What wasmtime leaves in an empty cache it finds in the filled one: it
    need not compile once more for that, which would take long."""
    return places.automatic and engine is places.automatic[0]


def start_row(places, row, words):
    commands, found, want = {}, {}, None
    native = native_start(row)
    if native:
        commands["native"] = native
        want = Run(native).out
    if row != "hello":
        fill(words[0])
    if row == "ruby" and places.init:
        fill(words[0], "--init", places.init)
    for engine in places.engines(row, True):
        empty(EMPTY)
        # What a snapshot's making says on stderr it says once.
        run = try_once(engine, words, None if engine is places.snapshot else
                       want, f"{row} at its start")
        if run and self_filling(places, engine):
            shutil.copytree(EMPTY, FILLED, dirs_exist_ok=True)
        if run and run.cpu > SLOW_S:
            us = run.wall * 1e6
            found[engine.name] = {"us": us, "us_low": us, "us_high": us,
                                  "peak_kb": run.peak_kb,
                                  "cpu_us": run.cpu * 1e6, "once": True}
        elif run:
            commands[engine.name] = engine.run(words)
            want = want or run.out
    check_ways(places, row, words)
    found.update(measure(commands, EMPTY, STARTS_LEAST))
    return found


def bench_start(places):
    return {row: start_row(places, row, words)
            for row, words in start_words(places).items()}


def start_cell(row, name):
    got, base = row.get(name), row.get("brood")
    if not got or not base:
        return None
    times = span(*(1e3 * x for x in three(got)))
    return (f"{times} {got['us'] / base['us']:7.2f}x"
            f"{'!' if 'once' in got else ' '}")


def names_in(found):
    """In the order of the longest row, then the others."""
    longest = max(found.values(), key=len, default={})
    rest = {n: 1 for row in found.values() for n in row}
    order = ["native", "native, sqlite3", "brood, empty cache", "brood",
             *optimise.NAMES.values(), "brood, snapshot", "wasmtime, empty",
             "wasmtime, cache", "wasmtime, .cwasm"]
    return [n for n in order if n in rest] + [
        n for n in {**longest, **rest} if n not in order]


def show_start(found):
    show_table("start: ms, over brood", names_in(found), found,
               lambda name, row: start_cell(found[row], name), (22, 36))
    show_table("start: CPU ms", names_in(found), found,
               lambda name, row: name in found[row] and
               f"{found[row][name]['cpu_us'] / 1000:.2f}", (22, 12))
    if any("once" in it for row in found.values() for it in row.values()):
        print("!: one run")


def start_goals(found):
    hello, ruby = found["hello"], found.get("ruby", {})
    automatic, mapped = "wasmtime, cache", "wasmtime, .cwasm"
    return [
        ratio_goal("start of hello over static C", hello, "brood", "native",
                   1.6, "hello"),
        ratio_goal("start of hello over wasmtime's .cwasm", hello, "brood",
                   mapped, 0.22, "hello"),
        ratio_goal("start of CRuby over wasmtime's .cwasm", ruby, "brood",
                   mapped, 0.85, "ruby"),
        ratio_goal("start of CRuby over wasmtime's automatic cache", ruby,
                   "brood", automatic, 0.23, "ruby"),
        ratio_goal("start of CRuby, our cache empty, over wasmtime's filled "
                   "one", ruby, "brood, empty cache", automatic, 1.5, "ruby")]


# ---- optimise --------------------------------------------------------------

def kernel_words():
    return [[os.path.join(FILES, name + ".wasm")]
            for name in wasm.kernel_names()]


def wasmtime_kernels(places):
    """What its compiler takes for all of them."""
    made, found = os.path.join(HERE, "kernel.cwasm"), []
    for words in kernel_words():
        run = Run([places.wasmtime, "compile", "-o", made, *words])
        if run.status != 0:
            say(f"wasmtime cannot compile {words[0]}: {run.why}")
            return None
        found.append({"wall": run.wall, "cpu": run.cpu,
                      "one_kb": run.peak_kb, "object": os.path.getsize(made)})
    return optimise.together(found)


def bench_optimise(places):
    modules, peers = {"kernels": kernel_words()}, {}
    modules.update({name: [words] for name, words in
                    start_words(places).items() if name != "hello"})
    if places.wasmtime:
        peers["kernels"] = wasmtime_kernels(places)
    for name, path in places.programs.items():
        run = places.cost.get(path)
        peers[name] = run and {
            "wall": run.wall, "cpu": run.cpu, "one_kb": run.peak_kb,
            "object": os.path.getsize(places.compiled[path])}
    return optimise.bench(places.optimised, modules, peers)


# ---- run -------------------------------------------------------------------

def kernel_engines(places):
    ours = [e for e in wasm.ours() if e.compiles]
    if all(places.optimised.get("all", words) for words in kernel_words()):
        ours.append(wasm.optimised(optimise.engine("all")))
    peers = [e for e in places.others if e.name == "node"]
    if places.wasmtime:
        peers.insert(0, Engine("wasmtime", [places.wasmtime, "run"]))
    return ours + peers


def run_program(places, row, words, stdin):
    """CPU time, of those that compile: what interprets is in bench-wasm."""
    commands, want = {}, None
    if row == "sqlite":
        for name, path in (("native", os.environ.get("SQLITE_NATIVE")),
                           ("native, sqlite3", find("sqlite3"))):
            if path:
                commands[name] = [path, *words[1:]]
                want = want or Run(commands[name], stdin).out
    fill(words[0])
    faster = places.optimised.engines(start_words(places)[row])
    for engine in places.engines(row, optimised=faster):
        if engine.name in ("wasm3", "wasmi", "brood, snapshot",
                           "wasmtime, cache"):
            continue
        run = try_once(engine, words, want, f"{row}'s work", stdin)
        if run:
            commands[engine.name] = engine.run(words)
            want = want or run.out
    return cpu_of(commands, want, f"{row}'s work", stdin)


def bench_programs(places):
    return {row: run_program(places, row, words, stdin)
            for row, (words, stdin) in places.work.items()}


def program_cell(row, name):
    x = over(row, name, "brood")
    if x is None:
        return None
    native = over(row, name, "native") or over(row, name, "native, sqlite3")
    return (f"{figure_cell(row[name])} {x:6.2f}x " +
            (f"{native:6.2f}x" if native else f"{'':7}"))


def show_programs(found):
    if found:
        show_table("run: CPU s", names_in(found), found, lambda name, row:
                   program_cell(found[row], name), (22, 42))
        print(f"{'':22}" + f"{'over brood, over native':>42}" * len(found))


def program_goals(found):
    sqlite, ruby = found.get("sqlite", {}), found.get("ruby", {})
    native = "native" if "native" in sqlite else "native, sqlite3"
    what = "SQLite over native" + (
        "" if native == "native" else " (as sqlite3 was built)")
    return [
        ratio_goal(what, sqlite, "brood", native, 1.45, "sqlite"),
        ratio_goal("CRuby's script over wasmtime's", ruby, "brood",
                   "wasmtime, .cwasm", 0.65, "ruby")]


# ---- memory ----------------------------------------------------------------

class Instance:
    """It has said a line and waits for input."""

    def __init__(self, command):
        env, argv = split(command)
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        self.lives = self.process.stdout.readline() != b""

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def changed_words(pid, code_in):
    """Of the mapped code: those that are not what the file has."""
    found = 0
    with open(f"/proc/{pid}/maps") as maps, \
            open(f"/proc/{pid}/mem", "rb", 0) as mapped:
        for line in maps:
            words = line.split()
            if words[1][1] == "w" or not words[-1].startswith(code_in):
                continue
            low, high = (int(at, 16) for at in words[0].split("-"))
            with open(words[-1], "rb") as f:
                f.seek(int(words[2], 16))
                file = f.read(high - low)
            mapped.seek(low)
            found += different(mapped.read(high - low), file)
    return found


def different(a, b):
    if a == b:
        return 0
    return sum(a[at:at + 8] != b[at:at + 8]
               for at in range(0, max(len(a), len(b)), 8))


def look_at(instances, folder):
    pids = [i.process.pid for i in instances]
    whole = [memory(pid) for pid in pids]
    code = [memory(pid, folder) for pid in pids]
    count = len(pids)

    def private(all_of_them):
        return max(it.get("Private_Dirty", 0) for it in all_of_them)
    return {"count": count, "pss_kb": sum(it["Pss"] for it in whole),
            "dirty_kb": sum(it["Private_Dirty"] for it in whole) / count,
            "code_kb": max(it.get("Size", 0) for it in code),
            "code_rss_kb": max(it.get("Rss", 0) for it in code),
            "code_pss_kb": sum(it.get("Pss", 0) for it in code) / count,
            "code_dirty_kb": private(code)}


def free_kb():
    with open("/proc/meminfo") as f:
        for line in f:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1])
    return 0


def watch(engine, words):
    """[what is seen of 1, 10, ... instances], with what one more costs."""
    counts = [n for n in INSTANCES if engine.ours or n <= PEERS_MOST]
    folder = next((optimise.folder(kind) for kind, name in
                   optimise.NAMES.items() if engine.name == name), FILLED)
    command, instances, found = engine.run(words), [], []
    try:
        for count in counts:
            each = found[0]["pss_kb"] if found else 0
            if each * count > free_kb() * 3 // 4:
                say(f"{count} of {engine.name} would not fit into memory")
                break
            while len(instances) < count:
                instances.append(Instance(command))
                if not instances[-1].lives:
                    say(f"{engine.name} cannot run {words[0]} and wait")
                    return found
            time.sleep(1)
            found.append(look_at(instances, folder))
        if engine.ours and found:
            found[0]["changed"] = changed_words(instances[0].process.pid,
                                                folder)
    finally:
        for instance in instances:
            instance.end()
    first = found[0] if found else None
    for it in found[1:]:
        it["more_kb"] = ((it["pss_kb"] - first["pss_kb"]) /
                         (it["count"] - first["count"]))
    return found


def bench_memory(places):
    rows = {"kernel": [WAITS]}
    if "ruby" in places.programs:
        rows["ruby"] = [places.programs["ruby"], "-e", RUBY_WAITS]
    found = {}
    for row, words in rows.items():
        fill(words[0])
        if row == "ruby" and places.init:
            fill(words[0], "--init", places.init)
        faster = places.optimised.engines(words, ["all"])
        for engine in places.engines(row, optimised=faster):
            if not try_once(engine, words, None, f"{row} that waits"):
                continue
            seen = watch(engine, words)
            if seen:
                found[f"{row}, {engine.name}"] = seen
    return found


def show_memory(found):
    columns = {"code mapped": "code_kb", "resident": "code_rss_kb",
               "private dirty": "code_dirty_kb", "PSS each": "code_pss_kb",
               "| whole: dirty": "dirty_kb", "PSS each ": "each_kb",
               "one more": "more_kb"}
    rows = {}
    for name, seen in found.items():
        for it in seen:
            it["each_kb"] = it["pss_kb"] / it["count"]
            rows[f"{name}, {it['count']}"] = it

    def cell(row, column):
        it, key = rows[row], columns[column]
        if key.startswith("code") and not it["code_kb"]:
            return None
        return key in it and f"{it[key]:.0f}"
    show_table("instances at once: kB", rows, columns, cell, (34, 15))


def why_no_memory(places, row, engine):
    if row == "ruby" and "ruby" not in places.programs:
        return missing("ruby")
    if engine is places.snapshot and not places.init:
        return missing("ruby_init")
    if engine.name == optimise.NAMES["all"]:
        return places.optimised.why or "OPTIMISE= leaves it out, or it failed"
    return "it did not run"


def memory_goals(places, found):
    goals = []
    faster = optimise.engine("all")
    for row, engine, limit in (("kernel", places.ours, 1),
                               ("kernel", faster, 1),
                               ("ruby", places.ours, 8),
                               ("ruby", faster, 8),
                               ("ruby", places.snapshot, 3)):
        who = f"{'a kernel' if row == 'kernel' else 'CRuby'}" + (
            " from a snapshot" if engine is places.snapshot else
            ", optimised" if engine is faster else "")
        seen = found.get(f"{row}, {engine.name}")
        if not seen:
            goals.append(unknown(f"memory of {who}",
                                 why_no_memory(places, row, engine)))
            continue
        for it in seen:
            if it["code_kb"]:
                goals.append(goal(
                    f"{who}, {it['count']} at once: private dirty memory of "
                    "the code", it["code_dirty_kb"], 0, unit=" kB"))
        if "changed" in seen[0]:
            goals.append(goal(f"{who}: words of mapped code that are not the "
                              "file's", seen[0]["changed"], 0, unit=""))
        if not any(it["code_kb"] for it in seen):
            complain(f"{who} does not run from the cache: nothing is mapped")
        if "more_kb" in seen[-1]:
            goals.append(goal(f"{who}, one more of {seen[-1]['count']}: PSS",
                              seen[-1]["more_kb"] / 1024, limit, unit=" MiB"))
    return goals


def main():
    parts, as_json = words_told(PARTS)
    places = Places()
    result, goals = {}, []

    def told(part, found, show):
        result[part] = found
        if not as_json:
            show(found)
    if "compile" in parts:
        told("compile", bench_compile(places), show_compile)
        goals += compile_goals(result["compile"])
    if "start" in parts:
        told("start", bench_start(places), show_start)
        goals += start_goals(result["start"])
    if "optimise" in parts:
        told("optimise", bench_optimise(places), optimise.show)
        goals += optimise.goals(places.optimised, result["optimise"])
    if "run" in parts:
        engines = kernel_engines(places)
        if not as_json:
            print()
        result["kernels"], got = wasm.bench_kernels(engines, as_json)
        goals += wasm.goals(got, engines)
        told("run", bench_programs(places), show_programs)
        goals += program_goals(result["run"])
    if "memory" in parts:
        told("memory", bench_memory(places), show_memory)
        goals += memory_goals(places, result["memory"])
    result["goals"] = goals
    finish(result, as_json, "goals")


if __name__ == "__main__":
    main()
