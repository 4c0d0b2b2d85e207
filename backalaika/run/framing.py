"""Framing: the members of one frame, put together in a process of the pool, and what is told of each.

What is told is made here once, in the shape in which it is used: lines of the manifest, entries of a zip's central
directory, rows of the catalogue. The process that decides passes it on as it is, for what it does for each file is what
all processors wait for.
"""

from __future__ import annotations

import marshal
import os
import sys
from abc import ABC, abstractmethod
from functools import lru_cache
from json.encoder import encode_basestring_ascii

import deflate

from ..batch import Key
from ..catalogue.rows import KIND_NUMBERS, MemberRow, storable_inode, storable_number
from ..codecs import CODECS, is_incompressible
from ..digests import digest_function
from ..formats import tar as tar_format
from ..formats import zip as zip_format
from ..formats.zip import ZipMember
from ..walk import DIRECTORY, FILE, HARD_LINK, Entry
from .messages import BatchTask

try:
    import grp
    import pwd
except ImportError:  # Windows has neither; tar then has the numbers alone
    grp = pwd = None  # type: ignore[assignment]

_TAR_KINDS = {
    FILE: tar_format.REGULAR,
    DIRECTORY: tar_format.DIRECTORY,
    HARD_LINK: tar_format.HARD_LINK,
}
# os.fsencode looks them up for each name.
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_INT64_MAX = 2**63 - 1
_INT64_MIN = -(2**63)


class Framing(ABC):
    """The members of one frame, as they are put together; the finished frame comes into a slot.

    Args:
        task: what is to be framed, and how.
        slot: where the frame is to lie.
        place: where files are read to; as large as a slot.

    Attributes:
        raw_size: bytes of the frame before compression, so far.
        count: members, folders and links too.
        files: members without folders.
        content: bytes of its files.
        linked: bytes of the files that its hard links point to.
        links: key and path in the archive of each file with several links.
        manifest: the members' lines for the manifest.
        central: zip only: their entries in the central directory.
    """

    def __init__(self, task: BatchTask, slot: memoryview, place: memoryview) -> None:
        self.raw_size = 0
        self.count = self.files = self.content = self.linked = 0
        self.links: list[tuple[Key, str]] = []
        self.manifest: list[str] = []
        self.central: list[bytes] = []
        self._task = task
        self._slot = slot
        self._place = place
        self._digest = digest_function(task.digest)
        self._rows: list[list[tuple[object, ...]]] = []
        self._prefix = ""
        self._prefix_bytes = b""
        self._path = ""
        self._last_name = b""
        self._name = b""

    def enter(self, prefix: str) -> None:
        """Go to the next directory of the batch, whose path in the archive is ``prefix``."""
        self._prefix, self._prefix_bytes = f"{prefix}/", prefix.encode(_ENCODING, _ERRORS) + b"/"
        self._rows.append([])

    def begin(self, entry: Entry) -> memoryview:
        """Begin a member; returns where to read its content. If it is not added, the next takes its place."""
        self._path = self._prefix + entry.name
        self._last_name = entry.name.encode(_ENCODING, _ERRORS)
        self._name = self._prefix_bytes + self._last_name
        return self._place

    def add(self, entry: Entry, data: memoryview) -> None:
        """Put in the member that was begun, as it was read."""
        _, kind, _, size, mtime_ns, ctime_ns, inode, _, _, key, target = entry
        digest = None
        self.count += 1
        if kind == FILE:
            digest = self._digest(data)
            self.content += size
            if key is not None:
                self.links.append((key, self._path))
        elif kind == HARD_LINK:
            self.linked += size
        self.files += kind != DIRECTORY
        self._rows[-1].append(
            (
                self._last_name,
                KIND_NUMBERS[kind],
                size,
                mtime_ns if _INT64_MIN <= mtime_ns <= _INT64_MAX else storable_number(mtime_ns),
                ctime_ns if _INT64_MIN <= ctime_ns <= _INT64_MAX else storable_number(ctime_ns),
                inode if inode <= _INT64_MAX else storable_inode(inode),
                digest,
                self.raw_size,
                os.fsencode(target) if target else None,
            )
        )
        self.manifest.append(manifest_line(self._path, kind, size, mtime_ns, digest, self.raw_size, target))
        self._frame_member(entry, data)

    def rows(self) -> bytes:
        """The members as `MemberRow`, for each directory that was entered, marshalled."""
        return marshal.dumps(self._rows)

    @abstractmethod
    def _frame_member(self, entry: Entry, data: memoryview) -> None:
        """Add the bytes of the member that was begun."""

    @abstractmethod
    def finish(self) -> int:
        """Put the finished frame into the slot; returns its length, 0 if it has no member."""


class _TarFraming(Framing):
    """Members one after another where they are read: header, content, padding."""

    def begin(self, entry: Entry) -> memoryview:
        super().begin(entry)
        return self._put_header(entry)

    def _put_header(self, entry: Entry) -> memoryview:
        head = tar_header(self._name, entry)
        self._begun, self._content = entry, self.raw_size + len(head)
        self._place[self.raw_size : self._content] = head
        return self._place[self._content :]

    def _frame_member(self, entry: Entry, data: memoryview) -> None:
        if entry is not self._begun:  # it looks different than when it was walked, and its header may have another size
            content = bytes(data)
            self._put_header(entry)[: len(content)] = content
        end = self._content + len(data)
        padding = tar_format.padding(len(data))
        self.raw_size = end + len(padding)
        self._place[end : self.raw_size] = padding

    def finish(self) -> int:
        if not self.raw_size:
            return 0
        option, level = self._task.archive_format.option, self._task.archive_format.level
        frame = CODECS[option].compress(self._place[: self.raw_size], level)
        self._slot[: len(frame)] = frame
        return len(frame)


