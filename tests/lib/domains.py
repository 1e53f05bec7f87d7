# SPDX-License-Identifier: Apache-2.0
"""What there is to see of domains from outside: processes that run one, the
process that keeps many (tests/claims/domains.c), and a guest's memory and page
tables, read from /proc/PID/mem while its CPU stands still."""

import collections
import json
import os
import re
import struct
import subprocess

import warm

WORK = os.path.join(os.environ["TMPDIR"], "claims")
HELPER = os.path.join(warm.BUILD, "tests/claims/domains")
RINGS = os.path.join(warm.BUILD, "tests/claims/rings")
PAGE = 4096
SECONDS = 60


def applet_text(functions):
    """A module that answers each line of its input with the last digit of what
    its functions make, and a letter: how often it has been asked."""
    body = "\n".join(
        f"(func $f{i} (type $t) local.get 0 i32.const {i * 7919 % 1000003} "
        f"i32.add local.get 0 i32.const {i % 31} i32.rotl i32.xor "
        f"local.get 0 i32.const {i | 1} i32.mul i32.add)"
        for i in range(functions))
    names = " ".join(f"$f{i}" for i in range(functions))
    return f"""(module
 (type $t (func (param i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_read"
  (func $read (param i32 i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_write"
  (func $write (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 1)
 (data (i32.const 0) "\\40\\00\\00\\00\\03\\00\\00\\00")
 (data (i32.const 16) "\\00\\01\\00\\00\\01\\00\\00\\00")
 (table funcref (elem {names}))
 {body}
 (func $sum (export "sum") (result i32) (local $i i32) (local $sum i32)
  (loop $l
   (local.set $sum (i32.xor (local.get $sum)
    (call_indirect (type $t) (i32.const 5) (local.get $i))))
   (local.set $i (i32.add (local.get $i) (i32.const 1)))
   (br_if $l (i32.lt_u (local.get $i) (i32.const {functions}))))
  (local.get $sum))
 (func (export "put") (param i32 i32)
  (i32.store (local.get 0) (local.get 1)))
 (func (export "get") (param i32) (result i32) (i32.load (local.get 0)))
 (func (export "fill") (param $pages i32) (result i32)
  (local $at i32) (local $old i32)
  (local.set $old (memory.grow (local.get $pages)))
  (if (i32.eq (local.get $old) (i32.const -1)) (then (return (i32.const -1))))
  (local.set $at (i32.mul (local.get $old) (i32.const 65536)))
  (loop $l
   (i32.store (local.get $at) (i32.const 1))
   (local.set $at (i32.add (local.get $at) (i32.const 4096)))
   (br_if $l (i32.lt_u (local.get $at)
    (i32.mul (memory.size) (i32.const 65536)))))
  (memory.size))
 (func (export "_start")
  (loop $l
   (drop (call $read (i32.const 0) (i32.const 16) (i32.const 1)
    (i32.const 8)))
   (if (i32.eqz (i32.load (i32.const 8))) (then (return)))
   (br_if $l (i32.ne (i32.load8_u (i32.const 256)) (i32.const 10)))
   (i32.store8 (i32.const 64) (i32.add (i32.const 48)
    (i32.rem_u (call $sum) (i32.const 10))))
   (i32.store8 (i32.const 65) (i32.add (i32.const 97) (i32.load
    (i32.const 128))))
   (i32.store (i32.const 128) (i32.add (i32.load (i32.const 128))
    (i32.const 1)))
   (i32.store8 (i32.const 66) (i32.const 10))
   (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
    (i32.const 8)))
   (br $l))))"""


def make_module(name, text):
    path = os.path.join(WORK, name)
    with open(path + ".wat", "w") as f:
        f.write(text)
    made = warm.brood("wasm", "from-text", path + ".wat", "-o",
                      path + ".wasm")
    if made.status != 0:
        raise RuntimeError(f"{name}: {made}")
    return path + ".wasm"


class Applet:
    """A process that runs a program, in a domain where nothing else is
    said."""

    live = []
    count = 0

    def __init__(self, module, *words, place="domain", cache=None, env=None,
                 before=()):
        Applet.count += 1
        self.report = os.path.join(WORK, f"report{Applet.count}")
        self.events_path = os.path.join(WORK, f"events{Applet.count}")
        words = ["--in", place, "--report", self.report, *words]
        if cache:
            words += ["--cache", cache]
        words += [module] if module else []
        self.process = subprocess.Popen(
            [*before, warm.BROOD, "run", *words], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(os.environ, BROOD_EVENTS=self.events_path, **(env or {})))
        self.pid = self.process.pid
        Applet.live.append(self)

    def ask(self):
        """What it answers to a line."""
        try:
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        return self.process.stdout.readline().decode().strip() or None

    def end(self):
        """Its exit code; its report is there then."""
        if self in Applet.live:
            Applet.live.remove(self)
        self.process.stdin.close()
        try:
            status = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process.stdout.close()
        return status

    def told(self):
        return warm.read_report(self.report) or {}

    def events(self):
        try:
            with open(self.events_path) as f:
                return [json.loads(line) for line in f]
        except OSError:
            return []


