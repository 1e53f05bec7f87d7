# SPDX-License-Identifier: Apache-2.0
"""brood machine in trouble.  Whatever happens: an answer in bounded time, one
line that names the thing, no half of a machine, and tips as they were."""

import glob
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import machines as m
import warm

TAP = warm.Tap()
FOLDER = tempfile.mkdtemp(dir=os.environ["TMPDIR"])
IMAGE = os.path.join(FOLDER, "m.img")
SEED = int(os.environ.get("SEED", "0")) or random.randrange(1 << 30)
RNG = random.Random(SEED)
KILLER = os.path.join(warm.BUILD, "tests/programs/kill_at")
KILLED = 99 # how it ends then


def bounded(function, seconds):
    """(its result, whether it took no longer)"""
    start = time.monotonic()
    result = function()
    took = time.monotonic() - start
    if took > seconds:
        warm.note(f"took {took:.1f} s of {seconds}")
    return result, took <= seconds


def whole():
    """No half of a machine: what is found wrong, or None.  A process may
    take a moment to end."""
    end_at = time.monotonic() + 5
    while True:
        why = wrong_now()
        if not why or time.monotonic() > end_at:
            return why
        time.sleep(0.05)


def wrong_now():
    rows = m.ps()
    if m.folders() != sorted(rows):
        return f"folders {m.folders()}, machines {sorted(rows)}"
    pids = sorted(r["pid"] for r in rows.values())
    if sorted(m.hypervisors()) != pids:
        return f"processes {m.hypervisors()}, machines {pids}"
    half = glob.glob(os.path.join(m.root(), "*", "half"))
    return f"{half} is left" if half else None


def begin(name, tip="base", *words):
    told = m.start("--name", name, *words, tip)
    return bool(told)


def end(*names):
    m.machine("stop", "--now", *names)


def works(name):
    return m.shell(name, "echo works") == "works\n"


# ---- guests --------------------------------------------------------------------

def behind(name, script):
    """Runs it in the machine, behind the command's end."""
    m.shell(name, f"(sleep .3; {script}) >/dev/null 2>&1 &")


def check_guest_ends():
    for name, how in (("off", "poweroff -f"), ("again", "reboot -f"),
                      ("crash", "echo c >/proc/sysrq-trigger")):
        begin(name)
        pid = m.ps()[name]["pid"]
        behind(name, how)
        TAP.ok(warm.wait_until(lambda p=pid: not warm.alive(p), 30),
               f"a machine of a tip ends by {how}")
        r = m.inside(name, "true")
        TAP.ok(m.one_line(r, f"machine {name}") and
               (b"no machine" in r.err or b"has ended" in r.err),
               "and is none any more", r)
    TAP.ok(whole() is None, "nothing is left of them", whole())


def check_guest_ends_exec():
    begin("mid")
    r, fast = bounded(lambda: m.inside("mid", "sh", "-c",
                                       "poweroff -f; sleep 60"), 30)
    TAP.ok(fast and r.status == 111 and r.err.count(b"\n") == 1 and
           b"mid: the machine has ended" in r.err, "exec in a machine that ends", r)
    warm.wait_until(lambda: not m.ps(), 10)


def check_guest_hangs():
    begin("dead")
    behind("dead", "kill -STOP $(pidof brood-agent)")
    time.sleep(1)
    r, fast = bounded(lambda: m.inside("dead", "true"), 25)
    TAP.ok(fast and m.one_line(r, "dead", "no agent answers"),
           "exec in a machine whose agent is dead", r)
    r = m.machine("save", "dead", "--as", "mute", "--json")
    TAP.ok(r.status == 0, "it can be saved", r)
    r, fast = bounded(lambda: m.machine("start", "mute", "--detach"), 30)
    TAP.ok(fast and m.one_line(r, "no agent answers", "twin"),
           "but nothing runs as its twin", r)
    r, fast = bounded(lambda: m.machine("swap", "dead", "mute"), 30)
    TAP.ok(fast and m.one_line(r, "no agent answers") and not m.ps(),
           "nor becomes one", r)
    begin("asis", "mute", "--as-it-was")
    r, fast = bounded(lambda: m.machine("stop", "asis", "--timeout", "1s"), 15)
    TAP.ok(fast and r.status == 0 and whole() is None,
           "it is stopped without its agent", (r, whole()))
    m.machine("rm", "mute")


