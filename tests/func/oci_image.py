# SPDX-License-Identifier: Apache-2.0
"""brood image export and import --oci: images of machines that were made here,
and one of a machine that runs; what strangers make of a layout; what is killed
or has no room; the programs that carry layouts."""

import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time

import machines as m
import warm
from images import image, told

TAP = warm.Tap()
TMP = os.environ["TMPDIR"]
STORE = os.path.join(os.environ["XDG_DATA_HOME"], "brood/images")
WRITE = os.path.join(warm.BUILD, "tests/unit/write_images")
LOOK = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    "../lib/oci_layout.py")
CONFIG = "application/vnd.brood.tip.config.v1+json"
LAYER = "application/vnd.brood.image.v1"
PAGE, PAGES = 4096, 1024


def path(name):
    return os.path.join(TMP, name)


def names(store=STORE):
    return sorted(i["name"] for i in told("ls", "--store", store)["images"])


def objects(store):
    return sorted(n for n in os.listdir(store) if len(n) == 64)


def one_line(r, *words, status=111):
    text = r.err.decode(errors="replace")
    return (r.status == status and not r.out and text.count("\n") == 1 and
            all(w in text for w in words))


def picture(folder):
    return {os.path.relpath(os.path.join(at, n), folder):
            hashlib.sha256(open(os.path.join(at, n), "rb").read()).hexdigest()
            for at, _, files in os.walk(folder) for n in files}


def blob_path(folder, d):
    return os.path.join(folder, "blobs/sha256", d["digest"][7:])


def blob(folder, d):
    with open(blob_path(folder, d), "rb") as f:
        return f.read()


def layout(folder):
    """{name: manifest}, when all in it is what it says."""
    r = warm.run([sys.executable, LOOK, folder])
    if r.status != 0:
        warm.note(r)
        return {}
    with open(os.path.join(folder, "index.json")) as f:
        return {i["annotations"]["org.opencontainers.image.ref.name"]:
                json.loads(blob(folder, i)) for i in json.load(f)["manifests"]}


# ---- images -----------------------------------------------------------------------

SHAPE = {"memory": PAGES * PAGE, "cpus": 2,
         "machine": "q35,smm=off,usb=off,sata=off,smbus=off,vmport=off",
         "accel": "tcg", "cpu": "max", "host_cpu": "", "qemu": "0.1 (none)",
         "qemu_digest": "5" * 64, "network": False, "disks": []}


def shape_id(s):
    text = (f"{s['memory']} {s['cpus']} {s['machine']}\n{s['accel']} "
            f"{s['cpu']}\n{s['host_cpu']}\n{s['qemu']} {s['qemu_digest']}\n"
            f"{int(s['network'])}\n")
    return hashlib.sha256(text.encode()).hexdigest()


def words_of(shape, **more):
    return json.dumps({"machine": "made", "shape": shape, **more},
                      separators=(",", ":"))


