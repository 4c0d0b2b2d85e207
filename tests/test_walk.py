"""The walk tells what is on the disk, whatever it is called, and says what it cannot tell."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backalaika.walk import (
    DIRECTORY,
    FILE,
    SYMLINK,
    Directory,
    Entry,
    Problem,
    open_directory,
    open_file,
    open_for_reading,
    walk,
)

NOBODY = 65534


def _nothing(name: str) -> bool:
    return False


def _walk(source: Path | str) -> tuple[list[Directory], list[Problem]]:
    directories, problems = [], []
    for directory, met in walk(os.fspath(source), _nothing):
        directories.append(directory)
        problems += met
    return directories, problems


def _names(directories: list[Directory]) -> list[str]:
    return [f"{path}/{entry.name}" for path, entries in directories for entry in entries]


def _entry(directories: list[Directory], name: str) -> Entry:
    return next(entry for _, entries in directories for entry in entries if entry.name == name)


@contextmanager
def _without_privileges() -> Iterator[None]:
    """Root may read everything; be nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_tree() -> Iterator[Path]:
    """A directory that nobody can reach; pytest's own are for their owner only."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    for folder, below, _ in os.walk(path):
        for name in below:
            os.chmod(os.path.join(folder, name), 0o700)
    shutil.rmtree(path)


def test_parents_come_first_and_names_are_sorted_by_their_bytes_with_subdirectories_last(tmp_path: Path) -> None:
    for name in ("b/file", "a/c/file", "a/b.txt", "a.txt", "Z", "é", "z"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    names = ["/", "/Z", "/a.txt", "/z", "/é", "a/", "a/b.txt", "a/c/", "a/c/file", "b/", "b/file"]
    assert _names(_walk(tmp_path)[0]) == names


def test_the_same_tree_is_told_in_the_same_order_however_it_was_made(tmp_path: Path) -> None:
    names = [f"{i % 7}/{i}" for i in range(100)]
    for root, order in ((tmp_path / "one", names), (tmp_path / "two", names[::-1])):
        for name in order:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()

    assert _names(_walk(tmp_path / "one")[0]) == _names(_walk(tmp_path / "two")[0])


def test_an_entry_has_what_the_system_says_of_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    path.chmod(0o640)
    os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    info = path.stat()
    entry = _entry(_walk(tmp_path)[0], "file")

    assert entry == Entry(
        "file",
        FILE,
        info.st_mode,
        7,
        1_234_567_890_123_456_789,
        info.st_ctime_ns,
        info.st_ino,
        info.st_uid,
        info.st_gid,
        None,
        "",
    )


def test_empty_directories_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    directories, _ = _walk(tmp_path)

    assert [(path, [entry.kind for entry in entries]) for path, entries in directories] == [
        ("", [DIRECTORY]),
        ("empty", [DIRECTORY]),
    ]


def test_links_are_told_and_not_followed_wherever_they_point(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/file").touch()
    targets = {"loop": ".", "to-dir": "dir", "nowhere": "no/where", "outside": "/", "latin": "caf\udce9\n"}
    for name, target in targets.items():
        (tmp_path / name).symlink_to(target)
    directories, problems = _walk(tmp_path)

    assert [path for path, _ in directories] == ["", "dir"]
    assert not problems
    for name, target in targets.items():
        entry = _entry(directories, name)
        assert (entry.kind, entry.target, entry.size) == (SYMLINK, target, 0)


@pytest.mark.timeout(30)
def test_fifos_sockets_and_devices_are_reported_and_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)  # the path of a socket is at most 107 bytes
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        directories, problems = _walk(tmp_path)

    assert _names(directories) == ["/"]
    assert problems == [
        Problem(str(tmp_path / "fifo"), "a FIFO: not saved"),
        Problem(str(tmp_path / "socket"), "a socket: not saved"),
    ]
    devices = [met for _, met in walk("/dev", lambda name: name != "null")]
    assert devices == [[Problem("/dev/null", "a device: not saved")]]


def test_skipped_names_are_left_out_directories_with_all_in_them(tmp_path: Path) -> None:
    for name in ("keep/file.tmp", "skip/file", "keep/file"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [directory for directory, _ in walk(str(tmp_path), lambda name: name == "skip" or name.endswith(".tmp"))]

    assert _names(found) == ["/", "keep/", "keep/file"]


def test_an_unreadable_directory_is_reported_and_the_walk_goes_on(open_tree: Path) -> None:
    for name in ("after/file", "before/file", "closed/file"):
        (open_tree / name).parent.mkdir()
        (open_tree / name).touch()
    (open_tree / "closed").chmod(0)
    with _without_privileges():
        directories, problems = _walk(open_tree)

    assert _names(directories) == ["/", "after/", "after/file", "before/", "before/file"]
    assert [path for path, _ in problems] == [str(open_tree / "closed")]
    assert "Permission denied" in problems[0].message


def test_a_directory_whose_files_cannot_be_looked_at_is_reported_for_each(open_tree: Path) -> None:
    (open_tree / "listed").mkdir()
    for name in ("a", "b"):
        (open_tree / "listed" / name).touch()
    (open_tree / "listed").chmod(0o444)
    with _without_privileges():
        directories, problems = _walk(open_tree)

    assert "listed/a" not in _names(directories)
    assert [path for path, _ in problems] == [str(open_tree / "listed" / name) for name in ("a", "b")]


def test_a_source_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(FileNotFoundError):
        _walk(tmp_path / "nothing")
    with pytest.raises(NotADirectoryError):
        _walk(tmp_path / "file")


def test_a_directory_that_vanishes_during_the_walk_is_reported(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    problems = []
    for directory, met in walk(str(tmp_path), _nothing):
        if directory.path == "a":
            (tmp_path / "b").rmdir()
        problems += met

    assert problems == [Problem(str(tmp_path / "b"), "directory cannot be read: No such file or directory")]


@pytest.mark.parametrize(
    "name", [b"latin-\xe9", b"line\nbreak", b"n" * 255, b"\xff" * 255, b" ", b"-rf", b"\\", b"\x01"]
)
def test_any_name_that_the_file_system_holds_is_told_and_its_file_opened(name: bytes, tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), name)
    os.mkdir(folder)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(b"content")
    directories, problems = _walk(tmp_path)

    assert not problems
    path, entries = directories[1]
    assert os.fsencode(path) == name
    assert [os.fsencode(entry.name) for entry in entries] == [b"", name]
    assert _content(os.path.join(str(tmp_path), path), entries[1].name) == b"content"


def _content(directory: str, name: str) -> bytes:
    folder = open_for_reading(directory)
    try:
        with open(open_file(directory, folder, name), "rb") as file:
            return file.read()
    finally:
        if folder is not None:
            os.close(folder)


def _make_deep(root: Path, parts: list[bytes]) -> None:
    folder = os.open(root, os.O_RDONLY)
    for part in parts:
        os.mkdir(part, dir_fd=folder)
        below = os.open(part, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    with open(os.open(b"file", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=folder), "wb") as file:
        file.write(b"deep")
    os.symlink(b"target", b"link", dir_fd=folder)
    os.close(folder)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("part", [b"d" * 255, b"\xff" * 199, b"d"], ids=["long names", "not UTF-8", "many short names"])
def test_a_path_longer_than_the_system_takes_at_once_is_walked_and_its_file_opened(part: bytes, tmp_path: Path) -> None:
    parts = [part] * (5000 // (len(part) + 1) if len(part) > 1 else 450)
    parts += [b"e" * 250] * (0 if len(part) > 1 else 14)
    _make_deep(tmp_path, parts)
    directories, problems = _walk(tmp_path)

    assert not problems
    path, entries = directories[-1]
    assert os.fsencode(path) == b"/".join(parts)
    assert len(os.fsencode(path)) > 4096
    assert [(entry.name, entry.target) for entry in entries] == [("", ""), ("file", ""), ("link", "target")]
    assert _content(os.path.join(str(tmp_path), path), "file") == b"deep"


@pytest.mark.parametrize("length", range(3990, 4010))
def test_a_directory_is_opened_at_every_length_around_the_limit(
    length: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = str(tmp_path_factory.getbasetemp())
    missing = length - len(os.fsencode(root)) - 1
    parts = []
    while missing > 300:
        parts.append("p" * 99)
        missing -= 100
    # Two last names of which the second starts the limit anew.
    parts += ["q" * 150, "r" * (missing - 151)]
    path = "/".join([root, *parts])
    assert len(path) == length
    os.makedirs(path, exist_ok=True)
    descriptor = open_directory(path)
    try:
        assert os.path.samestat(os.fstat(descriptor), os.stat(path))
    finally:
        os.close(descriptor)


def test_opening_a_long_path_that_is_not_there_leaves_no_descriptor_open(tmp_path: Path) -> None:
    _make_deep(tmp_path, [b"d" * 250] * 20)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        open_directory("/".join([str(tmp_path), *["d" * 250] * 20, "nothing" * 10]))

    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.timeout(10)
def test_opening_neither_follows_a_link_nor_waits_for_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")

    os.close(open_file(str(tmp_path), None, "fifo"))
    with pytest.raises(OSError, match="symbolic links"):
        open_file(str(tmp_path), None, "link")


@pytest.mark.timeout(30)
def test_one_filesystem_tells_the_directory_of_a_mount_and_nothing_in_it() -> None:
    found = [directory for directory, _ in walk("/", lambda name: name != "proc", one_filesystem=True)]

    assert _names(found) == ["/", "proc/"]


def test_one_filesystem_tells_all_of_the_sources_own(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/file").touch()
    found = [directory for directory, _ in walk(str(tmp_path), _nothing, one_filesystem=True)]

    assert _names(found) == ["/", "dir/", "dir/file"]


def test_hard_links_to_one_file_share_a_key_and_others_have_none(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "a").touch()
    (tmp_path / "alone").touch()
    os.link(tmp_path / "a", tmp_path / "dir/b")
    os.symlink("a", tmp_path / "link")
    os.link(tmp_path / "link", tmp_path / "link2", follow_symlinks=False)
    directories, _ = _walk(tmp_path)

    assert _entry(directories, "a").key == _entry(directories, "b").key is not None
    assert [_entry(directories, name).key for name in ("alone", "link", "link2", "")] == [None] * 4
