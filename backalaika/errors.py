"""Errors: one class for each decision that a caller may take.

Every message is one line that names the file or key, says what is wrong, and what to do. The command line
prints it as it is and leaves with ``exit_status``; a traceback is for our own mistakes only.
"""

from __future__ import annotations


class BackalaikaError(Exception):
    """Root of all errors that a user can do something about.

    ``exit_status`` is the process's exit status: 2 wrong usage or configuration, 3 the run failed.
    """

    exit_status = 3


class UsageError(BackalaikaError):
    """The command line asks for something that cannot be, or leaves a question open."""

    exit_status = 2


class ConfigurationError(BackalaikaError):
    """A job file or ``~/.backalaika`` cannot be used: missing, unsafe, or with a wrong key, value or option."""

    exit_status = 2


class SourceError(BackalaikaError):
    """A source is missing, empty or has shrunk, or the destination lies inside it; nothing was started."""

    exit_status = 2


class CatalogueError(BackalaikaError):
    """The catalogue cannot be opened, read or written; the message never holds a password."""

    exit_status = 2


class CatalogueFullError(CatalogueError):
    """There is no room for the catalogue on its disk; nothing of the call was written, and it may be tried again."""


class RunError(BackalaikaError):
    """The run cannot go on: the disk is full, a process died."""


class UnfinishedMediumError(RunError):
    """A medium could not be catalogued to its end, after some of it was recorded; the same command goes on with it.

    ``is_full``: there is no room for the catalogue.
    """

    def __init__(self, message: str, is_full: bool = False) -> None:
        super().__init__(message, is_full)
        self.is_full = is_full

    def __str__(self) -> str:
        return str(self.args[0])


class NoRoomError(RunError):
    """The disk is full, and nothing is left of what was tried; with room made, the same can be tried again."""


class ArchiveError(BackalaikaError):
    """An archive on a medium cannot be read, or no further; the message goes behind its name."""
