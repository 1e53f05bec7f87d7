# SPDX-License-Identifier: Apache-2.0
"""A command and its helpers are killed at their n-th call that changes
something, for each n until it runs through.  After each: the start path is
there and starts something right, the command done again completes, and
nothing is left over.

FAULT=full kills at each call; otherwise at each one of a part of them.
FAULTS=WORD,... runs those alone whose names have the word in them."""

import os
import shutil
import threading

import app_host
import warm
from app_host import HERE, OLD, Host, Share, read, tool_out, write

TAP = warm.Tap()
KILLER = os.path.join(warm.BUILD, "tests/programs/kill_at")
STEP = 1 if os.environ.get("FAULT") == "full" else 3
ONLY = [w for w in os.environ.get("FAULTS", "").split(",") if w]
LIMITS = ["--ttl", "200ms", "--wait", "5s", "--answer", "5s"]
OLD_OUT = b"old program x y\n"
V1, V2 = tool_out(1, "x", "y"), tool_out(2, "x", "y")


class Path(threading.Thread):
    """Looks again and again whether a path is there."""

    def __init__(self, path):
        threading.Thread.__init__(self)
        self.path, self.looks, self.missing = path, 0, 0
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            self.looks += 1
            self.missing += not os.access(self.path, os.X_OK)

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def __enter__(self):
        self.start()
        return self


class Scene:
    """A host and a share that are as they were before each kill."""

    def __init__(self, prepare, old=True):
        self.share, self.host = Share("share"), Host("host", None, LIMITS)
        self.host.share = self.share
        if old:
            write(self.host.path(), OLD, 0o755)
        prepare(self.host)
        self.host.clean()
        self.top = [self.share.back, os.path.join(HERE, "host")]
        for path in self.top:
            shutil.copytree(path, path + ".first", symlinks=True)

    def again(self):
        self.host.clean()
        for path in self.top:
            shutil.rmtree(path)
            warm.run(["cp", "-a", path + ".first", path])

    def drop(self):
        self.host.clean()
        for path in self.top:
            shutil.rmtree(path)
            shutil.rmtree(path + ".first")


def killed_at(host, number, words):
    """Its status, and what the killer has to tell of it."""
    told = os.path.join(HERE, "killed")
    done = warm.run([KILLER, str(number), told, *words],
                    env=host.start_env(), timeout=60)
    return done, (read(told) or "nothing").split()


def left_over(scene):
    """Names that nobody needs any more, once all is done."""
    host = scene.host
    found = scene.share.drafts()
    for folder in (host.apps, host.bin):
        for name in os.listdir(folder):
            if (".new." in name or ".old." in name or ".draft." in name or
                    name.endswith(".brood-new")):
                found.append(os.path.join(folder, name))
    for folder, _, names in os.walk(host.context()):
        found += [os.path.join(folder, n) for n in names if ".draft." in n]
    return found


def data_kept(host):
    return any(read(p) == "mine\n" for p in (
        host.context("data/cache/keep"),
        os.path.join(host.apps, ".data.tool/cache/keep")))


class Case:
    """words: of the command.  starts: what may start after a kill; then: what
    starts when it was done again; gone: the context is, too."""

    def __init__(self, name, words, prepare, starts, then, old=True,
                 gone=False, has_data=True):
        self.name, self.words, self.prepare = name, words, prepare
        self.starts, self.then, self.old = starts, then, old
        self.gone, self.has_data = gone, has_data


def after_kill(case, scene):
    host, wrong = scene.host, []
    if not host.quiet(10):
        wrong.append(f"left running: {host.processes()}")
    if case.old or os.path.lexists(host.path()):
        done = host.start("x", "y")
        if done.status != 0 or done.out not in case.starts or \
                len(done.err.splitlines()) > 1:
            wrong.append(f"a start after it: {done}")
        host.let_time_pass()
    return wrong


