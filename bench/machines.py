# SPDX-License-Identifier: Apache-2.0
"""Machines and their peers, as benchmarks drive them.  A start is timed from
the exec of what starts it to the first answer on the machine's serial line:
the shell there, which has the line to itself and echoes by itself, gets a
comment every LINE_S until it says some of it, as what a device hears before
its state is loaded is lost.

The peers are QEMU as it comes, with the words that Brood's own machine shows
in /proc, less what puts its memory together."""

import ctypes
import json
import mmap
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time

import warm

PAGE, MB = 4096, 1 << 20
LINE_S = 0.002
LIMIT_S = 120
LINE, ANSWER = b"#@\n", b"@"
BOOTED = b"brood: machine ready"
HERE = os.environ["TMPDIR"]
PLACES = os.path.join(os.environ["XDG_RUNTIME_DIR"], "brood/machines")
STORE = os.environ["BROOD_IMAGES"]
SOCKETS = ("qmp", "console", "agent")
counted = [0]


class Failed(Exception):
    pass


def new_name(stem):
    counted[0] += 1
    return f"{stem}-{counted[0]}"


def brood(*words, timeout=LIMIT_S):
    """Its standard output; it has to succeed."""
    result = warm.brood(*words, timeout=timeout)
    if result.status != 0:
        raise Failed(f"brood {' '.join(words[:3])}: status {result.status}: "
                     f"{result.err.decode(errors='replace').strip()}")
    return result.out.decode()


def told(*words):
    return json.loads(brood(*words, "--json").splitlines()[-1])


# ---- QEMU's orders ---------------------------------------------------------

