# SPDX-License-Identifier: Apache-2.0
"""What the tests of appliances share: hosts that install and start, this one
and machines, and what they say."""

import json
import os
import shutil
import subprocess

import machines as m
import warm

WORKER = os.path.join(warm.BUILD, "tests/programs/lock_worker")


def may_mount():
    """Why no payload can be mounted here, or None."""
    if os.geteuid() != 0:
        return "mounting needs root"
    with open("/proc/filesystems") as f:
        if "\terofs\n" not in f.read() and warm.run(
                ["modprobe", "erofs"]).status != 0:
            return "this kernel has no EROFS"
    return None


def reports(text):
    return [json.loads(line) for line in text.splitlines() if line]


class Host:
    """This host: its applications lie in a folder of their own."""

    name = "host"

    def __init__(self, folder, share):
        self.folder, self.share = folder, share
        self.bin = os.path.join(folder, "bin")
        self.apps = os.path.join(folder, "apps")
        self.report = os.path.join(folder, "report")
        os.makedirs(self.bin)
        self.env = {**os.environ, "BROOD_APPS": self.apps,
                    "BROOD_REPORT": self.report}

    def app(self, *words, **kw):
        return warm.brood("app", *words, env=self.env, **kw)

    def install(self, appliance, *words, **kw):
        r = self.app("install", "--share", self.share, "--bin", self.bin,
                     "--json", *words, appliance, **kw)
        try:
            return json.loads(r.out), r
        except ValueError:
            return None, r

    def path(self, name):
        return os.path.join(self.bin, name)

    def start(self, name, *args, **kw):
        kw.setdefault("env", self.env)
        return warm.run([self.path(name), *args], **kw)

    def popen(self, name, *args):
        return subprocess.Popen([self.path(name), *args], env=self.env,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def reports(self):
        try:
            with open(self.report) as f:
                return reports(f.read())
        except FileNotFoundError:
            return []

    def last(self):
        return (self.reports() or [{}])[-1]

    def state(self, name):
        r = self.app("ls", "--json")
        rows = {a["name"]: a for a in json.loads(r.out)["apps"]}
        return rows.get(name, {})

    def clear(self):
        """Nothing of it stays mounted."""
        mounts = os.path.join(self.apps, ".mounts")
        for name in (os.listdir(mounts) if os.path.isdir(mounts) else []):
            at = os.path.join(mounts, name)
            if os.path.isdir(at):
                subprocess.run(["umount", "-l", at], check=False,
                               stderr=subprocess.DEVNULL)


class Machine:
    """A host that is a machine: it has nothing of Brood, and no C library."""

    def __init__(self, machine, share, appliance, device):
        self.name, self.share = machine, share
        self.appliance, self.device = appliance, device

    def install(self, *words, timeout=120):
        r = warm.brood("app", "install", "--in", self.name, "--device",
                       self.device, "--share", self.share, "--json", *words,
                       self.appliance, timeout=timeout)
        try:
            return json.loads(r.out), r
        except ValueError:
            return None, r

    def sh(self, script, **kw):
        return m.shell(self.name, script, **kw)

    def start(self, name, *args, **kw):
        return m.inside(self.name, "env", "BROOD_REPORT=/run/report",
                        f"/usr/local/bin/{name}", *args, **kw)

    def reports(self):
        return reports(self.sh("cat /run/report 2>/dev/null; true"))

    def last(self):
        return (self.reports() or [{}])[-1]


def make_box(folder, data_bytes=6 << 20):
    """A small application that starts everywhere: a static shell, and data."""
    root = os.path.join(folder, "box")
    os.makedirs(os.path.join(root, "bin"))
    shutil.copy("/bin/busybox", os.path.join(root, "bin/busybox"))
    with open(os.path.join(root, "data"), "wb") as f:
        f.write(b"what the application reads\n" * (data_bytes // 27))
    return root


def pack_box(root, where, release="1", *words):
    return warm.brood("app", "pack", root, "--name", "box", "--release",
                      release, "--entry", "box=bin/busybox", "--argument",
                      "sh", "--env", "APP=${app}", "--as", where, *words)


def tree(folder):
    """All in it: {path: (mode, size, mtime, link)}."""
    found = {}
    for at, folders, names in os.walk(folder):
        for name in folders + names:
            path = os.path.join(at, name)
            st = os.lstat(path)
            link = os.readlink(path) if os.path.islink(path) else None
            found[os.path.relpath(path, folder)] = (
                st.st_mode, st.st_size, st.st_mtime_ns, link)
        folders[:] = [f for f in folders
                      if not os.path.ismount(os.path.join(at, f))]
    return found
