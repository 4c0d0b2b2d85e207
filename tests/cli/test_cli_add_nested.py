"""`backalaika add` of archives in archives, where others have the same path, or a process that reads is lost."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
import zipfile
from collections import Counter

import pytest
from command_line import wait_for

pytestmark = pytest.mark.timeout(120)

# Who reads one file comes no further than its last member as long as another file is there.
HOLDS = """
import os, time
pread = os.pread
def held(descriptor, size, offset):
    if os.readlink(f"/proc/self/fd/{{descriptor}}") == {file!r} and 4_000_000 < offset < 5_000_000:
        while os.path.exists({hold!r}):
            time.sleep(0.05)
    return pread(descriptor, size, offset)
os.pread = held
"""
# Who reads one file beyond its first half is killed, once.
KILLS = """
import os, signal
read = os.read
def killing(descriptor, size):
    is_it = os.readlink(f"/proc/self/fd/{{descriptor}}") == {file!r}
    if is_it and os.lseek(descriptor, 0, os.SEEK_CUR) >= os.fstat(descriptor).st_size // 2:
        try:
            os.unlink({once!r})
        except FileNotFoundError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return read(descriptor, size)
os.read = killing
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
    hold = tmp_path / "hold"
    hold.touch()
    held = shimmed(home, tmp_path / "shim", HOLDS.format(file=str(colliding / "a.zip"), hold=str(hold)))
    process = home.start("add", "Two", colliding, "--depth", "2", "--workers", "2", env=held)
    wanted = {("a.zip!/b.zip", "nested0"), ("a.zip!/b.zip", "loose5999")}
    wait_for(lambda: wanted <= {key[:2] for key in rows(home, "Two")})
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert (None, "a.zip") not in [key[:2] for key in rows(home, "Two")]
    home.run("add", "Two", colliding, "--depth", "2", status=0)
    home.run("add", "Afresh", colliding, "--depth", "2", "--workers", "1", status=0)

    assert rows(home, "Two") == rows(home, "Afresh")


def tarred(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("workers", ["1", "3"])
def test_after_a_process_was_lost_no_archive_in_an_archive_is_there_twice(workers, home, tmp_path):
    root, once = tmp_path / "medium", tmp_path / "once"
    root.mkdir()
    inner = tarred([(f"n{number}", b"%d" % number) for number in range(3)])
    outer = tarred([("inner.tar", inner), ("in.zip", zipped([("z", b"z")])), ("big", os.urandom(900_000))])
    (root / "outer.tar").write_bytes(outer)
    (root / "a.txt").write_text("a")  # both are one task, and read again one by one
    once.touch()
    killing = shimmed(home, tmp_path / "shim", KILLS.format(file=str(root / "outer.tar"), once=str(once)))
    command = ["add", "Once", root, "--depth", "2", "--workers", workers, "--json"]
    report = home.run(*command, status=0, env=killing).json()

    assert not once.exists()
    assert (report["archives"], report["members"]) == (3, 7)
    found = rows(home, "Once")
    assert set(found.values()) == {1}
    assert sorted(f"{archive}: {path}" for archive, path, *_ in found) == [
        "None: a.txt",
        "None: outer.tar",
        "outer.tar!/in.zip: z",
        "outer.tar!/inner.tar: n0",
        "outer.tar!/inner.tar: n1",
        "outer.tar!/inner.tar: n2",
        "outer.tar: big",
        "outer.tar: in.zip",
        "outer.tar: inner.tar",
    ]
