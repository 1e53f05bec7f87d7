# SPDX-License-Identifier: Apache-2.0
"""The goals of domains: byte code in micro-VMs whose system is the engine.
What KVM itself takes (domain_floor: bare ioctls) is measured in the same run,
in another process that takes turns with ours, sample by sample; so do "brood
run" and "brood run --in domain", and other engines.  Told are medians with
(10 %-90 %); a ratio stands beside what it is made of.  Goals come last, and
those that were missed, or for which something is not here, are said to be so.

  start     a domain from the module's kept instance to its first result; its
            end; a call more; a used domain made fresh; a layer kept of it
  calls     what it takes to ask the host for something, and a page's first use
  stop      guests without an end: how late, idle and with a busy loop a core
  memory    200 idle domains in processes of 32; 50 that share a code object
            against 50 with copies of it
  many      lives a second, and 1,000 domains that all answer
  commands  whole programs: brood run --in domain, brood run, a static program
            of one system call
  compute   CPU time of the kernels (wasm.py) in a domain and in a process
  programs  CRuby and Python: booted, from the kept instance, from one that
            waits for its input, in a process, and by others from compiled code

  RUNS=5           rounds of compute and lives; SAMPLES=200 of what takes turns
  words            parts alone
  RUBY=FILE.wasm   takes -e CODE; PYTHON=FILE.wasm takes -c CODE
  WASMTIME NODE    the others, where they are not in PATH
  KERNELS="a b", BENCH_SCALE=100, --json   as in wasm.py"""

import os
import random
import statistics
import subprocess
import sys
import time

from common import (BUILD, FILES, HERE, RUNS, Engine, Run, complain, cpu_of,
                    figure, finish, goal, last_line, mean, measure, others,
                    say, show_table, try_once, words_told)

PARTS = ("start", "calls", "stop", "memory", "many", "commands", "compute",
         "programs")
BROOD = os.environ["BROOD"]
SAMPLES = int(os.environ.get("SAMPLES", "200"))
US = os.path.join(BUILD, "bench", "domain_us")
FLOOR = os.path.join(BUILD, "bench", "domain_floor")
NOTHING = os.path.join(BUILD, "bench", "nothing")
IN_PROCESS = 32
LIVES = 200
SETTLE_S = 1  # until the kernel has put away what was there before
STOPS = 100
goals = []


# ---- processes that take turns --------------------------------------------

class Taker:
    """A process of domain_us or domain_floor that makes a sample when it is
    told to."""

    def __init__(self, program, what, count):
        self.what = f"{os.path.basename(program)} {what}"
        self.process = subprocess.Popen(
            [program, what, str(count), "turns"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, bufsize=0)
        self.lines = os.fdopen(os.dup(self.process.stdout.fileno()))
        self.word = self.line()

    def line(self):
        got = self.lines.readline().strip()
        if not got:
            raise RuntimeError(f"{self.what} has ended")
        return got

    def go(self):
        self.process.stdin.write(b"x")

    def sample(self):
        self.go()
        return float(self.line())

    def pss(self):
        return pss(self.process.pid)

    def end(self):
        self.process.stdin.close()
        self.lines.close()
        self.process.stdout.close()
        if self.process.wait():
            complain(f"{self.what}: status {self.process.returncode}")


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(x.split()[1]) for x in f if x.startswith("Pss:"))


def left_kb():
    with open("/proc/meminfo") as f:
        return next(int(x.split()[1]) for x in f
                    if x.startswith("MemAvailable:"))


def tell(samples):
    ordered = sorted(samples)

    def at(part):
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
    return {"us": statistics.median(ordered), "us_low": at(0.1),
            "us_high": at(0.9), "us_99": at(0.99), "us_most": ordered[-1],
            "count": len(ordered)}


