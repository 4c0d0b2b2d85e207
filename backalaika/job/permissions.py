"""Permissions: a job file is a program, so it runs only if nobody but its user could have written it.

What is checked is what is read: the directory that holds the real file (links are followed first) is opened, the file
is opened in it by its name alone, and owner and mode are asked of these two descriptors. Whoever swaps a link or a
file in the meantime gains nothing. The directory counts as well, for who can write it can put another file in place;
in a sticky one (``/tmp``) only the owners can.

Group-write is common where each user has a private group (Debian's umask 002), and is accepted just there. An access
control list may name more users than the mode tells; a file or directory that the group can write must have none.

On Windows nothing is checked: it has neither owners nor modes as `os.stat` tells them.
"""

from __future__ import annotations

import os
import shlex
import stat

from ..errors import ConfigurationError

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)


def read_program(path: str) -> bytes:
    """The content of a job file or ``~/.backalaika``, if nobody else can have written it.

    Raises:
        ConfigurationError: it is no regular file, belongs to another user, or others can write it or its directory.
        OSError: it cannot be opened or read.
    """
    if not hasattr(os, "geteuid"):
        with open(path, "rb") as program:
            return program.read()
    folder, name = os.path.split(os.path.realpath(path))
    directory = os.open(folder, _FLAGS | os.O_DIRECTORY)
    try:
        # Not waiting for the writer of a FIFO: it is refused below.
        descriptor = os.open(name or ".", _FLAGS | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        try:
            _check_file(path, os.path.join(folder, name), descriptor)
            _check_directory(path, folder, directory)
            with open(descriptor, "rb", closefd=False) as program:
                return program.read()
        finally:
            os.close(descriptor)
    finally:
        os.close(directory)


def _check_file(path: str, real: str, descriptor: int) -> None:
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        raise ConfigurationError(f"{path}: not a regular file; name a file of Python text, such as jobs/example.py")
    if info.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(
            f"{path}: not run, for it belongs to {_user_name(info.st_uid)}. Look at what it does, then: "
            f"{_sudo(0)}chown {_user_name(os.geteuid())} {shlex.quote(real)}"
        )
    who = _who_else_writes(info, descriptor)
    if who:
        raise ConfigurationError(
            f"{path}: not run, for {who} can write it. Look at what it does, then: "
            f"{_sudo(info.st_uid)}chmod go-w {shlex.quote(real)}"
        )


def _check_directory(path: str, real: str, descriptor: int) -> None:
    info = os.fstat(descriptor)
    if info.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(
            f"{path}: not run, for its directory belongs to {_user_name(info.st_uid)}, who could put another file in "
            f"its place. Move it to a directory of yours, or: "
            f"{_sudo(0)}chown {_user_name(os.geteuid())} {shlex.quote(real)}"
        )
    who = "" if info.st_mode & stat.S_ISVTX else _who_else_writes(info, descriptor)
    if who:
        raise ConfigurationError(
            f"{path}: not run, for {who} can write its directory and put another file in its place. Move it to a "
            f"directory that only you can write, or: {_sudo(info.st_uid)}chmod go-w {shlex.quote(real)}"
        )


def _who_else_writes(info: os.stat_result, descriptor: int) -> str:
    if info.st_mode & stat.S_IWOTH:
        return "everybody"
    if info.st_mode & stat.S_IWGRP and not _only_owner_in_group(info, descriptor):
        return "its group"
    return ""


def _sudo(needed: int) -> str:
    """What must stand before a command that only this user, or root, may give."""
    return "" if os.geteuid() in (needed, 0) else "sudo "


def _only_owner_in_group(info: os.stat_result, descriptor: int) -> bool:
    """Whether the group of a file is its owner's private one, and the mode tells all who can write."""
    import grp
    import pwd

    try:
        owner, group = pwd.getpwuid(info.st_uid), grp.getgrgid(info.st_gid)
    except KeyError:  # a number without a name; who is behind it is not known
        return False
    return (
        owner.pw_gid == group.gr_gid
        and group.gr_name == owner.pw_name
        and set(group.gr_mem) <= {owner.pw_name}
        and all(user.pw_uid == owner.pw_uid for user in pwd.getpwall() if user.pw_gid == group.gr_gid)
        and not _has_access_list(descriptor)
    )


def _has_access_list(descriptor: int) -> bool:
    if not hasattr(os, "listxattr"):
        return False
    try:
        return "system.posix_acl_access" in os.listxattr(descriptor)
    except OSError:  # a file system without extended attributes has no such lists
        return False


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
