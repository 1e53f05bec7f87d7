# SPDX-License-Identifier: Apache-2.0
"""Templates that stop inside main: at brood_ready(), at the first read of
standard input, at the first open of a file.  Each launch is compared with a
plain start of the same words in the same folder with the same environment."""

import compileall
import os
import re
import resource
import shutil
import signal
import subprocess
import threading

import warm

BUILD = os.environ["BUILD"]
STEPS = os.path.join(BUILD, "tests/programs/steps")
MIRROR = os.path.join(BUILD, "tests/programs/mirror")
READY = os.path.join(BUILD, "examples/ready")
PYTHON = "/usr/bin/python3"
EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        "../../examples/python")
# What Python keeps of it would else be made by the first that imports it, and
# a folder that has changed since is no warm start.
compileall.compile_dir(EXAMPLES, quiet=1)
HERE = os.path.join(os.environ["TMPDIR"], "deep")
FILE = os.path.join(HERE, "words")
TAP = warm.Tap()
WORK = b"tell\nadd 3\nadd 4\ndeep 200\nthread\nchild\npid\nadd 1\n"
PROGRAM = """
import os, random, subprocess, sys, threading
sys.path.insert(0, %r)
import brood

total = [0]
started = []
brood.on_start(lambda: started.append(1))
brood.ready()
for line in sys.stdin:
    word, _, rest = line.partition(" ")
    if word == "add":
        total[0] += int(rest)
        print(total[0])
    elif word == "tell\\n":
        print(sys.argv, os.getcwd(), os.umask(0), sorted(
            pair for pair in os.environ.items()
            if not pair[0].startswith("BROOD_") and pair[0] != "_"))
    elif word == "child\\n":
        print(subprocess.run(["echo", "child"], capture_output=True))
    elif word == "thread\\n":
        thread = threading.Thread(target=print, args=("in a thread",))
        thread.start()
        thread.join()
    elif word == "random\\n":
        print(random.random(), len(started))
    elif word == "exit":
        sys.exit(int(rest))
    elif word == "raise\\n":
        raise KeyError("as told")
print("over")
""" % EXAMPLES


class Deep:
    """A template of some words, stopped at a point, known by a name."""

    def __init__(self, name, until, *words, serve=()):
        self.name, self.words = name, words
        self.served = warm.serve("--until", until, *serve, name, "--", *words)

    def plain(self, stdin=b"", more=(), **kw):
        return warm.run([*self.words, *more], stdin, **kw)

    def launch(self, stdin=b"", more=(), **kw):
        return warm.launch(self.name, *more, stdin=stdin, **kw)

    def entry(self):
        return warm.template(self.name)

    def check(self, words, stdin=b"", way="clone", reason="", **kw):
        cold, got = self.plain(stdin, **kw), self.launch(stdin, **kw)
        report = got.report or {}
        return TAP.ok(got.same(cold) and report.get("way") == way and
                      reason in report["reason"],
                      f"{self.name}: {words}",
                      f"{self.served}\n{got.differs(cold)}")

    def check_shell(self, words, line, way="clone"):
        """A shell line where @ stands for the program."""
        report = warm.new_report()
        cold = warm.run(["bash", "-c", line.replace("@",
                                                    " ".join(self.words))])
        got = warm.run(["bash", "-c", line.replace(
            "@", f"{warm.BROOD} launch --report {report} {self.name}")])
        got.report = warm.read_report(report)
        took = (got.report or {}).get("way")
        TAP.ok(got.same(cold) and took == way, f"{self.name}: {words}",
               got.differs(cold))


