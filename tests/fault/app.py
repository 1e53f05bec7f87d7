# SPDX-License-Identifier: Apache-2.0
"""Each fault of a share, for applications that were loaded before and that
were not, with each of the things that a host can go on from.

FAULTS=WORD,... runs those alone whose names have the word in them."""

import os
import shutil
import time

import app_host
import warm
from app_host import HERE, OLD, Host, Share, read, tool_out, write

TAP = warm.Tap()
WAIT_MS, ANSWER_MS, DEADLINE_MS, TTL_MS = 300, 600, 2500, 1000
LIMITS = ["--wait", f"{WAIT_MS}ms", "--answer", f"{ANSWER_MS}ms",
          "--deadline", f"{DEADLINE_MS}ms", "--rejoin", "1h",
          "--ttl", f"{TTL_MS}ms"]
SLACK_S = 1.5  # what other programs of this host may take of the time
SOURCES = ("copy", "full", "appliance", "nothing")
ONLY = [w for w in os.environ.get("FAULTS", "").split(",") if w]
MAY_MOUNT = os.geteuid() == 0 and warm.run(
    ["grep", "-qw", "erofs", "/proc/filesystems"]).status == 0
MAY_FUSE = MAY_MOUNT and os.path.exists("/dev/fuse") and \
    os.path.exists(app_host.FUSE)


# ---- faults --------------------------------------------------------------------

class Fault:
    """What a host meets.  limit_ms: what a start may wait for; way: "shared"
    where the fault is none for a start."""

    def __init__(self, name, begin, end, limit_ms=0, way="fails", fuse=False,
                 plain=False, sources=None, settle=None, loaded=None,
                 again=True):
        self.name, self.begin, self.end = name, begin, end
        self.limit_ms, self.way, self.loaded = limit_ms, way, loaded or way
        self.fuse, self.plain = fuse, plain
        self.sources = sources or {}  # what is gone from there, too
        self.settle = settle
        self.again = again  # it is there at the second try as well


def orders(*words):
    return lambda host, loaded: [host.share.order(w) for w in words]


def heal(host):
    host.share.order("ok")


def held_at(part):
    """The request in the middle of a start is never answered."""
    def begin(host, loaded):
        requests = host.requests[loaded]
        host.share.order(f"hold {max(1, int(requests * part))}")
    return begin


def swapped(find, change):
    """The file is changed; its end puts a copy back."""
    def begin(host, loaded):
        path = find(host)
        host.saved = (path, path + ".was")
        shutil.copy2(path, path + ".was")
        change(path)

    def end(host):
        if os.path.isdir(host.saved[0]):
            os.rmdir(host.saved[0])
        os.rename(host.saved[1], host.saved[0])
    return begin, end


def flip(path):
    with open(path, "r+b") as f:
        f.seek(os.path.getsize(path) * 2 // 3)
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 1]))


def cut(path):
    os.truncate(path, os.path.getsize(path) - 4096)


def of_share(*names):
    return lambda host: os.path.join(host.share.back, *names)


def of_payload(host):
    return host.share.payload()


def other_share(path):
    text = read(path)
    at = text.index('"id":') + len('"id":')
    at = text.index('"', at) + 1
    os.unlink(path)
    write(path, text[:at] + "0" * 32 + text[at + 32:])


def spoil(text):
    def change(path):
        os.unlink(path)
        write(path, text)
    return change


def away(host, loaded):
    host.share.unmount()


def back_again(host):
    assert host.share.mount()


def hidden(host, loaded):
    """Without FUSE: the folder under the mount that is gone."""
    os.rename(host.share.back, host.share.back + ".away")
    os.makedirs(host.share.back)


def shown(host):
    os.rmdir(host.share.back)
    os.rename(host.share.back + ".away", host.share.back)


def lock_lives(host, loaded):
    host.holder = app_host.holder(host.share, "ms=60000")


def lock_freed(host):
    warm.end(host.holder)
    assert host.share.lock_within(TTL_MS / 1000 + 2) is not None


def lock_dies(host, loaded):
    p = app_host.holder(host.share, "die=1")
    p.wait()
    p.stdout.close()


def lock_gone(host, loaded):
    lock = os.path.join(host.share.back, "lock")
    shutil.rmtree(lock + ".was", ignore_errors=True)
    os.rename(lock, lock + ".was")
    os.makedirs(lock)


def lock_back(host):
    """As the message says: the share is made again."""
    lock = os.path.join(host.share.back, "lock")
    shutil.rmtree(lock + ".was")
    host.install_again()


