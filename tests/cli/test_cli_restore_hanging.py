"""`backalaika restore` where a drive hangs: it ends in time, what it has is whole, and the same command goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time

import pexpect
import psutil
import pytest
from starting import PROGRAM
from test_cli_add_hanging import Hanging

pytestmark = pytest.mark.timeout(120)

SIZES = [300_000] * 12 + [6_000_000] * 2
# In the archive, it is behind all files but the last.
LAST = 11_000_000
# A process that a drive keeps does not even end if it is killed.
IMMORTAL = """
import multiprocessing.popen_fork
multiprocessing.popen_fork.Popen.kill = multiprocessing.popen_fork.Popen.terminate = lambda self: None
"""
# The first process that looks at an open file of this name waits for it.
SLOW_LOOK = """
fstat = os.fstat
def slow_fstat(descriptor):
    if os.path.basename(name_of(descriptor)) == {file!r}:
        hang()
    return fstat(descriptor)
os.fstat = slow_fstat
"""
# Who opens this waits for it, and who looks whether it is there if ``looks``.
SLOW_ASK = """
import builtins
stat, open_file, os_open = os.stat, builtins.open, os.open
def wait_at(path):
    if not isinstance(path, int):
        if os.path.basename(os.fsdecode(path)) == {file!r}:
            hang()
def slow_stat(path, **more):
    if {looks!r}:
        wait_at(path)
    return stat(path, **more)
def slow_open(path, *more, **named):
    wait_at(path)
    return open_file(path, *more, **named)
def slow_os_open(path, *more, **named):
    wait_at(path)
    return os_open(path, *more, **named)
