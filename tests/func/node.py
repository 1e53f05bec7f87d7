# SPDX-License-Identifier: Apache-2.0
"""brood node: what it tells, and who may ask."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import warm

TAP = warm.Tap()
HERE = os.path.join(os.environ["TMPDIR"], "node")
SOCKET = os.path.join(HERE, "s")
os.makedirs(HERE, exist_ok=True)
MODULE = b"\0asm\1\0\0\0" + bytes([1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 7, 10, 1,
                                   6]) + b"_start" + bytes(
                                       [0, 0, 10, 4, 1, 2, 0, 0x0b])
METRIC = re.compile(r'[a-z_]+(\{[a-z]+="([^"\\\n]|\\["\\n])*"'
                    r'(,[a-z]+="([^"\\\n]|\\["\\n])*")*\})? -?[0-9]+')


def metrics(text):
    """name{labels} -> value; None: not as Prometheus wants it."""
    found, kinds = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            if name in kinds or kind not in ("gauge", "counter"):
                return None
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            key, _, value = line.rpartition(" ")
            name = key.partition("{")[0]
            if not METRIC.fullmatch(line) or name not in kinds or \
                    key in found or \
                    (kinds[name] == "counter") != name.endswith("_total"):
                return None
            found[key] = int(value)
    return found if text.endswith("\n") else None


def facts():
    return json.loads(warm.brood("node", "--json").out)


def ask(request, path=SOCKET, timeout=20):
    """The whole answer; b"" where there is none."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(path)
        s.sendall(request)
        got = b""
        try:
            while more := s.recv(65536):
                got += more
        except ConnectionResetError:
            pass
        return got


def get(path):
    return ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def status(answer):
    return int(answer.split(b" ")[1]) if answer else 0


def body(answer):
    head, _, rest = answer.partition(b"\r\n\r\n")
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])
    return rest.decode() if len(rest) == length else None


# ---- what it tells ---------------------------------------------------------

before = facts()
path = os.path.join(HERE, "m.wasm")
with open(path, "wb") as f:
    f.write(MODULE)
warm.brood("compile", path)
warm.serve("/bin/cat")
after = facts()
TAP.ok(after["code"]["objects"] == before["code"]["objects"] + 1 and
       after["code"]["functions"] == before["code"]["functions"] + 1 and
       after["code"]["bytes"] > before["code"]["bytes"],
       "a module that was compiled is told of", after)
served = [t for t in after["templates"] if t["program"].endswith("/cat")]
TAP.ok(len(served) == 1 and served[0]["state"] == "serving",
       "so is a template", after)
TAP.ok(isinstance(after["domains"]["kvm"], bool) and
       (after["domains"]["kvm"] or after["domains"]["why"]),
       "and whether there is KVM, or why not", after)
table = warm.brood("node").out.decode()
TAP.ok(re.search(r"^templates +\d+, \d+ of them serving$", table, re.M) and
       re.search(r"^code +\d+ modules", table, re.M), "a table for people",
       table)

text = warm.brood("node", "--metrics").out.decode()
told = metrics(text)
key = served[0]["key"] if served else ""
TAP.ok(told is not None, "metrics are as Prometheus reads them", text)
told = told or {}
TAP.ok(told.get("brood_code_objects") == after["code"]["objects"] and
       any(k.startswith("brood_template_serving{") and key in k and v == 1
           for k, v in told.items()), "and tell the same", text)
if shutil.which("promtool"):
    r = subprocess.run(["promtool", "check", "metrics"], input=text.encode(),
                       capture_output=True, timeout=60)
    TAP.ok(r.returncode == 0 and not r.stderr, "promtool agrees", r)
else:
    TAP.skip("promtool agrees", "there is no promtool")

# ---- a file ----------------------------------------------------------------

name = os.path.join(HERE, "brood.prom")
with open(name, "w") as f:
    f.write("old")
inode = os.stat(name).st_ino
r = warm.brood("node", "--write", name)
with open(name) as f:
    TAP.ok(r.status == 0 and metrics(f.read()) and
           os.stat(name).st_ino != inode and not r.out,
           "a file is replaced whole", r)
