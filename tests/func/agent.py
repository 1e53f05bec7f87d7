# SPDX-License-Identifier: Apache-2.0
"""brood-agent at the other end of a pseudo-terminal: what it does with
frames, with processes and with a host that is gone.

It runs on this system, so it is never asked to power it off or to set its
clock; names are set in namespaces only."""

import hashlib
import os
import random
import signal
import struct
import subprocess
import time
import tty

import agent_line as al
import warm

TAP = warm.Tap()
PROGRAM = os.path.join(warm.BUILD, "brood-agent")


class Guest:
    """An agent of this system with the line to it."""

    def __init__(self, before=()):
        self.master, slave = os.openpty()
        tty.setraw(self.master)
        name = os.ttyname(slave)
        self.process = subprocess.Popen(
            [*before, PROGRAM, "--port", name], stdin=subprocess.DEVNULL,
            env={"HOME": "/", "LANG": "C", "XDG_RUNTIME_DIR":
                 os.environ["XDG_RUNTIME_DIR"]})
        self.line = al.Agent(self.master)
        try:
            self.first = self.line.wait(al.READY, 0)
        except Exception:
            self.close()
            raise
        finally:
            os.close(slave)

    def pid(self):
        """Of the agent, not of what it was started by."""
        pid = self.process.pid
        while warm.exe(pid) != os.path.realpath(PROGRAM):
            children = self.children(pid)
            if not children:
                return None
            pid = children[0]
        return pid

    @staticmethod
    def children(pid):
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(word) for word in f.read().split()]

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid()}/fd"))

    def close(self):
        if self.process.poll() is None:
            pid = self.pid()
            if pid and pid != self.process.pid:
                os.kill(pid, signal.SIGKILL)
        warm.end(self.process)
        os.close(self.master)


def check_start(guest):
    version, _, uptime, boot = al.READY_FORM.unpack(guest.first)
    with open("/proc/sys/kernel/random/boot_id") as f:
        real = f.read().strip()
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    TAP.ok(version == 1 and boot.rstrip(b"\0").decode() == real and
           0 <= now - uptime < 60e9, "it says by itself that it is ready",
           (version, boot, uptime, now))
    TAP.ok(guest.line.hello()[2] == real, "and when it is asked")


def check_run(line):
    p = line.run("sh", "-c", "echo out; echo err >&2; exit 3")
    TAP.ok((p.out, p.err, p.status) == (b"out\n", b"err\n", 3 << 8),
           "output, errors and status of a process", p)
    p = line.run("sh", "-c", "kill -9 $$")
    TAP.ok(p.status == 9, "a process that a signal ends", p)
    p = line.run("env", environment=["HOME=/there", "NEW=1", "EMPTY="])
    TAP.ok(set(p.out.decode().split()) >=
           {"HOME=/there", "NEW=1", "EMPTY=", "LANG=C"} and
           b"PATH=" in p.out and p.out.count(b"HOME=") == 1,
           "its environment: the agent's, the given, a PATH", p)
    p = line.run("cat", "/proc/self/status", "/proc/self/stat")
    words = dict(row.split(b":", 1) for row in p.out.splitlines() if b":" in
                 row)
    ids = p.out.splitlines()[-1].split()
    TAP.ok(ids[0] == ids[4] == ids[5] and
           int(words[b"SigBlk"], 16) == int(words[b"SigIgn"], 16) == 0,
           "a session of its own, no signal blocked or ignored", p)
    p = line.run("sh", "-c", "ls -l /proc/self/fd | wc -l")
    TAP.ok(int(p.out) <= 5, "no descriptor but three", p)


def check_failures(line):
    cases = [
        (["/nonesuch"], "no such file"), (["nonesuch-program"], "no such file"),
        (["/etc/passwd"], "not allowed"), (["/etc"], "not allowed"),
        (["/etc/passwd/x"], "not a folder"),
    ]
    for argv, why in cases:
        p = line.run(*argv)
        TAP.ok(p.status is None and p.failed and why in p.failed,
               f"no process: {argv[0]}", p)
    for name, payload in {
            "nothing": b"", "no words": struct.pack("<II", 0, 0),
            "fewer words than told": al.exec_payload(["a"])[:-1],
            "more words than told": al.exec_payload(["a"]) + b"b\0",
            "very many": struct.pack("<II", 0xFFFFFFFF, 2) + b"a\0",
            "no name": al.exec_payload([""])}.items():
        p = al.Process(line.next_number())
        line.processes[p.number] = p
        line.send(al.EXEC, p.number, payload)
        line.finish(p)
        TAP.ok(p.failed and p.status is None, f"no process: {name}", p)


