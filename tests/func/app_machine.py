# SPDX-License-Identifier: Apache-2.0
"""A store of images, packed as an appliance; see app_machine.sh."""

import json
import os
import subprocess
import tempfile

import machines as m
import warm

TAP = warm.Tap()
FOLDER = tempfile.mkdtemp(dir=os.environ["TMPDIR"])
for name in ("home", "data", "run"):
    os.mkdir(os.path.join(FOLDER, name), 0o700)
os.environ.update(HOME=FOLDER + "/home", XDG_DATA_HOME=FOLDER + "/data",
                  BROOD_APPS=FOLDER + "/apps",
                  BROOD_REPORT=FOLDER + "/report")
BIN, SHARE = FOLDER + "/bin", FOLDER + "/share"
os.chdir(FOLDER)


def app(*words, **kw):
    return warm.brood("app", *words, timeout=120, **kw)


def fine(result, words, more=True):
    return TAP.ok(result.status == 0 and more, words, result)


def all_of(folder):
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            st = os.lstat(os.path.join(at, name))
            found[os.path.join(at, name)] = st.st_size, st.st_mtime_ns
    return found


def bytes_of(folder):
    return sum(size for size, _ in all_of(folder).values())


def make():
    """The appliance of a machine that was booted once."""
    r = m.image("m.img")
    fine(r, "an image")
    r = m.boot("first", "m.img")
    fine(r, "a machine is booted")
    m.inside("first", "sh", "-c", "echo kept >/run/mark")
    r = m.machine("save", "first", "--as", "ready", "--stop", "--store",
                  "tree/images", timeout=120)
    fine(r, "and saved in a folder of its own")
    r = app("pack", "tree", "--kind", "machine", "--name", "vm", "--entry",
            "vm=images", "--argument", "ready", "--as", "vm.app")
    fine(r, "that is an appliance")


def start(name):
    r = warm.run([BIN + "/vm", "--name", name, "--detach"], timeout=90)
    fine(r, f"{name} starts by the start path")
    text = m.shell(name, "cat /run/mark; hostname")
    TAP.ok(text.split() == ["kept", name],
           f"{name} goes on where it was saved, as itself", text)


def check():
    make()
    r = app("install", "--share", SHARE, "--bin", BIN, "--json", "vm.app")
    told = json.loads(r.out or b"{}")
    fine(r, "it is installed", told.get("notes", "").count("\n") == 1)
    whole = os.path.getsize("vm.app")
    TAP.ok(told.get("context_bytes", whole) < 8192 and
           bytes_of("data") == 0, "this host has its context alone", told)
    mount = os.path.join(FOLDER, "apps/.mounts")
    before = all_of(SHARE + "/payloads")
    start("one")
    start("two")
    running = m.ps()
    TAP.ok(set(running) == {"one", "two"}, "both run at once", running)
    TAP.ok(all_of(SHARE + "/payloads") == before and bytes_of("data") == 0,
           "nothing was written where the images are")
    images = [os.path.join(mount, n, "images") for n in os.listdir(mount)
              if os.path.ismount(os.path.join(mount, n))]
    maps = "".join(open(f"/proc/{pid}/maps").read()
                   for pid in m.hypervisors())
    TAP.ok(len(images) == 1 and
           maps.count(images[0]) >= 2,
           "their memory is that of the one mount", images)
    with open(FOLDER + "/report") as f:
        ways = [json.loads(line) for line in f]
    TAP.ok([w["way"] for w in ways if w.get("app") == "vm"] ==
           ["shared", "shared"], "both were loaded from the share", ways)
    r = app("uninstall", "vm")
    fine(r, "it is uninstalled", not os.path.exists(BIN + "/vm"))
    text = m.shell("one", "cat /run/mark")
    TAP.ok(text == "kept\n", "what runs goes on", text)


def main():
    reason = m.missing() or (None if os.geteuid() == 0 else
                             "only root mounts")
    if reason:
        TAP.skip("a machine as an application", reason)
        TAP.done()
    try:
        check()
    finally:
        m.clear()
        warm.stop_all()
        mounts = FOLDER + "/apps/.mounts"
        for name in os.listdir(mounts) if os.path.isdir(mounts) else []:
            if os.path.ismount(os.path.join(mounts, name)):
                subprocess.run(["umount", os.path.join(mounts, name)])
    TAP.done()


if __name__ == "__main__":
    main()
