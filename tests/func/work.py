# SPDX-License-Identifier: Apache-2.0
"""Work that people do: builds through stubs in PATH with objects the same
byte for byte, interpreters, git, a kernel that boots.  WORK=full takes some
hundred files and more of Python's own tests."""

import glob
import hashlib
import os
import shutil
import subprocess

import warm

TAP = warm.Tap()
FULL = os.environ.get("WORK") == "full"
HERE = os.path.join(os.environ["TMPDIR"], "work")
os.makedirs(HERE, exist_ok=True)


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def make_sources(folder, count):
    """C files that differ, with headers of the system and one of their
    own."""
    os.makedirs(folder)
    write(f"{folder}/common.h", "struct pair { long a, b; };\n"
          "long mix(struct pair p);\n")
    for i in range(count):
        write(f"{folder}/f{i}.c", f"""#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common.h"
static long step{i}(long x) {{ return x * {i + 3} + {i * 7}; }}
long work{i}(const char *s)
{{
	struct pair p = {{ strlen(s), {i} }};
	for (int k = 0; k < {i % 13 + 2}; k++)
		p.a = step{i}(p.a) ^ (long)s[k % (p.b + 1)];
	fprintf(stderr, "%s %ld\\n", __func__, p.a);
	return p.a + mix(p);
}}
""")
    write(f"{folder}/Makefile", "CC = cc\nOBJ = $(patsubst %.c,%.o,"
          "$(wildcard *.c))\nall: $(OBJ)\n%.o: %.c common.h\n"
          "\t$(CC) -O2 -g -Wall -c $< -o $@\nclean:\n\trm -f *.o\n")


def objects(folder):
    found = {}
    for path in sorted(glob.glob(f"{folder}/*.o")):
        with open(path, "rb") as f:
            found[os.path.basename(path)] = hashlib.sha256(
                f.read()).hexdigest()
    return found


def ways(path):
    found = {}
    try:
        with open(path) as f:
            for line in f:
                way = line.split('"way":"')[1].split('"')[0]
                found[way] = found.get(way, 0) + 1
    except OSError:
        pass
    return found


def build(compiler, helpers):
    """The same folder built cold and through stubs."""
    folder = os.path.join(HERE, f"build-{compiler}")
    count = 300 if FULL else 40
    make_sources(folder, count)
    command = ["make", "-j2", "-s", "-C", folder, f"CC={compiler}"]
    cold = warm.run(command, timeout=400)
    want = objects(folder)
    warm.run(["make", "-s", "-C", folder, "clean"])
    stubs = os.path.join(HERE, f"stubs-{compiler}")
    programs = [compiler, *helpers]
    wrapped = warm.brood("wrap", "--dir", stubs, *programs)
    for program in programs:
        warm.serve(os.path.realpath(shutil.which(program) or program))
    report = os.path.join(HERE, f"report-{compiler}")
    env = dict(os.environ, PATH=f"{stubs}:{os.environ['PATH']}",
               BROOD_REPORT=report)
    quick = warm.run(command, env=env, timeout=400)
    got = objects(folder)
    taken = ways(report)
    warm_ones = taken.get("clone", 0) + taken.get("hatch", 0)
    TAP.ok(wrapped.status == 0 and cold.status == 0 and quick.status == 0 and
           want == got and len(got) == count and warm_ones >= count * 0.9,
           f"make -j2 of {count} files with {compiler}: objects identical, "
           f"ways {taken}", (wrapped, cold, quick, len(want), len(got)))
    warm.brood("unwrap", "--dir", stubs, "--all")
    warm.stop_all()


def check(words, program, *args, ways=("clone", "hatch"), serve=(), **kw):
    """One program's work by all ways; output and status as plain exec."""
    path = os.path.realpath(shutil.which(program))
    served = warm.serve(*serve, path)
    cold = warm.run([path, *args], **kw)
    for via in ways:
        got = warm.launch(path, *args, via=via, **kw)
        TAP.ok(got.same(cold) and got.report and got.report["way"] == via,
               f"{via}: {words}", f"{served}\n{got.differs(cold)}")
    return path


def python_modules():
    python = "/usr/bin/python3"
    if not os.path.exists(python):
        TAP.skip("python", "no /usr/bin/python3")
        return
    served = warm.serve(python)
    script = ("import json, re, hashlib, subprocess, decimal, zlib, sys\n"
              "print(json.dumps({'a': [1, 2.5, None]}), re.sub('b', 'c', "
              "'abc'))\nprint(decimal.Decimal(1) / 7)\n"
              "print(hashlib.sha256(b'x' * 100000).hexdigest())\n"
              "print(subprocess.check_output(['echo', 'child']))\n"
              "print(len(zlib.compress(bytes(range(256)) * 100)))\n"
              "print(sys.argv, sys.executable, sys.prefix)\n")
    check("python does mixed work", python, "-c", script, "one", "two")
    modules = ["test_json", "test_re", "test_struct", "test_zlib",
               "test_math", "test_hashlib", "test_subprocess",
               "test_threading", "test_signal", "test_os", "test_mmap",
               "test_socketserver", "test_fork1", "test_pty",
               "test_select", "test_io"]
    have = warm.run([python, "-c", "import test.test_json"]).status == 0
    if not have:
        TAP.skip("python's own tests", "the module test is not installed")
        modules = []
    for module in modules if FULL else modules[:2]:
        cold = warm.run([python, "-m", "test", "-q", module], timeout=300)
        for via in ("clone", "hatch"):
            got = warm.launch(python, "-m", "test", "-q", module, via=via,
                              timeout=300)
            TAP.ok(got.status == cold.status and
                   got.report["way"] == via, f"{via}: python {module}", got)


