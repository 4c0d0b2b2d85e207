"""Placing: content into a directory, and never outside it, whatever names and links say.

Every step of a path is opened relative to the directory before it and never through a symbolic link (``openat`` with
``O_NOFOLLOW``), so that a link which a member made a moment ago leads nowhere. Where the system has no such calls, each
step is looked at first. Content goes to a file without a name, or where there are none and for what is checked while
it is written, to a temporary name beside its own, private to the user; it gets its name when its digest is right, with
``never`` by a hard link, which cannot replace anything.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..errors import BackalaikaError
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
# Of a folder that was begun: private, and with the sticky bit, which changes nothing for its owner. So it is known for
# ours until it gets what it had, also by the next restore if this one is ended before. Linux's mkdir sets it.
_BEGUN = 0o1700
_USER = os.geteuid() if hasattr(os, "geteuid") else -1
_NO_NAMES = (b"", b".", b"..")
# A file that has no name yet, and goes away with its process.
_NAMELESS = getattr(os, "O_TMPFILE", 0)
_DESCRIPTORS = b"/proc/self/fd"
# What O_TMPFILE says of systems and file systems without it: open(2).
_NO_NAMELESS = {errno.EISDIR, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.ENOENT}
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
        self._has_nameless = bool(_NAMELESS) and _HAS_DIR_FD and os.path.isdir(_DESCRIPTORS)

    def begin_task(self) -> None:
        """Forget which folders were not there: other processes make them too."""
        self._missing.clear()

    def take_back(self) -> None:
        """Remove the file that is being written, if there is one; for a process that ends at once."""
        if self._begun is not None:
            with contextlib.suppress(OSError):  # it may not have been made yet, or be gone already
                os.unlink(self._begun[0], **self._begun[1])

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
                os.mkdir(path, _BEGUN, **where)
                is_new = True
        try:
            opened = os.open(path, _DIRECTORY, **where) if _HAS_DIR_FD else path
            info = os.fstat(opened) if _HAS_DIR_FD else os.lstat(path)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
                raise _in_the_way(place) from None
            raise
        if not stat.S_ISDIR(info.st_mode) or getattr(info, "st_reparse_tag", False):
            raise _in_the_way(place)
        if is_new:
            self._fresh.add(place)
        if is_new or _is_begun(info):
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
        return self.overwrite == ALWAYS or (self.overwrite == OLDER and info.st_mtime_ns < mtime_ns)

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
        """Make a file of content that was checked.

        Where the system can, it has no name until all is in it: that is a tenth faster than to take away another
        name, and whatever ends the process leaves nothing behind.

        Raises:
            FileExistsError: something is there and stays.
            NoRoomError: the disk is full.
            PlaceError, OSError: it cannot be put there.
        """
        folder, name = self._parent(place)
        descriptor = self._nameless(folder) if self._has_nameless else -1
        try:
            if descriptor >= 0:
                write_content(descriptor, content)
                self._own(descriptor, attributes)
                os.chmod(descriptor, self._mode(attributes))
                os.utime(descriptor, ns=(mtime_ns, mtime_ns))
                self._make(name, {"dir_fd": folder}, partial(_give_name, descriptor, folder))
                return
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._has_nameless = False
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        with self.new_file(place) as file:
            write_content(file.descriptor, content)
            file.publishes = attributes, mtime_ns

    def _nameless(self, folder: Any) -> int:
        """A file without a name; -1 where there are none."""
        try:
            return os.open(b".", os.O_RDWR | _NAMELESS | _NOFOLLOW, 0o600, dir_fd=folder)
        except OSError as error:
            if error.errno not in _NO_NAMELESS:
                raise
            self._has_nameless = False
            return -1

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
        """Remove what processes that were killed have left beside these places under temporary names."""
        for above in {place.rpartition(b"/")[0] for place in places}:
            with contextlib.suppress(PlaceError, OSError):  # it was never made, or cannot be looked at
                folder = self.folder(above, make=False)
                for name in map(os.fsencode, os.listdir(folder)):
                    if name.startswith(self._of_all + b"-"):
                        path, where = _at(folder, name)
                        os.unlink(path, **where)

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
        return attributes.mode if self._is_root else attributes.mode & 0o1777

    def _own(self, descriptor: int, attributes: Attributes | None) -> None:
        if self._is_root and attributes is not None and attributes.uid >= 0:
            os.chown(descriptor, *owner_here(attributes))

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
        return _is_begun(self.look(place))

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


def _is_begun(info: os.stat_result) -> bool:
    """Whether a folder is as a restore of this user makes them; one that is made in a setgid folder is one too."""
    return stat.S_IMODE(info.st_mode) & ~stat.S_ISGID == _BEGUN and info.st_uid == _USER


def _give_name(descriptor: int, folder: int, name: bytes) -> None:
    os.link(b"%b/%d" % (_DESCRIPTORS, descriptor), name, dst_dir_fd=folder, follow_symlinks=True)


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
