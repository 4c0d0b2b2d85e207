"""Comparing: whether what is in a place is what would be put there, so that it may stay without a word."""

from __future__ import annotations

import os
import stat

from ..digests import hasher_factory
from ..walk import SYMLINK
from .items import Item
from .placing import PlaceError, Target

_READ = 1 << 20


def is_as_saved(target: Target, item: Item, digest: str) -> bool:
    """Whether a file or link that is there is the one that was saved; of a part, whether the whole is.

    Size and time of modification tell it, as they do when a backup looks for what has changed. A file of the same size
    and another time is read.

    Args:
        target: the directory.
        item: what would be put there.
        digest: which digest it has.
    """
    size, content = (item.size, item.digest) if item.part is None else item.part[2:]
    try:
        info = target.look(item.place)
        if item.kind == SYMLINK:
            return stat.S_ISLNK(info.st_mode) and target.link_at(item.place) == item.target
        if not stat.S_ISREG(info.st_mode) or size not in (None, info.st_size):
            return False
        return info.st_mtime_ns == item.mtime_ns or (content is not None and _digest(target, item, digest) == content)
    except (PlaceError, OSError):  # it was replaced meanwhile, or nobody may read it
        return False


def _digest(target: Target, item: Item, digest: str) -> bytes:
    hasher = hasher_factory(digest)()
    descriptor = target.open_there(item.place)
    try:
        while piece := os.read(descriptor, _READ):
            hasher.update(piece)
    finally:
        os.close(descriptor)
    return hasher.digest()
