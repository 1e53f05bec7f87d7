# SPDX-License-Identifier: Apache-2.0
"""The goals of applications that are installed as context only.  What they
are measured against runs in the same run, in turns with ours: a plain copy of
the same files, a mount of them as squashfs and as EROFS, tar, cp.  A share
lies on the same file system as the copies.  Told are medians with
(10 %-90 %), or (least-most) where there are few; a ratio stands beside what it
is made of.

  pack      twice the same bytes?  against tar and mkfs.erofs
  install   what is on a host then, and what a later host's install takes,
            against a full install: cp -a and tar x of the same files
  start     a start path against the plain copy, from both kinds of lock
  steps     what a start takes where, and how many system calls
  many      200 at once
  memory    pages of files of 20 instances that have read the library
  lock      taken and released, with nobody else at it
  machines  memory of 4 machines that have read a payload

  STARTS=200 RUNS=7 COPIES=20 AT_ONCE=200
  PYTHON=FILE CLANG=FILE   what is packed (python3, clang-19 in /usr/bin)
  KERNEL=FILE              of the machines (the newest cloud kernel in /boot)
  words                    parts alone
  --json                   all figures as one object"""

import contextlib
import ctypes
import hashlib
import json
import mmap
import os
import random
import re
import shutil
import subprocess
import sys
import time

from common import (BUILD, FILES, HERE, STARTS, Run, complain, figure, finish,
                    goal, measure, say, span, time_cell, unknown, words_told)

PARTS = ("pack", "install", "start", "steps", "many", "memory", "lock",
         "machines")
BROOD = os.environ["BROOD"]
RUNS = int(os.environ.get("RUNS", "7"))
COPIES = int(os.environ.get("COPIES", "20"))
AT_ONCE = int(os.environ.get("AT_ONCE", "200"))
BENCH = os.path.join(BUILD, "bench")
KINDS = ("lease", "ofd")
MB = 1 << 20
# Without what installs of Debian have apart, and nobody starts.
LEFT_OUT = ("test", "config-*", "idlelib", "__pycache__/test*")
READER = """
import os, sys
for folder, _, names in os.walk(os.path.dirname(os.__file__)):
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with open(path, "rb") as f:
                while f.read(1 << 20):
                    pass
print("read", flush=True)
sys.stdin.read()
"""
goals = []


def place(name):
    return os.path.join(HERE, name)


def run(*words, **more):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE,
                          **more).stdout.decode()


def brood(*words, apps=None):
    """What it tells with --json."""
    env = {**os.environ, **({"BROOD_APPS": apps} if apps else {})}
    return json.loads(run(BROOD, "app", *words, "--json", env=env))


def turns(commands, rounds, after=lambda name: None):
    """{name: figure} of seconds: all once, all again, in another order."""
    times = {name: [] for name in commands}
    for number in range(-1, rounds):
        for name in random.sample(list(commands), len(commands)):
            done = Run(commands[name])
            if done.status:
                raise RuntimeError(f"{name}: {done.why}")
            after(name)
            if number >= 0:
                times[name].append(done.wall)
    return {name: figure(t) for name, t in times.items()}


def ms(got, digits=1):
    return span(got["low"] * 1e3, got["s"] * 1e3, got["high"] * 1e3, digits)


def script(name, text):
    path = place(name)
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + text + "\n")
    os.chmod(path, 0o755)
    return path


def mounted(below):
    with open("/proc/self/mounts") as f:
        found = [line.split()[1] for line in f]
    return [path for path in found if path.startswith(below + "/")]


def unmount(below):
    for path in reversed(mounted(below)):
        run("umount", path)


# ---- applications ----------------------------------------------------------

