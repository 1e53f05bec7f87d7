# SPDX-License-Identifier: Apache-2.0
"""CLAIM 1.1 to 1.13, one line each: byte-code VMs that share compiled code.

Facts come from /proc and from the file itself; what a VM says of its steps
(BROOD_EVENTS) is used for their order only."""

import glob
import hashlib
import json
import os
import re
import struct
import subprocess

import warm

TAP = warm.Tap()
WORK = os.path.join(os.environ["TMPDIR"], "claims")
os.makedirs(WORK, exist_ok=True)
MODULE = os.path.join(WORK, "many.wasm")
FUNCTIONS = 6000
RANGE = 1 << 30
VERSION = 3  # of the format
HEAD = struct.Struct("=8sII32s32sIIIIQQQQQ")  # and more


def claim(number, good, evidence, detail=""):
    TAP.ok(good, f"CLAIM {number} {evidence}", detail)


def make_module():
    """Calls each of many functions, prints the last digit of their sum, and
    waits for the end of its standard input."""
    body = "\n".join(
        f"(func $f{i} (type $t) local.get 0 i32.const {i * 7919 % 1000003} "
        f"i32.add local.get 0 i32.const {i % 31} i32.rotl i32.xor "
        f"local.get 0 i32.const {i | 1} i32.mul i32.add)"
        for i in range(FUNCTIONS))
    names = " ".join(f"$f{i}" for i in range(FUNCTIONS))
    text = f"""(module
 (type $t (func (param i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_read"
  (func $read (param i32 i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_write"
  (func $write (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 1)
 (table funcref (elem {names}))
 {body}
 (func (export "_start") (local $i i32) (local $sum i32)
  (loop $l
   (local.set $sum (i32.xor (local.get $sum)
    (call_indirect (type $t) (i32.const 5) (local.get $i))))
   (local.set $i (i32.add (local.get $i) (i32.const 1)))
   (br_if $l (i32.lt_u (local.get $i) (i32.const {FUNCTIONS}))))
  (i32.store8 (i32.const 64) (i32.add (i32.const 48)
   (i32.rem_u (local.get $sum) (i32.const 10))))
  (i32.store8 (i32.const 65) (i32.const 10))
  (i32.store (i32.const 0) (i32.const 64))
  (i32.store (i32.const 4) (i32.const 2))
  (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
   (i32.const 8)))
  (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1)
   (i32.const 8)))))"""
    with open(MODULE[:-4] + "wat", "w") as f:
        f.write(text)
    return warm.brood("wasm", "from-text", MODULE[:-4] + "wat", "-o", MODULE)


class Instance:
    """A VM that has run all of its functions and waits."""

    count = 0

    def __init__(self, *words, cache=None, **env):
        Instance.count += 1
        self.events_path = os.path.join(WORK, f"events{Instance.count}")
        words = ["--cache", cache, *words] if cache else list(words)
        self.process = subprocess.Popen(
            [warm.BROOD, "run", *words, MODULE], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=dict(
                os.environ, BROOD_EVENTS=self.events_path, **env))
        self.out = self.process.stdout.readline()
        self.pid = self.process.pid
        self.maps = self.read_maps()

    def read_maps(self):
        """(begin, end, rights, inode, path), ascending"""
        found = []
        with open(f"/proc/{self.pid}/maps") as f:
            for line in f:
                part = line.split(None, 5)
                begin, end = (int(x, 16) for x in part[0].split("-"))
                found.append((begin, end, part[1], int(part[4]),
                              part[5].strip() if len(part) > 5 else ""))
        return found

    def own_range(self):
        """The run of neighbours that ends with what is still reserved."""
        for i, m in enumerate(self.maps):
            if m[2] != "---p" or m[3] or m[1] - m[0] < RANGE * 3 // 4 or \
                    m[1] - m[0] > RANGE:
                continue
            begin = i
            while begin and self.maps[begin - 1][1] == \
                    self.maps[begin][0] and m[1] - self.maps[begin][0] < RANGE:
                begin -= 1
            return self.maps[begin:i + 1]
        return []

    def code(self):
        return [m for m in self.own_range() if m[2] == "r-xp"]

    def smaps(self, path):
        """KiB of Size, Pss, Private_Dirty of what is mapped of a file."""
        total, inside = {}, False
        with open(f"/proc/{self.pid}/smaps") as f:
            for line in f:
                if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                    inside = line.rstrip().endswith(path)
                elif inside and line.endswith("kB\n"):
                    name, value = line.split()[:2]
                    total[name[:-1]] = total.get(name[:-1], 0) + int(value)
        return total

    def events(self):
        with open(self.events_path) as f:
            return [json.loads(line) for line in f]

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(20)


