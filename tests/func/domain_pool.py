# SPDX-License-Identifier: Apache-2.0
"""Modules served in domains that wait: what launches get, what they leave,
who may be killed, and what everybody is told.  CLAIM 3.9 3.11"""

import contextlib
import glob
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import warm

HERE = os.path.join(os.environ["TMPDIR"], "pool")
MODULE = os.path.join(HERE, "app.wat")
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "domain_pool.wat")
RUN = os.path.join(os.environ["XDG_RUNTIME_DIR"], "brood")
TAP = warm.Tap()


class Place:
    """Where the domains are: in KVM, or in processes."""

    def __init__(self, name):
        self.name = name
        self.env = dict(os.environ)
        if name == "process":
            self.env["BROOD_WITHOUT"] = "kvm"

    def brood(self, *words, stdin=b"", timeout=30, **kw):
        done = subprocess.run([warm.BROOD, *words], input=stdin, timeout=timeout,
                              capture_output=True, env=self.env, **kw)
        return warm.Result(done.returncode, done.stdout, done.stderr)

    def serve(self, *words):
        return self.brood("serve", "--in", "domain", *words)

    def launch(self, *words, **kw):
        return self.brood("launch", *words, **kw)

    def start(self, *words, **kw):
        return subprocess.Popen([warm.BROOD, "launch", *words], env=self.env,
                                stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **kw)

    def ok(self, good, words, detail=""):
        TAP.ok(good, f"{self.name}: {words}", detail)


def rows():
    text = warm.brood("ps", "--json").out
    return [row for row in json.loads(text)["templates"]
            if row["kind"] == "domain"]


def row():
    found = rows()
    return found[0] if found else {}


def status():
    for path in glob.glob(RUN + "/domain-*/control"):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(10)
        s.connect(path)
        s.send(b"status")
        return json.loads(s.recv(65536))
    return {}


def tell(r):
    return f"{r.status} {r.out} {r.err}"


# ---- what a launch gets ------------------------------------------------------


def like_run(place):
    r = place.serve("app", "--", MODULE)
    place.ok(r.status == 0 and b"serving app: " in r.out and
             f"({place.name})".encode() in r.out, "a module is served", tell(r))
    for words, stdin in ((["a", "two", ""], b""), (["c"], b"one\ntwo\n" * 9999),
                         (["x", "5"], b""), (["x", "0"], b""), ([], b"")):
        warmed = place.launch("app", *words, stdin=stdin)
        cold = warm.brood("run", MODULE, *words, stdin=stdin)
        place.ok(warmed.same(cold),
                 f"as brood run does it: {' '.join(words) or 'nothing'}",
                 f"{tell(warmed)[:300]}\n{tell(cold)[:300]}")
    r = place.launch("app", "t")
    place.ok(r.status == 134 and b"brood: app: trap: unreachable" in r.err,
             "a trap is told", tell(r))
    r = place.launch("--timeout", "200ms", "app", "s")
    place.ok(r.status == 124, "a launch's own --timeout", tell(r))
    r = place.launch("--env", "A=1", "--env", "HOME", "app", "v")
    place.ok(r.out == f"A=1\0HOME={os.environ['HOME']}\0".encode(),
             "variables are those of --env", tell(r))
    r = place.launch("app", "v")
    place.ok(r.out == b"", "and no others", tell(r))
    with open("/dev/null") as null:
        r = subprocess.run([warm.BROOD, "launch", "app", "a"], stdin=null,
                           stdout=subprocess.PIPE, env=place.env,
                           close_fds=True)
    place.ok(r.stdout == b"%s\0a\0" % MODULE.encode(),
             "the program's name is the file's")
    r = place.launch("app", "c", "x" * 100000, "x" * 100000)
    place.ok(r.status == 111 and b"arguments" in r.err,
             "too long arguments are refused", tell(r))
    r = subprocess.run([warm.BROOD, "launch", "app", "c"],
                       stdin=os.open("/", os.O_RDONLY), env=place.env,
                       capture_output=True)
    place.ok(r.returncode == 111 and b"a folder" in r.stderr,
             "a folder is no stream", r.stderr)
    chain = f"printf abc | {warm.BROOD} launch app c"
    chain += f" | {warm.BROOD} launch app c" * 6
    r = subprocess.run(["sh", "-c", chain], env=place.env, capture_output=True,
                       timeout=30)
    place.ok(r.stdout == b"abc", "seven in one pipe", r.stderr)
    r = subprocess.run(["sh", "-c", f"{warm.BROOD} launch app w | head -c 9000"
                        " | wc -c"], env=place.env, capture_output=True,
                       timeout=30)
    place.ok(r.stdout.strip() == b"9000", "whose reader goes, ends", r.stderr)
    place.ok(warm.wait_until(lambda: row()["live"] == 0), "so does its run",
             row())