def record_spoilt(host, loaded):
    host.saved = read(host.context("record"))
    write(host.context("record"), host.saved[:-20] + "x")


def record_back(host):
    write(host.context("record"), host.saved)


def record_and_share(host, loaded):
    record_spoilt(host, loaded)
    host.brood_json = swapped(of_share("brood.json"), os.unlink)
    was = host.saved
    host.brood_json[0](host, loaded)
    host.record_saved = was


def record_and_share_back(host):
    host.brood_json[1](host)
    write(host.context("record"), host.record_saved)


def mounts_closed(host, loaded):
    """Read-only: root does not mind modes."""
    done = warm.run(["mount", "--rbind", host.mounts, host.mounts])
    assert done.status == 0, done
    done = warm.run(["mount", "-o", "remount,bind,ro", host.mounts])
    assert done.status == 0, done


def mounts_open(host):
    warm.run(["umount", "-l", host.mounts])


def upgraded(number):
    """A version that this host cannot start; a later one can."""
    def begin(host, loaded):
        image, host.was = BAD[number], host.share.versions()[-1]
        done = WRITER.install(image, verb="upgrade")
        assert done.status == 0, done

    def end(host):
        done = WRITER.brood("rollback", "--to", str(host.was), "tool")
        assert done.status == 0, done
    return begin, end


def without_library(tree):
    """A program that needs one that is neither here nor in the payload."""
    shutil.copy(f"{warm.BUILD}/tests/programs/greeter", f"{tree}/bin/tool")


FAULTS = [
    Fault("no fault", lambda h, l: None, lambda h: None, way="shared"),
    Fault("the server frozen before the start", orders("freeze"), heal,
          ANSWER_MS, fuse=True),
    Fault("the first request never answered", orders("hold 1"), heal,
          ANSWER_MS, fuse=True),
    Fault("frozen a third through", held_at(0.34), heal, ANSWER_MS, fuse=True),
    Fault("frozen while the payload is read", held_at(0.80), heal, ANSWER_MS,
          fuse=True),
    Fault("a server of 2 ms for each request", orders("delay 2"), heal,
          DEADLINE_MS, way="shared", fuse=True),
    Fault("a server slower than the limit", orders(f"delay {ANSWER_MS * 2}"),
          heal, ANSWER_MS, fuse=True),
    Fault("EIO from each read", orders("fail EIO read"), heal, fuse=True),
    Fault("EIO from each request", orders("fail EIO all"), heal, fuse=True),
    Fault("ESTALE from each request", orders("fail ESTALE all"), heal,
          fuse=True),
    Fault("ENOSPC from each write", orders("fail ENOSPC write"), heal,
          fuse=True),
    Fault("a read-only share (EROFS)", orders("fail EROFS write"), heal,
          fuse=True),
    Fault("short reads", orders("short"), heal, fuse=True),
    Fault("the share unmounted, mounted again", away, back_again, fuse=True),
    Fault("an empty folder for the share", hidden, shown, plain=True),
    Fault("a byte of the payload flipped", *swapped(of_payload, flip)),
    Fault("the payload cut", *swapped(of_payload, cut)),
    Fault("the payload missing", *swapped(of_payload, os.unlink)),
    Fault("the payload is a folder", *swapped(
        of_payload, lambda p: (os.unlink(p), os.mkdir(p)))),
    Fault("the version's record damaged", *swapped(
        lambda h: h.share.version(), lambda p: (os.chmod(p, 0o644), flip(p)))),
    Fault("the version's record empty", *swapped(
        lambda h: h.share.version(), lambda p: os.truncate(p, 0))),
    Fault("brood.json missing", *swapped(of_share("brood.json"), os.unlink)),
    Fault("brood.json garbage", *swapped(of_share("brood.json"),
                                         spoil("{ \"lock\": 7 "))),
    Fault("brood.json another share's", *swapped(of_share("brood.json"),
                                                 other_share)),
    Fault("the lock held by a living holder", lock_lives, lock_freed,
          WAIT_MS),
    Fault("the lock held by a killed holder", lock_dies, lambda h: None,
          WAIT_MS, settle=TTL_MS / 1000 + 1, again=False),
    Fault("the lock's files removed", lock_gone, lock_back),
    Fault("the context's record damaged", record_spoilt, record_back,
          way="shared"),
    Fault("context's record damaged, no brood.json", record_and_share,
          record_and_share_back,
          sources={"copy": "nothing", "appliance": "nothing"}),
    Fault("the folder of mounts not writable", mounts_closed, mounts_open,
          loaded="shared", sources={"copy": "nothing", "appliance": "nothing"}),
    Fault("an entry missing in the new version", *upgraded("entry")),
    Fault("a shared library missing here", *upgraded("library")),
]