class _ZipFraming(Framing):
    """Members one after another in the slot, as each is compressed for itself."""

    def _frame_member(self, entry: Entry, data: memoryview) -> None:
        content: bytes | memoryview = os.fsencode(entry.target) if entry.target else data
        method, body = zip_body(self._path, content, self._task.archive_format.level, self._task.store_only)
        member = ZipMember(
            self._name, entry.mode, entry.mtime_ns, method, deflate.crc32(content), len(content), len(body)
        )
        head = zip_format.local_header(member)
        self.central.append(zip_format.central_entry(member, self.raw_size))
        start = self.raw_size + len(head)
        self._slot[self.raw_size : start] = head
        self.raw_size = start + len(body)
        self._slot[start : self.raw_size] = body

    def finish(self) -> int:
        return self.raw_size


class _ZipInTurnFraming(_ZipFraming):
    """The same, but compressed when all is read, for others wait for their turn to read."""

    def __init__(self, task: BatchTask, slot: memoryview, place: memoryview) -> None:
        super().__init__(task, slot, place)
        self._waiting: list[tuple[str, list[tuple[Entry, memoryview]]]] = []
        self._read = 0

    def enter(self, prefix: str) -> None:
        self._waiting.append((prefix, []))

    def begin(self, entry: Entry) -> memoryview:
        return self._place[self._read :]

    def add(self, entry: Entry, data: memoryview) -> None:
        self._waiting[-1][1].append((entry, data))
        self._read += len(data)

    def finish(self) -> int:
        for prefix, members in self._waiting:
            super().enter(prefix)
            for entry, data in members:
                super().begin(entry)
                super().add(entry, data)
        return super().finish()


def framing_of(task: BatchTask, slot: memoryview, place: memoryview) -> Framing:
    """What frames the members of this task."""
    if not task.archive_format.is_zip:
        return _TarFraming(task, slot, place)
    return (_ZipFraming if task.turn is None else _ZipInTurnFraming)(task, slot, place)


def zip_body(
    path: str, content: bytes | memoryview, level: int, store_only: frozenset[str]
) -> tuple[int, bytes | bytearray | memoryview]:
    """Method and body of a zip's member: deflated if that makes it smaller, and nothing says that it will not."""
    if len(content) > 16 and not stores_only(path, store_only) and not is_incompressible(content):
        packed = deflate.deflate_compress(content, level)
        if len(packed) < len(content):
            return zip_format.DEFLATED, packed
    return zip_format.STORED, content


def stores_only(path: str, extensions: frozenset[str]) -> bool:
    """Whether a file's extension, in any case, is one that a zip stores without compressing."""
    return os.path.splitext(path)[1][1:].lower() in extensions


def tar_header(name: bytes, entry: Entry) -> bytes:
    """The tar header of an entry."""
    return tar_format.header(
        name,
        _TAR_KINDS.get(entry.kind, tar_format.SYMLINK),
        entry.mode,
        _owner(entry.uid, entry.gid),
        entry.size if entry.kind == FILE else 0,
        entry.mtime_ns,
        os.fsencode(entry.target) if entry.target else b"",
    )


def manifest_line(
    path: str,
    kind: str,
    size: int,
    mtime_ns: int,
    digest: bytes | None,
    offset: int = 0,
    target: str = "",
    whole: str = "",
) -> str:
    """A member's line of the manifest, from its path on, with a newline in front; `manifest` completes it.

    ``offset`` is where the member starts in the decoded frame; ``whole`` is the object, in JSON, that tells what it is
    a part of.
    """
    hexed = f'"{digest.hex()}"' if digest is not None else "null"
    more = f',"target":{encode_basestring_ascii(target)}' if target else ""
    if whole:
        more += f',"whole":{whole}'
    return (
        f'\n"path":{encode_basestring_ascii(path)},"kind":"{kind}","size":{size},'
        f'"mtime_ns":{mtime_ns},"digest":{hexed},"offset":{offset}{more}}}'
    )


def member_row(entry: Entry, digest: bytes) -> MemberRow:
    """The row of a file that is alone in its frame."""
    return MemberRow(
        os.fsencode(entry.name),
        KIND_NUMBERS[FILE],
        entry.size,
        storable_number(entry.mtime_ns),
        storable_number(entry.ctime_ns),
        storable_inode(entry.inode),
        digest,
        0,
        None,
    )


@lru_cache(maxsize=4096)
def _owner(uid: int, gid: int) -> tuple[int, int, bytes, bytes]:
    return uid, gid, _user_name(uid), _group_name(gid)


def _user_name(uid: int) -> bytes:
    try:
        return os.fsencode(pwd.getpwuid(uid).pw_name) if pwd else b""
    except KeyError:
        return b""  # no such user here: tar has the number


def _group_name(gid: int) -> bytes:
    try:
        return os.fsencode(grp.getgrgid(gid).gr_name) if grp else b""
    except KeyError:
        return b""