class Domains:
    """The process that keeps many, and does what it is ordered."""

    live = []

    def __init__(self, module, cache, *words, before=()):
        self.process = subprocess.Popen(
            [*before, HELPER, module, cache, *words], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        self.kind = self.process.stdout.readline().strip()
        if before:
            self.pid = self.child()
        Domains.live.append(self)

    def child(self):
        """Of who runs it."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
            return int(f.read().split()[0])

    def order(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline().strip()
        if said.startswith("failed") or not said:
            raise RuntimeError(f"{words}: {said}")
        return said.split()

    def number(self, *words):
        return int(self.order(*words)[0])

    def call(self, domain, name, *words):
        """Its result, as 32 bits."""
        return self.number("call", domain, name, *words)

    def end(self):
        if self in Domains.live:
            Domains.live.remove(self)
        self.process.stdin.close()
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        if self.process.returncode > 0:
            raise RuntimeError(f"{HELPER}: status {self.process.returncode}")


def end_all():
    for one in Applet.live[:] + Domains.live[:]:
        one.process.kill()
        one.end()


# ---- processes ----------------------------------------------------------------

def machines_of(pid):
    """Descriptors of virtual machines: ({number}, {number}) of the machines
    and of their CPUs."""
    found = warm.descriptors(pid)
    return ({n for n, what in found.items() if what.endswith(":kvm-vm")},
            {n for n, what in found.items() if ":kvm-vcpu" in what})


def smaps(pid, wanted):
    """KiB of what is mapped of the files of which wanted(path) is true, and
    {(inode, offset)} of it."""
    total, places, inside = collections.Counter(), set(), False
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            part = line.split(None, 5)
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                path = part[5].strip() if len(part) > 5 else ""
                inside = wanted(path)
                if inside:
                    places.add((int(part[4]), int(part[2], 16)))
            elif inside and line.endswith("kB\n"):
                total[part[0][:-1]] += int(part[1])
    return total, places


# ---- a guest -------------------------------------------------------------------

def layout():
    return json.loads(subprocess.run([HELPER, "layout"], check=True,
                                     stdout=subprocess.PIPE).stdout)


Mapped = collections.namedtuple("Mapped", "at end user write execute")


class Guest:
    """The system's part of a domain's memory, where a process has it."""

    def __init__(self, pid, base, at):
        self.pid, self.base, self.at = pid, base, at

    def read(self, physical, count):
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as f:
            f.seek(self.base + physical)
            return f.read(count)

    def word(self, physical, form="Q"):
        return struct.unpack("=" + form, self.read(
            physical, struct.calcsize("=" + form)))[0]

    def generation(self):
        return self.word(self.at["call"] + self.at["generation"])

    def mapped(self):
        """What its page tables show, neighbours with the same rights as
        one."""
        found = []
        for page in self.walk(self.at["tables"], 3, 0, True, True, True):
            last = found[-1] if found else None
            if last and last.end == page.at and last[2:] == page[2:]:
                found[-1] = last._replace(end=page.end)
            else:
                found.append(page)
        return found

    def walk(self, table, level, at, user, write, execute):
        entries = struct.unpack("=512Q", self.read(table, PAGE))
        for i, entry in enumerate(entries):
            if not entry & 1:
                continue
            here = at + (i << (12 + 9 * level))
            rights = (user and bool(entry & 4), write and bool(entry & 2),
                      execute and not entry >> 63)
            if level == 0 or entry & 0x80:
                yield Mapped(here, here + (PAGE << 9 * level), *rights)
            else:
                yield from self.walk(entry & 0xffffffffff000, level - 1, here,
                                     *rights)

    def ports(self):
        """Those that its task's state opens to ring 3."""
        gdt = self.read(self.at["descriptors"], 0x40)
        limit = struct.unpack_from("=H", gdt, 0x30)[0] + 1
        state = self.read(self.at["descriptors"] + 0x100, limit)
        bits = state[struct.unpack_from("=H", state, 0x66)[0]:]
        return [i for i in range(8 * len(bits))
                if not bits[i // 8] >> i % 8 & 1]


def guests(pid, at):
    """All domains whose memory a process has."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
        for start, _, rights, *_ in warm.maps(pid):
            if start % (2 << 20) or "r" not in rights:
                continue
            try:
                f.seek(start + at["call"])
                magic = f.read(8)
            except OSError:
                continue
            if magic == struct.pack("=Q", at["magic"]):
                found.append(Guest(pid, start, at))
    return found
