"""`restore` at a terminal: the plan, and asking for discs."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time

import pytest
from command_line import press
from test_cli_conversation import ending

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def on_the_shelf(home):
    """Two volumes of a run, and one of another, moved away from the backup folder."""
    for number in range(4):
        (home.source / f"{number}.bin").write_bytes(random.Random(number).randbytes(400_000))
    home.run("backup", home.job("zst", more="config = dict(max_size=900_000)"), "--yes", status=0)
    other = home.root / "other source"
    other.mkdir()
    (other / "else.bin").write_bytes(b"else")
    home.run("backup", home.job("zst", name="another", source=other, file="other.py"), "--yes", status=0)
    shelf = home.root / "shelf"
    shelf.mkdir()
    for folder in home.folders():
        for volume in sorted(folder.glob("vol*")):
            shutil.move(volume, shelf / f"{folder.name.split('-')[-1]} {volume.name}")
    return shelf


def test_discs_are_asked_for_one_after_another_and_a_wrong_one_is_named(home, talk, on_the_shelf):
    back = home.root / "back"
    terminal = talk("restore", "--job", "office", "--to", str(back))
    terminal.expect("office/vol001.*to be brought")
    terminal.expect("Press Enter to start")
    assert not back.exists()
    terminal.sendline("")
    terminal.expect("Wanted: the volume .*office/vol00. .1 more after it.*:")
    terminal.sendline(str(on_the_shelf / "another vol001"))
    terminal.expect("another/vol001, which is not needed")
    terminal.expect("Wanted: the volume")
    terminal.sendline("")
    terminal.expect("no volume of Backalaika in")
    terminal.expect("Wanted: the volume")
    terminal.sendline(str(on_the_shelf / "office vol002"))
    terminal.expect("Wanted: the volume .*office/vol001.*:")
    terminal.sendline(str(on_the_shelf / "office vol001"))
    rest, status = ending(terminal)

    assert status == 0
    assert "Restored 8 files" in rest
    for number in range(4):
        name = f"{number}.bin"
        assert (back / "source" / name).read_bytes() == (home.source / name).read_bytes()


def test_a_disc_that_is_not_to_be_had_is_gone_on_without(home, talk, on_the_shelf):
    terminal = talk("restore", "--job", "office", "--to", str(home.root / "back"))
    terminal.expect("Press Enter to start")
    terminal.sendline("")
    terminal.expect("Wanted: the volume")
    terminal.sendline("s")
    terminal.expect("Wanted: the volume")
    terminal.sendline("s")
    rest, status = ending(terminal)

    assert status == 3
    assert "2 volumes are missing" in rest


def test_a_disc_that_has_a_good_copy_of_what_is_damaged_is_asked_for(home, talk):
    for number in range(2):
        (home.source / f"{number}.bin").write_bytes(random.Random(number).randbytes(30_000))
    for _ in range(2):
        home.run("backup", home.job("gz"), "--yes", status=0)
    first, second = (folder / "vol001" for folder in sorted(home.folders(), key=lambda folder: folder.stat().st_mtime))
    away = shutil.move(first, home.root / "away")
    (archive,) = second.glob("source.*.gz")
    archive.write_bytes(bytes(archive.stat().st_size))
    back = home.root / "back"

    files = [str(home.source / f"{number}.bin") for number in range(2)]
    terminal = talk("restore", *files, "--to", str(back))
    terminal.expect("Press Enter to start")
    terminal.sendline("")
    terminal.expect(f"Wanted: the volume {first.parent.name}/vol001")
    terminal.sendline(str(away))
    rest, status = ending(terminal)

    assert status == 0
    assert "Restored 2 files" in rest
    for number in range(2):
        name = f"{number}.bin"
        assert (back / "source" / name).read_bytes() == (home.source / name).read_bytes()


def test_an_interrupt_at_the_question_ends_it_in_good_order(home, talk, on_the_shelf):
    terminal = talk("restore", "--job", "office", "--to", str(home.root / "back"))
    terminal.expect("Press Enter to start")
    terminal.sendline("")
    terminal.expect("Wanted: the volume")
    press(terminal, "c")
    rest, status = ending(terminal)

    assert status == 130
    assert "INTERRUPTED: restored 0 files, 0 bytes or more to" in rest


def test_what_is_wrong_with_the_command_is_said(home):
    def said(*arguments, status=2):
        return home.run("restore", *arguments, status=status).err

    assert "--to DIR" in said("x")
    assert "say what" in said("--to", "x")
    assert "there is no catalogue yet" in said("x", "--to", "y")
    assert "is no digest" in said("--digest", "xyz", "--to", "y")
    assert "stand alone" in said("--volume", "v", "--job", "j", "--to", "y")
    assert "no volume of Backalaika" in said("--from", str(home.source), "--to", "y")
    home.run("backup", home.job(), "--yes", status=0)
    assert "no run of this job; there are runs of 'office'" in said("--job", "ofice", "--to", "y")
    assert "nearest titles" in said("--volume", home.folders()[0].name, "--to", "y")
    assert "is not a date" in said("--job", "office", "--as-of", "soon", "--to", "y")
    assert not (home.root / "y").exists()


def test_interrupted_in_its_midst_it_leaves_nothing_half_written_and_goes_on_later(home):
    for number in range(300):
        (home.source / f"{number}.bin").write_bytes(random.Random(number).randbytes(100_000))
    home.run("backup", home.job("zst"), "--yes", status=0)
    back = home.root / "back"
    for delay in (0.35, 0.45, 0.55):
        process = home.start("restore", "--job", "office", "--to", str(back), "--yes")
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=30)

        assert process.returncode in (0, 130)
        assert not list(back.rglob(".backalaika-*"))
    home.run("restore", "--job", "office", "--to", str(back), "--yes", status=0)

    for path in home.source.iterdir():
        assert (back / "source" / path.name).read_bytes() == path.read_bytes()