def unchanged(place):
    """Nothing of the tenant before."""
    first = [place.launch("app", "m").out for _ in range(12)]
    place.ok(first == [b"----"] * 12, "memory, pages, globals and files are "
             "new each time", first)
    chance = {place.launch("app", "r").out for _ in range(24)}
    place.ok(len(chance) == 24 and all(len(x) == 8 for x in chance),
             "so are random numbers", len(chance))
    now = status()
    place.ok(now["resets"] >= 12, "by resets", now)


def many(place):
    before = row()["launches"]
    runs = [place.start("app", "x", str(i % 8)) for i in range(200)]
    codes = [(r.wait(timeout=60), i % 8) for i, r in enumerate(runs)]
    for r in runs:
        r.stdout.close(), r.stderr.close()
    place.ok(all(a == b for a, b in codes), "200 at once", codes[:20])
    place.ok(warm.wait_until(lambda: row()["launches"] == before + 200),
             "all are counted", row())


def held(place):
    """Others hold what there is, and who took the last place traps."""
    r, w = os.pipe()
    runs = [subprocess.Popen([warm.BROOD, "launch", "app", "c"], stdin=r,
                             stdout=subprocess.DEVNULL, env=place.env)
            for _ in range(4)]
    os.close(r)
    warm.wait_until(lambda: row()["live"] == 4)
    codes = []
    with contextlib.suppress(subprocess.TimeoutExpired):
        for _ in range(20):
            codes.append(place.launch("app", "t", timeout=10).status)
    place.ok(codes == [134] * 20, "somebody always waits", codes)
    os.close(w)
    place.ok([run.wait(timeout=30) for run in runs] == [0] * 4,
             "and those that were held end")


def told(place):
    r = row()
    place.ok(r.get("name") == "app" and r["program"] == MODULE and
             r["state"] == "serving" and r["isolation"] == place.name and
             r["vms"] >= 1 and "seccomp" in r["walls"], "ps --json", r)
    text = warm.brood("ps").out.decode()
    place.ok(f"domain ({place.name})" in text and "walls:" in text, "ps", text)
    top = json.loads(warm.brood("top", "--json").out)["templates"][0]
    place.ok(top["memory"]["copies_shared_kib"] > 0 and
             top["memory"]["copies_private_kib"] > 0, "top --json", top)
    place.ok(warm.brood("top", "--once").out.count(b"\n") == 2, "top --once")
    report = os.path.join(HERE, "report")
    place.launch("--report", report, "app")
    with open(report) as file:
        place.ok(json.loads(file.read())["way"] == "domain", "--report")
    os.remove(report)


# ---- what is granted ---------------------------------------------------------


