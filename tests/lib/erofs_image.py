# SPDX-License-Identifier: Apache-2.0
"""Writes EROFS images as nobody should: any mode, any name, any link, and
superblocks that lie.  Only what the tests of refusals need."""

import struct

BLOCK = 4096
FILE, FOLDER, LINK = 0o100000, 0o040000, 0o120000
CHARS, BLOCKS, FIFO, SOCKET = 0o020000, 0o060000, 0o010000, 0o140000
KINDS = {FILE: 1, FOLDER: 2, CHARS: 3, BLOCKS: 4, FIFO: 5, SOCKET: 6, LINK: 7}


def crc32c(data, crc=0xffffffff):
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc


class Node:
    def __init__(self, mode, data=b"", size=None):
        self.mode, self.data, self.size = mode, data, size
        self.names = {}
        self.nid = self.at = None


def file(data=b"x", mode=0o644, size=None):
    return Node(FILE | mode, data, size)


def link(target):
    return Node(LINK | 0o777, target.encode())


def special(kind, mode=0o644):
    return Node(kind | mode)


class Image:
    """A tree of nodes; put() makes folders on the way."""

    def __init__(self):
        self.root = Node(FOLDER | 0o755)

    def put(self, path, node):
        folder = self.root
        *parts, last = path.split("/")
        for part in parts:
            folder = folder.names.setdefault(part, Node(FOLDER | 0o755))
        folder.names[last] = node
        return self

    def folders(self):
        found = [(self.root, self.root)]
        for node, _ in found:
            found += [(n, node) for n in node.names.values()
                      if n.mode & 0o170000 == FOLDER
                      and all(n is not m for m, _ in found)]
        return found

    def nodes(self):
        found = []
        for folder, _ in self.folders():
            for node in [folder, *folder.names.values()]:
                if all(node is not m for m in found):
                    found.append(node)
        return found

    def folder_data(self, node, above):
        entries = sorted([(".", node), ("..", above), *node.names.items()],
                         key=lambda e: e[0].encode("utf-8", "surrogateescape"))
        at, names, head = 12 * len(entries), b"", b""
        for name, to in entries:
            head += struct.pack("<QHBB", to.nid, at + len(names),
                                KINDS[to.mode & 0o170000], 0)
            names += name.encode("utf-8", "surrogateescape")
        assert len(head) + len(names) <= BLOCK
        return head + names

    def write(self, path, **lies):
        nodes = self.nodes()
        # Inodes of 64 bytes from the second block on, then data.
        for i, node in enumerate(nodes):
            node.nid = 128 + 2 * i
        block = -(-(BLOCK + 64 * len(nodes)) // BLOCK)
        for node, above in self.folders():
            node.data = self.folder_data(node, above)
        inodes, data = b"", b""
        for i, node in enumerate(nodes):
            start = block + len(data) // BLOCK if node.data else 0
            size = len(node.data) if node.size is None else node.size
            data += node.data + b"\0" * (-len(node.data) % BLOCK)
            links = 2 if node.mode & 0o170000 == FOLDER else 1
            inodes += struct.pack("<HHHHQIIIIQIIQQ", 1, 0, node.mode, 0, size,
                                  start, i + 1, 0, 0, 0, 0, links, 0, 0)
        body = inodes + b"\0" * (block * BLOCK - BLOCK - len(inodes)) + data
        blocks = 1 + len(body) // BLOCK
        field = dict(magic=0xe0f5e1e2, compat=1, blkszbits=12, root=self.root.nid,
                     inos=len(nodes), blocks=blocks, meta=0, incompat=0)
        field.update(lies)
        sb = struct.pack("<IIIBBHQQIIII16s16sI", field["magic"], 0,
                         field["compat"], field["blkszbits"], 0, field["root"],
                         field["inos"], 0, 0, field["blocks"], field["meta"], 0,
                         b"u" * 16, b"", field["incompat"])
        sb += b"\0" * (BLOCK - 1024 - len(sb))
        total = crc32c(sb)
        sb = sb[:4] + struct.pack("<I", total) + sb[8:]
        with open(path, "wb") as f:
            f.write(b"\0" * 1024 + sb + body)
