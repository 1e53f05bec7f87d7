# SPDX-License-Identifier: Apache-2.0
"""A tip is published in place of another and fails at every step: "vm" is
the old machine or the new one, whole, and a sweep leaves no litter."""

import os
import re
import resource
import shutil
import subprocess
import tempfile

import warm

TAP = warm.Tap()
HERE = tempfile.mkdtemp(prefix="brood-test-", dir="/tmp")
IMAGE = os.path.join(HERE, "image")
NOBODY = 65534
ENOSPC, EIO, EDQUOT = 28, 5, 122


def folder(user=0):
    path = tempfile.mkdtemp(prefix="images-", dir=HERE)
    if user:
        os.chown(path, user, user)
    return path


def image(verb, path, *words, user=0, without="", limit=None):
    def preexec():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        if user:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
    return warm.run([IMAGE, verb, path, *words], timeout=250, preexec=preexec,
                    env=dict(os.environ, BROOD_WITHOUT=without))


class Step:
    """NUMBER OUTCOME MACHINE DRAFTS SWEPT"""

    def __init__(self, line):
        number, self.outcome, machine, drafts, swept = line.split()
        self.number, self.machine = int(number), int(machine)
        self.drafts, self.swept = int(drafts), int(swept)
        self.line = line


def steps(result):
    lines = result.out.decode().splitlines()
    return ([Step(line) for line in lines if re.match(r"\d", line)],
            [line for line in lines if not re.match(r"\d", line)])


def count(found, outcome, machine):
    return sum(s.outcome == outcome and s.machine == machine for s in found)


def killed(words, **kw):
    path = folder(kw.get("user", 0))
    result = image("kill", path, **kw)
    found, wrong = steps(result)
    bad = [s.line for s in found if s.machine not in (1, 2) or s.swept]
    drafts = sum(s.drafts > 0 for s in found)
    TAP.ok(result.status == 0 and not bad and not wrong
           and len(found) > 40
           and count(found, "killed", 1) > 20
           and count(found, "killed", 2) >= 1
           and found[-1].outcome == "over" and found[-1].machine == 2,
           f"kill -9 at each of {len(found)} calls of a publish{words}: "
           f"{count(found, 'killed', 1)} times the old machine, "
           f"{count(found, 'killed', 2)} times the new one, {drafts} with a "
           "draft, none after a sweep", (bad[:5], wrong[:5], result))
    shutil.rmtree(path)
    return drafts


def failed(words, code, **kw):
    path = folder(kw.get("user", 0))
    result = image("fail", path, str(code), **kw)
    found, wrong = steps(result)
    bad = [s.line for s in found
           if s.outcome not in ("failed", "published", "over")
           or s.machine not in (1, 2) or s.swept
           or (s.outcome != "failed" and s.machine != 2)]
    # The last call syncs a folder that has the new name already.
    late = count(found, "failed", 2)
    TAP.ok(result.status == 0 and not bad and not wrong and late <= 1
           and len(found) > 20 and count(found, "failed", 1) > 15,
           f"each of {len(found)} calls that write fails{words}: "
           f"{count(found, 'failed', 1)} times the old machine and a reason, "
           f"{count(found, 'published', 2)} times the new one nevertheless",
           (bad[:5], wrong[:5], late, result))
    shutil.rmtree(path)


def without_names():
    """Where unnamed files cannot be named, what they hold is copied."""
    path = folder()
    result = image("unlinkable", path)
    found, wrong = steps(result)
    TAP.ok(result.status == 0 and not wrong and len(found) == 1
           and found[0].line == "0 published 2 0 0",
           "unnamed files that get no name: published nevertheless", result)
    shutil.rmtree(path)