def check_reboot():
    """A machine that was booted boots again."""
    before = m.shell("first", "cat /proc/sys/kernel/random/boot_id")
    behind("first", "reboot -f")
    time.sleep(2)
    end_at = time.monotonic() + m.BOOT_SECONDS
    after = ""
    while time.monotonic() < end_at and after in ("", before):
        r = m.inside("first", "cat", "/proc/sys/kernel/random/boot_id")
        after = r.out.decode()
    TAP.ok(len(after) == 37 and after != before and whole() is None,
           "a booted machine boots again", (before, after))


# ---- QEMU is killed ----------------------------------------------------------------

def qemu_of(name, seconds=20):
    """As soon as there is one."""
    def look():
        for pid in m.hypervisors():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if name.encode() in words:
                return pid
        return None
    return warm.wait_until(look, seconds, 0.002)


def check_qemu_killed():
    for words, delay in ((m.boot_words("k", IMAGE), 0),
                         (m.boot_words("k", IMAGE), 1.0),
                         (["start", "base", "--name", "k", "--detach"], 0),
                         (["start", "base", "--name", "k", "--detach"], .05)):
        p = m.popen(*words)
        pid = qemu_of("k")
        time.sleep(delay)
        if pid:
            os.kill(pid, signal.SIGKILL)
        (out, err), fast = bounded(lambda p=p: p.communicate(timeout=60), 30)
        r = warm.Result(p.returncode, out, err)
        if r.status == 0:
            TAP.ok(whole() is None, f"{words[0]} goes another way, or was "
                   "faster than the killer", whole())
        else:
            TAP.ok(fast and m.one_line(r) and whole() is None,
                   f"QEMU killed {delay} s into {words[0]}", (r, whole()))
        end("k")


def check_qemu_killed_at_save():
    before = m.tips()
    for delay in (0, 0.02, 0.1):
        begin("k")
        m.shell("k", "head -c 20000000 /dev/urandom >/run/more")
        pid = m.ps()["k"]["pid"]
        p = m.popen("save", "k", "--as", "killed")
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        (out, err), fast = bounded(lambda p=p: p.communicate(timeout=60), 30)
        r = warm.Result(p.returncode, out, err)
        saved = r.status == 0 or b"killed is saved, but" in r.err
        TAP.ok(fast and (r.status == 0 or m.one_line(r)) and
               whole() is None and ("killed" in m.tips()) == saved,
               f"QEMU killed {delay} s into a save", (r, whole()))
        if saved:
            TAP.ok(begin("s", "killed") and works("s"), "what was saved works")
            end("s")
            m.machine("rm", "killed")
    TAP.ok(m.tips() == before and begin("k") and works("k"),
           "tips are as they were")
    end("k")


# ---- the starter is killed ------------------------------------------------------------

def killed(seconds, *words):
    """A command, killed at some moment of that time: whether it was over."""
    p = m.popen(*words)
    time.sleep(RNG.random() * seconds)
    over = p.poll() is not None
    warm.end(p)
    return over


def duration(*words):
    start = time.monotonic()
    r = m.machine(*words, timeout=m.BOOT_SECONDS)
    return time.monotonic() - start if r.status == 0 else 1.0


def check_starter_killed():
    seconds = duration("start", "base", "--name", "t", "--detach")
    end("t")
    wrong = []
    for i in range(10):
        over = killed(1.2 * seconds, "start", "base", "--name", "t",
                      "--detach")
        rows = m.ps()
        if "t" in rows and not works("t"):
            wrong.append((i, over, "does not work"))
        why = whole()
        if why:
            wrong.append((i, over, why))
        end("t")
    TAP.ok(not wrong, "start, killed at ten moments", wrong)
    wrong = []
    for i in range(4):
        over = killed(2, *m.boot_words("t", IMAGE))
        rows = m.ps()
        if ("t" in rows and not works("t")) or whole():
            wrong.append((i, over, rows, whole()))
        end("t")
    TAP.ok(not wrong, "boot, killed at four moments", wrong)
    p = m.popen(*m.boot_words("t", IMAGE))
    qemu_of("t")
    warm.end(p)
    r = m.boot("t", IMAGE, "--ready", "none")
    TAP.ok(r.status == 0 and whole() is None,
           "a name is free when its starter was killed", (r, whole()))
    end("t")


