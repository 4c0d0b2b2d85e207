"""Archives that others made to write outside of where they are unpacked: `restore` writes nothing there.

They are no part of this repository, and lie beside it where there is room for them. Each becomes a volume as if this
program had written it, whose manifest is lost, so that the archive itself tells what is in it.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from starting import PROGRAM
from trees_compared import look, write

HOSTILE = Path(__file__).parents[3] / "shared" / "archives" / "hostile"
# Of these a restore would bring back what they hold, as it should: from 2 to 60 GB.
GROWING = {
    "Archive_Tar__big.tar.bz2",
    "Zip_Bomb__zbsm.zip",
    "ratarmount__sparse-file-larger-than-8GiB-followed-by-normal-file.tar.zst.zst",
    "tar-split__pax-sparse-big.tar",
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def expected():
    """What other readers found in each of the archives."""
    if not HOSTILE.is_dir():
        pytest.skip(f"{'/'.join(HOSTILE.parts[-3:])} is not there")
    lines = (HOSTILE.parent / "EXPECTED.jsonl").read_text().splitlines()
    found = {path.name: {} for path in sorted(HOSTILE.iterdir())}
    found |= {Path(one["file"]).name: one for one in map(json.loads, lines) if one["file"].startswith("hostile/")}
    assert len(found) > 50
    return found


def our_volume(archive: Path, kind: str, folder: Path) -> bool:
    """Make a volume of it, where its format is one of ours or can be; whether it can."""
    if kind == "tar":
        write(folder / "hostile.001.tar.gz", gzip.compress(archive.read_bytes(), 1))
    elif kind in ("zip", "tar.gz", "tar.bz2", "tar.zst", "tar.xz"):
        write(folder / f"hostile.001.{kind}", archive.read_bytes())
    else:
        return False
    write(folder / "MANIFEST.jsonl.gz", b"no longer gzip")
    write(folder / "README.txt", f"Backup of the job 'evil', volume 1\nRun: {archive.name}\n".encode())
    return True


class Surroundings:
    """All that may not change: around the target, and wherever on this computer the archives' names and links lead."""

    def __init__(self, root: Path, expected) -> None:
        # Deep, so that what climbs out by a few folders stays in sight.
        self.root, self.top = root, root / "1" / "2" / "3" / "4" / "5" / "targets"
        self.top.mkdir(parents=True)
        for folder in (self.top.parent, self.top.parent.parent, root):
            for name in ("evil.txt", "passwd", "file", "tmp/file", "precious"):
                write(folder / "around" / name, b"mine")
        self._elsewhere = sorted(self._aims(expected))

    def _aims(self, expected):
        for one in expected.values():
            names = [name for name, *_ in one.get("members", []) if name and not name.startswith(("hex:", "long:"))]
            links = [(name, target) for name, target, _ in one.get("link_targets", [])]
            aims = [*names, *(target for _, target in links)]
            for link, target in links:
                aims += [os.path.join(target, os.path.basename(name)) for name in names]
                aims += [target + name.removeprefix(link) for name in names if name.startswith(f"{link}/")]
            for aim in {*aims, *(aim.replace("\\", "/") for aim in aims)}:
                path = os.path.normpath(os.path.join(self.top, "target", aim))
                if not path.startswith(f"{self.root}{os.sep}"):
                    yield path

    def target(self, name: str) -> Path:
        """An empty folder to restore to."""
        path = self.top / name
        path.mkdir()
        return path

    def all(self):
        """How they are now."""
        inside = os.fsencode(os.path.relpath(self.top, self.root))
        home = b"home"
        here = {
            path: thing
            for path, thing in look(self.root).items()
            if path and not path.startswith((inside + b"/", home, b"volumes"))
        }
        elsewhere = {}
        for path in self._elsewhere:
            try:
                info = os.lstat(path)
            except (OSError, ValueError):
                elsewhere[path] = None
            else:
                is_folder = stat.S_ISDIR(info.st_mode)  # in /tmp others write too
                elsewhere[path] = info.st_ino, *(() if is_folder else (info.st_size, info.st_mtime_ns))
        here[inside] = here[inside].kind  # new targets are made in it
        return here, elsewhere


@pytest.fixture
def surroundings(office, expected):
    return Surroundings(office.root, expected)


def run(office, *arguments):
    """Give a command that may end as it likes, but not by a bug; its report."""
    command = [*PROGRAM, *map(str, arguments), "--json"]
    done = subprocess.run(
        command, capture_output=True, timeout=120, text=True, errors="surrogateescape", stdin=subprocess.DEVNULL,
        env=office.environment, cwd=office.root,
    )  # fmt: skip
    assert done.returncode in (0, 1, 2), (arguments, done.returncode, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout) if done.stdout and done.returncode < 2 else {"files": 0, "errors": []}


def test_as_volumes_of_ours_they_write_nothing_outside_the_target(office, expected, surroundings):
    volumes = office.root / "volumes"
    restored, refused = {}, {}
    for name, one in expected.items():
        if name in GROWING or not our_volume(HOSTILE / name, one.get("kind", ""), volumes / name):
            continue
        target = surroundings.target(name)
        before = surroundings.all()
        report = run(office, "restore", "--from", volumes / name, "--to", target, "--overwrite", "always")
        assert surroundings.all() == before, name
        restored[name] = report["files"]
        refused[name] = [error["path"] for error in report["errors"]]

    # By a catalogue that was made from them, into one folder, each over the links that the others left there.
    run(office, "rebuild", volumes)
    target = surroundings.target("all together")
    before = surroundings.all()
    again = ["restore", "--to", target, "--overwrite", "always", "--workers", 0, "--volume"]
    catalogued = [run(office, *again, f"{name}/vol001")["files"] for name in restored]
    assert surroundings.all() == before
    assert sum(map(bool, catalogued)) > 20
    assert len(restored) > 40
    assert sum(map(bool, restored.values())) > 20
    assert sum(map(bool, refused.values())) > 20


def test_as_a_medium_that_was_added_they_write_nothing_outside_the_target(office, expected, surroundings):
    medium = office.root / "volumes" / "disc"
    shutil.copytree(HOSTILE, medium)
    run(office, "add", "Hostile", medium, "--depth", 2)
    listed = subprocess.run(
        [*PROGRAM, "files", "Hostile", "--json"], capture_output=True, check=True, env=office.environment
    )
    rows = [json.loads(line) for line in listed.stdout.splitlines()]
    digests = {row["digest"]: row["archive"] for row in rows if row["archive"] and row["digest"] and row["size"]}

    target = surroundings.target("whole")
    before = surroundings.all()
    whole = run(office, "restore", "--volume", "Hostile", "--to", target, "--overwrite", "always")
    assert surroundings.all() == before
    assert not whole["errors"]
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        path.name: path.read_bytes() for path in HOSTILE.iterdir()
    }
    restored = 0
    target = surroundings.target("members")
    before = surroundings.all()
    for digest in sorted(digests, key=digests.__getitem__)[::5]:
        restored += run(office, "restore", "--digest", digest, "--to", target, "--overwrite", "always")["files"]
    assert surroundings.all() == before
    assert restored > 5
