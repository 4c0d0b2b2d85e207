"""What could not be read or saved is told as it comes, and again at the end on a terminal, where it scrolls away."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def disc(home):
    """A medium with two damaged archives."""
    folder = home.root / "disc"
    folder.mkdir()
    for name in ("one.zip", "two.zip"):
        (folder / name).write_bytes(b"PK\3\4 and nothing more")
    return folder


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_add_tells_each_problem_once_where_there_is_no_terminal(home, disc, as_json):
    done = home.run("add", "Disc", disc, *as_json, status=1)
    lines = [line for line in done.err.splitlines() if "not read as it should be" in line]

    assert {name for name in ("one.zip", "two.zip") if any(name in line for line in lines)} == {"one.zip", "two.zip"}
    assert len(lines) == len(set(lines))
    assert f"\n{len(lines)} problems, listed above\n" in done.err
    if as_json:
        assert len(done.json()["errors"]) == len(lines)


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_backup_tells_each_problem_once_where_there_is_no_terminal(home, as_json):
    os.mkfifo(home.source / "pipe")
    done = home.run("backup", home.job("gz"), "--yes", *as_json, status=1)

    assert done.err.count(f"{home.source}/pipe") == 1
    assert "\n1 problem, listed above\n" in done.err
    if as_json:
        assert [error["path"] for error in done.json()["errors"]] == [f"{home.source}/pipe"]


def test_rebuild_tells_each_problem_once_where_there_is_no_terminal(home):
    home.run("backup", home.job("gz"), "--yes", status=0)
    (archive,) = home.folders()[0].glob("vol001/*.tar.gz")
    archive.write_bytes(archive.read_bytes()[:-20])
    done = home.run("rebuild", home.folders()[0], "--db", f"sqlite:///{home.root}/new.sqlite", status=1)

    assert done.err.count(f"{archive}") == 1
    assert "\n1 problem, listed above\n" in done.err


def test_on_a_terminal_problems_are_told_again_at_the_end(home, disc, talk):
    terminal = talk("add", "Disc", str(disc))
    terminal.expect(r"\d problems:")
    before, after = terminal.before, terminal.read()

    for name in ("one.zip", "two.zip"):
        assert f"/{name}" in before
        assert f"/{name}" in after
