# SPDX-License-Identifier: Apache-2.0
"""The goals of the byte-code engine.  Each kernel runs natively and in every
engine, interleaved and in another order each round.  Told are medians of the
whole process's CPU time (all its threads; a busy machine disturbs that least)
as a multiple of native's, with the spread, (most - least) / median; then
geometric means of these and of the other interpreters' time over ours: of all
kernels that both run (the goals are about these), of those without SIMD and of
those with it.  A checksum that is not native's is a failure, and so is a kernel
that ours cannot run; what another engine cannot run is said and left out of
its means.

Then, by the clock: how long the least program takes to say hello, and a large
one that runs each of its functions once; what a memory's size costs at the
start; and the most memory that was resident.

  RUNS=5            runs of each kernel in each engine; STARTS=40 of the starts
                    (fewer, 3 at least, of those that would take long)
  KERNELS="a b"     these kernels alone; words: parts alone, of kernels,
                    start, memory, peak
  BENCH_SCALE=100   the work in per cent
  BROOD, BROOD2     ours (build/brood), interpreted and compiled, and another
                    build of it beside it, interpreted
  OURS="a=x y; b=z" more engines of ours: commands before FILE.wasm
  WASMI WASM3 NODE WASMTIME   the others, where they are not in PATH
  LARGER="FILE.wasm ARG..."   a real program for start and peak, too
  --json            all figures as one object"""

import json
import math
import os
import random
import select
import shlex
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
PARTS = ("kernels", "start", "memory", "peak")
FILES = os.environ["KERNELS_IN"]
HERE = os.environ["TMPDIR"]
TIMER = os.path.join(os.environ["BUILD"], "bench", "spawn_time")
COMPILED = 1.40  # times native, at the most
GOALS = {"clang": {"wasmi": 1.8, "wasm3": 2.4}, "gcc": {"wasmi": 1.6}}
MEANS = {"all": "all that both run", "scalar": "those without SIMD",
         "simd": "those with SIMD"}
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
    print(f"bench-wasm: {words}", file=sys.stderr, flush=True)


def complain(words):
    complaints.append(words)
    say(words)


class Engine:
    def __init__(self, name, command, ours=False, compiles=False):
        self.name, self.command, self.ours = name, command, ours
        self.compiles = compiles

    def run(self, words):
        return [*self.command, *words]

    def compiler(self):
        """Which one built it leaves its name in the file."""
        with open(self.command[0], "rb") as f:
            return "clang" if b"clang version" in f.read() else "gcc"


def ours():
    found = []
    for name in ("BROOD", "BROOD2"):
        path = os.environ.get(name)
        if path and shutil.which(path):
            words = [shutil.which(path), "run", "--via"]
            found.append(Engine(name.lower(), words + ["interp"], True))
            if name == "BROOD":
                found.append(Engine("compiled", words + ["compiled"], True,
                                    True))
        elif path:
            say(f"{path} ({name}) is not here")
    for text in os.environ.get("OURS", "").split(";"):
        if text.strip():
            name, command = text.strip().split("=", 1)
            words = shlex.split(command)
            words[0] = shutil.which(words[0]) or words[0]
            found.append(Engine(name, words, True))
    return found


def others():
    host = os.path.join(HERE, "host.mjs")
    with open(host, "w") as f:
        f.write(NODE_HOST)
    found = []
    for name, words in (("wasmi", []), ("wasm3", []), ("wasmtime", ["run"]),
                        ("node", ["--no-warnings", host])):
        path = shutil.which(os.environ.get(name.upper(), name))
        if path:
            found.append(Engine(name, [path, *words]))
        else:
            say(f"{name} is not here ({name.upper()}= names it)")
    return found


