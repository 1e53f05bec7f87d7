# SPDX-License-Identifier: Apache-2.0
"""Modules compiled ahead or by their first run, and found by all others."""

import ctypes
import json
import os
import subprocess

import warm

TAP = warm.Tap()
HERE = os.path.join(os.environ["TMPDIR"], "compile")
os.makedirs(HERE, exist_ok=True)
EVENTS = os.path.join(HERE, "events")


def module(name, value, functions=1000):
    """Exports "get", which adds up its functions and the value."""
    path = os.path.join(HERE, name)
    body = "".join(f"(func $f{i} (param i32) (result i32) local.get 0 "
                   f"i32.const {i} i32.add)" for i in range(functions))
    calls = "".join(f"call $f{i} " for i in range(functions))
    with open(path, "w") as f:
        f.write(f"(module {body} (func (export \"get\") (result i32) "
                f"i32.const {value} {calls}))")
    return path, str(value + sum(range(functions))).encode() + b"\n"


def events(run, *words, **env):
    """Runs it: the result, and what it says of its steps by name."""
    if os.path.exists(EVENTS):
        os.unlink(EVENTS)
    r = run(*words, env=dict(os.environ, BROOD_EVENTS=EVENTS, **env))
    told = {}
    if os.path.exists(EVENTS):
        with open(EVENTS) as f:
            told = {e["event"]: e for e in map(json.loads, f)}
    return r, told


def run(path, *words, **env):
    return events(warm.brood, "run", *words, "--invoke", "get", path, **env)


def ahead():
    one, want = module("one.wat", 7)
    two, _ = module("two.wat", 8)
    r, told = events(warm.brood, "compile", one, two)
    TAP.ok(r.status == 0 and r.out.count(b" KiB of code in ") == 2 and
           "cache.publish" in told, "compile: a line for each file", r)
    r, told = run(one)
    TAP.ok(r.out == want and "cache.map" in told and
           "code.compile" not in told, "its first run compiles nothing",
           (r, told))
    r = warm.brood("compile", one)
    TAP.ok(r.status == 0 and r.out.endswith(b"one.wat: is there\n"),
           "compile of what is there tells so", r)
    r = warm.brood("compile", "--quiet", one, two)
    TAP.ok(r.status == 0 and not r.out + r.err, "--quiet says nothing", r)
    listed = json.loads(warm.brood("cache", "ls", "--json").out)["objects"]
    TAP.ok(sorted(o["name"] for o in listed) == ["one.wat", "two.wat"] and
           all(o["functions"] == 1001 and "wrong" not in o for o in listed),
           "both are listed by their names", listed)


def compile_fails():
    bad = os.path.join(HERE, "bad.wasm")
    good, _ = module("good.wat", 3)
    with open(bad, "wb") as f:
        f.write(b"\0asm\1\0\0\0\1")
    for words, status, why in ((["/proc/nowhere"], 127, b"/proc/nowhere"),
                               ([bad], 126, b"bad.wasm"),
                               (["--cache", "/proc/nowhere", good], 111,
                                b"/proc/nowhere"),
                               (["--cache", "off", good], 111, b"off")):
        r = warm.brood("compile", *words)
        TAP.ok(r.status == status and why in r.err and
               r.err.count(b"\n") == 1, f"compile {' '.join(words[:2])}: "
               f"{status}", r)
    r, told = events(warm.brood, "compile", bad, good)
    TAP.ok(r.status == 126 and "cache.publish" in told,
           "a bad file among others: they are compiled", r)


