"""Which volumes hold a file, asked by command; and how files are listed for programs."""

import csv
import io
import json
import os

import pytest
from databases import DATABASES, new_database

KEYS = ["volume", "archive", "path", "kind", "size", "mtime", "digest"]


@pytest.fixture
def saved(home):
    """A home with one backup; the title of its volume."""
    for name, content in (("Budget 2009.ods", "money"), ("copy of it.ods", "money"), ("empty", ""), ("empty too", "")):
        (home.source / name).write_text(content)
    (home.source / "old").mkdir()
    (home.source / "old" / os.fsdecode(b"latin-\xe9.txt")).write_text("x" * 3000)
    os.utime(home.source / "old" / os.fsdecode(b"latin-\xe9.txt"), ns=(0, 1_249_113_600_123_456_789))  # August 2009
    os.utime(home.source / "Budget 2009.ods", (0, 1_262_304_000))
    home.run("backup", home.job("gz"), "--yes", status=0)
    return f"{home.folders()[0].name}/vol001"


def found(home, *arguments, status=0):
    """What is found, as objects."""
    return [json.loads(line) for line in home.run("find", *arguments, "--json", status=status).out.splitlines()]


def names(home, *arguments):
    return [os.path.basename(entry["path"]) for entry in found(home, *arguments)]


def test_what_is_found_is_shown_with_its_volume_and_archive(home, saved):
    (line,) = home.run("find", "BUDGET", status=0).out.splitlines()

    assert line.endswith(f"  {home.source}/Budget 2009.ods")
    assert line.startswith(f"{saved}  source.001.tar.gz  ")


def test_files_are_found_in_every_way_that_help_tells(home, saved):
    (home.root / "mine.ods").write_text("money")
    everything = {"Budget 2009.ods", "copy of it.ods"}

    assert names(home, "budget") == ["Budget 2009.ods"]
    assert set(names(home, "*.ods")) == everything
    assert names(home, "old/latin") == [os.fsdecode(b"latin-\xe9.txt")]
    assert names(home, "\udce9") == [os.fsdecode(b"latin-\xe9.txt")]
    assert set(names(home, "--same-as", "mine.ods")) == everything
    assert names(home, "--size", "2k..4k") == [os.fsdecode(b"latin-\xe9.txt")]
    assert names(home, "--date", "2009-08") == [os.fsdecode(b"latin-\xe9.txt")]
    assert set(names(home, "--duplicates")) == everything
    assert set(names(home, "--digest", found(home, "budget")[0]["digest"][:12].upper())) == everything
    assert names(home, "Budget", "--match-case", "--same-as", "mine.ods", "--date", "2010..", "--size", "5") == [
        "Budget 2009.ods"
    ]


def test_nothing_found_is_exit_status_1_so_that_a_script_does_not_take_a_file_for_saved(home, saved):
    (home.root / "new.txt").write_text("new")

    for arguments in (["no such name"], ["--same-as", "new.txt"], ["BUDGET", "--match-case"], ["--size", "1G.."]):
        told = home.run("find", *arguments, status=1)
        assert (told.out, told.err) == ("", "Nothing found: no volume of the catalogue has such a file\n")
        as_json = home.run("find", *arguments, "--json", status=1)
        assert (as_json.out, as_json.err) == ("", "")
        assert found(home, *arguments, status=1) == []


def test_json_has_one_object_a_line_with_nothing_but_what_help_tells(home, saved):
    for line in home.run("files", "", "--json", status=0).out.splitlines():
        entry = json.loads(line)
        status = os.stat(entry["path"])
        assert list(entry) == KEYS
        assert entry["volume"] == saved
        assert entry["archive"] == "source.001.tar.gz"
        assert f'"mtime": {status.st_mtime_ns // 10**9}' in line
        assert abs(entry["mtime"] - status.st_mtime) < 1e-6
        assert entry["size"] == (status.st_size if entry["kind"] == "file" else 0)
        assert (entry["digest"] is None) == (entry["kind"] == "dir")
    (odd,) = [line for line in home.run("files", saved, "--json").out.splitlines() if "latin" in line]
    assert '"mtime": 1249113600.123456789,' in odd
    assert r"latin-\udce9.txt" in odd


