"""What does not depend on what is saved: the start of the program, and memory, which must not grow with the files.

    python -m benchmarks.growth [--files 100000,1000000] [--rounds 20]

The start is `backalaika --help` against ``python -c pass``, in turn. Memory is the peak of all processes of a backup
together, by as many files of 100 bytes as are named, each tree removed before the next is made.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from .formats import back_up
from .pairs import BACKALAIKA, Side, add_rounds, run, take_turns, write_job
from .trees import make_tree

MOST_START_S = 0.150
MOST_MEMORY = 400_000_000
MOST_GROWTH = 1.10
_FILE_SIZE = 100


def measure_start(rounds: int) -> dict[str, Any]:
    """Seconds that ``--help`` takes longer than an empty program."""
    ours = Side(lambda watch: run([*BACKALAIKA, "--help"], watch=watch))
    empty = Side(lambda watch: run([sys.executable, "-c", "pass"], watch=watch))
    for side in (ours, empty):
        side.once(counts=False)
    take_turns({"ours": ours, "empty": empty}, rounds)
    more = sorted(a - b for a, b in zip(ours.seconds, empty.seconds, strict=True))
    median = statistics.median(more)
    return {
        "row": "start",
        "work": "start: backalaika --help",
        "against": "python -c pass",
        "seconds_more": round(median, 3),
        "spread": [round(more[0], 3), round(more[-1], 3)],
        "wanted": MOST_START_S,
        "reached": median <= MOST_START_S,
    }


def measure_memory(numbers: list[int]) -> dict[str, Any]:
    """Peak memory by number of files."""
    peaks, seconds = {}, {}
    for files in numbers:
        with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as place:
            home, source = Path(place), Path(place) / "source"
            make_tree(source, files, _FILE_SIZE, seed=1)
            done = back_up(write_job(home, source, "zst"), home, True)
            assert json.loads(done.out)["files"] == files
            assert done.memory is not None
            peaks[files], seconds[files] = done.memory, done.seconds
    growth = peaks[numbers[-1]] / peaks[numbers[0]]
    return {
        "row": "memory",
        "work": f"peak memory of all processes, {numbers[-1]:,} files",
        "peak_memory": {str(files): peak for files, peak in peaks.items()},
        "seconds": {str(files): round(took, 2) for files, took in seconds.items()},
        "microseconds_a_file": {str(files): round(took / files * 1e6, 1) for files, took in seconds.items()},
        "wanted": MOST_MEMORY,
        "growth": round(growth, 3),
        "growth_wanted": MOST_GROWTH,
        "reached": peaks[numbers[-1]] <= MOST_MEMORY and growth <= MOST_GROWTH,
    }


def main() -> None:
    """Print one JSON line for each."""
    parser = argparse.ArgumentParser(description="Start, and memory by number of files.")
    parser.add_argument("--files", default="100000,1000000")
    add_rounds(parser, 20)
    arguments = parser.parse_args()
    print(json.dumps(measure_start(arguments.rounds)), flush=True)
    print(json.dumps(measure_memory([int(number) for number in arguments.files.split(",")])), flush=True)


if __name__ == "__main__":
    main()
