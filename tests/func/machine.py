# SPDX-License-Identifier: Apache-2.0
"""brood machine, as users have it: boot once, save, start many.  Facts are
taken from the machines themselves and from /proc."""

import os
import pty
import select
import signal
import socket
import subprocess
import tempfile
import time

import machines as m
import warm

TAP = warm.Tap()
FOLDER = tempfile.mkdtemp(dir=os.environ["TMPDIR"])
IMAGE = os.path.join(FOLDER, "m.img")
PYTHON = "/usr/bin/python3"

WHO = """cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id
cat /etc/machine-id 2>/dev/null || echo none; hostname; date +%s; cat /run/nonce
cat /sys/class/net/eth0/address 2>/dev/null || echo none
head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n'; echo
cut -d. -f1 /proc/uptime"""
KEYS = ("uuid", "boot_id", "machine_id", "host", "clock", "nonce", "mac",
        "random", "uptime")


def who(name):
    found = dict(zip(KEYS, m.shell(name, WHO).split()))
    found["asked"] = time.time()
    return found


# ---- images ---------------------------------------------------------------------

APPLICATION = """
import os
import sys
table = [i * i for i in range(40000)]
count = 0
print("application is loaded", flush=True)
for line in sys.stdin:
    count += 1
    print("answer", table[int(line)], count, os.uname().nodename, flush=True)
"""


def make_image():
    """With python and a network where the system has what is needed."""
    words = ["--kernel", m.kernel(), "--module", "virtio_net"]
    application = os.path.join(FOLDER, "app.py")
    with open(application, "w") as f:
        f.write(APPLICATION)
    have_python = os.access(PYTHON, os.X_OK)
    if have_python:
        version = "python3." + warm.run([PYTHON, "--version"]).out.decode(
            ).split(".")[1]
        for part in ("encodings", "os.py", "abc.py", "codecs.py", "io.py"):
            words += ["--with", f"/usr/lib/{version}/{part}"]
        words += ["--with", PYTHON, "--with", application + "=/opt/app.py"]
    made = m.image(IMAGE, *words)
    if made.status != 0:
        warm.note(made)
        made = m.image(IMAGE)
        have_python = False
    return TAP.ok(made.status == 0, "an image", made), have_python


# ---- the first machine --------------------------------------------------------------

def check_boot():
    started = time.time()
    result = m.boot("first", IMAGE, "--network", "--json", memory="160M")
    told = m.told(result)
    good = TAP.ok(result.status == 0 and told and told[0]["name"] == "first"
                  and told[0]["mode"] == "boot" and told[0]["tip"] == "",
                  "a machine boots", result)
    if not good:
        return False
    warm.note(f"booted in {time.time() - started:.1f} s, "
              f"{told[0]['way']}, {told[0]['accel']}")
    rows = m.ps()
    row = rows.get("first", {})
    TAP.ok(list(rows) == ["first"] and row["pid"] == told[0]["pid"] and
           not row["parked"] and row["memory"] == 160 << 20 and
           "qemu" in (warm.exe(row["pid"]) or "") + "qemu" and
           warm.alive(row["pid"]), "ps tells of it", rows)
    table = m.machine("ps").out.decode().splitlines()
    TAP.ok(len(table) == 2 and table[0].split() == [
        "NAME", "TIP", "PID", "ACCEL", "MODE", "MIB", "PSS", "OWN"] and
        table[1].split()[:3] == ["first", "-", str(row["pid"])],
        "as a table too", table)
    TAP.ok(os.stat(row["folder"]).st_mode & 0o777 == 0o700,
           "its folder is the user's alone")
    again = m.boot("first", IMAGE)
    TAP.ok(m.one_line(again, "first", "runs already", "stop"),
           "a name is given once", again)
    return True


