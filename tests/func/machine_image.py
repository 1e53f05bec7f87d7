# SPDX-License-Identifier: Apache-2.0
"""brood machine image: what is in an image, and a machine (QEMU without
KVM) that starts from one: its agent runs programs and makes it another
machine than its siblings."""

import glob
import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import agent_line as al
import warm

TAP = warm.Tap()
QEMU = "qemu-system-x86_64"
BUSYBOX = "/bin/busybox"


def kernel():
    found = sorted(glob.glob("/boot/vmlinuz-*cloud*") or
                   glob.glob("/boot/vmlinuz-*"))
    return found[-1] if found else None


def image(path, *words, status=0, path_variable=None):
    env = dict(os.environ)
    if path_variable is not None:
        env["PATH"] = path_variable
    result = warm.brood("machine", "image", "--as", path, *words, env=env)
    if status == 0 and result.status != 0:
        warm.note(result)
    return result


# ---- what is in it -------------------------------------------------------------

def entries(path):
    """{name: (mode, data)} of an archive that is not compressed, in order."""
    with open(path, "rb") as f:
        data = f.read()
    found, at = {}, 0
    while True:
        assert data[at:at + 6] == b"070701", at
        field = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16)
                 for i in range(13)]
        name = data[at + 110:at + 109 + field[11]].decode()
        at = (at + 110 + field[11] + 3) & ~3
        if name == "TRAILER!!!":
            return found
        assert field[5] == 0 and field[2] == 0, name
        found[name] = field[1], data[at:at + field[6]]
        at = (at + field[6] + 3) & ~3


def check_contents(folder):
    one, two = (os.path.join(folder, n) for n in ("one.img", "two.img"))
    result = image(one, "--compress", "none", "--json")
    told = json.loads(result.out)
    image(two, "--compress", "none")
    with open(one, "rb") as a, open(two, "rb") as b:
        same = a.read() == b.read()
    TAP.ok(same and told["bytes"] == os.path.getsize(one) and
           told["compression"] == "none", "the same inputs, the same bytes",
           told)
    inside = entries(one)
    TAP.ok(inside["init"][0] == 0o100755 and
           inside["bin"] == (0o120777, b"usr/bin") and
           list(inside) == sorted(inside) and
           {"usr/bin/busybox", "usr/sbin/brood-agent", "dev/console"} <=
           set(inside), "busybox, the agent and an init", list(inside))
    for how in ("zstd", "gzip"):
        words = f"{how} gives the same archive"
        if not shutil.which(how):
            TAP.skip(words, f"there is no {how}")
            continue
        packed = os.path.join(folder, "packed")
        image(packed, "--compress", how)
        plain = warm.run([how, "-dc", packed])
        with open(one, "rb") as f:
            TAP.ok(plain.out == f.read(), words, plain.err)


def check_with(folder):
    tree = os.path.join(folder, "tree")
    os.makedirs(os.path.join(tree, "sub"))
    for name, words in (("a", "A"), ("sub/b", "B")):
        with open(os.path.join(tree, name), "w") as f:
            f.write(words)
    os.symlink("sub/b", os.path.join(tree, "link"))
    os.mkfifo(os.path.join(tree, "pipe"))
    path = os.path.join(folder, "with.img")
    result = image(path, "--compress", "none", "--with", tree + "=/opt/x",
                   "--with", os.path.join(tree, "link"), "--with",
                   os.path.join(tree, "a") + "=/etc/hostname", "--json")
    inside = entries(path)
    TAP.ok(inside["opt/x/a"][1] == b"A" and inside["opt/x/sub/b"][1] == b"B"
           and inside["opt/x/link"] == (0o120777, b"sub/b"),
           "a folder at another place", list(inside))
    TAP.ok(inside[tree[1:] + "/link"][1] == b"sub/b" and
           inside[tree[1:] + "/sub/b"][1] == b"B",
           "a link with its target", list(inside))
    TAP.ok(inside["etc/hostname"][1] == b"A", "a file in place of our own")
    TAP.ok("opt/x/pipe" not in inside and
           "pipe is left out" in json.loads(result.out)["notes"][0],
           "what is no file is left out, and told of", result)
    image(path, "--compress", "none", "--with", "/bin/ls")
    inside = entries(path)
    wanted = {"usr/bin/ls", "usr/lib64/ld-linux-x86-64.so.2"}
    libraries = {os.path.basename(name) for name in inside}
    TAP.ok(wanted <= set(inside) and "libc.so.6" in libraries,
           "a program with its libraries", list(inside))


