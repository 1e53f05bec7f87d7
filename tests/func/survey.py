# SPDX-License-Identifier: Apache-2.0
"""Does any program of this machine give another result when it starts warm?

Each dynamic ELF program of /usr/bin runs with --version, with --help and
with no arguments and an empty stdin: twice by plain exec, by clone and by
hatch.  What plain exec does not repeat while the machine's state moves on
cannot be compared.  Programs named as arguments are surveyed alone;
SURVEY=full surveys all."""

import collections
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import queue

import warm

# Programs that act on the whole system, wait for a person, or leave
# servers behind when they are started without arguments.
LEFT_OUT = set("""
kill pkill killall skill snice systemctl loginctl busctl machinectl
systemd-run systemd-tty-ask-password-agent systemd-inhibit
systemd-notify timedatectl hostnamectl localectl networkctl portablectl
ssh-agent gpg-agent dirmngr dbus-launch dbus-daemon dbus-run-session
dbus-monitor screen tmux script scriptlive wall write mesg login su sudo
chsh chfn passwd newgrp sg chage expiry gpasswd crontab at batch top htop
watch less more vi vim vim.tiny vim.basic nano emacs ed dmesg fallocate
mount umount mountpoint eject setterm reset tset clear stress unshare
nsenter setpriv systemd-nspawn logger mandb apt-get aptitude Xvfb Xorg
containerd dockerd podman buildah runc crun ctr brood perf gdbserver
gapplication gio gsettings dconf at-spi yes journalctl systemd-cat
systemd-stdio-bridge systemd-socket-activate systemd-mount systemd-umount
systemd-cgtop bootctl resolvectl systemd-resolve redis-server mysqld
faked-sysv faked-tcp postgres memcached nginx chromium google-chrome firefox java
""".split())
RUNS = (["--version"], ["--help"], [])
COUNT = collections.Counter()
LISTS = collections.defaultdict(list)
LOCK = threading.Lock()


def is_dynamic_elf(path):
    """An ELF64 file with an interpreter, not set-user-id."""
    try:
        st = os.stat(path)
        if not os.path.isfile(path) or st.st_mode & 0o6000:
            return False
        with open(path, "rb") as f:
            data = f.read(4096)
    except OSError:
        return False
    return data[:5] == b"\x7fELF\x02" and b"/ld-linux-x86-64.so.2\0" in data


def candidates():
    seen, found = set(), []
    for name in sorted(os.listdir("/usr/bin")):
        path = os.path.join("/usr/bin", name)
        real = os.path.realpath(path)
        if name in LEFT_OUT or os.path.basename(real) in LEFT_OUT:
            continue
        if real not in seen and is_dynamic_elf(real):
            seen.add(real)
            found.append(path)
    return found


def run(argv, cwd, env):
    """In a session of its own, so that all that it starts can be ended."""
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         cwd=cwd, env=env, start_new_session=True)
    try:
        out, err = p.communicate(timeout=15)
        return warm.Result(p.returncode, out, err)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGTERM)
        try:
            out, err = p.communicate(timeout=3)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out, err = p.communicate()
        return warm.Result(None, out, err)


def plain(path, args, cwd, env):
    return run([path, *args], cwd, env)


def warmly(path, args, cwd, env, via):
    report = warm.new_report()
    result = run(warm.launch_words(path, args, via, report), cwd, env)
    result.report = warm.read_report(report)
    return result


def tally(kind, words=None):
    with LOCK:
        COUNT[kind] += 1
        if words:
            LISTS[kind].append(words)


@contextlib.contextmanager
def other_state():
    """Another process, other sockets, less memory and disk: programs that
    show these (ps, ss, free, df) do not repeat themselves."""
    child = subprocess.Popen(["sleep", "60"])
    memory = bytearray(os.urandom(1)) * (32 << 20)
    with socket.socketpair()[0], tempfile.TemporaryFile() as f:
        f.write(memory)
        f.flush()
        try:
            yield
        finally:
            child.kill()
            child.wait()


def compare(path, args, cwd, env, served):
    words = " ".join([os.path.basename(path), *args])
    first = plain(path, args, cwd, env)
    with other_state():
        second = plain(path, args, cwd, env)
    if first.status is None or not first.same(second):
        tally("not comparable", words)
        return
    for via in ("clone", "hatch"):
        result = warmly(path, args, cwd, env, via)
        way = (result.report or {}).get("way")
        if way == via:
            served.add(via)
        for _ in range(2):  # a busy machine, or a clock in the output?
            if result.same(first):
                break
            first = plain(path, args, cwd, env)
            result = warmly(path, args, cwd, env, via)
        if result.same(first):
            tally(f"same by {way}")
        elif any(result.same(plain(path, args, cwd, env))
                 for _ in range(40)):  # groff's children race for the pipe
            tally("one of several plain ones", f"{words}: by {via}")
        else:
            tally("WRONG", f"{words}: by {via} ({way}): {result}\n"
                           f"plain: {first}")


def survey(path, number):
    cwd = os.path.join(os.environ["TMPDIR"], f"cwd{number}")
    os.makedirs(cwd, exist_ok=True)
    env = dict(os.environ, HOME=cwd)
    served = set()
    start = warm.serve("--pool", "1", path)
    if start.status != 0:
        lines = start.err.decode(errors="replace").strip().splitlines()
        tally("refused", f"{os.path.basename(path)}: "
                         f"{lines[-1] if lines else 'no reason'}")
    for args in RUNS:
        compare(path, args, cwd, env, served)
    warm.brood("stop", path)
    for via in ("clone", "hatch"):
        if via in served:
            tally(f"served by {via}")
        elif start.status == 0:
            entry = warm.template(path) or {}
            tally(f"not by {via}", f"{os.path.basename(path)}: "
                                   f"{entry.get(via + '_reason')}")


def worker(jobs):
    while True:
        try:
            number, path = jobs.get_nowait()
        except queue.Empty:
            return
        try:
            survey(path, number)
        except Exception as e:  # a test that breaks is a failure
            tally("WRONG", f"{path}: {e!r}")


def main():
    tap = warm.Tap()
    paths = candidates()
    wanted = os.environ.get("SURVEY", "40")
    if len(sys.argv) > 1:
        paths = sys.argv[1:]
    elif wanted != "full":
        random.seed(int(os.environ.get("SEED", "7")))
        paths = random.sample(paths, min(int(wanted), len(paths)))
    jobs = queue.Queue()
    for job in enumerate(paths):
        jobs.put(job)
    threads = [threading.Thread(target=worker, args=(jobs,))
               for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for kind in sorted(COUNT):
        warm.note(f"{COUNT[kind]:5} {kind}")
        if kind not in ("same by clone", "same by hatch"):
            for words in sorted(LISTS[kind]):
                warm.note("        " + words)
    total = len(paths)
    clones, hatches = (COUNT[f"served by {v}"] for v in ("clone", "hatch"))
    tap.ok(COUNT["WRONG"] == 0, f"no program of {total} gives another result "
           "warm", "\n".join(LISTS["WRONG"]))
    # Of all programs 97 in 100.  Which of the others (cmake: it keeps PWD) are
    # among some 40 depends on what is installed: so much fewer as happens once
    # in many thousands.
    least = 0.97 * total
    if total <= 200:
        least -= 4 * (0.97 * 0.03 * total) ** 0.5
    tap.ok(clones >= least, f"{clones} of {total} served by clone")
    tap.ok(hatches >= least, f"{hatches} of {total} served by hatch")
    warm.stop_all()
    tap.done()


if __name__ == "__main__":
    main()
