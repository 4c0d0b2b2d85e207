"""Streams: bytes in order, from a file or out of a compressed stream, in bounded memory.

A decoder is asked for a piece of output at a time, whatever a piece of input would grow to. What follows the end of a
compressed stream is another stream of its kind, or zeros, or garbage, which is an error after all that was good.
zstd is cut into its blocks here (RFC 8878 3.1.1), because its library tells neither a cut stream from a whole one nor
how much comes out of the next bytes; a block gives 128 KiB at most.

`rapidgzip` decodes one gz or bz2 on several cores. Whatever it cannot read is read again from the beginning by the
plain decoder, which says what is wrong and where.
"""

from __future__ import annotations

import bz2
import importlib.util
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from io import RawIOBase
from typing import Any

import zstandard
from zlib_ng import zlib_ng

from ..errors import ArchiveError
from .memory import MIB, Memory

PIECE = 256 * 1024
# A window or dictionary above this needs an option of the ordinary tools as well (`zstd --long`).
DICTIONARY_LIMIT = 128 * MIB
# What a decoder of xz takes besides its dictionary, and one of zstd besides its window.
_BESIDE = MIB
# Below, a bomb hurts nobody.
_HARMLESS = 256 * 1024 * 1024
# Smaller files are decoded sooner than threads start.
_WORTH_THREADS = 2 * 1024 * 1024

# Two threads that guess where deflate blocks begin are no faster than zlib-ng alone. One thread of the other is: it
# takes 2.9 s of processor time for what takes libbz2 3.7 s.
_FEWEST_THREADS = {"bz2": 1, "gz": 4}

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MAX_ZSTD_BLOCK = 128 * 1024
_MAX_SKIPPABLE = 16
# Of a stream of xz, what tells of its first block: at most 12 and 1,024 bytes.
_XZ_HEAD = 12 + 1024
_LZMA2 = 0x21


class BombError(ArchiveError):
    """A file grows beyond its limits: nothing more of it is read."""


class TrailingDataError(ArchiveError):
    """A compressed stream ended well, and something else follows it."""


class Budget:
    """What one file on the medium may grow to, with all that is in it.

    Args:
        size: bytes of the file.
        max_ratio: how many times that may be decoded; 256 MiB always may.
        max_members: how many members it may have.
        memory: what its decoders may take.
    """

    def __init__(self, size: int, max_ratio: int, max_members: int, memory: Memory | None = None) -> None:
        self.memory = memory or Memory()
        self._max_bytes = max(_HARMLESS, size * max_ratio)
        self._max_ratio = max_ratio
        self._members = self._max_members = max_members
        self._left = self._max_bytes

    def spend(self, size: int) -> None:
        """Count decoded bytes.

        Raises:
            BombError: there are too many.
        """
        self._left -= size
        if self._left < 0:
            raise BombError(
                f"grows to more than {self._max_ratio:,} times its size, as a bomb does; raise max_ratio to insist"
            )

    def count_member(self) -> None:
        """Count a member.

        Raises:
            BombError: there are too many.
        """
        self._members -= 1
        if self._members < 0:
            raise BombError(f"has more than {self._max_members:,} members; raise max_members to insist")