class Run:
    """One process: its status, output, CPU seconds and what went wrong."""

    def __init__(self, argv):
        ours_end, its_end = os.pipe()
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                   (os.POSIX_SPAWN_DUP2, its_end, 1),
                   (os.POSIX_SPAWN_DUP2, its_end, 2)]
        pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
        os.close(its_end)
        late = not self.read(ours_end)
        if late:
            os.kill(pid, signal.SIGKILL)
        os.close(ours_end)
        _, status, usage = os.wait4(pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        self.cpu = usage.ru_utime + usage.ru_stime
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
        lines = self.out.decode(errors="replace").strip().splitlines()
        return lines[-1][:100] if lines else "it said nothing"


def try_once(engine, words, want, what):
    """Can it?  What ours cannot is a failure, a wrong answer always is."""
    run = Run(engine.run(words))
    if run.status != 0:
        (complain if engine.ours else say)(
            f"{engine.name} cannot run {what}: {run.why}")
        return None
    if want is not None and run.out != want:
        complain(f"WRONG: {engine.name} on {what}: {run.last_line()}, not "
                 f"{want.decode().strip()}")
        return None
    return run


def mean(values):
    return math.exp(statistics.fmean(map(math.log, values)))


def figure(times):
    middle = statistics.median(times)
    return {"s": middle, "spread": (max(times) - min(times)) / middle}


def bench_kernel(name, engines):
    """{engine: figure}, "native" among them."""
    native = Engine("native", [])
    path = os.path.join(FILES, name)
    first = try_once(native, [path], None, name)
    if first is None:
        complain(f"{name} does not run natively")
        return {}
    commands = {"native": [path]}
    for engine in engines:
        if try_once(engine, [path + ".wasm"], first.out, name):
            commands[engine.name] = engine.run([path + ".wasm"])
    times = {name: [] for name in commands}
    for _ in range(RUNS):
        for engine in random.sample(list(commands), len(commands)):
            run = Run(commands[engine])
            if run.status != 0 or run.out != first.out:
                complain(f"WRONG: {engine} on {name}, which it did before: "
                         f"{run.why}")
            times[engine].append(run.cpu)
    return {engine: figure(found) for engine, found in times.items()}


def over(found, above, below):
    if above in found and below in found:
        return found[above]["s"] / found[below]["s"]
    return None


def ratios(engines):
    """(interpreter, ours): what the goals are about."""
    return [(other, own) for own in engines if own.ours and not own.compiles
            for other in engines if other.name in ("wasmi", "wasm3")]


def cells(values):
    return "".join(f"{'-':>12}" if v is None else f"{v:12.2f}" for v in values)


def show_head(engines):
    print(f"{'CPU time over native':22}" +
          "".join(f"{e.name:>12}" for e in engines) + "  " +
          "".join(f"{o.name + '/' + e.name:>13}" for o, e in ratios(engines)))
    print(f"{'':12}{'native s':>10}", flush=True)


def show_kernel(name, found, engines):
    native = found["native"]
    line = (f"{name:12}{native['s']:6.3f} {native['spread'] * 100:2.0f}%")
    for e in engines:
        x = over(found, e.name, "native")
        line += (f"{'-':>12}" if x is None else
                 f"{x:8.2f} {found[e.name]['spread'] * 100:2.0f}%")
    line += "  "
    for other, own in ratios(engines):
        x = over(found, other.name, own.name)
        line += f"{'-':>13}" if x is None else f"{x:12.2f}x"
    print(line, flush=True)


def means(found, engines, kernels):
    """{(above, below): geometric mean} over the kernels that both ran."""
    rows = [row for name, row in found.items()
            if kernels == "all" or
            name.startswith("simd_") == (kernels == "simd")]
    pairs = [(e.name, "native") for e in engines]
    pairs += [(o.name, e.name) for o, e in ratios(engines)]
    result = {}
    for above, below in pairs:
        values = [x for row in rows
                  if (x := over(row, above, below)) is not None]
        if values:
            result[above, below] = mean(values)
    return result


def show_means(words, got, engines):
    if not got:
        return
    print(f"{words:22}" + "".join(
        f"{got[e.name, 'native']:8.2f}    " if (e.name, "native") in got else
        f"{'-':>12}" for e in engines) + "  " + "".join(
        f"{got[o.name, e.name]:12.2f}x" if (o.name, e.name) in got else
        f"{'-':>13}" for o, e in ratios(engines)))


def bench_kernels(engines, as_json):
    names = sorted(f[:-5] for f in os.listdir(FILES)
                   if f.endswith(".wasm") and f != "probe.wasm")
    wanted = os.environ.get("KERNELS", "").split()
    for name in wanted:
        if name not in names:
            complain(f"there is no kernel {name}")
    names = [n for n in names if not wanted or n in wanted]
    found = {}
    if not as_json:
        show_head(engines)
    for name in names:
        row = bench_kernel(name, engines)
        if row:
            found[name] = row
            if not as_json:
                show_kernel(name, row, engines)
    got = {which: means(found, engines, which) for which in MEANS}
    if not as_json:
        print("geometric means")
        for which, words in MEANS.items():
            show_means(words, got[which], engines)
    return found, got


def goals(got, engines):
    """Of all kernels that both run: without SIMD where one has none."""
    found = []
    for own in engines:
        x = got["scalar"].get((own.name, "native"))
        if own.compiles and x is not None:
            found.append({"what": "compiled kernels' time over native's "
                          "(without SIMD)", "got": x, "goal": COMPILED,
                          "met": x <= COMPILED})
        elif own.ours:
            built_by = own.compiler()
            for other, goal in GOALS[built_by].items():
                x = got["all"].get((other, own.name))
                if x is not None:
                    found.append({"what": f"{other}'s time over {own.name}'s "
                                  f"({built_by})", "got": x, "goal": goal,
                                  "met": x >= goal})
    return found


def measure(commands):
    """{name: {median, 10 %, 90 % in us, most resident kB}}, interleaved."""
    if not commands:
        return {}
    start = time.monotonic()
    for argv in commands.values():
        Run(argv)
    once = time.monotonic() - start
    runs = max(3, min(STARTS, round(ROW_S / once)))
    path = os.path.join(HERE, "commands")
    with open(path, "w") as f:
        for name, argv in commands.items():
            f.write(name + "\t" + " ".join(argv) + "\n")
    out = subprocess.run([TIMER, "-n", str(runs), "-t", path], check=True,
                         stdout=subprocess.PIPE).stdout.decode()
    found = {}
    for line in out.splitlines():
        name, *figures = line.split("\t")
        found[name] = {"us": float(figures[0]), "us_low": float(figures[1]),
                       "us_high": float(figures[2]),
                       "peak_kb": int(figures[4])}
    return found


def start_file(name):
    return os.path.join(FILES, "start", name)


def start_row(words, what, engines, native=None):
    """Commands of those that can; native's answer is the right one."""
    commands, want = {}, None
    if native:
        commands["native"] = [native]
        want = Run([native]).out
    for engine in engines:
        if try_once(engine, words, want, what):
            commands[engine.name] = engine.run(words)
    return commands


def start_rows(engines):
    rows = {name: start_row([start_file(name + ".wasm")], name, engines,
                            start_file(name)) for name in ("hello", "large")}
    larger = shlex.split(os.environ.get("LARGER", ""))
    if larger:
        rows[os.path.basename(larger[0])] = start_row(larger, larger[0],
                                                      engines)
    return rows


def memory_rows(engines):
    sizes = {"1 MiB": 16, "64 MiB": 1024, "1 GiB": 16384,
             "4 GiB - 64 KiB": 65535}
    return {size: start_row([start_file(f"memory-{pages}.wasm")],
                            f"hello with {size}", engines,
                            start_file("hello"))
            for size, pages in sizes.items()}


def columns(found, engines):
    names = ["native", *(e.name for e in engines)]
    return [n for n in names if any(n in row for row in found.values())]


def show_times(title, found, engines):
    names = columns(found, engines)
    print(f"\n{title:22}" + "".join(f"{n:>22}" for n in names))
    for words, row in found.items():
        print(f"{words:22}" + "".join(
            f"{'-':>22}" if n not in row else
            f"{row[n]['us'] / 1000:9.2f} "
            f"({row[n]['us_low'] / 1000:.2f}-{row[n]['us_high'] / 1000:.2f})"
            .rjust(22) for n in names), flush=True)


def show_peaks(title, found, engines):
    names = columns(found, engines)
    print(f"\n{title:22}" + "".join(f"{n:>12}" for n in names))
    for words, row in found.items():
        print(f"{words:22}" + "".join(
            f"{'-':>12}" if n not in row else
            f"{row[n]['peak_kb'] / 1024:12.1f}" for n in names), flush=True)


def show_goals(found):
    if found:
        print("\ngoals, of all kernels that both run where nothing is said")
    for goal in found:
        print(f"  {'met   ' if goal['met'] else 'missed'} {goal['what']}: "
              f"{goal['got']:.2f}x, goal {goal['goal']:.2f}x")


def main():
    as_json = "--json" in sys.argv
    parts = [w for w in sys.argv[1:] if w != "--json"] or PARTS
    for part in parts:
        if part not in PARTS:
            say(f"parts are: {' '.join(PARTS)}")
            sys.exit(100)
    engines = ours() + others()
    result = {"goals": []}
    if "kernels" in parts:
        result["kernels"], got = bench_kernels(engines, as_json)
        result["means"] = {f"{above}/{below} {which}": x
                           for which, pairs in got.items()
                           for (above, below), x in pairs.items()}
        result["goals"] = goals(got, engines)
    if "start" in parts or "peak" in parts:
        found = {words: measure(row)
                 for words, row in start_rows(engines).items()}
        result["start"] = found
        if "start" in parts and not as_json:
            show_times("start to end, ms", found, engines)
        if "peak" in parts and not as_json:
            show_peaks("most resident, MiB", found, engines)
    if "memory" in parts:
        found = {words: measure(row)
                 for words, row in memory_rows(engines).items()}
        result["memory"] = found
        if not as_json:
            show_times("hello by memory, ms", found, engines)
    result["failures"] = complaints
    if as_json:
        print(json.dumps(result, indent=1))
    else:
        show_goals(result["goals"])
        for words in complaints:
            print(f"FAILED: {words}")
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
