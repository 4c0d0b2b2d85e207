"""Placing: files that were checked are whole or known for begun, on systems with a sign for that and on others."""

from __future__ import annotations

import errno
import os

import pytest

from backalaika.restoring import begun, placing
from backalaika.restoring.begun import BEGUN_FILE
from backalaika.restoring.frames import Attributes
from backalaika.restoring.placing import PlaceError, Target

OURS = Attributes(0o640, os.getuid(), os.getgid())


def refuse(*arguments, **options):
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture(params=["signs", "no sticky bit", "no links"])
def made(request, tmp_path, monkeypatch):
    """Makes a target as each kind of system has it."""
    if request.param != "signs":
        monkeypatch.setattr(begun, "is_begun_file", lambda info: False)
    if request.param == "no links":
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


@pytest.mark.parametrize("overwrite", ["never", "older", "always"])
def test_a_file_that_a_killed_restore_has_begun_is_made_anew(tmp_path, overwrite):
    (tmp_path / "file").write_bytes(b"con")
    os.chmod(tmp_path / "file", BEGUN_FILE)
    target = Target(str(tmp_path), overwrite, "token")

    assert target.is_wanted(b"file", 0)
    target.put(b"file", b"content", OURS, 10**18)

    assert (tmp_path / "file").read_bytes() == b"content"
    assert os.stat(tmp_path / "file").st_mode & 0o7777 == 0o640
    assert os.listdir(tmp_path) == ["file"]


def test_what_killed_processes_have_begun_is_taken_away_and_nothing_else(tmp_path):
    for name, mode in {"begun": BEGUN_FILE, "whole": 0o600, "beside": BEGUN_FILE}.items():
        (tmp_path / name).write_bytes(b"con")
        os.chmod(tmp_path / name, mode)

    Target(str(tmp_path), "never", "token").take_away([b"begun", b"whole", b"missing", b"folder/missing"])

    assert sorted(os.listdir(tmp_path)) == ["beside", "whole"]


@pytest.mark.parametrize("ends", [KeyboardInterrupt, OSError(errno.EIO, "input/output error")])
def test_what_ends_in_the_midst_of_a_file_leaves_nothing(tmp_path, monkeypatch, ends):
    def end(*arguments):
        assert oct(os.stat(tmp_path / "file").st_mode)[-4:] == "1200"
        raise ends

    monkeypatch.setattr(placing, "write_content", end)
    with pytest.raises((KeyboardInterrupt, OSError)):
        Target(str(tmp_path), "never", "token").put(b"file", b"content", OURS, 10**18)

    assert os.listdir(tmp_path) == []


def make_begun(path):
    path.write_bytes(b"con")
    os.chmod(path, BEGUN_FILE)


def test_whatever_comes_takes_the_place_of_a_file_that_a_killed_restore_has_begun(tmp_path):
    for name in ("large", "cut", "link", "name", "folder"):
        make_begun(tmp_path / name)
    (tmp_path / "other").write_bytes(b"other")
    target = Target(str(tmp_path), "never", "token")

    for name in (b"large", b"cut", b"link", b"name"):
        assert target.is_wanted(name, 0)
    with target.new_file(b"large") as file:
        file.publishes = OURS, 10**18
    with target.adopted(b"cut", target.begin_whole(b"cut")) as file:
        file.publishes = OURS, 10**18
    target.symlink(b"link", b"other", OURS, 10**18)
    target.hard_link(b"name", b"other")
    target.folder(b"folder/deep")

    assert os.stat(tmp_path / "large").st_mode & 0o7777 == 0o640
    assert os.stat(tmp_path / "cut").st_mode & 0o7777 == 0o640
    assert os.readlink(tmp_path / "link") == "other"
    assert (tmp_path / "name").samefile(tmp_path / "other")
    assert (tmp_path / "folder" / "deep").is_dir()


def test_a_file_that_another_restore_is_writing_is_not_taken_away(tmp_path, monkeypatch):
    write, seen = placing.write_content, []

    def meanwhile(descriptor, content):
        monkeypatch.setattr(placing, "write_content", write)
        other = Target(str(tmp_path), "never", "other")
        with pytest.raises(PlaceError, match="another restore is writing it"):
            other.is_wanted(b"file", 0)
        seen.append(True)
        other.take_away([b"file"])
        with pytest.raises(FileExistsError):
            other.put(b"file", b"another", OURS, 10**18)
        write(descriptor, content)

    monkeypatch.setattr(placing, "write_content", meanwhile)
    Target(str(tmp_path), "never", "token").put(b"file", b"content", OURS, 10**18)

    assert seen
    assert (tmp_path / "file").read_bytes() == b"content"
    assert os.listdir(tmp_path) == ["file"]


def test_what_came_in_the_place_of_a_file_stays_when_that_fails(tmp_path, monkeypatch):
    def fail(descriptor, content):
        (tmp_path / "new").write_bytes(b"another")
        os.replace(tmp_path / "new", tmp_path / "file")
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(placing, "write_content", fail)
    with pytest.raises(OSError, match="input/output"):
        Target(str(tmp_path), "never", "token").put(b"file", b"content", OURS, 10**18)

    assert (tmp_path / "file").read_bytes() == b"another"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_root_knows_what_it_began_when_it_has_its_owner_already(tmp_path):
    make_begun(tmp_path / "file")
    os.chown(tmp_path / "file", 1234, 1234)
    (tmp_path / "folder").mkdir(mode=0o1700)
    os.chown(tmp_path / "folder", 1234, 1234)
    target = Target(str(tmp_path), "never", "token")

    assert target.is_wanted(b"file", 0)
    assert target.is_begun(b"folder")


@pytest.mark.parametrize(("is_root", "mode"), [(True, BEGUN_FILE), (False, BEGUN_FILE), (False, BEGUN_FILE | 0o4000)])
def test_a_file_that_had_the_permissions_of_one_that_was_begun_is_whole(tmp_path, is_root, mode):
    target = Target(str(tmp_path), "never", "token")
    target._is_root = is_root
    target.put(b"file", b"content", Attributes(mode, os.getuid(), os.getgid()), 10**18)

    assert not target.is_wanted(b"file", 0)
    assert os.stat(tmp_path / "file").st_mode & 0o7777 == 0o200