class Stream:
    """Bytes in order. ``fetch`` gives the next piece, empty at the end; it may raise `ArchiveError` or `OSError`."""

    def __init__(self, fetch: Callable[[], bytes]) -> None:
        self._fetch = fetch
        self._data = b""
        self._at = 0
        self.position = 0

    def take(self, limit: int) -> memoryview:
        """Up to ``limit`` bytes, as many as are at hand without copying; empty at the end only."""
        if self._at >= len(self._data):
            self._data, self._at = self._fetch(), 0
        piece = memoryview(self._data)[self._at : self._at + limit]
        self._at += len(piece)
        self.position += len(piece)
        return piece

    def at_hand(self) -> memoryview:
        """What can be had next without copying; it stays. Empty at the end only."""
        if self._at >= len(self._data):
            self._data, self._at = self._fetch(), 0
        return memoryview(self._data)[self._at :]

    def give_back(self, size: int) -> None:
        """Take back the end of what `take` gave last."""
        assert size <= self._at
        self._at -= size
        self.position -= size

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, or all that are left, which stay."""
        while len(self._data) - self._at < size:
            more = self._fetch()
            if not more:
                break
            self._data, self._at = self._data[self._at :] + more, 0
        return self._data[self._at : self._at + size]

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, or all that are left."""
        piece = self.take(size)
        if len(piece) == size or not piece:
            return bytes(piece)
        pieces = [bytes(piece)]
        missing = size - len(piece)
        while missing and (piece := self.take(missing)):
            pieces.append(bytes(piece))
            missing -= len(piece)
        return b"".join(pieces)

    def skip(self, size: int) -> int:
        """Leave out ``size`` bytes, or all that are left; returns how many."""
        left = size
        while left and (piece := self.take(min(left, PIECE))):
            left -= len(piece)
        return size - left


class _Deflated:
    """zlib's decompressor with the manners of bz2's and lzma's: it keeps the input it has not come to."""

    def __init__(self, wbits: int) -> None:
        self._decoder = zlib_ng.decompressobj(wbits=wbits)

    def decompress(self, data: Any, limit: int, /) -> bytes:
        tail = self._decoder.unconsumed_tail
        if tail and data:
            data = tail + bytes(data)
        out: bytes = self._decoder.decompress(data or tail, limit)
        return out

    @property
    def eof(self) -> bool:
        ended: bool = self._decoder.eof
        return ended

    @property
    def unused_data(self) -> bytes:
        unused: bytes = self._decoder.unused_data
        return unused

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail


_MAKERS: dict[str, Callable[[], Any]] = {
    "gz": lambda: _Deflated(31),
    "deflate": lambda: _Deflated(-15),
    "bz2": bz2.BZ2Decompressor,
}
MAGIC = {"gz": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\x00", "zst": _ZSTD_MAGIC}
_DECODER_ERRORS: Any = (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    zlib_ng.error,
    lzma.LZMAError,
    zstandard.ZstdError,
)


def decoded(codec: str, source: Stream, budget: Budget) -> Stream:
    """What is in a compressed stream: ``gz``, ``bz2``, ``zst`` or ``xz``, and ``deflate``, which is one stream only.

    Raises:
        ArchiveError: from its methods: it is damaged, cut, or grows too much.
    """
    pieces = zstd_pieces(source, budget.memory) if codec == "zst" else _pieces(codec, source, budget.memory)

    def fetch() -> bytes:
        for piece in pieces:
            if piece:
                budget.spend(len(piece))
                return piece
        return b""

    return Stream(fetch)


def _pieces(codec: str, source: Stream, memory: Memory) -> Iterator[bytes]:
    yield from next_stream(codec, source, memory)
    while codec != "deflate" and _another(source, MAGIC[codec]):
        yield from next_stream(codec, source, memory)


def next_stream(codec: str, source: Stream, memory: Memory) -> Iterator[bytes]:
    """What is in one compressed stream, ``gz``, ``bz2`` or ``xz``; raises as `xz_stream`."""
    return xz_stream(source, memory) if codec == "xz" else one_stream(_MAKERS[codec](), source)


def xz_stream(source: Stream, memory: Memory) -> Iterator[bytes]:
    """What is in one stream of xz.

    Raises:
        ArchiveError: it is damaged or cut, or needs more memory than there is.
    """
    size = _xz_dictionary(source.peek(_XZ_HEAD))
    if size > DICTIONARY_LIMIT:
        raise ArchiveError(f"needs more memory to be decoded than is given to it ({size:,} bytes)")
    with memory.taking(size + _BESIDE):
        # Later blocks may need no more than the first.
        yield from one_stream(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=size + _BESIDE), source)


