# SPDX-License-Identifier: Apache-2.0
"""What a start reads is damaged, or somebody else's; see app_damaged.sh."""

import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import time

import app_host
import warm
from app_host import HERE, OLD, Host, Share, read, tool_out, write

TAP = warm.Tap()
FULL = os.environ.get("FAULT") == "full"
TTL_MS = 1000
LIMITS = ["--wait", "2500ms", "--answer", "2s", "--deadline", "12s",
          "--rejoin", "1h", "--ttl", f"{TTL_MS}ms"]
MAY_MOUNT = os.geteuid() == 0 and warm.run(
    ["grep", "-qw", "erofs", "/proc/filesystems"]).status == 0
CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]")
NOBODY = 65534
OLD_OUT = b"old program x\n"


def way(done, number=1):
    """What a start did; None: something that no start may do."""
    lines = done.err.splitlines()
    if len(lines) > 1 or CONTROL.search(done.err) or (
            done.err and not done.err.endswith(b"\n")):
        return None
    if done.status == 0 and done.out == OLD_OUT:
        return "full"
    if done.status == 0 and done.out == tool_out(number, "x"):
        return "kept" if lines else "shared"
    if done.status in (75, 111) and not done.out and lines:
        return done.status
    return None


def forget_state(host):
    if os.path.lexists(host.context("state")):
        os.unlink(host.context("state"))


def data(path):
    with open(path, "rb") as f:
        return f.read()


def put(path, content):
    """Another file: one that was linked elsewhere stays as it is there."""
    st = os.stat(path)
    os.unlink(path)
    with open(path, "wb") as f:
        f.write(content)
    os.chmod(path, st.st_mode & 0o7777)


