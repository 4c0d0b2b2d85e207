"""`backalaika add` of archives in archives, where others have the same path, or a process that reads is lost."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections import Counter

import pytest
from command_line import wait_for

pytestmark = pytest.mark.timeout(120)

# Reads of the beginning and the end of one file are slow.
SLOW = """
import os, time
pread = os.pread
def slow(descriptor, size, offset):
    if os.readlink(f"/proc/self/fd/{{descriptor}}") == {slow!r} and not 1_000_000 < offset < 4_000_000:
        time.sleep(0.1)
    return pread(descriptor, size, offset)
os.pread = slow
"""


def zipped(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in members:
            made.writestr(name, content)
    return out.getvalue()


def shimmed(home, folder, text):
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(text)
    return home.environment | {"PYTHONPATH": f"{folder}:{home.environment['PYTHONPATH']}"}


def rows(home, title):
    """How often there is which row; of rows that are there twice, and shall be, no more is known."""
    lines = home.run("files", title, "--json").out.splitlines()
    found = [json.loads(line) for line in lines]
    return Counter((row["archive"], row["path"], row["kind"], row["size"], row["digest"]) for row in found)


@pytest.fixture
def colliding(tmp_path):
    """``a.zip`` holds ``b.zip``, and so does the folder ``a.zip!`` beside it; each is large enough for a process."""

    def many(what):
        return zipped([(f"{what}{number}", bytes(150)) for number in range(6000)])

    root = tmp_path / "medium"
    (root / "a.zip!").mkdir(parents=True)
    (root / "a.zip!" / "b.zip").write_bytes(many("loose"))
    noise = os.urandom(3_000_000)
    members = [("first", noise[:1_000_000]), ("b.zip", many("nested")), ("last.zip", zipped([("last", noise)]))]
    (root / "a.zip").write_bytes(zipped(members))
    return root


def test_two_archives_of_one_path_are_both_entered(home, colliding):
    report = home.run("add", "Two", colliding, "--depth", "2", "--workers", "2", "--json", status=0).json()

    assert (report["archives"], report["members"], report["errors"]) == (4, 12_004, [])
    found = rows(home, "Two")
    assert set(found.values()) == {1}
    assert Counter(path.rstrip("0123456789") for archive, path, *_ in found if archive == "a.zip!/b.zip") == {
        "loose": 6000,
        "nested": 6000,
    }


def test_of_two_archives_of_one_path_none_is_there_twice_after_an_interruption(home, colliding, tmp_path):
    slow = shimmed(home, tmp_path / "shim", SLOW.format(slow=str(colliding / "a.zip")))
    process = home.start("add", "Two", colliding, "--depth", "2", "--workers", "2", env=slow)
    wait_for(lambda: ("a.zip!/b.zip", "nested0") in [key[:2] for key in rows(home, "Two")])
    process.send_signal(2)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert (None, "a.zip") not in [key[:2] for key in rows(home, "Two")]
    home.run("add", "Two", colliding, "--depth", "2", status=0)
    home.run("add", "Afresh", colliding, "--depth", "2", "--workers", "1", status=0)

    assert rows(home, "Two") == rows(home, "Afresh")
