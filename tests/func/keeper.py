# SPDX-License-Identifier: Apache-2.0
"""The life of a template: made on demand, aged, renewed by all that renews
it, refused, killed, stopped and made again, while launches run.  Whatever
happens to it, each launch ends with the result of a plain start."""

import ctypes
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading

import warm

PROGRAMS = os.path.join(os.environ["BUILD"], "tests/programs")
HERE = os.path.join(os.environ["TMPDIR"], "keeper")
TAP = warm.Tap()
COUNT = [0]


def own(name="greeter", folder=None):
    """A program of the test's own, with its library."""
    COUNT[0] += 1
    folder = os.path.join(HERE, folder or f"own{COUNT[0]}")
    os.makedirs(folder)
    for file in (name, "libgreeting.so"):
        shutil.copy(os.path.join(PROGRAMS, file), folder)
    return os.path.join(folder, name)


def state(program):
    return (warm.template(program) or {}).get("state")


def serving(program, seconds=20):
    return warm.wait_until(lambda: state(program) == "serving", seconds, 0.02)


def ask_keeper(entry, word="status"):
    path = os.path.join(os.path.dirname(entry["socket"]), "control")
    with warm.connect(path) as s:
        s.send(word.encode())
        return json.loads(s.recv(65536))


def greeted(got, word, greeting="hello"):
    return got.status == 0 and got.err == b"" and got.out.endswith(
        f" {greeting}, {word}\n".encode()) and got.out.count(b"\n") == 1


def keepers():
    """Pids of keepers that this test has brought about."""
    found = []
    for pid in warm.processes():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            with open(f"/proc/{pid}/environ", "rb") as f:
                ours = os.environ["XDG_RUNTIME_DIR"].encode() in f.read()
        except OSError:
            continue
        if ours and words[1:2] == [b"keep"] and warm.alive(pid):
            found.append(pid)
    return found