os.stat, builtins.open, os.open = slow_stat, slow_open, slow_os_open
"""


def content(number):
    return random.Random(number).randbytes(SIZES[number])


@pytest.fixture
def hanging(home, tmp_path):
    return Hanging(home.environment, tmp_path / "shim")


@pytest.fixture
def saved(home):
    """A volume, a tar.zst, with files larger and smaller than what is written at once."""
    for number in range(len(SIZES)):
        (home.source / f"{number:02}.bin").write_bytes(content(number))
    home.run("backup", home.job("zst"), "--yes", status=0)
    return home.folders()[0].name + "/vol001"


def command(home, *arguments):
    return ["restore", *arguments, "--to", str(home.root / "back"), "--yes", "--timeout", "1", "--json"]


def restored(home, *arguments, env, status):
    """The report, and the numbers of the files that are there, each of them whole and nothing half written."""
    begun = time.monotonic()
    report = home.run(*command(home, *arguments), status=status, env=env, timeout=90).json()
    assert time.monotonic() - begun < 30
    back = home.root / "back"
    assert not list(back.rglob(".backalaika-*"))
    home.assert_nothing_left()
    there = sorted(int(path.stem) for path in back.rglob("*.bin"))
    for number in there:
        assert (back / "source" / f"{number:02}.bin").read_bytes() == content(number)
    return report, there


@pytest.mark.parametrize(("start", "workers"), [(0, 2), (9_000_000, 1), (9_000_000, 3)])
def test_the_restore_ends_says_which_medium_hangs_and_the_same_command_goes_on(home, hanging, saved, start, workers):
    environment = hanging.at(file="source.001.tar.zst", start=start)
    arguments = "--job", "office", "--workers", str(workers)

    report, there = restored(home, *arguments, env=environment, status=3)

    assert (report["state"], report["hung"], report["missing"]) == ("incomplete", saved, [])
    folder = home.backups / saved
    message = f"hangs in {folder}: nothing could be read of it for 1 seconds"
    assert report["errors"] == [{"path": saved, "message": message}]
    assert report["files"] <= len(there) + 4
    assert bool(there) == (start > 0)
    assert len(there) < len(SIZES)

    again, there = restored(home, *arguments, env=home.environment, status=0)
    assert there == list(range(len(SIZES)))
    assert (again["errors"], again["hung"]) == ([], None)
    assert again["files"] + again["kept"] == len(SIZES) + 4


def test_people_read_what_hangs_and_what_to_do(home, hanging, saved):
    environment = hanging.at(file="source.001.tar.zst", start=9_000_000)
    arguments = [word for word in command(home, "--job", "office") if word != "--json"]

    done = home.run(*arguments, status=3, env=environment)

    assert f"{saved}: hangs in {home.backups / saved}: nothing could be read of it for 1 seconds" in done.err
    assert "The same command goes on with the rest" in done.err
    assert "INCOMPLETE: restored" in done.err


def test_what_a_hanging_medium_still_had_comes_from_another_if_it_is_not_mounted(home, hanging, saved):
    home.run("backup", home.job("gz"), "--yes", "--no-skip-known", status=0)
    restored(home, "--volume", saved, env=hanging.at(file="source.001.tar.zst", start=9_000_000), status=3)
    (home.backups / saved).rename(home.root / "in-no-drive")

    _, there = restored(home, "--volume", saved, env=home.environment, status=3)  # the folder is on no other

    assert there == list(range(len(SIZES)))


def test_a_copy_of_a_hanging_medium_is_read_in_its_stead(home, hanging, saved):
    environment = hanging.at(file="source.001.tar.zst", start=9_000_000)
    restored(home, "--job", "office", env=environment, status=3)
    copy = home.root / "copy"
    subprocess.run(["cp", "-r", str(home.backups / saved), str(copy)], check=True, timeout=60)
    (home.backups / saved / "source.001.tar.zst").unlink()

    _, there = restored(home, "--job", "office", "--from", str(copy), env=home.environment, status=0)

    assert there == list(range(len(SIZES)))


@pytest.mark.parametrize("overwrite", ["never", "always"])
def test_what_was_there_before_is_neither_lost_nor_counted_twice(home, hanging, saved, overwrite):
    there = home.root / "back" / "source" / "00.bin"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"mine")
    environment = hanging.at(file="source.001.tar.zst", start=LAST)
    arguments = command(home, "--job", "office", "--overwrite", overwrite)

    first = home.run(*arguments, status=3, env=environment).json()
    home.run(*arguments, status=1 if overwrite == "never" else 0)

    assert first["differing"] == (overwrite == "never")
    assert there.read_bytes() == (b"mine" if overwrite == "never" else content(0))


def test_what_was_damaged_before_a_medium_hung_is_told(home, hanging, saved):
    archive = home.backups / saved / "source.001.tar.zst"
    with archive.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"damage" * 100)
    done = home.run(
        *command(home, "--job", "office", "--workers", "1"),
        status=3,
        env=hanging.at(file="source.001.tar.zst", start=LAST),
    )

    assert any("is damaged" in error["message"] for error in done.json()["errors"])


def test_folders_of_killed_processes_stay_private_and_get_what_they_had_the_next_time(home, hanging):
    for letter in "abcdefgh":
        folder = home.source / letter
        folder.mkdir()
        for number in range(40):
            (folder / f"{number:02}.bin").write_bytes(random.Random(number).randbytes(30_000))
        folder.chmod(0o755)
    home.run("backup", home.job("zst"), "--yes", status=0)
    arguments = command(home, "--job", "office", "--workers", "1")

    home.run(*arguments, status=3, env=hanging.at(file="source.001.tar.zst", start=5_500_000))
    modes = {os.stat(path).st_mode & 0o777 for path in (home.root / "back" / "source").iterdir() if path.is_dir()}
    home.run(*arguments, status=0)

    assert modes <= {0o755, 0o700}
    for letter in "abcdefgh":
        assert os.stat(home.root / "back" / "source" / letter).st_mode & 0o7777 == 0o755


def test_of_a_file_that_was_cut_nothing_is_left_half_written(home, hanging):
    """Its parts are there when the medium hangs at what follows them, and it may be about to be joined."""
    (home.source / "big.bin").write_bytes(random.Random(1).randbytes(17_000_000))
    for number in range(3):
        (home.source / f"z{number}.bin").write_bytes(random.Random(number).randbytes(2_000_000))
    home.run("backup", home.job("zip", more="config = dict(max_size=12*1024*1024)"), "--yes", status=0)
    environment = hanging.at(file="source.002.zip", start=6_600_000, stop=8_300_000)
    # Whoever joins it takes his time, and is killed at it.
    with (hanging.log.parent / "sitecustomize.py").open("a") as shim:
        shim.write(
            "read = os.read\n"
            "def slow_read(descriptor, size):\n"
            "    if size == 1 << 20 and '.backalaika-' in name_of(descriptor): time.sleep(0.2)\n"
            "    return read(descriptor, size)\n"
            "os.read = slow_read\n"
        )
    arguments = command(home, "--job", "office", "--workers", "2")

    home.run(*arguments, status=3, env=environment)
    assert not list((home.root / "back").rglob(".backalaika-*"))
    home.run(*arguments, status=0)
    assert (home.root / "back/source/big.bin").read_bytes() == (home.source / "big.bin").read_bytes()


def test_a_foreign_archive_that_hangs_ends_the_restore_too(home, hanging, saved):
    disc = foreign(home)
    environment = hanging.at(file="old.tar.zst", start=3_000_000)

    report, there = restored(home, "--volume", "old disc", "old.tar.zst!", "--workers", "1", env=environment, status=3)

    assert report["hung"] == "old disc"
    assert str(disc) in report["errors"][0]["message"]
    assert 0 < len(there) < len(SIZES)


def foreign(home):
    disc = home.root / "disc"
    disc.mkdir()
    home.folders()[0].joinpath("vol001/source.001.tar.zst").rename(disc / "old.tar.zst")
    home.run("add", "old disc", str(disc), status=0)
    return disc


def test_a_foreign_archive_that_cannot_even_be_opened_is_not_waited_for(home, hanging, saved):
    foreign(home)
    environment = hanging.at()
    with (hanging.log.parent / "sitecustomize.py").open("a") as shim:
        shim.write(SLOW_LOOK.format(file="old.tar.zst"))

    report, there = restored(home, "--volume", "old disc", "old.tar.zst!", "--workers", "1", env=environment, status=3)

    assert (report["hung"], there) == ("old disc", [])


@pytest.mark.parametrize("is_medium", [False, True], ids=["on a medium", "as a medium"])
def test_an_image_that_hangs_ends_the_restore_too(home, hanging, saved, is_medium):
    folder = home.root / "disc"
    folder.mkdir()
    image = folder / "old.iso"
    made = ["genisoimage", "-quiet", "-R", "-graft-points", "-o", image, f"source={home.source}"]
    subprocess.run(made, check=True, stderr=subprocess.DEVNULL)
    home.run("add", "old disc", str(image if is_medium else folder), status=0)
    asked = "--volume", "old disc", "source" if is_medium else "old.iso!/source"

    report, there = restored(home, *asked, env=hanging.at(file="old.iso", start=3_000_000), status=3)
    (line,) = [error for error in report["errors"] if error["path"] == "old disc"]
    again, _ = restored(home, *asked, env=home.environment, status=0)

    assert (report["hung"], line["message"].split(":")[0]) == ("old disc", f"hangs in {folder}")
    assert 0 < len(there) < len(SIZES)
    assert again["errors"] == []


def slow_to_ask(hanging, file, looks=True):
    environment = hanging.at()
    with (hanging.log.parent / "sitecustomize.py").open("a") as shim:
        shim.write(SLOW_ASK.format(file=file, looks=looks))
    return environment


def refused(home, *arguments, env):
    """The last line that a restore says which ends before it has begun."""
    begun = time.monotonic()
    done = home.run(*command(home, *arguments), status=3, env=env, timeout=90)
    assert time.monotonic() - begun < 30
    assert (done.out, os.path.exists(home.root / "back")) == ("", False)
    home.assert_nothing_left()
    return done.err.splitlines()[-1]


@pytest.mark.parametrize("file", ["SUMS.xxh128", "README.txt", "vol001"])
def test_a_medium_that_hangs_when_it_is_to_be_recognised_ends_the_restore(home, hanging, saved, file):
    line = refused(home, "--job", "office", env=slow_to_ask(hanging, file))
    restored(home, "--job", "office", env=home.environment, status=0)

    hangs = f"{saved}: hangs in {home.backups / saved}: nothing could be read of it for 1 seconds"
    assert line.startswith(f"backalaika: {hangs}; ")


def test_a_dry_run_waits_no_longer(home, hanging, saved):
    environment = slow_to_ask(hanging, "SUMS.xxh128")

    done = home.run("restore", "--job", "office", "--dry-run", "--timeout", "1", status=3, env=environment)

    assert f"{saved}: hangs in" in done.err


@pytest.mark.parametrize("file", ["MANIFEST.jsonl.gz", "README.txt", "copy"])
def test_without_a_catalogue_a_manifest_that_hangs_ends_it_too(home, hanging, saved, file):
    copy = home.root / "copy"
    (home.backups / saved).rename(copy)
    (home.backups / "backalaika.sqlite").unlink()

    line = refused(home, "--from", str(copy), env=slow_to_ask(hanging, file))
    restored(home, "--from", str(copy), env=home.environment, status=0)

    assert f"hangs in {copy}: nothing could be read of it for 1 seconds" in line


def test_an_archive_that_is_looked_through_for_what_a_manifest_lost_may_hang(home, hanging, saved):
    folder = home.backups / saved
    (folder / "MANIFEST.jsonl.gz").write_bytes(b"damage")

    line = refused(home, "--from", str(folder), env=slow_to_ask(hanging, "source.001.tar.zst"))

    assert f"hangs in {folder}" in line


def test_a_strangers_medium_that_hangs_when_it_is_looked_for_elsewhere_ends_the_restore(home, hanging, saved):
    disc = foreign(home)
    disc.rename(home.root / "elsewhere")
    asked = "--volume", "old disc", "old.tar.zst!", "--from", str(home.root / "elsewhere")

    line = refused(home, *asked, env=hanging.at(looked_at="elsewhere/old.tar.zst"))
    _, there = restored(home, *asked, env=home.environment, status=0)

    assert f"hangs in {home.root / 'elsewhere'}" in line
    assert there == list(range(len(SIZES)))


def test_a_manifest_that_hangs_when_members_are_to_be_found_by_it_ends_the_restore(home, hanging, saved):
    """It is that of a volume which is known as a medium only."""
    disc = home.root / "disc"
    (home.backups / saved).rename(disc)
    (home.backups / "backalaika.sqlite").unlink()
    home.run("add", "old disc", str(disc), status=0)
    asked = "--volume", "old disc"

    report, there = restored(home, *asked, env=slow_to_ask(hanging, "MANIFEST.jsonl.gz", looks=False), status=3)
    again, _ = restored(home, *asked, env=home.environment, status=0)

    assert (report["hung"], there) == ("old disc", [])
    assert again["files"] == len(SIZES) + 4


def test_it_ends_though_a_process_cannot_be_killed(home, hanging, saved):
    environment = hanging.at(file="source.001.tar.zst", start=9_000_000)
    with (hanging.log.parent / "sitecustomize.py").open("a") as shim:
        shim.write(IMMORTAL)

    report, there = restored(home, "--job", "office", "--workers", "1", env=environment, status=3)

    assert report["hung"] == saved
    assert 0 < len(there) < len(SIZES)


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_it_ends_though_the_process_that_looks_at_media_cannot_be_killed(home, hanging, saved, is_interrupted):
    environment = slow_to_ask(hanging, "SUMS.xxh128")
    with (hanging.log.parent / "sitecustomize.py").open("a") as shim:
        shim.write(IMMORTAL)
    timeout = "1000" if is_interrupted else "1"

    process = home.start(*command(home, "--job", "office"), "--timeout", timeout, env=environment)
    while not hanging.times:
        assert process.poll() is None
        time.sleep(0.02)
    if is_interrupted:
        os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == (130 if is_interrupted else 3)
    assert ("interrupted" if is_interrupted else f"{saved}: hangs in") in err
    home.assert_nothing_left()


def test_who_names_a_folder_that_hangs_is_told_so_and_asked_again(home, hanging, saved):
    (home.backups / saved).rename(home.root / "copy")
    (home.root / "stuck").mkdir()
    arguments = ["restore", "--job", "office", "--to", str(home.root / "back"), "--timeout", "1"]
    terminal = pexpect.spawn(
        PROGRAM[0],
        [*PROGRAM[1:], *arguments],
        env=hanging.at(folder="stuck"),
        cwd=str(home.root),
        encoding="utf-8",
        use_poll=True,
        timeout=30,
        dimensions=(40, 200),
    )

    terminal.expect("Press Enter to start")
    terminal.sendline("")
    terminal.expect("Wanted: the volume")
    terminal.sendline(f"{home.root}/stuck")
    terminal.expect("hangs in .*stuck")
    terminal.expect("Wanted: the volume")
    terminal.sendline(f"{home.root}/copy")
    terminal.expect("Restored")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0
    assert len(list((home.root / "back").rglob("*.bin"))) == len(SIZES)


def test_a_command_that_was_stopped_for_longer_has_not_waited_for_its_medium(home, hanging, saved):
    for look in range(2):
        environment = hanging.at(file="source.001.tar.zst", start=1 << 50, slow=30)
        arguments = command(home, "--job", "office", "--workers", "2", "--overwrite", "always")
        process = home.start(*arguments, "--timeout", "2", env=environment)
        wait_for_children(process.pid, 3)  # one of them looks at media
        time.sleep(0.1 * look)
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(3)
        os.killpg(process.pid, signal.SIGCONT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert json.loads(out)["errors"] == []


def test_a_process_that_is_killed_ends_the_restore_and_the_same_command_goes_on(home, hanging, saved):
    arguments = command(home, "--job", "office", "--workers", "2")
    process = home.start(*arguments, env=hanging.at(file="source.001.tar.zst", start=1 << 50, slow=100))
    wait_for_children(process.pid, 3)
    while not list((home.root / "back").rglob("*.bin")):
        assert process.poll() is None
        time.sleep(0.01)

    max(psutil.Process(process.pid).children(), key=lambda child: child.pid).kill()
    _, err = process.communicate(timeout=60)
    left = list((home.root / "back").rglob(".backalaika-*"))
    again, there = restored(home, "--job", "office", env=home.environment, status=0)

    assert process.returncode == 3
    assert "a process of the restore was killed" in err
    assert "give the same command again" in err
    assert left == []
    assert there == list(range(len(SIZES)))
    assert again["kept"] > 0


def wait_for_children(pid, count):
    end = time.monotonic() + 20
    while len(psutil.Process(pid).children()) < count:
        assert time.monotonic() < end
        time.sleep(0.02)
