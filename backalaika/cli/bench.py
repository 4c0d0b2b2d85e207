"""``backalaika bench``: how fast this machine is on the user's files, what limits a backup, which settings suit."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from . import display

if TYPE_CHECKING:
    from ..bench.advice import Advice, Setting
    from ..bench.figures import Figures
    from ..job.config import Config

_BAR = 24
# Of less, the median takes no notice.
_BUSY = 0.2
_KEEPS_UP = {
    "disk": "the disk that is read",
    "CPU": "the CPU, which compresses",
    "destination": "the disk that is written",
    "catalogue": "the catalogue",
}


@click.command(
    epilog="""\b
Examples:
  backalaika bench                     on the files of this directory
  backalaika bench ~/Documents
  backalaika bench /mnt/office --seconds 60 --json

It reads a sample of the files, writes a file without a name where backups go,
and a throw-away catalogue beside yours; nothing of that stays.

\b
Exit status: 0 all done; 1 done, but some files could not be read (they are
listed); 2 wrong usage or configuration; 3 failed; 130 interrupted."""
)
@click.argument("path", required=False, default=".", type=click.Path())
@click.option("--seconds", default=25.0, show_default=True, type=click.FloatRange(1, 3600), help="How long, about.")
@click.option("--workers", type=click.IntRange(1, 1000), metavar="N", help="Most processes; by default one a CPU.")
@click.option("--json", "as_json", is_flag=True, help="Print one object with all figures, for programs.")
def bench(path: str, seconds: float, workers: int | None, as_json: bool) -> NoReturn:
    """Measure this machine on the files in PATH.

    Digests, compression, disks and catalogue; then what limits a backup, and which settings are recommended.
    """
    from ..bench.advice import advise
    from ..bench.measuring import measure
    from ..job.config import absolute_path
    from ..job.loading import load_user_config
    from ..run.pool import available_cpus
    from ..run.stopping import StopSignals
    from ..run.work import Interrupted

    config = load_user_config()
    try:
        with StopSignals() as signals, _progress() as tell:
            most = workers or available_cpus()
            figures = measure(absolute_path(path), config, most, seconds, tell, signals)
    except Interrupted:
        raise KeyboardInterrupt from None
    advice = advise(figures, config)
    if as_json:
        click.echo(json.dumps(_as_json(figures, advice, config)))
    else:
        _show(figures, advice, config.workers, sys.stdout.isatty())
    for problem in figures.problems:
        display.say(f"not read: {display.printable(problem.path)}: {display.printable(problem.message)}")
    sys.exit(1 if figures.problems else 0)


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """On a terminal a bar with what is being measured; elsewhere nothing, for it ends soon."""
    if not sys.stderr.isatty():
        yield lambda what, part: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("Measuring"), BarColumn(), TextColumn("{task.fields[what]}", markup=False)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=1.0, what="")
        yield lambda what, part: progress.update(task, completed=part, what=what)


class _Line(NamedTuple):
    """A line of a table: its cells, how long its bar is (1.0 is whole), and whether it is the one to take."""

    cells: tuple[str, ...]
    bar: float
    chosen: bool = False


class _Table(NamedTuple):
    title: str
    columns: tuple[str, ...]
    lines: list[_Line]


def _show(figures: Figures, advice: Advice, workers: int | None, terminal: bool) -> None:
    seen = "" if figures.whole else "the first "
    click.echo(
        f"Files        {display.printable(figures.path)}: {seen}{display.files(figures.files)}, "
        f"{display.size(figures.bytes)}, {display.size(round(figures.mean_size))} each; "
        f"listed at {figures.walk_files_a_second:,.0f} files/s"
    )
    click.echo(
        f"Sample       {display.size(figures.sample_bytes)} of {display.files(figures.sample_files)}; "
        f"{100 * figures.compressible:.0f} % of it can be compressed"
    )
    for table in (_reads(figures), _digests(figures), _codecs(figures, advice)):
        click.echo("")
        (_show_table if terminal else _show_lines)(table)
    click.echo("")
    for line in (*_places(figures), "", *_verdict(figures, advice, workers)):
        click.echo(line)


def _show_table(table: _Table) -> None:
    from rich.console import Console
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, title_justify="left", padding=(0, 2, 0, 0))
    shown.add_column(table.title, no_wrap=True)
    for column in table.columns:
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("", width=_BAR)
    for cells, part, chosen in table.lines:
        bar = ProgressBar(total=1.0, completed=part, width=_BAR, finished_style="bar.complete")
        shown.add_row(*cells, bar, style="bold" if chosen else "")
    Console().print(shown)


def _show_lines(table: _Table) -> None:
    for cells, _, chosen in table.lines:
        values = [f"{name} {cell}".strip() for name, cell in zip(table.columns, cells[1:], strict=True) if cell]
        click.echo(f"{table.title:12} {cells[0]:10} {', '.join(values)}{'  *' if chosen else ''}")


def _reads(figures: Figures) -> _Table:
    top = max(rate.bytes_a_second for rate in figures.reads)
    lines = [
        _Line(
            (_processes(rate.readers), _rate(rate.bytes_a_second), f"{rate.files_a_second:,.0f} files/s"),
            rate.bytes_a_second / top,
        )
        for rate in figures.reads
    ]
    cold = all(rate.cold for rate in figures.reads)
    title = "Read from memory" if figures.in_memory else "Disk read" if cold else "Read, maybe from memory"
    return _Table(title, ("", ""), lines)


def _digests(figures: Figures) -> _Table:
    top = max(rate.bytes_a_second for rate in figures.digests)
    counts = sorted({rate.workers for rate in figures.digests})
    lines = []
    for name in dict.fromkeys(rate.digest for rate in figures.digests):
        rates = {rate.workers: rate.bytes_a_second for rate in figures.digests if rate.digest == name}
        lines.append(_Line((name, *(_rate(rates[count]) for count in counts)), rates[counts[-1]] / top))
    return _Table("Digest", tuple(f"on {count}" for count in counts), lines)


def _codecs(figures: Figures, advice: Advice) -> _Table:
    top = max(rate.bytes_a_second for rate in figures.codecs)
    counts = sorted({rate.workers for rate in figures.codecs})
    chosen = {(setting.format, setting.level) for setting in advice.settings}
    lines = []
    for key in dict.fromkeys((rate.format, rate.level) for rate in figures.codecs):
        rates = {rate.workers: rate for rate in figures.codecs if (rate.format, rate.level) == key}
        cells = [_rate(rates[count].bytes_a_second) if count in rates else "" for count in counts]
        most = rates[counts[-1]]
        line = (f"{key[0]} {key[1]}", f"{100 * most.ratio:.1f} %", *cells)
        lines.append(_Line(line, most.bytes_a_second / top, key in chosen))
    return _Table("Format", ("size", *(f"on {count}" for count in counts)), lines)


def _places(figures: Figures) -> Iterator[str]:
    if figures.write_bytes_a_second is not None:
        written = _rate(figures.write_bytes_a_second)
        where = ", which is in memory" if figures.write_in_memory else ""
        yield f"Destination  {written} into {display.printable(figures.write_folder)}{where}"
    if figures.rows_a_second is not None:
        content = _rate(figures.rows_a_second * figures.mean_size)
        yield f"Catalogue    {figures.rows_a_second:,.0f} files/s ({figures.database}): {content} of such files"
    for what, why in figures.failures.items():
        yield f"Not measured: the {what}: {display.printable(why)}"


def _verdict(figures: Figures, advice: Advice, workers: int | None) -> Iterator[str]:
    """What limits a backup, and what suits; ``workers`` is what the configuration has."""
    best, smallest = advice.best, advice.smallest
    if figures.busy > _BUSY:
        part = f"{100 * figures.busy:.0f} %"
        yield f"Other programs took {part} of a processor meanwhile: measure again when they have ended."
    yield "With the level that suits each format here (marked above), a backup does at most:"
    for setting in advice.settings:
        rate, size = _rate(setting.bytes_a_second), f"{100 * setting.ratio:.0f} %"
        yield f"  {_name(setting):8} {rate:>10}, size {size:>5}; limited by {_limit(setting, figures)}"
    yield ""
    # A source is a directory, also where the files of one alone were measured: a large one, perhaps.
    source = figures.path if os.path.isdir(figures.path) else os.path.dirname(figures.path)
    yield f"Recommended: {_name(best)}: sources=[({source!r}, {best.format!r})], {_settings(advice)}"
    if smallest != best:
        yield (
            f"Smaller, but slower: {_name(smallest)}, "
            f"{100 * (1 - smallest.ratio / best.ratio):.0f} % less space, "
            f"{best.bytes_a_second / smallest.bytes_a_second:.1f} times as long"
        )
    if advice.enough < figures.workers and workers is None and "workers" not in advice.changes:
        yield f"workers={advice.enough} would be as fast, and leave the rest of the machine to others"
    for name, longer in advice.digests.items():
        forged = "can" if name == "xxh3-128" else "cannot"
        yield f"digest={name!r}, which {forged} be forged, {_cost(longer)}"


def _settings(advice: Advice) -> str:
    """What the configuration should have, and what it has."""
    if not advice.changes:
        return "no settings need to change"
    new = ", ".join(f"{key}={new}" for key, (_, new) in advice.changes.items())
    old = ", ".join(f"{key}={old}" for key, (old, _) in advice.changes.items())
    return f"config = dict({new}) in place of {old}"


def _limit(setting: Setting, figures: Figures) -> str:
    return "reading from memory" if setting.limit == "disk" and figures.in_memory else _KEEPS_UP[setting.limit]


def _cost(longer: float) -> str:
    """What a digest costs, by how much longer a backup takes with it."""
    if longer < 0.99:
        return f"makes that {100 * (1 - longer):.0f} % shorter"
    return "costs no time" if longer < 1.01 else f"makes that {100 * (longer - 1):.0f} % longer"


def _name(setting: Setting) -> str:
    return f"{setting.format} {setting.level}"


def _rate(bytes_a_second: float) -> str:
    return f"{display.size(round(bytes_a_second))}/s"


def _processes(count: int) -> str:
    return f"{count} process" if count == 1 else f"{count} processes"


def _as_json(figures: Figures, advice: Advice, config: Config) -> dict[str, Any]:
    from dataclasses import asdict

    found = asdict(figures)
    found["problems"] = [{"path": problem.path, "message": problem.message} for problem in figures.problems]
    found["cpus"] = os.cpu_count()
    found["destination"] = config.dir_backups
    found["settings"] = [asdict(setting) for setting in advice.settings]
    found["recommended"] = {
        "format": advice.best.format,
        "limit": advice.best.limit,
        "bytes_a_second": advice.best.bytes_a_second,
        "config": {key: new for key, (_, new) in advice.changes.items()},
        "in_place_of": {key: old for key, (old, _) in advice.changes.items()},
        "enough_workers": advice.enough,
        "longer_with_digest": advice.digests,
    }
    return found
