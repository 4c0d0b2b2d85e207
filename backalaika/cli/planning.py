"""Planning: how ``backup --dry-run`` shows a plan: a table with bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from . import display

if TYPE_CHECKING:
    from ..run.dry_run import Plan, PlannedVolume

_BAR = 24


def show_plan(plan: Plan) -> None:
    """Print a plan on standard output, and on standard error what is wrong."""
    from .progress import problem_line

    files, size = sum(source.files for source in plan.sources), sum(source.bytes for source in plan.sources)
    for source in plan.sources:
        click.echo(
            f"Source     {display.printable(source.path)}  {source.options}  "
            f"{display.files(source.files)}, {display.size(source.bytes)}"
        )
    known = f"; {display.files(plan.known_files)}, {display.size(plan.known_bytes)} known already"
    click.echo(f"To save    {display.files(files)}, {display.size(size)}{known if plan.known_files else ''}")
    needed = display.size(sum(volume.size for volume in plan.volumes))
    count = f"{len(plan.volumes)} volume{'s' if len(plan.volumes) != 1 else ''}"
    if plan.ratio is None:
        click.echo(
            f"Volumes    about {needed} on {count}: an estimate, by {display.size(plan.sampled_bytes)} of the content, "
            "compressed as samples"
        )
    else:
        click.echo(
            f"Volumes    about {needed} on {count}: an estimate, by the job's last complete run, whose volumes had "
            f"{100 * plan.ratio:.0f} % of its content"
        )
    if sys.stdout.isatty():
        _show_table(plan)
    else:
        for volume in plan.volumes:
            click.echo(
                f"vol{volume.number:03d}     {display.size(volume.size)} of {display.size(volume.capacity)}, "
                f"{100 * volume.fill:.1f} % full: {'; '.join(_parts(volume))}"
            )
    for capacity in plan.unused:
        click.echo(f"Unused     a medium of {display.size(capacity)}")
    for path in plan.cut:
        click.echo(f"Cut        {display.printable(path)}: into parts, unless it compresses to fit on a volume")
    safety = display.safety(plan.redundancy, plan.verify)
    if safety:
        click.echo(f"Safety     {safety}")
    for problem in plan.problems:
        display.say(problem_line(problem))
    for warning in plan.warnings:
        display.say(f"the backup would ask or stop: {display.printable(warning)}")
    click.echo("This was a dry run: nothing was written.")


def _parts(volume: PlannedVolume) -> list[str]:
    return [f"{display.printable(path)} {display.size(size)}" for path, size in volume.sources.items()]


def _show_table(plan: Plan) -> None:
    from rich.console import Console
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("Volume", no_wrap=True)
    table.add_column("Full", width=_BAR)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("Size", justify="right", no_wrap=True)
    table.add_column("Sources", overflow="fold")
    for volume in plan.volumes:
        table.add_row(
            f"vol{volume.number:03d}",
            ProgressBar(total=volume.capacity, completed=volume.size, width=_BAR),
            f"{100 * volume.fill:.1f} %",
            f"{display.size(volume.size)} of {display.size(volume.capacity)}",
            Text("\n".join(_parts(volume))),
        )
    Console().print(table)