def at_each_step(words, look, first=1, stride=1):
    """A command, killed before each call by which it, or what it starts, would
    change something, but for those between the strides: (how many steps, what
    look() found wrong behind them, how it ends by itself).  What it starts has
    to end with it."""
    told, wrong, step = os.path.join(FOLDER, "told"), [], first
    while True:
        r = warm.run([KILLER, str(step), told, warm.BROOD, "machine", *words],
                     stdin=b"", timeout=60)
        with open(told) as f:
            what = f.read().split()
        why = look()
        if why:
            wrong.append((step, what, why))
        if r.status != KILLED:
            return int(what[1]), wrong, r
        step += stride


def check_starter_at_each_step():
    """Not detached, so that it ends."""
    def look():
        why = whole()
        if why:
            end("t")
        return why

    steps, wrong, r = at_each_step(
        ["start", "base", "--via", "exec", "--name", "t"], look)
    TAP.ok(not wrong and steps > 10 and r.status == 0,
           f"start, killed at each of its {steps} steps", (wrong, r))


def check_saver_at_each_step():
    begin("t")
    m.shell("t", "echo kept >/run/step")

    def look():
        r, fast = bounded(lambda: m.inside("t", "cat", "/run/step"), 8)
        return whole() or (None if fast and r.out == b"kept\n" else r)

    steps, wrong, r = at_each_step(["save", "t", "--as", "steps"], look)
    TAP.ok(not wrong and steps > 10 and r.status == 0,
           f"save, killed at each of its {steps} steps", (wrong, r))
    TAP.ok(begin("s", "steps") and m.shell("s", "cat /run/step") == "kept\n",
           "its tip starts")
    end("s", "t")
    m.machine("rm", "steps")


def check_swapper_at_each_step():
    def look():
        rows = m.ps()
        why = whole()
        if "t" not in rows:
            begin("t")
        elif not works("t"):
            why = "does not work"
        return why

    begin("t")
    steps, wrong, r = at_each_step(["swap", "t", "base"], look)
    TAP.ok(not wrong and steps > 10 and r.status == 0,
           f"swap, killed at each of its {steps} steps", (wrong, r))
    end("t")


def check_stopper_at_each_step():
    """A fresh one for each: one that is about to end may be gone or not."""
    def look():
        why = whole()
        end("t")
        begin("t")
        return why or whole()

    begin("t")
    steps, wrong, r = at_each_step(["stop", "t"], look)
    TAP.ok(not wrong and r.status == 0,
           f"stop, killed at each of its {steps} steps", (wrong, r))
    end("t")