def objects(folder):
    return [p for p in glob.glob(folder + "/*")
            if re.fullmatch("[0-9a-f]{64}", os.path.basename(p))]


def spans(maps):
    return f"{maps[0][0]:x}-{maps[-1][1]:x}" if maps else "none"


def first_instance(folder):
    """CLAIM 1.1 1.2 1.4 1.5 1.6 1.7"""
    one = Instance(cache=folder)
    own, code = one.own_range(), one.code()
    claim("1.1", len(own) >= 2, f"pid {one.pid} has a code cache of its own, "
          f"{spans(own)}", one.maps)
    claim("1.2", own and own[-1][1] - own[0][0] == RANGE and
          own[-1][2] == "---p", "it is 1 GiB of reserved addresses, of which "
          f"{(own[-1][1] - own[-1][0]) >> 20} MiB are free", own)
    warm.wait_until(lambda: any(e["event"] == "cache.publish"
                                for e in one.events()), 20)
    names = [e["event"] for e in one.events()]
    events = {e["event"]: e for e in one.events()}
    claim("1.4", events["cache.miss"]["reason"] == "absent" and
          names.index("cache.miss") < names.index("code.compile"),
          "no object was there, therefore it compiled", names)
    functions = events["code.compile"]["functions"]
    claim("1.5", functions == FUNCTIONS + 1, f"{functions} functions were "
          f"compiled", events)
    claim("1.6", len(code) == 1 and code[0][3] == 0 and len(one.out) == 2 and
          not any(m[2].startswith("-wx") or m[2].startswith("rwx")
                  for m in one.maps),
          f"the code lies in that range, {code[0][0]:x}-{code[0][1]:x}, is "
          f"anonymous, was run from there, and cannot be written", own)
    made = objects(folder)
    head = HEAD.unpack_from(open(made[0], "rb").read(HEAD.size)) if made \
        else None
    claim("1.7", len(made) == 1 and head[7] == functions and
          names.index("code.compile") < names.index("cache.publish"),
          f"afterwards the file was made, with all {functions}", names)
    one.end()
    return made[0], one


def second_instance(folder, path, one):
    """CLAIM 1.8 1.9 1.11 1.12"""
    two = Instance(cache=folder)
    own, code = two.own_range(), two.code()
    claim("1.8", own and two.pid != one.pid and own[0][0] != one.own_range()
          [0][0], f"pid {two.pid} has another range, {spans(own)}", own)
    events = {e["event"]: e for e in two.events()}
    found = events.get("cache.map", {})
    claim("1.9", found.get("key") == os.path.basename(path),
          f"it looked for the same key and found {path[-12:]}", events)
    inode = os.stat(path).st_ino
    claim("1.11", len(code) == 1 and code[0][3] == inode and
          code[0][4] == path, "the file is mapped into that range at "
          f"{code[0][0]:x}", own)
    claim("1.12", "code.compile" not in events and two.out == one.out,
          "nothing was compiled, and its code gives the same result", events)
    two.end()


def locations():
    """CLAIM 1.3"""
    where = {n: os.path.join(WORK, "by_" + n) for n in ("option", "variable",
                                                        "xdg")}
    Instance(cache=where["option"]).end()
    Instance(BROOD_CACHE=where["variable"]).end()
    Instance(XDG_CACHE_HOME=where["xdg"]).end()
    made = [len(objects(where["option"])), len(objects(where["variable"])),
            len(objects(where["xdg"] + "/brood/code"))]
    claim("1.3", made == [1, 1, 1], "the place is what the option, "
          "BROOD_CACHE or XDG_CACHE_HOME of the instance says", made)


