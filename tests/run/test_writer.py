"""The writer: what it says is safe is on disk, also when an order fails."""

from __future__ import annotations

import errno
import os

import pytest

from backalaika.errors import RunError
from backalaika.run.orders import WriterOrders
from backalaika.run.rows import Problems
from backalaika.run.slots import make_slots
from backalaika.run.writer import ArchiveSafe, VolumeSafe, Writer
from backalaika.walk import Problem


@pytest.fixture
def synced(monkeypatch):
    """Numbers of the files that were synced, in order."""
    inodes = []
    real = os.fsync

    def fsync(descriptor):
        inodes.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return inodes


def test_all_that_was_written_before_an_archive_or_volume_is_complete_is_synced_with_it(tmp_path, synced):
    seen = []

    def answer(message):
        seen.append((type(message), set(synced)))

    writer = Writer(answer, memoryview)
    writer.open_volume(1, str(tmp_path / "vol001"))
    writer.open_volume(2, str(tmp_path / "vol002"))
    for archive, volume in ((1, 1), (2, 1), (3, 2)):
        writer.open_archive(archive, str(tmp_path / f"vol00{volume}" / f"{archive}.tar.gz"))
        writer.append_bytes(archive, b"bytes", True)
    writer.add_manifest(2, b"line")
    writer.close_archive(1, 1, 1, b"end")

    others = {path.stat().st_ino for path in tmp_path.glob("vol*/*.partial") if path.stat().st_size}
    assert len(others) == 3
    assert seen[-1][0] is ArchiveSafe
    assert others <= seen[-1][1]

    writer.append_bytes(3, b"more", True)
    synced.clear()
    writer.close_archive(2, 1, 2, b"end")
    (changed,) = {path.stat().st_ino for path in tmp_path.glob("vol*/3.tar.gz.partial")}
    (manifest,) = {path.stat().st_ino for path in tmp_path.glob("vol002/MANIFEST*")}
    assert changed in synced
    assert manifest not in synced  # nothing was written since
    writer.append_bytes(3, b"more", True)
    synced.clear()
    writer.close_volume(3, 1, "read me")
    assert seen[-1][0] is VolumeSafe
    assert changed in seen[-1][1]


def test_what_was_written_before_an_order_that_failed_is_safe_and_told(tmp_path):
    first = Problems([Problem("first", "")])
    slots = make_slots(1, 1 << 16)
    orders = WriterOrders(slots)
    try:
        orders.order("open_volume", 1, str(tmp_path / "vol001"))
        orders.order("open_archive", 1, str(tmp_path / "vol001" / "a.zip"))
        orders.order("append_bytes", 1, b"first", True)
        orders.hold(first)
        orders.order("open_archive", 2, str(tmp_path / "gone" / "b.zip"))
        orders.order("append_bytes", 1, b"second", True)
        orders.hold(Problems([Problem("second", "")]))
        with pytest.raises(RunError, match="No such file"):
            orders.stop()
    finally:
        orders.stop()
        slots.close()

    assert list(orders.safe) == [first]
    assert (tmp_path / "vol001" / "a.zip.partial").read_bytes() == b"first"


def test_nothing_is_told_as_safe_once_a_sync_has_failed(tmp_path, monkeypatch):
    writer = Writer(lambda message: None, memoryview)
    writer.open_volume(1, str(tmp_path / "vol001"))
    writer.open_archive(1, str(tmp_path / "vol001" / "a.zip"))
    writer.append_bytes(1, b"bytes", True)
    real = os.fsync

    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        writer.sync(1)
    monkeypatch.setattr(os, "fsync", real)  # the system has forgotten what it could not write, and says all is well

    assert not writer.leave_unfinished()