def check_starter_ended():
    """Told to end, it leaves nothing: no other command has to come by."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        p = m.popen(*m.boot_words("t", IMAGE))
        pid = qemu_of("t")
        time.sleep(0.7)
        p.send_signal(number)
        (out, err), fast = bounded(lambda p=p: p.communicate(timeout=60), 10)
        gone = warm.wait_until(lambda q=pid: not warm.alive(q), 5)
        TAP.ok(fast and gone and p.returncode == -number and not out and
               not err and "t" not in m.folders(),
               f"boot, told to end by {number.name}",
               (p.returncode, out, err, m.folders()))
    begin("t")
    wrong = []
    for _ in range(4):
        p = m.popen("save", "t", "--as", "ended")
        time.sleep(RNG.random() * 0.3)
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=60)
        if not works("t") or whole():
            wrong.append((p.returncode, whole()))
    TAP.ok(not wrong, "save, told to end: the machine goes on", wrong)
    end("t")
    m.machine("rm", "ended")


def check_parked_killed():
    wrong = []
    for i in range(6):
        m.machine("start", "base", "--park", "--name", "p")
        over = killed(0.3, "start", "base", "--detach", "--via", "parked")
        rows = m.ps()
        if "p" in rows and not rows["p"]["parked"] and not works("p"):
            wrong.append((i, over, "does not work"))
        if "p" in rows and not rows["p"]["parked"]:
            host = m.shell("p", "hostname")
            if host != "p\n":
                wrong.append((i, over, host))
        why = whole()
        if why:
            wrong.append((i, over, why))
        end("p")
    TAP.ok(not wrong, "one that takes a parked machine, killed", wrong)


def check_saver_killed():
    begin("t")
    m.shell("t", "echo kept >/run/step; head -c 20000000 /dev/urandom "
            ">/run/more")
    m.machine("save", "t", "--as", "kept")
    seconds = duration("save", "t", "--as", "kept")
    wrong = []
    for i in range(8):
        over = killed(1.2 * seconds, "save", "t", "--as", "kept")
        r, fast = bounded(lambda: m.inside("t", "cat", "/run/step"), 8)
        if not fast or r.out != b"kept\n":
            wrong.append((i, over, r))
        why = whole()
        if why:
            wrong.append((i, over, why))
        if i % 4 == 3 and not (begin("s", "kept") and m.shell(
                "s", "cat /run/step") == "kept\n"):
            wrong.append((i, "the tip does not start"))
        end("s")
    TAP.ok(not wrong, "save, killed at eight moments: the machine goes on, "
           "the tip starts", wrong)


def check_swapper_killed():
    seconds = duration("swap", "t", "base")
    wrong = []
    for i in range(8):
        tip = ("kept", "base")[i % 2]
        killed(1.2 * seconds, "swap", "t", tip)
        if "t" in m.ps():
            r, fast = bounded(lambda: m.inside("t", "echo", "x"), 8)
            if not fast or r.out != b"x\n":
                wrong.append((i, r))
        else:
            begin("t")
        why = whole()
        if why:
            wrong.append((i, why))
    TAP.ok(not wrong, "swap, killed at eight moments: a whole machine or none",
           wrong)
    TAP.ok(begin("s", "kept") and m.shell("s", "cat /run/step") == "kept\n",
           "its tip is unharmed")
    end("s", "t")


# ---- what does not fit ------------------------------------------------------------

def check_other_shape():
    r = m.boot("other", IMAGE, "--cpu", "qemu64", "--ready", "none")
    if not TAP.ok(r.status == 0, "a machine with another CPU", r):
        return
    for words in (["save", "other", "--as", "x", "--parent", "base"],
                  ["swap", "other", "base"]):
        r = m.machine(*words)
        TAP.ok(m.one_line(r, "base", "other", "CPU model", "max", "qemu64"),
               f"{words[0]}: the other CPU is named", r)
    TAP.ok("x" not in m.tips() and "other" in m.ps(), "and nothing happens")
    end("other")


def check_other_qemu():
    copy = os.path.join(FOLDER, "qemu-copy")
    shutil.copy(shutil.which(m.QEMU), copy)
    with open(copy, "ab") as f:
        f.write(b"\0")
    env = dict(os.environ, BROOD_QEMU=copy)
    r = m.machine("start", "base", "--detach", env=env)
    TAP.ok(m.one_line(r, "base", "another build of QEMU"),
           "another QEMU: refused", r)
    os.unlink(copy)
    for path, words in (("/nonesuch", ["BROOD_QEMU", "/nonesuch"]),
                        ("/bin/true", ["/bin/true", "version"])):
        env["BROOD_QEMU"] = path
        r = m.machine("start", "base", "--detach", env=env)
        TAP.ok(m.one_line(r, *words), f"no QEMU: {path}", r)
    TAP.ok(whole() is None, "nothing is left of them", whole())


# ---- damaged ---------------------------------------------------------------------

def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at if at >= 0 else os.path.getsize(path) + at)
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 1]))


def cut(path, size):
    os.truncate(path, size if size >= 0 else os.path.getsize(path) + size)


def ids_of(tip):
    """Its layers and its state (brood/layer_format.h)."""
    with open(tip, "rb") as f:
        data = f.read()
    count = int.from_bytes(data[24:28], "little")
    return [data[at:at + 32].hex() for at in
            [88, *range(152, 152 + 32 * count, 32)]]


def refused(store, name):
    r = m.machine("start", "base", "--detach", "--store", store)
    return m.one_line(r, name) and whole() is None, r


def check_damaged():
    copy = os.path.join(FOLDER, "store")
    shutil.rmtree(copy, ignore_errors=True)
    subprocess.run(["cp", "-a", "--sparse=always", m.store(), copy],
                   check=True)
    tip = os.path.join(copy, "tips", "base")
    used = [os.path.join(copy, i) for i in ids_of(tip)]
    for path in glob.glob(os.path.join(copy, "*")):
        if len(os.path.basename(path)) == 64 and path not in used:
            os.unlink(path)
    told = m.told(m.machine("start", "base", "--detach", "--store", copy,
                            "--json"))
    if not TAP.ok(told, "a copy of a store works", told):
        return
    end(told[0]["name"])
    done = 0
    for path in [tip, *used]:
        os.chmod(path, 0o600)
        name = os.path.basename(path)
        for how in (lambda p: flip(p, 9), lambda p: flip(p, 200),
                    lambda p: flip(p, 4100 if p != tip else 170),
                    lambda p: flip(p, -1), lambda p: cut(p, -1),
                    lambda p: cut(p, 100), lambda p: cut(p, 0)):
            backup = path + ".kept"
            subprocess.run(["cp", "--sparse=always", path, backup],
                           check=True)
            how(path)
            os.chmod(path, 0o444)
            good, r = refused(copy, "base" if path == tip else name[:16])
            if not good and r.status == 0:
                end(*[n for n in m.ps() if n != "first"])
            done += 1
            if not good:
                TAP.ok(False, f"damaged: {name} {done}", r)
            os.unlink(path)
            os.rename(backup, path)
    TAP.ok(done == 7 * (1 + len(used)), f"{done} damages: each file is named, "
           "no guest runs")
    r = m.machine("start", "base", "--detach", "--store", copy, "--json")
    TAP.ok(r.status == 0, "what is whole again works", r)
    end(*[n for n in m.ps() if n != "first"])
    for path in used:
        os.rename(path, path + ".kept")
        good, r = refused(copy, os.path.basename(path)[:16])
        TAP.ok(good, "a layer or state that is gone is named", r)
        os.rename(path + ".kept", path)
    shutil.rmtree(copy)


def check_strange_folder():
    begin("t")
    folder = m.ps()["t"]["folder"]
    for name in ("machine", "half"):
        path = os.path.join(folder, name)
        before = None
        if os.path.exists(path):
            with open(path, "rb") as f:
                before = f.read()
        for data in (b"", b"\0" * 100, b"{}", b"[" * 5000, b"x 1 0",
                     RNG.randbytes(300), b'{"pid":1,"shape":{}}'):
            with open(path, "wb") as f:
                f.write(data)
            r = m.machine("ps")
            s = m.machine("exec", "t", "--", "true")
            if r.status != 0 or s.status not in (0, 111):
                TAP.ok(False, f"{name} with {data[:10]}", (r, s))
        if before is not None:
            with open(path, "wb") as f:
                f.write(before)
    os.mkdir(os.path.join(m.root(), "stray"), 0o700)
    with open(os.path.join(m.root(), "stray", "lock"), "w"):
        pass
    TAP.ok("t" in m.ps() and "stray" not in m.folders() and works("t"),
           "a folder of nobody goes, a machine stays", m.folders())
    end("t")
    TAP.ok(whole() is None, "and ends", whole())


# ---- short of everything -----------------------------------------------------------

def limited(limit, *words, timeout=60):
    return warm.run(["env", "--ignore-signal=XFSZ", "prlimit", limit,
                     warm.BROOD, "machine", *words], timeout=timeout)


def check_little_memory():
    if limited(f"--as={8 << 30}", "ls").status != 0:
        TAP.skip("little memory", "this build, or this host, knows no such "
                 "limit")
        return
    wrong, failed = [], 0
    for mib in (20, 40, 150, 300, 600, 1200, 2000, 8000):
        r, fast = bounded(lambda n=mib: limited(
            f"--as={n << 20}", "start", "base", "--detach", "--via", "exec",
            "--name", "t"), 40)
        failed += r.status != 0
        if not fast or (r.status != 0 and not m.one_line(r)) or whole():
            wrong.append((mib, r, whole()))
        if r.status == 0:
            end("t")
    TAP.ok(not wrong and failed, f"little memory: {failed} refused in one "
           "line", wrong)


def check_full_disk():
    begin("t")
    m.shell("t", "echo full >/run/step; head -c 8000000 /dev/urandom "
            ">/run/more")
    m.machine("save", "t", "--as", "full")
    before = m.tips()
    wrong = []
    for size in (0, 5000, 100000, 300000, 1000000, 6000000):
        r = limited(f"--fsize={size}", "save", "t", "--as", "full")
        if not m.one_line(r) or m.tips() != before or not works("t"):
            wrong.append((size, r))
    TAP.ok(not wrong, "a save without room: told, the machine goes on", wrong)
    TAP.ok(begin("s", "full") and m.shell("s", "cat /run/step") == "full\n",
           "and the tip from before starts")
    end("s")
    check_full_system(before)
    m.machine("rm", "full")
    end("t")


FULL = """mount -t tmpfs -o size="$3"k,mode=700 none "$1" || exit 99
cp -a --sparse=always "$4"/. "$1" && rm -f "$1"/tips/[!f]* || exit 99
"$2" machine save t --as full --store "$1"
echo "save $?"
"$2" machine start full --detach --name s --store "$1" >/dev/null
echo "start $?"
"""


def check_full_system(before):
    """A store in a file system of its own, with little room."""
    small = os.path.join(FOLDER, "small")
    os.mkdir(small, 0o700)
    used = int(warm.run(["du", "-sk", m.store()]).out.split()[0])
    m.shell("t", "head -c 8000000 /dev/urandom >/run/again")
    r = warm.run(["unshare", "-m", "sh", "-c", FULL, "sh", small, warm.BROOD,
                  str(used + 3000), m.store()], timeout=90)
    if r.out.split()[:1] != [b"save"]:
        TAP.skip("a full file system", "no tmpfs can be mounted here")
        return
    TAP.ok(r.out.split() == [b"save", b"111", b"start", b"0"] and
           b"No space left" in r.err and r.err.count(b"\n") == 1 and
           works("t") and works("s") and m.tips() == before,
           "a full file system", r)
    end("s")


def check_at_once():
    """Savers, starters, removers and a gc at the same time."""
    have_gc = warm.brood("image", "gc", "--help").status == 0
    wrong = []
    begin("a")
    begin("b")
    for i in range(3):
        commands = [["save", "a", "--as", "ta"], ["save", "b", "--as", "tb"],
                    ["save", "a", "--as", "ta2"],
                    ["start", "base", "--detach", "--name", f"n{i}"]]
        gc = subprocess.Popen([warm.BROOD, "image", "gc"],
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) if have_gc else None
        results = m.together(*commands)
        if gc:
            gc.wait(60)
        wrong += [(i, r) for r in results if r.status != 0]
        end(f"n{i}")
        m.together(["rm", "ta2"], ["save", "b", "--as", "tb2"],
                   ["rm", "tb"])
        for tip in ("ta", "tb2"):
            if not (begin("s", tip) and works("s")):
                wrong.append((i, tip))
            end("s")
    TAP.ok(not wrong and whole() is None,
           "two machines are saved, others removed, at once" +
           ("" if have_gc else " (without gc)"), wrong)
    end("a", "b")
    m.machine("rm", "ta", "tb2")


# ---- disks ------------------------------------------------------------------------

def qcow2_of(path, raw):
    """A .qcow2 with the same data, or None."""
    tool = shutil.which("qemu-img")
    if not tool:
        return None
    warm.run([tool, "convert", "-O", "qcow2", raw, path])
    return path


def contents(name, disk):
    return m.shell(name, f"head -c 4 /dev/{disk}; dd if=/dev/{disk} bs=1k "
                   "skip=64 count=1 2>/dev/null | head -c 5; echo")


def put(name, disk, at, words):
    m.shell(name, f"printf %s {words} | dd of=/dev/{disk} bs=1k seek={at} "
            "conv=notrunc,fsync 2>/dev/null")


def check_disks():
    image = os.path.join(FOLDER, "disk.img")
    made = m.image(image, "--kernel", m.kernel(), "--module", "virtio_blk",
                   "--module", "virtio_pci")
    if made.status != 0:
        TAP.skip("disks", made.err.decode().strip())
        return
    raw = os.path.join(FOLDER, "disk.raw")
    with open(raw, "wb") as f:
        f.write(b"BASE")
        f.truncate(3 << 20)
    second = qcow2_of(os.path.join(FOLDER, "disk.qcow2"), raw)
    if not second:
        TAP.skip("a .qcow2 disk", "there is no qemu-img")
        second = os.path.join(FOLDER, "second.raw")
        shutil.copy(raw, second)
    sums = [open(p, "rb").read() for p in (raw, second)]
    r = m.boot("disk", image, "--disk", raw, "--disk", second)
    if not TAP.ok(r.status == 0, "a machine with two disks boots", r):
        return
    disks = m.shell("disk", "cd /sys/block; echo vd*").split()
    TAP.ok(disks == ["vda", "vdb"] and
           all(contents("disk", d).startswith("BASE") for d in disks),
           "and sees them", disks)
    for d in disks:
        put("disk", d, 64, "saved")
    r = m.machine("save", "disk", "--as", "disks", "--json")
    if not TAP.ok(r.status == 0, "it is saved", r):
        end("disk")
        return
    put("disk", "vda", 64, "later")
    good = begin("d1", "disks") and begin("d2", "disks")
    TAP.ok(good and all(contents(n, d) == "BASEsaved\n"
                        for n in ("d1", "d2") for d in disks),
           "each sees what was saved")
    for n in ("d1", "d2"):
        for d in disks:
            m.shell(n, "echo 3 >/proc/sys/vm/drop_caches")
            put(n, d, 64, n + "own")
    TAP.ok(all(contents(n, d) == f"BASE{n}own\n"
               for n in ("d1", "d2") for d in disks) and
           contents("disk", "vda") == "BASElater\n",
           "and its own later writes only")
    m.shell("d1", "echo 3 >/proc/sys/vm/drop_caches")
    TAP.ok(contents("d1", "vda") == "BASEd1own\n", "from the disk, too")
    r = m.machine("swap", "d1", "disks")
    TAP.ok(m.one_line(r, "disks"), "a swap with disks is refused", r)
    r = m.machine("save", "d1", "--as", "disks2")
    if r.status != 0:
        TAP.ok(m.one_line(r, "disk") and works("d1"),
               "a second save of disks is refused", r)
    else:
        TAP.ok(begin("d3", "disks2") and
               contents("d3", "vdb") == "BASEd1own\n", "saved again")
        end("d3")
    end("disk", "d1", "d2")
    TAP.ok([open(p, "rb").read() for p in (raw, second)] == sums,
           "the disks themselves are never written")
    check_disk_refused(raw, second)


def check_disk_refused(raw, second):
    os.rename(raw, raw + ".away")
    r = m.machine("start", "disks", "--detach")
    TAP.ok(m.one_line(r, "disks", "needs its disk", raw),
           "a disk that is missing", r)
    moved = ("--disk", raw + ".away", "--disk", second)
    r = m.machine("exec", *moved, "disks", "--", "head", "-c", "4", "/dev/vda")
    TAP.ok(r.status == 0 and r.out == b"BASE", "or is elsewhere", r)
    r = m.machine("start", *moved, "--detach", "--name", "d1", "disks")
    TAP.ok(r.status == 0 and contents("d1", "vda") == "BASEsaved\n" and
           m.machine("save", "d1", "--as", "moved").status == 0,
           "for a machine that stays, too", r)
    r = m.machine("exec", *moved, "d1", "--", "true")
    TAP.ok(m.one_line(r, "machine d1 runs", "for a new one"),
           "which is given none when it runs", r)
    end("d1")
    TAP.ok(begin("d1", "moved") and contents("d1", "vda") == "BASEsaved\n",
           "whose tip knows it there")
    end("d1")
    m.machine("rm", "moved")
    r = m.machine("start", *moved[:2], "--detach", "disks")
    TAP.ok(m.one_line(r, "disks", "has 2 disks, not 1"), "one of two", r)
    with open(raw, "wb") as f:
        f.write(b"EVIL")
        f.truncate(3 << 20)
    r = m.machine("start", "disks", "--detach")
    TAP.ok(m.one_line(r, "disks", raw, "not what it was"),
           "a disk that is another", r)
    os.rename(raw + ".away", raw)
    TAP.ok(begin("d1", "disks") and contents("d1", "vda") == "BASEsaved\n",
           "and the right one, back again")
    end("d1")
    m.machine("rm", "disks")
    TAP.ok(whole() is None, "nothing is left of them", whole())


# ---- all of it ------------------------------------------------------------------------

def as_user():
    """This again, as nobody, with folders of its own: does not return."""
    folder = tempfile.mkdtemp(dir="/tmp")
    env = dict(os.environ, HOME=folder, TMPDIR=folder)
    for name in ("RUNTIME_DIR", "CACHE_HOME", "DATA_HOME", "STATE_HOME"):
        env["XDG_" + name] = os.path.join(folder, name.lower())
        os.mkdir(env["XDG_" + name], 0o700)
        os.chown(env["XDG_" + name], 65534, 65534)
    os.chown(folder, 65534, 65534)
    try:
        status = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
             "--no-new-privs", "/usr/bin/python3", os.path.abspath(__file__),
             "user"], env=env, check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status)


def boot_first():
    made = m.image(IMAGE)
    if not TAP.ok(made.status == 0, "an image", made):
        return False
    r = m.boot("first", IMAGE)
    if not TAP.ok(r.status == 0, "a machine boots", r):
        return False
    r = m.machine("save", "first", "--as", "base")
    return TAP.ok(r.status == 0 and whole() is None, "and is saved", r)


PARTS = {
    "boots": [check_reboot, check_other_shape, check_disks],
    "tips": [check_qemu_killed, check_qemu_killed_at_save,
             check_starter_killed, check_starter_at_each_step,
             check_starter_ended, check_parked_killed, check_saver_killed,
             check_saver_at_each_step, check_swapper_killed,
             check_swapper_at_each_step, check_stopper_at_each_step],
    "files": [check_guest_ends, check_guest_ends_exec, check_other_qemu,
              check_damaged, check_strange_folder, check_little_memory,
              check_full_disk, check_at_once, check_guest_hangs],
    "user": [check_guest_ends, check_starter_killed, check_parked_killed,
             check_saver_killed, check_swapper_killed, check_damaged,
             check_full_disk],
}


def main():
    part = sys.argv[1]
    why = m.missing()
    if part == "user" and os.geteuid() == 0 and not why:
        why = None if shutil.which("setpriv") else "there is no setpriv"
        if not why:
            as_user()
    if why:
        TAP.skip(f"machines in trouble: {part}", why)
        TAP.done()
    warm.note(f"SEED={SEED}")
    try:
        if boot_first():
            if part != "boots":
                end("first")
            for check in PARTS.get(part) or [globals()["check_" + part]]:
                begun = time.monotonic()
                check()
                warm.note(f"{check.__name__} took "
                          f"{time.monotonic() - begun:.1f} s")
    finally:
        m.clear()
        warm.stop_all()
    TAP.done()


if __name__ == "__main__":
    main()
