# SPDX-License-Identifier: Apache-2.0
"""For tests of images: the command, and what it tells."""

import json

import warm


def image(*words, **kw):
    return warm.brood("image", *words, **kw)


def told(*words):
    r = image(*words, "--json")
    try:
        return json.loads(r.out)
    except ValueError:
        return {"wrong": repr(r)}
