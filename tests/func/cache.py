# SPDX-License-Identifier: Apache-2.0
"""brood cache, on objects that are made here from the description of their
format in docs/formats.md."""

import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import time

import warm

TAP = warm.Tap()
CODE = os.path.join(os.environ["XDG_CACHE_HOME"], "brood/code")
PAGE = 4096
HEAD = struct.Struct("=8sII32s32sIIIIQQQQQ3QII6Q")


def image(key, functions=10, text=3 * PAGE, options=0, features=0, version=3):
    """A code object with its right checksum."""
    tables = b"".join(struct.pack("=II", 16 * i, 0)
                      for i in range(functions + 1))
    text_at = -(-(HEAD.size + len(tables)) // PAGE) * PAGE

    def head(total):
        return HEAD.pack(b"\x7fBROODC\0", version, HEAD.size,
                         bytes.fromhex(key), total, options, features,
                         functions, 0, HEAD.size, HEAD.size + len(tables),
                         text_at, text, text_at + text, 0, 0, 0, 0, 0,
                         HEAD.size + len(tables), 0, 0, 0, 0, 0)

    rest = tables.ljust(text_at - HEAD.size, b"\0") + b"\xc3" * text
    total = hashlib.sha256(head(bytes(32)) + rest).digest()
    return head(total) + rest


def put(seed, name="", days=0, folder=CODE, **kw):
    """An object in the cache: its key."""
    key = hashlib.sha256(seed.encode()).hexdigest()
    path = os.path.join(folder, key)
    os.makedirs(os.path.join(folder, "seen"), mode=0o700, exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "wb") as f:
        f.write(image(key, **kw))
    os.chmod(path, 0o444)
    then = time.time() - days * 86400
    os.utime(path, (then, then))
    if name:
        seen = os.path.join(folder, "seen", key)
        os.symlink("0 " + name, seen)
        os.utime(seen, (then, then), follow_symlinks=False)
    return key


def cache(*words, **kw):
    return warm.brood("cache", *words, **kw)


def listed(*words):
    return json.loads(cache("ls", "--json", *words).out)["objects"]


def keys(*words):
    return sorted(o["key"] for o in listed(*words))


def empty():
    r = cache("ls")
    TAP.ok(r.status == 0 and r.out.endswith(
        b"0 objects, 0B, in " + CODE.encode() + b"\n"),
           "a cache that is not there has nothing", r)
    for words in (("verify",), ("prune",), ("prune", "--all")):
        r = cache(*words)
        TAP.ok(r.status == 0, f"and cache {' '.join(words)} is fine with it",
               r)
    TAP.ok(not os.path.exists(CODE), "nothing was made by looking")
    r = cache("ls", env=dict(os.environ, BROOD_CACHE="off"))
    TAP.ok(r.status == 111 and b"switched off" in r.err,
           "a cache that is off: 111 and why", r)


def wrong_uses():
    for words in ((), ("nosuch",), ("ls", "x"), ("show",), ("show", "a", "b"),
                  ("prune", "x"), ("prune", "--age", "x"),
                  ("prune", "--age", "999999999"), ("ls", "--nosuch")):
        r = cache(*words)
        TAP.ok(r.status == 100 and not r.out and r.err.count(b"\n") == 1,
               f"wrong use: brood cache {' '.join(words)}", r)
    for words in (("show", "012345"), ("verify", "012345")):
        r = cache(*words)
        TAP.ok(r.status == 111 and b"no objects" in r.err,
               f"an object that is not there: cache {' '.join(words)}", r)


def lists():
    old = put("old", "ruby.wasm", days=3, options=4, features=0b111,
              functions=1000, text=4 * PAGE)
    new = put("new", text=PAGE * 300)
    out = cache("ls").out.decode().splitlines()
    TAP.ok(len(out) == 4 and out[1].startswith(new[:12]) and
           out[2].startswith(old[:12]) and "ruby.wasm" in out[2] and
           "tails" in out[2] and " 3d " in out[2] and
           out[3].startswith("2 objects, 1.2M"),
           "ls: a line each, what was used last first", "\n".join(out))
    whole = listed()
    TAP.ok([o["key"] for o in whole] == [new, old] and
           whole[1]["name"] == "ruby.wasm" and
           whole[1]["features"] == "avx,avx2,bmi1" and
           whole[1]["options"] == "tails" and
           whole[1]["functions"] == 1000 and whole[0]["users"] == 0 and
           whole[0]["bytes"] == 301 * PAGE, "ls --json tells the same", whole)
    r = cache("show", old[:10])
    TAP.ok(r.status == 0 and f"key        {old}".encode() in r.out and
           b"features   avx,avx2,bmi1" in r.out and b"ruby.wasm" in r.out,
           "show by the first digits of a key", r)
    shown = json.loads(cache("show", "--json", new).out)["objects"]
    TAP.ok([o["key"] for o in shown] == [new], "show --json", shown)
    return old, new


MAP = """
import mmap, os, sys
f = os.open(sys.argv[1], os.O_RDONLY)
m = mmap.mmap(f, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
print("mapped", flush=True)
sys.stdin.read()
"""


def users(key):
    p = subprocess.Popen([sys.executable, "-c", MAP, os.path.join(CODE, key)],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdout.readline()
    told = {o["key"]: o["users"] for o in listed()}
    p.communicate()
    after = {o["key"]: o["users"] for o in listed()}
    TAP.ok(told[key] == 1 and sum(told.values()) == 1 and
           not any(after.values()), "users: the processes that map it",
           (told, after))


def damage(key, at, bit):
    path = os.path.join(CODE, key)
    os.chmod(path, 0o644)
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1 << bit]))
    os.chmod(path, 0o444)


