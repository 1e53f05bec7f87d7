# SPDX-License-Identifier: Apache-2.0
"""Refused appliances; see app_hostile.sh."""

import atexit
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile

from erofs_image import (BLOCK, BLOCKS, CHARS, FIFO, FOLDER, SOCKET, Image,
                         Node, file, link, special)
from warm import BROOD, Tap

tap = Tap()
top = tempfile.mkdtemp(prefix="brood-hostile.", dir=os.environ["TMPDIR"])
share, apps, bin_ = (os.path.join(top, n) for n in ("share", "apps", "bin"))
os.environ.update(BROOD_APPS=apps, HOME=top)
os.chdir(top)


def clean_up():
    mounts = os.path.join(apps, ".mounts")
    for name in os.listdir(mounts) if os.path.isdir(mounts) else []:
        subprocess.run(["umount", os.path.join(mounts, name)],
                       stderr=subprocess.DEVNULL)
    shutil.rmtree(top, ignore_errors=True)


atexit.register(clean_up)


def listing():
    """All that host and share have, with times and sizes."""
    found = {}
    for place in (share, apps, bin_):
        for folder, folders, files in os.walk(place):
            if os.path.ismount(folder):
                folders.clear()
                continue
            for name in [".", *folders, *files]:
                path = os.path.join(folder, name)
                st = os.lstat(path)
                found[path] = (st.st_mode, st.st_size, st.st_mtime_ns,
                               st.st_ino)
    return found


def install(path, *words):
    return subprocess.run([BROOD, "app", "install", "--share", share, "--bin",
                           bin_, *words, path], capture_output=True, text=True,
                          errors="replace", timeout=60)


def refused(words, path, pattern):
    before = listing()
    r = install(path)
    lines = r.stderr.splitlines()
    tap.ok(r.returncode == 111 and len(lines) == 1 and not r.stdout
           and re.search(pattern, lines[0]) is not None
           and not re.search(r"[\x00-\x1f\x7f]", lines[0]),
           f"refused: {words}", f"{r}\nwanted: {pattern}")
    after = listing()
    tap.ok(before == after, f"nothing is left: {words}",
           {k: v for k, v in after.items() if before.get(k) != v})


def entry(name="tool", path="bin/tool", **more):
    return {"name": name, "path": path, **more}


def manifest(**change):
    m = {"format": "brood-appliance", "version": 1, "name": "app",
         "entries": [entry()]}
    m.update(change)
    return json.dumps({k: v for k, v in m.items() if v is not None}).encode()


def image(text=None):
    """One that would be installed."""
    return (Image().put("bin/tool", file(b"#!/bin/sh\necho tool\n", 0o755))
            .put(".brood/manifest.json", file(text or manifest()))
            .put(".brood/installer", file(b"#!/bin/sh\n", 0o755))
            .put(".brood/start", file(b"#!/bin/sh\n", 0o755)))


def of_image(words, made, pattern, **lies):
    made.write("hostile.app", **lies)
    refused(words, "hostile.app", pattern)


def of_manifest(words, text, pattern):
    of_image(f"a manifest {words}", image(text), pattern)


def with_node(words, path, node, pattern):
    of_image(words, image().put(path, node), pattern)


def nodes():
    with_node("a character device", "bin/null", special(CHARS), "a device")
    with_node("a block device", "bin/disk", special(BLOCKS), "a device")
    with_node("a fifo", "bin/fifo", special(FIFO), "a fifo")
    with_node("a socket", "bin/socket", special(SOCKET), "a socket")
    with_node("a file that sets the user", "bin/su", file(mode=0o4755),
              "sets the user")
    with_node("a file that sets the group", "bin/sg", file(mode=0o2755),
              "sets the user or the group")
    with_node("an absolute link", "bin/sh", link("/bin/sh"),
              "leads to an absolute path")
    with_node("a link out", "bin/up", link("../../etc/passwd"),
              "leads out of the image")
    made = image().put("dir/here", link("..")).put("out", link("dir/here/.."))
    of_image("two links that lead out together", made, "leads out")
    with_node("a link of no length", "bin/empty", link(""), "no length")
    with_node("a link with a 0 in it", "bin/zero", link("a\0b"), "a 0 within")
    with_node("a file of absurd size", "large", file(size=1 << 62), "large")
    with_node("a file that reaches over the end", "long",
              file(size=1 << 24), "long")
    with_node("a link of absurd size", "link", Node(0o120777, b"x", 1 << 40),
              "link")


