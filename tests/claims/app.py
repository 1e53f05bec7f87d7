# SPDX-License-Identifier: Apache-2.0
"""CLAIM 4.1 to 4.15, one line and more each: an application that exists once
on shared storage, and three hosts that have its context: this one, and two
machines in which there is nothing of Brood, nor a C library.

Facts come from the hosts' files, mounts and /proc, from what strace sees, and
from what a start does when the storage fails."""

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import traceback

import apps
import machines as m
import warm
from warm import note

# CLAIM 4.1 4.2 4.3 4.4 4.5 4.6 4.7 4.8 4.9 4.10 4.11 4.12 4.13 4.14 4.15
TAP = warm.Tap()
WORK = tempfile.mkdtemp(dir=os.environ["TMPDIR"])
SHARE = os.path.join(WORK, "share")
IMAGE = os.path.join(WORK, "m.img")
BOX = os.path.join(WORK, "box.app")
ELF = b"\x7fELF"
STRACE = shutil.which("strace")


def claim(number, good, evidence, detail=""):
    return TAP.ok(good, f"CLAIM {number} {evidence}", detail)


def skip(number, words, why):
    TAP.skip(f"CLAIM {number} {words}", why)
    note(f"NOT SHOWN HERE: {number} {words}: {why}")


def size(path):
    return sum(s for mode, s, _, _ in apps.tree(path).values()
               if mode & 0o170000 == 0o100000)


# ---- the appliance device ---------------------------------------------------------

def digest_of(path):
    return warm.run(["sha256sum", path]).out.split()[0].decode()


def on_block_device(root):
    """The same on a block device of this test's own: its bytes, or why not."""
    backing = os.path.join(WORK, "disk")
    with open(backing, "wb") as f:
        f.truncate(64 << 20)
    r = warm.run(["losetup", "--find", "--show", backing])
    device = r.out.decode().strip()
    if r.status != 0:
        return None, r.err.decode().strip()
    try:
        r = apps.pack_box(root, device, "1", "--json")
        if r.status != 0:
            return None, r.err.decode()
        with open(device, "rb") as f:
            return f.read(json.loads(r.out)["bytes"]), ""
    finally:
        warm.run(["losetup", "-d", device])


def device(root):
    r = apps.pack_box(root, BOX, "1", "--json")
    told = json.loads(r.out) if r.status == 0 else {}
    claim("4.4", r.status == 0 and told.get("entries") == ["box"],
          f"an appliance comprises the application: {told.get('files')} files,"
          f" {told.get('bytes')} bytes, entry {told.get('entries')}", r)
    again = os.path.join(WORK, "again.app")
    apps.pack_box(root, again)
    claim("4.3", digest_of(BOX) == digest_of(again) == told.get("digest"),
          "it is one file, and the same bytes when it is packed again",
          (digest_of(BOX), told))
    folder = os.path.join(WORK, "folder.app/")
    r = apps.pack_box(root, folder)
    inside = sorted(os.listdir(os.path.join(folder, ".brood")))
    with open(os.path.join(folder, ".brood/installer"), "rb") as f:
        installer = f.read()
    claim("4.3", inside == ["installer", "manifest.json", "start"] and
          installer[:4] == ELF,
          f"it also has the installer, {len(installer)} bytes: {inside}", r)
    bytes_there, why = on_block_device(root)
    if bytes_there is None:
        skip("4.3", "a block device as the appliance device", why)
    else:
        with open(BOX, "rb") as f:
            claim("4.3", f.read() == bytes_there,
                  "a block device has the same")
    return told


# ---- the first host ------------------------------------------------------------------

