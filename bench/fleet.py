# SPDX-License-Identifier: Apache-2.0
"""The goals of modules in containers: brood-oci beside runc, in turns, alone
and under the engines that are here, each with its own folders, on a node where "brood
node --listen" runs, as packaging/ has it.

  alone     "brood run" of an empty module in a process and in a domain,
            without any container
  runtime   "run" of a bundle, from the command's begin to its end: runc with
            an empty static program; brood-oci with the same, with an empty
            module in a process and in a domain; both with a program that
            prints a line; CRuby where RUBY= names one, beside ruby in PATH:
            with its script among the words, and with that on its input, where
            ours goes on from a warm tip that waits for it
  engines   "podman run --rm" and "ctr run --rm" with the same: what a
            container costs there whatever is in it, and what ours adds
  many      COUNT containers at once of one module that waits for input: how
            many copies of its code there are, and what each one more takes,
            beside as many of a native program
  cycles    CYCLES lives - create, start, kill, delete - in which a command is
            killed at any time, and delete --force: what is left of processes,
            mounts, cgroups and files; and for runc itself, a quarter as many
  slurm     an array of TASKS jobs on a cluster of two nodes, ROUNDS times in
            turns: "srun" of an empty program, of "brood run" with an empty
            module, and of containers of both; until the last has ended

  STARTS=20 COUNT=200 CYCLES=1000 TASKS=200 ROUNDS=3
  RUBY=FILE.wasm    CRuby as a command that takes -e CODE
  words: parts alone; --json: all figures as one object"""

import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import time

from common import (BUILD, FILES, HERE, STARTS, complain, finish, goal, measure,
                    memory, say, show_table, span, time_cell, unknown,
                    words_told)
from fleet_engines import DOMAIN, OCI, engines, run
from fleet_slurm import cluster

