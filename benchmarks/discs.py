"""Time what is done with media that are there already: hash them, restore from them.

    python -m benchmarks.discs DIRECTORY [--rounds 5]

- Hashing: `add` of the directory as a medium, without entering archives, against ``xxhsum -H2`` on as many processes as
  there are CPUs. `add` catalogues too.
- Restoring all of a `tar.zst` against ``tar x``, if this version can restore.

Before the clock starts, the digests in the catalogue are compared with those that xxhsum prints, and what was restored
with the source, but for FIFOs, devices and sockets. Restoring needs room in the folder for temporary files for the
archive and twice the files.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from .contents import difference, survey
from .formats import archive_of, back_up
from .pairs import (
    BACKALAIKA,
    Run,
    Side,
    add_rounds,
    compared,
    lacking,
    no_peer_could,
    run,
    run_ours,
    take_turns,
    try_once,
    without,
    write_job,
)
from .targets import Targets

WANTED = {"hash": 1.2, "restore": 1.0}
_CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_XXHSUM = "find . -type f -print0 | xargs -0 -P {cpus} -n 100 xxhsum -H2 > {out}"
# A name with a newline in it makes a line more.
_SUM = re.compile(rb"^\\?([0-9a-f]{32})  \./", re.MULTILINE)
_UNPACK = "zstd -dc -T0 {archive} | tar x -C {target}"


def _add(medium: Path, home: Path, *switches: str) -> Side:
    """`add` into a new catalogue each time."""
    catalogue = home / "catalogue.sqlite"
    uri = f"sqlite:///{catalogue}"

    def prepare() -> None:
        for path in home.glob("catalogue.sqlite*"):
            path.unlink()
        run([*BACKALAIKA, "volumes", "--db", uri])

    command = ["add", "medium", str(medium), "--db", uri, "--json", *switches]
    return Side(lambda watch: run_ours(command, home, watch), prepare)


def _shell(command: str, cwd: Path) -> Side:
    return Side(lambda watch: run(command, cwd=cwd, watch=watch))


def compare_hashing(source: Path, rounds: int) -> dict[str, Any]:
    """`add` against xxhsum."""
    if missing := lacking(_XXHSUM, "xxhsum"):
        return without("hash", missing)
    found = survey(source)
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as place:
        home = Path(place)
        out = shlex.quote(str(home / "sums"))
        us, them = _add(source, home, "--depth", "0"), _shell(_XXHSUM.format(cpus=_CPUS, out=out), source)
        us.once(counts=False)
        peer = f"xxhsum -H2, xargs -P {_CPUS}"
        if not try_once(peer, them):
            return no_peer_could("hash")
        # Of several at once, lines come in pieces.
        run(_XXHSUM.format(cpus=1, out=out), source)
        theirs = sorted(map(bytes.fromhex, (text.decode() for text in _SUM.findall((home / "sums").read_bytes()))))
        with sqlite3.connect(home / "catalogue.sqlite") as catalogue:
            digests = sorted(row[0] for row in catalogue.execute("SELECT digest FROM files WHERE digest IS NOT NULL"))
        assert digests == theirs, f"{len(digests):,} digests in the catalogue are not the {len(theirs):,} of xxhsum"
        peers = {peer: them}
        hashdeep = _shell(f"hashdeep -r -o f -c md5 -j {_CPUS} . > {out}", source)
        if shutil.which("hashdeep") and try_once("hashdeep", hashdeep):
            peers["hashdeep"] = hashdeep
        take_turns({"backalaika": us, **peers}, rounds)
    work = f"hashing only, {found.files:,} files, {found.size / 1e6:,.0f} MB"
    return compared("hash", work, us, peers, WANTED["hash"], found.files, found.size, peer)


def compare_restoring(source: Path, rounds: int) -> dict[str, Any]:
    """`restore` of a whole run against ``tar x``."""
    if missing := lacking(_UNPACK):
        return without("restore", missing)
    found = survey(source)
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as place:
        home = Path(place)
        done = back_up(write_job(home, source, "zst"), home)
        archive = archive_of(done)
        targets = Targets(home / "targets")
        command = ["restore", "--job", str(json.loads(done.out)["job"]), "--yes", "--json", "--to"]

        def restore(watch: bool) -> Run:
            return run_ours([*command, str(targets.last)], home, watch)

        def unpack(watch: bool) -> Run:
            paths = {"archive": archive, "target": targets.last}
            return run(_UNPACK.format(**{key: shlex.quote(str(path)) for key, path in paths.items()}), watch=watch)

        us, them = Side(restore, targets.begin), Side(unpack, targets.begin)
        us.once(counts=False)
        ours = targets.last
        if not try_once("tar x", them):
            return no_peer_could("restore")
        other = difference(ours, targets.last) or difference(source, next(targets.last.iterdir()))
        assert not other, f"what was restored is not what tar gives, or the source: {other}"
        take_turns({"us": us, "them": them}, rounds)
    work = f"restore all of a tar.zst, {found.size / 1e6:,.0f} MB"
    return compared("restore", work, us, {"tar x": them}, WANTED["restore"], found.files, found.size)


def main() -> None:
    """Compare on the directory that the command line names."""
    parser = argparse.ArgumentParser(description="Time hashing and restoring.")
    parser.add_argument("directory", type=Path)
    add_rounds(parser)
    arguments = parser.parse_args()
    for compare in (compare_hashing, compare_restoring):
        print(json.dumps(compare(arguments.directory.resolve(), arguments.rounds)), flush=True)


if __name__ == "__main__":
    main()
