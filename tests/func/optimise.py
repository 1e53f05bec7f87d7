# SPDX-License-Identifier: Apache-2.0
"""Optimised code replaces what the cache has, whole or not at all."""

import json
import os
import pty
import re
import signal
import struct
import subprocess
import zlib

import warm

TAP = warm.Tap()
HERE = os.path.join(os.environ["TMPDIR"], "optimise")
CACHE = os.path.join(HERE, "cache")
LOG = os.path.join(HERE, "log")
FAKE = os.path.join(warm.BUILD, "tests", "programs", "fake_aotc")
SANITISED = b"__asan_report_load8" in open(warm.BROOD, "rb").read()
os.makedirs(HERE, exist_ok=True)

# What function N of a module returns is N; what the fake makes of it returns
# N + 1000.  "sum" adds up the others.
FUNCTIONS = 12


def module(name, more=""):
    path = os.path.join(HERE, name)
    with open(path, "w") as f:
        f.write(f"(module (global i32 (i32.const {zlib.crc32(name.encode())}"
                "))")
        for i in range(FUNCTIONS):
            loop = "(loop)" if i % 3 == 0 else ""
            f.write(f'(func $f{i} (export "f{i}") (result i32) {loop} '
                    f'i32.const {i})\n')
        f.write('(func (export "sum") (result i32) i32.const 0 ' +
                "".join(f"call $f{i} i32.add " for i in range(FUNCTIONS)) +
                ")" + more + ")")
    return path


def env(rules="", **more):
    return dict(os.environ, BROOD_AOTC=FAKE, FAKE_AOTC=rules,
                BROOD_CACHE=CACHE, **more)


def optimise(path, *words, rules="", **more):
    return warm.brood("compile", "--optimise", *words, path,
                      env=env(rules, **more))


def told(path, *words, **more):
    r = optimise(path, "--json", *words, **more)
    try:
        return r, json.loads(r.out)
    except ValueError:
        return r, {}


def value(path, name):
    r = warm.brood("run", "--invoke", name, path, env=env())
    return int(r.out) if r.status == 0 else r


def objects():
    """{name: bytes} of the cache's objects."""
    found = {}
    for name in os.listdir(CACHE) if os.path.exists(CACHE) else []:
        if re.fullmatch("[0-9a-f]{64}", name):
            with open(os.path.join(CACHE, name), "rb") as f:
                found[name] = f.read()
    return found


def is_whole():
    r = warm.brood("cache", "verify", env=env())
    return r.status == 0 and b" 0 wrong" in r.out


SUM = sum(range(FUNCTIONS))


def right():
    path = module("right.wat")
    before = value(path, "sum")
    r = optimise(path, "--verbose")
    TAP.ok(before == SUM and r.status == 0 and re.fullmatch(
        rb".*right.wat: 13 of 13 functions optimised in [0-9.]+ s "
        rb"\([0-9.]+ CPU s, [0-9]+ MiB\)\n", r.out) and not r.err,
        "all are optimised, in a line", r)
    TAP.ok(value(path, "sum") == 1012 and value(path, "f5") == 1005 and
           len(objects()) == 1 and is_whole(),
           "runs find what was made, and one object is there")
    kept = objects()
    r = optimise(path)
    TAP.ok(r.out.endswith(b"right.wat: is there, optimised\n") and
           objects() == kept, "what is optimised is not done again", r)
    r = optimise(path, "--quiet")
    TAP.ok(r.status == 0 and not r.out + r.err, "--quiet says nothing", r)
    r, answer = told(path)
    TAP.ok(answer.get("result") == "there", "--json tells it", r)


def hot():
    path = module("hot.wat")
    r, answer = told(path, "--optimise=hot")
    TAP.ok(answer.get("optimised") == 4 and answer["functions"] == 13 and
           answer["wanted"] == 4, "--optimise=hot: those with loops", r)
    TAP.ok(value(path, "sum") == SUM + 4000,
           "the others call them, and are as they were", value(path, "sum"))
    r, answer = told(path, rules="leave:12")
    TAP.ok(answer.get("optimised") == 12 and
           value(path, "sum") == SUM + 12000,
           "more of them replace it later", r)
    kept = objects()
    r = optimise(module("hot.wat"), rules="leave:12,crash:3")
    TAP.ok(r.status == 0 and r.out.endswith(b"; what is there stays\n") and
           b"11 of 13" in r.out and objects() == kept,
           "fewer of them do not", r)
    path = module("set.wat", '(global $g (mut i32) (i32.const 1))'
                  '(func (export "set") (global.set $g (call $f7)))'
                  '(func (export "get") (result i32) (global.get $g))')
    r = optimise(path, "--init", "set", rules="leave:13,leave:14")
    r2 = warm.brood("run", "--init", "set", "--invoke", "get", path,
                    env=env())
    TAP.ok(r.status == 0 and b"what set leaves" in r.out and
           r2.out in (b"7\n", b"1007\n"), "with --init", (r, r2))