def damages(content, cut_step, flips):
    for at in range(0, len(content), 1 if FULL else cut_step):
        yield f"cut at {at}", content[:at]
    step = max(1, len(content) // (300 if FULL else flips))
    for at in range(0, len(content), step):
        flip = 1 << (at % 8) if at % 3 else 0xff
        yield (f"byte {at} changed",
               content[:at] + bytes([content[at] ^ flip]) + content[at + 1:])
    yield "with more behind it", content + b"x y\n"
    yield "of zeros", bytes(len(content))
    yield "of 200 KB", content * (200000 // max(1, len(content)))


def damaged(host, words, find, may, cut_step=29, flips=15):
    """Each start ends in one of the ways that it may."""
    wrong, ways = [], {}
    whole = data(find())
    for how, content in damages(whole, cut_step, flips):
        path = find()
        put(path, content)
        forget_state(host)
        done = host.start("x")
        got = way(done)
        ways[got] = ways.get(got, 0) + 1
        if got not in may:
            wrong.append(f"{how}: {done}")
        if os.path.exists(path):
            put(path, whole)
    forget_state(host)
    done = host.start("x")
    if way(done) != "shared":
        wrong.append(f"whole again: {done}")
    TAP.ok(not wrong, f"{words} cut and changed: {ways}", "\n".join(wrong[:5]))


def last_epoch(share):
    """The lock's newest file."""
    folder = f"{share.back}/lock/lease"
    found = [n for n in os.listdir(folder) if re.fullmatch(r"e\.[0-9]+", n)]
    return f"{folder}/{max(found, key=lambda n: int(n[2:]))}"


def without_share(host, then):
    """then(), while the share cannot be opened."""
    record = f"{host.share.back}/brood.json"
    os.rename(record, record + ".away")
    try:
        then()
    finally:
        os.rename(record + ".away", record)


def all_damages(host, share):
    damaged(host, "the context", lambda: host.context("context"), (111,))
    damaged(host, "the version", share.version, ("full",))
    damaged(host, "the version's hint",
            lambda: f"{share.back}/apps/tool/v.hint", ("shared",))
    damaged(host, "brood.json", lambda: f"{share.back}/brood.json",
            ("full", "shared"), cut_step=9)
    damaged(host, "the lock's last file", lambda: last_epoch(share),
            ("full", "shared"), cut_step=43, flips=5)
    damaged(host, "the lock's hint", lambda: f"{share.back}/lock/lease/e.hint",
            ("shared", "full"), cut_step=9, flips=5)


# ---- what is whole, and wrong ----------------------------------------------------------

def signed(lines):
    """A record as it has to be, whatever it says."""
    return lines + b"end " + hashlib.sha256(lines).hexdigest().encode() + b"\n"


def wrong_json(text):
    yield "a lock that moves the cursor", re.sub(
        rb'"lock":"[a-z]*"', rb'"lock":"\\u001b[2J\\n\\u007f"', text)
    yield "a version that is too large", text.replace(
        b'"version":1', b'"version":99999999999999999999')
    yield "a TTL of no end", re.sub(rb'"ttl_ms":[0-9]*',
                                    b'"ttl_ms":999999999', text)
    yield "no id", re.sub(rb'"id":"[0-9a-f]*"', b'"id":"../../etc"', text)
    yield "65 levels", b'{"a":' * 65 + b"1" + b"}" * 65
    yield "4000 levels", b"[" * 4000
    yield "a name of no end", b'{"' + b"a" * 4000


def crafted(host, share):
    path = f"{share.back}/brood.json"
    whole = data(path)
    for words, text in wrong_json(whole):
        put(path, text)
        forget_state(host)
        done = host.start("x")
        TAP.ok(way(done) == "full" and text != whole, f"brood.json with "
               f"{words}", done)
        put(path, whole)
    versions = data(share.version())
    lines = versions[:versions.rindex(b"end ")]
    payload = re.search(rb"^payload ([0-9a-f]{64}) ([0-9]+)$", lines, re.M)
    for words, find, by in (
            ("of 2^44 bytes", rb"^payload .*$",
             b"payload %s %d" % (payload[1], 1 << 44)),
            ("of 2^64 bytes", rb"^payload .*$",
             b"payload %s %d" % (payload[1], 1 << 64)),
            ("of no bytes", rb"^payload .*$", b"payload %s 0" % payload[1]),
            ("of another name", rb"^name .*$", b"name other"),
            ("without entries", rb"^entry .*$", b"port 80"),
            ("with a path that leads out", rb"bin/tool", b"../../bin/sh"),
            ("with control characters", rb"^name .*$", b"name \x1b[2J")):
        changed = re.sub(find, by, lines, flags=re.M)
        put(share.version(), signed(changed))
        forget_state(host)
        done = host.start("x")
        TAP.ok(way(done) == "full" and changed != lines, f"a version {words}",
               done)
        put(share.version(), versions)
    endless(share, lines, payload[1])
    forget_state(host)
    TAP.ok(way(host.start("x")) == "shared", "and whole again")


def endless(share, lines, digest):
    """A payload that is as long as it says: hashed until the time is over."""
    host = Host("endless", share, [*LIMITS[:4], "--deadline", "2s"])
    write(host.path(), OLD, 0o755)
    assert host.install(IMAGE).status == 0
    payload, version = share.payload(), share.version()
    os.rename(payload, payload + ".was")
    was = data(version)
    with open(payload, "wb") as f:
        f.truncate(1 << 43)
    put(version, signed(re.sub(rb"^payload .*$", b"payload %s %d" % (
        digest, 1 << 43), lines, flags=re.M)))
    done = host.start("x")
    TAP.ok(way(done) == "full" and done.seconds < 6 and host.quiet(),
           "a payload of 8 TiB is given up in time", done)
    os.rename(payload + ".was", payload)
    put(version, was)
    host.clean()


def state_texts():
    now = int(time.time())
    yield "control characters", b"independent %d \x1b[2J\x07\x08x\x7f\n" % now
    yield "a time that is too small", b"independent -9223372036854775808 x\n"
    yield "a time that is too large", b"independent 9223372036854775807 x\n"
    yield "a time that is no time", b"independent %s x\n" % (b"9" * 900)
    yield "no reason", b"independent %d" % now
    yield "no end", b"independent %d " % now + b"x" * 1000
    yield "zeros", bytes(1000)
    yield "200 KB", b"independent %d x\n" % now + b"x" * 200000
    yield "1 GiB", None


def states(host):
    for words, text in state_texts():
        path = host.context("state")
        with open(path, "wb") as f:
            if text is None:
                f.truncate(1 << 30)
            else:
                f.write(text)
        done, listed = host.start("x"), host.brood("ls")
        shown = host.brood("show", "tool")
        TAP.ok(way(done) in ("shared", "full") and listed.status == 0 and
               not CONTROL.search(listed.out.replace(b"\t", b"")) and
               shown.status == 0 and not CONTROL.search(shown.out),
               f"a state of {words}: {way(done)}",
               f"{done}\n{listed}\n{shown}")
        forget_state(host)
    state_without(host)


def state_without(host):
    """A reason of control characters is the only one that is told."""
    path = host.context("state")
    saved = host.path() + ".away"
    context = data(host.context("context"))
    for found in re.findall(rb"^saved (.*)$", context, re.M):
        os.rename(found, saved)
        write(path, f"independent {int(time.time())} \x1b[2J\x07 x\n")
        done = host.start("x")
        TAP.ok(done.status == 75 and way(done) == 75,
               "a state's control characters are not for terminals", done)
        os.rename(saved, found)
    forget_state(host)


# ---- owners and modes --------------------------------------------------------------

def somebodys(host, words, path, may, mode=None):
    """The file is another user's, or everybody may write to it."""
    st = os.lstat(path)
    if mode is None:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    else:
        os.chmod(path, mode)
    forget_state(host)
    done = host.start("x")
    os.chown(path, st.st_uid, st.st_gid, follow_symlinks=False)
    if mode is not None:
        os.chmod(path, st.st_mode & 0o7777)
    forget_state(host)
    again = host.start("x")
    how = "another user's" if mode is None else f"of mode {mode:o}"
    TAP.ok(way(done) in may and way(again) == "shared",
           f"{words} that is {how}: {way(done)}", f"{done}\n{again}")


def owners(host, share):
    stamp = next(os.path.join(host.mounts, n)
                 for n in os.listdir(host.mounts) if n.endswith(".ok"))
    for mode, word in ((None, 0), (0o666, 1)):
        somebodys(host, "a context", host.context("context"), (111,), mode)
        somebodys(host, "a payload", share.payload(), ("shared",), mode)
        somebodys(host, "a version", share.version(), ("shared",), mode)
        somebodys(host, "brood.json", f"{share.back}/brood.json", ("shared",),
                  mode)
        somebodys(host, "a stamp", stamp, ("shared",), mode)
        somebodys(host, "the folder of mounts", host.mounts,
                  ("full",), mode and 0o777)
        without_share(host, lambda m=mode: TAP.ok(
            kept_start(host, m) == "full", "the context's record that is "
            "another user's is not gone on from" if m is None else
            "nor is one that all may write"))
    os.chown(host.path(), NOBODY, NOBODY, follow_symlinks=False)
    done = host.start("x")
    os.chown(host.path(), 0, 0, follow_symlinks=False)
    TAP.ok(way(done) == "shared", "a start path that is another user's link: "
           "it leads where it leads", done)


def kept_start(host, mode):
    path = host.context("record")
    if mode is None:
        os.chown(path, NOBODY, NOBODY)
    else:
        os.chmod(path, mode)
    done = host.start("x")
    os.chown(path, 0, 0)
    os.chmod(path, 0o644)
    forget_state(host)
    return way(done)


# ---- names that are links ----------------------------------------------------------

def as_link(host, words, path, target, may, after=None):
    os.rename(path, path + ".was")
    os.symlink(target.replace("WAS", path + ".was"), path)
    forget_state(host)
    done = host.start("x")
    os.unlink(path)
    os.rename(path + ".was", path)
    more = after() if after else True
    forget_state(host)
    again = host.start("x")
    TAP.ok(way(done) in may and way(again) == "shared" and more is True,
           f"{words}: {way(done)}", f"{done}\n{again}\n{more}")


def links(host, share):
    elsewhere = os.path.join(HERE, "elsewhere")
    os.makedirs(elsewhere)
    uses = f"{share.back}/hosts/{read(host.apps + '/.host')}"
    as_link(host, "a context's folder that is a link",
            host.context(), "WAS", ("shared",))
    as_link(host, "a context that is a link", host.context("context"), "WAS",
            (111,))
    as_link(host, "an application of the share that is a link",
            f"{share.back}/apps/tool", "WAS", ("full",))
    as_link(host, "a version that is a link", share.version(), "WAS",
            ("full",))
    as_link(host, "brood.json that is a link", f"{share.back}/brood.json",
            "WAS", ("full",))
    as_link(host, "a payload that is a link to a secret", share.payload(),
            "/etc/shadow", ("full",))
    as_link(host, "a payload that is a link to no end", share.payload(),
            "/dev/zero", ("full",))
    as_link(host, "a folder of uses that is a link", uses, elsewhere,
            ("full",), lambda: os.listdir(elsewhere) == [])
    for name in ("hosts", "apps", "payloads", "lock"):
        shutil.rmtree(elsewhere)
        shutil.copytree(f"{share.back}/{name}", elsewhere, symlinks=True)
        before = sorted(os.listdir(elsewhere))
        as_link(host, f"{name} of the share that is a link",
                f"{share.back}/{name}", elsewhere, ("full", "shared"),
                lambda b=before: sorted(os.listdir(elsewhere)) == b or
                (b, os.listdir(elsewhere)))
    shutil.rmtree(elsewhere)


# ---- other ways to call it -----------------------------------------------------------

def calls(host):
    folder = os.path.join(HERE, "calls")
    os.makedirs(folder)
    paths = {"a link": "link", "a link to a link": "again",
             "a relative link": "near"}
    os.symlink(host.path(), f"{folder}/link")
    os.symlink("link", f"{folder}/again")
    os.symlink(os.path.relpath(host.path(), folder), f"{folder}/near")
    os.link(host.path(), f"{folder}/hard", follow_symlinks=False)
    paths["a hard link"] = "hard"
    for words, name in paths.items():
        done = warm.run([f"{folder}/{name}", "x"], env=host.start_env())
        TAP.ok(way(done) == "shared", f"started through {words}", done)
    for words, path, cwd in (("a relative path", "./tool", host.bin),
                             ("a path with ..", "../bin/tool", host.bin),
                             ("another word for itself", host.path(), "/")):
        done = warm.run(["anything", "x"], executable=path, cwd=cwd,
                        env=host.start_env())
        TAP.ok(way(done) == "shared", f"started through {words}", done)
    done = warm.run(["tool", "x"], cwd="/", env=dict(
        host.start_env(), PATH=f"{host.bin}:{os.environ['PATH']}"),
        executable=host.path())
    TAP.ok(way(done) == "shared", "started through PATH", done)
    write(f"{folder}/script", f"#!{host.path()}\nnothing\n", 0o755)
    done = warm.run([f"{folder}/script", "x"], env=host.start_env())
    TAP.ok(done.status == 0 and not done.err and done.out ==
           tool_out(1, f"{folder}/script", "x"),
           "a script whose first line names the start path", done)
    write(f"{folder}/script", f"#!{folder}/again word\n", 0o755)
    done = warm.run([f"{folder}/script", "x"], env=host.start_env())
    TAP.ok(done.status == 0 and not done.err and done.out ==
           tool_out(1, "word", f"{folder}/script", "x"),
           "one whose first line names a link to it, and a word", done)
    start = os.path.realpath(host.path())
    shutil.copy(start, f"{folder}/copy")
    for words, argv in (("a copy of the startup binary", f"{folder}/copy"),
                        ("the startup binary itself", start)):
        done = warm.run([argv, "x"], env=host.start_env())
        TAP.ok(way(done) == 111, f"{words} says that it is of no application",
               done)


def closed_text(numbers):
    return " ".join(f"{n}>&-" if n else "<&-" for n in numbers)


def run_closed(argv, numbers, env, out):
    """Its descriptors 1 and 2 are files, or closed; out: what they got."""
    with open(out, "wb") as f:
        done = subprocess.run(
            ["/bin/sh", "-c", f'exec "$@" {closed_text(numbers)}', "sh",
             *argv], stdin=subprocess.DEVNULL, stdout=f, stderr=f, env=env,
            timeout=60)
    return done.returncode, data(out)


SETS = ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))
SEES = """#!/bin/sh
open=
for n in 0 1 2; do
	[ -e /proc/$$/fd/$n ] && open="$open $n"
done
echo $open >"$OPEN"
"""


