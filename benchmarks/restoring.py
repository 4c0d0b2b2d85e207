"""Time `restore` against `tar x` of the same archive, and one file out of a large archive.

    python -m benchmarks.restoring DIRECTORY [--formats zst,bz2] [--rounds 5] [--one] [--work DIR]

DIRECTORY is backed up once in each format. Then all of it is unpacked, A B A B, after one round that does not count:
by `restore` with the catalogue, as a process of its own that checks every digest, and by `tar x` (`unzip` for a zip).
Before the clock starts, both must give the same files. `--one` times one file from the middle of the archive only.
Each round has a new, empty target, and the disk is synced before it. Nothing is deleted meanwhile: for a minute and
more ext4 does not use the inodes of deleted files again, and looks at each of them whenever a file is made, which took
ten times as long as all else. One JSON line each: seconds of each round, the ratio of medians with the lowest and
highest ratio of a pair, and CPU time, which says more on a machine that others use too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNPACK = {
    "zst": "tar --zstd -xf {0} -C {1}",
    "gz": "tar -xzf {0} -C {1}",
    "bz2": "tar -xjf {0} -C {1}",
    "xz": "tar -xJf {0} -C {1}",
    "zip": "unzip -q {0} -d {1}",
}
ROOT = str(Path(__file__).resolve().parents[1])


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and seconds of CPU time of all processes that were started."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Bench:
    """A private home, in which a directory is backed up."""

    def __init__(self, work: Path, source: Path, option: str) -> None:
        self.home = work / "home"
        self.home.mkdir()
        self.targets = work / "targets"
        self.targets.mkdir()
        self.target = self.targets
        self.rounds = 0
        job = self.home / "job.py"
        job.write_text(f"job = dict(name='bench', sources=[({str(source)!r}, {option!r})])\n")
        job.write_text(job.read_text() + "config = dict(max_size=1 << 50)\n")
        job.chmod(0o600)
        report = json.loads(self.run("backup", str(job), "--yes").stdout)
        (volume,) = report["volumes"]
        (name,) = volume["archives"]
        self.archive = Path(volume["folder"], name)
        self.files = report["files"]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Give a command, which prints JSON."""
        environment = os.environ | {"HOME": str(self.home), "PYTHONPATH": ROOT}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled too
        command = [sys.executable, "-m", "backalaika", *arguments, "--json"]
        return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def clear(self) -> None:
        """Take an empty target, and let nothing be written behind anybody's back."""
        self.rounds += 1
        self.target = self.targets / f"{self.rounds}"
        self.target.mkdir()
        os.sync()

    def restore(self, *what: str) -> tuple[float, float]:
        """Seconds, and seconds of CPU time."""
        self.clear()
        return timed(lambda: self.run("restore", *what, "--to", str(self.target), "--yes"))

    def unpack(self, option: str) -> tuple[float, float]:
        """Seconds, and seconds of CPU time."""
        self.clear()
        command = UNPACK[option].format(self.archive, self.target)
        return timed(lambda: subprocess.run(command, shell=True, check=True))

    def seen(self) -> list[tuple[str, int]]:
        """Paths and sizes in the target."""
        files = (path for path in self.target.rglob("*") if path.is_file() and not path.is_symlink())
        return sorted((str(path.relative_to(self.target)), path.stat().st_size) for path in files)


def measure_all(bench: Bench, option: str, rounds: int) -> dict[str, Any]:
    """All files, against the tool."""
    bench.restore("--job", "bench")
    ours_seen = bench.seen()
    bench.unpack(option)
    assert ours_seen == bench.seen()
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(bench.restore("--job", "bench"))
        theirs.append(bench.unpack(option))
    pairs = [a / b for (a, _), (b, _) in zip(ours, theirs, strict=True)]
    return {
        "restore_s": [round(seconds, 2) for seconds, _ in ours],
        "tool_s": [round(seconds, 2) for seconds, _ in theirs],
        "ratio": round(
            statistics.median(seconds for seconds, _ in ours) / statistics.median(seconds for seconds, _ in theirs), 2
        ),
        "pairs": [round(min(pairs), 2), round(max(pairs), 2)],
        "restore_cpu_s": round(statistics.median(cpu for _, cpu in ours), 2),
        "tool_cpu_s": round(statistics.median(cpu for _, cpu in theirs), 2),
    }


def measure_one(bench: Bench, source: Path, rounds: int) -> dict[str, Any]:
    """One small file from the middle of the archive."""
    files = sorted(path for path in source.rglob("*") if path.is_file() and path.stat().st_size < 1 << 20)
    middle = files[len(files) // 2]
    bench.restore(str(middle))
    assert (bench.target / middle.relative_to(source.parent)).read_bytes() == middle.read_bytes()
    ours = [bench.restore(str(middle)) for _ in range(rounds)]
    start = []
    for _ in range(rounds):
        before = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        start.append(time.perf_counter() - before)
    return {
        "one_file_s": [round(seconds, 2) for seconds, _ in ours],
        "median": round(statistics.median(seconds for seconds, _ in ours), 2),
        "cpu_s": round(statistics.median(cpu for _, cpu in ours), 2),
        "python_starts_s": round(statistics.median(start), 3),
    }


def main() -> None:
    """Print one JSON line for each format."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--formats", default="zst,bz2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", action="store_true", help="only one file")
    parser.add_argument("--work", help="where to work; by default the folder for temporary files")
    chosen = parser.parse_args()
    source = chosen.directory.resolve()
    for option in chosen.formats.split(","):
        with tempfile.TemporaryDirectory(dir=chosen.work) as folder:
            bench = Bench(Path(folder), source, option)
            measured = (
                measure_one(bench, source, chosen.rounds) if chosen.one else measure_all(bench, option, chosen.rounds)
            )
            size = bench.archive.stat().st_size
            print(json.dumps({"format": option, "files": bench.files, "bytes": size} | measured), flush=True)


if __name__ == "__main__":
    main()
