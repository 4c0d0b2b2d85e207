"""Archives: tell all that is in one, archives in it included, as deep as is wanted.

A stream is read in order, and each member through a hasher of its own; what can be read anywhere (a file, a file of an
image) is, where that saves reading. An archive in an archive is read as its bytes come out of the outer one; only a
zip, a 7z or an image of a disc in an archive is held in memory, up to 16 MiB. A larger zip is read by its local
headers; a larger 7z or image is not entered. A damaged archive gives the rows before the damage, and a problem.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..errors import ArchiveError
from ..walk import FILE, describe_error
from . import image as images
from . import tar as tar_reader
from .iso9660 import ImageMember
from .members import LONGEST_PATH, Member, beginning_of
from .messages import INSIDE, ArchiveBegins, ArchiveEnds
from .seekable import Seekable, of_bytes
from .sevenzips import SevenZipTeller
from .sniffing import IMAGE, SEVENZIP, STREAMS, ZIP, codec_of, kind_by_content, name_without_suffix
from .streams import PIECE, BombError, Stream, TrailingDataError, decoded
from .telling import Telling
from .zips import Pieces, ZipTeller, drain

_MAX_IN_MEMORY = 16 * 1024 * 1024


def mtime_of(kind: str, stream: Stream) -> int:
    """Of the one member of a compressed file, nanoseconds since 1970; 0 where it does not tell (RFC 1952 2.3.1)."""
    return int.from_bytes(stream.peek(8)[4:8], "little") * 1_000_000_000 if kind == "gz" else 0


class Archives:
    """Tells what is in archives. ``telling`` takes it."""

    def __init__(self, telling: Telling) -> None:
        self._told = telling
        self._settings = telling.settings
        self.zips = ZipTeller(telling, self.digest_of)
        self.sevenzips = SevenZipTeller(telling, self.digest_of)

    def guarding(self, path: bytes, kind: str, read: Callable[[], None]) -> None:
        """Read an archive; what goes wrong costs its rest.

        Raises:
            BombError: it is in an archive, all of which is then given up.
        """
        told = self._told
        told.flush()
        told.send(ArchiveBegins(path, kind, told.path))
        before = told.encrypted, told.other
        told.encrypted = told.other = 0
        try:
            read()
        except BombError as error:
            told.trouble(path, str(error))
            if path != told.path:
                raise
        except ArchiveError as error:
            told.trouble(path, str(error))
        except OSError as error:
            told.trouble(path, f"cannot be read any further: {describe_error(error)}")
            told.unreadable = True
        except (ValueError, IndexError, OverflowError, MemoryError, RecursionError) as error:
            # No known input does this; one of millions may, and shall not cost the medium.
            told.trouble(path, f"cannot be read any further: {type(error).__name__}: {error}")
        if told.encrypted:
            told.trouble(path, f"encrypted members, which have no digest: {told.encrypted:,}", is_note=True)
        if told.other:
            told.trouble(path, f"devices and FIFOs, which are left out: {told.other:,}", is_note=True)
        told.encrypted, told.other = before

    def in_order(self, path: bytes, kind: str, stream: Stream, mtime_ns: int, depth: int) -> None:
        """What is in a tar, compressed or not, or in a compressed file.

        Raises:
            ArchiveError: it cannot be read any further.
            OSError: the medium cannot.
        """
        codec = codec_of(kind)
        if kind in STREAMS:
            told_ns = mtime_of(kind, stream) or mtime_ns
            self.compressed(path, decoded(codec, stream, self._told.budget), told_ns, depth)
        else:
            self.tar(path, decoded(codec, stream, self._told.budget) if codec else stream, depth)

    def tar(self, path: bytes, source: Stream, depth: int) -> None:
        """The members of a tar, decoded already.

        Raises:
            ArchiveError: it cannot be read any further.
            OSError: the medium cannot.
        """
        for member, body in tar_reader.members(source, self._told.budget, partial(self._told.trouble, path)):
            content = iter(body.take, b"")
            digest = partial(self.digest_of, path, member, content, depth) if member.kind == FILE else None
            self._told.member(path, member, digest, depth)
        if self._settings.hashing:
            drain(source)  # a checksum is at its end

    def compressed(self, path: bytes, source: Stream, mtime_ns: int, depth: int) -> None:
        """What is in a file that is only compressed: one member, of its name without the suffix.

        Raises:
            ArchiveError: it cannot be read any further.
            OSError: the medium cannot.
        """
        member = Member(name_without_suffix(path), FILE, 0, mtime_ns)
        trailing: list[TrailingDataError] = []

        def counted() -> Pieces:
            try:
                while piece := source.take(PIECE):
                    member.size += len(piece)
                    yield piece
            except TrailingDataError as error:
                trailing.append(error)  # all that belongs to it was good

        self._told.budget.count_member()
        digest = None
        try:
            digest = self.digest_of(path, member, counted(), depth)
        finally:
            self._told.row(path, member, digest)
        if trailing:
            raise trailing[0]

    def image(self, path: bytes, file: Seekable, depth: int) -> None:
        """The members of an image of a disc, in the order of the disc.

        Raises:
            ArchiveError: it cannot be read any further.
            OSError: the medium cannot.
        """
        told = self._told

        def warn(inside: bytes, message: str) -> None:
            told.trouble(path + INSIDE + inside if inside else path, message)

        found = images.members(file, self._settings.encoding, warn)
        for there in images.in_disc_order(found, images.first_place):
            member = there.member
            told.moved(0)
            try:
                if member.kind != FILE:
                    told.member(path, member, None, depth)
                else:
                    told.member(path, member, partial(self._digest_of_file, path, file, there, depth), depth)
            except BombError:
                raise
            except ArchiveError as error:
                warn(member.path, str(error))
            except OSError as error:
                warn(member.path, f"cannot be read: {describe_error(error)}")
                told.unreadable = True

    def _digest_of_file(self, path: bytes, image: Seekable, found: ImageMember, depth: int) -> bytes | None:
        content = images.content(image, found)
        source = content.stream(0, content.size)

        def pieces() -> Pieces:
            while piece := source.take(PIECE):
                self._told.budget.spend(len(piece))
                yield piece
            if source.position != found.member.size:
                raise ArchiveError(f"is damaged: it has {source.position:,} bytes of {found.member.size:,}")

        return self.digest_of(path, found.member, pieces(), depth, content)

    def digest_of(
        self, path: bytes, member: Member, pieces: Pieces, depth: int, file: Seekable | None = None
    ) -> bytes | None:
        """Tell what is in a member, if it is an archive; its digest, None where nothing is hashed.

        Args:
            path: of the archive that it is in.
            member: which.
            pieces: its content; may raise as this does.
            depth: of that archive.
            file: the content, if it can be read anywhere.

        Raises:
            ArchiveError: the content cannot be read any further.
            OSError: the medium cannot.
        """
        told = self._told
        hasher = told.hasher()
        if depth >= self._settings.depth:
            for piece in pieces:
                hasher.update(piece)
                told.moved(0)  # a sign of life, however long it takes
            return hasher.digest() if self._settings.hashing else None
        failures: list[ArchiveError | OSError] = []

        def fetch() -> bytes:
            try:
                piece = bytes(next(pieces, b""))
            except (ArchiveError, OSError) as error:
                failures.append(error)
                raise
            hasher.update(piece)
            told.moved(0)
            return piece

        stream = Stream(fetch)
        inside = path + INSIDE + member.path
        kind = self._kind(stream, member)
        if kind is not None and len(inside) > LONGEST_PATH:
            kind = None
            if len(member.path) <= LONGEST_PATH:  # else it has no row, of which is told
                there = beginning_of(member.path)
                told.trouble(path, f"holds an archive that is not entered, for its path is too long: {there}")
        if kind is not None:
            self.guarding(inside, kind, lambda: self._nested(inside, kind, stream, member.mtime_ns, depth + 1, file))
        if not failures:
            drain(stream)
        if kind is not None:
            told.flush()
            told.send(ArchiveEnds(inside, stream.position, None, told.path))
        if failures:  # of the outer archive, not of this one
            raise failures[0]
        return hasher.digest() if self._settings.hashing else None

    def _kind(self, stream: Stream, member: Member) -> str | None:
        kind = kind_by_content(stream, member.path)
        if kind in STREAMS and not self._settings.hashing:
            return None  # it has one member, of which nothing is known before it is decoded
        return kind

    def _nested(self, path: bytes, kind: str, stream: Stream, mtime_ns: int, depth: int, file: Seekable | None) -> None:
        if kind not in (ZIP, IMAGE, SEVENZIP):
            self.in_order(path, kind, stream, mtime_ns, depth)
            return
        if file is None:
            data = stream.peek(_MAX_IN_MEMORY + 1)
            if len(data) <= _MAX_IN_MEMORY:
                file = of_bytes(data)
            elif kind != ZIP:
                what = "an image" if kind == IMAGE else "a 7z"
                raise ArchiveError(f"is {what} in an archive, and too large to be entered; it is listed as one file")
            else:
                self.zips.tell_stream(path, stream, depth)
                return
        if kind == ZIP:
            self.zips.tell(path, file, depth)
        elif kind == SEVENZIP:
            self.sevenzips.tell(path, file, depth)
        else:
            self.image(path, file, depth)
