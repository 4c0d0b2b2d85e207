"""Time `restore` against `tar x` of the same archive, and one file out of a large archive.

    python -m benchmarks.restoring DIRECTORY [--formats zst,bz2] [--rounds 5] [--one] [--work DIR]

DIRECTORY is backed up once in each format. Then all of it is unpacked, A B A B, after one round that does not count:
by `restore` with the catalogue, as a process of its own that checks every digest, and by `tar x` (`unzip` for a zip).
Before the clock starts, both must give the same files. `--one` times one file from the middle of the archive only.
Each round has a new, empty target, and the disk is synced before it (`targets.py`). One JSON line each: seconds of
each round, the ratio of medians with the lowest and highest ratio of a pair, and CPU time, which says more on a machine
that others use too; of one file, the median.
"""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .contents import difference, survey
from .pairs import Run, Side, add_rounds, lacking, run, run_ours, write_job
from .targets import Targets

UNPACK = {
    "zst": "tar --zstd -xf {0} -C {1}",
    "gz": "tar -xzf {0} -C {1}",
    "bz2": "tar -xjf {0} -C {1}",
    "xz": "tar -xJf {0} -C {1}",
    "zip": "unzip -q {0} -d {1}",
}
# Seconds for one file out of 4 GB.
MOST_ONE_S = 1.0


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
        self.targets = Targets(work / "targets")
        job = write_job(self.home, source, option)
        report = json.loads(run_ours(["backup", str(job), "--yes", "--json"], self.home).out)
        (volume,) = report["volumes"]
        (name,) = volume["archives"]
        self.archive = Path(volume["folder"], name)
        self.files = report["files"]

    def bring_back(self, *what: str, watch: bool = False) -> Run:
        """Restore into the last target."""
        to = ["--to", str(self.targets.last), "--yes", "--json"]
        return run_ours(["restore", *what, *to], self.home, watch)

    def restore(self, *what: str) -> tuple[float, float]:
        """Seconds, and seconds of CPU time."""
        self.targets.begin()
        return timed(lambda: self.bring_back(*what))

    def unpack(self, option: str) -> tuple[float, float]:
        """The same of the tool."""
        self.targets.begin()
        command = UNPACK[option].format(shlex.quote(str(self.archive)), shlex.quote(str(self.targets.last)))
        return timed(lambda: run(command))


def measure_all(bench: Bench, option: str, rounds: int) -> dict[str, Any]:
    """All files, against the tool."""
    bench.restore("--job", "bench")
    ours_seen = bench.targets.last
    bench.unpack(option)
    other = difference(ours_seen, bench.targets.last)
    assert not other, f"what was restored is not what the tool gives: {other}"
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


def compare_one(source: Path, rounds: int, option: str = "zst", work: Path | None = None) -> dict[str, Any]:
    """One small file from the middle of an archive: a line of the result."""
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
    small = [path for path in files if path.stat().st_size < 1 << 20] or files
    middle = small[len(small) // 2]
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-", dir=work) as folder:
        bench = Bench(Path(folder), source, option)
        side = Side(lambda watch: bench.bring_back(str(middle), watch=watch), bench.targets.begin)
        side.once(counts=False)
        found = bench.targets.last / middle.relative_to(source.parent)
        assert found.read_bytes() == middle.read_bytes(), f"{middle} was not restored as it is"
        for _ in range(rounds):
            side.once()
        size = bench.archive.stat().st_size
    return {
        "row": "one",
        "work": f"restore one file out of a {'zip' if option == 'zip' else f'tar.{option}'} of {size / 1e6:,.0f} MB",
        "median_seconds": round(side.median, 3),
        "spread": [round(min(side.seconds), 3), round(max(side.seconds), 3)],
        "wanted": MOST_ONE_S,
        "reached": side.median < MOST_ONE_S,
        "seconds": [round(seconds, 3) for seconds in side.seconds],
        "peak_memory": side.memory,
        "archive_bytes": size,
        "files": survey(source).files,
    }


def main() -> None:
    """Print one JSON line for each format."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--formats", default="zst,bz2")
    add_rounds(parser)
    parser.add_argument("--one", action="store_true", help="only one file")
    parser.add_argument("--work", type=Path, help="where to work; by default the folder for temporary files")
    chosen = parser.parse_args()
    source = chosen.directory.resolve()
    for option in chosen.formats.split(","):
        if chosen.one:
            print(json.dumps(compare_one(source, chosen.rounds, option, chosen.work)), flush=True)
            continue
        if missing := lacking(UNPACK[option]):
            parser.error(f"{option}: not installed: {', '.join(missing)}")
        with tempfile.TemporaryDirectory(dir=chosen.work) as folder:
            bench = Bench(Path(folder), source, option)
            measured = measure_all(bench, option, chosen.rounds)
            size = bench.archive.stat().st_size
            print(json.dumps({"format": option, "files": bench.files, "bytes": size} | measured), flush=True)


if __name__ == "__main__":
    main()
