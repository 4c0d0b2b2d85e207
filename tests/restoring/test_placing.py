"""Placing: files that were checked get their names at once, on systems with nameless files and on others."""

from __future__ import annotations

import errno
import os

import pytest

from backalaika.restoring import placing
from backalaika.restoring.frames import Attributes
from backalaika.restoring.placing import PlaceError, Target

OURS = Attributes(0o640, os.getuid(), os.getgid())


def refuse(*arguments, **options):
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture(params=["nameless", "named", "no descriptors", "no links of them", "no links"])
def made(request, tmp_path, monkeypatch):
    """Makes a target as each kind of system has it."""
    if request.param == "named":
        monkeypatch.setattr(placing, "_NAMELESS", 0)
    elif request.param == "no descriptors":
        monkeypatch.setattr(placing, "_DESCRIPTORS", b"/nowhere")
    elif request.param == "no links of them":
        monkeypatch.setattr(placing, "_give_name", refuse)
    elif request.param == "no links":
        monkeypatch.setattr(placing.os, "link", refuse)
        monkeypatch.setattr(placing, "_HAS_DIR_FD", True)
    return lambda overwrite="never": Target(str(tmp_path), overwrite, "token")


def test_a_file_has_its_content_mode_and_time_and_nothing_else_is_there(made, tmp_path):
    made().put(b"deep/er/file", b"content", OURS, 10**18 + 7)

    info = os.stat(tmp_path / "deep/er/file")
    assert (tmp_path / "deep/er/file").read_bytes() == b"content"
    assert (info.st_mode & 0o7777, info.st_mtime_ns, info.st_nlink) == (0o640, 10**18 + 7, 1)
    assert os.listdir(tmp_path / "deep/er") == ["file"]


def test_zeros_become_holes(made, tmp_path):
    content = b"a" + bytes(1 << 20) + b"b"
    made().put(b"sparse", content, OURS, 10**18)

    assert (tmp_path / "sparse").read_bytes() == content
    assert os.stat(tmp_path / "sparse").st_blocks * 512 < 1 << 18


def test_what_is_there_stays_unless_it_may_be_replaced(made, tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        made().put(b"file", b"new", OURS, 10**18)
    assert (tmp_path / "file").read_bytes() == b"old"

    made("always").put(b"file", b"new", OURS, 10**18)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_nothing_goes_through_a_link_or_outside(made, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / "name").symlink_to(outside / "made")
    for overwrite in ("never", "always"):
        target = made(overwrite)
        for place in (b"link/file", b"../file", b"a/../../file", b"..", b"a/", b"", b"/file", b"a\0b"):
            with pytest.raises(PlaceError):
                target.put(place, b"content", OURS, 10**18)
    made("always").put(b"name", b"content", OURS, 10**18)  # the link itself is replaced

    assert os.listdir(outside) == []
    assert not (tmp_path / "name").is_symlink()


def test_a_folder_that_is_not_there_when_a_task_begins_wants_all_its_files(made, tmp_path):
    target = made()
    assert target.is_wanted(b"folder/a", 0)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"old")

    target.begin_task()

    assert not target.is_wanted(b"folder/a", 0)
    assert target.is_wanted(b"folder/b", 0)
