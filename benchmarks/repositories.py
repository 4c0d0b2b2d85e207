"""Time 200,000 small files: a first backup, and a second one when nothing has changed, against restic and borg.

    python -m benchmarks.repositories DIRECTORY [--rounds 5]

In each round all begin anew (a repository, a catalogue) and save the files twice; the first time is also compared with
`tar c | zstd -T0 -3`, which cannot know what it has saved. Neither restic nor borg encrypts more than it must: borg not
at all, restic always. Before the clock starts, all must have saved the same number of files, and our second run must
have found all of them known; how many rows it wrote all the same, but its own and those of its sources, is told. After
that a third must find a file that is new in DIRECTORY, which is taken away again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .formats import back_up, peer
from .pairs import Run, Side, compared, count, run, write_job

WANTED = {"zstd": 0.9, "restic": 0.15, "borg": 0.1}
WANTED_SECOND = 0.2
TABLES = ("files", "frames", "entries", "listings", "folders", "known", "archives", "volumes")


def _fresh(folder: Path, make: Callable[[], object] = lambda: None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make()


def ours(source: Path, home: Path) -> tuple[Side, Side]:
    """Our first run and our second."""
    first = Side(lambda watch: back_up(write_job(home, source, "zst"), home, watch), partial(_fresh, home))
    second = Side(lambda watch: back_up(home / "job.py", home, watch, "--skip-known"))
    return first, second


def restic(source: Path, folder: Path) -> tuple[Side, Side]:
    """The same by restic."""
    environment = {
        "RESTIC_REPOSITORY": str(folder / "repository"),
        "RESTIC_PASSWORD": "bench",
        "RESTIC_CACHE_DIR": str(folder / "cache"),
    }

    def act(watch: bool) -> Run:
        return run(["restic", "backup", "--json", source.name], source.parent, environment, watch)

    make = partial(run, ["restic", "init"], environment=environment)
    return Side(act, partial(_fresh, folder, make)), Side(act)


def borg(source: Path, folder: Path) -> tuple[Side, Side]:
    """The same by borg, without encryption."""
    environment = {"BORG_REPO": str(folder / "repository"), "BORG_BASE_DIR": str(folder / "base")}

    def act(name: str) -> Callable[[bool], Run]:
        command = ["borg", "create", "--json", f"::{name}", source.name]
        return lambda watch: run(command, source.parent, environment, watch)

    make = partial(run, ["borg", "init", "-e", "none"], environment=environment)
    return Side(act("first"), partial(_fresh, folder, make)), Side(act("second"))


REPOSITORIES = {"restic": restic, "borg": borg}


def _rows(home: Path) -> int:
    with sqlite3.connect(home / "backups" / "backalaika.sqlite") as catalogue:
        return sum(catalogue.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES)


def _find_a_new_file(source: Path, second: Side) -> None:
    new = source / "backalaika-bench-new"
    new.write_bytes(os.urandom(1000))
    try:
        assert json.loads(second.once(counts=False).out)["files"] == 1
    finally:
        new.unlink()


def _files_saved(name: str, done: Run) -> int:
    if name == "borg":
        return int(json.loads(done.out)["archive"]["stats"]["nfiles"])
    return int(json.loads(done.out.splitlines()[-1])["total_files_processed"])


def compare(source: Path, rounds: int) -> list[dict[str, Any]]:
    """All rounds: one line for each peer of the first run, one for each of the second."""
    files, content = count(source)
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as place:
        folder = Path(place)
        pairs = {"backalaika": ours(source, folder / "home")}
        pairs |= {name: make(source, folder / name) for name, make in REPOSITORIES.items() if shutil.which(name)}
        zstd = peer(source, "tar c {source} | zstd -q -T0 -3 > {out}", folder)
        written = 0
        for name, (first, second) in pairs.items():
            done = first.once(counts=False)
            if name == "backalaika":
                assert json.loads(done.out)["files"] == files
                before = _rows(folder / "home")
                assert json.loads(second.once(counts=False).out)["known_files"] == files
                written = _rows(folder / "home") - before
                _find_a_new_file(source, second)
            else:
                assert _files_saved(name, done) == _files_saved(name, second.once(counts=False)) == files
        zstd.once(counts=False)
        for _ in range(rounds):
            for first, second in pairs.values():
                first.once()
                second.once()
            zstd.once()
    firsts = {name: first for name, (first, _) in pairs.items()} | {"zstd": zstd}
    seconds = {name: second for name, (_, second) in pairs.items()}
    first, second = firsts.pop("backalaika"), seconds.pop("backalaika")
    work = f"tar.zst, {files:,} files of 1 kB"
    lines = [
        compared("small", work, first, firsts, WANTED[name], files, content, name)
        for name in ("zstd", "restic", "borg")
        if name in firsts
    ]
    work = f"second run, nothing changed, {files:,} files"
    for name in seconds:
        wanted = WANTED_SECOND if name == "restic" else None
        lines.append(compared("second", work, second, seconds, wanted, files, content, name))
        lines[-1]["rows_written"] = written
    return lines


def main() -> None:
    """Compare on the directory that the command line names."""
    parser = argparse.ArgumentParser(description="Time first and second backups of many small files.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for line in compare(arguments.directory.resolve(), arguments.rounds):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
