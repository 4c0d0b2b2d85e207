"""Formats: which options of a job make which archives.

The bytes of each format are made in `tar` and `zip` by pure functions: sizes and bytes in, bytes out, no file in sight.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..codecs import CODECS, MIB

BLOCK = 512


@dataclass(frozen=True, slots=True)
class ArchiveFormat:
    """One kind of archive, as the options of a source name it.

    Attributes:
        option: what a job file says: ``zip``, ``gz``, ``bz2``, ``zst`` or ``xz``.
        suffix: how the archive's name ends, without the first dot.
        frame_size: bytes of content at which a batch of small files becomes a frame.
        large_size: a file with more bytes than this is compressed in several frames.
        level: how hard the codec tries.
    """

    option: str
    suffix: str
    frame_size: int
    large_size: int
    level: int

    @property
    def is_zip(self) -> bool:
        """Whether the archive is a zip, and not a compressed tar."""
        return self.option == "zip"


def archive_format(option: str, level: int | None, smallest_capacity: int) -> ArchiveFormat:
    """The format for an option of a source.

    Args:
        option: ``zip``, ``gz``, ``bz2``, ``zst`` or ``xz``.
        level: the job's level, or None for the format's own.
        smallest_capacity: bytes of the smallest volume; a frame never exceeds a 128th of it, or 64 KiB if that is
            more, or a quarter, so that a medium is filled well and every batch fits on an empty one.
    """
    codec = CODECS["gz" if option == "zip" else option]
    # In whole tar blocks: a frame of a tar holds nothing else.
    ceiling = min(max(smallest_capacity // 128, 64 * 1024), smallest_capacity // 4) // BLOCK * BLOCK
    frame_size = min(codec.frame_size, ceiling)
    # A zip member up to 4 MiB is compressed in one piece, which libdeflate does faster and smaller than chunks.
    large_size = min(4 * MIB, ceiling) if option == "zip" else frame_size
    suffix = "zip" if option == "zip" else f"tar.{option}"
    return ArchiveFormat(option, suffix, frame_size, large_size, codec.default_level if level is None else level)
