# SPDX-License-Identifier: Apache-2.0
"""Say that a Python program is warm.

Put this file beside the program and call ready() when all that takes long has
been imported and loaded:

    import numpy, brood
    model = load_model()
    brood.ready()
    for line in sys.stdin:
        ...

    brood serve --until ready python3 program.py
    brood launch python3 program.py < question

An instance goes on behind the call, with the standard streams, the working
directory and the limits of its own launch, but with the arguments and the
environment of the template.  Without brood the call does nothing.  Text that
was printed before and is still in a buffer comes out in each instance; text
that was flushed keeps the program from being served.

The generator of module random is seeded anew, so that two instances do not
draw the same numbers; other generators are the program's to seed, by a
function given to on_start().
"""

import ctypes
import sys

_on_start = []


def on_start(function):
    """Call function in each instance, as soon as ready() returns."""
    _on_start.append(function)
    return function


def ready():
    """Stop here while the program is kept warm; return in each instance.

    Returns True when the program was started warm."""
    try:
        stop = ctypes.CDLL(None).brood_ready
    except AttributeError:
        return False
    stop.argtypes = []
    stop.restype = None
    stop()
    if "random" in sys.modules:
        sys.modules["random"].seed()
    for function in _on_start:
        function()
    return True
