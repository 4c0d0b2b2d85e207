"""`--readers N`: a slow disk is read by few, in order, while the others compress; and the bytes are the same."""

import hashlib
import os
import signal
import sys
import time

import pytest
from command_line import Home, wait_for
from slow_source import SlowSource, most_at_once
from starting import without_privileges

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the slow source is made for Linux"),
    pytest.mark.timeout(120),
]
# With a thread of its own, the main process must not be forked.
THREAD = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
# Small volumes make small frames; but all goes on one, so it is read in the order of the tree.
SPLIT = "config = dict(max_size=16 << 20)\n"


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path / "home")
    yield made
    made.kill()


@pytest.fixture
def slow(home):
    """A source of 60 small files in 6 folders and a large one, that gives 4 MB a second."""
    for path in home.source.iterdir():
        path.unlink()
    for folder in range(6):
        (home.source / f"{folder}").mkdir()
        for number in range(10):
            (home.source / f"{folder}" / f"{number}").write_bytes(os.urandom(5000) + bytes(5000))
    (home.source / "3" / "large").write_bytes(os.urandom(100_000) + bytes(200_000))
    return SlowSource(home.source, home.root / "diary", 4e6)


def tree_order(source):
    """Paths in the order of a backup: the files of a folder, then its folders."""
    return [
        os.path.relpath(os.path.join(folder, name), source)
        for folder, _, names in sorted(os.walk(source), key=lambda item: item[0])
        for name in sorted(names)
    ]


def back_up(home, slow, *switches, options="xz"):
    """Back up with the slow source; digests of the archives."""
    slow.forget()
    job = home.job(options, more=SPLIT + slow.code)
    report = home.run("backup", job, "--yes", "--workers", "4", "--json", *switches, status=0).json()
    archives = [os.path.join(v["folder"], name) for v in report["volumes"] for name in v["archives"]]
    return [hashlib.sha256(open(path, "rb").read()).hexdigest() for path in archives]


@pytest.mark.parametrize("options", ["xz", pytest.param("zip", marks=pytest.mark.slow)])
def test_no_more_than_so_many_read_at_a_time_and_the_bytes_are_the_same(home, slow, options):
    without = back_up(home, slow, options=options)
    assert most_at_once(slow.events("read")) > 2  # else nothing below would be proved
    assert slow.events("advised") == []

    for readers in (1, 2):
        assert back_up(home, slow, "--readers", str(readers), options=options) == without
        assert most_at_once(slow.events("read")) == readers
    home.assert_nothing_left()


def test_no_more_than_so_many_walk_the_source_at_a_time(home, slow):
    for folder in range(101):  # only what comes after some thousand entries is left to several processes
        (home.source / f"many {folder}").mkdir()
        for number in range(40):
            (home.source / f"many {folder}" / f"{number}").touch()

    without = back_up(home, slow)
    assert most_at_once(slow.events("listed")) > 2

    for readers in (1, 2):
        assert back_up(home, slow, "--readers", str(readers)) == without
        assert len(slow.events("listed")) == 108
        assert most_at_once(slow.events("listed")) == readers


def test_one_reader_reads_in_the_order_of_the_tree_while_others_compress(home, slow):
    back_up(home, slow, "--readers", "1")

    assert slow.files_read() == tree_order(home.source)
    reads, compressions = slow.events("read"), slow.events("compressed")
    assert len({event.pid for event in reads}) > 2  # each worker and the main process, in turn
    overlapping = [
        (read, work)
        for read in reads
        for work in compressions
        if read.pid != work.pid and read.start < work.end and work.start < read.end
    ]
    assert overlapping


def test_the_system_is_told_what_comes_next(home, slow):
    back_up(home, slow, "--readers", "1")

    reads = {event.path: event.start for event in slow.events("begins")}
    advised = {}
    for event in slow.events("advised"):
        advised.setdefault(event.path, event.start)
    assert set(advised) == set(reads)
    assert all(advised[path] < reads[path] for path in reads)
    second = str(home.source / "0" / "1")
    assert advised[second] < reads[str(home.source / "0" / "0")]


