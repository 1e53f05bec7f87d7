# SPDX-License-Identifier: Apache-2.0
"""The host's end of agent_wire.h, written from its words: frames over any
descriptor, the window towards the guest, and what processes answered."""

import os
import select
import struct
import time

MAGIC = 0x67D4B3A1
MOST = 4096
WINDOW = 8192
QUIET = 0.5
HELLO, UNIQUE, EXEC, INPUT, SIGNAL, POWER = range(1, 7)
TAKEN, READY, DONE, OUTPUT, ERRORS, EXIT, FAILED = range(32, 39)
SEEDED, CLOCKED, IDENTIFIED, NAMED, ADDRESSED = 1, 2, 4, 8, 16
HEAD = struct.Struct("<IHHIIII")
UNIQUE_FORM = struct.Struct("<64sQ33s65sB24s5s")
READY_FORM = struct.Struct("<IIQ40s")
DONE_FORM = struct.Struct("<II120s")


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc_table()


def crc(data):
    value = 0xFFFFFFFF
    table = TABLE
    for byte in data:
        value = table[(value ^ byte) & 255] ^ value >> 8
    return value ^ 0xFFFFFFFF


def frame(kind, number=0, payload=b"", flags=0):
    head = HEAD.pack(MAGIC, kind, flags, number, len(payload), crc(payload),
                     0)[:20]
    return head + struct.pack("<I", crc(head)) + payload


def exec_payload(argv, environment=()):
    words = [w if isinstance(w, bytes) else w.encode()
             for w in [*argv, *environment]]
    return struct.pack("<II", len(argv), len(environment)) + b"".join(
        w + b"\0" for w in words)


def unique_payload(seed=bytes(64), realtime_ns=0, machine_id="", name="",
                   macs=()):
    return UNIQUE_FORM.pack(seed, realtime_ns, machine_id.encode(),
                            name.encode(), len(macs), b"".join(macs), b"")


class Timeout(Exception):
    pass


class Process:
    """What came of one AGENT_EXEC."""

    def __init__(self, number):
        self.number = number
        self.out = b""
        self.err = b""
        self.status = None   # as wait() tells it
        self.failed = None   # words

    def over(self):
        return self.status is not None or self.failed is not None

    def exit_code(self):
        return os.waitstatus_to_exitcode(self.status)

    def __repr__(self):
        return (f"status {self.status} failed {self.failed} "
                f"out {self.out[-300:]!r} err {self.err[-300:]!r}")