def verifies(old, new):
    r = cache("verify")
    TAP.ok(r.status == 0 and r.out == b"2 right, 0 wrong\n",
           "verify: what is made as the format says is right", r)
    size = os.path.getsize(os.path.join(CODE, new))
    rng = random.Random(7)
    missed = []
    for _ in range(40):
        at, bit = rng.randrange(size), rng.randrange(8)
        damage(new, at, bit)
        r = cache("verify", new[:8])
        if r.status != 1 or not r.out.startswith(new.encode()):
            missed.append((at, bit, r))
        damage(new, at, bit)
    TAP.ok(not missed and cache("verify", new).status == 0,
           "verify: 40 flipped bits, 40 named, and right again after",
           missed)
    damage(old, 5000, 1)
    r = cache("verify", old)
    TAP.ok(r.status == 1 and b"checksum" in r.out and
           b"0 right, 1 wrong" in r.out, "verify KEY looks at that alone", r)
    r = cache("verify", "--delete")
    TAP.ok(r.status == 1 and b"1 right, 1 wrong, removed" in r.out and
           keys() == [new], "verify --delete removes what is wrong", r)
    TAP.ok(cache("verify").status == 0, "and then all is right")


def looks_wrong():
    """What would not be mapped is listed with the reason."""
    made = {
        "cut": put("cut"), "writable": put("writable"),
        "version": put("version", version=2), "renamed": put("renamed"),
        "link": put("link"),
    }
    path = {n: os.path.join(CODE, k) for n, k in made.items()}
    os.truncate(path["cut"], 5000)
    os.chmod(path["writable"], 0o666)
    with open(path["renamed"], "wb") as f:
        f.write(image("00" * 32))
    os.unlink(path["link"])
    os.symlink("/etc/passwd", path["link"])
    told = {o["key"]: o.get("wrong", "") for o in listed()}
    want = {"cut": "long", "writable": "others may write",
            "version": "version", "renamed": "key", "link": "link"}
    TAP.ok(all(w in told[made[n]] for n, w in want.items()),
           "ls tells what is wrong with an object", told)
    r = cache("verify", "--delete")
    TAP.ok(r.status == 1 and b"5 wrong" in r.out and
           not set(made.values()) & set(keys()), "verify removes them", r)


def prunes():
    cache("prune", "--all")
    TAP.ok(keys() == [], "prune --all leaves nothing")
    by_age = [put(f"age{i}", f"{i}.wasm", days=d)
              for i, d in enumerate((100, 50, 5, 0))]
    r = cache("prune", "--dry-run")
    TAP.ok(r.status == 0 and b"1 objects would go" in r.out and
           b"0.wasm" in r.out and len(keys()) == 4,
           "prune --dry-run tells and removes nothing", r)
    cache("prune")
    TAP.ok(keys() == sorted(by_age[1:]), "prune: what is older than 90 days")
    cache("prune", "--age", "30")
    TAP.ok(keys() == sorted(by_age[2:]), "prune --age")
    cache("prune", "--size", "20k")
    TAP.ok(keys() == by_age[3:], "prune --size: the longest unused first")
    TAP.ok(os.listdir(os.path.join(CODE, "seen")) == [by_age[3]],
           "records of what went are gone too")
    cache("prune", "--size", "0")
    TAP.ok(keys() == [], "prune --size 0")


def places():
    other = os.path.join(os.environ["TMPDIR"], "other")
    system = os.path.join(os.environ["TMPDIR"], "system")
    key = put("other", folder=other)
    TAP.ok(keys("--cache", other) == [key] and keys() == [],
           "--cache names another folder")
    env = dict(os.environ, BROOD_CACHE=other)
    r = cache("ls", env=env)
    TAP.ok(key[:12].encode() in r.out, "and so does BROOD_CACHE", r)
    put("shared", folder=system)
    env = dict(os.environ, BROOD_SYSTEM_CACHE=system)
    r = cache("ls", env=env)
    owner = os.geteuid() == 0
    TAP.ok((b"(system)" in r.out) == owner, "the system's folder is root's",
           r)
    os.chmod(other, 0o777)
    r = cache("ls", "--cache", other)
    TAP.ok(r.status == 111 and b"others" in r.err,
           "a folder that others may write: 111 and why", r)


empty()
wrong_uses()
OLD, NEW = lists()
users(OLD)
verifies(OLD, NEW)
looks_wrong()
prunes()
places()
TAP.done()
