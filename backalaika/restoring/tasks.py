"""Tasks: the members of an archive, cut at frames into pieces of work for the processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from ..reading.messages import INSIDE
from .items import Item
from .worker import Task

_BYTES_A_TASK = 4 * 1024 * 1024
_ITEMS_A_TASK = 500


def in_image(image: str, archive: bytes) -> tuple[str, bytes]:
    """Folder and archive of what is in an image of a disc that is a medium: it is read as an archive in its folder."""
    folder, name = os.path.split(image)
    return folder, os.fsencode(name) + (INSIDE + archive if archive else b"")


def cut_into_tasks(
    folder: str,
    archive: bytes,
    digest: str,
    items: Iterator[Item],
    whole: Callable[[Item], bytes | None] | None = None,
) -> Iterator[Task]:
    """Tasks of some megabytes; a large file is a task of its own.

    Args:
        folder: of the volume.
        archive: name there.
        digest: which digest the items have.
        items: in the order of the archive.
        whole: for a part, the temporary name of the file it belongs to; None leaves the part out.
    """
    some: list[Item] = []
    size = 0
    wholes: dict[bytes, bytes] = {}
    for item in items:
        enough = size >= _BYTES_A_TASK or len(some) >= _ITEMS_A_TASK
        if some and enough and (item.frame != some[-1].frame or not archive):
            yield Task(folder, archive, digest, some, item.frame, wholes)
            some, size, wholes = [], 0, {}
        if item.part is not None and whole is not None:
            temporary = whole(item)
            if temporary is None:
                continue
            wholes[item.place] = temporary
        some.append(item)
        size += item.size
    if some:
        yield Task(folder, archive, digest, some, None, wholes)