def failures():
    for rule, why in (
            ("crash", "killed by signal 11"),
            ("exit", "exit status 3: I give ?[31mup"),
            ("garbage", "it is no x86-64 object"),
            ("leave", "it is not liked"),
            ("alien", "section .text.f1"),
            ("spin", "longer than 1 s"),
            ("hang", "nothing done for 6 s"),
            ("eat", "more than 300 MiB: LLVM ERROR: out of memory")):
        if rule == "eat" and SANITISED:
            TAP.skip("memory", "it is not limited under a sanitizer")
            continue
        path = module(f"{rule}.wat")
        words = ["--memory-limit", "300M"]
        if rule in ("spin", "hang"):  # each of its halves takes a second
            words += ["--chunk-limit", "1s", "--optimise=hot"]
        r, answer = told(path, *words, rules=f"{rule}:3")
        left = answer.get("left", [{}])
        TAP.ok(r.status == 0 and len(left) == 1 and
               (left[0].get("function"), left[0].get("name")) == (3, "f3") and
               left[0]["why"].startswith(why) and
               answer["optimised"] == answer["wanted"] - 1 and
               value(path, "f3") == 3 and value(path, "f6") == 1006 and
               is_whole(), f"{rule}: one stays, and is named", r)
    path = module("several.wat")
    r = optimise(path, "--verbose", rules="crash:1,leave:4,exit:12,fork:7")
    TAP.ok(r.status == 0 and b"10 of 13 functions optimised" in r.out and
           re.findall(rb"function (\d+) \"", r.out) == [b"1", b"4", b"12"] and
           value(path, "sum") == SUM + 10000,
           "several stay; --verbose names them", r)


def nothing_is_made():
    path = module("none.wat")
    value(path, "f1")
    kept = objects()
    for more, why in (
            ({"BROOD_AOTC": "/nowhere"}, b"/nowhere"),
            ({"FAKE_AOTC": "missing"}, b"libLLVM.so.19.1"),
            ({"BROOD_AOTC": "/bin/true"}, b"no version")):
        r = warm.brood("compile", "--optimise", path,
                       env=dict(env(), **more))
        TAP.ok(r.status == 111 and why in r.err and b"apt install" in r.err
               and r.err.count(b"\n") == 1 and not r.out and
               objects() == kept,
               f"no compiler ({why.decode()}): one line, and nothing changed",
               r)
    script = os.path.join(HERE, "always")
    with open(script, "w") as f:
        f.write('#!/bin/sh\n[ "$1" ] && echo brood-aotc 0 && exit 0\n'
                'echo never >&2\nexit 4\n')
    os.chmod(script, 0o755)
    r = warm.brood("compile", "--optimise", path,
                   env=dict(env(), BROOD_AOTC=script))
    TAP.ok(r.status == 111 and b"exit status 4: never" in r.err and
           b"0 of 13" in r.out and objects() == kept,
           "one that never works: 111, and nothing changed", r)
    r = optimise(path)
    TAP.ok(r.status == 0 and b"13 of 13" in r.out,
           "one that works afterwards", r)
    path = module("tails.wat", "(func (result i32) return_call $f1)")
    r = optimise(path)
    TAP.ok(r.status == 111 and b"tail calls" in r.err and
           value(path, "sum") == SUM, "tail calls: it stays as it is", r)


def limits():
    path = module("limits.wat")
    r, answer = told(path, "--cpu-limit", "1s", "--jobs", "1",
                     rules="spin:2")
    TAP.ok(len(answer.get("left", [])) >= 1 and
           answer["left"][-1]["why"].startswith(
               ("no CPU time was left of 1 s", "longer than 1 s")) and
           value(path, "f2") == 2 and is_whole(),
           "--cpu-limit holds for all", r)
    for words, status in ((["--optimise=fast"], 100),
                          (["--chunk-limit", "0"], 100),
                          (["--memory-limit", "0"], 100),
                          (["--jobs", "x"], 100)):
        r = optimise(path, *words)
        TAP.ok(r.status == status and r.err.count(b"\n") == 1,
               f"{' '.join(words)}: {status}", r)
    bad = os.path.join(HERE, "bad.wasm")
    with open(bad, "wb") as f:
        f.write(b"\0asm\1\0\0\0\1")
    for path, status in ((bad, 126), ("/proc/nowhere", 127)):
        r = optimise(path)
        TAP.ok(r.status == status and r.err.count(b"\n") == 1,
               f"{path}: {status}", r)


