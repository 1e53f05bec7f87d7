# SPDX-License-Identifier: Apache-2.0
"""The goals of machines from layers.  The machine is the small one of "brood
machine image", booted once for each size; two pieces of work make D1 (34 MB
of files, and holes between them) and D2 (26 MB, into the holes first).  What
starts it is timed to the first answer on its serial line (machines.py); all
rows of a table take turns, in another order each round.  Told are medians,
and the least and the most as spread.

  start     at 256 MB, against the floor (QEMU executed with the same words,
            nothing put together, until it takes orders), a boot, -loadvm,
            -incoming and one full image
  sizes     from 128 MB to 4 GB
  depth     saved once to ten times, and what a piece costs to map
  many      1, 4 and 16 at once, and their memory
  capture   34 MiB that changed, at 256 MB and 4 GB; bytes of layers
  swap      a machine becomes another tip in place
  same      what is put together against what was captured, byte for byte
  cold      layers that are not in the page cache, without and with one of
            the working set

  RUNS=5            rounds of each table
  KERNEL=FILE       what is booted (the newest cloud kernel in /boot)
  words             parts alone
  --json            all figures as one object"""

import json
import os
import random
import statistics
import sys
import time

import machines
import warm
from machines import Failed, MB

RUNS = int(os.environ.get("RUNS", "5"))
PARTS = ("start", "sizes", "depth", "many", "capture", "cold", "swap", "same")
SIZES = {"128M": 128, "256M": 256, "1G": 1024, "4G": 4096}
SIZE = "256M"
DEPTHS = range(1, 11)
COUNTS = (1, 4, 16)
D1_FILES, D2_FILES, MORE_FILES = 500, 400, 12
FILL = "dd if=/dev/urandom of=/fill bs=64k count=512 2>/dev/null"
complaints, skipped, goals = [], [], []


def say(words):
    """Where it is not in the way of --json."""
    print(f"bench-layers: {words}", file=sys.stderr, flush=True)


def complain(words):
    complaints.append(words)
    say(words)


def skip(words):
    skipped.append(words)
    say(f"skipped: {words}")


def goal(what, got, most, form="{:.2f}x", more=""):
    goals.append({"what": what, "got": got, "goal": most, "met": got <= most,
                  "words": f"{form.format(got)}, goal at most "
                  f"{form.format(most)}{more}"})


def goal_least(what, got, least):
    goals.append({"what": what, "got": got, "goal": least,
                  "met": got >= least,
                  "words": f"{got:.1f}x, goal at least {least:.1f}x"})


# ---- what is measured -----------------------------------------------------

def work(name, number, files):
    """Files of 16 pages, each other one removed again: what comes later
    fills the holes."""
    machines.execute(name, f"""
mkdir /w{number}
awk 'BEGIN {{
    "head -c 47990 /dev/urandom | base64 -w 0" | getline text
    for (i = 0; i < {files}; i++) {{
        file = "/w{number}/" i
        print i text >file
        close(file)
    }}
}}'
rm /w{number}/*[02468]""")
    machines.settle(name)


class Made:
    """Tips of one size, made when they are first wanted: base, d1, d2."""

    def __init__(self, size):
        self.size, self.saved = size, {}
        self.tip = {n: f"{n}-{size}" for n in ("base", "d1", "d2", "whole",
                                               "working")}
        self.stem = os.path.join(machines.HERE, size)
        self.captured = self.stem + ".captured"
        self.boot()
        self.step("base", "d1", 1, D1_FILES)
        self.step("d1", "d2", 2, D2_FILES, last=True)

    def boot(self):
        name = machines.new_name("boot")
        machines.brood(
            "machine", "boot", name, "--kernel", os.environ["KERNEL"],
            "--initrd", first_image(), "--append",
            "quiet panic=-1 mitigations=off", "--memory", self.size)
        self.boot_words = machines.words_of(machines.listed(name)["pid"])
        machines.settle(name)
        self.save(name, "base")
        self.booted = name
        if self.size != SIZE:
            machines.brood("machine", "stop", name, "--now")

    def save(self, name, what):
        self.saved[what] = machines.told("machine", "save", name, "--as",
                                         self.tip[what])

    def step(self, parent, what, number, files, last=False):
        machine = machines.start(self.tip[parent])
        work(machine.name, number, files)
        if last:
            self.words = machines.words_of(machine.pid)
        if last and self.size == SIZE:
            self.capture(machine.name, what)
            what = "working"
        self.save(machine.name, what)
        if last:
            machines.save_for_peers(machine.name, self.stem)
        machine.stop()

    def capture(self, name, what):
        """Its memory as it is when it is saved, apart from Brood's layers."""
        machines.order(name, "stop")
        machines.copy_memory(name, self.captured)
        self.save(name, what)
        machines.order(name, "cont")

    def whole(self):
        """One image of everything.  Without a fold: who was booted becomes
        d2 in place, and a save of it is a base."""
        if "whole" in self.saved:
            return self.tip["whole"]
        if warm.brood("image", "fold", self.tip["d2"], self.tip["whole"],
                      "--all").status == 0:
            self.saved["whole"] = True
        else:
            machines.brood("machine", "swap", self.booted, self.tip["d2"],
                           "--paused")
            self.save(self.booted, "whole")
            machines.brood("machine", "stop", self.booted, "--now")
        return self.tip["whole"]


