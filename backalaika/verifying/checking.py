"""Checking: what the processes do: hash files of a volume, and decode members without writing them anywhere."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from multiprocessing import parent_process
from typing import NamedTuple

import xxhash

from ..digests import hasher_factory
from ..errors import ArchiveError
from ..restoring.frames import WRONG_DIGEST, ArchiveReader, Found
from ..restoring.items import Item
from ..restoring.worker import Task
from ..run.stopping import leave_to_parent
from ..walk import FILE, describe_error, open_file

_READ = 1 << 20


class Hashed(NamedTuple):
    """A file of a volume: its size and XXH3-128, or what is wrong."""

    name: bytes
    size: int
    digest: bytes
    trouble: str = ""


@dataclass(slots=True)
class Checked:
    """Members that were decoded: how many, their content, and those that are not what they should be."""

    members: int = 0
    size: int = 0
    failed: list[tuple[Item, str]] = field(default_factory=list)
    name: bytes = b""


def start_checking() -> None:
    """Make a process ready."""
    if parent_process() is not None:
        leave_to_parent(lambda: None)


def hash_file(folder: str, name: bytes) -> Hashed:
    """Read a file of a volume."""
    try:
        with open(open_file(folder, None, os.fsdecode(name)), "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Hashed(name, 0, b"", "is no regular file")
            hasher = xxhash.xxh3_128()
            size = 0
            while piece := file.read(_READ):
                hasher.update(piece)
                size += len(piece)
            return Hashed(name, size, hasher.digest())
    except FileNotFoundError:
        return Hashed(name, 0, b"", "is missing")
    except OSError as error:
        return Hashed(name, 0, b"", f"cannot be read: {describe_error(error)}")


def check_members(task: Task) -> Checked:
    """Decode the members of a task, and compare each with its digest."""
    checked = Checked(name=task.items[-1].path)
    try:
        with ArchiveReader(task.folder, task.archive) as reader:
            for item, found in reader.members(task.items, task.end):
                checked.members += 1
                checked.size += item.size
                try:
                    _check(task.digest, item, found)
                except ArchiveError as error:
                    checked.failed.append((item, str(error)))
    except ArchiveError as error:
        checked.failed += [(item, str(error)) for item in task.items]
    return checked


def _check(digest: str, item: Item, found: Found | ArchiveError) -> None:
    if isinstance(found, ArchiveError):
        raise found
    hasher = hasher_factory(digest)()
    for piece in found.pieces:
        hasher.update(piece)
    if item.kind == FILE and item.digest is not None and hasher.digest() != item.digest:
        raise ArchiveError(WRONG_DIGEST)
    if found.attributes is None:
        raise ArchiveError("is not in its archive's directory, so that its permissions are not known")
