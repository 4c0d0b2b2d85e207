"""Codecs: compress one frame of a tar stream so that it can be decoded alone.

A frame becomes one gzip member, bz2 stream, zstd frame or xz stream; put one after another they are one valid file for
every ordinary tool (RFC 1952 2.2, the bzip2 and xz manuals, RFC 8878 3.1). Frame sizes are the smallest at which the
archive is no larger than that of the tool that compresses the whole stream (benchmarks/README.md has the figures):
a bz2 frame is exactly one block of 900 kB, a zstd frame one window of level 2 or 3.
"""

from __future__ import annotations

import bz2
import lzma
import threading
from collections.abc import Callable
from dataclasses import dataclass

import deflate
import zstandard

from .digests import Buffer

MIB = 1024 * 1024
SAMPLE = 4096
# Content that keeps more than this of its size is stored.
_WORTH_IT = 0.985


@dataclass(frozen=True, slots=True)
class Codec:
    """How the frames of one kind of archive are compressed.

    ``frame_size`` is in bytes of tar stream, a multiple of 512; ``levels`` the range that the library knows.
    """

    name: str
    frame_size: int
    default_level: int
    levels: range
    compress: Callable[[Buffer, int], bytes | bytearray]


def is_incompressible(data: Buffer) -> bool:
    """Whether ``data`` does not shrink: photos, films, zipped documents.

    Three samples of 4 KiB are compressed first, some 60 microseconds, where a frame costs 10 milliseconds. What they
    cannot tell of, repeats far apart and texts between photos, zstd finds in the whole: it runs through what does not
    shrink in 0.2 milliseconds. Content under 64 KiB is not worth the question and counts as compressible.
    """
    if len(data) < 64 * 1024:
        return False
    view = memoryview(data)
    middle, last = len(data) // 2, len(data) - SAMPLE
    samples = b"".join((view[SAMPLE : 2 * SAMPLE], view[middle : middle + SAMPLE], view[last:]))
    if len(deflate.deflate_compress(samples, 1)) <= len(samples) * _WORTH_IT:
        return False
    return len(_zstandard(view, 1)) > len(view) * _WORTH_IT


def _gzip(data: Buffer, level: int) -> bytes | bytearray:
    return deflate.gzip_compress(data, 0 if is_incompressible(data) else level)


_zstd = threading.local()


def _zstandard(data: Buffer, level: int) -> bytes:
    # A compressor owns megabytes of tables: made once for each worker and level, not once for each frame.
    if getattr(_zstd, "level", None) != level:
        _zstd.compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
        _zstd.level = level
    frame: bytes = _zstd.compressor.compress(data)
    return frame


CODECS = {
    codec.name: codec
    for codec in (
        Codec("gz", MIB, 5, range(1, 13), _gzip),
        # One bzip2 block holds 900,000 - 19 bytes; 1757 tar blocks are the most that fit.
        Codec("bz2", 1757 * 512, 9, range(1, 10), bz2.compress),
        # Level 2 of frames is 0.7 % larger than `zstd -3` of the whole stream, and takes two thirds of its CPU time.
        Codec("zst", 2 * MIB, 2, range(1, 20), _zstandard),
        Codec("xz", 8 * MIB, 6, range(10), lambda data, level: lzma.compress(data, preset=level)),
    )
}
