"""What a run tells the catalogue, in the words of the run: volumes and archives by their own numbers.

The recorder turns them into rows. Each is sent only when the bytes that it speaks of are safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..walk import Problem

ROWS_AT_ONCE = 5000
"""So many members are told to the catalogue at once, or a few more."""


@dataclass(frozen=True, slots=True)
class NewVolume:
    """A volume was begun."""

    volume: int
    title: str
    folder: str
    capacity: int


@dataclass(frozen=True, slots=True)
class NewArchive:
    """An archive was begun; ``source`` counts the job's sources."""

    archive: int
    volume: int
    name: str
    suffix: str
    source: int


class Frame(NamedTuple):
    """A frame: its number and byte offset in the archive, its bytes compressed and before."""

    archive: int
    number: int
    offset: int
    size: int
    raw_size: int


class PartOf(NamedTuple):
    """What a member is a part of: its number from 1, where it begins in the whole, and the whole.

    The digest of the whole is known with the last part only.
    """

    number: int
    offset: int
    whole_size: int
    whole_digest: bytes | None


class Members(NamedTuple):
    """The members that start in one frame.

    Attributes:
        folders: absolute paths.
        packed: for each folder a list of the catalogue's `MemberRow`, marshalled; as a process of the pool told it.
        number: how many, folders and links too.
        files, size: how many are no folders, and the bytes of these.
        part: what the only member is a part of.
    """

    volume: int
    archive: int
    frame: int
    folders: list[str]
    packed: bytes
    number: int
    files: int
    size: int
    part: PartOf | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Frames and members whose bytes are safe."""

    frames: list[Frame]
    members: list[Members]

    @property
    def count(self) -> int:
        """How many members."""
        return sum(members.number for members in self.members)

    def takes(self, more: Rows) -> bool:
        """Whether they are few enough together to be written at once."""
        return self.count + more.count <= ROWS_AT_ONCE


@dataclass(frozen=True, slots=True)
class ArchiveComplete:
    """An archive has its name and its bytes are safe."""

    archive: int
    size: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class VolumeComplete:
    """A volume is complete and safe; ``verified_at_ns`` is when it was read back, None if it was not."""

    volume: int
    size: int
    verified_at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Problems:
    """What could not be saved, or not as it should be."""

    problems: list[Problem]


Record = NewVolume | NewArchive | Rows | ArchiveComplete | VolumeComplete | Problems