def refused(words, folder, one):
    """Not mapped, compiled anew, right."""
    vm = Instance(cache=folder)
    events = {e["event"]: e for e in vm.events()}
    miss = events.get("cache.miss", {})
    vm.end()
    claim("1.10", miss and "cache.map" not in events and
          "code.compile" in events and vm.out == one.out,
          f"{words}: not mapped, «{miss.get('why')}»", events)


def write(path, data, mode=0o444):
    os.unlink(path)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def summed(data):
    """With the checksum made good."""
    data = data[:48] + bytes(32) + data[80:]
    return data[:48] + hashlib.sha256(data).digest() + data[80:]


def key_of(engine, module, options, features):
    return hashlib.sha256(
        b"brood code 1 " + engine.encode() + b"\0" +
        hashlib.sha256(module).digest() +
        struct.pack("=III", options, features, VERSION)).hexdigest()


def engines(path):
    """The key is what the format says: the engine's sources are in it."""
    with open(os.path.join(warm.BUILD, "gen/cache/engine_id.h")) as f:
        engine = re.search('"([0-9a-f]{64})"', f.read()).group(1)
    with open(MODULE, "rb") as f:
        module = f.read()
    head = HEAD.unpack_from(open(path, "rb").read(HEAD.size))
    options, features = head[5], head[6]
    own = key_of(engine, module, options, features)
    others = {key_of("0" * 64, module, options, features),
              key_of(engine, module + b"\0", options, features),
              key_of(engine, module, options ^ 1, features),
              key_of(engine, module, options, features ^ 1)}
    claim("1.10", own == os.path.basename(path) and len(others | {own}) == 5,
          "engine build, byte code, options and CPU features make the key",
          (own, path))


def incompatible(folder, path, one):
    """CLAIM 1.10"""
    engines(path)
    with open(path, "rb") as f:
        good = f.read()
    engine = bytes(32)
    for words, data in (
            ("another engine's or module's object under this name",
             summed(good[:16] + engine + good[48:])),
            ("code for other CPU features",
             summed(good[:84] + struct.pack("=I", 0xff) + good[88:])),
            ("code of other options",
             summed(good[:80] + struct.pack("=I", 1) + good[84:])),
            ("another version of the format",
             summed(good[:8] + struct.pack("=I", VERSION + 1) + good[12:])),
            ("cut off", good[:-4096]), ("empty", b""),
            ("a flipped bit of the text",
             good[:-1000] + bytes([good[-1000] ^ 4]) + good[-999:]),
            ("a foreign file", b"\x7fELF" + bytes(8188))):
        write(path, data)
        refused(words, folder, one)
    write(path, good, 0o466)
    refused("one that others may write", folder, one)
    if os.geteuid() == 0:
        write(path, good)
        os.chown(path, 65534, 65534)
        refused("one of another user", folder, one)
    with open(MODULE, "ab") as f:
        f.write(b"\0\4\1xyz")  # a custom section
    refused("changed byte code", folder, one)
    vm = Instance(cache=folder)
    mapped = any(e["event"] == "cache.map" for e in vm.events())
    vm.end()
    claim("1.10", mapped, "and what is compatible is mapped again")


def many(folder):
    """CLAIM 1.13"""
    warm.brood("cache", "--cache", folder, "prune", "--all")
    Instance(cache=folder).end()
    path = objects(folder)[0]
    size = os.path.getsize(path) >> 10
    vms = [Instance(cache=folder) for _ in range(8)]
    seen = [vm.smaps(path) for vm in vms]
    pss = [s["Pss"] for s in seen]
    rss = [s["Rss"] for s in seen]
    bases = {vm.code()[0][0] for vm in vms}
    claim("1.13", all(s["Private_Dirty"] == 0 for s in seen) and
          sum(pss) <= size * 1.1 and min(rss) > size // 2 and
          len(bases) == len(vms),
          f"{len(vms)} instances at {len(bases)} addresses: {size} KiB of "
          f"code, {max(pss)} KiB PSS each ({sum(pss)} together), 0 private",
          seen)
    for vm in vms:
        vm.end()


made = make_module()
TAP.ok(made.status == 0, f"a module of {FUNCTIONS} functions", made)
FOLDER = os.path.join(WORK, "code")
PATH, ONE = first_instance(FOLDER)
second_instance(FOLDER, PATH, ONE)
locations()
incompatible(FOLDER, PATH, ONE)
many(FOLDER)
TAP.done()
