# SPDX-License-Identifier: Apache-2.0
"""Two machines and this host have one folder, by all ways that there are,
and one file as memory.  Facts are taken from the sides themselves and from
/proc."""

import hashlib
import os
import random
import shutil
import signal
import tempfile
import time

import machines as m
import shared
import warm

TAP = warm.Tap()
FOLDER = tempfile.mkdtemp(dir=os.environ["TMPDIR"])
IMAGE = os.path.join(FOLDER, "m.img")
SHARE = os.path.join(FOLDER, "a folder,b=c")
WORK = os.path.join(FOLDER, "more,of it")
PAYLOAD = os.path.join(FOLDER, "payload.erofs")
PAYLOAD_BYTES = 24 << 20
LONG = "a23456789012345678901234567890x"


def daemons():
    """Pids of the test's daemons of virtiofs that live."""
    mark = b"XDG_RUNTIME_DIR=" + os.environ["XDG_RUNTIME_DIR"].encode()
    found = []
    for pid in warm.processes():
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                told = mark in f.read().split(b"\0")
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if told and words[0] == b"virtiofsd" and warm.alive(pid):
            found.append(pid)
    return found


def nothing_left():
    return warm.wait_until(lambda: not daemons() and not m.hypervisors() and
                           not m.ps() and not m.folders(), 10, 0.05)


# ---- refused ----------------------------------------------------------------------

def refused(what, *words, told=(), env=None, **kw):
    r = m.boot("bad", IMAGE, *words, env=env, **kw)
    TAP.ok(m.one_line(r, *told), what, r)
    return r


def check_words():
    refused("no such folder", "--share", "/nonesuch",
            told=["/nonesuch", "No such file"])
    refused("a file is no folder", "--share", IMAGE, told=["Not a directory"])
    refused("a tag that is too long", "--share", f"{SHARE}={LONG}x",
            told=[LONG, "at most 31"])
    refused("a tag that QEMU would take apart", "--share", SHARE + "=a,b",
            told=["no tag"])
    refused("a tag twice", "--share", SHARE + "=x", "--share",
            f"virtiofs:{SHARE}=x", told=["two have the tag x"])
    refused("no such pmem", "--pmem", "/nonesuch", told=["/nonesuch"])
    refused("no such device", "--device", "/nonesuch", told=["/nonesuch"])
    part = os.path.join(FOLDER, "part")
    with open(part, "wb") as f:
        f.truncate(4096)
    refused("a pmem that is not whole", "--pmem", part,
            told=["2 MiB", "truncate"])
    os.unlink(part)
    TAP.ok(nothing_left(), "nothing is left of them")


def check_daemon_fails():
    fake = os.path.join(FOLDER, "fake")
    with open(fake, "w") as f:
        f.write("#!/bin/sh\necho this is not the day >&2\nexit 1\n")
    os.chmod(fake, 0o755)
    words = ["--share", f"virtiofs:{SHARE}"]
    refused("a daemon that does not start", *words, told=["/nonesuch"],
            env={**os.environ, "BROOD_VIRTIOFSD": "/nonesuch"})
    refused("a daemon that ends says why", *words,
            told=["virtiofsd: this is not the day"],
            env={**os.environ, "BROOD_VIRTIOFSD": fake})
    refused("QEMU fails, and its daemon ends", *words, "--cpu", "nonesuch",
            told=["CPU model"])
    TAP.ok(nothing_left(), "nothing is left of them")


def check_guest_without(kernel):
    """A boot of its own: where the kernel at hand has no 9p."""
    if m.has_module(kernel, "9p"):
        plain = os.path.join(FOLDER, "plain.img")
        m.image(plain)
    else:
        plain = os.path.join(FOLDER, "without.img")
        m.image(plain, "--kernel", kernel, "--module", "share")
    r = m.boot("bad", plain, "--share", SHARE, kernel_file=kernel)
    TAP.ok(m.one_line(r, "cannot have share0", "no 9p", "--module share"),
           "a guest without 9p does not run without its share", r)
    TAP.ok(nothing_left(), "nothing is left of it")
    os.unlink(plain)


# ---- one folder --------------------------------------------------------------------

