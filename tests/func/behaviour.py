# SPDX-License-Identifier: Apache-2.0
"""Everything that a launch carries, and everything that a caller sees of
it, compared with a plain exec of the same program from the same place."""

import ctypes
import fcntl
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import warm

MIRROR = os.path.join(os.environ["BUILD"], "tests/programs/mirror")
TAP = warm.Tap()
VIAS = ("clone", "hatch")


def both(words, args, way=True, stdin=b"", **kw):
    """The same by plain exec, by clone and by hatch."""
    cold = warm.run([MIRROR, *args], stdin, **kw)
    for via in VIAS:
        got = warm.launch(MIRROR, *args, via=via, stdin=stdin, **kw)
        took = (got.report or {}).get("way")
        TAP.ok(got.same(cold) and (not way or took == via),
               f"{via}: {words}", got.differs(cold))


def with_shell(words, line, way=True):
    """A shell line where @ stands for the program; output and status."""
    cold = warm.run(["bash", "-c", line.replace("@", MIRROR)])
    for via in VIAS:
        report = warm.new_report()
        command = f"{warm.BROOD} launch --via {via} --report {report} {MIRROR}"
        got = warm.run(["bash", "-c", line.replace("@", command)])
        got.report = warm.read_report(report)
        took = (got.report or {}).get("way")
        TAP.ok(got.same(cold) and (not way or took == via),
               f"{via}: {words}", got.differs(cold))


def what_it_carries():
    both("argv, environment, cwd, limits, signals, descriptors", ["state"])
    both("strange words", ["state", "", " ", "a\nb", "\u00e9", "--", "-x"])
    both("another environment", ["state"],
         env=dict(os.environ, NEW="1", EMPTY="", HOME="/"))
    both("no environment but ours", ["state"],
         env={k: v for k, v in os.environ.items()
              if k.startswith(("XDG_", "HOME", "PATH", "TMPDIR", "BROOD"))})
    both("another working directory", ["state"], cwd="/usr/share")
    both("umask", ["state"], preexec=lambda: os.umask(0o137))
    both("nice", ["state"], preexec=lambda: os.nice(5))
    both("limits", ["state"], preexec=lower_limits)
    both("ignored signals", ["state"], preexec=ignore_signals)
    both("blocked signals", ["state"],
         preexec=lambda: signal.pthread_sigmask(
             signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGRTMIN + 3}))
    both("a huge argument list (2 MiB)",
         ["size"] + ["x" * 100000] * 20, timeout=60)
    both("a huge environment", ["size"],
         env=dict(os.environ, **{f"V{i}": "y" * 100000 for i in range(10)}))
    both("many small arguments", ["size"] + ["a"] * 50000)
    with_shell("extra descriptors", "@ state 5</dev/null 9>/dev/null")
    with_shell("closed stdin", "@ state <&-")
    with_shell("closed stderr", "@ state 2>&-")
    with_shell("closed stdin and stderr", "@ state <&- 2>&-")
    with_shell("closed stdout", "@ exit 4 >&-; echo $?")
    with_shell("a deleted working directory",
               "mkdir $TMPDIR/gone && cd $TMPDIR/gone && rmdir $TMPDIR/gone"
               " && @ state")
    with_shell("few descriptors", "ulimit -n 13; @ state", way=False)


def high_descriptors():
    """A number may lie above the limit, which was lowered later."""
    for words, line in (
            ("one above the limit",
             "exec 200>/dev/null; ulimit -n 100; @ state"),
            ("the limit's last number",
             "exec 99>/dev/null; ulimit -n 100; @ state"),
            ("one above the usual ones", "exec 300>/dev/null; @ state"),
            ("all numbers of a short table",
             "for ((i = 10; i < 64; i++)); do eval \"exec $i</dev/null\"; "
             "done; ulimit -n 64; @ state"),
            ("waiting descriptors above a low limit",
             "mkfifo $TMPDIR/p$$; for ((i = 50; i < 130; i++)); do "
             "eval \"exec $i<>$TMPDIR/p$$\"; done; ulimit -n 51; @ state"),
            ("one above a limit of 1024",
             "ulimit -n 4096; exec 1020>/dev/null 2000>/dev/null; "
             "ulimit -Sn 1024; @ state; @ see 2000")):
        with_shell(words, line)