made_sizes = {}


def made(size):
    if size not in made_sizes:
        progress(f"making tips of {size}")
        made_sizes[size] = Made(size)
    return made_sizes[size]


def first_image():
    path = os.path.join(machines.HERE, "first.img")
    if not os.path.exists(path):
        machines.brood("machine", "image", "--as", path)
    return path


# ---- rows -----------------------------------------------------------------

def composed(tip, *words):
    machine = machines.start(tip, *words)
    machine.stop()
    return {"s": machine.answer_s, "ready": machine.ready_s,
            "way": machine.told["way"], "us": machine.told["us"],
            "layers": machine.told["layers"],
            "pieces": machine.told["pieces"]}


def parked(tip):
    machine = machines.start_parked(tip, machines.park(tip))
    machine.stop()
    return {"s": machine.answer_s, "ready": machine.ready_s}


def peer(made_peer):
    made_peer.stop()
    return {"s": made_peer.answer_s}


def incoming(made):
    return peer(machines.incoming_many(made.words, made.stem + ".incoming",
                                       1)[0])


def loadvm(made):
    return peer(machines.loadvm(made.words, made.stem + ".qcow2"))


def rounds(rows, runs=RUNS, title=""):
    """{row: [what each of its runs gave]}, all rows in turns; a row that
    fails is told and left out."""
    found = {name: [] for name in rows}
    for i in range(runs + 1):  # the first one warms
        for name in random.sample(list(found), len(found)):
            progress(f"{title} {i}/{runs} {name}")
            try:
                result = rows[name]()
            except Failed as why:
                complain(f"{name}: {why}")
                del found[name]
                continue
            if i:
                found[name].append(result)
    progress("")
    return found


def figure(values):
    return {"median": statistics.median(values), "least": min(values),
            "most": max(values)}


def figures(found, key="s", scale=1e3):
    return {name: figure([r[key] * scale for r in runs])
            for name, runs in found.items()}


def progress(words):
    if sys.stderr.isatty():
        print(f"\r\033[K{words}", end="", file=sys.stderr, flush=True)


def ms(found):
    return (f"{found['median']:9.1f} "
            f"({found['least']:.1f}-{found['most']:.1f})").ljust(28)


def over(found, above, below, key="median"):
    if above in found and below in found:
        return found[above][key] / found[below][key]
    return None


def goal_over(found, above, below, most):
    """The least of each are what a machine without other work shows."""
    x = over(found, above, below)
    if x is not None:
        goal(f"{above} over {below}", x, most, more="; the least of each "
             f"{over(found, above, below, 'least'):.2f}x")


# ---- start ----------------------------------------------------------------

