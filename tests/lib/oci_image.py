# SPDX-License-Identifier: Apache-2.0
"""An image of files, as an OCI layout in a tar, which engines load:

	oci_image.py OUT NAME FILE...	its process is the first file
"""
import hashlib
import io
import json
import os
import sys
import tarfile

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def add(tar, name, data, mode=0o644):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = mode
    tar.addfile(info, io.BytesIO(data))


class Image:
    def __init__(self):
        self.blobs = {}

    def blob(self, data, kind):
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return {"mediaType": kind, "digest": "sha256:" + digest,
                "size": len(data)}

    def layer(self, files):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for path in files:
                with open(path, "rb") as f:
                    add(tar, os.path.basename(path), f.read(), 0o755)
        return self.blob(out.getvalue(), LAYER)

    def manifest(self, name, files):
        layer = self.layer(files)
        config = self.blob({
            "architecture": "amd64", "os": "linux",
            "config": {"Entrypoint": ["/" + os.path.basename(files[0])],
                       "Env": ["PATH=/", "FROM=image"]},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }, CONFIG)
        entry = self.blob({"schemaVersion": 2, "mediaType": MANIFEST,
                           "config": config, "layers": [layer]}, MANIFEST)
        entry["annotations"] = {
            "org.opencontainers.image.ref.name": name,
            "io.containerd.image.name": name,
        }
        return entry

    def write(self, out, manifest):
        index = {"schemaVersion": 2, "manifests": [manifest]}
        with tarfile.open(out, "w") as tar:
            add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            add(tar, "index.json", json.dumps(index).encode())
            for digest, data in self.blobs.items():
                add(tar, "blobs/sha256/" + digest, data)


def main(out, name, *files):
    image = Image()
    image.write(out, image.manifest(name, files))


main(*sys.argv[1:])
