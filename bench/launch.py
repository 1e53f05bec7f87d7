# SPDX-License-Identifier: Apache-2.0
"""The goals of warm starts: each program by plain exec, by clone on demand,
by clone from the pool and by hatch, interleaved; ratios of medians to plain
exec, 10 to 90 % of the runs as spread, the floor (an empty static program) beside
them.  Then private memory of a copy, and 200 compiles two at a time.

RUNS=60 sets the runs of each way; words name programs to measure alone."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time

import warm

RUNS = int(os.environ.get("RUNS", "60"))
HERE = os.environ["TMPDIR"]
TIMER = os.path.join(warm.BUILD, "bench/spawn_time")
STARTER = os.path.join(warm.BUILD, "brood-hatch")
GREETING = "#include <stdio.h>\nint main(void){puts(\"hi\");return 0;}\n"


def inputs():
    for name, text in (("hello.c", GREETING), ("pass.py", "pass\n")):
        with open(os.path.join(HERE, name), "w") as f:
            f.write(text)
    subprocess.run(["gcc", "-E", f"{HERE}/hello.c", "-o", f"{HERE}/hello.i"],
                   check=True)


def find_cc1():
    r = warm.run(["gcc", "-print-prog-name=cc1"])
    path = r.out.decode().strip()
    return path if os.path.isabs(path) else None


def rows():
    """(words, program, args, {way: goal})"""
    return [
        ("qemu --version", "qemu-system-x86_64", ["--version"],
         {"pool": 8.0, "hatch": 5.0}),
        ("clang --version", "clang-19", ["--version"], {"pool": 8.0}),
        ("clang -c hello.c", "clang-19",
         ["-c", f"{HERE}/hello.c", "-o", f"{HERE}/hello.o"], {"pool": 4.0}),
        ("node --version", "node", ["--version"], {"pool": 4.0}),
        ("ld --version", "ld", ["--version"], {"pool": 2.3}),
        ("cc1 hello.i", find_cc1(),
         ["-quiet", f"{HERE}/hello.i", "-o", f"{HERE}/hello.s"],
         {"pool": 1.3}),
        ("python3 -c pass", "/usr/bin/python3", ["-c", "pass"],
         {"pool": 1.3}),
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
    return [STARTER, "--entry", entry, "--via", via, "--", *words]


def bench_program(words, program, args, goals, met):
    path = program and os.path.realpath(shutil.which(program) or "")
    if not path or not os.path.exists(path):
        print(f"{words:18} skipped: {program or 'cc1'} is not here")
        return
    if warm.serve("--pool", "2", path).status != 0:
        print(f"{words:18} skipped: cannot be served")
        return
    demand = warm.serve("--pool", "0", "demand", "--", path)
    entry = entry_of(path)
    commands = {"plain": [path, *args],
                "pool": starter(entry, "clone", [path, *args]),
                "hatch": starter(entry, "hatch", [path, *args]),
                "floor": [os.path.join(warm.BUILD, "bench/nothing")]}
    if demand.status == 0:
        commands["demand"] = starter(entry_of("demand"), "clone", [
            path, *args])
    measure(commands, 8)  # learned pages, warm caches
    taken = [way for way in ("pool", "hatch") if not really(
        commands[way], "clone" if way == "pool" else way)]
    times = measure(commands)
    plain, low, high = times["plain"]
    line = f"{words:18} {plain:8.0f} ({low:.0f}-{high:.0f})"
    for way in ("demand", "pool", "hatch"):
        if way not in times:
            line += f" {'-':>22}"
            continue
        mid, low, high = times[way]
        mark = "" if way not in taken else "!"
        line += f"  {mid:6.0f} ({low:.0f}-{high:.0f}) {plain / mid:4.1f}x{mark}"
        if way in goals:
            met.append((words, way, plain / mid, goals[way]))
    print(line + f"  {times['floor'][0]:5.0f}", flush=True)
    warm.stop_all()


def really(command, via):
    """Was that way really taken?"""
    report = warm.new_report()
    warm.run(command, env=dict(os.environ, BROOD_REPORT=report))
    seen = warm.read_report(report)
    return seen and seen["way"] == via


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
    print(f"private memory at main, {words}: executed {own} kB, copy {copy} "
          f"kB, {copy / own:.2f}")
    met.append((f"private memory at main, {words}", "clone", own / copy,
                1 / goal))


def private_at_work(words, path, args):
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
    print(f"private memory at work, {words}: " + ", ".join(
        f"{via} {kb} kB" for via, kb in figures.items()))


def private_memory(words, program, args, goal, met):
    path = shutil.which(program)
    if not path:
        return
    path = os.path.realpath(path)
    private_at_main(words, path, goal, met)
    private_at_work(words, path, args)
    warm.stop_all()


def throughput(met):
    path = shutil.which("clang-19")
    if not path:
        return
    path = os.path.realpath(path)
    warm.serve("--pool", "4", path)
    entry = entry_of(path)
    args = [path, "-c", f"{HERE}/hello.c", "-o"]
    found = {}
    for round_ in range(3):
        for via in ("plain", "clone", "hatch"):
            head = [] if via == "plain" else [
                STARTER, "--entry", entry, "--via", via, "--"]
            start = time.monotonic()
            subprocess.run(["xargs", "-P2", "-I{}", *head, *args,
                            f"{HERE}/o{{}}.o"], check=True,
                           input="\n".join(map(str, range(200))).encode())
            found.setdefault(via, []).append(time.monotonic() - start)
    plain = statistics.median(found["plain"])
    for via in ("clone", "hatch"):
        mid = statistics.median(found[via])
        print(f"200 x clang -c, two at a time: plain {plain:.2f} s, {via} "
              f"{mid:.2f} s ({min(found[via]):.2f}-{max(found[via]):.2f}), "
              f"{plain / mid:.1f}x")
        met.append(("200 x clang -c", via, plain / mid, 2.5))
    warm.stop_all()


def main():
    inputs()
    met = []
    wanted = sys.argv[1:]
    print(f"{'us, median of ' + str(RUNS):18} {'plain exec':>17} "
          f"{'clone on demand':>22} {'clone from pool':>22} {'hatch':>22}  "
          "floor")
    for words, program, args, goals in rows():
        if not wanted or any(w in words for w in wanted):
            bench_program(words, program, args, goals, met)
    if not wanted or "memory" in wanted:
        private_memory("clang", "clang-19",
                       ["-x", "c", "-c", "-", "-o", "/dev/null"], 1 / 9, met)
        private_memory("qemu", "qemu-system-x86_64",
                       ["-machine", "none", "-S", "-display", "none",
                        "-monitor", "stdio"], 0.55, met)
    if not wanted or "throughput" in wanted:
        throughput(met)
    print("\ngoal")
    for words, way, got, goal in met:
        print(f"  {'met   ' if got >= goal else 'missed'} {words} by {way}: "
              f"{got:.2f}x, goal {goal:.2f}x")


if __name__ == "__main__":
    main()
