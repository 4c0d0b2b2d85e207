"""What is told of one thing is told of one, and of two of two."""

from __future__ import annotations

import pytest
from starting import PROGRAM, run_program
from trees_compared import text, write


def said(office, *arguments):
    return run_program([*PROGRAM, *map(str, arguments)], office.environment, office.root).stderr


@pytest.mark.parametrize(
    ("count", "belong", "problems", "kept"),
    [
        (1, "1 file that does not belong to", "1 problem in", "1 file was there already and stays as it is;"),
        (2, "2 files that do not belong to", " problems in", "2 files were there already and stay as they are;"),
    ],
)
def test_one_is_told_as_one(office, count, belong, problems, kept):
    for number in range(count):
        write(office.tree / f"{number}", text(100))
    (volume,) = office.backup().volumes
    said(office, "restore", "--from", volume, "--to", office.root / "back")
    again = said(office, "restore", "--from", volume, "--to", office.root / "back")
    for number, name in zip(range(count), ("README.txt", "MANIFEST.jsonl.gz"), strict=False):
        (volume / f"stranger{number}").touch()
        (volume / name).write_bytes((volume / name).read_bytes()[:-1] + b"?")
    checked = said(office, "verify", volume)
    removed = said(office, "remove", f"{volume.parent.name}/{volume.name}", "--yes")

    assert kept in again
    assert belong in checked
    assert problems in checked
    assert removed.endswith(f": {count + 1} entries in 1 archive\n")
