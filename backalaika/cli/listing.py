"""``backalaika volumes``, ``files`` and ``remove``: what the catalogue knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from . import display

if TYPE_CHECKING:
    from ..catalogue import Catalogue

_db = click.option("--db", metavar="URI", help="The catalogue; by default db_uri of ~/.backalaika.")
_EXIT_STATUS = "Exit status: 0 done; 2 wrong usage or configuration, or no such volume; 130 interrupted."
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")


def _open(uri: str | None) -> Catalogue:
    from ..catalogue import open_catalogue
    from ..job.loading import load_user_config

    return open_catalogue(uri or load_user_config().db_uri)


@click.command(
    epilog=f"""\b
Examples:
  backalaika volumes
  backalaika volumes --json | jq -r 'select(.state == "complete").title'

{_EXIT_STATUS}"""
)
@_db
@_json
def volumes(db: str | None, as_json: bool) -> None:
    """List the volumes that the catalogue knows."""
    with _open(db) as catalogue:
        for volume in catalogue.volumes():
            if as_json:
                click.echo(json.dumps(volume._asdict()))
                continue
            state = "" if volume.state == "complete" else f"  {volume.state.upper()}"
            click.echo(
                f"{display.moment(volume.added_at_ns)}  {display.files(volume.files):>16}  "
                f"{display.size(volume.bytes):>8}  {display.printable(volume.title)}"
                f"{f'  {display.printable(volume.description)}' if volume.description else ''}{state}"
            )


@click.command(
    epilog=f"""\b
Examples:
  backalaika files 2026-11-22_0915-office/vol001
  backalaika files '' | grep budget

{_EXIT_STATUS}"""
)
@click.argument("title")
@_db
@_json
def files(title: str, db: str | None, as_json: bool) -> None:
    """List the files of the volume TITLE; of all volumes if it is ''."""
    with _open(db) as catalogue:
        for entry in catalogue.files(title):
            if as_json:
                digest = entry.digest.hex() if entry.digest is not None else None
                click.echo(json.dumps(entry._asdict() | {"digest": digest}))
                continue
            volume = f"{display.printable(entry.volume)}  " if not title else ""
            archive = f"{display.printable(entry.archive)}  " if entry.archive else ""
            click.echo(
                f"{volume}{archive}{entry.size:>14,}  {display.moment(entry.mtime_ns)}  {display.printable(entry.path)}"
            )


@click.command(
    epilog=f"""\b
Examples:
  backalaika remove 2026-11-22_0915-office/vol001
  backalaika remove 2026-11-22_0915-office/vol001 --yes

{_EXIT_STATUS}"""
)
@click.argument("title")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_db
def remove(title: str, yes: bool, db: str | None) -> None:
    """Remove the volume TITLE from the catalogue; nothing on disks or discs is touched."""
    with _open(db) as catalogue:
        if not yes:
            if not display.can_ask():
                raise UsageError(f"{title}: no terminal to ask at whether to remove it; give --yes")
            click.confirm(f"Remove {display.printable(title)} from the catalogue?", abort=True, err=True)
        removed = catalogue.remove(title)
    display.say(f"Removed {display.printable(title)}: {removed.files:,} entries in {removed.archives:,} archives")