def check_files(sides):
    wrong = []
    for number, side in enumerate(sides):
        side.sh(f"echo {side.name} >made{number}")
    for side in sides:
        seen = side.sh("cat made*").splitlines()
        if seen != [s.name for s in sides]:
            wrong.append((side.name, seen))
    TAP.ok(not wrong, "what one side makes all sides see", wrong)
    wrong = []
    for number, writer in enumerate(sides):  # all of the same length
        writer.sh(f"echo {number} >word")
        for side in sides:
            said = side.sh("cat word")
            if said != str(number):
                wrong.append((writer.name, side.name, said))
    TAP.ok(not wrong, "and what is written over it, at once", wrong)


def check_names(sides):
    """What a lease over link() needs."""
    wrong, owner = [], "12:34" if os.geteuid() == 0 else f"{os.geteuid()}:"
    for one in sides:
        said = one.sh("rm -f lease mine; echo 1 >draft; chmod 640 draft; "
                      f"chown {owner} draft; ln draft lease && echo linked")
        if said != "linked":
            wrong.append((one.name, said))
        for other in sides:
            said = other.sh("echo 2 >mine; ln mine lease 2>/dev/null && "
                            "echo twice; stat -c '%h %a %u:%g' lease")
            if not said.startswith("2 640 " + owner):
                wrong.append((one.name, other.name, said))
        one.sh("rm draft; echo 3 >draft; mv draft lease")
        for side in sides:
            said = side.sh("cat lease; ls draft 2>/dev/null")
            if said != "3":
                wrong.append((one.name, side.name, "renamed", said))
    sides[-1].sh("rm lease mine")
    wrong += [(s.name, "no unlink") for s in sides if s.done("[ -e lease ]")]
    TAP.ok(not wrong, "links, rights, owners and renames hold on all sides",
           wrong)


def check_race(sides):
    """One side of each machine: a machine does one thing at a time."""
    rounds = shared.race(sides)
    TAP.ok(all(len(winners) == 1 for winners in rounds),
           "of those that link one name at once, one does", rounds)
    warm.note("won: " + ", ".join(
        f"{s.name} {sum(s.name in r for r in rounds)}" for s in sides))


def check_many(side):
    """More requests at once than a daemon has had threads for."""
    said = side.sh("""mkdir many
        for n in $(seq 24); do
            (for i in 1 2 3; do
                echo $n >many/s$n && ln many/s$n many/t$n &&
                mv many/t$n many/u$n && rm many/s$n many/u$n || echo no $n
            done) &
        done
        wait
        rmdir many && echo all""")
    TAP.ok(said == "all", f"many at once at {side.name}", said)


def check_locks(sides, kinds=("flock", "ofd")):
    for kind in kinds:
        wrong = []
        for one in sides:
            with one.hold(kind, "locked") as hold:
                if hold.said != "held":
                    wrong.append((one.name, hold.said))
                wrong += [(one.name, s.name, said) for s in sides
                          if s is not one and
                          (said := s.lock(kind, "locked")) != "busy"]
            if sides[0].lock(kind, "locked") != "held":
                wrong.append((one.name, "stays locked"))
        TAP.ok(not wrong, f"{kind} is one on {len(sides)} sides", wrong)


# ---- files ---------------------------------------------------------------------------

def make_payload():
    tree = os.path.join(FOLDER, "tree")
    os.mkdir(tree)
    data = random.Random(7).randbytes(PAYLOAD_BYTES)
    with open(os.path.join(tree, "big"), "wb") as f:
        f.write(data)
    with open(os.path.join(tree, "small"), "wb") as f:
        f.write(data[:5000])
    made = warm.run(["mkfs.erofs", "--quiet", "-Enoinline_data", PAYLOAD,
                     tree])
    with open(PAYLOAD, "r+b") as f:
        bytes_ = os.path.getsize(PAYLOAD)
        f.truncate((bytes_ + (2 << 20) - 1) >> 21 << 21)
    shutil.rmtree(tree)
    if made.status != 0:
        warm.note(made)
    return hashlib.sha256(data).hexdigest()


def cached(name):
    words = m.shell(name, "grep ^Cached: /proc/meminfo").split()
    return int(words[1]) << 10


