# SPDX-License-Identifier: Apache-2.0
"""Layers and tips, read by the words of brood/layer_format.h alone, and
memories that are compared page by page."""

import hashlib
import mmap
import os
import struct

PAGE = 4096
CHUNK = 65536
BASE, DIFF, WORKING, STATE, DISK = range(1, 6)
ZERO = 1
TIP_ZERO = 0xFFFFFFFF
LAYER_MAGIC = b"\x7fBROODL\0"
TIP_MAGIC = b"\x7fBROODT\0"
LAYER = struct.Struct("<8sIIII8Q32s32s32sII")
LAYER_ID_AT = 152       # of the id in a header; the sum follows
EXTENT = struct.Struct("<QQQII")
TIP = struct.Struct("<8sIIQIIIIIIQ32s32s32s")
RUN = struct.Struct("<QQQII")


class Extent:
    def __init__(self, fields):
        self.offset, self.bytes, self.file_at, self.flags, self.sum = fields
        self.zero = bool(self.flags & ZERO)


class Layer:
    """A file whose name is its id."""

    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path)
        with open(path, "rb") as f:
            self.data = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        (magic, self.version, header, self.kind, page, self.ram_bytes,
         extents_at, count, hashes_at, hash_count, self.data_at,
         self.data_bytes, self.file_bytes, parent, shape, own, _, _) = \
            LAYER.unpack_from(self.data)
        assert magic == LAYER_MAGIC and header == page == PAGE, path
        self.parent, self.shape = parent.hex(), shape.hex()
        self.id = own.hex()
        self.hashes = self.data[hashes_at:hashes_at + 32 * hash_count]
        self.table = self.data[extents_at:extents_at + EXTENT.size * count]
        self.extents = [Extent(f) for f in EXTENT.iter_unpack(self.table)]

    def computed_id(self):
        """SHA-256 over header, extents and the hashes of what is there."""
        hashes, piece, filled = [], hashlib.sha256(), 0
        for extent in self.extents:
            at, left = extent.file_at, 0 if extent.zero else extent.bytes
            while left:
                n = min(left, CHUNK - filled)
                piece.update(self.data[at:at + n])
                at, left, filled = at + n, left - n, filled + n
                if filled == CHUNK:
                    hashes.append(piece.digest())
                    piece, filled = hashlib.sha256(), 0
        if filled:
            hashes.append(piece.digest())
        head = bytearray(self.data[:PAGE])
        head[LAYER_ID_AT:LAYER_ID_AT + 36] = bytes(36)
        return hashlib.sha256(bytes(head) + self.table +
                              b"".join(hashes)).hexdigest()

    def pages(self):
        """{page: place in the file, or None for zeros}"""
        found = {}
        if self.kind == BASE:
            found = {p: self.data_at + p * PAGE
                     for p in range(self.ram_bytes // PAGE)}
        for e in self.extents:
            for at in range(0, e.bytes, PAGE):
                found[(e.offset + at) // PAGE] = \
                    None if e.zero else e.file_at + at
        return found

    def apply(self, memory):
        """Its values at their addresses; a base's, to zeros."""
        for e in self.extents:
            if e.zero and self.kind == BASE:
                continue
            memory[e.offset:e.offset + e.bytes] = \
                bytes(e.bytes) if e.zero else \
                self.data[e.file_at:e.file_at + e.bytes]

    def addresses_of(self, text):
        """Of the memory, where its values hold that text."""
        found = []
        for e in self.extents:
            end = 0 if e.zero else e.file_at + e.bytes
            at = self.data.find(text, e.file_at, end) if end else -1
            while at >= 0:
                found.append(e.offset + at - e.file_at)
                at = self.data.find(text, at + 1, end)
        return found


class Tip:
    def __init__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        (magic, self.version, _, self.ram_bytes, layers, runs, words, _,
         disks, _, size, shape, state, own) = TIP.unpack_from(data)
        assert magic == TIP_MAGIC and size == len(data), path
        self.shape, self.state, self.id = shape, state.hex(), own.hex()
        at = TIP.size
        self.layers = [data[at + 32 * i:at + 32 * i + 32].hex()
                       for i in range(layers)]
        at += 32 * (layers + disks)
        self.runs = [RUN.unpack_from(data, at + RUN.size * i)
                     for i in range(runs)]
        self.words = data[at + RUN.size * runs:]
        assert len(self.words) == words, path


def places(layers):
    """[(number of the layer, place in its file)] for each page, (None, 0)
    for zeros: the layers in their order, each over those before it."""
    found = [(None, 0)] * (layers[0].ram_bytes // PAGE)
    for number, layer in enumerate(layers):
        for page, at in layer.pages().items():
            found[page] = (None, 0) if at is None else (number, at)
    return found


def tip_bytes(layers, state, shape, words):
    """A tip of these layers, whether they fit each other or not."""
    runs = []
    for page, (number, at) in enumerate(places(layers)):
        number = TIP_ZERO if number is None else number
        last = runs[-1] if runs else None
        if last and last[3] == number and \
                (number == TIP_ZERO or last[2] + last[1] == at):
            last[1] += PAGE
        else:
            runs.append([page * PAGE, PAGE, at, number, 0])
    body = b"".join(bytes.fromhex(layer.id) for layer in layers) + \
        b"".join(RUN.pack(*run) for run in runs) + words

    def head(own):
        return TIP.pack(TIP_MAGIC, 1, TIP.size, layers[0].ram_bytes,
                        len(layers), len(runs), len(words), 0, 0, 0,
                        TIP.size + len(body), shape, bytes.fromhex(state),
                        own)
    return head(hashlib.sha256(head(bytes(32)) + body).digest()) + body


# ---- memories ---------------------------------------------------------------

def new_memory(size):
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def read_process(pid, at, wanted, most=64):
    """The bytes at an address of a process, of its wanted pages; the others
    are not looked at, and zero."""
    memory = new_memory(len(wanted) * PAGE)
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
        page = 0
        while page < len(wanted):
            end = page + 1
            while end < len(wanted) and wanted[end] == wanted[page] and \
                    end - page < most:
                end += 1
            if wanted[page]:
                f.seek(at + page * PAGE)
                part = f.read((end - page) * PAGE)
                memory[page * PAGE:end * PAGE] = part  # of that length
            page = end
    return memory


def compose(layers):
    memory = new_memory(layers[0].ram_bytes)
    for layer in layers:
        layer.apply(memory)
    return memory


def different(one, two):
    """The numbers of the pages in which two memories differ."""
    assert len(one) == len(two)
    found = set()
    for at in range(0, len(one), CHUNK):
        a, b = one[at:at + CHUNK], two[at:at + CHUNK]
        if a != b:
            found.update((at + i) // PAGE for i in range(0, len(a), PAGE)
                         if a[i:i + PAGE] != b[i:i + PAGE])
    return found


def not_zero(memory):
    nothing = bytes(PAGE)
    return {at // PAGE for at in range(0, len(memory), PAGE)
            if memory[at:at + PAGE] != nothing}


def addresses_of(memory, text):
    found, at = [], memory.find(text)
    while at >= 0:
        found.append(at)
        at = memory.find(text, at + 1)
    return found
