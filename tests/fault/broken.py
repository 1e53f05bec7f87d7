# SPDX-License-Identifier: Apache-2.0
"""Whatever breaks, a launch gives the program's result: by a cold start
with the reason in the report, never a wrong result and never none."""

import glob
import os
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import warm

TAP = warm.Tap()
PROGRAMS = os.path.join(os.environ["BUILD"], "tests/programs")
HERE = os.path.join(os.environ["TMPDIR"], "fault")
os.makedirs(HERE, exist_ok=True)
MIRROR = os.path.join(PROGRAMS, "mirror")
WANT = b"hello, you\n"


def own_greeter():
    """A program and a library that a test may change."""
    folder = os.path.join(HERE, f"own{len(os.listdir(HERE))}")
    os.makedirs(folder)
    for name in ("greeter", "libgreeting.so"):
        shutil.copy(os.path.join(PROGRAMS, name), folder)
    return os.path.join(folder, "greeter")


def state_folder(program):
    real = os.path.realpath(program)
    for path in glob.glob(os.path.join(os.environ["XDG_CACHE_HOME"],
                                       "brood/programs/*/entry")):
        with open(path, "rb") as f:
            if real.encode() + b"\0" in f.read():
                return os.path.dirname(path)
    return None


def right(r):
    return r.status == 0 and r.out.endswith(WANT)


def cold_with(words, r, *reason):
    """A cold start with the right result, and a reason that says why."""
    told = (r.report or {}).get("reason", "")
    TAP.ok(right(r) and r.report["way"] == "exec" and
           all(w in told for w in reason), f"{words}: cold, «{told}»", r)


def served_again(words, program, seconds=20):
    def again():
        r = warm.launch(program, "you")
        return right(r) and r.report and r.report["way"] != "exec"
    TAP.ok(warm.wait_until(again, seconds, 0.1), f"{words}: warm again soon",
           warm.template(program))


def damaged_image():
    program = own_greeter()
    for words, damage in (
            ("a truncated image", lambda f: f.truncate(5000)),
            ("an empty image", lambda f: f.truncate(0)),
            ("a flipped byte in its header",
             lambda f: (f.seek(40), f.write(b"\xff"))),
            ("a flipped byte in its tables",
             lambda f: (f.seek(900), f.write(b"\xa5\x5a")))):
        warm.serve(program)
        warm.brood("stop", program)
        image = os.path.join(state_folder(program), "image")
        with open(image, "r+b") as f:
            damage(f)
        cold_with(words, warm.launch(program, "you", via="hatch"), "image")
        served_again(words, program)
        warm.brood("stop", program)


