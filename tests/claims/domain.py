# SPDX-License-Identifier: Apache-2.0
"""CLAIM 3.1 to 3.13, one line and more each: domains, machines whose operating
system is the byte-code engine.

Facts come from /proc, from what KVM says of registers, from the system calls
that strace sees, from guests' memories and page tables, from files, and from
what is refused.  Counters of Brood's own are used where something else is
counted beside them.  Where there is no KVM, a process takes a domain's place;
what needs a machine is skipped then, and said."""

import glob
import json
import os
import pwd
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import threading
import time
import traceback

import domains as d
import machines as m
import warm
from domains import WORK
from warm import note

TAP = warm.Tap()
HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
CACHE = os.path.join(WORK, "code")
FUNCTIONS = 3000
TEXT = b"The dog saw the cat and the cat saw a dog\nThe end\n"
# Leaks cannot be looked for under strace.
STRACE = shutil.which("strace")
TRACED = (STRACE, "-f", "-E", "ASAN_OPTIONS=detect_leaks=0")
SANITISED = os.path.basename(warm.BUILD) == "san"


def claim(number, good, evidence, detail=""):
    return TAP.ok(good, f"CLAIM {number} {evidence}", detail)


def skip(number, words, why):
    TAP.skip(f"CLAIM {number} {words}", why)
    note(f"NOT SHOWN HERE: {number} {words}: {why}")


def has_kvm():
    """"", or why there is none."""
    path = os.path.join(WORK, "one.wat")
    with open(path, "w") as f:
        f.write('(module (func (export "_start")))')
    result = warm.brood("run", "--in", "domain", "--require-kvm", path)
    why = result.err.decode().split("\n")[0]
    return "" if result.status == 0 else why[why.find("no KVM"):]


class Here:
    """What all of it is shown with."""

    def __init__(self):
        self.no_kvm = has_kvm()
        self.kind = "process" if self.no_kvm else "kvm"
        self.at = d.layout()
        self.module = d.make_module("applet", d.applet_text(FUNCTIONS))
        self.other = d.make_module("other", """(module
 (memory (export "memory") 1)
 (func (export "work") (param i32) (result i32)
  (i32.store (i32.const 64) (i32.mul (local.get 0) (i32.const 3)))
  (i32.load (i32.const 64))))""")
        # The first one compiles, and keeps what it has instantiated.
        self.first = d.Applet(self.module, cache=CACHE)
        self.answer = self.first.ask()
        self.first.end()

    def applet(self, *words, **kw):
        return d.Applet(self.module, *words, cache=CACHE, **kw)

    def helper(self, *words, **kw):
        return d.Domains(self.module, CACHE, *words, **kw)

    def needs_kvm(self, number, words):
        if self.no_kvm:
            skip(number, words, self.no_kvm)
        return not self.no_kvm


# ---- programs ----------------------------------------------------------------

def compile_c(source, path):
    """The words of the compiler, NULL: there is none."""
    for compiler in ("clang-19", "clang"):
        for root in ([], ["--sysroot=/usr"],
                     ["--sysroot=/usr/share/wasi-sysroot"]):
            if shutil.which(compiler) and warm.run(
                    [compiler, "--target=wasm32-wasi", *root, "-O2", source,
                     "-o", path]).status == 0:
                return compiler
    return None


def rustc(*words):
    """Its toolchains are where its user has them, not in a test's home."""
    home = os.path.join(pwd.getpwuid(os.getuid()).pw_dir, ".rustup")
    env = dict(os.environ)
    if os.path.isdir(home):
        env.setdefault("RUSTUP_HOME", home)
    return warm.run(["rustc", "-O", *words], env=env, timeout=120)


def compile_rust(source, path):
    if shutil.which("rustc") and rustc("--target", "wasm32-wasip1", source,
                                       "-o", path).status == 0:
        return "rustc"
    return None


def native_c(source, path):
    return warm.run(["cc", "-O2", "-ffp-contract=off", source, "-o", path,
                     "-lm"])


def native_rust(source, path):
    return rustc(source, "-o", path)


def show_languages(here):
    """CLAIM 3.1"""
    for language, source, to_wasm, to_native in (
            ("C", "work.c", compile_c, native_c),
            ("Rust", "work.rs", compile_rust, native_rust)):
        path = os.path.join(WORK, language)
        source = os.path.join(HERE, "applets", source)
        compiler = to_wasm(source, path + ".wasm")
        if not compiler:
            skip("3.1", f"byte code from {language}",
                 "no compiler for wasm32-wasi here")
            continue
        to_native(source, path)
        wanted = warm.run([path, "a", "b c"], stdin=TEXT)
        for via in ("compiled", "interp"):
            got = warm.brood("run", "--in", "domain", "--via", via,
                             path + ".wasm", "a", "b c", stdin=TEXT)
            claim("3.1", got.same(wanted) and wanted.status == 42,
                  f"{language}, by {compiler} to "
                  f"{os.path.getsize(path + '.wasm') >> 10} KiB of byte code, "
                  f"{via} in a domain ({here.kind}): "
                  f"{len(got.out.splitlines())} lines and exit code "
                  f"{got.status} as the same source says when it is a program "
                  f"of this machine", got.differs(wanted))


# ---- two levels ----------------------------------------------------------------

def show_levels(here):
    """CLAIM 3.2"""
    answers = []
    for via in ("compiled", "interp"):
        applet = here.applet("--via", via)
        answers.append(applet.ask())
        vms, cpus = d.machines_of(applet.pid)
        if here.needs_kvm("3.2", "a virtual machine"):
            claim("3.2", len(vms) == 1 and len(cpus) == 1,
                  f"{via}: pid {applet.pid} ({warm.exe(applet.pid)}) has fd "
                  f"{min(vms, default=None)} anon_inode:kvm-vm and fd "
                  f"{min(cpus, default=None)} kvm-vcpu while it runs",
                  warm.descriptors(applet.pid))
        guest = d.guests(applet.pid, here.at)[0]
        code = [r for r in guest.mapped() if r.at >= here.at["code"] and
                r.at < here.at["memory"] and r.execute]
        applet.end()
        way = applet.told().get("way")
        claim("3.2", way == ("interpreted" if via == "interp" else "mapped"),
              f"inside it the byte code is {way}; the guest's page tables "
              f"show it at {code[0].at:x}" if code else "no code", code)
    claim("3.2", answers[0] == answers[1] == here.answer,
          f"both ways answer {answers[0]}", answers)


