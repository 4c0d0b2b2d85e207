"""Plain: members that need no reader of all tars: files whose headers are as `formats.tar` writes nearly all.

Such a header is a pax header that tells the time alone, or none, and an ustar header with all the rest. It is compared
with what it must be and not parsed, which takes a tenth of the time: of 20,000 small files, a third of all.
"""

from __future__ import annotations

from functools import lru_cache

from ..errors import ArchiveError
from ..formats import BLOCK
from ..formats.tar import TIME_HEADER
from ..reading.tar import has_checksum, octal
from .items import Item

Owner = tuple[int, int, int, bytes, bytes]


def plain_member(data: memoryview, item: Item) -> tuple[Owner, memoryview] | None:
    """Mode, owner and content of the file that begins here, if all of it is here and its header is a plain one.

    Args:
        data: some of the decoded archive, from where the member is said to begin.
        item: a file.

    Returns:
        Mode, uid, gid, user, group; and the content. None: look at it in full, for it may be something else, or
        damaged.
    """
    head, at = bytes(data[: 3 * BLOCK]), 0
    if head.startswith(TIME_HEADER):
        at = 2 * BLOCK
        if head[BLOCK : BLOCK + 9] != b"30 mtime=" or head[BLOCK + 29 : BLOCK + 31] != b"\n\0":
            return None
    block = head[at : at + BLOCK]
    content = data[at + BLOCK : at + BLOCK + item.size]
    if len(content) != item.size or len(item.path) > 100 or block[:100] != item.path.ljust(100, b"\0"):
        return None
    if block[156:157] != b"0" or block[257:265] != b"ustar\x0000" or block[345]:
        return None
    if block[124:136] != b"%011o\0" % item.size:
        return None
    try:
        if not has_checksum(block, octal(block[148:156])):
            return None
        return _owner(block[100:124], block[265:329]), content
    except ArchiveError:
        return None


@lru_cache(maxsize=256)
def _owner(numbers: bytes, names: bytes) -> Owner:
    """From the fields of the header."""
    mode, uid, gid = (octal(numbers[at : at + 8]) for at in (0, 8, 16))
    user, group = (names[at : at + 32].split(b"\0", 1)[0] for at in (0, 32))
    return mode & 0o7777, uid, gid, user, group