def closed_start(host, words, numbers, want):
    out = os.path.join(HERE, "out")
    forget_state(host)
    if os.path.exists(host.report):
        os.unlink(host.report)
    status, text = run_closed([host.path(), "x"], numbers, host.start_env(),
                              out)
    told = host.reported() or {}
    TAP.ok((1 in numbers or (status == 0 and
                             text.endswith(tool_out(1, "x")))) and
           told.get("source") == want, f"a start without descriptors {words}: "
           f"{want}", f"{status} {text} {told}")


def closed_install(image, program, numbers, more):
    """The host that it has made."""
    number = len(os.listdir(HERE))
    host = Host(f"closed{number}", Share(f"closed-share{number}"), LIMITS)
    status, text = run_closed([*program, *host.install_words(image, *more)],
                              numbers, host.env, os.path.join(HERE, "out"))
    done = host.start("x") if os.path.exists(host.path()) else None
    TAP.ok((status == 0 or 1 in numbers) and done and way(done) == "shared",
           f"an install by {os.path.basename(program[0])}, {' '.join(more)}, "
           f"without descriptors {', '.join(map(str, numbers))}",
           f"{status} {text} {done}")
    return host


def closed(image):
    """Nothing that is opened takes the place of what was closed."""
    installer = [os.path.join(warm.BUILD, "brood-installer")]
    for numbers in SETS:
        words = ", ".join(map(str, numbers))
        closed_install(image, [warm.BROOD, "app"], numbers, []).clean()
        closed_install(image, installer, numbers, []).clean()
        host = closed_install(image, [warm.BROOD, "app"], numbers, ["--keep"])
        closed_start(host, words, numbers, "share")
        without_share(host, lambda h=host, w=words, n=numbers: closed_start(
            h, w, n, "copy"))
        host.clean()


