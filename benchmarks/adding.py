"""Time `add` of foreign archives against `bsdtar -tf` on each, and of our own disc against `cat` of its bytes.

    python -m benchmarks.adding DIRECTORY [--formats bz2,gz,xz,zip] [--archives 1,4] [--rounds 5]
    python -m benchmarks.adding --own 4096 [--rate 72] [--rounds 5]

DIRECTORY is packed by bsdtar, once into one archive and once into several copies, as on a disc; bsdtar lists and does
not even hash. ``--own`` makes a volume of so many megabytes with our own program, of random bytes, and catalogues it
into a catalogue that does not know it, once with its bytes in the page cache and once without; and a second time with a
hundredth of it, which shows what it takes to start. With ``--rate`` both read it from a drive that gives so many
megabytes a second (`drive.c`, which a compiler must be there for), and a hundredth of it is left out. Both programs run
in turn, A B A B, after one round that does not count; ours as a process of its own into a catalogue that exists. Before
the clock starts, both must list the same number of members, or the volume must be told sound. One JSON line each:
seconds of each round, and the ratio of medians with the lowest and highest ratio of a pair.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

PACKERS = {
    "bz2": ("tar.bz2", "bsdtar cjf {0} -C {1} ."),
    "gz": ("tar.gz", "bsdtar czf {0} -C {1} ."),
    "xz": ("tar.xz", "bsdtar cJf {0} -C {1} ."),
    "zip": ("zip", "bsdtar cf {0} --format zip -C {1} ."),
}
WANTED = {"bz2": 0.6}
Environment = Mapping[str, str]


def run_add(medium: Path, db: Path, title: str, drive: Environment = MappingProxyType({})) -> tuple[float, int]:
    """Seconds, and members in archives."""
    command = [sys.executable, "-m", "backalaika", "add", title, str(medium), "--db", f"sqlite:///{db}", "--json"]
    environment = {**os.environ, **drive}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled too
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
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


def evict(folder: Path) -> None:
    """Take the files of a folder out of the page cache."""
    os.sync()
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run_cat(folder: Path, drive: Environment) -> float:
    """Seconds to read the bytes of a folder's files."""
    start = time.perf_counter()
    with open(os.devnull, "wb") as nowhere:
        subprocess.run(["cat", *sorted(folder.iterdir())], check=True, stdout=nowhere, env={**os.environ, **drive})
    return time.perf_counter() - start


def make_volume(folder: Path, megabytes: int) -> Path:
    """A volume that our program writes, of files of 1 MB."""
    source = folder / "source"
    for number in range(megabytes):
        path = source / str(number // 100) / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(1_000_000))
    job = folder / "job.py"
    settings = {"dir_backups": str(folder / "backups"), "db_uri": f"sqlite:///{folder}/run.sqlite"}
    settings |= {"max_size": (megabytes + 100) * 1_100_000, "digest": "xxh3-128"}
    job.write_text(f"job = dict(name='own', sources=[({str(source)!r}, 'zst')])\nconfig = {settings!r}\n")
    job.chmod(0o600)
    command = [sys.executable, "-m", "backalaika", "backup", str(job), "--yes"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.rmtree(source)
    [volume] = (folder / "backups").glob("*/vol*")
    return volume


def make_drive(folder: Path, rate: float) -> Environment:
    """What makes a process read all below a folder at so many megabytes a second."""
    library = folder / "drive.so"
    source = Path(__file__).with_name("drive.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    settings = {"DRIVE_FOLDER": f"{folder}/backups/", "DRIVE_RATE": str(rate * 1e6), "DRIVE_CLOCK": f"{folder}/clock"}
    return {"LD_PRELOAD": str(library), **settings}


def measure_own(megabytes: int, rounds: int, rate: float | None) -> Iterator[dict[str, object]]:
    """Two lines of the result: with the page cache, and without it; or one, from a drive."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        volume, db = make_volume(folder, megabytes), folder / "catalogue.sqlite"
        drive: Environment = {} if rate is None else make_drive(folder, rate)
        assert run_add(volume, db, "warm-up")[1] > megabytes
        for cached in (True, False) if rate is None else (True,):
            ours, theirs = [], []
            for number in range(rounds):
                if not cached:
                    evict(volume)
                ours.append(run_add(volume, db, f"{cached} {number}", drive)[0])
                if not cached:
                    evict(volume)
                theirs.append(run_cat(volume, drive))
            pairs = [a / b for a, b in zip(ours, theirs, strict=True)]
            yield {
                "own": True,
                "from": f"a drive of {rate:g} MB/s" if rate else "memory" if cached else "disk",
                "bytes": sum(path.stat().st_size for path in volume.iterdir()),
                "add_s": [round(seconds, 2) for seconds in ours],
                "cat_s": [round(seconds, 2) for seconds in theirs],
                "ratio": round(statistics.median(ours) / statistics.median(theirs), 2),
                "pairs": [round(min(pairs), 2), round(max(pairs), 2)],
                "wanted": 1.3,
            }


def main() -> None:
    """Print one JSON line for each format and number of archives, and for our own disc."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--own", type=int, metavar="MEGABYTES")
    parser.add_argument("--rate", type=float, metavar="MEGABYTES_A_SECOND")
    parser.add_argument("--formats", default="bz2,gz,xz,zip")
    parser.add_argument("--archives", default="1,4")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    sizes = () if chosen.own is None else (chosen.own,) if chosen.rate else (chosen.own, max(1, chosen.own // 100))
    for megabytes in sizes:
        for line in measure_own(megabytes, chosen.rounds, chosen.rate):
            print(json.dumps(line), flush=True)
    if chosen.directory is None:
        return
    for name in chosen.formats.split(","):
        for archives in chosen.archives.split(","):
            print(json.dumps(measure(chosen.directory, name, int(archives), chosen.rounds)), flush=True)


if __name__ == "__main__":
    main()
