"""Fill: how many volumes the files of a tree need, by our planner, by fpart and by dirsplit.

    python -m benchmarks.fill DIRECTORY [--capacity BYTES ...]      plans alone, of three planners
    python -m benchmarks.fill DIRECTORY --run zip [--capacity ...]  real backups in that format, each volume weighed
    python -m benchmarks.fill --items 1000000                       time and memory of our planner, on made-up sizes

Only sizes of content are planned, as the peers do, so that all three solve the same problem: `fpart -s` packs files
into partitions of at most so many bytes, `dirsplit -s -T` searches for the fullest media. Both get sizes and numbers
instead of paths. Each plan is checked before it is counted: every file once, no volume over its capacity. Prints one
JSON object a capacity. Needs the Debian packages fpart and genisoimage.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path

from backalaika.planner import Media, plan_volumes

from .pairs import at_least_one

# Volumes to make of a tree, the last of them half full.
PARTS = (4, 10, 30)


def sizes_of(directory: Path) -> list[int]:
    """Sizes of the regular files in the order of the tree; empty ones need no room and are left out."""
    sizes = []
    for folder, folders, names in os.walk(directory):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not os.path.islink(path) and os.path.isfile(path):
                sizes.append(os.path.getsize(path))
    return [size for size in sizes if size]


def ours(sizes: list[int], capacity: int) -> list[list[int]]:
    """Volumes by our planner, as numbers of files."""
    return [list(volume) for volume in plan_volumes(sizes, Media((), capacity)).volumes]


def fpart(sizes: list[int], capacity: int) -> list[list[int]]:
    """Partitions by fpart, which reads sizes and names (``-a``) and answers with number, size and name."""
    given = "".join(f"{size}\t{i}\n" for i, size in enumerate(sizes))
    command = ["fpart", "-a", "-s", str(capacity), "-i", "-"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    volumes: dict[str, list[int]] = {}
    for line in done.stdout.splitlines():
        number, _, name = line.split("\t")
        volumes.setdefault(number, []).append(int(name))
    return list(volumes.values())


def dirsplit(sizes: list[int], capacity: int) -> list[list[int]]:
    """Catalogues by dirsplit, which reads sizes and names (``-T``); its lines are ``name=name on disk``."""
    with tempfile.TemporaryDirectory() as place:
        given = Path(place) / "given"
        given.write_text("".join(f"{size} {i}\n" for i, size in enumerate(sizes)))
        command = ["dirsplit", "-s", str(capacity), "-T", str(given)]
        subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
        catalogues = sorted(Path(place).glob("vol_*.list"), key=lambda path: int(path.stem[4:]))
        lines = [path.read_text().splitlines() for path in catalogues]
    return [[int(line.split("=")[1]) for line in volume if line] for volume in lines]


PLANNERS = {"backalaika": ours, "fpart": fpart, "dirsplit": dirsplit}


def main() -> None:
    """Compare on the directory that the command line names."""
    parser = argparse.ArgumentParser(description="Volumes and fill of a tree's files.")
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--capacity", type=int, nargs="*", help="bytes; by default a part of the tree's size")
    parser.add_argument("--run", metavar="FORMAT", help="back it up for real in this format, and weigh each volume")
    parser.add_argument("--items", type=at_least_one, metavar="N", help="plan so many made-up sizes instead")
    arguments = parser.parse_args()
    if arguments.items:
        plan_many(arguments.items)
        return
    if arguments.directory is None:
        parser.error("give a directory, or --items")
    sizes = sizes_of(arguments.directory)
    if not sizes:
        parser.error(f"{arguments.directory}: there is no file with content")
    largest, total = max(sizes), sum(sizes)
    parts = dict.fromkeys(max(int(total / (part - 0.5)), largest + 1) for part in PARTS)
    for capacity in arguments.capacity or parts:
        result: dict[str, object] = {"files": len(sizes), "bytes": total, "capacity": capacity}
        if arguments.run:
            print(json.dumps(result | real_run(arguments.directory, arguments.run, capacity)))
            continue
        result["bound"] = max(-(-total // capacity), sum(size * 2 > capacity for size in sizes))
        for name, plan in PLANNERS.items():
            if name != "backalaika" and not shutil.which(name):
                continue
            start = time.perf_counter()
            try:
                volumes = plan(sizes, capacity)
            except subprocess.CalledProcessError as error:
                result[name] = {"refused": str(error.stderr)}
                continue
            seconds = time.perf_counter() - start
            result[name] = judge(volumes, sizes, capacity) | {"seconds": round(seconds, 3)}
        print(json.dumps(result))


def judge(volumes: list[list[int]], sizes: list[int], capacity: int) -> dict[str, object]:
    """Count the volumes of a plan and how full the emptiest but the last is, after looking whether it is right."""
    placed = sorted(i for volume in volumes for i in volume)
    fills = [sum(sizes[i] for i in volume) / capacity for volume in volumes]
    if placed != list(range(len(sizes))) or max(fills) > 1:
        return {"wrong": f"{len(placed):,} of {len(sizes):,} files placed, the fullest volume is {max(fills):.2%} full"}
    return {"volumes": len(volumes), "least_fill_but_last": least_but_last(fills)}


def least_but_last(fills: list[float]) -> float | None:
    """How full the emptiest volume is that is not the last, of those in their order; nothing, if there is but one."""
    return round(min(fills[:-1]), 4) if len(fills) > 1 else None


def real_run(directory: Path, option: str, capacity: int) -> dict[str, object]:
    """Back a directory up, and say how many volumes it took and how full each is, by the bytes on disk."""
    with tempfile.TemporaryDirectory() as home:
        job = Path(home) / "job.py"
        job.touch(0o600)
        settings = {"dir_backups": f"{home}/backups", "db_uri": f"sqlite:///{home}/catalogue", "max_size": capacity}
        job.write_text(f"job = dict(name='fill', sources=[({str(directory)!r}, {option!r})])\nconfig = {settings!r}\n")
        command = [sys.executable, "-m", "backalaika", "backup", str(job), "--yes", "--json"]
        done = subprocess.run(command, env=os.environ | {"HOME": home}, capture_output=True, text=True, check=False)
        if not done.stdout:
            return {"refused": done.stderr.strip().rpartition("\n")[2].replace(str(job), "the job")}
        report = json.loads(done.stdout)
        weights = [sum(f.stat().st_size for f in os.scandir(volume["folder"])) for volume in report["volumes"]]
    if report["state"] != "complete" or max(weights) > capacity:
        return {"wrong": report["failure"] or f"a volume has {max(weights):,} bytes"}
    fills = [weight / capacity for weight in weights]
    result = {"format": option, "bound": -(-sum(weights) // capacity), "volumes": len(fills)}
    return result | {"least_fill_but_last": least_but_last(fills), "fills": [round(fill, 4) for fill in fills]}


def plan_many(count: int) -> None:
    """Plan sizes as offices have them for discs of 700 MB; prints seconds and the peak of memory in bytes."""
    maker = random.Random(1)
    sizes = array("q", (min(int(maker.lognormvariate(10, 2.2)), 650 << 20) for _ in range(count)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    plan = plan_volumes(sizes, Media((50 << 20,), 700 << 20))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fills = [sum(sizes[i] for i in volume) / size for volume, size in zip(plan.volumes, plan.capacities, strict=True)]
    result = {
        "items": count,
        "volumes": len(fills),
        "seconds": round(seconds, 3),
        "least_fill_but_last": least_but_last(fills),
    }
    result["cpu_seconds"] = round(cpu, 3)
    print(json.dumps(result | {"peak_bytes": peak * 1024, "peak_before_bytes": before * 1024}))


if __name__ == "__main__":
    main()
