"""Time what is done with media that are there already: hash them, restore from them.

    python -m benchmarks.discs DIRECTORY [--rounds 5]

- Hashing: `add` of the directory as a medium, without entering archives, against ``xxhsum -H2`` on as many processes as
  there are CPUs. `add` catalogues too.
- Restoring all of a `tar.zst` against ``tar x``, if this version can restore.

Before the clock starts, the digests in the catalogue are compared with those that xxhsum prints, and what was restored
with the source.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from .formats import archive_of, back_up
from .pairs import BACKALAIKA, Run, Side, compared, count, run, take_turns, write_job

WANTED = {"hash": 1.2, "restore": 1.0}
_CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_XXHSUM = "find . -type f -print0 | xargs -0 -P {cpus} -n 100 xxhsum -H2 > {out}"


def _add(medium: Path, home: Path, *switches: str) -> Side:
    """`add` into a new catalogue each time."""
    catalogue = home / "catalogue.sqlite"
    uri = f"sqlite:///{catalogue}"

    def prepare() -> None:
        for path in home.glob("catalogue.sqlite*"):
            path.unlink()
        run([*BACKALAIKA, "volumes", "--db", uri])

    command = [*BACKALAIKA, "add", "medium", str(medium), "--db", uri, "--json", *switches]
    return Side(lambda watch: run(command, environment={"HOME": str(home)}, watch=watch), prepare)


def _shell(command: str, cwd: Path) -> Side:
    return Side(lambda watch: run(command, cwd=cwd, watch=watch))


def compare_hashing(source: Path, rounds: int) -> dict[str, Any]:
    """`add` against xxhsum."""
    if not shutil.which("xxhsum"):
        return {"row": "hash", "missing": "no peer is installed: xxhsum"}
    files, content = count(source)
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as place:
        home = Path(place)
        us, them = _add(source, home, "--depth", "0"), _shell(_XXHSUM.format(cpus=_CPUS, out=home / "sums"), source)
        us.once(counts=False)
        them.once(counts=False)
        # Of several at once, lines come in pieces.
        run(_XXHSUM.format(cpus=1, out=home / "sums"), source)
        lines = (home / "sums").read_text(errors="replace").splitlines()
        theirs = sorted(bytes.fromhex(line.split()[0].lstrip("\\")) for line in lines)
        with sqlite3.connect(home / "catalogue.sqlite") as catalogue:
            found = sorted(row[0] for row in catalogue.execute("SELECT digest FROM files WHERE digest IS NOT NULL"))
        assert found == theirs
        peer = f"xxhsum -H2, xargs -P {_CPUS}"
        peers = {peer: them}
        if shutil.which("hashdeep"):
            peers["hashdeep"] = _shell(f"hashdeep -r -c md5 -j {_CPUS} . > {home / 'sums'}", source)
            peers["hashdeep"].once(counts=False)
        take_turns({"backalaika": us, **peers}, rounds)
    work = f"hashing only, {files:,} files, {content / 1e6:,.0f} MB"
    return compared("hash", work, us, peers, WANTED["hash"], files, content, peer)


def compare_restoring(source: Path, rounds: int) -> dict[str, Any]:
    """`restore` of a whole run against ``tar x``."""
    if run([*BACKALAIKA, "restore", "--help"], statuses=(0, 2)).out == b"":
        return {"row": "restore", "missing": "this version has no restore"}
    files, content = count(source)
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as place:
        home = Path(place)
        done = back_up(write_job(home, source, "zst"), home)
        archive = archive_of(done)

        places: list[Path] = []

        def anew() -> None:
            """A new, empty target; the others stay, for ext4 is slow to make files where some were just deleted."""
            places.append(home / f"{len(places)}")
            places[-1].mkdir()
            os.sync()

        command = [*BACKALAIKA, "restore", "--job", str(json.loads(done.out)["job"]), "--yes", "--to"]

        def restore(watch: bool) -> Run:
            return run([*command, str(places[-1])], environment={"HOME": str(home)}, watch=watch)

        def unpack(watch: bool) -> Run:
            return run(f"zstd -dc -T0 {archive} | tar x -C {places[-1]}", watch=watch)

        us, them = Side(restore, anew), Side(unpack, anew)
        us.once(counts=False)
        assert count(places[-1]) == (files, content)
        them.once(counts=False)
        run(["diff", "-r", str(source), str(next(places[-1].iterdir()))])
        take_turns({"us": us, "them": them}, rounds)
    return compared(
        "restore",
        f"restore all of a tar.zst, {content / 1e6:,.0f} MB",
        us,
        {"tar x": them},
        WANTED["restore"],
        files,
        content,
    )


def main() -> None:
    """Compare on the directory that the command line names."""
    parser = argparse.ArgumentParser(description="Time hashing and restoring.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for compare in (compare_hashing, compare_restoring):
        print(json.dumps(compare(arguments.directory.resolve(), arguments.rounds)), flush=True)


if __name__ == "__main__":
    main()
