"""A full disk, the user's own code that fails, and what ten runs leave behind."""

import json
import os
import resource
import subprocess

import pytest

MB = 1 << 20
SHOWN = """
import json
def after_volume(volume):
    with open(OUT, 'a') as out:
        out.write(json.dumps([volume.title, volume.folder, sorted(volume.archives)]) + '\\n')
"""


def test_a_disk_that_takes_no_more_ends_the_run_with_one_line(home):
    (home.source / "large").write_bytes(os.urandom(120 * MB))

    # Above the shared memory, below the archive.
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100 * MB, 100 * MB))  # noqa: E731
    done = home.run("backup", home.job("zip"), "--yes", "--json", "--workers", "2", preexec_fn=limit)

    report = done.json()
    assert done.status == report["exit_status"] == 3
    assert report["failure"].startswith(str(home.folders()[0]))
    assert "File too large; make room or mend the disk" in report["failure"]
    assert len([line for line in done.err.splitlines() if "make room" in line]) == 1
    assert report["unfinished"]
    assert home.runs()[0][0] == "failed"
    assert "complete" not in home.runs()[0][1]
    home.assert_nothing_left()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_told_and_the_catalogue_beside_it_agrees(home, small_disk):
    (home.source / "large").write_bytes(os.urandom(20 * MB))
    path = home.job("gz", more=f"config = dict(dir_backups={str(small_disk)!r})")

    done = home.run("backup", path, "--yes", "--json")

    report = done.json()
    assert done.status == 3
    assert report["failure"].startswith(str(small_disk))
    assert "No space left on device" in report["failure"]
    assert "LESS than there is to save" in done.err
    assert home.runs()[0][0] == "failed"
    assert "complete" not in home.runs()[0][1]
    home.assert_nothing_left()


def test_a_full_disk_that_holds_the_catalogue_too_is_told_in_one_line(home, small_disk):
    (home.source / "large").write_bytes(os.urandom(20 * MB))
    database = f"sqlite:///{small_disk}/backalaika.sqlite"
    path = home.job("gz", more=f"config = dict(dir_backups={str(small_disk)!r}, db_uri={database!r})")

    done = home.run("backup", path, "--yes")

    assert done.status == 3
    failures = [line for line in done.err.splitlines() if "FAILED" in line]
    assert len(failures) == 1
    assert str(small_disk) in failures[0]
    home.assert_nothing_left()
    # With room again, the next start sets the catalogue right.
    for partial in small_disk.rglob("*.partial"):
        partial.unlink()
    (home.source / "large").unlink()
    home.run("backup", path, "--yes", status=0)
    listed = home.run("volumes", "--db", database, "--json", status=0).out.splitlines()
    assert [json.loads(line)["run_state"] for line in listed if json.loads(line)["state"] == "complete"] == ["complete"]
    assert "running" not in "".join(listed)


def test_after_volume_gets_each_complete_volume(home, tmp_path):
    for i in range(4):
        (home.source / f"{i}.bin").write_bytes(os.urandom(400_000))
    out = tmp_path / "out"
    more = f"OUT = {str(out)!r}\nconfig = dict(max_size=1_000_000)\n{SHOWN}"

    report = home.run("backup", home.job(more=more), "--yes", "--json", status=0).json()

    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(told) > 1
    assert told == [[volume["title"], volume["folder"], sorted(volume["archives"])] for volume in report["volumes"]]
    assert all(os.path.exists(os.path.join(folder, "SUMS.xxh128")) for _, folder, _ in told)


def test_after_volume_sees_the_size_and_the_fill(home, tmp_path):
    for i in range(4):
        (home.source / f"{i}.bin").write_bytes(os.urandom(400_000))
    seen = "[volume.title, volume.folder, volume.number, volume.size, volume.capacity, volume.fill]"
    hook = f"import json\ndef after_volume(volume):\n    print(json.dumps({seen}), file=open(OUT, 'a'))\n"
    more = f"OUT = {str(tmp_path / 'out')!r}\nconfig = dict(max_size=1_000_000)\n{hook}"

    report = home.run("backup", home.job(more=more), "--yes", "--json", status=0).json()

    told = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert len(told) == len(report["volumes"]) > 1
    for number, (line, volume) in enumerate(zip(told, report["volumes"], strict=True), start=1):
        assert line == [volume["title"], volume["folder"], number, volume["size"], 1_000_000, volume["fill"]]
        assert volume["size"] == sum(entry.stat().st_size for entry in os.scandir(volume["folder"]))
        assert volume["fill"] == volume["size"] / 1_000_000


def test_when_after_volume_is_called_the_catalogue_has_the_volume(home, tmp_path):
    catalogue, seen = home.backups / "backalaika.sqlite", tmp_path / "seen"
    hook = (
        "import sqlite3\n"
        "def after_volume(volume):\n"
        f"    with sqlite3.connect({str(catalogue)!r}) as catalogue:\n"
        "        ask = 'select state, files > 0 from volumes where title = ?'\n"
        f"        print(catalogue.execute(ask, [volume.title]).fetchall(), file=open({str(seen)!r}, 'a'))\n"
    )
    for number in range(20):
        (home.source / f"{number}.bin").write_bytes(os.urandom(200_000))

    home.run("backup", home.job(more=hook + "config = dict(max_size=600_000)"), "--yes", status=0)

    lines = seen.read_text().splitlines()
    assert len(lines) > 4
    assert set(lines) == {"[('complete', 1)]"}


