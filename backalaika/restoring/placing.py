"""Placing: content into a directory, and never outside it, whatever names and links say.

Every step of a path is opened relative to the directory before it and never through a symbolic link (``openat`` with
``O_NOFOLLOW``), so that a link which a member made a moment ago leads nowhere. Where the system has no such calls, each
step is looked at first. Content that was checked goes to its place, under a sign that it is not whole until it is;
where the system has no such signs, or something is in the place, and content that is checked while it is written, goes
to a temporary name beside that, private to the user; it gets its name when its digest is right, with ``never`` by a
hard link, which cannot replace anything.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import BackalaikaError
from .begun import BEGUN_FILE, BEGUN_FOLDER, can_sign, is_begun_file, is_begun_folder, make_signed, take_away_begun
from .frames import Attributes
from .owners import owner_here, umask
from .writing import NewFile, write_content

NEVER, OLDER, ALWAYS = OVERWRITE = ("never", "older", "always")
PARTIAL = b".backalaika-"
# Ends the token of the main process, which may be the only one, and then has another `Target` beside this.
MAIN = "m"

_HAS_DIR_FD = {os.open, os.mkdir, os.stat, os.symlink, os.unlink, os.rename, os.link} <= os.supports_dir_fd
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_TOP = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_DIRECTORY = _TOP | _NOFOLLOW
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | _NOFOLLOW
_OLD_FILE = os.O_RDWR | getattr(os, "O_BINARY", 0) | _NOFOLLOW
# A FIFO that came in the place of a file would make an open wait.
_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | _NOFOLLOW
_MOST_OPEN = 64
_NO_NAMES = (b"", b".", b"..")
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


class PlaceError(BackalaikaError):
    """A member cannot be put where it wants to go; the message goes behind its name."""


def steps_of(place: bytes) -> list[bytes]:
    """The names in a path below the target directory.

    Raises:
        PlaceError: it would lead out of it, or is none.
    """
    steps = place.split(b"/")
    bad = not place or any(step in (b"", b".", b"..") or b"\0" in step for step in steps)
    if sys.platform == "win32":
        bad = bad or any(set(step) & set(b'\\:*?"<>|') or step.endswith((b".", b" ")) for step in steps)
    if bad:
        raise PlaceError("its name would lead out of the directory, or is none")
    return steps


def split_place(place: bytes) -> tuple[bytes, bytes]:
    """The folder of a path below the target directory, and the name in it; the folder's is checked when it is opened.

    Raises:
        PlaceError: the name leads out of it, or is none.
    """
    above, slash, name = place.rpartition(b"/")
    if name in _NO_NAMES or b"\0" in name or (slash and not above) or sys.platform == "win32":
        steps_of(place)
    return above, name


class Target:
    """A directory that is restored to.

    Args:
        root: its path; links in that are followed.
        overwrite: one of `OVERWRITE`: what becomes of files that are there.
        token: a part of temporary names, the same for all processes of a restore, but for `MAIN`.

    Attributes:
        made: folders that were made, or found as a restore had begun them, since it was emptied last.
    """

    def __init__(self, root: str, overwrite: str, token: str) -> None:
        self.root = root
        self.overwrite = overwrite
        self._of_all = PARTIAL + token.removesuffix(MAIN).encode()
        self._temporary = PARTIAL + token.encode() + b"-%d-" % os.getpid()
        self._number = 0
        path = os.fsencode(root)
        self._top: Any = os.open(path, _TOP) if _HAS_DIR_FD else path
        self._open: dict[bytes, Any] = {}
        self._is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        self._begun: tuple[Any, dict[str, Any]] | None = None
        self.made: list[bytes] = []
        # Of the open folders those that this process made, in which nothing was before.
        self._fresh: set[bytes] = set()
        # Folders that were not there when a task began.
        self._missing: set[bytes] = set()
        self._has_signs: bool | None = None  # not known yet

    def begin_task(self) -> None:
        """Forget which folders were not there: other processes make them too."""
        self._missing.clear()

    def take_back(self) -> None:
        """Remove the file that is being written, if there is one; for a process that ends at once."""
        if self._begun is None:
            return
        path, where = self._begun
        with contextlib.suppress(OSError):  # it may not have been made yet, or be gone already
            if os.path.basename(path).startswith(self._temporary):
                os.unlink(path, **where)
            else:
                take_away_begun(path, where)

    def close(self) -> None:
        """Close all folders."""
        for folder in [self._top, *self._open.values()]:
            if isinstance(folder, int):
                os.close(folder)
        self._open = {}

    # Folders

    def folder(self, place: bytes, make: bool = True) -> Any:
        """A folder below the target, made if it is not there; what `_at` wants.

        Raises:
            PlaceError: a link or a file is in the way, or the name leads outside.
            OSError: it cannot be made.
        """
        if not place:
            return self._top
        found = self._open.pop(place, None)
        if found is not None:
            self._open[place] = found  # used last, closed last
            return found
        steps = steps_of(place)
        known = next((n for n in range(len(steps) - 1, 0, -1) if b"/".join(steps[:n]) in self._open), 0)
        opened = self._open[b"/".join(steps[:known])] if known else self._top
        for number in range(known, len(steps)):
            path = b"/".join(steps[: number + 1])
            opened = self._enter(opened, steps[number], path, make)
            self._open[path] = opened
            if len(self._open) > _MOST_OPEN:
                first = next(iter(self._open))
                self._fresh.discard(first)
                gone = self._open.pop(first)
                if isinstance(gone, int):
                    os.close(gone)
        return opened

    def _enter(self, above: Any, name: bytes, place: bytes, make: bool) -> Any:
        path, where = _at(above, name)
        is_new = False
        if make:
            # One that is there was made before, or by another process; what it is shows when it is opened.
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, BEGUN_FOLDER, **where)
                is_new = True
        try:
            opened = os.open(path, _DIRECTORY, **where) if _HAS_DIR_FD else path
            info = os.fstat(opened) if _HAS_DIR_FD else os.lstat(path)
        except OSError as error:
            if make and error.errno == errno.ENOTDIR and take_away_begun(path, where):
                return self._enter(above, name, place, make)
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
                raise _in_the_way(place) from None
            raise
        if not stat.S_ISDIR(info.st_mode) or getattr(info, "st_reparse_tag", False):
            raise _in_the_way(place)
        if is_new:
            self._fresh.add(place)
        if is_new or is_begun_folder(info):
            self.made.append(place)
        return opened

    def _parent(self, place: bytes) -> tuple[Any, bytes]:
        above, name = split_place(place)
        return self.folder(above), name

    # Looking

    def is_wanted(self, place: bytes, mtime_ns: int) -> bool:
        """Whether a file or link of this time is to be put there: nothing is there, or it may be replaced.

        Raises:
            PlaceError, OSError: nothing can be put there.
        """
        above, name = split_place(place)
        if above in self._fresh or above in self._missing:
            return True
        try:
            folder = self.folder(above, make=False)
        except FileNotFoundError:
            self._missing.add(above)
            return True
        try:
            path, where = _at(folder, name)
            info = os.stat(path, follow_symlinks=False, **where)
        except FileNotFoundError:
            return True
        if stat.S_ISDIR(info.st_mode):
            if self.overwrite == NEVER:
                return False
            raise PlaceError("a folder of this name is in the way")
        if self.overwrite == ALWAYS:
            return True
        if is_begun_file(info):
            if not take_away_begun(path, where):
                raise PlaceError("another restore is writing it")
            return True
        return self.overwrite == OLDER and info.st_mtime_ns < mtime_ns

    def look(self, place: bytes) -> os.stat_result:
        """What is there.

        Raises:
            PlaceError, OSError: nothing that could be looked at.
        """
        above, name = split_place(place)
        path, where = _at(self.folder(above, make=False), name)
        return os.stat(path, follow_symlinks=False, **where)

    def link_at(self, place: bytes) -> bytes:
        """Where a symbolic link leads that is there; raises as `look`."""
        above, name = split_place(place)
        path, where = _at(self.folder(above, make=False), name)
        return bytes(os.readlink(path, **where))

    def open_there(self, place: bytes) -> int:
        """A file that is there, for reading; raises as `look`."""
        above, name = split_place(place)
        path, where = _at(self.folder(above, make=False), name)
        return os.open(path, _READING, **where)

    def looks_like(self, place: bytes, size: int, mtime_ns: int) -> bool:
        """Whether a regular file of this size and time is there."""
        try:
            info = self.look(place)
        except (PlaceError, OSError):
            return False
        return stat.S_ISREG(info.st_mode) and (info.st_size, info.st_mtime_ns) == (size, mtime_ns)

    # Writing

    def put(self, place: bytes, content: bytes | memoryview, attributes: Attributes | None, mtime_ns: int) -> None:
        """Make a file of content that was checked, where `is_wanted` said so.

        It stands in its place with the sign of one that was begun until it is whole: to give it another name then, or
        one to a file without, takes the kernel half as long again.

        Raises:
            FileExistsError: something is there and stays.
            NoRoomError: the disk is full.
            PlaceError, OSError: it cannot be put there.
        """
        folder, name = self._parent(place)
        if self._has_signs is None:
            self._has_signs = self._probe_signs(folder)
        if self._has_signs:

            def fill(descriptor: int, info: os.stat_result) -> None:
                write_content(descriptor, content)
                self._own(descriptor, attributes, info)
                os.utime(descriptor, ns=(mtime_ns, mtime_ns))
                os.chmod(descriptor, self._mode(attributes))

            self._begun = name, {"dir_fd": folder}
            is_made = make_signed(*self._begun, fill)
            self._begun = None
            if is_made:
                return
        with self.new_file(place) as file:
            write_content(file.descriptor, content)
            file.publishes = attributes, mtime_ns

    def _probe_signs(self, folder: Any) -> bool:
        """Whether a file may stand in its place before it is whole, for the next restore knows it then."""
        if not _HAS_DIR_FD or not {os.chmod, os.utime} <= os.supports_fd:
            return False
        self._number += 1
        self._begun = self._temporary + b"%d.partial" % self._number, {"dir_fd": folder}
        has_signs = can_sign(*self._begun)
        self._begun = None
        return has_signs

    @contextmanager
    def new_file(self, place: bytes) -> Iterator[NewFile]:
        """A file under a temporary name beside its place; gone afterwards, unless it is to be published."""
        self._number += 1
        temporary = self._temporary + b"%d.partial" % self._number
        with self._file(place, temporary, _NEW_FILE, is_ours=True) as file:
            yield file

    def begin_whole(self, place: bytes) -> bytes:
        """Make an empty file for the parts of another; returns its temporary name beside that."""
        self._number += 1
        temporary = self._temporary + b"%d.partial" % self._number
        with self._file(place, temporary, _NEW_FILE, is_ours=False):
            return temporary

    @contextmanager
    def reopened(self, place: bytes, temporary: bytes) -> Iterator[NewFile]:
        """A file that was begun, for a part of it; it stays."""
        with self._file(place, temporary, _OLD_FILE, is_ours=False) as file:
            yield file

    @contextmanager
    def adopted(self, place: bytes, temporary: bytes) -> Iterator[NewFile]:
        """A file that was begun, with all its parts; gone afterwards, unless it is to be published."""
        with self._file(place, temporary, _OLD_FILE, is_ours=True) as file:
            yield file

    def discard(self, place: bytes, temporary: bytes) -> None:
        """Remove a file that was begun."""
        with self._file(place, temporary, _OLD_FILE, is_ours=True):
            return

    def take_away(self, places: Iterable[bytes]) -> None:
        """Remove what processes that were killed have begun in these places, and beside them under temporary names."""
        names: dict[bytes, set[bytes]] = {}
        for above, _, name in (place.rpartition(b"/") for place in places):
            names.setdefault(above, set()).add(name)
        for above, wanted in names.items():
            with contextlib.suppress(PlaceError, OSError):  # it was never made, or cannot be looked at
                folder = self.folder(above, make=False)
                for name in map(os.fsencode, os.listdir(folder)):
                    path, where = _at(folder, name)
                    if name.startswith(self._of_all + b"-"):
                        os.unlink(path, **where)
                    elif name in wanted:
                        take_away_begun(path, where)

    @contextmanager
    def _file(self, place: bytes, temporary: bytes, flags: int, is_ours: bool) -> Iterator[NewFile]:
        folder, name = self._parent(place)
        path, where = _at(folder, temporary)
        if is_ours:
            self._begun = path, where
        file = NewFile(os.open(path, flags, 0o600, **where))
        try:
            yield file
            if file.publishes is not None:
                self._give_attributes(file, path)
                self._publish(folder, path, where, name)
                self._begun = None
                return
        except BaseException:
            file.close()
            if is_ours:
                os.unlink(path, **where)
            raise
        file.close()
        if is_ours:
            os.unlink(path, **where)

    def _give_attributes(self, file: NewFile, path: Any) -> None:
        assert file.publishes is not None
        attributes, mtime_ns = file.publishes
        if os.chmod in os.supports_fd:
            self._own(file.descriptor, attributes)
            os.chmod(file.descriptor, self._mode(attributes))
        if os.utime in os.supports_fd:
            os.utime(file.descriptor, ns=(mtime_ns, mtime_ns))
            file.close()
        else:
            file.close()
            os.utime(path, ns=(mtime_ns, mtime_ns))

    def _mode(self, attributes: Attributes | None) -> int:
        if attributes is None:
            return 0o666 & ~umask()
        # To whom a program lends its rights is told by its owner, whom only root can restore.
        mode = attributes.mode if self._is_root else attributes.mode & 0o1777
        return mode & ~stat.S_ISVTX if mode == BEGUN_FILE else mode  # with that sign it would never count as whole

    def _own(self, descriptor: int, attributes: Attributes | None, info: os.stat_result | None = None) -> None:
        """Give a file or folder its owner, which ``info`` may tell that it has already."""
        if self._is_root and attributes is not None and attributes.uid >= 0:
            owner = owner_here(attributes)
            if info is None or owner != (info.st_uid, info.st_gid):
                os.chown(descriptor, *owner)

    def _publish(self, folder: Any, path: Any, where: dict[str, Any], name: bytes) -> None:
        final, _ = _at(folder, name)
        both = {"src_dir_fd": where["dir_fd"], "dst_dir_fd": where["dir_fd"]} if where else {}
        if self.overwrite != NEVER:
            os.replace(path, final, **both)
            return
        try:
            os.link(path, final, follow_symlinks=False, **both)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _refuse_if_there(final, where)
            os.rename(path, final, **both)
            return
        os.unlink(path, **where)

    def symlink(self, place: bytes, target: bytes, attributes: Attributes | None, mtime_ns: int) -> None:
        """Make a symbolic link. It is never followed here."""
        folder, name = self._parent(place)
        path, where = _at(folder, name)
        self._make(path, where, lambda new: os.symlink(target, new, **where))
        if self._is_root and attributes is not None and attributes.uid >= 0:
            os.chown(path, *owner_here(attributes), follow_symlinks=False, **where)
        if os.utime in os.supports_follow_symlinks:
            os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False, **where)

    def hard_link(self, place: bytes, target: bytes) -> None:
        """Make another name of a file that was restored."""
        folder, name = self._parent(place)
        if isinstance(folder, int):
            folder = os.dup(folder)  # the next one to be opened may close it
        try:
            path, where = _at(folder, name)
            from_folder, from_name = self._parent(target)
            source, from_where = _at(from_folder, from_name)
            both = {"src_dir_fd": from_where["dir_fd"], "dst_dir_fd": where["dir_fd"]} if where else {}
            if not stat.S_ISREG(os.stat(source, follow_symlinks=False, **from_where).st_mode):
                raise PlaceError("what it is another name of is no file any more")
            self._make(path, where, lambda new: os.link(source, new, follow_symlinks=False, **both))
        finally:
            if isinstance(folder, int):
                os.close(folder)

    def _make(self, path: Any, where: dict[str, Any], make: Callable[[Any], None]) -> None:
        """Make what cannot be made under a name that is taken; replace that if it may be."""
        try:
            make(path)
            return
        except FileExistsError:
            if self.overwrite == NEVER:
                raise
        self._number += 1
        temporary = self._temporary + b"%d.partial" % self._number
        new = temporary if where else os.path.join(os.path.dirname(path), temporary)
        make(new)
        try:
            both = {"src_dir_fd": where["dir_fd"], "dst_dir_fd": where["dir_fd"]} if where else {}
            os.replace(new, path, **both)
        finally:
            # Two names of one file are left as they are by a rename.
            if os.path.lexists(new) if not where else _is_there(new, where):
                os.unlink(new, **where)

    def is_begun(self, place: bytes) -> bool:
        """Whether the next restore will know a folder for one that was begun; raises as `look`."""
        return is_begun_folder(self.look(place))

    def finish_folder(self, place: bytes, attributes: Attributes | None, mtime_ns: int | None, is_ours: bool) -> None:
        """Give a folder what it had, after all that is in it has come.

        Args:
            place: of the folder.
            attributes: None: those of any new folder.
            mtime_ns: None: now.
            is_ours: whether its permissions and owner may be set, and not only its time.
        """
        folder = self.folder(place, make=False)
        mode = 0o777 & ~umask() if attributes is None else self._mode(attributes)
        if is_ours:
            if isinstance(folder, int):
                self._own(folder, attributes)
            os.chmod(folder, mode)
        if mtime_ns is not None:
            os.utime(folder, ns=(mtime_ns, mtime_ns))


def _at(folder: Any, name: bytes) -> tuple[Any, dict[str, Any]]:
    """A name in a folder, as calls want it: relative to a descriptor, or as a path."""
    if isinstance(folder, int):
        return name, {"dir_fd": folder}
    return os.path.join(folder, name), {}


def _is_there(path: Any, where: dict[str, Any]) -> bool:
    try:
        os.stat(path, follow_symlinks=False, **where)
    except FileNotFoundError:
        return False
    return True


def _refuse_if_there(path: Any, where: dict[str, Any]) -> None:
    if _is_there(path, where):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def _in_the_way(place: bytes) -> PlaceError:
    return PlaceError(f"{os.fsdecode(place)!r} is no folder there but a link or a file")