def write(name, data):
    path = os.path.join(HERE, name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def at_each_stop():
    """A C program, stopped at each of the points."""
    kept = []
    for until in ("ready", f"open:{FILE}", "open:words", "stdin"):
        # a relative path is one of the folder in which it was asked for
        words = "words" if until == "open:words" else FILE
        deep = Deep("steps-" + until.replace("/", "."), until, STEPS, words)
        entry = deep.entry() or {}
        TAP.ok(deep.served.status == 0 and entry.get("state") == "serving" and
               entry.get("clone") is True and entry.get("hatch") is False,
               f"stop {until}: served, by clone alone", (deep.served, entry))
        deep.check("what it is told, and its own end", WORK + b"exit 5\n")
        deep.check("the end of its input", WORK)
        deep.check("death by a signal", WORK + b"kill 11\n", preexec=no_core)
        kept.append(deep)
    return kept


def python():
    if not os.path.exists(PYTHON):
        TAP.skip("python: brood.ready()", f"no {PYTHON}")
        return None
    write("code/program.py", PROGRAM.encode())
    program = os.path.join(HERE, "code/program.py")
    deep = Deep("python", "ready", PYTHON, program, "a", "b c")
    deep.check("what it is told", b"tell\nadd 3\nadd 4\nchild\nthread\n")
    deep.check("its status", b"add 3\nexit 7\n")
    deep.check("a traceback", b"add 3\nraise\n")
    deep.check("no input at all", b"")
    drawn = [deep.launch(b"random\n") for _ in range(4)]
    words = [r.out.split()[:2] for r in drawn if r.report["way"] == "clone"]
    TAP.ok(len(words) == 4 and len({w[0] for w in words}) == 4 and
           {w[1] for w in words} == {b"1"},
           "python: each instance draws its own numbers, and on_start() was "
           "called once in each", drawn)
    return deep


def other_programs():
    deep = Deep("sieve", "ready", READY)
    if b"sanitizer" in deep.served.err:
        TAP.skip("sieve: the example answers", "built with a sanitizer")
    else:
        deep.check("the example answers", b"7\n8\n19999999\n1\n30000000\n")
    data = bytes(range(256)) * 8192
    Deep("cat", "stdin", "/bin/cat").check("2 MiB of all bytes", data)
    lines = b"".join(b"%d\n" % (i * 7919 % 10007) for i in range(20000))
    Deep("sort", "stdin", "/usr/bin/sort", "-n").check("20000 lines", lines)


def inputs(deep, closed):
    """Standard input in all its forms; closed is the way of a launch whose
    input is closed: a program that has looked must be started cold."""
    for text in (b"add 3\n", b"add 3\nadd 4\nexit 9\n"):
        write("in", text)
        path = os.path.join(HERE, "in")
        deep.check_shell("input from a file", f"@ <{path}; echo $?")
        deep.check_shell("input from a pipe", f"cat {path} | @; echo $?")
        deep.check_shell("input from a file, some of it read already",
                         f"(read -r line; @; echo $?; cat) <{path}")
    deep.check_shell("input from /dev/null", "@ </dev/null; echo $?")
    deep.check_shell("input that comes slowly",
                     "for i in 1 2 3; do sleep 0.05; echo add $i; done | @")
    deep.check_shell("closed input", "@ <&-; echo $?", way=closed)
    deep.check_shell("closed output", f"@ <{path} >&-; echo $?", way="exec")
    deep.check_shell("output into a full device",
                     f"@ <{path} >/dev/full; echo $?")
    deep.check_shell("output into a file",
                     f"@ <{path} >{HERE}/out; cat {HERE}/out")


def whose_state(deep, stdin_stop):
    """What is the template's, and what is the launch's."""
    deep.check("its folder is that of the launch", WORK, cwd="/usr/share")
    deep.check("its umask is that of the launch", WORK,
               preexec=lambda: os.umask(0o137))
    deep.check("its ignored signals are those of the launch",
               b"kill 2\nkill 15\n", preexec=ignore_interrupt)
    got = deep.launch(WORK, env=dict(os.environ, LATER="1"))
    want = deep.plain(WORK)
    TAP.ok(got.same(want) and got.report["way"] == "clone",
           f"{deep.name}: its environment is the template's",
           got.differs(want))
    deep.check("a variable that it has read is another", WORK, way="exec",
               reason="STEPS_COLOUR",
               env=dict(os.environ, STEPS_COLOUR="green"))
    deep.check("arguments of its own", WORK, way="exec",
               reason="no arguments", more=("x", "y z"))
    write("words", b"other words\n")
    # before the stop the file's words are in the template's memory
    stdin_stop.check("a file that it has read is another", WORK, way="exec",
                     reason="words")
    deep.check("a file that it has not read yet is another", WORK)


def ignore_interrupt():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def many(deep, count=60):
    """Each with a sum of its own, all at once, and none sees another's."""
    wrong, ways, lock = [], {}, threading.Lock()
    sums = {n: deep.plain(b"add %d\nadd 1\n" % n) for n in range(3)}
    step = ([int(re.findall(rb"sum (\d+)", sums[n].out)[0]) for n in range(3)])
    width = step[2] - step[1]

    def one(n):
        text = b"add %d\ndeep 300\nadd 1\n" % n
        got = deep.launch(text)
        first = step[0] + n * width
        found = [int(x) for x in re.findall(rb"sum (\d+)", got.out)]
        with lock:
            way = (got.report or {}).get("way")
            ways[way] = ways.get(way, 0) + 1
            if (got.status, got.err) != (0, b"") or \
                    found != [first, first + width] or \
                    not got.out.endswith(b"over\n"):
                wrong.append(f"{n}: {got}")

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    TAP.ok(not wrong and sum(ways.values()) == count and
           ways.get("clone", 0) > 0,
           f"{deep.name}: {count} launches at once, each with memory of its "
           f"own: {ways}", "\n".join(wrong[:3]))


class Busy:
    """An instance that has done some of its work and waits for more."""

    def __init__(self, deep):
        self.path = warm.new_report()
        self.client = subprocess.Popen(
            warm.launch_words(deep.name, [], report=self.path),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.client.stdin.write(b"add 3\nchild\n")  # child flushes
        self.client.stdin.flush()
        self.report = warm.wait_until(lambda: warm.read_report(self.path))
        self.begun = b""
        while b"sum" not in self.begun:
            line = self.client.stdout.readline()
            if not line:
                break
            self.begun += line

    def finish(self, stdin):
        out, err = self.client.communicate(stdin, timeout=30)
        return warm.Result(self.client.returncode, self.begun + out, err,
                           self.report)


def ended_midway(deep):
    """The template's end, while a copy is in the middle of its work."""
    rest = b"add 4\nthread\nchild\ndeep 50\nexit 6\n"
    cold = deep.plain(b"add 3\nchild\n" + rest)
    for how in ("refresh", "stop", "kill -9"):
        if how == "kill -9" and kernel() < (6, 15):
            TAP.skip(f"{deep.name}: kill -9 of the template", "a status "
                     "without its template needs Linux 6.15")
            continue
        warm.wait_until(lambda: deep.launch().report["way"] == "clone", 20)
        busy, before = Busy(deep), deep.entry()
        if how == "kill -9":
            os.kill(before["pid"], signal.SIGKILL)
        else:
            warm.brood(how, deep.name)
        warm.wait_until(lambda: not warm.alive(before["pid"]))
        lives = warm.alive(busy.report["pid"])
        got = busy.finish(rest)
        TAP.ok(got.report["way"] == "clone" and lives and got.same(cold),
               f"{deep.name}: {how} of the template, its copy finishes its "
               "work", f"{lives} {got.differs(cold)}")
        again = warm.wait_until(lambda: warm_again(deep, before["pid"]), 20,
                                0.1)
        TAP.ok(again, f"{deep.name}: {how}, and a new one serves", again)
    busy = Busy(deep)
    busy.client.kill()
    busy.client.communicate()
    TAP.ok(warm.wait_until(lambda: not warm.alive(busy.report["pid"])),
           f"{deep.name}: kill -9 of the client leaves no orphan")


def warm_again(deep, old):
    got = deep.launch(b"add 3\n")
    entry = deep.entry()
    return got.report["way"] == "clone" and entry["pid"] not in (0, old)


def kernel():
    return tuple(int(n) for n in os.uname().release.split(".")[:2]
                 if n.isdigit())


def never_reached():
    """The stop does not come: one clear line, nothing stays, launches are
    cold and right."""
    own = shutil.copy(STEPS, os.path.join(HERE, "own-steps"))
    hung = Deep("hung", "stdin", MIRROR, "sleep", serve=("--ready", "500ms"))
    told_why(hung, b"did not reach its stop in time")
    for name, until, words, reason in (
            ("ended", "ready", [MIRROR, "exit", "3"], b"ended with status 3"),
            ("killed", "ready", [MIRROR, "signal", "15"],
             b"ended by signal 15"),
            ("unopened", "open:/no/such/file", [own, FILE],
             b"ended with status 0"),
            ("spoke", "stdin", ["/bin/sh", "-c", "echo hi; read x; exit 2"],
             b"output before the stop"),
            ("shell", "stdin", ["/bin/sh", "-c", "echo hi; exit 4"],
             b"ended with status 4")):
        deep = Deep(name, until, *words)
        told_why(deep, reason)
        deep.check("a launch is cold and right", b"add 3\n", way="exec",
                   preexec=no_core)


def sets_for_itself():
    """What the program sets before its stop is not to be set back to what a
    launch has."""
    if not os.path.exists(PYTHON):
        TAP.skip("what python has set before its stop", f"no {PYTHON}")
        return
    for name, words in (
            ("umask", "os.umask(0o027)"),
            ("folder", "os.chdir('/usr')"),
            ("limit", "resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))"),
            ("priority", "os.nice(3)")):
        text = f"import os, resource, sys\n{words}\nsys.stdin.read()\nprint" \
            "(oct(os.umask(0)), os.getcwd(), os.nice(0), " \
            "resource.getrlimit(resource.RLIMIT_NOFILE))"
        deep = Deep(f"own-{name}", "stdin", PYTHON, "-c", text)
        TAP.ok(deep.served.status == 111 and
               f"{name} before the stop".encode() in deep.served.err,
               f"{deep.name}: serve tells why not", deep.served)
        deep.check("a launch has what it has set", way="exec")


def told_why(deep, reason):
    entry = deep.entry() or {}
    TAP.ok(deep.served.status == 111 and reason in deep.served.err and
           deep.served.err.count(b"\n") == 1 and deep.served.out == b"",
           f"{deep.name}: serve tells why not", deep.served)
    left = [p for p in warm.processes()
            if is_ours(p) and warm.exe(p) == os.path.realpath(deep.words[0])]
    TAP.ok(not entry.get("pid") and not left and
           entry.get("state") in ("failed", "refused") and
           reason.decode() in entry.get("reason", ""),
           f"{deep.name}: nothing stays, and ps tells why", (entry, left))


def is_ours(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as f:
            return os.environ["TMPDIR"].encode() in f.read()
    except OSError:
        return False


def replaced():
    """The same name for other words, or from another folder."""
    Deep("changing", "ready", STEPS, FILE)
    other = write("other", b"in the other file\n")
    deep = Deep("changing", "ready", STEPS, other)
    deep.check("served again with other words", WORK)
    left = [t for t in warm.templates() if t.get("name") == "changing"]
    TAP.ok(len(left) == 1, "changing: there is one template of that name",
           left)


def main():
    os.environ.pop("STEPS_COLOUR", None)
    os.makedirs(os.path.join(HERE, "code"), exist_ok=True)
    os.chdir(HERE)
    write("words", b"some words\n")
    ready, _, _, stdin = at_each_stop()
    script = python()
    other_programs()
    inputs(ready, "clone")
    if script:
        inputs(script, "exec")
    whose_state(ready, stdin)
    many(ready)
    ended_midway(ready)
    never_reached()
    sets_for_itself()
    replaced()
    warm.stop_all()
    TAP.done()


if __name__ == "__main__":
    try:
        main()
    except Exception:
        import traceback
        TAP.ok(False, "the script itself", traceback.format_exc())
        warm.stop_all()
        TAP.done()