class Copy:
    """A launch that waits: for the end of its input, or for long."""

    def __init__(self, program, word="cat", via="clone"):
        self.path = warm.new_report()
        self.client = subprocess.Popen(
            warm.launch_words(program, [word], via, self.path),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.report = warm.wait_until(
            lambda: warm.read_report(self.path), 20) or {}
        self.pid = self.report.get("pid", 0)

    def feed(self, stdin):
        """What finish() would, without waiting."""
        self.client.stdin.write(stdin)
        self.client.stdin.close()
        self.client.stdin = None

    def finish(self, stdin=b""):
        out, err = self.client.communicate(stdin, timeout=30)
        return warm.Result(self.client.returncode, out, err, self.report)

    def kill_client(self):
        self.client.kill()
        self.client.communicate()


class Loop(threading.Thread):
    """Launches one after the other until told to end."""

    def __init__(self, program, wanted, via=None):
        super().__init__()
        self.program, self.wanted, self.via = program, wanted, via
        self.over, self.total, self.bad, self.ways = False, 0, [], {}
        self.start()

    def run(self):
        while not self.over:
            word = f"w{self.total}"
            got = warm.launch(self.program, word, via=self.via, timeout=30)
            way = (got.report or {}).get("way")
            self.ways[way] = self.ways.get(way, 0) + 1
            self.total += 1
            if not any(greeted(got, word, g) for g in self.wanted):
                self.bad.append(repr(got))

    def end(self, words, least=1):
        self.over = True
        self.join()
        TAP.ok(not self.bad and self.total >= least,
               f"{words}: {self.total} launches, {len(self.bad)} wrong",
               "\n".join(self.bad[:3]) or self.ways)


def on_demand():
    program = own()
    clients = [subprocess.Popen(
        warm.launch_words(program, [f"n{n}"]), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE) for n in range(20)]
    wrong = []
    for n, client in enumerate(clients):
        out, err = client.communicate(timeout=30)
        got = warm.Result(client.returncode, out, err)
        if not greeted(got, f"n{n}"):
            wrong.append(repr(got))
    ready = serving(program)
    # the others find out that one was first
    one = warm.wait_until(lambda: len(keepers()) == 1, 10)
    TAP.ok(not wrong and ready and one,
           "20 first launches at once: right, and one keeper",
           (wrong[:3], state(program), keepers()))
    entry = warm.template(program)
    keeper = entry["keeper"]
    TAP.ok(warm.parent(keeper) != os.getpid() and
           os.getsid(keeper) != os.getsid(0) and
           os.readlink(f"/proc/{keeper}/cwd") == "/" and
           {warm.descriptors(keeper).get(n) for n in range(3)} ==
           {"/dev/null"},
           "a keeper made on demand holds nothing of who asked",
           warm.descriptors(keeper))
    for via in ("clone", "hatch"):
        got = warm.launch(program, "you", via=via)
        TAP.ok(greeted(got, "you") and got.report["way"] == via,
               f"{via}: and the next launch is warm", got)
    program = own()
    got = warm.run(["bash", "-c", f"{warm.BROOD} launch {program} you | cat; "
                    "echo ${PIPESTATUS[0]}"], timeout=20)
    TAP.ok(got.status == 0 and got.out.endswith(b"hello, you\n0\n"),
           "a pipe from the first launch ends with the program", got)
    serving(program)
    warm.stop_all()


def demanded_from_elsewhere():
    """By a stub, from a caller without a home: cron, a unit, env -i."""
    elsewhere = f"/tmp/brood-{os.geteuid()}/cache"
    before = os.path.exists(elsewhere)
    for env in ({}, {"HOME": os.path.join(HERE, "home"), "PATH": "/bin"}):
        program = own()
        stubs = os.path.join(HERE, f"stubs{COUNT[0]}")
        warm.brood("wrap", "--dir", stubs, program)
        stub = os.path.join(stubs, os.path.basename(program))
        got = warm.run([stub, "you"], env=env)
        ready = serving(program)
        again = warm.run([stub, "you"], env=dict(env, BROOD_VERBOSE="1"))
        TAP.ok(greeted(got, "you") and ready and again.out == got.out and
               b"started by " in again.err and
               os.path.exists(elsewhere) == before and
               not os.path.exists(os.path.join(HERE, "home")),
               f"a stub with {sorted(env) or 'no'} variables: its template "
               "comes, where it belongs", (got, again, warm.templates()))
        warm.stop_all()


def made_for_another():
    """An image for another time zone, which nobody keeps: the next launches
    get one of their own."""
    program = own("witness_locale")

    def launch(hours):
        env = dict(os.environ, TZ=f"HERE-{hours}")
        got = warm.launch(program, env=env)
        return got.out.endswith(b" %d\n" % (hours * 3600)) and \
            got.report["way"]

    launch(1)
    own_zone = warm.wait_until(lambda: launch(1) not in (False, "exec"), 10)
    other = [launch(2) for _ in range(3)]
    TAP.ok(own_zone and other == ["exec"] * 3 and launch(1) != "exec",
           "another time zone than the kept template's: cold", other)
    warm.brood("stop", program)
    first = launch(2)
    later = warm.wait_until(lambda: launch(2) not in (False, "exec"), 10)
    TAP.ok(first == "exec" and later,
           "than that of an image which nobody keeps: soon warm", first)
    warm.stop_all()


def copy_before_it_ages(program):
    """On a busy machine a template may be gone before it is used."""
    for _ in range(10):
        warm.serve("--idle", "400ms", "--pool", "2", program)
        entry = warm.template(program)
        copy = Copy(program)
        if entry.get("socket") and copy.report.get("way") == "clone" and \
                copy.report["generation"] == entry["generation"]:
            break
        copy.finish()
    return entry, copy


def served_later(program, entry):
    """Another generation has stood; it may have aged out again by now."""
    now = warm.template(program)
    return now["generation"] > entry["generation"] and \
        now["state"] in ("serving", "cold") and now


def ages_out(ready):
    program = own("mirror")
    entry, copy = copy_before_it_ages(program)
    gone = warm.wait_until(lambda: not warm.alive(entry["keeper"]), 1.2)
    TAP.ok(not gone and copy.report.get("way") == "clone",
           "a copy that runs keeps its template from ageing", copy.report)
    got = copy.finish(b"late")
    gone = warm.wait_until(lambda: not warm.alive(entry["keeper"]) and
                           not warm.alive(entry["pid"]), 15)
    left = os.listdir(os.path.dirname(entry["socket"]))
    TAP.ok(got.status == 0 and got.out == b"late" and gone and
           not [n for n in left if n not in ("lock", "waiting")],
           "after it the template ages out, and its sockets with it",
           (got, left))
    now = warm.template(program) or {}
    TAP.ok(now.get("state") == "cold" and now["pid"] == now["keeper"] ==
           now["live"] == now["waiting"] == 0 and now["launches"] == 1,
           "ps: cold, with no process", now)
    hint = os.path.join(os.path.dirname(entry["socket"]), "waiting")
    with open(hint, "r+b") as f:
        told = struct.unpack("=II", f.read())
        f.seek(0)
        f.write(struct.pack("=I", ready))
    got = warm.launch(program, "exit", "6")
    later = warm.wait_until(lambda: served_later(program, entry), 20, 0.02)
    TAP.ok(told[1] == 2 and got.status == 6 and
           got.report["way"] == "hatch" and later,
           "the image serves on by itself, and the template comes back, "
           f"whose last word was of {ready} copies",
           (told, got, entry, warm.template(program)))
    warm.stop_all()


def ages_out_full():
    ages_out(2)


def ages_out_empty():
    ages_out(0)


def made_and_stopped(program, *words):
    """Its folder, after it was served so, or launched."""
    if words:
        warm.brood(*words, program)
    warm.launch(program, "you")
    serving(program)
    warm.brood("stop", program)
    return state_folder(program)


def make_old(folder, days):
    then = os.stat(folder).st_mtime - days * 24 * 3600
    for name in os.listdir(folder):
        os.utime(os.path.join(folder, name), (then, then))


def unused_for_long():
    """What is left of templates that nothing uses any more."""
    stubs = os.path.join(HERE, "old-stubs")
    folders = {}
    for words, days, how in (
            ("launched", 31, ()), ("launched lately", 29, ()),
            ("program gone", 0, ()), ("served, program gone", 0, ("serve",)),
            ("wrapped", 31, ("wrap", "--dir", stubs)),
            ("kept", 31, ("serve",)), ("served", 31, ("serve",))):
        program = own()
        folders[words] = made_and_stopped(program, *how)
        if "gone" in words:
            os.unlink(program)
        elif words == "kept":
            warm.serve(program)
        make_old(folders[words], days)

    def left(words):
        if not os.path.isdir(folders[words]):
            return ""
        files = os.listdir(folders[words])
        return " ".join(n for n in ("entry", "spec", "image") if n in files)

    warm.serve(own())
    warm.wait_until(lambda: not left("launched"), 10)
    # in no order: the last of them may be looked at just now
    warm.wait_until(lambda: "image" not in left("wrapped") +
                    left("served") + left("served, program gone") +
                    left("program gone"), 10)
    now = {words: left(words) for words in folders}
    TAP.ok(now == {"launched": "", "launched lately": "entry spec image",
                   "program gone": "", "served, program gone": "entry spec",
                   "wrapped": "entry spec", "kept": "entry spec image",
                   "served": "entry spec"},
           "after 30 days: images go, and what a launch made by itself", now)
    again = warm.wait_until(lambda: is_warm(program), 20, 0.1)
    stub = warm.run([os.path.join(stubs, "greeter"), "you"])
    TAP.ok(again and greeted(stub, "you"),
           "and what was asked for comes back with the next launch", stub)
    warm.stop_all()


def renewed():
    program = own()
    warm.serve("--refresh", "300ms", program)
    loop = Loop(program, ["hello"], "clone")
    first = warm.template(program)
    seen = warm.wait_until(
        lambda: warm.template(program)["generation"] >= first["generation"] +
        3, 20, 0.05)
    told = ask_keeper(warm.template(program))["refreshed_by"]
    loop.end("renewed by a timer, three times")
    TAP.ok(seen and told == "timer", "and the keeper tells why", told)
    warm.stop_all()

    warm.serve("--refresh-launches", "10", program)
    first = warm.template(program)
    for _ in range(9):
        warm.launch(program, "you", via="clone")
    warm.wait_until(lambda: warm.template(program)["launches"] == 9)
    kept = warm.template(program)
    warm.launch(program, "you", via="clone")
    seen = warm.wait_until(lambda: warm.template(program)["generation"] ==
                           first["generation"] + 1, 20)
    told = ask_keeper(warm.template(program))
    TAP.ok(kept["generation"] == first["generation"] and seen and
           told["refreshed_by"] == "count" and told["launches"] == 10,
           "renewed by the tenth launch and not by the ninth",
           (first, kept, told))
    before = warm.template(program)
    os.kill(before["keeper"], signal.SIGHUP)
    seen = warm.wait_until(lambda: warm.template(program)["generation"] ==
                           before["generation"] + 1, 20)
    now = warm.template(program)
    TAP.ok(seen and now["keeper"] == before["keeper"] and
           now["pid"] != before["pid"] and
           warm.wait_until(lambda: not warm.alive(before["pid"]), 10),
           "renewed by SIGHUP: another process, the same keeper",
           (before, now))
    warm.stop_all()


def in_place(path, data):
    with open(path, "wb") as f:
        f.write(data)


def by_rename(path, data):
    in_place(path + ".new", data)
    shutil.copymode(path, path + ".new")
    os.rename(path + ".new", path)


def changed_files():
    """While it serves: right at once, and soon warm again."""
    for words, change in (("in place", in_place), ("by rename", by_rename)):
        program = own()
        library = os.path.join(os.path.dirname(program), "libgreeting.so")
        warm.serve(program)
        first = warm.template(program)
        # a program that runs while its library is truncated may crash, warm
        # or not
        loop = None if change == in_place else Loop(program,
                                                    ["hello", "HELLO"])
        with open(library, "rb") as f:
            data = f.read()
        change(library, data.replace(b"hello\0", b"HELLO\0"))
        old = [got for got in (warm.launch(program, "you")
                               for _ in range(10))
               if not greeted(got, "you", "HELLO")]
        gone = warm.wait_until(lambda: not warm.alive(first["pid"]), 10)
        again = warm.wait_until(lambda: is_warm(program, "HELLO"), 20, 0.05)
        if loop:
            loop.end(f"a library changed {words} amid launches", 5)
        TAP.ok(gone and not old and again,
               f"a library changed {words}: the template ends, then warm with "
               "the new one", (gone, old[:3], warm.template(program)))
        warm.stop_all()
    program = own()
    warm.serve("--pool", "2", program)
    first = warm.template(program)
    other = os.path.join(PROGRAMS, "mirror")
    with open(other, "rb") as f:
        by_rename(program, f.read())
    got = [warm.launch(program, "exit", "9") for _ in range(5)]
    again = warm.wait_until(lambda: warm.launch(
        program, "exit", "9").report["way"] == "clone", 20, 0.05)
    TAP.ok({g.status for g in got} == {9} and again and
           not warm.alive(first["pid"]),
           "the program changed: the new one at once, and warm soon",
           (got[0], warm.template(program)))
    os.unlink(program)
    got = warm.launch(program, "exit", "9")
    TAP.ok(got.status == 127, "the program is gone: 127", got)
    warm.stop_all()


def changed_behind_its_back():
    """The keeper sees nothing: a launch must see for itself."""
    for words, change in (("in place", in_place), ("by rename", by_rename)):
        program = own()
        library = os.path.join(os.path.dirname(program), "libgreeting.so")
        warm.serve("--pool", "2", program)
        first = warm.template(program)
        os.kill(first["keeper"], signal.SIGSTOP)
        with open(library, "rb") as f:
            data = f.read()
        before = warm.launch(program, "you", via="clone")
        change(library, data.replace(b"hello\0", b"HELLO\0"))
        got = {via: warm.launch(program, "you", via=via)
               for via in ("clone", "hatch", None)}
        os.kill(first["keeper"], signal.SIGCONT)
        TAP.ok(before.report["way"] == "clone" and
               greeted(before, "you") and
               all(greeted(g, "you", "HELLO") for g in got.values()) and
               "libgreeting.so has changed" in got["clone"].report["reason"],
               f"a library changed {words} while the keeper stands still: "
               "right at once, by any way", (before, got))
        warm.stop_all()


def is_warm(program, greeting="hello"):
    got = warm.launch(program, "you")
    return greeted(got, "you", greeting) and got.report["way"] != "exec"


def refused():
    program = own("witness_pid")
    plain = warm.run([program, "x"])
    got = [warm.launch(program, "x")]
    known = warm.wait_until(lambda: state(program) == "refused", 20)
    entry = warm.template(program) or {}
    got += [warm.launch(program, "x") for _ in range(5)]
    gone = warm.wait_until(lambda: not keepers(), 10)
    after = warm.template(program)
    TAP.ok(known and all(g.status == plain.status and
                         g.report["way"] == "exec" for g in got) and
           "process id" in entry["reason"] and gone and
           after["generation"] == entry["generation"] and
           not entry["clone"] and not entry["hatch"],
           "a refused program: told why, cold, and not tried again",
           (got[-1], entry, after))
    with open(os.path.join(PROGRAMS, "greeter"), "rb") as f:
        by_rename(program, f.read())
    again = warm.wait_until(lambda: is_warm(program), 20, 0.1)
    TAP.ok(again, "and tried again by a launch when it was replaced",
           warm.template(program))
    warm.stop_all()


def failed_for_now():
    """A failure that says nothing about the program is not kept."""
    program = own("moody")
    mood = os.path.join(os.path.dirname(program), "mood")
    with open(mood, "w") as f:
        f.write("hangs")
    late = warm.serve("--ready", "200ms", "--env", f"MOODY_FILE={mood}",
                      program)
    failed = state(program)
    with open(mood, "w") as f:
        f.write("well")
    got = warm.launch(program, "you")
    tried = warm.wait_until(lambda: (warm.template(program) or {}).get(
        "generation", 0) >= 2, 10)
    TAP.ok(late.status == 111 and failed == "failed" and tried,
           "not ready in time: the next launch tries it again",
           (late, got, warm.template(program)))
    warm.stop_all()


def burst(count=200):
    """All at once, each with an argument and a status of its own."""
    program = own("mirror")
    for via in ("clone", "hatch", None):
        warm.serve("--pool", "2", program)
        before = warm.template(program)["launches"]
        clients = [subprocess.Popen(
            warm.launch_words(program, ["exit", str(n)], via),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT) for n in range(count)]
        ends = [(c.communicate(timeout=60)[0], c.returncode)
                for c in clients]
        wrong = [(n, e) for n, e in enumerate(ends) if e != (b"", n)]
        # a launch of the burst, not one that only fills the pool
        warm.wait_until(lambda: warm.template(program)["live"] == 0)
        entry = warm.template(program)
        quiet = warm.wait_until(lambda: rests(program), 10)
        TAP.ok(not wrong and quiet and entry["state"] == "serving" and
               (via != "clone" or entry["launches"] > before),
               f"{via or 'auto'}: {count} launches at once, each with its own "
               "status; none lives on", (wrong[:5], before, entry))
    warm.stop_all()


def stopped_in_flight():
    """Nobody of its session is left to continue a stopped copy: the kernel
    hangs such up."""
    program = own("mirror")
    warm.serve(program)
    first = warm.template(program)
    copy = Copy(program)
    os.kill(copy.pid, signal.SIGSTOP)
    warm.brood("refresh", program)
    gone = warm.wait_until(lambda: not warm.alive(first["pid"]), 10)
    os.kill(copy.pid, signal.SIGCONT)
    got = copy.finish(b"goes on")
    TAP.ok(gone and got.status == 0 and got.out == b"goes on",
           "a copy that is stopped while its template ends goes on", got)
    warm.stop_all()


def chooses():
    """By itself: a copy that waits, else the image."""
    program = own("mirror")
    warm.serve(program)
    got = [warm.launch(program, "exit", str(n)) for n in range(3)]
    TAP.ok([g.status for g in got] == [0, 1, 2] and
           {g.report["way"] for g in got} == {"hatch"} and
           warm.template(program)["waiting"] == 0,
           "a small image gets no pool, and is hatched", got[0])
    warm.serve("--pool", "2", program)
    hint = os.path.join(os.path.dirname(warm.template(program)["socket"]),
                        "waiting")

    def ready():
        with open(hint, "rb") as f:
            return int.from_bytes(f.read(4), sys.byteorder)

    # a busy machine has the pool half filled
    warm.wait_until(lambda: ready() >= 1, 10)
    first = warm.launch(program, "exit", "3")
    rest = warm.wait_until(lambda: hatched_among(program, 10), 10)
    TAP.ok(first.status == 3 and first.report["way"] == "clone" and rest,
           "a waiting copy is taken; without one, the image", (first, rest))
    os.unlink(hint)
    got = warm.launch(program, "exit", "5")
    TAP.ok(got.status == 5 and got.report["way"] == "hatch",
           "nothing is told of copies: the image", got)
    with open(hint, "wb") as f:
        f.write(b"\xff" * 4)
    wait = [warm.launch(program, "exit", "6") for _ in range(6)]
    TAP.ok({g.status for g in wait} == {6} and
           {g.report["way"] for g in wait} <= {"clone", "hatch"},
           "more copies are told of than there are: still right", wait[-1])
    warm.stop_all()
    for words, put in (("a folder", os.mkdir), ("a pipe", os.mkfifo),
                       ("a link", lambda p: os.symlink("nowhere", p))):
        if os.path.lexists(hint):
            os.unlink(hint)
        put(hint)
        served = warm.serve("--pool", "2", program)
        got = [warm.launch(program, "exit", "7", via=via)
               for via in (None, "clone")]
        TAP.ok(served.status == 0 and [g.status for g in got] == [7, 7] and
               [g.report["way"] for g in got] == ["hatch", "clone"],
               f"{words} where copies are told of: served, and right",
               (served, got))
        warm.stop_all()
        os.rmdir(hint) if words == "a folder" else os.unlink(hint)


def hatched_among(program, count):
    """All at once, more than copies wait: all right, and some hatched?"""
    reports = [warm.new_report() for _ in range(count)]
    clients = [subprocess.Popen(
        warm.launch_words(program, ["exit", "4"], None, report),
        stdin=subprocess.DEVNULL) for report in reports]
    ends = [c.wait(30) for c in clients]
    return ends == [4] * count and \
        "hatch" in [warm.read_report(r)["way"] for r in reports]


def rests(program):
    """A pool that was used up is filled again when a CPU has nothing to do,
    or when a clone is asked for."""
    entry = warm.template(program)
    if entry["live"] == entry["waiting"] == 0:
        warm.launch(program, "exit", "0", via="clone")
    return entry["live"] == 0 and entry["waiting"] > 0


def kernel():
    return tuple(int(n) for n in os.uname().release.split(".")[:2]
                 if n.isdigit())


def subreaper(on):
    ctypes.CDLL(None).prctl(36, int(on), 0, 0, 0)


def killed_in_flight():
    """kill -9 of the template, of its keeper, of both: the copies finish."""
    program = own("mirror")
    for whom in ("template", "keeper", "both"):
        if whom != "keeper" and kernel() < (6, 15):
            TAP.skip(f"kill -9 of {whom}, launches in flight", "a status "
                     "without its template needs Linux 6.15")
            continue
        # who inherits orphans reaps them at its leisure; here we do
        subreaper(whom == "both")
        warm.serve(program)
        entry = warm.template(program)
        copies = [Copy(program) for _ in range(8)]
        for victim in {"template": ["pid"], "keeper": ["keeper"],
                       "both": ["keeper", "pid"]}[whom]:
            os.kill(entry[victim], signal.SIGKILL)
        warm.wait_until(lambda: not warm.alive(
            entry["keeper" if whom == "keeper" else "pid"]))
        # while there is no server, or another one comes
        amid = [warm.launch(program, "exit", str(n)) for n in range(4)]
        for n, copy in enumerate(copies):
            copy.feed(b"%d" % n)
        for copy in copies if whom == "both" else ():
            os.waitpid(copy.pid, 0)
        ends = [c.finish() for c in copies]
        subreaper(False)
        wrong = [repr(e) for n, e in enumerate(ends)
                 if (e.status, e.out, e.err) != (0, b"%d" % n, b"") or
                 e.report.get("way") != "clone"]
        TAP.ok(not wrong and [a.status for a in amid] == [0, 1, 2, 3],
               f"kill -9 of {whom}: 8 copies finish, 4 launches after it are "
               "right", "\n".join(wrong[:3]) or amid)
        again = warm.wait_until(lambda: warm.launch(
            program, "exit", "3", via="clone").report["way"] == "clone", 20,
            0.1)
        gone = warm.wait_until(lambda: not warm.alive(entry["pid"]), 10)
        TAP.ok(again and gone, f"kill -9 of {whom}: a new one serves, the "
               "old one is gone", warm.template(program))
        warm.stop_all()
    warm.serve(program)
    entry = warm.template(program)
    copies = [Copy(program, "sleep") for _ in range(4)]
    os.kill(entry["keeper"], signal.SIGKILL)
    for copy in copies:
        copy.kill_client()
    gone = warm.wait_until(lambda: not [
        c for c in copies if warm.alive(c.pid)] and
        not warm.alive(entry["pid"]), 10)
    TAP.ok(gone and {c.report.get("way") for c in copies} == {"clone"},
           "kill -9 of the keeper and of four clients: no copy and no "
           "template lives on", entry)
    warm.stop_all()


def killed_copy():
    program = own("mirror")
    warm.serve(program)
    for via in ("clone", "hatch"):
        report = warm.new_report()
        shell = subprocess.Popen(
            ["bash", "-c", f"{warm.BROOD} launch --via {via} --report "
             f"{report} {program} sleep; echo $?"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        seen = warm.wait_until(lambda: warm.read_report(report)) or {}
        os.kill(seen["pid"], signal.SIGKILL)
        out = shell.communicate(timeout=20)[0]
        TAP.ok(out == b"137\n" and seen["way"] == via,
               f"{via}: a shell sees 137 of a copy that was killed", out)
    warm.stop_all()


def state_folder(program):
    return os.path.join(os.environ["XDG_CACHE_HOME"], "brood/programs",
                        warm.template(program)["key"])


def left_by_killed_keepers():
    """Drafts of images are large; those of the living are in use."""
    program = own()
    warm.serve(program)
    warm.brood("stop", program)
    folder = state_folder(program)
    gone = subprocess.Popen(["true"])
    gone.wait()
    stale = ["image.3", f"image.7.draft.{gone.pid}.7ffd0",
             f"image.8.draft.{os.getpid()}.1", f"status.draft.{gone.pid}.2"]
    used = [f"spec.draft.{os.getpid()}.3", "image.x", "draft"]
    for name in stale + used:
        in_place(os.path.join(folder, name), b"x")
    warm.serve(program)
    left = os.listdir(folder)
    TAP.ok(not set(stale) & set(left) and set(used) <= set(left),
           "what killed keepers have left half-written is removed", left)
    warm.stop_all()


def odd_things_for_sockets():
    """What else may lie where the sockets are to be."""
    program = own()
    warm.serve(program)
    folder = os.path.dirname(warm.template(program)["socket"])
    warm.brood("stop", program)

    def link(path):
        os.symlink("nothing-there", path)

    def stale(path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.bind(path)

    def loop(path):
        os.symlink(os.path.basename(path), path)

    for words, make in (("a file", lambda p: in_place(p, b"x")),
                        ("a stale socket", stale), ("a dead link", link),
                        ("a link to itself", loop), ("a pipe", os.mkfifo)):
        made = []
        for name in ("live", "control", "g1", "g2"):
            path = os.path.join(folder, name)
            if not os.path.lexists(path):
                make(path)
                made.append(name)
        got = warm.launch(program, "you", via="clone")
        ready = serving(program)
        again = warm.launch(program, "you", via="clone")
        TAP.ok(len(made) >= 3 and greeted(got, "you") and ready and
               greeted(again, "you") and again.report["way"] == "clone",
               f"{words} in place of the sockets: right, and served again",
               (made, got, again, warm.template(program)))
        warm.brood("stop", program)
        warm.wait_until(lambda: not keepers(), 10)
    warm.stop_all()


def stopped_and_served_again():
    program = own()
    for words, step in (
            ("stopped", lambda n: warm.brood("stop", program)),
            ("served with another pool",
             lambda n: warm.serve("--pool", str(1 + n % 2), program)),
            ("stopped and served",
             lambda n: (warm.brood("stop", program), warm.serve(program))),
            ("removed", lambda n: warm.brood("stop", "--forget", program))):
        warm.serve(program)
        loops = [Loop(program, ["hello"], via) for via in ("clone", None)]
        for n in range(8):
            step(n)
        for loop in loops:
            loop.end(f"{words} eight times amid launches")
        # a keeper that the last launch has asked for may be on its way
        left = warm.wait_until(lambda: not warm.brood("stop", "--all").status
                               and not keepers(), 10, 0.1)
        TAP.ok(left, f"{words}: no keeper is left", keepers())


def in_foreground():
    program = own("mirror")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        server = subprocess.Popen(
            [warm.BROOD, "serve", "--foreground", program],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        ready = server.stdout.readline()
        entry = warm.template(program) or {}
        copy = Copy(program)
        server.send_signal(number)
        # a keeper that is asked to end waits for the copies
        warm.wait_until(lambda: not warm.alive(entry["pid"]), 1)
        got = copy.finish(b"still here")
        status = server.wait(20)
        err = server.communicate()[1]
        TAP.ok(ready == b"ready\n" and entry.get("keeper") == server.pid and
               got.status == 0 and got.out == b"still here" and
               got.report.get("way") == "clone" and err == b"" and
               status == (-9 if number == signal.SIGKILL else 0) and
               warm.wait_until(lambda: not warm.alive(entry["pid"]), 10),
               f"in the foreground, {signal.Signals(number).name}: its copy "
               "finishes", (ready, entry, got, status, err))
    warm.stop_all()


def what_ps_tells():
    program = own("mirror")
    warm.serve("--pool", "3", program)
    warm.wait_until(lambda: warm.template(program)["waiting"] > 0)
    first = warm.template(program)
    copies = [Copy(program) for _ in range(3)]
    hatched = Copy(program, via="hatch")
    full = warm.wait_until(lambda: warm.template(program)["live"] == 3)
    now = warm.template(program)
    TAP.ok(full and now["launches"] == 3 and now["state"] == "serving" and
           warm.exe(now["pid"]) == program and warm.alive(now["keeper"]) and
           warm.parent(now["pid"]) == now["keeper"] and
           all(warm.parent(c.pid) == now["pid"] for c in copies) and
           warm.listener_inode(now["socket"]) in warm.sockets_of(now["pid"])
           and first["live"] == first["launches"] == 0,
           "ps: processes, socket, launches and copies are what they are",
           (first, now))
    warm.brood("refresh", program)
    after = warm.wait_until(lambda: (lambda t: t if t["live"] == 3 and
                                     not t["draining"] else None)(
                                         warm.template(program)), 10)
    TAP.ok(after and after["launches"] == 3 and
           after["generation"] == now["generation"] + 1,
           "ps: copies of an older generation are counted on",
           warm.template(program))
    for copy in (*copies, hatched):
        copy.finish()
    TAP.ok(warm.wait_until(lambda: warm.template(program)["live"] == 0),
           "ps: and no more when they have ended", warm.template(program))
    warm.brood("stop", program)
    odd = own(folder="a \"b\"\\ c\td \u00e9 <e>")
    warm.serve(odd)
    refuses = own("witness_pid")
    warm.serve(refuses)
    result = warm.brood("ps", "--json")
    rows = {t["program"]: t for t in json.loads(result.out)["templates"]}
    TAP.ok(rows.get(odd, {}).get("state") == "serving" and
           rows.get(refuses, {}).get("state") == "refused" and
           rows.get(program, {}).get("state") == "cold" and
           greeted(warm.launch(odd, "you"), "you"),
           "ps --json: serving, refused and cold, with a path of odd letters",
           result)
    warm.stop_all()


def main():
    os.makedirs(HERE)
    for step in (on_demand, demanded_from_elsewhere, made_for_another,
                 ages_out_full, ages_out_empty, unused_for_long, renewed, changed_files,
                 changed_behind_its_back, refused, failed_for_now,
                 stopped_in_flight, chooses, burst, killed_in_flight,
                 killed_copy, left_by_killed_keepers, odd_things_for_sockets,
                 stopped_and_served_again, in_foreground, what_ps_tells):
        try:
            step()
        except Exception:
            import traceback
            TAP.ok(False, step.__name__, traceback.format_exc())
            warm.stop_all()
    warm.stop_all()
    TAP.done()


if __name__ == "__main__":
    main()