def part_start(show):
    of = made(SIZE)
    d2 = of.tip["d2"]
    found = rounds({
        "floor": lambda: {"s": machines.orders_s(of.words)},
        "boot": lambda: peer(machines.boot(of.boot_words)),
        "-loadvm": lambda: loadvm(of),
        "-incoming": lambda: incoming(of),
        "one image": lambda: composed(of.whole()),
        "composed": lambda: composed(d2),
        "by exec": lambda: composed(d2, "--via", "exec"),
        "as it was": lambda: composed(d2, "--as-it-was"),
        "parked": lambda: parked(d2)}, title="start")
    times = figures(found)
    show(f"to the first answer at {SIZE}         ms                 "
         "over the floor")
    words = {"floor": "QEMU until it takes orders", "boot": "boot",
             "one image": "one full image", "composed": "base + D1 + D2",
             "by exec": "  with QEMU executed",
             "as it was": "  not made another machine",
             "parked": "  from a parked one"}
    for name, time_ms in times.items():
        x = over(times, name, "floor")
        show(f"  {words.get(name, name):28}{ms(time_ms)}"
             f"{f'{x:6.2f}x' if x else '':8}")
    steps = show_steps(found.get("composed"), show)
    for below, most in (("boot", 1 / 25), ("-loadvm", 0.65),
                        ("-incoming", 0.6), ("floor", 2.5),
                        ("one image", 1.1)):
        goal_over(times, "composed", below, most)
    goal_over(times, "parked", "floor", 1.3)
    return {"ms": times, "steps_us": steps}


def show_steps(runs, show):
    """Where the time of a composed start goes, by its own report."""
    if not runs:
        return None
    steps, last = {}, 0
    for name in ("open", "exec", "composed", "orders", "state", "run",
                 "ready"):
        at = statistics.median(r["us"][name] for r in runs)
        steps[name], last = at - last, at
    steps["end"] = statistics.median(r["ready"] for r in runs) * 1e6 - last
    show("  its steps, ms: " + ", ".join(
        f"{name} {us / 1e3:.1f}" for name, us in steps.items()) +
        f"; ways: {', '.join(sorted({r['way'] for r in runs}))}")
    return steps


# ---- sizes ----------------------------------------------------------------

def part_sizes(show):
    rows = {}
    for size in SIZES:
        of = made(size)
        rows[f"composed {size}"] = lambda of=of: composed(of.tip["d2"])
        rows[f"-incoming {size}"] = lambda of=of: incoming(of)
        rows[f"-loadvm {size}"] = lambda of=of: loadvm(of)
    times = figures(rounds(rows, title="sizes"))
    show("\nmemory      composed ms                 -incoming"
         "                   -loadvm")
    for size in SIZES:
        show(f"{size:8}" + "".join(
            ms(times[f"{way} {size}"]) if f"{way} {size}" in times else
            "-".center(28) for way in ("composed", "-incoming", "-loadvm")))
    goal_over(times, "composed 4G", "composed 128M", 1.15)
    goal_over(times, "composed 4G", "-incoming 4G", 0.3)
    goal_over(times, "composed 4G", "-loadvm 4G", 0.3)
    return {"ms": times}


# ---- depth ----------------------------------------------------------------

def chain():
    """Tips that were saved once, twice, ...: so many layers, as long as none
    is folded by itself."""
    of = made(SIZE)
    tips = [of.tip["base"], of.tip["d1"], of.tip["d2"]]
    while len(tips) < max(DEPTHS):
        number = len(tips)
        progress(f"making layer {number + 1}")
        machine = machines.start(tips[-1])
        work(machine.name, number, MORE_FILES)
        tips.append(f"d{number}-{SIZE}")
        machines.brood("machine", "save", machine.name, "--as", tips[-1])
        machine.stop()
    return tips


def part_depth(show):
    tips = chain()
    found = rounds({f"depth {n}": lambda n=n: composed(tips[n - 1])
                    for n in DEPTHS}, title="depth")
    times = figures(found)
    compose = {}
    show("\nsaves layers      ms                    pieces   mapped in ms   "
         "us a piece")
    for name, runs in found.items():
        layers, pieces = (runs[-1][key] for key in ("layers", "pieces"))
        us = statistics.median(r["us"]["compose"] for r in runs)
        compose[name] = {"layers": layers, "pieces": pieces, "us": us,
                         "us_a_piece": us / pieces}
        show(f"{name[6:]:>4}{layers:7}{ms(times[name])}{pieces:5}"
             f"{us / 1e3:15.2f}{us / pieces:13.2f}")
    goal_over(times, "depth 10", "depth 2", 1.15)
    if compose:
        most = max(compose.values(), key=lambda row: row["pieces"])
        goal(f"composing, each of {most['pieces']} pieces",
             most["us_a_piece"], 5, "{:.2f} us")
    return {"ms": times, "compose": compose}


