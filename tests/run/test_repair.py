"""Repair on its own: a volume's folder is brought to what is recorded of it, whatever is wrong there."""

from __future__ import annotations

import io
import json
import zlib
from array import array

import deflate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backalaika.catalogue.results import RecordedArchive, RecordedVolume
from backalaika.catalogue.rows import COMPLETE, INCOMPLETE
from backalaika.formats.zip import (
    STORED,
    ZipMember,
    central_entries,
    central_entry,
    central_start,
    end_of_central_directory,
    local_header,
)
from backalaika.run.repair import our_files, remove_unfinished, repair_volume

MANIFEST = "MANIFEST.jsonl.gz"
# A locator that points beyond all files.
FAR = b"PK\x06\x07" + b"\xff" * 16 + b"PK\x05\x06" + bytes(18)


def stored_zip(names):
    """Members, where they start, and central directory of a zip."""
    body, starts, central = b"", [], []
    for name in names:
        member = ZipMember(name, 0o100644, 0, STORED, zlib.crc32(b"content"), 7, 7)
        starts.append(len(body))
        central.append(central_entry(member, len(body)))
        body += local_header(member) + b"content"
    return body, starts, central


class Volume:
    """A volume of one zip of four members, of which three are recorded."""

    def __init__(self, folder):
        self.folder = folder
        self.body, self.starts, self.central = stored_zip([b"a", b"b", b"c", b"d"])
        self.end = self.starts[3]
        self.pieces = [self.line(number) for number in range(4)]
        (folder / "x.001.zip.partial").write_bytes(self.body)
        (folder / "x.001.zip.directory.partial").write_bytes(b"".join(self.central))
        (folder / f"{MANIFEST}.partial").write_bytes(b"".join(self.pieces))

    def line(self, number):
        member = {"archive": "x.001.zip", "frame": self.starts[number], "path": "abcd"[number], "offset": 0}
        return deflate.gzip_compress(json.dumps(member).encode() + b"\n", 1)

    def complete(self):
        """As a writer does that was killed before it could say so."""
        directory = b"".join(self.central)
        end = end_of_central_directory(4, len(directory), len(self.body))
        (self.folder / "x.001.zip").write_bytes(self.body + directory + end)
        (self.folder / "x.001.zip.partial").unlink()
        (self.folder / "x.001.zip.directory.partial").unlink()

    def repair(self, state=INCOMPLETE, size=0):
        archive = RecordedArchive(1, "x.001.zip", "zip", 0, state, size, bytes(16), 3, self.end, 3)
        recorded = RecordedVolume(1, 1, "run/vol001", str(self.folder), 10**6, 0, INCOMPLETE, [archive])
        return repair_volume(recorded, lambda _: array("Q", self.starts[:3]))


@pytest.fixture
def volume(tmp_path):
    return Volume(tmp_path)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("times", [1, 2])
def test_an_archive_is_cut_back_to_what_is_recorded(volume, closed, times):
    if closed:
        volume.complete()

    for _ in range(times):
        kept = volume.repair()

    assert [(archive.central_size, archive.entries) for archive in kept.archives] == [
        (sum(map(len, volume.central[:3])), 3)
    ]
    assert kept.lost == kept.complete == []
    assert sorted(path.name for path in volume.folder.iterdir()) == [
        f"{MANIFEST}.partial",
        "x.001.zip.directory.partial",
        "x.001.zip.partial",
    ]
    assert (volume.folder / "x.001.zip.partial").read_bytes() == volume.body[: volume.end]
    assert (volume.folder / "x.001.zip.directory.partial").read_bytes() == b"".join(volume.central[:3])
    assert (volume.folder / f"{MANIFEST}.partial").read_bytes() == b"".join(volume.pieces[:3])
    assert kept.manifest_size == len(b"".join(volume.pieces[:3]))


