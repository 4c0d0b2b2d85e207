"""Time 200,000 small files: a first backup, and a second one when nothing has changed, against restic and borg.

    python -m benchmarks.repositories DIRECTORY [--rounds 5]

In each round all begin anew (a repository, a catalogue) and save the files twice; the first time is also compared with
`tar c | zstd -T0 -3`, which cannot know what it has saved. Neither restic nor borg encrypts more than it must: borg not
at all, restic always. Before the clock starts, all must have saved the same number of files, and our second run must
have found all of them known; how many rows it wrote all the same, but its own and those of its sources, is told, and
none are wanted. That a run finds a file that is new, when all others are known, is looked at on a small tree made for
that: nothing is written into DIRECTORY.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .contents import survey
from .formats import back_up, peer
from .pairs import (
    Run,
    Side,
    add_rounds,
    compared,
    lacking,
    leave_out,
    no_peer_could,
    run,
    try_once,
    without,
    write_job,
)
from .trees import make_tree

WANTED = {"zstd": 0.9, "restic": 0.15, "borg": 0.1}
WANTED_SECOND = 0.2
_ZSTD = "tar c {source} | zstd -q -T0 -3 > {out}"
_KNOWN = 300
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
        return run(["restic", "backup", "--json", f"./{source.name}"], source.parent, environment, watch)

    make = partial(run, ["restic", "init"], environment=environment)
    return Side(act, partial(_fresh, folder, make)), Side(act)


def borg(source: Path, folder: Path) -> tuple[Side, Side]:
    """The same by borg, without encryption."""
    environment = {"BORG_REPO": str(folder / "repository"), "BORG_BASE_DIR": str(folder / "base")}

    def act(name: str) -> Callable[[bool], Run]:
        command = ["borg", "create", "--json", f"::{name}", f"./{source.name}"]
        return lambda watch: run(command, source.parent, environment, watch)

    make = partial(run, ["borg", "init", "-e", "none"], environment=environment)
    return Side(act("first"), partial(_fresh, folder, make)), Side(act("second"))


REPOSITORIES = {"restic": restic, "borg": borg}


def _rows(home: Path) -> int:
    with sqlite3.connect(home / "backups" / "backalaika.sqlite") as catalogue:
        return sum(catalogue.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES)


def _find_a_new_file(folder: Path) -> None:
    """A run must save a file that is new among many that are known."""
    source = folder / "source"
    make_tree(source, _KNOWN, 1000, seed=1)
    first, second = ours(source, folder / "home")
    first.once(counts=False)
    (source / "0000" / "00" / "new").write_bytes(b"new")
    found = json.loads(second.once(counts=False).out)
    told = found["files"], found["known_files"]
    assert told == (1, _KNOWN), f"of {_KNOWN} known files and a new one, {told[0]} were saved and {told[1]} known"


def _files_saved(name: str, done: Run) -> int:
    if name == "borg":
        return int(json.loads(done.out)["archive"]["stats"]["nfiles"])
    return int(json.loads(done.out.splitlines()[-1])["total_files_processed"])


def compare(source: Path, rounds: int) -> list[dict[str, Any]]:
    """All rounds: one line for each peer of the first run, one for each of the second."""
    found = survey(source)
    files, content = found.files, found.size
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as place:
        folder = Path(place)
        us, again = ours(source, folder / "home")
        saved, written = _look(us, again, folder)
        pairs = {"backalaika": (us, again)} | _able(source, folder, saved - found.links, found.other_names)
        zstd = peer(source, _ZSTD, folder)
        single = {} if lacking(_ZSTD) or not try_once("zstd", zstd) else {"zstd": zstd}
        # Our second run is timed, and its rows are told, though there be no peer.
        for _ in range(rounds):
            for first, second in pairs.values():
                first.once()
                second.once()
            for side in single.values():
                side.once()
    firsts = single | {name: first for name, (first, _) in pairs.items() if name != "backalaika"}
    seconds = {name: second for name, (_, second) in pairs.items() if name != "backalaika"}
    what = f"{files:,} files of 1 kB" if content == 1000 * files else f"{content / 1e6:,.0f} MB in {files:,} files"
    lines = [
        compared("small", f"tar.zst, {what}", us, firsts, WANTED[name], files, content, name)
        for name in ("zstd", "restic", "borg")
        if name in firsts
    ] or [_no_peer("small", lacking(_ZSTD))]
    for name in seconds:
        work = f"second run, nothing changed, {files:,} files"
        wanted = WANTED_SECOND if name == "restic" else None
        lines.append(compared("second", work, again, seconds, wanted, files, content, name))
    if not seconds:
        lines.append(_no_peer("second", []))
    for line in lines:
        if line["row"] == "second":
            line["rows_written"] = written
            line["reached"] = False if written else line.get("reached")
    return lines


def _no_peer(row: str, missing: list[str]) -> dict[str, Any]:
    """Some may be there, and fail on these files."""
    missing = [*missing, *(name for name in REPOSITORIES if not shutil.which(name))]
    return without(row, missing) if missing else no_peer_could(row)


def _look(first: Side, second: Side, folder: Path) -> tuple[int, int]:
    """Files and links that our first run saves, and rows that the second writes; both must have seen the same."""
    saved = json.loads(first.once(counts=False).out)["files"]
    before = _rows(folder / "home")
    known = json.loads(second.once(counts=False).out)["known_files"]
    assert known == saved, f"the second run knew {known:,} files of {saved:,}"
    _find_a_new_file(folder / "new")
    return saved, _rows(folder / "home") - before


def _able(source: Path, folder: Path, files: int, other_names: int) -> dict[str, tuple[Side, Side]]:
    """The peers that are there and save these files."""
    able = {}
    for name, make in REPOSITORIES.items():
        if not shutil.which(name):
            leave_out(name, "it is not installed")
            continue
        first, second = make(source, folder / name)
        done = try_once(name, first)
        again = try_once(name, second) if done else None
        if done and again:
            saved = _files_saved(name, done), _files_saved(name, again)
            wanted = files - other_names if name == "borg" else files
            assert saved == (wanted, wanted), f"{name} saved {saved[0]:,} and {saved[1]:,} files, and not {wanted:,}"
            able[name] = first, second
    return able


def main() -> None:
    """Compare on the directory that the command line names."""
    parser = argparse.ArgumentParser(description="Time first and second backups of many small files.")
    parser.add_argument("directory", type=Path)
    add_rounds(parser)
    arguments = parser.parse_args()
    for line in compare(arguments.directory.resolve(), arguments.rounds):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
