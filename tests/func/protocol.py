# SPDX-License-Identifier: Apache-2.0
"""A template and its keeper with peers that speak their protocols wrongly,
oddly or not at all.  After each of them the same template serves a launch,
with no descriptor and no process more than before.

A good LAUNCH is not made here but taken from a starter, by standing in the
server's place for once; what is hostile is that packet, changed."""

import array
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import warm

PROGRAMS = os.path.join(os.environ["BUILD"], "tests/programs")
TAP = warm.Tap()
ASK, STATE, LAUNCH, STARTED, EXITED, REFUSED = range(1, 7)
NAMES = {v: k for k, v in list(globals().items()) if k in (
    "ASK", "STATE", "LAUNCH", "STARTED", "EXITED", "REFUSED")}
# struct wire_launch
AT = {"flags": 16, "argc": 20, "envc": 24, "string_bytes": 28, "umask": 32,
      "nice": 36, "fd_count": 40, "zero": 44, "blocked": 48, "limits": 56,
      "identity": 312, "fd_number": 352, "strings": 1352}
IDENTITY_BYTES = AT["fd_number"] - AT["identity"]
FD_MOST = 250
STRINGS_IN_FILE = 1
STRINGS_MOST = 8 << 20


def head(kind, size, magic=warm.WIRE_MAGIC, version=warm.WIRE_VERSION,
         zero=0):
    return warm.HEAD.pack(magic, version, kind, size, zero)


class Peer:
    """One connection; also a context that closes it."""

    def __init__(self, path):
        self.socket = warm.connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data, fds=()):
        """False where the server was first to hang up."""
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                    array.array("i", fds))] if fds else []
        try:
            self.socket.sendmsg([data], control)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def read(self):
        # once: the other end has gone, and did not read all; what it sent
        # before stands behind that
        try:
            return self.socket.recvmsg(4096, 1024)
        except ConnectionResetError:
            return self.socket.recvmsg(4096, 1024)

    def receive(self, seconds=5.0):
        """(kind, packet); ("end", b""), ("silent", b"")"""
        if not select.select([self.socket], [], [], seconds)[0]:
            return "silent", b""
        try:
            data, control, _, _ = self.read()
        except ConnectionResetError:
            return "end", b""
        for _, _, fds in control:
            for fd in array.array("i", fds[:len(fds) & ~3]):
                os.close(fd)
        if not data:
            return "end", b""
        kind = struct.unpack_from("=H", data, 6)[0]
        return NAMES.get(kind, kind), data


def reason(packet):
    return packet[16:].split(b"\0")[0].decode(errors="replace")


