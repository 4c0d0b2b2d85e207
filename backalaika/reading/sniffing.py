"""Sniffing: whether a file is an archive, and of which kind, by its first bytes; its name only says what to expect."""

from __future__ import annotations

from ..errors import ArchiveError
from .streams import MAGIC, Budget, Stream, decoded
from .tar import BLOCK, looks_like_tar

ZIP = "zip"
# What a compressed stream must give to show a tar header: a whole block of bzip2.
HEAD = 1024 * 1024
_FIRST = 512
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"PK00PK\x03\x04")

# Programs for Windows and Unix and packed extensions of browsers: a zip may stand behind.
MAYBE_IN_FRONT = (b"MZ", b"#!", b"Cr24")
_SUFFIXES = {
    b".zip": ZIP,
    b".tar": "tar",
    b".tar.gz": "tar.gz",
    b".tgz": "tar.gz",
    b".tar.bz2": "tar.bz2",
    b".tbz2": "tar.bz2",
    b".tbz": "tar.bz2",
    b".tar.zst": "tar.zst",
    b".tzst": "tar.zst",
    b".tar.xz": "tar.xz",
    b".txz": "tar.xz",
}


def kind_by_name(path: bytes) -> str | None:
    """``zip``, ``tar``, ``tar.gz``, ``tar.bz2``, ``tar.zst`` or ``tar.xz``, as the name says; None for other names."""
    name = path.lower()
    for suffix, kind in _SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    return None


def kind_by_content(stream: Stream, path: bytes) -> str | None:
    """The kind of archive that a stream is, which stays where it was; None if it is none.

    Args:
        stream: at its beginning.
        path: whose name decides where content does not: an empty tar is zeros, a cut tar.gz has no header left.
    """
    head = stream.peek(_FIRST)
    if head.startswith(_ZIP_MAGIC):
        return ZIP
    named = kind_by_name(path)
    for codec, magic in MAGIC.items():
        if head.startswith(magic) or (
            codec == "zst" and head[1:4] == b"\x2a\x4d\x18" and head[:1] in b"PQRSTUVWXYZ[\\]^_"
        ):
            kind = f"tar.{codec}"
            return kind if named not in (None, ZIP) or _holds_tar(codec, stream.peek(HEAD)) else None
    if looks_like_tar(head) or (named == "tar" and len(head) == BLOCK and not head.strip(b"\0")):
        return "tar"
    return None


def _holds_tar(codec: str, head: bytes) -> bool:
    pieces = iter((head,))
    stream = decoded(codec, Stream(lambda: next(pieces, b"")), Budget(0, 1, 1))
    try:
        return looks_like_tar(stream.peek(BLOCK))
    except ArchiveError:
        return False
