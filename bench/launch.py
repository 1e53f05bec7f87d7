# SPDX-License-Identifier: Apache-2.0
"""The goals of warm starts.  Each program starts in all ways, interleaved and
in another order each round: plain exec, the way that brood takes by itself
with default options, clone on demand, clone from a pool of two, hatch, and a
fork server as fuzzers have it (the peer: no identity, arguments, descriptors
or status signals are carried; "-": it hangs).  Told are ratios of plain
exec's median to each way's, with those of 90 and 10 % of the runs as spread.

limit: plain / (floor + main), what a start that costs nothing would show;
floor: an empty static program; main: the program's own work, from main on.
over: microseconds from the starter's first instruction to "it runs", by
itself.

Then private memory of a copy, and 200 compiles two at a time.

RUNS=40 sets the runs of each way; words name rows to measure alone; --json
prints all figures as one object."""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

import warm

RUNS = int(os.environ.get("RUNS", "40"))
HERE = os.environ["TMPDIR"]
BENCH = os.path.join(warm.BUILD, "bench")
TIMER = os.path.join(BENCH, "spawn_time")
STARTER = os.path.join(warm.BUILD, "brood-hatch")
READY = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                     "../examples/python")
GREETING = "#include <stdio.h>\nint main(void){puts(\"hi\");return 0;}\n"
DEEP = f"""import sys
sys.path.insert(0, {READY!r})
import argparse, json, re
import brood
brood.ready()
print(json.dumps({{"a": re.sub("b", "c", "abc")}}))
"""
WAYS = {"auto": "by itself", "demand": "clone on demand",
        "pool": "clone from pool", "hatch": "hatch", "peer": "fork server"}


def inputs():
    """The script has a folder of its own: python lists it, so that a file
    more in it would start the next one cold."""
    os.mkdir(os.path.join(HERE, "script"))
    for name, text in (("hello.c", GREETING), ("script/deep.py", DEEP)):
        with open(os.path.join(HERE, name), "w") as f:
            f.write(text)
    subprocess.run(["gcc", "-E", f"{HERE}/hello.c", "-o", f"{HERE}/hello.i"],
                   check=True)


def find_cc1():
    r = warm.run(["gcc", "-print-prog-name=cc1"])
    path = r.out.decode().strip()
    return path if os.path.isabs(path) else None


def rows():
    """(words, program, args, {way: goal}, stop)"""
    return [
        ("qemu --version", "qemu-system-x86_64", ["--version"],
         {"auto": 8.0, "hatch": 5.0}, "main"),
        ("clang --version", "clang-19", ["--version"], {"auto": 8.0}, "main"),
        ("clang -c hello.c", "clang-19",
         ["-c", f"{HERE}/hello.c", "-o", f"{HERE}/hello.o"], {"auto": 4.0},
         "main"),
        ("node --version", "node", ["--version"], {"auto": 4.0}, "main"),
        ("ld --version", "ld", ["--version"], {"auto": 2.3}, "main"),
        ("cc1 hello.i", find_cc1(),
         ["-quiet", f"{HERE}/hello.i", "-o", f"{HERE}/hello.s"],
         {"auto": 1.3}, "main"),
        ("python -c pass", "/usr/bin/python3", ["-c", "pass"],
         {"auto": 1.3}, "main"),
        ("python, deep stop", "/usr/bin/python3", [f"{HERE}/script/deep.py"],
         {"auto": 2.5}, "ready"),
    ]


def entry_of(program):
    """The entry file that starters read for this program."""
    base = os.path.join(os.environ["XDG_CACHE_HOME"], "brood/programs")
    entry = warm.template(program)
    return os.path.join(base, entry["key"], "entry")


def measure(commands, runs=RUNS):
    """{name: (median, 10 %, 90 %)} in us; all commands interleaved."""
    path = os.path.join(HERE, "commands")
    with open(path, "w") as f:
        for name, argv in commands.items():
            f.write(name + "\t" + " ".join(argv) + "\n")
    out = subprocess.run([TIMER, "-n", str(runs), "-t", path], check=True,
                         stdout=subprocess.PIPE).stdout.decode()
    found = {}
    for line in out.splitlines():
        name, *figures = line.split("\t")
        found[name] = tuple(float(x) for x in figures[:3])
    return found


def starter(entry, via, words):
    via = [] if via == "auto" else ["--via", via]
    return [STARTER, "--entry", entry, *via, "--", *words]