def rings():
    """[(what, event, cs, dpl, rip, part)]"""
    result = warm.run([d.RINGS])
    found = {}
    for line in result.out.decode().splitlines():
        word = line.split()
        if len(word) == 6:
            found[word[0]] = (word[1], *(w.split("=")[1] for w in word[2:]))
    return found, result


def show_rings(here):
    """CLAIM 3.6, and of 3.2 where the CPU is while byte code runs"""
    if not here.needs_kvm("3.6", "rings"):
        return
    found, result = rings()
    for what, where in (("compiled", "code"), ("interpreted", "user")):
        event, cs, dpl, rip, part = found.get(what, [""] * 5)
        claim("3.2", (event, dpl, part) == ("kick", "3", where),
              f"{what} byte code, stopped by a timer: cs {cs}, ring {dpl}, "
              f"rip {rip}, which is "
              + ("the module's code" if where == "code" else
                 "the interpreter of the guest's image"), result)
    for what in ("guest", "bell", "spin"):
        event, cs, dpl, rip, part = found.get(what, [""] * 5)
        claim("3.6", event in ("bell", "kick") and dpl == "3" and
              int(cs or "0", 16) & 3 == 3 and part in ("user", "code"),
              f"the user component at a {event} ({what}): cs {cs}, ring "
              f"{dpl}, rip {rip}", result)
    event, cs, dpl, rip, part = found.get("cr0", [""] * 5)
    claim("3.6", (event, dpl, part) == ("trap.13.0", "0", "kernel") and
          int(cs, 16) & 3 == 0,
          f"after a privileged instruction of ring 3 (vector 13): cs {cs}, "
          f"ring {dpl}, rip {rip}, in the kernel component's page", result)
    for what, words in (("read", "reads the kernel component's page"),
                        ("write", "writes it"), ("run", "jumps there"),
                        ("tables", "reads the page tables"),
                        ("descriptors", "writes the descriptors"),
                        ("text", "writes its own text"),
                        ("code", "writes the module's code")):
        event, *_, part = found.get(what, [""] * 5)
        claim("3.6 3.12", event.startswith("trap.14.2") and part == "kernel",
              f"ring 3 {words}: page fault at {event[8:]}, taken by ring 0",
              result)
    event = found.get("port", [""])[0]
    claim("3.7", event == "trap.13.0", "ring 3 writes to another port than "
          "the bell's: vector 13, nothing leaves", result)
    event = found.get("in", [""])[0]
    claim("3.7", event == "broken", "it reads the bell's port: its domain is "
          "ended", result)


# ---- the monitor ----------------------------------------------------------------

def sized(path):
    """(text and constants, data) in bytes"""
    out = warm.run(["size", *path]).out.decode().splitlines()[1:]
    return (sum(int(line.split()[0]) for line in out),
            sum(int(line.split()[1]) for line in out))


def lines_of(paths):
    count = 0
    for path in paths:
        with open(path, "rb") as f:
            count += f.read().count(b"\n")
    return count


def traced(here, *words, asks=5):
    """The applet under strace: (applet, its answers, the lines of strace)."""
    path = os.path.join(WORK, "strace")
    applet = d.Applet(here.module, *words, cache=CACHE, before=(
        *TRACED, "-s", "64", "-o", path, "-e",
        "trace=ioctl,read,readv,preadv2,write,writev,pwritev2"))
    answers = [applet.ask() for _ in range(asks)]
    applet.end()
    with open(path) as f:
        return applet, answers, f.read().splitlines()


def show_monitor(here):
    """CLAIM 3.3"""
    every = glob.glob(os.path.join(SOURCE, "src/domain/*.[chS]"))
    sources = [p for p in every if re.search(
        r"/(domain(_image|_run|_bell|_trap|_timer|_local)?|cpu(_kvm|_kick)?|"
        r"kvm|space|tables|internal|guest_image)\.[chS]$", p)]
    objects = [o for o in (os.path.join(
        warm.BUILD, "host/src/domain", os.path.basename(s)[:-2] + ".o")
        for s in sources if s.endswith(".c")) if os.path.exists(o)]
    text, data = sized(objects)
    claim("3.3", (text < 100000 or SANITISED) and lines_of(sources) < 6000,
          f"what makes and runs machines: {len(sources)} files, "
          f"{lines_of(sources)} lines, {text} bytes of text, {data} of data; "
          f"all of src/domain (snapshots, workers, jail, stand-in too): "
          f"{lines_of(every)} lines", sources)
    applet = here.applet()
    applet.ask()
    guest = d.guests(applet.pid, here.at)[0]
    ports = guest.ports()
    applet.end()
    claim("3.3", ports == [here.at["port"]],
          f"devices: one port; of the {1 << 16} that there are the bitmap of "
          f"the guest's task state opens {[hex(p) for p in ports]} to ring 3",
          ports)
    if not here.needs_kvm("3.3", "exits"):
        return
    if not STRACE:
        skip("3.3 3.7", "exits, as strace counts them", "no strace")
        return
    applet, answers, lines = traced(here)
    calls = sorted({c for line in lines for c in re.findall(
        r"KVM_(?!CAP)[A-Z_]+", line) if c not in ("KVM_MEM_READONLY",)})
    made = [c for c in calls if not re.search("CHECK|GET_API|MMAP", c)]
    claim("3.3", not set(made) - {"KVM_CREATE_VM", "KVM_CREATE_VCPU",
                                  "KVM_SET_USER_MEMORY_REGION", "KVM_RUN",
                                  "KVM_GET_SREGS"},
          f"no interrupt controller, timer, or bus: all that it asks of KVM is "
          f"{', '.join(made)}", calls)
    exits = sum(bool(re.search(r"KVM_RUN, 0\) += 0", line)) for line in lines)
    told = applet.told()["exits"]
    note(f"exits by reason: {told}")
    claim("3.3", exits == told["bells"] + told["traps"] and exits < 100,
          f"a run with {len(answers)} requests: {exits} exits as strace counts "
          f"them, {told['bells']} bells and {told['traps']} traps as Brood "
          "does", told)
    show_bells(here, answers, lines, told)


