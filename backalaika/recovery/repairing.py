"""Repairing: make a copy of a damaged volume whole; the volume itself is only read.

What can be read is copied, sector by sector where the drive gives an error, and zeros stand for the rest. Then a par2
program repairs the copy, and damaged recovery files are made anew.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ..errors import RunError, UsageError
from ..walk import describe_error
from .layout import PARTIAL_FILE, Making
from .packets import RecoverySet, damaged_blocks, open_regular
from .program import DONE, NOT_POSSIBLE, create, recovery_files, repair

_READ = 1 << 20
_SECTOR = 2048
_PERCENT = 10


@dataclass(slots=True)
class Copy:
    """A copy that was made and repaired.

    Attributes:
        folder: of the copy.
        lost: bytes of each file that could not be read.
        repaired: files that the par2 program made whole.
        failure: why it could not; empty: it could.
    """

    folder: str
    lost: dict[str, int] = field(default_factory=dict)
    repaired: list[str] = field(default_factory=list)
    failure: str = ""


def check_target(target: str, volume: str) -> None:
    """Refuse a folder that something is in already, or that lies in the volume.

    Raises:
        UsageError: it cannot be the copy's.
    """
    place = os.path.realpath(target)
    if os.path.commonpath([place, os.path.realpath(volume)]) == os.path.realpath(volume):
        raise UsageError(f"{target}: lies on the volume itself; give --to another folder")
    if os.path.lexists(target) and (not os.path.isdir(target) or os.listdir(target)):
        raise UsageError(f"{target}: is not empty; give --to a new folder for the repaired copy")


def repair_copy(
    folder: str,
    target: str,
    found: RecoverySet,
    others: Sequence[str],
    program: str,
    threads: int,
    stop: Callable[[], bool],
    tell: Callable[[str], None],
) -> Copy:
    """Copy a volume and repair the copy.

    Args:
        folder: of the volume.
        target: of the copy; an empty folder, or none yet.
        found: what the recovery files say.
        others: more files of the folder, in which what is damaged may lie; they do not stay in the copy.
        program: the par2 program.
        threads: that compute.
        stop: asked often whether the user wants to stop.
        tell: is told what is done.

    Raises:
        RunError: the copy cannot be written, or the program not be started.
        Stopped: the user wants to stop; what was copied is removed.
    """
    copy = Copy(target)
    names = sorted({*found.files, *recovery_files(folder)})
    # Their own names are whatever somebody gave them.
    free = (name for number in itertools.count(1) if (name := f"other{number}") not in found.files)
    called = dict(zip(others, free, strict=False))
    try:
        os.makedirs(target, mode=0o700, exist_ok=True)
        for name in names:
            tell(f"copying {name}")
            _copy_readable(folder, name, name, copy, stop)
        for name, new in called.items():
            tell(f"copying {name}")
            _copy_readable(folder, name, new, copy, stop)
        wrong = _wrong(target, found)
        if wrong:
            _repair(target, found, wrong, copy, list(called.values()), program, threads, stop, tell)
        if not copy.failure:
            _renew_recovery_files(target, found, program, threads, stop, tell)
    except BaseException as error:
        _clear(target, [*names, *called.values()])
        if isinstance(error, OSError):
            raise RunError(f"{error.filename or target}: {describe_error(error)}") from error
        raise
    return copy


def _copy_readable(folder: str, name: str, new: str, copy: Copy, stop: Callable[[], bool]) -> None:
    from .program import Stopped

    try:
        source = open_regular(folder, name)
    except OSError:
        return  # it is missing, and will be made of nothing
    with source, open(os.path.join(copy.folder, new), "xb", opener=_private) as out:
        size, at = os.fstat(source.fileno()).st_size, 0
        while at < size:
            if stop():
                raise Stopped
            length = min(_READ, size - at)
            piece = _read(source.fileno(), at, length)
            if piece is None:
                piece = b"".join(_sectors(source.fileno(), at, length, copy, name))
            out.write(piece)
            at += length
        out.flush()
        os.fsync(out.fileno())


def _sectors(descriptor: int, at: int, length: int, copy: Copy, name: str) -> Iterable[bytes]:
    for start in range(at, at + length, _SECTOR):
        some = min(_SECTOR, at + length - start)
        piece = _read(descriptor, start, some)
        if piece is None:
            copy.lost[name] = copy.lost.get(name, 0) + some
        yield bytes(some) if piece is None else piece


def _read(descriptor: int, at: int, length: int) -> bytes | None:
    """So many bytes from a place; None if they cannot be read."""
    pieces, got = [], 0
    try:
        os.lseek(descriptor, at, os.SEEK_SET)
        while got < length:
            piece = os.read(descriptor, length - got)
            if not piece:
                return None
            pieces.append(piece)
            got += len(piece)
    except OSError:
        return None
    return b"".join(pieces)


def _wrong(folder: str, found: RecoverySet) -> list[str]:
    return [name for name, file in sorted(found.files.items()) if damaged_blocks(folder, file, found.block)[2]]


def _repair(
    target: str,
    found: RecoverySet,
    wrong: list[str],
    copy: Copy,
    others: Sequence[str],
    program: str,
    threads: int,
    stop: Callable[[], bool],
    tell: Callable[[str], None],
) -> None:
    before = set(os.listdir(target)) - set(others)
    here = [name for name in others if os.path.exists(os.path.join(target, name))]
    status, said = repair(program, target, here, threads, stop, lambda percent: tell(f"repairing, {percent:.0f} %"))
    for name in set(os.listdir(target)) - before - found.files.keys():  # the program keeps what was damaged
        os.unlink(os.path.join(target, name))
    left = _wrong(target, found)
    copy.repaired = [name for name in wrong if name not in left]
    for name in copy.repaired:
        os.chmod(os.path.join(target, name), 0o600)
    if left:
        what = "more is damaged than can be repaired" if status == NOT_POSSIBLE else f"{program} failed: {said}"
        copy.failure = f"{what} ({', '.join(left)})"
    elif status != DONE and not found.troubles:
        copy.failure = f"{program} failed: {said}"


def _renew_recovery_files(
    target: str,
    found: RecoverySet,
    program: str,
    threads: int,
    stop: Callable[[], bool],
    tell: Callable[[str], None],
) -> None:
    """Make the recovery files of a whole copy anew if some of them are damaged or missing."""
    if not found.troubles:
        return
    # Where none is left, nothing tells how many there were.
    count = max(found.promised, found.recovery_blocks) or -(-found.blocks * _PERCENT // 100)
    making = Making(found.block, count, max(1, sum(".vol" in name for name in recovery_files(target))))
    create(
        program, target, sorted(found.files), making, threads, stop,
        lambda percent: tell(f"making recovery files anew, {percent:.0f} %"),
    )  # fmt: skip


def _clear(target: str, names: Iterable[str]) -> None:
    """Remove a copy that was not completed."""
    ours = set(names)
    for name in os.listdir(target) if os.path.isdir(target) else ():
        kept = any(name == one or name.startswith(f"{one}.") for one in ours)  # as the program calls what was damaged
        if kept or PARTIAL_FILE.fullmatch(name):
            os.unlink(os.path.join(target, name))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
