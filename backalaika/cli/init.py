"""``backalaika init``: a job file and ``~/.backalaika`` to start from."""

from __future__ import annotations

import os
import shlex
import sys
from typing import NoReturn

import click

from ..errors import ConfigurationError, UsageError
from . import display

_FORMATS = ("zip", "gz", "bz2", "zst", "xz")
_FIRST_CHOICES = ("~/Documents", "~/documents")


@click.command(
    epilog="""\b
Examples:
  backalaika init                                   asks what to save, and how
  backalaika init office.py --source /mnt/office --format zst
  backalaika init --yes                             your documents, or your home, as zip

\b
Exit status: 0 written; 1 written, but Backalaika would not run it (it says
why); 2 wrong usage, or the job file is there already; 130 interrupted."""
)
@click.argument("file", required=False, default="work.py", type=click.Path())
@click.option("--source", metavar="DIR", help="The directory to save.")
@click.option("--format", "option", type=click.Choice(_FORMATS), help="How to save it.")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing: your documents, or your home, as zip.")
def init(file: str, source: str | None, option: str | None, yes: bool) -> NoReturn:
    """Write a job file, FILE, and ~/.backalaika.

    Both with comments, for you alone to read and write; what is there already is left as it is.
    """
    from ..job.config import absolute_path
    from ..job.loading import load_job, load_user_config
    from ..job.writing import job_text, user_text, write_new

    config = load_user_config()
    if os.path.lexists(file):
        raise UsageError(_there_already(file))
    source, option = _answers(source, option, yes)
    name = os.path.splitext(os.path.basename(file))[0]
    skipped = _name_to_skip(absolute_path(source), config.dir_backups)
    if not write_new(file, job_text(file, name, source, option, skipped)):
        raise UsageError(_there_already(file))
    shown = display.printable(file)
    click.echo(f"Wrote {shown}: saves {display.printable(source)} as {option} into {config.dir_backups}")
    user_file = os.path.join(absolute_path("~"), ".backalaika")
    if write_new(user_file, user_text()):
        click.echo(f"Wrote {display.printable(user_file)}: settings for all jobs, each with its default")
    else:
        click.echo(f"{display.printable(user_file)} is there already, and stays as it is")
    try:
        load_job(file)
    except ConfigurationError as error:
        display.say(f"backalaika: {display.printable(str(error))}")
        sys.exit(1)
    command = f"backalaika backup {shlex.quote(shown)}"
    click.echo(f"Look at it, then: {command}   ({command} --dry-run shows what it would do)")
    sys.exit(0)


def _there_already(file: str) -> str:
    return f"{file}: is there already, and is not overwritten; name another file: backalaika init FILE"


def _answers(source: str | None, option: str | None, yes: bool) -> tuple[str, str]:
    """Source and format: given, the default, or asked for.

    Raises:
        UsageError: the source is no directory, or nobody is there to be asked.
    """
    if source is not None:
        wrong = _trouble_with(source)
        if wrong:
            raise UsageError(f"--source {source}: {wrong}")
    usual = next((path for path in _FIRST_CHOICES if os.path.isdir(os.path.expanduser(path))), "~")
    if yes:
        return _lasting(source or usual), option or _FORMATS[0]
    if not display.can_ask() and (source is None or option is None):
        open_ones = [switch for switch, given in (("--source", source), ("--format", option)) if given is None]
        raise UsageError(f"no terminal to ask at: give {' and '.join(open_ones)}, or --yes for {usual} and zip")
    while source is None:
        answer = str(click.prompt("Which directory is to be saved?", default=usual, err=True)).strip()
        wrong = _trouble_with(answer)
        if wrong:
            display.say(f"{display.printable(answer)}: {wrong}")
        else:
            source = answer
    if option is None:
        display.say("zip opens everywhere, zst is the fastest, xz the smallest; gz and bz2 are known to every Unix.")
        option = str(click.prompt("How?", type=click.Choice(_FORMATS), default=_FORMATS[0], err=True))
    return _lasting(source), option


def _trouble_with(source: str) -> str:
    from ..job.config import read_path

    try:
        path = os.path.expanduser(read_path(source))
    except ValueError as error:
        return f"must be {error}"
    if not os.path.exists(path):
        return "there is no such directory; make or mount it, or name another"
    return "" if os.path.isdir(path) else "is not a directory; name the one it lies in"


def _lasting(source: str) -> str:
    """The source as it means the same wherever the job is started."""
    return source if source.startswith("~") else os.path.abspath(source)


def _name_to_skip(source: str, destination: str) -> str:
    """What must be left out of a source so that the backups are not saved themselves; empty if nothing."""
    source, destination = os.path.realpath(source), os.path.realpath(destination)
    if os.path.splitdrive(source)[0] != os.path.splitdrive(destination)[0]:
        return ""
    if source == destination or os.path.commonpath([source, destination]) != source:
        return ""
    return os.path.basename(destination)