# ---- one start -------------------------------------------------------------------

FIGURES = {}


def outcome(host, done):
    """Which way it went, by what the program printed; None: none of them."""
    lines = done.err.decode(errors="replace").splitlines()
    want = tool_out(host.number, "x", "y")
    if done.status == 0 and done.out == want and not lines:
        return "shared"
    if done.status == 0 and len(lines) == 1 and lines[0].startswith(
            "brood: tool: "):
        if done.out == want:
            return done.report["source"] if done.report else None
        if done.out == b"old program x y\n":
            return "full"
    if done.status == 75 and not done.out and len(lines) == 1:
        return "nothing"
    return None


def expected(fault, source, loaded):
    if (fault.loaded if loaded else fault.way) == "shared":
        return "shared"
    return fault.sources.get(source, source)


def later_start(host, source, want):
    """A start that does not try the share: at once, and without a word."""
    again = host.start("x", "y")
    if want == "nothing":
        return again.status == 75 and len(again.err.splitlines()) == 1 and \
            not again.out
    right = b"old program x y\n" if want == "full" else \
        tool_out(host.number, "x", "y")
    return again.status == 0 and again.out == right and not again.err


def one_start(fault, host, want):
    wrong = []
    done = host.start("x", "y")
    got = outcome(host, done)
    over = done.seconds - fault.limit_ms / 1000
    state = host.state() or ""
    FIGURES.setdefault(fault.name, []).append((got, over))
    if got != want:
        wrong.append(f"{got}, not {want}: {done}")
    if over > SLACK_S:
        wrong.append(f"{over:.3f} s over its limit")
    if (want == "shared") != (state == ""):
        wrong.append(f"the state is {state!r}")
    return wrong


def one_case(fault, host, loaded):
    """What went wrong, in words."""
    wrong = []
    want = expected(fault, host.source, loaded)
    fault.begin(host, loaded)
    try:
        wrong += one_start(fault, host, want)
        if want != "shared":
            if not later_start(host, host.source, want):
                wrong.append("the next start without the share")
            if fault.again and not loaded:
                host.let_time_pass()
                wrong += [f"tried again: {w}"
                          for w in one_start(fault, host, want)]
    finally:
        fault.end(host)
    return wrong + after_case(fault, host)


def after_case(fault, host):
    wrong = []
    within = host.share.lock_within(fault.settle or TTL_MS / 1000 + 1)
    if within is None:
        wrong.append("the lock is not free again")
    if not host.quiet():
        wrong.append("left running: "
                     f"{[(p, warm.exe(p)) for p in host.processes()]}")
    if host.share.drafts():
        wrong.append(f"left on the share: {host.share.drafts()}")
    host.let_time_pass()
    host.cold()
    done = host.start("x", "y")
    if outcome(host, done) != "shared" or host.state():
        wrong.append(f"a start with the fault gone: {done} {host.state()}")
    return wrong


def prepare(host, loaded):
    state = host.context("state")
    if os.path.exists(state):
        os.unlink(state)
    host.forget()
    if not loaded:
        return True
    done = host.start("x", "y")
    return done.status == 0 and done.report["way"] == "shared"


def matrix(hosts, faults):
    for fault in faults:
        if fault.fuse and not MAY_FUSE:
            TAP.skip(fault.name, "needs root and /dev/fuse")
            continue
        if fault.plain and MAY_FUSE:
            continue
        if ONLY and not any(w in fault.name for w in ONLY):
            continue
        wrong = []
        for host in hosts:
            for loaded in (False, True):
                where = f"{host.source}, " + \
                    ("loaded before" if loaded else "never loaded")
                if not prepare(host, loaded):
                    wrong.append(f"{where}: cannot be prepared")
                    continue
                wrong += [f"{where}: {w}" for w in
                          one_case(fault, host, loaded)]
        got = FIGURES.get(fault.name, [])
        worst = max((f[1] for f in got), default=0)
        TAP.ok(not wrong, f"{fault.name}: "
               f"{', '.join(dict.fromkeys(str(f[0]) for f in got))}; at most "
               f"{worst * 1000:.0f} ms over its limit of "
               f"{fault.limit_ms} ms", "\n".join(wrong))


# ---- hosts of the matrix ----------------------------------------------------------

