"""Entries: files of the catalogue on standard output, for people and for programs; one after another, none is kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import UsageError
from . import display

if TYPE_CHECKING:
    from ..catalogue.results import FileEntry

COLUMNS = ("volume", "archive", "path", "kind", "size", "mtime", "digest")
EXPLAINED = """\b
With --json each line is an object with volume, archive (its path on the
medium, null for a loose file; OUTER!/INNER for one in another), path, kind
(file, dir, symlink or hardlink), size in bytes, mtime in seconds since 1970
and digest (in hexadecimal digits, or null). In names, a byte that is no UTF-8
is a character from \\udc80 to \\udcff: its value and 0xdc00. path_bytes is
there if a zip does not tell the encoding of a name that is not ASCII: its bytes
in hexadecimal digits, which --encoding reads anew. --csv has the same columns
under their names but that one, and times as they are on the screen."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def output_options(command: _Command) -> _Command:
    """Add the switches that say how files are listed."""
    for switch, text in (
        ("--json", "Print one JSON object a line."),
        ("--csv", "Print comma-separated values, with a line of names first."),
        ("--long", "Print kind and digest too."),
    ):
        command = click.option(switch, f"as_{switch[2:]}", is_flag=True, help=text)(command)
    return command


def print_entries(
    entries: Iterable[FileEntry], as_long: bool, as_csv: bool, as_json: bool, with_volume: bool, apart: bool = False
) -> int:
    """Print files as they come, and return how many there were.

    Args:
        entries: what to print.
        as_long: also print what few need.
        as_csv: for spreadsheets.
        as_json: for programs.
        with_volume: whether people must be told the volume of each.
        apart: whether people get an empty line where another content begins.

    Raises:
        UsageError: more than one way was asked for.
    """
    if as_long + as_csv + as_json > 1:
        raise UsageError("--long, --csv and --json: give one of them")
    count = 0
    write = sys.stdout.write
    write_row = _table() if as_csv else None
    last = None
    for entry in entries:
        if as_json:
            write(_json(entry))
        elif write_row:
            write_row(_values(entry))
        else:
            if apart and count and (entry.size, entry.digest) != last:
                write("\n")
            last = entry.size, entry.digest
            write(_line(entry, as_long, with_volume))
        count += 1
    sys.stdout.flush()  # here a reader that has seen enough is no error
    return count


def _table() -> Callable[[Iterable[str | int]], object]:
    """Begin a table of comma-separated values; what writes a row of it."""
    import csv  # which the help need not wait for

    write_row = csv.writer(sys.stdout, lineterminator="\n").writerow
    write_row(COLUMNS)
    return write_row


def _line(entry: FileEntry, as_long: bool, with_volume: bool) -> str:
    volume = f"{display.printable(entry.volume) or '-'}  " if with_volume else ""
    archive = f"{display.printable(entry.archive)}  " if entry.archive else ""
    more = f"{entry.kind:<8}  {entry.digest.hex() if entry.digest is not None else '-':<32}  " if as_long else ""
    moment = display.moment(entry.mtime_ns)
    return f"{volume}{archive}{entry.size:>14,}  {moment}  {more}{display.printable(entry.path)}\n"


def _json(entry: FileEntry) -> str:
    """A line; put together by hand, for json.dumps takes three times as long, and has no number of nanoseconds."""
    text = encode_basestring_ascii
    archive = "null" if entry.archive is None else text(entry.archive)
    digest = "null" if entry.digest is None else f'"{entry.digest.hex()}"'
    volume = text(entry.volume) if entry.volume else "null"
    return (
        f'{{"volume": {volume}, "archive": {archive}, "path": {text(entry.path)}, "kind": "{entry.kind}", '
        f'"size": {entry.size}, "mtime": {seconds(entry.mtime_ns)}, "digest": {digest}{_raw(entry)}}}\n'
    )


def _raw(entry: FileEntry) -> str:
    return "" if entry.raw_path is None else f', "path_bytes": "{entry.raw_path.hex()}"'


def seconds(time_ns: int) -> str:
    """Nanoseconds as a number of seconds, to the last digit, which a float would lose."""
    whole, rest = divmod(abs(time_ns), 1_000_000_000)
    sign = "-" if time_ns < 0 else ""
    return f"{sign}{whole}.{rest:09}".rstrip("0").rstrip(".") if rest else f"{sign}{whole}"


def _values(entry: FileEntry) -> tuple[str | int, ...]:
    digest = "" if entry.digest is None else entry.digest.hex()
    moment = display.moment(entry.mtime_ns)
    names = [entry.volume, entry.archive or "", entry.path]
    if sys.stdout.isatty():  # which a name could steer
        names = [display.printable(name) for name in names]
    return (*names, entry.kind, entry.size, moment, digest)
