# SPDX-License-Identifier: Apache-2.0
"""The goals of the byte-code engine.  Each kernel runs natively and in every
engine, interleaved and in another order each round.  Told are medians of the
whole process's CPU time (all its threads; a busy machine disturbs that least)
as a multiple of native's, with the spread, (most - least) / median; then
geometric means of these and of the other interpreters' time over ours: of all
kernels that both run (the goals are about these), of those without SIMD and of
those with it.  A checksum that is not native's is a failure, and so is a kernel
that ours cannot run; what another engine cannot run is said and left out of
its means.

Then, by the clock: how long the least program takes to say hello, and a large
one that runs each of its functions once; what a memory's size costs at the
start; and the most memory that was resident.

  RUNS=5            runs of each kernel in each engine; STARTS=40 of the starts
                    (fewer, 3 at least, of those that would take long)
  KERNELS="a b"     these kernels alone; words: parts alone, of kernels,
                    start, memory, peak
  BENCH_SCALE=100   the work in per cent
  BROOD, BROOD2     ours (build/brood), interpreted and compiled, and another
                    build of it beside it, interpreted
  OURS="a=x y; b=z" more engines of ours: commands before FILE.wasm
  WASMI WASM3 NODE WASMTIME   the others, where they are not in PATH
  LARGER="FILE.wasm ARG..."   a real program for start and peak, too
  --json            all figures as one object"""

import os
import shlex
import shutil

from common import (FILES, Engine, Run, complain, cpu_of, finish, goal,
                    mean, measure, others, over, say, show_table, time_cell,
                    try_once, words_told)

PARTS = ("kernels", "start", "memory", "peak")
COMPILED = 1.40  # times native, at the most
OPTIMISED = {"scalar": 1.27, "simd": 1.15}
GOALS = {"clang": {"wasmi": 1.8, "wasm3": 2.4}, "gcc": {"wasmi": 1.6}}
MEANS = {"all": "all that both run", "scalar": "those without SIMD",
         "simd": "those with SIMD"}


def ours():
    found = []
    for name in ("BROOD", "BROOD2"):
        path = os.environ.get(name)
        if path and shutil.which(path):
            words = [shutil.which(path), "run", "--via"]
            found.append(Engine(name.lower(), words + ["interp"], True))
            if name == "BROOD":
                found.append(Engine("compiled", words + ["compiled"], True,
                                    True))
        elif path:
            say(f"{path} ({name}) is not here")
    for text in os.environ.get("OURS", "").split(";"):
        if text.strip():
            name, command = text.strip().split("=", 1)
            words = shlex.split(command)
            words[0] = shutil.which(words[0]) or words[0]
            found.append(Engine(name, words, True))
    return found


def optimised(engine):
    """Of the same place in the tables as those above."""
    return Engine("optimised", engine.command, True, True)


def bench_kernel(name, engines):
    """{engine: figure}, "native" among them."""
    native = Engine("native", [])
    path = os.path.join(FILES, name)
    first = try_once(native, [path], None, name)
    if first is None:
        complain(f"{name} does not run natively")
        return {}
    commands = {"native": [path]}
    for engine in engines:
        if try_once(engine, [path + ".wasm"], first.out, name):
            commands[engine.name] = engine.run([path + ".wasm"])
    return cpu_of(commands, first.out, name)


def ratios(engines):
    """(interpreter, ours): what the goals are about."""
    return [(other, own) for own in engines if own.ours and not own.compiles
            for other in engines if other.name in ("wasmi", "wasm3")]


def show_head(engines):
    print(f"{'CPU time over native':22}" +
          "".join(f"{e.name:>12}" for e in engines) + "  " +
          "".join(f"{o.name + '/' + e.name:>13}" for o, e in ratios(engines)))
    print(f"{'':12}{'native s':>10}", flush=True)


def show_kernel(name, found, engines):
    native = found["native"]
    line = (f"{name:12}{native['s']:6.3f} {native['spread'] * 100:2.0f}%")
    for e in engines:
        x = over(found, e.name, "native")
        line += (f"{'-':>12}" if x is None else
                 f"{x:8.2f} {found[e.name]['spread'] * 100:2.0f}%")
    line += "  "
    for other, own in ratios(engines):
        x = over(found, other.name, own.name)
        line += f"{'-':>13}" if x is None else f"{x:12.2f}x"
    print(line, flush=True)


def means(found, engines, kernels):
    """{(above, below): geometric mean} over the kernels that both ran."""
    rows = [row for name, row in found.items()
            if kernels == "all" or
            name.startswith("simd_") == (kernels == "simd")]
    pairs = [(e.name, "native") for e in engines]
    pairs += [(o.name, e.name) for o, e in ratios(engines)]
    result = {}
    for above, below in pairs:
        values = [x for row in rows
                  if (x := over(row, above, below)) is not None]
        if values:
            result[above, below] = mean(values)
    return result