def closed_pack():
    tree, image = os.path.join(HERE, "tree"), os.path.join(HERE, "packed.app")
    out, wrong = os.path.join(HERE, "out"), []
    write(f"{tree}/bin/tool", "#!/bin/sh\n", 0o755)
    whole = None
    for numbers in ((), *SETS):
        status, text = run_closed(
            [warm.BROOD, "app", "pack", tree, "--as", image, "--name", "p",
             "--entry", "tool=bin/tool"], numbers, dict(os.environ), out)
        made = data(image) if os.path.exists(image) else None
        whole = whole or made
        if made != whole or (status != 0 and 1 not in numbers):
            wrong.append(f"{numbers}: {status} {text}")
        if made:
            os.unlink(image)
    shutil.rmtree(tree)
    TAP.ok(not wrong, "a pack without descriptors has the same bytes",
           "\n".join(wrong))


def closed_seen(host):
    """The program has the descriptors that the caller had."""
    out, opened = os.path.join(HERE, "out"), os.path.join(HERE, "open")
    wrong = []
    for numbers in SETS:
        run_closed([host.path("sees")], numbers,
                   dict(host.start_env(), OPEN=opened), out)
        seen = read(opened).split()
        wrong += [f"{numbers}: {seen}" for n in numbers if str(n) in seen]
    TAP.ok(not wrong, "what was closed is closed for the program, too",
           "\n".join(wrong))