BURST = """(module
 (import "wasi_snapshot_preview1" "fd_write"
  (func $write (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 1)
 (data (i32.const 0) "\\40\\00\\00\\00\\02\\00\\00\\00")
 (data (i32.const 64) "x\\n")
 (func (export "_start") (local $i i32)
  (loop $l
   (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
    (i32.const 8)))
   (local.set $i (i32.add (local.get $i) (i32.const 1)))
   (br_if $l (i32.lt_u (local.get $i) (i32.const 500))))))"""


def show_burst(here):
    """CLAIM 3.7: what waits in the call pages comes out at an exit, too"""
    applet = d.Applet(d.make_module("burst", BURST), cache=CACHE)
    said = applet.process.stdout.read()
    applet.end()
    told = applet.told()["exits"]
    claim("3.7", said == b"x\n" * 500 and told["wasi"] <= 500,
          f"500 writes in a row: {len(said)} bytes come out, by "
          f"{told['wasi']} bells for WASI and {told['kicks']} looks of the "
          "VMM; between these they wait in memory that both see", told)


def show_bells(here, answers, lines, told):
    """CLAIM 3.7"""
    claim("3.7", told["bells"] == told["wasi"] + told["memory"] + told["done"]
          and told["other"] == 0 and told["wasi"] == 2 * len(answers) + 1,
          f"{told['bells']} bells = {told['wasi']} calls of WASI "
          f"({len(answers)} writes, {len(answers) + 1} reads) + "
          f"{told['memory']} for memory + {told['done']} for commands done",
          told)
    between = 0
    for i, line in enumerate(lines):
        if not re.search(r'write[v2]*\(\d+.*"\da.*\\n"|write[v2]*\(\d+.*"\d'
                         r'[b-e]\\n"', line):
            continue
        pid = line.split()[0]
        before = next((o for o in reversed(lines[:i]) if o.startswith(pid) and
                       "KVM_RUN" in o), "")
        after = next((o for o in lines[i + 1:] if o.startswith(pid) and
                      "KVM_RUN" in o), "")
        between += bool(before and after)
    claim("3.7", between == len(answers),
          f"each of its {between} answers is written by the monitor's thread "
          f"between two KVM_RUN: the guest rings, the VMM does it, the guest "
          f"goes on", lines)


# ---- the system inside -------------------------------------------------------------

def image_parts():
    """The guest's image, and [(name, bytes)] of its header."""
    with open(os.path.join(warm.BUILD, "gen/domain/guest.bin"), "rb") as f:
        image = f.read()
    _, _, size, kernel, user, constants, data, end = struct.unpack_from(
        "=QIIIIIII", image)
    return image, (kernel, user, constants, data, end), [
        ("header", kernel), ("kernel component", user - kernel),
        ("user text", constants - user), ("constants", data - constants),
        ("data", end - data), ("in the file", size)]


def show_image(here):
    """CLAIM 3.5"""
    guest_elf = os.path.join(warm.BUILD, "brood-guest")
    symbols = {line.split()[2]: int(line.split()[0], 16) for line in warm.run(
        ["nm", guest_elf]).out.decode().splitlines()
        if len(line.split()) == 3}
    image, (kernel, user, constants, data, _), _ = image_parts()
    text = here.at["va"] + here.at["image"]
    names = ["wasm_interp_run", "__start_wasm_handlers", "wasm_instantiate",
             "jit_enter", "guest_stubs"]
    there = [n for n in names if n in symbols]
    handlers = symbols["__stop_wasm_handlers"] - \
        symbols["__start_wasm_handlers"]
    claim("3.5", "wasm_interp_run" in symbols and handlers > 10000 and
          text + user <= symbols["wasm_interp_run"] < text + constants,
          f"in the OS's image: {', '.join(there)}; wasm_interp_run at "
          f"{symbols['wasm_interp_run']:x}, {handlers} bytes of handlers",
          sorted(symbols))
    with open(warm.BROOD, "rb") as f:
        at = f.read().find(image)
    claim("3.5", at > 0, f"the image's {len(image)} bytes stand in "
          f"{os.path.basename(warm.BROOD)} at {at:#x}: there is no file of it "
          "to be loaded", at)
    applet = here.applet()
    applet.ask()
    guest = d.guests(applet.pid, here.at)[0]
    mine = guest.read(here.at["image"] + kernel, constants - kernel)
    claim("3.5", mine == image[kernel:constants],
          f"pid {applet.pid}: the {len(mine)} bytes of kernel and user text in "
          "the machine's memory are those")
    mapped = guest.mapped()
    runs = [r for r in mapped if r.execute]
    wanted = [(text + kernel, False), (text + user, True),
              (here.at["code"], True)]
    claim("3.5", [(r.at, r.user) for r in runs] == wanted,
          "all that the machine's page tables let the CPU execute: the kernel "
          "component, the user component, and the module's own code; no "
          "other program is there", mapped)
    show_parts(here, mapped, text)
    code = [x for x in warm.maps(applet.pid) if x[5].startswith(CACHE) and
            "/domains/" not in x[5] and "x" in x[2]]
    claim("3.5", len({x[4] for x in code}) == 1,
          "the module's code is the cache's file "
          f"{os.path.basename(code[0][5])[:12] if code else None}.., nothing "
          "of the system's", code)
    applet.end()


