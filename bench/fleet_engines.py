# SPDX-License-Identifier: Apache-2.0
"""Engines of the benchmark's own: containerd and podman, in its folder and at
its own sockets, each with images of one native program and one module."""

import os
import shutil
import subprocess
import sys
import time

from common import BUILD, HERE, say

OCI = os.path.join(BUILD, "brood-oci")
IMAGER = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "../tests/lib/oci_image.py")
DOMAIN = "brood.isolation=domain"


def run(*words, **more):
    done = subprocess.run(words, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=120, **more)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[:4])}: "
                           f"{done.stdout.decode().strip()[-300:]}")
    return done.stdout.decode()


def image(name, *files):
    path = os.path.join(HERE, name.split("/")[-1].split(":")[0] + ".tar")
    run(sys.executable, IMAGER, path, name, *files)
    return path


def missing(*programs):
    return next((p for p in programs if not shutil.which(p)), None)


class Containerd:
    """Its shim lives as long as a container; what is timed is ctr."""
    needs = ("containerd", "containerd-shim-runc-v2", "ctr")
    prefix = "docker.io/library/"

    def __init__(self, folder):
        self.folder, self.daemon = folder, None
        self.socket = folder + "/c.sock"

    def begin(self):
        config = self.folder + "/config.toml"
        with open(config, "w") as f:
            f.write(f'version = 2\nroot = "{self.folder}/root"\n'
                    f'state = "{self.folder}/state"\n'
                    'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                    f'[grpc]\naddress = "{self.socket}"\n'
                    f'[ttrpc]\naddress = "{self.folder}/t.sock"\n')
        with open(self.folder + "/log", "w") as log:
            self.daemon = subprocess.Popen(
                ["containerd", "--config", config, "--log-level", "warn"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(100):
            try:
                return run(*self.ctr("version"))
            except RuntimeError:
                time.sleep(0.1)
        raise RuntimeError("containerd does not answer")

    def ctr(self, *words):
        return [shutil.which("ctr"), "--address", self.socket, *words]

    def load(self, path):
        run(*self.ctr("image", "import", "--snapshotter", "native", path))

    def command(self, runtime, name, domain=False):
        return self.ctr(
            "run", "--rm", "--snapshotter", "native", "--runc-binary",
            OCI if runtime == "brood" else shutil.which("runc"),
            "--runc-root", f"{self.folder}/{runtime}", "--fifo-dir",
            self.folder + "/fifo", *(["--annotation", DOMAIN] * domain),
            self.prefix + name + ":1", "bench")

    def end(self):
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait(timeout=30)


class Podman:
    needs = ("podman", "conmon")
    prefix = "localhost/"

    def __init__(self, folder):
        self.folder = folder
        self.config = folder + "/containers.conf"

    def begin(self):
        for name, program in (("brood", OCI), ("runc", shutil.which("runc"))):
            with open(f"{self.folder}/{name}", "w") as f:
                f.write(f'#!/bin/sh\nexec {program} --root '
                        f'{self.folder}/{name}.root "$@"\n')
            os.chmod(f"{self.folder}/{name}", 0o755)
        with open(self.config, "w") as f:
            f.write('[containers]\nnetns = "none"\ndefault_ulimits = '
                    '["nofile=1024:1024", "nproc=1024:1024"]\n[engine]\n'
                    'cgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
                    'lock_type = "file"\nruntime = "runc"\n'
                    '[engine.runtimes]\n'
                    f'brood = ["{self.folder}/brood"]\n'
                    f'runc = ["{self.folder}/runc"]\n')
        run(*self.podman("info")[1:], env={**os.environ, **self.setting()})

    def setting(self):
        return {"CONTAINERS_CONF": self.config}

    def podman(self, *words):
        at = self.folder
        return [f"CONTAINERS_CONF={self.config}", shutil.which("podman"),
                "--root", at + "/images", "--runroot", at + "/run",
                "--tmpdir", at + "/tmp", "--storage-driver", "vfs",
                "--network-config-dir", at + "/net", *words]

    def load(self, path):
        run(*self.podman("load", "--input", path)[1:],
            env={**os.environ, **self.setting()})

    def command(self, runtime, name, domain=False):
        words = self.podman()
        return [*words, "--runtime", runtime, "run", "--rm",
                *(["--annotation", DOMAIN] * domain),
                self.prefix + name + ":1"]

    def end(self):
        subprocess.run(self.podman("rm", "--force", "--all", "--time", "0")[1:],
                       env={**os.environ, **self.setting()},
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def engines(place):
    """Those that are here, begun; their end is the caller's."""
    found = []
    for name, kind in (("podman", Podman), ("containerd", Containerd)):
        lacks = missing(*kind.needs)
        if lacks:
            say(f"{name} is left out: {lacks} is not here")
            continue
        folder = os.path.join(place, name)
        os.mkdir(folder)
        engine = kind(folder)
        try:
            engine.begin()
            for label, file in (("native", os.path.join(BUILD,
                                                        "bench/nothing")),
                                ("module", os.path.join(HERE, "empty.wasm"))):
                engine.load(image(f"{kind.prefix}{label}:1", file))
            found.append((name, engine))
        except (RuntimeError, subprocess.TimeoutExpired) as why:
            say(f"{name} is left out: {why}")
            engine.end()
    return found