def install_here(host):
    """A program was there before, of this host alone."""
    with open(host.path("box"), "w") as f:
        f.write("#!/bin/sh\necho the program before\n")
    os.chmod(host.path("box"), 0o755)
    before = host.start("box").out
    told, r = host.install(BOX, "--wait", "30s", "--keep")
    if not claim("4.5", told is not None,
                 "the installer makes the context on a host", r):
        return None
    programs = []
    folder = os.path.join(host.apps, "box")
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and not name.startswith("copy."):
            with open(path, "rb") as f:
                if f.read(4) == ELF:
                    programs.append(path)
    claim("4.5", not programs,
          f"no file of it is a program: {sorted(os.listdir(folder))} (the "
          "copy was asked for)", programs)
    change = told["paths"][0]
    claim("4.7", before == b"the program before\n" and
          change["before"].startswith("a file of") and
          os.readlink(host.path("box")) == change["after"] and
          ".start/" in os.readlink(change["after"]),
          f"the start path {change['path']} was {change['before']}, is a link "
          f"to the startup binary: {os.path.realpath(host.path('box'))}",
          (change, os.readlink(host.path("box"))))
    return told


def sizes():
    """CLAIM 4.1, with an application that people have."""
    python = "/usr/bin/python3.11"
    if not os.path.exists("/usr/lib/python3.11/os.py") or \
            not os.path.exists(python):
        skip("4.1", "a full install of python against its context",
             "there is no python3.11")
        return
    appliance = os.path.join(WORK, "python.app")
    r = warm.brood("app", "pack", python, "--with", "/usr/lib/python3.11",
                   "--name", "python", "--as", appliance, timeout=120)
    first = apps.Host(os.path.join(WORK, "first"), SHARE)
    other = apps.Host(os.path.join(WORK, "other"), SHARE)
    one, r1 = first.install(appliance)
    two, r2 = other.install(appliance)
    if not claim("4.1", one and two and r.status == 0,
                 "python is installed on two hosts", (r, r1, r2)):
        return
    whole, context = two["payload_bytes"], two["context_bytes"]
    claim("4.1", context * 9000 <= whole,
          f"the host's storage: {context} bytes of context for "
          f"{whole} bytes of application, {whole // context} times fewer; "
          f"with the startup binary, once for all applications, "
          f"{whole // (context + two['start_bytes'])}", two)
    claim("4.15", not one["payload_was_there"] and two["payload_was_there"],
          "only the first host has put the whole application there",
          (one, two))
    got = other.start("python3.11", "-c",
                      "import json, sqlite3 as s; print(json.__file__)")
    claim("4.1", b"/.mounts/" in got.out,
          f"and it runs: {got.out.decode().strip()}", got)
    for host in (first, other):
        host.app("uninstall", "python")
        host.clear()
    os.unlink(appliance)


# ---- starts ------------------------------------------------------------------------------

def started(host):
    r = host.start("box", "-c", "echo says $APP; wc -c <$APP/data")
    claim("4.8", r.out.startswith(b"says ") and r.err == b"",
          "its usual path starts the shared application: "
          + r.out.decode().replace("\n", " "), r)
    if not STRACE:
        skip("4.8", "what is executed", "there is no strace")
        return
    trace = os.path.join(WORK, "trace")
    warm.run([STRACE, "-qq", "-e", "trace=execve", "-e", "signal=none", "-o",
              trace, host.path("box"), "-c", "exit 0"], env=host.env)
    with open(trace) as f:
        executed = [line.split('"')[1] for line in f if "= 0" in line]
    claim("4.8", len(executed) == 2 and executed[0] == host.path("box") and
          "/.mounts/" in executed[1],
          f"two programs are executed: {executed}", executed)


def loaded(host):
    """CLAIM 4.12: where its pages come from."""
    p = host.popen("box", "-c", "echo up; read x")
    try:
        p.stdout.readline()
        exe = os.readlink(f"/proc/{p.pid}/exe")
        with open(f"/proc/{p.pid}/mountinfo") as f:
            mounts = [line.split() for line in f]
        mount = [w for w in mounts if exe.startswith(w[4] + "/")][-1]
        source = mount[mount.index("-") + 2]
        claim("4.12", "-share/" in exe and mount[mount.index("-") + 1] ==
              "erofs" and (source.startswith(SHARE + "/payloads/") or
                           source.startswith("/dev/loop")),
              f"its program {exe} is of a mount of {source}", mount)
    finally:
        p.communicate(b"\n", timeout=20)