class MatrixHost(Host):
    """That has one thing to go on from, or none."""

    def __init__(self, source, share, image):
        Host.__init__(self, source, share, LIMITS)
        self.source, self.number = source, 1
        self.image = f"{image[:-6]}-{source}.erofs"
        shutil.copy(image, self.image + ".hidden")

    def install_again(self):
        more = ["--keep"] if self.source == "copy" else []
        if not os.path.exists(self.image):
            os.link(self.image + ".hidden", self.image)
        done = self.install(self.image, *more)
        assert done.status == 0, done
        if self.source != "appliance":
            os.unlink(self.image)


def make_host(source, share, image):
    host = MatrixHost(source, share, image)
    if source == "full":
        write(host.path(), OLD, 0o755)
    host.install_again()
    host.requests = {}
    for loaded in (False, True):
        assert prepare(host, loaded)
        if share.server:
            share.order("ok")
        assert host.start("x", "y").status == 0
        if share.server:
            host.requests[loaded] = share.order("ok")
    return host


# ---- more than one application ---------------------------------------------------

def damaged_context(host):
    """One bad context: one line, and the others start."""
    other = app_host.pack(1, name="other", entries=("beside=bin/waiter",),
                          blob=4096)
    made = host.install(other)
    assert made.status == 0, made
    for words, text in (("cut", "brood-context 1\nname tool\n"),
                        ("garbage", "\0\1\2" * 1000), ("empty", "")):
        was = read(host.context("context"))
        write(host.context("context"), text)
        done = host.start()
        beside = warm.run([host.path("beside")], stdin=b"\n",
                          env=host.start_env())
        listed = host.brood("ls")
        TAP.ok(done.status == 111 and not done.out and
               len(done.err.splitlines()) == 1 and
               beside.status == 0 and b"still 1 1" in beside.out and
               not beside.err and
               listed.status == 0 and b"damaged" in listed.out,
               f"a context that is {words}: 111 and a line; another "
               "application starts, and ls tells of both",
               f"{done}\n{beside}\n{listed}")
        write(host.context("context"), was)
    host.brood("uninstall", "other")


def rejoins_by_itself(share, image):
    host = Host("rejoin", share, LIMITS[:6] + ["--rejoin", "1s"])
    write(host.path(), OLD, 0o755)
    assert host.install(image).status == 0
    broken, mended = swapped(of_share("brood.json"), os.unlink)
    broken(host, True)
    first = host.start()
    mended(host)
    soon = host.start()
    seen = warm.wait_until(
        lambda: host.start().out.startswith(b"tool 1 1"), 5, 0.2)
    TAP.ok(first.out.startswith(b"old program") and
           soon.out.startswith(b"old program") and seen and not host.state(),
           "independent, still so at once, shared again by itself after the "
           "time of --rejoin", f"{first}\n{soon}\n{host.state()}")
    broken(host, True)
    host.start()
    told = host.brood("rejoin", "tool")
    mended(host)
    again = host.brood("rejoin", "tool")
    TAP.ok(told.status == 111 and len(told.err.splitlines()) == 1 and
           again.status == 0 and not host.state(),
           "rejoin fails with a line, and works when the fault is gone",
           f"{told}\n{again}")
    host.clean()


def killed_holder_recovered(share, image):
    host = Host("patient", share, ["--wait", "5s", "--answer", "2s"])
    assert host.install(image).status == 0
    lock_dies(host, True)
    done = host.start()
    TAP.ok(done.status == 0 and done.report["way"] == "shared" and
           done.report["load"]["lock_was_held"] and
           done.seconds < TTL_MS / 1000 + 1 + SLACK_S,
           f"a killed holder's lock is taken over after {done.seconds:.2f} s "
           f"(TTL {TTL_MS / 1000:.0f} s)", done)
    host.clean()


def last_beat(share):
    """How often the last holder of the lock has said that it lives."""
    folder = f"{share.back}/lock/lease"
    last = max(int(n[2:]) for n in os.listdir(folder) if n[2:].isdigit())
    return int(read(f"{folder}/e.{last}")[15:31], 16)


def beats_while_it_reads(share, image):
    host = Host("slow", share, ["--wait", "5s", "--answer", "5s",
                                "--deadline", "20s"])
    assert host.install(image).status == 0
    beats = []
    for words in ("ok", "delay 10"):
        host.forget()
        share.order(words)
        done = host.start()
        share.order("ok")
        beats.append(last_beat(share))
        if done.status != 0 or done.report["way"] != "shared":
            break
    TAP.ok(len(beats) == 2 and beats[1] > 0,
           "a host that reads a payload from a slow server for longer than a "
           f"part of the TTL says that it lives: {beats[-1]} times", done)
    host.clean()


# ---- each request of the kernel's -------------------------------------------------