def file_pages(pid, path):
    """How the mappings of a file lie in memory, in KiB."""
    found, mine = {}, False
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            words = line.split()
            if not words[0].endswith(":"):
                mine = words[-1] == path
            elif mine and words[1].isdigit():
                found[words[0][:-1]] = found.get(words[0][:-1], 0) + int(
                    words[1])
    return found


def check_pmem(name, digest):
    text = m.shell(name, "grep pmem0 /proc/mounts")
    TAP.ok("erofs ro" in text and "dax=always" in text,
           "an EROFS in memory is mounted", text)
    before = cached(name)
    text = m.shell(name, "sha256sum /mnt/pmem0/big; "
                   "wc -c </mnt/pmem0/small")
    TAP.ok(text.split()[:1] == [digest] and text.split()[-1] == "5000",
           "what is read there is what it holds", text)
    grown = cached(name) - before
    TAP.ok(grown < PAYLOAD_BYTES // 16,
           "the guest has no copy of what it reads", grown)
    warm.note(f"{PAYLOAD_BYTES >> 10} KiB read, cache {grown >> 10} KiB more")


def check_pmem_shared(names):
    rows = m.ps()
    pages = [file_pages(rows[n]["pid"], PAYLOAD) for n in names]
    TAP.ok(all(p.get("Rss", 0) << 10 >= PAYLOAD_BYTES and
               not p.get("Private_Dirty") for p in pages),
           "all guests have the file's own pages", pages)


def check_device(name, digest):
    text = m.shell(name, "sha256sum /mnt/device0/big; "
                   "echo x | dd of=/dev/device0 2>&1")
    TAP.ok(text.split()[:1] == [digest] and "not permitted" in text,
           "a disk with the same, which is read only", text)


def check_pmem_stays(name):
    """The guest may try to."""
    with open(PAYLOAD, "rb") as f:
        before = hashlib.sha256(f.read()).digest()
    m.shell(name, "umount /mnt/pmem0; dd if=/dev/zero of=/dev/pmem0 bs=64k "
            "count=4 conv=fsync 2>/dev/null; true")
    with open(PAYLOAD, "rb") as f:
        TAP.ok(hashlib.sha256(f.read()).digest() == before,
               "what a guest writes to it is not there")
    TAP.ok(m.shell(name, "echo lives") == "lives\n", "and the guest goes on")


# ---- the machines ----------------------------------------------------------------------

def check_listed(ways):
    rows = m.ps()
    want = ways + ["pmem", "device"]
    TAP.ok(all([e["how"] for e in rows[n]["lent"]] == want for n in
               ("one", "two")), "ps lists what they are lent", rows)
    entry = rows["one"]["lent"][len(ways) - 1]
    TAP.ok(entry["path"] == SHARE and entry["lives"] and
           entry["pid"] in daemons(), "with the daemons' processes", entry)


def check_not_saved():
    r = m.machine("save", "one", "--as", "tip")
    TAP.ok(m.one_line(r, "machine one has", "can not be saved yet") and
           m.shell("one", "echo lives") == "lives\n",
           "a machine that is lent something is not saved, and goes on", r)


def check_killed(ways):
    row = m.ps()["two"]
    mine = [e["pid"] for e in row["lent"] if "pid" in e]
    os.kill(row["pid"], signal.SIGKILL)
    gone = warm.wait_until(lambda: not any(map(warm.alive, mine)), 10)
    TAP.ok(gone and len(mine) == sum(w.startswith("virtiofs") for w in ways),
           "a QEMU that is killed takes its daemons along", mine)
    gone = warm.wait_until(lambda: "two" not in m.ps() and
                           m.folders() == ["one"], 20, 0.1)
    TAP.ok(gone, "and its folder is gone", m.folders())


def check_daemon_dies():
    entry = next(e for e in m.ps()["one"]["lent"] if "pid" in e)
    os.kill(entry["pid"], signal.SIGKILL)
    told = warm.wait_until(lambda: [
        e for e in m.ps()["one"]["lent"] if e.get("lives") is False], 10, 0.1)
    TAP.ok(told and told[0]["tag"] == entry["tag"],
           "ps tells of a daemon that has died", m.ps())
    r = m.machine("stop", "one", "--now")
    TAP.ok(r.status == 0 and nothing_left(), "its machine ends, and all with "
           "it", (r, daemons(), m.folders()))


