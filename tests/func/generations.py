# SPDX-License-Identifier: Apache-2.0
"""Changes of generation under load: every launch gives its result, by a
warm way, and no library of one generation lies where the last one had it."""

import os
import threading
import time

import warm

PROGRAM = os.path.join(os.environ["BUILD"], "tests/programs/greeter")
CHANGES = int(os.environ.get("GENERATIONS", "40"))


class Load(threading.Thread):
    def __init__(self, number, over):
        super().__init__()
        self.number, self.over = number, over
        self.total, self.ways, self.lost = 0, {}, []
        self.report = warm.new_report()

    def run(self):
        while not self.over.is_set():
            word = f"{self.number}.{self.total}"
            r = warm.run(warm.launch_words(PROGRAM, [word], "clone",
                                           self.report))
            way = (warm.read_report(self.report) or {}).get("way")
            os.unlink(self.report) if os.path.exists(self.report) else None
            self.ways[way] = self.ways.get(way, 0) + 1
            self.total += 1
            if r.status != 0 or not r.out.endswith(
                    f"hello, {word}\n".encode()):
                self.lost.append(repr(r))


def main():
    tap = warm.Tap()
    served = warm.serve("--pool", "2", PROGRAM)
    tap.ok(served.status == 0, "served", served)
    over = threading.Event()
    loads = [Load(n, over) for n in range(2)]
    for load in loads:
        load.start()
    before = warm.libraries(warm.template(PROGRAM)["pid"])
    repeated, failed, started = 0, [], time.monotonic()
    for _ in range(CHANGES):
        r = warm.brood("refresh", PROGRAM)
        if r.status != 0:
            failed.append(repr(r))
            continue
        after = warm.libraries(warm.template(PROGRAM)["pid"])
        repeated += sum(1 for n in after
                        if n in before and before[n][0] == after[n][0])
        before = after
    took = time.monotonic() - started
    over.set()
    for load in loads:
        load.join()
    total = sum(load.total for load in loads)
    lost = [line for load in loads for line in load.lost]
    ways = {}
    for load in loads:
        for way, count in load.ways.items():
            ways[way] = ways.get(way, 0) + count
    tap.ok(not failed, f"{CHANGES} changes in {took:.1f} s",
           "\n".join(failed[:3]))
    tap.ok(not lost and total > CHANGES,
           f"{total} launches meanwhile, {len(lost)} lost",
           "\n".join(lost[:5]))
    tap.ok(repeated == 0, f"{repeated} library addresses came again")
    cold = total - ways.get("clone", 0) - ways.get("hatch", 0)
    tap.ok(cold * 20 < total, f"ways of the launches: {ways}")
    warm.stop_all()
    tap.done()


if __name__ == "__main__":
    main()
