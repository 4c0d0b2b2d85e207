"""Unpacking: what a folder of a 7z holds, decoded by `py7zr` in bounded memory.

Its `extract` takes gigabytes: it asks for 128 MB at a time, gives deflate and zstd a megabyte of input whatever that
grows to, and LZMA more input than it has room for. So only its chain of decoders is used, here: with so little input
at a time that no codec makes more than some MB of it, and with none while output is still to be had. Frames of zstd
and BCJ2, which it has not, are decoded here and in `bcj2`.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

from ..errors import ArchiveError
from . import bcj2
from .memory import Memory
from .seekable import Seekable
from .streams import PIECE, Stream, zstd_pieces

_MEMORY_LIMIT = 256 * 1024 * 1024
"""Of a dictionary: what 7-Zip's hardest level takes."""

_LZMA, _LZMA2, _AES = b"\x03\x01\x01", b"\x21", b"\x06\xf1\x07\x01"
_DEFLATE, _DEFLATE64, _ZSTD = b"\x04\x01\x08", b"\x04\x01\x09", b"\x04\xf7\x11\x01"
_BCJ2 = b"\x03\x03\x01\x1b"
_IA64 = {b"\x06", b"\x03\x03\x04\x01"}
# Not decoded. Damaged PPMd ends the whole process in the library that py7zr has for it (pyppmd 1.3).
_NAMES = {
    b"\x03\x04\x01": "PPMd",
    _BCJ2: "BCJ2 in an unusual place",
    b"\x04\xf7\x11\x04": "LZ4",
    b"\x04\xf7\x11\x05": "LZS",
    b"\x0a": "ARM64",
}

# Bytes of input at a time: deflate makes 1,032 times as much of them, and a block of zstd 128 KiB of 4 bytes.
_INPUT = {_DEFLATE: 4096, _DEFLATE64: 4096, _ZSTD: 256}
_INPUT_OTHERWISE = 64 * 1024
# Calls without input or output before a decoder is said to have ended: some need one more to give their last bytes.
_MOST_IDLE = 3


@dataclass(frozen=True, slots=True)
class Coder:
    """A step of decoding: the method's number, its properties, and how many streams it takes and gives."""

    method: bytes
    properties: bytes
    ins: int
    outs: int


@dataclass(frozen=True, slots=True)
class Packed:
    """How a folder is packed.

    Attributes:
        coders: its steps.
        bonds: the step from whose output an input comes.
        places: the inputs that are in the file, in its order.
        sizes: bytes that each step gives.
        start: where the first of those inputs begins in the file.
        stored: bytes of each.
    """

    coders: list[Coder]
    bonds: dict[int, int]
    places: list[int]
    sizes: list[int]
    start: int
    stored: list[int]

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return self.sizes[self.last]

    @property
    def last(self) -> int:
        """The step whose output goes nowhere else."""
        return last_step(self.coders, self.bonds)

    def input_of(self, step: int) -> int:
        """The first input of a step."""
        return sum(coder.ins for coder in self.coders[:step])

    def lies(self, number: int) -> tuple[int, int]:
        """Where an input begins in the file, and how many bytes it has there."""
        place = self.places.index(number)
        return self.start + sum(self.stored[:place]), self.stored[place]


def last_step(coders: list[Coder], bonds: dict[int, int]) -> int:
    """Of the steps, that whose output goes nowhere else."""
    return (set(range(len(coders))) - set(bonds.values())).pop()


def is_there() -> bool:
    """Whether the extra that reads 7z is installed."""
    return importlib.util.find_spec("py7zr") is not None


def is_encrypted(coders: list[Coder]) -> bool:
    """Whether a password is needed."""
    return any(coder.method == _AES for coder in coders)


class _Input:
    """What the decoders take for a file: the packed bytes, a few at a time, and none while they have enough."""

    def __init__(self, file: Seekable, start: int, size: int) -> None:
        self._file, self._at, self._end = file, start, start + size
        self.wanted = True
        self.gave = 0
        self.failure: Exception | None = None

    def read(self, size: int) -> bytes:
        if not self.wanted:
            return b""
        try:
            piece = self._file.at(self._at, min(size, self._end - self._at))
        except (OSError, ArchiveError) as error:
            self.failure = error
            raise
        self._at += len(piece)
        self.gave += len(piece)
        return piece


def unpacked(packed: Packed, file: Seekable, size: int, memory: Memory) -> Iterator[bytes]:
    """The first ``size`` bytes of what a folder holds; decoders take of ``memory``.

    Raises:
        ArchiveError: they cannot be decoded.
        OSError: the medium cannot be read.
    """
    if packed.start + sum(packed.stored) > file.size or len(packed.stored) != len(packed.places):
        raise ArchiveError("is cut: its content ends too early")
    last = packed.coders[packed.last]
    if last.method != _BCJ2 or last.ins != 4:
        return _chain(packed, file, _steps(packed, packed.last), size, memory)
    first = packed.input_of(packed.last)
    main, calls, jumps, bits = (
        Stream(_input(packed, file, number, memory).__next__) for number in range(first, first + 4)
    )
    return bcj2.joined(main, calls, jumps, bits, size)


