# SPDX-License-Identifier: Apache-2.0
"""Calls of Kubernetes' CRI, by curl, to a socket: no client of it is in Debian.

	cri.py SOCKET sandbox HANDLER NOTES	-> ID
	cri.py SOCKET container SANDBOX NOTES IMAGE LOG WORD...	-> ID
	cri.py SOCKET start|stop|remove CONTAINER
	cri.py SOCKET status CONTAINER		-> STATE CODE
	cri.py SOCKET exec CONTAINER WORD...	-> its output; ends with its code
	cri.py SOCKET end SANDBOX

NOTES are the pod's annotations, KEY=VALUE,...  As kubelet does, they are told
with each of its containers, too.
"""
import os
import struct
import subprocess
import sys

STATES = ("created", "running", "exited", "unknown")


def number(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(at, value):
    """One of a message's: a number, text, or a message."""
    if isinstance(value, int):
        return number(at << 3) + number(value)
    if isinstance(value, str):
        value = value.encode()
    return number(at << 3 | 2) + number(len(value)) + value


def read_number(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """{at: last value}"""
    found, at = {}, 0
    while at < len(data):
        key, at = read_number(data, at)
        if key & 7 == 0:
            found[key >> 3], at = read_number(data, at)
        elif key & 7 == 2:
            size, at = read_number(data, at)
            found[key >> 3] = data[at:at + size]
            at += size
        else:
            sys.exit(f"cri.py: a field of kind {key & 7}")
    return found


class Cri:
    def __init__(self, socket):
        self.socket = socket

    def call(self, method, message):
        words = ["curl", "--silent", "--show-error", "--max-time", "50",
                 "--http2-prior-knowledge", "--unix-socket", self.socket,
                 "--header", "content-type: application/grpc",
                 "--header", "te: trailers", "--data-binary", "@-",
                 "--dump-header", "/dev/stderr",
                 "http://cri/runtime.v1.RuntimeService/" + method]
        done = subprocess.run(words, capture_output=True, check=False,
                              input=struct.pack(">BI", 0, len(message)) +
                              message)
        said = done.stderr.decode()
        if "grpc-status: 0" not in said or len(done.stdout) < 5:
            sys.exit(f"cri.py: {method}: {said}")
        return fields(done.stdout[5:])


def sandbox_config(notes, logs=""):
    """Of the node's network: no plug-in for another one is needed."""
    pairs = [note.split("=", 1) for note in notes.split(",") if note]
    names = field(1, "pod") + field(2, "uid") + field(3, "default")
    entries = b"".join(field(7, field(1, key) + field(2, value))
                       for key, value in pairs)
    inside = field(2, field(1, field(1, 2)))
    return field(1, names) + field(3, logs) + entries + field(8, inside)


def container_config(image, log, words):
    return (field(1, field(1, os.path.basename(log))) +
            field(2, field(1, image)) +
            b"".join(field(3, word) for word in words) +
            field(11, os.path.basename(log)))


def main(socket, verb, what, *words):
    cri = Cri(socket)
    if verb == "sandbox":
        print(cri.call("RunPodSandbox", field(1, sandbox_config(*words)) +
                       field(2, what))[1].decode())
    elif verb == "container":
        notes, image, log, *words = words
        print(cri.call("CreateContainer", field(1, what) +
                       field(2, container_config(image, log, words)) +
                       field(3, sandbox_config(notes, os.path.dirname(log)))
                       )[1].decode())
    elif verb == "status":
        status = fields(cri.call("ContainerStatus", field(1, what))[1])
        print(STATES[status.get(3, 0)], status.get(7, 0))
    elif verb == "exec":
        answer = cri.call("ExecSync", field(1, what) +
                          b"".join(field(2, word) for word in words))
        sys.stdout.write(answer.get(1, b"").decode())
        sys.exit(answer.get(3, 0))
    elif verb == "end":
        cri.call("StopPodSandbox", field(1, what))
        cri.call("RemovePodSandbox", field(1, what))
    else:
        name = {"start": "StartContainer", "stop": "StopContainer",
                "remove": "RemoveContainer"}[verb]
        cri.call(name, field(1, what))


main(*sys.argv[1:])
