"""Tasks: what a process of the pool does while the clock runs.

All of them work on the sample's memory, which is attached as if it were that of the slots, and go round in what they
are given until their time is up; each does one piece at least. They use the functions that a backup uses: the same
calls to the same libraries, on frames of the same size.

A slow codec sees a part of the sample only, which may happen to compress better or worse than the rest. So a ruler, a
fast codec, is laid to the same part when the clock has stopped: what counts is by how much smaller the slow one made
it than the fast one did.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple, TypeVar

import deflate

from ..codecs import CODECS, is_incompressible
from ..digests import digest_function
from ..formats import zip as zip_format
from ..formats.tar import padding
from ..formats.zip import ZipMember
from ..run.framing import zip_body
from ..run.worker import all_slots, cannot_be_read, read_fully
from ..walk import Problem, describe_error, open_file_in
from .sample import Piece

T = TypeVar("T")
Span = tuple[int, int]
"""Where something starts and ends in the sample's memory."""

# What a slow codec gets first, to see how much it can do in its time.
_TRIAL = 128 * 1024
_RULER = CODECS["zst"].compress
_RULER_LEVEL = 1
# Each write to the destination, as the writer of a run makes them.
_WRITE = 1 << 20


@dataclass(frozen=True, slots=True)
class Work:
    """How far a task came: bytes taken in, things done, and the seconds it took.

    ``small`` and ``ruler`` are for the first round only: what came out, and what the ruler makes of the same bytes.
    ``cpu_s`` is for how much of the seconds the process had a processor, where it computed only.
    """

    taken: int
    count: int
    seconds: float
    small: int = 0
    ruler: int = 0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The pieces that were read, by their numbers in the list that was given, and what went wrong."""

    work: Work
    read: list[int]
    problems: list[Problem]


class Member(NamedTuple):
    """A member of a zip in the sample's memory; ``name`` tells whether it is worth a try to compress it."""

    name: str
    start: int
    end: int