TAP.ok(sorted(os.listdir(HERE)) == ["brood.prom", "m.wasm"],
       "nothing is beside it", os.listdir(HERE))
r = warm.brood("node", "--write", "/nowhere/x")
TAP.ok(r.status == 111 and b"/nowhere/x" in r.err,
       "a file that cannot be written is named", r)
r = warm.brood("node", "--json", "--metrics")
TAP.ok(r.status == 100, "one way at a time", r)
r = warm.brood("node", "--listen", "here")
TAP.ok(r.status == 111 and b"here" in r.err, "an address that is none", r)
r = warm.brood("node", "--listen", "systemd")
TAP.ok(r.status == 111 and b"socket unit" in r.err, "no socket handed in", r)

# ---- a server --------------------------------------------------------------

server = subprocess.Popen([warm.BROOD, "node", "--listen", "unix:" + SOCKET])
warm.wait_until(lambda: os.path.exists(SOCKET), 20)
answer = get("/metrics")
TAP.ok(status(answer) == 200 and metrics(body(answer) or ""),
       "GET /metrics", answer)
answer = get("/node?x=1")
TAP.ok(status(answer) == 200 and
       json.loads(body(answer))["version"] == after["version"], "GET /node",
       answer)
held = [os.readlink(f"/proc/{server.pid}/fd/{fd}")
        for fd in os.listdir(f"/proc/{server.pid}/fd")]
name = "it has a machine of KVM's, and that has a processor"
if os.access("/dev/kvm", os.R_OK | os.W_OK):
    TAP.ok("anon_inode:kvm-vm" in held and
           any("kvm-vcpu" in file for file in held), name, held)
else:
    TAP.skip(name, "no /dev/kvm")
for request, wanted in [
        (b"GET /nothing HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"GET /metrics\r\n\r\n", 400),
        (b"\r\n\r\n", 400), (b"\0\xff \0 \0\r\n\r\n", 400),
        (b"GET " + b"/" * 5000, 431)]:
    answer = ask(request)
    TAP.ok(status(answer) == wanted, f"{wanted} for {request[:20]}", answer)

# Sixteen that say nothing: others wait, but not for ever.
silent = []
for _ in range(16):
    s = socket.socket(socket.AF_UNIX)
    s.connect(SOCKET)
    silent.append(s)
began = time.monotonic()
answer = get("/metrics")
TAP.ok(status(answer) == 200, "who says nothing is dropped",
       time.monotonic() - began)
TAP.ok(all(s.recv(1) == b"" for s in silent), "all of them are")
for s in silent:
    s.close()
for _ in range(40):  # and who does not stay for the answer
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(SOCKET)
        s.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
TAP.ok(status(get("/metrics")) == 200, "who leaves does no harm")
open_fds = len(os.listdir(f"/proc/{server.pid}/fd"))
TAP.ok(open_fds < 13, "no descriptor is left", open_fds)
server.send_signal(signal.SIGTERM)
TAP.ok(server.wait(20) == 0 and not os.path.exists(SOCKET),
       "a signal ends it, and its socket goes")

# ---- as systemd starts it --------------------------------------------------

notify = os.path.join(HERE, "n")
with socket.socket(socket.AF_UNIX) as listening, \
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
    listening.bind(SOCKET)
    listening.listen()
    ready.bind(notify)
    ready.settimeout(20)
    server = subprocess.Popen(
        ["/bin/sh", "-c",
         'exec 3<&"$1"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" node --listen'
         ' systemd', warm.BROOD, str(listening.fileno())],
        pass_fds=[listening.fileno()],
        env=dict(os.environ, NOTIFY_SOCKET=notify))
    TAP.ok(ready.recv(100) == b"READY=1", "it says when it is ready")
    TAP.ok(status(get("/metrics")) == 200, "it serves what it was handed")
    server.send_signal(signal.SIGTERM)
    TAP.ok(server.wait(20) == 0 and os.path.exists(SOCKET),
           "and leaves its file to whom it belongs")

warm.stop_all()
TAP.done()
