"""Entering: the rows of one file on a medium and, if it is an archive, of all that is in it.

The file is read once, from its beginning to its end, for its own digest, while the bytes go through the decoder. A zip
and a 7z, whose directory is at the end, and an image of a disc, are read in their own order and then once more for the
digest of the whole, from the memory that the system keeps of it. What is in archives, `archives` tells.

An image that lies on a medium is like a folder of it: archives in the image are as deep as those beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from threading import Event

import xxhash

from ..digests import Hasher, hasher_factory
from ..errors import ArchiveError
from ..walk import FILE, describe_error
from . import zip as zip_reader
from .archives import Archives, mtime_of
from .members import Member
from .memory import Memory
from .messages import ArchiveEnds, LooseFile, Message, NotEntered, Settings, Summed
from .seekable import AsFile, FileStream, Seekable
from .sniffing import (
    IMAGE,
    MAYBE_IN_FRONT,
    SEVENZIP,
    STREAMS,
    ZIP,
    codec_of,
    foreign_by_name,
    foreign_kind,
    kind_by_content,
    kind_by_name,
    promised_kind,
)
from .streams import ParallelStream, Stream, decoded, worth_threads
from .telling import Telling
from .trees import Tree
from .zips import drain

_XXH3 = "xxh3-128"


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
        tree: the medium.
        settings: how.
        tell: takes the messages.
        memory: what decoders may take; by default, all there is.
    """

    def __init__(
        self, tree: Tree, settings: Settings, tell: Callable[[Message], None], memory: Memory | None = None
    ) -> None:
        self._tree, self._settings = tree, settings
        self._told = Telling(settings, tell, memory or Memory())
        self._archives = Archives(self._told)

    def enter(self, file: LooseFile, threads: int = 1) -> None:
        """Tell all of a file; its own row last, so that its presence says that all is told.

        ``threads`` decode a large gz or bz2. A file that cannot be read is a `Trouble`, and its row has no digest.
        """
        told = self._told
        told.begin(file.path, file.size)
        hashing = self._settings.hashing or file.only_sum
        hashers = _Hashers(_XXH3 if file.only_sum else self._settings.digest) if hashing else None
        kind = None
        is_whole = False
        try:
            if hashing or (self._settings.depth and kind_by_name(file.path)):
                with self._tree.open(file) as found:
                    told.moved(0)
                    opened = found.signing(lambda: told.moved(0))
                    stream = FileStream(opened, hashers, told.moved)
                    if not file.only_sum:
                        kind = self._enter_archive(file, opened, stream, hashing, threads)
                    is_whole = hashing and self._read_to_its_end(file, stream)
        except OSError as error:
            told.trouble(file.path, f"cannot be read: {describe_error(error)}")
        except ArchiveError as error:
            told.trouble(file.path, str(error))
        told.end()
        whole = hashers.whole() if hashers is not None and is_whole else None
        if file.only_sum:
            if whole is not None:
                told.send(Summed(file, whole))
            return
        if kind is not None:
            told.flush()
            told.send(ArchiveEnds(file.path, file.size, whole, file.path))
        digest = hashers.digest() if hashers is not None and is_whole else None
        told.row(None, Member(file.path, FILE, file.size, file.mtime_ns), digest)
        if kind is not None:
            told.flush()

    def flush(self) -> None:
        """Send the rows that are held back."""
        self._told.flush()

    def _read_to_its_end(self, file: LooseFile, stream: FileStream) -> bool:
        """Read what is left of it, for its digest; whether that is the digest of the whole."""
        if self._told.unreadable:
            return False  # a drive may need minutes to say so again
        drain(stream)
        if stream.position != file.size:
            self._told.trouble(
                file.path, f"has {stream.position:,} bytes, not {file.size:,} as its folder says; it has no digest"
            )
        return stream.position == file.size

    def _enter_archive(
        self, file: LooseFile, opened: Seekable, stream: FileStream, hashing: bool, threads: int
    ) -> str | None:
        """Tell what is in the file; its kind, None if it is no archive."""
        kind = self._kind(file, opened, stream, hashing)
        if kind is None:
            return None
        archives, path, codec = self._archives, file.path, codec_of(kind)
        if kind == ZIP:
            archives.guarding(path, kind, lambda: archives.zips.tell(path, opened, 1, threads))
        elif kind == SEVENZIP:
            archives.guarding(path, kind, lambda: archives.sevenzips.tell(path, opened, 1))
        elif kind == IMAGE:
            archives.guarding(path, kind, lambda: archives.image(path, opened, 0))
        elif worth_threads(codec, file.size, threads):
            archives.guarding(path, kind, lambda: self._in_threads(file, kind, opened, stream, threads, hashing))
        else:
            archives.guarding(path, kind, lambda: archives.in_order(path, kind, stream, file.mtime_ns, 1))
        return kind

    def _kind(self, file: LooseFile, opened: Seekable, stream: Stream, hashing: bool) -> str | None:
        if not self._settings.depth:
            return None
        path = file.path
        kind = kind_by_content(stream, path)
        named = promised_kind(path)
        why = ""
        if kind is None and (named == ZIP or stream.peek(4).startswith(MAYBE_IN_FRONT)):
            try:
                zip_reader.find_directory(opened)
                return ZIP
            except ArchiveError as error:
                why = f"; it {error}"
        foreign = foreign_kind(stream) or foreign_by_name(path) if kind is None else None
        if kind is None and named and named != foreign:
            self._told.trouble(path, f"is no {named}, though its name says so{why if named == ZIP else ''}")
        if foreign is not None:
            self._told.send(NotEntered(path, foreign))
        return None if kind in STREAMS and not hashing else kind

    def _in_threads(
        self, file: LooseFile, kind: str, opened: Seekable, stream: FileStream, threads: int, hashing: bool
    ) -> None:
        """Let several threads decode it; an image's file goes to them through Python, which costs little beside it."""
        told, archives, codec = self._told, self._archives, codec_of(kind)
        budget, plain = told.budget, FileStream(Seekable(opened.at, opened.size), None, told.moved)
        source = self._tree.path_of(file) or AsFile(opened)
        mtime_ns = mtime_of(kind, stream) or file.mtime_ns
        with ThreadPoolExecutor(1) as ahead:
            parallel = ParallelStream(
                source, file.size, codec, threads, lambda: decoded(codec, plain, budget), budget, told.moved
            )
            # The decoder reads the file itself, and may say nothing for long: each thread first wants some MB, of which
            # a slow drive gives 100 kB a second. The digest goes ahead of it, and brings the bytes into memory; without
            # one somebody reads ahead all the same, for as long as the decoder wants any.
            ended = Event()
            read = ahead.submit(stream.drain_untold, lambda: ended.is_set() and not hashing)
            try:
                if kind in STREAMS:
                    archives.compressed(file.path, parallel, mtime_ns, 1)
                else:
                    archives.tar(file.path, parallel, 1)
            finally:
                parallel.close()
                ended.set()
                with nullcontext() if hashing else suppress(OSError):  # what the decoder had no need of
                    read.result()
