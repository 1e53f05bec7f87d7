# SPDX-License-Identifier: Apache-2.0
"""What the tests of shared folders share: the sides that have one - this
host, machines over 9p, virtiofs or NFS - and an NFS server of the test's own.

    image(path, kernel)             with all modules, and the program locks
    Host(folder), Guest(machine, "/mnt/share0")
        .sh(script)                 runs in the folder: what it has said
        .done(script)               did it end well?
        .lock(kind, file)           "held", "busy", or what went wrong
        .hold(kind, file)           the same, kept: a context manager
    start_ganesha(folder)           .port, .log(), .stop()
    mount_nfs(machine, port, at)    in a machine with --network; a Guest
    race(sides)                     who won a link(), round by round
"""

import os
import shutil
import socket
import subprocess

import machines as m
import warm

LOCKS = os.path.join(warm.BUILD, "tests/programs/locks")
GANESHA = "/usr/bin/ganesha.nfsd"


def image(path, kernel_file, *words):
    return m.image(path, "--kernel", kernel_file, "--module", "share",
                   "--module", "nfs4", "--with", LOCKS + "=/bin/locks", *words)


class Hold:
    """A lock that is kept until the end of "with"; .said tells of it."""

    def __init__(self, argv):
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.said = self.process.stdout.readline().decode().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        finally:
            self.process.stdin = None
            warm.end(self.process)


class Host:
    look = .3  # seconds between two looks, so that a slow guest can be first

    def __init__(self, folder, name="host"):
        self.folder, self.name = folder, name

    def argv(self, *argv):
        return ["sh", "-c", 'cd "$0" && exec "$@"', self.folder, *argv]

    def run(self, *argv, timeout=60):
        return warm.run(self.argv(*argv), timeout=timeout)

    def sh(self, script, **kw):
        result = self.run("sh", "-c", script, **kw)
        return (result.out + result.err).decode(errors="replace").strip()

    def done(self, script, **kw):
        return self.run("sh", "-c", script, **kw).status == 0

    def hold(self, kind, file):
        return Hold(self.argv(self.locks(), kind, file))

    def lock(self, kind, file):
        with self.hold(kind, file) as hold:
            return hold.said

    def locks(self):
        return LOCKS


class Guest(Host):
    look = .01

    def __init__(self, machine, at, name=None):
        super().__init__(at, name or f"{machine}:{at}")
        self.machine = machine

    def argv(self, *argv):
        return [warm.BROOD, "machine", "exec", self.machine, "--",
                *super().argv(*argv)]

    def locks(self):
        return "/bin/locks"


def race(sides, rounds=12):
    """All link a file of their own to one name, as soon as they see that of
    the round before: for each round who has won."""
    scripts = [f"""for i in $(seq {rounds}); do echo {n} >own{n}.$i; done
        for i in $(seq {rounds}); do
            until [ -e won.$((i - 1)) ]; do sleep {side.look}; done
            ln own{n}.$i won.$i 2>/dev/null && echo $i
        done""" for n, side in enumerate(sides)]
    processes = [subprocess.Popen(side.argv("sh", "-c", script),
                                  stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE)
                 for side, script in zip(sides, scripts)]
    ready = " && ".join(f"[ -e own{n}.{rounds} ]" for n in range(len(sides)))
    warm.wait_until(lambda: sides[0].done(ready), 20, 0.1)
    sides[0].sh("touch won.0")
    said = [p.communicate(timeout=60)[0].decode().split() for p in processes]
    sides[0].sh("rm -f own* won*")
    return [[side.name for side, won in zip(sides, said) if str(i) in won]
            for i in range(1, rounds + 1)]


# ---- NFS -------------------------------------------------------------------------

GANESHA_WORDS = """
NFS_CORE_PARAM {{
    Bind_addr = 127.0.0.1;
    NFS_Port = {port};
    Protocols = 4;
    Enable_NLM = false;
    Enable_RQUOTA = false;
    Enable_UDP = false;
}}
NFS_KRB5 {{ Active_krb5 = false; }}
NFSV4 {{
    Graceless = true;
    Minor_Versions = 1, 2;
    Lease_Lifetime = {lease};
    Only_Numeric_Owners = true;
    Delegations = false;
    RecoveryBackend = fs;
    RecoveryRoot = "{own}/recovery";
}}
EXPORT {{
    Export_Id = 1;
    Path = "{folder}";
    Pseudo = /;
    Protocols = 4;
    Transports = TCP;
    SecType = sys;
    Access_Type = RW;
    Squash = No_Root_Squash;
    Attr_Expiration_Time = 0;
    FSAL {{ Name = VFS; }}
}}
LOG {{ Default_Log_Level = EVENT; }}
"""


def missing_ganesha():
    """Why there is no NFS server here, or None."""
    if not os.access(GANESHA, os.X_OK):
        return "there is no nfs-ganesha"
    if not os.path.exists("/usr/lib/x86_64-linux-gnu/ganesha/libfsalvfs.so"):
        return "there is no nfs-ganesha-vfs"
    return None if os.geteuid() == 0 else "nfs-ganesha wants to be root"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Ganesha:
    """NFSv4.1 of one folder at a port of 127.0.0.1, without a portmapper, a
    bus or Kerberos.  What it writes is in a folder of its own."""

    def __init__(self, folder, own, lease=10):
        self.folder, self.own, self.port = folder, own, free_port()
        os.makedirs(os.path.join(own, "recovery"))
        words = GANESHA_WORDS.format(port=self.port, folder=folder, own=own,
                                     lease=lease)
        with open(os.path.join(own, "conf"), "w") as f:
            f.write(words)
        self.start()

    def start(self):
        """Also again, after stop: as the server that it was."""
        paths = [os.path.join(self.own, n) for n in ("conf", "log", "pid")]
        self.process = subprocess.Popen(
            [GANESHA, "-F", "-f", paths[0], "-L", paths[1], "-p", paths[2]],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def serves(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def log(self):
        try:
            with open(os.path.join(self.own, "log")) as f:
                return f.read()
        except OSError:
            return ""

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def remove(self):
        self.stop()
        shutil.rmtree(self.own)


def start_ganesha(folder, own=None, lease=10):
    """A server of that folder (its path has no quotation mark); None, and a
    note, where it does not serve."""
    ganesha = Ganesha(folder, own or folder + ".ganesha", lease)
    warm.wait_until(lambda: ganesha.serves() or
                    ganesha.process.poll() is not None, 20, 0.05)
    if ganesha.serves():
        return ganesha
    warm.note(ganesha.log())
    ganesha.remove()
    return None


def mount_nfs(machine, port, at, options=""):
    """QEMU's network for users leads 10.0.2.2 to this host.  Busybox's mount
    does not look addresses up for NFS: so they are told.  A server takes two
    machines of one host name for the same client, whose locks are one."""
    result = m.inside(machine, "sh", "-c", f"""
        hostname {machine}
        ip link set eth0 up
        ip addr add 10.0.2.15/24 dev eth0 2>/dev/null
        mkdir -p {at} && mount -t nfs4 -o vers=4.1,addr=10.0.2.2,\
clientaddr=10.0.2.15,port={port}{options} 10.0.2.2:/ {at}""")
    if result.status != 0:
        warm.note(result)
        return None
    return Guest(machine, at)
