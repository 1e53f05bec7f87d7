# SPDX-License-Identifier: Apache-2.0
"""CLAIM 2.1 to 2.14, one line each: memories of virtual machines as a base
and a chain of differences.

Two chains are looked at.  Of the first each machine was really booted, with
its own kernel's words and its own software, and the differences were found by
comparing.  Of the second each was restored from the one before and got more
software.

Memories are read by this script itself from /proc/PID/mem while the machines
stand still, and layers from their files (lib/layer_file.py); Brood's own
listing only tells which process to look at, and where in it."""

import collections
import glob
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import sys
import threading
import time
import traceback

import layer_file as lf
import warm
from layer_file import PAGE
from warm import note

TAP = warm.Tap()
QEMU = "qemu-system-x86_64"
WORK = os.path.join(os.environ["TMPDIR"], "claims")
STORE = os.path.join(WORK, "images")
EVENTS = os.path.join(WORK, "events")
RAM = 128 << 20
PAGES = RAM // PAGE
WORDS = "quiet panic=-1 mitigations=off nokaslr norandmaps"

# The software of the guests.  The runtime is an interpreter of words, with a
# table of its own in memory; the application is words that it is given.
RUNTIME = r"""
function run(words,    n, i, w) {
	n = split(words, w, " ")
	for (i = 1; i <= n && !wrong; i++)
		if (w[i] in meaning) run(meaning[w[i]])
		else if (w[i] ~ /^[0-9]+$/) stack[++top] = w[i]
		else if (w[i] ~ /^=/) stack[++top] = substr(w[i], 2)
		else if (w[i] == "*") { top--; stack[top] *= stack[top + 1] }
		else if (w[i] == "+") { top--; stack[top] += stack[top + 1] }
		else wrong = w[i]
}
BEGIN { for (i = 0; i < 20000; i++) square[i] = i * i }
$1 == "define" { word = $2; $1 = $2 = ""; meaning[word] = $0 }
$1 == "ask" {
	reply = $2; $1 = $2 = ""; top = 0; wrong = ""; said = ""
	run($0)
	for (i = 1; i <= top; i++) said = said (i > 1 ? " " : "") stack[i]
	print wrong ? "unknown word " wrong : said > reply
	close(reply)
}
"""
RUNTIME_START = """#!/bin/sh
PATH=/bin:/sbin
mkdir -p /run/runtime
mkfifo /run/runtime/in
awk -f /opt/runtime.awk <>/run/runtime/in >/dev/null 2>&1 &
"""
APPLICATION_START = """#!/bin/sh
PATH=/bin:/sbin
awk 'BEGIN { for (i = 0; i < 5000; i++)
	print "define item" i " " i * 37 % 1009
	print "define quote item1234 * 7 +" }' >/run/runtime/in
"""
ASK = """test -p /run/runtime/in || { echo no runtime; exit 1; }
r=/tmp/reply$$; mkfifo $r; echo "ask $r $*" >/run/runtime/in
timeout 30 cat $r; rm $r"""
TELL = 'read n; echo "define nonce =$n" >/run/runtime/in'
QUOTE = str(1000 * (1234 * 37 % 1009) + 7)
FACTS = "cat /proc/sys/kernel/random/boot_id /proc/uptime /proc/cmdline"


class Broken(Exception):
    """What the rest cannot go on without."""


def claim(number, good, evidence, detail=""):
    return TAP.ok(good, f"CLAIM {number} {evidence}", detail)


def brood(*words, data=b"", timeout=120):
    result = warm.brood("machine", *words, stdin=data, timeout=timeout)
    if result.status != 0:
        raise Broken(f"brood machine {' '.join(words)}\n{result}")
    return result.out


def at_all(number):
    """A page's address, as it is told."""
    return f"{number * PAGE:#x}"


# ---- machines ---------------------------------------------------------------

