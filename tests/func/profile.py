# SPDX-License-Identifier: Apache-2.0
"""What is hot: found, kept, merged, lost without harm, and optimised."""

import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import zlib

import warm

TAP = warm.Tap()
HERE = os.path.join(os.environ["TMPDIR"], "profile")
LOG = os.path.join(HERE, "log")
FAKE = os.path.join(warm.BUILD, "tests", "programs", "fake_aotc")
REAL = os.path.join(warm.BUILD, "brood-aotc")
SANITISED = b"__asan_report_load8" in open(warm.BROOD, "rb").read()
os.makedirs(HERE, exist_ok=True)

FUNCTIONS = 40
HOT = 17  # the index of the one that takes all the time, of 42
TURNS = str(30_000_000 if SANITISED else 150_000_000)
WAIT = 60
CACHES = [0]


class Cache:
    """A folder of code of its own."""

    def __init__(self, budget="0", rules=""):
        CACHES[0] += 1
        self.folder = os.path.join(HERE, f"cache{CACHES[0]}")
        self.budget, self.rules = budget, rules
        self.log = os.path.join(HERE, f"log{CACHES[0]}")
        self.compiler = FAKE

    def env(self):
        return dict(os.environ, BROOD_AOTC=self.compiler,
                    FAKE_AOTC=self.rules, FAKE_AOTC_LOG=self.log,
                    BROOD_CACHE=self.folder, BROOD_OPTIMISE=self.budget)

    def brood(self, *words, **more):
        return warm.brood(*words, env=self.env(), **more)

    def run(self, path, turns=TURNS, *words, name="hot", **more):
        return self.brood("run", *words, "--invoke", name, path, turns,
                          **more)

    def start(self, path, turns):
        return subprocess.Popen(
            [warm.BROOD, "run", "--invoke", "hot", path, turns],
            env=self.env(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def objects(self):
        r = self.brood("cache", "ls", "--json")
        return json.loads(r.out)["objects"]

    def object(self):
        return self.objects()[0]

    def hot(self):
        return self.object().get("hot", {})

    def profile(self):
        return os.path.join(self.folder, self.object()["key"] + ".profile")

    def profiles(self):
        return [n for n in os.listdir(self.folder) if n.endswith(".profile")
                ] if os.path.exists(self.folder) else []

    def is_whole(self):
        r = self.brood("cache", "verify")
        return r.status == 0 and b" 0 wrong" in r.out

    def litter(self):
        return [n for n in os.listdir(self.folder) if n.startswith(".")]

    def compilers(self):
        """The processes of the compiler that have begun."""
        try:
            with open(self.log) as f:
                return [int(line.split()[0]) for line in f]
        except OSError:
            return []

    def is_idle(self):
        """Nobody has the turn to optimise, nor is about to."""
        mine = f"BROOD_CACHE={self.folder}".encode()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    if mine in f.read().split(b"\0"):
                        return False
            except OSError:
                pass
        return True

    def settle(self):
        return warm.wait_until(self.is_idle, WAIT)

    def doctor(self):
        r = self.brood("doctor")
        return [x for x in r.out.decode().splitlines() if "by itself" in x][0]

    def forge(self, path, rows=((HOT, 1000),), tried=0):
        """A module that has run so long, as its profile says."""
        self.run(path, "1")
        entry = [o for o in self.objects()
                 if o["name"] == os.path.basename(path)][0]
        head = struct.pack("<8sII32s", b"\x7fBROODP\0", 1, len(rows),
                           bytes.fromhex(entry["key"]))
        tail = struct.pack("<IIQQ", entry["functions"], 0,
                           sum(t for _, t in rows), tried)
        tail += b"".join(struct.pack("<II", *r) for r in rows)
        digest = hashlib.sha256(head + bytes(32) + tail).digest()
        place = os.path.join(self.folder, entry["key"] + ".profile")
        with open(place + ".new", "wb") as f:
            f.write(head + digest + tail)
        os.rename(place + ".new", place)
        return entry["key"]


def module(name):
    """Of many functions one is called for long; it calls a small one."""
    path = os.path.join(HERE, name)
    with open(path, "w") as f:
        f.write("(module (memory 1) (global i32 (i32.const "
                f"{zlib.crc32(name.encode())}))")
        for i in range(FUNCTIONS):
            if i == HOT:
                f.write(
                    '(func (export "hot") (param i32) (result i32)'
                    "(local i32) (loop (local.set 1 (call $small (i32.add "
                    "(i32.mul (local.get 1) (i32.const 31)) "
                    "(i32.const 7)))) (br_if 0 (local.tee 0 (i32.sub "
                    "(local.get 0) (i32.const 1))))) (local.get 1))\n")
            else:
                f.write(f"(func (result i32) (loop) (i32.const {i}))\n")
        f.write("(func $small (param i32) (result i32) (i32.xor "
                "(local.get 0) (i32.const 85)))")
        f.write('(func (export "cold") (param i32) (result i32)'
                "(local.get 0)))")
    return path


def found():
    cache, path = Cache(), module("found.wat")
    r = cache.run(path, "1000")
    TAP.ok(r.status == 0 and not cache.profiles(),
           "a short run leaves no profile", cache.profiles())
    first = cache.run(path)
    hot = cache.hot()
    TAP.ok(first.status == 0 and not first.err and hot.get("functions") in
           (1, 2) and hot["optimised"] == 0 and hot["ms"] > 0,
           "one hot function of many is found", (first, hot))
    r = cache.brood("cache", "ls")
    TAP.ok(f"hot: {hot.get('functions')} functions, optimised 0".encode() in
           r.out, "cache ls tells it", r)
    r = cache.brood("cache", "show", cache.object()["key"])
    TAP.ok(b"\nprofile    " in r.out and b"\nhot        " in r.out,
           "cache show does", r)
    again = cache.run(path)
    TAP.ok(again.out == first.out and cache.hot()["ms"] > hot["ms"],
           "the next run adds to it", (again, cache.hot()))
    with open(cache.profile(), "rb") as f:
        rows = f.read()[104:]
    rows = dict(struct.iter_unpack("<II", rows))
    small = FUNCTIONS
    TAP.ok(rows.get(HOT, 0) + rows.get(small, 0) ==
           sum(rows.values()) and HOT in rows,
           "and it is that one, and what it calls", rows)
    cache.compiler = FAKE
    r = cache.brood("compile", "--optimise=hot", "--json", path)
    answer = json.loads(r.out or b"{}")
    TAP.ok(answer.get("wanted") == 2 and answer["optimised"] == 2,
           "--optimise=hot takes these two, loops or not", r)
    TAP.ok(cache.hot()["optimised"] == cache.hot()["functions"] and
           f"optimised {cache.hot()['functions']}\n".encode() in
           cache.brood("cache", "ls").out,
           "and cache ls knows it", cache.objects())


def not_counted():
    path = module("not.wat")
    for words, what in ((["--fuel", "10000000000"], "fuel"),
                        (["--via", "interp"], "an interpreter"),
                        (["--in", "domain"], "a domain"),
                        (["--cache", "off"], "no cache")):
        cache = Cache()
        turns = TURNS if what != "an interpreter" else "3000000"
        r = cache.run(path, turns, *words)
        TAP.ok(r.status == 0 and not cache.profiles(),
               f"with {what} nothing is counted", r)
    cache = Cache("off")
    r = cache.run(path)
    TAP.ok(r.status == 0 and not cache.profiles(),
           "nor with BROOD_OPTIMISE=off", r)
    TAP.ok("off, as BROOD_OPTIMISE=off says" in cache.doctor(),
           "which the doctor tells", cache.doctor())
    cache.budget = "much"
    TAP.ok("off, as BROOD_OPTIMISE=much says" in cache.doctor(),
           "nor with what is no number", cache.doctor())
    cache.budget = "0"
    TAP.ok("off, but profiles are kept" in cache.doctor(),
           "0: only that is told", cache.doctor())


def ended():
    cache, path = Cache(), module("ended.wat")
    r = cache.run(path, "4000000000", "--timeout", "500ms")
    TAP.ok(r.status == 124 and cache.is_whole(),
           "ticks do not keep a deadline from its end", r)
    before = cache.hot()
    p = cache.start(path, "4000000000")
    warm.wait_until(lambda: cache.object()["users"], WAIT)
    p.kill()
    p.communicate()
    TAP.ok(cache.hot() == before and cache.is_whole() and not cache.litter(),
           "one that is killed at its begin changes nothing", cache.hot())
    cache = Cache()
    p = cache.start(path, "4000000000")
    TAP.ok(warm.wait_until(cache.profiles, WAIT),
           "one that goes on tells meanwhile")
    p.terminate()
    p.communicate()
    TAP.ok(cache.hot().get("functions") in (1, 2) and cache.is_whole() and
           not cache.litter(), "so that a kill does not lose it",
           cache.objects())


def at_once():
    cache, path = Cache(), module("once.wat")
    wanted = cache.run(path).out
    before = cache.hot()["ms"]
    runs = [cache.start(path, TURNS) for _ in range(4)]
    out = {p.communicate(timeout=100)[0] for p in runs}
    TAP.ok(out == {wanted} and cache.hot()["ms"] > before and
           cache.is_whole() and not cache.litter(),
           "runs that end at once add theirs", (out, cache.hot()))


def gone():
    cache, path = Cache(), module("gone.wat")
    wanted = cache.run(path)
    with open(cache.profile(), "r+b") as f:
        f.seek(50)
        f.write(b"xx")
    r = cache.brood("cache", "verify")
    TAP.ok(r.status == 1 and b".profile: its checksum is wrong" in r.out and
           not cache.hot(), "verify tells of a broken one", r)
    r = cache.brood("cache", "verify", "--delete")
    TAP.ok(not cache.profiles() and len(cache.objects()) == 1 and
           cache.is_whole(), "and removes it alone", r)
    for junk in (b"", b"\x7fBROODP\0", os.urandom(1000), b"\0" * 4096):
        with open(cache.profile(), "wb") as f:
            f.write(junk)
        r = cache.run(path)
        TAP.ok(r.same(wanted) and cache.hot().get("functions") in (1, 2) and
               cache.is_whole(),
               f"{len(junk)} bytes of another kind: it begins anew", r)
    r = cache.brood("cache", "prune", "--all")
    TAP.ok(r.status == 0 and not cache.profiles(), "prune takes both", r)
    p = cache.start(path, "400000000")
    warm.wait_until(lambda: cache.objects(), WAIT)
    cache.brood("cache", "prune", "--all")
    p.communicate(timeout=100)
    TAP.ok(p.returncode == 0 and not cache.profiles(),
           "one that was pruned in the middle gets none", cache.profiles())


def mounted(cache, script, path):
    """A run where the cache's folder is what the script makes of it."""
    script += ' && exec "$BROOD" run --invoke hot "$1" "$2"'
    return warm.run(["unshare", "--mount", "sh", "-c", script, "sh", path,
                     TURNS], env=dict(cache.env(), BROOD=warm.BROOD,
                                      AT=cache.folder))


def no_room():
    cache, path = Cache(), module("room.wat")
    wanted = cache.run(path, "1")
    if os.geteuid() != 0 or subprocess.run(
            ["unshare", "--mount", "true"], stderr=subprocess.DEVNULL
    ).returncode:
        TAP.skip("a cache without room", "not root, or no mounts")
        return
    wanted = cache.run(path, TURNS)
    os.unlink(cache.profile())
    r = mounted(cache, 'mount --bind "$AT" "$AT" && '
                'mount -o remount,ro,bind "$AT"', path)
    TAP.ok(r.same(wanted) and not cache.profiles(),
           "a cache that can only be read: as ever", r)
    kept = os.path.join(HERE, "kept")
    shutil.copytree(cache.folder, kept, symlinks=True)
    full = ('mount -t tmpfs -o size=256k none "$AT" && '
            f'cp -a {kept}/. "$AT" && ! dd if=/dev/zero of="$AT/full" '
            '2>/dev/null')
    r = mounted(cache, full, path)
    TAP.ok(r.same(wanted), "a disk that is full: as ever", r)
    r = mounted(cache, full.replace('&& !', '&& "$BROOD" run --invoke hot '
                                    '"$1" "$2" >/dev/null && !'), path)
    TAP.ok(r.same(wanted), "and with a profile that is there", r)


def by_itself():
    cache, path = Cache("100"), module("itself.wat")
    before = cache.run(path, "1")
    TAP.ok("on, 100 of 100 CPU s left" in cache.doctor() and
           "nothing was done yet" in cache.doctor(), "it is on",
           cache.doctor())
    key = cache.forge(path)
    TAP.ok("1 wait for their next run" in cache.doctor(),
           "the doctor says when it will", cache.doctor())
    r = cache.run(path)
    TAP.ok(r.status == 0 and not r.err, "the run is as ever", r)
    TAP.ok(warm.wait_until(cache.compilers, WAIT) and cache.settle() and
           cache.object()["optimised"] == 2 and
           cache.object()["key"] == key,
           "what is hot is optimised behind it", cache.objects())
    report = warm.new_report()
    r = cache.run(path, "1", "--report", report)
    TAP.ok(r.out == f"{HOT + 1000}\n".encode() and before.out != r.out and
           warm.read_report(report)["way"] == "mapped",
           "the next run maps it", r)
    TAP.ok("last itself.wat" in cache.doctor() and
           "2 functions in" in cache.doctor() and
           "wait" not in cache.doctor(), "the doctor tells", cache.doctor())
    begun = len(cache.compilers())
    for _ in range(3):
        cache.run(path, "1")
    TAP.ok(cache.settle() and len(cache.compilers()) == begun == 1,
           "it is done once", cache.compilers())
    for budget in ("0", "off"):
        cache = Cache(budget)
        cache.forge(path)
        cache.run(path)
        TAP.ok(cache.settle() and not cache.compilers() and
               cache.object()["optimised"] == 0,
               f"BROOD_OPTIMISE={budget}: nothing begins", cache.objects())


def its_result():
    if not os.path.exists(REAL):
        TAP.skip("the real compiler", "it was not built")
        return
    cache, path = Cache("100"), module("result.wat")
    cache.compiler = REAL
    first = cache.run(path)
    cache.forge(path)
    cache.run(path)
    cache.settle()
    report = warm.new_report()
    r = cache.run(path, TURNS, "--report", report)
    TAP.ok(cache.object()["optimised"] == 2 and r.same(first) and
           warm.read_report(report)["way"] == "mapped",
           "optimised for true, with the same result",
           (r, cache.objects(), cache.doctor()))


def once_of_many():
    cache, path = Cache("100", "slow:300"), module("many.wat")
    wanted = cache.run(path).out
    cache.forge(path)
    runs = [cache.start(path, TURNS) for _ in range(4)]
    out = {p.communicate(timeout=100)[0] for p in runs}
    TAP.ok(out <= {wanted, f"{HOT + 1000}\n".encode()} and cache.settle() and
           len(cache.compilers()) == 1 and cache.is_whole(),
           "many runs begin it once", (out, cache.compilers()))


def budget():
    cache, first = Cache("1"), module("first.wat")
    second = module("second.wat")
    cache.forge(first)
    cache.run(first)
    cache.settle()
    begun = len(cache.compilers())
    cache.forge(second)
    cache.run(second)
    cache.settle()
    TAP.ok(begun == 1 and len(cache.compilers()) == 1 and
           "1 wait for the next hour" in cache.doctor() and
           "on, 1 of 1 CPU s" in cache.doctor(),
           "without a budget the next one waits", cache.doctor())
    cache.budget = "50"
    cache.run(second)
    cache.settle()
    TAP.ok(len(cache.compilers()) == 2 and "wait" not in cache.doctor(),
           "with one it is done", cache.doctor())
    cache = Cache("50")
    cache.forge(first)
    cache.forge(second)
    cache.run(first)
    cache.settle()
    TAP.ok([o["optimised"] for o in cache.objects()] == [2, 2],
           "who has the turn does what else waits", cache.objects())


def failing():
    cache, path = Cache("50", f"crash:{HOT},crash:{FUNCTIONS}"), \
        module("failing.wat")
    cache.forge(path)
    wanted = cache.run(path)
    cache.settle()
    begun = len(cache.compilers())
    r = cache.run(path)
    cache.settle()
    TAP.ok(begun > 0 and len(cache.compilers()) == begun and
           r.same(wanted) and "not done: killed by signal 11" in
           cache.doctor(), "what failed is not tried again at once",
           (begun, cache.compilers(), cache.doctor()))
    cache.rules = ""
    cache.forge(path, ((HOT, 5000),), tried=1000)
    cache.run(path)
    cache.settle()
    TAP.ok(cache.object()["optimised"] == 2,
           "but when it has run much longer", cache.objects())
    cache = Cache("50")
    cache.compiler = "/bin/true"
    cache.forge(path)
    cache.run(path)
    cache.settle()
    TAP.ok("not done: there is no optimiser" in cache.doctor(),
           "a compiler that is none: told, once", cache.doctor())
    cache.compiler = "/nowhere"
    TAP.ok("off: there is no optimiser" in cache.doctor(),
           "none at all", cache.doctor())


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as f:
        return int(f.read().rsplit(")", 1)[1].split()[1])


def behind():
    """What goes on behind a run has nothing of it, and waits for nobody."""
    cache, path = Cache("50", f"hang:{HOT}"), module("behind.wat")
    cache.forge(path)
    keep, give = os.pipe()
    r = warm.run([warm.BROOD, "run", "--invoke", "hot", path, TURNS],
                 env=cache.env(), preexec=lambda: os.set_inheritable(give, 1))
    os.close(keep)
    os.close(give)
    TAP.ok(r.status == 0 and r.out, "the run is over at once", r)
    begun = warm.wait_until(cache.compilers, WAIT)
    pid = parent_of(cache.compilers()[0])
    names = {os.readlink(f"/proc/{pid}/fd/{n}") for n in range(3)}
    TAP.ok(begun and names == {"/dev/null"} and
           os.getsid(pid) != os.getsid(0) and
           os.sched_getscheduler(pid) == os.SCHED_IDLE and
           os.sched_getscheduler(cache.compilers()[0]) == os.SCHED_IDLE,
           "it is idle, in a session of its own, with /dev/null",
           (pid, names))
    TAP.ok("one works now" in cache.doctor() and
           "on, 0 of 50 CPU s" in cache.doctor(),
           "it has taken its budget", cache.doctor())
    r = cache.run(path)
    TAP.ok(r.status == 0 and len(cache.compilers()) == 1,
           "others do not begin meanwhile", cache.compilers())
    os.kill(pid, signal.SIGKILL)
    TAP.ok(cache.settle() and cache.object()["optimised"] == 0 and
           cache.is_whole() and "0 of 50" in cache.doctor() and
           "works now" not in cache.doctor(),
           "killed, it has had that, and nothing changed", cache.doctor())
    cache.budget = "500"
    r = cache.run(path)
    TAP.ok(cache.settle() and len(cache.compilers()) == 1,
           "and the one that killed it is not tried again",
           cache.compilers())


def by_hand():
    cache, path = Cache("50"), module("hand.wat")
    for words in (["--background"], ["--background", "--optimise", "x"],
                  ["--background", "--optimise=all", "x"],
                  ["--background", "--optimise=hot", "--init", "x", "x"],
                  ["--optimise=hot"]):
        r = cache.brood("compile", *words)
        TAP.ok(r.status == 100 and r.err.count(b"\n") == 1,
               f"compile {' '.join(words)}: 100", r)
    key = cache.forge(path)
    r = cache.brood("compile", "--optimise=hot", "--background")
    TAP.ok(r.status == 0 and cache.object()["optimised"] == 2,
           "without a key: what waits", r)
    for word in ("0" * 64, "x", "../" + key, key[:10]):
        r = cache.brood("compile", "--optimise=hot", "--background", word)
        TAP.ok(r.status == 0 and "not done" in cache.doctor() and
               cache.is_whole(), f"a key {word[:12]}: told", (r,
                                                             cache.doctor()))
    state = os.path.join(cache.folder, "optimiser")
    with open(state, "r+b") as f:
        f.seek(100)
        f.write(b"\xff" * 100)
    TAP.ok("nothing was done yet" in cache.doctor(),
           "a state that is broken is as none", cache.doctor())
    cache.forge(path, ((3, 10000), (HOT, 10)))
    r = cache.brood("compile", "--optimise=hot", "--background", key)
    TAP.ok(r.status == 0 and cache.object()["optimised"] == 3,
           "what becomes hot later comes to what was", cache.objects())


found()
not_counted()
ended()
at_once()
gone()
no_room()
by_itself()
its_result()
once_of_many()
budget()
failing()
behind()
by_hand()
TAP.done()
