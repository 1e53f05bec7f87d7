# SPDX-License-Identifier: Apache-2.0
"""CLAIM 0.1 to 0.17 for a hypervisor and for a compiler, one line each.

Facts come from /proc and from the sockets themselves; Brood's own listing is
used only to learn which process to look at."""

import os
import shutil
import struct
import subprocess
import sys
import threading
import time

import warm
from warm import note

TAP = warm.Tap()
WORK = os.path.join(os.environ["TMPDIR"], "claims")
os.makedirs(WORK, exist_ok=True)
AOTC = os.path.join(os.environ["BUILD"], "brood-aotc")
BUSY_C = b"#include <stdio.h>\nint main(void){printf(\"hi %d\\n\", 42);}\n"


def boot_sector():
    """512 bytes that print a line on the first serial port and halt."""
    text = b"warm guest speaks\n"
    code = bytes([0xFA, 0x31, 0xC0, 0x8E, 0xD8,      # cli; ds = 0
                  0xBE, 0x00, 0x00,                  # si = text
                  0xBA, 0xF8, 0x03,                  # dx = 3f8
                  0xAC, 0x84, 0xC0, 0x74, 0x03,      # lodsb; jz end
                  0xEE, 0xEB, 0xF8,                  # out; loop
                  0xB0, 0x00, 0xBA, 0xF4, 0x00, 0xEE,  # out f4: exit
                  0xF4, 0xEB, 0xFD])
    code = bytearray(code)
    at = 0x7C00 + len(code)
    code[6:8] = bytes([at & 255, at >> 8])
    image = bytes(code) + text + b"\0"
    return image.ljust(510, b"\0") + b"\x55\xaa"


class Compiler:
    """clang: waits for its source on stdin, makes an object of it."""

    what = "compiler"
    waiting = ["-x", "c", "-c", "-", "-o", "/dev/null"]

    def __init__(self, program):
        self.program = program
        self.source = os.path.join(WORK, "hello.c")
        with open(self.source, "wb") as f:
            f.write(BUSY_C)

    def work(self, run):
        """Does real work by run(args); gives what it produced."""
        out = os.path.join(WORK, "hello.o")
        if os.path.exists(out):
            os.unlink(out)
        result = run(["-O2", "-c", self.source, "-o", out])
        with open(out, "rb") as f:
            data = f.read()
        return result, data[:4] == b"\x7fELF", data


class Optimiser:
    """brood-aotc: waits for its request on stdin, makes an object of one."""

    what = "optimiser"
    waiting = []

    def __init__(self, program):
        self.program = program
        self.request = os.path.join(WORK, "request")
        # (module (func (result i32) i32.const 42)), its function 0
        module = bytes.fromhex("0061736d01000000" "010501600001 7f"
                               "03020100" "0a0601040041 2a0b")
        with open(self.request, "wb") as f:
            f.write(struct.pack("<8s4IQI", b"BROODAOT", 1, 0, 0, 1,
                                len(module), 0) + module)

    def work(self, run):
        out = os.path.join(WORK, "object")
        if os.path.exists(out):
            os.unlink(out)
        result = run([self.request, out])
        with open(out, "rb") as f:
            data = f.read()
        return result, data[:4] == b"\x7fELF", data


class Hypervisor:
    """QEMU: a machine that waits, and a guest that speaks on its console."""

    what = "hypervisor"
    waiting = ["-machine", "none", "-S", "-display", "none", "-monitor",
               "stdio"]

    def __init__(self, program):
        self.program = program
        self.disk = os.path.join(WORK, "boot.img")
        with open(self.disk, "wb") as f:
            f.write(boot_sector())

    def work(self, run):
        result = run(["-machine", "pc", "-accel", "tcg", "-m", "16",
                      "-display", "none", "-nodefaults", "-serial", "stdio",
                      "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
                      "-drive", f"file={self.disk},format=raw,if=ide"])
        return result, b"warm guest speaks" in result.out, result.out