def node_script():
    if not shutil.which("node"):
        TAP.skip("node", "no node here")
        return
    script = os.path.join(HERE, "script.js")
    write(script, "const c = require('crypto'); const {execSync} = require("
          "'child_process');\nconsole.log(c.createHash('sha1').update('x')"
          ".digest('hex'), [3,1,2].sort(), process.argv.slice(2));\n"
          "console.log(execSync('echo child').toString());\n"
          "setTimeout(() => console.log('later'), 20);\n"
          "new Promise(r => setImmediate(r)).then(() => "
          "console.log('soon'));\n")
    check("node runs a script", "node", script, "a", "b")


def git_operations():
    if not shutil.which("git"):
        TAP.skip("git", "no git here")
        return
    env = dict(os.environ, GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b",
               GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@b",
               GIT_AUTHOR_DATE="1700000000 +0000", GIT_CONFIG_NOSYSTEM="1",
               GIT_COMMITTER_DATE="1700000000 +0000")
    path = os.path.realpath(shutil.which("git"))
    served = warm.serve(path)
    heads = {}
    for via in ("exec", "clone", "hatch"):
        repo = os.path.join(HERE, f"repo-{via}")
        steps = [["init", "-q", "-b", "main", repo],
                 ["-C", repo, "add", "."],
                 ["-C", repo, "commit", "-q", "-m", "first"],
                 ["-C", repo, "branch", "other"],
                 ["-C", repo, "checkout", "-q", "other"],
                 ["-C", repo, "gc", "-q"], ["-C", repo, "fsck"],
                 ["-C", repo, "log", "--stat"],
                 ["-C", repo, "status", "--short"]]
        seen = []
        for number, step in enumerate(steps):
            if number == 1:
                for i in range(50):
                    write(f"{repo}/file{i}", f"line {i}\n" * i)
            r = warm.launch(path, *step, via=via, env=env, cwd=HERE)
            seen.append((r.status, r.out, r.report["way"] == via))
        heads[via] = seen
    for via in ("clone", "hatch"):
        TAP.ok(heads[via] == heads["exec"], f"{via}: git init, add, commit, "
               "branch, gc, fsck, log", f"{served}\n{heads}")


def boot_kernel():
    """QEMU boots a Linux kernel to its console (or to its panic for want
    of a root)."""
    kernels = sorted(glob.glob("/boot/vmlinuz-*"))
    if not shutil.which("qemu-system-x86_64") or not kernels:
        TAP.skip("a kernel boots", "no qemu-system-x86_64 or no kernel")
        return
    args = ["-accel", "tcg", "-m", "256", "-display", "none", "-nodefaults",
            "-serial", "stdio", "-no-reboot", "-kernel", kernels[-1],
            "-append", "console=ttyS0 panic=-1 quiet loglevel=0 rdinit=/no"]
    path = os.path.realpath(shutil.which("qemu-system-x86_64"))
    warm.serve(path)
    vias = ("clone", "hatch") if FULL else ("hatch",)
    for via in vias:
        got = warm.launch(path, *args[:-1], "console=ttyS0 panic=-1",
                          via=via, timeout=240)
        TAP.ok(got.status == 0 and b"Linux version" in got.out and
               b"Kernel panic" in got.out and got.report["way"] == via,
               f"{via}: QEMU boots a Linux kernel up to where it wants a "
               "root", got)


def small_tools():
    source = os.path.join(HERE, "text")
    write(source, "".join(f"{i * 7919 % 1000} line\n" for i in range(5000)))
    for words, program, *args in (
            ("sort", "sort", "-n", source), ("tar", "tar", "cf", "-", source),
            ("gzip", "gzip", "-nc", source), ("awk", "awk",
             "{s += $1} END {print s}", source),
            ("sed", "sed", "s/line/row/", source), ("bc", "bc"),
            ("perl", "perl", "-e", "print join ',', map { $_ ** 2 } 1..9"),
            ("dash", "dash", "-c", "for i in 1 2; do echo $i; done"),
            ("bash", "bash", "-c", "x=(a b c); echo ${x[@]} | cat")):
        if shutil.which(program):
            check(f"{words} works", program, *args, stdin=b"2^100\n")


def main():
    if shutil.which("clang-19"):
        build("clang-19", [])
    else:
        TAP.skip("a build with clang", "no clang-19 here")
    build("gcc", [])
    small_tools()
    warm.stop_all()
    python_modules()
    node_script()
    git_operations()
    boot_kernel()
    warm.stop_all()
    TAP.done()


if __name__ == "__main__":
    main()