def boot(name, kernel, ways):
    words = ["--network", "--pmem", PAYLOAD, "--device", PAYLOAD]
    for way in ways:
        words += ["--share", f"{way}:{SHARE}={way}"]
    r = m.boot(name, IMAGE, *words, kernel_file=kernel, memory="192M")
    return TAP.ok(r.status == 0, f"machine {name} boots with all of it", r)


def check_nfs(host):
    """Apart from the rest: it caches, as it is told to."""
    why = shared.missing_ganesha()
    server = None if why else shared.start_ganesha(os.path.join(FOLDER, "nfs"))
    if not server:
        TAP.skip("NFS", why or "nfs-ganesha does not start")
        return
    try:
        sides = [host, shared.mount_nfs("one", server.port, "/mnt/nfs",
                                        ",noac,lookupcache=none")]
        sides.append(shared.mount_nfs("two", server.port, "/mnt/nfs",
                                      ",noac,lookupcache=none"))
        if TAP.ok(all(sides), "two machines mount NFS 4.1 of this host",
                  server.log()[-2000:]):
            check_files(sides)
            check_names(sides)
            check_race(sides)
            check_locks(sides[1:])
            check_locks(sides, ["ofd"])
            for side in sides[1:]:
                m.shell(side.machine, "umount /mnt/nfs")
    finally:
        server.remove()


def check_machines(kernel, ways):
    digest = make_payload()
    made = shared.image(IMAGE, kernel)
    if not (TAP.ok(made.status == 0, "an image with --module share", made) and
            boot("one", kernel, ways) and boot("two", kernel, ways)):
        return
    host = shared.Host(SHARE)
    sides = [host] + [shared.Guest(n, "/mnt/" + w) for n in ("one", "two")
                      for w in ways]
    check_files(sides)
    check_names(sides)
    check_race([host, sides[1], sides[4]])
    for side in sides[1:3]:
        check_many(side)
    check_locks([host] + [s for s in sides[1:] if s.folder.endswith("locks")])
    check_listed(ways)
    check_pmem("one", digest)
    check_pmem("two", digest)
    check_pmem_shared(["one", "two"])
    check_device("one", digest)
    check_pmem_stays("two")
    check_nfs(shared.Host(os.path.join(FOLDER, "nfs")))
    check_not_saved()
    check_killed(ways)
    check_daemon_dies()


# ---- folders of tips ------------------------------------------------------------------

def check_folders_refused():
    def no(what, *words, told, status=111):
        r = m.machine("start", "places", "--detach", *words)
        TAP.ok(m.one_line(r, *told, status=status), what, r)

    no("more folders than places", "--folder", "/etc", "--folder", "/usr",
       "--folder", "/var", told=["places", "2 folders, not 3", "--folders"])
    no("no such folder for a tip", "--folder", "/nonesuch=/x",
       told=["/nonesuch", "No such file"])
    no("a file is no folder for a tip", "--folder", IMAGE + "=/x",
       told=["Not a directory"])
    for at in ("/", "/a/../b", "/a//b", "/a/.", "/.."):
        no(f"a folder has no place at {at}", "--folder", f"/etc={at}",
           told=["no place for a folder"])
    no("a place that the guest cannot make", "--folder", "/etc=/proc/x",
       told=["/proc/x"])
    no("what waits is lent no folder", "--park", "--folder", "/etc",
       told=["--park"], status=100)
    r = m.boot("bad", IMAGE, "--folders", "9")
    TAP.ok(m.one_line(r, "9 folders", "0 to 8"), "too many places", r)
    TAP.ok(not m.ps() and not m.folders(), "nothing is left of them",
           m.folders())


def check_folder_read_only():
    other = os.path.join(FOLDER, "ro")
    os.mkdir(other)
    with open(os.path.join(other, "file"), "w") as f:
        f.write("kept")
    m.start("--name", "b", "--folder", "ro:" + other, "--folder",
            WORK + "=/deep/work", "places")
    said = m.shell("b", f"cat {other}/file; echo x >{other}/file || "
                   f"mount -o remount,rw {other}; echo x >{other}/file; "
                   f"rm {other}/file; ls /deep/work | wc -l; exit 0")
    with open(os.path.join(other, "file")) as f:
        TAP.ok(said.startswith("kept") and f.read() == "kept" and
               int(said[4:]) == len(os.listdir(WORK)),
               "a folder that is not to be written is not", said)
    return other