def test_csv_can_be_read_again_whatever_the_names(home):
    hostile = ['a,"b"', "new\nline", "\x1b[31mred", "日本語", "plain"]
    for name in hostile:
        (home.source / name).write_text("x")
    home.run("backup", home.job("gz"), "--yes", status=0)

    rows = list(csv.DictReader(io.StringIO(home.run("files", "", "--csv", status=0).out, newline="")))
    assert list(rows[0]) == KEYS
    assert {os.path.basename(row["path"]) for row in rows} >= set(hostile)
    assert {row["size"] for row in rows if row["path"].endswith("plain")} == {"1"}


def test_long_lists_kind_and_digest_too(home, saved):
    digest = found(home, "budget")[0]["digest"]
    line = home.run("find", "budget", "--long", status=0).out
    listed = home.run("files", saved, "--long", status=0).out.splitlines()

    assert f"  file      {digest}  " in line
    assert any(f"  dir       {'-':<32}  " in row for row in listed)
    assert line.rstrip("\n").partition("  ")[2] in listed


def test_duplicates_are_kept_apart_on_the_screen(home):
    for name in ("a", "b"):
        (home.source / f"{name}1").write_text(name * 10)
        (home.source / f"{name}2").write_text(name * 10)
    home.run("backup", home.job("gz"), "--yes", status=0)

    blocks = home.run("find", "--duplicates", status=0).out.split("\n\n")
    assert {tuple(line.rpartition("/")[2] for line in block.splitlines()) for block in blocks} == {
        ("a1", "a2"),
        ("b1", "b2"),
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to find"),
        (["--digest", "abc"], "4 hexadecimal digits"),
        (["--digest", "nonsense"], "4 hexadecimal digits"),
        (["--size", "big"], "10M..1G"),
        (["--size", ".."], "10M..1G"),
        (["--size", "2M..1M"], "10M..1G"),
        (["--date", "yesterday"], "2009-08"),
        (["--date", "2009-02-30"], "calendar"),
        (["--date", "2010..2009"], "2009-08"),
        (["--same-as", "/no/such/file"], "/no/such/file"),
        (["--same-as", "/"], "no file"),
        (["x", "--json", "--csv"], "one of them"),
    ],
)
def test_what_cannot_be_looked_for_is_refused_in_one_line(home, saved, arguments, said):
    assert said in home.refused("find", *arguments)


def test_names_cannot_steer_a_terminal_by_csv(home, talk):
    (home.source / "\x1b[31mred").write_text("x")
    home.run("backup", home.job("gz"), "--yes", status=0)

    terminal = talk("find", "red", "--csv")
    assert terminal.expect([r"\\x1b\[31mred", "\x1b"]) == 0


@pytest.fixture(params=DATABASES)
def db_uri(request, tmp_path):
    with new_database(DATABASES[request.param], tmp_path) as made:
        yield made.uri


def test_a_backup_and_a_disc_are_searched_together_on_each_database(home, db_uri):
    disc = home.root / "disc"
    disc.mkdir()
    (disc / "Plan caf\u00e9.txt").write_text("file 1\n" * 10)
    home.run("backup", home.job("zip", more=f"config = dict(db_uri={db_uri!r})"), "--yes", status=0)
    home.run("add", "Old disc", str(disc), "--db", db_uri, status=0)
    title = f"{home.folders()[0].name}/vol001"

    (plan,) = found(home, "CAF\u00c9", "--db", db_uri)
    assert (plan["volume"], plan["archive"], plan["path"]) == ("Old disc", None, "Plan caf\u00e9.txt")
    same = found(home, "--same-as", str(home.source / "1.txt"), "--db", db_uri)
    assert {(entry["volume"], entry["archive"]) for entry in same} == {("Old disc", None), (title, "source.001.zip")}
    copies = found(home, "--duplicates", "--db", db_uri)
    assert {entry["path"] for entry in copies} == {entry["path"] for entry in same}
    home.run("remove", "Old disc", "--yes", "--db", db_uri, status=0)
    assert found(home, "CAF\u00c9", "--db", db_uri, status=1) == []
