"""Planner: which volume takes what comes next.

Pure: sizes in, decisions out. A piece goes to the first volume in use that has room for it (first fit), else on the
first medium of ``volume_sizes`` that can hold it, else on a new one of ``max_size``. A medium too small for one piece
stays there for those that come later. Large pieces come first, by decreasing size; small ones after them in the order
of the tree, so that they fill the holes and folders stay together.

A volume takes nothing more when less than a thousandth of it is left, and when many are in use, less than a
hundredth: it could hold little, and would keep its files open until the end of the run.

`Shelf` is what a run and `plan_volumes` have in common. A tree of maxima finds the first room in logarithmic time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# With more volumes than these in use, one that is 99 % full is closed.
MOST_IN_USE = 8
# A piece that takes more than this part of the smallest medium is placed before the small ones.
LARGE_PART = 128


@dataclass(frozen=True, slots=True)
class Media:
    """The capacities to be used, in bytes: those of ``sizes``, then any number of ``max_size``."""

    sizes: tuple[int, ...]
    max_size: int


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The piece fits on no medium to come; ``largest`` is the best of them."""

    largest: int


class Rooms:
    """Numbers in a row, and the first of them that is large enough: a tree of maxima in one array."""

    def __init__(self, rooms: Sequence[int] = ()) -> None:
        self._count = 0
        self._leaves = 1
        self._most = array("q", [-1, -1])
        self._lowest = 0  # none before it has room; mostly it is the one that is looked for
        for room in rooms:
            self.append(room)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: int) -> int:
        return self._most[self._leaves + i]

    def append(self, room: int) -> None:
        """One more at the end."""
        if self._count == self._leaves:
            self._grow()
        self._count += 1
        self.put(self._count - 1, room)

    def put(self, i: int, room: int) -> None:
        """Set the i-th; -1 is found by nobody. O(log n)."""
        most = self._most
        node = self._leaves + i
        most[node] = room
        if i < self._lowest and room >= 0:
            self._lowest = i
        while node > 1:
            room = max(room, most[node ^ 1])
            node >>= 1
            if most[node] == room:
                return
            most[node] = room

    def first(self, least: int, start: int = 0) -> int | None:
        """The first from ``start`` on with at least ``least``, which is 0 or more. O(log n)."""
        most, leaves = self._most, self._leaves
        if start <= self._lowest:
            start = self._lowest
            while start < self._count and most[leaves + start] < 0:
                start += 1
            self._lowest = start
        if start >= self._count:
            return None
        node = leaves + start
        while most[node] < least:  # up, and to the right
            while node & 1:
                node >>= 1
            if not node:
                return None
            node += 1
        while node < leaves:  # down, to the left if it has one
            node *= 2
            if most[node] < least:
                node += 1
        return node - leaves

    def _grow(self) -> None:
        old = self._most[self._leaves : self._leaves + self._count]
        self._leaves *= 2
        self._most = array("q", [-1]) * (2 * self._leaves)
        self._most[self._leaves : self._leaves + self._count] = old
        for node in range(self._leaves - 1, 0, -1):
            self._most[node] = max(self._most[2 * node], self._most[2 * node + 1])


@dataclass(frozen=True, slots=True)
class Medium:
    """A medium of the shelf that is not in use: its place in `Media.sizes`, or None for one of ``max_size``."""

    number: int | None