def turns(takers, samples=None):
    """{name: figure} of {name: (program, verb)}: all make their first sample,
    then all their second one, in another order each time."""
    samples = samples or SAMPLES
    running = {name: Taker(*words, samples + 1)
               for name, words in takers.items()}
    seen = {name: [] for name in takers}
    for _ in range(samples):
        for name in random.sample(list(running), len(running)):
            seen[name].append(running[name].sample())
    for taker in running.values():
        taker.end()
    return {name: tell(found) for name, found in seen.items()}


def numbers(program, what, count):
    out = subprocess.run([program, what, str(count)], check=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    return [float(word) for word in out.stdout.split()]


# ---- what is told ----------------------------------------------------------

def cell(got, digits=1):
    return got and (f"{got['us']:.{digits}f} ({got['us_low']:.{digits}f}-"
                    f"{got['us_high']:.{digits}f})")


def show_pairs(title, found, rows):
    """rows: (name, what it is, its floor)"""
    print(f"\n{title:44}{'ours: us':>24}{'bare: us':>24}{'':>8}")
    for name, what, below in rows:
        low = found.get(below)
        ratio = low and f"{found[name]['us'] / low['us']:.2f}x"
        print(f"{what:44}{cell(found[name]):>24}"
              f"{cell(low) if low else '-':>24}{ratio or '':>8}", flush=True)


def aim(what, got, limit, below=None, least=False, unit="x"):
    """Ours over what is below: bare figures are in the words."""
    if below is None:
        goals.append(goal(what, got["us"], limit, least, unit, got["us_low"],
                          got["us_high"]))
        return
    base = below["us"]
    goals.append(goal(f"{what}, {got['us']:.1f} over {base:.1f} us",
                      got["us"] / base, limit, least, "x",
                      got["us_low"] / base, got["us_high"] / base))


# ---- parts -----------------------------------------------------------------

def bench_start():
    found = turns({"create": (US, "create"), "bare create": (FLOOR, "create"),
                   "destroy": (US, "destroy"),
                   "bare destroy": (FLOOR, "destroy"),
                   "start": (US, "start")})
    found.update(turns({
        "call": (US, "call"), "bare call": (FLOOR, "call"),
        "reset": (US, "reset"), "bare reset": (FLOOR, "reset"),
        "renew": (US, "renew"),
        "bind": (US, "bind"), "bare bind": (FLOOR, "bind")}))
    found.update(turns({"snapshot": (US, "snapshot"),
                        "bare snapshot": (FLOOR, "snapshot")},
                       max(10, SAMPLES // 10)))
    own = numbers(US, "own", 1)
    show_pairs("start", found, (
        ("create", "kept instance -> _start's end", "bare create"),
        ("start", "  of that: until it could be called", None),
        ("destroy", "its end", "bare destroy"),
        ("call", "a call more", "bare call"),
        ("reset", "made fresh, called again", "bare reset"),
        ("renew", f"  made fresh ({own[2]:.0f} pages)", None),
        ("bind", "bound to a program, its end", "bare bind"),
        ("snapshot", "a layer of 16 pages, on disk", "bare snapshot")))
    print(f"pages of its own: {own[0]:.0f} after the start, {own[1]:.0f} "
          "after _start")
    aim("cold create -> result of a cached module", found["create"], 1.5,
        found["bare create"])
    aim("warm take: reset and call", found["reset"], 1.5, found["bare reset"])
    aim("warm take, of cold", found["reset"], 1 / 8, found["create"])
    aim("bind and first call", found["bind"], 1.6, found["bare bind"])
    aim(f"reset of {own[2]:.0f} pages", found["renew"], 10, unit=" us")
    return {**found, "own": own}


def bench_calls():
    found = turns({"bare exit": (FLOOR, "exit"), "exit": (US, "exit"),
                   "write": (US, "write"), "file": (US, "file"),
                   "clock": (US, "clock"), "random": (US, "random")})
    found.update(turns({"page": (US, "page"), "bare page": (FLOOR, "page")}))
    show_pairs("calls of the host", found, (
        ("exit", "that has nothing to do", "bare exit"),
        ("write", "fd_write to /dev/null", "bare exit"),
        ("file", "fd_write to a file", "bare exit"),
        ("clock", "clock_time_get", "bare exit"),
        ("random", "random_get", "bare exit"),
        ("page", "a page's first use", "bare page")))
    bare = found["bare exit"]
    aim("host call that has nothing to do", found["exit"], 1.15, bare)
    aim("host call, clock", found["clock"], 1.15, bare)
    aim("host call, fd_write", found["write"], 1.15, bare)
    aim("batched write", found["file"], 0.1, bare)
    return found


def bench_stop():
    found = {}
    for name, loops in (("idle", 0), ("loaded", os.cpu_count())):
        busy = [subprocess.Popen([sys.executable, "-c", "while 1: pass"])
                for _ in range(loops)]
        try:
            found[name] = tell(numbers(US, "kill", STOPS))
            found["bare " + name] = tell(numbers(FLOOR, "kill", STOPS))
        finally:
            for it in busy:
                it.kill()
                it.wait()
    print(f"\n{'stopped, later than its 5 ms: us':44}{'ours':>10}{'99 %':>10}"
          f"{'most':>10}{'bare':>10}{'99 %':>10}{'of':>8}")
    for name, what in (("idle", "idle"),
                       ("loaded", "a busy loop on each core")):
        ours, bare = found[name], found["bare " + name]
        print(f"{what:44}" + "".join(f"{x:10.0f}" for x in (
            ours["us"], ours["us_99"], ours["us_most"], bare["us"],
            bare["us_99"])) + f"{ours['count']:4}/{STOPS}", flush=True)
        goals.append(goal(f"runaway stopped, 99 %, {what}",
                          ours["us_99"] / 1000,
                          1 if name == "idle" else 10, unit=" ms"))
        goals.append(goal(f"runaways stopped of {STOPS}, {what}",
                          ours["count"], STOPS, True, ""))
    return found


def live(count):
    """(takers with so many domains, KB (PSS) and KB of the kernel's each)"""
    sizes = [min(IN_PROCESS, count - at) for at in range(0, count, IN_PROCESS)]
    takers = [Taker(US, "idle", n) for n in sizes]
    time.sleep(SETTLE_S)
    own, left = sum(t.pss() for t in takers), left_kb()
    for taker in takers:
        taker.go()
    for taker in takers:
        taker.line()
    own = sum(t.pss() for t in takers) - own
    left -= left_kb()
    return takers, sizes, own / count, (left - own) / count


def code_kb(what, count):
    """KB of the code that so many domains have, all alive."""
    takers = [Taker(US, what, min(IN_PROCESS, count - at))
              for at in range(0, count, IN_PROCESS)]
    for taker in takers:
        taker.go()
    bytes_of_code = float(takers[0].line())
    total = float(takers[0].line())
    for taker in takers[1:]:
        taker.line()
        total += float(taker.line())
    for taker in takers:
        taker.line()
        taker.go()
        taker.end()
    return bytes_of_code, total


def bench_memory():
    takers, _, own, kernel = live(200)
    for taker in takers:
        taker.end()
    time.sleep(SETTLE_S)
    bare = numbers(FLOOR, "idle", IN_PROCESS)
    code_kb("shared", 1)
    size, shared = code_kb("shared", 50)
    _, private = code_kb("private", 50)
    print(f"\n{'memory: KB':44}{'ours':>12}{'bare':>12}\n"
          f"{'an idle domain of 200, PSS':44}{own:12.1f}{bare[0]:12.1f}\n"
          f"{'  the kernel has for it':44}{kernel:12.1f}{bare[1]:12.1f}\n"
          f"code of {size / 2 ** 20:.1f} MiB in 50 domains: {shared:.0f} KB, "
          f"copies of it {private:.0f} KB", flush=True)
    goals.append(goal("an idle warm domain", own, 32, unit=" KB"))
    goals.append(goal("code that 50 domains share, of copies",
                      shared / private, 0.1))
    return {"own_kb": own, "kernel_kb": kernel, "bare": bare,
            "code_bytes": size, "shared_kb": shared, "private_kb": private}


def bench_many():
    rates = {"ours": [], "bare": []}
    for _ in range(RUNS):
        rates["bare"] += numbers(FLOOR, "lives", LIVES)
        rates["ours"] += numbers(US, "lives", LIVES)
    ours, bare = (figure(rates[k]) for k in ("ours", "bare"))
    takers, sizes, own, kernel = live(1000)
    one = Taker(US, "idle", 1)
    one.go()
    one.line()
    one.end()
    alone, all_times = [], []
    order = [t for t, n in zip(takers, sizes) for _ in range(n)]
    random.shuffle(order)
    for taker in order:
        all_times.append(taker.sample())
    for taker in takers:
        taker.end()
    for _ in range(50):
        one = Taker(US, "idle", 1)
        one.go()
        one.line()
        alone.append(one.sample())
        one.end()
    answered, single = tell(all_times), tell(alone)
    print(f"\nlives a second: {ours['s']:.0f} ({ours['low']:.0f}-"
          f"{ours['high']:.0f}), bare {bare['s']:.0f} ({bare['low']:.0f}-"
          f"{bare['high']:.0f})\n1,000 domains, {IN_PROCESS} in a process: "
          f"{answered['count']} answer, {cell(answered)} us, one alone "
          f"{cell(single)} us; {own:.1f} KB (PSS) and {kernel:.0f} KB of the "
          "kernel's each", flush=True)
    goals.append(goal(f"lives a second, {ours['s']:.0f} over {bare['s']:.0f}",
                      ours["s"] / bare["s"], 0.7, True, low=ours["low"] /
                      bare["s"], high=ours["high"] / bare["s"]))
    goals.append(goal("domains of 1,000 that answer", answered["count"], 1000,
                      True, ""))
    aim("one of 1,000 answers, 50 %", answered, 1.5, single)
    return {"ours": ours, "bare": bare, "answered": answered, "one": single,
            "own_kb": own, "kernel_kb": kernel}


HELLO = os.path.join(FILES, "start", "hello.wasm")
OURS = Engine("brood run", [BROOD, "run"], True)
DOMAIN = Engine("--in domain", [BROOD, "run", "--in", "domain"], True)


def bench_commands():
    wanted = Run([os.path.splitext(HELLO)[0]]).out
    for engine in (OURS, DOMAIN):
        try_once(engine, [HELLO], wanted, "hello")
    found = measure({"a static program": [NOTHING],
                     "brood run": OURS.run([HELLO]),
                     "brood run --in domain": DOMAIN.run([HELLO])})
    print(f"\n{'commands: hello':44}{'us':>24}{'CPU us':>12}")
    for name, got in found.items():
        print(f"{name:44}{cell(got, 0):>24}{got['cpu_us']:12.0f}", flush=True)
    return found


def bench_compute():
    """What a start and an end take of the CPU is told for hello, and is not
    counted to the kernels."""
    names = sorted(f[:-5] for f in os.listdir(FILES)
                   if f.endswith(".wasm") and f != "probe.wasm")
    wanted = os.environ.get("KERNELS", "").split()
    rows = [HELLO] + [os.path.join(FILES, name + ".wasm") for name in names
                      if not wanted or name in wanted]
    found, ratios, none = {}, {}, None
    print(f"\n{'CPU time of kernels: s':28}{'domain':>24}{'process':>24}")
    for path in rows:
        name = os.path.splitext(os.path.basename(path))[0]
        first = Run(OURS.run([path]))
        if not try_once(DOMAIN, [path], first.out, name):
            continue
        row = cpu_of({e.name: e.run([path]) for e in (DOMAIN, OURS)},
                     first.out, name)
        ours, there = row[DOMAIN.name], row[OURS.name]
        found[name] = row
        print(f"{name:28}" + "".join(
            f"{x['s']:10.3f} ({x['low']:.3f}-{x['high']:.3f})"
            for x in (ours, there)), end="")
        if none:
            ratios[name] = ((ours["low"] - none[0]) /
                            (there["low"] - none[1]))
            print(f"{ratios[name]:7.3f}x", flush=True)
        else:
            none = ours["low"], there["low"]
            print(flush=True)
    if ratios:
        worst = max(ratios, key=ratios.get)
        print(f"least over least, without hello's: mean "
              f"{mean(ratios.values()):.3f}x, most {ratios[worst]:.3f}x "
              f"({worst})")
        goals.append(goal("compute, of the same in a process",
                          mean(ratios.values()), 1.03))
    return found


# ---- programs --------------------------------------------------------------

def program_engines(path):
    """Those that run it; code is compiled before."""
    found = [OURS, DOMAIN]
    for peer in others():
        if peer.name == "wasmtime":
            made = os.path.join(HERE, os.path.basename(path) + ".cwasm")
            run = Run([peer.command[0], "compile", "-o", made, path])
            if run.status:
                say(f"wasmtime cannot compile {path}: {run.why}")
                continue
            peer = Engine("wasmtime, .cwasm",
                          [peer.command[0], "run", "--allow-precompiled"],
                          files={path: made})
        elif peer.name != "node":
            continue
        found.append(peer)
    return found


def warm_command(path, words):
    """Kept when it has come to read its input; the command that goes on."""
    name = "warm-" + os.path.splitext(os.path.basename(path))[0]
    run = Run([BROOD, "run", "--in", "domain", "--until", "stdin", "--save",
               name, path, *words])
    command = [BROOD, "run", "--from", name]
    if run.status == 0 and last_line(Run(command).out) == "1":
        return command
    say(f"no warm tip of {path}: {run.why}")
    return None


def bench_program(path, words, waiting):
    """Code is in the cache; a cold domain finds no kept instance."""
    Run([BROOD, "compile", "--quiet", path])
    kept = os.path.join(os.environ["XDG_CACHE_HOME"], "brood", "code",
                        "domains")
    commands, want = {}, None
    for engine in program_engines(path):
        run = try_once(engine, [path, *words], None, os.path.basename(path))
        if run and last_line(run.out) != "1":
            complain(f"WRONG: {engine.name} on {path}: {run.last_line()}")
        elif run and run.wall < 10:
            commands[engine.name] = engine.run([path, *words])
    warm = warm_command(path, waiting)
    if warm:
        commands["--from, warm"] = warm
    found = measure(commands, least=5)
    if os.path.isdir(kept):
        found["--in domain, booted"] = measure(
            {"x": DOMAIN.run([path, *words])}, kept, 5)["x"]
    elif "--in domain" in found:
        complain(f"nothing is kept in {kept}")
    return found


def bench_programs():
    found = {}
    for name, flag, code, waits in (
            ("ruby", "-e", "puts(1)", "$stdin.read;puts(1)"),
            ("python", "-c", "print(1)",
             "import sys;sys.stdin.read();print(1)")):
        path = os.environ.get(name.upper())
        if not path or not os.path.exists(path):
            say(f"{name} is left out: {name.upper()}=FILE.wasm names it")
            continue
        found[name] = bench_program(os.path.abspath(path), [flag, code],
                                    [flag, waits])
    if found:
        rows = {row: 1 for it in found.values() for row in it}
        show_table("answers: ms", rows, found, lambda row, name:
                   cell({k: v / 1000 for k, v in found[name][row].items()})
                   if row in found[name] else None, (28, 24))
    return found


def main():
    parts, as_json = words_told(PARTS)
    started = time.monotonic()
    result = {}
    if as_json:
        keep = os.dup(1)
        os.dup2(2, 1)
    for part in parts:
        try:
            result[part] = globals()["bench_" + part]()
        except (RuntimeError, subprocess.CalledProcessError) as e:
            complain(f"{part}: {e}")
    sys.stdout.flush()
    if as_json:
        os.dup2(keep, 1)
    result["goals"] = goals
    result["seconds"] = time.monotonic() - started
    say(f"{result['seconds']:.0f} s")
    finish(result, as_json, "goals")


main()