class App:
    """Packed, and (when first wanted) a plain copy of what it has."""

    def __init__(self, name, program, words, *arguments):
        self.name, self.words = name, list(arguments)
        self.image = place(name + ".erofs")
        self.packed = brood("pack", program, "--as", self.image, "--name",
                            name, *words)
        self.entry = self.packed["entries"][0]
        self.apps, self.root, self.told = {}, {}, {}
        self.trees = {}

    def tree(self):
        if "copy" not in self.trees:
            at = place(self.name + ".tree")
            mount = place(self.name + ".image")
            os.mkdir(mount)
            run("mount", "-t", "erofs", "-o", "ro", self.image, mount)
            run("cp", "-a", mount, at)
            shutil.rmtree(os.path.join(at, ".brood"))
            self.trees = {"copy": at, "EROFS mount": mount}
        return self.trees["copy"]

    def squashed(self):
        at, image = place(self.name + ".squash"), place(self.name + ".sqfs")
        if not shutil.which("mksquashfs") or "squashfs mount" in self.trees:
            return
        os.mkdir(at)
        run("mksquashfs", self.tree(), image, "-quiet", "-no-progress",
            "-processors", "2")
        run("mount", "-t", "squashfs", "-o", "ro,loop", image, at)
        self.trees["squashfs mount"] = at

    def install(self, kind, host=None):
        """The start path, of a host that has but this share."""
        host = host or kind
        key = kind if host == kind else host
        self.apps[key] = place("apps-" + host)
        self.told[key] = brood(
            "install", self.image, "--share", share(kind), "--bin",
            place("bin-" + host), apps=self.apps[key])
        if self.told[key]["notes"]:
            complain(f"{self.name}: {self.told[key]['notes'].strip()}")
        return os.path.join(place("bin-" + host), self.entry)

    def start(self, kind):
        if kind not in self.apps:
            self.install(kind)
        return [os.path.join(place("bin-" + kind), self.entry), *self.words]

    def record(self, key):
        """{path: ..., libraries: ...} of the entry."""
        if key not in self.apps:
            self.install("lease")
        text = open(os.path.join(self.apps["lease"], self.name,
                                 "record")).read()
        found = re.search(rf"^{key} (.*)$", text, re.M)
        return found and found[1]

    def plain(self, way):
        """The program itself, from one of the trees."""
        self.tree()
        root = self.trees[way]
        libraries = self.record("libraries")
        found = [] if way == "copy" or not libraries else [
            "LD_LIBRARY_PATH=" + ":".join(os.path.join(root, part)
                                          for part in libraries.split(":"))]
        return [*found, os.path.join(root, self.record("path")), *self.words]


def share(kind):
    """Made before any install: OFD locks want a proof there, and on this
    host's own disk none is needed."""
    path = place("share-" + kind)
    if not os.path.exists(os.path.join(path, "brood.json")):
        subprocess.run([os.path.join(os.environ["BUILD"],
                                     "tests/programs/lock_worker"),
                        path, "bench", "0", f"make={kind},10000", "quiet"],
                       check=True, stdout=subprocess.DEVNULL)
    return path


made = {}


def hello(linked):
    name = "hello-" + linked
    if name not in made:
        made[name] = App(name, os.path.join(FILES, name), [])
    return made[name]


def python():
    """None where it is not here."""
    if "python" in made:
        return made["python"]
    path = os.path.realpath(os.environ.get("PYTHON", "/usr/bin/python3"))
    name = os.path.basename(path)
    library = os.path.join(os.path.dirname(os.path.dirname(path)), "lib", name)
    made["python"] = None
    if not os.path.isdir(library):
        say(f"python is left out: no {library} (PYTHON= names another one)")
        return None
    own = place(name)
    shutil.copytree(library, own, symlinks=True,
                    ignore=shutil.ignore_patterns(*LEFT_OUT))
    made["python"] = App("python", path, [
        "--with", f"{own}={library[1:]}"], "-c", "pass")
    return made["python"]


def clang():
    if "clang" in made:
        return made["clang"]
    path = shutil.which(os.environ.get("CLANG", "clang-19"))
    made["clang"] = None
    if not path:
        say("clang is left out: it is not here (CLANG= names one)")
        return None
    found = os.path.join(os.path.dirname(os.path.dirname(
        os.path.realpath(path))), "lib", "clang")
    made["clang"] = App("clang", path, [
        "--with", found] if os.path.isdir(found) else [], "--version")
    return made["clang"]