def check_places_empty():
    """A device that has nothing in it, whatever the guest does."""
    m.start("--name", "e", "places")
    said = m.shell("e", "mkdir /e; mount -t 9p -o trans=virtio,"
                   "version=9p2000.L folder1 /e && ls -A /e; echo x >/e/x; "
                   "mkdir /e/y; ls -A /e; echo end; umount /e")
    r = m.machine("save", "e", "--as", "unmounted", "--stop")
    TAP.ok(said == "end\n" and r.status == 0,
           "a place without a folder has nothing, takes nothing, and can be "
           "saved", (said, r))
    told = m.start("--name", "f", "--folder", WORK + "=/work", "unmounted")
    TAP.ok(told and m.shell("f", "ls /work | wc -l").strip() ==
           str(len(os.listdir(WORK))), "and then has one", told)
    m.machine("stop", "--now", "f")


def check_folders_of_tips(kernel):
    os.mkdir(WORK)
    r = m.boot("p", IMAGE, "--folders", "2", kernel_file=kernel)
    s = m.machine("save", "p", "--as", "places", "--stop")
    if not TAP.ok(r.status == 0 and s.status == 0,
                  "a machine with places for folders is saved", (r, s)):
        return
    check_folders_refused()
    m.start("--name", "a", "--folder", WORK + "=/work", "places")
    other = check_folder_read_only()
    sides = [shared.Host(WORK), shared.Guest("a", "/work"),
             shared.Guest("b", "/deep/work")]
    check_files(sides)
    check_names(sides)
    check_race(sides)
    lent = {n: [(e["how"], e["path"], e["at"], e["read_only"])
                for e in row["lent"]] for n, row in m.ps().items()}
    TAP.ok(lent == {"a": [("folder", WORK, "/work", False)],
                    "b": [("folder", other, other, True),
                          ("folder", WORK, "/deep/work", False)]},
           "ps lists them", lent)
    for words in (["save", "a", "--as", "x"], ["swap", "a", "places"]):
        r = m.machine(*words)
        TAP.ok(m.one_line(r, "machine a has folder") and
               m.shell("a", "echo on") == "on\n",
               f"{words[0]}: not with a folder", r)
    m.machine("stop", "a", "b")
    check_places_empty()
    r = m.machine("exec", "--folder", WORK + "=/work", "--cwd", "/work",
                  "places", "--", "sh", "-c", 'echo "$1" >said; cat said; pwd',
                  "sh", "a  b")
    with open(os.path.join(WORK, "said")) as f:
        TAP.ok((r.status, r.out, f.read()) == (0, b"a  b\n/work\n", "a  b\n"),
               "a command in a new machine with a folder", r)
    TAP.ok(nothing_left(), "nothing is left of them", m.folders())


def virtiofs_missing():
    if warm.brood("doctor", "--json").out.find(b"no virtiofsd") >= 0:
        return "there is no virtiofsd"
    return None if os.geteuid() == 0 else "QEMU's virtiofsd wants to be root"


def main():
    why = m.missing() or virtiofs_missing()
    if not why and not shutil.which("mkfs.erofs"):
        why = "there is no mkfs.erofs (erofs-utils)"
    if why:
        TAP.skip("lent folders and files", why)
        TAP.done()
    started = time.monotonic()
    os.mkdir(SHARE)
    os.mkdir(os.path.join(FOLDER, "nfs"))
    kernel, ways = m.kernel_with("9p"), ["9p", "virtiofs-locks"]
    if not kernel:
        TAP.skip("9p", "no kernel here has it; BROOD_TEST_ROOT names one")
        kernel, ways = m.kernel(), ["virtiofs", "virtiofs-locks"]
    try:
        check_guest_without(m.kernel())
        check_machines(kernel, ways)
        if "9p" in ways:
            m.clear()
            check_folders_of_tips(kernel)
        else:
            TAP.skip("folders of tips", "no kernel here has 9p")
        check_words()
        check_daemon_fails()
    finally:
        m.clear()
        warm.stop_all()
    warm.note(f"{time.monotonic() - started:.0f} s")
    TAP.done()


if __name__ == "__main__":
    main()