def check_exec():
    r = m.inside("first", "sh", "-c", "echo out; echo err >&2; exit 7")
    TAP.ok((r.status, r.out, r.err) == (7, b"out\n", b"err\n"),
           "exec: output, errors and the exit code", r)
    r = m.inside("first", "sh", "-c", "kill -9 $$")
    TAP.ok(r.status == 137, "exec: 128 and the signal", r)
    data = os.urandom(3000)
    r = m.inside("first", "cat", stdin=data)
    TAP.ok((r.status, r.out) == (0, data), "exec: any bytes, both ways",
           len(r.out))
    r = m.inside("first", "sh", "-c", "echo $A; echo $B",
                 words=["--env", "A=x y", "--env", "B=z"])
    TAP.ok(r.out == b"x y\nz\n", "exec: variables", r)
    start = time.monotonic()
    r = m.inside("first", "sleep", "600", words=["--timeout", "1s"])
    TAP.ok(m.one_line(r, "time", status=124) and
           time.monotonic() - start < 15, "exec: a time-out is 124", r)
    left = m.shell("first", "pidof sleep; true")
    TAP.ok(left.strip() == "", "and what ran is killed", left)
    r = m.inside("first", "/nonesuch")
    TAP.ok(m.one_line(r, "no such file"), "exec: no such program", r)
    r = m.machine("exec", "first")
    TAP.ok(r.status == 100, "exec: no command", r)
    r = m.inside("first", "sh", "-c", 'pwd; echo "$1"; exit 4', "sh", "a  b",
                 words=["--cwd", "/sys/kernel"])
    TAP.ok((r.status, r.out) == (4, b"/sys/kernel\na  b\n"),
           "exec: a folder to begin in", r)
    r = m.inside("first", "echo", "no", words=["--cwd", "/nonesuch"])
    TAP.ok(r.status != 0 and not r.out and b"/nonesuch" in r.err,
           "exec: one that is not there", r)


# ---- many commands ------------------------------------------------------------------

def passers():
    """Pids of all that pass commands on to this test's machines."""
    mark = b"XDG_RUNTIME_DIR=" + os.environ["XDG_RUNTIME_DIR"].encode()
    found = []
    for pid in warm.processes():
        try:
            with open(f"/proc/{pid}/comm") as f:
                is_one = f.read() == "brood-line\n"
            with open(f"/proc/{pid}/environ", "rb") as f:
                if is_one and mark in f.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            pass
    return found


def held(script):
    """A command that has begun, and has said "up"."""
    p = m.popen("exec", "many", "--", "sh", "-c", "echo up; " + script)
    said = select.select([p.stdout], [], [], 60)[0] and p.stdout.readline()
    TAP.ok(said == b"up\n", f"begun: {script}", said)
    return p


def result_of(p, stdin=b""):
    out, err = p.communicate(stdin, timeout=60)
    return warm.Result(p.returncode, out, err)


def beside_a_start(name, *words):
    """Commands are asked for before there is a machine, and until one ran."""
    p = m.popen(*words)
    r = m.inside(name, "hostname")
    while p.poll() is None and r.status != 0:
        r = m.inside(name, "hostname")
    started = result_of(p)
    if r.status != 0:
        r = m.inside(name, "hostname")
    TAP.ok(started.status == 0 and r.out.decode() == name + "\n",
           f"{words[0]}, and a command that cannot wait: both are served",
           (started, r))


def check_commands_at_a_start():
    beside_a_start("early", "start", "ready", "--name", "early", "--detach",
                   "--via", "exec")
    m.machine("stop", "--now", "early")
    m.start("--name", "waits", "--park", "ready")
    r = m.inside("waits", "true")
    TAP.ok(m.one_line(r, "machine waits waits", "start ready") and
           m.ps()["waits"]["parked"],
           "a command in a machine that waits: told", r)
    m.machine("stop", "--now", "waits")
    p = m.popen("exec", "--name", "owned", "ready", "--", "cat")
    warm.wait_until(lambda: m.inside("owned", "true").status == 0, 30)
    r = m.machine("swap", "owned", "ready")
    TAP.ok(m.one_line(r, "owned", "somebody else") and p.poll() is None,
           "a machine that is there for a command is not swapped", r)
    r = result_of(p, b"on\n")
    TAP.ok((r.status, r.out) == (0, b"on\n"), "and its command goes on", r)