def show_parts(here, mapped, text):
    """CLAIM 3.6 by the page tables"""
    hidden = [r for r in mapped if not r.user]
    both = [r for r in mapped if r.write and r.execute]
    for r in mapped:
        note(f"{r.at:x}-{r.end:x} {'user' if r.user else 'kernel'} "
             f"{'w' if r.write else '-'}{'x' if r.execute else '-'}")
    claim("3.6", len(hidden) == 2 and hidden[1].at > text and
          hidden[1].execute and not hidden[1].write and
          not hidden[0].execute and not both,
          f"the page tables split it: {hidden[1].end - hidden[1].at} bytes of "
          "code for ring 0 alone, with descriptors and stacks of traps; all "
          "else is ring 3's; nothing can be both written and executed",
          mapped)


def show_services(here):
    """CLAIM 3.8"""
    with open(os.path.join(SOURCE, "include/brood/guest_abi.h")) as f:
        header = f.read()
    bells = re.findall(r"\bGUEST_BELL_([A-Z_]+),", header)
    commands = re.findall(r"\bGUEST_COMMAND_([A-Z_]+),", header)
    note("bells (what the OS asks of the VMM): " + ", ".join(bells))
    note("commands (what the VMM asks of the OS): " + ", ".join(commands))
    _, _, parts = image_parts()
    claim("3.8", 8 <= len(bells) <= 20 and len(commands) <= 12,
          f"all services: {len(bells) - 1} bells, {len(commands) - 1} "
          f"commands; no files, processes, threads, drivers or network in it",
          (bells, commands))
    claim("3.8", dict(parts)["in the file"] < 2 << 20 and
          dict(parts)["kernel component"] <= 4096,
          "image: " + ", ".join(f"{n} {b}" for n, b in parts) + " bytes",
          parts)
    objects = glob.glob(os.path.join(warm.BUILD, "guest/**/*.o"),
                        recursive=True)
    groups = {}
    for o in objects:
        group = os.path.relpath(o, os.path.join(warm.BUILD, "guest"))
        group = os.path.dirname(group).replace("src/", "").replace("gen/", "")
        groups.setdefault(group, []).append(o)
    sizes = {g: sized(paths)[0] for g, paths in groups.items()}
    engine = sum(s for g, s in sizes.items() if g != "guest")
    claim("3.8", engine > 5 * sizes.get("guest", 0) > 0,
          f"{engine} bytes of it are the engine (" + ", ".join(
              f"{g} {s}" for g, s in sorted(sizes.items()) if g != "guest") +
          f"), {sizes.get('guest', 0)} all else of the OS", sizes)
    undefined = warm.run(["nm", "-u", os.path.join(
        warm.BUILD, "brood-guest")]).out
    claim("3.8", not undefined.strip(), "it needs no libc and no other "
          "library: no symbol of it is undefined", undefined)


# ---- several at once --------------------------------------------------------------

class OtherMachine:
    """An ordinary operating system in a machine of ours, booted meanwhile."""

    def __init__(self):
        self.why, self.row, self.told = m.missing(), None, {}
        self.boot_s = 0
        self.thread = threading.Thread(target=self.boot)
        self.thread.start()

    def boot(self):
        if self.why:
            return
        image = os.path.join(WORK, "machine.img")
        made = m.image(image)
        began = time.monotonic()
        result = m.boot("ordinary", image, "--json") if made.status == 0 \
            else made
        self.boot_s = time.monotonic() - began
        if result.status != 0:
            self.why = f"it does not boot: {result.err[:200]!r}"
            return
        self.told = m.told(result)[0]
        self.row = m.ps()["ordinary"]

    def wait(self):
        self.thread.join()
        return not self.why

    def answers(self):
        """Its kernel, and how long it is up."""
        return m.shell("ordinary", "uname -sr; cut -d. -f1 /proc/uptime"
                       ).split("\n")

    def end(self):
        self.thread.join()
        m.clear()