def check_input(line):
    data = random.Random(1).randbytes(300000)
    p = line.run("sha256sum", data=data)
    TAP.ok(p.out.split()[0].decode() == hashlib.sha256(data).hexdigest(),
           "300 kB of input arrive", p)
    p = line.run("cat", data=data)
    TAP.ok(p.out == data and p.status == 0, "and back again", len(p.out))
    p = line.run("true", data=data)
    line.until(lambda: not line.on_way)
    TAP.ok(p.status == 0, "input that nobody reads is taken", p)
    line.send(al.INPUT, 999999, b"nobody")
    line.until(lambda: not line.on_way)
    TAP.ok(True, "also that for no process")


def check_back_pressure(line):
    """A process that does not read: what is taken has a bound, and signals
    arrive although some input is not taken."""
    p = line.start("sleep", "600")
    sent = 0
    end = time.monotonic() + 20
    while sent < 1 << 20 and time.monotonic() < end:
        try:
            line.send(al.INPUT, p.number, bytes(4000), seconds=0.7)
            sent += 4000
        except al.Timeout:
            if sent >= 65536:  # else it is slow, not stuck
                break
    TAP.ok(65536 <= sent <= 65536 + 4096 + 2 * al.WINDOW and line.on_way,
           "input that is not read is not taken", sent)
    line.signal(p, signal.SIGTERM)
    line.finish(p)
    TAP.ok(p.status == signal.SIGTERM, "a signal reaches its process", p)
    line.until(lambda: not line.on_way)
    TAP.ok(not line.on_way, "what it did not read is taken at its end")


def check_output(line):
    p = line.run("head", "-c", "1000000", "/dev/zero")
    TAP.ok(p.out == bytes(1000000) and p.status == 0, "1 MB of output")
    p = line.start("sh", "-c", "seq 1 400000; echo end >&2")
    time.sleep(1)  # it is stuck: nobody reads the line
    want = "".join(f"{i}\n" for i in range(1, 400001)).encode()
    line.finish(p, 30)
    TAP.ok(p.out == want and p.err == b"end\n" and p.status == 0,
           "all of it, for a host that reads late", (len(p.out), p.status))


def check_many(line):
    both = [line.start("sh", "-c", f"for i in 1 2 3; do echo {n}; sleep .1; "
                       f"done; exit {n}") for n in (4, 5)]
    for p, n in zip(both, (4, 5)):
        line.finish(p)
        TAP.ok(p.out == f"{n}\n".encode() * 3 and p.exit_code() == n,
               "one of two at once", p)
    many = [line.start("cat") for _ in range(17)]
    line.until(many[16].over)
    TAP.ok(many[16].failed == "too many processes", "sixteen at once",
           many[16])
    again = al.frame(al.EXEC, many[0].number, al.exec_payload(["true"]))
    line.raw(again)
    line.until(lambda: many[0].failed)
    TAP.ok("number" in many[0].failed, "a number that is in use", many[0])
    for i, p in enumerate(many[:16]):
        line.input(p, str(i).encode())
        line.end_input(p)
    for p in many[:16]:
        line.until(lambda p=p: p.status is not None)
    TAP.ok([p.out for p in many[:16]] == [str(i).encode() for i in range(16)],
           "each has its own input and output")


def check_left_behind(line):
    start = time.monotonic()
    p = line.run("sh", "-c", "sleep 20 & echo $!")
    TAP.ok(p.status == 0 and time.monotonic() - start < 5,
           "a process ends when its first one does", p)
    left = int(p.out)
    line.hello()
    TAP.ok(warm.alive(left), "what it left behind lives on")
    os.kill(left, signal.SIGKILL)


def check_hello(guest):
    line = guest.line
    p = line.start("sh", "-c", "sleep 600 & echo $! $$; cat /dev/zero")
    line.until(lambda: b"\n" in p.out)
    pids = [int(w) for w in p.out.split(b"\n")[0].split()]
    time.sleep(0.3)
    _, uptime, _ = line.hello()
    gone = warm.wait_until(lambda: not any(map(warm.alive, pids)))
    TAP.ok(gone and uptime, "a hello kills processes and their groups", pids)
    try:
        line.until(lambda: line.frames, 0.7)
        TAP.ok(False, "nothing of before comes after it", line.frames)
    except al.Timeout:
        TAP.ok(not line.bytes, "nothing of before comes after it", line.bytes)
    TAP.ok(warm.wait_until(lambda: not guest.children(guest.pid())),
           "and no child is left")


