"""Entering: the rows of one file on a medium and, if it is an archive, of all that is in it.

The file is read once, from its beginning to its end, for its own digest, while the bytes go through the decoder and
each member through a hasher of its own; a zip, whose directory is at its end, is read in its own order and then once
more for the digest of the whole, from the memory that the system keeps of it. An archive in an archive is read as its
bytes come out of the outer one; only a zip in an archive is held in memory, up to 16 MiB, and above that read by its
local headers. A damaged archive gives the rows before the damage, and a problem.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import xxhash

from ..digests import Hasher, hasher_factory
from ..errors import ArchiveError
from ..walk import FILE, SYMLINK, describe_error, open_file
from . import tar as tar_reader
from . import zip as zip_reader
from .members import Member, folder_and_name
from .messages import ArchiveBegins, ArchiveEnds, LooseFile, Message, Moved, Row, Rows, Settings, Summed, Trouble
from .sniffing import MAYBE_IN_FRONT, ZIP, kind_by_content, kind_by_name
from .streams import PIECE, BombError, Budget, FileStream, ParallelStream, Stream, decoded, worth_threads
from .zip import ZipMember

INSIDE = b"!/"
_XXH3 = "xxh3-128"
_MAX_IN_MEMORY = 16 * 1024 * 1024
_MAX_TARGET = 65536
_ROWS_AT_A_TIME = 2000
# A thread takes 30 microseconds to be asked; so many members at most are decoded ahead.
_WORTH_A_THREAD = 64 * 1024
_WINDOW = 64


class _Digested(NamedTuple):
    """The digest of a zip's member, and what is wrong though it could be read."""

    digest: bytes
    warnings: list[str]


class _Hashers:
    """The digest that names the file, and XXH3-128 if that is another."""

    def __init__(self, name: str) -> None:
        self._whole = xxhash.xxh3_128()
        self._named: Hasher | None = None if name == _XXH3 else hasher_factory(name)()

    def update(self, data: bytes) -> None:
        self._whole.update(data)
        if self._named is not None:
            self._named.update(data)

    def digest(self) -> bytes:
        return (self._named or self._whole).digest()

    def whole(self) -> bytes:
        return self._whole.digest()