class Shelf:
    """Volumes in use and media to come, by their rooms in bytes.

    Volumes are counted from 0 in the order in which they are taken into use.
    """

    def __init__(self, media: Media) -> None:
        self._media = media
        self._in_use = Rooms()
        self._capacities = array("q")
        self._waiting = Rooms(media.sizes)
        self._open = 0

    def candidates(self, least: int, start: int | Medium = 0) -> Iterator[int | Medium]:
        """Where ``least`` bytes may have room: volumes in use in their order, then media in theirs.

        Args:
            least: bytes.
            start: begin with this one.
        """
        if not isinstance(start, Medium):
            place = self._in_use.first(least, start)
            while place is not None:
                yield place
                place = self._in_use.first(least, place + 1)
            start = Medium(0)
        if start.number is not None:
            waiting = self._waiting.first(least, start.number)
            while waiting is not None:
                yield Medium(waiting)
                waiting = self._waiting.first(least, waiting + 1)
        if least <= self._media.max_size:
            yield Medium(None)

    def capacity(self, medium: Medium) -> int:
        """Bytes of a medium."""
        return self._media.max_size if medium.number is None else self._media.sizes[medium.number]

    def first(self, least: int) -> int | Medium | None:
        """The first of the `candidates`."""
        place = self._in_use.first(least)
        return place if place is not None else next(self.candidates(least), None)

    @property
    def taken(self) -> int:
        """How many volumes were taken into use."""
        return len(self._in_use)

    def take(self, medium: Medium) -> int:
        """Take a medium into use; returns the number of its volume."""
        if medium.number is not None:
            self._waiting.put(medium.number, -1)
        return self.take_another(self.capacity(medium))

    def take_another(self, capacity: int) -> int:
        """Take a medium into use that is not of the shelf; returns the number of its volume."""
        self._in_use.append(capacity)
        self._capacities.append(capacity)
        self._open += 1
        return len(self._capacities) - 1

    def put_back(self, volume: int, medium: Medium) -> None:
        """A medium waits again: nothing was left on its volume, which has no room until `exchange` gives it another."""
        self._in_use.put(volume, -1)
        if medium.number is not None:
            self._waiting.put(medium.number, self._media.sizes[medium.number])

    def exchange(self, volume: int, medium: Medium) -> None:
        """Give a volume without a medium another one."""
        capacity = self.capacity(medium)
        if medium.number is not None:
            self._waiting.put(medium.number, -1)
        self._capacities[volume] = capacity
        self._in_use.put(volume, capacity)

    def set_room(self, volume: int, room: int) -> None:
        """So many bytes are left on a volume."""
        self._in_use.put(volume, room)

    def room(self, volume: int) -> int:
        """Bytes left on a volume; -1 once it is closed."""
        return self._in_use[volume]

    def close(self, volume: int) -> None:
        """Nothing more goes on a volume."""
        self._in_use.put(volume, -1)
        self._open -= 1

    def is_full(self, volume: int) -> bool:
        """Whether a volume on which something was put is to be closed."""
        left, capacity = self._in_use[volume], self._capacities[volume]
        return left * 1000 < capacity or (left * 100 < capacity and self._open > MOST_IN_USE)

    def unused(self) -> tuple[int, ...]:
        """Capacities of ``sizes`` that were not taken into use, in their order."""
        return tuple(size for i, size in enumerate(self._media.sizes) if self._waiting[i] >= 0)

    def largest(self) -> int:
        """The most that an empty medium to come can take."""
        return max((*self.unused(), self._media.max_size))


@dataclass(frozen=True, slots=True)
class Plan:
    """Where pieces go: their indices for each volume, the volumes' capacities, and what is too large for all media."""

    volumes: list[array[int]]
    capacities: list[int]
    too_large: list[int]


def plan_volumes(sizes: Sequence[int], media: Media) -> Plan:
    """Place pieces that need nothing but their own bytes; for what is known in advance.

    Args:
        sizes: bytes of each piece, in the order of the tree.
        media: the capacities.

    Large pieces by first-fit decreasing, then the small ones by first fit; O(n log v) for n pieces and v volumes.
    """
    above = min((*media.sizes, media.max_size)) // LARGE_PART
    large = sorted((i for i, size in enumerate(sizes) if size > above), key=lambda i: -sizes[i])
    plan = Plan([], [], [])
    shelf = Shelf(media)
    for i in large:
        _place(i, sizes[i], shelf, plan)
    for i, size in enumerate(sizes):
        if size <= above:
            _place(i, size, shelf, plan)
    return plan


def _place(i: int, size: int, shelf: Shelf, plan: Plan) -> None:
    place = shelf.first(size)
    if place is None:
        plan.too_large.append(i)
        return
    if isinstance(place, Medium):
        plan.capacities.append(shelf.capacity(place))
        place = shelf.take(place)
        plan.volumes.append(array("Q"))
    plan.volumes[place].append(i)
    shelf.set_room(place, shelf.room(place) - size)
    if shelf.is_full(place):
        shelf.close(place)