def test_the_next_piece_of_a_large_file_is_fetched_before_it_is_read(home, slow):
    back_up(home, slow, "--readers", "1")

    def pieces(what):
        """When something was done with each piece of the large file, by the piece's offset."""
        found = {}
        for event in slow.events(what):
            offset, _, path = event.path.split(" ", 2)
            if path == str(home.source / "3" / "large"):
                found.setdefault(int(offset), event.start)
        return found

    read, fetched = pieces("piece"), pieces("fetched")
    assert len(read) > 2
    for offset in sorted(read)[1:]:
        assert fetched[offset] < read[offset]


@pytest.mark.slow
def test_files_that_are_hashed_to_see_whether_they_are_known_are_read_in_turn_too(home, slow):
    back_up(home, slow)
    for path in home.source.rglob("*"):
        os.utime(path, (1, 1))

    back_up(home, slow, "--skip-known", "--readers", "1")

    assert len(slow.files_read()) == 61
    assert most_at_once(slow.events("read")) == 1


def test_what_cannot_be_read_is_a_problem_as_ever(home, slow):
    locked = home.source / "2" / "5"
    locked.chmod(0)
    job = home.job("zst", more=SPLIT)

    for switches in ((), ("--readers", "1")):
        done = home.run("backup", job, "--yes", "--json", *switches, status=1, preexec_fn=without_privileges)
        assert done.json()["files"] == 60
        assert f"{locked}: cannot be read: Permission denied" in done.err


def test_the_key_readers_does_the_same_and_the_switch_wins(home, slow):
    slow.forget()
    more = slow.code + "config = dict(max_size=16 << 20, workers=4, readers=1)\n"
    home.run("backup", home.job("xz", more=more), "--yes", status=0)
    assert most_at_once(slow.events("read")) == 1

    slow.forget()
    home.run("backup", home.job("xz", more=more), "--yes", "--readers", "3", status=0)
    assert most_at_once(slow.events("read")) == 3


def test_without_processes_there_is_one_reader_and_no_turn(home, slow):
    back_up(home, slow, "--workers", "0", "--readers", "2")

    assert most_at_once(slow.events("read")) == 1


@pytest.mark.slow
def test_processes_that_were_not_forked_take_turns_as_well(home, slow):
    job = home.job("xz", more=SPLIT + THREAD)

    report = home.run("backup", job, "--yes", "--workers", "2", "--readers", "1", "--json", status=0).json()

    assert report["files"] == 61
    home.assert_nothing_left()


def test_a_reader_that_is_killed_ends_the_run_and_keeps_nobody_waiting(home, slow):
    big = home.source / "5" / "zz large"
    big.write_bytes(bytes(3_000_000))  # the main process waits for its turn to read this
    slow = SlowSource(home.source, home.root / "diary", 2e4)
    process = home.start("backup", home.job("xz", more=SPLIT + slow.code), "--yes", "--workers", "3", "--readers", "1")
    wait_for(lambda: process.poll() is not None or slow.events("begins"))
    assert slow.events("begins")[-1].pid != process.pid

    os.kill(slow.events("begins")[-1].pid, signal.SIGKILL)

    _, err = process.communicate(timeout=30)
    assert process.returncode == 3, err
    assert "a worker process died" in err
    home.assert_nothing_left()


def test_ctrl_c_while_the_main_process_waits_for_its_turn(home, slow):
    (home.source / "0" / "zz large").write_bytes(bytes(3_000_000))
    slow = SlowSource(home.source, home.root / "diary", 2e4)
    process = home.start("backup", home.job("xz", more=SPLIT + slow.code), "--yes", "--workers", "3", "--readers", "1")
    wait_for(lambda: process.poll() is not None or slow.events("begins"))
    time.sleep(0.3)

    os.killpg(process.pid, signal.SIGINT)

    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    home.assert_nothing_left()