# ---- many words ----------------------------------------------------------------------

def words_of(bytes_):
    return ["y" * 100000] * (bytes_ // 100000)


def many_words(host):
    """Up to where the system itself refuses, it starts; a little below it may
    be that there is no room for words of ours: that is the caller's fault and
    not the share's."""
    most = min(resource.getrlimit(resource.RLIMIT_STACK)[0] // 4, 6 << 20)
    for part in (0.3, 0.9):
        words = words_of(int(most * part))
        done = host.start("x", *words)
        TAP.ok(done.status == 0 and not done.err and
               len(done.out) > len(words) * 100000,
               f"{len(words) * 100} KB of words", repr(done)[:300])
    env = dict(host.start_env(),
               **{f"V{i}": "v" * 100000 for i in range(int(most * 0.8) //
                                                       100000)})
    done = warm.run([host.path(), "x"], env=env)
    TAP.ok(way(done) == "shared", f"{int(most * 0.8) // 1000} KB of "
           "environment", repr(done)[:300])
    tight(host, most)


def tight(host, most):
    """The start itself still fits, what it would execute does not: the entry
    has 30 KB of words of its own."""
    tree = os.path.join(HERE, "tree")
    image = os.path.join(HERE, "wordy.app")
    write(f"{tree}/bin/wordy", "#!/bin/sh\n", 0o755)
    write(host.path("wordy"), OLD, 0o755)
    done = warm.brood("app", "pack", tree, "--as", image, "--name", "wordy",
                      "--entry", "wordy=bin/wordy", *["--argument", "w" * 1000]
                      * 30)
    assert done.status == 0, done
    done = host.install(image)
    assert done.status == 0, done
    os.unlink(image)
    env = host.start_env()
    used = sum(len(k) + len(v) + 10 for k, v in env.items())
    wrong, seen = [], {}
    for spare in range(0, 60000, 2000):
        size = most - used - spare
        words = words_of(size)
        words.append("z" * (size - sum(len(w) + 9 for w in words) - 100))
        try:
            done = warm.run([host.path("wordy"), *words], env=env)
            end = done.status
        except OSError:
            end = "refused by the system"
        seen[end] = seen.get(end, 0) + 1
        if end == 111 and len(done.err.splitlines()) != 1 or \
                end not in (0, 111, "refused by the system") or \
                host.state(app="wordy"):
            wrong.append(f"{spare} bytes left: {done}"[:400])
    TAP.ok(not wrong and 111 in seen, "words of nearly as much as the system "
           f"takes are the caller's fault and not the share's: {seen}",
           "\n".join(wrong[:3]))


# ---- full disks ----------------------------------------------------------------------

class Disk:
    """A small file system of its own."""

    def __init__(self, name, size):
        self.path = os.path.join(HERE, name)
        os.makedirs(self.path, exist_ok=True)
        done = warm.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small",
                         self.path])
        assert done.status == 0, done

    def end(self):
        while os.path.ismount(self.path):
            warm.run(["umount", "-l", self.path])


