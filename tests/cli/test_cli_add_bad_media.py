"""``add`` of media that cannot be read everywhere, and of hostile archives: it ends, and says what is lost."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from memory import peak_memory
from starting import PROGRAM

DATA = Path(__file__).resolve().parents[1] / "data"

# A drive that reads all of its sectors but those between two places of one file.
BAD_SECTORS = """
import os
NAME, FIRST, LAST = {name!r}, {first}, {last}
def is_bad(descriptor, start, size):
    if os.path.basename(os.readlink(f'/proc/self/fd/{{descriptor}}')) != NAME:
        return False
    start = os.lseek(descriptor, 0, os.SEEK_CUR) if start is None else start
    return start < LAST and start + size > FIRST
read, pread = os.read, os.pread
def bad_read(descriptor, size):
    if is_bad(descriptor, None, size):
        raise OSError(5, 'Input/output error')
    return read(descriptor, size)
def bad_pread(descriptor, size, offset):
    if is_bad(descriptor, offset, size):
        raise OSError(5, 'Input/output error')
    return pread(descriptor, size, offset)
os.read, os.pread = bad_read, bad_pread
"""


def listed(home, title):
    return [json.loads(line) for line in home.run("files", title, "--json", status=0).out.splitlines()]


@pytest.fixture
def bad_sectors(home, tmp_path):
    """The environment of a program that cannot read a part of a file."""

    def make(name, first=0, last=1 << 60):
        folder = tmp_path / "shim"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(BAD_SECTORS.format(name=name, first=first, last=last))
        return home.environment | {"PYTHONPATH": f"{folder}:{home.environment['PYTHONPATH']}"}

    return make


@pytest.fixture
def disc(tmp_path):
    """A loose file, a zip and a tar of three noisy members each, 1 MiB apart."""
    root = tmp_path / "disc"
    root.mkdir()
    (root / "loose.bin").write_bytes(os.urandom(1 << 20))
    (root / "other.bin").write_bytes(os.urandom(1 << 20))
    contents = {name: os.urandom(1 << 20) for name in ("a", "b", "c")}
    with zipfile.ZipFile(root / "x.zip", "w") as out:
        for name, content in contents.items():
            out.writestr(name, content)
    with tarfile.open(root / "x.tar", "w") as out:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return root


def without_digest(home, title):
    return sorted((row["archive"] or "", row["path"]) for row in listed(home, title) if row["digest"] is None)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_sector_that_cannot_be_read_costs_one_file(home, disc, bad_sectors, workers):
    environment = bad_sectors("loose.bin", 500_000, 500_512)
    done = home.run("add", "Disc", disc, "--json", "--workers", workers, status=1, env=environment).json()

    assert done["errors"] == [{"path": f"{disc}/loose.bin", "message": "cannot be read: Input/output error"}]
    assert without_digest(home, "Disc") == [("", "loose.bin")]
    assert done["state"] == "complete"


def test_a_sector_that_cannot_be_read_costs_the_member_of_a_zip_that_lies_on_it(home, disc, bad_sectors):
    environment = bad_sectors("x.zip", 1_500_000, 1_500_512)
    done = home.run("add", "Disc", disc, "--json", status=1, env=environment).json()

    assert [error["path"] for error in done["errors"]] == [f"{disc}/x.zip!/b"]
    assert without_digest(home, "Disc") == [("", "x.zip"), ("x.zip", "b")]


def test_a_sector_that_cannot_be_read_ends_a_tar_with_what_was_before_it(home, disc, bad_sectors):
    environment = bad_sectors("x.tar", 1_500_000, 1_500_512)
    done = home.run("add", "Disc", disc, "--json", status=1, env=environment).json()

    assert done["errors"] == [{"path": f"{disc}/x.tar", "message": "cannot be read any further: Input/output error"}]
    assert without_digest(home, "Disc") == [("", "x.tar"), ("x.tar", "b")]
    assert ("x.tar", "a") in {(row["archive"], row["path"]) for row in listed(home, "Disc")}


def test_a_sector_that_cannot_be_read_costs_one_file_of_an_image(home, disc, bad_sectors, tmp_path):
    image = tmp_path / "disc.iso"
    subprocess.run(["genisoimage", "-quiet", "-R", "-o", image, disc], check=True)
    place = image.read_bytes().index((disc / "loose.bin").read_bytes())
    environment = bad_sectors("disc.iso", place + 500_000, place + 500_512)
    done = home.run("add", "Disc", image, "--json", status=1, env=environment).json()

    assert done["errors"] == [{"path": f"{image}/loose.bin", "message": "cannot be read: Input/output error"}]
    assert without_digest(home, "Disc") == [("", "loose.bin")]


def test_the_limits_against_bombs_can_be_configured(home, tmp_path):
    root = tmp_path / "disc"
    root.mkdir()
    with zipfile.ZipFile(root / "many.zip", "w") as out:
        for number in range(200):
            out.writestr(str(number), "")
    subprocess.run(f"head -c 400000000 /dev/zero | gzip -1 > {root}/zeros.gz", shell=True, check=True)
    home.run("add", "Free", root, status=0)

    (home.root / ".backalaika").write_text("config = dict(max_ratio=10, max_members=100)\n")
    (home.root / ".backalaika").chmod(0o600)
    messages = {
        Path(error["path"]).name: error["message"]
        for error in home.run("add", "Limits", root, "--json", status=1).json()["errors"]
    }
    assert set(messages) == {"many.zip", "zeros.gz"}
    assert "max_members" in messages["many.zip"]
    assert "max_ratio" in messages["zeros.gz"]
    assert sum(row["archive"] == "many.zip" for row in listed(home, "Limits")) == 100


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="no file system is mounted there")
def test_what_is_mounted_below_the_path_is_left_out_and_told(home):
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="backalaika-test-") as there:
        done = home.run("add", "Dev", "/dev", "--no-hash", "--json")  # 1: it has devices
        paths = {row["path"] for row in listed(home, "Dev")}

    assert done.status in (0, 1)
    message = "is another file system and was not catalogued; add it by itself"
    assert {"path": "/dev/shm", "message": message} in done.json()["notes"]
    assert "shm" in paths
    assert f"shm/{os.path.basename(there.name)}" not in paths


def nested(depth):
    """A zip in a zip, and so on."""
    content = b"the innermost"
    for number in range(depth):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr(f"{number}.zip", content)
            packed.writestr("zeros", bytes(3_000_000))
        content = out.getvalue()
    return content


@pytest.mark.slow
@pytest.mark.timeout(250)
def test_a_pile_of_broken_and_hostile_archives_ends_in_bounded_memory(home, tmp_path):
    root = tmp_path / "pile"
    shutil.copytree(DATA, root / "samples")
    for path in list((root / "samples").iterdir()):
        content = path.read_bytes()
        for part in (3, 7):
            (root / f"cut-{part}-{path.name}").write_bytes(content[: len(content) * part // 10])
    (root / "nested.zip").write_bytes(nested(40))
    for name, packer in {"gz": "gzip -9", "bz2": "bzip2", "xz": "xz -T1", "zst": "zstd -q"}.items():
        subprocess.run(f"head -c 400000000 /dev/zero | {packer} > {root}/bomb.{name}", shell=True, check=True)
    process = subprocess.Popen(
        [*PROGRAM, "add", "Pile", str(root), "--depth", "5", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=home.environment,
        cwd=home.root,
    )
    peak = peak_memory(process)
    report = json.loads(process.communicate()[0])

    assert process.returncode == 1
    assert peak < 500_000_000
    assert report["state"] == "complete"
    assert report["files"] == sum(len(files) for _, _, files in os.walk(root))
    told = {error["path"].removeprefix(f"{root}/").partition("!/")[0] for error in report["errors"]}
    assert {"bomb.gz", "bomb.bz2", "bomb.xz", "bomb.zst"} <= told
    assert {
        name for name in os.listdir(root) if name.startswith("cut-") and name.endswith((".zip", ".gz", ".tar"))
    } <= told


def test_each_archive_of_a_kind_that_is_not_entered_is_named(home, tmp_path):
    disc = tmp_path / "disc"
    disc.mkdir()
    for number in range(30):
        (disc / f"{number:02}.bin").write_bytes(b"Rar!\x1a\x07" + bytes(50))
    (disc / "damaged.cab").write_bytes(bytes(50))
    done = home.run("add", "Disc", disc, "--json", status=0)
    report = done.json()
    wanted = [{"path": str(disc / f"{number:02}.bin"), "kind": "rar"} for number in range(30)]

    assert sorted(report["not_entered"], key=lambda archive: archive["path"]) == [
        *wanted, {"path": str(disc / "damaged.cab"), "kind": "cab"},
    ]  # fmt: skip
    assert report["errors"] == []
    assert "archives of kinds that are not entered, but listed as files: cab (1), rar (30)" in done.err
    named = [line for line in done.err.splitlines() if line.startswith("  not entered: ")]
    assert len(named) == 20
    assert f"  not entered: {disc}/00.bin: rar" in named
    assert "  and 11 more, which --json lists" in done.err
