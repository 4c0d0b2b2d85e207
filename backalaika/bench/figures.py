"""Figures: what was measured, as plain values. Rates are of content, in bytes a second unless they say files."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..walk import Problem


@dataclass(frozen=True, slots=True)
class ReadRate:
    """Files read by so many processes at once, in the median of some rounds.

    ``cold``: from a disk, for the system was asked to forget them first. ``lowest`` and ``highest`` are the bytes a
    second of the slowest and the fastest round.
    """

    readers: int
    bytes_a_second: float
    files_a_second: float
    cold: bool
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class DigestRate:
    """A digest on so many processes at once."""

    digest: str
    workers: int
    bytes_a_second: float


@dataclass(frozen=True, slots=True)
class CodecRate:
    """A format at a level on so many processes at once; ``ratio`` is compressed by uncompressed bytes."""

    format: str
    level: int
    workers: int
    bytes_a_second: float
    ratio: float


@dataclass(slots=True)
class Figures:
    """All that a bench measured.

    Attributes:
        path: what the user named.
        workers: the most processes that were used at once.
        files, bytes: what the walk saw there.
        whole: whether it saw all.
        walk_files_a_second: how fast it went.
        sample_files, sample_bytes: what was read of it.
        compressible: the part of the sample that looks as if it could be compressed.
        in_memory: whether the files lie in memory, on a file system without a disk.
        reads: by each number of processes; ``cached`` is the same with one process from the system's memory.
        write_folder, write_bytes_a_second: where backups go, and how fast the disk there takes them.
        write_in_memory: whether there is no disk there.
        database, rows_a_second: the catalogue.
        busy: the part of the time for which other programs kept one process that computes from the processor.
        failures: what could not be measured, and why.
        problems: files that could not be read.
        seconds: how long all that took.
    """

    path: str
    workers: int
    files: int
    bytes: int
    whole: bool
    walk_files_a_second: float
    sample_files: int = 0
    sample_bytes: int = 0
    compressible: float = 0.0
    in_memory: bool = False
    reads: list[ReadRate] = field(default_factory=list)
    cached: ReadRate | None = None
    digests: list[DigestRate] = field(default_factory=list)
    codecs: list[CodecRate] = field(default_factory=list)
    write_folder: str = ""
    write_bytes_a_second: float | None = None
    write_in_memory: bool = False
    database: str = ""
    rows_a_second: float | None = None
    busy: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def mean_size(self) -> float:
        """Bytes of a file."""
        return self.bytes / self.files

    @property
    def read(self) -> ReadRate:
        """The fastest way of reading."""
        return max(self.reads, key=lambda rate: rate.bytes_a_second)