def granted(place):
    folder = os.path.join(HERE, "folder")
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/file", "w") as file:
        file.write("data")
    place.serve("--dir", folder, "--env", "B=2", "app", "--", MODULE)
    r = place.launch("app", "f")
    place.ok(r.out == b"data", "a granted folder is read", tell(r))
    r = place.launch("app", "n")
    place.ok(r.status == 0 and os.path.exists(folder + "/new"),
             "and written", tell(r))
    place.ok([place.launch("app", "m").out for _ in range(3)] ==
             [b"----"] * 3, "no file stays open")
    r = place.launch("--env", "C=3", "app", "v")
    place.ok(r.out == b"B=2\0C=3\0", "variables of both", tell(r))
    os.remove(folder + "/new")
    place.serve("--dir-ro", folder, "app", "--", MODULE, "f")
    r = place.launch("app")
    place.ok(r.out == b"data", "words in front of each launch's", tell(r))
    place.serve("--dir-ro", folder, "app", "--", MODULE)
    r = place.launch("app", "n")
    place.ok(r.status == 7 and not os.path.exists(folder + "/new"),
             "--dir-ro", tell(r))
    place.serve("--timeout", "100ms", "--max-memory", "1M", "app", "--",
                MODULE)
    r = place.launch("--timeout", "1h", "app", "s")
    place.ok(r.status == 124, "--timeout of serve is the most", tell(r))
    place.serve("--fuel", "100000", "app", "--", MODULE)
    r = place.launch("app", "s"), place.launch("app", "s")
    place.ok([x.status for x in r] == [125, 125], "--fuel", tell(r[0]))


# ---- ends --------------------------------------------------------------------


def serve_again(place, *words):
    place.brood("stop", "app")
    return place.serve(*words, "app", "--", MODULE)


def nobody_reads(pipe):
    try:
        os.write(pipe, b"x")
    except BrokenPipeError:
        return True
    return False


def client_killed(place):
    serve_again(place)
    run = place.start("app", "s")
    place.ok(warm.wait_until(lambda: row()["live"] == 1), "one runs", row())
    warm.end(run)
    place.ok(warm.wait_until(lambda: row()["live"] == 0),
             "a caller is killed: its run ends", row())
    r, w = os.pipe()
    run = subprocess.Popen([warm.BROOD, "launch", "app", "c"], stdin=r,
                           stdout=subprocess.DEVNULL, env=place.env)
    os.close(r)
    warm.wait_until(lambda: row()["live"] == 1)
    warm.end(run)
    place.ok(warm.wait_until(lambda: row()["live"] == 0),
             "one that waits for input, too", row())
    place.ok(warm.wait_until(lambda: nobody_reads(w)),
             "and its streams are closed")
    os.close(w)
    place.ok(warm.wait_until(lambda: status()["callers_gone"] == 2),
             "that is told", status())
    place.ok(place.launch("app", "x", "4").status == 4, "others go on")


def worker_killed(place):
    serve_again(place)
    run = place.start("app", "s")
    warm.wait_until(lambda: row()["live"] == 1)
    before = status()["worker_pids"]
    for pid in before:
        with contextlib.suppress(ProcessLookupError):  # one may just have ended
            os.kill(pid, signal.SIGKILL)
    out, err = run.communicate(timeout=10)
    place.ok(run.returncode == 111 and
             err == b"brood: app: the worker that ran it has ended\n",
             "workers are killed: their callers are told",
             f"{run.returncode} {err}")
    place.ok(warm.wait_until(lambda: row()["waiting"] >= 1 and not
                             set(status()["worker_pids"]) & set(before)),
             "others take their place", status())
    r = place.launch("app", "x", "6")
    place.ok(r.status == 6, "and launches go on", tell(r))
    place.ok(row()["workers_lost"] >= 1, "it is counted", row())


def server_killed(place):
    serve_again(place)
    run = place.start("app", "s")
    warm.wait_until(lambda: row()["live"] == 1)
    now = status()
    os.kill(now["pid"], signal.SIGKILL)
    out, err = run.communicate(timeout=10)
    place.ok(run.returncode == 111, "the server is killed: so are its callers "
             "told", err)
    pids = [now["pid"], *now["worker_pids"]]
    place.ok(warm.wait_until(lambda: not any(map(warm.alive, pids))),
             "no process stays", pids)
    r = place.launch("app", "x", "1")
    place.ok(r.status == 127, "nobody waits at a dead socket", tell(r))
    r = place.launch("--in", "domain", MODULE, "x", "1")
    place.ok(r.status == 1, "launch --in domain runs it anyway", tell(r))
    place.ok(not rows(), "ps does not show it", rows())
    r = place.serve("other", "--", MODULE)
    place.ok(len(glob.glob(RUN + "/domain-*")) == 1, "the next server of any "
             "name removes what it left", glob.glob(RUN + "/domain-*/*"))
    place.brood("stop", "other")


