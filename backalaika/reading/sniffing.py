"""Sniffing: whether a file is an archive, and of which kind, by its first bytes; its name only says what to expect."""

from __future__ import annotations

import re

from ..errors import ArchiveError
from .image import HEAD as IMAGE_HEAD
from .image import looks_like_image
from .sevenzip import MAGIC as SEVENZIP_MAGIC
from .streams import Budget, Stream, decoded
from .tar import BLOCK, looks_like_tar
from .unpacking import is_there as reads_sevenzip

ZIP, IMAGE, SEVENZIP = "zip", "iso", "7z"
STREAMS = ("gz", "bz2", "xz", "zst")
"""Kinds of a file that is only compressed, and holds one member."""

# What a compressed stream must give to show a tar header: a whole block of bzip2.
_TAR_HEAD = 1024 * 1024
_FIRST = 512
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"PK00PK\x03\x04")

# Of gzip, bzip2, xz and zstd, and of frames of zstd to be skipped. Most files are none of these.
_FIRST_OF_CODECS = frozenset([b"\x1f", b"B", b"\xfd", b"\x28", *(bytes([first]) for first in range(0x50, 0x60))])

# Programs for Windows and Unix and packed extensions of browsers: a zip may stand behind.
MAYBE_IN_FRONT = (b"MZ", b"#!", b"Cr24")
_SUFFIXES = {
    b".zip": ZIP,
    b".zipx": ZIP,
    b".iso": IMAGE,
    b".7z": SEVENZIP,
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
_ALL_SUFFIXES = tuple(_SUFFIXES)
_STREAM_SUFFIXES = {b".gz": "gz", b".bz2": "bz2", b".xz": "xz", b".zst": "zst"}


# Archives that are told, but not entered.
_FOREIGN = {
    SEVENZIP: rb"7z\xbc\xaf\x27\x1c",
    "rar": rb"Rar!\x1a\x07",
    "cab": rb"MSCF\0\0\0\0",
    "lha": rb"..-l[hz][0-9ds]-",
    "lzip": rb"LZIP[\0\1]",
    "lz4": rb"\x04\x22\x4d\x18|[P-_]\x2a\x4d\x18",
    "compress (.Z)": rb"\x1f\x9d[\x89-\x90]",
    "cpio": rb"07070[127]",
    "rpm": rb"\xed\xab\xee\xdb",
    "xar": rb"xar!\0",
    "squashfs": rb"hsqs|sqsh",
    "ar": rb"!<arch>\n",
    "arj": rb"\x60\xea..\x1e",
    "lzma": rb"\x5d\0\0[\0-\x80]\0|\x5d\0\0\0[\x01-\x04]",
}


# Of one that is damaged, only the name may still tell.
_FOREIGN_SUFFIXES = {
    b".rar": "rar",
    b".cab": "cab",
    b".lha": "lha",
    b".lzh": "lha",
    b".lz": "lzip",
    b".tlz": "lzip",
    b".lz4": "lz4",
    b".cpio": "cpio",
    b".rpm": "rpm",
    b".xar": "xar",
    b".squashfs": "squashfs",
    b".arj": "arj",
    b".lzma": "lzma",
    b".z": "compress (.Z)",
}

_ANY_FOREIGN = re.compile(b"|".join(b"(%b)" % magic for magic in _FOREIGN.values()), re.DOTALL)


def foreign_kind(stream: Stream) -> str | None:
    """What the stream is, if it is an archive of a kind that is not entered."""
    match = _ANY_FOREIGN.match(stream.peek(16))
    return None if match is None else list(_FOREIGN)[(match.lastindex or 1) - 1]


def foreign_by_name(path: bytes) -> str | None:
    """What the file is by its name, if that promises an archive of a kind that is not entered."""
    _, dot, suffix = path.rpartition(b".")
    return _FOREIGN_SUFFIXES.get((dot + suffix).lower())


def kind_by_name(path: bytes) -> str | None:
    """``zip``, ``iso``, ``7z``, ``tar``, ``tar.gz``, ``tar.bz2``, ``tar.zst`` or ``tar.xz`` by its name; else None.

    Not for what is only compressed: its one member says nothing that the file's own name does not.
    """
    name = path.lower()
    if name.endswith(_ALL_SUFFIXES):
        for suffix, kind in _SUFFIXES.items():
            if name.endswith(suffix):
                return kind
    return None


def promised_kind(path: bytes) -> str | None:
    """As `kind_by_name`, and one of `STREAMS`."""
    name = path.lower()
    return kind_by_name(path) or next((kind for end, kind in _STREAM_SUFFIXES.items() if name.endswith(end)), None)


def name_without_suffix(path: bytes) -> bytes:
    """Of the one member of a compressed file: the file's own, less ``.gz`` and the like, as `gunzip` names it."""
    name = path[path.rfind(b"/") + 1 :]
    stem, dot, suffix = name.rpartition(b".")
    return stem if stem and dot + suffix.lower() in _STREAM_SUFFIXES else name


def codec_of(kind: str) -> str:
    """How it is compressed; empty if it is not, or member by member."""
    return kind if kind in STREAMS else kind.partition(".")[2]


def kind_by_content(stream: Stream, path: bytes) -> str | None:
    """The kind of archive that a stream is, which stays where it was; None if it is none.

    Args:
        stream: at its beginning.
        path: whose name decides where content does not: an empty tar is zeros, a cut tar.gz has no header left.
    """
    head = stream.peek(_FIRST)
    if head.startswith(_ZIP_MAGIC):
        return ZIP
    if head.startswith(SEVENZIP_MAGIC) and reads_sevenzip():
        return SEVENZIP
    codec = _codec(head, path) if head[:1] in _FIRST_OF_CODECS else None
    if codec is not None:
        named = kind_by_name(path)
        is_tar = (named or "").startswith("tar") or _holds_tar(codec, stream.peek(_TAR_HEAD))
        return f"tar.{codec}" if is_tar else codec
    named_tar = kind_by_name(path) == "tar"
    if looks_like_tar(head, named_tar) or (named_tar and len(head) == BLOCK and not head.strip(b"\0")):
        return "tar"
    if len(head) == _FIRST and looks_like_image(stream.peek(IMAGE_HEAD)):
        return IMAGE
    return None


def _codec(head: bytes, path: bytes) -> str | None:
    """How it is compressed; more than the few bytes of a magic, where there are more that are always the same."""
    if head.startswith(b"\x1f\x8b"):
        # RFC 1952 2.3.1: one method, and three flags that are none.
        is_one = len(head) > 3 and head[2] == 8 and not head[3] & 0xE0
        return "gz" if is_one or promised_kind(path) else None
    if re.match(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", head) or (head[:3] == b"BZh" and promised_kind(path)):
        return "bz2"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    return "zst" if _after_skipped(head).startswith(b"\x28\xb5\x2f\xfd") else None


def _after_skipped(head: bytes) -> bytes:
    """What follows frames that are to be skipped (RFC 8878 3.1.2), which may be of lz4 too; pzstd begins with one."""
    while re.match(rb"[P-_]\x2a\x4d\x18", head) and len(head) >= 8:
        head = head[8 + int.from_bytes(head[4:8], "little") :]
    return head


def _holds_tar(codec: str, head: bytes) -> bool:
    pieces = iter((head,))
    stream = decoded(codec, Stream(lambda: next(pieces, b"")), Budget(0, 1, 1))
    try:
        return looks_like_tar(stream.peek(BLOCK))
    except ArchiveError:
        return False
