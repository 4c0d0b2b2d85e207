"""Mounted: the one medium, by what the system tells."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest

from backalaika.errors import UsageError
from backalaika.reading.mounted import is_optical, the_one_medium


def partition(mountpoint: str, fstype: str = "ext4", opts: str = "rw") -> SimpleNamespace:
    return SimpleNamespace(mountpoint=mountpoint, fstype=fstype, opts=opts, device="/dev/none")


@pytest.fixture
def mounted(monkeypatch):
    """Says what is mounted."""
    there: list[SimpleNamespace] = [partition("/")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: there)
    return there


@pytest.mark.parametrize(
    ("fstype", "opts"), [("iso9660", "ro"), ("udf", "ro"), ("CDFS", "ro,cdrom"), ("FAT", "rw,removable")]
)
def test_the_one_medium_is_found(mounted, fstype, opts):
    mounted.append(partition("/media/disc", fstype, opts))

    assert the_one_medium() == "/media/disc"


def test_without_a_medium_the_path_is_asked_for(mounted):
    with pytest.raises(UsageError, match="give its PATH"):
        the_one_medium()


def test_of_several_media_one_must_be_named(mounted):
    mounted += [partition("/media/a", "iso9660"), partition("/media/b", "udf")]

    with pytest.raises(UsageError, match="/media/a, /media/b"):
        the_one_medium()


def test_a_path_on_a_disc_is_optical_and_one_beside_it_is_not(mounted):
    mounted += [partition("/media/disc", "iso9660"), partition("/media", "ext4")]

    assert is_optical("/media/disc/folder")
    assert is_optical("/media/disc")
    assert not is_optical("/media/disc2")