def forget(pieces: list[Piece]) -> bool:
    """Ask the system to drop what it keeps of these files in memory, so that the disk must give it again.

    Only what is clean is dropped; nothing is lost. False where the system has no such call.
    """
    if not hasattr(os, "posix_fadvise"):
        return False
    for piece in pieces:
        try:
            descriptor = open_file_in(piece.directory, piece.name)
        except OSError:
            continue  # told when it is read
        try:
            os.posix_fadvise(descriptor, piece.offset, piece.size, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return True


def read_pieces(pieces: list[Piece], seconds: float) -> Reading:
    """Read each piece once into its place, as long as there is time; one that has changed its size is left out."""
    memory = all_slots()
    read, problems = [], []
    size = 0
    start = time.perf_counter()
    for number, piece in enumerate(pieces):
        try:
            descriptor = open_file_in(piece.directory, piece.name)
            try:
                os.lseek(descriptor, piece.offset, os.SEEK_SET)
                length = read_fully(descriptor, memory[piece.place : piece.place + piece.size])
            finally:
                os.close(descriptor)
        except OSError as error:
            problems.append(Problem(os.path.join(piece.directory, piece.name), cannot_be_read(error)))
            continue
        if length == piece.size:
            read.append(number)
            size += piece.size
        if time.perf_counter() - start > seconds:
            break
    return Reading(Work(size, len(read), time.perf_counter() - start), read, problems)


def place_heads(pieces: list[Piece]) -> None:
    """Put the tar headers and paddings where they belong."""
    memory = all_slots()
    for piece in pieces:
        memory[piece.place - len(piece.head) : piece.place] = piece.head
        memory[piece.place + piece.size : piece.end] = padding(piece.size)


def hash_spans(digest: str, spans: list[Span], seconds: float) -> Work:
    """Hash content, each span by itself."""
    memory, function = all_slots(), digest_function(digest)
    taken = count = 0
    start, cpu = time.perf_counter(), time.process_time()
    for first, end in _until(start + seconds, spans):
        function(memory[first:end])
        taken += end - first
        count += 1
    return Work(taken, count, time.perf_counter() - start, cpu_s=time.process_time() - cpu)


def compress_frames(
    option: str, level: int, frames: list[list[Span]], seconds: float, expected: float | None = None
) -> Work:
    """Compress frames of a tar; a slow codec gets the beginning of each, as much as it can do in its time.

    Args:
        option: ``gz``, ``bz2``, ``zst`` or ``xz``.
        level: how hard it tries.
        frames: each as the spans that it consists of.
        seconds: how long.
        expected: bytes a second that it did before; None: it is tried first, which takes of its time.
    """
    compress = CODECS[option].compress
    took = 0.0
    if expected is None:
        first = _joined(frames[0])[:_TRIAL]
        begun = time.perf_counter()
        compress(first, level)
        took = max(time.perf_counter() - begun, 1e-6)
        expected = len(first) / took
    most = max(_TRIAL, int(expected * seconds))
    taken = count = small = 0
    begun, cpu = time.perf_counter(), time.process_time()
    for frame in _until(begun + seconds - took, frames):
        body = _joined(frame)[:most]
        taken += len(body)
        size = len(compress(body, level))
        small += size if count < len(frames) else 0
        count += 1
    took, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    return Work(taken, count, took, small, ruler_of_frames(frames[:count], most), cpu_s)


def ruler_of_frames(frames: list[list[Span]], most: int | None = None) -> int:
    """Bytes that the ruler makes of frames, or of the first ``most`` bytes of each."""
    return sum(len(_RULER(_joined(frame)[:most], _RULER_LEVEL)) for frame in frames)


def ruler_of_members(members: list[Member]) -> int:
    """Bytes that the ruler makes of members."""
    memory = all_slots()
    return sum(len(_RULER(memory[member.start : member.end], _RULER_LEVEL)) for member in members)


def _joined(frame: list[Span]) -> bytes:
    memory = all_slots()
    return b"".join(memory[start:end] for start, end in frame)


def compress_members(level: int, store_only: frozenset[str], members: list[Member], seconds: float) -> Work:
    """Compress members of a zip, each by itself."""
    memory = all_slots()
    taken = count = small = 0
    begun, cpu = time.perf_counter(), time.process_time()
    for name, start, end in _until(begun + seconds, members):
        data = memory[start:end]
        method, body = zip_body(name, data, level, store_only)
        member = ZipMember(os.fsencode(name), 0o100644, 0, method, deflate.crc32(data), len(data), len(body))
        head, central = zip_format.local_header(member), zip_format.central_entry(member, 0)
        taken += end - start
        small += len(head) + len(body) + len(central) if count < len(members) else 0
        count += 1
    took, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    return Work(taken, count, took, small, ruler_of_members(members[:count]), cpu_s)


def write_and_sync(folder: str, size: int, seconds: float) -> Work | str:
    """Write to a file without a name in a folder, as long as there is time, and sync it.

    Args:
        folder: where.
        size: bytes of the sample's memory to write, again and again.
        seconds: after so many no more is written.

    Returns:
        The work, or why the folder or its disk does not take it.
    """
    memory = all_slots()
    taken = count = 0
    try:
        with tempfile.TemporaryFile(dir=folder, prefix="backalaika-", buffering=0) as file:
            start = time.perf_counter()
            for first in _until(start + seconds, range(0, size, _WRITE)):
                taken += file.write(memory[first : min(first + _WRITE, size)])
                count += 1
            os.fsync(file.fileno())
            took = time.perf_counter() - start
    except OSError as error:
        return describe_error(error)
    return Work(taken, count, took)


def shrinks(spans: list[Span]) -> float:
    """The part of the content that looks as if it could be compressed."""
    memory = all_slots()
    whole = sum(end - start for start, end in spans)
    return sum(end - start for start, end in spans if not is_incompressible(memory[start:end])) / whole


def _until(deadline: float, things: Sequence[T]) -> Iterator[T]:
    for thing in cycle(things):
        yield thing
        if time.perf_counter() >= deadline:
            return
