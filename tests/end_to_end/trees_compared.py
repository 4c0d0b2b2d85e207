"""Trees: make one with a bit of everything, look at one, and compare two, names as bytes."""

from __future__ import annotations

import os
import random
import stat
import struct
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import xxhash

NS = 1_000_000_000


@dataclass(frozen=True)
class Thing:
    """What a path is; ``links`` are the paths of the same file, if there are several."""

    kind: str
    mode: int
    mtime_ns: int
    content: bytes = b""
    links: frozenset[bytes] = frozenset()


Tree = dict[bytes, Thing]


def look(top: Path) -> Tree:
    """All below a directory, and the directory itself as ``b""``, however long the paths."""
    tree: Tree = {}
    inodes: dict[bytes, tuple[int, int]] = {}
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _look(descriptor, b"", tree, inodes)
    finally:
        os.close(descriptor)
    groups = defaultdict(set)
    for path, inode in inodes.items():
        groups[inode].add(path)
    for path, inode in inodes.items():
        if len(groups[inode]) > 1:
            tree[path] = replace(tree[path], links=frozenset(groups[inode]))
    return tree


def _look(descriptor: int, path: bytes, tree: Tree, inodes: dict[bytes, tuple[int, int]]) -> None:
    info = os.fstat(descriptor)
    tree[path] = Thing("dir", stat.S_IMODE(info.st_mode), info.st_mtime_ns)
    for name in map(os.fsencode, os.listdir(descriptor)):
        below = path + b"/" + name if path else name
        info = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        mode, mtime_ns = stat.S_IMODE(info.st_mode), info.st_mtime_ns
        if stat.S_ISLNK(info.st_mode):
            tree[below] = Thing("symlink", 0, mtime_ns, os.readlink(name, dir_fd=descriptor))
        elif stat.S_ISREG(info.st_mode):
            tree[below] = Thing("file", mode, mtime_ns, _digest(os.open(name, os.O_RDONLY, dir_fd=descriptor)))
            inodes[below] = info.st_dev, info.st_ino
        else:
            assert stat.S_ISDIR(info.st_mode)
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
            try:
                _look(inner, below, tree, inodes)
            finally:
                os.close(inner)


def _digest(descriptor: int) -> bytes:
    hasher = xxhash.xxh3_128()
    with open(descriptor, "rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return hasher.digest()


def digest(content: bytes) -> bytes:
    """How `look` tells the content of a file."""
    return xxhash.xxh3_128_digest(content)


def seen_by(
    tree: Tree, *, unit_ns: int = 1, modes: bool = True, link_times: bool = True, hard_links: bool = True
) -> Tree:
    """A tree as one sees it who cannot see everything.

    Args:
        tree: the tree.
        unit_ns: times count in these; 0: not at all.
        modes: whether permissions are seen.
        link_times: whether times of symbolic links are.
        hard_links: whether it is seen that two names are one file.
    """
    seen = {}
    for path, thing in tree.items():
        timed = unit_ns and (link_times or thing.kind != "symlink")
        seen[path] = replace(
            thing,
            mode=thing.mode if modes else 0,
            mtime_ns=thing.mtime_ns // unit_ns * unit_ns if timed else 0,
            links=thing.links if hard_links else frozenset(),
        )
    return seen


def write(path: Path | bytes, content: bytes = b"", mode: int = 0o644, mtime_ns: int | None = None) -> None:
    """A file, with the folders above it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, mode)
    if mtime_ns is not None:
        os.utime(path, ns=(mtime_ns, mtime_ns))


def noise(size: int, start: int = 0) -> bytes:
    """Bytes that do not compress, other ones for each ``start``."""
    return random.Random(start).randbytes(size)


def text(size: int, start: int = 0) -> bytes:
    """Bytes that do compress."""
    words = [b"backup", b"balalaika", b"Caf\xc3\xa9", b"volume", b"frame", b"\n"]
    number = random.Random(start)
    some = b" ".join(number.choices(words, k=2000))
    pieces = [struct.pack("<I", i) + some for i in range(size // len(some) + 1)]
    return b"".join(pieces)[:size]


def make_tree(top: Path, large: int = 9_000_000) -> None:
    """A bit of everything that every tool can unpack, with times down to the nanosecond.

    ``large`` is the size of the largest files; with the default they are larger than a frame of any format.
    """
    write(top / "letter.txt", text(5000))
    write(top / "deep" / "er" / "notes.txt", text(70_000, 1), 0o640)
    write(top / "deep" / "noise.bin", noise(300_000), 0o600)
    write(top / "deep" / "empty", b"")
    write(top / "run.sh", b"#!/bin/sh\necho hello\n", 0o755)
    write(top / "read only", b"look, but do not touch\n", 0o444)
    write(top / "Übergröße" / "naïve 文件.txt", text(2000, 2))
    write(top / "large.txt", text(large, 3))
    write(top / "large.bin", noise(large // 3, 4) + text(large // 3 * 2, 5))
    os.makedirs(top / "nothing" / "in here")
    os.symlink("letter.txt", top / "link")
    os.symlink("../deep/er", top / "deep" / "to a folder")
    os.symlink("/no/where", top / "dangling")
    os.link(top / "deep" / "noise.bin", top / "hard")
    os.link(top / "large.bin", top / "zz-hard-large")
    os.chmod(top / "nothing", 0o750)
    set_times(top)


def set_times(top: Path, start_s: int = 1_111_111_111) -> None:
    """Give all in a tree times of their own, folders last."""
    count = 0
    for folder, folders, files in os.walk(os.fsencode(top), topdown=False):
        for name in sorted([*files, *folders]):
            count += 1
            time_ns = (start_s + 7919 * count) * NS + 123_456_789 * count % NS
            os.utime(os.path.join(folder, name), ns=(time_ns, time_ns), follow_symlinks=False)
    os.utime(top, ns=(start_s * NS + 5, start_s * NS + 5))