class Instance:
    """A copy that was launched and waits for its stdin to end."""

    def __init__(self, program, args, via="clone"):
        self.report_path = warm.new_report()
        self.client = subprocess.Popen(
            warm.launch_words(program, args, via, self.report_path),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        self.report = warm.wait_until(
            lambda: warm.read_report(self.report_path), 20)
        self.pid = self.report["pid"] if self.report else None

    def end(self):
        warm.end(self.client, 15)


def listed(subject):
    return warm.template(subject.program)


def claim(number, subject, good, evidence, detail=""):
    TAP.ok(good, f"CLAIM {number} {subject.what} {evidence}", detail)


def show_server(subject):
    """CLAIM 0.1 0.2 0.3 0.4"""
    entry = listed(subject)
    p1, s1 = entry["pid"], entry["socket"]
    mode, told, generation, peer = warm.ask(s1)
    real = os.path.realpath(shutil.which(subject.program))
    claim("0.1", subject,
          warm.exe(p1) == real and mode == 1 and told == p1 and
          entry["launches"] == 0,
          f"pid {p1} runs {warm.exe(p1)}, answers mode=server before any "
          f"request", entry)
    inode = warm.listener_inode(s1)
    holders = [p for p in warm.processes() if inode in warm.sockets_of(p)]
    foreign = [p for p in holders if p != p1 and warm.parent(p) != p1]
    claim("0.2", subject, inode and p1 in holders and not foreign and
          peer == p1,
          f"socket inode {inode} was made by {peer} and is held by it and "
          f"its {len(holders) - 1} waiting copies alone",
          f"holders {holders} foreign {foreign}")
    libraries = warm.libraries(p1)
    claim("0.3", subject, len(libraries) >= 2,
          f"{len(libraries)} shared libraries are mapped in {p1}")
    # It forks its pool once a CPU has time for that.
    warm.wait_until(lambda: listed(subject)["waiting"] == 2)
    before = warm.cpu_ticks(p1)
    time.sleep(0.5)
    idle = warm.cpu_ticks(p1) - before
    state = warm.stat_fields(p1)[0]
    two = [warm.launch(subject.program, "--version", via="clone")
           for _ in range(2)]
    served = [r.report and r.report["way"] == "clone" for r in two]
    claim("0.4", subject, idle == 0 and state == "S" and all(served),
          f"{idle} ticks of CPU in 0.5 s of waiting, then served "
          f"{sum(map(bool, served))} requests", two)
    return p1, s1, generation


def show_copy(subject, p1, s1):
    """CLAIM 0.5 0.6 0.7 0.8; the copy is left running."""
    copy = Instance(subject.program, subject.waiting)
    p2 = copy.pid
    with warm.connect(s1) as s:
        peer = warm.peer_pid(s)
    entry = warm.wait_until(
        lambda: (lambda e: e if e["live"] >= 1 else None)(listed(subject)))
    claim("0.5", subject,
          peer == p1 and copy.report["way"] == "clone" and
          warm.parent(p2) == p1 and entry,
          f"the far end of the socket is {peer}; {p2}, made on request, is "
          f"its child", (copy.report, entry))
    mine, theirs = warm.libraries(p1), warm.libraries(p2)
    same = all(theirs.get(name) == place for name, place in mine.items())
    with open(f"/proc/{p1}/auxv", "rb") as f, \
            open(f"/proc/{p2}/auxv", "rb") as g:
        same_auxv = f.read() == g.read()
    claim("0.6", subject, same and same_auxv and
          warm.exe(p2) == warm.exe(p1),
          f"{len(mine)} libraries lie in {p2} where they lie in {p1}, same "
          f"inode; no exec came between: the auxiliary vector is P1's")
    inode = warm.listener_inode(s1)
    claim("0.7", subject, copy.report.get("mode") == "active" and
          inode not in warm.sockets_of(p2),
          f"{p2} said mode=active, and holds no listener", copy.report)
    # Two copies wait in the pool and share as well, once a CPU had time.
    warm.wait_until(lambda: listed(subject)["waiting"] == 2)
    summed = warm.memory(p2)
    own = summed["Private_Clean"] + summed["Private_Dirty"]
    claim("0.8", subject, same and own < summed["Rss"] / 2 and
          not [n for n in warm.descriptors(p2).values() if ".so" in n],
          f"{p2} has no library open; of Rss {summed['Rss']} kB its own are "
          f"{own} kB, the rest is shared", summed)
    return copy


def show_work(subject):
    """CLAIM 0.9"""
    real = os.path.realpath(shutil.which(subject.program))
    cold, good, want = subject.work(
        lambda args: warm.run([subject.program, *args], executable=real))
    for via in ("clone", "hatch"):
        result, fine, got = subject.work(
            lambda args, v=via: warm.launch(subject.program, *args, via=v))
        way = result.report and result.report["way"]
        claim("0.9", subject, good and fine and got == want and
              result.same(cold) and way == via,
              f"{via}: {len(got)} bytes of output, the same as from a cold "
              f"start", (result, cold))


class Sampler(threading.Thread):
    """Notes which processes run a program, all 2 ms."""

    def __init__(self, keeper, program):
        super().__init__()
        self.keeper, self.program = keeper, program
        self.seen, self.over = [], False

    def run(self):
        while not self.over:
            pids = set()
            try:
                with open(f"/proc/{self.keeper}/task/{self.keeper}/children"
                          ) as f:
                    pids = {int(p) for p in f.read().split()}
            except OSError:
                pass
            self.seen.append({p for p in pids
                              if warm.exe(p) == self.program and
                              warm.alive(p)})
            time.sleep(0.002)


def show_change(subject, p1, s1, copy):
    """CLAIM 0.10 0.11 0.12 0.13 0.14 0.16"""
    entry = listed(subject)
    events = os.path.join(WORK, f"events-{subject.what}")
    before = warm.libraries(p1)
    sampler = Sampler(entry["keeper"], warm.exe(p1))
    sampler.start()
    lost = []
    over = threading.Event()

    def load():
        while not over.is_set():
            r = warm.launch(subject.program, "--version")
            lost.append(not (r.status == 0 and r.out and r.report and
                             r.report["way"] in ("clone", "hatch")))

    loader = threading.Thread(target=load)
    loader.start()
    done = warm.brood("refresh", subject.program, timeout=60)
    entry = listed(subject)
    p3, s2 = entry["pid"], entry["socket"]
    gone = warm.wait_until(lambda: not warm.alive(p1), 10)
    over.set()
    loader.join()
    sampler.over = True
    sampler.join()
    both = sum(1 for seen in sampler.seen if p1 in seen and p3 in seen)
    claim("0.10", subject, done.status == 0 and p3 != p1 and both > 0 and
          warm.start_ticks(p3) > 0,
          f"{p1} and {p3} were seen alive together {both} times", done)
    claim("0.11", subject, s2 != s1 and warm.listener_inode(s2) in
          warm.sockets_of(p3),
          f"{p3} listens on {os.path.basename(s2)}, {p1} did on "
          f"{os.path.basename(s1)}")
    mode, told, generation, peer = warm.ask(s2)
    order = [line.split('"event":"')[1].split('"')[0]
             for line in open(events)] if os.path.exists(events) else []
    last = order[-order[::-1].index("serve.start") - 1:] if \
        "serve.start" in order else []
    steps = [s for s in last if s in ("serve.start", "serve.proved",
                                      "serve.switch", "serve.drain")]
    claim("0.12", subject, mode == 1 and told == p3 and peer == p3 and
          steps[:4] == ["serve.start", "serve.proved", "serve.switch",
                        "serve.drain"],
          f"{p3} answered mode=server over its own socket before the change "
          f"({' '.join(steps)})", (order, last))
    claim("0.13", subject, gone and steps.index("serve.proved") <
          steps.index("serve.drain") if "serve.drain" in steps else False,
          f"{p1} ended, and only after that answer")
    after = warm.libraries(p3)
    common = set(before) & set(after)
    moved = [n for n in common if before[n][0] != after[n][0]]
    claim("0.14", subject, common and len(moved) == len(common),
          f"{len(moved)} of {len(common)} libraries have another base")
    p2 = copy.pid
    new = Instance(subject.program, subject.waiting)
    theirs = warm.libraries(new.pid)
    layout = all(theirs.get(n) == after[n] for n in after)
    claim("0.16", subject, warm.alive(p2) and not any(lost) and layout,
          f"{p2}, a copy of {p1}, lives on; {len(lost)} launches during the "
          f"change, {sum(lost)} lost; {new.pid} has the layout of {p3}",
          (warm.alive(p2), lost, layout))
    new.end()


def show_failed_change():
    """CLAIM 0.13: a new copy that crashes or hangs leaves the old one."""
    subject = Compiler(os.path.join(os.environ["BUILD"],
                                    "tests/programs/moody"))
    mood = os.path.join(os.environ["TMPDIR"], "mood")
    os.environ["MOODY_FILE"] = mood
    served = warm.serve("--env", f"MOODY_FILE={mood}", "--ready", "2s",
                        subject.program)
    first = listed(subject)
    for kind in ("crash", "hang"):
        with open(mood, "w") as f:
            f.write(kind)
        refreshed = warm.brood("refresh", subject.program, timeout=60)
        os.unlink(mood)
        now = listed(subject)
        r = warm.launch(subject.program, "x", via="clone")
        claim("0.13", subject, refreshed.status != 0 and first and
              now["pid"] == first["pid"] and warm.alive(first["pid"]) and
              r.report["way"] == "clone" and b"moody" in r.out,
              f"a new copy that {kind}s: {first and first['pid']} stays and "
              f"serves", (served, refreshed, now, r))


def show_registry():
    """CLAIM 0.17"""
    subject = Compiler("warm-or-cold")
    here = os.path.join(WORK, "bin")
    os.makedirs(here, exist_ok=True)
    source = os.path.join(os.environ["BUILD"], "tests/programs")
    for name in ("greeter", "libgreeting.so"):
        shutil.copy(os.path.join(source, name), here)
    program = os.path.join(here, "greeter")
    stubs = os.path.join(WORK, "stubs")
    wrapped = warm.brood("wrap", "--dir", stubs, program)
    env = dict(os.environ, PATH=f"{stubs}:{here}:{os.environ['PATH']}")

    def typed():
        path = warm.new_report()
        r = warm.run(["sh", "-c", "greeter you"],
                     env=dict(env, BROOD_REPORT=path))
        r.report = warm.read_report(path)
        return r

    first = typed()
    ready = warm.wait_until(
        lambda: (warm.template(program) or {}).get("state") == "serving", 20)
    second = typed()
    entry = warm.template(program)
    claim("0.17", subject, first.report and first.report["way"] == "exec" and
          ready and second.report["way"] in ("clone", "hatch") and
          first.out == second.out != b"",
          "registry: the first run, by the usual name, made the template; "
          f"the second was a {second.report and second.report['way']}",
          (wrapped, first, second, entry))
    pid = entry["pid"] if entry else 0
    with open(os.path.join(here, "libgreeting.so"), "ab") as f:
        f.write(b"\0")
    third = typed()
    gone = warm.wait_until(lambda: not warm.alive(pid), 20)
    fourth = warm.wait_until(
        lambda: (lambda r: r if r.report["way"] != "exec" else None)(typed()),
        20)
    claim("0.17", subject, third.out == first.out and gone and fourth and
          fourth.out == first.out,
          "registry: a changed library withdrew the entry, ended its "
          "template, and made a new one", (third, gone, fourth))
    entry = warm.template(program)
    stopped = warm.brood("unwrap", "--dir", stubs, "greeter")
    removed = warm.brood("stop", program)
    over = warm.wait_until(lambda: not warm.alive(entry["pid"]), 10)
    claim("0.17", subject, stopped.status == 0 and removed.status == 0 and
          over and not os.path.exists(os.path.join(stubs, "greeter")),
          "registry: a removed entry ended its template",
          (stopped, removed))
    warm.serve("--idle", "1s", program)
    entry = warm.template(program)
    aged = warm.wait_until(lambda: not warm.alive(entry["pid"]), 15, 0.1)
    claim("0.17", subject, entry["state"] == "serving" and aged,
          "registry: an entry that nobody used for its time aged out",
          entry)


def show(subject):
    os.environ["BROOD_EVENTS"] = os.path.join(WORK, f"events-{subject.what}")
    served = warm.serve(subject.program)
    if served.status != 0:
        claim("0.1", subject, False, "serve", served)
        return
    p1, s1, _ = show_server(subject)
    copy = show_copy(subject, p1, s1)
    show_work(subject)
    show_change(subject, p1, s1, copy)
    copy.end()
    claim("0.15", subject, True, f"all of this was {subject.program}")


def main():
    shown = 0
    for make, names in ((Hypervisor, ["qemu-system-x86_64"]),
                        (Compiler, ["clang-19", "clang"]),
                        (Optimiser, [AOTC])):
        program = next((n for n in names if shutil.which(n)), None)
        if program is None:
            TAP.skip(f"CLAIM 0.15 {make.what}", f"no {names[0]} here")
            continue
        show(make(program))
        shown += 1
    show_failed_change()
    show_registry()
    note(f"{shown} programs")
    warm.stop_all()
    TAP.done()


if __name__ == "__main__":
    try:
        main()
    except Exception:
        warm.stop_all()
        import traceback
        traceback.print_exc(file=sys.stdout)
        TAP.ok(False, "the script itself")
        TAP.done()
