"""How a backup grows: with the number of files, with the size of one file, and with the processors it could feed.

    python -m benchmarks.scaling [--files 10000,100000,1000000] [--rounds 3]
    python -m benchmarks.scaling --large 2000,20000 [--place DIRECTORY]
    python -m benchmarks.scaling --serial [--files 200000]

Times a file of runs with more and more files of 1 kB, less what a run of one file takes, for that is a fixed cost; the
peak memory of all processes is watched in the first round. ``--large`` saves one file of so many megabytes, sparse and
dense (bytes that do not compress). ``--serial`` tells the processor time that each process of a run has used, with one
worker and with two: what the main process and the writer take for a file and for a frame bounds what one run can do,
however many processors there are.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

import psutil

from .formats import back_up
from .office import make_office
from .pairs import BACKALAIKA, CHECKOUT, add_rounds, write_job
from .trees import make_tree

FILE_SIZE = 1000
MOST_DIFFERENCE = 1.2
_OFFICE_BYTES = 350_000_000
_PIECE = 16 << 20
_SAMPLE_S = 0.01
Line = dict[str, Any]


def measure_files(numbers: list[int], rounds: int) -> Line:
    """Microseconds a file and peak memory, by number of files."""
    took: dict[int, list[float]] = {number: [] for number in (1, *numbers)}
    memory: dict[int, int | None] = {}
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as place:
        for number in took:
            make_tree(Path(place) / str(number), number, FILE_SIZE, seed=1)
        for round_number in range(rounds + 1):
            for number, seconds in took.items():
                with tempfile.TemporaryDirectory(prefix="home-", dir=place) as home:
                    job = write_job(Path(home), Path(place) / str(number), "zst")
                    done = back_up(job, Path(home), round_number == 0)
                    assert json.loads(done.out)["files"] == number
                if round_number:
                    seconds.append(done.seconds)
                else:
                    memory[number] = done.memory
    fixed = statistics.median(took.pop(1))
    each = {number: (statistics.median(seconds) - fixed) / number * 1e6 for number, seconds in took.items()}
    return {
        "row": "scaling",
        "fixed_seconds": round(fixed, 3),
        "seconds": {number: round(statistics.median(seconds), 2) for number, seconds in took.items()},
        "microseconds_a_file": {number: round(one, 1) for number, one in each.items()},
        "difference": round(max(each.values()) / min(each.values()), 3),
        "wanted": MOST_DIFFERENCE,
        "peak_memory": memory,
    }


def measure_large(megabytes: list[int], parent: Path | None) -> Iterator[Line]:
    """Seconds and peak memory of one file by its size, sparse and dense."""
    for kind in ("sparse", "dense"):
        for size in megabytes:
            with tempfile.TemporaryDirectory(prefix="backalaika-bench-", dir=parent) as place:
                home, source = Path(place) / "home", Path(place) / "source"
                home.mkdir()
                source.mkdir()
                _write(source / "large", size * 1_000_000, kind == "dense")
                done = back_up(write_job(home, source, "zst"), home, True)
                assert json.loads(done.out)["bytes"] == size * 1_000_000
            rate = size / done.seconds
            yield {
                "row": "large",
                "kind": kind,
                "megabytes": size,
                "seconds": round(done.seconds, 2),
                "megabytes_a_second": round(rate, 1),
                "peak_memory": done.memory,
            }


def _write(path: Path, size: int, dense: bool) -> None:
    """A file of holes, or of bytes that do not compress: the same 16 MiB, each time from another byte on."""
    with path.open("wb") as file:
        file.truncate(size)
        piece = random.Random(1).randbytes(_PIECE)
        for start in range(0, size if dense else 0, _PIECE):
            turned = start // _PIECE % _PIECE
            file.write((piece[turned:] + piece[:turned])[: size - start])


def measure_serial(files: int) -> Iterator[Line]:
    """Processor time of each part of a run, by workers, of small files and of an office's."""
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as place:
        small, office = Path(place) / "small", Path(place) / "office"
        make_tree(small, files, FILE_SIZE, seed=1)
        make_office(office, _OFFICE_BYTES, seed=1)
        for source, option in ((small, "zst"), (small, "zip"), (office, "zst"), (office, "gz"), (office, "zip")):
            for workers in (1, 2):
                with tempfile.TemporaryDirectory(prefix="home-", dir=place) as home:
                    yield _serial(source, option, workers, Path(home))


