"""Volumes made by an enemy: whatever their names and links say, nothing is written outside the target."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import zipfile
import zlib

import pytest
import xxhash
import zstandard
from restores import errors_of, restore
from trees_compared import look

pytestmark = pytest.mark.timeout(120)


class HostileVolume:
    """A volume with one tar.gz, whose members and manifest say whatever they are told."""

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir()
        self._tar, self._lines = io.BytesIO(), []

    def add(self, name, kind="file", content=b"evil", target=None, **more):
        """A member with its own line of the manifest; ``more`` is what else that says."""
        info = tarfile.TarInfo(name)
        info.type = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE,
                     "hardlink": tarfile.LNKTYPE}[kind]  # fmt: skip
        info.size = len(content) if kind == "file" else 0
        info.linkname = target or ""
        info.mode = 0o777
        offset = self._tar.tell()
        self._tar.write(info.tobuf(tarfile.PAX_FORMAT))
        if kind == "file":
            self._tar.write(content + bytes(-len(content) % 512))
        digest = xxhash.xxh3_128_hexdigest(content) if kind == "file" else None
        line = {"archive": "evil.001.tar.gz", "frame": 0, "path": name, "kind": kind, "size": info.size,
                "mtime_ns": 10**18, "digest": digest, "offset": offset}  # fmt: skip
        self._lines.append(line | ({"target": target} if target else {}) | more)
        return self

    def write(self):
        files = {
            "evil.001.tar.gz": gzip.compress(self._tar.getvalue() + bytes(1024)),
            "MANIFEST.jsonl.gz": gzip.compress("".join(json.dumps(line) + "\n" for line in self._lines).encode()),
            "README.txt": b"Backup of the job 'evil', volume 1\nRun: 2026-11-22_0915-evil\n",
        }
        sums = ""
        for name, data in files.items():
            (self.folder / name).write_bytes(data)
            sums += f"{xxhash.xxh3_128_hexdigest(data)}  {name}\n"
        (self.folder / "SUMS.xxh128").write_text(sums)
        return self.folder


@pytest.fixture
def volume(office):
    return HostileVolume(office.root / "volume")


@pytest.fixture
def outside(office):
    """What may not be touched, and where restores go."""
    (office.root / "precious").mkdir()
    (office.root / "precious" / "file").write_bytes(b"mine")
    (office.root / "target").mkdir()
    return office.root / "precious"


def restored(office, volume, outside, *arguments, status=1):
    """Restore the volume below ``target``, and see that nothing else has changed; the report."""

    def all_else():
        return {path: thing for path, thing in look(office.root).items() if not path.startswith(b"target/") and path}

    folder = volume.write()
    before = all_else()
    report = restore(office, "--from", folder, *arguments, to=office.root / "target", status=status)
    after = all_else()
    after[b"target"] = before[b"target"]  # its time
    assert after == before
    return report


@pytest.mark.parametrize("overwrite", ["never", "always"])
def test_names_that_lead_out(office, volume, outside, overwrite):
    paths = ["../precious/file", "a/../../precious/file", "/etc/backalaika-was-here", "//etc/backalaika", ".."]
    paths += ["a//b", "./x", ""]
    for path in paths:
        volume.add(path)
    volume.add("good/file", content=b"good")

    report = restored(office, volume, outside, "--overwrite", overwrite)

    assert {path for path, message in errors_of(report).items() if "would lead out" in message} == set(paths)
    assert (office.root / "target/good/file").read_bytes() == b"good"


def test_a_name_with_a_nul_byte(office, volume, outside):
    volume.add("good", content=b"good").add("x", path="bad\0name")

    report = restored(office, volume, outside)

    assert len(report["errors"]) == 1


@pytest.mark.parametrize(
    ("link", "workers", "overwrite"), [("absolute", 0, "always"), ("relative", 2, "never"), ("absolute", 2, "older")]
)
def test_a_link_and_then_a_member_through_it(office, volume, outside, link, workers, overwrite):
    target = str(outside) if link == "absolute" else "../precious"
    volume.add("way", "symlink", target=target).add("way/file").add("way/new").add("way/deeper/new")
    volume.add("way", "dir").add("last", content=b"good")

    report = restored(office, volume, outside, "--workers", str(workers), "--overwrite", overwrite)

    assert (office.root / "target/last").read_bytes() == b"good"
    assert (outside / "file").read_bytes() == b"mine"
    assert report["exit_status"] == 1


def test_a_link_to_a_file_and_then_the_file_under_its_name(office, volume, outside):
    volume.add("x", "symlink", target=str(outside / "file")).add("./x").add("x", content=b"evil twin")

    restored(office, volume, outside, "--overwrite", "always")

    assert (outside / "file").read_bytes() == b"mine"


def test_hard_links_to_what_is_outside(office, volume, outside):
    inode = os.stat(outside / "file").st_ino
    volume.add("a", "hardlink", target=str(outside / "file")).add("b", "hardlink", target="../precious/file")
    volume.add("way", "symlink", target=str(outside)).add("c", "hardlink", target="way/file")
    # A line of the manifest for what is not in the archive, so that there is something to link to.
    volume.add("innocent", path="way/file").add("d", "hardlink", target="way/file")

    report = restored(office, volume, outside)

    assert len(report["errors"]) >= 4
    for folder, _, names in os.walk(office.root / "target"):
        assert all(os.lstat(os.path.join(folder, name)).st_ino != inode for name in names)


def test_links_that_were_in_the_target_before_are_not_followed(office, volume, outside):
    os.symlink(outside, office.root / "target" / "office")
    volume.add("office", "dir").add("office/file").add("office/new").add("ok", content=b"good")

    report = restored(office, volume, outside, "--overwrite", "always")

    assert set(errors_of(report)) >= {"office/file", "office/new"}
    assert os.readlink(office.root / "target" / "office") == str(outside)


def test_an_archive_that_is_not_on_the_volume_is_not_opened(office, volume, outside):
    names = ["../secret.tar.gz", "/etc/passwd", "MANIFEST.jsonl.gz/../../secret.tar.gz"]
    volume.add("good", content=b"good")
    for number, name in enumerate(names):
        volume.add(f"x{number}", archive=name)

    report = restored(office, volume, outside)

    assert [message.split(" (")[0] for message in errors_of(report).values()] == [
        "has a name that leads out of its volume"
    ] * 3


def test_lines_of_a_manifest_that_lie_cost_their_members(office, volume, outside):
    lies = [{"size": 10**12}, {"offset": 10**15}, {"frame": 10**15}, {"digest": "00" * 16}, {"path": "other"}]
    whole = {"path": "whole", "part": 1, "offset": 2**62, "parts": 1, "size": 4, "digest": "00" * 16}
    volume.add("good", content=b"good")
    for number, lie in enumerate([*lies, {"whole": whole}]):
        volume.add(f"bad{number}", **lie)

    report = restored(office, volume, outside)

    assert set(errors_of(report)) == {"bad0", "bad1", "bad2", "bad3", "other", "whole"}
    assert os.listdir(office.root / "target") == ["good"]


@pytest.mark.parametrize(
    "lie",
    [{"size": -1}, {"frame": -1}, {"digest": "zz"}, {"mtime_ns": 1.5}, {"path": 7}, {"whole": 5}, {"path": "\ud800"}],
)
def test_what_is_no_line_of_a_manifest_is_told(office, volume, outside, lie):
    volume.add("good", content=b"good").add("bad", **lie)

    report = restored(office, volume, outside)

    assert [message for message in errors_of(report).values() if "one of its lines is not what" in message]
    # What the line was to tell, the archive does.
    assert sorted(os.listdir(office.root / "target")) == ["bad", "good"]


def test_where_the_archive_tells_what_the_manifest_does_not_its_names_and_links_lead_nowhere_either(
    office, volume, outside
):
    lost = {"size": -1}
    volume.add("../precious/file", **lost).add(str(outside / "file"), **lost).add("..", **lost)
    volume.add("link", "symlink", target="../precious", **lost).add("link/file", **lost).add("link/new", **lost)
    volume.add("hard", "hardlink", target="../precious/file", **lost).add("good", content=b"good")

    restored(office, volume, outside)

    assert (office.root / "target" / "good").read_bytes() == b"good"


def test_members_of_a_zip_that_share_their_bytes_are_left_out_where_the_manifest_is_lost(office, volume, outside):
    """As in a bomb, in which each of many members has the same gigabytes."""
    inner, made = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("in its midst", b"twice" * 1000)
    quoted = inner.getvalue()[: inner.getvalue().find(b"PK\x01\x02")]
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("outer", quoted)
        info = archive.infolist()[0]
        twin = zipfile.ZipInfo("in its midst")
        twin.CRC, twin.file_size, twin.compress_size = zlib.crc32(b"twice" * 1000), 5000, 5000
        twin.header_offset = info.header_offset + 30 + len("outer")
        archive.writestr("last", b"good")
        archive.filelist.insert(1, twin)
    volume.add("x").write()
    os.unlink(volume.folder / "evil.001.tar.gz")
    (volume.folder / "evil.001.zip").write_bytes(made.getvalue())
    (volume.folder / "MANIFEST.jsonl.gz").write_bytes(b"no longer gzip")

    report = restore(office, "--from", volume.folder, to=office.root / "target", status=1)

    assert sorted(os.listdir(office.root / "target")) == ["last", "outer"]
    assert sum("shares its bytes" in error["message"] for error in report["errors"]) == 2


def test_an_archive_whose_frames_are_not_as_ours_costs_itself_where_the_manifest_is_lost(office, volume, outside):
    volume.add("good", content=b"good").write()
    tar = gzip.decompress((volume.folder / "evil.001.tar.gz").read_bytes())
    pack = zstandard.ZstdCompressor().compressobj()  # which does not know the size
    (volume.folder / "evil.002.tar.zst").write_bytes(pack.compress(tar.replace(b"good", b"evil")) + pack.flush())
    (volume.folder / "MANIFEST.jsonl.gz").write_bytes(b"no longer gzip")

    report = restore(office, "--from", volume.folder, to=office.root / "target", status=1)

    assert os.listdir(office.root / "target") == ["good"]
    assert "not one of ours" in errors_of(report)[str(volume.folder / "evil.002.tar.zst")]
