"""Runs that are killed in their midst, resumed, and looked at by the ordinary tools."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ordinary_tools as tools
from real_backups import Office, Outcome, archives_on, bytes_on, manifest_of
from trees_compared import Tree, look, make_tree, noise, seen_by, write

MIB = 1024 * 1024
SMALL_MEDIA: dict[str, Any] = {"volume_sizes": [3, 1, 7, 2], "max_size": 5 * MIB, "level": 1}


def make_office_tree(top: Path) -> None:
    """Some 25 MB: a bit of everything, and folders of files that do not compress."""
    make_tree(top, large=1_500_000)
    for number in range(60):
        write(top / f"folder{number % 6}" / f"{number}.bin", noise(350_000, 100 + number))


def start(command: list[str], office: Office) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    return subprocess.Popen(
        command,
        env=office.environment,
        cwd=office.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        start_new_session=True,
    )


def end_when(
    process: subprocess.Popen[str], condition: Callable[[], bool], number: int = signal.SIGKILL, within_s: float = 60
) -> str:
    """Send all processes of a run a signal as soon as something is so; what it said on standard error.

    The run may also have ended by itself: then its exit status tells so.
    """
    until = time.monotonic() + within_s
    while process.poll() is None and not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.001)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err, err
    return err


def recorded_files(office: Office) -> int:
    """How many files the catalogue has; 0 while there is none."""
    try:
        return int(office.catalogued("select count(*) from files")[0][0])
    except sqlite3.Error:
        return 0


def unfinished(office: Office) -> list[Path]:
    """Files that a run has begun to write."""
    # Not by pathlib, which fails when a folder is removed while it looks.
    return sorted(map(Path, glob.glob(f"{glob.escape(str(office.backups))}/2*/vol*/*.partial")))


def bytes_unfinished(office: Office) -> int:
    """How much a run has written into files that are not finished."""
    total = 0
    for path in unfinished(office):
        with contextlib.suppress(FileNotFoundError):  # it was finished a moment ago
            total += path.stat().st_size
    return total


def cut_short(office: Office, number: int = signal.SIGKILL, written: int = 6_000_000, **job: Any) -> None:
    """Start a backup and end it in its midst, when it has begun to write so many bytes.

    Small trees are recorded at the end alone, so it is stopped by CTRL-C first; then, unless that is what is asked
    for, resumed and killed when it has written a bit more. On a busy machine a run may be over before it is looked at:
    then it is run again.
    """
    for _ in range(10):
        process = start(office.command(**job), office)
        end_when(process, lambda: bytes_unfinished(office) >= written, signal.SIGINT)
        if process.returncode == 130 and number == signal.SIGINT:
            return
        if process.returncode == 130 and killed_again(office, **job):
            return
        forget_all(office)
    raise AssertionError("each run was complete before it could be ended")


def killed_again(office: Office, **job: Any) -> bool:
    """Resume a run and kill it when it has written a bit more; whether it was still running."""
    before = bytes_unfinished(office)
    process = start(office.command("--resume", **job), office)
    end_when(process, lambda: bytes_unfinished(office) >= before + 2_000_000)
    return process.returncode == -signal.SIGKILL


def forget_all(office: Office) -> None:
    """Remove all backups and the catalogue."""
    tools.call("rm", "-rf", office.backups)


def resume(office: Office, *arguments: str, status: int = 0, **job: Any) -> Outcome:
    """Go on with the last run."""
    return office.backup("--resume", *arguments, status=status, **job)


def unpack_run(office: Office, folder: Path) -> Path:
    """Unpack all archives of a run in the order of its volumes; the place."""
    place = office.place()
    for archive in (archive for volume in sorted(folder.glob("vol*")) for archive in archives_on(volume)):
        if archive.suffix == ".zip":
            tools.call("unzip", "-qo", archive, "-d", place)
        else:
            tools.unpack_with_bsdtar(archive, place)
    return place


def visible(tree: Tree, option: str) -> Tree:
    """What of a tree can be seen when its archives are unpacked into one place."""
    zipped = option.startswith("zip")
    # Two names of a file may be on two volumes.
    seen = seen_by(tree, hard_links=False, unit_ns=1_000_000_000 if zipped else 1, link_times=not zipped)
    # Unpacking a second archive into a folder changes its time; and unzip leaves alone what is there already.
    bare = seen_by(tree, unit_ns=0, modes=not zipped)
    return {path: bare[path] if thing.kind == "dir" else seen[path] for path, thing in tree.items()}


def assert_whole(office: Office, folder: Path, option: str, tree: Path | None = None) -> None:
    """A run's folder holds what its source does, and manifest, sums and catalogue say the same."""
    assert unfinished(office) == []
    tree = tree or office.tree
    place = unpack_run(office, folder)
    there, expected = visible(look(place / tree.name), option), visible(look(tree), option)
    differing = {path: (expected.get(path), there.get(path)) for path in expected | there}
    differing = {path: things for path, things in differing.items() if things[0] != things[1]}
    assert differing == {}, differing
    assert_consistent(office, folder)
    paths = [path for (path,) in office.catalogued(ROWS_OF_CONTENT)]
    assert not [path for path, number in Counter(paths).items() if number > 1]
    assert len(paths) == sum(thing.kind != "dir" for thing in look(tree).values())