def quiet_start(host):
    """CLAIM 4.15: nothing of the host is written by a start."""
    before = apps.tree(host.folder)
    warm.run([host.path("box"), "-c", "cat $APP/data >/dev/null"],
             env={k: v for k, v in host.env.items() if k != "BROOD_REPORT"})
    after = apps.tree(host.folder)
    changed = {k for k in before.keys() | after.keys()
               if before.get(k) != after.get(k)}
    claim("4.15", not changed, "a start and a run write nothing to the host's "
          f"storage: {len(before)} files are as they were", changed)


# ---- the lock ------------------------------------------------------------------------------

def hold_in(machine, ms):
    """Another host takes the lock and holds it for a while."""
    return subprocess.Popen(
        [warm.BROOD, "machine", "exec", machine, "--", "/bin/lock_worker",
         "/mnt/share", "other", "1", f"ms={ms}"], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def contend(host, machine):
    holder = hold_in(machine, 3000)
    line = b""
    while b" take " not in line and holder.poll() is None:
        line = holder.stdout.readline()
    began = time.monotonic()
    r = host.start("box", "-c", "echo ran", timeout=60)
    waited = time.monotonic() - began
    report = host.last()
    holder.communicate(timeout=60)
    claim("4.9", report.get("load", {}).get("lock_was_held") is True,
          "a start sees that another host holds the lock", report)
    claim("4.10", r.out == b"ran\n" and 0.5 < waited < 30 and
          holder.returncode == 0,
          f"it waits {waited:.1f} s, until the other host has let go of it, "
          "and then runs", (r, waited, report))
    holder = hold_in(machine, 6000)
    line = b""
    while b" take " not in line and holder.poll() is None:
        line = holder.stdout.readline()
    impatient = apps.Host(os.path.join(WORK, "impatient"), SHARE)
    told, r = impatient.install(BOX, "--wait", "20s", "--no-rejoin")
    holder.communicate(timeout=60)
    context = os.path.join(impatient.apps, "box/context")
    if not claim("4.10", told is not None and os.path.exists(context),
                 "an install waits for the lock, too", r):
        return
    impatient.app("uninstall", "box")
    told, r = impatient.install(BOX, "--wait", "400ms")
    holder = hold_in(machine, 5000)
    line = b""
    while b" take " not in line and holder.poll() is None:
        line = holder.stdout.readline()
    began = time.monotonic()
    r = impatient.start("box", "-c", "echo ran", timeout=60)
    waited = time.monotonic() - began
    report = impatient.last()
    holder.communicate(timeout=60)
    claim("4.10", report.get("way") == "independent" and waited < 4 and
          b"lock" in r.err and r.out == b"ran\n",
          f"one that waits for 400 ms at most never loads unlocked: after "
          f"{waited:.2f} s it goes on alone", (r, report))
    impatient.app("uninstall", "box")
    impatient.clear()


def race(host, machines):
    """CLAIM 4.11: each start that was inside has an epoch of its own."""
    before = {h.name: len(h.reports()) for h in [host] + machines}
    script = ("for i in 1 2 3 4 5; do for k in 1 2; do "
              "BROOD_REPORT=/run/report /usr/local/bin/box -c 'exit 0' & "
              "done; wait; done")
    threads = [threading.Thread(target=x.sh, args=(script,),
                                kwargs={"timeout": 120}) for x in machines]
    for t in threads:
        t.start()
    running = [host.popen("box", "-c", "exit 0") for _ in range(30)]
    bad = [p for p in running if p.communicate(timeout=60) and p.returncode]
    for t in threads:
        t.join()
    epochs = {}
    for h in [host] + machines:
        epochs[h.name] = [r["load"]["epoch"] for r in
                          h.reports()[before[h.name]:]
                          if r.get("way") == "shared"]
    everyone = [e for some in epochs.values() for e in some]
    counts = {name: len(some) for name, some in epochs.items()}
    claim("4.11", not bad and counts[host.name] == 30 and
          all(counts[x.name] == 10 for x in machines) and
          len(set(everyone)) == len(everyone) and min(everyone) > 0,
          f"starts that race on three hosts, {counts}: each has created a "
          f"lock of its own number, {min(everyone)} to {max(everyone)}",
          (bad, epochs))


# ---- machines -------------------------------------------------------------------------------

def boot(name, kernel, way):
    r = m.boot(name, IMAGE, "--share", f"{way}:{SHARE}=share", "--pmem", BOX,
               kernel_file=kernel, memory="192M")
    return r.status == 0 or note(r)


def boot_both(kernel, way):
    good = []
    threads = [threading.Thread(
        target=lambda n=n: good.append(boot(n, kernel, way)))
        for n in ("one", "two")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return len(good) == 2 and all(good)


def start_machines():
    kernel, way = m.kernel_with("9p", "erofs", "virtio_pmem"), "9p"
    if not kernel:
        kernel, way = m.kernel_with("virtiofs", "erofs"), "virtiofs"
    if not kernel:
        return None, "no kernel here has 9p or virtiofs, and EROFS"
    r = m.image(IMAGE, "--kernel", kernel, "--module", "share", "--module",
                "loop", "--with", apps.WORKER + "=/bin/lock_worker")
    if r.status != 0 or not boot_both(kernel, way):
        return None, "no machine boots: " + r.err.decode()
    return [apps.Machine(n, "/mnt/share", BOX, "/dev/pmem0")
            for n in ("one", "two")], ""


def install_there(machines):
    rows = m.ps()
    pids = [rows[x.name]["pid"] for x in machines]
    claim("4.2", all(os.readlink(f"/proc/{p}/exe").endswith(m.QEMU)
                     for p in pids),
          f"two machines run at once: QEMU {pids}", rows)
    for x in machines:
        plain = x.sh("ls /lib/ld-* /lib64/ld-* /usr/bin/brood 2>/dev/null; "
                     "readlink /usr/local/bin/box; true")
        told, r = x.install()
        if not claim("4.6", told is not None,
                     f"the installer, taken from the appliance, runs in "
                     f"machine {x.name} and installs from its /dev/pmem0", r):
            return False
        claim("4.15", told["payload_was_there"],
              f"machine {x.name} has put nothing on the share but its name",
              told)
        after = x.sh("readlink /usr/local/bin/box").strip()
        claim("4.7", plain == "" and told["paths"][0]["before"] == "nothing"
              and after.endswith("/apps/box/bin/box"),
              f"there /usr/local/bin/box was nothing, leads to {after}",
              (plain, told, after))
        small = int(x.sh("du -sk /var/lib/brood/apps").split()[0])
        claim("4.1", small << 10 < told["payload_bytes"] // 8,
              f"machine {x.name} has {small} KiB of {told['payload_bytes']}"
              f" bytes, {told['context_bytes']} of them context", told)
        r = x.start("box", "-c", "echo from $APP; wc -c <$APP/data")
        report = x.last()
        claim("4.6", r.status == 0 and b"from " in r.out and
              report.get("way") == "shared",
              "and invokes the shared application: "
              + r.out.decode().replace("\n", " "), (r, report))
        mount = x.sh("grep /run/brood/mounts/ /proc/mounts").strip()
        claim("4.12", mount.startswith("/dev/pmem0 ") and
              "dax=always" in mount,
              "its payload is the host's memory, mapped: " + mount, report)
    return True


def different_hypervisors(machines):
    """The same application for a program, a machine and a domain."""
    kinds = {m.ps()[x.name]["accel"] for x in machines
             if "accel" in m.ps()[x.name]}
    note(f"machines run on {kinds or 'tcg'}")


# ---- faults ----------------------------------------------------------------------------------

def payload_path(host):
    return os.path.join(SHARE, "payloads",
                        host.state("box")["payload"] + ".erofs")


def flip(path, at):
    os.chmod(path, 0o644)
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 1]))
    os.chmod(path, 0o444)