def open_in(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


class Server:
    """A template, and all that is to be the same after an attack on it."""

    def __init__(self, name, pool):
        self.name, self.pool = name, pool
        folder = os.path.join(os.environ["TMPDIR"], name)
        os.makedirs(folder)
        for file in ("greeter", "libgreeting.so", "mirror"):
            shutil.copy(os.path.join(PROGRAMS, file), folder)
        self.program = os.path.join(folder, "mirror")
        self.mark = os.path.join(folder, "mark")
        served = warm.serve("--pool", str(pool), "--idle", "0", self.program)
        self.entry = warm.template(self.program) or {}
        TAP.ok(served.status == 0 and self.entry.get("clone"),
               f"{name}: served", served)
        self.path = self.entry["socket"]
        self.control = os.path.join(os.path.dirname(self.path), "control")
        self.good = self.take_launch(["cat"])
        self.settle()
        self.before = self.least()

    def take_launch(self, args):
        """The packet that a starter sends for these arguments."""
        live = os.path.join(os.path.dirname(self.path), "live")
        os.rename(live, live + ".kept")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.bind(live)
            s.listen(1)
            client = subprocess.Popen(
                warm.launch_words(self.program, args, "clone"),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            with s.accept()[0] as c:
                c.recv(16)
                c.send(warm.STATE.pack(warm.WIRE_MAGIC, warm.WIRE_VERSION,
                                       STATE, 40, 0, 1, os.getpid(), 1, 0))
                data, control, _, _ = c.recvmsg(65536, 4096)
                for _, _, fds in control:
                    for fd in array.array("i", fds):
                        os.close(fd)
                c.send(head(REFUSED, 176) + b"as a test".ljust(160, b"\0"))
            client.wait(20)
        os.unlink(live)
        os.rename(live + ".kept", live)
        return data

    def waiting(self):
        """Its pool copies."""
        return [p for p in warm.processes() if warm.alive(p) and
                self.is_child(p)]

    def is_child(self, pid):
        try:
            return warm.parent(pid) == self.entry["pid"]
        except OSError:
            return False

    def figures(self):
        """How many descriptors the template has, the keeper, and each of the
        copies that wait; their helpers, which hold memory, have none."""
        return (open_in(self.entry["pid"]), open_in(self.entry["keeper"]),
                [n for n in map(open_in, self.waiting()) if n])

    def settle(self):
        # the first launches teach it which pages are touched
        for _ in range(2):
            warm.launch(self.program, "cat", via="clone")
        warm.wait_until(lambda: self.has_pool(self.figures()[2]), 20)

    def least(self):
        """Of the template and the keeper: on a busy machine the keeper may
        still have what a launch has just ended."""
        looks = []
        for _ in range(10):
            looks.append(self.figures()[:2])
            time.sleep(0.1)
        return tuple(map(min, *looks))

    def has_pool(self, copies):
        """A busy machine's lacks some; it has one when a clone was asked for
        while there was none.  Each holds 0 to 2, the listener, and the way
        to tell the template."""
        if self.pool and not copies:
            warm.launch(self.program, "cat", via="clone")
        return set(copies) <= {5} and \
            min(self.pool, 1) <= len(copies) <= self.pool

    def rests(self):
        *now, copies = self.figures()
        return self.has_pool(copies) and tuple(now) == self.before

    def check(self, words, fine=True, detail=""):
        """The same template serves, and nothing has leaked."""
        now = warm.wait_until(lambda: warm.template(self.program), 5) or {}
        got = warm.launch(self.program, "cat", via="clone", stdin=b"words")
        same = warm.wait_until(self.rests, 10, 0.02)
        TAP.ok(fine and got.status == 0 and got.out == b"words" and
               (got.report or {}).get("way") == "clone" and same and
               now.get("pid") == self.entry["pid"] and
               now.get("keeper") == self.entry["keeper"],
               f"{self.name}: {words}",
               f"{detail}\n{got}\nbefore {self.before} now {self.figures()} "
               f"{now}")


class Pipes:
    """Descriptors for a launch: a folder, and 0 to 2."""

    def __init__(self, folder="/"):
        self.folder = os.open(folder, os.O_PATH)
        self.input, self.feed = os.pipe()
        self.out, self.output = os.pipe()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for fd in (self.folder, self.input, self.feed, self.out, self.output):
            if fd >= 0:
                os.close(fd)

    def all(self):
        return [self.folder, self.input, self.output, self.output]

    def given(self):
        """Ours are closed: what comes out ends with the program."""
        os.close(self.input)
        os.close(self.output)
        self.input = self.output = -1

    def feed_and_read(self, data):
        try:
            os.write(self.feed, data)
        except BrokenPipeError:
            pass  # nobody holds the other end
        os.close(self.feed)
        self.feed = -1
        found = b""
        while select.select([self.out], [], [], 10)[0]:
            part = os.read(self.out, 65536)
            if not part:
                break
            found += part
        return found


def changed(packet, strings=None, **fields):
    """The launch with other numbers; its size and strings follow."""
    data = bytearray(packet)
    for name, value in fields.items():
        struct.pack_into("=I", data, AT[name], value & 0xffffffff)
    if strings is not None:
        data = data[:AT["strings"]] + strings
        if "string_bytes" not in fields:
            struct.pack_into("=I", data, AT["string_bytes"], len(strings))
    struct.pack_into("=I", data, 8, len(data))
    return bytes(data)


def with_numbers(packet, numbers):
    data = bytearray(changed(packet, fd_count=len(numbers)))
    struct.pack_into(f"={min(len(numbers), FD_MOST)}i", data,
                     AT["fd_number"], *numbers[:FD_MOST])
    return bytes(data)


def good_launch(server):
    """That the packet is good is what all other cases lean on."""
    with Pipes("/usr") as pipes, Peer(server.path) as peer:
        peer.send(with_numbers(server.good, [0, 1, 2]), pipes.all())
        pipes.given()
        first = peer.receive()
        told = struct.unpack_from("=IiQ", first[1], 16) \
            if first[0] == "STARTED" else (0, 0, 0)
        out = pipes.feed_and_read(b"through a packet")
        last = peer.receive()
        status = struct.unpack_from("=ii", last[1], 16) \
            if last[0] == "EXITED" else (0, -1)
        server.check("a launch spoken by hand", told[0] == 2 and told[1] > 0
                     and status == (told[1], 0) and
                     out == b"through a packet", (first, out, last))


def wrong_heads(server):
    answers = []
    for data in (b"", b"\0", b"x" * 15, b"\0" * 16, b"\xff" * 16,
                 b"GET / HTTP/1.0\r\n\r\n", head(ASK, 16, magic=0x4f4f5242),
                 head(ASK, 16, magic=0), head(ASK, 16, version=1),
                 head(ASK, 16, version=3), head(ASK, 16, version=0), head(ASK, 16, version=65535),
                 head(ASK, 15), head(ASK, 17), head(ASK, 0),
                 head(ASK, 0xffffffff), head(ASK, 20) + b"more",
                 head(ASK, 16) + b"more", head(LAUNCH, 16),
                 *[head(kind, 16) for kind in (0, 2, 4, 5, 6, 7, 65535)],
                 *[head(kind, 40) + b"\0" * 24 for kind in range(2, 8)]):
        with Peer(server.path) as peer:
            if data:
                peer.send(data)
                answers.append((data[:20], peer.receive()))
    wrong = [a for a in answers if a[1][0] not in ("end", "REFUSED")]
    server.check(f"{len(answers)} wrong packets are refused or hung up on",
                 not wrong, wrong)


def refusals(server, words, packets, fds=None):
    """Each must be answered by REFUSED or by the end, perhaps of a copy that
    was made for it, and run nothing."""
    wrong, told = [], set()
    for packet in packets:
        with Pipes() as pipes, Peer(server.path) as peer:
            peer.send(packet, fds(pipes) if fds else pipes.all())
            pipes.given()
            kind, data = peer.receive()
            out = pipes.feed_and_read(b"must not be copied")
            if kind == "REFUSED":
                told.add(reason(data))
            if kind not in ("REFUSED", "EXITED", "end") or out:
                wrong.append((kind, reason(data), out,
                              packet[16:48].hex()))
    server.check(f"{len(packets)} launches with {words}: nothing runs, "
                 f"{len(told)} reasons", not wrong,
                 "\n".join(map(str, wrong)) + "\n" + "\n".join(told))


def damaged_launches(server):
    good = with_numbers(server.good, [0, 1, 2])
    strings = good[AT["strings"]:]
    refusals(server, "a part missing",
             [good[:n] for n in (17, 64, AT["fd_number"] - 1,
                                 AT["strings"] - 1, AT["strings"],
                                 AT["strings"] + 1, len(good) - 1)] +
             [changed(good[:n]) for n in (17, AT["strings"] - 1,
                                          AT["strings"], len(good) - 1)])
    refusals(server, "too much of it",
             [good + b"x", changed(good + b"x"), changed(good, string_bytes=0),
              changed(good, strings + b"x" * 40000),
              changed(good, strings + b"y\0" * 60000)])
    refusals(server, "wrong numbers",
             [changed(good, **{name: value})
              for name in ("argc", "envc", "string_bytes")
              for value in (0, 1, 2 ** 31, 2 ** 32 - 1, STRINGS_MOST + 1)
              if not (name == "envc" and value == 0)] +
             [changed(good, flags=f) for f in (2, 4, 0x80000000,
                                               0xffffffff)] +
             [changed(good, zero=1)])
    refusals(server, "strings without their end",
             [changed(good, strings[:-1] + b"x"),
              changed(good, b""), changed(good, b"a", argc=1, envc=0),
              changed(good, strings + b"one more\0")])
    refusals(server, "limits that cannot be",
             [good[:AT["limits"] + 16 * n] + struct.pack("=QQ", 9, 3) +
              good[AT["limits"] + 16 * n + 16:] for n in (0, 7)])


def other_identities(server):
    good = with_numbers(server.good, [0, 1, 2])
    packets = []
    for at in range(AT["identity"], AT["identity"] + IDENTITY_BYTES, 4):
        data = bytearray(good)
        data[at] ^= 1
        packets.append(bytes(data))
    refusals(server, "another identity", packets)


def descriptors(server):
    good = with_numbers(server.good, [0, 1, 2])
    for words, fds in (
            ("no descriptors", lambda p: []),
            ("the folder alone", lambda p: p.all()[:1]),
            ("one descriptor too few", lambda p: p.all()[:3]),
            ("one descriptor too many", lambda p: p.all() + [p.folder]),
            ("253 descriptors", lambda p: [p.folder] * 253),
            ("a folder that is a pipe", lambda p: [p.input, *p.all()[1:]])):
        refusals(server, words, [good], fds)
    refusals(server, "numbers that cannot be",
             [with_numbers(server.good, n) for n in (
                 [2, 1, 0], [0, 0, 1], [-1, 0, 1], [0, 1, 1 << 21],
                 [0, 1, 2 ** 31 - 1], [-2 ** 31, 0, 1], [0, 1, 1 << 20])])
    refusals(server, "a number of descriptors that cannot be",
             [changed(good, fd_count=n) for n in (
                 0, 2, 4, 251, 252, 2 ** 31, 2 ** 32 - 1, 2 ** 32 - 2)])
    with Pipes() as pipes, Peer(server.path) as peer:
        peer.send(head(ASK, 16), pipes.all())
        kind = peer.receive()[0]
    server.check("descriptors that come with a question",
                 kind in ("STATE", "REFUSED", "end"), kind)
    with Pipes() as pipes, Peer(server.path) as peer:
        fds = [pipes.folder] + [pipes.input] + [pipes.output] * (FD_MOST - 1)
        peer.send(with_numbers(server.good, list(range(FD_MOST))), fds)
        pipes.given()
        kind = peer.receive()
        out = pipes.feed_and_read(b"with 250")
        server.check("a launch with 250 descriptors runs",
                     kind[0] == "STARTED" and out == b"with 250", (kind, out))


def strings_in_a_file(server):
    good = with_numbers(server.good, [0, 1, 2])
    strings = good[AT["strings"]:]
    folder = os.path.join(os.environ["TMPDIR"], f"strings-{server.name}")
    with open(folder, "wb") as f:
        f.write(strings)

    def fds(what):
        return lambda p: [p.folder, what, *p.all()[1:]]

    def announced(size):
        return changed(good, b"", flags=STRINGS_IN_FILE, string_bytes=size)

    right = os.open(folder, os.O_RDONLY)
    hole = os.open(folder + "-hole", os.O_RDWR | os.O_CREAT)
    os.ftruncate(hole, STRINGS_MOST)
    for words, what, size in (
            ("a file that is too short", right, len(strings) + 1),
            ("a file of zeros", hole, STRINGS_MOST),
            ("more strings than may be", hole, STRINGS_MOST + 1),
            ("no strings", right, 0),
            ("strings cut in a word", right, len(strings) - 1)):
        refusals(server, words, [announced(size)], fds(what))
    for words, path, flags in (
            ("a folder for strings", "/", os.O_RDONLY),
            ("a device for strings", "/dev/zero", os.O_RDONLY),
            ("a file that cannot be read", folder, os.O_WRONLY),
            ("a file that is not open", folder, os.O_PATH)):
        fd = os.open(path, flags)
        refusals(server, words, [announced(len(strings))], fds(fd))
        os.close(fd)
    with Pipes() as pipes, Peer(server.path) as peer:
        peer.send(announced(len(strings)), fds(right)(pipes))
        pipes.given()
        kind = peer.receive()
        out = pipes.feed_and_read(b"by file")
        server.check("strings in a file", kind[0] == "STARTED" and
                     out == b"by file", (kind, out))
    os.close(right)
    os.close(hole)


def steps_and_disconnects(server):
    """Gone after each step; what has been launched by then runs once or not
    at all, and not for nobody."""
    good = with_numbers(server.good, [0, 1, 2])
    for words, steps in (("the connect", []), ("a question", [head(ASK, 16)]),
                         ("two questions", [head(ASK, 16)] * 2),
                         ("a launch", [good]),
                         ("a question and a launch", [head(ASK, 16), good])):
        for answers in (0, 1) if steps else (0,):
            with Pipes() as pipes:
                with Peer(server.path) as peer:
                    for step in steps:
                        peer.send(step, pipes.all() if step is good else ())
                        if answers:
                            peer.receive()
                pipes.given()
                # a copy that runs is killed, its output ends: no data at all
                ended = select.select([pipes.out], [], [], 10)[0]
                out = os.read(pipes.out, 100) if ended else b"lives on"
            server.check(f"gone after {words}"
                         f"{' and its answer' if answers else ''}",
                         out == b"", out)


def twice(server):
    good = with_numbers(server.good, [0, 1, 2])
    with Pipes() as one, Pipes() as two, Peer(server.path) as peer:
        peer.send(good, one.all())
        peer.send(good, two.all())
        one.given()
        two.given()
        first = peer.receive()
        outs = one.feed_and_read(b"first"), two.feed_and_read(b"second")
        rest = []
        while not rest or rest[-1] not in ("end", "silent"):
            rest.append(peer.receive(2)[0])
    server.check("LAUNCH twice on a connection: one program runs",
                 first[0] == "STARTED" and outs == (b"first", b"") and
                 rest.count("STARTED") == 0 and rest.count("EXITED") == 1,
                 (first, outs, rest))
    with Peer(server.path) as peer:
        states = 0
        for _ in range(300):
            if not peer.send(head(ASK, 16)):
                break
            states += peer.receive()[0] == "STATE"
    server.check(f"300 questions on a connection: {states} answers",
                 states == 300)
    with Peer(server.path) as peer:
        peer.socket.setblocking(False)
        try:
            for _ in range(5000):
                peer.socket.send(head(ASK, 16))
        except OSError:
            pass
    server.check("questions whose answers nobody reads")


def idle(server, count):
    """Silent connections.  They can keep the copies of a pool waiting, so
    that a launch takes another way; a template that accepts by itself serves
    beside them."""
    peers = [Peer(server.path) for _ in range(count)]
    via = None if server.pool else "clone"
    got = warm.launch(server.program, "cat", via=via, stdin=b"meanwhile")
    way = (got.report or {}).get("way")
    TAP.ok(got.status == 0 and got.out == b"meanwhile" and
           (server.pool or way == "clone"),
           f"{server.name}: a launch beside {count} silent connections: "
           f"{way}", got)
    for peer in peers:
        peer.socket.close()
    # until the server has found out about each of them
    warm.wait_until(lambda: warm.launch(
        server.program, "cat", via="clone",
        stdin=b"x").report["way"] == "clone", 20)
    server.check(f"{count} silent connections that have gone")


def stopped_starters(server):
    """Starters that stand still in the middle keep nobody from launching."""
    clients = [subprocess.Popen(
        warm.launch_words(server.program, ["sleep"], "clone"),
        stdin=subprocess.DEVNULL) for _ in range(6)]
    for n, client in enumerate(clients):
        time.sleep(0.0005 * n)
        client.send_signal(signal.SIGSTOP)
    got = warm.launch(server.program, "cat", stdin=b"beside")
    for client in clients:
        client.kill()
        client.wait()
    server.check("six starters that are stopped half-way, then killed",
                 got.status == 0 and got.out == b"beside", got)


def other_user(server):
    """Past the rights of folder and socket, which are opened for the time:
    the server itself looks at who speaks."""
    if os.geteuid() != 0:
        TAP.skip(f"{server.name}: another user's peer", "not root")
        return
    folder = os.path.dirname(server.path)
    names = [os.path.basename(server.path), "control"]
    packet = with_numbers(server.good, [0, 1, 2])
    os.chmod(folder, 0o711)
    for name in names:
        os.chmod(os.path.join(folder, name), 0o666)
    with Pipes() as pipes:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.chdir(folder)
            os.seteuid(65534)
            told = []
            for name, data, fds in ((names[0], head(ASK, 16), []),
                                    (names[0], packet, pipes.all()),
                                    (names[1], b"status", []),
                                    (names[1], b"stop", [])):
                try:
                    peer = Peer(name)
                    peer.send(data, fds)
                    kind, data = peer.receive()
                    told.append(f"{kind} {reason(data)}".strip())
                except OSError as e:
                    told.append(f"error {e.errno}")
            os.write(write, json.dumps(told).encode())
            os._exit(0)
        os.close(write)
        os.waitpid(pid, 0)
        with os.fdopen(read, "rb") as f:
            told = json.loads(f.read() or b"[]")
        pipes.given()
        out = pipes.feed_and_read(b"must not be copied")
    for name in names:
        os.chmod(os.path.join(folder, name), 0o700)
    os.chmod(folder, 0o700)
    server.check("another user is refused by template and keeper",
                 told[:2] in ([mine, mine] for mine in (
                     "end", "REFUSED the template belongs to another user"))
                 and told[2:] == ["end", "end"] and out == b"", (told, out))


def keepers_socket(server):
    """Words that the keeper does not know, peers that say nothing."""
    answers = []
    for data in (b"", b"x", b"\0", b"STATUS", b"status\n", b"status\0x",
                 b"stop please", b"\xff" * 64, b"y" * 65, b"z" * 100000):
        with Peer(server.control) as peer:
            if data and peer.send(data):
                kind, answer = peer.receive()
                answers.append((data[:12], kind, answer[:60]))
    silly = [a for a in answers if a[1] == "silent"]
    with Pipes() as pipes, Peer(server.control) as peer:
        peer.send(b"status", pipes.all())
        answers.append(("descriptors", *peer.receive()))
    server.check("odd words to the keeper", not silly, answers)
    peers = [Peer(server.control) for _ in range(100)]
    with Peer(server.control) as peer:
        peer.send(b"status")
        told = peer.receive()[1]
    for peer in peers:
        peer.socket.close()
    data = json.loads(told or b"{}")
    server.check("100 silent peers of the keeper, and one that asks",
                 data.get("ok") is True and
                 data.get("pid") == server.entry["pid"], told)
    for word in (b"status", b"demand"):
        for _ in range(20):
            with Peer(server.control) as peer:
                peer.send(word)
    server.check("peers of the keeper that do not wait for its answer")


def many_at_once(server):
    """Good and bad ones together."""
    good = with_numbers(server.good, [0, 1, 2])
    bad, wrong = [changed(good, argc=0), good[:1000], b"x" * 100,
                  head(LAUNCH, 16)], []

    def attack(n):
        for k in range(10):
            with Pipes() as pipes, Peer(server.path) as peer:
                peer.send(bad[(n + k) % len(bad)], pipes.all())
                if k % 2:
                    peer.receive()

    def work():
        for _ in range(10):
            got = warm.launch(server.program, "cat", stdin=b"amid")
            if (got.status, got.out) != (0, b"amid"):
                wrong.append(repr(got))

    threads = [threading.Thread(target=attack, args=(n,)) for n in range(4)]
    threads += [threading.Thread(target=work) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    server.check("40 bad launches among 20 good ones", not wrong,
                 "\n".join(wrong[:3]))


def main():
    servers = Server("pooled", 2), Server("alone", 0)
    for server in servers:
        for step in (good_launch, wrong_heads, damaged_launches,
                     other_identities, descriptors, strings_in_a_file,
                     steps_and_disconnects, twice, stopped_starters,
                     other_user, keepers_socket, many_at_once):
            step(server)
        idle(server, 200)
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