def check_many_commands():
    m.start("--name", "many", "ready")
    first, second = held("cat"), held("read x; echo got $x")
    r = m.inside("many", "echo", "beside")
    TAP.ok(r.out == b"beside\n" and first.poll() is None and
           second.poll() is None and len(passers()) == 1,
           "a command beside others, in a machine that goes on by itself",
           (r, passers()))
    warm.end(first)
    r = result_of(second, b"it\n")
    TAP.ok((r.status, r.out) == (0, b"got it\n"),
           "who began first is killed: the others go on", r)
    results = m.together(*[["exec", "many", "--", "sh", "-c",
                            f"echo {i}; exit {i}"] for i in range(20)])
    TAP.ok(all((r.status, r.out) == (i, b"%d\n" % i)
               for i, r in enumerate(results)), "twenty at once", results)
    TAP.ok(warm.wait_until(lambda: not passers(), 5),
           "and nobody is left who passed them on", passers())
    one, other = held("sleep 600"), held("cat")
    os.kill(passers()[0], signal.SIGKILL)
    results = [result_of(one), result_of(other)]
    TAP.ok(all(m.one_line(r, "many", "cut off") for r in results) and
           m.shell("many", "pidof cat; echo on") == "on\n",
           "who passes on is killed: all are told, and the next finds none of "
           "them", results)
    one = held("sleep 600")
    r = m.machine("swap", "many", "ready")
    TAP.ok(r.status == 0 and m.one_line(result_of(one), "many", "cut off") and
           m.shell("many", "echo on") == "on\n",
           "a machine that becomes another cuts its commands off", r)
    one = held("sleep 600")
    start = time.monotonic()
    r = m.machine("stop", "many", "--timeout", "40s")
    TAP.ok(r.status == 0 and time.monotonic() - start < 30 and
           m.one_line(result_of(one), "many", "ended"),
           "a machine in which a command runs is asked to end, too", r)


def check_save():
    m.shell("first", "head -c 8 /dev/urandom | od -An -tx1 | tr -d ' \\n' "
            ">/run/nonce; echo >>/run/nonce; echo one >/run/step")
    result = m.machine("save", "first", "--as", "ready", "--json")
    told = m.told(result)
    TAP.ok(result.status == 0 and told[0]["tip"] == "ready" and
           told[0]["layers"] == 1 and told[0]["pieces"] > 0 and
           0 < told[0]["layer_bytes"] <= 160 << 20 and
           told[0]["state_bytes"] > 10000, "a base is saved", result)
    TAP.ok(m.shell("first", "cat /run/step") == "one\n",
           "and the machine goes on")
    rows = m.tips()
    TAP.ok(list(rows) == ["ready"] and rows["ready"]["layers"] == 1 and
           rows["ready"]["memory"] == 160 << 20 and
           rows["ready"]["wrong"] == "" and
           abs(rows["ready"]["saved"] - time.time()) < 600,
           "ls tells of it", rows)
    return result.status == 0