class Machine:
    """One that lives, or waits."""

    def __init__(self, name):
        listed = json.loads(brood("ps", "--json"))["machines"]
        entry = next(m for m in listed if m["name"] == name)
        self.name, self.folder = name, entry["folder"]
        self.pid, self.ram_at = entry["pid"], entry["ram_at"]

    def sh(self, script, *words, data=b"", timeout=60):
        return warm.brood("machine", "exec", self.name, "--", "sh", "-c",
                          script, "sh", *words, stdin=data, timeout=timeout)

    def facts(self):
        """(boot_id, uptime, the kernel's words)"""
        boot, uptime, words = self.sh(FACTS).out.decode().splitlines()
        return boot, float(uptime.split()[0]), words

    def ask(self, *words):
        result = self.sh(ASK, *words)
        return result.out.decode().strip()

    def quote(self):
        """The functional probe: work of the application and the secret."""
        return self.ask("1000", "quote", "nonce")

    def qmp(self, *orders):
        """The last one's answer."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(os.path.join(self.folder, "qmp"))
            lines = s.makefile("rwb", buffering=0)
            lines.readline()
            for order in ("qmp_capabilities", *orders):
                lines.write(json.dumps({"execute": order}).encode() + b"\n")
                answer = {}
                while "return" not in answer and "error" not in answer:
                    answer = json.loads(lines.readline())
        return answer.get("return")

    def say(self, line, until, seconds=30):
        """Types a line at the console; what came up to "until"."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(self.folder, "console"))
            s.settimeout(1)
            s.sendall(line.encode() + b"\n")
            said, end = b"", time.monotonic() + seconds
            while until not in said and time.monotonic() < end:
                try:
                    said += s.recv(4096)
                except socket.timeout:
                    pass
        return said

    def words(self):
        with open(f"/proc/{self.pid}/cmdline", "rb") as f:
            return f.read().decode().split("\0")

    def log(self):
        try:
            with open(os.path.join(self.folder, "console.log"), "rb") as f:
                return f.read()
        except OSError:
            return b""

    def mapped(self):
        """[(path, place in the file)] for each page of its memory, ("", 0)
        for memory without a file; and whether all is private."""
        found, private = [], True
        for start, end, rights, offset, inode, path in warm.maps(self.pid):
            if end <= self.ram_at or start >= self.ram_at + RAM:
                continue
            private = private and rights == "rw-p"
            begin = max(start, self.ram_at)
            for at in range(begin, min(end, self.ram_at + RAM), PAGE):
                found.append((path, offset + at - start) if inode else
                             ("", 0))
        return found, private

    def page_table(self):
        with open(f"/proc/{self.pid}/pagemap", "rb") as f:
            f.seek(self.ram_at // PAGE * 8)
            return struct.unpack(f"={PAGES}Q", f.read(8 * PAGES))

    def own_pages(self):
        """The pages that are in memory or swapped out, and not a file's: so
        they were written, or they are zeros that were read."""
        return {i for i, e in enumerate(self.page_table())
                if e >> 62 and not e >> 61 & 1}

    def ram(self):
        """What was never touched and has no file is not touched: it is
        zero."""
        maps, table = self.mapped()[0], self.page_table()
        return lf.read_process(self.pid, self.ram_at,
                               [bool(path or e >> 62)
                                for (path, _), e in zip(maps, table)])

    def stop(self):
        brood("stop", "--now", self.name)


def start(tip, *words, name=None, store=STORE):
    told = json.loads(brood("start", tip, "--detach", "--json", "--store",
                            store, *(["--name", name] if name else []),
                            *words))
    return Machine(told["name"])


class Saved:
    """A machine as it was when it was captured: its memory as this script
    has read it, and the tip that Brood has made of it."""

    def __init__(self, machine, tip, *words):
        self.tip_name, self.name = tip, machine.name
        self.boot, self.uptime, self.words = machine.facts()
        self.quote = machine.quote()
        self.sum = machine.ask("6", "7", "*")
        machine.qmp("stop")
        self.memory = machine.ram()
        brood("save", machine.name, "--as", tip, "--stop", "--store", STORE,
              *words)
        self.tip = lf.Tip(os.path.join(STORE, "tips", tip))
        self.layers = [lf.Layer(os.path.join(STORE, name))
                       for name in self.tip.layers]


class Chain:
    def __init__(self, how, one, two, three, nonce):
        self.how, self.saved, self.nonce = how, (one, two, three), nonce
        self.answer = f"{QUOTE} {nonce}"
        self.layers = three.layers


# ---- VM1, VM2, VM3 ----------------------------------------------------------

def kernel():
    found = [k for k in sorted(glob.glob("/boot/vmlinuz-*cloud*")) or
             sorted(glob.glob("/boot/vmlinuz-*")) if os.access(k, os.R_OK)]
    return found[-1] if found else None


def write(name, text):
    path = os.path.join(WORK, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


def first_file_systems():
    """Of three machines: plain, with the runtime, with both."""
    software = [f"{write('runtime.awk', RUNTIME)}=/opt/runtime.awk",
                f"{write('runtime', RUNTIME_START)}=/opt/runtime",
                f"{write('application', APPLICATION_START)}=/opt/application"]
    starts = ["", "#!/bin/sh\n/opt/runtime\n",
              "#!/bin/sh\n/opt/runtime\n/opt/application\n"]
    paths = []
    for i, begin in enumerate(starts):
        paths.append(os.path.join(WORK, f"first{i + 1}.img"))
        with_these = [f"{write(f'name{i}', f'vm{i + 1}')}=/etc/hostname"]
        if begin:
            with_these += software[:i + 2 if i > 1 else 2]
            with_these.append(f"{write(f'start{i}', begin)}="
                              "/etc/brood/start")
        brood("image", "--as", paths[-1],
              *[w for f in with_these for w in ("--with", f)])
    return paths


def boot(number, first, results):
    results[number] = warm.brood(
        "machine", "boot", f"vm{number}", "--kernel", kernel(), "--initrd",
        first, "--append", f"{WORDS} vm={number}", "--memory",
        f"{RAM >> 20}M", timeout=120)


def boot_all():
    """All at once: a boot waits a lot."""
    firsts, results = first_file_systems(), {}
    threads = [threading.Thread(target=boot, args=(i + 1, first, results))
               for i, first in enumerate(firsts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results.values():
        if result.status != 0:
            raise Broken(result)
    return [Machine(f"vm{i}") for i in (1, 2, 3)], firsts


def tell_secret(machine):
    """A word that is in the guest's memory only, and in this script's."""
    nonce = secrets.token_hex(16)
    machine.sh(TELL, data=nonce.encode() + b"\n")
    return nonce


def show_boots():
    """CLAIM 2.1 2.2 2.3"""
    machines, firsts = boot_all()
    nonce = tell_secret(machines[2])
    saved = []
    for i, machine in enumerate(machines):
        words, exe, log = machine.words(), warm.exe(machine.pid), machine.log()
        pid = machine.pid
        parent = ["--parent", saved[-1].tip_name] if saved else []
        vm = Saved(machine, f"booted{i + 1}", *parent)
        saved.append(vm)
        said = lf.addresses_of(vm.memory, f"vm={i + 1}\0".encode())
        wrong = lf.different(lf.compose(vm.layers), vm.memory)
        filled = len(lf.not_zero(vm.memory))
        claim(f"2.{i + 1}", exe == os.path.realpath(shutil.which(QEMU)) and
              words[words.index("-initrd") + 1] == firsts[i] and
              words[words.index("-kernel") + 1] == kernel() and
              vm.words.endswith(f" vm={i + 1}") and
              b"brood: machine ready" in log and said and not wrong and
              len({v.boot for v in saved}) == i + 1,
              f"VM{i + 1}: {pid} booted Linux from "
              f"{os.path.basename(firsts[i])}, boot_id {vm.boot[:8]}, "
              f"vm={i + 1}; after {vm.uptime:.0f} s its {PAGES} pages "
              f"({filled} not zero) were captured, its kernel's words at "
              f"{said[0] if said else 0:#x}; read from "
              f"/proc/{pid}/mem and from the files: {len(wrong)} differ",
              (words, exe, log[-200:], vm.words, said[:3], len(wrong)))
    return Chain("booted", *saved, nonce)


def restored_chain(first):
    """VM1 again and again, each time with more software."""
    two = start(first.tip_name, name="restored2")
    two.sh("mkdir /opt; cat >/opt/runtime.awk", data=RUNTIME.encode())
    two.sh("cat >/tmp/start; sh /tmp/start", data=RUNTIME_START.encode())
    saved2 = Saved(two, "restored2")
    three = start(saved2.tip_name, name="restored3")
    three.sh("cat >/tmp/start; sh /tmp/start",
             data=APPLICATION_START.encode())
    nonce = tell_secret(three)
    return Chain("restored", first, saved2, Saved(three, "restored3"), nonce)


# ---- differences ------------------------------------------------------------

def show_values(chain):
    """CLAIM 2.4"""
    one, two, three = (vm.memory for vm in chain.saved)
    pairs = [lf.different(one, two), lf.different(two, three),
             lf.different(one, three)]
    somewhere = set().union(*pairs)
    common = lf.not_zero(one) - somewhere
    claim("2.4", all(pairs) and common and pairs[0] != pairs[2],
          f"{chain.how}: of {PAGES} pages {len(pairs[0])} differ between VM1 "
          f"and VM2, {len(pairs[1])} between VM2 and VM3, {len(pairs[2])} "
          f"between VM1 and VM3; {PAGES - len(somewhere)} are common to all, "
          f"{len(common)} of them not zero")
    return pairs


def sample(layer, before, changed):
    """One address with its value before and in the layer."""
    for e in layer.extents:
        if e.zero or e.offset // PAGE not in changed:
            continue
        for at in range(0, PAGE, 8):
            new = layer.data[e.file_at + at:e.file_at + at + 8]
            old = before[e.offset + at:e.offset + at + 8]
            if new != old:
                return f"{new.hex()} at {e.offset + at:#x} for {old.hex()}"
    return "none"


def show_difference(chain, number, changed, more):
    """Is layer "number" what makes VM"number + 1" of VM"number"?"""
    before, after = chain.saved[number - 1:number + 1]
    layer, parent = chain.layers[number], chain.layers[number - 1]
    memory = lf.new_memory(RAM)
    memory[:] = before.memory[:]
    layer.apply(memory)
    wrong = lf.different(memory, after.memory)
    held = set(layer.pages())
    good = layer.kind == lf.DIFF and layer.parent == parent.id and \
        layer.computed_id() == layer.id == layer.name and \
        changed <= held and not wrong
    return claim(f"2.{number + 4}", good and more[0],
                 f"{chain.how}: D{number} ({layer.id[:8]}, parent "
                 f"{layer.parent[:8]}) holds {len(layer.extents)} ranges of "
                 f"addresses, {len(held)} pages: the {len(changed)} that "
                 f"differ and {len(held - changed)} between them; first "
                 f"{sample(layer, before.memory, changed)}; VM{number} with "
                 f"these is VM{number + 1} but for {len(wrong)} pages"
                 f"{more[1]}",
                 (good, more, layer.parent, parent.id, len(changed - held)))


def show_differences(chain, pairs):
    """CLAIM 2.5 2.6"""
    base, d1, d2 = chain.layers
    secret = chain.nonce.encode()
    show_difference(chain, 1, pairs[0],
                    (base.kind == lf.BASE and chain.saved[1].layers[1].id ==
                     d1.id and d1.parent == base.id, ""))
    where = d2.addresses_of(secret)
    missing = pairs[2] - set(d2.pages())
    show_difference(
        chain, 2, pairs[1],
        (where and not d1.addresses_of(secret) and
         not base.addresses_of(secret) and missing and
         d2.parent == d1.id != base.id and
         set(where) <= set(lf.addresses_of(chain.saved[2].memory, secret)),
         f"; its parent is D1, and {len(missing)} pages in which VM3 differs "
         f"from VM1 are not in it; VM3's secret is in it, at "
         f"{where[0] if where else 0:#x}, and in no other layer"))


# ---- a fourth memory --------------------------------------------------------

def told_places(layers):
    return [("", 0) if number is None else (layers[number].path, at)
            for number, at in lf.places(layers)]


def show_pool(chain, mode):
    """CLAIM 2.8 2.9 2.14: a base that waits; on request D1, then D2."""
    one, two, three = chain.saved
    pool = start(one.tip_name, "--park", "--mode", mode,
                 name=f"pool-{chain.how}-{mode}")
    filled = lf.not_zero(one.memory)  # so far
    own = pool.own_pages() & filled
    maps, private = pool.mapped()
    wrong = lf.different(pool.ram(), one.memory)
    nowhere = [("", 0)] * PAGES
    claim("2.8", not wrong and private and
          maps == (told_places(chain.layers[:1]) if mode == "map" else
                   nowhere) and
          pool.qmp("query-status")["running"] is False,
          f"{chain.how}: before any request {pool.pid} waits with VM1's "
          f"values at {pool.ram_at:x}, {len(wrong)} pages differ: "
          f"{sum(bool(p) for p, _ in maps)} are mapped from the base's file, "
          f"private, and {len(own)} are copies", (private, len(own)))
    steps, owned = [], []
    for vm in (two, three):
        before = pool.ram()
        told = json.loads(brood("swap", pool.name, vm.tip_name, "--paused",
                                "--json", "--store", STORE))
        after = pool.ram()
        steps.append((len(lf.different(before, after)), told["written"],
                      len(lf.different(after, vm.memory))))
        filled = filled | lf.not_zero(vm.memory)
        owned.append(pool.own_pages() & filled)
    need = [lf.different(a.memory, b.memory)
            for a, b in ((one, two), (two, three))]
    count = [len(n) for n in need]
    claim("2.9", [s[0] for s in steps] == count == [s[1] for s in steps]
          and not any(s[2] for s in steps),
          f"{chain.how}: on request D1 was written into it: {steps[0][0]} "
          f"pages, {steps[0][2]} differ from VM2's; then D2: {steps[1][0]} "
          f"pages, {steps[1][2]} differ from VM3's", (steps, count))
    if mode == "map":
        want = [need[0], need[0] | need[1]]
        claim("2.14", not own and owned == want and
              len(owned[1]) < PAGES // 2,
              f"{chain.how}: nothing else was written: of {PAGES} pages the "
              f"process has {len(own)}, {len(owned[0])}, {len(owned[1])} of "
              f"its own, all where these differ",
              [sorted(o ^ w)[:9] for o, w in zip(owned, want)])
    pool.qmp("cont")
    said = pool.say("echo pool-$((6*7))", b"pool-42")
    answer = pool.quote()
    others = json.loads(brood("ps", "--json"))["machines"]
    claim("2.14", b"pool-42" in said and answer == chain.answer and
          not any(m["parked"] for m in others),
          f"{chain.how}: told to go on it answers on its console, and the "
          f"application with «{answer[:16]}…»", (said, answer, others))
    pool.stop()


def show_start(chain):
    """CLAIM 2.7 2.8 2.9 2.10 2.11 2.12: one command, one name."""
    three = chain.saved[2]
    waits = start(three.tip_name, "--park", name=f"new-{chain.how}")
    own = waits.own_pages()
    maps, private = waits.mapped()
    want = told_places(chain.layers)
    count = collections.Counter(path for path, _ in maps)
    inodes = {os.stat(layer.path).st_ino for layer in chain.layers}
    both = set(chain.layers[1].pages()) & set(chain.layers[2].pages())
    over = sum(maps[p] == want[p] for p in both) if len(maps) == PAGES else 0
    held = {m[4] for m in warm.maps(waits.pid) if
            m[0] >= waits.ram_at and m[1] <= waits.ram_at + RAM and m[4]}
    claim("2.9", maps == want and private and held == inodes and
          over == len(both) > 0,
          f"{chain.how}: every page of {waits.pid} is mapped from the place "
          f"that the layers say: base {count[chain.layers[0].path]}, D1 "
          f"{count[chain.layers[1].path]}, D2 "
          f"{count[chain.layers[2].path]}, none {count['']}; of "
          f"{over} pages in both D1 and D2 it has D2's", count)
    memory = waits.ram()
    wrong = lf.different(memory, three.memory)
    claim("2.11", not wrong, f"{chain.how}: base, D1 and D2 put together by "
          f"mapping, {PAGES} pages, {len(own)} written: {len(wrong)} differ "
          f"from VM3's", [at_all(p) for p in sorted(wrong)[:9]])
    new = start(three.tip_name)
    claim("2.7", new.pid == waits.pid and
          three.tip.layers == [layer.id for layer in chain.layers],
          f"{chain.how}: the request was the name {three.tip_name}; its file "
          f"names {' '.join(n[:8] for n in three.tip.layers)}, and {new.pid} "
          f"is the answer", (new.pid, waits.pid))
    show_access(chain, new)
    show_no_boot(chain, new)
    new.stop()


def show_name(chain):
    """CLAIM 2.7: what waits for the name's former meaning is not taken."""
    two, three = chain.saved[1:]
    path = os.path.join(STORE, "tips", "a-name")
    shutil.copy2(os.path.join(STORE, "tips", two.tip_name), path)
    waits = start("a-name", "--park", name="a-former")
    shutil.copy2(os.path.join(STORE, "tips", three.tip_name), path + ".new")
    os.rename(path + ".new", path)
    new = start("a-name")
    answer = new.quote()
    none = warm.brood("machine", "start", "nobody", "--store", STORE)
    claim("2.7", new.pid != waits.pid and answer == chain.answer and
          none.status == 111 and b"nobody" in none.err,
          f"{chain.how}: a name that was given to VM3 means VM3, although "
          f"{waits.pid} waits as what it meant before; an unknown name is "
          f"refused", (answer, none))
    new.stop()
    waits.stop()
    os.unlink(path)


def show_access(chain, new):
    """CLAIM 2.10"""
    token = secrets.token_hex(16)
    said = new.say(f"word={token}; echo new-$((6*7))", b"new-42")
    new.qmp("stop")
    where = lf.addresses_of(new.ram(), token.encode())
    new.qmp("cont")
    claim("2.10", b"new-42" in said and where,
          f"{chain.how}: the guest answers on its console, and what was "
          f"typed there lies in that memory of {new.pid}, at "
          f"{where[0] if where else 0:#x}", (said, where))


def show_no_boot(chain, new):
    """CLAIM 2.12"""
    one, two, three = chain.saved
    answers = [vm.quote for vm in chain.saved]
    answer = new.quote()
    claim("2.12", answer == answers[2] == chain.answer and
          chain.answer not in answers[:2] and two.sum == "42" and
          one.sum == "no runtime",
          f"{chain.how}: the application's «{answer[:16]}…» comes from VM3 "
          f"and from the new machine; VM1 says «{answers[0]}», VM2 "
          f"«{answers[1]}»", (answers, answer, one.sum, two.sum))
    boot_id, uptime, _ = new.facts()
    words, log = new.words(), new.log()
    claim("2.12", boot_id == three.boot and
          three.uptime <= uptime < three.uptime + 120 and
          "-kernel" not in words and "-initrd" not in words and
          b"machine ready" not in log and b"Linux version" not in log,
          f"{chain.how}: no boot: boot_id {boot_id[:8]} as VM3's, uptime "
          f"{three.uptime:.1f} -> {uptime:.1f} s, the secret is known, QEMU "
          f"{new.pid} has no kernel to boot", (boot_id, uptime, words, log))


def show_ways(chain):
    """CLAIM 2.8 2.9 2.11: another process, and memory that is copied."""
    three = chain.saved[2]
    if os.path.exists(EVENTS):
        os.unlink(EVENTS)
    copy = start(three.tip_name, "--park", "--mode", "copy", "--via", "exec",
                 name=f"copy-{chain.how}")
    maps, private = copy.mapped()
    wrong = lf.different(copy.ram(), three.memory)
    claim("2.11", not wrong and private and set(maps) == {("", 0)},
          f"{chain.how}: and put together by copying, no file mapped: "
          f"{len(wrong)} differ", [at_all(p) for p in sorted(wrong)[:9]])
    copy.stop()
    with open(EVENTS) as f:
        events = [json.loads(line) for line in f]
    steps = [e.get("id", e["event"]) for e in events
             if e["event"] in ("image.use", "machine.start")]
    names = [layer.id for layer in chain.layers]
    claim("2.9", steps == [*names, "machine.start"],
          f"{chain.how}: the order: base {names[0][:8]}, D1 {names[1][:8]}, "
          f"D2 {names[2][:8]}, then the start", steps)


def show_wrong_chains(chain):
    """CLAIM 2.11: D2 alone and the wrong order."""
    base, d1, d2 = chain.layers
    three = chain.saved[2]
    for name, layers in (("D2 alone", [base, d2]),
                         ("D2, then D1", [base, d2, d1])):
        wrong = lf.different(lf.compose(layers), three.memory)
        path = os.path.join(STORE, "tips", "forged")
        with open(path, "wb") as f:
            f.write(lf.tip_bytes(layers, three.tip.state, three.tip.shape,
                                 three.tip.words))
        os.chmod(path, 0o444)
        result = warm.brood("machine", "start", "forged", "--park", "--store",
                            STORE)
        os.unlink(path)
        claim("2.11", result.status == 111 and wrong and
              b"is a difference to" in result.err,
              f"{chain.how}: {name}: {len(wrong)} pages differ from VM3's; "
              f"refused, «{result.err.decode().strip()[:90]}»",
              (result, len(wrong)))


def carry(name, store):
    """From the store to another."""
    if warm.brood("image", "--help").status == 0:
        bundle = os.path.join(WORK, "bundle")
        for words in (("export", name, bundle, "--store", STORE),
                      ("import", bundle, "--store", store)):
            result = warm.brood("image", *words)
            if result.status != 0:
                raise Broken(result)
        return f"in one file of {os.path.getsize(bundle) >> 10} KiB"
    # By hand, as long as there is no "brood image".
    tip = lf.Tip(os.path.join(STORE, "tips", name))
    os.makedirs(os.path.join(store, "tips"), 0o700)
    for path in [f"tips/{name}", tip.state, *tip.layers]:
        shutil.copy2(os.path.join(STORE, path), os.path.join(store, path))
    return "file by file"


def show_other_store(chain):
    """CLAIM 2.13"""
    three = chain.saved[2]
    other, away = os.path.join(WORK, "other"), STORE + ".away"
    os.mkdir(other, 0o700)
    how = carry(three.tip_name, other)
    os.rename(STORE, away)
    try:
        waits = start(three.tip_name, "--park", name="abroad", store=other)
        files = {os.path.dirname(path) for path, _ in waits.mapped()[0]
                 if path}
        wrong = lf.different(waits.ram(), three.memory)
        new = start(three.tip_name, store=other)
        answer = new.quote()
        new.stop()
    finally:
        os.rename(away, STORE)
    claim("2.13", files == {other} and not wrong and new.pid == waits.pid and
          answer == chain.answer,
          f"{chain.how}: carried {how} into another store, the first one "
          f"gone: {len(wrong)} pages differ from VM3's, the application "
          f"answers", (files, len(wrong), answer))


def show_swap(chain):
    """CLAIM 2.14: VM1 runs, and becomes VM2."""
    one, two = chain.saved[:2]
    live = start(one.tip_name, "--as-it-was", name="live")
    was = live.facts()[0], live.ask("6", "7", "*")
    live.qmp("stop")
    before = live.ram()
    told = json.loads(brood("swap", "live", two.tip_name, "--paused",
                            "--json", "--store", STORE))
    now = live.ram()
    wrong, written = lf.different(now, two.memory), lf.different(before, now)
    claim("2.14", not wrong and told["written"] == len(written) < PAGES // 2
          and warm.alive(live.pid) and Machine("live").pid == live.pid,
          f"{chain.how}: {live.pid}, which ran as VM1, holds VM2's values: "
          f"{len(written)} of {PAGES} pages were written, {len(wrong)} "
          f"differ", (told, len(written), len(wrong)))
    live.qmp("cont")
    said = live.say("echo swapped-$((6*7))", b"swapped-42")
    now = live.facts()[0], live.ask("6", "7", "*")
    claim("2.14", b"swapped-42" in said and
          (was, now) == ((one.boot, "no runtime"), (two.boot, "42")),
          f"{chain.how}: it goes on: boot_id {was[0][:8]} -> {now[0][:8]}, "
          f"6 7 * is «{was[1]}» -> «{now[1]}»", (said, was, now))
    live.stop()


# ---- all of it --------------------------------------------------------------

def missing():
    """What this cannot be shown without."""
    if not shutil.which(QEMU):
        return f"there is no {QEMU}"
    if not kernel():
        return "there is no kernel in /boot that this user may read"
    if not os.path.exists("/bin/busybox"):
        return "there is no /bin/busybox (busybox-static)"
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as f:
            if int(f.read()) > 1 and os.geteuid() != 0:
                return "yama's ptrace_scope forbids to read memories"
    except OSError:
        pass
    return None


def attempt(show, *args):
    """What breaks one step leaves the others."""
    try:
        show(*args)
    except Exception:
        TAP.ok(False, f"{show.__name__} itself", traceback.format_exc())


def show_all():
    booted = show_boots()
    pairs = show_values(booted)
    show_differences(booted, pairs)
    restored = restored_chain(booted.saved[0])
    pairs = show_values(restored)
    show_differences(restored, pairs)
    for chain in (restored, booted):
        attempt(show_pool, chain, "map")
        attempt(show_start, chain)
    attempt(show_pool, restored, "copy")
    attempt(show_name, restored)
    attempt(show_ways, restored)
    attempt(show_wrong_chains, restored)
    attempt(show_other_store, restored)
    attempt(show_swap, booted)


def end(*_):
    sys.exit("ended")


def main():
    why = missing()
    if why:
        TAP.skip("CLAIM 2.1 to 2.14: machines", why)
        TAP.done()
    signal.signal(signal.SIGTERM, end)
    os.makedirs(WORK, exist_ok=True)
    os.environ["BROOD_EVENTS"] = EVENTS
    began = time.monotonic()
    try:
        show_all()
    except Exception:
        TAP.ok(False, "the script itself", traceback.format_exc())
    finally:
        warm.brood("machine", "stop", "--all", "--now")
        warm.stop_all()
    note(f"all of it took {time.monotonic() - began:.0f} s")
    TAP.done()


if __name__ == "__main__":
    main()