def kinds():
    """Fuel and missing guard pages are other code, with keys of its own."""
    path, want = module("kinds.wat", 100)
    for words, env in (((), {}), (("--fuel", "1000000"), {}),
                       (("--via", "compiled"), {})):
        first, _ = run(path, *words, **env)
        again, told = run(path, *words, **env)
        TAP.ok(first.out == again.out == want and "cache.map" in told,
               f"run {' '.join(words)}: from the cache", (first, told))
    r, told = run(path, "--via", "interp")
    TAP.ok(r.out == want and not told, "--via interp has no cache", told)
    r, told = run(path, "--cache", "off")
    TAP.ok(r.out == want and told["cache.miss"]["reason"] == "off" and
           "code.compile" in told, "--cache off compiles for itself", told)
    r, told = run(path, BROOD_CACHE="/proc/nowhere")
    TAP.ok(r.out == want and "code.compile" in told and not r.err,
           "so does a run whose folder cannot be made", (r, told))
    with open(path, "rb") as f:
        text = f.read()
    p = subprocess.run([warm.BROOD, "run", "--invoke", "get", "-"],
                       input=text, stdout=subprocess.PIPE, timeout=60,
                       env=dict(os.environ, BROOD_EVENTS=EVENTS))
    TAP.ok(p.stdout == want, "a module on standard input", p)


def system():
    if os.geteuid() != 0:
        TAP.skip("the system's folder", "not root")
        return
    path, want = module("system.wat", 11)
    folder = os.path.join(HERE, "system")
    env = {"BROOD_SYSTEM_CACHE": folder,
           "XDG_CACHE_HOME": os.path.join(HERE, "empty")}
    r = warm.brood("compile", "--cache", folder, path,
                   env=dict(os.environ, **env))
    TAP.ok(r.status == 0 and os.stat(folder).st_mode & 0o777 == 0o755,
           "the system's folder is made for all to read", r)
    r, told = run(path, **env)
    TAP.ok(r.out == want and "cache.map" in told and
           not os.path.exists(env["XDG_CACHE_HOME"]),
           "what root has compiled serves all, and nothing is made anew",
           (r, told))


def at_once():
    path, want = module("many.wat", 1000, 3000)
    folder = os.path.join(HERE, "many")
    env = dict(os.environ, BROOD_CACHE=folder, BROOD_EVENTS=EVENTS)
    if os.path.exists(EVENTS):
        os.unlink(EVENTS)
    started = [subprocess.Popen(
        [warm.BROOD, "run", "--invoke", "get", path], env=env,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT) for _ in range(200)]
    out = [p.communicate(timeout=100)[0] for p in started]
    with open(EVENTS) as f:
        names = [json.loads(line)["event"] for line in f]
    left = [n for n in os.listdir(folder)
            if n not in ("seen", "index", "lock")]
    TAP.ok(all(o == want for o in out) and len(left) == 1 and
           len(left[0]) == 64,
           f"200 first starts at once: right, one object, "
           f"{names.count('code.compile')} compiled",
           (left, [o for o in out if o != want][:3]))


def report(path, *words, preexec=None):
    """The line that the run tells of itself."""
    told = os.path.join(HERE, "report")
    if os.path.exists(told):
        os.unlink(told)
    r = warm.run([warm.BROOD, "run", "--report", told, *words, "--invoke",
                  "get", path], preexec=preexec)
    with open(told) as f:
        return r, json.loads(f.read())


def nothing_executable():
    """PR_SET_MDWE (since 6.3): memory that may be executed is not made."""
    if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:
        os._exit(77)


def ways():
    path, want = module("ways.wat", 4000)
    r, first = report(path)
    r2, second = report(path)
    TAP.ok((r.out, r2.out) == (want, want) and
           (first["way"], first["compiled"]) == ("compiled", 1001) and
           (second["way"], second["compiled"]) == ("mapped", 0),
           "--report: compiled, then mapped and nothing compiled",
           (first, second))
    r, told = report(path, "--via", "interp")
    TAP.ok(r.out == want and told["way"] == "interpreted" and
           told["reason"] == "told so", "--report: interpreted", told)
    r = warm.run(["/bin/true"], preexec=nothing_executable)
    if r.status == 77:
        TAP.skip("memory that may not become executable",
                 "the kernel is older than 6.3")
        return
    r, told = report(path, preexec=nothing_executable)
    TAP.ok(r.out == want and told["way"] == "mapped",
           "where memory may not become executable, a file is mapped",
           (r, told))
    r, told = report(path, "--cache", "off", preexec=nothing_executable)
    TAP.ok(r.out == want and told["way"] == "interpreted" and
           "executable" in told["reason"],
           "and without a file it is interpreted, and told why", (r, told))


