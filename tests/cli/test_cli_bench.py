"""`backalaika bench` on files of the user's, in a pipe and on a terminal."""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pexpect
import pytest
from command_line import wait_for
from starting import without_privileges

FORMATS = {"zip", "gz", "bz2", "zst", "xz"}


def test_the_report_has_every_digest_and_codec_on_one_and_all_processes(home):
    (home.source / "words.txt").write_bytes(b"invoices and letters " * 5000)

    report = home.run("bench", str(home.source), "--seconds", "1", "--workers", "3", "--json", status=0).json()

    assert (report["files"], report["bytes"], report["whole"]) == (5, 105_280, True)
    assert report["sample_bytes"] == 105_280
    assert {rate["digest"] for rate in report["digests"]} >= {"xxh3-128", "sha256"}
    assert {rate["workers"] for rate in report["digests"]} == {1, 2, 3}
    assert {rate["format"] for rate in report["codecs"]} == FORMATS
    for option in FORMATS:
        rates = [rate for rate in report["codecs"] if rate["format"] == option]
        assert {rate["workers"] for rate in rates} == {1, 2, 3}
        assert all(rate["bytes_a_second"] > 0 and rate["ratio"] < 0.5 for rate in rates)
    assert report["rows_a_second"] > 0
    assert report["write_bytes_a_second"] > 0
    assert report["recommended"]["format"] in FORMATS
    assert {setting["format"] for setting in report["settings"]} == FORMATS
    assert not home.backups.exists()
    home.assert_nothing_left()


def test_settings_are_compared_with_those_that_a_backup_here_would_have(home):
    settings = home.root / ".backalaika"
    settings.touch(0o600)
    settings.write_text("config = dict(level=7, workers=2, readers=1, digest='sha256')\n")
    (home.source / "words.txt").write_bytes(b"invoices and letters " * 5000)

    report = home.run("bench", str(home.source), "--seconds", "1", "--workers", "3", "--json", status=0).json()

    # what a backup would use is measured, beside what it might
    rates = report["codecs"]
    assert {(name, 7) for name in FORMATS} <= {(rate["format"], rate["level"]) for rate in rates}
    assert {1, 2, 3} == {rate["workers"] for rate in rates if rate["level"] == 7}
    best = report["recommended"]["format"]
    level = next(setting["level"] for setting in report["settings"] if setting["format"] == best)
    assert report["recommended"]["config"].get("level", 7) == level
    now = {"level": 7, "workers": 2, "readers": 1}
    assert report["recommended"]["in_place_of"].items() <= now.items()
    assert set(report["recommended"]["longer_with_digest"]) >= {"xxh3-128"}
    assert "sha256" not in report["recommended"]["longer_with_digest"]


def test_each_key_to_change_is_told_with_what_it_is(home):
    settings = home.root / ".backalaika"
    settings.touch(0o600)
    settings.write_text("config = dict(level=9)\n")
    for number in range(4):  # random words: level 9 of zst takes many times as long as its own
        words = random.Random(number).choices(["an invoice", "letters", "to the", "customer", "12345"], k=60_000)
        (home.source / f"{number}.txt").write_text(" ".join(words))

    done = home.run("bench", str(home.source), "--seconds", "3", "--workers", "1", status=0)

    line = next(line for line in done.out.splitlines() if line.startswith("Recommended: "))
    assert re.search(r"config = dict\(level=[1-8]\) in place of level=9$", line), line


def test_of_one_file_its_folder_is_recommended_as_a_source(home):
    done = home.run("bench", str(home.source / "1.txt"), "--seconds", "1", "--workers", "1", status=0)

    assert f"sources=[({str(home.source)!r}, " in done.out


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="there is no file system in memory")
def test_what_lies_in_memory_is_not_said_to_be_on_a_disk(home):
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="backalaika-test-") as folder:
        Path(folder, "file.txt").write_bytes(b"invoices and letters " * 5000)

        shown = home.run("bench", folder, "--seconds", "1", "--workers", "1", status=0).out
        report = home.run("bench", folder, "--seconds", "1", "--workers", "1", "--json", status=0).json()

    assert "Read from memory" in shown
    assert "Disk read" not in shown
    assert report["in_memory"]
    assert not any(rate["cold"] for rate in report["reads"])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be kept on one processor")
