"""Too little room on the destination's disk: the pause after a volume, and the conversation when the disk is full."""

import json
import os
import shutil
import sqlite3
import subprocess
import time
import zipfile

import pexpect
import pytest
from command_line import on_terminal, press, wait_for

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

    def start(path, *more, answers=("--no-skip-known", "--since", "all", "--comment", "")):
        terminal = on_terminal(home, "backup", path, *answers, *more, timeout=60, dimensions=(40, 160))
        started.append(terminal)
        if not answers:
            terminal.expect("Go on with it")
            terminal.sendline("")
        terminal.expect("Press Enter to start")
        terminal.sendline("")
        return terminal

    yield start
    for terminal in started:
        terminal.close(force=True)


def fill(home, count, size=MB):
    for number in range(count):
        (home.source / f"{number}.bin").write_bytes(os.urandom(size))


def assert_all_is_saved(home, volumes, tmp_path, options="zip"):
    """Check the sums of the volumes and unpack their archives; what is there must be the source."""
    place = tmp_path / "unpacked"
    place.mkdir()
    for volume in volumes:
        subprocess.run(["xxhsum", "--quiet", "-c", "SUMS.xxh128"], cwd=volume, check=True, timeout=60)
        for archive in volume.glob("*.0*"):
            unpack = ["unzip", "-qo", str(archive), "-d"] if options == "zip" else ["tar", "xf", str(archive), "-C"]
            subprocess.run([*unpack, str(place)], check=True, timeout=60)
    subprocess.run(["diff", "-r", str(place / "source"), str(home.source)], check=True, timeout=60)
    assert home.runs()[0][0] == "complete"


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
    assert_all_is_saved(home, [*shelf.iterdir(), *small.glob("*/vol*")], tmp_path)


def test_ctrl_c_at_the_pause_ends_the_run_in_order(home, disk, talk):
    fill(home, 30)
    terminal = talk(pausing_job(home, disk(24)), "--workers", "1")
    terminal.expect("then press Enter")
    press(terminal, "c")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 130, terminal.before
    assert "INTERRUPTED" in terminal.before
    assert home.runs()[0][0] == "interrupted"
    wait_for(lambda: home.processes() == [])


def test_without_a_terminal_it_says_once_that_it_does_not_wait(home, disk):
    fill(home, 13)
    (home.source / "more.bin").write_bytes(os.urandom(400_000))  # all fits, but by less than what may be on its way

    done = home.run("backup", pausing_job(home, disk(14)), "--yes", "--workers", "1", status=0)

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


def full_disk_job(home, disk, options="zip", **config):
    return home.job(options, more=f"config = dict(dir_backups={str(disk)!r}, max_size={4 * MB}, **{config!r})")


@pytest.mark.parametrize("options", ["zip", "gz", "zst,separate_dirs"])
def test_a_full_disk_asks_for_room_and_the_run_goes_on_where_it_was(home, disk, talk, tmp_path, options):
    small = disk(12)
    ballast = small / "ballast"
    ballast.write_bytes(bytes(6 * MB))
    fill(home, 8)
    (home.source / "large.bin").write_bytes(os.urandom(3 * MB))
    (home.source / "many").mkdir()
    for number in range(2000):
        (home.source / "many" / f"{number}.txt").write_text(f"{number}\n")
    terminal = talk(full_disk_job(home, small, options))
    terminal.expect("No space left on device; at most [0-9.]+ MB more are needed. Make room and press Enter")
    terminal.sendline("")  # no room was made: it asks again
    terminal.expect("No space left on device; at most [0-9.]+ MB more are needed. Make room and press Enter")
    before = terminal.before
    subprocess.run(["mount", "-o", "remount,size=60m", str(small)], check=True)
    terminal.sendline("")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0, before + terminal.before
    assert_all_is_saved(home, small.glob("*/vol*"), tmp_path, options)
    wait_for(lambda: home.processes() == [])


def test_a_catalogue_on_the_disk_that_is_full_waits_too(home, disk, talk, tmp_path):
    small = disk(12)
    for number in range(5000):
        (home.source / f"{number:04d}.txt").write_bytes(os.urandom(1500))
    fill(home, 8, 700_000)
    database = f"sqlite:///{small}/backalaika.sqlite"
    more = f"config = dict(dir_backups={str(small)!r}, max_size={MB}, db_uri={database!r})"
    terminal = talk(home.job("zst", more=more), "--workers", "1")

    terminal.expect("Make room and press Enter")
    time.sleep(1)
    subprocess.run(["mount", "-o", "remount,size=80m", str(small)], check=True)
    terminal.sendline("")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0, terminal.before
    listed = home.run("volumes", "--db", database, "--json", status=0).out.splitlines()
    states = {json.loads(line)["state"] for line in listed}
    assert states == {"complete"}
    assert sum(json.loads(line)["files"] for line in listed) == len(list(home.source.iterdir()))


def test_ctrl_c_at_a_full_disk_ends_the_run_in_order(home, disk, talk):
    fill(home, 20)
    terminal = talk(full_disk_job(home, disk(8)))
    terminal.expect("Make room and press Enter")
    press(terminal, "c")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 130, terminal.before
    assert home.runs()[0][0] == "interrupted"
    wait_for(lambda: home.processes() == [])