def damaged_pages():
    """A starter does not read them all; a keeper that starts does."""
    program = os.path.join(HERE, "moody")
    mood = os.path.join(HERE, "mood")
    shutil.copy(os.path.join(PROGRAMS, "moody"), program)
    with open(mood, "w") as f:
        f.write("-")
    warm.serve("--env", f"MOODY_FILE={mood}", program)
    warm.brood("stop", program)
    image = os.path.join(state_folder(program), "image")
    with open(mood, "w") as f:
        f.write("h")  # the next generation hangs: nothing is made anew
    for words, damage in (("whole", False), ("damaged", True)):
        if damage:
            with open(image, "r+b") as f:
                f.seek(-100, os.SEEK_END)
                byte = f.read(1)[0]
                f.seek(-100, os.SEEK_END)
                f.write(bytes([byte ^ 1]))
        keeper = subprocess.Popen(
            [warm.BROOD, "keep", state_folder(program)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        started = warm.wait_until(
            lambda: any(is_child(p, keeper.pid) for p in warm.processes()))
        there = os.path.exists(image)
        kids = [p for p in warm.processes() if is_child(p, keeper.pid)]
        keeper.kill()
        told = keeper.communicate()[1]
        for pid in kids:
            warm.wait_until(lambda: not warm.alive(pid))
        TAP.ok(started and there != damage and
               (b"its memory is damaged" in told) == damage,
               f"an image with {words} pages, found by a keeper: "
               f"{'removed' if damage else 'stays'}", (there, told))
    warm.stop_all()


def killed_at_a_start():
    """A copy that is only begun, and would not end by itself, ends with its
    keeper.  Looked for without a rest, so that some are killed between fork
    and exec."""
    program = os.path.join(HERE, "moody")
    mood = os.path.join(HERE, "mood")
    with open(mood, "w") as f:
        f.write("-")
    warm.serve("--env", f"MOODY_FILE={mood}", program)
    warm.brood("stop", program)
    with open(mood, "w") as f:
        f.write("h")
    left, seen = [], 0
    for _ in range(30):
        keeper = subprocess.Popen(
            [warm.BROOD, "keep", state_folder(program)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        kids, end_at = [], time.monotonic() + 10
        while not kids and time.monotonic() < end_at:
            kids = [p for p in warm.processes() if is_child(p, keeper.pid)]
        keeper.kill()
        keeper.wait()
        seen += bool(kids)
        left += [p for p in kids if not
                 warm.wait_until(lambda p=p: not warm.alive(p), 3, 0.001)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    TAP.ok(seen == 30 and not left,
           "a keeper, killed as soon as it starts a copy: that ends",
           (seen, left))
    warm.stop_all()


def image_hash(seed, data):
    """crc_hash() of src/bare/crc.c"""
    whole = (1 << 64) - 1
    total = seed ^ 0xcbf29ce484222325
    words = len(data) // 8 * 8
    for (word,) in struct.iter_unpack("<Q", data[:words]):
        total = (total ^ word) * 0x9e3779b97f4a7c15 & whole
        total ^= total >> 29
    for byte in data[words:]:
        total = (total ^ byte) * 0x100000001b3 & whole
    total ^= total >> 32
    total = total * 0xd6e8feb86659fd93 & whole
    return total ^ total >> 32


IMAGE = {"version": 8, "header_bytes": 16, "sum": 20, "boot": 296,
         "machine": 304}  # offsets in struct program_image


def edit_image(path, **fields):
    """Changes 64-bit fields; the checksum fits again."""
    with open(path, "r+b") as f:
        version, = struct.unpack_from("<I", f.read(16), IMAGE["version"])
        size, = struct.unpack("<I", f.read(4))
        f.seek(0)
        head = bytearray(f.read(size))
        for name, value in fields.items():
            struct.pack_into("<Q", head, IMAGE[name], value)
        at = IMAGE["sum"]
        total = image_hash(version, bytes(head[:at]))
        total = image_hash(total, bytes(4))
        total = image_hash(total, bytes(head[at + 4:]))
        struct.pack_into("<I", head, at, total & 0xffffffff)
        f.seek(0)
        f.write(head)


def image_of_another_machine():
    program = own_greeter()
    warm.serve(program)
    warm.brood("stop", program)
    image = os.path.join(state_folder(program), "image")
    env = dict(os.environ, BROOD_WITHOUT="demand")
    edit_image(image, boot=1)
    got = warm.launch(program, "you", via="hatch", env=env)
    TAP.ok(got.report["way"] == "hatch" and got.status == 0,
           "an image from before a boot, same machine: hatch", got)
    edit_image(image, machine=1)
    cold_with("an image of another CPU or kernel",
              warm.launch(program, "you", via="hatch"), "image", "another")
    served_again("an image of another CPU or kernel", program)
    warm.brood("stop", program)


def foreign_image():
    program = own_greeter()
    warm.serve(program)
    warm.brood("stop", program)
    image = os.path.join(state_folder(program), "image")

    def launch():
        return warm.launch(program, "you", via="hatch",
                           env=dict(os.environ, BROOD_WITHOUT="demand"))

    if os.geteuid() == 0:
        os.chown(image, 65534, 65534)
        cold_with("an image of another user", launch(), "image", "belongs")
        os.chown(image, 0, 0)
    else:
        TAP.skip("an image of another user", "not root")
    os.chmod(image, 0o660)
    cold_with("an image that its group may write", launch(), "image",
              "group")
    os.chmod(image, 0o600)
    TAP.ok(launch().report["way"] == "hatch", "mended: hatch again")
    os.rename(image, image + ".x")
    os.symlink(image + ".x", image)
    cold_with("an image that is a link", launch(), "image")
    os.unlink(image)
    os.mkdir(image)
    cold_with("an image that is a folder", launch(), "image")
    os.rmdir(image)
    os.mkfifo(image)
    cold_with("an image that is a pipe", launch(), "image")
    os.unlink(image)
    os.rename(image + ".x", image)


def damaged_entry():
    program = own_greeter()
    warm.serve(program)
    entry = os.path.join(state_folder(program), "entry")
    random.seed(5)
    with open(entry, "rb") as f:
        good = f.read()
    wrong = 0
    for _ in range(40):
        data = bytearray(good)
        for _ in range(random.randint(1, 8)):
            data[random.randrange(len(data))] = random.randrange(256)
        if random.random() < 0.3:
            data = data[:random.randrange(len(data))]
        with open(entry, "wb") as f:
            f.write(data)
        r = warm.launch(program, "you")
        wrong += not right(r)
    TAP.ok(wrong == 0, f"40 damaged entries: {wrong} wrong results", r)
    warm.stop_all()


def changed_things():
    program = own_greeter()
    warm.serve(program)
    warm.brood("stop", program)
    library = os.path.join(os.path.dirname(program), "libgreeting.so")
    with open(library, "rb") as f:
        data = f.read()
    with open(library, "wb") as f:
        f.write(data.replace(b"hello\0", b"HELLO\0"))
    r = warm.launch(program, "you")
    TAP.ok(r.status == 0 and r.out.endswith(b"HELLO, you\n"),
           "a library changed while nobody served: right at once", r)
    warm.wait_until(lambda: warm.launch(program, "you").report["way"] !=
                    "exec", 20, 0.1)
    r = warm.launch(program, "you")
    TAP.ok(r.out.endswith(b"HELLO, you\n") and r.report["way"] != "exec",
           "and warm again with the new one", r)
    shutil.copy("/bin/true", program + ".new")
    os.rename(program + ".new", program)
    r = warm.launch(program, "you")
    TAP.ok(r.status == 0 and r.out == b"", "the program was replaced", r)
    warm.brood("stop", program)


def changed_environment():
    program = os.path.join(PROGRAMS, "env")
    if not os.path.exists(program):
        TAP.skip("environment read by constructors", "no such program")
        return
    name = "BROOD_TEST_COLOUR" if False else "WARM_COLOUR"
    env = dict(os.environ, WARM_COLOUR="blue")
    warm.serve(program)
    cold = warm.run([program], env=env)
    for via in ("clone", "hatch"):
        r = warm.launch(program, via=via, env=env)
        TAP.ok(r.same(cold) and r.report["way"] == "exec" and
               name in r.report["reason"],
               f"{via}: a variable that a constructor read is another", r)
        r = warm.launch(program, via=via)
        TAP.ok(r.same(warm.run([program])) and r.report["way"] == via,
               f"{via}: and as before when it is not", r)
    warm.brood("stop", program)


class Loop(threading.Thread):
    """Launches one after the other until told to end."""

    def __init__(self, program, via):
        super().__init__()
        self.program, self.via, self.over = program, via, False
        self.total, self.bad = 0, []

    def run(self):
        while not self.over:
            r = warm.launch(self.program, "you", via=self.via)
            self.total += 1
            if not right(r):
                self.bad.append(repr(r))


def killed_servers():
    """kill -9 of templates, pool copies and keepers under load."""
    program = os.path.join(PROGRAMS, "greeter")
    for whom in ("template", "keeper", "pool"):
        warm.serve(program)
        loop = Loop(program, "clone")
        loop.start()
        for _ in range(8):
            time.sleep(0.15)
            entry = warm.template(program) or {}
            pid = entry.get("keeper" if whom == "keeper" else "pid")
            if whom == "pool" and pid:
                kids = [p for p in warm.processes() if warm.alive(p) and
                        is_child(p, pid)]
                pid = kids[0] if kids else None
            if pid and warm.alive(pid):
                os.kill(pid, signal.SIGKILL)
            if whom == "keeper":
                time.sleep(0.2)
                warm.serve(program)
        time.sleep(0.3)
        loop.over = True
        loop.join()
        dead = [b for b in loop.bad]
        if whom == "pool":  # the one killed may have been an instance
            dead = [b for b in dead if "status -9" not in b]
        TAP.ok(not dead and loop.total > 8,
               f"{whom} killed again and again: {loop.total} launches, "
               f"{len(dead)} wrong", "\n".join(dead[:3]))
        served_again(f"{whom} killed", program)
        warm.stop_all()


def is_child(pid, of):
    try:
        return warm.parent(pid) == of
    except OSError:
        return False


def ends_while_copies_live():
    """The template, the keeper or both end; the copy lives on, and its
    status reaches the client."""
    for whom in ("refresh", "stop"):
        warm.serve(MIRROR)
        for feature in ("", "pidfd_info"):
            report = warm.new_report()
            client = subprocess.Popen(
                warm.launch_words(MIRROR, ["listen"], "clone", report),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                env=dict(os.environ, BROOD_WITHOUT=feature))
            client.stdout.readline()
            seen = warm.wait_until(lambda: warm.read_report(report))
            warm.brood(whom, MIRROR)
            alive = warm.alive(seen["pid"])
            client.terminate()
            status = client.wait(20)
            client.stdout.close()
            TAP.ok(seen["way"] == "clone" and alive and status == 7,
                   f"{whom} while a copy lives{' without ' if feature else ''}"
                   f"{feature}: its status arrives", (seen, alive, status))
            warm.serve(MIRROR)
        client = subprocess.Popen(
            warm.launch_words(MIRROR, ["sleep"], "clone", report),
            stdin=subprocess.DEVNULL)
        seen = warm.wait_until(lambda: warm.read_report(report))
        warm.brood(whom, MIRROR)
        client.kill()
        client.wait()
        TAP.ok(warm.wait_until(lambda: not warm.alive(seen["pid"]), 10),
               f"{whom}, then kill -9 of the client: no orphan")
        warm.stop_all()


def slow_keeper():
    """The status of an adopted copy comes when the keeper comes to it."""
    for feature in ("", "pidfd_info"):
        warm.serve(MIRROR)
        client = subprocess.Popen(
            warm.launch_words(MIRROR, ["listen"], "clone"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            env=dict(os.environ, BROOD_WITHOUT=feature))
        client.stdout.readline()
        warm.brood("refresh", MIRROR)
        keeper = warm.template(MIRROR)["keeper"]
        os.kill(keeper, signal.SIGSTOP)
        client.terminate()
        time.sleep(2.5)
        early = client.poll()
        os.kill(keeper, signal.SIGCONT)
        status = client.wait(20)
        client.stdout.close()
        TAP.ok(early is None and status == 7,
               f"a keeper that is busy for long{' without ' if feature else ''}"
               f"{feature}: its copy's status arrives", (early, status))
        warm.stop_all()


def nobody_knows():
    """The template is killed, its copy ends: the kernel can tell how; with an
    older one the dead copy itself, until the keeper or, where that is killed
    as well, init has waited for it: then nobody."""
    for feature, both in (("", False), ("pidfd_exit", False),
                          ("pidfd_info", False), ("pidfd_exit", True),
                          ("pidfd_info", True)):
        want = (7, 111) if both else (7,)
        report = warm.new_report()
        warm.serve(MIRROR)
        client = subprocess.Popen(
            warm.launch_words(MIRROR, ["listen"], "clone", report),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            env=dict(os.environ, BROOD_WITHOUT=feature))
        client.stdout.readline()
        copy = warm.wait_until(lambda: warm.read_report(report))["pid"]
        entry = warm.template(MIRROR)
        if both:
            os.kill(entry["keeper"], signal.SIGKILL)
        os.kill(entry["pid"], signal.SIGKILL)
        time.sleep(0.2)
        os.kill(copy, signal.SIGTERM)
        try:
            status = client.wait(5)
        except subprocess.TimeoutExpired:
            status = f"{warm.cpu_ticks(client.pid)} ticks of CPU time"
        warm.end(client)
        TAP.ok(status in want, f"{'keeper and ' if both else ''}template "
               f"killed, how a copy ended{', without ' if feature else ''}"
               f"{feature}: {status}")
        warm.stop_all()


def stale_sockets():
    program = os.path.join(PROGRAMS, "greeter")
    warm.serve(program)
    entry = warm.template(program)
    os.kill(entry["keeper"], signal.SIGKILL)
    warm.wait_until(lambda: not warm.alive(entry["keeper"]))
    os.kill(entry["pid"], signal.SIGKILL) if warm.alive(entry["pid"]) else 0
    warm.wait_until(lambda: not warm.alive(entry["pid"]))
    r = warm.launch(program, "you", via="clone")
    TAP.ok(right(r), "stale sockets of killed servers: right result", r)
    served_again("stale sockets", program)
    warm.stop_all()
    folder = os.path.dirname(entry["socket"])
    os.makedirs(folder, exist_ok=True)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    live = os.path.join(folder, "live")
    if os.path.lexists(live):
        os.unlink(live)
    s.bind(live)
    s.listen(5)
    start = time.monotonic()
    r = warm.launch(program, "you", via="clone")
    took = time.monotonic() - start
    TAP.ok(right(r) and took < 20, "a server that never answers: right result "
           f"in {took:.1f} s", r)
    s.close()
    os.unlink(live)


def fill_queue(path):
    """Connects to a listener that does not accept until there is no room."""
    held = []
    try:
        while len(held) < 5000:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            held.append(s)
            s.setblocking(False)
            s.connect(path)
    except BlockingIOError:
        pass
    return held


def full_queues():
    """Servers that are stopped: when as many wait as the queue of a socket
    takes, connect() waits, too."""
    program = os.path.join(PROGRAMS, "greeter")
    warm.serve(program)
    entry = warm.template(program)
    control = os.path.join(os.path.dirname(entry["socket"]), "control")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    os.kill(entry["keeper"], signal.SIGSTOP)
    held = fill_queue(control)
    start = time.monotonic()
    r = warm.brood("ps", timeout=20)
    took = time.monotonic() - start
    TAP.ok(r.status == 0 and took < 15, f"a stopped keeper, {len(held)} wait: "
           f"ps ends in {took:.1f} s", r)
    for s in held:
        s.close()
    os.kill(entry["keeper"], signal.SIGCONT)
    warm.brood("stop", program)
    os.makedirs(os.path.dirname(control), exist_ok=True)
    live = os.path.join(os.path.dirname(control), "live")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(live)
    server.listen(0)
    held = fill_queue(live)
    for via in ("clone", "auto"):
        start = time.monotonic()
        r = warm.launch(program, "you", via=via, timeout=20,
                        env=dict(os.environ, BROOD_WITHOUT="demand"))
        took = time.monotonic() - start
        TAP.ok(right(r) and took < 5 and
               (via == "auto" or "full queue" in r.report["reason"]),
               f"a server's full queue, {via}: right in {took:.1f} s", r)
    for s in [server, *held]:
        s.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    os.unlink(live)
    warm.stop_all()


def hostile_packets():
    program = os.path.join(PROGRAMS, "greeter")
    warm.serve(program)
    entry = warm.template(program)
    random.seed(11)
    for _ in range(300):
        data = bytearray(random.randbytes(random.choice(
            (0, 1, 15, 16, 40, 1400, 3000))))
        if len(data) >= 16 and random.random() < 0.8:
            data[:16] = struct.pack("=IHHII", warm.WIRE_MAGIC,
                                    warm.WIRE_VERSION,
                                    random.randrange(8), len(data), 0)
        try:
            with warm.connect(entry["socket"]) as s:
                s.settimeout(0.1)
                if data:
                    s.send(data)
                if random.random() < 0.5:
                    s.recv(4096)
        except OSError:
            pass
    now = warm.template(program)
    r = warm.launch(program, "you", via="clone")
    TAP.ok(right(r) and r.report["way"] == "clone" and
           now["pid"] == entry["pid"],
           "300 hostile packets: the same template serves on", (now, r))
    warm.stop_all()


def empty_packets():
    """A packet of no bytes may carry descriptors: copies that wait on do not
    hold them."""
    program = os.path.join(PROGRAMS, "greeter")
    warm.serve(program)
    entry = warm.template(program)
    ours, theirs = os.pipe()
    for _ in range(30):
        with warm.connect(entry["socket"]) as s:
            try:
                socket.send_fds(s, [b""], [theirs])
                s.recv(100)
            except OSError:
                pass
    os.close(theirs)
    os.set_blocking(ours, False)

    def ended():
        try:
            return os.read(ours, 1) == b""
        except BlockingIOError:
            return False
    TAP.ok(warm.wait_until(ended, 5), "descriptors that came with nothing "
           "are closed")
    os.close(ours)
    warm.stop_all()


class StrangeServer(threading.Thread):
    """Says that it serves, and answers a launch with descriptors."""

    def __init__(self, path, generation, answer, peers=1):
        super().__init__()
        self.peers, self.launches = peers, 0
        self.generation = generation
        self.answer = answer
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(5)
        self.listener.settimeout(20)

    def run(self):
        for _ in range(self.peers):
            self.serve(self.listener.accept()[0])
        self.listener.close()

    def serve(self, peer):
        peer.recv(100)
        size = warm.STATE.size
        peer.send(warm.STATE.pack(warm.WIRE_MAGIC, warm.WIRE_VERSION, 2, size,
                                  0, 1, os.getpid(), self.generation, 0))
        if peer.recv(100000):
            self.launches += 1
            socket.send_fds(peer, [self.answer], [0, 1, 2])
        peer.close()


def strange_answers():
    """What runs instead has the descriptors of its caller and no others."""
    warm.serve("--pool", "2", MIRROR)
    entry = warm.template(MIRROR)
    live = os.path.join(os.path.dirname(entry["socket"]), "live")
    warm.brood("stop", MIRROR)
    os.makedirs(os.path.dirname(live), exist_ok=True)
    env = dict(os.environ, BROOD_WITHOUT="demand")
    cold = warm.run([MIRROR, "state"], env=env)
    refused = struct.pack("=IHHII160s", warm.WIRE_MAGIC, warm.WIRE_VERSION, 6,
                          176, 0, b"no")
    for words, answer in (("a refusal", refused), ("no bytes", b""),
                          ("noise", b"noise" * 10)):
        server = StrangeServer(live, entry["generation"], answer)
        server.start()
        r = warm.launch(MIRROR, "state", env=env)
        server.join()
        os.unlink(live)
        TAP.ok(r.same(cold) and r.report["way"] == "hatch" and
               "does not answer" not in r.report["reason"],
               f"{words} with descriptors for an answer: hatch, "
               f"«{r.report['reason']}»", r.differs(cold))
    warm.stop_all()


def another_generation():
    """Whoever answers under the public name has other libraries than those
    that were compared: no clone of it, by any way that is asked for."""
    warm.serve("--pool", "2", MIRROR)
    entry = warm.template(MIRROR)
    live = os.path.join(os.path.dirname(entry["socket"]), "live")
    warm.brood("stop", MIRROR)
    os.makedirs(os.path.dirname(live), exist_ok=True)
    env = dict(os.environ, BROOD_WITHOUT="demand")
    for via, way in ((None, "hatch"), ("clone", "exec")):
        server = StrangeServer(live, entry["generation"] + 1, b"", peers=3)
        server.start()
        r = warm.launch(MIRROR, "exit", "5", via=via, env=env)
        server.join()
        os.unlink(live)
        TAP.ok(r.status == 5 and r.report["way"] == way and not server.launches
               and (way == "hatch" or
                    "generation has changed" in r.report["reason"]),
               f"{via or 'auto'}: a server of another generation is sent "
               f"nothing: {way}", (r, server.launches))
    warm.stop_all()


def stray_writes():
    """Nothing that a program writes over reaches the template or another
    copy of it."""
    program = os.path.join(PROGRAMS, "stray")
    for pool in ("2", "0"):
        warm.serve("--pool", pool, program)
        entry = warm.template(program)
        got = []
        for _ in range(8):
            got.append(warm.launch(program, via="clone"))
            time.sleep(0.05)
        now = warm.template(program)
        wrong = [r for r in got if (r.status, r.out) != (0, b"0\n") or
                 r.report["way"] != "clone"]
        TAP.ok(not wrong and now["pid"] == entry["pid"],
               f"stray writes, pool {pool}: no memory is shared with others",
               (len(wrong), wrong[:1], now))
        warm.stop_all()


def other_user():
    if os.geteuid() != 0:
        TAP.skip("another user's connection", "not root")
        return
    program = os.path.join(PROGRAMS, "greeter")
    warm.serve(program)
    entry = warm.template(program)
    script = ("import socket,os,sys\n"
              "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
              "s.connect('/proc/self/fd/5/' + sys.argv[1])\n"
              "s.settimeout(5)\n"
              "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
              "t = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
              "try:\n    t.connect('/proc/self/fd/5/' + sys.argv[1])\n"
              "    t.send(bytes.fromhex(sys.argv[2]))\n"
              "    print('answered', len(t.recv(100)))\n"
              "except OSError as e:\n    print('refused', e.errno)\n")
    folder = os.open(os.path.dirname(entry["socket"]), os.O_PATH)
    os.dup2(folder, 5)
    head = warm.HEAD.pack(warm.WIRE_MAGIC, warm.WIRE_VERSION, 1, 16,
                          0).hex()
    r = subprocess.run(["python3", "-c", script,
                        os.path.basename(entry["socket"]), head],
                       pass_fds=[5], capture_output=True)
    os.close(folder)
    os.close(5)
    TAP.ok(b"refused" in r.stdout or b"answered 0" in r.stdout,
           "another user's connection is refused", r)
    mode = os.stat(os.path.dirname(entry["socket"])).st_mode & 0o777
    TAP.ok(mode == 0o700, f"the sockets' folder has mode {mode:o}")
    warm.stop_all()


# cap_checkpoint_restore+ep, as setcap writes it
CAPABILITY = struct.pack("<5I", 0x02000001, 0, 0, 1 << 8, 0)


def as_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def starter_with_rights():
    """A starter that was given rights passes none of them on."""
    words = "a starter with capabilities"
    if os.geteuid() != 0:
        TAP.skip(words, "not root")
        return
    own = tempfile.mkdtemp(prefix="brood-rights-", dir="/tmp")
    try:
        os.chmod(own, 0o755)
        for name in ("brood", "brood-hatch", "brood-shim.so"):
            shutil.copy(os.path.join(warm.BUILD, name), own)
        for name in ("rights", "capped"):
            shutil.copy(os.path.join(PROGRAMS, "rights"),
                        os.path.join(own, name))
        env = {"PATH": os.environ["PATH"], "BROOD_REPORT": own + "/u/report"}
        for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME",
                     "XDG_DATA_HOME", "XDG_STATE_HOME", "TMPDIR"):
            env[name] = own + "/u"
        os.mkdir(own + "/u", 0o700)
        os.chown(own + "/u", 65534, 65534)
        try:
            for name in ("capped", "brood-hatch"):
                os.setxattr(os.path.join(own, name), "security.capability",
                            CAPABILITY)
        except OSError as e:
            TAP.skip(words, f"no such attributes in {own}: {e.strerror}")
            return
        if b"secure 1" not in warm.run([own + "/capped"],
                                       preexec=as_nobody).out:
            TAP.skip(words, f"they have no effect in {own}")
            return
        check_starter_with_rights(own, env)
    finally:
        shutil.rmtree(own)


def check_starter_with_rights(own, env):
    program = own + "/rights"

    def nobody(*argv):
        return warm.run(argv, env=env, preexec=as_nobody)

    cold = nobody(program)
    served = nobody(own + "/brood", "serve", program)
    TAP.ok(served.status == 0, "served to another user", served)
    for via in ("hatch", "clone", "exec"):
        r = nobody(own + "/brood", "launch", "--via", via, program)
        r.report = warm.read_report(env["BROOD_REPORT"])
        TAP.ok(r.same(cold) and r.report["way"] == via,
               f"a starter with capabilities, {via}: none in the program",
               r.differs(cold))
    r = nobody(own + "/brood", "doctor")
    TAP.ok(b"setcap -r" in r.out, "and doctor tells", r)
    os.chmod(own + "/brood-hatch", 0o4755)
    r = nobody(own + "/brood", "launch", program)
    TAP.ok(r.status == 111 and b"set-user-id" in r.err,
           "a set-user-id starter starts nothing", r)
    nobody(own + "/brood", "stop", "--all")


def full_disk():
    if os.geteuid() != 0:
        TAP.skip("a full disk", "not root")
        return
    for size in ("16k", "64k", "256k"):
        folder = os.path.join(HERE, f"small{size}")
        os.makedirs(folder, mode=0o700)
        mounted = warm.run(["mount", "-t", "tmpfs", "-o",
                            f"size={size},mode=0700", "none", folder])
        if mounted.status != 0:
            TAP.skip(f"a full disk of {size}", "no mount here")
            continue
        env = dict(os.environ, XDG_CACHE_HOME=folder)
        program = os.path.join(PROGRAMS, "greeter")
        for _ in range(3):
            r = warm.launch(program, "you", env=env)
            if not right(r):
                break
            time.sleep(0.5)
        left = [f for _, _, names in os.walk(folder) for f in names
                if f.startswith(".") or "draft" in f]
        TAP.ok(right(r) and not left,
               f"a cache of {size}: right result, nothing half-written",
               (r, left))
        warm.brood("stop", "--all", env=env)
        warm.wait_until(lambda: warm.run(["umount", folder]).status == 0,
                        10, 0.2)


def missing_rights():
    """A cache or a runtime folder that cannot be written."""
    program = os.path.join(PROGRAMS, "greeter")
    for name, value in (("XDG_CACHE_HOME", "/proc/nowhere"),
                        ("XDG_RUNTIME_DIR", "/proc/nowhere"),
                        ("XDG_RUNTIME_DIR", os.path.join(HERE, "x" * 120))):
        r = warm.launch(program, "you", env=dict(os.environ, **{name: value}))
        TAP.ok(right(r), f"{name}={value[:30]}: right result", r)
    env = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"}
    r = warm.launch(program, "you", env=env)
    TAP.ok(right(r), "no XDG_RUNTIME_DIR: right result", r)
    warm.brood("stop", "--all", env=env)
    warm.stop_all()


def few_descriptors():
    """The caller's limit is no reason to make the image anew."""
    program = os.path.join(PROGRAMS, "greeter")
    warm.serve(program)
    warm.brood("stop", program)

    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (6, 6))

    r = warm.launch(program, "you", via="hatch", preexec=lower)
    cold_with("a limit of 6 descriptors", r, "needs more descriptors")
    time.sleep(0.5)
    now = warm.template(program)
    TAP.ok(not now.get("keeper") or not warm.alive(now["keeper"]),
           "and nothing is made anew", now)
    warm.stop_all()


def little_memory():
    """A named template's own words are never left out: with a limit between
    what the starter needs and what the program needs there is an error."""
    warm.serve("little", "--", MIRROR, "size")
    entry, = [path for path in glob.glob(os.path.join(
        os.environ["XDG_CACHE_HOME"], "brood/programs/*/entry"))
        if b"mirror\0size\0" in open(path, "rb").read()]
    many = [""] * 400000
    wrong, told, limits = [], 0, range(4000, 12001, 250)

    def lower():
        resource.setrlimit(resource.RLIMIT_STACK, (1 << 28, 1 << 28))
        resource.setrlimit(resource.RLIMIT_AS, (kib << 10, kib << 10))

    for kib in limits:
        r = warm.run([os.path.join(warm.BUILD, "brood-hatch"), "--entry",
                      entry, "--via", "exec", "--", "little", *many],
                     env={}, preexec=lower)
        told += b"no memory" in r.err
        if r.status == 0 and r.out.split()[:1] != [
                str(len(MIRROR) + 1 + len("size") + 1 + len(many)).encode()]:
            wrong.append((kib, r))
    TAP.ok(not wrong and told, f"{len(limits)} limits of memory: the words of "
           f"the template stay, {told} told", wrong[:2])
    warm.stop_all()


def refused_programs():
    """Programs that cannot be served: named reason, cold, right."""
    script = os.path.join(HERE, "script")
    with open(script, "w") as f:
        f.write("#!/bin/sh\necho hello, $1\n")
    os.chmod(script, 0o755)
    r = warm.serve(script)
    TAP.ok(r.status != 0 and b"script" in r.err, "a script is refused", r)
    TAP.ok(right(warm.launch(script, "you")), "a script still runs")
    r = warm.serve("/bin/busybox") if os.path.exists("/bin/busybox") else None
    if r:
        TAP.ok(r.status != 0 and b"static" in r.err,
               "a static program is refused", r)
    own = own_greeter()
    os.chmod(own, 0o4755)
    r = warm.serve(own)
    TAP.ok(r.status != 0 and b"set-user" in r.err,
           "a set-user-id program is refused", r)
    r = warm.launch("no-such-program-here")
    TAP.ok(r.status == 127, "a missing program: 127", r)


def main():
    for step in (damaged_image, damaged_pages, killed_at_a_start,
                 image_of_another_machine,
                 foreign_image, damaged_entry, changed_things,
                 changed_environment, killed_servers, ends_while_copies_live,
                 slow_keeper, nobody_knows, stale_sockets, full_queues,
                 hostile_packets, stray_writes,
                 empty_packets, strange_answers,
                 another_generation, other_user,
                 starter_with_rights, full_disk,
                 missing_rights, few_descriptors,
                 little_memory, refused_programs):
        try:
            step()
        except Exception as e:
            import traceback
            TAP.ok(False, step.__name__, traceback.format_exc())
            warm.stop_all()
    warm.stop_all()
    TAP.done()


if __name__ == "__main__":
    main()