def leftovers(folder):
    return [os.path.join(f, n) for f, d, names in os.walk(folder)
            for n in names + d if ".draft." in n or ".new." in n]


def full_pack(image):
    tree = os.path.join(HERE, "tree")
    write(f"{tree}/bin/tool", "#!/bin/sh\n", 0o755)
    with open(f"{tree}/blob", "wb") as f:
        f.write(os.urandom(4 << 20))
    disk = Disk("small", "2m")
    for words, env, where in (
            ("where it is packed to", {}, disk.path),
            ("for TMPDIR", {"TMPDIR": disk.path}, HERE)):
        to = f"{where}/packed.app"
        done = warm.brood("app", "pack", tree, "--as", to, "--name", "full",
                          "--entry", "tool=bin/tool",
                          env=dict(os.environ, **env))
        TAP.ok((done.status == 111 and len(done.err.splitlines()) == 1 and
                not os.path.exists(to) if where == disk.path else
                done.status in (0, 111)) and not os.listdir(disk.path),
               f"a pack with a full disk {words}: {done.status}",
               f"{done} {os.listdir(disk.path)}")
    shutil.rmtree(tree)
    disk.end()


def full_install(upgrade_image, image):
    """A host and a share on disks that get full, at each of some sizes."""
    for which in ("share", "apps", "TMPDIR"):
        wrong, ends = [], {}
        for kb in (40, 200, 2000, 4200, 4600, 5200, 9000):
            disk = Disk(f"full-{which}-{kb}", f"{kb}k")
            share = Share(f"full-share-{which}-{kb}")
            host = Host(f"full-host-{which}-{kb}", share, LIMITS)
            env = {}
            if which == "share":
                share.path = share.back = f"{disk.path}/share"
            elif which == "apps":
                host.apps = f"{disk.path}/apps"
                host.mounts = f"{host.apps}/.mounts"
                host.env["BROOD_APPS"] = host.apps
            else:
                host.env["TMPDIR"] = disk.path
            write(host.path(), OLD, 0o755)
            wrong += full_steps(host, share, image, upgrade_image, ends,
                                f"{kb} KB")
            host.clean()
            disk.end()
        TAP.ok(not wrong, f"installs, upgrades and rejoins with a full disk "
               f"for {which}: {ends}", "\n".join(wrong[:4]))