def all_apps():
    return [app for app in (hello("static"), hello("dynamic"), python(),
                            clang()) if app]


# ---- pack ------------------------------------------------------------------

def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def pack_words(app, out):
    return ["app", "pack", app.tree(), "--as", out, "--name", app.name,
            "--entry", f"{app.entry}={app.record('path')}"]


def pack_peers(app):
    tree, out = app.tree(), place("out")
    found = {
        "brood app pack": [BROOD, *pack_words(app, out)],
        "tar": [script("tar", f"tar cf {out} -C {tree} .")],
        "tar, synced": [script("tar-sync", f"tar cf {out} -C {tree} . && "
                               f"sync {out}")]}
    if shutil.which("mkfs.erofs"):
        found["mkfs.erofs"] = [script(
            "erofs", f"mkfs.erofs --quiet -T0 --all-root "
            f"-U 00000000-0000-0000-0000-000000000001 -Enoinline_data {out} "
            f"{tree} 2>&1")]
    return found


def bench_pack():
    found = {}
    for app in all_apps():
        again = place("again.erofs")
        run(BROOD, *pack_words(app, again))
        first = digest(again)
        run(BROOD, *pack_words(app, again))
        same = digest(again) == first
        os.unlink(again)
        times = turns(pack_peers(app), RUNS if app.packed["bytes"] < 200 * MB
                      else 3, lambda name: os.unlink(place("out")))
        found[app.name] = {"same": same, "bytes": app.packed["bytes"],
                           "times": times}
        goals.append(goal(f"{app.name} packed twice: the same bytes (1: yes)",
                          int(same), 1, True, ""))
        ours = times["brood app pack"]
        print(f"\npack {app.name}: {app.packed['bytes'] / MB:.1f} MiB, "
              f"{app.packed['files']} files: ms")
        for name, got in times.items():
            print(f"  {name:24}{ms(got):>28}"
                  f"{ours['s'] / got['s']:8.2f}x ours of it", flush=True)
    return found


# ---- install ---------------------------------------------------------------

def sizes(folder):
    """(bytes, bytes on disk) of a folder's files, links and folders."""
    length = blocks = 0
    for at, folders, names in os.walk(folder):
        for name in folders + names:
            st = os.lstat(os.path.join(at, name))
            length += 0 if name in folders and not os.path.islink(
                os.path.join(at, name)) else st.st_size
            blocks += st.st_blocks * 512
    return length, blocks


def later_hosts(app, rounds):
    """[what an install has told], each on a host that had nothing."""
    app.install("lease")
    told = []
    for number in range(rounds):
        host = f"later-{number}"
        started = time.monotonic()
        app.install("lease", host)
        told.append({**app.told[host]["us"],
                     "all": (time.monotonic() - started) * 1e6})
        unmount(place("apps-" + host))
    return told


def full_installs(app, rounds):
    tar = place("full.tar")
    run("tar", "cf", tar, "-C", app.tree(), ".")
    at = place("full")
    found = turns({
        "cp -a": [script("cp", f"cp -a {app.tree()} {at}")],
        "cp -a, synced": [script("cp-sync", f"cp -a {app.tree()} {at} && "
                                 f"sync -f {at}")],
        "tar x": [script("untar", f"mkdir {at} && tar xf {tar} -C {at}")],
    }, rounds, lambda name: shutil.rmtree(at))
    os.unlink(tar)
    return found