def test_after_volume_runs_while_the_next_volume_is_written(home):
    for i in range(4):
        (home.source / f"{i}.bin").write_bytes(os.urandom(400_000))
    hook = """
import os, time
def after_volume(volume):
    following = os.path.join(os.path.dirname(volume.folder), f"vol{volume.number + 1:03d}", "SUMS.xxh128")
    until = time.monotonic() + 20
    while volume.number == 1 and not os.path.exists(following):
        assert time.monotonic() < until, "the next volume waits for this call"
        time.sleep(0.01)
"""

    report = home.run(
        "backup", home.job(more=f"config = dict(max_size=1_000_000)\n{hook}"), "--yes", "--json", status=0
    ).json()

    assert len(report["volumes"]) > 1


def test_after_volume_that_fails_for_one_volume_is_called_for_the_others(home, tmp_path):
    for i in range(6):
        (home.source / f"{i}.bin").write_bytes(os.urandom(400_000))
    hook = (
        "def after_volume(volume):\n    print(volume.number, file=open(OUT, 'a'))\n"
        "    if volume.number == 1: raise OSError(5, 'no disc in the drive')\n"
    )
    more = f"OUT = {str(tmp_path / 'out')!r}\nconfig = dict(max_size=1_000_000)\n{hook}"

    report = home.run("backup", home.job(more=more), "--yes", "--json", status=1).json()

    assert report["state"] == "complete"
    assert len(report["volumes"]) >= 3
    assert (tmp_path / "out").read_text().split() == [str(i + 1) for i in range(len(report["volumes"]))]
    (error,) = report["errors"]
    assert "vol001" in error["message"]
    assert "no disc in the drive" in error["message"]


@pytest.mark.parametrize("hook", ["after_volume", "after_backup"])
@pytest.mark.parametrize("fails", ["raise ValueError('no\\x1b[31m\\nburner')", "import sys; sys.exit('no\\nburner')"])
def test_a_hook_that_fails_is_told_and_the_backup_goes_on(home, hook, fails):
    done = home.run("backup", home.job(more=f"def {hook}(what):\n    {fails}\n"), "--yes", "--json", status=1)

    report = done.json()
    assert report["state"] == "complete"
    assert [error["path"] for error in report["errors"]] == [str(home.root / "job.py")]
    assert f"{hook}() failed" in report["errors"][0]["message"]
    assert "burner" in report["errors"][0]["message"]
    assert "\x1b" not in done.err
    assert len([line for line in done.err.splitlines() if "burner" in line]) == 2  # when it happens, and at the end
    assert home.runs() == [("complete", ["complete"])]
    home.assert_nothing_left()


@pytest.mark.parametrize(("argument", "seen"), [("", "'called'"), ("run", "[run.state, run.files, len(run.volumes)]")])
def test_after_backup_is_called_with_the_run_if_it_takes_an_argument(home, tmp_path, argument, seen):
    out = tmp_path / "out"
    more = f"import json\ndef after_backup({argument}):\n    open({str(out)!r}, 'w').write(json.dumps({seen}))\n"

    home.run("backup", home.job(more=more), "--yes", status=0)

    assert json.loads(out.read_text()) == (["complete", 4, 1] if argument else "called")


def test_a_hook_that_prints_does_not_spoil_the_report(home):
    report = home.run(
        "backup", home.job(more="def after_backup():\n    print('hello')\n"), "--yes", "--json", status=0
    ).json()

    assert report["state"] == "complete"


def test_ten_runs_in_a_row_leave_nothing_behind(home):
    path = home.job("zip,separate_dirs")

    for _ in range(10):
        home.run("backup", path, "--yes", status=0)

    assert home.leftovers() == ([], set(), [])
    assert [state for state, _ in home.runs()] == ["complete"] * 10
    assert {path.name for path in home.backups.iterdir() if path.is_file()} <= {
        "backalaika.sqlite",
        "backalaika.sqlite-wal",
        "backalaika.sqlite-shm",
    }
    assert not list(home.backups.rglob("*.partial"))


def test_a_run_without_processes_leaves_nothing_behind_either(home):
    home.run("backup", home.job(), "--yes", "--workers", "0", status=0)

    assert home.leftovers() == ([], set(), [])


def test_the_end_of_who_reads_the_messages_does_not_end_the_backup(home):
    for i in range(4):
        (home.source / f"{i}.bin").write_bytes(os.urandom(400_000))
    os.mkfifo(home.source / "fifo")
    process = home.start("backup", home.job(more="config = dict(max_size=1_000_000)"), "--yes")
    process.stderr.close()
    process.stdout.close()

    assert process.wait(60) == 1
    assert home.runs()[0][0] == "complete"
    home.assert_nothing_left()


LEAVES_A_PROCESS = """
import os, time
def after_backup():
    if not os.fork():
        os.close(1)
        os.close(2)
        time.sleep(60)
        os._exit(0)
"""


def test_what_a_command_leaves_behind_is_seen_by_these_tests(home):
    home.run("backup", home.job(more=LEAVES_A_PROCESS), "--yes", status=0)

    assert len(home.processes()) == 1
    home.kill()
    home.assert_nothing_left()