def check_refused(folder):
    path = os.path.join(folder, "refused.img")
    cases = [(["--with", "/nonesuch"], "/nonesuch"),
             (["--with", "/dev/null"], "neither"),
             (["--with", "/etc/passwd=/a/../b"], '".."'),
             (["--with", "/etc/passwd=/init/x"], "/init is no folder"),
             (["--kernel", "/etc/passwd", "--module", "x"], "no Linux kernel"),
             (["--module", "nonesuch"], "nonesuch" if kernel() else "/boot")]
    for words, why in cases:
        result = image(path, *words, status=111)
        TAP.ok(result.status == 111 and why in result.err.decode() and
               not os.path.exists(path), f"refused: {' '.join(words)}", result)
    result = image(os.path.join(folder, "no/such/folder"), status=111)
    TAP.ok(result.status == 111, "no place for it", result)
    result = image(path, "--compress", "lzo", status=100)
    TAP.ok(result.status == 100, "no such compression", result)


def check_tools(folder):
    """The system's programs: not there, or broken."""
    path = os.path.join(folder, "tools.img")
    tools = os.path.join(folder, "tools")
    os.mkdir(tools)
    os.symlink(BUSYBOX, os.path.join(tools, "busybox"))
    result = image(path, path_variable=tools)
    TAP.ok(result.status == 0 and b"not compressed" in result.err and
           entries(path), "without zstd and gzip it is not compressed", result)
    with open(os.path.join(tools, "zstd"), "w") as f:
        f.write("#!/bin/sh\nread x\nexit 7\n")
    os.chmod(os.path.join(tools, "zstd"), 0o755)
    before = os.stat(path).st_mtime_ns
    result = image(path, path_variable=tools, status=111)
    TAP.ok(result.status == 111 and b"zstd has failed, status 7" in result.err
           and os.stat(path).st_mtime_ns == before,
           "a zstd that fails is told, what was there stays", result)
    os.unlink(os.path.join(tools, "busybox"))
    os.symlink("/bin/ls", os.path.join(tools, "busybox"))
    result = image(path, path_variable=tools, status=111)
    TAP.ok(result.status == 111 and b"busybox-static" in result.err,
           "a busybox that needs libraries", result)


def check_modules(folder):
    """From a folder of our own, beside a kernel of our own."""
    root = os.path.join(folder, "root")
    head = bytearray(4096)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x300)
    head[0x500:0x508] = b"9.9-x #1"
    modules = os.path.join(root, "lib/modules/9.9-x")
    os.makedirs(os.path.join(modules, "kernel"))
    os.mkdir(os.path.join(root, "boot"))
    kernel_file = os.path.join(root, "boot/vmlinuz")
    with open(kernel_file, "wb") as f:
        f.write(head)
    packers = [p for p in ("xz", "zstd", "gzip") if shutil.which(p)]
    ends = {"xz": ".xz", "zstd": ".zst", "gzip": ".gz"}
    names = {"a-one": "", "b": "", "c": "", "d": ""}
    for name, packer in zip(("b", "c", "d"), packers):
        names[name] = ends[packer]
    for name, end in names.items():
        file = os.path.join(modules, "kernel", name + ".ko")
        with open(file, "w") as f:
            f.write("module " + name)
        if end:
            packer = [p for p in packers if ends[p] == end][0]
            packed = warm.run([packer, "-c", file])
            os.unlink(file)
            with open(file + end, "wb") as f:
                f.write(packed.out)
    full = {n: f"kernel/{n}.ko{e}" for n, e in names.items()}
    with open(os.path.join(modules, "modules.dep"), "w") as f:
        f.write(f"{full['a-one']}: {full['b']} {full['c']} {full['d']}\n"
                f"{full['b']}: {full['c']} {full['d']}\n"
                f"{full['c']}:\n{full['d']}:\n")
    with open(os.path.join(modules, "modules.builtin"), "w") as f:
        f.write("kernel/inside.ko\n")
    path = os.path.join(folder, "modules.img")
    result = image(path, "--compress", "none", "--kernel", kernel_file,
                   "--module", "a_one", "--module", "b", "--module", "inside",
                   "--json")
    told = json.loads(result.out or b"{}")
    order = [os.path.basename(m)[:-3] for m in told.get("modules", [])]
    TAP.ok(order == ["d", "c", "b", "a-one"] and told["release"] == "9.9-x",
           "modules in the order in which they need one another", result)
    inside = entries(path)
    TAP.ok(all(inside[f"usr/lib/modules/9.9-x/kernel/{n}.ko"][1] ==
               f"module {n}".encode() for n in names),
           f"uncompressed ({' '.join(packers)})", list(inside))
    TAP.ok(inside["etc/brood/modules"][1].decode().splitlines() ==
           told["modules"], "and a list of them for init")


