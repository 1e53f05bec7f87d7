# SPDX-License-Identifier: Apache-2.0
"""brood image, on stores whose layers are written from memories made here:
what is shown, folded, carried and removed is compared with those."""

import hashlib
import json
import os
import random
import signal
import subprocess
import time
import xml.etree.ElementTree

import warm
from images import image, told

TAP = warm.Tap()
TMP = os.environ["TMPDIR"]
STORE = os.path.join(os.environ["XDG_DATA_HOME"], "brood/images")
WRITE = os.path.join(warm.BUILD, "tests/unit/write_images")
PAGE = 4096
PAGES = 1024
RNG = random.Random(11)


def page(seed):
    half = random.Random(seed).randbytes(PAGE // 2)
    return half + bytes([seed % 255 + 1]) * (PAGE // 2)


class Memory:
    """Pages by their number; the others are zeros."""

    def __init__(self, pages=None):
        self.pages = dict(pages or {})

    def set(self, numbers, seed):
        for n in numbers:
            self.pages[n] = page(seed + n)
        return self

    def clear(self, numbers):
        for n in numbers:
            self.pages.pop(n, None)
        return self

    def copy(self):
        return Memory(self.pages)

    def bytes(self):
        return b"".join(self.pages.get(n, bytes(PAGE)) for n in range(PAGES))

    def file(self, name):
        path = os.path.join(TMP, name)
        with open(path, "wb") as f:
            f.write(self.bytes())
        return path


def unlike(a, b):
    """Pages and bytes that differ."""
    a, b = a.bytes(), b.bytes()
    pages = [n for n in range(PAGES)
             if a[n * PAGE:(n + 1) * PAGE] != b[n * PAGE:(n + 1) * PAGE]]
    return pages, sum(x != y for n in pages
                      for x, y in zip(a[n * PAGE:(n + 1) * PAGE],
                                      b[n * PAGE:(n + 1) * PAGE]))


def write(name, *words, store=STORE):
    r = warm.run([WRITE, store, name, *words])
    assert r.status == 0, r
    return name


def listed(*words):
    return {i["name"]: i for i in told("ls", *words)["images"]}


def objects(store=STORE):
    return sorted(n for n in os.listdir(store) if len(n) == 64)


def nothing_there():
    r = image("ls")
    TAP.ok(r.status == 0 and r.out.count(b"\n") == 1,
           "a store that is not there has no images", r)
    TAP.ok(told("ls") == {"images": []}, "nor in JSON")
    for words in (("gc",), ("verify",)):
        TAP.ok(image(*words).status == 0, f"{words[0]} is fine with it")
    r = image("show", "x")
    TAP.ok(r.status == 111 and r.err.count(b"\n") == 1,
           "show: 111 and why", r)
    TAP.ok(not os.path.exists(STORE), "nothing was made by looking")


def wrong_uses():
    for words in ((), ("nosuch",), ("ls", "x"), ("show",), ("show", "a", "b"),
                  ("diff", "a"), ("fold",), ("fold", "a", "b", "c"),
                  ("export", "a"), ("import",), ("import", "a", "b", "c"),
                  ("rm",), ("gc", "x"), ("ls", "--nosuch"),
                  ("ls", "--store")):
        r = image(*words)
        TAP.ok(r.status == 100 and not r.out and r.err.count(b"\n") == 1,
               f"wrong use: brood image {' '.join(words)}", r)


BASE = Memory().set(range(10, 200), 1000).set(range(600, 700), 3000)
FIRST = BASE.copy().set(range(50, 60), 7000).clear(range(600, 640))
SECOND = FIRST.copy().set(range(55, 58), 8000).set(range(900, 904), 9000)


def make():
    paths = [m.file(f"memory{i}") for i, m in
             enumerate((BASE, FIRST, SECOND))]
    state = os.path.join(TMP, "state")
    disk = os.path.join(TMP, "disk")
    with open(state, "wb") as f:
        f.write(RNG.randbytes(60000))
    with open(disk, "wb") as f:
        f.write(RNG.randbytes(200000))
    working = Memory().set(range(20, 30), 1).file("working")
    write("base", paths[0])
    write("first", *paths[:2])
    write("second", "state=" + state, "disk=" + disk, "working=" + working,
          *paths)


def lists():
    rows = listed()
    TAP.ok(sorted(rows) == ["base", "first", "second"] and
           rows["base"]["layers"] == 1 and rows["first"]["layers"] == 2 and
           rows["second"]["layers"] == 4 and
           all(r["ram_bytes"] == PAGES * PAGE for r in rows.values()) and
           not any(r["fold_due"] for r in rows.values()),
           "ls --json: names, layers, memory", rows)
    # What a difference holds beside its data are a header and tables.
    own = rows["second"]["own_bytes"]
    TAP.ok(rows["base"]["own_bytes"] == 0 and
           rows["first"]["own_bytes"] == 0 and
           260000 + 17 * PAGE < own < 260000 + 17 * PAGE + 40000 and
           rows["second"]["bytes"] > rows["first"]["bytes"] + own - 1,
           "own bytes are those that no other image names", rows)
    lines = image("ls").out.decode().splitlines()
    TAP.ok(len(lines) == 4 and lines[0].startswith("NAME") and
           lines[1].split()[:3] == ["base", "4.0M", "1"], "ls: a line each",
           lines)


def shows():
    r = image("show", "second")
    text = r.out.decode()
    rows = text.split("memory by layer")[1].splitlines()[1:]
    cells = "".join(rows)
    TAP.ok(r.status == 0 and len(rows) == 16 and
           all(len(row) == 64 for row in rows),
           "show draws 16 rows of 64 characters", text)
    want = []
    for n in range(PAGES):
        top = "."
        if n in BASE.pages and n in SECOND.pages:
            top = "0"
        if SECOND.pages.get(n) != BASE.pages.get(n) and n in SECOND.pages:
            top = "1"
        if SECOND.pages.get(n) != FIRST.pages.get(n):
            top = "2"
        if 20 <= n < 30:
            top = "w"
        want.append(top)
    TAP.ok(cells == "".join(want), "each cell is of the layer that its page "
           "comes from", "\n".join(rows))
    shown = told("show", "second")
    TAP.ok("".join(shown["map"]["rows"]) == cells and
           [x["kind"] for x in shown["layers"]] ==
           ["base", "diff", "diff", "working"] and
           [x["kind"] for x in shown["files"]] == ["state", "disk"] and
           shown["files"][0]["data_bytes"] == 60000 and
           shown["layers"][1]["zero_bytes"] == 40 * PAGE and
           json.loads(shown["words"]) == {"machine": "made", "n": 7},
           "show --json tells the same", shown)
    narrow = image("show", "first", env=dict(os.environ, COLUMNS="40"))
    rows = narrow.out.decode().split("memory by layer")[1].splitlines()[1:]
    TAP.ok(len(rows) <= 16 and max(len(row) for row in rows) == 38,
           "on 40 columns it is narrower", narrow.out.decode())


def draws():
    path = os.path.join(TMP, "memory.svg")
    r = image("show", "second", "--svg", path)
    TAP.ok(r.status == 0, "show --svg", r)
    root = xml.etree.ElementTree.parse(path).getroot()
    ns = "{http://www.w3.org/2000/svg}"
    rects = root.findall(f"{ns}g/{ns}rect")
    colours = {x.get("fill") for x in rects}
    texts = [x.text for x in root.findall(f"{ns}text")]
    area = sum(int(x.get("width")) * int(x.get("height")) for x in rects)
    TAP.ok(root.tag == ns + "svg" and len(colours) == 5 and
           area == PAGES * 36 and len(texts) == 6 and
           "second" in texts[0] and texts[1] == "zeros" and
           texts[5].startswith("3 working"),
           "it is XML, has a colour a layer, a legend, and all of the memory",
           (colours, texts, area))
    r = image("show", "second", "--svg", "/proc/nowhere/x.svg")
    TAP.ok(r.status == 111 and b"/nowhere" in r.err,
           "a picture that cannot be written: 111 and why", r)


def differs():
    pages, count = unlike(FIRST, SECOND)
    d = told("diff", "first", "second", "--list")
    ranges = [n for r in d["ranges"]
              for n in range(r["offset"] // PAGE,
                             (r["offset"] + r["bytes"]) // PAGE)]
    TAP.ok(ranges == pages and d["pages"] == len(pages) and
           d["bytes"] == count,
           "diff counts the pages and bytes that are different", d)
    TAP.ok(d["looked_pages"] < 60, "and looks only at what layers tell "
           "differently", d)
    r = image("diff", "first", "second", "--list")
    TAP.ok(r.status == 1 and r.out.count(b"\n") == 3 and
           r.out.startswith(b"0x%012x 12288\n" % (55 * PAGE)),
           "diff --list: a line a range, and exit code 1", r)
    TAP.ok(image("diff", "first", "first").status == 0,
           "no difference to itself: 0")


def folds():
    before = objects()
    r = image("fold", "second", "folded")
    TAP.ok(r.status == 0 and b"4 layers" in r.out and b"became 3" in r.out,
           "fold tells what became of it", r)
    TAP.ok(image("diff", "second", "folded").status == 0,
           "the memory is the same")
    TAP.ok(set(before) < set(objects()), "the old layers are still there")
    r = image("fold", "second", "first")
    TAP.ok(r.status == 111 and b"--replace" in r.err,
           "fold does not replace another image", r)
    d = told("fold", "folded", "--all")
    TAP.ok(d.get("to", {}).get("layers") == 2 and
           image("diff", "second", "folded").status == 0,
           "fold --all, in place: a base and the working set", d)
    r = image("fold", "nosuch")
    TAP.ok(r.status == 111 and r.err.count(b"\n") == 1, "fold of nothing", r)


def carries():
    path = os.path.join(TMP, "bundle")
    other = os.path.join(TMP, "other")
    r = image("export", "first", "second", path)
    TAP.ok(r.status == 0 and os.stat(path).st_mode & 0o777 == 0o600,
           "export writes a file for its owner alone", r)
    d = told("import", path, "--store", other)
    TAP.ok(d.get("images") == ["first", "second"] and d["there"] == 0 and
           d["packed_bytes"] == os.path.getsize(path),
           "import into another store", d)
    TAP.ok(image("verify", "--store", other).status == 0 and
           sorted(listed("--store", other)) == ["first", "second"] and
           told("show", "second")["id"] ==
           told("show", "second", "--store", other)["id"],
           "there all is right and the same")
    d = told("import", path, "--store", other)
    TAP.ok(d.get("there") == d["objects"], "again: all is there", d)
    p = subprocess.run(f"{warm.BROOD} image export first - |"
                       f"{warm.BROOD} image import - piped --store {other}",
                       shell=True, capture_output=True)
    TAP.ok(p.returncode == 0 and p.stdout.startswith(b"piped\n"),
           "through a pipe, by another name", p)
    image("fold", "second", "first", "--replace")
    image("export", "first", path)
    r = image("import", path, "--store", other)
    TAP.ok(r.status == 111 and b"--replace" in r.err,
           "import does not replace another image", r)
    TAP.ok(image("import", path, "--store", other,
                 "--replace").status == 0 and
           image("verify", "--store", other).status == 0,
           "unless it is told to")
    write("first", os.path.join(TMP, "memory0"), os.path.join(TMP, "memory1"))
    with open(path, "r+b") as f:
        f.seek(5000)
        f.write(b"xx")
    r = image("import", path, "bad", "--store", other)
    TAP.ok(r.status == 111 and b"wrong" in r.err and
           "bad" not in listed("--store", other), "a damaged bundle", r)
    r = image("import", "/etc/passwd", "--store", other)
    TAP.ok(r.status == 111 and b"no bundle" in r.err, "what is none", r)
    r = image("import", path, "x", "--store", "/proc/nowhere")
    TAP.ok(r.status == 111 and r.err.count(b"\n") == 1,
           "a store that cannot be made", r)


def full_disk():
    """A file system with too little room, where one can be mounted."""
    small = os.path.join(TMP, "small")
    os.mkdir(small, 0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k,mode=700",
                       "none", small], capture_output=True).returncode:
        TAP.skip("import into a full disk", "no mount here")
        return
    path = os.path.join(TMP, "full-bundle")
    image("export", "second", path)
    try:
        r = image("import", path, "--store", small)
        TAP.ok(r.status == 111 and b"room" in r.err and
               objects(small) == [] and not listed("--store", small),
               "a disk that is too small is told before anything is written",
               r)
        # Room for what is told, and none when it is written.
        p = subprocess.Popen([warm.BROOD, "image", "export", "first",
                              os.path.join(small, "x")],
                             stderr=subprocess.PIPE)
        err = p.communicate()[1]
        left = [n for n in os.listdir(small) if n.startswith("x")]
        TAP.ok((p.returncode == 111 and left == []) or
               (p.returncode == 0 and left == ["x"]),
               "an export is whole or not there", (p.returncode, err, left))
    finally:
        subprocess.run(["umount", small])


def killed():
    """kill -9 at several moments of an import."""
    path = os.path.join(TMP, "kill-bundle")
    store = os.path.join(TMP, "killed")
    image("export", "second", path)
    image("import", path, "before", "--store", store)
    image("export", "folded", path)
    whole = open(path, "rb").read()
    for part in range(1, 8):
        p = subprocess.Popen([warm.BROOD, "image", "import", "-", "after",
                              "--store", store], stdin=subprocess.PIPE)
        p.stdin.write(whole[:len(whole) * part // 8])
        p.stdin.flush()
        time.sleep(0.02)
        p.send_signal(signal.SIGKILL)
        p.wait()
        p.stdin.close()
    TAP.ok(sorted(listed("--store", store)) == ["before"] and
           image("verify", "--store", store).status == 0,
           "an import that was killed leaves the store as it was")
    image("gc", "--store", store)
    count = len(objects(store))
    TAP.ok(count == 6, "and after gc no layers of it", count)


def damage(store, name, at):
    path = os.path.join(store, name)
    os.chmod(path, 0o644)
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))
    os.chmod(path, 0o444)


def verifies():
    store = os.path.join(TMP, "verified")
    paths = [os.path.join(TMP, f"memory{i}") for i in range(3)]
    write("a", *paths, store=store)
    write("b", paths[2], store=store)
    r = image("verify", "--store", store)
    TAP.ok(r.status == 0 and r.out == b"6 right, 0 wrong\n",
           "verify: all is right", r)
    layers = told("show", "a", "--store", store)["layers"]
    missed = []
    for _ in range(20):
        layer = RNG.choice(layers[1:])
        at = RNG.randrange(layer["file_bytes"])
        damage(store, layer["id"], at)
        r = image("verify", "a", "--store", store)
        if r.status != 1 or layer["id"].encode() not in r.out:
            missed.append((at, r))
        damage(store, layer["id"], at)
    TAP.ok(not missed and image("verify", "a", "--store", store).status == 0,
           "verify: 20 flipped bits, all named, and right again after",
           missed)
    damage(store, layers[2]["id"], layers[2]["file_bytes"] - 1)
    d = told("verify", "--store", store)
    TAP.ok(d.get("wrong") == 2 and any(layers[2]["id"] in p
                                       for p in d["problems"]),
           "verify --json names what is wrong", d)
    rows = listed("--store", store)
    TAP.ok("wrong" in rows["a"] and "wrong" not in rows["b"],
           "ls tells of it, and lists the rest", rows)
    TAP.ok(image("verify", "b", "--store", store).status == 0,
           "verify NAME looks at that alone")
    r = image("verify", "nosuch", "--store", store)
    TAP.ok(r.status == 1 and b"nosuch" in r.out, "verify of nothing", r)
    damage(store, "tips/b", 200)
    r = image("gc", "--store", store)
    TAP.ok(r.status == 111 and b"nothing was removed" in r.err and
           len(objects(store)) == 4, "gc with an image that cannot be read",
           r)
    r = image("gc", "--force", "--store", store)
    TAP.ok(r.status == 0 and len(objects(store)) == 3, "gc --force", r)


def removes():
    r = image("rm", "folded", "nosuch")
    TAP.ok(r.status == 111 and "folded" not in listed() and
           b"nosuch" in r.err, "rm: what is there goes, the rest is told", r)
    before = objects()
    d = told("gc", "--dry-run")
    TAP.ok(d["gone"] > 0 and objects() == before,
           "gc --dry-run tells and removes nothing", d)
    gone = {o["name"] for o in d["objects"] if o["what"] == "gone"}
    d = told("gc")
    TAP.ok(set(before) - set(objects()) == gone and d["gone"] == len(gone)
           and image("verify").status == 0, "gc removes those", d)
    r = image("gc")
    TAP.ok(r.status == 0 and r.out.startswith(b"0 objects removed"),
           "and then nothing", r)
    TAP.ok(told("rm", "first") == {"removed": ["first"]} and
           sorted(listed()) == ["base", "second"], "rm --json")
    seen = os.path.join(STORE, "seen")
    TAP.ok(set(os.listdir(seen)) <= set(objects()),
           "no records of what is gone")


def places():
    other = os.path.join(TMP, "elsewhere")
    write("x", os.path.join(TMP, "memory0"), store=other)
    TAP.ok(list(listed("--store", other)) == ["x"], "--store")
    r = image("ls", env=dict(os.environ, BROOD_IMAGES=other))
    TAP.ok(b"\nx " in r.out, "BROOD_IMAGES", r)
    os.chmod(other, 0o777)
    r = image("ls", "--store", other)
    TAP.ok(r.status == 111 and b"others" in r.err,
           "a folder that others may write: 111 and why", r)


def due():
    """Many differences."""
    memory = BASE.copy()
    paths = [memory.file("due0")]
    for i in range(9):
        memory.set([300 + i], 50 * i)
        paths.append(memory.file(f"due{i + 1}"))
    write("deep", *paths)
    row = listed()["deep"]
    TAP.ok(row["fold_due"] and "layers" in row["fold_why"],
           "ls tells that a fold is due", row)
    image("fold", "deep")
    TAP.ok(not listed()["deep"]["fold_due"], "and after it that it is not")
    image("rm", "deep")


nothing_there()
wrong_uses()
make()
lists()
shows()
draws()
differs()
folds()
carries()
killed()
full_disk()
verifies()
removes()
places()
due()
TAP.done()
