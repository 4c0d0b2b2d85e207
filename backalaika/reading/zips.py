"""Zips: tell the members of a zip, by its directory where it has one, by their own headers where it has none."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from ..errors import ArchiveError
from ..walk import DIRECTORY, FILE, SYMLINK, describe_error
from . import zip as zip_reader
from .members import LONGEST_PATH, Member
from .messages import INSIDE
from .seekable import Seekable
from .streams import PIECE, BombError, Stream
from .telling import Telling
from .zip import ZipMember

# One byte more than is kept: so it is known for too long.
_MAX_TARGET = LONGEST_PATH + 1
# A thread takes 30 microseconds to be asked; so many members at most are decoded ahead.
_WORTH_A_THREAD = 64 * 1024
_WINDOW = 64
# Members of a damaged directory that are kept in mind, to tell the others apart: 50 bytes of memory each.
_MANY = 1_000_000
_OF_ANOTHER = (
    "is cut, or other zips follow it: the directory at its end is that of another zip; what its members' own headers "
    "say is listed"
)

Pieces = Iterator[bytes | memoryview]
# Path of the archive, member, its content, depth of the archive: see `Archives.digest_of`.
DigestOf = Callable[[bytes, Member, Pieces, int], bytes | None]


class _Digested(NamedTuple):
    """The digest of a zip's member, and what is wrong though it could be read."""

    digest: bytes
    warnings: list[str]


