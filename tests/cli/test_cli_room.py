"""Too little room on the destination's disk: the pause after a volume, and the conversation when the disk is full."""

import os
import shutil
import subprocess

import pexpect
import pytest
from command_line import PROGRAM, wait_for

MB = 1 << 20
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def disk(tmp_path):
    """Mounts a file system of so many MB."""
    mounted = []

    def mount(megabytes):
        place = tmp_path / "disk"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root can mount a small disk")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def talk(home):
    """Start a backup on a terminal, up to its start."""
    started = []

    def start(path, *more):
        arguments = ["backup", path, "--no-skip-known", "--since", "all", "--comment", "", *more]
        terminal = pexpect.spawn(
            PROGRAM[0],
            [*PROGRAM[1:], *arguments],
            env=home.environment,
            cwd=str(home.root),
            encoding="utf-8",
            codec_errors="surrogateescape",
            timeout=60,
            dimensions=(40, 160),
        )
        started.append(terminal)
        terminal.expect("Press Enter to start")
        terminal.sendline("")
        return terminal

    yield start
    for terminal in started:
        terminal.close(force=True)


def fill(home, count, size=MB):
    for number in range(count):
        (home.source / f"{number}.bin").write_bytes(os.urandom(size))


def wholly_unpacked(home, volumes, tmp_path):
    """Unpack all zips of the volumes; what is there must be the source."""
    place = tmp_path / "unpacked"
    place.mkdir()
    for volume in volumes:
        for archive in volume.glob("*.zip"):
            subprocess.run(["unzip", "-qo", str(archive), "-d", str(place)], check=True, timeout=60)
        subprocess.run(["xxhsum", "--quiet", "-c", "SUMS.xxh128"], cwd=volume, check=True, timeout=60)
    saved = {path.name: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert saved == {path.name: path.read_bytes() for path in home.source.iterdir()}


def pausing_job(home, disk, pause="True"):
    return home.job(more=f"config = dict(dir_backups={str(disk)!r}, max_size={4 * MB}, volume_pause={pause})")


def test_with_volume_pause_it_waits_until_volumes_are_moved_and_goes_on(home, disk, talk, tmp_path):
    small = disk(24)
    fill(home, 50)
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    terminal = talk(pausing_job(home, small), "--workers", "1")

    pauses = 0
    while terminal.expect(["the next volume may need.*then press Enter", pexpect.EOF]) == 0:
        pauses += 1
        for volume in sorted(small.glob("*/vol*")):
            if (volume / "SUMS.xxh128").exists():
                shutil.move(volume, shelf / volume.name)
        terminal.sendline("")
    terminal.close()

    assert terminal.exitstatus == 0, terminal.before
    assert pauses >= 2
    wholly_unpacked(home, [*shelf.iterdir(), *small.glob("*/vol*")], tmp_path)
    assert home.runs()[0][0] == "complete"


def test_ctrl_c_at_the_pause_ends_the_run_in_order(home, disk, talk):
    fill(home, 30)
    terminal = talk(pausing_job(home, disk(24)), "--workers", "1")
    terminal.expect("then press Enter")
    terminal.sendcontrol("c")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 130, terminal.before
    assert "INTERRUPTED" in terminal.before
    assert home.runs()[0][0] == "interrupted"
    wait_for(lambda: home.processes() == [])


def test_without_a_terminal_it_says_once_that_it_does_not_wait(home, disk):
    fill(home, 14)

    done = home.run("backup", pausing_job(home, disk(16)), "--yes", "--workers", "1", status=0)

    told = [line for line in done.err.splitlines() if "volume_pause" in line]
    assert len(told) == 1
    assert "no terminal, or --yes" in told[0]


@pytest.mark.parametrize("pause", ["True", "False"])
def test_with_enough_room_or_without_the_key_nothing_is_asked(home, disk, talk, pause):
    fill(home, 12)
    terminal = talk(pausing_job(home, disk(60 if pause == "True" else 20), pause), "--workers", "1")

    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0, terminal.before
    assert "press Enter" not in terminal.before
