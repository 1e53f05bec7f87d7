# SPDX-License-Identifier: Apache-2.0
"""A cluster of Slurm of the benchmark's own, two nodes on this machine, and
what an array of tasks takes there: from its submission until the last of them
has ended, by their own clocks, since Slurm's answers come by the second."""

import os
import shutil
import subprocess
import tempfile
import time

import slurm
from common import BUILD, say
from fleet_engines import OCI, missing, run

NEEDS = ("slurmctld", "slurmd", "srun", "sbatch", "squeue", "sinfo")
CPUS = 4
LIMIT_S = 300


class Cluster:
    def __init__(self):
        # Sockets have no long paths.
        self.place = tempfile.mkdtemp(prefix="brood-slurm.", dir="/tmp")
        self.env = {**os.environ,
                    "SLURM_CONF": self.place + "/slurm.conf"}
        self.env.pop("TMPDIR", None)
        self.daemons = []

    def begin(self):
        slurm.make(self.place, OCI, os.path.join(BUILD, "brood"), CPUS)
        for words in (["slurmctld", "-D"],
                      *(["slurmd", "-D", "-N", node] for node in slurm.NODES)):
            self.daemons.append(subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, env=self.env))
        for _ in range(200):
            if self.ask("sinfo", "--noheader", "--format", "%T%D") == "idle2":
                return
            time.sleep(0.1)
        raise RuntimeError("two nodes do not come up")

    def ask(self, *words):
        done = subprocess.run(words, stdin=subprocess.DEVNULL, env=self.env,
                              stdout=subprocess.PIPE, timeout=20,
                              stderr=subprocess.DEVNULL)
        return done.stdout.decode().strip()

    def idle(self):
        return not self.ask("squeue", "--noheader")

    def array(self, count, words):
        """Seconds; each task has to end with 0."""
        ends, job = self.place + "/ends", self.place + "/job"
        with open(ends, "w"), open(job, "w") as f:
            f.write("#!/bin/bash\n" + " ".join(words) +
                    f"\necho $? $EPOCHREALTIME >>{ends}\n")
        begin, late = time.time(), time.monotonic() + LIMIT_S
        run("sbatch", "--quiet", f"--array=1-{count}", "--output=/dev/null",
            job, env=self.env)
        while len(lines := self.lines(ends)) < count or not self.idle():
            if time.monotonic() > late:
                raise RuntimeError(f"{len(lines)} of {count} tasks ended in "
                                   f"{LIMIT_S} s")
            time.sleep(0.2)
        if any(status != "0" for status, _ in lines):
            raise RuntimeError(f"not all ended with 0: {' '.join(words)}")
        return max(float(end) for _, end in lines) - begin

    @staticmethod
    def lines(path):
        with open(path) as f:
            return [line.split() for line in f]

    def srun(self, *words):
        return ["srun", "--quiet", *words]

    def end(self):
        for one in reversed(self.daemons):
            one.terminate()
        for one in self.daemons:
            try:
                one.wait(timeout=20)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
        with open("/proc/self/mounts") as f:
            for mount in [line.split()[1] for line in f]:
                if mount.startswith(self.place + "/"):
                    subprocess.run(["umount", "-l", mount])
        shutil.rmtree(self.place, ignore_errors=True)


def cluster():
    """Begun; its end is the caller's.  None where it cannot be."""
    lacks = missing(*NEEDS)
    if lacks:
        say(f"Slurm is left out: {lacks} is not here")
        return None
    one = Cluster()
    try:
        one.begin()
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as why:
        say(f"Slurm is left out: {why}")
        one.end()
        return None
    return one