def warm_commands(path, args, stop):
    """{way: command} of those that can be taken; None: the row cannot."""
    if stop != "main":
        served = warm.serve("--until", stop, "deep", "--", path, *args)
        return None if served.status else {
            "auto": starter(entry_of("deep"), "auto", ["deep"])}
    if warm.serve(path).status != 0:
        return None
    entry, words = entry_of(path), [path, *args]
    commands = {"auto": starter(entry, "auto", words),
                "hatch": starter(entry, "hatch", words)}
    for name, pool in (("demand", "0"), ("pool", "2")):
        if warm.serve("--pool", pool, name, "--", path).status == 0:
            commands[name] = starter(entry_of(name), "clone", words)
    return commands


class Peer:
    """The fork server of peer_server.c, for one row."""

    def __init__(self, path, args):
        self.folder = os.path.join(HERE, "peer")
        os.makedirs(self.folder)
        for name in ("ask", "answer"):
            os.mkfifo(f"{self.folder}/{name}")
        self.process = subprocess.Popen(
            [path, *args], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=dict(os.environ, PEER=self.folder,
                     LD_PRELOAD=f"{BENCH}/peer_server"))
        self.command = [f"{BENCH}/peer_client", f"{self.folder}/ask",
                        f"{self.folder}/answer"]

    def works(self):
        """A forked child may miss threads and wait for them forever."""
        try:
            return subprocess.run(self.command, timeout=5).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def end(self):
        for pid in warm.processes():
            if warm.alive(pid) and warm.parent(pid) == self.process.pid:
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)