def check_noise(line):
    rng = random.Random(2)
    whole = al.frame(al.INPUT, 7, rng.randbytes(300))
    bad = [rng.randbytes(5000), whole[:-1], whole[1:], whole[:24], whole[:3],
           al.frame(al.HELLO, 1, flags=1), struct.pack("<I", al.MAGIC) * 1000,
           al.HEAD.pack(al.MAGIC, 1, 0, 1, 0xFFFFFFFF, 0, 0),
           b"\r\nlogin: root\r\n\x03\x04\x11\x13\x1a\x1c\xff\x00"]
    for i, data in enumerate(bad):
        line.raw(data)
        line.hello(again=1.2)
        p = line.run("echo", str(i))
        TAP.ok(p.out == f"{i}\n".encode(), f"after noise, {len(data)} bytes", p)
    flipped = bytearray(al.frame(al.EXEC, 12345, al.exec_payload(["true"])))
    flipped[40 % len(flipped)] ^= 1
    line.raw(bytes(flipped))
    p = line.run("echo", "x")
    TAP.ok(p.out == b"x\n" and not line.frames, "a flipped bit is no frame",
           line.frames)
    line.send(99, 77, b"what?")
    line.until(lambda: not line.on_way)
    TAP.ok(True, "a frame of an unknown kind is taken")
    for kind, payload in ((al.SIGNAL, b""), (al.SIGNAL, bytes(3)),
                          (al.SIGNAL, struct.pack("<I", 9)),
                          (al.POWER, b""), (al.POWER, struct.pack("<I", 7))):
        line.send(kind, 77, payload)
    line.until(lambda: not line.on_way)
    TAP.ok(line.run("true").status == 0, "so are those that make no sense")


def check_storm(guest, seconds=4):
    """Processes that come, read, write and die at random, hellos and noise
    between them; then everything is as at the start."""
    rng = random.Random(5)
    line = guest.line
    end = time.monotonic() + seconds
    count = started = 0
    line.hello()
    while time.monotonic() < end:
        count += 1
        alive = [p for p in line.processes.values() if not p.over()]
        what = rng.random()
        try:
            if what < 0.3 or not alive:
                started += 1
                line.start(*rng.choice((
                    ["cat"], ["true"], ["head", "-c", "70000", "/dev/zero"],
                    ["sh", "-c", "cat >/dev/null & sleep .05; echo x >&2"],
                    ["sleep", "5"], ["nonesuch"])))
            elif what < 0.75:
                line.input(rng.choice(alive), rng.randbytes(
                    rng.randrange(6000)), seconds=0.3)
            elif what < 0.83:
                line.end_input(rng.choice(alive))
            elif what < 0.95:
                line.signal(rng.choice(alive), rng.choice((9, 15, 0, 99)))
            elif what < 0.98:
                line.raw(rng.randbytes(rng.randrange(300)))
            else:
                line.hello(again=1.2)
        except al.Timeout:
            line.hello(again=1.2)  # its input is not read: begin anew
    line.hello(again=1.2)
    TAP.ok(warm.wait_until(lambda: not guest.children(guest.pid()), 20),
           "after a storm no process is left", guest.children(guest.pid()))
    p = line.run("cat", data=b"calm")
    TAP.ok(p.out == b"calm", "and the next one is served", p)
    warm.note(f"{count} frames or more, {started} processes")


def check_unique(line):
    TAP.ok(line.unique() == (0, ""), "nothing wished for, nothing done")
    number = line.next_number()
    line.send(al.UNIQUE, number, bytes(199))
    done, _, why = al.DONE_FORM.unpack(line.wait(al.DONE, number))
    TAP.ok(done == 0 and b"size" in why, "a wish of another size", why)
    for wish in ({"machine_id": "ABCDEF" + "0" * 26}, {"machine_id": "12"},
                 {"machine_id": "../" + "0" * 29},
                 {"name": "a/b"}, {"name": "a b"}, {"name": "x" * 65},
                 {"name": "a\nb"}):
        done, why = line.unique(**wish)
        TAP.ok(done == 0 and why.startswith("this is no"),
               f"refused: {wish}", (done, why))


def may_unshare(*how):
    return warm.run(["unshare", *how, "true"], timeout=10).status == 0


