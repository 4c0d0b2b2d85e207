"""Files that vanish or change between the walk and the reading, or while they are read."""

from __future__ import annotations

import json
import marshal
import os
import pty
import subprocess
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import shared_memory

import ordinary_tools as tools
import pytest
from real_backups import Outcome
from trees_compared import digest, noise, text, write

from backalaika.batch import Batch, Large, make_batches
from backalaika.catalogue.rows import MemberRow
from backalaika.digests import hasher_factory
from backalaika.formats import archive_format
from backalaika.formats.zip import WINDOW
from backalaika.run import worker
from backalaika.run.large import LargeReader
from backalaika.run.messages import BatchTask
from backalaika.run.pool import SerialExecutor
from backalaika.run.sizes import ArchivePlan
from backalaika.run.slots import slot_size
from backalaika.walk import walk

OPTIONS = ["zip", "gz"]


@contextmanager
def before_it_starts(office, **job):
    """Within, the program waits for Enter and has walked the sources, but read no file; gives the outcome after."""
    command = [word for word in office.command(**job) if word != "--yes"]
    ours, its = pty.openpty()
    program = subprocess.Popen(
        [*command, "--skip-known", "--since", "all", "--comment", ""],
        stdin=its,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=office.environment,
        cwd=office.root,
    )
    os.close(its)
    watchdog = threading.Timer(60, program.kill)
    watchdog.start()
    outcome = Outcome(-1, {}, "")
    try:
        said = ""
        while "Press Enter" not in said:
            character = program.stderr.read(1)
            assert character, said
            said += character
        yield outcome
        os.write(ours, b"\n")
        out, err = program.communicate()
    finally:
        watchdog.cancel()
        program.kill()
        program.wait()
        os.close(ours)
    outcome.status, outcome.err = program.returncode, said + err
    assert outcome.status in (0, 1), outcome.err
    outcome.report.update(json.loads(out))


def read(archive):
    return (tools.read_with_zipfile if archive.suffix == ".zip" else tools.read_with_tarfile)(archive)


@pytest.mark.parametrize("option", OPTIONS)
def test_a_file_that_vanishes_or_is_no_file_any_more_is_reported_and_the_rest_is_saved(office, option):
    for name in ("a", "b", "c", "kept"):
        write(office.tree / name, text(1000))
        write(office.tree / f"large {name}", text(5_000_000))
    write(office.tree / "folder" / "inside", b"")

    with before_it_starts(office, options=option) as outcome:
        for name in ("a", "large a"):
            os.unlink(office.tree / name)
        for name in ("b", "large b"):
            os.unlink(office.tree / name)
            os.mkfifo(office.tree / name)
        for name in ("c", "large c"):
            os.unlink(office.tree / name)
            os.symlink("kept", office.tree / name)
        os.unlink(office.tree / "folder" / "inside")
        os.rmdir(office.tree / "folder")

    assert outcome.status == 1
    assert set(outcome.errors) == {
        str(office.tree / name) for name in ("a", "b", "c", "large a", "large b", "large c", "folder/inside")
    }
    assert "vanished" in outcome.errors[str(office.tree / "a")]
    assert "vanished" in outcome.errors[str(office.tree / "large a")]
    saved = read(outcome.archive)
    assert set(saved) == {b"tree", b"tree/folder", b"tree/kept", b"tree/large kept"}
    assert saved[b"tree/kept"].content == digest(text(1000))
    assert len(office.catalogued("select * from errors")) == 7


@pytest.mark.parametrize("option", OPTIONS)
def test_a_file_that_changed_before_it_is_read_is_saved_as_it_now_is(office, option):
    write(office.tree / "shorter", text(3000))
    write(office.tree / "longer", text(3000))
    write(office.tree / "large", text(6_000_000))
    write(office.tree / "small becomes large", b"")

    with before_it_starts(office, options=option) as outcome:
        write(office.tree / "shorter", text(30, 1), 0o600)
        write(office.tree / "longer", text(50_000, 2))
        write(office.tree / "large", text(7_000_000, 3))
        write(office.tree / "small becomes large", text(50_000, 4))

    assert outcome.errors == {}
    saved = read(outcome.archive)
    assert saved[b"tree/shorter"].content == digest(text(30, 1))
    assert saved[b"tree/shorter"].mode == 0o600
    assert saved[b"tree/longer"].content == digest(text(50_000, 2))
    assert saved[b"tree/large"].content == digest(text(7_000_000, 3))
    assert saved[b"tree/small becomes large"].content == digest(text(50_000, 4))


@pytest.mark.parametrize("option", ["zip", "gz", "bz2", "zst"])
def test_small_files_that_outgrow_a_frame_are_cut_and_reported_and_the_others_are_whole(office, option):
    frame, large = (getattr(archive_format(option, None, 1 << 30), size) for size in ("frame_size", "large_size"))
    for number in range(4):
        write(office.tree / f"{number}", b"")
    write(office.tree / "whole", noise(frame - 30_000))

    with before_it_starts(office, options=option) as outcome:
        for number in range(4):
            write(office.tree / f"{number}", noise(2 * large, number))

    saved = read(outcome.archive)
    assert outcome.status == 1
    assert saved[b"tree/whole"].content == digest(noise(frame - 30_000))
    assert set(outcome.errors) == {str(office.tree / f"{number}") for number in range(4)}
    assert all("grew" in message for message in outcome.errors.values())
    assert {b"tree/0", b"tree/3"} <= set(saved)


