# SPDX-License-Identifier: Apache-2.0
"""What the tests of installed applications share: hosts (folders that play
one), shares, appliances, and a FUSE server that fails when it is told to."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import warm

HERE = os.path.join(os.environ["TMPDIR"], "app")
FUSE = os.path.join(warm.BUILD, "tests/programs/share_fuse")
WORKER = os.path.join(warm.BUILD, "tests/programs/lock_worker")
BLOB = 4 << 20
OLD = "#!/bin/sh\necho \"old program $*\"\n"
os.makedirs(HERE, exist_ok=True)


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return None


# ---- appliances --------------------------------------------------------------

TOOL = """#!/bin/sh
here=${{0%/bin/tool}}
read -r number <"$here/data/number"
echo "tool {0} $number $*"
"""
# Stays until its input ends, and then reads what it has not read before.
WAITER = """#!/bin/sh
here=${{0%/bin/waiter}}
echo "waiter {0}"
read -r line
read -r number <"$here/data/number"
echo "still {0} $number" "$(cksum <"$here/data/blob")"
"""


def tool_out(number, *words):
    return f"tool {number} {number} {' '.join(words)}\n".encode()


def pack(number, name="tool", entries=("tool", "waiter"), blob=BLOB,
         more=None, writable=()):
    """An appliance whose every part tells its number."""
    tree = os.path.join(HERE, "trees", f"{name}-{number}-{len(entries)}")
    image = tree + ".erofs"
    shutil.rmtree(tree, ignore_errors=True)
    for entry, text in (("tool", TOOL), ("waiter", WAITER)):
        write(f"{tree}/bin/{entry}", text.format(number), 0o755)
    write(f"{tree}/data/number", f"{number}\n")
    with open(f"{tree}/data/blob", "wb") as f:
        f.write(bytes((i * 7 + number) % 251 for i in range(4096)) *
                (blob // 4096))
    if more:
        more(tree)
    words = [w for e in entries
             for w in ("--entry", e if "=" in e else f"{e}=bin/{e}")]
    words += [w for name in writable for w in ("--writable", name)]
    done = warm.brood("app", "pack", tree, "--as", image, "--name", name,
                      "--release", str(number), *words)
    assert done.status == 0, done
    shutil.rmtree(tree)
    return image


# ---- shares ------------------------------------------------------------------

class Share:
    """A folder; through FUSE where that is asked for."""

    def __init__(self, name, fuse=False):
        self.back = os.path.join(HERE, name)
        self.path = self.back
        self.server = None
        os.makedirs(self.back)
        if fuse:
            self.path = os.path.join(HERE, name + ".mnt")
            os.makedirs(self.path)
            self.mount()

    def mount(self):
        self.server = subprocess.Popen(
            [FUSE, self.back, self.path], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, start_new_session=True)
        return self.server.stdout.readline() == "ready\n"

    def order(self, words):
        self.server.stdin.write(words + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline().split()
        assert answer and answer[0] == "done", (words, answer)
        return int(answer[1])

    def unmount(self):
        if self.server:
            self.server.terminate()
            self.server.wait(20)
            self.server.stdin.close()
            self.server.stdout.close()
        self.server = None

    def payloads(self):
        return sorted(n for n in os.listdir(f"{self.back}/payloads"))

    def payload(self, number=None):
        """Of that version of "tool"; of the last one without a number."""
        text = read(self.version(number)) or ""
        found = re.search(r"^payload ([0-9a-f]{64}) ", text, re.M)
        return f"{self.back}/payloads/{found[1]}.erofs" if found else None

    def versions(self, name="tool"):
        try:
            names = os.listdir(f"{self.back}/apps/{name}")
        except OSError:
            return []
        return sorted(int(n[2:]) for n in names if n[2:].isdigit())

    def version(self, number=None, name="tool"):
        return f"{self.back}/apps/{name}/v.{number or self.versions()[-1]}"

    def drafts(self):
        """What is left of something that was not finished; the lock's own
        are swept when they are old."""
        found = []
        for folder, folders, files in os.walk(self.back):
            if "/lock" in folder[len(self.back):]:
                continue
            found += [os.path.join(folder, n) for n in files + folders
                      if ".draft." in n or ".new." in n]
        return found

    def lock_within(self, seconds):
        """How long it takes to get the lock; None: not in that time."""
        began = time.monotonic()
        done = warm.run([WORKER, self.path, "asker", "1",
                         f"wait={int(seconds * 1000)}", "quiet"],
                        timeout=seconds + 10)
        return time.monotonic() - began if done.status == 0 else None


# ---- hosts -------------------------------------------------------------------

class Host:
    """A folder of contexts with a folder of start paths."""

    def __init__(self, name, share, limits=()):
        self.name, self.share, self.limits = name, share, list(limits)
        self.apps = os.path.join(HERE, name, "apps")
        self.bin = os.path.join(HERE, name, "bin")
        self.mounts = os.path.join(self.apps, ".mounts")
        self.report = os.path.join(HERE, name, "report")
        self.env = dict(os.environ, BROOD_APPS=self.apps)
        os.makedirs(self.bin)

    def brood(self, *words, **more):
        return warm.brood("app", *words, env=self.env, **more)

    def install_words(self, image, *more, verb="install"):
        return [verb, image, "--share", self.share.path, "--bin", self.bin,
                *self.limits, *more]

    def install(self, image, *more, verb="install"):
        return self.brood(*self.install_words(image, *more, verb=verb))

    def context(self, *names, app="tool"):
        return os.path.join(self.apps, app, *names)

    def path(self, entry="tool"):
        return os.path.join(self.bin, entry)

    def start_env(self):
        return dict(self.env, BROOD_REPORT=self.report)

    def start(self, *words, entry="tool", timeout=20):
        if os.path.exists(self.report):
            os.unlink(self.report)
        began = time.monotonic()
        done = warm.run([self.path(entry), *words], env=self.start_env(),
                        timeout=timeout)
        done.seconds = time.monotonic() - began
        done.report = self.reported()
        return done

    def reported(self):
        text = read(self.report)
        return json.loads(text.splitlines()[-1]) if text else None

    def reported_safely(self):
        try:
            return self.reported()
        except ValueError:
            return None

    def state(self, app="tool"):
        return read(self.context("state", app=app))

    def let_time_pass(self, app="tool"):
        """As if it had been independent for hours."""
        state = self.state(app)
        if state:
            word, since, rest = state.split(" ", 2)
            write(self.context("state", app=app),
                  f"{word} {int(since) - 7200} {rest}")

    def forget(self):
        """As if this host had just been started."""
        for name in sorted(os.listdir(self.mounts)):
            path = os.path.join(self.mounts, name)
            if os.path.isdir(path):
                while os.path.ismount(path):
                    subprocess.run(["umount", "-l", path], check=True,
                                   stderr=subprocess.DEVNULL)
                os.rmdir(path)
            elif not name.startswith("."):
                os.unlink(path)

    def let_mounts_rest(self):
        """As if nobody had used them for long."""
        for name in os.listdir(self.mounts):
            if name.endswith(".ok"):
                os.utime(os.path.join(self.mounts, name), (1, 1))

    def cold(self):
        """What was read of payloads is in memory no more."""
        for folder, _, files in os.walk(self.mounts):
            for name in files:
                try:
                    fd = os.open(os.path.join(folder, name),
                                 os.O_RDONLY | os.O_NONBLOCK)
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                    os.close(fd)
                except OSError:
                    pass

    def processes(self):
        """Those with this host's environment, but for zombies."""
        found = []
        for pid in warm.processes():
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    if (f"BROOD_APPS={self.apps}\0".encode() in f.read()
                            and warm.alive(pid)):
                        found.append(pid)
            except OSError:
                pass
        return found

    def quiet(self, seconds=3):
        """Nothing of this host runs any more, before that time is over."""
        return warm.wait_until(lambda: not self.processes(), seconds, 0.02)

    def clean(self):
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        if os.path.isdir(self.mounts):
            self.forget()


def holder(share, *words):
    """Somebody else who has the lock; returns when he has."""
    p = subprocess.Popen([WORKER, share.path, "holder", "1", *words],
                         stdout=subprocess.PIPE, text=True)
    line = p.stdout.readline()
    assert " take " in line, line
    return p