PARTS = ("alone", "runtime", "engines", "many", "cycles", "slurm")
BROOD = os.environ["BROOD"]
COUNT = int(os.environ.get("COUNT", "200"))
CYCLES = int(os.environ.get("CYCLES", "1000"))
TASKS = int(os.environ.get("TASKS", "200"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
RUNC = shutil.which("runc")
HOST_FOLDERS = ("/usr", "/lib", "/lib64", "/bin")
CGROUPS = "/sys/fs/cgroup"
STATE = os.environ["STATE"]
EMPTY = '(module (func (export "_start")))'
has_kvm = os.access("/dev/kvm", os.R_OK | os.W_OK)
goals, result = [], {}


def place(name):
    return os.path.join(HERE, name)


# ---- bundles ---------------------------------------------------------------

def bundle(name, files, words, domain=False, host=False, cgroups=None,
           tip=None):
    """Its folder; host: the machine's own programs are in it, read-only."""
    folder = place(name)
    os.makedirs(folder + "/rootfs")
    for file in files:
        shutil.copy(file, folder + "/rootfs/")
    run(RUNC, "spec", cwd=folder)
    with open(folder + "/config.json") as f:
        config = json.load(f)
    config["process"].update(terminal=False, args=words)
    config["process"].pop("rlimits", None)
    if domain:
        config["annotations"] = dict([DOMAIN.split("=")])
    if tip:
        config["annotations"] = {"brood.tip": tip}
    if cgroups:
        config["linux"]["cgroupsPath"] = cgroups
    for path in HOST_FOLDERS if host else ():
        config["mounts"].append({"destination": path, "source": path, "type":
                                 "bind", "options": ["rbind", "ro"]})
    with open(folder + "/config.json", "w") as f:
        json.dump(config, f)
    return folder


def runs(runtime, folder):
    return [runtime, "--root", os.path.join(STATE, os.path.basename(runtime)),
            "run", "--bundle", folder, "bench"]


def compare(title, commands, goals_of):
    """A table over the first one, and goals: {(above, below): (words, limit)}"""
    got = measure(commands, least=STARTS)
    first = got[next(iter(commands))]["us"]
    show_table(title, list(got), ["ms", "over the first"],
               lambda row, column: time_cell(got[row]) if column == "ms" else
               f"{got[row]['us'] / first:.2f}x", (34, 24))
    result[title] = got
    for (above, below), (words, limit) in goals_of.items():
        if above in got and below in got:
            goals.append(goal(words, got[above]["us"] / got[below]["us"],
                              limit))
    return got


def domain_goal(where, got):
    if "module, domain" not in got:
        goals.append(unknown(f"{where}: a domain over a process", "no KVM"))
        return
    more = (got["module, domain"]["us"] - got["module"]["us"]) / 1000
    goals.append(goal(f"{where}: a domain over a process", more, 1.0,
                      unit=" ms"))


# ---- no container ------------------------------------------------------------

def tell_alone():
    words = [BROOD, "run", place("empty.wasm")]
    commands = {"module": words}
    if has_kvm:
        commands["module, domain"] = [BROOD, "run", "--in", "domain",
                                      place("empty.wasm")]
    domain_goal("no container", compare("brood run", commands, {}))


# ---- the runtime alone -------------------------------------------------------

def ruby_commands():
    ruby, native = os.environ.get("RUBY"), shutil.which("ruby")
    if not ruby or not native:
        say("CRuby is left out: RUBY= names no module" if not ruby else
            "CRuby is left out: ruby is not here")
        goals.append(unknown("CRuby in a container over native ruby in one",
                             "RUBY= and ruby are not both here"))
        return {}
    words = ["-e", "puts 1"]
    name = "/" + os.path.basename(ruby)
    commands = {
        "runc, native ruby": runs(RUNC, bundle(
            "ruby-native", [], [native, "--disable=gems", *words], host=True)),
        "ruby": runs(OCI, bundle("ruby", [ruby], [name, *words])),
    }
    if has_kvm:
        commands["ruby, domain"] = runs(OCI, bundle(
            "ruby-domain", [ruby], [name, *words], domain=True))
    return commands


def with_input(name, command, text):
    """The same by a shell, with this on its standard input."""
    with open(place(name + ".in"), "w") as f:
        f.write(text)
    with open(place(name + ".sh"), "w") as f:
        f.write(f"exec env BROOD_IMAGES={place('images')} "
                f"{' '.join(command)} <{place(name + '.in')}\n")
    return ["/bin/sh", place(name + ".sh")]


def tip_commands():
    """Both are told their script by their input."""
    ruby, native = os.environ["RUBY"], shutil.which("ruby")
    words = ["-e", "eval(STDIN.read)"]
    if not has_kvm:
        goals.append(unknown("CRuby from a tip over native ruby", "no KVM"))
        return {}
    run(BROOD, "run", "--in", "domain", "--until", "stdin", "--save", "ruby",
        ruby, *words, env=dict(os.environ, BROOD_IMAGES=place("images")))
    return {
        "runc, native ruby": with_input("ruby-eval", runs(RUNC, bundle(
            "ruby-eval", [], [native, "--disable=gems", *words], host=True)),
            "puts 1"),
        "ruby, tip": with_input("ruby-tip", runs(OCI, bundle(
            "ruby-tip", [], ["ruby"], tip="ruby")), "puts 1"),
    }


def tell_ruby():
    commands = ruby_commands()
    if not commands:
        return
    compare("runtime: CRuby", commands, {
        ("ruby", "runc, native ruby"):
            ("runtime: CRuby over native ruby by runc", 1.0)})
    commands = tip_commands()
    for name, command in commands.items():
        said = run(*command)
        if not said.endswith("1\n"):
            complain(f"{name}: {said[-200:]}")
    if commands:
        compare("runtime: CRuby, script on its input", commands, {
            ("ruby, tip", "runc, native ruby"):
                ("runtime: CRuby from a tip over native ruby by runc", 1.0)})


def tell_runtime():
    empty, hello = place("empty.wasm"), FILES + "/start/hello.wasm"
    native = os.path.join(BUILD, "bench/nothing")
    commands = {
        "runc, native": runs(RUNC, bundle("r-native", [native], ["/nothing"])),
        "handed to runc, native": runs(OCI, place("r-native")),
        "module": runs(OCI, bundle("r-module", [empty], ["/empty.wasm"])),
    }
    if has_kvm:
        commands["module, domain"] = runs(OCI, bundle(
            "r-domain", [empty], ["/empty.wasm"], domain=True))
    commands["runc, native hello"] = runs(RUNC, bundle(
        "r-hello", [FILES + "/start/hello"], ["/hello"]))
    commands["hello"] = runs(OCI, bundle("r-hello-module", [hello],
                                         ["/hello.wasm"]))
    got = compare("runtime: run", commands, {
        ("module", "runc, native"):
            ("runtime: an empty module over runc's empty program", 1.15)})
    domain_goal("runtime", got)
    tell_ruby()


# ---- under engines -----------------------------------------------------------

def tell_engine(name, engine):
    commands = {"runc, native": engine.command("runc", "native"),
                "handed to runc, native": engine.command("brood", "native"),
                "module": engine.command("brood", "module")}
    if has_kvm:
        commands["module, domain"] = engine.command("brood", "module", True)
    got = compare(f"{name}: run --rm", commands, {
        ("module", "runc, native"):
            (f"{name}: an empty module over runc's empty program", 1.15)})
    domain_goal(name, got)


def tell_engines():
    found = engines(place("engines"))
    try:
        for name, engine in found:
            tell_engine(name, engine)
    finally:
        for _, engine in found:
            engine.end()


# ---- many --------------------------------------------------------------------

def wait_until(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


def code_of(pid):
    """(file, what is resident, private and dirty, PSS) of mapped code, kB."""
    found, file, counts = {}, None, False
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            words = line.split()
            if words[0][-1] != ":":
                counts = words[-1].endswith("/.brood/code")
                file = (words[3], words[4]) if counts else file
            elif counts and words[-1] == "kB":
                found[words[0]] = found.get(words[0], 0) + int(words[1])
    return (file, found.get("Rss:", 0), found.get("Private_Dirty:", 0),
            found.get("Pss:", 0))


class Many:
    """Containers of one bundle that wait for their input's end."""

    def __init__(self, runtime, folder, count):
        self.root = place(os.path.basename(runtime) + ".many")
        self.runtime, self.folder, self.pids = runtime, folder, []
        self.ids = [f"m{i}" for i in range(count)]
        self.input, self.open = os.pipe()
        self.said = place(f"{os.path.basename(runtime)}.{count}.said")

    def words(self, *words):
        return [self.runtime, "--root", self.root, *words]

    def begin(self):
        with open(self.said, "a") as out:
            self.create(out)

    def create(self, out):
        for one in self.ids:
            file = place("pid")
            subprocess.run(self.words("create", "--bundle", self.folder,
                                      "--pid-file", file, one), check=True,
                           stdin=self.input, stdout=out)
            run(*self.words("start", one))
            with open(file) as f:
                self.pids.append(int(f.read()))

    def waits(self):
        """All have said their line, behind which they wait."""
        def lines():
            with open(self.said) as f:
                return f.read().count("\n")
        return wait_until(lambda: lines() == len(self.ids))

    def end(self):
        os.close(self.open)
        os.close(self.input)
        for one in self.ids:
            subprocess.run(self.words("delete", "--force", one),
                           stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)


def tell_many_of(name, runtime, folder, has_code):
    found = {}
    for count in (1, COUNT):
        many = Many(runtime, folder, count)
        try:
            many.begin()
            if not many.waits():
                complain(f"{name}: not all of {count} wait for input")
            found[count] = {
                "pss": sum(memory(p)["Pss"] for p in many.pids),
                "code": [code_of(p) for p in many.pids] if has_code else []}
        finally:
            many.end()
    code = found[COUNT]["code"]
    return {"one": found[1]["pss"], "each": found[COUNT]["pss"] / COUNT,
            "more": (found[COUNT]["pss"] - found[1]["pss"]) / (COUNT - 1),
            "copies": len({c[0] for c in code}),
            "mapped by": sum(c[0] is not None for c in code),
            "dirty": sum(c[2] for c in code),
            "code, all": sum(c[3] for c in code)}


def tell_many():
    waits = FILES + "/start/waits"
    kinds = {"runc, native": (RUNC, bundle("w-native", [waits], ["/waits"])),
             "module": (OCI, bundle("w-module", [waits + ".wasm"],
                                    ["/waits.wasm"]))}
    got = {name: tell_many_of(name, *kind, name == "module")
           for name, kind in kinds.items()}
    show_table(f"many: {COUNT} at once, kB of PSS", list(got),
               ["of one alone", "each of all", "one more"],
               lambda row, column: "%.0f" % got[row][
                   {"of one alone": "one", "each of all": "each",
                    "one more": "more"}[column]], (34, 16))
    result["many"] = got
    ours = got["module"]
    if ours["mapped by"] != COUNT:
        complain(f"many: {ours['mapped by']} of {COUNT} have mapped the code")
    goals.append(goal(f"{COUNT} containers of a module: copies of its code",
                      ours["copies"], 1, unit=""))
    goals.append(goal(f"{COUNT} containers of a module: private dirty memory "
                      "of the code", ours["dirty"], 0, unit=" kB"))


# ---- killed ------------------------------------------------------------------

class Lives:
    """Of one runtime: each with a kill at some time in one of its steps."""

    def __init__(self, runtime, folder, cgroups):
        self.root = place(os.path.basename(runtime) + ".lives")
        self.runtime, self.folder, self.cgroups = runtime, folder, cgroups
        self.killed = 0

    def words(self, *words):
        return [self.runtime, "--root", self.root, *words]

    def step(self, words, kill_at):
        """kill_at: seconds, or None."""
        one = subprocess.Popen(self.words(*words), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        try:
            one.wait(timeout=60 if kill_at is None else kill_at)
        except subprocess.TimeoutExpired:
            one.send_signal(signal.SIGKILL)
            one.wait()
            self.killed += 1

    def live(self, number):
        one = f"l{number}"
        steps = [["create", "--bundle", self.folder, one], ["start", one],
                 ["kill", one, "KILL"], ["delete", one]]
        hit = random.randrange(len(steps))
        for at, words in enumerate(steps):
            self.step(words, random.uniform(0, 0.06) if at == hit else None)
        self.step(["delete", "--force", one], None)

    def processes(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read()
                with open(f"/proc/{pid}/cgroup") as f:
                    groups = f.read()
            except OSError:
                continue
            if self.root.encode() in words or self.cgroups in groups:
                found.append(int(pid))
        return found

    def groups(self):
        return [os.path.join(at, name)
                for at, names, _ in os.walk(CGROUPS) for name in names
                if self.cgroups in os.path.join(at, name) and
                self.cgroups.strip("/") != name]

    def left(self):
        wait_until(lambda: not self.processes(), 5)
        files = [name for root in (self.root, self.root + ".brood")
                 if os.path.isdir(root) for name in os.listdir(root)
                 if name != ".lock"]
        with open("/proc/self/mounts") as f:
            mounts = [line for line in f if self.folder in line or
                      self.root in line]
        return {"processes": len(self.processes()), "mounts": len(mounts),
                "cgroups": len(self.groups()), "files": len(files)}

    def clean(self):
        """And the folder that all of them were in."""
        own = [os.path.join(at, self.cgroups.strip("/"))
               for at, names, _ in os.walk(CGROUPS)
               if self.cgroups.strip("/") in names]
        for path in sorted(self.groups() + own, reverse=True):
            try:
                os.rmdir(path)
            except OSError:
                pass


def tell_lives(name, runtime, files, words, count):
    cgroups = f"/brood-bench-{os.getpid()}-{name}"
    folder = bundle("l-" + name, files, words, cgroups=cgroups)
    lives = Lives(runtime, folder, cgroups)
    for number in range(count):
        # Each its own, so that what stays of one is not taken by the next.
        with open(folder + "/config.json") as f:
            config = json.load(f)
        config["linux"]["cgroupsPath"] = f"{cgroups}/l{number}"
        with open(folder + "/config.json", "w") as f:
            json.dump(config, f)
        lives.live(number)
    left = lives.left()
    lives.clean()
    return {"lives": count, "killed": lives.killed, **left}


def tell_cycles():
    kinds = {"ours": (OCI, [FILES + "/start/waits.wasm"], ["/waits.wasm"],
                      CYCLES),
             "runc": (RUNC, [FILES + "/start/waits"], ["/waits"],
                      max(1, CYCLES // 4))}
    got = {name: tell_lives(name, *kind) for name, kind in kinds.items()}
    show_table("cycles: left behind", list(got), list(got["ours"]),
               lambda row, column: str(got[row][column]), (34, 12))
    result["cycles"] = got
    for what in ("processes", "mounts", "files"):
        goals.append(goal(f"{CYCLES} lives, {got['ours']['killed']} of them "
                          f"killed: {what} left", got["ours"][what], 0,
                          unit=""))
    share = got["runc"]["cgroups"] / got["runc"]["lives"] * CYCLES
    goals.append(goal(f"the same: empty cgroups left (runc's own: "
                      f"{share:.0f})", got["ours"]["cgroups"], 0, unit=""))


# ---- Slurm -------------------------------------------------------------------

def slurm_rows(one):
    """{name: the words of a task}"""
    native = os.path.join(BUILD, "bench/nothing")
    module = place("empty.wasm")
    bundles = {"handed to runc, native": bundle("s-native", [native],
                                                ["/none"]),
               "module": bundle("s-module", [module], ["/none"])}
    if has_kvm:
        bundles["module, domain"] = bundle("s-domain", [module], ["/none"],
                                           domain=True)
    rows = {"srun, native": one.srun(native),
            "srun, brood run": one.srun(BROOD, "run", module)}
    for name, folder in bundles.items():
        file = "/nothing" if "native" in name else "/empty.wasm"
        rows["container, " + name] = one.srun(f"--container={folder}", file)
    return rows


def tell_slurm_of(one):
    rows = slurm_rows(one)
    for words in rows.values():
        one.array(4, words)
    taken = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, words in rows.items():
            taken[name].append(one.array(TASKS, words))
    got = {name: {"us_low": min(all) * 1e6, "us_high": max(all) * 1e6,
                  "us": statistics.median(all) * 1e6}
           for name, all in taken.items()}
    first = taken["srun, native"]
    ratios = {name: sorted(a / b for a, b in zip(all, first))
              for name, all in taken.items()}
    show_table(f"Slurm: an array of {TASKS}, two nodes", list(got),
               ["ms", "over the first"],
               lambda row, column: time_cell(got[row]) if column == "ms" else
               span(ratios[row][0], statistics.median(ratios[row]),
                    ratios[row][-1]), (34, 30))
    result["slurm"] = got
    for name, words in (("srun, brood run", "a module by brood run"),
                        ("container, module", "a module in a container")):
        goals.append(goal(f"Slurm: {words} over srun of an empty program",
                          statistics.median(ratios[name]), 1.2,
                          low=ratios[name][0], high=ratios[name][-1]))


def tell_slurm():
    one = cluster()
    if not one:
        goals.append(unknown("an array of Slurm's", "Slurm is not here"))
        return
    try:
        tell_slurm_of(one)
    finally:
        one.end()


# ---- all ---------------------------------------------------------------------

@contextlib.contextmanager
def node():
    path = place("node.sock")
    one = subprocess.Popen([BROOD, "node", "--listen", "unix:" + path],
                           stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.exists(path))
        yield
    finally:
        one.terminate()
        one.wait()


def main():
    parts, as_json = words_told(PARTS)
    os.mkdir(place("engines"))
    with open(place("empty.wat"), "w") as f:
        f.write(EMPTY)
    run(BROOD, "wasm", "from-text", place("empty.wat"), "-o",
        place("empty.wasm"))
    with node():
        for part in parts:
            globals()["tell_" + part]()
    result["goals"] = goals
    finish(result, as_json, "goals")


if __name__ == "__main__":
    main()