def done_again(case, scene):
    host, wrong = scene.host, []
    done = warm.run(case.words(host), env=host.start_env())
    is_gone = case.gone and not os.path.exists(host.context())
    if done.status != 0 and not (is_gone and done.status == 111):
        wrong.append(f"done again: {done}")
    if case.has_data and not data_kept(host):
        wrong.append("what the application wrote is lost")
    done = host.start("x", "y") if os.path.lexists(host.path()) else None
    if (done and done.out) != case.then or (done and done.err):
        wrong.append(f"a start when it was done again: {done}")
    if case.gone:
        if os.path.exists(host.context()):
            wrong.append("the context is still there")
    else:
        host.brood("gc", "--grace", "1ms")
        verified = host.brood("verify", "tool")
        if verified.status != 0:
            wrong.append(f"verify: {verified}")
    if left_over(scene):
        wrong.append(f"left over: {left_over(scene)}")
    return wrong


def one_kill(case, scene, number):
    """What is wrong; None: it ran through."""
    scene.again()
    watched = None
    if case.old:
        with Path(scene.host.path()) as watched:
            done, told = killed_at(scene.host, number, case.words(scene.host))
    else:
        done, told = killed_at(scene.host, number, case.words(scene.host))
    where = f"at call {number} ({' '.join(told)})"
    wrong = []
    if told[0] != "killed" and done.status != 0:
        wrong.append(f"{where}: {done}")
    if watched and watched.missing:
        wrong.append(f"{where}: the start path was missing "
                     f"{watched.missing} of {watched.looks} times")
    wrong += [f"{where}: {w}" for w in after_kill(case, scene)]
    wrong += [f"{where}: {w}" for w in done_again(case, scene)]
    return wrong, told


def kills(case):
    scene = Scene(case.prepare, case.old)
    wrong, number, killed, told = [], 1, 0, ["killed"]
    try:
        while told[0] == "killed":
            bad, told = one_kill(case, scene, number)
            wrong += bad
            killed += told[0] == "killed"
            number += STEP
    finally:
        scene.drop()
    TAP.ok(not wrong and told[0] == "ran" and killed > 0,
           f"{case.name}: killed {killed} times, of {told[-1]} calls that "
           "change something", "\n".join(wrong[:6]))


# ---- cases -------------------------------------------------------------------

def image(number):
    return IMAGES[number]


def install(number, *more, verb="install"):
    return lambda host: [warm.BROOD, "app", *host.install_words(
        image(number), *more, verb=verb)]


def verb(*words):
    return lambda host: [warm.BROOD, "app", *words]


def moved(host):
    """Its start path is another one from now on."""
    return [*install(1)(host), "--at",
            "tool=" + os.path.join(HERE, "host", "moved")]


def nothing(host):
    pass


def installed(*more, versions=(1,)):
    def prepare(host):
        for number in versions:
            done = host.install(image(number), *more,
                                verb="upgrade" if number > versions[0]
                                else "install")
            assert done.status == 0, done
        write(host.context("data/cache/keep"), "mine\n")
    return prepare


CASES = [
    Case("a first install", install(1), nothing, [V1], V1, old=False,
         has_data=False),
    Case("an install over a program, with a copy", install(1, "--keep"),
         nothing, [OLD_OUT, V1], V1, has_data=False),
    Case("an install again", install(1), installed(), [V1], V1),
    Case("an install with another start path", moved, installed(),
         [OLD_OUT, V1], OLD_OUT),
    Case("an upgrade with a copy", install(2, "--keep", verb="upgrade"),
         installed("--keep"), [V1, V2], V2),
    Case("a rollback", verb("rollback", "--to", "1", "tool"),
         installed("--keep", versions=(1, 2)), [V1, V2], V1),
    Case("a collection", verb("gc", "--grace", "1ms"),
         installed(versions=(1, 2, 3)), [tool_out(3, "x", "y")],
         tool_out(3, "x", "y")),
    Case("an uninstall", verb("uninstall", "tool"), installed(),
         [OLD_OUT, V1], OLD_OUT, gone=True),
    Case("an uninstall where nothing was", verb("uninstall", "tool"),
         installed(), [V1], None, old=False, gone=True),
    Case("a start", lambda host: [host.path(), "x", "y"], installed(), [V1],
         V1),
]


def main():
    global IMAGES
    if os.geteuid() != 0:
        TAP.skip("kills of installs and starts", "needs root, to mount")
        TAP.done()
    IMAGES = {n: app_host.pack(n, blob=65536, writable=["cache"])
              for n in (1, 2, 3)}
    for case in CASES:
        if not ONLY or any(w in case.name for w in ONLY):
            kills(case)
    TAP.done()


main()