@contextmanager
def kept_changing(change):
    """Do ``change`` again and again in another thread."""
    end = threading.Event()

    def work():
        while not end.is_set():
            with suppress(FileNotFoundError):
                change()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize("option", ["zip", "zst"])
def test_a_file_that_changes_all_the_time_is_saved_as_it_was_read_and_reported(office, option):
    write(office.tree / "busy", noise(40_000_000))
    write(office.tree / "quiet", text(100_000))
    descriptor = os.open(office.tree / "busy", os.O_WRONLY)

    with kept_changing(lambda: os.pwrite(descriptor, os.urandom(8), 20_000_000)):
        outcome = office.backup(status=1, options=option)

    os.close(descriptor)
    assert list(outcome.errors) == [str(office.tree / "busy")]
    assert "changed while it was read, twice" in outcome.errors[str(office.tree / "busy")]
    saved = read(outcome.archive)
    assert set(saved) == {b"tree", b"tree/busy", b"tree/quiet"}
    assert saved[b"tree/quiet"].content == digest(text(100_000))
    tools.unpack_with_bsdtar(outcome.archive, office.place())


@pytest.mark.parametrize("option", ["zip", "gz"])
def test_a_file_that_shrinks_and_grows_all_the_time_leaves_a_sound_archive(office, option):
    # Large, and a hole for the most part: on a busy machine who changes it may sleep for as long as 30 MB are read.
    write(office.tree / "busy", text(1_000_000))
    write(office.tree / "quiet", text(100_000))
    descriptor = os.open(office.tree / "busy", os.O_WRONLY)

    def change():
        os.ftruncate(descriptor, 200_000_000)
        os.ftruncate(descriptor, 300_000_000)

    with kept_changing(change):
        outcome = office.backup(status=1, options=option)

    os.close(descriptor)
    assert list(outcome.errors) == [str(office.tree / "busy")]
    saved = read(outcome.archive)
    assert saved[b"tree/quiet"].content == digest(text(100_000))
    tools.unpack_with_bsdtar(outcome.archive, office.place())


# Not through the command line: what happens between two calls of a worker


@pytest.fixture
def slots():
    """One slot, attached to this process."""
    size = slot_size([archive_format(option, None, 1 << 30) for option in ("zip", "gz")])
    memory = shared_memory.SharedMemory(create=True, size=size)
    worker.attach_slots(memory, size)
    yield memory
    memory.close()
    memory.unlink()


def task_for(tree, option):
    chosen = archive_format(option, None, 1 << 30)
    found = [directory for directory, _ in walk(str(tree), lambda name: False)]
    (batch,) = make_batches(found, str(tree), "tree", chosen)
    assert isinstance(batch, Batch)
    return BatchTask(batch, chosen, "xxh3-128", frozenset(), 0)


def members_of(done):
    return [MemberRow._make(row) for rows in marshal.loads(done.rows) for row in rows]


@pytest.mark.parametrize("option", OPTIONS)
def test_a_changed_time_alone_makes_a_worker_read_again(tmp_path, slots, option):
    write(tmp_path / "file", b"the same", mtime_ns=1_000)
    task = task_for(tmp_path, option)
    os.utime(tmp_path / "file", ns=(2_000, 2_000))

    done = SerialExecutor().submit(worker.compress_batch, task).result()

    assert done.problems == []
    assert [(saved.size, saved.mtime_ns) for saved in members_of(done)[1:]] == [(8, 2_000)]


@pytest.mark.parametrize("option", OPTIONS)
def test_a_file_that_changes_while_it_is_read_again_is_reported(tmp_path, slots, option, monkeypatch):
    write(tmp_path / "file", b"first")
    task = task_for(tmp_path, option)
    write(tmp_path / "file", b"second")
    read_fully = worker.read_fully

    def read_and_change(descriptor, place):
        length = read_fully(descriptor, place)
        write(tmp_path / "file", b"third, and longer")
        return length

    monkeypatch.setattr(worker, "read_fully", read_and_change)
    done = SerialExecutor().submit(worker.compress_batch, task).result()

    assert [(problem.path, problem.message) for problem in done.problems] == [(str(tmp_path / "file"), worker.CHANGED)]
    saved = members_of(done)[1]
    assert saved.size == len(b"second")
    assert saved.digest == digest(b"second")


def test_the_window_of_a_chunk_is_what_stood_before_it_whatever_became_of_its_slot(tmp_path):
    content = noise(3_000_000)
    write(tmp_path / "large", content)
    chosen = replace(archive_format("zip", None, 1 << 30), large_size=0)
    (directory,) = (directory for directory, _ in walk(str(tmp_path), lambda name: False))
    large = Large(str(tmp_path), "tree", directory.entries[1])
    reader = LargeReader(ArchivePlan(0, "tree", chosen), large, hasher_factory("xxh3-128")(), frozenset())
    view = memoryview(bytearray(slot_size([chosen])))
    position = 0
    for task in reader.chunks(lambda: (0, view), lambda number: None):
        assert view[WINDOW - task.window : WINDOW] == content[position - task.window : position]
        position += task.length
        view[:] = bytes(len(view))  # a worker is done with it
    reader.close()
    assert position == len(content)
