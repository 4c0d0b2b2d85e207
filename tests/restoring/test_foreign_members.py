"""Members of archives that others wrote: how often such an archive is read for them."""

from __future__ import annotations

import gzip
import io
import random
import tarfile

import pytest
import xxhash

from backalaika.restoring.foreign import Where, foreign_members
from backalaika.restoring.items import Item
from backalaika.walk import FILE

LARGE = 5_000_000


class CountingWatch:
    """Counts how often the medium is asked for something."""

    def __init__(self):
        self.count = 0

    def __enter__(self):
        self.count += 1

    def __exit__(self, *error):
        pass


def noise(number, size=20_000):
    return random.Random(number).randbytes(size)


def digest(content):
    return xxhash.xxh3_128_digest(content)


def item(path, content):
    return Item(path, path, FILE, len(content), 0, digest(content), None, b"a.tar.gz", None, None)


def write(folder, members):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path, content in members:
            info = tarfile.TarInfo(path.decode())
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (folder / "a.tar.gz").write_bytes(gzip.compress(made.getvalue(), 0))


def taken(folder, items):
    """What came, what did not, and how often the medium was asked."""
    watch, came = CountingWatch(), {}

    def take(wanted, found):
        content = b"".join(found.pieces)
        if digest(content) != wanted.digest:
            return "is wrong"
        came[wanted.place] = content
        return None

    failed = foreign_members(Where(str(folder), b"a.tar.gz", "xxh3-128", watch), items, take)
    return came, failed, watch.count


@pytest.fixture
def many():
    return [(b"x/%d" % number, noise(number)) for number in range(100)]


def test_an_archive_is_not_read_again_for_a_member_that_has_changed(tmp_path, many):
    items = [item(path, content) for path, content in many]
    write(tmp_path, many)
    _, failed, once = taken(tmp_path, items)
    assert not failed
    write(tmp_path, [*many[:50], (b"x/50", noise(999)), *many[51:]])

    came, failed, count = taken(tmp_path, items)

    assert len(came) == 99
    assert list(failed) == [items[50]]
    assert "not what its digest says" in failed[items[50]]
    assert count <= once + 1


def test_for_a_member_of_another_name_it_is_read_once_more(tmp_path, many):
    items = [item(path, content) for path, content in many]
    write(tmp_path, many)
    once = taken(tmp_path, items)[2]
    write(tmp_path, [*many[:99], (b"x/renamed", many[99][1])])

    came, failed, count = taken(tmp_path, items)

    assert (len(came), failed) == (100, {})
    assert once < count <= 2 * once + 1


def test_all_of_one_path_come_in_whatever_order_the_archive_has_them(tmp_path):
    contents = [noise(number, LARGE) for number in range(3)]
    items = [item(b"same", content)._replace(place=b"%d" % number) for number, content in enumerate(contents)]
    write(tmp_path, [(b"same", content) for content in reversed(contents)])

    came, failed, _ = taken(tmp_path, items)

    assert failed == {}
    assert [came[b"%d" % number] for number in range(3)] == contents


def test_large_members_of_one_size_and_other_names_come(tmp_path):
    contents = [noise(number, LARGE) for number in range(3)]
    write(tmp_path, [(b"now%d" % number, content) for number, content in reversed(list(enumerate(contents)))])

    came, failed, _ = taken(tmp_path, [item(b"then%d" % number, content) for number, content in enumerate(contents)])

    assert failed == {}
    assert [came[b"then%d" % number] for number in range(3)] == contents
