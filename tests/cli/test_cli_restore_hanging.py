"""`backalaika restore` where a drive hangs: it goes on with other media, and says what was not to be had."""

from __future__ import annotations

import random

import pytest
from test_cli_add_hanging import Hanging

pytestmark = pytest.mark.timeout(120)

SIZES = [300_000] * 12 + [6_000_000] * 2


def content(number):
    return random.Random(number).randbytes(SIZES[number])


@pytest.fixture
def hanging(home, tmp_path):
    return Hanging(home.environment, tmp_path / "shim")


@pytest.fixture
def saved(home):
    """A volume, a tar.zst, with files larger and smaller than what is written at once."""
    for number in range(len(SIZES)):
        (home.source / f"{number:02}.bin").write_bytes(content(number))
    home.run("backup", home.job("zst"), "--yes", status=0)
    return home.folders()[0].name + "/vol001"


def restored(home, *arguments, env, status):
    back = home.root / "back"
    command = ["restore", *arguments, "--to", str(back), "--yes", "--timeout", "1", "--json"]
    report = home.run(*command, status=status, env=env, timeout=90).json()
    assert not list(back.rglob(".backalaika-*"))
    home.assert_nothing_left()
    there = sorted(int(path.stem) for path in back.rglob("*.bin"))
    for number in there:
        assert (back / "source" / f"{number:02}.bin").read_bytes() == content(number)
    return report, there


@pytest.mark.parametrize("workers", [1, 3])
def test_what_a_medium_has_not_given_before_it_hung_comes_from_another(home, hanging, saved, workers):
    home.run("backup", home.job("gz"), "--yes", "--no-skip-known", status=0)
    environment = hanging.at(file="source.001.tar.zst", start=9_000_000)

    report, there = restored(home, "--volume", saved, "--workers", str(workers), env=environment, status=3)

    assert there == list(range(len(SIZES)))
    assert report["files"] == len(SIZES) + 4
    assert [one["bytes"] for one in report["missing"]] == [0]  # the folder is in an archive that hangs
    assert [error["path"] for error in report["errors"]] == [saved]
    assert "nothing could be read of it for 1 seconds" in report["errors"][0]["message"]
    assert hanging.times >= 1


@pytest.mark.parametrize("start", [0, 9_000_000])
def test_where_there_is_no_other_it_is_missing_and_all_that_was_read_is_there(home, hanging, saved, start):
    environment = hanging.at(file="source.001.tar.zst", start=start)

    report, there = restored(home, "--job", "office", "--workers", "2", env=environment, status=3)

    assert [one["title"] for one in report["missing"]] == [saved]
    assert [error["path"] for error in report["errors"]] == [saved]
    assert bool(there) == (start > 0)
    assert len(there) < len(SIZES)
    # The same command goes on when the drive does.
    again, there = restored(home, "--job", "office", env=home.environment, status=0)
    assert there == list(range(len(SIZES)))
    assert again["errors"] == []


def test_a_foreign_archive_that_hangs_is_given_up_too(home, hanging, saved):
    disc = home.root / "disc"
    disc.mkdir()
    home.folders()[0].joinpath("vol001/source.001.tar.zst").rename(disc / "old.tar.zst")
    home.run("add", "old disc", str(disc), status=0)
    environment = hanging.at(file="old.tar.zst", start=3_000_000)

    report, there = restored(home, "--volume", "old disc", "old.tar.zst!", "--workers", "1", env=environment, status=3)

    assert [one["title"] for one in report["missing"]] == ["old disc"]
    assert 0 < len(there) < len(SIZES)
