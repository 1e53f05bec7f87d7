# SPDX-License-Identifier: Apache-2.0
"""kill -9 of servers, workers and callers of domains, at moments that differ:
while they begin, while they are refreshed, among launches."""

import glob
import json
import os
import random
import shutil
import signal
import subprocess
import time

import warm

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = os.path.join(os.environ["TMPDIR"], "app.wat")
RUN = os.path.join(os.environ["XDG_RUNTIME_DIR"], "brood")
ROUNDS = int(os.environ.get("ROUNDS", "25"))
TAP = warm.Tap()
CHANCE = random.Random(7)


def rows():
    text = warm.brood("ps", "--json").out
    return [row for row in json.loads(text)["templates"]
            if row["kind"] == "domain"]


def ours():
    """Living processes with our folders in their environment."""
    mark = f"XDG_RUNTIME_DIR={os.environ['XDG_RUNTIME_DIR']}".encode()
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        pid = int(path.split("/")[2])
        try:
            with open(path, "rb") as file:
                mine = mark in file.read()
            with open(f"/proc/{pid}/comm") as file:
                mine = mine and file.read().startswith("brood")
        except OSError:
            continue
        if mine:
            found.append(pid)
    return found


def start(*words):
    return subprocess.Popen([warm.BROOD, *words], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def serve():
    r = warm.brood("serve", "--in", "domain", "app", "--", MODULE)
    return r.status == 0


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def works():
    """A server can be had, and launches go on."""
    if not serve():
        return False
    return warm.brood("launch", "app", "x", "3", timeout=20).status == 3


def is_quiet():
    return warm.wait_until(lambda: not ours(), 10)


def beginnings(kind):
    good = 0
    for i in range(ROUNDS):
        run = start("serve", "--in", "domain", "--foreground", "app", "--",
                    MODULE)
        time.sleep(i * 0.0015)
        warm.end(run)
        good += is_quiet()
    TAP.ok(good == ROUNDS, f"{kind}: a server is killed while it begins: "
           "nothing stays", ours())
    TAP.ok(works(), f"{kind}: the next one serves")
    warm.brood("stop", "app")


def refreshes(kind):
    good = works = 0
    for i in range(ROUNDS):
        serve()
        server = rows()[0]["pid"]
        run = start("refresh", "app")
        time.sleep(0.001 + i * 0.0015)
        kill(server)
        run.wait(timeout=20)
        good += is_quiet()
    TAP.ok(good == ROUNDS, f"{kind}: killed while it is refreshed: nothing "
           "stays, and who asked is told", ours())


def launches(kind, who):
    serve()
    ended = 0
    for i in range(ROUNDS):
        if not rows():
            serve()
        runs = [start("launch", "app", CHANCE.choice("xsc"), "1")
                for _ in range(6)]
        time.sleep(CHANCE.random() * 0.02)
        now = status()
        if who == "worker" and now.get("worker_pids"):
            kill(CHANCE.choice(now["worker_pids"]))
        elif who == "server":
            kill(now["pid"])
        time.sleep(0.05)
        for run in runs:
            warm.end(run)
            ended += 1
    TAP.ok(ended == 6 * ROUNDS, f"{kind}: a {who} is killed among launches, "
           "then callers")
    if who != "server":
        TAP.ok(warm.wait_until(lambda: rows()[0]["live"] == 0, 10),
               f"{kind}: no run is left", rows())
    TAP.ok(works(), f"{kind}: launches go on")
    warm.brood("stop", "app")
    TAP.ok(is_quiet() and not glob.glob(RUN + "/domain-*"),
           f"{kind}: nothing stays", ours())


def status():
    import socket
    for path in glob.glob(RUN + "/domain-*/control"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(10)
            s.connect(path)
            s.send(b"status")
            return json.loads(s.recv(65536))
    return {}


def main():
    shutil.copy(os.path.join(HERE, "../func/domain_pool.wat"), MODULE)
    for kind in ("kvm", "process"):
        os.environ.pop("BROOD_WITHOUT", None)
        if kind == "process":
            os.environ["BROOD_WITHOUT"] = "kvm"
        serve()
        if rows()[0]["isolation"] != kind:
            TAP.skip(kind, "there is no KVM")
            continue
        warm.brood("stop", "app")
        beginnings(kind)
        refreshes(kind)
        for who in ("worker", "server", "caller"):
            launches(kind, who)
    TAP.done()


if __name__ == "__main__":
    main()