def show_install(app, told, full):
    parts = {part: figure([t[part] / 1e6 for t in told]) for part in told[0]}
    own = figure([(t["context"] + t["paths"]) / 1e6 for t in told])
    names = {"check": "the appliance is read and hashed",
             "publish": "the share is asked (it has it)",
             "context": "the context is written, synced",
             "paths": "start paths lead to it",
             "load": "loaded once: hashed, mounted",
             "all": "all of it, as a command"}
    print(f"\ninstall {app.name}, a later host: ms")
    for part, words in names.items():
        print(f"  {words:38}{ms(parts[part], 2):>28}")
    print(f"  {'the host of its own (context, paths)':38}{ms(own, 2):>28}")
    for name, got in full.items():
        print(f"  {'full: ' + name:38}{ms(got, 2):>28}"
              f"{got['s'] / own['s']:9.1f}x our host's part, "
              f"{got['s'] / parts['all']['s']:.2f}x all of ours", flush=True)
    goals.append(goal(f"{app.name}: a later host's own part", own["s"] * 1e3,
                      10, unit=" ms", low=own["low"] * 1e3,
                      high=own["high"] * 1e3))
    return {"parts": parts, "own": own, "full": full}


def show_bytes(app):
    context = os.path.join(app.apps["lease"], app.name)
    length, blocks = sizes(context)
    start = app.told["lease"]["start_bytes"]
    whole, whole_blocks = sizes(app.tree())
    ratio = whole / length
    print(f"  on the host: context {length} bytes ({blocks} on disk), startup "
          f"binary {start} once for all;\n  full {whole} bytes "
          f"({whole_blocks} on disk): {ratio:.0f}x, on disk "
          f"{whole_blocks / blocks:.0f}x, with the startup binary "
          f"{whole / (length + start):.0f}x", flush=True)
    goals.append(goal(f"{app.name}: context", length, 8192, unit=" bytes"))
    if app.name in ("python", "clang"):
        goals.append(goal(f"{app.name}: full install, of the context", ratio,
                          9000, True))
    return {"context": length, "context_on_disk": blocks, "start": start,
            "full": whole, "full_on_disk": whole_blocks}


def bench_install():
    found = {}
    for app in all_apps():
        large = app.packed["bytes"] > 200 * MB
        found[app.name] = show_install(
            app, later_hosts(app, RUNS),
            full_installs(app, 1 if large else min(RUNS, 3)))
        found[app.name]["bytes"] = show_bytes(app)
    return found


# ---- start -----------------------------------------------------------------

def start_commands(app):
    app.squashed()
    found = {way: app.plain(way) for way in app.trees}
    found["a program in front"] = [os.path.join(BENCH, "then"),
                                   *app.plain("copy")]
    for kind in KINDS:
        found[kind] = app.start(kind)
    return found


def check_output(commands):
    wanted = Run(commands["copy"])
    for name, command in commands.items():
        got = Run(command)
        if got.status or got.out.splitlines()[:2] != wanted.out.splitlines()[
                :2]:
            complain(f"WRONG: {name}: {got.why}")


def start_goals(app, found):
    direct = found["copy"]
    for kind in KINDS:
        ours = found[kind]
        more = [(ours[k] - direct[k]) / 1e3 for k in ("us", "us_low",
                                                      "us_high")]
        if app.name.startswith("hello"):
            goals.append(goal(f"{app.name}, {kind}: start path less direct",
                              more[0], 0.7, unit=" ms", low=min(more[1:]),
                              high=max(more[1:])))
        elif app.name == "python":
            goals.append(goal(
                f"{app.name}, {kind}: start path of direct",
                ours["us"] / direct["us"], 1.12))


def bench_start():
    found = {}
    for app in all_apps():
        commands = start_commands(app)
        check_output(commands)
        found[app.name] = got = measure(commands, least=15)
        print(f"\nstart of {app.name} {' '.join(app.words)}: ms"
              f"{'of direct':>46}{'less direct':>14}")
        for name, row in got.items():
            print(f"  {name:24}{time_cell(row):>28}"
                  f"{row['us'] / got['copy']['us']:9.2f}x"
                  f"{(row['us'] - got['copy']['us']) / 1e3:11.2f} ms",
                  flush=True)
        start_goals(app, got)
    return found


# ---- steps -----------------------------------------------------------------

