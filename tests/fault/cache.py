# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to the code cache, a run gives its result."""

import os
import random
import shutil
import signal
import subprocess
import time

import warm

TAP = warm.Tap()
HERE = os.path.join(os.environ["TMPDIR"], "fault")
CODE = os.path.join(HERE, "code")
MODULE = os.path.join(HERE, "m.wasm")
FUNCTIONS = 3000
WANT = str(sum(range(FUNCTIONS))).encode() + b"\n"
ENV = dict(os.environ, BROOD_CACHE=CODE)
WORDS = [warm.BROOD, "run", "--invoke", "get", MODULE]
os.makedirs(HERE, exist_ok=True)


def make_module():
    text = os.path.join(HERE, "m.wat")
    body = "".join(f"(func $f{i} (param i32) (result i32) local.get 0 "
                   f"i32.const {i} i32.add)" for i in range(FUNCTIONS))
    calls = "".join(f"call $f{i} " for i in range(FUNCTIONS))
    with open(text, "w") as f:
        f.write(f"(module {body} (func (export \"get\") (result i32) "
                f"i32.const 0 {calls}))")
    warm.brood("wasm", "from-text", text, "-o", MODULE)


def run(**env):
    return warm.run(WORDS, env=dict(ENV, **env))


def right(r):
    return r.status == 0 and r.out == WANT and not r.err


def names():
    return os.listdir(CODE) if os.path.isdir(CODE) else []


def objects():
    return [n for n in names() if len(n) == 64]


def drafts():
    return [n for n in names() if n.startswith(".")]


def verify():
    return warm.brood("cache", "--cache", CODE, "verify")


def killed():
    """kill -9 at any moment of a first run."""
    for without in ("", "o_tmpfile"):
        rng = random.Random(3)
        bad, whole, none = [], 0, 0
        for _ in range(80):
            shutil.rmtree(CODE, ignore_errors=True)
            p = subprocess.Popen(WORDS, env=dict(ENV, BROOD_WITHOUT=without),
                                 stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
            time.sleep(rng.random() * 0.03)
            p.send_signal(signal.SIGKILL)
            p.wait()
            if verify().status != 0:
                bad.append((names(), verify()))
            whole, none = whole + bool(objects()), none + (not objects())
            if not without and drafts():
                bad.append(drafts())
            r = run()
            if not right(r) or len(objects()) != 1:
                bad.append(r)
        TAP.ok(not bad, f"kill -9 of 80 first runs, without «{without}»: "
               f"{whole} left an object, {none} none, none a half", bad[:3])


def full_disk():
    if os.geteuid() != 0:
        TAP.skip("a full disk", "not root")
        return
    for size in ("4k", "16k", "64k"):
        shutil.rmtree(CODE, ignore_errors=True)
        os.makedirs(CODE, mode=0o700)
        mounted = warm.run(["mount", "-t", "tmpfs", "-o",
                            f"size={size},mode=0700", "none", CODE])
        if mounted.status != 0:
            TAP.skip(f"a full disk of {size}", "no mount here")
            continue
        r = [run(), run(), run(BROOD_WITHOUT="o_tmpfile")]
        TAP.ok(all(map(right, r)) and not objects() and not drafts(),
               f"a cache of {size}: right, nothing half-written",
               (r, names()))
        told = warm.brood("compile", "--cache", CODE, MODULE)
        TAP.ok(told.status == 111 and b"No space" in told.err,
               "and compile tells that the disk is full", told)
        warm.wait_until(lambda: warm.run(["umount", CODE]).status == 0, 10,
                        0.2)


def mounted_otherwise():
    if os.geteuid() != 0:
        TAP.skip("read-only and noexec folders", "not root")
        return
    for kind in ("ro", "noexec"):
        shutil.rmtree(CODE, ignore_errors=True)
        os.makedirs(CODE, mode=0o700)
        if warm.run(["mount", "-t", "tmpfs", "-o", f"mode=0700,{kind}",
                     "none", CODE]).status != 0:
            TAP.skip(f"a cache on {kind}", "no mount here")
            continue
        r = [run(), run()]
        TAP.ok(all(map(right, r)), f"a cache on {kind}: right", r)
        warm.wait_until(lambda: warm.run(["umount", CODE]).status == 0, 10,
                        0.2)


def rewritten():
    """Objects replaced and removed again and again while VMs run."""
    shutil.rmtree(CODE, ignore_errors=True)
    run()
    end = time.time() + 4
    bad, runs = [], 0
    spoiler = subprocess.Popen(
        ["sh", "-c", f"while :; do rm -f {CODE}/[0-9a-f]*; "
         f"{warm.BROOD} compile --quiet --cache {CODE} {MODULE}; done"],
        start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    while time.time() < end:
        r = run()
        runs += 1
        if not right(r):
            bad.append(r)
    os.killpg(spoiler.pid, signal.SIGKILL)
    spoiler.wait()
    TAP.ok(not bad and runs > 10,
           f"{runs} runs while the object is removed and made anew: right",
           bad[:3])


make_module()
TAP.ok(right(run()), "a module of many functions")
killed()
full_disk()
mounted_otherwise()
rewritten()
TAP.done()