def init_module(name, body):
    """Exports "init", which says so and fills memory and a table, and "get",
    which uses both; and what the body says."""
    path = os.path.join(HERE, name)
    with open(path, "w") as f:
        f.write("""(module (import "wasi_snapshot_preview1" "fd_write"
              (func $write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_close"
              (func $close (param i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit"
              (func $exit (param i32)))
          (memory (export "memory") 1) (table $t 2 funcref)
          (data (i32.const 16) "init\\0a")
          (elem declare func $seven) (func $seven (result i32) i32.const 7)
          (func (export "init")
              (i32.store (i32.const 0) (i32.const 16))
              (i32.store (i32.const 4) (i32.const 5))
              (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1)
                                 (i32.const 8)))
              (drop (memory.grow (i32.const 10)))
              (i32.store (i32.const 600000) (i32.const 35))
              (table.set $t (i32.const 1) (ref.func $seven)))
          (func (export "get") (result i32)
              (i32.add (call_indirect $t (result i32) (i32.const 1))
                       (i32.load (i32.const 600000))))
          """ + body + ")")
    return path


def snapshots():
    path = init_module("init.wat", """
        (func (export "_initialize")
            (i32.store (i32.const 32)
                (i32.add (i32.load (i32.const 32)) (i32.const 1))))
        (func (export "begun") (result i32) (i32.load (i32.const 32)))
        (func (export "traps") unreachable)
        (func (export "takes") (param i32))
        (func (export "exits") (call $exit (i32.const 0)))
        (func (export "closes") (drop (call $close (i32.const 0))))""")

    def start(*words, get="get", init="init"):
        return warm.brood("run", "--init", init, *words, "--invoke", get,
                          path)

    r = start()
    TAP.ok(r.out == b"init\n42\n", "the first start runs init", r)
    r = [start(), start("--fuel", "1000000"), start("--timeout", "9s")]
    TAP.ok(all(x.out == b"42\n" for x in r), "the next ones do not", r)
    r = start(get="begun")
    TAP.ok(r.out == b"1\n", "_initialize has run once, before", r)
    r = [start("--via", "interp"), start("--cache", "off")]
    TAP.ok(all(x.out == b"init\n42\n" for x in r),
           "without a cache init runs each time", r)
    r = start("--max-memory", "128k")
    TAP.ok(r.status == 126 and b"larger than the limit" in r.err,
           "what is larger than a memory may be is refused", r)
    other = init_module("ahead.wat", "")
    r = warm.brood("compile", "--init", "init", other)
    TAP.ok(r.status == 0 and b"\ninit\n" in r.out and
           b" of what init leaves\n" in r.out, "compile --init", r)
    r = warm.brood("compile", "--init", "init", other)
    TAP.ok(r.status == 0 and r.out.endswith(b"what init leaves is there\n"),
           "compile --init of what is there", r)
    r = warm.brood("run", "--init", "init", "--invoke", "get", other)
    TAP.ok(r.out == b"42\n", "and runs start from it", r)
    for init, status, why in (("none", 126, b"no function"),
                              ("takes", 126, b"has parameters"),
                              ("exits", 126, b"has ended the program"),
                              ("closes", 126, b"descriptor"),
                              ("traps", 134, b"unreachable")):
        for _ in range(2):
            r = start(init=init)
        TAP.ok(r.status == status and why in r.err and not r.out and
               (status == 134 or r.err.count(b"\n") == 1),
               f"--init {init} is refused, each time", r)


ahead()
compile_fails()
snapshots()
kinds()
system()
ways()
at_once()
TAP.done()