def reported(app, kind, rounds):
    """[{step: us}] of so many starts."""
    path = place("report")
    found = []
    for _ in range(rounds):
        Run([f"BROOD_REPORT={path}", *app.start(kind)])
    with open(path) as f:
        for line in f:
            told = json.loads(line)
            if told["way"] != "shared":
                complain(f"{app.name}, {kind}: not shared: {told['reason']}")
                continue
            steps = told["load"]["us"]
            found.append({**steps, "main": told["us"]})
    os.unlink(path)
    return found


def calls(app, kind):
    """System calls before the application is executed, but for its own."""
    if not shutil.which("strace"):
        say("system calls are not counted: strace is not here")
        return None
    path = place("trace")
    Run([shutil.which("strace"), "-f", "-o", path, *app.start(kind)])
    count, execs = 0, 0
    with open(path) as f:
        for line in f:
            words = line.split(maxsplit=1)[1]
            execs += words.startswith("execve(")
            if execs == 2:
                break
            count += words[0].isalpha() and "resumed" not in words[:40]
    return count


def bench_steps():
    found = {}
    names = {"main": "main to the application's exec",
             "load": "  in the helper: all",
             "lock": "    share opened, lock taken",
             "place": "    version, payload found and its stamp",
             "check": "    the program looked at"}
    app = hello("dynamic")
    for kind in KINDS:
        told = reported(app, kind, STARTS)
        found[kind] = {step: figure([t[step] for t in told])
                       for step in names if step in told[0]}
        found[kind]["calls"] = calls(app, kind)
    print(f"\n{'steps of a start: us (median, least)':44}" +
          "".join(f"{kind:>20}" for kind in KINDS))
    for step, words in names.items():
        print(f"{words:44}" + "".join(
            f"{found[k][step]['s']:10.0f} ({found[k][step]['low']:.0f})"
            .rjust(20) for k in KINDS))
    print(f"{'system calls before the exec':44}" + "".join(
        f"{found[k]['calls'] or '?':>20}" for k in KINDS), flush=True)
    return found


# ---- many ------------------------------------------------------------------

def bench_many():
    app = hello("static")
    commands = {"direct": app.plain("copy"),
                **{kind: app.start(kind) for kind in KINDS}}
    times = {name: [] for name in commands}
    for number in range(-1, 2 * RUNS):
        for name in random.sample(list(commands), len(commands)):
            us = float(run(os.path.join(BENCH, "spawn_many"), str(AT_ONCE),
                           *commands[name]))
            if number >= 0:
                times[name].append(us / 1e6)
    found = {name: figure(t) for name, t in times.items()}
    print(f"\n{AT_ONCE} at once, from the first spawn to the last end: ms")
    for name, got in found.items():
        ratio = got["s"] / found["direct"]["s"]
        print(f"  {name:24}{ms(got):>28}{ratio:9.2f}x direct", flush=True)
        if name != "direct":
            goals.append(goal(f"{AT_ONCE} at once, {name}, of direct", ratio,
                              3))
    return found


# ---- memory ----------------------------------------------------------------

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p


def resident(path):
    """Pages of a file that are in memory, as bytes."""
    size = os.path.getsize(path)
    if not size:
        return 0
    with open(path, "rb") as f:
        at = LIBC.mmap(None, ctypes.c_size_t(size), mmap.PROT_READ,
                       mmap.MAP_SHARED, f.fileno(), ctypes.c_long(0))
    seen = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
    LIBC.mincore(ctypes.c_void_p(at), ctypes.c_size_t(size), seen)
    LIBC.munmap(ctypes.c_void_p(at), ctypes.c_size_t(size))
    return sum(page & 1 for page in bytes(seen)) * mmap.PAGESIZE


def files_in(folder):
    if os.path.isfile(folder):
        yield folder
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path


def resident_in(folders):
    return sum(resident(path) for folder in folders
               for path in files_in(folder))