def faults(host):
    path = payload_path(host)
    at = os.path.getsize(path) // 2
    good = host.start("box", "-c", "echo good")
    flip(path, at)
    r = host.start("box", "-c", "echo from $APP; sleep 0")
    report = host.last()
    claim("4.13", good.err == b"" and b"damaged" in r.err and
          report.get("way") == "independent",
          "a start finds out whether it was loaded without errors: one bit of "
          "the payload is another, and it says so", (good, r, report))
    claim("4.14", r.status == 0 and b"-copy\n" in r.out and
          r.err.count(b"\n") == 1 and
          host.state("box").get("state") == "independent",
          "it goes on as an independent entity, from the host's own copy: "
          + host.state("box").get("reason", ""), (r, host.state("box")))
    flip(path, at)
    held = json.loads(host.app("show", "--json", "box").out)
    claim("4.14", held.get("lock_is_held") is False and
          not [n for n in os.listdir(os.path.join(SHARE, "payloads"))
               if "draft" in n],
          "the lock was let go, and nothing is left behind", held)
    r = host.app("rejoin", "box")
    again = host.start("box", "-c", "echo from $APP")
    claim("4.13", r.status == 0 and b"-share\n" in again.out and
          host.state("box").get("state") == "shared",
          "when the payload is right again it is loaded again", (r, again))


