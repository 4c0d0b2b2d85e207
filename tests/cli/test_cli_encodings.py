"""Names in old zips that do not tell their encoding, as `backalaika add`, `files` and `find` read them."""

from __future__ import annotations

import io
import json
import os
import zipfile

import pytest


def listed(home, title):
    return [json.loads(line) for line in home.run("files", title, "--json", status=0).out.splitlines()]


@pytest.fixture
def old_zip(tmp_path):
    """A medium with a zip whose names are Russian, of DOS, and do not say so."""
    root = tmp_path / "old"
    root.mkdir()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        for name in ("??????/", "!!!!!!/!!!!.txt", "plain.txt"):
            out.writestr(name, "")
    content = made.getvalue()
    for stand_in, name in (("??????/", "Письма/"), ("!!!!!!/!!!!", "Письма/Мама")):
        content = content.replace(stand_in.encode(), name.encode("cp866"))
    (root / "old.zip").write_bytes(content)
    return root


def test_the_bytes_of_a_name_whose_encoding_was_guessed_can_be_had(home, old_zip):
    """Here the guess is wrong, as one that the user insists on may be too."""
    home.run("add", "Old", old_zip, "--encoding", "cp437", status=0)
    rows = {bytes.fromhex(row["path_bytes"]): row for row in listed(home, "Old") if "path_bytes" in row}

    assert set(rows) == {"Письма/".encode("cp866"), "Письма/Мама.txt".encode("cp866")}
    assert all(row["path"] == raw.decode("cp437").rstrip("/") for raw, row in rows.items())
    anew = home.run("files", "Old", "--encoding", "cp866", "--json", status=0).out
    assert [json.loads(line)["path"] for line in anew.splitlines()][:2] == ["Письма", "Письма/Мама.txt"]


def medium_of(tmp_path, raw):
    """A medium with a zip of one member, whose name are these bytes, without a word of their encoding."""
    root = tmp_path / "medium"
    root.mkdir()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        out.writestr("?" * len(raw), "")
    (root / "old.zip").write_bytes(made.getvalue().replace(b"?" * len(raw), raw))
    return root


def member_names(home, *switches):
    """Path, and its bytes, of all members."""
    rows = map(json.loads, home.run("files", "Old", "--json", *switches, status=0).out.splitlines())
    return [(row["path"], bytes.fromhex(row["path_bytes"])) for row in rows if row["archive"]]


def test_the_bytes_of_a_name_that_is_not_in_the_encoding_given_are_kept(home, tmp_path):
    raw = "Письма.txt".encode("cp866")
    home.run("add", "Old", medium_of(tmp_path, raw), "--encoding", "ascii", status=0)

    assert member_names(home) == [(os.fsdecode(raw), raw)]
    assert member_names(home, "--encoding", "cp866") == [("Письма.txt", raw)]
    assert "Письма" in home.run("find", "письма", "--encoding", "cp866", status=0).out


def test_the_bytes_of_a_name_that_is_utf8_by_accident_are_kept(home, tmp_path):
    raw = "Рё.txt".encode("cp1251")
    home.run("add", "Old", medium_of(tmp_path, raw), status=0)

    assert member_names(home) == [("и.txt", raw)]
    assert member_names(home, "--encoding", "cp1251") == [("Рё.txt", raw)]
    assert "Рё" in home.run("find", "Рё", "--encoding", "cp1251", status=0).out


def test_a_name_that_says_it_is_utf8_has_no_bytes_beside_it(home, tmp_path):
    root = tmp_path / "medium"
    root.mkdir()
    with zipfile.ZipFile(root / "new.zip", "w") as out:
        out.writestr("Письма.txt", "")
    home.run("add", "Old", root, status=0)

    rows = listed(home, "Old")
    assert "Письма.txt" in {row["path"] for row in rows}
    assert not any("path_bytes" in row for row in rows)


@pytest.mark.parametrize("command", [["add", "Old", "."], ["files", ""], ["find", "mama"]])
@pytest.mark.parametrize("name", ["cp9999", "", "undefined", "hex", "rot13", "utf-16"])
def test_an_encoding_that_is_none_or_decodes_no_names_is_refused_in_one_line(home, command, name):
    done = home.run(*command, "--encoding", name, status=2)

    told = [line for line in done.err.splitlines() if "cp866" in line]
    assert len(told) == 1
    assert repr(name) in told[0]
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", ["idna", "punycode"])
def test_an_odd_encoding_in_which_a_name_is_not_loses_no_name(home, old_zip, name):
    home.run("add", "Old", old_zip, "--encoding", name, status=0)

    raw = os.fsdecode("Письма".encode("cp866"))
    assert raw in {row["path"] for row in listed(home, "Old")}
    home.run("files", "Old", "--encoding", name, status=0)


@pytest.mark.parametrize(
    ("pattern", "more", "wanted"),
    [
        ("мама", [], ["Письма/Мама.txt"]),
        ("письма/м", [], ["Письма/Мама.txt"]),
        ("Пис*", [], ["Письма"]),
        ("plain", [], ["plain.txt"]),
        ("*a*", [], ["plain.txt"]),
        ("мама", ["--digest", "99aa06d3014798d8"], ["Письма/Мама.txt"]),
        ("*.txt", ["--digest", "99aa06d3014798d8"], ["Письма/Мама.txt", "plain.txt"]),
    ],
)
def test_names_whose_encoding_was_guessed_wrong_are_found_in_the_right_one(home, old_zip, pattern, more, wanted):
    home.run("add", "Old", old_zip, "--encoding", "cp437", status=0)
    command = ["find", pattern, *more, "--json"]
    found = home.run(*command, "--encoding", "cp866", status=0).out.splitlines()

    assert [json.loads(line)["path"] for line in found] == wanted
    if not pattern.isascii():
        home.run(*command, status=1)
