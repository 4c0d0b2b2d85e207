"""Recovery: are the recovery files of a volume whole, and do they suffice for what is damaged?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from ..recovery.layout import INDEX
from ..recovery.packets import RecoverySet, damaged_blocks, read_set, scan
from ..recovery.program import recovery_files

Map = Callable[[Callable[..., Any], Iterator[tuple[Any, ...]]], Iterator[Any]]
"""Does work in the pool: the function, and the arguments of each call; gives the results as they come."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What recovery files can do for a volume.

    Attributes:
        blocks: of the volume.
        available: recovery blocks that are whole.
        needed: blocks of the volume that are damaged.
        repairable: whether what is damaged, recovery files too, can be made as it was.
        differs: whether anything is not what it was when they were made, themselves included.
        unknown: whether too little is left of the recovery files to say what they are for.
    """

    blocks: int
    available: int
    needed: int = 0
    repairable: bool = True
    differs: bool = True
    unknown: bool = False

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "blocks": self.blocks,
            "recovery_blocks": self.available,
            "needed": self.needed,
            "repairable": self.repairable,
        }

    def line(self) -> str:
        """What the user is told of a damaged volume."""
        if self.unknown:
            return "too little is left of the recovery files to repair anything"
        if not self.differs:
            return "recovery files are of no help: by them, all is as it was when they were made"
        have = f"{self.needed:,} of {self.blocks:,} blocks are damaged, {self.available:,} recovery blocks are there"
        return f"this damage can{'' if self.repairable else 'not'} be repaired: {have}"


def scan_recovery(folder: str, expected: bool, work: Map) -> RecoverySet | None:
    """Read the recovery files of a volume; None if there are none.

    Args:
        folder: of the volume.
        expected: whether its README.txt tells of them.
        work: does it in the pool.
    """
    names = recovery_files(folder)
    if names:
        return read_set(list(work(scan, ((folder, name) for name in names))))
    if expected:
        return RecoverySet(troubles={INDEX: "is missing, and all recovery files"})
    return None


def weigh_damage(folder: str, found: RecoverySet, whole: Collection[str], work: Map) -> Recovery:
    """Count the damaged blocks of a volume.

    Args:
        folder: of the volume.
        found: what its recovery files say.
        whole: names of files that are known to be what they were.
        work: does it in the pool.
    """
    protected = (file for name, file in sorted(found.files.items()) if name not in whole)
    results = list(work(damaged_blocks, ((folder, file, found.block) for file in protected)))
    needed = sum(bad for _, bad, _ in results)
    unknown = bool(found.undescribed) or not found.files
    differs = bool(found.troubles) or any(wrong for _, _, wrong in results)
    repairable = differs and not unknown and needed <= found.recovery_blocks
    return Recovery(found.blocks, found.recovery_blocks, needed, repairable, differs, unknown)
