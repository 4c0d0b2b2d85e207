"""Decoders of several archives that others made share what memory they may take."""

from __future__ import annotations

import io
import lzma
import os
import tarfile

import pytest
import xxhash

from backalaika.reading.memory import MIB
from backalaika.restoring.items import Item
from backalaika.restoring.worker import Task, restore_foreign_members, start_worker
from backalaika.walk import FILE

CONTENT = b"content" * 1000


class Turn:
    """What one process has at a time; keeps whether it is had."""

    def __init__(self):
        self.calls = []

    def acquire(self):
        self.calls.append("acquire")
        return True

    def release(self):
        self.calls.append("release")


def write(path, dictionary):
    """A tar.xz that needs so many bytes to be decoded, with more behind what is wanted."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in (("wanted", CONTENT), ("more", os.urandom(MIB))):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    method = {"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": dictionary}
    path.write_bytes(lzma.compress(made.getvalue(), lzma.FORMAT_XZ, filters=[method]))


@pytest.fixture
def restored(tmp_path):
    def restore(dictionary, workers):
        """Restore from such an archive in this process, as one of so many; what it asked for."""
        write(tmp_path / "a.tar.xz", dictionary)
        place = tmp_path / f"{dictionary} {workers}"
        place.mkdir()
        turn = Turn()
        start_worker(str(place), "never", "test", workers=workers, turn=turn)
        digest = xxhash.xxh3_128_digest(CONTENT)
        item = Item(b"wanted", b"wanted", FILE, len(CONTENT), 0, digest, None, b"a.tar.xz", None, None)
        outcome = restore_foreign_members(Task(str(tmp_path), b"a.tar.xz", "xxh3-128", [item], None, {}))
        assert (outcome.files, outcome.failed, outcome.refused) == (1, [], [])
        assert (place / "wanted").read_bytes() == CONTENT
        return turn.calls

    yield restore
    start_worker(str(tmp_path), "never", "test")


def test_who_needs_more_than_its_share_has_the_turn_until_its_archive_is_done(restored):
    assert restored(40 * MIB, workers=4) == ["acquire", "release"]


def test_who_needs_no_more_asks_nobody(restored):
    assert restored(4 * MIB, workers=4) == []
    assert restored(40 * MIB, workers=1) == []