def check_names():
    """In namespaces with an /etc of their own; this system's stay."""
    how = ["--user", "--map-root-user", "--uts", "--mount"]
    script = "mount -t tmpfs none /etc && hostname before && exec \"$@\""
    words = "names in namespaces"
    if warm.run(["unshare", *how, "sh", "-c", script, "sh", "true"],
                timeout=10).status != 0:
        TAP.skip(words, "user namespaces are not permitted")
        return
    before = os.uname().nodename, read("/etc/machine-id")
    guest = Guest(["unshare", *how, "sh", "-c", script, "sh"])
    try:
        line = guest.line
        wish = {"machine_id": "0123456789abcdef" * 2, "name": "clone-1.x"}
        done, why = line.unique(**wish)
        p = line.run("sh", "-c", "hostname; cat /etc/machine-id; ls -A /etc")
        TAP.ok(done == al.IDENTIFIED | al.NAMED and p.out.decode() ==
               "clone-1.x\n" + wish["machine_id"] + "\nmachine-id\n",
               words, (done, why, p))
        wish["machine_id"] = "f" * 32
        done, why = line.unique(**wish)
        p = line.run("cat", "/etc/machine-id")
        TAP.ok(p.out.decode().strip() == wish["machine_id"], "and again", p)
        check_secret(guest)
        line.run("mount", "-t", "tmpfs", "-o", "ro", "none", "/etc")
        done, why = line.unique(**wish)
        TAP.ok(done == al.NAMED and why.startswith("/etc/machine-id"),
               "what cannot be done is told, the rest is done", (done, why))
    finally:
        guest.close()
    TAP.ok((os.uname().nodename, read("/etc/machine-id")) == before,
           "this system's names are what they were")


def memory_has(pid, data):
    with open(f"/proc/{pid}/mem", "rb", 0) as f:
        for start, end, rights, _, _, name in warm.maps(pid):
            if rights[0] == "r" and not name.startswith("[v"):
                f.seek(start)
                if data in f.read(end - start):
                    return True
    return False


def check_secret(guest):
    """A seed in pieces, behind other frames; in a user namespace it is for
    no generator."""
    line, pid = guest.line, guest.pid()
    seed = random.Random(4).randbytes(64)
    line.raw(al.frame(99, 1, seed[8:56]))
    line.until(lambda: line.frames)
    TAP.ok(memory_has(pid, seed[8:56]), "the agent's memory can be read")
    data = al.frame(99, 1, b"x" * 50) + al.frame(
        al.UNIQUE, 2, al.unique_payload(seed))
    line.raw(data[:130])
    time.sleep(0.1)
    line.raw(data[130:])
    done, _, why = al.DONE_FORM.unpack(line.wait(al.DONE, 2))
    TAP.ok(done == 0 and why.startswith(b"seed the generator: not permitted"),
           "who may not seed says so", why)
    TAP.ok(not any(memory_has(pid, seed[i:i + 16]) for i in range(0, 64, 16)),
           "no piece of the seed stays in the agent's memory")
    line.hello()


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return None


def check_as_init():
    how = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    words = "as the first process it reaps orphans"
    if not may_unshare(*how):
        TAP.skip(words, "user namespaces are not permitted")
        return
    guest = Guest(["unshare", *how])
    try:
        for _ in range(5):
            guest.line.run("sh", "-c", "(sleep .2 &) ; (true &)")
        pid = guest.pid()
        TAP.ok(pid and warm.wait_until(lambda: not guest.children(pid)), words,
               pid and guest.children(pid))
    finally:
        guest.close()


def check_hang_up(guest):
    """The host is gone: the agent waits for it, and does not spin."""
    pid = guest.pid()
    line = guest.line
    line.start("sleep", "600")
    line.until(lambda: not line.on_way)
    os.close(guest.master)
    time.sleep(0.3)
    ticks = warm.cpu_ticks(pid)
    time.sleep(1.5)
    TAP.ok(warm.alive(pid) and warm.cpu_ticks(pid) - ticks <= 10,
           "a host that is gone is waited for", warm.cpu_ticks(pid) - ticks)
    children = guest.children(pid)
    guest.master = os.open("/dev/null", os.O_RDWR)
    for child in children:
        os.kill(child, signal.SIGKILL)


def check_words():
    p = warm.run([PROGRAM, "--nonsense"])
    TAP.ok(p.status == 100 and b"usage" in p.err and not p.out,
           "a wrong use", p)
    p = warm.run([PROGRAM, "--port"])
    TAP.ok(p.status == 100, "a port without its name", p)


def main():
    check_words()
    guest = Guest()
    try:
        line = guest.line
        check_start(guest)
        count = guest.descriptors()
        check_run(line)
        check_failures(line)
        check_input(line)
        check_back_pressure(line)
        check_output(line)
        check_many(line)
        check_left_behind(line)
        check_hello(guest)
        check_noise(line)
        check_storm(guest)
        check_unique(line)
        line.hello()
        TAP.ok(guest.descriptors() == count, "no descriptor is left open",
               (count, guest.descriptors()))
        TAP.ok(line.most_on_way <= al.WINDOW and line.passed == 0,
               "no byte of its own was lost", line.passed)
        check_hang_up(guest)
    finally:
        guest.close()
    check_names()
    check_as_init()
    TAP.done()


if __name__ == "__main__":
    main()
