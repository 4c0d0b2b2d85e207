"""No volume is ever larger than its capacity: the placer's orders, weighed by a writer that only counts.

`Scales` takes the orders that the writer's process would take, and keeps of each archive what lies where. In the last
tests the real writer carries out the same orders, and the ordinary tools read what it wrote.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import random
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scales import Scales

from backalaika import manifest
from backalaika.batch import Batch, Large
from backalaika.codecs import CODECS
from backalaika.formats import archive_format
from backalaika.formats import tar as tar_format
from backalaika.formats import zip as zip_format
from backalaika.formats.zip import DEFLATED, STORED, ZipMember, end_of_central_directory
from backalaika.media import SECTOR
from backalaika.media import Medium as Kind
from backalaika.planner import Media, TooLarge
from backalaika.run import rows, writer
from backalaika.run.framing import manifest_line, member_row, tar_header
from backalaika.run.messages import BatchDone, ChunkDone
from backalaika.run.placing import Placer
from backalaika.run.sizes import ArchivePlan, OpenArchive, closed_archive_size
from backalaika.run.units import LargeUnit
from backalaika.run.writer import Answer, VolumeSafe, Writer
from backalaika.walk import FILE, Entry

# More than README.txt, the sums and the ends of archives take together, for one frame on a volume.
OVERHEAD = 6000


def _readme(number: int, archives: list[tuple[str, str]], recovery: bool) -> str:
    return manifest.readme_text(
        "büro", "2026-11-22_0915-büro", "before the move", number, archives, "xxh3-128", recovery
    )


def _entry(name: str, size: int, key: tuple[int, int] | None = None) -> Entry:
    return Entry(name, FILE, 0o100644, size, 1_700_000_000_123_456_789, 5, 7, 0, 0, key, "")


def _digest(name: str) -> bytes:
    return hashlib.sha256(os.fsencode(name)).digest()


# What is placed


@dataclass(frozen=True)
class _SmallFiles:
    length: int
    names: list[str]


@dataclass(frozen=True)
class _LargeFile:
    name: str
    chunks: list[int]
    ending: Literal["whole", "dropped"]
    zip64: bool


@dataclass(frozen=True)
class _Archive:
    option: str
    stem: str
    content: list[_SmallFiles | _LargeFile]


NAMES = st.one_of(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.sampled_from(["n" * 255, "\udcff" * 255, "a.txt"]),
)
STEMS = st.sampled_from(["office", "büro", "s" * 150, "😀" * 37])
LENGTHS = st.one_of(st.integers(1, 400), st.integers(1, 6000))
ARCHIVES = st.lists(
    st.builds(
        _Archive,
        st.sampled_from(["zip", "gz", "bz2"]),
        STEMS,
        st.lists(
            st.one_of(
                st.builds(_SmallFiles, LENGTHS, st.lists(NAMES, min_size=1, max_size=4)),
                st.builds(
                    _LargeFile,
                    NAMES,
                    st.lists(LENGTHS, min_size=1, max_size=6),
                    st.sampled_from(["whole", "whole", "dropped"]),
                    st.booleans(),
                ),
            ),
            max_size=8,
        ),
    ),
    min_size=1,
    max_size=5,
)
MEDIA = st.builds(
    Media,
    st.lists(st.integers(1500, 20_000), max_size=4).map(tuple),
    st.one_of(st.integers(1500, 9000), st.integers(3000, 30_000)),
)


def _done(
    length: int, members: list[tuple[Any, ...]], links: list[tuple[tuple[int, int], str]], lines: bytes, central: bytes
) -> BatchDone:
    """What a worker tells of a frame with these members, all of them files in one folder."""
    number, content = len(members), sum(member[2] for member in members)
    return BatchDone(length, length, number, number, content, 0, marshal.dumps([members]), links, lines, central, [])


class _Run:
    """Places archives as the run does, and keeps what became of each frame.

    ``placed`` are the slots of each batch or large file that was placed, ``refused`` the bytes of those that were not.
    """

    def __init__(
        self,
        orders: Any,
        media: Media,
        folder: str,
        kinds: Mapping[int, Kind] = MappingProxyType({}),
        redundancy: int = 0,
    ) -> None:
        self.unused: list[int] = []
        self.placer = Placer(orders, media, folder, _readme, self.unused.extend, kinds=kinds, redundancy=redundancy)
        self.placed: list[list[int]] = []
        self.refused: list[int] = []
        self._slots = 0

    def add(self, number: int, archive: _Archive) -> None:
        plan = ArchivePlan(number, f"{archive.stem}{number}", archive_format(archive.option, None, 1 << 30))
        for content in archive.content:
            if isinstance(content, _SmallFiles):
                self._add_small(plan, content)
            else:
                self._add_large(plan, content)
        self.placer.end_archive(plan)

    def _next_slot(self) -> int:
        self._slots += 1
        return self._slots

    def _add_small(self, plan: ArchivePlan, content: _SmallFiles) -> None:
        batch = Batch()
        members, lines, links, central = [], [], [], []
        for i, name in enumerate(content.names):
            entry = _entry(name, 1, key=(0, i))
            batch.add("/srv/office", "office", entry, 1)
            members.append(tuple(member_row(entry, _digest(name)[:16])))
            lines.append(manifest_line(f"office/{name}", FILE, 1, entry.mtime_ns, _digest(name)[:16], i))
            links.append(((0, i), f"office/{name}"))
            if plan.archive_format.is_zip:
                member = ZipMember(os.fsencode(f"office/{name}"), entry.mode, entry.mtime_ns, STORED, 0, 1, 1)
                central.append(zip_format.central_entry(member, i))
        done = _done(content.length, members, links, "".join(lines).encode(), b"".join(central))
        self.place(plan, batch, done, self._next_slot())

    def place(self, plan: ArchivePlan, batch: Batch, done: BatchDone, slot: int) -> None:
        fit = self.placer.find(plan, done)
        if isinstance(fit, TooLarge):
            self.refused.append(done.length)
            return
        self.placer.add_batch(fit, slot, batch, done)
        self.placed.append([slot])

    def _add_large(self, plan: ArchivePlan, content: _LargeFile) -> None:
        entry = _entry(content.name, sum(content.chunks))
        header = None
        if plan.archive_format.is_zip:
            name = os.fsencode(f"office/{content.name}")
            header = ZipMember(name, entry.mode, entry.mtime_ns, DEFLATED, 0, 0, 0, content.zip64)
        unit = LargeUnit(plan, Large("/srv/office", "office", entry), header)
        slots = []
        for length in content.chunks:
            slots.append(self._next_slot())
            if self.placer.add_chunk(unit, slots[-1], ChunkDone(0, length, length, length)):
                self.refused.append(sum(content.chunks))
                self.placer.drop_large(unit)
                return
        if content.ending == "dropped":
            assert self.placer.drop_large(unit) == sum(content.chunks)
            return
        # A digest of 32 bytes: BLAKE3's, which no compression makes shorter.
        self.placer.end_large(unit, entry, _digest(content.name), 1)
        self.placed.append(slots)


def _placed(archives: list[_Archive], media: Media, *kinds: Kind, redundancy: int = 0) -> tuple[_Run, Scales]:
    scales = Scales()
    run = _Run(scales, media, "/backups/run", {kind.capacity: kind for kind in kinds}, redundancy)
    for number, archive in enumerate(archives):
        run.add(number, archive)
    run.placer.end_run()
    return run, scales


ONE_LARGE = [_Archive("zip", "office", [_SmallFiles(100, ["a"]), _LargeFile("b", [2000] * 4, "whole", True)])]


@settings(deadline=None, max_examples=300)
@given(ARCHIVES, MEDIA)
@example(ONE_LARGE, Media((3000, 4000, 5000), 20_000))
def test_no_volume_is_larger_than_its_capacity_and_each_is_as_large_as_was_said(
    archives: list[_Archive], media: Media
) -> None:
    run, scales = _placed(archives, media)

    assert set(scales.closed) == set(run.placer.closed) == set(scales.files)
    for number, volume in run.placer.closed.items():
        assert scales.closed[number] == volume.size <= volume.capacity
        assert set(volume.archives) == set(scales.files[number]) - {manifest.MANIFEST, manifest.README}
        assert volume.archives


@settings(deadline=None)
@given(ARCHIVES, MEDIA)
def test_every_frame_is_placed_once_and_a_large_file_lies_whole_and_in_order_in_one_archive(
    archives: list[_Archive], media: Media
) -> None:
    run, scales = _placed(archives, media)
    found = [[slot for slot, _ in pile.pieces if slot >= 0] for pile in scales.piles.values()]

    assert sorted(chain.from_iterable(found)) == sorted(chain.from_iterable(run.placed))
    for pile in found:
        assert pile == sorted(pile)
    for slots in run.placed:
        assert any(set(slots) <= set(pile) for pile in found)


@settings(deadline=None)
@given(ARCHIVES, MEDIA)
def test_what_is_refused_is_too_large_for_an_empty_medium(archives: list[_Archive], media: Media) -> None:
    run, _ = _placed(archives, media)

    assert all(length + OVERHEAD > media.max_size for length in run.refused)


@settings(deadline=None)
@given(ARCHIVES, MEDIA)
def test_every_medium_is_used_once_or_reported_as_unused(archives: list[_Archive], media: Media) -> None:
    run, _ = _placed(archives, media)
    used = [volume.capacity for volume in run.placer.closed.values()]

    others = len(used) + len(run.unused) - len(media.sizes)
    assert sorted(used + run.unused) == sorted([*media.sizes, *[media.max_size] * others])


@settings(deadline=None)
@given(ARCHIVES, MEDIA)
def test_frames_in_the_catalogue_lie_one_after_another_and_fill_their_archive(
    archives: list[_Archive], media: Media
) -> None:
    _, scales = _placed(archives, media)
    recorded = [record for record in scales.held if isinstance(record, rows.Rows)]
    frames: dict[int, list[rows.Frame]] = {number: [] for number in scales.piles}
    for record in recorded:
        for frame in record.frames:
            frames[frame.archive].append(frame)

    for archive, pile in scales.piles.items():
        assert [frame.number for frame in frames[archive]] == list(range(len(frames[archive])))
        ends = [frame.offset + frame.size for frame in frames[archive]]
        assert [frame.offset for frame in frames[archive]] == [0, *ends[:-1]]
        assert ends[-1] == pile.size
    for record in recorded:
        for member in record.members:
            assert scales.piles[member.archive].volume == member.volume
            assert member.frame < len(frames[member.archive])


@settings(deadline=None)
@given(ARCHIVES, MEDIA)
def test_volumes_and_archives_are_known_before_their_rows_with_their_last_capacity(
    archives: list[_Archive], media: Media
) -> None:
    run, scales = _placed(archives, media)
    volumes: dict[int, int] = {}
    known: set[int] = set()
    for record in scales.held:
        match record:
            case rows.NewVolume(volume, _, _, capacity):
                volumes[volume] = capacity
            case rows.NewArchive(archive, volume):
                assert volume in volumes
                known.add(archive)
            case rows.Rows(frames, members):
                assert {frame.archive for frame in frames} | {member.archive for member in members} <= known

    assert volumes == {number: volume.capacity for number, volume in run.placer.closed.items()}
    assert known == set(scales.piles)


DISCS = st.lists(
    st.builds(
        Kind, st.integers(431, 450).map(lambda n: n * SECTOR), st.just("disc"), st.integers(700, 9000), st.just(SECTOR)
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda disc: disc.capacity,
)


@settings(deadline=None)
@given(ARCHIVES, DISCS)
def test_a_disc_holds_its_volume_and_every_file_of_it_to_the_sector(
    archives: list[_Archive], discs: list[Kind]
) -> None:
    media = Media(tuple(disc.capacity for disc in discs[1:]), discs[0].capacity)
    run, scales = _placed(archives, media, *discs)
    kinds = {disc.capacity: disc for disc in discs}
    found = [slot for pile in scales.piles.values() for slot, _ in pile.pieces if slot >= 0]

    for number, volume in run.placer.closed.items():
        files = [*scales.files[number].items(), (manifest.SUMS, volume.size - sum(scales.files[number].values()))]
        disc = kinds[volume.capacity]
        assert disc.used(files) == volume.used <= disc.capacity
        assert all(scales.files[number][name] <= (disc.largest_file or 0) for name in volume.archives)
        assert scales.closed[number] == volume.size
    assert sorted(found) == sorted(chain.from_iterable(run.placed))


@settings(deadline=None, max_examples=300)
@given(
    ARCHIVES,
    st.lists(st.integers(9000, 40_000), min_size=1, max_size=3, unique=True),
    st.one_of(st.none(), DISCS),
    st.integers(1, 100),
)
def test_recovery_files_have_room_on_every_volume(
    archives: list[_Archive], sizes: list[int], discs: list[Kind] | None, percent: int
) -> None:
    kinds = discs or [Kind(size) for size in sizes]
    media = Media(tuple(kind.capacity for kind in kinds[1:]), kinds[0].capacity)
    run, scales = _placed(archives, media, *kinds, redundancy=percent)
    found = [slot for pile in scales.piles.values() for slot, _ in pile.pieces if slot >= 0]

    for number, volume in run.placer.closed.items():
        kind = next(kind for kind in kinds if kind.capacity == volume.capacity)
        files = [*scales.files[number].items(), (manifest.SUMS, volume.size - sum(scales.files[number].values()))]
        assert volume.recovery is not None
        layout = volume.recovery.layout
        recovery = layout.used(kind, layout.of_files(files))
        names = kind.overhead([*(name for name, _ in files), *layout.names()])
        plain = sum(kind.round_up(size) for _, size in files)
        assert plain + names + recovery == volume.used <= volume.capacity
        assert scales.closed[number] == volume.size
    assert sorted(found) == sorted(chain.from_iterable(run.placed))


def test_a_volume_is_filled_with_its_recovery_files_to_the_last_byte() -> None:
    archives = [_Archive("gz", "a", [_SmallFiles(5000, ["a"]), _SmallFiles(5000, ["b"])])]
    (whole,) = _placed(archives, Media((), 60_000), redundancy=10)[1].files.values()
    for capacity in range(12_000, 30_000, 97):
        kind = Kind(capacity)
        run, _ = _placed(archives, Media((), capacity), redundancy=10)
        first = run.placer.closed[1]
        files = [*whole.items(), (manifest.SUMS, sum(manifest.sums_line_size(name) for name in whole))]
        assert first.recovery is not None
        layout = first.recovery.layout
        need = sum(size for _, size in files) + layout.used(kind, layout.of_files(files))

        assert (len(run.placer.closed) == 1) is (need <= capacity)


def test_an_archive_as_large_as_a_file_may_be_goes_on_in_another_on_the_same_volume() -> None:
    disc = Kind(600 * SECTOR, "disc", 2500, SECTOR)
    small = [_SmallFiles(900, [f"{i}"]) for i in range(5)]
    run, scales = _placed(
        [_Archive("zip", "office", [*small, _LargeFile("b", [500] * 3, "whole", False)])],
        Media((), disc.capacity),
        disc,
    )

    (volume,) = run.placer.closed.values()
    assert volume.archives == ("office0.001.zip", "office0.001b.zip", "office0.001c.zip", "office0.001d.zip")
    assert max(scales.files[1].values()) <= 2500


def test_a_large_file_moves_to_the_next_volume_and_what_stood_before_it_stays() -> None:
    run, scales = _placed(ONE_LARGE, Media((4000,), 20_000))

    assert [[slot for slot, _ in pile.pieces] for pile in scales.piles.values()] == [[1], [-1, 2, 3, 4, 5]]
    assert [pile.volume for pile in scales.piles.values()] == [1, 2]
    assert run.unused == []


def test_a_large_file_alone_on_a_volume_that_is_too_small_takes_the_next_medium_and_no_empty_volume_is_left() -> None:
    archives = [_Archive("gz", "office", [_LargeFile("b", [2000] * 4, "whole", False)])]
    run, scales = _placed(archives, Media((4000, 5000), 20_000))

    assert list(scales.closed) == [1]
    assert run.placer.closed[1].capacity == 20_000
    assert run.unused == [4000, 5000]


def test_a_large_file_that_fits_nowhere_is_refused_and_what_comes_after_it_is_placed() -> None:
    archives = [
        _Archive("gz", "a", [_LargeFile("b", [2000] * 40, "whole", False), _SmallFiles(500, ["c"])]),
        _Archive("zip", "d", [_LargeFile("e", [2000] * 40, "whole", False)]),
    ]
    run, scales = _placed(archives, Media((), 20_000))

    assert len(run.refused) == 2
    assert [name for name in scales.files[1] if name.endswith(("gz", "zip"))] == ["MANIFEST.jsonl.gz", "a0.001.tar.gz"]


def test_a_run_that_places_nothing_leaves_no_volume() -> None:
    run, scales = _placed([_Archive("gz", "a", [_LargeFile("b", [2000] * 40, "whole", False)])], Media((), 20_000))

    assert not run.placer.closed
    assert not scales.files


def test_a_volume_is_filled_to_the_last_byte_and_one_byte_more_begins_another() -> None:
    archives = [_Archive("gz", "a", [_SmallFiles(5000, ["a"]), _SmallFiles(5000, ["b"])])]
    _, scales = _placed(archives, Media((), 1 << 30))
    whole = scales.closed[1]

    assert len(_placed(archives, Media((), whole))[1].closed) == 1
    assert len(_placed(archives, Media((), whole - 1))[1].closed) == 2


def _random_name(size: int, letters: str) -> str:
    maker = random.Random(1)
    return "".join(maker.choice(letters) for _ in range(size))


PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "/")
# What is reserved for a large file before its digest and sizes are known, over what it takes in the end.
MOST_RESERVED = 1500


@pytest.mark.parametrize("size", [9000, 5 << 30])
@pytest.mark.parametrize("option", ["zip", "gz"])
@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a", "a"),
        (_random_name(250, PRINTABLE), _random_name(150, PRINTABLE)),
        ("n", _random_name(37, "".join(chr(code) for code in range(0x20000, 0x2A000)))),
    ],
    ids=["short", "ASCII", "beyond the basic plane"],
)
def test_a_large_file_is_placed_where_it_surely_fits_and_refused_for_want_of_few_bytes_only(
    name: str, stem: str, option: str, size: int
) -> None:
    archives = [_Archive(option, stem, [_LargeFile(name, [size // 3] * 3, "whole", True)])]
    weight = _placed(archives, Media((), 1 << 40))[1].closed[1]

    for capacity in range(weight - 400, weight + MOST_RESERVED, 25):
        run, scales = _placed(archives, Media((), capacity))
        assert scales.closed == ({} if run.refused else {1: weight})
        assert run.refused or weight <= capacity
    run, _ = _placed(archives, Media((), weight + MOST_RESERVED))
    assert (run.refused, run.unused) == ([], [])


@given(st.integers(0, 2**34), st.integers(0, 2**34), st.integers(1, 100_000))
def test_the_size_of_a_closed_zip_counts_its_directory_and_end(size: int, central: int, entries: int) -> None:
    plan = ArchivePlan(0, "a", archive_format("zip", None, 1 << 30))
    archive = OpenArchive(1, plan, plan.name(1), size, central, entries)

    assert closed_archive_size(archive) == size + central + len(end_of_central_directory(entries, central, size))


@pytest.mark.parametrize("option", CODECS)
def test_the_end_of_a_tar_is_a_frame_of_two_empty_blocks(option: str) -> None:
    plan = ArchivePlan(0, "a", archive_format(option, None, 1 << 30))
    archive = OpenArchive(1, plan, plan.name(1), 1000)
    chosen = plan.archive_format

    assert archive.tail() == CODECS[option].compress(bytes(1024), chosen.level)
    assert closed_archive_size(archive) == 1000 + len(archive.tail())


# With the real writer, and real frames


class _Writing(Scales):
    """Carries out each order for real, and weighs it too."""

    def __init__(self) -> None:
        super().__init__()
        self.slots: dict[int, bytes] = {}
        self.answers: list[Answer] = []
        self._writer = Writer(self.answers.append, lambda slot: memoryview(self.slots[slot]))

    def order(self, name: str, *arguments: Any) -> None:
        super().order(name, *arguments)
        self._writer.carry_out((name, *arguments))


def _contents() -> dict[str, bytes]:
    maker = random.Random(1)
    sizes = [0, 1, 700, 5000, 30_000, 40_000, 300, 9000, 60_000, 20]
    return {f"{i:02}": maker.randbytes(size // 2) + bytes(size - size // 2) for i, size in enumerate(sizes)}


def _place_for_real(run: _Run, writing: _Writing, plan: ArchivePlan, contents: dict[str, bytes]) -> None:
    """Small contents each in a frame of its own, large ones in chunks of 8 KiB."""
    for name, content in contents.items():
        entry = _entry(name, len(content))
        path, slot = f"office/{name}".encode(), len(writing.slots)
        head = b"" if plan.archive_format.is_zip else tar_header(path, entry)
        if len(content) < 10_000:
            member = ZipMember(path, 0o100644, entry.mtime_ns, STORED, zlib.crc32(content), len(content), len(content))
            central = zip_format.central_entry(member, 0) if plan.archive_format.is_zip else b""
            writing.slots[slot] = (
                zip_format.local_header(member) + content if central else _tar_frame(plan, head, content, True)
            )
            batch = Batch()
            batch.add("/srv/office", "office", entry, len(content))
            line = manifest_line(path.decode(), FILE, len(content), entry.mtime_ns, bytes(16)).encode()
            done = _done(len(writing.slots[slot]), [tuple(member_row(entry, bytes(16)))], [], line, central)
            run.place(plan, batch, done, slot)
            continue
        header = ZipMember(path, 0o100644, entry.mtime_ns, DEFLATED, 0, 0, 0, zip64=True)
        unit = LargeUnit(plan, Large("/srv/office", "office", entry), None if head else header)
        for start in range(0, len(content), 8192):
            chunk, last = content[start : start + 8192], start + 8192 >= len(content)
            slot = len(writing.slots)
            if head:
                writing.slots[slot] = _tar_frame(plan, head if start == 0 else b"", chunk, last)
            else:
                writing.slots[slot] = zip_format.deflate_chunk(chunk, content[max(start - 32768, 0) : start], 6, last)
            size = len(writing.slots[slot])
            assert run.placer.add_chunk(unit, slot, ChunkDone(0, size, size, len(chunk))) is None
        run.placer.end_large(unit, entry, bytes(16), zlib.crc32(content))
    run.placer.end_archive(plan)


def _tar_frame(plan: ArchivePlan, head: bytes, chunk: bytes, last: bool) -> bytes:
    body = head + chunk + (tar_format.padding(len(chunk)) if last else b"")
    return bytes(CODECS[plan.archive_format.option].compress(body, 6))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("media", [Media((), 1 << 20), Media((20_000, 40_000, 30_000), 50_000)], ids=["one", "many"])
@pytest.mark.parametrize("most_open", [100, 2])
def test_the_real_writer_writes_volumes_of_the_size_that_was_said_which_xxhsum_accepts(
    media: Media, most_open: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MOST_OPEN", most_open)
    writing = _Writing()
    run = _Run(writing, media, str(tmp_path))
    contents = _contents()
    for number, option in enumerate(("zip", "gz", "zst", "bz2", "xz")):
        plan = ArchivePlan(number, option, archive_format(option, None, 1 << 30))
        _place_for_real(run, writing, plan, contents)
    run.placer.end_run()
    done = {answer.volume: answer.size for answer in writing.answers if isinstance(answer, VolumeSafe)}

    assert run.refused == []
    assert set(done) == set(run.placer.closed)
    for volume in run.placer.closed.values():
        files = list(Path(volume.folder).iterdir())
        assert done[volume.number] == volume.size == sum(file.stat().st_size for file in files) <= volume.capacity
        subprocess.run(["xxhsum", "-c", manifest.SUMS], cwd=volume.folder, check=True, capture_output=True)
    for option in ("zip", "gz", "bz2", "xz"):
        assert _read_back(tmp_path, option) == contents


def _read_back(folder: Path, option: str) -> dict[str, bytes]:
    contents = {}
    for path in sorted(folder.glob(f"*/{option}.*")):
        if option == "zip":
            subprocess.run(["unzip", "-tqq", path], check=True)
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    contents[name.removeprefix("office/")] = archive.read(name)
            continue
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                contents[member.name.removeprefix("office/")] = file.read()
    return contents