# ---- a machine ------------------------------------------------------------------

class Machine:
    def __init__(self, folder, file, *words):
        self.folder = tempfile.mkdtemp(dir=folder)
        self.port = os.path.join(self.folder, "port")
        self.monitor = os.path.join(self.folder, "monitor")
        self.console = os.path.join(self.folder, "console")
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [QEMU, "-M", "q35,smm=off,usb=off", "-accel", "tcg", "-cpu", "max",
             "-m", "256", "-nodefaults", "-no-user-config", "-display",
             "none", "-vga", "none", "-no-reboot", "-kernel", kernel(),
             "-initrd", file, "-append",
             "console=ttyS0 quiet panic=-1 mitigations=off",
             "-rtc", "base=2001-02-03T04:05:06",
             "-serial", f"file:{self.console}",
             "-chardev", f"socket,id=port,path={self.port},server=on,wait=off",
             "-qmp", f"unix:{self.monitor},server=on,wait=off", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        try:
            self.socket = self.connect(self.port)
            self.line = al.Agent(self.socket.fileno())
        except Exception:
            self.close()
            raise

    def connect(self, path):
        s = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + 20
        while True:
            try:
                s.connect(path)
                return s
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    def ask(self, *commands):
        """Commands of the monitor: the last one's answer."""
        with self.connect(self.monitor) as s, s.makefile("rw") as f:
            f.readline()
            answer = None
            for command in ({"execute": "qmp_capabilities"}, *commands):
                f.write(json.dumps(command) + "\n")
                f.flush()
                while True:
                    answer = json.loads(f.readline())
                    if "return" in answer or "error" in answer:
                        break
            return answer.get("return", answer)

    def said(self):
        with open(self.console, errors="replace") as f:
            return f.read()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        self.process.stderr.close()


SERIAL = ["-serial", "chardev:port"]
VIRTIO = ["-device", "virtio-serial-pci", "-device",
          "virtserialport,chardev=port,name=org.brood.agent",
          "-netdev", "user,id=net,restrict=on", "-device",
          "virtio-net-pci,netdev=net,mac=52:54:00:00:00:01"]


def check_boot(machine):
    first = machine.line.wait(al.READY, 0, 90)
    seconds = time.monotonic() - machine.started
    boot = al.READY_FORM.unpack(first)[3].rstrip(b"\0").decode()
    TAP.ok(re.fullmatch(r"[0-9a-f-]{36}", boot), "the agent is ready", first)
    warm.note(f"ready after {seconds:.1f} s")
    version, uptime, again = machine.line.hello()
    TAP.ok(version == 1 and again == boot and 0 < uptime < 90e9,
           "and says so again")
    TAP.ok(warm.wait_until(lambda: "brood: machine ready" in machine.said()),
           "the console says it too", machine.said())
    TAP.ok(warm.wait_until(lambda: "/ # " in machine.said()),
           "and has a shell", machine.said())


def check_processes(line):
    p = line.run("sh", "-c", "echo out; echo err >&2; exit 3")
    TAP.ok((p.out, p.err, p.status) == (b"out\n", b"err\n", 3 << 8),
           "output, errors and status", p)
    p = line.run("nonesuch")
    TAP.ok(p.failed and "no such file" in p.failed, "no such program", p)
    data = random.Random(3).randbytes(20000)
    p = line.run("sha256sum", data=data, seconds=30)
    TAP.ok(p.out.split()[0].decode() == hashlib.sha256(data).hexdigest(),
           "20 kB of input", p)
    both = [line.start("sh", "-c", f"for i in 1 2 3; do echo {n}; sleep .1; "
                       f"done; exit {n}") for n in (4, 5)]
    for p in both:
        line.finish(p)
    TAP.ok([(p.out, p.exit_code()) for p in both] ==
           [(b"4\n" * 3, 4), (b"5\n" * 3, 5)], "two at once", both)
    p = line.start("sleep", "600")
    line.signal(p, signal.SIGTERM)
    line.finish(p)
    TAP.ok(p.status == signal.SIGTERM, "a signal", p)


def check_much_output(line):
    start = time.monotonic()
    p = line.run("head", "-c", "1000000", "/dev/zero", seconds=90)
    TAP.ok(p.out == bytes(1000000) and p.status == 0, "1 MB of output",
           (len(p.out), p.status))
    warm.note(f"1 MB of output in {time.monotonic() - start:.1f} s")
    TAP.ok(line.passed == 0, "without a byte that was in no frame",
           line.passed)


def uuids(line):
    return line.run("sh", "-c", "for i in 1 2 3; do "
                    "cat /proc/sys/kernel/random/uuid; done").out.split()


def be(line, number):
    """UNIQUE as the number-th clone; checks all but the addresses."""
    name, machine_id = f"clone{number}", f"{number:032x}"
    done, why = line.unique(
        seed=bytes([number + 1]) * 64, name=name, machine_id=machine_id,
        realtime_ns=time.time_ns())
    p = line.run("sh", "-c", "date +%s; hostname; cat /etc/machine-id")
    words = p.out.decode().split()
    TAP.ok(done == al.SEEDED | al.CLOCKED | al.IDENTIFIED | al.NAMED and
           abs(int(words[0]) - time.time()) <= 2 and
           words[1:] == [name, machine_id],
           f"{name}: clock, host name and machine-id", (done, why, p))


def check_unique(line):
    p = line.run("date", "+%Y")
    TAP.ok(p.out == b"2001\n", "the machine has a clock of its own", p)
    streams = []
    for number in (1, 2):
        be(line, number)
        streams += uuids(line)
    TAP.ok(len(set(streams)) == 6, "two seeds, two streams of uuids", streams)


def check_clones(folder, machine, file):
    """Two machines of one saved state are the same until they are told not
    to be."""
    state = os.path.join(folder, "state")
    answer = machine.ask({
        "execute": "migrate", "arguments": {"uri": f"exec:cat >{state}"}})
    done = warm.wait_until(
        lambda: machine.ask({"execute": "query-migrate"}).get("status") ==
        "completed", 60, 0.1)
    machine.close()
    if not TAP.ok(done, "its state is saved", answer):
        return
    streams, before = [], []
    for number in (3, 4):
        clone = Machine(folder, file, *SERIAL, "-incoming",
                        f"exec:cat {state}")
        try:
            _, uptime, boot = clone.line.hello(60)
            before.append(boot)
            if number == 3:
                warm.note(f"a clone with an uptime of {uptime / 1e9:.1f} s "
                          f"after {time.monotonic() - clone.started:.1f} s")
            be(clone.line, number)
            streams.append(uuids(clone.line))
        finally:
            clone.close()
    TAP.ok(before[0] == before[1], "two clones of one boot", before)
    TAP.ok(len(set(streams[0] + streams[1])) == 6,
           "have different streams of uuids", streams)
    os.unlink(state)


def check_power(machine, how, words):
    machine.line.send(al.POWER, 9, struct.pack("<I", how))
    machine.line.until(lambda: not machine.line.on_way, 10, words)
    try:
        status = machine.process.wait(20)
    except subprocess.TimeoutExpired:
        status = None
    TAP.ok(status == 0, words, machine.said())


def check_serial(folder):
    file = os.path.join(folder, "serial.img")
    start = os.path.join(folder, "start")
    with open(start, "w") as f:
        f.write("#!/bin/sh\ndate >/run/started\n")
    os.chmod(start, 0o755)
    image(file, "--with", start + "=/etc/brood/start", "--with", "/bin/true",
          "--with", "/usr/bin/env=/opt/env")
    machine = Machine(folder, file, *SERIAL)
    try:
        check_boot(machine)
        p = machine.line.run("sh", "-c", "ls /run; /opt/env A=b; echo")
        TAP.ok(b"started" in p.out and b"A=b" in p.out,
               "what was put into the image runs", p)
        check_processes(machine.line)
        check_much_output(machine.line)
        check_unique(machine.line)
        check_clones(folder, machine, file)
    except (al.Timeout, EOFError) as e:
        TAP.ok(False, f"the machine at a serial port: {e}", machine.said())
    finally:
        machine.close()


def check_virtio(folder):
    file = os.path.join(folder, "virtio.img")
    words = ["--kernel", kernel(), "--module", "virtio_console", "--module",
             "virtio_net"]
    made = image(file, *words)
    if b"there is no /lib/modules" in made.err:
        TAP.skip("a machine with a virtio port", "the kernel has no modules")
        return
    if not TAP.ok(made.status == 0, "an image with modules", made):
        return
    machine = Machine(folder, file, *VIRTIO)
    try:
        machine.line.hello(90)
        TAP.ok(True, "the agent is at its virtio port")
        check_much_output(machine.line)
        macs = [bytes([2, 0, 0, 0, 0, 7])]
        done, why = machine.line.unique(macs=macs)
        p = machine.line.run("cat", "/sys/class/net/eth0/address")
        TAP.ok(done == al.ADDRESSED and p.out == b"02:00:00:00:00:07\n",
               "the address of its network device", (done, why, p))
        machine.line.run("ip", "link", "set", "eth0", "up")
        macs = [bytes([2, 0, 0, 0, 0, 8])]
        machine.line.unique(macs=macs)
        p = machine.line.run("ip", "link", "show", "eth0")
        TAP.ok(b"02:00:00:00:00:08" in p.out and b",UP" in p.out,
               "also of one that is up, and stays so", p)
        done, why = machine.line.unique(macs=macs * 2)
        TAP.ok(done == 0 and "network devices: 1" in why,
               "more addresses than devices", (done, why))
        machine.socket.close()
        time.sleep(0.5)
        machine.socket = machine.connect(machine.port)
        machine.line = al.Agent(machine.socket.fileno())
        machine.line.hello()
        p = machine.line.run("echo", "again")
        TAP.ok(p.out == b"again\n", "a host that comes again", p)
        check_power(machine, 0, "it can be switched off")
    except (al.Timeout, EOFError) as e:
        TAP.ok(False, f"the machine at a virtio port: {e}", machine.said())
    finally:
        machine.close()


def main():
    if not os.path.exists(BUSYBOX):
        TAP.skip("all of it", "there is no /bin/busybox (busybox-static)")
        TAP.done()
    folder = tempfile.mkdtemp(dir=os.environ["TMPDIR"])
    check_contents(folder)
    check_with(folder)
    check_refused(folder)
    check_tools(folder)
    check_modules(folder)
    if not shutil.which(QEMU):
        TAP.skip("a machine", f"there is no {QEMU}")
    elif not kernel():
        TAP.skip("a machine", "there is no kernel in /boot")
    else:
        check_serial(folder)
        check_virtio(folder)
    TAP.done()


if __name__ == "__main__":
    main()
