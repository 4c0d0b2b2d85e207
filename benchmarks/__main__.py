"""All comparisons of DESIGN.md's table, on a directory of yours or on trees that are made from a seed.

    python -m benchmarks [DIRECTORY] [--rounds 5] [--only gz,zip,…] [--scale 1.0] [--json] [--chart FILE]

Each row runs backalaika and the peers that are installed in turn on the same files; the answers are compared before the
clock starts. A row that cannot be, for want of a peer or of a command, says so. ``--json`` prints the machine and all
figures as one object; ``--chart`` draws the ratios (the extra ``benchmarks``), also of an earlier result by ``--from``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import discs, formats, growth, repositories
from .machine import describe_machine
from .office import make_office
from .pairs import CHECKOUT, count
from .trees import make_large_files, make_tree

Line = dict[str, Any]
# Of the trees that are made where no directory is named.
OFFICE_BYTES = 350_000_000
SMALL_FILES, SMALL_SIZE = 200_000, 1000
FEW_FILES, MANY_FILES = 100_000, 1_000_000
CATALOGUE_ROWS = 1_000_000
# A DVD's; at its own speed it takes minutes, but these are read from memory or a fast disk.
DISC_MEGABYTES = 4096
# Of less, the time of a hash-only row is what it takes to start.
LARGE_FILES, LARGE_SIZE = 16, 512_000_000
# What each foreign archive holds: bsdtar takes 10 s and more to read 350 MB of bz2.
FOREIGN_BYTES = 90_000_000
SEED = 1
WANTED_FILL = 0.99
_START_ROUNDS = 20


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
        arguments = ["--formats", "bz2", "--archives", "1,4", "--rounds", str(self._rounds)]
        lines = []
        for found in _module("adding", str(self._office_of(FOREIGN_BYTES)), *arguments):
            archives = f"{found['archives']} tar.bz2, {found['bytes'] / 1e6:,.0f} MB"
            line = {"row": "add", "work": f"catalogue a disc of foreign archives: {archives}", "against": "bsdtar -tf"}
            ratio, wanted = found["ratio"], found["wanted"]
            line |= {"ratio": ratio, "ratio_spread": found["pairs"], "wanted": wanted, "reached": ratio <= wanted}
            lines.append(line | {"figures": found})
        return lines

    def _disc(self) -> list[Line]:
        lines = []
        for found in _module("adding", "--own", str(self._scaled(DISC_MEGABYTES)), "--rounds", str(self._rounds)):
            cache = "in the page cache" if found["cached"] else "not in the page cache"
            line = {"row": "disc", "work": f"catalogue a disc of ours, {found['bytes'] / 1e6:,.0f} MB, {cache}"}
            # The last two, of a hundredth, show what it takes to start; nothing is wanted of them.
            ratio, wanted = found["ratio"], found["wanted"] if len(lines) < 2 else None
            line |= {"against": "cat", "ratio": ratio, "ratio_spread": found["pairs"], "wanted": wanted}
            lines.append(line | {"reached": None if wanted is None else ratio <= wanted, "figures": found})
        return lines

    def _catalogue(self) -> list[Line]:
        lines = []
        rows, repeats = str(self._scaled(CATALOGUE_ROWS)), str(min(self._rounds, 5))
        for found in _module("catalogue", rows, "--repeats", repeats):
            line = {
                "row": "catalogue",
                "work": f"catalogue rows: {found.get('rows', 0):,}",
                "against": "bare executemany",
            }
            # Rows a second, not seconds: more is better.
            line |= {"rate_ratio": found["ratio"], "wanted": 0.5, "reached": found["ratio"] >= 0.5, "figures": found}
            lines.append(line)
        return lines

    def _fill(self) -> list[Line]:
        lines = []
        for option, found in (
            *(("", found) for found in _module("fill", str(self.office()))),
            *(("zst", found) for found in _module("fill", str(self.office()), "--run", "zst")),
        ):
            if option:
                volumes, full = found["volumes"], sorted(found["fills"])[min(1, found["volumes"] - 1)]
            else:
                volumes, full = found["backalaika"]["volumes"], found["backalaika"]["least_fill_but_one"]
            reached = (full is None or full >= WANTED_FILL) and volumes <= found["bound"] + 1
            what = f"fill of a run in {option}" if option else "fill by the sizes of content"
            line = {"row": "fill", "work": f"{what}: volumes of {found['capacity'] / 1e6:,.1f} MB", "volumes": volumes}
            line |= {"bound": found["bound"], "least_fill_but_one": full, "wanted": WANTED_FILL, "reached": reached}
            lines.append(line | {"figures": found})
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
        return f"{line['row']:10} {line['missing']}"
    verdict = {True: "reached", False: "NOT reached", None: ""}[line.get("reached")]
    what = line["work"] + (f", against {line['against']}" if "against" in line else "")
    wanted = line.get("wanted")
    if "ratio" in line:
        low, high = line["ratio_spread"]
        size = f", size {line['size_ratio']:.3f}" if "size_ratio" in line else ""
        figure = (
            f"{line['ratio']:.2f} ({low:.2f} to {high:.2f}){size}; wanted {'nothing' if wanted is None else wanted}"
        )
    elif "seconds_more" in line:
        figure = f"{1000 * line['seconds_more']:.0f} ms more; wanted at most {1000 * wanted:.0f}"
    elif "growth" in line:
        peaks = ", ".join(f"{peak / 1e6:.0f} MB" for peak in line["peak_memory"].values())
        figure = (
            f"{peaks}, growth {line['growth']:.2f}; wanted at most {wanted / 1e6:.0f} MB and {line['growth_wanted']}"
        )
    elif "rate_ratio" in line:
        figure = f"{line['rate_ratio']:.2f} of its rows a second; wanted {wanted}"
    else:
        figure = (
            f"{line['volumes']} volumes (best bound {line['bound']}), fill but the last {line['least_fill_but_one']}"
        )
    return f"{line['row']:10} {what}\n{'':10} {figure}  {verdict}{_programs(line)}"


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
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each row (5)")
    parser.add_argument("--only", help="rows, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="how large the trees are that are made (1.0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the ratios, as SVG or PNG")
    parser.add_argument("--from", dest="earlier", type=Path, metavar="FILE", help="draw this result; measure nothing")
    arguments = parser.parse_args()
    if arguments.directory is not None and not arguments.directory.is_dir():
        parser.error(f"{arguments.directory}: there is no such directory")
    result = json.loads(arguments.earlier.read_text()) if arguments.earlier else _measure(parser, arguments)
    if arguments.json:
        print(json.dumps(result, indent=1))
    if arguments.chart:
        from .chart import draw

        draw(result, arguments.chart)
    sys.exit(1 if result["failed"] else 0)


def _measure(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Line:
    directory = arguments.directory.resolve() if arguments.directory else None
    result: Line = {"machine": describe_machine(), "rounds": arguments.rounds, "rows": [], "failed": []}
    if directory is not None:
        result["tree"] = dict(zip(("files", "bytes"), count(directory), strict=True))
    else:
        result["tree"] = {"seed": SEED, "scale": arguments.scale}
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
            except (OSError, ValueError, AssertionError, KeyError, subprocess.CalledProcessError):
                traceback.print_exc()  # the other rows are of use without this one
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


if __name__ == "__main__":
    main()