def every_request(host):
    """One request fails, or is never answered; each in its turn."""
    for loaded in (False, True):
        words = "loaded before" if loaded else "never loaded"
        wrong, ways, waits = [], {}, []
        for at in range(1, host.requests[loaded] + 3):
            code = ("EIO", "ESTALE")[at % 2]
            if not prepare(host, loaded):
                wrong.append(f"{code} at {at}: cannot be prepared")
            host.share.order("ok")
            host.share.order(f"once {at} {code}")
            done = host.start("x", "y")
            host.share.order("ok")
            way = outcome(host, done)
            ways[way] = ways.get(way, 0) + 1
            if way not in ("shared", host.source):
                wrong.append(f"{code} at {at}: {done}")
            within = host.share.lock_within(TTL_MS / 1000 + 1)
            if within is None:
                wrong.append(f"{code} at {at}: the lock stays")
            elif within > 0.5:
                waits.append(at)
        TAP.ok(not wrong and host.quiet(),
               f"EIO or ESTALE from each request of a start, {words}: "
               f"{ways}; the lock was left to its TTL {len(waits)} times "
               f"{waits[:8]}", "\n".join(wrong[:5]))


def every_hold(host):
    step = 1 if os.environ.get("FAULT") == "full" else 23
    for loaded in (False, True):
        words = "loaded before" if loaded else "never loaded"
        wrong, ways, worst = [], {}, 0
        for at in range(1, host.requests[loaded] + 1, step):
            prepare(host, loaded)
            host.share.order("ok")
            host.share.order(f"hold {at}")
            done, over = held_start(host)
            worst = max(worst, over)
            way = outcome(host, done)
            ways[way] = ways.get(way, 0) + 1
            if way not in ("shared", host.source) or over > SLACK_S:
                wrong.append(f"hold at {at}: {over:.2f} s, {done}")
            if not host.quiet():
                wrong.append(f"hold at {at}: left {host.processes()}")
            within = host.share.lock_within(TTL_MS / 1000 + 1)
            if within is None:
                wrong.append(f"hold at {at}: the lock stays")
        TAP.ok(not wrong, f"a request that is never answered, each {step}., "
               f"{words}: {ways}; at most {worst * 1000:.0f} ms over the "
               "limit", "\n".join(wrong[:5]))


def held_start(host):
    """A program that was loaded, and then reads from a share that hangs, is
    beyond our limits; it goes on when the share does."""
    import subprocess
    import threading
    if os.path.exists(host.report):
        os.unlink(host.report)
    began = time.monotonic()
    p = subprocess.Popen([host.path(), "x", "y"], env=host.start_env(),
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    loaded_s = []
    heal_at = threading.Event()

    def watch():
        end = time.monotonic() + 20
        while time.monotonic() < end and p.poll() is None:
            report = host.reported_safely()
            if report:
                loaded_s.append(time.monotonic() - began)
                if report["way"] == "shared":
                    heal_at.wait(1)
                break
            time.sleep(0.005)
        host.share.order("ok")

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, err = p.communicate()
    whole = time.monotonic() - began
    heal_at.set()
    watcher.join()
    done = warm.Result(p.returncode, out, err, host.reported())
    return done, (loaded_s[0] if loaded_s else whole) - ANSWER_MS / 1000


# ---- all of it --------------------------------------------------------------------

def main():
    global WRITER, BAD
    if not MAY_MOUNT:
        TAP.skip("faults of shares", "needs root and EROFS in the kernel")
        TAP.done()
    if not MAY_FUSE:
        warm.note("NO FUSE HERE: the faults of a server are not tested")
    share = Share("share", fuse=MAY_FUSE)
    image = app_host.pack(1)
    BAD = {"entry": app_host.pack(2, entries=("waiter",)),
           "library": app_host.pack(3, more=without_library)}
    hosts = []
    try:
        hosts += [make_host(s, share, image) for s in SOURCES]
        WRITER = Host("writer", share, ["--wait", "5s", "--answer", "5s"])
        hosts.append(WRITER)
        assert WRITER.install(image).status == 0
        matrix(hosts[:4], FAULTS)
        if not ONLY:
            damaged_context(hosts[1])
            rejoins_by_itself(share, image)
            killed_holder_recovered(share, image)
        if MAY_FUSE and (not ONLY or "beats" in ONLY):
            beats_while_it_reads(share, image)
        if MAY_FUSE and (not ONLY or "every" in ONLY):
            every_request(hosts[1])
            every_hold(hosts[1])
    finally:
        for host in hosts:
            host.clean()
        share.unmount()
    TAP.done()


main()
