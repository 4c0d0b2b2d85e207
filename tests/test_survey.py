"""The survey walks once, selects, and gives back what it found."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backalaika.errors import SourceError
from backalaika.survey import Survey, distinct_labels, distinct_name, take_survey
from backalaika.walk import Directory, walk


def _survey(
    *paths: Path | str,
    since_ns: int | None = None,
    skip: str = "",
    tell: Callable[[int, int], None] | None = None,
) -> Survey:
    matches = re.compile(skip).fullmatch if skip else lambda name: None
    config: Any = SimpleNamespace(skip_files=SimpleNamespace(matches=matches), one_filesystem=False, readers=None)
    sources: Any = tuple(SimpleNamespace(path=os.fspath(path)) for path in paths)
    return take_survey(sources, config, since_ns, tell)


def _touch(path: Path, size: int = 0, mtime_ns: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, ns=(mtime_ns, mtime_ns))


def _names(directories: list[Directory]) -> list[str]:
    return [f"{path}/{entry.name}" for path, entries in directories for entry in entries]


def test_what_was_walked_comes_back_as_it_was_as_often_as_it_is_asked_for(tmp_path: Path) -> None:
    _touch(tmp_path / "one/a/file", 10, 123_456_789)
    _touch(tmp_path / "one/latin-\udce9\n")
    os.link(tmp_path / "one/a/file", tmp_path / "one/linked")
    (tmp_path / "one/link").symlink_to("nowhere\udcff")
    _touch(tmp_path / "two/file", 5)
    sources = [str(tmp_path / "one"), str(tmp_path / "two")]

    with _survey(*sources) as survey:
        for _ in range(2):
            for found, source in zip(survey.sources, sources, strict=True):
                walked = [directory for directory, _ in walk(source, lambda name: False)]
                assert list(survey.directories(found)) == walked


def test_sources_can_be_read_side_by_side(tmp_path: Path) -> None:
    for name in ("one", "two"):
        for i in range(5):
            _touch(tmp_path / name / f"{name}{i}/file")
    with _survey(tmp_path / "one", tmp_path / "two") as survey:
        one, two = (survey.directories(found) for found in survey.sources)
        pairs = [(a.path.replace("one", ""), b.path.replace("two", "")) for a, b in zip(one, two, strict=True)]

    assert len(pairs) == 6
    assert all(a == b for a, b in pairs)


def test_files_links_and_bytes_are_counted(tmp_path: Path) -> None:
    _touch(tmp_path / "a/file", 1000)
    _touch(tmp_path / "b/file", 24)
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "empty").mkdir()
    told: list[tuple[int, int]] = []
    with _survey(tmp_path, tell=lambda files, size: told.append((files, size))) as survey:
        assert (survey.files, survey.bytes) == (3, 1024)
        assert told[-1] == (3, 1024)
        assert told == sorted(told)


def test_since_leaves_out_what_is_older_and_directories_that_lose_all(tmp_path: Path) -> None:
    _touch(tmp_path / "new/file", 7, 2000)
    _touch(tmp_path / "new/older", 100, 1999)
    _touch(tmp_path / "old/file", 100, 1000)
    with _survey(tmp_path, since_ns=2000) as survey:
        names = _names(list(survey.directories(survey.sources[0])))
        found = survey.sources[0]

    assert names == ["new/", "new/file"]
    assert (found.files, found.bytes) == (1, 7)
    assert (found.found_files, found.found_bytes) == (3, 207)


def test_without_since_empty_directories_stay(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with _survey(tmp_path) as survey:
        assert _names(list(survey.directories(survey.sources[0]))) == ["/", "empty/"]
        assert survey.files == 0


def test_skipped_files_are_not_counted_as_found(tmp_path: Path) -> None:
    _touch(tmp_path / "a.tmp", 10)
    _touch(tmp_path / "a", 1)
    with _survey(tmp_path, skip=r".*\.tmp") as survey:
        assert survey.sources[0].found_files == 1


def test_problems_of_all_sources_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        os.mkfifo(tmp_path / name / "fifo")
    with _survey(tmp_path / "one", tmp_path / "two") as survey:
        assert [path for path, _ in survey.problems] == [str(tmp_path / name / "fifo") for name in ("one", "two")]


def test_a_missing_source_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=re.escape(f"{tmp_path}/nothing: ") + ".*does not exist"):
        _survey(tmp_path, tmp_path / "nothing")


def test_a_source_that_is_no_directory_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _touch(tmp_path / "file")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=re.escape(f"{tmp_path}/file: ") + ".*not a directory"):
        _survey(tmp_path / "file")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        with pytest.raises(SourceError, match="not a directory"):
            _survey(tmp_path / "socket")


def test_a_failed_survey_leaves_no_file_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SourceError):
        _survey(tmp_path / "nothing")

    assert len(os.listdir("/proc/self/fd")) == before


@given(st.lists(st.text(st.sampled_from("aAß-2/:.\\ "), max_size=6).map(lambda tail: f"/srv/{tail}"), max_size=8))
@example(["/"])
@example(["/srv/:", "/srv/::"])
@example(["/a", "/b/a-2", "/c/a", "/d/A"])
def test_labels_are_one_name_each_and_differ_whatever_the_case(paths: list[str]) -> None:
    labels = distinct_labels(paths)

    assert len({label.casefold() for label in labels}) == len(paths)
    assert all(label and "/" not in label for label in labels)


def test_a_label_is_the_last_name_of_its_source() -> None:
    paths = ["/home/office", "/mnt/Office/", "/", "/srv/office"]

    assert distinct_labels(paths) == ["office", "Office-2", "root", "office-3"]


def test_a_distinct_name_is_taken_from_then_on() -> None:
    taken: set[str] = set()

    assert [distinct_name(name, taken) for name in ("a", "A", "a-2", "a")] == ["a", "A-2", "a-2-2", "a-3"]
