"""Time `add` of foreign archives against `bsdtar -tf` on each, which lists and does not even hash.

    python -m benchmarks.adding DIRECTORY [--formats bz2,gz,xz,zip] [--archives 1,4] [--rounds 5]

DIRECTORY is packed by bsdtar, once into one archive and once into several copies, as on a disc. Both programs run in
turn, A B A B, after one round that does not count; ours as a process of its own into a catalogue that exists. Before
the clock starts, both must list the same number of members. One JSON line each: seconds of each round, and the ratio
of medians with the lowest and highest ratio of a pair.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKERS = {
    "bz2": ("tar.bz2", "bsdtar cjf {0} -C {1} ."),
    "gz": ("tar.gz", "bsdtar czf {0} -C {1} ."),
    "xz": ("tar.xz", "bsdtar cJf {0} -C {1} ."),
    "zip": ("zip", "bsdtar cf {0} --format zip -C {1} ."),
}
WANTED = {"bz2": 0.6}


def run_add(medium: Path, db: Path, title: str) -> tuple[float, int]:
    """Seconds, and members in archives."""
    command = [sys.executable, "-m", "backalaika", "add", title, str(medium), "--db", f"sqlite:///{db}", "--json"]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start, int(json.loads(done.stdout)["members"])


def run_bsdtar(medium: Path) -> tuple[float, int]:
    """Seconds, and members listed."""
    members = 0
    start = time.perf_counter()
    for archive in sorted(medium.iterdir()):
        members += subprocess.run(["bsdtar", "-tf", archive], check=True, stdout=subprocess.PIPE).stdout.count(b"\n")
    return time.perf_counter() - start, members


def measure(source: Path, name: str, archives: int, rounds: int) -> dict[str, object]:
    """One line of the result."""
    with tempfile.TemporaryDirectory() as folder:
        medium, db = Path(folder, "medium"), Path(folder, "catalogue.sqlite")
        medium.mkdir()
        suffix, packer = PACKERS[name]
        first = medium / f"0.{suffix}"
        subprocess.run(packer.format(first, source), shell=True, check=True)
        for number in range(1, archives):
            shutil.copy(first, medium / f"{number}.{suffix}")
        assert run_add(medium, db, "warm-up")[1] == run_bsdtar(medium)[1]
        ours, theirs = [], []
        for number in range(rounds):
            ours.append(run_add(medium, db, str(number))[0])
            theirs.append(run_bsdtar(medium)[0])
        pairs = [a / b for a, b in zip(ours, theirs, strict=True)]
        return {
            "format": name,
            "archives": archives,
            "bytes": first.stat().st_size * archives,
            "add_s": [round(seconds, 2) for seconds in ours],
            "bsdtar_s": [round(seconds, 2) for seconds in theirs],
            "ratio": round(statistics.median(ours) / statistics.median(theirs), 2),
            "pairs": [round(min(pairs), 2), round(max(pairs), 2)],
            "wanted": WANTED.get(name),
        }


def main() -> None:
    """Print one JSON line for each format and number of archives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--formats", default="bz2,gz,xz,zip")
    parser.add_argument("--archives", default="1,4")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    for name in chosen.formats.split(","):
        for archives in chosen.archives.split(","):
            print(json.dumps(measure(chosen.directory, name, int(archives), chosen.rounds)), flush=True)


if __name__ == "__main__":
    main()