def drop(folders):
    for folder in folders:
        for path in files_in(folder):
            with open(path, "rb") as f:
                with contextlib.suppress(OSError):
                    os.fsync(f.fileno())  # not of what is read only
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def instances(commands, folders):
    """Bytes of those folders' files that are in memory when all instances
    have read their library and live."""
    drop(folders)
    left = resident_in(folders)
    if left > MB:
        say(f"{left / MB:.1f} MiB stayed in memory")
    live = [subprocess.Popen(
        ["/usr/bin/env", *command], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE) for command in commands]
    try:
        for process in live:
            if process.stdout.readline() != b"read\n":
                raise RuntimeError("an instance has not read its library")
        return resident_in(folders)
    finally:
        for process in live:
            process.stdin.close()
            process.stdout.close()
            process.wait()


def reads(command):
    return [*command[:-2], "-B", "-c", READER]


def memory_ours(app, count):
    """The mount is made anew: nothing of it is in memory."""
    words = reads(app.start("lease"))
    mounts = os.path.join(app.apps["lease"], ".mounts")
    half = app.packed["digest"][:32]
    unmount(mounts)
    drop([os.path.join(share("lease"), "payloads")])
    Run(app.start("lease"))  # mounted, by who starts first
    return instances([words] * count, [
        os.path.join(mounts, half + "-share"),
        os.path.join(share("lease"), "payloads")])


def memory_mounts(app, count):
    at = [place(f"mount-{i}") for i in range(count)]
    for path in at:
        os.makedirs(path, exist_ok=True)
        run("mount", "-t", "erofs", "-o", "ro,directio", app.image, path)
    program = app.record("path")
    try:
        return instances([reads([os.path.join(path, program), "-c", ""])
                          for path in at], at + [app.image])
    finally:
        for path in at:
            run("umount", path)


def memory_copies(app, count):
    at = [place(f"copy-{i}") for i in range(count)]
    for path in at:
        run("cp", "-a", app.tree(), path)
    os.sync()
    program = app.record("path")
    try:
        return instances([reads([os.path.join(path, program), "-c", ""])
                          for path in at], at)
    finally:
        for path in at:
            shutil.rmtree(path)


def bench_memory():
    app = python()
    if not app:
        goals.append(unknown("file memory of instances", "no python"))
        return {}
    found = {
        "ours": (memory_ours(app, 1), memory_ours(app, COPIES)),
        "a mount each": (memory_mounts(app, 1), memory_mounts(app, COPIES)),
        "a copy each": (memory_copies(app, 1), memory_copies(app, COPIES))}
    print(f"\n{'file memory, library read: MiB':34}{'one':>10}"
          f"{COPIES:>10}{'ratio':>10}")
    for name, (one, many) in found.items():
        print(f"{name:34}{one / MB:10.1f}{many / MB:10.1f}"
              f"{many / one:9.2f}x", flush=True)
    one, many = found["ours"]
    goals.append(goal(f"file memory of {COPIES} pythons, of one", many / one,
                      1.1))
    return found


# ---- lock ------------------------------------------------------------------

def bench_lock():
    for kind in KINDS:
        hello("static").start(kind)
    rows = run(os.path.join(BENCH, "lock_us"), "1000", HERE,
               *map(share, KINDS))
    words = {"file": "an OFD lock of a file, opened for it",
             "link": "a file made, linked, both removed"}
    found = {}
    for line in rows.splitlines():
        name, *figures = line.split("\t")
        found[name] = dict(zip(("us", "us_low", "us_high"),
                               map(float, figures)))
    print("\nlock taken and released: us")
    for name, row in found.items():
        floor = found["link" if name == "lease" else "file"]["us"]
        print(f"  {words.get(name, name):38}" +
              span(row["us_low"], row["us"], row["us_high"]).rjust(28) +
              (f"{row['us'] / floor:9.2f}x its floor" if name in KINDS
               else ""), flush=True)
    return found


# ---- machines --------------------------------------------------------------

WAYS = {"pmem, DAX": ("--pmem", "pmem0"),
        "virtio-blk": ("--device", "device0")}