def full_steps(host, share, image, upgrade_image, ends, where):
    wrong = []
    done = host.install(image, "--keep")
    ends[f"install {done.status}"] = ends.get(f"install {done.status}", 0) + 1
    if len(done.err.splitlines()) > 1 or done.status not in (0, 111):
        wrong.append(f"{where}: install: {done}")
    start = host.start("x")
    if done.status == 0 and way(start) not in ("shared", "full"):
        wrong.append(f"{where}: start: {done} {start}")
    if done.status != 0 and start.out != OLD_OUT:
        wrong.append(f"{where}: the old program: {start}")
    if done.status == 0:
        wrong += full_upgrade(host, share, upgrade_image, ends, where)
    for folder in (host.apps, share.back):
        left = [n for n in leftovers(folder) if "/lock/" not in n]
        if left:
            wrong.append(f"{where}: left: {left}")
    return wrong


def full_upgrade(host, share, image, ends, where):
    wrong = []
    done = host.install(image, verb="upgrade")
    ends[f"upgrade {done.status}"] = ends.get(f"upgrade {done.status}", 0) + 1
    if len(done.err.splitlines()) > 1 or done.status not in (0, 111):
        wrong.append(f"{where}: upgrade: {done}")
    # One that failed for this host may be there for all.
    for step in range(2):
        forget_state(host)
        start = host.start("x")
        if (way(start, 2) or way(start, 1)) not in ("shared", "full", "kept"):
            wrong.append(f"{where}: start after the upgrade: {start}")
        told = host.brood("rejoin", "tool")
        ends[f"rejoin {told.status}"] = ends.get(
            f"rejoin {told.status}", 0) + 1
        if told.status not in (0, 111) or len(told.err.splitlines()) > 1:
            wrong.append(f"{where}: rejoin: {told}")
    return wrong


# ---- the helper --------------------------------------------------------------------------

def helper_of(pid):
    """Of a start: nobody's child, in the start's group's session of its own."""
    start = os.path.realpath(f"/proc/{pid}/exe")
    for other in warm.processes():
        try:
            if other != pid and os.readlink(f"/proc/{other}/exe") == start:
                return other
        except OSError:
            pass
    return None


def helper_killed(host):
    """While it waits for the lock: it is sure to be there."""
    held = app_host.holder(host.share, "ms=60000")
    p = subprocess.Popen([host.path(), "x"], env=host.start_env(),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    found = []
    warm.wait_until(lambda: found.append(helper_of(p.pid)) or found[-1], 2,
                    0.001)
    if found[-1]:
        os.kill(found[-1], signal.SIGKILL)
    out, err = p.communicate(timeout=20)
    done = warm.Result(p.returncode, out, err)
    TAP.ok(found[-1] and way(done) == "full" and b"helper was ended" in err,
           "a helper that is killed alone: the start goes on without the "
           "share", done)
    warm.end(held)
    forget_state(host)
    TAP.ok(host.share.lock_within(TTL_MS / 1000 + 2) is not None and
           way(host.start("x")) == "shared" and host.quiet(),
           "and the next one with it")


def sees(tree):
    write(f"{tree}/bin/sees", SEES, 0o755)


def main():
    global IMAGE
    if not MAY_MOUNT:
        TAP.skip("damaged files", "needs root and EROFS in the kernel")
        TAP.done()
    share = Share("share")
    host = Host("host", share, LIMITS)
    write(host.path(), OLD, 0o755)
    image = app_host.pack(1, more=sees, entries=("tool", "waiter", "sees"))
    later = app_host.pack(2)
    small = app_host.pack(1, entries=("tool",), blob=4096)
    try:
        assert host.install(image).status == 0
        IMAGE = away = image + ".away"
        os.rename(image, away)
        parts = os.environ.get("PARTS", "").split(",")
        for name, part in (
                ("damages", lambda: all_damages(host, share)),
                ("crafted", lambda: crafted(host, share)),
                ("states", lambda: states(host)),
                ("owners", lambda: owners(host, share)),
                ("links", lambda: links(host, share)),
                ("calls", lambda: calls(host)),
                ("closed", lambda: closed(small)),
                ("closed_pack", closed_pack),
                ("seen", lambda: closed_seen(host)),
                ("words", lambda: many_words(host)),
                ("helper", lambda: helper_killed(host)),
                ("pack", lambda: full_pack(image)),
                ("full", lambda: full_install(later, away))):
            if parts == [""] or name in parts:
                began = time.monotonic()
                part()
                warm.note(f"{name}: {time.monotonic() - began:.1f} s")
    finally:
        host.clean()
    TAP.done()


main()
