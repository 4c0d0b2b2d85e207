"""All comparisons of DESIGN.md's table, on a directory of yours or on trees that are made from a seed.

    python -m benchmarks [DIRECTORY] [--rounds 5] [--only gz,zip,…] [--scale 1.0] [--json] [--chart FILE]

Each row runs backalaika and the peers that are installed in turn on the same files; the answers are compared before the
clock starts. A row that cannot be, for want of a peer or of a command, says so. DIRECTORY is only read; what is made
lies in the folder for temporary files, which needs room for some times the files. ``--json`` prints the machine and all
figures as one object; ``--chart`` draws the ratios (the extra ``benchmarks``), also of an earlier result by ``--from``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import adding, discs, formats, growth, repositories, restoring
from .contents import survey
from .machine import describe_machine
from .office import make_office
from .pairs import CHECKOUT, add_rounds, last_words
from .trees import make_large_files, make_random_files, make_tree

Line = dict[str, Any]
# Of the trees that are made where no directory is named.
OFFICE_BYTES = 350_000_000
SMALL_FILES, SMALL_SIZE = 200_000, 1000
FEW_FILES, MANY_FILES = 100_000, 1_000_000
# Their rate against that of a bare executemany, and that of ten times as many against theirs.
CATALOGUE_ROWS = 1_000_000
WANTED_ROWS, WANTED_MORE_ROWS = 0.5, 0.7
# A DVD's; at its own speed it takes minutes, but these are read from memory or a fast disk.
DISC_MEGABYTES = 4096
# Of less, the time of a hash-only row is what it takes to start.
LARGE_FILES, LARGE_SIZE = 16, 512_000_000
# What each foreign archive holds: bsdtar takes 10 s and more to read 350 MB of bz2.
FOREIGN_BYTES = 90_000_000
SEED = 1
WANTED_FILL = 0.99
_START_ROUNDS = 20
_FAILURES = (OSError, ValueError, LookupError, AssertionError, sqlite3.Error, subprocess.CalledProcessError)


class Bench:
    """The rows, each by its name, and the trees that they share."""

    def __init__(self, directory: Path | None, rounds: int, scale: float, place: Path) -> None:
        self._given = directory
        self._rounds = rounds
        self._scale = scale
        self._place = place
        self.rows: dict[str, Callable[[], list[Line]]] = {
            name: self._format(name) for name in ("gz", "zip", "zst", "bz2")
        }
        self.rows |= {
            "small": lambda: repositories.compare(self.small(), rounds),
            "add": self._add,
            "disc": self._disc,
            "hash": self._hash,
            "restore": lambda: [discs.compare_restoring(self.office(), rounds)],
            "one": self._one,
            "catalogue": self._catalogue,
            "memory": lambda: [growth.measure_memory([self._scaled(FEW_FILES), self._scaled(MANY_FILES)])],
            "start": lambda: [growth.measure_start(max(rounds, _START_ROUNDS))],
            "fill": self._fill,
        }
        # Not in the table of DESIGN.md, and slow.
        self.more: dict[str, Callable[[], list[Line]]] = {"xz": self._format("xz")}

    def office(self) -> Path:
        """The user's directory, or a tree like an office's share."""
        return self._office_of(OFFICE_BYTES)

    def _office_of(self, size: int) -> Path:
        if self._given is not None:
            return self._given
        made = self._place / f"office-{size}"
        if not made.exists():
            make_office(made, self._scaled(size), SEED)
        return made

    def small(self) -> Path:
        """The user's directory, or a tree of many small files."""
        if self._given is not None:
            return self._given
        made = self._place / "small"
        if not made.exists():
            make_tree(made, self._scaled(SMALL_FILES), SMALL_SIZE, SEED)
        return made

    def _hash(self) -> list[Line]:
        lines = [discs.compare_hashing(self.office(), self._rounds)]
        if self._given is None:
            made = self._place / "large"
            make_large_files(made, LARGE_FILES, self._scaled(LARGE_SIZE), SEED)
            lines.append(discs.compare_hashing(made, self._rounds))
            shutil.rmtree(made)
        return lines

    def _scaled(self, number: int) -> int:
        return max(int(number * self._scale), 1)

    def _format(self, name: str) -> Callable[[], list[Line]]:
        return lambda: [formats.compare(self.office(), name, self._rounds)]

    def _add(self) -> list[Line]:
        source = self._office_of(FOREIGN_BYTES)
        return [adding.compare_foreign(source, "bz2", archives, self._rounds) for archives in (1, 4)]

    def _disc(self) -> list[Line]:
        megabytes = self._scaled(DISC_MEGABYTES)
        # A hundredth of it shows what it takes to start; nothing is wanted of that.
        few = max(megabytes // 100, 1)
        return [
            *adding.compare_own(megabytes, self._rounds),
            *adding.compare_own(few, self._rounds, wanted=None),
        ]

    def _one(self) -> list[Line]:
        if self._given is not None:
            return [restoring.compare_one(self._given, self._rounds)]
        made = self._place / "one"
        make_random_files(made, self._scaled(DISC_MEGABYTES), SEED)
        line = restoring.compare_one(made, self._rounds)
        shutil.rmtree(made)
        return [line]

    def _catalogue(self) -> list[Line]:
        rows = self._scaled(CATALOGUE_ROWS)
        [found] = _module("catalogue", str(rows), "--repeats", str(min(self._rounds, 5)))
        # Some minutes each time.
        [more] = _module("catalogue", str(10 * rows), "--repeats", "1")
        rate = round(more["catalogue_rows_a_second"] / found["catalogue_rows_a_second"], 3)
        lines = []
        for number, against, ratio, wanted, figures in (
            (rows, "bare executemany", found["ratio"], WANTED_ROWS, found),
            (10 * rows, f"{rows:,}", rate, WANTED_MORE_ROWS, more),
        ):
            line: Line = {"row": "catalogue", "work": f"catalogue rows: {number:,}", "against": against}
            # Rows a second, not seconds: more is better.
            lines.append(line | {"rate_ratio": ratio, "wanted": wanted, "reached": ratio >= wanted, "figures": figures})
        return lines

    def _fill(self) -> list[Line]:
        lines: list[Line] = []
        for option in ("", "zst"):
            switches = ("--run", option) if option else ()
            for found in _module("fill", str(self.office()), *switches):
                what = f"fill of a run in {option}" if option else "fill by the sizes of content"
                what += f": volumes of {found['capacity'] / 1e6:,.1f} MB"
                told = found if option else found["backalaika"]
                if "refused" in told:
                    lines.append({"row": "fill", "missing": f"left out: {what}: {told['refused']}"})
                    continue
                assert "wrong" not in told, f"{what}: {told['wrong']}"
                volumes, full = told["volumes"], told["least_fill_but_last"]
                reached = (full is None or full >= WANTED_FILL) and volumes <= found["bound"] + 1
                line = {"row": "fill", "work": what, "volumes": volumes, "bound": found["bound"]}
                line |= {"least_fill_but_last": full, "wanted": WANTED_FILL, "reached": reached, "figures": found}
                lines.append(line)
        return lines


def _module(name: str, *arguments: str) -> Iterator[Line]:
    """The JSON lines that a benchmark of its own prints."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        yield json.loads(line)


def show(line: Line) -> str:
    """A row as people read it."""
    if "missing" in line:
        return f"{line['row']:10} {line['missing']}{_rows_written(line)}"
    verdict = {True: "reached", False: "NOT reached", None: ""}[line.get("reached")]
    what = line["work"] + (f", against {line['against']}" if "against" in line else "")
    wanted = line.get("wanted")
    if "ratio" in line:
        low, high = line["ratio_spread"]
        size = f", size {line['size_ratio']:.3f}" if "size_ratio" in line else ""
        figure = (
            f"{line['ratio']:.2f} ({low:.2f} to {high:.2f}){size}; wanted {'nothing' if wanted is None else wanted}"
        )
        figure += _rows_written(line)
    elif "seconds_more" in line:
        figure = f"{1000 * line['seconds_more']:.0f} ms more; wanted at most {1000 * wanted:.0f}"
    elif "median_seconds" in line:
        memory = f"{line['peak_memory'] / 1e6:,.0f} MB at most"
        figure = f"{line['median_seconds']:.2f} s; wanted less than {wanted:.0f}; {memory}"
    elif "growth" in line:
        peaks = ", ".join(f"{peak / 1e6:.0f} MB" for peak in line["peak_memory"].values())
        figure = (
            f"{peaks}, growth {line['growth']:.2f}; wanted at most {wanted / 1e6:.0f} MB and {line['growth_wanted']}"
        )
    elif "rate_ratio" in line:
        figure = f"{line['rate_ratio']:.2f} of its rows a second; wanted {wanted}"
    else:
        figure = (
            f"{line['volumes']} volumes (best bound {line['bound']}), fill but the last {line['least_fill_but_last']}"
        )
    return f"{line['row']:10} {what}\n{'':10} {figure}  {verdict}{_programs(line)}"


def _rows_written(line: Line) -> str:
    return f"; rows written: {line['rows_written']:,}, wanted none" if "rows_written" in line else ""


def _programs(line: Line) -> str:
    lines = []
    for name, told in line.get("programs", {}).items():
        if line["row"] in ("small", "second") and name not in ("backalaika", line["against"]):
            continue  # the others have lines of their own
        median = statistics.median(told["seconds"])
        memory = f"{(told['peak_memory'] or 0) / 1e6:,.0f} MB at most"
        rates = f"{told.get('files_a_second', 0):,} files/s, {told.get('bytes_a_second', 0) / 1e6:,.1f} MB/s"
        lines.append(f"\n{'':12} {name:28} {median:8.2f} s  {rates}, {memory}")
    return "".join(lines)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path, nargs="?", help="files of yours; by default trees from a seed")
    add_rounds(parser)
    parser.add_argument("--only", help="rows, separated by commas")
    parser.add_argument(
        "--scale", type=_more_than_nothing, default=1.0, help="how large the trees are that are made (1.0)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the ratios, as SVG or PNG")
    parser.add_argument("--from", dest="earlier", type=Path, metavar="FILE", help="draw this result; measure nothing")
    arguments = parser.parse_args()
    earlier = _read(parser, arguments.earlier) if arguments.earlier else None
    if arguments.chart:
        _check_chart(parser, arguments.chart)
    result = _measure(parser, arguments) if earlier is None else earlier
    if arguments.json:
        print(json.dumps(result, indent=1))
    if arguments.chart:
        from .chart import draw

        draw(result, arguments.chart)
    sys.exit(1 if result["failed"] else 0)


def _more_than_nothing(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return number


def _check_chart(parser: argparse.ArgumentParser, chart: Path) -> None:
    """Before anything is measured, for that may take an hour."""
    if chart.suffix not in (".svg", ".png"):
        parser.error(f"--chart {chart}: the name must end in .svg or .png")
    if importlib.util.find_spec("matplotlib") is None:
        parser.error("--chart needs matplotlib: pip install -e '.[benchmarks]'")


def _read(parser: argparse.ArgumentParser, path: Path) -> Line:
    try:
        result: Line = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        parser.error(f"--from {path}: {error}")
    return result


def _measure(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Line:
    directory = arguments.directory.resolve() if arguments.directory else None
    result: Line = {"machine": describe_machine(), "rounds": arguments.rounds, "rows": [], "failed": []}
    if directory is None:
        result["tree"] = {"seed": SEED, "scale": arguments.scale}
    else:
        if not directory.is_dir():
            parser.error(f"{arguments.directory}: there is no such directory")
        found = survey(directory)
        if not found.size:
            parser.error(f"{arguments.directory}: there is no file with content, and nothing to measure")
        result["tree"] = {"files": found.files, "bytes": found.size}
    out = sys.stderr if arguments.json else sys.stdout
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as place:
        bench = Bench(directory, arguments.rounds, arguments.scale, Path(place))
        known = bench.rows | bench.more
        chosen = arguments.only.split(",") if arguments.only else list(bench.rows)
        for name in chosen:
            if name not in known:
                parser.error(f"there is no row {name!r}; there are {', '.join(known)}")
        for name in chosen:
            try:
                lines = known[name]()
            except _FAILURES as error:  # the other rows are of use without this one
                why = last_words(error) if isinstance(error, subprocess.CalledProcessError) else _why(error)
                print(f"{name:10} failed: {why}", file=sys.stderr, flush=True)
                result["failed"].append(name)
                continue
            except KeyboardInterrupt:
                result["failed"] += chosen[chosen.index(name) :]
                print("interrupted: the rows so far", file=sys.stderr)
                break
            for line in lines:
                result["rows"].append(line)
                print(show(line), file=out, flush=True)
    return result


def _why(error: BaseException) -> str:
    """In one line, with the place of what nobody has foreseen."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" ({Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno})" if place else ""
    return f"{' '.join(str(error).split()) or type(error).__name__}{where}"


if __name__ == "__main__":
    main()