def _serial(source: Path, option: str, workers: int, home: Path) -> Line:
    (home / "one").mkdir()
    (home / "one" / "file").write_bytes(b"1")
    one = write_job(home, home / "one", option)
    _used(one, workers, home)  # makes the catalogue, for which a run loads what later ones do without
    fixed, _, _, _ = _used(one, workers, home)
    before = _frames(home)
    main, writer, others, files = _used(write_job(home, source, option), workers, home)
    frames, serial = _frames(home) - before, main - fixed
    return {
        "row": "serial",
        "tree": source.name,
        "option": option,
        "workers": workers,
        "files": files,
        "frames": frames,
        "processor_seconds": {"main": round(main, 2), "writer": round(writer, 2), "workers": round(others, 2)},
        "of_which_fixed": round(fixed, 2),
        "main_microseconds_a_file": round(serial / files * 1e6, 1),
        "writer_microseconds_a_frame": round(writer / frames * 1e6, 1),
        "files_a_second_at_most": round(files / serial),
        "frames_a_second_at_most": round(frames / max(serial, writer)),
        "workers_fed": round(others / max(serial, writer), 1),
    }


def _used(job: Path, workers: int, home: Path) -> tuple[float, float, float, int]:
    """Back up, and tell the processor seconds of the main process, the writer and all workers, and the files."""
    command = [*BACKALAIKA, "backup", str(job), "--yes", "--json", "--workers", str(workers)]
    variables = os.environ | {"PYTHONPATH": str(CHECKOUT), "HOME": str(home)}
    with psutil.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        used = _watch(process)
        assert process.stdout is not None
        report = json.loads(process.stdout.read())
    main, writer, *others = (used[pid] for pid in sorted(used))  # in the order in which they are started
    assert len(others) == workers, f"{len(others)} workers were seen"
    return main, writer, sum(others), report["files"]


def _watch(process: psutil.Popen) -> dict[int, float]:
    """Processor seconds of a process and its children, as they were last seen."""
    used: dict[int, float] = {}
    while process.poll() is None:
        try:
            for one in (process, *process.children()):
                times = one.cpu_times()
                used[one.pid] = times.user + times.system
        except psutil.Error:
            pass  # it has just ended
        sleep(_SAMPLE_S)
    return used


def _frames(home: Path) -> int:
    import sqlite3

    with sqlite3.connect(home / "backups" / "backalaika.sqlite") as catalogue:
        return int(catalogue.execute("SELECT count(*) FROM frames").fetchone()[0])


def main() -> None:
    """Print one JSON line for each."""
    parser = argparse.ArgumentParser(description="How a backup grows with files, bytes and processors.")
    parser.add_argument("--files", default="")
    add_rounds(parser, 3)
    parser.add_argument("--large", default="", metavar="MEGABYTES")
    parser.add_argument("--place", type=Path, help="where large files are made; has room for twice the largest")
    parser.add_argument("--serial", action="store_true")
    arguments = parser.parse_args()
    numbers = [int(number) for number in arguments.files.split(",") if number]
    if arguments.large:
        for line in measure_large([int(size) for size in arguments.large.split(",")], arguments.place):
            print(json.dumps(line), flush=True)
    elif arguments.serial:
        for line in measure_serial(numbers[0] if numbers else 200_000):
            print(json.dumps(line), flush=True)
    else:
        print(json.dumps(measure_files(numbers or [10_000, 100_000, 1_000_000], arguments.rounds)), flush=True)


if __name__ == "__main__":
    main()
