"""A whole backup with the catalogue in each database."""

from __future__ import annotations

import json

import pytest
from databases import DATABASES, new_database


@pytest.fixture(params=DATABASES)
def db_uri(request, tmp_path):
    with new_database(DATABASES[request.param], tmp_path) as made:
        yield made.uri


def test_a_backup_is_recorded_listed_known_and_removed(home, db_uri):
    odd = "caf\N{LATIN SMALL LETTER E WITH ACUTE} \udcff\N{VIOLIN}"
    (home.source / odd).mkdir()
    (home.source / odd / odd).write_text("odd")
    job = home.job("zst", more=f"config = dict(db_uri={db_uri!r})")
    first = home.run("backup", job, "--yes", "--json", status=0).json()
    listed = [json.loads(line) for line in home.run("files", "", "--db", db_uri, "--json").out.splitlines()]

    names = {entry["path"] for entry in listed if entry["kind"] == "file"}
    assert names == {str(home.source / f"{i}.txt") for i in range(4)} | {str(home.source / odd / odd)}
    (home.source / "new.txt").write_text("new")
    second = home.run("backup", job, "--yes", "--skip-known", "--json", status=0).json()
    assert (first["files"], second["files"], second["known_files"]) == (5, 1, 5)

    titles = [json.loads(line)["title"] for line in home.run("volumes", "--db", db_uri, "--json").out.splitlines()]
    assert len(titles) == 2
    for title in titles:
        home.run("remove", title, "--yes", "--db", db_uri, status=0)
    assert home.run("volumes", "--db", db_uri, status=0).out == ""
    home.assert_nothing_left()


@pytest.mark.parametrize("blank", [" ", "\N{NO-BREAK SPACE}"])
def test_a_title_is_another_with_a_blank_behind_it_and_none_is_taken_that_nobody_sees(home, db_uri, blank):
    def titles():
        listed = home.run("volumes", "--db", db_uri, "--json", status=0).out.splitlines()
        return [json.loads(line)["title"] for line in listed]

    home.run("add", "x", home.source, "--db", db_uri, status=0)
    for command in (["remove", f"x{blank}", "--yes"], ["files", f"x{blank}"]):
        refused = home.refused(*command, "--db", db_uri)
        assert "no volume of this title; the nearest titles are 'x'" in refused
    assert "begins or ends with a blank" in home.refused("add", f"x{blank}", home.source, "--db", db_uri)
    assert "begins or ends with a blank" in home.refused("add", f"{blank}y", home.source, "--db", db_uri)
    assert titles() == ["x"]


def test_a_title_has_512_characters_at_most_and_one_that_can_be_seen(home, db_uri):
    longest = "\N{VIOLIN}" * 512
    home.run("add", longest, home.source, "--db", db_uri, status=0)
    refused = home.refused("add", longest + "x", home.source, "--db", db_uri)
    assert refused.endswith("...': has 513 characters; take a title of at most 512")
    assert "nobody sees" in home.refused("add", " ", home.source, "--db", db_uri)
    [volume] = home.run("volumes", "--db", db_uri, "--json", status=0).out.splitlines()
    assert json.loads(volume)["title"] == longest