class Qmp:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rb")
        self.next()
        self.ask("qmp_capabilities")

    def next(self):
        line = self.lines.readline()
        if not line:
            raise Failed("QEMU hung up")
        return json.loads(line)

    def ask(self, command, fd=None, **arguments):
        line = json.dumps({"execute": command, "arguments": arguments})
        if fd is None:
            self.socket.sendall(line.encode())
        else:
            socket.send_fds(self.socket, [line.encode()], [fd])
        while True:
            answer = self.next()
            if "error" in answer:
                raise Failed(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def until(self, command, key, over):
        """Asks until it is over."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            answer = self.ask(command)
            state = (answer[0] if isinstance(answer, list) else
                     answer).get(key)
            if state in over:
                return answer
            time.sleep(0.01)
        raise Failed(f"{command}: no end")

    def close(self):
        self.lines.close()
        self.socket.close()


# ---- the first answer ------------------------------------------------------

class Console:
    """The serial line of a machine that is about to be."""

    def __init__(self, path, booting=False):
        self.path, self.booting = path, booting
        self.socket, self.heard = None, b""
        self.answered_at = None

    def connect(self):
        made = socket.socket(socket.AF_UNIX)
        try:
            made.connect(self.path)
        except OSError:
            made.close()
            return
        made.setblocking(False)
        self.socket = made

    def speak(self):
        try:
            if not self.booting:
                self.socket.send(LINE)
        except OSError:
            pass  # full, or over: that is heard

    def hear(self):
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        if not data:
            raise Failed(f"{self.path}: the machine has ended")
        self.heard += data
        if self.booting and BOOTED in self.heard:
            self.booting, self.heard = False, b""
        elif not self.booting and ANSWER in self.heard:
            self.answered_at = time.monotonic()

    def close(self):
        if self.socket:
            self.socket.close()


def await_answers(consoles, check):
    """Until each has answered; check() raises where one never will."""
    end = time.monotonic() + LIMIT_S
    try:
        while waiting := [c for c in consoles if c.answered_at is None]:
            if time.monotonic() > end:
                raise Failed(f"{waiting[0].path}: no answer")
            check()
            for console in waiting:
                if console.socket:
                    console.speak()
                else:
                    console.connect()
            fds = {c.socket: c for c in waiting if c.socket}
            for fd in select.select(list(fds), [], [], LINE_S)[0]:
                fds[fd].hear()
    finally:
        for console in consoles:
            console.close()


# ---- Brood's machines ------------------------------------------------------

class Machine:
    """One of ours: name, pid, seconds to its first answer and to the end of
    what started it, and what that told."""

    def __init__(self, process, name, console, started_at):
        self.process, self.name, self.console = process, name, console
        self.started_at = started_at

    def check(self):
        if self.process.poll() not in (None, 0):
            raise Failed(f"start {self.name}: "
                         f"{self.process.stderr.read().decode().strip()}")

    def finish(self):
        out, err = self.process.communicate(timeout=LIMIT_S)
        if self.process.returncode != 0:
            raise Failed(f"start {self.name}: {err.decode().strip()}")
        self.told = json.loads(out.splitlines()[-1])
        self.pid = self.told["pid"]
        self.answer_s = self.console.answered_at - self.started_at
        self.ready_s = self.ended_at - self.started_at

    def stop(self):
        brood("machine", "stop", self.name, "--now")


def spawn(name, words):
    console = Console(os.path.join(PLACES, name, "console"))
    started_at = time.monotonic()
    process = subprocess.Popen([warm.BROOD, "machine", "start", *words,
                                "--json"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return Machine(process, name, console, started_at)


def watch(machines):
    for machine in machines:
        machine.check()
        if (machine.process.returncode is not None and
                not hasattr(machine, "ended_at")):
            machine.ended_at = time.monotonic()


def start_many(tip, count, *words):
    """Machines of a tip, all at once."""
    machines = []
    for _ in range(count):
        name = new_name("m")
        machines.append(spawn(name, [tip, "--detach", "--name", name, *words]))
    await_answers([m.console for m in machines], lambda: watch(machines))
    for machine in machines:
        machine.process.wait(LIMIT_S)
        watch([machine])
        machine.finish()
    return machines


def start(tip, *words):
    return start_many(tip, 1, *words)[0]


def park(tip):
    name = new_name("p")
    brood("machine", "start", tip, "--park", "--name", name)
    return name


def start_parked(tip, name):
    machine = spawn(name, [tip, "--detach", "--via", "parked"])
    await_answers([machine.console], lambda: watch([machine]))
    machine.process.wait(LIMIT_S)
    watch([machine])
    machine.finish()
    return machine


def settle(name):
    """Until a machine's shell answers and nothing goes on in it: what goes on
    when it is saved does so when it is started."""
    await_answers([Console(os.path.join(PLACES, name, "console"))],
                  lambda: None)
    time.sleep(0.5)


def listed(name):
    return next(m for m in told("machine", "ps")["machines"]
                if m["name"] == name)


def ask(name):
    return Qmp(os.path.join(PLACES, name, "qmp"))


def order(name, command):
    qmp = ask(name)
    qmp.ask(command)
    qmp.close()


def execute(name, script, timeout=LIMIT_S):
    return brood("machine", "exec", name, "--", "sh", "-c", script,
                 timeout=timeout)


def words_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        return [w.decode() for w in f.read().split(b"\0")[:-1]]


# ---- the peers -------------------------------------------------------------

class Peer:
    """QEMU, executed with Brood's words.  memory: what its RAM is; instead of
    "-incoming defer" the words given."""

    def __init__(self, words, memory, instead, booting=False, keep=()):
        self.folder = os.path.join(HERE, new_name("peer"))
        os.mkdir(self.folder)
        self.sockets = {name: self.listen(name) for name in SOCKETS}
        self.console = Console(self.path("console"), booting)
        self.marker = None
        words = self.adapt(words, memory, instead)
        with open(self.path("log"), "wb") as log:
            self.started_at = time.monotonic()
            self.process = subprocess.Popen(
                words, executable=shutil.which(words[0]) or words[0],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[*(s.fileno() for s in self.sockets.values()),
                          *([self.marker] if self.marker else []), *keep])
        self.pid = self.process.pid
        for s in self.sockets.values():
            s.close()

    def path(self, name):
        return os.path.join(self.folder, name)

    def listen(self, name):
        made = socket.socket(socket.AF_UNIX)
        made.bind(self.path(name))
        made.listen(8)
        return made

    def adapt(self, words, memory, instead):
        adapted = []
        for word in words:
            if word.startswith("memory-backend-file,"):
                word = self.memory(word, memory)
            elif m := re.match(r"socket,id=(\w+),fd=\d+,", word):
                word = re.sub(r"fd=\d+", "fd=" + str(
                    self.sockets[m[1]].fileno()), word)
                word = re.sub(r"logfile=.*",
                              f"logfile={self.path('console.log')}", word)
            adapted.append(word)
        if "-incoming" in adapted:
            at = adapted.index("-incoming")
            adapted[at:at + 2] = instead
        elif "-S" in adapted:
            adapted.remove("-S")
        return adapted

    def memory(self, word, kind):
        size = int(re.search(r"size=(\d+)", word)[1])
        if kind == "own":
            return f"memory-backend-ram,id=ram,size={size}"
        self.marker = os.memfd_create("marker")
        os.ftruncate(self.marker, size)
        return re.sub(r"/fd/\d+", f"/fd/{self.marker}", word)

    def check(self):
        if self.process.poll() is not None:
            with open(self.path("log"), errors="replace") as f:
                raise Failed(f"QEMU: {f.read().strip()[-300:]}")

    def finish(self):
        self.answer_s = self.console.answered_at - self.started_at

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.marker:
            os.close(self.marker)
        shutil.rmtree(self.folder)


def answered(peers):
    try:
        await_answers([p.console for p in peers],
                      lambda: [p.check() for p in peers])
    except Failed:
        for peer in peers:
            peer.stop()
        raise
    for peer in peers:
        peer.finish()
    return peers


def orders_s(words):
    """The floor: until a QEMU that stands still takes orders."""
    peer = Peer(words, "file", ["-incoming", "defer"])
    try:
        Qmp(peer.path("qmp")).close()
        return time.monotonic() - peer.started_at
    finally:
        peer.stop()


def boot(words):
    return answered([Peer(words, "own", [], booting=True)])[0]


def incoming_many(words, path, count):
    files = [os.open(path, os.O_RDONLY) for _ in range(count)]
    try:
        return answered([Peer(words, "own", ["-incoming", f"fd:{fd}"],
                              keep=[fd]) for fd in files])
    finally:
        for fd in files:
            os.close(fd)


def loadvm(words, path):
    drive = f"if=none,id=vm,format=qcow2,file={path}"
    return answered([Peer(words, "own", ["-drive", drive, "-loadvm",
                                         "state"])])[0]


def save_for_peers(name, stem):
    """What a machine is, as QEMU's own two forms: files STEM.incoming and
    STEM.qcow2.  It runs until then, as what stood still comes back so, and
    stands still afterwards."""
    qmp = ask(name)
    qmp.ask("migrate-set-capabilities", capabilities=[
        {"capability": "x-ignore-shared", "state": False}])
    qmp.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
    with open(stem + ".incoming", "wb") as f:
        qmp.ask("getfd", fd=f.fileno(), fdname="all")
    qmp.ask("migrate", uri="fd:all")
    if qmp.until("query-migrate", "status",
                 ("completed", "failed"))["status"] != "completed":
        raise Failed("QEMU cannot save to -incoming's form")
    save_qcow2(qmp, stem + ".qcow2")
    qmp.close()


def job(qmp, command, **arguments):
    qmp.ask(command, **{"job-id": "job", **arguments})
    jobs = qmp.until("query-jobs", "status", ("concluded",))
    qmp.ask("job-dismiss", id="job")
    if "error" in jobs[0]:
        raise Failed(f"{command}: {jobs[0]['error']}")


def save_qcow2(qmp, path):
    job(qmp, "blockdev-create",
        options={"driver": "file", "filename": path, "size": 0})
    qmp.ask("blockdev-add", **{"driver": "file", "node-name": "file",
                               "filename": path})
    job(qmp, "blockdev-create",
        options={"driver": "qcow2", "file": "file", "size": MB})
    qmp.ask("blockdev-add", **{"driver": "qcow2", "node-name": "vm",
                               "file": "file"})
    job(qmp, "snapshot-save", tag="state", vmstate="vm", devices=["vm"])


# ---- memory ----------------------------------------------------------------

def read_memory(pid, at, length):
    """A guest's memory, part by part."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
        for offset in range(0, length, 1 << 22):
            f.seek(at + offset)
            yield f.read(min(1 << 22, length - offset))


def copy_memory(name, path):
    """Of a machine that stands still, into a file with holes."""
    machine = listed(name)
    with open(path, "wb") as f:
        for part in read_memory(machine["pid"], machine["ram_at"],
                                machine["memory"]):
            if part.count(0) == len(part):
                f.seek(len(part), os.SEEK_CUR)
            else:
                f.write(part)
        f.truncate(machine["memory"])


def differing_pages(name, path):
    """Of a machine's memory to a copy."""
    machine, count = listed(name), 0
    with open(path, "rb") as f:
        for part in read_memory(machine["pid"], machine["ram_at"],
                                machine["memory"]):
            known = f.read(len(part))
            if known != part:
                count += sum(known[i:i + PAGE] != part[i:i + PAGE]
                             for i in range(0, len(part), PAGE))
    return count


# ---- the page cache --------------------------------------------------------

def resident(path):
    """Pages of a file that are in memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    size = os.path.getsize(path)
    with open(path, "rb") as f:
        at = libc.mmap(None, ctypes.c_size_t(size), mmap.PROT_READ,
                       mmap.MAP_SHARED, f.fileno(), ctypes.c_long(0))
    seen = (ctypes.c_ubyte * -(-size // PAGE))()
    libc.mincore(ctypes.c_void_p(at), ctypes.c_size_t(size), seen)
    libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(size))
    return sum(page & 1 for page in seen)


def store_files():
    for folder, _, names in os.walk(STORE):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.path.getsize(path):
                yield path


def drop_store():
    """The store's files leave the page cache: how many pages did not."""
    for path in store_files():
        with open(path, "rb") as f:
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return sum(map(resident, store_files()))