def pages_of(guest, pages):
    """The physical pages behind some of the guest's, 0 where this user may
    not know them."""
    found = []
    with open(f"/proc/{guest.pid}/pagemap", "rb", buffering=0) as f:
        for page in pages:
            f.seek((guest.base + page) // d.PAGE * 8)
            found.append(struct.unpack("=Q", f.read(8))[0] & (1 << 55) - 1)
    return found


def show_several(here, other):
    """CLAIM 3.4"""
    applets = [here.applet() for _ in range(8)]
    answers = [a.ask() for a in applets]
    guests = [d.guests(a.pid, here.at)[0] for a in applets]
    generations = {g.generation() for g in guests}
    vms = [d.machines_of(a.pid) for a in applets]
    claim("3.4", all(a == here.answer for a in answers) and
          len(generations) == 8 and
          (here.no_kvm or all(len(v) == len(c) == 1 for v, c in vms)),
          f"8 processes with a domain each ({here.kind}), pids "
          f"{[a.pid for a in applets]}; each OS has a generation of its own "
          "in its call page: "
          + " ".join(f"{g:x}"[:6] for g in sorted(generations)),
          (answers, vms))
    _, (kernel, user, _, data, _), _ = image_parts()
    note("physical pages, [user text, data, call page] of each:")
    pages = [pages_of(g, (here.at["image"] + user, here.at["image"] + data,
                          here.at["call"])) for g in guests]
    note("\n".join(f"pid {g.pid} " + " ".join(f"{p:x}" for p in page)
                   for g, page in zip(guests, pages)))
    if pages[0][2] == 0:
        skip("3.4", "pages of each domain's OS", "this user may not know "
             "physical addresses")
    else:
        claim("3.4", len({p[1] for p in pages}) == 8 and
              len({p[2] for p in pages}) == 8,
              "each has its own OS: 8 different physical pages of the image's "
              "data, 8 of the call page; "
              f"{len({p[0] for p in pages})} of its text, which nobody "
              "can write", pages)
    if here.needs_kvm("3.4", "several machines in one process"):
        show_in_one(here)
    show_other(here, other, applets)
    return applets


def show_in_one(here):
    helper = here.helper()
    for _ in range(5):
        helper.order("new")
    helper.order("boot")
    got = {helper.call(i, "sum") for i in range(6)}
    vms, cpus = d.machines_of(helper.pid)
    guests = d.guests(helper.pid, here.at)
    claim("3.4", len(vms) == len(cpus) == len(guests) == 6 and len(got) == 1
          and len({g.generation() for g in guests}) == 6,
          f"6 machines in one process, pid {helper.pid}: fds {sorted(vms)}, "
          f"6 systems at "
          + " ".join(f"{g.base:x}" for g in guests) + "; all give "
          f"{got}", (vms, cpus, guests, got))
    helper.end()


def show_other(here, other, applets):
    if not other.wait():
        skip("3.4", "an ordinary OS beside them", other.why)
        return
    system = other.answers()
    again = [a.ask() for a in applets]
    claim("3.4", system[0].startswith("Linux") and
          all(a == here.answer[0] + "b" for a in again) and
          warm.alive(other.row["pid"]),
          f"an ordinary OS in a machine of ours runs beside them (pid "
          f"{other.row['pid']}, {other.row['accel']}): it says {system[0]}, "
          f"up {system[1]} s; all 8 domains answer too: {again}",
          (system, again))


# ---- in an existing domain ------------------------------------------------------------

def show_existing(here):
    """CLAIM 3.9"""
    helper = here.helper()
    domain = helper.number("new")
    before = d.machines_of(helper.pid)
    helper.call(domain, "put", 4096, 77)
    guest = d.guests(helper.pid, here.at)[0]
    generation, bells = guest.generation(), helper.number("counts", domain)
    result, more_us = helper.order("more", domain, here.other, "work", 14)
    mine = helper.number("counts", domain) - bells
    after = d.machines_of(helper.pid)
    claim("3.9", result == "42" and after == before and
          guest.generation() == generation and
          helper.call(domain, "get", 4096) == 77,
          f"a second program is started in the domain that is there, answers "
          f"{result} after {more_us} us; descriptors of machines before and "
          f"after: {before[0] or 'none'}, {after[0] or 'none'}; the same OS "
          f"(generation {generation:x}), the first program has its state",
          (before, after))
    again_us = helper.number("again", domain)
    claim("3.9", d.machines_of(helper.pid) == before and
          helper.call(domain, "get", 4096) == 77,
          f"the first program once more, in an instance of its own beside the "
          f"first one: {again_us} us to its end; the same machine "
          f"{before[0] or ''}, the first instance has its state", before)
    helper.order("reset", domain)
    us = helper.number("reset", domain)
    result = helper.call(domain, "get", 4096)
    claim("3.9", d.machines_of(helper.pid) == before and result == 0,
          f"reset for another tenant in {us} us: the same machine "
          f"{before[0] or ''}, and the tenant reads {result} where the last "
          "one has put 77", (before, result))
    helper.order("close", domain)
    boot = helper.order("boot")
    claim("3.9", int(boot[2]) > mine,
          f"a new domain boots: {boot[2]} bells and {boot[1]} us until the "
          f"first program can be called; the second program in an existing "
          f"one: {mine} bells and {more_us} us, its call included", boot)
    helper.end()


# ---- domains that wait ---------------------------------------------------------

class Launch:
    """A launch of what is served, that waits for lines."""

    def __init__(self, report):
        self.process = subprocess.Popen(
            [warm.BROOD, "launch", "--report", report, "app"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    ask = d.Applet.ask


def is_seen(server):
    with open(f"/proc/{server}/task/{server}/children") as f:
        worker = f.read().split()[0]
    try:
        return bool(os.listdir(f"/proc/{worker}/fd"))
    except OSError:
        return False


def workers_of(server):
    """{pid: descriptors of machines} of its workers that live"""
    found = {}
    for pid in warm.processes():
        try:
            if warm.parent(pid) == server and warm.alive(pid):
                found[pid] = d.machines_of(pid)[0]
        except OSError:
            pass
    return found


def launch_all(count):
    """Answers, and the milliseconds of each, one after another."""
    answers, times = set(), []
    for _ in range(count):
        began = time.perf_counter()
        result = warm.brood("launch", "app", stdin=b"\n")
        times.append(1000 * (time.perf_counter() - began))
        answers.add(result.out.decode().strip())
    return answers, times


def show_served(here):
    """CLAIM 3.9 3.11 3.12: a worker with domains that wait, and its jail"""
    served = warm.serve("--in", "domain", "--pool", "4", "--cache", CACHE,
                        "--json", "app", "--", here.module)
    server = json.loads(served.out)["pid"]
    try:
        if not is_seen(server):
            skip("3.9 3.12", "workers, as /proc shows them",
                 "they hide from who is not root")
            return
        show_tenants(here, server)
        show_jail(server)
        show_gone(here, server)
    finally:
        warm.brood("stop", "app")


def show_tenants(here, server):
    def waits():
        found = workers_of(server)
        return found if here.no_kvm and len(found) >= 4 or \
            any(len(vms) >= 5 for vms in found.values()) else None
    warm.wait_until(waits, 10)
    launch_all(5)
    before = workers_of(server)
    answers, times = launch_all(20)
    after = workers_of(server)

    # While one runs another may be made, so that as many wait as before.
    def domains_of(found):
        return {(p, vm) for p, vms in found.items() for vm in vms or [None]}
    old, new = domains_of(before), domains_of(after)
    claim("3.9", answers == {here.answer} and len(old & new) >= 3 and
          len(new - old) <= 4,
          f"20 launches of a served program, each a tenant of its own that is "
          f"the first to ask ({here.answer}), in domains that are there: "
          f"{len(old)} before (processes, and descriptors of machines: "
          f"{before}), {len(old & new)} of these and {len(new - old)} more "
          "after", after)
    note(f"brood launch app, to its end: {statistics.median(times):.2f} ms; "
         "PSS of the workers: "
         + ", ".join(f"{warm.memory(p)['Pss']} KiB" for p in after))


def show_jail(server):
    worker = min(workers_of(server))
    with open(f"/proc/{worker}/status") as f:
        status = dict(re.findall(r"(\w+):\t(.*)", f.read()))
    own = [n for n in ("user", "mnt", "pid", "ipc", "uts", "net")
           if os.readlink(f"/proc/{worker}/ns/{n}") !=
           os.readlink(f"/proc/self/ns/{n}")]
    try:
        root = os.listdir(f"/proc/{worker}/root/")
    except OSError as e:
        root = [e.strerror]
    note(f"name spaces of its own: {' '.join(own) or 'none'}; its root folder "
         f"has {root}")
    claim("3.12", status["Seccomp"] == "2" and status["NoNewPrivs"] == "1" and
          int(status["CapEff"], 16) == 0,
          f"second wall, as /proc/{worker}/status says: Seccomp "
          f"{status['Seccomp']} ({status.get('Seccomp_filters')} filters), "
          f"NoNewPrivs {status['NoNewPrivs']}, CapEff {status['CapEff']}",
          status)


def show_gone(here, server):
    """A tenant whose caller is killed leaves nothing, and disturbs nobody."""
    path = os.path.join(WORK, "launched")
    one, two = Launch(path), Launch(path)
    first = (one.ask(), two.ask())
    warm.end(one.process)
    again = two.ask()
    two.process.stdin.close()
    status = two.process.wait(20)
    two.process.stdout.close()
    anew, _ = launch_all(8)
    claim("3.11", first == (here.answer,) * 2 and
          again == here.answer[0] + "b" and status == 0 and
          anew == {here.answer},
          f"of two tenants one's caller is killed: the other one answers "
          f"{again}, and 8 later ones, in the same domains, begin at {anew}",
          (first, again, status))


# ---- figures -----------------------------------------------------------------------

def median_ms(command, count=9, stdin=b""):
    times = []
    for _ in range(count):
        began = time.perf_counter()
        subprocess.run(command, input=stdin, stdout=subprocess.DEVNULL,
                       check=False, timeout=60)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def held(words):
    """KiB (PSS) of a process that has answered and waits."""
    applet = d.Applet(*words)
    applet.ask()
    pss = warm.memory(applet.pid)["Pss"]
    applet.end()
    return pss


def show_figures(here, other):
    """CLAIM 3.10: printed; that a figure is better than another is for
    benchmarks."""
    run = [warm.BROOD, "run", "--cache", CACHE]
    saved = warm.brood("run", "--until", "stdin", "--save", "warm", "--cache",
                       CACHE, here.module)
    rows = [("a process: /bin/true", median_ms(["/bin/true"]), None),
            ("brood run, in a process", median_ms(run + [here.module],
                                                  stdin=b"\n"), None),
            ("brood run --in domain, its instance kept",
             median_ms(run + ["--in", "domain", here.module], stdin=b"\n"),
             None),
            ("brood run --from TIP, warm",
             median_ms(run + ["--from", "warm"], stdin=b"\n"), None)]
    for place, i in (("process", 1), ("domain", 2)):
        applet = here.applet(place=place)
        applet.ask()
        rows[i] = rows[i][:2] + (warm.memory(applet.pid)["Pss"],)
        applet.end()
    applet = d.Applet(None, "--from", "warm", cache=CACHE)
    answer = applet.ask()
    rows[3] = rows[3][:2] + (warm.memory(applet.pid)["Pss"],)
    applet.end()
    if not here.no_kvm:
        rows.append(figures_in_one(here))
    if other.wait():
        rows.append(("an ordinary OS in a machine: boot", 1000 * other.boot_s,
                     other.row["pss_kib"]))
    for name, ms, kib in rows:
        note(f"{name:<45} {ms:9.2f} ms "
             + (f"{kib:8} KiB PSS" if kib is not None else ""))
    claim("3.10", saved.status == 0 and answer == here.answer and
          all(ms > 0 for _, ms, _ in rows),
          "start (to its end, with one request) and memory: "
          + "; ".join(f"{n} {ms:.2f} ms" + (f" {k} KiB" if k else "")
                      for n, ms, k in rows), (saved, answer))
    if not other.wait():
        skip("3.10", "an ordinary OS in a machine", other.why)


def figures_in_one(here):
    """A domain more where there are some, until it has answered."""
    helper = here.helper()
    times, count = [], 9
    for i in range(2):
        helper.order("new")
        helper.call(i, "get", 0)
    before = warm.memory(helper.pid)["Pss"]
    for i in range(2, 2 + count):
        made = int(helper.order("new")[1])
        times.append(made + int(helper.order("call", i, "get", 0)[1]))
    each = (warm.memory(helper.pid)["Pss"] - before) // count
    helper.end()
    return ("a domain more in a process that has some",
            statistics.median(times) / 1000, each)


# ---- together, and ended -------------------------------------------------------------

def show_no_effort(here):
    """CLAIM 3.11: nothing is done twice"""
    one, two = here.applet(), here.applet()
    answers = [one.ask(), two.ask()]
    shared = [d.smaps(a.pid, lambda path: path.startswith(CACHE))
              for a in (one, two)]
    same = shared[0][1] & shared[1][1]
    names = [e["event"] for e in two.events()]
    one.end()
    two.end()
    told = two.told()
    claim("3.11", answers[0] == answers[1] == here.answer and
          told["compiled"] == 0 and "code.compile" not in names and
          "domain.keep" not in names,
          f"of two at once the second compiles {told['compiled']} functions "
          "and instantiates nothing", (told, names))
    exits = told["exits"]
    claim("3.11", exits["done"] <= 3 and exits["memory"] == 0,
          f"its {exits['bells']} bells: {exits['done']} commands and "
          f"{exits['wasi']} calls; none to load, link or initialise", exits)
    claim("3.11", len(same) > 3 and shared[1][0]["Shared_Clean"] > 0,
          f"{len(same)} ranges of the same files at the same places in both; "
          f"of {shared[1][0]['Rss']} KiB of them {shared[1][0]['Shared_Clean']}"
          f" KiB are shared, {shared[1][0]['Private_Dirty']} its own", shared)


def show_isolation(here):
    """CLAIM 3.11 3.12: the same address, different memory"""
    helper = here.helper()
    helper.order("new")
    helper.order("new")
    for i, value in enumerate((0x11111111, 0x22222222)):
        helper.call(i, "put", 8192, value)
    got = [helper.call(i, "get", 8192) for i in range(2)]
    seen = []
    for i in range(2):
        where = int(helper.order("where", i)[0], 16)
        with open(f"/proc/{helper.pid}/mem", "rb", buffering=0) as f:
            f.seek(where + 8192)
            seen.append(struct.unpack("=I", f.read(4))[0])
    claim("3.11", got == seen == [0x11111111, 0x22222222],
          f"two domains write to {here.at['memory'] + 8192:x}, and have "
          f"{got[0]:x} and {got[1]:x} there; /proc/{helper.pid}/mem says the "
          "same of the memories behind it", (got, seen))
    helper.end()


def available():
    with open("/proc/meminfo") as f:
        return int(re.search(r"MemAvailable: +(\d+)", f.read())[1])


def show_end_in_one(here):
    """CLAIM 3.11: one of three machines of a process is closed"""
    mib = 256
    helper = here.helper()
    for i in range(3):
        helper.order("new")
        helper.call(i, "put", 8192, i + 1)
    before = (warm.memory(helper.pid)["Anonymous"], available())
    pages = helper.call(1, "fill", mib * 16)
    full = (warm.memory(helper.pid)["Anonymous"], available())
    vms = d.machines_of(helper.pid)[0]
    helper.order("close", 1)
    after = warm.memory(helper.pid)["Anonymous"]
    left = d.machines_of(helper.pid)[0]
    others = [helper.call(i, "get", 8192) for i in (0, 2)]
    claim("3.11", pages == 1 + mib * 16 and
          full[0] - before[0] > mib * 1000 and
          after - before[0] < 1024 and len(left) == len(vms) - 1 and
          others == [1, 3],
          f"a domain that holds {mib} MiB is ended: its process's memory goes "
          f"from {full[0]} to {after} KiB (before: {before[0]}), its "
          f"machine's descriptor is gone ({sorted(vms)} -> {sorted(left)}), "
          f"the others have {others}", (before, full, after))
    # The kernel counts with some delay, and others use memory too.
    warm.wait_until(lambda: available() - full[1] > mib * 900, 3, 0.1)
    note(f"MemAvailable of the host: {before[1]} KiB, {full[1]} with it, "
         f"{available()} after")
    helper.end()


def show_kill(here, applets):
    """CLAIM 3.11: a process of eight is killed"""
    victim = applets[3]
    memory = warm.memory(victim.pid)
    os.kill(victim.pid, signal.SIGKILL)
    victim.process.wait(20)
    others = [a for a in applets if a is not victim]
    answers = {a.ask()[0] for a in others}
    claim("3.11", not os.path.exists(f"/proc/{victim.pid}") and
          answers == {here.answer[0]},
          f"pid {victim.pid} with {memory['Rss']} KiB is killed: it is gone, "
          f"and the {len(others)} others answer", answers)
    for a in applets:
        a.end()


# ---- walls -----------------------------------------------------------------------------

WALLS = (
    ("test_domain_hostile", ("privileged", "walls", "where_no_memory_is",
                             "broken_rules"), "first wall"),
    ("test_domain_limits", ("new_tenants_see_nothing",
                            "neighbours_see_nothing"), "first wall"),
    ("test_jail", ("forbidden_calls_kill", "calls_of_i386_kill",
                   "what_is_not_asked_for_kills", "nothing_to_open",
                   "files_below_a_folder"), "second wall"),
    ("test_jail_walls", ("walls_that_stand", "a_worker_as_seen_from_outside"),
     "second wall"))


def show_walls():
    """CLAIM 3.12"""
    for binary, tests, wall in WALLS:
        for name in tests:
            result = warm.run([os.path.join(warm.BUILD, "tests/unit", binary),
                               name], timeout=60)
            said = result.out.decode(errors="replace")
            for line in said.splitlines():
                if line.startswith("# "):
                    note(f"{binary} {name}: {line[2:]}")
            skipped = re.search("# SKIP (.*)", said)
            if skipped:
                skip("3.12", f"{wall}: {binary} {name}", skipped[1])
                continue
            claim("3.12", result.status == 0 and "\nok" in "\n" + said,
                  f"{wall}: {binary} {name}", result)


# ---- asked for from inside ----------------------------------------------------------------

PARENT = """(module
 (import "brood" "start"
  (func $start (param i32 i32 i32 i32) (result i32)))
 (import "brood" "wait" (func $wait (param i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
 (memory (export "memory") 1)
 (data (i32.const 0) "child")
 (func (export "_start") (local $child i32)
  (local.set $child (call $start (i32.const 0) (i32.const 5) (i32.const 32)
   (i32.const 0)))
  (if (i32.lt_s (local.get $child) (i32.const 0))
   (then (call $exit (i32.const 90))))
  (if (call $wait (local.get $child) (i32.const 100))
   (then (call $exit (i32.const 91))))
  (call $exit (i32.add (i32.const 40) (i32.load (i32.const 100))))))"""


def show_asked(here):
    """CLAIM 3.13: a domain wants a second one"""
    if not here.needs_kvm("3.13", "a domain that starts another"):
        return
    parent = d.make_module("parent", PARENT)
    applet = d.Applet(parent, "--start", "child=" + here.module, cache=CACHE)
    answer = applet.ask()
    vms, cpus = d.machines_of(applet.pid)
    guests = d.guests(applet.pid, here.at)
    threads = len(os.listdir(f"/proc/{applet.pid}/task"))
    status = applet.end()
    claim("3.13", answer == here.answer and len(vms) == len(cpus) ==
          len(guests) == 2 and threads >= 2,
          f"byte code in a domain has called brood.start: pid {applet.pid} "
          f"has now machines {sorted(vms)}, 2 systems at "
          + " ".join(f"{g.base:x}" for g in guests) +
          f", {threads} threads; the second one's applet answers {answer}",
          (vms, cpus, guests, threads))
    claim("3.13", status == 40, "the first one has waited for it, and got its "
          f"exit code: {status} - 40", status)
    refused = d.Applet(parent, cache=CACHE)
    status = refused.end()
    claim("3.13", status == 90, "without the grant (--start) it is not "
          "started", status)


def show_one_copy(here):
    """CLAIM 3.13: one copy of code for 50 domains"""
    each = 1 if here.no_kvm else 10
    helpers = [here.helper() for _ in range(5 if each > 1 else 20)]
    sums = set()
    for helper in helpers:
        for i in range(each):
            helper.order("new")
            sums.add(helper.call(i, "sum"))
    count = each * len(helpers)

    def is_code(path):
        return path.startswith(CACHE) and "/domains/" not in path
    seen = [d.smaps(h.pid, is_code) for h in helpers]
    places = set().union(*(s[1] for s in seen))
    size = max(s[0]["Size"] for s in seen)
    pss = sum(s[0]["Pss"] for s in seen)
    dirty = sum(s[0]["Private_Dirty"] for s in seen)
    inodes = {inode for inode, _ in places}
    claim("3.13", len(inodes) == 1 and dirty == 0 and len(sums) == 1 and
          pss <= 1.2 * size and all(s[1] == seen[0][1] for s in seen),
          f"{count} domains in {len(helpers)} processes, all give {sums}: "
          f"their code is inode {inodes}, offsets "
          f"{sorted(hex(o) for _, o in places)} in each; {pss} KiB (PSS) in "
          f"all of them together, of {size} KiB, 0 of it anyone's own", seen)
    shown = []
    for helper in helpers:
        for guest in d.guests(helper.pid, here.at):
            shown += [r.at for r in guest.mapped()
                      if here.at["code"] <= r.at < here.at["memory"] and
                      r.execute and not r.write]
    claim("3.13", len(shown) == count and set(shown) == {here.at["code"]},
          f"the page tables of all {len(shown)} show it to their applet at "
          f"{here.at['code']:x}, to be read and executed, not written", shown)
    all_pss = sum(warm.memory(h.pid)["Pss"] for h in helpers)
    note(f"all of their memory: {all_pss} KiB (PSS), {all_pss // count} each")
    for helper in helpers:
        helper.end()
    if here.needs_kvm("3.13", "slots of machines"):
        show_slots(here)


def show_slots(here):
    if not STRACE:
        skip("3.13", "slots, as strace sees them", "no strace")
        return
    path = os.path.join(WORK, "slots")
    helper = here.helper(before=(*TRACED, "-o", path, "-e", "trace=ioctl"))
    for _ in range(4):
        helper.order("new")
    code = [x for x in warm.maps(helper.pid) if x[5].startswith(CACHE) and
            "/domains/" not in x[5]]
    helper.end()
    with open(path) as f:
        slots = re.findall(r"flags=KVM_MEM_READONLY, guest_phys_addr=(\w+), "
                           r"memory_size=\d+, userspace_addr=(\w+)", f.read())
    wanted = code[0][0] if code else None
    claim("3.13", len(slots) == 4 and
          {int(at, 16) for _, at in slots} == {wanted} and
          len({physical for physical, _ in slots}) == 1,
          f"it is a read-only slot of each machine: {len(slots)} slots at "
          f"guest-physical {slots[0][0] if slots else None}, all of them the "
          f"pages at {wanted or 0:x}, where "
          f"{os.path.basename(code[0][5])[:12] if code else None}.. is mapped",
          (slots, code))


# ---- all of it ---------------------------------------------------------------------------------

def attempt(show, *args):
    """What breaks one step leaves the others."""
    try:
        return show(*args)
    except Exception:
        TAP.ok(False, f"{show.__name__} itself", traceback.format_exc())
        return None


def show_all(here, other):
    note(f"domains are of kind {here.kind}" +
         (f": {here.no_kvm}" if here.no_kvm else ""))
    attempt(show_languages, here)
    attempt(show_levels, here)
    attempt(show_monitor, here)
    attempt(show_burst, here)
    attempt(show_image, here)
    attempt(show_rings, here)
    attempt(show_services, here)
    applets = attempt(show_several, here, other)
    attempt(show_existing, here)
    attempt(show_served, here)
    attempt(show_figures, here, other)
    attempt(show_no_effort, here)
    if here.needs_kvm("3.11", "several domains of a process"):
        attempt(show_isolation, here)
        attempt(show_end_in_one, here)
    if applets:
        attempt(show_kill, here, applets)
    attempt(show_walls)
    attempt(show_asked, here)
    attempt(show_one_copy, here)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    os.makedirs(WORK, exist_ok=True)
    began = time.monotonic()
    other = OtherMachine()
    try:
        show_all(Here(), other)
    except Exception:
        TAP.ok(False, "the script itself", traceback.format_exc())
    finally:
        d.end_all()
        other.end()
        warm.stop_all()
    note(f"all of it took {time.monotonic() - began:.0f} s")
    TAP.done()


if __name__ == "__main__":
    main()