def show_means(words, got, engines):
    if not got:
        return
    print(f"{words:22}" + "".join(
        f"{got[e.name, 'native']:8.2f}    " if (e.name, "native") in got else
        f"{'-':>12}" for e in engines) + "  " + "".join(
        f"{got[o.name, e.name]:12.2f}x" if (o.name, e.name) in got else
        f"{'-':>13}" for o, e in ratios(engines)))


def kernel_names():
    names = sorted(f[:-5] for f in os.listdir(FILES)
                   if f.endswith(".wasm") and f != "probe.wasm")
    wanted = os.environ.get("KERNELS", "").split()
    return [n for n in names if not wanted or n in wanted]


def bench_kernels(engines, as_json):
    names = kernel_names()
    for name in os.environ.get("KERNELS", "").split():
        if name not in names:
            complain(f"there is no kernel {name}")
    found = {}
    if not as_json:
        show_head(engines)
    for name in names:
        row = bench_kernel(name, engines)
        if row:
            found[name] = row
            if not as_json:
                show_kernel(name, row, engines)
    got = {which: means(found, engines, which) for which in MEANS}
    if not as_json:
        print("geometric means")
        for which, words in MEANS.items():
            show_means(words, got[which], engines)
    return found, got


def goals(got, engines):
    """Of all kernels that both run: without SIMD where one has none."""
    found = []
    for own in engines:
        x = got["scalar"].get((own.name, "native"))
        if own.name == "optimised":
            found += [goal(f"optimised kernels' time over native's "
                           f"({MEANS[which]})",
                           got[which][own.name, "native"], limit)
                      for which, limit in OPTIMISED.items()
                      if (own.name, "native") in got[which]]
        elif own.compiles and x is not None:
            found.append(goal("compiled kernels' time over native's "
                              "(without SIMD)", x, COMPILED))
        elif own.ours:
            built_by = own.compiler()
            for other, limit in GOALS[built_by].items():
                x = got["all"].get((other, own.name))
                if x is not None:
                    found.append(goal(f"{other}'s time over {own.name}'s "
                                      f"({built_by})", x, limit, True))
    return found


def start_file(name):
    return os.path.join(FILES, "start", name)


def start_row(words, what, engines, native=None):
    """Commands of those that can; native's answer is the right one."""
    commands, want = {}, None
    if native:
        commands["native"] = [native]
        want = Run([native]).out
    for engine in engines:
        if try_once(engine, words, want, what):
            commands[engine.name] = engine.run(words)
    return commands


def start_rows(engines):
    rows = {name: start_row([start_file(name + ".wasm")], name, engines,
                            start_file(name)) for name in ("hello", "large")}
    larger = shlex.split(os.environ.get("LARGER", ""))
    if larger:
        rows[os.path.basename(larger[0])] = start_row(larger, larger[0],
                                                      engines)
    return rows


def memory_rows(engines):
    sizes = {"1 MiB": 16, "64 MiB": 1024, "1 GiB": 16384,
             "4 GiB - 64 KiB": 65535}
    return {size: start_row([start_file(f"memory-{pages}.wasm")],
                            f"hello with {size}", engines,
                            start_file("hello"))
            for size, pages in sizes.items()}


def columns(found, engines):
    names = ["native", *(e.name for e in engines)]
    return [n for n in names if any(n in row for row in found.values())]


def show_times(title, found, engines):
    show_table(title, found, columns(found, engines),
               lambda row, name: time_cell(found[row].get(name)), (22, 22))


def show_peaks(title, found, engines):
    show_table(title, found, columns(found, engines),
               lambda row, name: name in found[row] and
               f"{found[row][name]['peak_kb'] / 1024:.1f}", (22, 12))


def main():
    parts, as_json = words_told(PARTS)
    engines = ours() + others()
    result = {"goals": []}
    if "kernels" in parts:
        result["kernels"], got = bench_kernels(engines, as_json)
        result["means"] = {f"{above}/{below} {which}": x
                           for which, pairs in got.items()
                           for (above, below), x in pairs.items()}
        result["goals"] = goals(got, engines)
    if "start" in parts or "peak" in parts:
        found = {words: measure(row)
                 for words, row in start_rows(engines).items()}
        result["start"] = found
        if "start" in parts and not as_json:
            show_times("start to end, ms", found, engines)
        if "peak" in parts and not as_json:
            show_peaks("most resident, MiB", found, engines)
    if "memory" in parts:
        found = {words: measure(row)
                 for words, row in memory_rows(engines).items()}
        result["memory"] = found
        if not as_json:
            show_times("hello by memory, ms", found, engines)
    finish(result, as_json,
           "goals, of all kernels that both run where nothing is said")


if __name__ == "__main__":
    main()