def names():
    for name in ("", ".", "..", "a\0b"):
        made = image()
        made.root.names[name] = file()
        of_image(f"a name that is {name!r}", made, "hostile.app")
    made = image()
    made.root.names["a/b"] = file()
    of_image("a name with a slash", made, "hostile.app")
    made = image()
    made.root.names["../../../../tmp/evil"] = file()
    of_image("a name that leads out", made, "hostile.app")
    made = image()
    made.root.names["\x1b[2J"] = special(FIFO)
    of_image("a name that clears the screen", made, "a fifo")


def cycles():
    made = image()
    folder = Node(FOLDER | 0o755)
    made.put("deep/folder", folder)
    folder.names["again"] = made.root
    of_image("a folder within itself", made, "hostile.app")
    made = image()
    shared = Node(FOLDER | 0o755)
    made.put("one/shared", shared).put("two/shared", shared)
    of_image("a folder in two folders", made, "lies in two folders|parent")
    made = image()
    made.put("/".join(["d"] * 70) + "/x", file())
    of_image("folders that are too deep", made, "too deeply")


def superblocks():
    of_image("another magic", image(), "is no appliance", magic=7)
    of_image("more blocks than there are", image(), "cut short", blocks=10000)
    of_image("no blocks", image(), "outside the image", blocks=0)
    of_image("a root elsewhere", image(), "hostile.app", root=65535)
    of_image("a root that is a file", image(), "hostile.app", root=130)
    of_image("inodes elsewhere", image(), "hostile.app", meta=0xffffffff)
    of_image("blocks of another size", image(), "is no appliance", blkszbits=9)
    of_image("features of later times", image(), "is no appliance",
             incompat=0x80000000)
    image().write("whole.app")
    with open("whole.app", "rb") as f:
        whole = f.read()
    for size in (0, 1, 1024, 1152, BLOCK, BLOCK + 64, len(whole) - BLOCK,
                 len(whole) - 1):
        with open("cut.app", "wb") as f:
            f.write(whole[:size])
        refused(f"cut to {size} bytes", "cut.app", "is no appliance|cut.app")
    with open("cut.app", "wb") as f:
        f.write(whole[:1100] + b"x" + whole[1101:])
    refused("a changed superblock", "cut.app", "checksum")


def manifests():
    made = image()
    del made.root.names[".brood"].names["manifest.json"]
    of_image("a manifest that is missing", made, "manifest.json")
    for name in ("installer", "start"):
        made = image()
        del made.root.names[".brood"].names[name]
        of_image(f"{name} is missing", made, f".brood/{name} is not in it")
        made = image().put(f".brood/{name}", file(b""))
        of_image(f"{name} is empty", made, f".brood/{name} is no program")
        made = image().put(f".brood/{name}", link("../bin/tool"))
        of_image(f"{name} is a link", made, f".brood/{name} is no program")
        made = image().put(f".brood/{name}", Node(FOLDER | 0o755))
        of_image(f"{name} is a folder", made, f".brood/{name} is no program")
    made = image().put(".brood/manifest.json", link("../../etc/passwd"))
    of_image("a manifest that is a link out", made, "leads out")
    made = image().put(".brood/manifest.json", Node(FOLDER | 0o755))
    of_image("a manifest that is a folder", made, "no file, or too long")
    made = image().put(".brood/settings/x", file(b"x" * 20000))
    of_image("settings that are too long", made, "bytes of settings")
    made = image().put(".brood/settings/d/x", file())
    of_image("settings that are a folder", made, "settings/d is no file")
    made = image().put(".brood/settings", file())
    of_image("settings that are a file", made, "settings is no folder")
    of_manifest("that is huge", b" " * 70000 + manifest(),
                "too long|longer than")
    of_manifest("that is deep", b"[" * 30000, "JSON|manifest")
    of_manifest("of 65 levels", b'{"a":' * 65 + b"1" + b"}" * 65,
                "JSON|manifest")
    of_manifest("that is no JSON", b"\x7fELF\x02\x01\x01\0" * 8, "JSON")
    of_manifest("of zeros", b"\0" * 100, "JSON")
    of_manifest("with more behind it", manifest() + b"{}", "JSON")
    of_manifest("of something else", b'{"a": 1}', "is no manifest")
    of_manifest("of a later version", manifest(version=2), "version 2")
    of_manifest("without a name", manifest(name=None), "is missing")
    of_manifest("without entries", manifest(entries=[]), "is missing")
    of_manifest("with 33 entries",
                manifest(entries=[entry(f"e{i}") for i in range(33)]),
                "more than 32 entries")
    of_manifest("with an entry twice", manifest(entries=[entry(), entry()]),
                "entry tool")
    of_manifest("with an entry that is not there",
                manifest(entries=[entry(path="bin/none")]),
                "bin/none is not in it")
    of_manifest("with a loader that is not there",
                manifest(entries=[entry(loader="lib/ld.so")]),
                "lib/ld.so is not in it")
    of_manifest("with an entry that is a folder",
                manifest(entries=[entry(path="bin")]), "bin is no file")
    of_manifest("of a machine that is a file",
                manifest(entries=[entry(kind="machine")]), "is no folder")
    of_manifest("of an unknown kind",
                manifest(entries=[entry(kind="kernel")]), "kind kernel")
    for name in ("../../evil", "/etc/evil", "a/b", ".", "..", "", ".start",
                 "-rf", "a b", "a\nb", "\x1b[2J", "a\0b", "x" * 64, "\u00e9"):
        of_manifest(f"with the name {name!r}", manifest(name=name),
                    "manifest.json: ")
        of_manifest(f"with an entry {name!r}",
                    manifest(entries=[entry(name=name)]), "manifest.json: ")
        of_manifest(f"with a writable {name!r}", manifest(writable=[name]),
                    "manifest.json: ")
    for path in ("/bin/sh", "../bin/sh", "bin/../../x", "", "bin//tool", "./x",
                 "bin/tool\nargument x", "bin/tool/"):
        of_manifest(f"with the path {path!r}",
                    manifest(entries=[entry(path=path)]), "manifest.json: ")
        if path:
            of_manifest(f"with the library folder {path!r}",
                        manifest(entries=[entry(libraries=[path])]),
                        "manifest.json: ")
    for variable in ("A", "=b", "A B=c", "1=2", "A\n=b", 7, None):
        of_manifest(f"with the variable {variable!r}",
                    manifest(environment=[variable]), "manifest.json: ")
    for port in (0, 65536, -1, 1.5, "80", None, 1 << 70):
        of_manifest(f"with the port {port!r}", manifest(ports=[port]),
                    "manifest.json: ")
    of_manifest("with 33 arguments",
                manifest(entries=[entry(arguments=["x"] * 33)]),
                "manifest.json: ")
    of_manifest("with an argument that is too long",
                manifest(entries=[entry(arguments=["x" * 5000])]),
                "manifest.json: ")
    of_manifest("with too much in all", manifest(
        entries=[entry(f"e{i}", arguments=["x" * 100] * 32)
                 for i in range(19)]), "more than 65536 bytes")