def test_without_a_terminal_a_full_disk_ends_the_run_with_the_sum_that_is_missing(home, disk):
    fill(home, 20)

    done = home.run("backup", full_disk_job(home, disk(8)), "--yes", "--json", "--workers", "1", status=3)

    failure = done.json()["failure"]
    missing = float(failure.split("at most ")[1].split(" MB")[0])
    assert "No space left on device; at most" in failure
    assert failure.endswith("make room, then start the backup again")
    # 21 MB less the 8 MB that the disk has, and not more than what may be in memory besides.
    assert 12 < missing < 26
    assert home.runs()[0][0] == "failed"
    wait_for(lambda: home.processes() == [])


@pytest.mark.parametrize("options", ["zip", "zst"])
def test_a_run_that_ended_on_a_full_disk_goes_on_with_resume(home, disk, tmp_path, options):
    small = disk(20)
    fill(home, 30, 900_000)
    for number in range(300):
        (home.source / f"{number}.txt").write_text(f"{number}\n" * 10)
    job = full_disk_job(home, small, options)
    failed = home.run("backup", job, "--yes", "--json", "--workers", "1", status=3).json()
    assert "No space left on device" in failed["failure"]
    assert "INCOMPLETE (failed)" in home.run("volumes", status=0).out
    saved = [json.loads(line)["files"] for line in home.run("volumes", "--json", status=0).out.splitlines()]
    assert sum(saved) * 900_000 > 10 * MB

    still_full = home.run("backup", job, "--resume", "--yes", "--json", status=3)
    assert "make room" in still_full.err + still_full.out
    subprocess.run(["mount", "-o", "remount,size=60m", str(small)], check=True)
    report = home.run("backup", job, "--resume", "--yes", "--json", status=0).json()

    assert report["folder"] == failed["folder"]
    assert report["files"] == len(list(home.source.iterdir()))
    assert_all_is_saved(home, small.glob("*/vol*"), tmp_path, options)
    assert [state for state, _ in home.runs()] == ["complete"]


def test_where_there_is_no_room_to_go_on_it_asks_for_it_too(home, disk, talk, tmp_path):
    small = disk(20)
    fill(home, 30, 900_000)
    job = full_disk_job(home, small, "gz")
    home.run("backup", job, "--yes", "--workers", "1", status=3)
    with sqlite3.connect(home.backups / "backalaika.sqlite") as catalogue:
        ends = catalogue.execute(
            "select volumes.path, archives.name, max(frames.offset + frames.size) from volumes "
            "join archives on archives.volume_id = volumes.id join frames on frames.archive_id = archives.id "
            "where archives.state != 'complete' group by 1, 2"
        ).fetchall()
    for folder, name, end in ends:  # else what is cut off there gives the room that the manifests need
        os.truncate(os.path.join(os.fsdecode(folder), os.fsdecode(name)) + ".partial", end)
    (small / "ballast").write_bytes(bytes(shutil.disk_usage(small).free))
    terminal = talk(job, answers=())

    terminal.expect("cannot go on: No space left on device.*press Enter")
    subprocess.run(["mount", "-o", "remount,size=60m", str(small)], check=True)
    terminal.sendline("")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0, terminal.before
    assert_all_is_saved(home, small.glob("*/vol*"), tmp_path, "gz")


@pytest.mark.parametrize("options", ["zip", "xz"])
def test_room_that_comes_in_crumbs_leaves_no_scar(home, disk, talk, tmp_path, options):
    """Whatever is being written when there is no room: content, a manifest, a central directory, sums, a folder."""
    small = disk(1)
    for number in range(3000):
        (home.source / f"{number:04d}-{'x' * 60}.txt").write_bytes(os.urandom(100))
    fill(home, 9, 300_000)
    terminal = talk(
        home.job(options, more=f"config = dict(dir_backups={str(small)!r}, max_size={MB})"), "--workers", "1"
    )

    asked, room = 0, 1024
    while terminal.expect(["Make room and press Enter", pexpect.EOF]) == 0:
        asked += 1
        room += 68
        subprocess.run(["mount", "-o", f"remount,size={room}k", str(small)], check=True)
        terminal.sendline("")
    terminal.close()

    assert terminal.exitstatus == 0, terminal.before
    assert asked > 20
    assert_all_is_saved(home, small.glob("*/vol*"), tmp_path, options)


def test_an_add_that_finds_no_room_for_its_rows_fails_and_goes_on_when_there_is_some(home, disk, tmp_path):
    database = f"sqlite:///{disk(3)}/backalaika.sqlite"
    medium = tmp_path / "medium"
    medium.mkdir()
    for number in range(4):
        with zipfile.ZipFile(medium / f"{number}.zip", "w") as out:
            for member in range(15_000):
                out.writestr(f"{number}/{member}", b"%d" % member)
    failed = home.run("add", "Big", medium, "--db", database, status=3)

    [line] = failed.err.splitlines()
    assert "make room" in line
    assert "'Big' is not complete in the catalogue, and the same command goes on" in line
    home.run("add", "Big", medium, "--db", database, status=3)
    subprocess.run(["mount", "-o", "remount,size=80m", str(tmp_path / "disk")], check=True)
    home.run("add", "Big", medium, "--db", database, status=0)
    assert len(home.run("files", "Big", "--db", database, status=0).out.splitlines()) == 60_004
    home.assert_nothing_left()
