"""A hundred thousand files in one folder, and one file of five gigabytes."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path

import ordinary_tools as tools
import psutil
import pytest
from real_backups import Office, manifest_of

GIB = 1 << 30
# A file system in memory, on Linux.
MEMORY = "/dev/shm"


@contextmanager
def memory_of_children():
    """Watches the processes below this one; gives a list whose only item is the most bytes that they had together."""
    most = [0]
    end = threading.Event()

    def work():
        while not end.is_set():
            used = 0
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    used += process.memory_full_info().pss  # pages that two have in common count once
            most[0] = max(most[0], used)
            time.sleep(0.1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield most
    finally:
        end.set()
        thread.join()


@pytest.fixture
def quick_office(tmp_path):
    """As `office`, where files are soon deleted: some disks, told of each, take a minute for a hundred thousand."""
    has_room = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 * GIB
    with tempfile.TemporaryDirectory(dir=MEMORY if has_room else tmp_path) as folder:
        yield Office(Path(folder, "office"))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("option", ["zip", "zst"])
def test_a_hundred_thousand_files_in_one_folder_are_saved_in_bounded_memory(quick_office, option):
    office = quick_office
    folder = os.fsencode(office.tree / "all")
    os.mkdir(folder)
    descriptor = os.open(folder, os.O_RDONLY)
    for number in range(100_000):
        file = os.open(f"a file with the number {number}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=descriptor)
        os.write(file, b"%d" % number)
        os.close(file)
    os.close(descriptor)

    with memory_of_children() as most:
        outcome = office.backup(options=option, timeout=300)

    assert outcome.report["files"] == 100_000
    assert 20 << 20 < most[0] < 400 << 20
    list_names = tools.names_by_unzip if option == "zip" else tools.names_by_tar
    assert len(list_names(outcome.archive)) == 100_002
    place = office.place()
    (tools.unpack_with_unzip if option == "zip" else tools.unpack_with_tar)(outcome.archive, place)
    for number in range(0, 100_000, 997):
        assert (place / "tree" / "all" / f"a file with the number {number}").read_bytes() == b"%d" % number
    assert len(os.listdir(place / "tree" / "all")) == 100_000
    assert office.catalogued("select count(*) from files where kind = 0") == [(100_000,)]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("option", ["zip", "zst"])
def test_a_file_of_five_gigabytes_comes_back(office, option):
    size = 5 * GIB + 12_345
    marks = {0: b"start", 4 * GIB - 3: b"around 4 GiB", size - 3: b"end"}
    path = office.tree / "huge"
    with open(path, "wb") as file:
        file.truncate(size)
        for position, mark in marks.items():
            file.seek(position)
            file.write(mark)
    (office.tree / "zz after").write_bytes(b"after")

    with memory_of_children() as most:
        outcome = office.backup(options=option, timeout=600)

    assert most[0] < 400 << 20
    printed = tools.call("xxhsum", "-H2", path, timeout=300).split()[0].decode()
    (line,) = [line for line in manifest_of(outcome.volumes[0]) if line["path"] == "tree/huge"]
    assert (line["digest"], line["size"]) == (printed, size)
    if option == "zip":
        tools.call("7z", "t", outcome.archive, timeout=300)
        with zipfile.ZipFile(outcome.archive) as zipped:
            info = zipped.getinfo("tree/huge")
            assert (info.file_size, info.extract_version) == (size, 45)
            assert zipped.read("tree/zz after") == b"after"
    place = office.place()
    unpack = (
        ["unzip", "-q", outcome.archive, "-d", place]
        if option == "zip"
        else ["tar", "--zstd", "-xSf", outcome.archive, "-C", place]
    )
    tools.call(*unpack, timeout=300)
    unpacked = tools.call("xxhsum", "-H2", place / "tree" / "huge", timeout=300).split()[0].decode()
    assert unpacked == printed
    os.unlink(place / "tree" / "huge")
    os.unlink(path)
