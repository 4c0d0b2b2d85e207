"""Cutting: a file that fits on no volume whole is saved as parts, ``NAME.part001`` and so on.

Each part is a member of its own that any tool extracts, and ``cat`` joins them. Whether a file must be cut, and where,
is known only once it is compressed. So the pieces of a file that might have to be are compressed apart, none referring
to another, and any of them can begin a part. The header, which has the part's name and size, is written last: its place
is kept at the beginning of the part, and what follows is shifted where its compressed size turns out another.

A part's digest is taken when its pieces are placed, that of the whole when it is read: the content is hashed twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import deflate

from ..codecs import CODECS
from ..digests import Hasher
from ..formats import ArchiveFormat
from ..formats.zip import DEFLATED, ZipMember, local_header
from ..walk import Entry
from .framing import tar_header

# What ends a deflate stream whose other blocks were none of them the last: an empty stored block, RFC 1951 3.2.4.
END_OF_DEFLATE = b"\x01\x00\x00\xff\xff"
# Bytes by which a tar header may be larger, compressed, than one of another size: the digits of size and checksum.
_HEADER_MARGIN = 128
# Parts whose names sort as their numbers do.
_MOST_IN_ORDER = 999


def part_name(name: str, number: int) -> str:
    """The name of a part of a file, from 1."""
    return f"{name}.part{number:03d}"


def trouble_with_names(path: str, parts: int) -> str:
    """What is to be said of the names of a file's parts; empty if ``cat NAME.part*`` joins them and nothing else.

    Args:
        path: of the file on disk.
        parts: how many there are.
    """
    taken = next((name for n in range(1, parts + 1) if os.path.lexists(name := part_name(path, n))), None)
    if taken is not None:
        return f"was cut into parts, and one has the name of another file, {taken}; unpack that one elsewhere"
    if parts > _MOST_IN_ORDER:
        return f"was cut into {parts:,} parts; a shell sorts them wrong beyond {_MOST_IN_ORDER}, join them by number"
    return ""


class Cut:
    """How far the cutting of a file has come.

    Args:
        new_hasher: makes a hasher for the digest of a part.
        fill: whether it is cut to fill a volume, though another might hold it whole.
        parts: how many were saved by a run that ended early.
        offset: where those end in the file.

    Attributes:
        length: bytes of content in the part that is being written.
        head: what stands in place of the part's header.
        raw_head: bytes of the header before compression.
    """

    def __init__(self, new_hasher: Callable[[], Hasher], fill: bool, parts: int = 0, offset: int = 0) -> None:
        self._new_hasher = new_hasher
        self.fill = fill
        self.parts = parts
        self.offset = offset
        self.head = b""
        self.raw_head = 0
        self._begin()

    def _begin(self) -> None:
        self.length = 0
        self.crc32 = 0
        self.hasher = self._new_hasher()

    def take(self, content: bytes | memoryview) -> None:
        """These bytes belong to the part."""
        self.hasher.update(content)
        self.crc32 = deflate.crc32(content, self.crc32)
        self.length += len(content)

    def next(self) -> None:
        """The part is complete; another one begins."""
        self.parts += 1
        self.offset += self.length
        self._begin()


def margin(header: ZipMember | None) -> int:
    """Bytes that the end of a part may need beyond its pieces and what stands in place of its header."""
    if header is None:
        return _HEADER_MARGIN
    return len(END_OF_DEFLATE) if header.method == DEFLATED else 0


def head_of(archive_format: ArchiveFormat, path: str, entry: Entry, header: ZipMember | None) -> tuple[bytes, int]:
    """What begins a part in the archive, and its bytes before compression."""
    if header is not None:
        head = local_header(header)
        return head, len(head)
    raw = tar_header(os.fsencode(path), entry)
    return bytes(CODECS[archive_format.option].compress(raw, archive_format.level)), len(raw)
