"""Spool: a list of plain tuples that is kept on disk, for memory must not grow with the number of files."""

from __future__ import annotations

import marshal
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from .errors import RunError
from .walk import describe_error

_AT_A_TIME = 5000


class Spool:
    """Takes tuples of numbers, bytes, text and None; gives them back in their order, as often as it is asked."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._blocks: list[tuple[int, int]] = []
        self._last: list[tuple[Any, ...]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, row: tuple[Any, ...]) -> None:
        """Put a tuple at the end.

        Raises:
            RunError: there is no room for it.
        """
        self._last.append(row)
        self._count += 1
        if len(self._last) < _AT_A_TIME:
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="backalaika-")  # noqa: SIM115 - closed by `close`
            data = marshal.dumps([tuple(row) for row in self._last])
            self._blocks.append((self._file.tell(), len(data)))
            self._file.write(data)
        except OSError as error:
            raise no_room(error) from None
        self._last = []

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """The tuples; none may be added meanwhile."""
        for start, length in self._blocks:
            assert self._file is not None
            self._file.seek(start)
            yield from marshal.loads(self._file.read(length))  # noqa: S302 - our own, in an anonymous file
        if self._file is not None:
            self._file.seek(0, 2)
        yield from self._last

    def close(self) -> None:
        """Free the disk; the tuples are gone."""
        if self._file is not None:
            self._file.close()
        self._file, self._blocks, self._last, self._count = None, [], [], 0


def no_room(error: OSError) -> RunError:
    """What is said when the folder for temporary files is full."""
    return RunError(
        f"{tempfile.gettempdir()}: no room for the list of files: {describe_error(error)}; "
        "make room there, or set TMPDIR to another folder"
    )