class Agent:
    """read and write are functions of a descriptor's kind: os.read(fd, n)
    and os.write(fd, data) for all of them."""

    def __init__(self, fd):
        self.fd = fd
        os.set_blocking(fd, False)
        self.bytes = bytearray()
        self.unsent = bytearray()
        self.passed = 0
        self.on_way = []        # (number, bytes) that are not taken
        self.processes = {}
        self.frames = []        # other frames: (kind, number, payload)
        self.number = 0
        self.most_on_way = 0

    # -- the line ---------------------------------------------------------

    def take_frames(self):
        magic = struct.pack("<I", MAGIC)
        while self.bytes:
            at = self.bytes.find(magic)
            if at < 0:
                drop = max(len(self.bytes) - 3, 0)
                self.passed += drop
                del self.bytes[:drop]
                return
            self.passed += at
            del self.bytes[:at]
            if len(self.bytes) < HEAD.size:
                return
            _, kind, flags, number, size, payload_sum, head_sum = \
                HEAD.unpack_from(self.bytes)
            if crc(self.bytes[:20]) != head_sum or size > MOST or flags:
                self.pass_one()
                continue
            if len(self.bytes) < HEAD.size + size:
                return
            payload = bytes(self.bytes[HEAD.size:HEAD.size + size])
            if crc(payload) != payload_sum:
                self.pass_one()
                continue
            del self.bytes[:HEAD.size + size]
            self.dispatch(kind, number, payload)

    def pass_one(self):
        self.passed += 1
        del self.bytes[:1]

    def dispatch(self, kind, number, payload):
        process = self.processes.get(number)
        if kind == TAKEN:
            for i, (n, _) in enumerate(self.on_way):
                if n == number:
                    del self.on_way[i]
                    break
            else:
                self.frames.append((kind, number, payload))
        elif kind == OUTPUT and process:
            process.out += payload
        elif kind == ERRORS and process:
            process.err += payload
        elif kind == EXIT and process:
            process.status = struct.unpack("<I", payload)[0]
        elif kind == FAILED and process:
            process.failed = payload.decode()
        else:
            self.frames.append((kind, number, payload))

    def step(self, seconds):
        """Reads and writes what can be."""
        want = [self.fd] if self.unsent else []
        readable, writable, _ = select.select([self.fd], want, [], seconds)
        if readable:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                data = None
            if data == b"":
                raise EOFError("the line is closed")
            self.bytes += data or b""
            self.take_frames()
        if writable:
            n = os.write(self.fd, self.unsent[:4096])
            del self.unsent[:n]

    def until(self, condition, seconds=10.0, words="the agent"):
        end = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            left = end - time.monotonic()
            if left <= 0:
                raise Timeout(f"{words}: nothing for {seconds} s")
            self.step(min(left, 0.5))

    def raw(self, data, seconds=10.0):
        self.unsent += data
        self.until(lambda: not self.unsent, seconds, "write")

    def send(self, kind, number=0, payload=b"", seconds=10.0):
        """One frame, when the window has room for it."""
        data = frame(kind, number, payload)

        def fits():
            return sum(n for _, n in self.on_way) + len(data) <= WINDOW
        self.until(fits, seconds, f"window for kind {kind}")
        self.on_way.append((number, len(data)))
        self.most_on_way = max(self.most_on_way,
                               sum(n for _, n in self.on_way))
        self.unsent += data
        self.step(0)

    def wait(self, kind, number=None, seconds=10.0):
        """The payload of the next such frame."""
        def found():
            for i, (k, n, payload) in enumerate(self.frames):
                if k == kind and number in (None, n):
                    del self.frames[i]
                    return (payload,)
            return None
        return self.until(found, seconds, f"frame {kind}")[0]

    # -- what is said -------------------------------------------------------

    def next_number(self):
        self.number += 1
        return self.number

    def hello(self, seconds=10.0, again=1.0):
        """(version, uptime in ns, boot_id); repeated until it is answered."""
        end = time.monotonic() + seconds
        while True:
            number = self.next_number()
            self.on_way = []
            self.unsent += frame(HELLO, number)
            self.on_way.append((number, HEAD.size))
            try:
                payload = self.wait(READY, number, again)
            except Timeout:
                if time.monotonic() > end:
                    raise
                continue
            self.frames = []
            self.processes = {}
            version, _, uptime, boot = READY_FORM.unpack(payload)
            return version, uptime, boot.rstrip(b"\0").decode()

    def unique(self, seconds=10.0, **wish):
        """(bits of what was done, words for what was not)"""
        number = self.next_number()
        self.send(UNIQUE, number, unique_payload(**wish))
        done, _, why = DONE_FORM.unpack(self.wait(DONE, number, seconds))
        return done, why.rstrip(b"\0").decode()

    def start(self, *argv, environment=()):
        process = Process(self.next_number())
        self.processes[process.number] = process
        self.send(EXEC, process.number, exec_payload(argv, environment))
        return process

    def input(self, process, data, seconds=10.0):
        for at in range(0, len(data), MOST):
            self.send(INPUT, process.number, data[at:at + MOST], seconds)

    def end_input(self, process):
        self.send(INPUT, process.number)

    def signal(self, process, number):
        self.send(SIGNAL, process.number, struct.pack("<I", number))

    def finish(self, process, seconds=10.0):
        self.until(process.over, seconds, "the end of a process")
        return process

    def run(self, *argv, data=b"", seconds=20.0, environment=()):
        process = self.start(*argv, environment=environment)
        self.input(process, data, seconds)
        self.end_input(process)
        return self.finish(process, seconds)
