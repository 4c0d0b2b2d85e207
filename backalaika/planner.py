"""Planner: which volume takes what comes next.

A pure function: sizes in, decision out. What comes is placed in order, each piece on the volume that is open if it
fits there, else on the next medium that can hold it: first those of ``volume_sizes``, in their order, then new ones
of ``max_size``. A medium too small for the piece is passed over and reported; a piece too large for every medium is
refused, and nothing is closed for its sake. (The size of a large file is known only at its end; it is refused at the
frame that makes it too large for every medium to come.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Media:
    """The capacities still to be used, in bytes: the rest of ``sizes``, then any number of ``max_size``."""

    sizes: tuple[int, ...]
    max_size: int

    def largest(self) -> int:
        """The capacity of the largest medium to come."""
        return max((*self.sizes, self.max_size))


@dataclass(frozen=True, slots=True)
class Next:
    """The piece goes on a new volume: its ``capacity``, the ``media`` left, and the capacities passed over."""

    capacity: int
    media: Media
    passed_over: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The piece fits on no medium to come; ``largest`` is the best of them."""

    largest: int


def next_medium(need: int, media: Media) -> Next | TooLarge:
    """The medium for a piece that does not fit on the volume that is open.

    Args:
        need: bytes of an otherwise empty volume with the piece on it.
        media: the capacities to come.
    """
    for i, capacity in enumerate(media.sizes):
        if need <= capacity:
            return Next(capacity, Media(media.sizes[i + 1 :], media.max_size), media.sizes[:i])
    if need <= media.max_size:
        return Next(media.max_size, Media((), media.max_size), media.sizes)
    return TooLarge(media.largest())


def plan_volumes(sizes: Sequence[int], media: Media) -> list[list[int]]:
    """Place pieces that need nothing but their own bytes; for what is known in advance, and for tests.

    Args:
        sizes: bytes of each piece.
        media: the capacities.

    Returns:
        Indices into ``sizes``, per volume, in order. A piece that fits on no medium is in none.
    """
    volumes: list[list[int]] = []
    room = -1
    for i, size in enumerate(sizes):
        if size > room:
            decision = next_medium(size, media)
            if isinstance(decision, TooLarge):
                continue
            volumes.append([])
            room, media = decision.capacity, decision.media
        volumes[-1].append(i)
        room -= size
    return volumes
