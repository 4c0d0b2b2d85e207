"""`backalaika add` of names as only attackers make them: what no catalogue would hold is left out, and told."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import zipfile

import pytest
from databases import DATABASES, new_database
from memory import peak_memory
from starting import PROGRAM

pytestmark = pytest.mark.timeout(200)

LONGEST = 65_535


@pytest.fixture(params=DATABASES)
def db_uri(request, tmp_path):
    with new_database(DATABASES[request.param], tmp_path) as made:
        yield made.uri


def write_tar(path, names, form=tarfile.GNU_FORMAT, content=b"", mode="w", links=()):
    with tarfile.open(path, mode, format=form) as out:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            out.addfile(member)


def deep(length):
    """A path in folders of 254 letters."""
    whole = ("d" * 254 + "/") * (length // 255 + 1)
    return whole[: length - 1].rstrip("/").ljust(length, "e")


def test_every_database_has_the_longest_paths_and_longer_ones_are_told_and_left_out(home, tmp_path, db_uri):
    root = tmp_path / "medium"
    root.mkdir()
    kept = ["n" * LONGEST, deep(LONGEST), "short"]
    left = ["l" * (LONGEST + 1), deep(LONGEST + 1), "huge" * 1_000_000]
    links = [("good", "t" * LONGEST), ("bad link", "t" * (LONGEST + 1))]
    write_tar(root / "gnu.tar", [*kept, *left], links=links)
    write_tar(root / "pax.tar", [*kept, *left], tarfile.PAX_FORMAT, links=links)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as out:
        out.writestr("in it", "content")
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        out.writestr(link, "t" * (LONGEST + 1))
    # Of the first, each letter has three bytes when it is read; the path of an archive in it, and of a trouble, is
    # longer than that of the member.
    with zipfile.ZipFile(root / "x.zip", "w") as out:
        out.writestr("z" * LONGEST, b"content")
        out.writestr("a" * (LONGEST - 10) + ".zip", inner.getvalue())
        out.writestr("inner.zip", inner.getvalue())
        out.writestr("b" * LONGEST, b"wrong")
    damaged = (root / "x.zip").read_bytes().replace(b"wrong", b"WRONG")
    (root / "x.zip").write_bytes(damaged.replace(b"z" * LONGEST, b"\xb1" * LONGEST))
    report = home.run("add", "Long", root, "--depth", "2", "--db", db_uri, "--json", status=1).json()
    found: dict[str | None, list[str]] = {}
    for line in home.run("files", "Long", "--db", db_uri, "--json", status=0).out.splitlines():
        row = json.loads(line)
        found.setdefault(row["archive"], []).append(row["path"])

    assert found["gnu.tar"] == found["pax.tar"] == [*kept, "good"]
    assert sorted(found[None]) == ["gnu.tar", "pax.tar", "x.zip"]
    assert found["x.zip!/inner.zip"] == ["in it"]
    told = [(os.path.basename(problem["path"])[:20], problem["message"]) for problem in report["errors"]]
    for tar in ("gnu.tar", "pax.tar"):
        assert len([message for path, message in told if path == tar and "left out" in message]) == 4, told
    assert max(len(os.fsencode(problem["path"])) for problem in report["errors"]) <= LONGEST
    home.run("remove", "Long", "--yes", "--db", db_uri, status=0)


@pytest.mark.parametrize(("number", "length"), [(3000, 60_000), (15, 16_000_000)])
def test_long_names_take_no_more_memory_than_short_ones(number, length, home, tmp_path):
    root = tmp_path / "medium"
    root.mkdir()
    names = [os.urandom(60).hex() + "x" * length for _ in range(number)]
    write_tar(root / "l.tar.gz", names, mode="w:gz")
    process = subprocess.Popen(
        [*PROGRAM, "add", "Long", str(root)], env=home.environment, cwd=home.root, stderr=subprocess.DEVNULL
    )
    peak = peak_memory(process)

    assert process.returncode == (0 if length < LONGEST else 1)
    assert peak < 300_000_000