def memory(name, *fills):
    data = bytearray(PAGES * PAGE)
    for start, count, seed in fills:
        rng = random.Random(seed)
        for n in range(start, start + count):
            half = rng.randbytes(PAGE // 2)
            data[n * PAGE:(n + 1) * PAGE] = half + bytes([seed]) * (PAGE // 2)
    with open(path(name), "wb") as f:
        f.write(data)
    return path(name)


def write(name, *words, shape=None, store=STORE, text=None):
    s = shape or SHAPE
    r = warm.run([WRITE, store, name, "shape=" + shape_id(s),
                  "words=" + (text or words_of(s)), *words])
    assert r.status == 0, r


def make():
    base = memory("m0", (10, 200, 1), (600, 100, 2))
    one = memory("m1", (10, 200, 1), (50, 10, 3), (600, 100, 2))
    two = memory("m2", (10, 200, 1), (50, 10, 3), (600, 100, 2), (900, 4, 4))
    with open(path("state"), "wb") as f:
        f.write(random.Random(7).randbytes(60000))
    write("base", base)
    write("first", "state=" + path("state"), base, one)
    write("second", "state=" + path("state"), base, one, two)


# ---- what is written ----------------------------------------------------------------

def wrong_uses():
    lay = path("wrong")
    for words in (["export", "--oci", lay], ["import", "--oci", lay, "a", "b"],
                  ["export", "first", "base", "--oci", lay],
                  ["ls", "--oci", lay], ["export", "first", "x", "--name", "n"],
                  ["import", "x", "--annotation", "a=b"],
                  ["export", "first", "--oci", lay, "--name", "../x"],
                  ["export", "first", "--oci", lay, "--annotation", "x"]):
        r = image(*words)
        TAP.ok(one_line(r, status=100), f"wrong use: {' '.join(words)[:50]}",
               r)
    r = image("export", "none", "--oci", lay)
    TAP.ok(one_line(r, "tip none"), "export of what is not there", r)
    r = image("export", "first", "--oci", lay, "--annotation",
              "brood.machine.qemu=x")
    TAP.ok(one_line(r, "there twice"), "an annotation that is ours", r)
    mine = path("mine")
    os.mkdir(mine)
    open(os.path.join(mine, "file"), "w").close()
    r = image("export", "first", "--oci", mine)
    TAP.ok(one_line(r, "no OCI layout, and not empty") and
           os.listdir(mine) == ["file"], "a folder of something else", r)
    TAP.ok(not os.path.exists(lay), "nothing was made by all that")


def exports():
    lay = path("layout")
    r = image("export", "base", "--oci", lay)
    found = layout(lay).get("localhost/base:latest", {})
    TAP.ok(r.status == 0 and r.out.decode() ==
           f"oci:{lay}:localhost/base:latest\n", "export", r)
    TAP.ok(found and found["config"]["mediaType"] == CONFIG and
           [d["mediaType"] for d in found["layers"]] == [LAYER] and
           found["annotations"] == {
               "brood.machine.accel": "tcg", "brood.machine.cpu": "max",
               "brood.machine.memory": str(PAGES * PAGE),
               "brood.machine.qemu": "0.1 (none)"},
           "config, layer, and what machine it needs", found)
    d = told("export", "first", "--oci", lay, "--name", "tips:1",
             "--annotation", "who=us")
    both = layout(lay)
    first = both.get("tips:1", {"layers": [], "annotations": {}})
    TAP.ok(d.get("objects") == 3 and d["there"] == 1 and
           d["name"] == "tips:1" and d["image"] == "first" and
           first["annotations"].get("who") == "us",
           "a second one: its base is there", d)
    TAP.ok(len(first["layers"]) == 3 and
           first["layers"][0] == both["localhost/base:latest"]["layers"][0] and
           len(os.listdir(os.path.join(lay, "blobs/sha256"))) == 7,
           "it is the same blob", first)
    config = json.loads(blob(lay, first["config"]))
    TAP.ok([o["kind"] for o in config["objects"]] == ["base", "diff", "state"]
           and config["layers"] == [0, 1] and config["state"] == 2 and
           config["words"] == json.loads(words_of(SHAPE)) and
           config["shape"] == shape_id(SHAPE), "the config tells of it",
           config)
    before = picture(lay)
    image("export", "first", "--oci", lay, "--name", "tips:1", "--annotation",
          "who=us")
    TAP.ok(picture(lay) == before, "the same again is the same")
    again = path("again")
    image("export", "base", "--oci", again)
    TAP.ok(set(picture(again)) < set(before), "and in another layout too")
    held = sum(d["size"] for d in first["layers"])
    TAP.ok(held < PAGES * PAGE / 3 and max(
        os.path.getsize(os.path.join(STORE, n)) for n in objects(STORE)) >
        PAGES * PAGE, "holes take no room", held)
    return lay


# ---- what is read -------------------------------------------------------------------

def imports(lay):
    store = path("store")
    r = image("import", "--oci", lay, "--store", store)
    TAP.ok(one_line(r, "has 2 of them"), "which one?", r)
    r = image("import", "--oci", lay, "--name", "tips:1", "--store", store)
    why = ("QEMU 0.1 (none), here is" if shutil.which(m.QEMU) else "QEMU")
    TAP.ok(one_line(r, why, "--force") and objects(store) == [],
           "a machine that cannot go on here is refused, before any copy", r)
    r = image("import", "--oci", lay, "--name", "localhost/base:latest",
              "--store", store, "--force")
    TAP.ok(r.status == 0 and r.out.startswith(b"base\n"),
           "unless it is forced", r)
    # What is there is not read: it can be missing in the layout.
    part = path("part")
    shutil.copytree(lay, part)
    os.unlink(blob_path(part, layout(lay)["tips:1"]["layers"][0]))
    d = told("import", "--oci", part, "--name", "tips:1", "--store", store,
             "--force")
    sizes = [d["size"] for d in layout(lay)["tips:1"]["layers"]]
    TAP.ok(d.get("images") == ["first"] and d["there"] == 1 and
           d["objects"] == 3 and d["packed_bytes"] == sum(sizes[1:]),
           "only the difference is read", d)
    same = ([told("show", n)["id"] for n in ("base", "first")] ==
            [told("show", n, "--store", store)["id"]
             for n in ("base", "first")])
    TAP.ok(same and image("verify", "--store", store).status == 0 and
           objects(store) == sorted(set(objects(STORE)) &
                                    set(objects(store))),
           "there all is right, and the same")
    d = told("import", "--oci", lay, "--name", "tips:1", "--store", store,
             "--force")
    TAP.ok(d.get("there") == 3 and d["packed_bytes"] == 0,
           "again: all is there", d)
    r = image("import", "--oci", lay, "--name", "tips:1", "other", "--store",
              store, "--force")
    TAP.ok(r.status == 0 and names(store) == ["base", "first", "other"],
           "by another name", r)
    force = ("--oci", lay, "--name", "localhost/base:latest", "--store",
             store, "--force")
    r = image("import", *force, "other")
    TAP.ok(one_line(r, "--replace"), "another image is not replaced", r)
    r = image("import", *force, "other", "--replace")
    TAP.ok(r.status == 0 and image("diff", "base", "other", "--store",
                                   store).status == 0,
           "unless it is told to", r)
    r = image("import", *force, "../x")
    TAP.ok(one_line(r, "no name of a tip"), "by a name that is none", r)


def forged(lay, change, late=None):
    """A copy of tips:1 whose sizes and digests are right, but for what "late"
    changes: both get manifest, config and layers."""
    folder = path("forged")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(lay, folder)
    with open(os.path.join(folder, "index.json")) as f:
        index = json.load(f)
    item = [i for i in index["manifests"] if i["annotations"][
        "org.opencontainers.image.ref.name"] == "tips:1"][0]
    manifest = json.loads(blob(folder, item))
    parts = {"config": json.loads(blob(folder, manifest["config"])),
             "layers": [blob(folder, d) for d in manifest["layers"]]}

    def put(d, data):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(folder, "blobs/sha256", digest), "wb") as f:
            f.write(data)
        d.update(digest="sha256:" + digest, size=len(data))
    change(manifest, parts)
    put(manifest["config"], parts.get("text") or json.dumps(
        parts["config"], separators=(",", ":")).encode())
    for d, data in zip(manifest["layers"], parts["layers"]):
        put(d, data)
    if late:
        late(manifest, folder)
    put(item, json.dumps(manifest).encode())
    index["manifests"] = [item]
    with open(os.path.join(folder, "index.json"), "w") as f:
        json.dump(index, f)
    return folder


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def hostile(lay):
    store = path("hostile")

    def refused(words, why, change, late=None, clean=False):
        folder = forged(lay, change, late)
        shutil.rmtree(store, ignore_errors=True)
        r = image("import", "--oci", folder, "--store", store, "--force")
        TAP.ok(one_line(r, why) and names(store) == [] and
               image("verify", "--store", store).status == 0 and
               not (clean and objects(store)), f"refused: {words}", r)

    def nothing(manifest, parts):
        pass

    def config(**members):
        return lambda _, p: p["config"].update(**members)

    def layers(change):
        def apply(_, parts):
            parts["layers"] = change(parts["layers"])
        return apply

    def layer(number, change):
        return layers(lambda l: [change(d) if i == number else d
                                 for i, d in enumerate(l)])

    def blob_late(number, change):
        def apply(manifest, folder):
            change(manifest["layers"][number],
                   blob_path(folder, manifest["layers"][number]))
        return apply

    def write_over(_, file):
        with open(file, "r+b") as f:
            f.seek(os.path.getsize(file) // 2)
            f.write(b"xyz")

    def to_link(_, file):
        os.rename(file, path("away"))
        os.symlink(path("away"), file)

    r = image("import", "--oci", forged(lay, nothing), "--store",
              path("forged-store"), "--force")
    TAP.ok(r.status == 0, "forged, but true", r)
    domain = {"kind": "domain", "point": "ready"}
    def nothing_of(words, why, change):
        refused(words, why, change, clean=True)

    nothing_of("a domain's image", "made on the node", config(words=domain))
    nothing_of("words of no machine", "no machine's", config(words={}))
    nothing_of("words of another machine", "another machine than its words",
               config(words=json.loads(words_of({**SHAPE, "cpus": 3}))))
    more = {**SHAPE, "cpus": 3}
    nothing_of("layers of another machine", "of another machine",
               config(words=json.loads(words_of(more)), shape=shape_id(more)))
    nothing_of("another name", "no name of a tip", config(name="../../x"))
    nothing_of("a config without objects", "config tells of 0 layers",
               config(objects=[]))
    nothing_of("a config that is no JSON", "its config",
               lambda _, p: p.update(text=b"{"))
    nothing_of("a config of 2 MiB", "its config",
               lambda _, p: p.update(text=b" " * (2 << 20)))
    refused("memory without an end", "another machine than its words",
            config(memory=1 << 62))
    refused("no memory", "another machine", config(memory=0))
    refused("a chain in another order", "difference", config(layers=[0, 0]))
    refused("a chain without its base", "no base", config(layers=[1]))
    refused("a state that is none", "is none", config(state=1))
    refused("a number of no object", "object", config(state=5))

    def objects_late(manifest, parts):
        manifest["layers"].append(dict(manifest["layers"][0]))
        parts["layers"].append(parts["layers"][0])
    refused("a layer more than the config tells", "tells of 3 layers",
            objects_late)

    def many(manifest, parts):
        manifest["layers"] = [dict(manifest["layers"][0]) for _ in range(5000)]
    refused("5,000 layers", "layers more", many)
    refused("a layer of another kind", "is no " + LAYER, nothing,
            lambda manifest, _: manifest["layers"][1].update(mediaType="x/y"))
    refused("layers that have changed places", "import",
            layers(lambda l: [l[1], l[0], l[2]]))
    for i, what in enumerate(("base", "difference", "state")):
        refused(f"a {what} that is cut", "cut off",
                layer(i, lambda d: d[:len(d) - 9]))
        refused(f"an empty {what}", "cut off", layer(i, lambda d: b""))
        refused(f"a {what} with more behind it", "more than an object",
                layer(i, lambda d: d + b"more"))
        refused(f"a {what} with a flipped bit and its digest", "wrong",
                layer(i, lambda d: flip(d, len(d) // 2)))
        refused(f"a {what} with a frame of 4 GiB", "too long",
                layer(i, lambda d: b"\xff\xff\xff\xff" + d[4:]))
        refused(f"a {what} that was written over", "import", nothing,
                blob_late(i, write_over))
        refused(f"a {what} of another size", "should have 7", nothing,
                blob_late(i, lambda d, _: d.update(size=7)))
        refused(f"a {what} of an absurd size", "should have", nothing,
                blob_late(i, lambda d, _: d.update(size=1 << 62)))
        refused(f"a {what} that is missing", "No such file", nothing,
                blob_late(i, lambda _, file: os.unlink(file)))
        refused(f"a {what} that is a link", "symbolic link", nothing,
                blob_late(i, to_link))
    def renamed(d, file):
        os.rename(file, os.path.join(os.path.dirname(file), "5" * 64))
        d.update(digest="sha256:" + "5" * 64)
    refused("a right layer under another digest", "another digest", nothing,
            blob_late(1, renamed))
    refused("a digest that leads out", "no digest", nothing,
            blob_late(0, lambda d, _: d.update(digest="sha256:../../x")))


def domains():
    """What a domain has saved, with its code."""
    with open(path("warm.wat"), "w") as f:
        f.write('(module (import "brood" "ready" (func $ready))'
                ' (memory (export "memory") 1)'
                ' (func (export "_start") (call $ready)))')
    r = warm.brood("run", "--until", "ready", "--save", "warm",
                   path("warm.wat"))
    if r.status != 0:
        TAP.skip("a domain's image", r.err.decode().strip()[:60])
        return
    r = image("export", "warm", "--oci", path("domain"))
    TAP.ok(one_line(r, "compiled code", "made on the node") and
           not os.path.exists(path("domain")),
           "a domain's image is not exported", r)
    image("rm", "warm")


# ---- no room, and killed ----------------------------------------------------------------

def full_disk(lay):
    small = path("small")
    os.mkdir(small, 0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k,mode=700",
                       "none", small], capture_output=True).returncode:
        TAP.skip("no room", "no mount here")
        return
    try:
        r = image("import", "--oci", lay, "--name", "tips:1", "--store",
                  small, "--force")
        TAP.ok(one_line(r, "room") and objects(small) == [],
               "a disk that is too small is told before anything is written",
               r)
        with open(os.path.join(small, "ballast"), "wb") as f:
            f.write(bytes(550 << 10))
        for n in objects(small):
            os.unlink(os.path.join(small, n))
        r = image("export", "second", "--oci", os.path.join(small, "lay"))
        left = os.listdir(os.path.join(small, "lay"))
        TAP.ok(one_line(r, "No space left") and "index.json" not in left and
               os.listdir(os.path.join(small, "lay/blobs/sha256")) == [],
               "an export without room leaves no blob and no index",
               (r, left))
    finally:
        subprocess.run(["umount", small])


def killed_at(call, n, *words):
    """Did that n-th call kill it?"""
    r = warm.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e",
                  "trace=" + call, "-e", f"inject={call}:signal=KILL:when={n}",
                  warm.BROOD, "image", *words])
    return r.status != 0


def killed(lay):
    if not shutil.which("strace") or warm.run(
            ["strace", "-qq", "-o", "/dev/null", "true"]).status != 0:
        TAP.skip("killed at each step", "no strace")
        return
    old = path("old-layout")
    image("export", "base", "--oci", old, "--name", "old")
    steps, wrong = 0, []
    for call in ("write", "linkat", "rename", "fsync"):
        for n in range(1, 40):
            cut = path("cut")
            shutil.rmtree(cut, ignore_errors=True)
            shutil.copytree(old, cut)
            words = ("export", "second", "--oci", cut, "--name", "new")
            if not killed_at(call, n, *words):
                break
            steps += 1
            if sorted(layout(cut)) not in (["old"], ["new", "old"]):
                wrong.append((call, n))
            image(*words)
            if sorted(layout(cut)) != ["new", "old"] or any(
                    ".draft." in f for f in picture(cut)):
                wrong.append((call, n, "after"))
    TAP.ok(steps > 9 and not wrong, f"an export killed at {steps} steps: the "
           "layout is the old one or the new one", wrong)
    steps, wrong, kept = 0, [], 0
    image("export", "second", "--oci", cut, "--name", "new")
    for call in ("pwrite64", "linkat", "renameat", "fsync", "ftruncate"):
        for n in range(1, 40):
            store = path("killed")
            shutil.rmtree(store, ignore_errors=True)
            image("import", "--oci", old, "--store", store, "--force")
            words = ("import", "--oci", cut, "--name", "new", "--store",
                     store, "--force")
            if not killed_at(call, n, *words):
                break
            steps += 1
            here = names(store)
            if here not in (["base"], ["base", "second"]) or image(
                    "verify", "--store", store).status != 0:
                wrong.append((call, n, here))
            d = told(*words)
            kept += d.get("there", 0) > 1
            if names(store) != ["base", "second"] or told(
                    "show", "second", "--store", store)["id"] != told(
                        "show", "second")["id"]:
                wrong.append((call, n, "after"))
    TAP.ok(steps > 9 and not wrong, f"an import killed at {steps} steps: the "
           "image is there or not, and once more it is", wrong)
    TAP.ok(kept > 0, "what was whole is used the next time", kept)


# ---- the programs that carry it -------------------------------------------------------

class Registry:
    def __init__(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.at = f"127.0.0.1:{s.getsockname()[1]}"
        config, self.log = path("registry.yml"), path("registry.log")
        with open(config, "w") as f:
            f.write("version: 0.1\nstorage: {filesystem: {rootdirectory: "
                    f"{path('registry')}}}}}\nhttp: {{addr: \"{self.at}\"}}\n")
        self.process = subprocess.Popen(
            ["docker-registry", "serve", config], stdin=subprocess.DEVNULL,
            stdout=open(self.log, "w"), stderr=subprocess.STDOUT)
        warm.wait_until(self.answers, 10, 0.1)

    def answers(self):
        host, port = self.at.split(":")
        try:
            socket.create_connection((host, int(port)), 1).close()
            return True
        except OSError:
            return False

    def blobs(self):
        """{digest: bytes} of what it has."""
        found = {}
        for at, _, files in os.walk(path("registry")):
            if "data" in files and "/blobs/" in at:
                found[os.path.basename(at)] = os.path.getsize(
                    os.path.join(at, "data"))
        return found

    def close(self):
        self.process.kill()
        self.process.wait()


def copy(source, to):
    return warm.run(["skopeo", "copy", "--src-tls-verify=false",
                     "--dest-tls-verify=false", source, to])


def registries(lay):
    if not shutil.which("skopeo") or not shutil.which("docker-registry"):
        TAP.skip("by a registry", "no skopeo, or no docker-registry")
        return
    registry = Registry()
    try:
        r = copy(f"oci:{lay}:localhost/base:latest",
                 f"docker://{registry.at}/tips:base")
        had = registry.blobs()
        TAP.ok(r.status == 0 and had, "pushed to a registry", r)
        r = copy(f"oci:{lay}:tips:1", f"docker://{registry.at}/tips:first")
        new = set(registry.blobs()) - set(had)
        first = layout(lay)["tips:1"]
        told_of = {d["digest"][7:] for d in
                   [first["config"], *first["layers"][1:]]}
        TAP.ok(r.status == 0 and told_of < new and len(new) == 4,
               "a second one is its difference, state, config and manifest",
               (r, new))
        back = path("back")
        r = copy(f"docker://{registry.at}/tips:first", f"oci:{back}:x")
        TAP.ok(r.status == 0 and layout(back).get("x") == first,
               "and pulled: the same manifest", r)
        store = path("pulled")
        r = image("import", "--oci", back, "--store", store, "--force")
        TAP.ok(r.status == 0 and image("verify", "--store",
                                       store).status == 0 and
               told("show", "first", "--store", store)["id"] ==
               told("show", "first")["id"], "imported: the same image", r)
    finally:
        registry.close()


def podman(lay):
    if not shutil.which("podman"):
        TAP.skip("podman pull", "no podman")
        return
    r = warm.run(["podman", "--root", path("p-root"), "--runroot",
                  path("p-run"), "--storage-driver", "vfs", "pull",
                  f"oci:{os.path.basename(lay)}:tips:1"], cwd=TMP)
    TAP.ok(r.status != 0 and CONFIG.encode() in r.err,
           "podman takes it for no container's image, and says so", r)


def containerd(lay):
    if not all(map(shutil.which, ("containerd", "ctr"))) or os.geteuid():
        TAP.skip("by containerd", "no containerd and ctr, or not root")
        return
    at = path("c")
    os.mkdir(at)
    with open(os.path.join(at, "config.toml"), "w") as f:
        f.write(f'version = 2\nroot = "{at}/root"\nstate = "{at}/state"\n'
                'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                f'[grpc]\n  address = "{at}/s"\n'
                f'[ttrpc]\n  address = "{at}/t"\n')
    daemon = subprocess.Popen(
        ["containerd", "--config", f"{at}/config.toml"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)

    def ctr(*words):
        return warm.run(["ctr", "--address", f"{at}/s", *words])
    try:
        warm.wait_until(lambda: ctr("version").status == 0, 20, 0.1)
        warm.run(["tar", "-C", lay, "-cf", path("layout.tar"), "."])
        r = ctr("image", "import", "--no-unpack", path("layout.tar"))
        TAP.ok(r.status == 0, "ctr imports it, without an unpack", r)
        r = ctr("image", "export", "--all-platforms", path("out.tar"),
                "tips:1")
        out = path("from-ctr")
        os.mkdir(out)
        warm.run(["tar", "-C", out, "-xf", path("out.tar")])
        r2 = image("import", "--oci", out, "by-ctr", "--store",
                   path("pulled"), "--force")
        TAP.ok(r.status == r2.status == 0, "and exports it again", (r, r2))
    finally:
        daemon.terminate()
        daemon.wait(20)
        mounts = [line.split()[1] for line in open("/proc/mounts")
                  if line.split()[1].startswith(at + "/")]
        for mount in reversed(mounts):
            subprocess.run(["umount", "-l", mount])


# ---- a machine --------------------------------------------------------------------------

def machine():
    """One that runs is saved, goes, and goes on from another store."""
    why = m.missing()
    if why:
        TAP.skip("a machine goes by a layout", why)
        return
    initrd, lay, store = path("m.img"), path("m-layout"), path("m-store")
    m.image(initrd)
    try:
        r = m.boot("m", initrd)
        if not TAP.ok(r.status == 0, "a machine", r):
            return
        m.machine("save", "m", "--as", "ready")
        m.shell("m", "head -c 1000000 /dev/urandom >/run/more; echo one "
                ">/run/step")
        more = m.shell("m", "md5sum </run/more; cat /run/step")
        m.machine("save", "m", "--as", "more", "--parent", "ready", "--stop")
        image("export", "ready", "--oci", lay, "--name", "ready")
        d = told("export", "more", "--oci", lay, "--name", "more")
        found = layout(lay)
        size = [sum(d["size"] for d in found[n]["layers"])
                for n in ("ready", "more")]
        new = sum(d["size"] for d in found["more"]["layers"][1:])
        TAP.ok(d.get("there") == 1 and new < size[0] / 3,
               "its difference is small", (size, new))
        warm.note(f"{size[0] >> 10} KiB, and {new >> 10} KiB more")
        r = image("import", "--oci", lay, "--name", "more", "--store", store)
        TAP.ok(r.status == 0 and image("verify", "--store",
                                       store).status == 0,
               "it fits here: imported without --force", r)
        r = m.machine("start", "more", "--name", "there", "--detach",
                      env=dict(os.environ, BROOD_IMAGES=store))
        TAP.ok(r.status == 0 and m.shell(
            "there", "md5sum </run/more; cat /run/step") == more,
            "and goes on from there", r)
    finally:
        m.clear()
        warm.stop_all()


def main():
    started = time.monotonic()
    make()
    wrong_uses()
    lay = exports()
    imports(lay)
    hostile(lay)
    domains()
    full_disk(lay)
    killed(lay)
    registries(lay)
    podman(lay)
    containerd(lay)
    machine()
    warm.note(f"{time.monotonic() - started:.0f} s")
    TAP.done()


if __name__ == "__main__":
    main()
