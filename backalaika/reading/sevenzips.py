"""Sevenzips: tell the members of a 7z. What one folder of it holds is decoded once, through all its members."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial

from ..errors import ArchiveError
from ..walk import FILE, SYMLINK, describe_error
from .members import Member
from .messages import INSIDE
from .seekable import Seekable
from .sevenzip import Directory, EncryptedHeaderError, SevenZipMember, read_directory
from .sniffing import name_without_suffix
from .streams import BombError, Stream
from .telling import Telling
from .unpacking import unpacked
from .zips import DigestOf, Pieces, beginning

# A kilobyte of header can promise a million members that cannot be had: of the others only the number is told.
_MOST_TROUBLES = 100


class _Folders:
    """What is in folders, one after another, as their members are.

    Attributes:
        failed: members that could not be decoded.
        lost: members of which that is not told one by one: another before them in their folder failed, or many did.
    """

    def __init__(self, directory: Directory, file: Seekable, telling: Telling) -> None:
        self._directory, self._file, self._told = directory, file, telling
        self._number = -1
        self._stream = Stream(lambda: b"")
        self._is_damaged = False
        self.failed = self.lost = 0

    def content(self, found: SevenZipMember) -> Pieces:
        """A member's content, checked; where it cannot be decoded, nothing more of its folder can.

        Raises:
            ArchiveError: it cannot be decoded, or is not what its CRC-32 says.
            OSError: the medium cannot be read.
        """
        if found.folder != self._number:
            self._number, self._is_damaged = found.folder, False
            pieces = self._counted(found.folder)
            self._stream = Stream(lambda: next(pieces, b""))
        crc = 0
        try:
            self._stream.skip(found.offset - self._stream.position)
            left = found.size
            while left and (piece := self._stream.take(left)):
                crc, left = zlib.crc32(piece, crc), left - len(piece)
                yield piece
        except (ArchiveError, OSError):
            self._is_damaged = True
            raise
        if left:
            raise ArchiveError("is cut: its content ends too early")
        if found.crc not in (-1, crc):
            raise ArchiveError("is damaged: its content is not what its checksum says")

    def is_lost(self, found: SevenZipMember) -> bool:
        """Whether its folder is damaged before it: then it is counted, for one trouble is enough for them all."""
        is_lost = self._is_damaged and found.folder == self._number
        self.lost += is_lost
        return is_lost

    def _counted(self, folder: int) -> Iterator[bytes]:
        packed = self._directory.packed(folder)
        for piece in unpacked(packed, self._file, packed.size, self._told.budget.memory):
            self._told.budget.spend(len(piece))
            self._told.moved(0)
            yield piece


class SevenZipTeller:
    """Tells members of 7z archives."""

    def __init__(self, telling: Telling, digest_of: DigestOf) -> None:
        self._told, self._digest_of = telling, digest_of

    def tell(self, path: bytes, file: Seekable, depth: int) -> None:
        """The members of a 7z.

        Raises:
            ArchiveError: it cannot be read any further.
            OSError: the medium cannot.
        """
        try:
            directory = read_directory(file, self._told.budget.memory)
        except EncryptedHeaderError as error:
            self._told.trouble(path, str(error), is_note=True)
            return
        folders = _Folders(directory, file, self._told)
        try:
            for found in directory.members(name_without_suffix(path)):
                self._member(path, found, folders, depth)
        finally:
            if folders.lost:
                self._told.trouble(path, f"more members cannot be decoded, and have no digest: {folders.lost:,}")

    def _member(self, path: bytes, found: SevenZipMember, folders: _Folders, depth: int) -> None:
        told, member = self._told, found.member
        told.encrypted += member.encrypted
        told.moved(0)
        content = folders.content(found) if found.folder >= 0 else iter(())
        wanted = not member.encrypted and not folders.is_lost(found)
        try:
            if member.kind == SYMLINK and wanted and told.settings.hashing:
                self._read_target(path, member, content, folders)
            digest = partial(self._digest_of, path, member, content, depth)
            told.member(path, member, digest if member.kind == FILE and wanted else None, depth)
        except BombError:
            raise
        except (ArchiveError, OSError) as error:
            self._failed(path, member, error, folders)

    def _read_target(self, path: bytes, member: Member, content: Pieces, folders: _Folders) -> None:
        """Of a link; one that cannot be had costs nothing else."""
        try:
            member.target = beginning(content)
        except BombError:
            raise
        except (ArchiveError, OSError) as error:
            self._failed(path, member, error, folders)

    def _failed(self, path: bytes, member: Member, error: ArchiveError | OSError, folders: _Folders) -> None:
        told, message = self._told, str(error)
        if isinstance(error, OSError):
            told.unreadable, message = True, f"cannot be read: {describe_error(error)}"
        folders.failed += 1
        if folders.failed <= _MOST_TROUBLES:
            told.trouble(path + INSIDE + member.path, message)
        else:
            folders.lost += 1