def check_clones():
    told = m.start("ready", "--count", "2")
    if not TAP.ok([t["name"] for t in told] == ["ready-1", "ready-2"] and
                  all(t["mode"] == "map" and t["layers"] == 1 for t in told),
                  "two machines of one tip", told):
        return
    found = [who(t["name"]) for t in told]
    first = who("first")
    a, b = found
    for key in ("uuid", "machine_id", "host", "random"):
        values = [f.get(key) for f in (a, b, first)]
        TAP.ok(None not in values and len(set(values)) == 3,
               f"each has another {key}", values)
    for key in ("boot_id", "nonce"):
        TAP.ok(a[key] == b[key] == first[key],
               f"nobody booted: the same {key}", (a, b, first))
    if a["mac"] == "none":
        TAP.skip("each has another address", "no network in the machine")
    else:
        TAP.ok(len({f["mac"] for f in (a, b, first)}) == 3,
               "each has another address", (a, b, first))
    TAP.ok([f["host"] for f in found] == ["ready-1", "ready-2"],
           "it is called as it is called", found)
    TAP.ok(all(abs(int(f["clock"]) - f["asked"]) <= 3 for f in found),
           "their clocks are right", found)
    uuids = [m.shell(n, "for i in 1 2 3 4; do cat /proc/sys/kernel/random/"
                     "uuid; done").split() for n in ("ready-1", "ready-2")]
    TAP.ok(len(set(uuids[0] + uuids[1])) == 8, "no number comes twice", uuids)
    m.shell("ready-1", "echo two >/run/step")
    TAP.ok(m.shell("ready-2", "cat /run/step") == "one\n" ==
           m.shell("first", "cat /run/step"), "each has its own memory")
    rows = m.ps()
    TAP.ok(all(rows[n]["tip"] == "ready" and rows[n]["pss_kib"] <
               rows[n]["memory"] // 1024 for n in ("ready-1", "ready-2")),
           "and shares what it has not written", rows)


def check_same():
    a, b = m.start("--as-it-was", "--name", "same1", "ready") + m.start(
        "--as-it-was", "--name", "same2", "ready")
    found = [m.shell(t["name"], "cat /proc/sys/kernel/random/boot_id; "
                     "hostname; cat /etc/machine-id 2>/dev/null; true")
             for t in (a, b)]
    TAP.ok(found[0] == found[1], "twins, when they are asked for", found)
    told = m.start("--host-name", "other.example", "--name", "named", "ready")
    TAP.ok(told and m.shell("named", "hostname") == "other.example\n",
           "a host name that is told", told)
    r = m.machine("stop", "same1", "same2", "named", timeout=90)
    TAP.ok(r.status == 0 and not r.err and
           not {"same1", "same2", "named"} & set(m.folders()),
           "stop ends three", r)


def check_layers():
    m.shell("ready-1", "head -c 2000000 /dev/urandom >/run/more")
    result = m.machine("save", "ready-1", "--as", "more", "--json")
    told = m.told(result)
    TAP.ok(result.status == 0 and told[0]["layers"] == 2 and
           2000000 <= told[0]["layer_bytes"] < 60 << 20,
           "what changed is one layer more", result)
    sums = m.shell("ready-1", "md5sum </run/more; cat /run/step")
    told = m.start("--name", "deep", "more")
    TAP.ok(told and told[0]["layers"] == 2 and
           m.shell("deep", "md5sum </run/more; cat /run/step") == sums,
           "and a machine of it has it", (told, sums))
    told = m.start("--name", "copy", "--mode", "copy", "more")
    TAP.ok(told and told[0]["mode"] == "copy" and
           m.shell("copy", "md5sum </run/more; cat /run/step") == sums,
           "by a copy, too", told)
    result = m.machine("save", "first", "--as", "beside", "--parent", "more",
                       "--json")
    told = m.told(result)
    TAP.ok(result.status == 0 and told[0]["layers"] == 3,
           "a difference to another machine's tip", result)
    told = m.start("--name", "beside", "beside")
    TAP.ok(told and m.shell("beside", "cat /run/step; ls /run/more 2>&1; true"
                            ).startswith("one\nls: "),
           "is that machine", told)
    m.machine("stop", "--now", "copy", "beside")


def check_swap():
    before = who("deep")
    pid = m.ps()["deep"]["pid"]
    r = m.machine("swap", "deep", "ready", "--json")
    told = m.told(r)
    TAP.ok(r.status == 0 and 0 < told[0]["written"] <= told[0]["looked"],
           "a machine becomes another, in place", r)
    after = who("deep")
    TAP.ok(m.ps()["deep"]["pid"] == pid and m.ps()["deep"]["tip"] == "ready"
           and m.shell("deep", "cat /run/step; ls /run/more 2>&1; true"
                       ).startswith("one\nls: "), "it is that one", m.ps())
    TAP.ok(after["boot_id"] == before["boot_id"] and
           after["uuid"] != before["uuid"] and
           abs(int(after["clock"]) - after["asked"]) <= 3,
           "with its own numbers and the right clock", (before, after))
    r = m.machine("swap", "deep", "more", "--paused")
    start = time.monotonic()
    stopped = m.machine("save", "deep", "--as", "still", "--json")
    TAP.ok(r.status == 0 and stopped.status == 0 and
           m.told(stopped)[0]["state_bytes"] > 0,
           "one that stands still is saved", (r, stopped))
    told = m.start("--name", "moves", "still")
    TAP.ok(told and m.shell("moves", "cat /run/step") == "two\n",
           "and what is saved moves", told)
    r = m.machine("stop", "deep")
    TAP.ok(r.status == 0 and time.monotonic() - start < 60,
           "and it is stopped without being asked", r)
    m.machine("stop", "--now", "moves")


# ---- machines that wait ----------------------------------------------------------

def check_park():
    m.machine("stop", "--now", "ready-1", "ready-2")
    r = m.machine("start", "ready", "--detach", "--via", "parked")
    TAP.ok(m.one_line(r, "no machine of tip ready waits", "--park"),
           "none waits", r)
    told = m.told(m.machine("start", "ready", "--park", "--count", "2",
                            "--json"))
    rows = m.ps()
    TAP.ok(len(told) == 2 and all(rows[t["name"]]["parked"] for t in told),
           "two are made to wait", (told, rows))
    r = m.machine("save", told[0]["name"], "--as", "x")
    TAP.ok(m.one_line(r, "has not been started"),
           "save of one that waits is refused", r)
    start = ["start", "ready", "--detach", "--json", "--via", "parked"]
    results = m.together(start, start, start)
    good = [m.told(r)[0] for r in results if r.status == 0]
    bad = [r for r in results if r.status != 0]
    TAP.ok(sorted(t["name"] for t in good) == sorted(
        t["name"] for t in told) and len(bad) == 1 and
        m.one_line(bad[0], "waits"),
        "three at once: each that waits is taken once", results)
    found = [who(t["name"]) for t in good]
    TAP.ok(len({f["uuid"] for f in found}) == len({f["host"] for f in found})
           == 2 and all(abs(int(f["clock"]) - f["asked"]) <= 3
                        for f in found) and
           not any(r["parked"] for r in m.ps().values()),
           "and is a machine of its own", found)
    m.machine("stop", "--now", *[t["name"] for t in told])


def check_park_of_old():
    m.machine("start", "ready", "--park", "--name", "old")
    m.machine("save", "first", "--as", "ready2")
    m.machine("start", "ready2", "--park", "--name", "old2")
    m.shell("first", "echo new >/run/step")
    m.machine("save", "first", "--as", "ready2")
    told = m.start("--name", "unused", "ready2") + m.start("ready2")
    TAP.ok(len(told) == 2 and told[1]["name"] != "old2" and
           m.shell(told[1]["name"], "cat /run/step") == "new\n",
           "one that waits for what the tip was is not taken", told)
    told = m.start("--forward", "38123:80", "ready")
    TAP.ok(told and told[0]["name"] != "old",
           "nor one without the port that is asked for", told)
    m.machine("rm", "ready2")
    r = m.machine("start", "ready2", "--detach")
    TAP.ok(m.one_line(r, "tip ready2", "machine ls"),
           "nor one of a tip that is removed", r)
    start = time.monotonic()
    r = m.machine("stop", "old", "old2")
    TAP.ok(r.status == 0 and time.monotonic() - start < 9,
           "what waits is stopped at once", r)
    m.machine("stop", "--now", *[n for n in m.ps() if n != "first"])


# ---- consoles -------------------------------------------------------------------

def ended(name, pid):
    return pid and warm.wait_until(
        lambda: not warm.alive(pid) and name not in m.ps() and
        name not in m.folders(), 20, 0.1)


def attached(name, **kw):
    p = m.popen("start", "--name", name, "ready", **kw)
    row = warm.wait_until(lambda: m.ps().get(name), 30, 0.1)
    return p, row["pid"] if row else 0


def check_console():
    p = m.popen("attach", "first")
    out, _ = p.communicate(b"\necho $((6*7))x\n", timeout=40)
    TAP.ok(p.returncode == 0 and b"42x" in out and "first" in m.ps(),
           "attach joins a console, whose end leaves it", out)
    p, pid = attached("c1")
    p.stdin.write(b"\necho $((6*7))x\n")
    p.stdin.flush()
    seen = b""
    while b"42x" not in seen:
        part = os.read(p.stdout.fileno(), 4096)
        seen += part
        if not part:
            break
    TAP.ok(b"42x" in seen and warm.alive(pid), "start joins a console", seen)
    p.kill()
    warm.end(p)
    TAP.ok(ended("c1", pid), "a machine ends with its starter, killed")
    p, pid = attached("c2")
    warm.end(p, signal.SIGTERM)
    TAP.ok(ended("c2", pid), "or ended")
    p, pid = attached("c3")
    p.stdin.close()
    status = p.wait(60)
    TAP.ok(status == 0 and ended("c3", pid), "or at the end of its input",
           status)
    for stream in (p.stdout, p.stderr):
        stream.close()


def check_terminal():
    master, slave = pty.openpty()
    before = subprocess.run(["stty", "-a"], stdin=slave, capture_output=True,
                            check=False).stdout
    p, pid = attached("c4", stdin=slave)
    time.sleep(0.5)
    os.write(master, b"\x1d")
    try:
        status = p.wait(30)
    except subprocess.TimeoutExpired:
        status = None
    after = subprocess.run(["stty", "-a"], stdin=slave, capture_output=True,
                           check=False).stdout
    TAP.ok(status == 0 and ended("c4", pid), "Ctrl-] leaves, and ends it",
           status)
    TAP.ok(before == after, "the terminal is as it was", after)
    warm.end(p)
    os.close(master)
    os.close(slave)


def check_machine_ends():
    """The guest powers off while somebody is at its console."""
    p, pid = attached("c5")
    m.machine("exec", "c5", "--", "sh", "-c", "poweroff -f &")
    start = time.monotonic()
    try:
        status = p.wait(30)
    except subprocess.TimeoutExpired:
        status = None
    TAP.ok(status == 0 and ended("c5", pid) and time.monotonic() - start < 10,
           "a machine that powers off ends its starter", status)
    warm.end(p)


# ---- ready -------------------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def check_ready():
    r = m.boot("talk", IMAGE, "--ready", "console:machine ready", "--json")
    TAP.ok(r.status == 0 and m.told(r)[0]["us"]["ready"] > 0,
           "ready when the console says it", r)
    m.machine("stop", "--now", "talk")
    start = time.monotonic()
    r = m.boot("never", IMAGE, "--ready", "console:no such words",
               "--timeout", "2s")
    TAP.ok(m.one_line(r, "never", "not ready") and
           time.monotonic() - start < 20 and "never" not in m.folders(),
           "one that is not ready in time is no machine", r)
    for words in ("sometime", "port:x", "port:0", "port:70000", "console:"):
        r = m.boot("wrong", IMAGE, "--ready", words)
        TAP.ok(r.status == 100 and r.err.count(b"\n") == 1,
               f"not a time: {words}", r)
    r = m.boot("wrong", IMAGE, "--ready", "port:22")
    TAP.ok(m.one_line(r, "22", "--forward", status=100),
           "a port that is not the machine's", r)


def check_port():
    port = free_port()
    start = os.path.join(FOLDER, "start")
    with open(start, "w") as f:
        f.write("#!/bin/sh\nip link set lo up\nip link set eth0 up\n"
                "ip addr add 10.0.2.15/24 dev eth0\n"
                "(sleep 3; nc -ll -p 80 -e echo hello) >/dev/null 2>&1 &\n")
    os.chmod(start, 0o755)
    file = os.path.join(FOLDER, "port.img")
    m.image(file, "--kernel", m.kernel(), "--module", "virtio_net", "--with",
            start + "=/etc/brood/start")
    r = m.boot("web", file, "--forward", f"{port}:80", "--ready",
               f"port:{port}", "--json")
    if not TAP.ok(r.status == 0, "ready when a port serves", r):
        return
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.settimeout(3)
        try:
            said = s.recv(100)
        except TimeoutError:
            said = b""
        TAP.ok(said == b"hello\n", "and it serves at once", said)
    taken = m.boot("web2", file, "--forward", f"{port}:80")
    TAP.ok(m.one_line(taken, "qemu: ") and "web2" not in m.folders(),
           "a port that is in use", taken)
    m.machine("stop", "--now", "web")


# ---- refused ------------------------------------------------------------------------

def check_words():
    cases = [
        (["frob"], 100, ["frob", "boot", "save"]),
        ([], 100, []),
        (["boot", "x"], 100, ["--kernel"]),
        (["boot", "a b", "--kernel", m.kernel()], 111, ["a b", "name"]),
        (["boot", "x", "--kernel", "/nonesuch"], 111, ["/nonesuch"]),
        (["boot", "x", "--kernel", "/etc/passwd"], 111, ["qemu: "]),
        (["boot", "x", "--kernel", m.kernel(), "--disk", "/nonesuch"], 111,
         ["/nonesuch"]),
        (["boot", "x", "--kernel", m.kernel(), "--memory", "1M"], 111,
         ["memory"]),
        (["boot", "x", "--kernel", m.kernel(), "--cpus", "1000"], 111,
         ["CPUs"]),
        (["boot", "x", "--kernel", m.kernel(), "--cpu", "a b"], 111,
         ["a b", "CPU"]),
        (["boot", "x", "--kernel", m.kernel(), "--cpu", "nonesuch"], 111,
         ["qemu: ", "nonesuch"]),
        (["boot", "x", "--kernel", m.kernel(), "--forward", "80"], 100,
         ["80"]),
        (["boot", "x", "--kernel", m.kernel(), "--accel", "x"], 100, []),
        (["save", "first"], 100, ["--as"]),
        (["save", "first", "--as", "a/b"], 111, ["a/b", "name"]),
        (["save", "first", "--as", "x", "--parent", "nonesuch"], 111,
         ["nonesuch"]),
        (["save", "nonesuch", "--as", "x"], 111, ["nonesuch", "machine ps"]),
        (["start", "nonesuch", "--detach"], 111, ["nonesuch", "machine ls"]),
        (["start", "../ready", "--detach"], 111, ["../ready"]),
        (["start", "ready", "--detach", "--name", "first"], 111,
         ["first", "runs already"]),
        (["start", "ready", "--count", "2", "--name", "x"], 100, ["name"]),
        (["start", "ready", "--count", "9999"], 100, ["--count"]),
        (["start", "ready", "--store", "/nonesuch"], 111, ["/nonesuch"]),
        (["swap", "first", "nonesuch"], 111, ["nonesuch"]),
        (["swap", "first"], 100, []),
        (["exec", "nonesuch", "--", "true"], 111, ["nonesuch", "machine ps"]),
        (["attach", "nonesuch"], 111, ["nonesuch", "machine ps"]),
        (["stop"], 100, ["--all"]),
        (["stop", "nonesuch"], 111, ["nonesuch", "machine ps"]),
        (["rm", "nonesuch"], 111, ["nonesuch"]),
    ]
    for words, status, wanted in cases:
        r = m.machine(*words)
        TAP.ok(r.status == status and not r.out and
               (not wanted or m.one_line(r, *wanted, status=status)),
               "refused: " + " ".join(words).replace(m.kernel(), "KERNEL"), r)
    r = m.machine("exec", "ready", "--", "sh", "-c", "hostname; exit 3")
    TAP.ok(r.status == 3 and r.out.startswith(b"ready-"),
           "a command in a new machine of a tip", r)
    TAP.ok(m.folders() == ["first"] and len(m.hypervisors()) == 1,
           "and nothing is left of them", m.folders())


# ---- the story -----------------------------------------------------------------------

def ask(name, question):
    console = m.Console(m.ps()[name]["folder"])
    try:
        console.say(b"%d\n" % question)
        console.hear(name.encode() + b"\r\n", 60)
        lines = [w for w in console.text.decode(errors="replace").splitlines()
                 if w.startswith("answer")]
        return lines[-1].split() if lines else console.text
    finally:
        console.close()


def check_story(have_python):
    if not have_python:
        TAP.skip("an application in sixteen machines", f"no {PYTHON}")
        return
    version = m.shell("first", "python3 -I -S -c 'import sys; "
                      "print(sys.version_info[0])'", timeout=90)
    TAP.ok(version == "3\n", "python runs in the machine", version)
    r = m.machine("save", "first", "--as", "python", "--parent", "ready")
    TAP.ok(r.status == 0, "a layer with python", r)
    console = m.Console(m.ps()["first"]["folder"])
    console.say(b"\nexec python3 -I -S /opt/app.py\n")
    loaded = console.hear(b"application is loaded", 90)
    console.close()
    TAP.ok(loaded, "an application is loaded", console.text)
    r = m.machine("save", "first", "--as", "application", "--parent",
                  "python", "--stop", "--json")
    TAP.ok(r.status == 0 and m.told(r)[0]["layers"] == 3 and
           "first" not in m.folders(), "a layer with it; the machine ends", r)
    start = time.monotonic()
    told = m.start("application", "--count", "16", "--json", timeout=120)
    TAP.ok(len(told) == 16 and all(t["layers"] == 3 for t in told),
           "sixteen workers", told)
    warm.note(f"16 workers in {time.monotonic() - start:.1f} s")
    answers = [ask(t["name"], 100 + i) for i, t in enumerate(told)]
    want = [["answer", str((100 + i) ** 2), "1", t["name"]]
            for i, t in enumerate(told)]
    TAP.ok(answers == want, "each answers for itself",
           [a for a, w in zip(answers, want) if a != w])
    rows = m.ps()
    TAP.ok(len(rows) == 16 and sum(r["pss_kib"] for r in rows.values()) <
           16 * (160 << 10) // 3, "they share their memory",
           sum(r["pss_kib"] for r in rows.values()))
    r = m.machine("stop", "--all", "--now", timeout=60)
    TAP.ok(r.status == 0 and not m.ps() and not m.folders() and
           not m.hypervisors(), "and all end", (r, m.folders()))


def check_remove():
    r = m.machine("rm", *m.tips())
    left = [n for n in m.stored() if "tips" in n]
    TAP.ok(r.status == 0 and not left and not m.tips(), "tips are removed",
           (r, left))
    r = warm.brood("image", "gc")
    if r.status == 100:
        TAP.skip("no layer is left", "there is no brood image")
        return
    left = [n for n, size in m.stored().items() if size]
    TAP.ok(r.status == 0 and not left, "and no layer is left", (r, left))


def main():
    why = m.missing()
    if why:
        TAP.skip("machines", why)
        TAP.done()
    started = time.monotonic()
    try:
        good, have_python = make_image()
        if good and check_boot() and check_save():
            for check in (check_exec, check_commands_at_a_start,
                          check_many_commands, check_clones,
                          check_same, check_layers,
                          check_swap, check_park, check_park_of_old,
                          check_console, check_terminal, check_machine_ends,
                          check_words, check_ready, check_port,
                          lambda: check_story(have_python), check_remove):
                begun = time.monotonic()
                check()
                warm.note(f"{getattr(check, '__name__', '')} took "
                          f"{time.monotonic() - begun:.1f} s")
    finally:
        m.clear()
        warm.stop_all()
    warm.note(f"{time.monotonic() - started:.0f} s")
    TAP.done()


if __name__ == "__main__":
    main()