def many_descriptors():
    """More than a launch can carry: no clone, and the hatch that follows
    in the same process has nothing of the attempt."""
    line = ("for ((i = 10; i < 270; i++)); do eval \"exec $i</dev/null\"; "
            "done; @ state")
    cold = warm.run(["bash", "-c", line.replace("@", MIRROR)])
    for via in ("auto", "clone"):
        report = warm.new_report()
        command = f"{warm.BROOD} launch --via {via} --report {report} {MIRROR}"
        got = warm.run(["bash", "-c", line.replace("@", command)])
        got.report = warm.read_report(report)
        TAP.ok(got.same(cold) and got.report["way"] != "clone",
               f"{via}: 260 descriptors", got.differs(cold))


def lower_limits():
    resource.setrlimit(resource.RLIMIT_CPU, (1000, 2000))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (4 << 20, 16 << 20))


def ignore_signals():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def how_it_ends():
    for code in (0, 1, 77, 255):
        both(f"exit {code}", ["exit", str(code)])
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV,
                   signal.SIGPIPE):
        both(f"death by {signal.Signals(number).name}",
             ["signal", str(int(number))], preexec=no_core)
    with_shell("death by a signal as the shell sees it",
               "ulimit -c 0; @ signal 15; echo $?", way=False)


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def pipes():
    both("stdin passed through", ["cat"], stdin=b"abc\0def" * 1000)
    with_shell("a pipe that ends", "@ cat < /dev/zero | head -c 10000000 "
               "| wc -c")
    with_shell("a reader that ends first",
               "@ cat < /dev/zero | head -c 10; echo ${PIPESTATUS[0]}")
    with_shell("the end of stdout is seen", "@ exit 0 | cat; echo over")
    size = int(os.environ.get("PIPE_MIB", "1024"))
    with_shell(f"{size} MiB through a pipe",
               f"head -c {size}M /dev/zero | @ cat | {MIRROR} sum")


def signals():
    for via in VIAS:
        client = subprocess.Popen(
            warm.launch_words(MIRROR, ["listen"], via),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        got = [client.stdout.readline()]
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGINT,
                       signal.SIGWINCH, signal.SIGTERM):
            client.send_signal(number)
            if number != signal.SIGTERM:
                got.append(client.stdout.readline())
        rest = client.stdout.read()
        status = client.wait(20)
        client.stdout.close()
        TAP.ok(status == 7 and rest == b"sig 15\n" and
               got == [b"listening\n", b"sig 10\n", b"sig 01\n",
                       b"sig 02\n", b"sig 28\n"],
               f"{via}: signals reach it", (status, got, rest))


def stopped_and_continued():
    for via in VIAS:
        report = warm.new_report()
        client = subprocess.Popen(
            warm.launch_words(MIRROR, ["sleep"], via, report),
            stdin=subprocess.DEVNULL)
        seen = warm.wait_until(lambda: warm.read_report(report))
        pid = seen["pid"]
        # no shell watches this group, so that only STOP stops a process
        # of it; a clone's starter can be asked politely
        client.send_signal(signal.SIGTSTP if via == "clone" else
                           signal.SIGSTOP)
        stopped = warm.wait_until(
            lambda: warm.stat_fields(pid)[0] == "T" and
            warm.stat_fields(client.pid)[0] == "T", 10)
        client.send_signal(signal.SIGCONT)
        running = warm.wait_until(
            lambda: warm.stat_fields(pid)[0] != "T" and
            warm.stat_fields(client.pid)[0] != "T", 10)
        client.send_signal(signal.SIGINT)
        status = client.wait(20)
        TAP.ok(stopped and running and status == -signal.SIGINT,
               f"{via}: stopped, continued, interrupted",
               (stopped, running, status))