GUESTS = 4
GUEST_MB = 32
GUEST_READS = """
exec 3>&1
cat /mnt/{}/*/large | wc -c
grep -E "^(Cached|Buffers):" /proc/meminfo"""


def kernel_of_machines():
    found = [os.environ.get("KERNEL", "")] + sorted(
        f"/boot/{name}" for name in os.listdir("/boot")
        if name.startswith("vmlinuz"))
    return next((path for path in found if path and
                 os.access(path, os.R_OK)), None)


def missing_for_machines():
    for need in ("qemu-system-x86_64", "busybox"):
        if not shutil.which(need):
            return f"no {need}"
    told = run(BROOD, "machine", "boot", "--help")
    if "--pmem" not in told:
        return "brood machine boot has no --pmem"
    return None if kernel_of_machines() else "no kernel in /boot"


def guest_kb(text):
    return sum(int(line.split()[1]) for line in text.splitlines()
               if line.startswith(("Cached:", "Buffers:")))


class Guests:
    """Machines that have a payload in one way."""

    def __init__(self, way, payload, image):
        import machines
        self.machines, self.names = machines, []
        option, self.tag = WAYS[way]
        for _ in range(GUESTS):
            name = machines.new_name("guest")
            self.names.append(name)
            machines.brood("machine", "boot", name, "--kernel",
                           kernel_of_machines(), "--initrd", image,
                           "--memory", "192M", option, payload)

    def grown(self):
        """Bytes that the guests' own caches grew by when they read it."""
        grown = 0
        for name in self.names:
            before = guest_kb(self.execute(name, "cat /proc/meminfo"))
            told = self.execute(name, GUEST_READS.format(self.tag))
            if str(GUEST_MB * MB) not in told.split():
                raise RuntimeError(f"{name} has not read its payload: {told}")
            grown += guest_kb(told) - before
        return grown << 10

    def execute(self, name, text):
        return self.machines.brood("machine", "exec", name, "--", "/bin/sh",
                                   "-c", text)

    def end(self):
        for name in self.names:
            self.machines.brood("machine", "stop", name, "--now")


def machines_payload():
    folder, payload = place("guests"), place("guests.erofs")
    os.makedirs(os.path.join(folder, "bin"))
    shutil.copy(os.path.join(FILES, "hello-static"),
                os.path.join(folder, "bin", "hello"))
    with open(os.path.join(folder, "bin", "large"), "wb") as f:
        f.write(random.randbytes(GUEST_MB * MB))
    brood("pack", folder, "--as", payload, "--entry", "hello=bin/hello")
    return payload


def machines_memory(way, payload, image):
    """(in the host's cache, in the guests')"""
    drop([payload])
    guests = Guests(way, payload, image)
    try:
        own = guests.grown()
        return resident(payload), own
    finally:
        guests.end()


def bench_machines():
    what = f"memory of {GUESTS} machines with a payload, of one copy"
    why = missing_for_machines()
    if why:
        goals.append(unknown(what, why))
        return {}
    payload, image = machines_payload(), place("machine.img")
    run(BROOD, "machine", "image", "--as", image, "--kernel",
        kernel_of_machines(), "--module", "share")
    found = {}
    print(f"\nmemory of {GUESTS} machines that have read {GUEST_MB} MiB of a "
          f"payload: MiB\n{'':24}{'host':>10}{'guests':>10}"
          f"{'of one copy':>14}")
    for way in WAYS:
        host, own = found[way] = machines_memory(way, payload, image)
        print(f"{way:24}{host / MB:10.1f}{own / MB:10.1f}"
              f"{(host + own) / MB / GUEST_MB:13.2f}x", flush=True)
    goals.append(goal(what, sum(found["pmem, DAX"]) / MB / GUEST_MB, 1.3))
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
        except Exception as e:
            complain(f"{part}: {e}")
    sys.stdout.flush()
    if as_json:
        os.dup2(keep, 1)
    result["goals"] = goals
    result["seconds"] = time.monotonic() - started
    say(f"{result['seconds']:.0f} s")
    finish(result, as_json, "goals")


main()