class Entering:
    """Reads files of one medium, one after another, and tells what it finds.

    Args:
        root: absolute path of the medium.
        settings: how.
        tell: takes the messages.
    """

    def __init__(self, root: str, settings: Settings, tell: Callable[[Message], None]) -> None:
        self._root = os.fsencode(root)
        self._settings = settings
        self._send = tell
        self._rows: list[Row] = []
        self._path = b""
        self._budget = Budget(0, 0, 0)
        self._hasher = hasher_factory(settings.digest)
        self._encrypted = self._other = 0
        self._entered = False

    def enter(self, file: LooseFile, threads: int = 1) -> None:
        """Tell all of a file; its own row last, so that its presence says that all is told.

        ``threads`` decode a large gz or bz2. A file that cannot be read is a `Trouble`, and its row has no digest.
        """
        self._path = file.path
        self._budget = Budget(file.size, self._settings.max_ratio, self._settings.max_members)
        if file.only_sum:
            self._sum(file)
            return
        hashers = None
        self._entered = False
        try:
            if self._settings.hashing or (self._settings.depth and kind_by_name(file.path)):
                hashers = self._read(file, threads)
        except OSError as error:
            self._trouble(file.path, f"cannot be read: {describe_error(error)}")
        digest = hashers.digest() if hashers is not None else None
        self._row(None, Member(file.path, FILE, file.size, file.mtime_ns), digest)
        if self._entered:
            self.flush()

    def flush(self) -> None:
        """Send the rows that are held back."""
        if self._rows:
            rows, self._rows = self._rows, []
            self._send(Rows(rows))

    def _sum(self, file: LooseFile) -> None:
        hashers = _Hashers(_XXH3)
        try:
            with open(os.path.join(self._root, file.path), "rb", buffering=0) as opened:
                _drain(FileStream(opened.fileno(), file.size, hashers, self._moved))
        except OSError as error:
            self._trouble(file.path, f"cannot be read: {describe_error(error)}")
            return
        self._send(Summed(file, hashers.whole()))

    def _read(self, file: LooseFile, threads: int) -> _Hashers | None:
        hashers = _Hashers(self._settings.digest) if self._settings.hashing else None
        folder, name = os.path.split(os.path.join(self._root, file.path))
        descriptor = open_file(os.fsdecode(folder), None, os.fsdecode(name))
        try:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise OSError(0, "is no regular file any more")
            stream = FileStream(descriptor, info.st_size, hashers, self._moved)
            kind = self._archive_kind(stream, file.path, descriptor, info.st_size)
            if kind is not None:
                self._enter_file(file, kind, stream, descriptor, hashers is not None, threads)
            if hashers is not None:
                while stream.take(PIECE):
                    pass
                if stream.position != file.size:
                    self._trouble(file.path, f"has {stream.position:,} bytes, not {file.size:,} as its folder says")
        finally:
            os.close(descriptor)
        if kind is not None:
            self._entered = True
            self.flush()
            self._send(ArchiveEnds(file.path, file.size, hashers.whole() if hashers is not None else None))
        return hashers

    def _archive_kind(self, stream: Stream, path: bytes, descriptor: int, size: int) -> str | None:
        if not self._settings.depth:
            return None
        kind = kind_by_content(stream, path)
        named = kind_by_name(path)
        if kind is None and (named == ZIP or stream.peek(4).startswith(MAYBE_IN_FRONT)):
            with contextlib.suppress(ArchiveError):
                zip_reader.find_directory(zip_reader.of_file(descriptor, size))
                return ZIP
        if kind is None and named:
            self._trouble(path, f"is no {named}, though its name says so")
        return kind

    def _enter_file(
        self, file: LooseFile, kind: str, stream: FileStream, descriptor: int, hashing: bool, threads: int
    ) -> None:
        path, codec = file.path, kind.partition(".")[2]
        if kind == ZIP:
            self._guarding(path, kind, lambda: self._zip(path, zip_reader.of_file(descriptor, file.size), 1, threads))
            stream.read_on_from_here()
        elif worth_threads(codec, file.size, threads):
            self._guarding(path, kind, lambda: self._tar_in_threads(file, codec, threads, stream, hashing))
        else:
            self._guarding(path, kind, lambda: self._tar(path, codec, stream, 1))

    def _tar_in_threads(self, file: LooseFile, codec: str, threads: int, stream: FileStream, hashing: bool) -> None:
        path = os.path.join(self._root, file.path)
        with open(path, "rb", buffering=0) as again, ThreadPoolExecutor(1) as ahead:
            plain = FileStream(again.fileno(), file.size, None, self._moved)
            budget = self._budget
            opened = ParallelStream(path, codec, threads, lambda: decoded(codec, plain, budget), budget, self._moved)
            # The decoder reads the file itself. The digest goes ahead of it, and brings the bytes into memory.
            hashed = ahead.submit(stream.drain_untold) if hashing else None
            try:
                self._tar(file.path, "", opened, 1)
            finally:
                opened.close()
                if hashed is not None:
                    hashed.result()

    def _guarding(self, path: bytes, kind: str, read: Callable[[], None]) -> None:
        """Read an archive; what goes wrong costs its rest."""
        self.flush()
        self._send(ArchiveBegins(path, kind))
        before = self._encrypted, self._other
        self._encrypted = self._other = 0
        try:
            read()
        except BombError as error:
            self._trouble(path, str(error))
            if path != self._path:
                raise
        except ArchiveError as error:
            self._trouble(path, str(error))
        except (ValueError, IndexError, OverflowError, MemoryError, RecursionError) as error:
            # No known input does this; one of millions may, and shall not cost the medium.
            self._trouble(path, f"cannot be read any further: {type(error).__name__}: {error}")
        if self._encrypted:
            self._trouble(path, f"encrypted members, which have no digest: {self._encrypted:,}", is_note=True)
        if self._other:
            self._trouble(path, f"devices and FIFOs, which are left out: {self._other:,}", is_note=True)
        self._encrypted, self._other = before

    def _tar(self, path: bytes, codec: str, stream: Stream, depth: int) -> None:
        source = decoded(codec, stream, self._budget) if codec else stream
        for member, body in tar_reader.members(source, self._budget):
            content = iter(body.take, b"")
            digest = partial(self._digest_of, path, member, content, depth) if member.kind == FILE else None
            self._member(path, member, digest)
        if self._settings.hashing:
            _drain(source)  # a checksum is at its end

    def _zip(self, path: bytes, file: zip_reader.Seekable, depth: int, threads: int = 1) -> None:
        try:
            directory = zip_reader.find_directory(file)
        except ArchiveError as error:
            if file.at(0, 4) not in (zip_reader.LOCAL, zip_reader.SPANNED, b"PK00"):
                raise
            self._trouble(path, f"{error}; what its members' own headers say is listed")
            self._zip_stream(path, file.stream(0, file.size), depth)
            return
        found = zip_reader.central_members(file, directory, self._settings.encoding)
        if threads > 1 and self._settings.hashing and depth >= self._settings.depth:
            self._zip_in_threads(path, file, found, threads)
            return
        for member in found:
            if not self._settings.hashing:
                self._moved(member.stored)
            self._zip_member(path, member, None, file, depth)

    def _zip_in_threads(self, path: bytes, file: zip_reader.Seekable, found: Iterator[ZipMember], threads: int) -> None:
        """Spread large members over threads, which decode and hash without Python's lock; tell them in order."""
        waiting: deque[tuple[ZipMember, Future[_Digested] | None]] = deque()
        pool = ThreadPoolExecutor(threads)
        try:
            for member in found:
                large = member.promised >= _WORTH_A_THREAD and member.member.kind == FILE
                large = large and not member.member.encrypted
                waiting.append((member, pool.submit(self._digested, member, file) if large else None))
                if len(waiting) >= _WINDOW:
                    self._zip_member(path, *waiting.popleft(), file)
            while waiting:
                self._zip_member(path, *waiting.popleft(), file)
        finally:
            pool.shutdown(cancel_futures=True)

    def _digested(self, found: ZipMember, file: zip_reader.Seekable) -> _Digested:
        """The digest of a member; nothing is told, for this is another thread."""
        warnings: list[str] = []
        hasher = self._hasher()
        for piece in zip_reader.content(found, file, self._budget, warnings.append):
            hasher.update(piece)
        return _Digested(hasher.digest(), warnings)

    def _zip_member(
        self,
        path: bytes,
        found: ZipMember,
        ready: Future[_Digested] | None,
        file: zip_reader.Seekable,
        depth: int = 1,
    ) -> None:
        member = found.member
        self._encrypted += member.encrypted
        self._moved(0)
        warn = partial(self._trouble, path + INSIDE + member.path)
        content = zip_reader.content(found, file, self._budget, warn)  # reads nothing until it is asked

        def digest() -> bytes | None:
            if ready is None:
                return self._digest_of(path, member, content, depth)
            digested = ready.result()
            for warning in digested.warnings:
                warn(warning)
            return digested.digest

        try:
            if member.kind == SYMLINK and self._settings.hashing and not member.encrypted:
                member.target = _beginning(content)
            self._member(path, member, None if member.encrypted or member.kind != FILE else digest)
        except BombError:
            raise
        except ArchiveError as error:
            warn(str(error))

    def _zip_stream(self, path: bytes, source: Stream, depth: int) -> None:
        for found in zip_reader.streamed_members(source, self._settings.encoding):
            member = found.member
            self._encrypted += member.encrypted
            if found.stored < 0 and (member.encrypted or found.method not in zip_reader.SELF_ENDING):
                self._member(path, member, None)
                raise ArchiveError("cannot be read any further: a member's size is told only after its content")
            if member.encrypted:
                self._member(path, member, None)
                if source.skip(found.stored) != found.stored:
                    raise ArchiveError("is cut: it ends in the midst of a member")
                if found.flags & zip_reader.DESCRIPTOR:
                    zip_reader.read_descriptor(source)
            else:
                self._streamed_member(path, found, source, depth)

    def _streamed_member(self, path: bytes, found: ZipMember, source: Stream, depth: int) -> None:
        """Read a member to its end, wanted or not: only then it is known where the next one is."""
        member = found.member
        inner = source if found.stored < 0 else _part(source, found.stored)
        crc = size = 0

        def counted() -> Iterator[bytes | memoryview]:
            nonlocal crc, size
            for piece in zip_reader.unpacked(found, inner, self._budget):
                crc, size = zlib.crc32(piece, crc), size + len(piece)
                yield piece

        self._budget.count_member()
        digest = None
        try:
            digest = self._digest_of(path, member, counted(), depth)
            if found.stored >= 0:
                _drain(inner)
            promised = found.crc, member.size
            if found.flags & zip_reader.DESCRIPTOR:
                crc_told, _, size_told = zip_reader.read_descriptor(source)
                promised = crc_told, size_told
            member.size = size if member.kind == FILE else 0
            if promised != (crc, size):
                self._trouble(path + INSIDE + member.path, "is damaged: its content is not what its checksum says")
                digest = None
        finally:
            self._row(path, member, digest if member.kind == FILE else None)

    def _wants(self, member: Member) -> bool:
        return self._settings.hashing or (self._settings.depth > 1 and kind_by_name(member.path) is not None)

    def _member(self, path: bytes, member: Member, digest: Callable[[], bytes | None] | None) -> None:
        """Tell a member, after what is in it; ``digest`` is None if its content is not to be had."""
        self._budget.count_member()
        if member.kind == "other":
            self._other += 1
            return
        found = None
        try:
            if digest is not None and self._wants(member):
                found = digest()
        finally:
            self._row(path, member, found)

    def _digest_of(self, path: bytes, member: Member, pieces: Iterator[bytes | memoryview], depth: int) -> bytes | None:
        hasher = self._hasher()
        if depth >= self._settings.depth:
            for piece in pieces:
                hasher.update(piece)
                self._moved(0)  # a sign of life, however long it takes
            return hasher.digest() if self._settings.hashing else None
        failures: list[ArchiveError] = []

        def fetch() -> bytes:
            try:
                piece = bytes(next(pieces, b""))
            except ArchiveError as error:
                failures.append(error)
                raise
            hasher.update(piece)
            self._moved(0)
            return piece

        stream = Stream(fetch)
        inside = path + INSIDE + member.path
        kind = kind_by_content(stream, member.path)
        if kind is not None:
            read = self._nested_zip if kind == ZIP else partial(self._tar, codec=kind.partition(".")[2])
            self._guarding(inside, kind, lambda: read(inside, stream=stream, depth=depth + 1))
        if not failures:
            _drain(stream)
        if kind is not None:
            self.flush()
            self._send(ArchiveEnds(inside, stream.position, None))
        if failures:  # of the outer archive, not of this one
            raise failures[0]
        return hasher.digest() if self._settings.hashing else None

    def _nested_zip(self, path: bytes, stream: Stream, depth: int) -> None:
        data = stream.peek(_MAX_IN_MEMORY + 1)
        if len(data) > _MAX_IN_MEMORY:
            self._zip_stream(path, stream, depth)
        else:
            self._zip(path, zip_reader.Seekable(lambda offset, size: data[offset : offset + size], len(data)), depth)

    def _row(self, archive: bytes | None, member: Member, digest: bytes | None) -> None:
        folder, name = folder_and_name(member.path, member.kind)
        self._rows.append(Row(archive, folder, name, member.kind, member.size, member.mtime_ns, digest, member.target))
        if len(self._rows) >= _ROWS_AT_A_TIME:
            self.flush()

    def _trouble(self, path: bytes, message: str, is_note: bool = False) -> None:
        self._send(Trouble(path, message, is_note))

    def _moved(self, size: int) -> None:
        self._send(Moved(size, self._path))


def _part(source: Stream, size: int) -> Stream:
    left = size

    def fetch() -> bytes:
        nonlocal left
        piece = bytes(source.take(min(left, PIECE))) if left else b""
        if left and not piece:
            raise ArchiveError("is cut: it ends in the midst of a member")
        left -= len(piece)
        return piece

    return Stream(fetch)


def _drain(stream: Stream) -> None:
    while stream.take(PIECE):
        pass


def _beginning(pieces: Iterator[bytes | memoryview]) -> bytes:
    """Of a link's target, which is short."""
    return b"".join(map(bytes, pieces))[:_MAX_TARGET]