def main_us(path, args):
    """The program's own work, from main to its end."""
    times = os.path.join(HERE, "times")
    env = dict(os.environ, PEER_TIMES=times,
               LD_PRELOAD=f"{BENCH}/peer_server")
    for _ in range(max(RUNS // 2, 5)):
        warm.run([path, *args], env=env)
    try:
        with open(times) as f:
            found = [int(line) for line in f]
        os.unlink(times)
    except OSError:
        return None
    return statistics.median(found) if found else None


def over_us(command):
    """From the starter's first instruction to "it runs"."""
    found = []
    for _ in range(RUNS):
        seen = reported(command)
        if seen:
            found.append(seen["us"]["total"])
        time.sleep(0.03)
    return statistics.median(found) if found else None


def reported(command):
    report = warm.new_report()
    warm.run(command, env=dict(os.environ, BROOD_REPORT=report))
    return warm.read_report(report)


def bench_program(row, met):
    words, program, args, goals, stop = row
    path = program and os.path.realpath(shutil.which(program) or "")
    if not path or not os.path.exists(path):
        return {"skipped": f"{program or 'cc1'} is not here"}
    commands = warm_commands(path, args, stop)
    if commands is None:
        warm.stop_all()
        return {"skipped": "cannot be served"}
    peer = Peer(path, args)
    commands = {"plain": [path, *args], **commands,
                "floor": [f"{BENCH}/nothing"]}
    if peer.works():
        commands["peer"] = peer.command
    measure(commands, 8)  # learned pages, warm caches
    right = {"auto": ("clone", "hatch"), "hatch": ("hatch",)}
    wrong = [way for way in WAYS if way in commands and way != "peer" and
             (reported(commands[way]) or {}).get("way") not in
             right.get(way, ("clone",))]
    times = measure(commands)
    peer.end()
    plain = times["plain"][0]
    result = {"plain_us": plain, "floor_us": times["floor"][0],
              "main_us": main_us(path, args),
              "over_us": over_us(commands["auto"])}
    for way in WAYS:
        if way in times:
            mid, low, high = times[way]
            result[way] = {"us": mid, "x": plain / mid, "x_low": plain / high,
                           "x_high": plain / low}
            if way in wrong:
                result[way]["wrong"] = True
        if way in goals and way in times:
            met.append((words, way, plain / times[way][0], goals[way]))
    warm.stop_all()
    return result


def show_program(words, result):
    if "skipped" in result:
        print(f"{words:18} skipped: {result['skipped']}", flush=True)
        return
    line = f"{words:18} {result['plain_us'] / 1000:7.2f}"
    for way in WAYS:
        got = result.get(way)
        line += f" {'-':>17}" if not got else (
            f" {got['x']:5.2f}x{'!' if 'wrong' in got else ' '}"
            f"({got['x_low']:4.1f}-{got['x_high']:4.1f})")
    main = result["main_us"]
    limit = (f"{result['plain_us'] / (result['floor_us'] + main):5.1f}x"
             if main else f"{'-':>6}")
    print(f"{line} {limit} {result['over_us'] or 0:6.0f} "
          f"{result['floor_us']:6.0f}", flush=True)


def private_of(pid):
    """kB that only this process has."""
    m = warm.memory(pid)
    return m["Private_Dirty"] + m["Private_Clean"]


def private_at_main(words, path, goal, met):
    """Right before main: a program of its own, and a copy that waits."""
    warm.serve("--pool", "0", "--no-hold", "own", "--", path)
    warm.serve("--pool", "1", "--no-hold", "copy", "--", path)
    time.sleep(0.5)
    own = private_of(warm.template("own")["pid"])
    parent = warm.template("copy")["pid"]
    copies = [p for p in warm.processes() if p != parent and
              warm.alive(p) and warm.parent(p) == parent]
    copy = private_of(copies[0])
    met.append((f"private memory at main, {words}", "clone", own / copy,
                1 / goal))
    return f"at main: executed {own} kB, copy {copy} kB ({copy / own:.2f})"


def private_at_work(path, args):
    """Blocked in its first read: with what it has done since main."""
    warm.serve("--pool", "1", "--no-hold", path)
    figures = {}
    for via in ("exec", "clone", "hatch"):
        report = warm.new_report()
        p = subprocess.Popen(warm.launch_words(path, args, via, report),
                             stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        seen = warm.wait_until(lambda: warm.read_report(report), 20)
        time.sleep(0.5)
        figures[via] = private_of(seen["pid"])
        warm.end(p, 15)
    return "at work: " + ", ".join(
        f"{via} {kb} kB ({kb / figures['exec']:.2f})"
        for via, kb in figures.items())


def private_memory(words, program, args, goal, met):
    path = shutil.which(program)
    if not path:
        return f"private memory, {words}: skipped, {program} is not here"
    path = os.path.realpath(path)
    told = (private_at_main(words, path, goal, met),
            private_at_work(path, args))
    warm.stop_all()
    return f"private memory, {words}: " + "; ".join(told)


def throughput(met):
    """200 compiles, two at a time, three rounds of each way in turns."""
    path = shutil.which("clang-19")
    if not path:
        return ["200 x clang -c: skipped, clang-19 is not here"]
    path = os.path.realpath(path)
    warm.serve(path)
    entry = entry_of(path)
    args = [path, "-c", f"{HERE}/hello.c", "-o"]
    found = {}
    for via in ("plain", "auto", "clone", "hatch") * 3:
        words = args if via == "plain" else starter(entry, via, args)
        start = time.monotonic()
        subprocess.run(["xargs", "-P2", "-I{}", *words, f"{HERE}/o{{}}.o"],
                       input="\n".join(map(str, range(200))).encode(),
                       check=True, stderr=subprocess.DEVNULL)
        found.setdefault(via, []).append(time.monotonic() - start)
    warm.stop_all()
    plain = statistics.median(found.pop("plain"))
    lines = []
    for via, times in found.items():
        mid = statistics.median(times)
        lines.append(f"200 x clang -c, two at a time: plain {plain:.2f} s, "
                     f"{'by itself' if via == 'auto' else via} {mid:.2f} s "
                     f"({min(times):.2f}-{max(times):.2f}), "
                     f"{plain / mid:.1f}x")
        if via == "auto":
            met.append(("200 x clang -c", via, plain / mid, 2.5))
    return lines


def progress(words):
    if sys.stderr.isatty():
        print(f"\r\033[K{words}", end="", file=sys.stderr, flush=True)


def bench_programs(wanted, met, as_json):
    found = {}
    if not as_json:
        print(f"{'ratios to plain':18} {'plain ms':>7}" + "".join(
            f" {words:>17}" for words in WAYS.values()) +
            f" {'limit':>6} {'over':>6} {'floor':>6}")
    for row in rows():
        if wanted and not any(w in row[0] for w in wanted):
            continue
        progress(row[0])
        found[row[0]] = bench_program(row, met)
        progress("")
        if not as_json:
            show_program(row[0], found[row[0]])
    return found


def main():
    wanted = [w for w in sys.argv[1:] if w != "--json"]
    as_json = "--json" in sys.argv
    inputs()
    met = []
    found = {"programs": bench_programs(wanted, met, as_json)}
    if not wanted or "memory" in wanted:
        found["memory"] = [
            private_memory("clang", "clang-19",
                           ["-x", "c", "-c", "-", "-o", "/dev/null"], 1 / 9,
                           met),
            private_memory("qemu", "qemu-system-x86_64",
                           ["-machine", "none", "-S", "-display", "none",
                            "-monitor", "stdio"], 0.55, met)]
    if not wanted or "throughput" in wanted:
        found["throughput"] = throughput(met)
    found["goals"] = [{"what": words, "way": way, "got": got, "goal": goal,
                       "met": got >= goal} for words, way, got, goal in met]
    if as_json:
        print(json.dumps(found, indent=1))
        return
    for words in (found.get("memory") or []) + (found.get("throughput") or []):
        print(words)
    print("\ngoals")
    for goal in found["goals"]:
        print(f"  {'met   ' if goal['met'] else 'missed'} {goal['what']} by "
              f"{goal['way']}: {goal['got']:.2f}x, goal {goal['goal']:.2f}x")


if __name__ == "__main__":
    main()