def test_a_machine_that_other_programs_keep_busy_is_told(home):
    processor = min(os.sched_getaffinity(0))

    def share_one_processor():
        os.sched_setaffinity(0, {processor})

    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=share_one_processor) for _ in range(3)
    ]
    try:
        done = home.run(
            "bench", str(home.source), "--seconds", "1", "--workers", "1", status=0, preexec_fn=share_one_processor
        )
    finally:
        for process in others:
            process.kill()
            process.wait()

    assert re.search(r"^Other programs took \d\d % of a processor meanwhile: measure again", done.out, re.MULTILINE)


# A disk, or a machine with much to do, that takes its time for each file.
SLOW = """
import os, time
opened = os.open
def open_slowly(path, *arguments, **options):
    if "/source/" in str(path):
        time.sleep(0.05)
    return opened(path, *arguments, **options)
os.open = open_slowly
"""


def test_a_few_small_files_are_the_sample_however_little_time_there_is(home):
    shim = home.root / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(SLOW)
    environment = home.environment | {"PYTHONPATH": f"{shim}:{home.environment['PYTHONPATH']}"}

    done = home.run("bench", str(home.source), "--seconds", "1", "--workers", "1", "--json", status=0, env=environment)

    report = done.json()
    assert (report["files"], report["whole"], report["sample_files"]) == (4, True, 4)
    assert report["sample_bytes"] == report["bytes"]


def test_what_does_not_compress_is_told(home):
    for path in home.source.iterdir():
        path.write_bytes(os.urandom(200_000))

    report = home.run("bench", str(home.source), "--seconds", "1", "--workers", "1", "--json", status=0).json()

    assert report["compressible"] == 0
    assert all(rate["ratio"] > 0.99 for rate in report["codecs"])


def test_in_a_pipe_it_is_plain_lines(home):
    done = home.run("bench", str(home.source), "--seconds", "1", "--workers", "2", status=0)

    assert done.err == ""
    assert done.out.isascii()
    lines = done.out.splitlines()
    for start in (
        "Files ",
        "Sample ",
        "Disk read ",
        "Digest ",
        "Format ",
        "Destination ",
        "Catalogue ",
        "Recommended: ",
    ):
        assert any(line.startswith(start) for line in lines), start


def test_on_a_terminal_there_are_bars(talk, home):
    terminal = talk("bench", str(home.source), "--seconds", "1", "--workers", "2")

    terminal.expect("Recommended: ")
    assert "━━━" in terminal.before
    terminal.expect(pexpect.EOF)


def test_it_ends_about_when_it_was_told_to(home):
    for number in range(20):
        (home.source / f"{number}.bin").write_bytes(os.urandom(1 << 20) + bytes(1 << 20))

    start = time.monotonic()
    home.run("bench", str(home.source), "--seconds", "3", status=0)

    assert time.monotonic() - start < 30  # a machine with much to do takes its time for the least that it must


def test_a_directory_without_files_is_refused(home):
    empty = home.root / "nothing"
    empty.mkdir()

    assert "nothing to measure with" in home.refused("bench", str(empty))
    assert "there is no such directory" in home.refused("bench", str(home.root / "missing"))


def test_a_file_that_cannot_be_read_is_listed_and_the_rest_is_measured(home):
    locked = home.source / "locked.txt"
    locked.write_text("locked")
    locked.chmod(0)

    done = home.run("bench", str(home.source), "--seconds", "1", status=1, preexec_fn=without_privileges)

    assert f"not read: {locked}: cannot be read: Permission denied" in done.err
    assert "Recommended: " in done.out


@pytest.mark.timeout(60)
def test_ctrl_c_leaves_nothing_behind(home):
    for number in range(4):
        (home.source / f"{number}.bin").write_bytes(os.urandom(5 << 20))
    process = home.start("bench", str(home.source), "--seconds", "60")
    wait_for(lambda: process.poll() is not None or len(home.processes()) > 2)
    time.sleep(1)

    os.killpg(process.pid, signal.SIGINT)

    out, err = process.communicate(timeout=10)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert "interrupted" in err
    assert not home.backups.exists()
    home.assert_nothing_left()