def used_often(place, least):
    """Its server, and whether each launch came in time for it to stay."""
    before = time.monotonic()
    serve_again(place, "--idle", f"{int(least * 1000)}ms")
    pid = status().get("pid", 0)
    in_time = True
    for _ in range(4):
        time.sleep(least / 2)
        start = time.monotonic()
        place.launch("app", "x", "0")
        in_time &= time.monotonic() - before < least
        before = start
    return pid, in_time


def idle(place):
    for _ in range(10):  # a busy machine may let it rest for too long
        pid, in_time = used_often(place, 0.5)
        if warm.alive(pid) or in_time:
            break
    place.ok(warm.alive(pid), "one that is used does not end")
    run = place.start("app", "c")
    run.wait(timeout=30)
    run.stdout.close(), run.stderr.close()
    place.ok(warm.wait_until(lambda: not warm.alive(pid)),
             "one that is not used for so long ends")
    place.ok(not glob.glob(RUN + "/domain-*"), "and leaves nothing")


def stopped(place):
    serve_again(place)
    r, w = os.pipe()
    run = subprocess.Popen([warm.BROOD, "launch", "app", "c"], stdin=r,
                           stdout=subprocess.PIPE, env=place.env)
    os.close(r)
    warm.wait_until(lambda: row()["live"] == 1)
    now = status()
    r = place.brood("stop", "app")
    place.ok(r.status == 0 and not rows(), "it is stopped", tell(r))
    r = place.launch("app")
    place.ok(r.status == 127, "and takes no more launches", tell(r))
    os.write(w, b"on")
    os.close(w)
    out, _ = run.communicate(timeout=10)
    place.ok(out == b"on" and run.returncode == 0, "what runs goes on", out)
    pids = [now["pid"], *now["worker_pids"]]
    place.ok(warm.wait_until(lambda: not any(map(warm.alive, pids))),
             "then all ends", pids)
    serve_again(place)
    now = status()
    os.kill(now["pid"], signal.SIGTERM)
    pids = [now["pid"], *now["worker_pids"]]
    place.ok(warm.wait_until(lambda: not any(map(warm.alive, pids))),
             "SIGTERM does it too", pids)
    place.ok(not glob.glob(RUN + "/domain-*"), "and leaves nothing")


def refreshed(place):
    serve_again(place)
    first = status()
    runs = [place.start("app", "x", "3") for _ in range(20)]
    r = place.brood("refresh", "app")
    place.ok(r.status == 0, "refresh", tell(r))
    codes = [run.wait(timeout=20) for run in runs]
    for run in runs:
        run.stdout.close(), run.stderr.close()
    place.ok(codes == [3] * 20, "no launch is lost", codes)
    place.ok(warm.wait_until(lambda: not any(
        map(warm.alive, first["worker_pids"]))), "the workers before end")
    place.ok(status()["generation"] == 2, "the next generation", status())
    with open(MODULE, "w") as file:
        file.write("(module (func (export \"_start\") unreachable))")
    place.brood("refresh", "app")
    place.ok(place.launch("app", "x", "3").status == 134, "of the file as it "
             "is now")
    with open(MODULE, "w") as file:
        file.write("no module")
    r = place.brood("refresh", "app")
    place.ok(r.status == 111 and place.launch("app").status == 134,
             "one that cannot be served leaves it as it is", tell(r))
    shutil.copy(SOURCE, MODULE)
    place.brood("stop", "app")


def foreground(place):
    server = subprocess.Popen([warm.BROOD, "serve", "--in", "domain",
                               "--foreground", "--pool", "3", MODULE],
                              env=place.env, stdin=subprocess.DEVNULL)
    place.ok(warm.wait_until(lambda: row().get("waiting") == 3),
             "in the foreground, by the file's name, a pool of three", row())
    place.ok(place.launch(MODULE, "x", "2").status == 2, "launched so")
    os.chdir(HERE)
    place.ok(place.launch("app.wat", "x", "2").status == 2, "by any path")
    server.send_signal(signal.SIGTERM)
    place.ok(server.wait(timeout=10) == 0, "ended by SIGTERM")


