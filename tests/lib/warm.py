# SPDX-License-Identifier: Apache-2.0
"""What the tests of warm starts share: TAP lines, the brood commands, and
facts read from /proc rather than from Brood's own words."""

import ctypes
import difflib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

BROOD = os.environ["BROOD"]
BUILD = os.environ.get("BUILD", os.path.dirname(BROOD))
SHM = os.environ["TMPDIR"]


class Tap:
    """Numbered TAP lines, and the plan at the end."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def ok(self, good, words, detail=""):
        self.count += 1
        self.failed += 0 if good else 1
        print(f"{'ok' if good else 'not ok'} {self.count} - {words}")
        if detail and not good:
            for line in str(detail).splitlines()[:30]:
                print("#   " + line)
        sys.stdout.flush()
        return good

    def skip(self, words, why):
        self.count += 1
        print(f"ok {self.count} - {words} # SKIP {why}", flush=True)

    def done(self):
        print(f"1..{self.count}", flush=True)
        sys.exit(1 if self.failed else 0)


def note(words):
    for line in str(words).splitlines():
        print("# " + line, flush=True)


class Result:
    def __init__(self, status, out, err, report=None):
        self.status, self.out, self.err, self.report = status, out, err, report

    def same(self, other):
        return (self.status, self.out, self.err) == (
            other.status, other.out, other.err)

    def __repr__(self):
        return (f"status {self.status} report {self.report}\n"
                f"out {self.out[:300]!r}\nerr {self.err[:300]!r}")

    def differs(self, other):
        """The first lines in which two results are not the same."""
        lines = [f"status {self.status}, {other.status}; {self.report}"]
        for mine, theirs in ((self.out, other.out), (self.err, other.err)):
            lines += [line for line in difflib.unified_diff(
                theirs.decode(errors="replace").splitlines(),
                mine.decode(errors="replace").splitlines(), "plain", "warm",
                n=0, lineterm="")][:12]
        return "\n".join(lines)


def run(argv, stdin=b"", timeout=60, env=None, cwd=None, executable=None,
        preexec=None):
    """Runs argv to its end; a time-out is a status of None."""
    p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, env=env, cwd=cwd,
                         executable=executable, preexec_fn=preexec)
    try:
        out, err = p.communicate(stdin, timeout=timeout)
        return Result(p.returncode, out, err)
    except subprocess.TimeoutExpired:
        p.kill()
        out, err = p.communicate()
        return Result(None, out, err)


def brood(*words, **kw):
    return run([BROOD, *words], **kw)


def launch_words(program, args, via=None, report=None):
    words = [BROOD, "launch"]
    if via:
        words += ["--via", via]
    if report:
        words += ["--report", report]
    return words + [program, *args]


REPORTS = [0]


def new_report():
    REPORTS[0] += 1
    return os.path.join(SHM, f"report-{os.getpid()}-{REPORTS[0]}")


def read_report(path):
    try:
        with open(path) as f:
            return json.loads(f.read().splitlines()[-1])
    except (OSError, IndexError, ValueError):
        return None


def launch(program, *args, via=None, **kw):
    """brood launch, with its report; the file is removed."""
    path = new_report()
    result = run(launch_words(program, args, via, path), **kw)
    result.report = read_report(path)
    if os.path.exists(path):
        os.unlink(path)
    return result


def serve(*words, timeout=60):
    return brood("serve", *words, timeout=timeout)


def templates():
    result = brood("ps", "--json")
    data = json.loads(result.out or b"[]")
    return data["templates"] if isinstance(data, dict) else data


def template(program):
    real = os.path.realpath(shutil.which(program) or program)
    for entry in templates():
        if entry.get("name") == program:
            return entry
        if entry.get("program") == real and not entry.get("name"):
            return entry
    return None


def wait_until(condition, seconds=10.0, step=0.01):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(step)


def stop_all():
    brood("stop", "--all", timeout=60)
    wait_until(lambda: not [t for t in templates()
                            if t.get("keeper") and alive(t["keeper"])], 10)


# ---- /proc ---------------------------------------------------------------

def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def stat_fields(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()


def parent(pid):
    return int(stat_fields(pid)[1])


def start_ticks(pid):
    return int(stat_fields(pid)[19])


def cpu_ticks(pid):
    fields = stat_fields(pid)
    return int(fields[11]) + int(fields[12])


def exe(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


MAP_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) "
                      r"(\S+) (\d+)\s*(.*)")


def maps(pid):
    """[(start, end, rights, offset, inode, name)]"""
    with open(f"/proc/{pid}/maps") as f:
        return [(int(m[1], 16), int(m[2], 16), m[3], int(m[4], 16), int(m[6]),
                 m[7]) for m in map(MAP_LINE.match, f)]


def libraries(pid):
    """{name: (lowest address, inode)} of the shared libraries in it."""
    found = {}
    for start, _, _, _, inode, name in maps(pid):
        base = os.path.basename(name)
        if inode and ".so" in base and "brood-shim" not in base:
            if name not in found:
                found[name] = (start, inode)
    return found


def sockets_of(pid):
    found = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                link = os.readlink(f"/proc/{pid}/fd/{fd}")
            except OSError:
                continue
            if link.startswith("socket:["):
                found.add(int(link[8:-1]))
    except OSError:
        pass
    return found


def listener_inode(path):
    """The inode of the listening AF_UNIX socket bound at path."""
    with open("/proc/net/unix") as f:
        for line in f:
            words = line.split()
            if len(words) >= 8 and words[7] == path and words[3] == "00010000":
                return int(words[6])
    return None


def descriptors(pid):
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            pass
    return found


def memory(pid):
    """smaps_rollup in KiB"""
    found = {}
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            words = line.split()
            if line[0].isupper() and words[1].isdigit():
                found[words[0][:-1]] = int(words[1])
    return found


def processes():
    return [int(n) for n in os.listdir("/proc") if n.isdigit()]


# ---- the wire --------------------------------------------------------------

WIRE_MAGIC = 0x42524F4F
WIRE_VERSION = 2
HEAD = struct.Struct("=IHHII")
STATE = struct.Struct("=IHHIIIiQQ")


def connect(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(10)
    s.connect(path)
    return s


def peer_pid(s):
    return struct.unpack("=iII", s.getsockopt(socket.SOL_SOCKET,
                                              socket.SO_PEERCRED, 12))[0]


def ask(path):
    """The server's answer to ASK: (mode, pid, generation, peer's pid)."""
    with connect(path) as s:
        peer = peer_pid(s)
        s.send(HEAD.pack(WIRE_MAGIC, WIRE_VERSION, 1, HEAD.size, 0))
        data = s.recv(4096)
    fields = STATE.unpack(data[:STATE.size])
    return fields[5], fields[6], fields[7], peer


def as_child_subreaper():
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def end(process, sig=signal.SIGKILL):
    """Ends a Popen of ours and waits for it."""
    if process.poll() is None:
        process.send_signal(sig)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()
