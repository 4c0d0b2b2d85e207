"""``backalaika find``: which volumes hold a file."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from ..errors import SourceError, UsageError
from . import display
from .encodings import encoding_option
from .entries import EXPLAINED, output_options, print_entries
from .listing import db_option, open_named
from .ranges import parse_dates, parse_sizes

if TYPE_CHECKING:
    from ..catalogue import Catalogue

_LEAST_DIGITS = 4


@click.command(
    epilog=f"""\b
Examples:
  backalaika find budget                      a part of a name
  backalaika find '*.ods' --date 2009..2010   names that end with it
  backalaika find clients/miller              a part of a path
  backalaika find --same-as letter.odt        is this very content saved?
  backalaika find --digest 99aa06d3014798d8
  backalaika find --duplicates --size 100M..  what is saved more than once

\b
All that is given must be true of a file. Upper and lower case are the same,
unless --match-case is given; the shell's * and ? are known, and then [abc],
and the pattern must fit the whole name. With a / it is one of paths: as files
lists them, of files in archives as they stand there.

{EXPLAINED}

\b
Exit status: 0 found; 1 nothing was found; 2 wrong usage or configuration;
130 interrupted."""
)
@click.argument("pattern", required=False)
@click.option("--digest", metavar="HEX", help=f"How its digest begins; {_LEAST_DIGITS} digits or more.")
@click.option("--same-as", metavar="FILE", type=click.Path(), help="Has the content of this file.")
@click.option("--size", metavar="RANGE", help="10M..1G, 700MiB.., ..4k, or a number of bytes; files only.")
@click.option("--date", metavar="RANGE", help="When it was modified: 2009, 2009-08..2010-01-15, 2009.., ..2008")
@click.option("--duplicates", is_flag=True, help="There at least twice, on complete volumes; the largest first.")
@click.option("--match-case", is_flag=True, help="Upper and lower case of PATTERN matter.")
@encoding_option
@output_options
@db_option
def find(
    pattern: str | None,
    digest: str | None,
    same_as: str | None,
    size: str | None,
    date: str | None,
    duplicates: bool,
    match_case: bool,
    encoding: str | None,
    as_long: bool,
    as_csv: bool,
    as_json: bool,
    db: str | None,
) -> int:
    """Find files by PATTERN, a part of the name or a glob, and in other ways, and say which volumes hold them."""
    from ..catalogue.wanted import Pattern, Wanted

    if not (pattern or digest or same_as or size or date or duplicates):
        raise UsageError("find: say what to find: a part of the name, or one of the switches of find --help")
    sizes = parse_sizes(size) if size else None
    dates = parse_dates(date) if date else None
    start = _digits(digest) if digest else None
    with open_named(db) as catalogue:
        wanted = Wanted(
            Pattern(pattern, match_case) if pattern else None,
            start,
            _contents(catalogue, same_as) if same_as else None,
            sizes,
            dates,
            duplicates,
            encoding,
        )
        count = print_entries(catalogue.find(wanted), as_long, as_csv, as_json, with_volume=True, apart=duplicates)
    if not count and not (as_csv or as_json):
        display.say("Nothing found: no volume of the catalogue has such a file")
    return 0 if count else 1


def _digits(digest: str) -> str:
    if not re.fullmatch(f"[0-9a-fA-F]{{{_LEAST_DIGITS},128}}", digest):
        raise UsageError(
            f"--digest: {digest!r} is no beginning of a digest; give {_LEAST_DIGITS} hexadecimal digits or more"
        )
    return digest.lower()


def _contents(catalogue: Catalogue, path: str) -> tuple[tuple[int, bytes], ...]:
    """Size and digest of a file, one for each kind of digest that the catalogue has."""
    from ..digests import digests_of

    if not os.path.isfile(path):
        raise SourceError(f"{path}: is no file whose content could be looked for")
    try:
        size, digests = digests_of(path, catalogue.digests_in_use())
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    return tuple((size, digest) for digest in digests)