def _xz_dictionary(head: bytes) -> int:
    """Bytes of the dictionary that the first block of a stream needs; 0 where there is none, or no sense in it.

    The format is that of https://tukaani.org/xz/xz-file-format.txt: 2.1.1 the stream's header, 3.1 the block's.
    """
    try:
        flags, at = head[13], 14
        for flag in (0x40, 0x80):  # sizes of the block, of 7 bits a byte
            while flags & flag and head[at] & 0x80:
                at += 1
            at += bool(flags & flag)
        for _ in range((flags & 3) + 1):
            number, size = head[at], head[at + 1]
            if number == _LZMA2 and size == 1:
                bits = head[at + 2]
                return (2 | bits & 1) << (bits // 2 + 11) if bits < 40 else 2**32 - 1
            at += 2 + size
    except IndexError:
        return 0
    return 0


def one_stream(decoder: Any, source: Stream) -> Iterator[bytes]:
    """What one decompressor gives until its stream ends; the source then stands after it.

    Raises:
        ArchiveError: it is damaged or cut.
    """
    while not decoder.eof:
        data: memoryview | bytes = b""
        if decoder.needs_input and not (data := source.take(PIECE)):
            # zlib may have taken all input and still hold a few bytes of output.
            last = guarded(decoder.decompress, b"", PIECE) if isinstance(decoder, _Deflated) else b""
            if last:
                yield last
            if last or decoder.eof:
                continue
            raise ArchiveError("is cut: its compressed data end too early")
        yield guarded(decoder.decompress, data, PIECE)
    source.give_back(len(decoder.unused_data))


def guarded(function: Callable[..., bytes], *arguments: Any) -> bytes:
    """What a decoder returns.

    Raises:
        ArchiveError: it raised one of the errors that damaged data cause.
    """
    try:
        return function(*arguments)
    except MemoryError:
        raise ArchiveError("needs more memory to be decoded than is given to it") from None
    except _DECODER_ERRORS as error:
        if "emory usage limit" in str(error):  # of lzma, which has no number for it
            raise ArchiveError("needs more memory to be decoded than its beginning says") from None
        raise ArchiveError(f"is damaged: {' '.join(str(error).split()) or type(error).__name__}") from None


def _another(source: Stream, magic: bytes) -> bool:
    """Whether another stream of this kind follows; padding with zeros is left out.

    Raises:
        TrailingDataError: something else follows.
    """
    while (piece := source.take(PIECE)) and not (rest := bytes(piece).lstrip(b"\0")):
        pass
    if not piece:
        return False
    source.give_back(len(rest))
    if source.peek(len(magic)) == magic:
        return True
    raise TrailingDataError("is followed by other data, which were not read")


def zstd_pieces(source: Stream, memory: Memory) -> Iterator[bytes]:
    """What is in zstd frames, one after another, a block at a time.

    Raises:
        ArchiveError: they are damaged or cut, or need more memory than there is.
    """
    first = True
    while first or source.peek(1):
        magic = source.read(4)
        if len(magic) == 4 and magic[1:] == b"\x2a\x4d\x18" and magic[0] >> 4 == 5:
            size = int.from_bytes(source.read(4), "little")
            if source.skip(size) != size:
                raise ArchiveError("is cut: its compressed data end too early")
        elif magic == _ZSTD_MAGIC:
            yield from _zstd_frame(source, memory)
        elif first:
            raise ArchiveError("is damaged: no zstd frame where one must be")
        elif not magic.strip(b"\0"):
            _another(source, _ZSTD_MAGIC)
        else:
            raise TrailingDataError("is followed by other data, which were not read")
        first = False


def _zstd_frame(source: Stream, memory: Memory) -> Iterator[bytes]:
    descriptor = _exactly(source, 1)
    flags = descriptor[0]
    single_segment = flags >> 5 & 1
    # Window descriptor, dictionary id and content size (RFC 8878 3.1.1.1).
    rest = (not single_segment) + (0, 1, 2, 4)[flags & 3] + ((single_segment, 2, 4, 8)[flags >> 6])
    header = descriptor + _exactly(source, rest)
    # A window that is larger than the limit is refused by the library.
    with memory.taking(min(_zstd_window(header), DICTIONARY_LIMIT) + _BESIDE):
        yield from _zstd_blocks(source, flags, header)


def _zstd_window(header: bytes) -> int:
    """How much of what was decoded the library keeps, by a frame's header without its magic (RFC 8878 3.1.1.1)."""
    flags = header[0]
    if not flags >> 5 & 1:
        base = 1 << (10 + (header[1] >> 3))
        return base + base // 8 * (header[1] & 7)
    size = int.from_bytes(header[1 + (0, 1, 2, 4)[flags & 3] :], "little")
    return size + 256 if flags >> 6 == 1 else size


def _zstd_blocks(source: Stream, flags: int, header: bytes) -> Iterator[bytes]:
    decoder = zstandard.ZstdDecompressor(max_window_size=DICTIONARY_LIMIT).decompressobj()
    yield guarded(decoder.decompress, _ZSTD_MAGIC + header)
    last = False
    while not last:
        header = _exactly(source, 3)
        number = int.from_bytes(header, "little")
        last, kind, size = bool(number & 1), number >> 1 & 3, number >> 3
        if size > _MAX_ZSTD_BLOCK:
            raise ArchiveError("is damaged: a zstd block is too large")
        block = _exactly(source, 1 if kind == 1 else size)
        checksum = _exactly(source, 4) if last and flags >> 2 & 1 else b""
        yield guarded(decoder.decompress, header + block + checksum)


def _exactly(source: Stream, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise ArchiveError("is cut: its compressed data end too early")
    return data


class ParallelStream(Stream):
    """What is in a gz or bz2 file, decoded by several threads; the plain decoder takes over where they fail.

    Args:
        source: path of the file, or an object that is read as one.
        size: bytes of it.
        codec: ``gz`` or ``bz2``.
        threads: how many.
        plain: opens it once more, from the beginning, for the plain decoder.
        budget: of the file.
        moved: told of bytes of the file that were read, for progress.

    Raises:
        ImportError: rapidgzip is not installed.
        OSError, RuntimeError, ValueError: it cannot begin.
    """

    def __init__(
        self,
        source: bytes | RawIOBase,
        size: int,
        codec: str,
        threads: int,
        plain: Callable[[], Stream],
        budget: Budget,
        moved: Callable[[int], None],
    ) -> None:
        import rapidgzip

        super().__init__(self._decode_on)
        opener = rapidgzip.RapidgzipFile if codec == "gz" else rapidgzip.IndexedBzip2File
        what = os.fsdecode(source) if isinstance(source, bytes) else source
        self._threads: Any = opener(what, parallelization=threads)
        self._size, self._budget, self._moved = size, budget, moved
        self._open_plain = plain
        self._plain: Stream | None = None
        self._decoded = self._told = 0

    def _decode_on(self) -> bytes:
        if self._plain is not None:
            return bytes(self._plain.take(PIECE))
        if self._threads is None:  # at its end
            return b""
        try:
            piece: bytes = self._threads.read(4 * PIECE)
            reached = self._threads.tell_compressed() // 8
        except (OSError, RuntimeError, ValueError, EOFError, MemoryError):
            piece, reached = b"", -1
        if piece:
            self._decoded += len(piece)
            self._budget.spend(len(piece))
            self._moved(max(0, reached - self._told))
            self._told = max(reached, self._told)
            return piece
        self.close()
        if reached == self._size:
            return b""
        # It says little about what is wrong, and nothing at all about a gz that is cut.
        self._plain = self._open_plain()
        self._plain.skip(self._decoded)
        return bytes(self._plain.take(PIECE))

    def close(self) -> None:
        """End its threads; the interpreter cannot end before that."""
        if self._threads is not None:
            self._threads.close()
            self._threads = None


def worth_threads(codec: str, size: int, threads: int) -> bool:
    """Whether `ParallelStream` would be sooner done than `decoded`."""
    if size < _WORTH_THREADS or threads < _FEWEST_THREADS.get(codec, threads + 1):
        return False
    return importlib.util.find_spec("rapidgzip") is not None