# ---- many -----------------------------------------------------------------

def memory_of(pids):
    """MiB: (PSS, USS) of them together."""
    pss = uss = 0
    for pid in pids:
        m = warm.memory(pid)
        pss += m["Pss"]
        uss += m["Private_Dirty"] + m["Private_Clean"]
    return pss / 1024, uss / 1024


def at_once(started, shared=()):
    """shared: what all of them have to themselves, counted with them."""
    last = max(m.console.answered_at for m in started)
    first = min(m.started_at for m in started)
    time.sleep(0.5)
    pss, uss = memory_of([m.pid for m in started])
    template, _ = memory_of(shared)
    for machine in started:
        machine.stop()
    return {"s": last - first, "pss": pss + template, "uss": uss,
            "template": template}


def template_pids():
    return [t[key] for t in warm.templates() for key in ("pid", "keeper")
            if t.get(key) and warm.alive(t[key])]


def part_many(show):
    of = made(SIZE)
    rows = {}
    for count in COUNTS:
        rows[f"composed {count}"] = lambda n=count: at_once(
            machines.start_many(of.tip["d2"], n), template_pids())
        rows[f"-incoming {count}"] = lambda n=count: at_once(
            machines.incoming_many(of.words, of.stem + ".incoming", n))
    found = rounds(rows, min(RUNS, 3), "many")
    times = figures(found, scale=1)
    pss, uss = (figures(found, key, 1) for key in ("pss", "uss"))
    show(f"\nat once at {SIZE}    s to the last answer        "
         "MiB each: PSS    USS")
    for name in found:
        count = int(name.split()[1])
        show(f"  {name:16}" + f"{times[name]['median']:9.2f} "
             f"({times[name]['least']:.2f}-{times[name]['most']:.2f})"
             .ljust(28) + f"{pss[name]['median'] / count:12.1f}"
             f"{uss[name]['median'] / count:8.1f}")
    if found.get("composed 16"):
        template = statistics.median(r["template"]
                                     for r in found["composed 16"])
        show(f"  QEMU's template, in the PSS of composed: {template:.1f} MiB")
    if "composed 16" in pss and "-incoming 16" in pss:
        goal("PSS of each of 16 at once", pss["composed 16"]["median"] / 16,
             22, "{:.1f} MiB")
        goal_least("memory of 16 by -incoming over composed",
                   over(pss, "-incoming 16", "composed 16"), 7)
    return {"s": times, "pss_mib": pss, "uss_mib": uss}


# ---- capture --------------------------------------------------------------

def capture(of):
    machine = machines.start(of.tip["d2"])
    machines.execute(machine.name, FILL)
    begun = time.monotonic()
    saved = machines.told("machine", "save", machine.name, "--as", "filled")
    took = time.monotonic() - begun
    machine.stop()
    return {"s": took, "stopped": saved["stopped_us"] / 1e6,
            "scan": saved["scan_us"] / 1e6, "pages": saved["changed"],
            "ratio": saved["layer_bytes"] / machines.PAGE / saved["changed"]}


def part_capture(show):
    found = rounds({size: lambda of=made(size): capture(of)
                    for size in (SIZE, "4G")}, title="capture")
    result = {key: figures(found, key) for key in ("s", "stopped", "scan")}
    ratios = figures(found, "ratio", 1)
    show("\ncapture       ms                          stopped ms"
         "              scan ms   changed   bytes over changed")
    for size, runs in found.items():
        pages = statistics.median(r["pages"] for r in runs)
        show(f"  {size:6}{ms(result['s'][size])}{ms(result['stopped'][size])}"
             f"{result['scan'][size]['median']:5.1f}"
             f"{pages * machines.PAGE / MB:9.1f} MiB"
             f"{ratios[size]['median']:10.3f}")
        goal(f"capture of {pages * machines.PAGE / MB:.0f} MiB at {size}",
             result["s"][size]["median"], 120, "{:.0f} ms")
        goal(f"bytes of its layer over changed pages' at {size}",
             ratios[size]["median"], 1.06, "{:.3f}x")
    result["ratio"] = ratios
    return result


# ---- cold -----------------------------------------------------------------

