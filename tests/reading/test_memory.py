"""What decoders take: never more than there is, and much of it only in turn."""

from __future__ import annotations

import subprocess
import threading
import zipfile
from pathlib import Path

import pytest
from told import Told

from backalaika.errors import ArchiveError
from backalaika.reading import entering
from backalaika.reading.memory import LARGEST, MIB, Memory, share_of


class Turns:
    """Counts who asks."""

    def __init__(self) -> None:
        self.asked = self.returned = 0

    def memory(self, share: int) -> Memory:
        return Memory(share, self._ask, self._return)

    def _ask(self) -> None:
        assert self.asked == self.returned, "it has the turn already"
        self.asked += 1

    def _return(self) -> None:
        self.returned += 1


def test_a_share_is_taken_without_asking_and_more_only_in_turn() -> None:
    turns = Turns()
    memory = turns.memory(10 * MIB)
    with memory.taking(6 * MIB), memory.taking(4 * MIB):
        assert turns.asked == 0
    with memory.taking(6 * MIB):
        with memory.taking(5 * MIB), memory.taking(100 * MIB):
            assert (turns.asked, turns.returned) == (1, 0)
        assert (turns.asked, turns.returned) == (1, 1)
    with memory.taking(LARGEST):
        assert (turns.asked, turns.returned) == (2, 1)
    assert turns.returned == 2


def test_more_than_there_is_is_refused_and_nothing_of_it_is_kept() -> None:
    turns = Turns()
    memory = turns.memory(10 * MIB)
    with pytest.raises(ArchiveError, match=r"more memory to be decoded than is given to it \(285,212,673 bytes\)"):
        memory.taking(LARGEST + 1).__enter__()
    with memory.taking(200 * MIB), pytest.raises(ArchiveError, match="beside the archive that it is in"):
        memory.taking(100 * MIB).__enter__()
    with memory.taking(LARGEST):
        assert turns.asked == turns.returned + 1


@pytest.mark.timeout(60)
def test_threads_wait_for_each_other_instead_of_being_refused() -> None:
    memory = Turns().memory(10 * MIB)
    inside, most = [0], [0]
    lock = threading.Lock()

    def take() -> None:
        for _ in range(20):
            with memory.taking(100 * MIB):
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 <= most[0] <= 2


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_all_processes_together_take_less_than_is_promised(workers: int) -> None:
    assert share_of(workers) * (workers - 1) + LARGEST < 360 * MIB


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What decoders asked for."""
    sizes: list[int] = []

    class Noting(Memory):
        def _take(self, thread: int, size: int) -> None:
            sizes.append(size)
            super()._take(thread, size)

    monkeypatch.setattr(entering, "Memory", Noting)
    return sizes


CONTENT = bytes(range(256)) * 20_000


@pytest.mark.parametrize(
    ("name", "command", "size"),
    [
        ("x.xz", ["xz", "-6"], 8 * MIB),
        ("x.xz", ["xz", "--lzma2=preset=6,dict=64MiB"], 64 * MIB),
        ("x.xz", ["xz", "--lzma2=preset=0,dict=96MiB", "-T1"], 96 * MIB),
        ("x.xz", ["xz", "--x86", "--lzma2=preset=0,dict=3MiB", "--block-size=1000000", "-T2"], 3 * MIB),
        ("x.zst", ["zstd", "-1", "--long=27"], 128 * MIB),
        ("x.zst", ["zstd", "-1", "--long=24"], 16 * MIB),
        ("x.zst", ["zstd", "-1", "--single-thread", "--stream-size=5120000"], 512 * 1024),
    ],
)
def test_what_a_stream_says_that_it_needs_is_taken(
    name: str, command: list[str], size: int, taken: list[int], tmp_path: Path
) -> None:
    path = tmp_path / name
    with path.open("wb") as out:
        subprocess.run([*command, "-c"], input=CONTENT, stdout=out, check=True)
    told = Told(path)

    assert not told.troubles
    assert told.rows[0].size == len(CONTENT)
    assert set(taken) == {size + MIB}


@pytest.mark.parametrize("form", ["lzma", "xz", "zstd"])
def test_what_a_member_of_a_zip_needs_is_taken_for_as_long_as_it_is_read(
    form: str, taken: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "x.zip"
    (tmp_path / "content").write_bytes(CONTENT)
    if form == "lzma":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as out:
            for number in range(50):
                out.writestr(str(number), b"content")
    else:
        command = ["7z", "a", "-bso0", "-tzip", f"-mm={form}", path, tmp_path / "content"]
        if subprocess.run(command, check=False).returncode:
            pytest.skip(f"this 7z makes no {form} in a zip")
    told = Told(path)

    assert not told.troubles
    assert all(digest for _, digest in told.digests(b"x.zip").values())
    assert len(taken) >= (50 if form == "lzma" else 1)


def test_what_a_7z_needs_is_taken(taken: list[int], tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(CONTENT)
    path = tmp_path / "x.7z"
    subprocess.run(["7z", "a", "-bso0", "-m0=lzma2:d=48m", "-mx=1", path, tmp_path / "content"], check=True)
    told = Told(path)

    assert not told.troubles
    assert max(taken) in range(1, 48 * MIB + 1)  # the program makes it no larger than the content


@pytest.mark.parametrize("dictionary", [192, 1024])
def test_a_stream_that_needs_too_much_is_refused_with_the_number(dictionary: int, tmp_path: Path) -> None:
    path = tmp_path / "x.xz"
    with path.open("wb") as out:
        subprocess.run(
            ["xz", f"--lzma2=preset=0,dict={dictionary}MiB", "-T1", "-c"], input=b"x", stdout=out, check=True
        )
    told = Told(path)

    number = f"{dictionary * MIB:,}"
    assert [trouble.message for trouble in told.troubles] == [
        f"needs more memory to be decoded than is given to it ({number} bytes)"
    ]
    assert told.rows[-1].digest is not None
