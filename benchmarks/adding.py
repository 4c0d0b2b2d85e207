"""Time `add` of foreign archives against `bsdtar -tf` on each, and of our own disc against `cat` of its bytes.

    python -m benchmarks.adding DIRECTORY [--formats bz2,gz,xz,zip] [--archives 1,4] [--rounds 5]
    python -m benchmarks.adding --own 4096 [--rate 72] [--rounds 5]

DIRECTORY is packed by bsdtar, once into one archive and once into several copies, as on a disc; bsdtar lists and does
not even hash. ``--own`` makes a volume of so many megabytes with our own program, of random bytes, and catalogues it
into a catalogue that does not know it, once with its bytes in the page cache and once without; and a second time with a
hundredth of it, which shows what it takes to start. With ``--rate`` both read it from a drive that gives so many
megabytes a second (`drive.c`, which a compiler must be there for), and a hundredth of it is left out. Both programs run
in turn, A B A B, after one round that does not count; ours as a process of its own into a catalogue that exists. Before
the clock starts, both must list the same number of members (FIFOs and devices, which we leave out, not counted), or the
volume must be told sound. One JSON line each: seconds of each round, peak memory, and the ratio of medians with the
lowest and highest ratio of a pair.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .contents import survey
from .pairs import (
    Run,
    Side,
    add_rounds,
    at_least_one,
    compared,
    no_peer_could,
    run,
    run_ours,
    take_turns,
    try_once,
    without,
    write_job,
)
from .trees import make_random_files

# How the name ends, and what bsdtar is told.
PACKERS = {
    "bz2": ("tar.bz2", ["cjf"]),
    "gz": ("tar.gz", ["czf"]),
    "xz": ("tar.xz", ["cJf"]),
    "zip": ("zip", ["--format", "zip", "-cf"]),
}
WANTED = {"bz2": 0.6}
WANTED_OWN = 1.3
Environment = Mapping[str, str]
Line = dict[str, Any]


def our_side(
    medium: Path, home: Path, prepare: Callable[[], object], drive: Environment = MappingProxyType({})
) -> Side:
    """`add` into a catalogue that exists; each time the medium has another title."""
    titles = count()

    def act(watch: bool) -> Run:
        uri = f"sqlite:///{home}/catalogue.sqlite"
        return run_ours(["add", str(next(titles)), str(medium), "--db", uri, "--json"], home, watch, drive)

    return Side(act, prepare)


def _list(medium: Path, watch: bool) -> Run:
    """All archives, one after another."""
    done = [run(["bsdtar", "-tf", str(archive)], watch=watch) for archive in sorted(medium.iterdir())]
    memory = max(one.memory or 0 for one in done)
    return Run(sum(one.seconds for one in done), b"".join(one.out for one in done), memory)


def compare_foreign(source: Path, name: str, archives: int, rounds: int) -> Line:
    """`add` of foreign archives: a line of the result."""
    if not shutil.which("bsdtar"):
        return without("add", ["bsdtar"])
    suffix, switches = PACKERS[name]
    # A zip by bsdtar has no FIFOs, and no tar has sockets.
    left_out = 0 if name == "zip" else survey(source).pipes
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as folder:
        home, medium = Path(folder), Path(folder, "medium")
        medium.mkdir()
        first = medium / f"0.{suffix}"
        packed = run(["bsdtar", *switches, str(first), "-C", str(source), "."], statuses=(0, 1))
        if packed.status:
            return {"row": "add", "missing": "left out: bsdtar cannot pack all of these files"}
        for number in range(1, archives):
            shutil.copy(first, medium / f"{number}.{suffix}")
        us = our_side(medium, home, lambda: None)
        them = Side(partial(_list, medium))
        members = json.loads(us.once(counts=False).out)["members"]
        listed = try_once("bsdtar", them)
        if not listed:
            return no_peer_could("add")
        theirs = listed.out.count(b"\n") - left_out * archives
        assert theirs == members, f"bsdtar lists {theirs:,} members, backalaika {members:,}"
        take_turns({"backalaika": us, "bsdtar -tf": them}, rounds)
        size = first.stat().st_size * archives
    work = f"catalogue a disc of foreign archives: {archives} {suffix}, {size / 1e6:,.0f} MB"
    return compared("add", work, us, {"bsdtar -tf": them}, WANTED.get(name), members, size)


def evict(folder: Path) -> None:
    """Take the files of a folder out of the page cache."""
    os.sync()
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def make_volume(folder: Path, megabytes: int) -> Path:
    """A volume that our program writes, of files of 1 MB."""
    source = folder / "source"
    make_random_files(source, megabytes, seed=1)
    done = run_ours(["backup", str(write_job(folder, source, "zst")), "--yes", "--json"], folder)
    shutil.rmtree(source)
    [volume] = json.loads(done.out)["volumes"]
    return Path(volume["folder"])


def make_drive(folder: Path, rate: float) -> Environment:
    """What makes a process read all below a folder at so many megabytes a second."""
    library = folder / "drive.so"
    source = Path(__file__).with_name("drive.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    settings = {"DRIVE_FOLDER": f"{folder}/backups/", "DRIVE_RATE": str(rate * 1e6), "DRIVE_CLOCK": f"{folder}/clock"}
    return {"LD_PRELOAD": str(library), **settings}


def compare_own(
    megabytes: int, rounds: int, rate: float | None = None, wanted: float | None = WANTED_OWN
) -> Iterator[Line]:
    """Two lines of the result: with the page cache, and without it; or one, from a drive."""
    if not shutil.which("cat"):
        yield without("disc", ["cat"])
        return
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as name:
        folder = Path(name)
        volume = make_volume(folder, megabytes)
        drive: Environment = {} if rate is None else make_drive(folder, rate)
        files = sorted(map(str, volume.iterdir()))
        size = sum(map(os.path.getsize, files))
        for place in (
            ("in the page cache", "not in the page cache") if rate is None else (f"from a drive of {rate:g} MB/s",)
        ):
            prepare = partial(evict, volume) if place.startswith("not") else lambda: None
            us = our_side(volume, folder, prepare, drive)
            them = Side(lambda watch: run(["cat", *files], None, drive, watch, keep=False), prepare)
            # Into a catalogue of its own, for the titles begin anew.
            for old in folder.glob("catalogue.sqlite*"):
                old.unlink()
            told = json.loads(us.once(counts=False).out)
            assert told["members"] > megabytes, f"of {megabytes:,} files, {told['members']:,} members were found"
            assert not told["errors"], f"the volume is not sound: {told['errors'][0]['message']}"
            them.once(counts=False)
            take_turns({"backalaika": us, "cat": them}, rounds)
            work = f"catalogue a disc of ours, {size / 1e6:,.0f} MB, {place}"
            yield compared("disc", work, us, {"cat": them}, wanted, told["members"], size)


def main() -> None:
    """Print one JSON line for each format and number of archives, and for our own disc."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--own", type=at_least_one, metavar="MEGABYTES")
    parser.add_argument("--rate", type=float, metavar="MEGABYTES_A_SECOND")
    parser.add_argument("--formats", default="bz2,gz,xz,zip")
    parser.add_argument("--archives", default="1,4")
    add_rounds(parser)
    chosen = parser.parse_args()
    sizes = () if chosen.own is None else (chosen.own,) if chosen.rate else (chosen.own, max(1, chosen.own // 100))
    for megabytes in sizes:
        for line in compare_own(megabytes, chosen.rounds, chosen.rate):
            print(json.dumps(line), flush=True)
    if chosen.directory is None:
        return
    for name in chosen.formats.split(","):
        for archives in chosen.archives.split(","):
            line = compare_foreign(chosen.directory.resolve(), name, int(archives), chosen.rounds)
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