def cold(tip):
    left = machines.drop_store()
    return {**composed(tip), "left": left}


def hot(tip):
    composed(tip)  # brings back what a cold one before it dropped
    return composed(tip)


def recorded(tip):
    """Has it got a layer of what it reads up to its first answer?"""
    if warm.brood("machine", "record", "--help").status != 0:
        skip("a layer of the working set: \"machine record\" is not there; "
             "goal: a cold start at most 1.10x a hot one")
        return False
    machine = machines.start(tip)
    machines.brood("machine", "record", machine.name)
    machine.stop()
    return True


def part_cold(show):
    of = made(SIZE)
    tip, working = of.tip["d2"], of.tip["working"]
    rows = {"hot": lambda: hot(tip), "cold": lambda: cold(tip)}
    if recorded(working):
        rows["hot, working set"] = lambda: hot(working)
        rows["cold, working set"] = lambda: cold(working)
    found = rounds(rows, title="cold")
    times = figures(found)
    show(f"\npage cache at {SIZE}      ms")
    for name, time_ms in times.items():
        show(f"  {name:20}{ms(time_ms)}")
    if found.get("cold"):
        left = max(r["left"] for r in found["cold"])
        show(f"  pages of the store that did not leave the cache: {left}; "
             f"cold over hot: {over(times, 'cold', 'hot'):.2f}x")
    goal_over(times, "cold, working set", "hot", 1.1)
    return {"ms": times}


# ---- swap -----------------------------------------------------------------

def swap(of):
    machine = machines.start(of.tip["d1"])
    begun = time.monotonic()
    swapped = machines.told("machine", "swap", machine.name, of.tip["d2"])
    took = time.monotonic() - begun
    machine.stop()
    return {"s": took, "stopped": swapped["stopped_us"] / 1e6,
            "written": swapped["written"]}


def part_swap(show):
    of = made(SIZE)
    found = rounds({"swap": lambda: swap(of)}, title="swap")
    if not found.get("swap"):
        return None
    result = {key: figures(found, key)["swap"] for key in ("s", "stopped")}
    pages = statistics.median(r["written"] for r in found["swap"])
    show(f"\nD1's machine becomes D2's in place: {ms(result['s']).strip()} "
         f"ms, stopped {ms(result['stopped']).strip()} ms, {pages:.0f} pages "
         "written")
    return {**result, "pages": pages}


# ---- same -----------------------------------------------------------------

def differing(tip, captured):
    name = machines.park(tip)
    try:
        return machines.differing_pages(name, captured)
    finally:
        machines.brood("machine", "stop", name, "--now")


def part_same(show):
    of = made(SIZE)
    found = {what: differing(tip, of.captured) for what, tip in
             (("base + D1 + D2", of.tip["d2"]), ("one image", of.whole()),
              ("base + D1", of.tip["d1"]))}
    show("\npages that differ from the capture of D2's machine: " +
         ", ".join(f"{what} {count}" for what, count in found.items()))
    for what in ("base + D1 + D2", "one image"):
        goal(f"pages of {what} that differ from the capture", found[what], 0,
             "{}")
        if found[what]:
            complain(f"WRONG: {found[what]} pages of {what} differ")
    if not found["base + D1"]:
        complain("WRONG: D2 changes nothing, so equality says nothing")
    return found


# ---- all ------------------------------------------------------------------

def main():
    as_json = "--json" in sys.argv
    parts = [w for w in sys.argv[1:] if w != "--json"] or PARTS
    for part in parts:
        if part not in PARTS:
            say(f"parts are: {' '.join(PARTS)}")
            sys.exit(100)

    def show(words):
        if not as_json:
            print(words, flush=True)

    found = {}
    for part in PARTS:
        if part not in parts:
            continue
        try:
            found[part] = globals()[f"part_{part}"](show)
        except Failed as why:
            complain(f"{part}: {why}")
    if as_json:
        print(json.dumps({**found, "goals": goals, "skipped": skipped,
                          "complaints": complaints}, indent=1))
    else:
        print("\ngoals")
        for entry in goals:
            print(f"  {'met   ' if entry['met'] else 'missed'} "
                  f"{entry['what']}: {entry['words']}")
        for words in skipped:
            print(f"  not there: {words}")
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