@settings(deadline=None)  # each example writes and syncs some files
@given(
    data=st.data(), name=st.sampled_from(["x.001.zip.partial", "x.001.zip.directory.partial", f"{MANIFEST}.partial"])
)
def test_wherever_a_file_is_cut_the_archive_is_whole_or_given_up(tmp_path_factory, data, name):
    volume = Volume(tmp_path_factory.mktemp("volume"))
    content = (volume.folder / name).read_bytes()
    size = data.draw(st.integers(0, len(content)))
    (volume.folder / name).write_bytes(content[:size])
    needed = {
        "x.001.zip.partial": volume.end,
        "x.001.zip.directory.partial": len(b"".join(volume.central[:3])),
        f"{MANIFEST}.partial": len(b"".join(volume.pieces[:3])),
    }[name]

    kept = volume.repair()

    assert (len(kept.archives), len(kept.lost)) == ((1, 0) if size >= needed else (0, 1))
    if kept.lost:
        assert [path.name for path in volume.folder.iterdir()] == [f"{MANIFEST}.partial"]
        assert kept.manifest_size == 0


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_whatever_the_manifest_ends_with_is_cut_away(tmp_path_factory, rubbish):
    volume = Volume(tmp_path_factory.mktemp("volume"))
    for tail in (rubbish, deflate.gzip_compress(rubbish + b'\n[]\n{"frame": null}\n', 1)):
        (volume.folder / f"{MANIFEST}.partial").write_bytes(b"".join(volume.pieces[:3]) + tail)

        kept = volume.repair()

        assert len(kept.archives) == 1
        assert (volume.folder / f"{MANIFEST}.partial").read_bytes() == b"".join(volume.pieces[:3])


def test_an_archive_that_is_recorded_as_complete_is_kept_if_it_has_its_size(volume):
    volume.complete()
    size = (volume.folder / "x.001.zip").stat().st_size

    assert [archive.name for archive in volume.repair(COMPLETE, size).complete] == ["x.001.zip"]
    assert [archive.name for archive in volume.repair(COMPLETE, size + 1).lost] == ["x.001.zip"]
    assert not (volume.folder / "x.001.zip").exists()


@pytest.mark.parametrize(
    "end", [b"", b"PK\x05\x06" + b"\xff" * 18, b"PK\x06\x07" + b"\x00" * 16 + b"PK\x05\x06" + bytes(18), FAR]
)
def test_a_closed_zip_whose_end_is_broken_is_given_up(volume, end):
    volume.complete()
    (volume.folder / "x.001.zip").write_bytes(volume.body + end)

    assert len(volume.repair().lost) == 1


def test_only_files_called_as_ours_are_ours(tmp_path):
    ours = ["a.001.zip", "b.c.001.tar.gz.partial", "a.001.zip.directory.partial", f"{MANIFEST}.partial", "SUMS.xxh128"]
    ours += ["README.txt", f"{MANIFEST}.partial.new.partial", "a.001.zip.directory.partial.new.partial"]
    ours += ["a.001b.zip", "a.001zb.tar.xz.partial"]
    theirs = [
        "a.001a.zip",
        "a.001-2.zip",
        "a.zip",
        "a.002.zip",
        "a.001.rar",
        "download.partial",
        "a.001.zip.bak",
        "notes.txt",
        "xMANIFEST.jsonl.gz",
    ]
    for name in ours + theirs:
        (tmp_path / name).touch()
    (tmp_path / "folder.001.zip").mkdir()

    assert our_files(str(tmp_path), 1) == sorted(ours)
    stays = remove_unfinished(str(tmp_path), 1)

    left = sorted([*theirs, "folder.001.zip", "a.001.zip", "a.001b.zip", "SUMS.xxh128", "README.txt"])
    assert stays == [str(tmp_path / name) for name in left]
    assert remove_unfinished(str(tmp_path / "gone"), 1) == []


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.integers(0, 2**40)), max_size=20), st.binary(max_size=60)
)
def test_entries_come_back_with_their_offsets_also_beyond_4_gib(members, tail):
    entries = [
        (offset, central_entry(ZipMember(name, 0o100644, 0, STORED, 0, offset, 7), offset)) for name, offset in members
    ]
    file = io.BytesIO(b"".join(entry for _, entry in entries) + (b"" if tail.startswith(b"PK") else tail))

    assert list(central_entries(file)) == entries


@given(st.integers(0, 70_000), st.integers(0, 200))
def test_the_start_of_the_directory_is_found_by_its_end(entries, start):
    file = io.BytesIO(bytes(start) + end_of_central_directory(entries, 0, start))

    assert central_start(file) == start


@given(st.binary(max_size=120))
def test_what_is_no_end_of_a_zip_is_no_error(rubbish):
    for end in (b"", b"PK\x05\x06" + rubbish[:18].ljust(18, b"\xff")):
        start = central_start(io.BytesIO(rubbish + end))
        assert start is None or 0 <= start < len(rubbish + end)
