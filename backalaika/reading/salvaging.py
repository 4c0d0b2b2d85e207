"""Salvaging: what can still be read of a damaged archive of ours, whose manifest is right.

Each frame is decoded by itself, where the manifest says that it begins, and each member compared with its digest: so a
byte that is wrong costs the members of one frame, and not all behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..catalogue.rows import HARD_LINK
from .trees import Sign


class Lost(NamedTuple):
    """A member that cannot be read any more, or is another: its path, that of the whole and its part, and why."""

    path: bytes
    place: bytes
    part: int | None
    why: str


class Salvaged(NamedTuple):
    """Of some members of an archive, how many there are, and which are lost."""

    members: int
    lost: list[Lost]


def salvaged(sign: Sign, folder: str, archive: bytes, digest: str) -> Iterator[Salvaged]:
    """What is left of an archive, some members at a time.

    Args:
        sign: is called often.
        folder: absolute path of the volume.
        archive: its name there.
        digest: which digest the manifest has.

    Raises:
        ArchiveError: the manifest is damaged.
    """
    # Who reads no damaged archive need not wait for all that restores.
    from ..errors import ArchiveError
    from ..restoring.manifests import manifest_items
    from ..restoring.tasks import cut_into_tasks
    from ..verifying.checking import check_members

    def refuse(message: str) -> None:
        raise ArchiveError(message)

    items = (item for item in manifest_items(folder, refuse) if item.archive == archive and item.kind != HARD_LINK)
    for task in cut_into_tasks(folder, archive, digest, items):
        sign()
        failed = check_members(task).failed
        lost = [Lost(item.path, item.place, item.part and item.part[0], why) for item, why in failed]
        yield Salvaged(len(task.items), lost)