def real_object():
    """What the fake answers to a request for functions 0 to 12, kept."""
    wasm = module("object.wat")
    r = warm.brood("wasm", "from-text", wasm, env=env())
    body = r.out if r.out.startswith(b"\0asm") else b"\0asm\1\0\0\0"
    request = struct.pack("=8sIIIIQ", b"BROODAOT", 1, 0, 0, 13, len(body))
    request += struct.pack("=13I", *range(13)) + body
    return warm.run([FAKE], stdin=request, env=env()).out


def hostile():
    whole = real_object()
    head = struct.Struct("<16sHHIQQQIHHHHHH")
    section = struct.Struct("<IIQQQQIIQQ")
    fields = head.unpack_from(whole)
    table, count = fields[6], fields[12]

    def changed(index, field, new):
        made = bytearray(whole)
        at = table + index * section.size
        values = list(section.unpack_from(made, at))
        values[field] = new
        section.pack_into(made, at, *values)
        return bytes(made)

    cases = [("a half", whole[:len(whole) // 2]),
             ("its header", whole[:64]),
             ("noise", os.urandom(5000)),
             ("writable text", changed(2, 2, 7)),
             ("writable constants", changed(1, 2, 3)),
             ("text of no end", changed(2, 5, 1 << 62)),
             ("text behind it", changed(2, 4, len(whole))),
             ("all of it as text", changed(2, 5, len(whole) - 64)),
             ("no names", changed(count - 2, 1, 1)),
             ("an executable file", open("/bin/true", "rb").read()[:50000])]
    for name, data in cases:
        path = module("hostile.wat")
        value(path, "f1")
        kept = objects()
        answer = os.path.join(HERE, "answer")
        with open(answer, "wb") as f:
            f.write(data)
        r = optimise(path, FAKE_AOTC_OBJECT=answer)
        TAP.ok(r.status == 111 and r.err.count(b"\n") == 1 and
               objects() == kept and value(path, "sum") == SUM,
               f"an object that is {name}: nothing changed", r)


def runs():
    """The processes of the compiler that have begun."""
    try:
        with open(LOG) as f:
            return [int(line.split()[0]) for line in f]
    except OSError:
        return []


def killed():
    for number in (signal.SIGKILL, signal.SIGINT):
        path = module(f"killed{number}.wat")
        value(path, "f1")
        kept = objects()
        if os.path.exists(LOG):
            os.unlink(LOG)
        p = subprocess.Popen(
            [warm.BROOD, "compile", "--optimise", path],
            env=env("hang:3", FAKE_AOTC_LOG=LOG), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        begun = warm.wait_until(runs, 30)
        p.send_signal(number)
        p.wait(30)
        over = warm.wait_until(
            lambda: not [r for r in runs() if warm.alive(r)], 30)
        TAP.ok(begun and over and objects() == kept and
               value(path, "sum") == SUM and is_whole(),
               f"brood killed by {number}: its compilers end, and what was "
               f"there stays", (begun, over))


def at_once():
    path = module("twice.wat")
    started = [subprocess.Popen(
        [warm.BROOD, "compile", "--optimise", path], env=env("slow:100"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT) for _ in range(4)]
    values = set()
    while any(p.poll() is None for p in started):
        values.add(value(path, "sum"))
    out = [p.communicate(timeout=100)[0] for p in started]
    TAP.ok(all(p.returncode == 0 for p in started) and
           values <= {SUM, 1012} and value(path, "sum") == 1012 and
           is_whole(), "four at once, and runs beside them",
           (out, values))


def terminal():
    path = module("terminal.wat")
    main, side = pty.openpty()
    p = subprocess.Popen([warm.BROOD, "compile", "--optimise", path],
                         env=env("slow:900"), stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=side)
    os.close(side)
    text = b""
    while True:
        try:
            got = os.read(main, 4096)
        except OSError:
            break
        if not got:
            break
        text += got
    os.close(main)
    TAP.ok(p.wait(60) == 0 and re.search(rb"optimising \d+/13: \[", text),
           "a terminal sees how far it is", text)


def doctor():
    def line(**more):
        r = warm.brood("doctor", env=dict(env(), **more))
        return [x for x in r.out.decode().splitlines()
                if "Wasm optimiser" in x][0]

    TAP.ok("ok" in line() and "brood-aotc 0.1.0, a fake" in line(),
           "the doctor knows the compiler", line())
    TAP.ok(line(BROOD_AOTC="/nowhere").startswith("less") and
           "libLLVM" in line(FAKE_AOTC="missing"),
           "and what is missing", line(FAKE_AOTC="missing"))


right()
hot()
failures()
nothing_is_made()
limits()
hostile()
killed()
at_once()
terminal()
doctor()
TAP.done()