def in_order():
    """What is named was synced, and what a tip names before it."""
    path = folder()
    result = image("order", path)
    dirty, unsynced, hidden, bad, named = set(), set(), {}, [], 0
    for line in result.out.decode().splitlines():
        verb, *words = line.split()
        if verb == "write":
            dirty.add(int(words[0]))
        elif verb == "sync":
            dirty.discard(int(words[0]))
            unsynced.discard(int(words[0]))
        else:
            source, root, name = words
            fd = (int(source.rsplit("/", 1)[1]) if source.startswith("/proc")
                  else hidden.get(source))
            if fd in dirty or fd is None:
                bad.append(line)
            if name.startswith(".new."):
                hidden[name] = fd
            else:
                named += 1
                if name == "vm" and unsynced:
                    bad.append(f"{line}, {unsynced} not synced")
                unsynced.add(int(root))
    TAP.ok(result.status == 0 and not bad and not unsynced and named == 3,
           "synced before it is named, and layers before the tip",
           (bad, unsynced, named, result))
    shutil.rmtree(path)


def limited():
    """A limit of the size of files, as a full disk, at any length."""
    bad, failures = [], 0
    for limit in list(range(0, 260000, 6007)) + [1 << 30]:
        path = folder()
        image("prepare", path)
        told = image("publish", path, limit=limit)
        found, wrong = steps(image("check", path))
        failures += told.status != 0
        want = 2 if told.status == 0 else 1
        if (wrong or len(found) != 1 or found[0].machine != want
                or found[0].drafts or told.status not in (0, 1)
                or (told.status and b"File too large" not in told.err)):
            bad.append((limit, told, wrong))
        shutil.rmtree(path)
    TAP.ok(not bad and 10 < failures < 44,
           f"limits of a file's size: {failures} times refused, the old "
           "machine whole", bad[:3])


def full_disk():
    if os.geteuid() != 0:
        TAP.skip("a full disk", "not root")
        return
    path = folder()
    if warm.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "none",
                 path]).status != 0:
        TAP.skip("a full disk", "no mount here")
        return
    try:
        fill(path)
    finally:
        warm.wait_until(lambda: warm.run(["umount", path]).status == 0, 10,
                        0.2)


def fill(path):
    filler = os.path.join(path, "filler")
    bad, failures = [], 0
    for left in range(0, 400 << 10, 12 << 10):
        for name in os.listdir(path):
            if os.path.isfile(os.path.join(path, name)):
                os.unlink(os.path.join(path, name))
        image("prepare", path)
        free = os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
        with open(filler, "wb") as f:
            f.write(bytes(max(free - left, 0)))
        told = image("publish", path)
        found, wrong = steps(image("check", path))
        failures += told.status != 0
        if (wrong or len(found) != 1 or found[0].drafts
                or found[0].machine != (1 if told.status else 2)
                or (told.status and b"No space" not in told.err)):
            bad.append((left, told, wrong))
        os.unlink(filler)
        if told.status and (
                image("publish", path).status
                or steps(image("check", path))[0][0].machine != 2):
            bad.append((left, "not published with room"))
    TAP.ok(not bad and failures > 10,
           f"a disk with less and less room: {failures} times refused, the "
           "old machine whole, and published once there is room", bad[:3])


def main():
    shutil.copy(os.path.join(warm.BUILD, "tests/fault/image"), IMAGE)
    os.chmod(HERE, 0o755)
    os.chmod(IMAGE, 0o755)
    drafts = killed("")
    drafts += 1000 * killed(" with named drafts", without="o_tmpfile")
    TAP.ok(drafts >= 5000, "named drafts are left and swept", drafts)
    failed(" with ENOSPC", ENOSPC)
    failed(" with EIO", EIO)
    failed(" with EDQUOT and named drafts", EDQUOT, without="o_tmpfile")
    if os.geteuid() == 0:
        killed(" by another user", user=NOBODY, without="o_tmpfile")
        failed(" for another user", ENOSPC, user=NOBODY)
    else:
        TAP.skip("another user", "not root")
        TAP.skip("another user", "not root")
    without_names()
    in_order()
    limited()
    full_disk()


try:
    main()
finally:
    shutil.rmtree(HERE, ignore_errors=True)
TAP.done()