class Job:
    """mirror job, run by one of the ways; None: without Brood."""

    def __init__(self, via):
        report = warm.new_report()
        words = (warm.launch_words(MIRROR, ["job"], via, report) if via else
                 [MIRROR, "job"])
        self.client = subprocess.Popen(words, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE)
        self.client.stdout.readline()
        self.pid = (warm.wait_until(lambda: warm.read_report(report))["pid"]
                    if via else self.client.pid)
        self.seen = []

    def line(self):
        if select.select([self.client.stdout], [], [], 5)[0]:
            self.seen.append(self.client.stdout.readline())

    def are(self, stopped):
        """Both of them, within some time; a stop that must not be has all of
        that time to come."""
        def states():
            return [warm.stat_fields(pid)[0] == "T"
                    for pid in (self.client.pid, self.pid)]
        if stopped:
            good = warm.wait_until(lambda: all(states()), 5)
        else:
            time.sleep(0.3)
            good = warm.wait_until(lambda: not any(states()), 5)
        self.seen.append(("stopped" if stopped else "runs", bool(good)))

    def end(self):
        self.client.send_signal(signal.SIGTERM)
        self.seen += [self.client.stdout.read(), self.client.wait(20)]
        self.client.stdout.close()
        return self.seen


def stops_of_its_own(via):
    """What comes of a stop is the program's affair."""
    job = Job(via)
    job.client.send_signal(signal.SIGTSTP)  # handled
    job.line()
    job.are(stopped=False)
    job.client.send_signal(signal.SIGTTOU)  # ignored
    job.are(stopped=False)
    for _ in range(2):
        job.client.send_signal(signal.SIGTTIN)  # stops in its handler
        job.line()
        job.are(stopped=True)
        job.client.send_signal(signal.SIGCONT)
        job.line()
        job.are(stopped=False)
    return job.end()


def values_of_signals(via):
    job = Job(via)
    for number, value in ((signal.SIGUSR1, 5), (40, -7), (40, 8),
                          (signal.SIGCHLD, 9)):
        ctypes.CDLL(None).sigqueue(job.client.pid, int(number),
                                   ctypes.c_void_p(value & 0xffffffff))
        job.line()
    job.client.send_signal(signal.SIGCHLD)
    job.line()
    return job.end()


def signals_like_an_exec():
    for what in (stops_of_its_own, values_of_signals):
        cold = what(None)
        for via in VIAS:
            got = what(via)
            TAP.ok(got == cold, f"{via}: {what.__name__.replace('_', ' ')}",
                   f"{got}\n{cold}")


def killed_client():
    for via in VIAS:
        report = warm.new_report()
        client = subprocess.Popen(
            warm.launch_words(MIRROR, ["sleep"], via, report),
            stdin=subprocess.DEVNULL)
        seen = warm.wait_until(lambda: warm.read_report(report))
        client.kill()
        client.wait()
        gone = warm.wait_until(lambda: not warm.alive(seen["pid"]), 10)
        TAP.ok(gone, f"{via}: kill -9 of the client leaves no orphan")


def killed_copy():
    for via in VIAS:
        report = warm.new_report()
        client = subprocess.Popen(
            warm.launch_words(MIRROR, ["sleep"], via, report),
            stdin=subprocess.DEVNULL)
        seen = warm.wait_until(lambda: warm.read_report(report))
        os.kill(seen["pid"], signal.SIGKILL)
        status = client.wait(20)
        TAP.ok(status == -signal.SIGKILL, f"{via}: kill -9 of the copy is "
               "seen as such", status)


def affinity_differs():
    cpus = sorted(os.sched_getaffinity(0))

    def one_core():
        os.sched_setaffinity(0, {cpus[0]})

    if len(cpus) == 1:
        TAP.skip("another affinity: no clone", "a machine with one CPU")
        return
    cold = warm.run([MIRROR, "state"], preexec=one_core)
    got = warm.launch(MIRROR, "state", via="clone", preexec=one_core)
    TAP.ok(got.same(cold) and got.report["way"] == "exec" and
           "affinity" in got.report["reason"],
           "another affinity: no clone, and the reason is told",
           (got, cold))
    got = warm.launch(MIRROR, "state", preexec=one_core)
    TAP.ok(got.same(cold) and got.report["way"] in ("hatch", "exec"),
           "another affinity: auto takes another way", got)