def asks_first(place):
    """A module whose start asks the host: it is not made ahead."""
    path = os.path.join(HERE, "asks.wat")
    with open(SOURCE) as file:
        text = file.read()
    text = text[:text.rindex(")")] + \
        " (func $first (call $put (i32.const 96) (i32.const 4)))" \
        " (start $first))\n"
    with open(path, "w") as file:
        file.write(text)
    r = place.serve("asks", "--", path)
    if place.name == "process":
        place.ok(r.status == 111, "without KVM it is not served", tell(r))
        return
    r = [place.launch("asks", "x", "5") for _ in range(3)]
    place.ok([(x.status, x.out) for x in r] == [(5, b"file")] * 3,
             "one that asks when it is instantiated", tell(r[0]))
    place.brood("stop", "asks")


def shared(place):
    """CLAIM 3.9: launches in a domain that is there."""
    r = place.serve("--isolation", "shared-vm", "app", "--", MODULE)
    place.ok(r.status == 0 and row().get("shared_vm") is True,
             "one domain for all launches", tell(r))
    outs = [place.launch("app", "m").out for _ in range(80)]
    place.ok(outs == [b"----"] * 80, "each in an instance of its own", outs)
    now = status()
    place.ok(now["vms"] == 1 and now["resets"] == 1 and
             now["discarded"] == 0, "no domain was made for one", now)
    chance = {place.launch("app", "r").out for _ in range(24)}
    place.ok(len(chance) == 24, "random numbers differ", len(chance))
    r = place.launch("app", "t")
    place.ok(r.status == 134, "a trap", tell(r))
    r = place.launch("--timeout", "50ms", "app", "s")
    place.ok(r.status == 124, "a timeout", tell(r))
    runs = [place.start("app", "x", str(i % 8)) for i in range(40)]
    codes = [(run.wait(timeout=60), i % 8) for i, run in enumerate(runs)]
    for run in runs:
        run.stdout.close(), run.stderr.close()
    place.ok(all(a == b for a, b in codes), "forty, one after the other",
             codes)
    place.ok(status()["vms"] == 1, "in one domain still", status())
    text = warm.brood("ps").out
    place.ok(b"one for all launches" in text, "ps says so", text)
    place.brood("stop", "app")


def from_tip(place):
    path = os.path.join(HERE, "warm.wat")
    with open(path, "w") as file:
        file.write("""(module
 (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
 (memory (export "memory") 1)
 (func (export "warm_up") (i32.store (i32.const 64) (i32.const 42)))
 (func (export "_start") (call $exit (i32.load (i32.const 64)))))""")
    r = place.brood("run", "--in", "domain", "--until", "warm_up", "--save",
                    "pool-" + place.name, path)
    place.ok(r.status == 0, "a warm state is kept", tell(r))
    r = place.serve("--from", "pool-" + place.name, "warmed")
    place.ok(r.status == 0, "and served", tell(r))
    codes = [place.launch("warmed").status for _ in range(8)]
    place.ok(codes == [42] * 8, "launches go on from there", codes)
    place.brood("stop", "warmed")


# ---- who does not keep to it ---------------------------------------------------


def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(10)
    s.connect(glob.glob(RUN + "/domain-*/live")[0])
    return s


def packet(kind, body=b"", **kw):
    size = kw.get("size", 16 + len(body))
    return struct.pack("<IHHII", kw.get("magic", 0x4e4d4f44),
                       kw.get("version", 1), kind, size, 0) + body


def launch_body(argc, envc, strings, stdio=0, size=None):
    return struct.pack("<IIIIQ", argc, envc,
                       len(strings) if size is None else size, stdio,
                       0) + strings