class ZipTeller:
    """Tells members of zips."""

    def __init__(self, telling: Telling, digest_of: DigestOf) -> None:
        self._told, self._digest_of = telling, digest_of

    def tell(self, path: bytes, file: Seekable, depth: int, threads: int = 1) -> None:
        """The members of a zip that can be read anywhere; ``threads`` decode large ones.

        Raises:
            ArchiveError: it cannot be read any further.
            OSError: the medium cannot.
        """
        told = self._told
        begins = file.at(0, 4) in zip_reader.BEGINNINGS
        try:
            directory = zip_reader.find_directory(file)
            if begins and not directory.count and not directory.size:
                raise ArchiveError("is damaged: the directory at its end says that it is empty")
        except ArchiveError as error:
            if not begins:
                raise
            told.trouble(path, f"{error}; what its members' own headers say is listed")
            self.tell_stream(path, file.stream(0, file.size), depth)
            return
        start = 0
        if begins and zip_reader.begins_further_on(file, directory):
            start = directory.shift
            told.trouble(path, _OF_ANOTHER)
            if not self.tell_stream(path, file.stream(0, file.size), depth, end=start):
                return
        seen: set[int] = set()
        try:
            self._tell_directory(path, file, directory, depth, threads, seen)
        except BombError:
            raise
        except ArchiveError as error:
            # The members that it does not tell any more are there all the same.
            if not begins or len(seen) >= _MANY:
                raise
            told.trouble(path, f"{error}; what the members' own headers say of the others is listed")
            source = file.stream(0, file.size)
            source.skip(start)
            self.tell_stream(path, source, depth, seen)

    def _tell_directory(
        self,
        path: bytes,
        file: Seekable,
        directory: zip_reader.Directory,
        depth: int,
        threads: int,
        seen: set[int],
    ) -> None:
        told = self._told
        found = _noting(zip_reader.central_members(file, directory, told.settings.encoding), seen)
        if threads > 1 and told.settings.hashing and depth >= told.settings.depth:
            self._tell_in_threads(path, file, found, threads)
            return
        for member in found:
            if not told.settings.hashing:
                told.moved(member.stored)
            self._member(path, member, None, file, depth)

    def _tell_in_threads(self, path: bytes, file: Seekable, found: Iterator[ZipMember], threads: int) -> None:
        """Spread large members over threads, which decode and hash without Python's lock; tell them in order."""
        waiting: deque[tuple[ZipMember, Future[_Digested] | None]] = deque()
        failures: list[ArchiveError] = []
        pool = ThreadPoolExecutor(threads)
        try:
            for member in _until_damage(found, failures):
                large = member.promised >= _WORTH_A_THREAD and member.member.kind == FILE
                large = large and not member.member.encrypted
                waiting.append((member, pool.submit(self._digested, member, file) if large else None))
                if len(waiting) >= _WINDOW:
                    self._member(path, *waiting.popleft(), file)
            while waiting:
                self._member(path, *waiting.popleft(), file)
            if failures:
                raise failures[0]
        finally:
            pool.shutdown(cancel_futures=True)

    def _digested(self, found: ZipMember, file: Seekable) -> _Digested:
        """The digest of a member; nothing is told, for this is another thread."""
        warnings: list[str] = []
        hasher = self._told.hasher()
        for piece in zip_reader.content(found, file, self._told.budget, warnings.append):
            hasher.update(piece)
        return _Digested(hasher.digest(), warnings)

    def _member(
        self, path: bytes, found: ZipMember, ready: Future[_Digested] | None, file: Seekable, depth: int = 1
    ) -> None:
        told, member = self._told, found.member
        told.encrypted += member.encrypted
        told.moved(0)
        warn = partial(told.trouble, path + INSIDE + member.path)
        content = zip_reader.content(found, file, told.budget, warn)  # reads nothing until it is asked

        def digest() -> bytes | None:
            if ready is None:
                return self._digest_of(path, member, content, depth)
            digested = ready.result()
            for warning in digested.warnings:
                warn(warning)
            return digested.digest

        if member.kind == DIRECTORY and found.promised:
            warn(f"is a folder by its name, and has {found.promised:,} bytes of content, which are not read")
        with self._guarding(warn):
            if member.kind == SYMLINK and told.settings.hashing and not member.encrypted:
                with self._guarding(warn):  # of a link whose target cannot be had there is a row all the same
                    member.target = beginning(content)
            told.member(path, member, None if member.encrypted or member.kind != FILE else digest, depth)

    @contextmanager
    def _guarding(self, warn: Callable[[str], None]) -> Iterator[None]:
        """Read a member; what goes wrong costs this one only.

        Raises:
            BombError: all of the archive is given up.
        """
        try:
            yield
        except BombError:
            raise
        except ArchiveError as error:
            warn(str(error))
        except OSError as error:
            # A sector that cannot be read costs the members that lie on it; the file's own digest is lost too.
            warn(f"cannot be read: {describe_error(error)}")
            self._told.unreadable = True

    def tell_stream(
        self, path: bytes, source: Stream, depth: int, seen: Container[int] = (), end: int | None = None
    ) -> bool:
        """The members of a zip that is read in order, by their own headers.

        After damage, and after a directory, it goes on with what looks like the next header.

        Args:
            path: of the zip.
            source: its bytes.
            depth: of the zip.
            seen: where members begin that are told already.
            end: where another zip begins, which is not read if those before it end with a directory.

        Returns:
            Whether it came to ``end``.

        Raises:
            ArchiveError: it cannot be read any further.
            OSError: the medium cannot.
        """
        while True:
            is_whole = False
            try:
                for found in zip_reader.streamed_members(source, self._told.settings.encoding):
                    self._in_stream(path, found, source, depth, found.offset in seen)
                is_whole = True
            except BombError:
                raise
            except ArchiveError as error:
                self._told.trouble(path, str(error))
            self._told.moved(0)
            is_before = end is not None and source.position < end
            if not zip_reader.find_member(source):
                return False
            if is_whole and is_before and end is not None and source.position >= end:
                return True
            if is_whole:
                self._told.trouble(path, "goes on after a directory, as zips do that were joined; all are listed")

    def _in_stream(self, path: bytes, found: ZipMember, source: Stream, depth: int, is_known: bool) -> None:
        told, member = self._told, found.member
        cannot = found.stored < 0 and (member.encrypted or found.method not in zip_reader.SELF_ENDING)
        if not is_known:
            told.encrypted += member.encrypted
            if cannot or member.encrypted:
                told.member(path, member, None, depth)
        if cannot:
            raise ArchiveError("has a member whose size is told only after its content, which cannot be read")
        if not is_known and not member.encrypted:
            self._streamed_member(path, found, source, depth)
            return
        if found.stored < 0:
            for _ in zip_reader.unpacked(found, source, told.budget):
                told.moved(0)
        elif source.skip(found.stored) != found.stored:
            raise ArchiveError("is cut: it ends in the midst of a member")
        if found.flags & zip_reader.DESCRIPTOR:
            zip_reader.read_descriptor(source)

    def _streamed_member(self, path: bytes, found: ZipMember, source: Stream, depth: int) -> None:
        """Read a member to its end, wanted or not: only then it is known where the next one is."""
        told, member = self._told, found.member
        inner = source if found.stored < 0 else _part(source, found.stored)
        crc = size = 0

        def counted() -> Pieces:
            nonlocal crc, size
            for piece in zip_reader.unpacked(found, inner, told.budget):
                crc, size = zlib.crc32(piece, crc), size + len(piece)
                yield piece

        told.budget.count_member()
        digest = None
        try:
            if found.stored >= 0:
                digest = self._digest_or_trouble(path, member, counted(), depth)
                drain(inner)
            else:
                content = counted()
                digest = self._digest_of(path, member, content, depth)
                deque(content, 0)  # the size is behind the content, of which not all may have been wanted
            promised = found.crc, member.size
            if found.flags & zip_reader.DESCRIPTOR:
                crc_told, _, size_told = zip_reader.read_descriptor(source)
                promised = crc_told, size_told
            member.size = size if member.kind == FILE else 0
            if promised != (crc, size) and digest is not None:
                told.trouble(path + INSIDE + member.path, "is damaged: its content is not what its checksum says")
                digest = None
        finally:
            told.row(path, member, digest if member.kind == FILE else None)

    def _digest_or_trouble(self, path: bytes, member: Member, content: Pieces, depth: int) -> bytes | None:
        """The digest of a member; what is damaged in it costs no other, for it is known where the next one begins."""
        try:
            return self._digest_of(path, member, content, depth)
        except BombError:
            raise
        except ArchiveError as error:
            self._told.trouble(path + INSIDE + member.path, str(error))
            return None


def _noting(found: Iterator[ZipMember], seen: set[int]) -> Iterator[ZipMember]:
    """The members; where they begin is kept of the first of them."""
    for member in found:
        if len(seen) < _MANY:
            seen.add(member.offset)
        yield member


def _until_damage(found: Iterator[ZipMember], failures: list[ArchiveError]) -> Iterator[ZipMember]:
    """The members up to an error, which is put aside until those before it are told."""
    try:
        yield from found
    except ArchiveError as error:
        failures.append(error)


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


def drain(stream: Stream) -> None:
    """Read all that is left, for what comes with the last of it."""
    while stream.take(PIECE):
        pass


def beginning(pieces: Pieces) -> bytes:
    """Of a link's target, which is short; a long one is read to its end, for its checksum."""
    target = b""
    for piece in pieces:
        target += bytes(piece[: _MAX_TARGET - len(target)])
    return target