def _input(packed: Packed, file: Seekable, number: int, memory: Memory) -> Iterator[bytes]:
    """What an input stream takes; empty pieces for ever at its end."""
    if number in packed.places:
        source = file.stream(*packed.lies(number))
        yield from iter(lambda: bytes(source.take(PIECE)), b"")
    else:
        step = packed.bonds[number]
        yield from _chain(packed, file, _steps(packed, step), packed.sizes[step], memory)
    yield from repeat(b"")


def _steps(packed: Packed, last: int) -> list[int]:
    """The steps that end with this one, that first which takes what is in the file.

    Raises:
        ArchiveError: they are not one after another.
    """
    steps = [last]
    while True:
        coder = packed.coders[steps[0]]
        if coder.method in _NAMES or coder.ins != 1:
            name = _NAMES.get(coder.method, coder.method.hex())
            raise ArchiveError(f"is compressed by a method that is not known here ({name})")
        number = packed.input_of(steps[0])
        if number not in packed.bonds:
            return steps
        steps.insert(0, packed.bonds[number])
        if len(steps) > len(packed.coders):
            raise ArchiveError("is damaged: its header has impossible coders")


def _chain(packed: Packed, file: Seekable, steps: list[int], size: int, memory: Memory) -> Iterator[bytes]:
    with memory.taking(sum(_dictionary(packed.coders[step]) for step in steps)):
        yield from _decoded(packed, file, steps, size, memory)


def _decoded(packed: Packed, file: Seekable, steps: list[int], size: int, memory: Memory) -> Iterator[bytes]:
    start, stored = packed.lies(packed.input_of(steps[0]))
    if [packed.coders[step].method for step in steps] == [_ZSTD]:
        yield from filter(None, zstd_pieces(file.stream(start, stored), memory))  # the library knows one frame only
        return
    methods = {packed.coders[step].method for step in steps}
    if methods & _IA64 and _LZMA2 not in methods:
        raise ArchiveError("is compressed by a method that is not known here (IA64)")  # the last bytes would be missing
    if any(packed.coders[step].method in _INPUT for step in steps[1:]):
        raise ArchiveError("is compressed twice over, which only bombs are")  # what the first makes is no few bytes
    source = _Input(file, start, stored)
    decoder = _decoder(packed, steps, stored)
    idle = 0
    while size:
        limit, before = min(size, PIECE), source.gave
        piece = _guarded(source, partial(_some, decoder, source, limit))
        idle = 0 if piece or source.gave > before else idle + 1
        if idle > _MOST_IDLE:
            raise ArchiveError("is damaged: its content ends too early")
        # Decoders that give all they were asked for have more; filters hold a few bytes back.
        source.wanted = len(piece) < limit // 2
        size -= len(piece)
        if piece:
            yield piece


def _some(decoder: Any, source: _Input, limit: int) -> bytes:
    return bytes(decoder.decompress(source, limit))


def _dictionary(coder: Coder) -> int:
    """Bytes that a step takes for its dictionary.

    Raises:
        ArchiveError: they are more than any step gets.
    """
    properties, needed = coder.properties, 0
    if coder.method == _LZMA and len(properties) == 5:
        needed = int(struct.unpack_from("<L", properties, 1)[0])
    elif coder.method == _LZMA2 and len(properties) == 1:
        needed = (2 | properties[0] & 1) << (properties[0] // 2 + 11)
    elif coder.method in (_LZMA, _LZMA2):
        raise ArchiveError("is damaged: a method of compression has impossible properties")
    if needed > _MEMORY_LIMIT:
        raise ArchiveError(f"needs more memory to be decoded than is given to it ({needed:,} bytes)")
    return needed


def _decoder(packed: Packed, steps: list[int], stored: int) -> Any:
    """The library's chain of decoders.

    Raises:
        ArchiveError: it has none like this.
    """
    from py7zr.compressor import SevenZipDecompressor

    coders = [packed.coders[step] for step in steps]
    described = [
        {
            "method": coder.method or b"\0",
            "properties": coder.properties or None,
            "numinstreams": 1,
            "numoutstreams": 1,
        }
        for coder in coders
    ]
    at_a_time = min(_INPUT.get(coder.method, _INPUT_OTHERWISE) for coder in coders)
    sizes = [packed.sizes[step] for step in steps]
    try:
        return SevenZipDecompressor(described, stored, sizes, None, None, at_a_time)
    except MemoryError:
        raise ArchiveError("needs more memory to be decoded than is given to it") from None
    except Exception:
        names = ", ".join(coder.method.hex() for coder in coders)
        raise ArchiveError(f"is compressed by a method that is not known here ({names})") from None


def _guarded(source: _Input, function: Any) -> Any:
    """What the library returns, which raises errors of any kind where data are damaged."""
    try:
        return function()
    except MemoryError:
        raise ArchiveError("needs more memory to be decoded than is given to it") from None
    except Exception as error:
        if source.failure is not None:
            raise source.failure from None
        raise ArchiveError(f"is damaged: {' '.join(str(error).split()) or type(error).__name__}") from None