def hostile(place):
    serve_again(place)
    s = connect()
    ready = s.recv(100)
    place.ok(len(ready) == 24, "READY", ready)
    s.send(packet(2, launch_body(2, 0, b"x\0" + b"7\0")))
    how, code = struct.unpack("<Ii", s.recv(5000)[16:24])
    place.ok((how, code) == (1, 7), "LAUNCH without streams, ENDED",
             (how, code))
    wrong = [b"", b"x", packet(2), packet(9), packet(2, magic=1),
             packet(2, launch_body(1, 0, b"x\0"), version=7),
             packet(2, launch_body(1, 0, b"x\0"), size=7),
             packet(2, launch_body(2, 0, b"x\0")),
             packet(2, launch_body(0, 0, b"x\0")),
             packet(2, launch_body(1, 0, b"xx")),
             packet(2, launch_body(1, 0, b"x\0", size=2 ** 31)),
             packet(2, launch_body(2 ** 31, 2 ** 31, b"")),
             packet(2, launch_body(1, 0, b"x\0", stdio=1)),
             packet(2, launch_body(1, 0, b"x\0", stdio=255)),
             os.urandom(60000), packet(3)]
    answers = []
    for what in wrong:
        s = connect()
        s.recv(100)
        s.send(what)
        try:
            answers.append(s.recv(5000))
        except ConnectionResetError:
            answers.append(b"")
        s.close()
    place.ok(answers == [b""] * len(wrong), "what is no LAUNCH is hung up on",
             answers)
    silent = [connect() for _ in range(3)]
    r = place.launch("app", "x", "5")
    place.ok(r.status == 5, "silent ones do not keep others waiting", tell(r))
    for s in silent:
        s.close()
    place.ok(status()["workers_lost"] == 0, "no worker was lost", status())
    if os.geteuid() == 0:
        script = ("import os,socket,sys\nos.setuid(65534)\n"
                  "s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\n"
                  "s.connect(sys.argv[1])\nsys.exit(len(s.recv(99)))")
        os.chmod(RUN, 0o755)
        live = glob.glob(RUN + "/domain-*/live")[0]
        r = subprocess.run([sys.executable, "-c", script, live],
                           capture_output=True)
        os.chmod(RUN, 0o700)
        place.ok(b"PermissionError" in r.stderr, "others cannot connect",
                 r.stderr)


def wrong_use(place):
    for words, code in ((["serve", "--in", "domain", "/no/such"], 127),
                        (["serve", "--in", "domain", "/etc/passwd"], 126),
                        (["serve", "--in", "domain", "--pool", "999", MODULE],
                         100),
                        (["serve", "--in", "domain", "--isolation",
                          "shared-vm", "--fuel", "9", MODULE], 100),
                        (["serve", "--in", "domain", "--until", "main",
                          MODULE], 100),
                        (["serve", "--dir", "/", "/bin/true"], 100),
                        (["launch", "--env", "A=1", "/bin/true"], 100),
                        (["launch", "no-such-name"], 127),
                        (["launch", "--in", "domain", "/no/such"], 127)):
        r = place.brood(*words)
        place.ok(r.status == code, " ".join(words[:4]), tell(r))
    if place.name == "process":
        r = place.serve("--require-kvm", MODULE)
        place.ok(r.status == 111 and b"KVM" in r.err, "--require-kvm", tell(r))


def main():
    os.makedirs(HERE)
    shutil.copy(SOURCE, MODULE)
    places = [Place("kvm"), Place("process")]
    if b"(kvm)" not in places[0].serve("app", "--", MODULE).out:
        TAP.skip("kvm", "there is no KVM")
        del places[0]
    warm.brood("stop", "app")
    for place in places:
        for step in (like_run, unchanged, held, many, told, granted,
                     client_killed, worker_killed, server_killed, idle, stopped,
                     refreshed, foreground, asks_first, shared, from_tip,
                     hostile, wrong_use):
            try:
                step(place)
            except Exception:
                import traceback
                place.ok(False, step.__name__, traceback.format_exc())
        warm.brood("stop", "--all")
        shutil.copy(SOURCE, MODULE)
    warm.wait_until(lambda: not glob.glob(RUN + "/domain-*"))
    TAP.done()


if __name__ == "__main__":
    main()
