"""Image: an image of a disc, whatever is on it: which of its trees to read, in which order, and its files' content.

A disc may have the same files in several trees. Rock Ridge's is taken first, for it has links and the names of Unix;
then UDF's, which has long names and large files; then Joliet's, and ISO 9660's own.

zisofs (the header that Linux documents in fs/isofs) packs files in blocks that are decoded alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from ..errors import ArchiveError
from . import iso9660, udf
from .iso9660 import SECTOR, ImageMember, Warn
from .seekable import Seekable, of_extents
from .streams import guarded

# Of a stream, to know it for an image.
HEAD = 16 * SECTOR + 6
# So many files are put into the order of the disc at a time: 300 bytes of memory each.
_WINDOW = 50_000
_ZISOFS = b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07"

T = TypeVar("T")


def looks_like_image(head: bytes) -> bool:
    """Whether these first `HEAD` bytes are those of an image."""
    return head[16 * SECTOR + 1 : HEAD] in (b"CD001", b"BEA01", b"NSR02", b"NSR03")


def members(image: Seekable, encoding: str | None, warn: Warn) -> Iterator[ImageMember]:
    """The members of an image, folder by folder; as `members_and_pauses`, without the pauses."""
    return (found for found in members_and_pauses(image, encoding, warn) if found is not None)


def members_and_pauses(image: Seekable, encoding: str | None, warn: Warn) -> Iterator[ImageMember | None]:
    """The members of an image, folder by folder, and None where one ends: what follows must be read first.

    Args:
        image: the bytes.
        encoding: of names that have none; None leaves them as they are.
        warn: is told of a file or folder, by its path, that cannot be read as it should be.

    Raises:
        ArchiveError: it is none, or cannot be read any further.
    """
    has_iso = image.all_at(16 * SECTOR + 1, 5) == b"CD001"
    if has_iso and iso9660.has_rock_ridge(image):
        return iso9660.members(image, encoding, warn)
    names = [image.all_at(number * SECTOR + 1, 5) for number in range(16, 80)]
    if b"NSR02" in names or b"NSR03" in names:
        try:
            return udf.members(image, warn)
        except ArchiveError as error:
            if not has_iso:
                raise
            warn(b"", f"{error}; the tree of ISO 9660 is listed instead")
    elif not has_iso:
        raise ArchiveError("is no image of a disc")
    return iso9660.members(image, encoding, warn)


def in_disc_order(found: Iterable[T], place: Callable[[T], int]) -> Iterator[T]:
    """Some thousands at a time, sorted by where they lie: a drive that goes back and forth takes minutes."""
    source = iter(found)
    while window := sorted(islice(source, _WINDOW), key=place):
        yield from window


def first_place(found: ImageMember) -> int:
    """Where in the image its content begins; what has none comes first."""
    return found.extents[0][0] if found.extents else -1


def content(image: Seekable, found: ImageMember) -> Seekable:
    """The content of a file in an image.

    Raises:
        ArchiveError: it cannot be had; from its methods too.
    """
    if found.extents is None:
        raise ArchiveError("is interleaved with other files, which is not read here")
    stored = of_extents(image, found.extents)
    return _unpacked(stored, found.member.size) if found.packed else stored


def _unpacked(stored: Seekable, size: int) -> Seekable:
    """Content that zisofs has packed."""
    head = stored.all_at(0, 16)
    if len(head) < 16 or head[:8] != _ZISOFS or int.from_bytes(head[8:12], "little") != size:
        raise ArchiveError("is damaged: the header of its packed content is wrong")
    first, shift = head[12] * 4, head[13]
    if not 15 <= shift <= 17:
        raise ArchiveError("is damaged: the header of its packed content is wrong")
    block_size = 1 << shift
    kept: tuple[int, bytes] = (-1, b"")

    def block(number: int) -> bytes:
        pointers = stored.all_at(first + 4 * number, 8)
        start, end = int.from_bytes(pointers[:4], "little"), int.from_bytes(pointers[4:], "little")
        wanted = min(block_size, size - number * block_size)
        if start == end:
            return bytes(wanted)
        if len(pointers) < 8 or not start < end <= start + 2 * block_size:
            raise ArchiveError("is damaged: its packed content is not where it must be")
        data = guarded(zlib.decompressobj().decompress, stored.all_at(start, end - start), wanted)
        if len(data) != wanted:
            raise ArchiveError("is damaged: its packed content is too short")
        return data

    def at(offset: int, count: int) -> bytes:
        nonlocal kept
        number, inside = divmod(offset, block_size)
        if not 0 <= offset < size:
            return b""
        if kept[0] != number:
            kept = number, block(number)
        return kept[1][inside : inside + count]

    return Seekable(at, size)
