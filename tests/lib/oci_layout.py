# SPDX-License-Identifier: Apache-2.0
"""Reads an OCI layout and believes nothing:

	oci_layout.py DIR [PYTHON]	an expression that holds; names is a
					dict of manifests, blob(D) gives bytes

All that is named has to be there, with its size and digest.
"""
import hashlib
import io
import json
import os
import sys
import tarfile

where = sys.argv[1]
REF = "org.opencontainers.image.ref.name"


def blob(d):
    kind, hexed = d["digest"].split(":")
    assert kind == "sha256" and len(hexed) == 64
    with open(os.path.join(where, "blobs", kind, hexed), "rb") as f:
        data = f.read()
    assert len(data) == d["size"], d
    assert hashlib.sha256(data).hexdigest() == hexed, d
    return data


def load(name):
    with open(os.path.join(where, name)) as f:
        return json.load(f)


def files(d):
    with tarfile.open(fileobj=io.BytesIO(blob(d))) as tar:
        return {m.name: (m.mode, m.uid, m.mtime, tar.extractfile(m).read())
                for m in tar}


assert load("oci-layout") == {"imageLayoutVersion": "1.0.0"}
index = load("index.json")
assert index["schemaVersion"] == 2
names = {}
for item in index["manifests"]:
    manifest = json.loads(blob(item))
    assert manifest["mediaType"] == item["mediaType"]
    for part in [manifest["config"]] + manifest["layers"]:
        blob(part)
    names[item["annotations"][REF]] = manifest
if len(sys.argv) > 2:
    assert eval("(" + sys.argv[2] + ")"), names
