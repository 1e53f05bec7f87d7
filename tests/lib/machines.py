# SPDX-License-Identifier: Apache-2.0
"""What the tests of machines share: an image and a kernel, the verbs of
"brood machine", and facts read from /proc and the machines' folders."""

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import warm

QEMU = "qemu-system-x86_64"
APPEND = "quiet panic=-1 mitigations=off"
MEMORY = "128M"
BOOT_SECONDS = 150


def kernel():
    found = sorted(glob.glob("/boot/vmlinuz-*cloud*") or
                   glob.glob("/boot/vmlinuz-*"))
    return next((k for k in reversed(found) if os.access(k, os.R_OK)), None)


def has_module(kernel_file, name):
    """Has that kernel a module of that name, beside it or in itself?"""
    release = os.path.basename(kernel_file).split("-", 1)[1]
    beside = os.path.join(os.path.dirname(kernel_file), "..", "lib/modules")
    for folder in (os.path.join(beside, release),
                   os.path.join("/lib/modules", release)):
        for file in ("modules.dep", "modules.builtin"):
            try:
                with open(os.path.join(folder, file)) as f:
                    if f"/{name}.ko" in f.read():
                        return True
            except OSError:
                pass
    return False


def kernel_with(*names):
    """A kernel that has all these modules, or None.  BROOD_TEST_ROOT is a
    folder with boot and lib/modules of one more: Debian's cloud kernels, for
    one, have no 9p."""
    more = os.environ.get("BROOD_TEST_ROOT")
    found = [kernel()] + sorted(glob.glob("/boot/vmlinuz-*"))
    found += sorted(glob.glob(more + "/boot/vmlinuz-*")) if more else []
    return next((k for k in found if k and os.access(k, os.R_OK) and
                 all(has_module(k, n) for n in names)), None)


def missing():
    """Why no machine can be booted here, or None."""
    if not shutil.which(QEMU):
        return "there is no " + QEMU
    if not kernel():
        return "there is no kernel in /boot that may be read"
    if not os.path.exists("/bin/busybox"):
        return "there is no busybox"
    return None


def machine(*words, **kw):
    kw.setdefault("timeout", 60)
    return warm.brood("machine", *words, **kw)


def told(result):
    """The JSON objects that a command has told."""
    try:
        return [json.loads(line) for line in result.out.splitlines()]
    except ValueError:
        warm.note(result)
        return []


def image(path, *words):
    return machine("image", "--as", path, *words)


def boot_words(name, file, *words, memory=MEMORY, append=APPEND,
               kernel_file=None):
    return ["boot", name, "--kernel", kernel_file or kernel(), "--initrd",
            file, "--append", append, "--memory", memory, "--accel", "tcg",
            *words]


def boot(name, file, *words, timeout=BOOT_SECONDS, env=None, **kw):
    return machine(*boot_words(name, file, *words, **kw), timeout=timeout,
                   env=env)


def inside(name, *argv, timeout=60, stdin=b"", words=()):
    return machine("exec", *words, name, "--", *argv, timeout=timeout,
                   stdin=stdin)


def shell(name, script, **kw):
    """What a script in the machine has said, in text."""
    result = inside(name, "sh", "-c", script, **kw)
    if result.status != 0:
        warm.note(result)
    return result.out.decode(errors="replace")


def ps():
    result = machine("ps", "--json")
    return {m["name"]: m for m in told(result)[0]["machines"]}


def tips(*words):
    return {t["tip"]: t for t in
            told(machine("ls", "--json", *words))[0]["tips"]}


def root():
    return os.path.join(os.environ["XDG_RUNTIME_DIR"], "brood/machines")


def folders():
    try:
        return sorted(n for n in os.listdir(root()) if n[0] != ".")
    except FileNotFoundError:
        return []


def store():
    return os.path.join(os.environ["XDG_DATA_HOME"], "brood/images")


def stored():
    """All files of the store and their bytes' count: {path: size}."""
    found = {}
    for folder, _, names in os.walk(store()):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, store())] = os.lstat(path).st_size
    return found


def hypervisors():
    """Pids of all QEMUs whose environment has this test's runtime folder,
    without templates that wait."""
    mark = b"XDG_RUNTIME_DIR=" + os.environ["XDG_RUNTIME_DIR"].encode()
    found = []
    for pid in warm.processes():
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if mark not in f.read().split(b"\0"):
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if b"-chardev" in words and warm.alive(pid):
            found.append(pid)
    return found


def clear():
    machine("stop", "--all", "--now", timeout=60)
    warm.wait_until(lambda: not hypervisors(), 10)
    for pid in hypervisors():
        os.kill(pid, signal.SIGKILL)
    warm.wait_until(lambda: not hypervisors(), 10)


def one_line(result, *words, status=111):
    """A refusal: this status, nothing said, one line with these words."""
    text = result.err.decode(errors="replace")
    return (result.status == status and not result.out and
            text.startswith("brood: ") and text.count("\n") == 1 and
            all(w in text for w in words))


def start(*words, **kw):
    """Detached: what was told of each machine."""
    result = machine("start", "--detach", "--json", *words, **kw)
    if result.status != 0:
        warm.note(result)
        return []
    return told(result)


def together(*commands, timeout=90):
    """Commands of "brood machine" at the same time: their results."""
    results = [None] * len(commands)

    def work(i):
        results[i] = machine(*commands[i], timeout=timeout)
    threads = [threading.Thread(target=work, args=(i,))
               for i in range(len(commands))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


class Console:
    """A machine's second end: its socket, or a process's pipes."""

    def __init__(self, folder):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(os.path.join(folder, "console"))
        self.text = b""

    def say(self, data):
        self.socket.sendall(data)

    def hear(self, wanted, seconds=30.0):
        end = time.monotonic() + seconds
        while wanted not in self.text and time.monotonic() < end:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                continue
            if not data:
                break
            self.text += data
        return wanted in self.text

    def close(self):
        self.socket.close()


def popen(*words, **kw):
    kw.setdefault("stdin", subprocess.PIPE)
    return subprocess.Popen([warm.BROOD, "machine", *words],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            **kw)
