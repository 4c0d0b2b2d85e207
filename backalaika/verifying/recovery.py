"""Recovery: are the recovery files of a volume whole, and do they suffice for what is damaged?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from ..recovery.layout import INDEX
from ..recovery.moved import ask_program, may_have_moved
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
        repairable: whether what is damaged, recovery files too, can be made as it was; None: that is not known, for
            what is damaged may lie elsewhere.
        differs: whether anything is not what it was when they were made, themselves included.
        unknown: whether too little is left of the recovery files to say what they are for.
        moved: whether what is damaged is looked for elsewhere.
        only_own: whether nothing but recovery files is damaged or missing.
    """

    blocks: int
    available: int
    needed: int = 0
    repairable: bool | None = True
    differs: bool = True
    unknown: bool = False
    moved: bool = False
    only_own: bool = False

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
        if self.only_own and self.repairable:
            return "this damage can be repaired: it is of the recovery files alone, which can be made anew"
        where = "damaged or elsewhere" if self.moved and self.repairable is not False else "damaged"
        have = f"{self.needed:,} of {self.blocks:,} blocks are {where}, {self.available:,} recovery blocks are there"
        if self.repairable is None:
            return f"the recovery files may not suffice: {have}; try it on a copy: verify --repair --to DIR"
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
        return read_set(work(scan, ((folder, name) for name in names)))
    if expected:
        return RecoverySet(troubles={INDEX: "is missing, and all recovery files"})
    return None


def weigh_damage(
    folder: str, found: RecoverySet, whole: Collection[str], work: Map, threads: int, stop: Callable[[], None]
) -> Recovery:
    """Count the damaged blocks of a volume; where they are too many, ask a par2 program whether they only moved.

    Args:
        folder: of the volume.
        found: what its recovery files say.
        whole: names of files that are known to be what they were.
        work: does it in the pool.
        threads: of the par2 program.
        stop: called often; raises KeyboardInterrupt if the user wants to stop.
    """

    def asked() -> bool:
        stop()
        return False

    protected = (file for name, file in sorted(found.files.items()) if name not in whole)
    results = list(work(damaged_blocks, ((folder, file, found.block) for file in protected)))
    needed = sum(bad for _, bad, _ in results)
    unknown = bool(found.undescribed) or not found.files
    any_wrong = any(wrong for _, _, wrong in results)
    differs = bool(found.troubles) or any_wrong
    repairable: bool | None = differs and not unknown and needed <= found.recovery_blocks
    moved = not unknown and needed > found.recovery_blocks and may_have_moved(folder, found)
    if moved:
        repairable = ask_program(folder, found, threads, asked)
    return Recovery(found.blocks, found.recovery_blocks, needed, repairable, differs, unknown, moved, not any_wrong)