ROWS_OF_CONTENT = """
select folders.path || x'2f' || files.name from files
join folders on folders.id = files.folder_id join volumes on volumes.id = files.volume_id
where files.kind != 1 and volumes.run_id = (select max(id) from runs)
"""
ROWS = """
select volumes.path, archives.name, frames.offset, files.offset, files.size, files.digest
from files join volumes on volumes.id = files.volume_id join archives on archives.id = files.archive_id
join frames on frames.archive_id = archives.id and frames.number = files.frame
"""


def assert_consistent(office: Office, folder: Path) -> None:
    """Sums, manifest, archives and catalogue of a complete run agree, and no medium is overfilled."""
    assert office.catalogued("pragma integrity_check") == [("ok",)]
    assert office.catalogued("select state from runs order by id desc limit 1") == [("complete",)]
    volumes = office.catalogued(
        "select path, capacity, size, state, files from volumes where run_id = (select max(id) from runs)"
    )
    assert sorted(os.fsdecode(path) for path, *_ in volumes) == sorted(map(str, folder.glob("vol*")))
    rows: dict[str, list[Any]] = {}
    for path, archive, frame, offset, size, digest in office.catalogued(ROWS):
        line = (os.fsdecode(archive), frame, offset, size, digest.hex() if digest else None)
        rows.setdefault(os.fsdecode(path), []).append(line)
    for path, capacity, size, state, files in volumes:
        volume = Path(os.fsdecode(path))
        assert state == "complete"
        assert bytes_on(volume) == size <= capacity
        tools.call("xxhsum", "--quiet", "-c", "SUMS.xxh128", cwd=volume)
        lines = manifest_of(volume)
        keys = [(line["archive"], line["frame"], line["path"]) for line in lines]
        assert len(keys) == len(set(keys))
        manifest = [(x["archive"], x["frame"], x["offset"], x["size"], x["digest"]) for x in lines]
        assert sorted(manifest, key=str) == sorted(rows[str(volume)], key=str)
        assert sum(line["kind"] != "dir" for line in lines) == files
        assert Counter((x["archive"], x["path"].rstrip("/")) for x in lines) == names_in(volume)


def names_in(volume: Path) -> Counter[tuple[str, str]]:
    """Archive and path of each member on a volume, as `bsdtar` lists them."""
    found: Counter[tuple[str, str]] = Counter()
    for archive in archives_on(volume):
        listed = tools.names_by_unzip(archive) if archive.suffix == ".zip" else tools.names_by_bsdtar(archive)
        found.update((archive.name, name.decode().rstrip("/")) for name in listed)
    return found


def report_counts(outcome: Outcome) -> dict[str, Any]:
    """What a report says of a run as a whole."""
    return {key: outcome.report[key] for key in ("state", "files", "known_files", "errors", "comment")}


def content_saved(office: Office) -> int:
    """Bytes of files in the catalogue; two names of one file count twice if they are on two volumes."""
    return int(office.catalogued("select sum(size) from files where kind = 0")[0][0])


def last_run(office: Office) -> Path:
    """The folder of the newest run."""
    ((folder,),) = office.catalogued("select folder from runs order by id desc limit 1")
    return Path(os.fsdecode(folder))


def json_of(process: subprocess.Popen[str], out: str) -> dict[str, Any]:
    """The report that a run printed."""
    assert out, process.returncode
    return dict(json.loads(out))
