# SPDX-License-Identifier: Apache-2.0
"""Two hosts on one share do everything at once, and are killed at random:
each start ends right, and no payload that counts is ever lost.  And programs
that run while their application is upgraded.

RACE_SECONDS=N is how long (20)."""

import os
import random
import re
import signal
import subprocess
import threading
import time

import app_host
import warm
from app_host import Host, Share, tool_out, write

TAP = warm.Tap()
SECONDS = float(os.environ.get("RACE_SECONDS", "20"))
NUMBERS = range(1, 6)
LIMITS = ["--wait", "8s", "--answer", "8s", "--rejoin", "1s"]
OLD_OUT = b"old program x\n"


# ---- upgrades under programs that run ----------------------------------------

def waiter(host):
    p = subprocess.Popen([host.path("waiter")], env=host.start_env(),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    return p, p.stdout.readline()


def end_waiter(p):
    out, err = p.communicate(b"\n", timeout=20)
    return out, err, p.returncode


def upgrades_while_running():
    share = Share("running")
    host = Host("runner", share, LIMITS)
    try:
        for number in (1, 2, 3):
            done = host.install(IMAGES[number], verb="upgrade")
            assert done.status == 0, done
            p, hello = waiter(host)
            TAP.ok(hello == f"waiter {number}\n".encode(),
                   f"version {number} runs", hello)
            RUNNING.append((number, p))
        run_under_collection(host, share)
        run_after_rollback(host)
    finally:
        for _, p in RUNNING:
            warm.end(p)
        host.clean()


RUNNING = []


def run_under_collection(host, share):
    for path in os.listdir(f"{share.back}/hosts"):
        folder = f"{share.back}/hosts/{path}"
        if os.path.isdir(folder):
            for name in os.listdir(folder):
                os.utime(f"{folder}/{name}", (1, 1))
    for name in share.payloads():
        os.utime(f"{share.back}/payloads/{name}", (1, 1))
    host.let_mounts_rest()
    done = host.brood("gc", "--grace", "1s")
    host.cold()
    left = share.payloads()
    TAP.ok(done.status == 0 and len(left) == 2,
           "a collection removes the payload of version 1, which runs, and "
           f"keeps two: {len(left)}", done)
    mounted = [n for n in os.listdir(host.mounts)
               if os.path.ismount(f"{host.mounts}/{n}")]
    TAP.ok(len(mounted) == 3, "what runs stays mounted", mounted)
    done = host.start("x")
    TAP.ok(done.out == tool_out(3, "x"), "the next start is version 3", done)
    number, p = RUNNING.pop(0)
    out, err, status = end_waiter(p)
    host.let_mounts_rest()
    want = f"still {number} {number} {CKSUM[number]}\n".encode()
    TAP.ok(status == 0 and out == want and not err,
           "version 1 reads what it has not read before, from the payload "
           "that is gone", (out, err, status, want))
    host.brood("gc", "--grace", "1s")
    mounted = [n for n in os.listdir(host.mounts)
               if os.path.ismount(f"{host.mounts}/{n}")]
    TAP.ok(len(mounted) == 2, "and when it has ended its mount goes", mounted)


def run_after_rollback(host):
    done = host.brood("rollback", "tool")
    again = host.start("x")
    TAP.ok(done.status == 0 and again.out == tool_out(2, "x"),
           "after a rollback the next start is version 2", (done, again))
    done = host.brood("rollback", "--to", "1", "tool")
    again = host.start("x")
    TAP.ok(done.status == 111 and len(done.err.splitlines()) == 1 and
           again.out == tool_out(2, "x"),
           "a rollback to what was collected is refused in a line, and "
           "changes nothing", (done, again))
    while RUNNING:
        number, p = RUNNING.pop()
        out, err, status = end_waiter(p)
        want = f"still {number} {number} {CKSUM[number]}\n".encode()
        TAP.ok(status == 0 and out == want and not err,
               f"version {number} went on undisturbed", (out, err))
    verified = host.brood("verify", "tool")
    TAP.ok(verified.status == 0, "verify", verified)


# ---- two hosts at once ---------------------------------------------------------

class Race:
    def __init__(self, share):
        self.share, self.wrong, self.lock = share, [], threading.Lock()
        self.counts, self.end = {}, time.monotonic() + SECONDS

    def count(self, word):
        with self.lock:
            self.counts[word] = self.counts.get(word, 0) + 1

    def bad(self, words):
        with self.lock:
            self.wrong.append(words)

    def goes_on(self):
        return time.monotonic() < self.end


def run_or_kill(race, rng, words, env):
    """None: it was killed."""
    p = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if rng.random() < 0.3:
        time.sleep(rng.random() * 0.08)
        p.kill()
        out, err = p.communicate()
        race.count("killed")
        return None
    out, err = p.communicate(timeout=60)
    return warm.Result(p.returncode, out, err)


def kill_helpers(host, rng):
    """One of the processes beside, which the kill of the first left."""
    found = host.processes()
    if found:
        try:
            os.kill(rng.choice(found), signal.SIGKILL)
        except ProcessLookupError:
            pass


# What a start, a command and a kill may meet of the others.
MEETS = re.compile(rb"lock|helper was ended|another install|no answer|"
                   rb"not done in time|was first|is gone|ESTALE|Stale|"
                   rb"no version before|File exists")


def starter(race, host, seed):
    rng = random.Random(seed)
    right = [tool_out(n, "x") for n in NUMBERS]
    while race.goes_on():
        done = run_or_kill(race, rng, [host.path(), "x"], host.start_env())
        if not done:
            continue
        if done.status == -signal.SIGKILL:
            race.count("starts killed by the other")
        elif done.status == 0 and done.out in right and not done.err:
            race.count("starts shared")
        elif done.status == 0 and done.out == OLD_OUT:
            race.count("starts independent")
            if done.err and not MEETS.search(done.err):
                race.bad(f"{host.name}: independent for {done.err}")
        else:
            race.bad(f"{host.name}: {done}")


def operator(race, host, seed):
    rng = random.Random(seed)
    while race.goes_on():
        image = IMAGES[rng.choice(NUMBERS)]
        words = rng.choice([
            host.install_words(image),
            host.install_words(image, verb="upgrade"),
            host.install_words(image, verb="upgrade"),
            ["rollback", "tool"], ["gc", "--grace", "1s"],
            ["gc", "--grace", "1s"], ["rejoin", "tool"],
            ["verify", "tool"]])
        done = run_or_kill(race, rng, [warm.BROOD, "app", *words], host.env)
        if rng.random() < 0.1:
            kill_helpers(host, rng)
        if not done:
            continue
        race.count(words[0])
        if done.status not in (0, 111, -signal.SIGKILL) or (
                done.status == 111 and not MEETS.search(done.err)):
            race.bad(f"{host.name}: {words}: {done}")


def watcher(race):
    """The payload of the version that counts is there."""
    while race.goes_on():
        before = race.share.versions()
        payload = race.share.payload(before[-1]) if before else None
        there = payload and os.path.exists(payload)
        if before and not there and race.share.versions() == before:
            race.bad(f"version {before[-1]} has no payload {payload}")
        race.count("looks")
        time.sleep(0.002)


def at_once():
    share = Share("race")
    hosts = [Host(n, share, LIMITS) for n in ("left", "right")]
    race = Race(share)
    try:
        for host in hosts:
            write(host.path(), "#!/bin/sh\necho \"old program $*\"\n", 0o755)
            done = host.install(IMAGES[1], "--ttl", "500ms")
            assert done.status == 0, done
        race.end = time.monotonic() + SECONDS
        threads = [threading.Thread(target=watcher, args=(race,))]
        for i, host in enumerate(hosts):
            threads += [threading.Thread(target=starter, args=(race, host, i)),
                        threading.Thread(target=operator,
                                         args=(race, host, 10 + i))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        TAP.ok(not race.wrong and race.counts.get("starts shared") and
               race.counts.get("upgrade"), f"two hosts at once: {race.counts}",
               "\n".join(race.wrong[:6]))
        afterwards(hosts, share)
    finally:
        for host in hosts:
            host.clean()


def afterwards(hosts, share):
    """All that was killed is made whole by doing it again."""
    wrong = []
    for host in hosts:
        warm.wait_until(lambda: not host.processes(), 15, 0.05)
        for words in (host.install_words(IMAGES[5], verb="upgrade"),
                      ["rejoin", "tool"], ["verify", "tool"]):
            done = host.brood(*words)
            if done.status != 0:
                wrong.append(f"{host.name} {words}: {done}")
        done = host.start("x")
        if done.out != tool_out(5, "x") or done.err:
            wrong.append(f"{host.name}: {done}")
    time.sleep(1.2)
    done = hosts[0].brood("gc", "--grace", "1s")
    if done.status != 0 or share.drafts():
        wrong.append(f"left over: {share.drafts()} {done}")
    numbers = share.versions()
    if numbers != list(range(1, len(numbers) + 1)):
        wrong.append(f"versions with a gap: {numbers}")
    for host in hosts:
        done = host.brood("uninstall", "tool")
        if done.status != 0 or warm.run([host.path(), "x"]).out != OLD_OUT:
            wrong.append(f"uninstall: {done}")
        left = [n for n in os.listdir(host.apps) if ".new." in n or
                ".old." in n or ".draft." in n]
        if left:
            wrong.append(f"left over: {left}")
    TAP.ok(not wrong, f"and when it is over all of it can be done again; "
           f"{len(numbers)} versions without a gap", "\n".join(wrong[:6]))


def main():
    global IMAGES, CKSUM
    if os.geteuid() != 0:
        TAP.skip("hosts at once", "needs root, to mount")
        TAP.done()
    IMAGES, CKSUM = {}, {}
    for number in NUMBERS:
        def keep(tree, number=number):
            with open(f"{tree}/data/blob", "rb") as f:
                CKSUM[number] = subprocess.run(
                    ["cksum"], stdin=f, capture_output=True,
                    text=True, check=True).stdout.strip()
        IMAGES[number] = app_host.pack(number, blob=1 << 20, more=keep)
    upgrades_while_running()
    at_once()
    TAP.done()


main()