def alone(host):
    """The share goes away while one runs."""
    p = host.popen("box", "-c", "echo up; read x; echo $x")
    p.stdout.readline()
    gone = SHARE + ".gone"
    os.rename(SHARE, gone)
    try:
        q = host.popen("box", "-c", "echo up; read x; echo $x")
        q.stdout.readline()
        with open(f"/proc/{q.pid}/maps") as f:
            shared_maps = [line for line in f if "-share/" in line]
        exe = os.readlink(f"/proc/{q.pid}/exe")
        out, err = q.communicate(b"answers\n", timeout=20)
        claim("4.14", out == b"answers\n" and "-copy/" in exe and
              not shared_maps,
              f"without the share it runs, answers, and has nothing of it: "
              f"{exe}", (out, err, exe, shared_maps))
        out, _ = p.communicate(b"goes on\n", timeout=20)
        claim("4.14", out == b"goes on\n", "what ran before goes on", out)
    finally:
        os.rename(gone, SHARE)


def nothing_to_go_on_from():
    bare = apps.Host(os.path.join(WORK, "bare"), SHARE)
    copy = os.path.join(WORK, "removed.app")
    shutil.copy(BOX, copy)
    told, r = bare.install(copy)
    os.unlink(copy)
    os.rename(SHARE, SHARE + ".gone")
    try:
        r = bare.start("box", "-c", "echo ran")
    finally:
        os.rename(SHARE + ".gone", SHARE)
    lines = r.err.decode().splitlines()
    claim("4.14", told and r.status == 75 and r.out == b"" and
          1 <= len(lines) <= 2,
          f"where there is nothing to go on from it ends with 75: {lines[-1:]}",
          r)
    bare.app("uninstall", "box")
    bare.clear()


def put_back(host):
    r = host.app("uninstall", "box")
    with open(host.path("box"), "rb") as f:
        text = f.read()
    claim("4.7", r.status == 0 and
          host.start("box").out == b"the program before\n" and
          text == b"#!/bin/sh\necho the program before\n" and
          sorted(os.listdir(host.bin)) == ["box"],
          "an uninstall makes the start path what it was", (r, text))


# ---- all ------------------------------------------------------------------------------------------

def show():
    root = apps.make_box(WORK)
    host = apps.Host(os.path.join(WORK, "here"), SHARE)
    device(root)
    if not install_here(host):
        return
    try:
        sizes()
        started(host)
        loaded(host)
        quiet_start(host)
        why = m.missing()
        machines, why = (None, why) if why else start_machines()
        if machines and install_there(machines):
            contend(host, "one")
            race(host, machines)
            different_hypervisors(machines)
        elif not machines:
            for number in ("4.2", "4.6", "4.9", "4.10", "4.11"):
                skip(number, "with machines as hosts", why)
        faults(host)
        alone(host)
        nothing_to_go_on_from()
        put_back(host)
    finally:
        host.clear()


def main():
    why = apps.may_mount()
    if why:
        skip("4.1", "to 4.15", why)
        TAP.done()
    try:
        show()
    except Exception:
        TAP.ok(False, "the claims of system 4", traceback.format_exc())
    finally:
        m.clear()
        warm.stop_all()
    TAP.done()


if __name__ == "__main__":
    main()
