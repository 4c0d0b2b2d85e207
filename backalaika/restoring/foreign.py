"""Foreign: members out of archives that this program did not write, or of which no manifest is left.

Nothing tells where in such an archive a member begins. So it is entered as `add` enters it, archives in it included,
and what is not wanted is passed over; when the last that is wanted has come, nothing more is read. Members are known
by their path. One that is found by none, because its name is read differently today, is known by size and digest.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

from ..digests import digest_function
from ..errors import ArchiveError, SourceError
from ..reading import tar as tar_reader
from ..reading.archives import Archives
from ..reading.entering import Entering
from ..reading.members import Member
from ..reading.messages import INSIDE, LooseFile, Message, NotEntered, Settings, Trouble
from ..reading.seekable import FileStream, Seekable
from ..reading.streams import Stream
from ..reading.telling import Telling
from ..reading.trees import tree_at
from ..reading.zips import Pieces
from ..walk import FILE, SYMLINK, describe_error
from .frames import IN_MEMORY, WRONG_DIGEST, Attributes, Found, as_long_as
from .items import Item
from .owners import umask
from .signs import Watch

# It was read to its end when it was catalogued, within the limits that were set then.
_NO_LIMIT = 1 << 62

Take = Callable[[Item, Found], str | None]
"""Takes a member; why its content is not right, None if that is not what went wrong."""


class _AllTakenError(Exception):
    """Nothing more is wanted of the archive."""


class Where(NamedTuple):
    """An archive on a medium.

    Attributes:
        folder: of the medium.
        archive: path there; of one in another, with both, joined by ``!/``.
        digest: which digest its members have.
        watch: the context in which the medium is asked for something.
    """

    folder: str
    archive: bytes
    digest: str
    watch: Watch


def foreign_members(where: Where, items: Sequence[Item], take: Take) -> dict[Item, str]:
    """Hand on what is wanted of an archive.

    Args:
        where: it is.
        items: of this archive.
        take: is called for each that is found, and takes its content at once.

    Returns:
        Those that could not be had, and why.
    """
    for item in items:
        if item.kind != FILE and item.place:  # all there is to know stands in the catalogue; ./ is the target itself
            take(item, Found(Attributes(0o777) if item.kind == SYMLINK else None, iter(())))
    wanted = [item for item in items if item.kind == FILE]
    try:
        with where.watch:
            loose = _loose_file(where.folder, where.archive)
            entering = _Taking(where, loose.path, take)
        wanted = entering.go_through_again(loose, wanted, by_size=False)
        # What was met by its path, and was not what was wanted, is nowhere else.
        not_met = [item for item in wanted if item.digest is not None and not entering.has_met(item)]
        if not_met:
            found = set(not_met).difference(entering.go_through_again(loose, not_met, by_size=True))
            wanted = [item for item in wanted if item not in found]
    except ArchiveError as error:
        return dict.fromkeys(wanted, str(error))
    except SourceError as error:
        return dict.fromkeys(wanted, f"its archive cannot be read: {error}")
    except OSError as error:
        return dict.fromkeys(wanted, f"its archive cannot be read: {describe_error(error)}")
    return {item: entering.why(item) for item in wanted}


def _loose_file(folder: str, archive: bytes) -> LooseFile:
    """The file on the medium that is the archive, or that has it inside.

    Raises:
        ArchiveError: there is none.
    """
    end = archive.find(INSIDE)
    while True:
        path = archive if end < 0 else archive[:end]  # a folder's name may end with ! too
        if any(step in (b"", b".", b"..") for step in path.split(b"/")):
            raise ArchiveError("is in an archive whose name leads out of its medium")
        name = os.path.join(os.fsencode(folder), path)
        if os.path.isfile(name) and not os.path.islink(name):
            info = os.lstat(name)
            return LooseFile(path, info.st_size, info.st_mtime_ns)
        if end < 0:
            raise ArchiveError("its archive is missing on the medium")
        end = archive.find(INSIDE, end + 1)


class _Wanted:
    """What is still wanted of an archive, and what is known of it.

    Attributes:
        items: these, by path or by size.
        left: all of these.
        wrong: those whose content was not right.
        met: the paths of those that came, whether right or not.
    """

    def __init__(self, archive: bytes, digest: str, take: Take) -> None:
        self.archive, self._take = archive, take
        self._digest = digest_function(digest)
        self._containers = {archive[:end] for end in range(len(archive)) if archive.startswith(INSIDE, end)}
        self._containers.add(archive)
        self.items: dict[bytes | int, list[Item]] = {}
        self.left: dict[Item, None] = {}
        self.wrong: dict[Item, str] = {}
        self.met: set[bytes] = set()
        self._is_by_size = False

    def begin(self, items: Sequence[Item], by_size: bool) -> None:
        """These are wanted, each known by its path or by its size."""
        self.items, self.left, self._is_by_size = {}, dict.fromkeys(items), by_size
        for item in items:
            if not by_size or item.digest is not None:
                self.items.setdefault(item.size if by_size else item.path, []).append(item)

    def leads_to(self, inside: bytes) -> bool:
        """Whether what is wanted is in this archive."""
        return inside in self._containers

    def offer(self, path: bytes, member: Member, pieces: Pieces) -> bool:
        """Hand on a member's content, if it is wanted; whether it is.

        Raises:
            ArchiveError: the content cannot be read.
            _AllTakenError: it was the last.
        """
        key = member.size if self._is_by_size else member.path
        some = self.items.get(key) if path == self.archive else None
        if not some:
            return False
        if not self._is_by_size:
            self.met.add(member.path)
        readable = _readable(pieces)
        if max(item.size for item in some) > IN_MEMORY:
            self._hand_on_large(key, some, member, readable)
        else:
            self._hand_on(key, some, member, _beginning(readable, IN_MEMORY + 1))
        if not self.left:
            raise _AllTakenError
        return True

    def _hand_on(self, key: bytes | int, some: list[Item], member: Member, content: bytes) -> None:
        """To all who want just that: of two members of one name, the one that they want."""
        found = self._digest(content)
        for item in list(some):
            if item.digest is None or (item.size, item.digest) == (len(content), found):
                self._done(key, item, self._take(item, Found(_attributes(member), iter((content,)))))
            elif not self._is_by_size:
                self.wrong[item] = WRONG_DIGEST

    def _hand_on_large(self, key: bytes | int, some: list[Item], member: Member, pieces: Pieces) -> None:
        item = next((item for item in some if item.size == member.size), None)
        if item is None and member.size == 0:  # which a stream tells at its end
            item = some[0]
        if item is not None:
            self._done(key, item, self._take(item, Found(_attributes(member), as_long_as(item.size, pieces))))

    def _done(self, key: bytes | int, item: Item, why: str | None) -> None:
        if why is not None:
            self.wrong[item] = why
            return
        self.items[key].remove(item)
        self.left.pop(item, None)


class _Taker(Archives):
    """Goes through an archive, and takes what is wanted out of it."""

    def __init__(self, telling: Telling, wanted: _Wanted) -> None:
        super().__init__(telling)
        self._wanted = wanted

    def tar(self, path: bytes, source: Stream, depth: int) -> None:
        """As that of `Archives`; what is behind the last that is wanted is not read."""
        for member, body in tar_reader.members(source, self._told.budget, partial(self._told.trouble, path)):
            if member.kind == FILE:
                member.mode = _mode(body)
                self.digest_of(path, member, iter(body.take, b""), depth)

    def digest_of(
        self, path: bytes, member: Member, pieces: Pieces, depth: int, file: Seekable | None = None
    ) -> bytes | None:
        """Take a member, or go into it; there is no digest to be told. Arguments and errors are those of `Archives`."""
        if not self._wanted.offer(path, member, pieces) and self._wanted.leads_to(path + INSIDE + member.path):
            super().digest_of(path, member, pieces, depth, file)
        return None


class _Taking(Entering):
    """Enters an archive on a medium, once or, where it must, more often."""

    def __init__(self, where: Where, loose: bytes, take: Take) -> None:
        depth = where.archive.count(INSIDE, len(loose)) + 1
        settings = Settings(where.digest, depth=depth, max_ratio=_NO_LIMIT, max_members=_NO_LIMIT)
        super().__init__(tree_at(where.folder), settings, self._hear)
        self._watch = where.watch
        self._wanted = _Wanted(where.archive, where.digest, take)
        self._archives = _Taker(self._told, self._wanted)
        self._troubles: dict[bytes, str] = {}

    def go_through_again(self, file: LooseFile, items: Sequence[Item], by_size: bool) -> list[Item]:
        """Hand on what can be had of these items; what is left.

        Of those that are known by one path, or by one size, a large member may be given to one that does not want it:
        the other gets it when it comes again.

        Raises:
            OSError: the archive cannot be opened.
        """
        counts = Counter(item.size if by_size else item.path for item in items)
        left, before = list(items), len(items) + 1
        while left and len(left) < before:
            before = len(left)
            left = self._go_through(file, left, by_size)
            if all(counts[item.size if by_size else item.path] == 1 for item in left):
                break
        return left

    def has_met(self, item: Item) -> bool:
        """Whether there was a member of its path."""
        return item.path in self._wanted.met

    def _go_through(self, file: LooseFile, items: Sequence[Item], by_size: bool) -> list[Item]:
        """The same, once.

        Raises:
            OSError: the archive cannot be opened.
        """
        self._wanted.begin(items, by_size)
        self._told.begin(file.path, file.size)
        with ExitStack() as stack:
            with self._watch:
                opened = stack.enter_context(self._tree.open(file))
            watched = Seekable(partial(self._at, opened), opened.size)
            stream = FileStream(watched, None, self._told.moved)
            try:
                # By the plain decoders, of which nothing is left to be waited for.
                self._enter_archive(file, watched, stream, hashing=True, threads=0)
            except _AllTakenError:
                return []
        return list(self._wanted.left)

    def _at(self, opened: Seekable, offset: int, size: int) -> bytes:
        with self._watch:
            return opened.at(offset, size)

    def why(self, item: Item) -> str:
        """Why one could not be had."""
        inside = item.archive + INSIDE + item.path
        for place in (inside, item.archive, self._told.path):
            if place in self._troubles:
                return self._troubles[place]
            if place == inside and item in self._wanted.wrong:
                return self._wanted.wrong[item]
        return "is not in its archive any more"

    def _hear(self, message: Message) -> None:
        if isinstance(message, Trouble) and not message.is_note:
            self._troubles.setdefault(message.path, message.message)
        elif isinstance(message, NotEntered):
            self._troubles[message.path] = f"its archive is of a kind that is not entered here ({message.kind})"


def _mode(body: tar_reader.Body) -> int | None:
    try:
        return tar_reader.attributes(body)[0]
    except ArchiveError:  # its numbers are none; its content may be good
        return None


def _attributes(member: Member) -> Attributes:
    """Permissions as the archive has them, where it has any; whose the file was says nothing here."""
    return Attributes(0o666 & ~umask() if member.mode is None else member.mode & 0o777)


def _readable(pieces: Pieces) -> Pieces:
    """The pieces; what the medium cannot give is not mistaken for what cannot be written."""
    try:
        yield from pieces
    except OSError as error:
        raise ArchiveError(f"cannot be read: {describe_error(error)}") from None


def _beginning(pieces: Iterator[bytes | memoryview], most: int) -> bytes:
    """All of the content, unless it is longer."""
    content = b""
    for piece in pieces:
        content += piece
        if len(content) >= most:
            break
    return content
