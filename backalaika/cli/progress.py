"""Progress: what a run shows while it works, on standard error.

On a terminal a bar with files, bytes, rate, time left and the current name; in a pipe or under cron plain lines, one
for each problem and each volume, and one now and then. Problems are shown when they happen.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import click

from ..walk import Problem
from . import display

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID

    from ..run.report import Observer
    from ..run.volumes import VolumeDone

    class Watch(Observer, Protocol):
        """An observer that is shown as long as its context lasts."""

        def __enter__(self) -> Watch: ...
        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None: ...


_SECONDS_BETWEEN_LINES = 30


def watch(files: int, size: int, can_ask: bool) -> Watch:
    """The display that suits standard error.

    Args:
        files: how many files there are to save.
        size: how many bytes of content.
        can_ask: whether somebody is there to answer.
    """
    return Bar(files, size, can_ask) if sys.stderr.isatty() else Lines(files, size, can_ask)


def _wait_for_enter(request: str) -> None:
    try:
        click.prompt(request, default="", show_default=False, prompt_suffix=" ", err=True)
    except click.Abort:
        raise KeyboardInterrupt from None


def _ask(request: str) -> str:
    try:
        answer: str = click.prompt(request, default="", show_default=False, prompt_suffix=" ", err=True)
    except click.Abort:
        raise KeyboardInterrupt from None
    return answer.strip()


class Lines:
    """Plain lines. How many files and bytes there are is None where nobody has counted them."""

    def __init__(
        self, files: int | None, size: int | None, can_ask: bool, line: Callable[[Problem], str] | None = None
    ) -> None:
        self._can_ask = can_ask
        self._all_files, self._all_bytes = files, size
        self._line = line or problem_line
        self._files = self._bytes = 0
        self._next = time.monotonic() + _SECONDS_BETWEEN_LINES

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    def advance(self, files: int, size: int, name: str) -> None:
        """Count; now and then say how far it is."""
        self._files += files
        self._bytes += size
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _SECONDS_BETWEEN_LINES
            if self._all_files is None or self._all_bytes is None:
                display.say(f"{display.files(self._files)}, {display.size(self._bytes)}")
                return
            done = f"{self._files:,} of {display.files(self._all_files)}"
            display.say(f"{done}, {display.size(self._bytes)} of {display.size(self._all_bytes)}")

    def problem(self, problem: Problem) -> None:
        """A line for a problem."""
        display.say(self._line(problem))

    def volume(self, volume: VolumeDone) -> None:
        """A line for a complete volume."""
        display.say(volume_line(volume))

    def note(self, line: str) -> None:
        """A line."""
        display.say(display.printable(line))

    def wait(self, request: str) -> bool:
        """Ask and wait for Enter."""
        if self._can_ask:
            _wait_for_enter(display.printable(request))
        return self._can_ask

    def ask(self, request: str) -> str:
        """Ask for a line."""
        return _ask(display.printable(request))


class Bar:
    """A bar at the bottom of the terminal; problems and volumes are printed above it."""

    def __init__(self, files: int, size: int, can_ask: bool, line: Callable[[Problem], str] | None = None) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.table import Column

        self._files, self._all_files = 0, files
        self._can_ask = can_ask
        self._line = line or problem_line
        self._progress: Progress = Progress(
            TextColumn("{task.fields[files]}"),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[name]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("", total=size or None, name="", files=f"0/{display.files(files)}")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def advance(self, files: int, size: int, name: str) -> None:
        """Move the bar."""
        self._files += files
        self._progress.update(
            self._task,
            advance=size,
            name=display.printable(name),
            files=f"{self._files:,}/{display.files(self._all_files)}",
        )

    def problem(self, problem: Problem) -> None:
        """A line above the bar, for a problem."""
        self._print(self._line(problem), "red")

    def volume(self, volume: VolumeDone) -> None:
        """A line above the bar, for a complete volume."""
        self._print(volume_line(volume), "")

    def note(self, line: str) -> None:
        """A line above the bar."""
        self._print(display.printable(line), "")

    def wait(self, request: str) -> bool:
        """Take the bar away, ask and wait for Enter, and show it again."""
        if self._can_ask:
            self._progress.stop()
            _wait_for_enter(display.printable(request))
            self._progress.start()
        return self._can_ask

    def ask(self, request: str) -> str:
        """Take the bar away, ask for a line, and show it again."""
        self._progress.stop()
        try:
            return _ask(display.printable(request))
        finally:
            self._progress.start()

    def _print(self, line: str, style: str) -> None:
        try:
            self._progress.console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
        except OSError:  # the terminal is gone; the backup goes on
            display.mute()


class RemovalLines:
    """A line for each removal that was cut off and is gone on with, which nobody asked for; now and then how far it is.

    It is called with what is removed from the catalogue, how many entries of that are, and how many there are at most.
    """

    def __init__(self) -> None:
        self._name: str | None = None
        self._next = 0.0

    def __call__(self, name: str, done: int, number: int) -> None:
        """Say so if it is another than before, or if it is time."""
        now = time.monotonic()
        if name != self._name:
            name_shown = display.printable(name)
            display.say(
                f"going on with a removal from the catalogue that was cut off: {name_shown}, up to {number:,} entries"
            )
        elif now >= self._next:
            display.say(f"{done:,} of up to {number:,} entries removed")
        else:
            return
        self._name, self._next = name, now + _SECONDS_BETWEEN_LINES


def problem_line(problem: Problem) -> str:
    """A problem on one line."""
    return f"not saved as it should be: {display.printable(problem.path)}: {display.printable(problem.message)}"


def volume_line(volume: VolumeDone) -> str:
    """A complete volume on one line."""
    size, fill = display.size(volume.size), f"{100 * volume.fill:.1f} % full"
    return f"complete: {display.printable(volume.folder)}  {size}, {fill}"
