"""Looks: which folders lie where inodes and times are made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from backalaika.looks import CoarseMounts


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """Where a stick is mounted, as far as the table of what is mounted says."""
    stick = tmp_path / "media" / "stick"
    (stick / "letters").mkdir(parents=True)
    return stick


@pytest.mark.parametrize("kind", ["vfat", "exfat", "cifs", "smb3", "fuse.gvfsd-fuse", "MSDOS"])
def test_a_folder_of_a_stick_or_a_share_is_not_trusted(stick: Path, kind: str) -> None:
    mounts = CoarseMounts([("/", "ext4"), (str(stick), kind)])

    assert mounts.has(str(stick))
    assert mounts.has(str(stick / "letters"))
    assert not mounts.has(str(stick.parent))
    assert mounts.has_some_of(str(stick.parent))


def test_what_is_mounted_on_a_stick_counts_for_itself(stick: Path) -> None:
    mounts = CoarseMounts([("/", "ext4"), (str(stick), "vfat"), (str(stick / "letters"), "ext4")])

    assert mounts.has(str(stick))
    assert not mounts.has(str(stick / "letters"))


def test_a_stick_that_is_named_by_a_link_is_a_stick(stick: Path, tmp_path: Path) -> None:
    (tmp_path / "my stick").symlink_to(stick)
    (tmp_path / "all").symlink_to(stick.parent)
    mounts = CoarseMounts([("/", "ext4"), (str(stick), "vfat")])

    assert mounts.has(str(tmp_path / "my stick" / "letters"))
    assert mounts.has_some_of(str(tmp_path / "all"))
    assert not mounts.has(str(tmp_path))