def identity_differs():
    """What a clone cannot take over leads to another way, same result."""
    affinity_differs()
    if set_memory_policy(0) < 0:
        TAP.skip("another memory policy: no clone", "a kernel without")
        return
    got = warm.launch(MIRROR, "exit", "3", via="clone",
                      preexec=lambda: set_memory_policy(2))
    TAP.ok(got.status == 3 and got.report["way"] == "exec" and
           "memory policy" in got.report["reason"],
           "another memory policy: no clone, and the reason is told", got)


def set_memory_policy(mode):
    """2, MPOL_BIND: to node 0."""
    nodes = ctypes.c_ulong(1)
    return ctypes.CDLL(None).syscall(238, mode, ctypes.byref(nodes)
                                     if mode else None, 64 if mode else 0)


def namespaces_differ():
    """Another host name, other sockets: not what a clone can take over."""
    libc = ctypes.CDLL(None, use_errno=True)
    for words, flag in (("uts", 0x04000000), ("ipc", 0x08000000),
                        ("net", 0x40000000)):
        def apart(number=flag):
            if libc.unshare(number) != 0:
                os._exit(77)

        cold = warm.run([MIRROR, "exit", "6"], preexec=apart)
        if cold.status == 77:
            TAP.skip(f"another {words} namespace", "not permitted")
            continue
        got = warm.launch(MIRROR, "exit", "6", via="clone", preexec=apart)
        TAP.ok(got.status == cold.status == 6 and
               got.report["way"] == "exec" and
               "namespaces" in got.report["reason"],
               f"another {words} namespace: no clone", (got, cold))


def messages_in_a_file():
    """LLVM asks what stderr is and does nothing with the answer."""
    path = shutil.which("clang-19")
    if not path:
        TAP.skip("a compiler's messages go to a file", "no clang-19")
        return
    warm.serve(path)
    source = os.path.join(os.environ["TMPDIR"], "wrong.c")
    log = os.path.join(os.environ["TMPDIR"], "log")
    with open(source, "w") as f:
        f.write("int main(void) { return x; }\n")

    def with_messages(run):
        with open(log, "w+", encoding="utf-8") as f:
            f.write("before\n")
            f.flush()
            got = run(lambda: os.dup2(f.fileno(), 2))
            f.seek(0)
            return got, (got.status, f.read())

    args = ["-c", source, "-o", "/dev/null"]
    cold = with_messages(lambda to: warm.run([path, *args], preexec=to))[1]
    for via in VIAS:
        got, found = with_messages(lambda to, v=via: warm.launch(
            path, *args, via=v, preexec=to))
        TAP.ok(found == cold and got.report["way"] == via and
               "error" in cold[1], f"{via}: a compiler's messages go to a "
               "file", (got.report, found, cold))


def without_features():
    """The older ways of a kernel that lacks the newer calls."""
    for feature in ("pidfd_info", "o_tmpfile"):
        env = dict(os.environ, BROOD_WITHOUT=feature)
        got = warm.launch(MIRROR, "exit", "9", via="clone", env=env)
        TAP.ok(got.status == 9 and got.report["way"] == "clone",
               f"clone without {feature}", got)


def main():
    os.environ.pop("LS_COLORS", None)
    served = warm.serve(MIRROR)
    TAP.ok(served.status == 0, "served", served)
    what_it_carries()
    high_descriptors()
    many_descriptors()
    how_it_ends()
    pipes()
    signals()
    stopped_and_continued()
    signals_like_an_exec()
    killed_client()
    killed_copy()
    identity_differs()
    namespaces_differ()
    messages_in_a_file()
    without_features()
    warm.stop_all()
    TAP.done()


if __name__ == "__main__":
    main()
