"""A source that several processes look at is told as one process tells it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from backalaika import ahead
from backalaika.ahead import Looking, Piece, look_at
from backalaika.errors import RunError
from backalaika.job.skipping import SkipFiles


def looking(source: Path) -> Looking:
    coarse = SkipFiles(("never",)).matches  # any function that goes to other processes
    return Looking(str(source), SkipFiles(("*.tmp",)).matches, False, None, coarse, 7)


def together(pieces: list[Piece]) -> tuple[Any, ...]:
    return (
        b"".join(piece.folders for piece in pieces),
        [problem for piece in pieces for problem in piece.problems],
        *(sum(piece[i] for piece in pieces) for i in range(2, 7)),
    )


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of all sizes, deep and flat, with a socket in one."""
    top = tmp_path / "tree"
    for i in range(60):
        folder = top / f"{i % 3}" / f"{i % 7}" / f"{i}" / ("deep/er" if i % 5 == 0 else "")
        folder.mkdir(parents=True)
        for j in range(i % 11 * 3):
            (folder / f"{j}{'.tmp' if j % 4 == 0 else ''}").write_bytes(bytes(j))
    with socket.socket(socket.AF_UNIX) as made:
        monkeypatch.chdir(top / "1")
        made.bind("socket")
    return top


def test_several_processes_tell_what_one_tells_in_its_order(tree: Path) -> None:
    alone = together(list(look_at(looking(tree), None, lambda: None)))
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        assert together(list(look_at(looking(tree), pool, lambda: None))) == alone


@pytest.mark.parametrize("entries", [1, 2, 7, 50])
def test_pieces_of_any_size_make_the_same_whole(tree: Path, entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = together(list(look_at(looking(tree), None, lambda: None)))
    monkeypatch.setattr(ahead, "_ENTRIES_A_PIECE", entries)

    with ThreadPoolExecutor(3) as pool:
        pieces = list(look_at(looking(tree), pool, lambda: None))

    assert len(pieces) > 5
    assert together(pieces) == alone
    assert together(list(look_at(looking(tree), None, lambda: None))) == alone


@pytest.mark.parametrize("readers", [1, 2, 3])
def test_no_more_than_so_many_walk_at_a_time(tree: Path, readers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, counts = threading.Lock(), [0, 0]
    scandir = os.scandir

    @contextmanager
    def slow_scandir(folder: int) -> Iterator[Any]:
        with lock:
            counts[0] += 1
            counts[1] = max(counts)
        time.sleep(0.005)
        with scandir(folder) as found:
            yield found
        with lock:
            counts[0] -= 1

    alone = together(list(look_at(looking(tree), None, lambda: None)))
    monkeypatch.setattr(ahead, "_ENTRIES_A_PIECE", 3)
    monkeypatch.setattr(os, "scandir", slow_scandir)
    with ThreadPoolExecutor(4) as pool:
        assert together(list(look_at(looking(tree), pool, lambda: None, readers))) == alone

    assert counts == [0, readers]


def test_who_waits_may_stop_it(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Never(Executor):
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            return Future()

    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ahead, "_ENTRIES_A_PIECE", 1)
    with pytest.raises(KeyboardInterrupt):
        list(look_at(looking(tree), Never(), stop))


@pytest.mark.parametrize("when", ["asked", "working"])
def test_a_process_that_dies_is_told(tree: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    class Broken(Executor):
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            if when == "asked":
                raise BrokenExecutor
            future: Future[Any] = Future()
            future.set_exception(BrokenExecutor())
            return future

    monkeypatch.setattr(ahead, "_ENTRIES_A_PIECE", 1)
    with pytest.raises(RunError, match="process died"):
        list(look_at(looking(tree), Broken(), lambda: None))


def test_a_source_that_cannot_be_read_is_an_error_whoever_looks(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(FileNotFoundError):
        list(look_at(looking(tmp_path / "no such"), pool, lambda: None))
    assert os.listdir(tmp_path) == []