def folder(name):
    shutil.rmtree(name, ignore_errors=True)
    os.makedirs(f"{name}/bin")
    os.makedirs(f"{name}/.brood")
    for path in ("bin/tool", ".brood/installer", ".brood/start"):
        with open(f"{name}/{path}", "wb") as f:
            f.write(b"#!/bin/sh\necho tool\n")
        os.chmod(f"{name}/{path}", 0o755)
    with open(f"{name}/.brood/manifest.json", "wb") as f:
        f.write(manifest())
    return name


def folders():
    s = socket.socket(socket.AF_UNIX)
    s.bind(folder("dir") + "/socket")
    refused("a folder with a socket", "dir", "is a socket")
    s.close()
    os.mkfifo(folder("dir") + "/fifo")
    refused("a folder with a fifo", "dir", "is a fifo")
    os.symlink("/etc/passwd", folder("dir") + "/bin/abs")
    refused("a folder with an absolute link", "dir", "absolute path")
    os.symlink("../../..", folder("dir") + "/bin/out")
    refused("a folder with a link out", "dir", "leads out")
    os.chmod(folder("dir") + "/bin/tool", 0o4755)
    refused("a folder with a file that sets the user", "dir", "sets the user")
    os.makedirs("empty", exist_ok=True)
    refused("an empty folder", "empty", "manifest.json")
    if not os.path.exists("fifo"):
        os.mkfifo("fifo")
    refused("a fifo", "fifo", "is no image")
    refused("a character device", "/dev/zero", "is no image")
    if not os.path.islink("loop"):
        os.symlink("loop", "loop")
    refused("a link to itself", "loop", "loop")


def all_of_them():
    nodes()
    names()
    cycles()
    superblocks()
    manifests()
    folders()


all_of_them()
tap.ok(not any(map(os.path.exists, (share, apps, bin_))),
       "host and share were never begun")
image().write("good.app")
more = [] if os.getuid() == 0 else ["--unpacked"]
r = install("good.app", *more)
tap.ok(r.returncode == 0 and "cannot" not in r.stdout,
       "the same without a fault is installed", r)
r = subprocess.run([f"{bin_}/tool"], capture_output=True, text=True)
tap.ok(r.returncode == 0 and r.stdout == "tool\n", "and starts", r)
nodes()
folders()
r = subprocess.run([f"{bin_}/tool"], capture_output=True, text=True)
tap.ok(r.returncode == 0 and r.stdout == "tool\n", "it starts after all", r)
tap.done()
