"""Finishing: what may go wrong between the last byte of a volume and the word 'complete'."""

from __future__ import annotations

import shutil
import sys
import time
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

    def make_room(message):
        told.append(message)
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
