"""Foreign: members out of archives that this program did not write, or of which no manifest is left.

Nothing tells where in such an archive a member begins. So it is entered as `add` enters it, archives in it included,
and what is not wanted is passed over; when the last that is wanted has come, nothing more is read. Members are known
by their path. One that is found by none, because its name is read differently today, is known by size and digest.

Permissions and owners are those that `tar x` gives, and `unzip`: of a zip, which has no owners, no rights that a
program lends. What only stands in for a file of ours that was lost gets no owner from a stranger.
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
from ..reading.memory import Memory
from ..reading.messages import INSIDE, LooseFile, Message, NotEntered, Settings, Trouble
from ..reading.seekable import FileStream, Seekable
from ..reading.streams import Stream
from ..reading.telling import Telling
from ..reading.trees import tree_at
from ..reading.zips import Pieces
from ..walk import DIRECTORY, FILE, SYMLINK, describe_error
from .frames import IN_MEMORY, WRONG_DIGEST, Attributes, Found, as_long_as
from .items import Item
from .owners import umask
from .selecting import is_in_its_own_place
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


def foreign_members(where: Where, items: Sequence[Item], take: Take, memory: Memory | None = None) -> dict[Item, str]:
    """Hand on what is wanted of an archive.

    Args:
        where: it is.
        items: of this archive.
        take: is called for each that is found, and takes its content at once.
        memory: what decoders may take; by default, all there is.

    Returns:
        Those that could not be had, and why.
    """
    others: dict[tuple[str, bytes], list[Item]] = {}
    for item in items:
        if item.kind != FILE and item.place:  # ./ is the target itself
            others.setdefault((item.kind, item.path.rstrip(b"/")), []).append(item)
    wanted = [item for item in items if item.kind == FILE]
    failed, why = _files(where, wanted, others, take, memory)
    # Of these, the catalogue tells all but permissions and owners.
    for item in [item for some in others.values() for item in some]:
        take(item, Found(Attributes(0o777) if item.kind == SYMLINK else None, iter(())))
        if why is not None and item.kind == DIRECTORY:
            failed[item] = f"is there without its permissions: {why}"
    return failed


def _files(
    where: Where, wanted: list[Item], others: dict[tuple[str, bytes], list[Item]], take: Take, memory: Memory | None
) -> tuple[dict[Item, str], str | None]:
    """Hand on the files, and of the others those that are met; which files could not be had, and what is wrong.

    ``others``, by kind and path, loses what was handed on.
    """
    try:
        with where.watch:
            loose = _loose_file(where.folder, where.archive)
            entering = _Taking(where, loose.path, take, others, memory)
        wanted = entering.go_through_again(loose, wanted, by_size=False)
        # What was met by its path, and was not what was wanted, is nowhere else.
        not_met = [item for item in wanted if item.digest is not None and not entering.has_met(item)]
        if not_met:
            found = set(not_met).difference(entering.go_through_again(loose, not_met, by_size=True))
            wanted = [item for item in wanted if item not in found]
    except ArchiveError as error:
        why = str(error)
    except SourceError as error:
        why = f"its archive cannot be read: {error}"
    except OSError as error:
        why = f"its archive cannot be read: {describe_error(error)}"
    else:
        return {item: entering.why(item) for item in wanted}, entering.trouble()
    return dict.fromkeys(wanted, why), why


def _loose_file(folder: str, archive: bytes) -> LooseFile:
    """The file on the medium that is the archive, or that has it inside.

    Raises:
        ArchiveError: there is none.
    """
    ends = [end for end in range(len(archive)) if archive.startswith(INSIDE, end)]
    is_outside = True
    # A folder's name may end with ! too: what lies in it is meant before what is in an archive beside it.
    for end in (len(archive), *reversed(ends)):
        path = archive[:end]
        is_outside = any(step in (b"", b".", b"..") for step in path.split(b"/"))
        name = os.path.join(os.fsencode(folder), path)
        if not is_outside and os.path.isfile(name) and not os.path.islink(name):
            info = os.lstat(name)
            return LooseFile(path, info.st_size, info.st_mtime_ns)
    if is_outside:
        raise ArchiveError("is in an archive whose name leads out of its medium")
    raise ArchiveError("its archive is missing on the medium")


class _Wanted:
    """What is still wanted of an archive, and what is known of it.

    Attributes:
        items: these, by path or by size.
        left: all of these.
        others: folders and links that are wanted too, by kind and path.
        wrong: those whose content was not right.
        met: the paths of those that came, whether right or not.
    """

    def __init__(self, archive: bytes, digest: str, take: Take, others: dict[tuple[str, bytes], list[Item]]) -> None:
        self.archive, self._take, self.others = archive, take, others
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
        self._end_if_done()
        return True

    def note(self, path: bytes, member: Member) -> None:
        """Hand on a folder or a link, if it is wanted, with what the archive says of it.

        Raises:
            _AllTakenError: it was the last.
        """
        some = self.others.pop((member.kind, member.path.rstrip(b"/")), None) if path == self.archive else None
        if some is None:
            return
        for item in some:
            self._take(item, Found(_attributes(item, member), iter(())))
        self._end_if_done()

    def _end_if_done(self) -> None:
        if not self.left and not self.others:
            raise _AllTakenError

    def _hand_on(self, key: bytes | int, some: list[Item], member: Member, content: bytes) -> None:
        """To all who want just that: of two members of one name, the one that they want."""
        found = self._digest(content)
        for item in list(some):
            if item.digest is None or (item.size, item.digest) == (len(content), found):
                self._done(key, item, self._take(item, Found(_attributes(item, member), iter((content,)))))
            elif not self._is_by_size:
                self.wrong[item] = WRONG_DIGEST

    def _hand_on_large(self, key: bytes | int, some: list[Item], member: Member, pieces: Pieces) -> None:
        item = next((item for item in some if item.size == member.size), None)
        if item is None and member.size == 0:  # which a stream tells at its end
            item = some[0]
        if item is not None:
            found = Found(_attributes(item, member), as_long_as(item.size, pieces))
            self._done(key, item, self._take(item, found))

    def _done(self, key: bytes | int, item: Item, why: str | None) -> None:
        if why is not None:
            self.wrong[item] = why
            return
        self.items[key].remove(item)
        self.left.pop(item, None)


class _Told(Telling):
    """Records nothing: what is told of a member that has no content is looked at."""

    def __init__(self, settings: Settings, hear: Callable[[Message], None], memory: Memory, wanted: _Wanted) -> None:
        super().__init__(settings, hear, memory)
        self._wanted = wanted

    def row(self, archive: bytes | None, member: Member, digest: bytes | None) -> None:
        """Take a folder or a link; files came before, with their content."""
        if archive is not None and member.kind != FILE:
            self._wanted.note(archive, member)


class _Taker(Archives):
    """Goes through an archive, and takes what is wanted out of it."""

    def __init__(self, telling: Telling, wanted: _Wanted) -> None:
        super().__init__(telling)
        self._wanted = wanted

    def tar(self, path: bytes, source: Stream, depth: int) -> None:
        """As that of `Archives`; what is behind the last that is wanted is not read."""
        for member, body in tar_reader.members(source, self._told.budget, partial(self._told.trouble, path)):
            member.mode, member.owner = _mode_and_owner(body)
            if member.kind == FILE:
                self.digest_of(path, member, iter(body.take, b""), depth)
            else:
                self._wanted.note(path, member)

    def digest_of(
        self, path: bytes, member: Member, pieces: Pieces, depth: int, file: Seekable | None = None
    ) -> bytes | None:
        """Take a member, or go into it; there is no digest to be told. Arguments and errors are those of `Archives`."""
        if not self._wanted.offer(path, member, pieces) and self._wanted.leads_to(path + INSIDE + member.path):
            super().digest_of(path, member, pieces, depth, file)
        return None


class _Taking(Entering):
    """Enters an archive on a medium, once or, where it must, more often."""

    def __init__(
        self,
        where: Where,
        loose: bytes,
        take: Take,
        others: dict[tuple[str, bytes], list[Item]],
        memory: Memory | None,
    ) -> None:
        depth = where.archive.count(INSIDE, len(loose)) + 1
        settings = Settings(where.digest, depth=depth, max_ratio=_NO_LIMIT, max_members=_NO_LIMIT)
        super().__init__(tree_at(where.folder), settings, self._hear)
        self._watch = where.watch
        self._wanted = _Wanted(where.archive, where.digest, take, others)
        self._told = _Told(settings, self._hear, memory or Memory(), self._wanted)
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
        while (left or self._wanted.others) and len(left) < before:
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
        inside = self._wanted.archive + INSIDE + item.path
        for place in (inside, self._wanted.archive, self._told.path):
            if place in self._troubles:
                return self._troubles[place]
            if place == inside and item in self._wanted.wrong:
                return self._wanted.wrong[item]
        return "is not in its archive any more"

    def trouble(self) -> str | None:
        """What is wrong with the archive as a whole; None if nothing is."""
        return self._troubles.get(self._wanted.archive) or self._troubles.get(self._told.path)

    def _hear(self, message: Message) -> None:
        if isinstance(message, Trouble) and not message.is_note:
            self._troubles.setdefault(message.path, message.message)
        elif isinstance(message, NotEntered):
            self._troubles[message.path] = f"its archive is of a kind that is not entered here ({message.kind})"


def _mode_and_owner(body: tar_reader.Body) -> tuple[int | None, tuple[int, int, bytes, bytes] | None]:
    try:
        mode, uid, gid, user, group = tar_reader.attributes(body)
    except ArchiveError:  # its numbers are none; its content may be good
        return None, None
    return mode, (uid, gid, user, group)


def _attributes(item: Item, member: Member) -> Attributes | None:
    """Permissions and owner as the archive has them; None for a folder of which it tells nothing."""
    owner = member.owner if is_in_its_own_place(item) else None
    if member.kind == SYMLINK:
        return Attributes(0o777, *(owner or ()))
    if member.mode is None:
        return None if member.kind == DIRECTORY else Attributes(0o666 & ~umask())
    return Attributes(member.mode & 0o777) if owner is None else Attributes(member.mode, *owner)


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
