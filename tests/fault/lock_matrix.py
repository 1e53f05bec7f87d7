# SPDX-License-Identifier: Apache-2.0
"""The lock of a share on each kind of storage, by each kind of lock that is
right for it: many take it, and count; holders are killed, paused, lose their
machine and their lock's files.  Two machines and their host have all storage
at the same time.  Times are the host's, when a line of a worker arrives."""

import concurrent.futures
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import apps
import machines as m
import shared
import warm

TAP = warm.Tap()
FOLDER = tempfile.mkdtemp(dir=os.environ["TMPDIR"])
IMAGE = os.path.join(FOLDER, "m.img")
REST_MS = 50
AT_ONCE = 3
SLACK_MS = 1000
USUAL_TTL_MS = 10000
# A taker who needs more than half of the TTL does not begin, and some dozens
# of calls to the server are needed, by guests that are emulated.
NFS_TTL_MS = 4000
NFS_LEASE_S = 10
WAYS = ["9p", "virtiofs", "virtiofs-locks"]


class Shell:
    """A shell of the host or of a machine, which does one command at a time:
    so all tasks there are in the background of this one.  They say their
    lines behind a number."""

    def __init__(self, *argv):
        self.tasks, self.lock = [], threading.Lock()
        self.process = subprocess.Popen(
            [*argv, "sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        self.thread = threading.Thread(target=self.hear)
        self.thread.start()

    def hear(self):
        for line in self.process.stdout:
            number, _, text = line.decode(errors="replace").partition(" ")
            self.tasks[int(number)].hear(text.rstrip("\n"))
        for task in self.tasks:
            task.over.set()

    def say(self, text):
        with self.lock:
            try:
                self.process.stdin.write(text.encode())
                self.process.stdin.flush()
            except OSError:
                pass  # its machine is gone

    def begin(self, task, folder, command):
        with self.lock:
            self.tasks.append(task)
            number = len(self.tasks) - 1
        task.gate = f"/tmp/gate.{os.getpid()}.{number}"
        self.say(f"""mkdir -p /tmp; mkfifo {task.gate}
            (cd '{folder}' && {{ {{ {command}
            }} <>{task.gate} 2>&1; echo "exit $?"; }} |
            while IFS= read -r l; do echo "{number} $l"; done
            rm {task.gate}) &\n""")

    def end(self):
        self.process.stdin.close()
        self.process.stdin = None
        warm.end(self.process)
        self.thread.join()


class Task:
    """.lines are (when, words), .status is None as long as it runs, and when
    its machine is gone."""

    def __init__(self, side, command):
        self.side, self.lines, self.err = side, [], []
        self.status, self.over = None, threading.Event()
        side.shell.begin(self, side.folder, command)

    def hear(self, text):
        words = text.split()
        if words[:1] == ["exit"]:
            self.status = int(words[1])
            self.over.set()
        elif words[:1] == ["lock_worker:"]:
            self.err.append(text)
        else:
            self.lines.append((time.monotonic(), words))

    def end(self, seconds=90):
        self.over.wait(seconds)
        return self.status


class Side:
    def __init__(self, name, folder, shell, machine=None):
        self.name, self.folder, self.shell = name, folder, shell
        self.machine = machine

    def sh(self, script):
        task = Task(self, script)
        task.end()
        return "\n".join(" ".join(words) for _, words in task.lines)

    def done(self, script):
        return Task(self, script).end() == 0


class Worker(Task):
    """A lock_worker on one side."""

    def __init__(self, side, share, count, *modes):
        program = "/bin/lock_worker" if side.machine else apps.WORKER
        super().__init__(side, " ".join(
            [program, share, side.name, str(count), *modes]))

    def wait_for(self, what, seconds=60.0):
        """When the first line with that word came, and the line."""
        return warm.wait_until(lambda: self.over.is_set() or next(
            (l for l in list(self.lines) if what in l[1]), None), seconds,
            0.002) and next((l for l in self.lines if what in l[1]), None)

    def go(self):
        self.side.shell.say(f"echo >{self.gate}\n")

    def of(self, what):
        """[(when, epoch, more)]"""
        return [(at, int(w[3]), int(w[4])) for at, w in list(self.lines)
                if len(w) == 5 and w[2] == what]

    def signal(self, name):
        self.side.sh(f"kill -{name} {self.lines[-1][1][1]}")

    def __repr__(self):
        return (f"{self.side.name} {self.status} {self.err} " +
                "; ".join(" ".join(w[1:]) for _, w in self.lines[-4:]))


def begin(workers):
    """Together, when all are there."""
    there = [w.wait_for("ready") for w in workers]
    for worker in workers:
        worker.go()
    return all(there)


def end(workers):
    """Did all end well?"""
    return all([w.end() == 0 for w in workers])


def of_all(workers, what):
    return sorted((line for w in workers for line in w.of(what)),
                  key=lambda line: line[1])


def distinct(workers):
    epochs = [epoch for _, epoch, _ in of_all(workers, "take")]
    return len(set(epochs)) == len(epochs)


def turns(workers):
    """How often another worker was next."""
    takes = sorted((epoch, i) for i, w in enumerate(workers)
                   for _, epoch, _ in w.of("take"))
    return sum(a[1] != b[1] for a, b in zip(takes, takes[1:]))


class Kind:
    """A storage, its sides, and what was found there."""

    def __init__(self, name, sides, *backends, cycles=20, ttl_ms=1000):
        self.name, self.sides, self.backends = name, sides, backends
        self.cycles, self.ttl_ms = cycles, ttl_ms


class Cell:
    """One kind of storage with one kind of lock.  Checks are kept, so that
    cells may be filled at the same time."""

    def __init__(self, kind, backend):
        self.kind, self.backend, self.sides = kind, backend, kind.sides
        self.ttl_ms, self.cycles = kind.ttl_ms, kind.cycles
        self.checks, self.row = [], {"lost": 0, "recovery": "-", "machine": "-"}

    def ok(self, good, words, detail=""):
        self.checks.append((good, f"{self.kind.name}, {self.backend}: {words}",
                            detail))
        return good

    def tell(self):
        for good, words, detail in self.checks:
            TAP.ok(good, words, detail)
        self.checks = []

    def share(self, name, ttl_ms=None):
        """A new one, with a counter in it, made by the first side."""
        share = f"{self.backend}-{name}"
        maker = Worker(self.sides[0], share, 0,
                       f"make={self.backend},{ttl_ms or self.ttl_ms}")
        if maker.end() != 0:
            warm.note(maker)
        self.sides[0].sh(f"echo 0 >{share}/counter")
        return share

    def counted(self, share, workers):
        """How many updates there were, and what the sides read."""
        made = sum(len(w.of("count")) for w in workers)
        seen = [s.sh(f"cat {share}/counter") for s in self.sides]
        seen = [int(s) if s.isdigit() else s for s in seen]
        self.row["lost"] += made - min(n if isinstance(n, int) else 0
                                       for n in seen)
        return made, seen

    def exact(self, share, workers, words, updates=None):
        made, seen = self.counted(share, workers)
        self.ok(set(seen) == {made} and updates in (None, made),
                words + f": {made} updates, none lost", (seen, workers))
        self.ok(distinct(workers), words + ": no epoch twice", workers)


# ---- many take it ------------------------------------------------------------------

def check_contended(cell):
    share, cycles = cell.share("many", USUAL_TTL_MS), cell.cycles
    workers = [Worker(s, share, cycles, "ms=2", f"rest={REST_MS}", "gate")
               for s in cell.sides]
    began = time.monotonic()
    if begin(workers):
        began = time.monotonic()
    good = end(workers)
    cell.ok(good, "all workers end well", workers)
    cell.exact(share, workers, "many", cycles * len(cell.sides))
    cell.ok(turns(workers) >= 2 * len(workers), "the sides took turns", turns(workers))
    us = (time.monotonic() - began) * 1e6 / (cycles * len(cell.sides))
    cell.row.update(cycles=cycles * len(cell.sides), us=round(us))


# ---- killed, paused ----------------------------------------------------------------

def next_take(died, epoch, workers):
    """Ms from the death to the next holder; None: there was none."""
    later = [at for at, e, _ in of_all(workers, "take") if e > epoch]
    return (min(later) - died) * 1000 if later else None


def kill_one(cell, share, victim_side):
    """The workers, and how long it took the others to go on."""
    hold_ms = 100
    victim = Worker(victim_side, share, 1, f"ms={hold_ms}", "die=1")
    others = [Worker(s, share, 1, "gate") for s in cell.sides]
    taken = victim.wait_for("take")
    begin(others)
    good = end(others) and victim.end() == 137
    if not good or not taken:
        cell.ok(False, f"a holder on {victim_side.name} is killed",
                [victim] + others)
        return [victim] + others, 0
    ms = next_take(taken[0] + hold_ms / 1000, int(taken[1][3]), others)
    return [victim] + others, ms


def check_killed(cell):
    """The time is from when the victim's line came, and its pause: it lived
    a bit longer."""
    share, workers, times = cell.share("killed"), [], []
    victims = [cell.sides[0], cell.sides[-1]]
    for side in victims:
        more, ms = kill_one(cell, share, side)
        workers += more
        times.append(ms)
    cell.ok(None not in times and max(times) <= cell.ttl_ms + SLACK_MS,
            f"a killed holder is followed within TTL + 1 s "
            f"({[round(t or -1) for t in times]} ms)")
    cell.exact(share, workers, "killed", len(victims) * len(cell.sides))
    cell.row["recovery"] = round(max(t or 99999 for t in times))


def check_paused(cell):
    """Longer than the TTL.  A lease is lost; a lock is not, and waited for."""
    share, lease = cell.share("paused"), cell.backend == "lease"
    paused = Worker(cell.sides[-1], share, 2, "ms=20", "stop=1", "chain")
    paused.wait_for("take")
    wait = "wait=60000" if lease else f"wait={cell.ttl_ms + 500}"
    others = [Worker(s, share, 2, "ms=2", "chain", wait) for s in cell.sides]
    ended = [w.end() for w in others]
    paused.signal("CONT")
    cell.ok(paused.end() == 0, "a holder that was paused goes on", paused)
    if lease:
        cell.ok(not any(ended) and len(paused.of("lost")) == 1 and
                len(paused.of("count")) == 1,
                "a holder that was paused does not commit", [paused] + others)
    else:
        cell.ok(set(ended) == {1} and not of_all(others, "take") and
                all("is locked by host" in w.err[0] for w in others),
                "a holder that was paused is waited for", [paused] + others)
    cell.exact(share, [paused] + others, "paused")


# ---- removed ------------------------------------------------------------------------

def check_removed(cell):
    """By hand, from another side than the holder's, while others wait."""
    share = cell.share("removed")
    holder = Worker(cell.sides[-1], share, 1, "ms=1500", "chain")
    taken = holder.wait_for("take")
    waiters = [Worker(s, share, 1, "chain", "wait=20000", "gate")
               for s in cell.sides]
    begin(waiters)
    time.sleep(0.2)
    # In one step, and it stays: nothing but where it is tells that it is none.
    cell.sides[0].sh(f"mv {share}/lock {share}/gone")
    ended = [w.end() for w in waiters]
    cell.ok(set(ended) == {1} and all(
        len(w.err) == 1 and "has been removed, make the share again" in w.err[0]
        for w in waiters), "who waits is told that the lock is gone", waiters)
    holder.end()
    cell.ok(taken and not holder.of("count"),
            "who held it does not commit", holder)
    again = [Worker(s, share, 2, "chain", f"make={cell.backend},{cell.ttl_ms}",
                    "gate") for s in cell.sides]
    begin(again)
    cell.ok(end(again), "made again, all have it", again)
    cell.exact(share, [holder] + waiters + again, "removed",
               2 * len(cell.sides))


def fill(cells):
    """What is mostly waiting, some cells at the same time: more would be too
    many workers for emulated processors."""
    def work(cell):
        began = time.monotonic()
        for check in (check_killed, check_paused, check_removed):
            try:
                check(cell)
            except Exception as e:  # a thread has nobody else to tell
                cell.ok(False, f"{check.__name__}: {e!r}")
        return time.monotonic() - began
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for cell, seconds in zip(cells, pool.map(work, cells)):
            cell.tell()
            warm.note(f"{cell.kind.name}, {cell.backend}: {seconds:.0f} s")


# ---- calls --------------------------------------------------------------------------

def calls(side):
    """Calls to an NFS server up to now."""
    text = side.sh("cat /proc/self/mountstats")
    words = text[text.index("xprt:"):].split()
    return int(words[7])


def note_calls(cell):
    """What a server sees of one taker alone."""
    side, share, count = cell.sides[0], cell.share("alone", USUAL_TTL_MS), 10
    worker = Worker(side, share, 1)  # the first one leaves the hint
    worker.end()
    before = calls(side)
    worker = Worker(side, share, count)
    worker.end()
    each = (calls(side) - before) / count
    done = [w for _, w in worker.lines if w[0] == "done"]
    us = int(done[0][2]) / count if done else 0
    warm.note(f"{cell.kind.name}, {cell.backend}: {each:.0f} calls a cycle, "
              f"{us:.0f} us")


# ---- what this can find --------------------------------------------------------------

def control(kind, attempt):
    """Updates that are lost, epochs that two had, holders that found that out
    before they committed, and how many began."""
    cell = Cell(kind, "ofd")
    share = cell.share(f"control{attempt}")
    workers = [Worker(s, share, 15, "ms=5", "gate") for s in cell.sides]
    begin(workers)
    end(workers)
    made, seen = cell.counted(share, workers)
    epochs = [epoch for _, epoch, _ in of_all(workers, "take")]
    return (made - max(seen), len(epochs) - len(set(epochs)),
            len(of_all(workers, "lost")), len(epochs))


def check_control(kind):
    words = f"{kind.name}: OFD locks do not pass it, and this test sees that"
    for attempt in range(3):
        lost, twice, late, begun = control(kind, attempt)
        if lost > 0 or twice > 0:
            TAP.ok(True, words)
            warm.note(f"{kind.name}, ofd: as known, of {begun} holders {twice} "
                      f"were not alone, {late} saw that, {lost} updates lost")
            return
    TAP.skip(words, "nothing was lost three times")


# ---- a whole machine ----------------------------------------------------------------

def hold_all(cells, victim, name, modes):
    """A worker in that machine holds the lock of each cell; the others wait.
    [(cell, share, holder, others)]"""
    held = []
    for cell in cells:
        side = next(s for s in cell.sides if s.machine == victim)
        others = [s for s in cell.sides if s.machine != victim]
        share = cell.share(name)
        holder = Worker(side, share, 1, *modes)
        others = [Worker(s, share, 2, "gate", "chain") for s in others]
        held.append((cell, share, holder, others))
    for cell, share, holder, others in held:
        holder.wait_for("take")
        for worker in others:
            worker.wait_for("ready")
    return held


def check_machine_paused(cells, victim):
    """Longer than its locks live.  A daemon of virtiofs keeps what its machine
    has locked, so that one is waited for, as was seen."""
    cells = [c for c in cells if c.backend == "lease" or c.kind.name == "nfs"]
    qemu = m.ps()[victim]["pid"]
    held = hold_all(cells, victim, "asleep", ["ms=20000", "chain"])
    os.kill(qemu, signal.SIGSTOP)
    for _, _, _, others in held:
        begin(others)
    good = [end(others) for _, _, _, others in held]
    os.kill(qemu, signal.SIGCONT)
    for (cell, share, holder, others), went_on in zip(held, good):
        holder.end()
        cell.ok(went_on, "its machine is paused, others go on", others)
        cell.ok(not holder.of("count"), "and it does not commit", holder)
        cell.exact(share, [holder] + others, "asleep", 2 * len(others))
        cell.tell()


def check_machine_killed(cells, victim):
    """One QEMU is killed, whose guest holds the lock of all cells."""
    held = hold_all(cells, victim, "machine", ["ms=600000"])
    for _, _, _, others in held:
        begin(others)
    time.sleep(1)
    died = time.monotonic()
    os.kill(m.ps()[victim]["pid"], signal.SIGKILL)
    for cell, share, holder, others in held:
        good = end(others)
        holder.end()
        ms = next_take(died, 0, others)
        most = cell.ttl_ms + SLACK_MS
        if cell.kind.name == "nfs" and cell.backend == "ofd":
            most = 2 * NFS_LEASE_S * 1000 + SLACK_MS
        cell.ok(good and ms is not None and 0 < ms <= most and
                not of_all([holder], "count"),
                f"its machine is killed, others go on within {most} ms "
                f"({round(ms or -1)})", [holder] + others)
        cell.sides = [w.side for w in others]
        cell.exact(share, [holder] + others, "machine", 2 * len(others))
        cell.row["machine"] = round(ms or -1)
        cell.tell()


# ---- the probe ----------------------------------------------------------------------

def probe(sides, share, wait_ms):
    workers = [Worker(s, share, 0, "probe", f"wait={wait_ms}") for s in sides]
    return [w.end() for w in workers], workers


def check_probe(kind):
    """Which storage lets OFD locks through, found out by two of its sides."""
    name = kind.name + ": the probe"
    passes = "ofd" in kind.backends
    ended, workers = probe(kind.sides[-2:], "probed", 30000)
    said = [" ".join(w.lines[-1][1]) if w.lines else w.err[-1:]
            for w in workers]
    hosts = "proven 2" if kind.sides[-1].machine else "proven 1"
    if passes:
        TAP.ok(ended == [0, 0] and set(said) == {hosts},
               name + " finds that OFD locks exclude there", workers)
    else:
        TAP.ok(ended == [1, 1] and all("do not exclude" in w.err[0]
                                       for w in workers),
               name + " finds that OFD locks exclude nobody there", workers)
    left = kind.sides[0].sh("ls -A probed")
    TAP.ok(left == ("probe.proven" if passes else ""),
           name + " leaves its proof, and nothing else", left)


def check_probe_alone(kind):
    ended, workers = probe([kind.sides[-1]] * 2, "alone", 8000)
    TAP.ok(ended == [1, 1] and all("only processes of this host" in w.err[0]
                                   for w in workers),
           f"{kind.name}: two processes of one host prove nothing", workers)


# ---- the sides -----------------------------------------------------------------------

def boot(names, kernel, ways):
    """All at the same time."""
    words = ["--network"]
    for way in ways:
        folder = os.path.join(FOLDER, way)
        os.makedirs(folder, exist_ok=True)
        words += ["--share", f"{way}:{folder}={way}"]
    made = shared.image(IMAGE, kernel, "--with",
                        apps.WORKER + "=/bin/lock_worker")
    if not TAP.ok(made.status == 0, "an image with --module share", made):
        return False
    results = m.together(*[m.boot_words(n, IMAGE, *words, memory="192M",
                                        kernel_file=kernel) for n in names],
                         timeout=m.BOOT_SECONDS)
    return TAP.ok(all(r.status == 0 for r in results), "two machines boot "
                  "with all of it", results)


def local_kind(shells):
    folder = os.path.join(FOLDER, "local")
    os.mkdir(folder)
    return Kind("local", [Side(n, folder, shells[None]) for n in
                          ("a", "b", "c")], "lease", "ofd")


def lent_kinds(shells, names, ways):
    kinds = []
    for way in ways:
        sides = [Side("host", os.path.join(FOLDER, way), shells[None])]
        sides += [Side(n, "/mnt/" + way, shells[n], n) for n in names]
        backends = ["ofd"] if way == "virtiofs-locks" else []
        kinds.append(Kind(way, sides, "lease", *backends))
    return kinds


def nfs_kind(shells, names):
    """The host is no side: what it does beside its server, clients do not
    see."""
    sides = [Side(n, "/mnt/nfs", shells[n], n) for n in names]
    return Kind("nfs", sides, "lease", "ofd", cycles=10, ttl_ms=NFS_TTL_MS)


def start_nfs(names):
    why = shared.missing_ganesha()
    folder = os.path.join(FOLDER, "nfs")
    os.mkdir(folder)
    server = None if why else shared.start_ganesha(folder, lease=NFS_LEASE_S)
    if not server:
        TAP.skip("nfs", why or "nfs-ganesha does not start")
        return None
    sides = [shared.mount_nfs(n, server.port, "/mnt/nfs") for n in names]
    if not TAP.ok(all(sides), "the machines mount NFS 4.1 of this host",
                  server.log()[-2000:]):
        server.remove()
        return None
    return server


def note_table(cells):
    form = "{:15} {:6} {:>5} {:>6} {:>8} {:>5} {:>9} {:>10}"
    warm.note(form.format("storage", "lock", "sides", "cycles", "us/cycle",
                          "lost", "killed ms", "machine ms"))
    for cell in cells:
        row = cell.row
        warm.note(form.format(cell.kind.name, cell.backend,
                              len(cell.kind.sides), row.get("cycles", 0),
                              row.get("us", 0), row["lost"], row["recovery"],
                              row["machine"]))


def check_kinds(kinds, victim):
    cells = [Cell(kind, b) for kind in kinds for b in kind.backends]
    for kind in kinds:
        check_probe(kind)
    for kind in kinds:
        if kind.name != "local":
            check_probe_alone(kind)
            break
    for cell in cells:
        check_contended(cell)
        cell.tell()
    for cell in cells:
        if cell.kind.name == "nfs":
            note_calls(cell)
    fill(cells)
    for kind in kinds:
        if kind.name in ("9p", "virtiofs"):
            check_control(kind)
    there = [c for c in cells if any(s.machine == victim for s in c.sides)]
    if there:
        check_machine_paused(there, victim)
        check_machine_killed(there, victim)
    note_table(cells)


def ways_here():
    """What machines can be lent; none: there are no machines."""
    ways, why = list(WAYS), m.missing()
    if why:
        TAP.skip("storage of machines", why)
        return []
    if warm.brood("doctor", "--json").out.find(
            b"no virtiofsd") >= 0 or os.geteuid() != 0:
        TAP.skip("virtiofs", "there is no virtiofsd, or this is not root")
        ways = ["9p"]
    if not m.kernel_with("9p"):
        TAP.skip("9p", "no kernel here has it; BROOD_TEST_ROOT names one")
        ways.remove("9p")
    return ways


def check_all(started, shells):
    names, ways, server = ["one", "two"], ways_here(), None
    shells[None] = Shell()
    kinds = [local_kind(shells)]
    try:
        if ways and boot(names, m.kernel_with("9p") or m.kernel(), ways):
            server = start_nfs(names)
            for name in names:
                shells[name] = Shell(warm.BROOD, "machine", "exec", name, "--")
            kinds += lent_kinds(shells, names, ways)
            kinds += [nfs_kind(shells, names)] if server else []
        warm.note(f"ready after {time.monotonic() - started:.0f} s")
        check_kinds([k for k in kinds if k.name in sys.argv[1:] or
                     len(sys.argv) == 1], "two")
    finally:
        m.clear()
        for shell in shells.values():
            shell.end()
        if server:
            server.remove()


def main():
    started = time.monotonic()
    try:
        check_all(started, {})
    finally:
        warm.stop_all()
        shutil.rmtree(FOLDER, ignore_errors=True)
    warm.note(f"{time.monotonic() - started:.0f} s")
    TAP.done()


if __name__ == "__main__":
    main()
