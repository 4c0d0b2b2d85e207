"""Batches: where the cuts lie, and what becomes of hard links."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backalaika.batch import (
    MAX_ENTRIES,
    NAME_TOO_LONG,
    Batch,
    Key,
    Large,
    framed_size,
    make_batches,
    member_path,
    rebatch,
    relink,
)
from backalaika.codecs import CODECS
from backalaika.formats import ArchiveFormat, archive_format
from backalaika.formats import tar as tar_format
from backalaika.formats import zip as zip_format
from backalaika.formats.zip import MAX_NAME, ZipMember
from backalaika.walk import DIRECTORY, FILE, HARD_LINK, SYMLINK, Directory, Entry, Problem

OPTIONS = ("zip", *CODECS)
CAPACITY = 1 << 30
SMALL = 1 << 20  # a medium whose frames are 256 KiB


def size_in_frame(entry: Entry, prefix: str, chosen: ArchiveFormat) -> int:
    return framed_size(entry, len(os.fsencode(f"{prefix}/{entry.name}")), chosen)


def _entry(name: str, size: int = 0, kind: str = FILE, key: Key | None = None, target: str = "") -> Entry:
    return Entry(name, kind, 0o100644, size, 1_700_000_000_123_456_789, 0, 1, 0, 0, key, target)


def _cut(entries: list[Entry], chosen: ArchiveFormat) -> list[Batch | Large | Problem]:
    return list(make_batches([Directory("", entries)], "/srv/office", "office", chosen))


def _members(pieces: Iterable[Batch | Large | Problem]) -> list[str]:
    """Paths in the archive, in order."""
    paths = []
    for piece in pieces:
        if isinstance(piece, Batch):
            paths += [member_path(part.member_prefix, entry.name) for part in piece.slices for entry in part.entries]
        elif isinstance(piece, Large):
            paths.append(member_path(piece.member_prefix, piece.entry.name))
    return paths


SIZES = st.one_of(st.integers(0, 2000), st.integers(0, 300_000), st.integers(250_000, 270_000))
TREES = st.lists(
    st.tuples(st.sampled_from(["", "a", "a/b", "c" * 200]), st.lists(SIZES, max_size=8)), min_size=1, max_size=5
).map(
    lambda tree: [
        Directory(path, [_entry("", kind=DIRECTORY), *(_entry(f"{i}", size) for i, size in enumerate(sizes))])
        for path, sizes in tree
    ]
)


@given(TREES, st.sampled_from(OPTIONS))
def test_every_entry_is_in_one_piece_in_the_order_of_the_walk(tree: list[Directory], option: str) -> None:
    pieces = list(make_batches(tree, "/srv/office", "office", archive_format(option, None, SMALL)))
    expected = []
    for path, entries in tree:
        prefix = f"office/{path}" if path else "office"
        expected += [f"{prefix}/{entry.name}" for entry in entries]

    assert _members(pieces) == expected


@given(TREES, st.sampled_from(OPTIONS))
def test_a_batch_is_no_larger_than_a_frame_and_a_large_file_is_larger(tree: list[Directory], option: str) -> None:
    chosen = archive_format(option, None, SMALL)
    for piece in make_batches(tree, "/srv/office", "office", chosen):
        if isinstance(piece, Batch):
            assert piece.count == sum(len(part.entries) for part in piece.slices)
            assert piece.size == sum(
                size_in_frame(entry, part.member_prefix, chosen) for part in piece.slices for entry in part.entries
            )
            assert piece.size <= chosen.frame_size or piece.count == 1
        else:
            assert isinstance(piece, Large)
            assert size_in_frame(piece.entry, piece.member_prefix, chosen) > chosen.large_size


@given(TREES, st.sampled_from(OPTIONS), st.integers(0, 2**60))
def test_cuts_depend_on_names_and_sizes_alone(tree: list[Directory], option: str, number: int) -> None:
    chosen = archive_format(option, None, SMALL)
    others = [
        Directory(path, [entry._replace(mtime_ns=number, inode=number, ctime_ns=number) for entry in entries])
        for path, entries in tree
    ]
    cuts, other_cuts = (
        [_members([piece]) for piece in make_batches(directories, "/srv/office", "office", chosen)]
        for directories in (tree, others)
    )

    assert cuts == other_cuts


@pytest.mark.parametrize("option", OPTIONS)
def test_a_file_at_the_boundary_is_one_frame_and_one_byte_more_makes_it_large(option: str) -> None:
    chosen = archive_format(option, None, CAPACITY)
    headers = size_in_frame(_entry("file"), "office", chosen)
    largest = chosen.large_size - headers

    for size, kind in ((largest - 1, Batch), (largest, Batch), (largest + 1, Large)):
        assert [type(piece) for piece in _cut([_entry("file", size)], chosen)] == [kind], size


@pytest.mark.parametrize("option", OPTIONS)
def test_a_frame_that_is_just_full_takes_no_more_byte(option: str) -> None:
    chosen = archive_format(option, None, CAPACITY)
    headers = size_in_frame(_entry("file"), "office", chosen)
    half = chosen.frame_size // 2 // 512 * 512
    rest = chosen.frame_size - half - headers

    assert [
        len(_members([piece])) for piece in _cut([_entry("aaaa", half - headers), _entry("file", rest)], chosen)
    ] == [2]
    pieces = _cut([_entry("aaaa", half - headers), _entry("file", rest + 1)], chosen)
    assert [len(_members([piece])) for piece in pieces] == [1, 1]


@pytest.mark.parametrize("option", OPTIONS)
def test_a_batch_has_no_more_entries_than_a_message_may_carry(option: str) -> None:
    chosen = replace(archive_format(option, None, CAPACITY), frame_size=1 << 40)
    pieces = _cut([_entry(f"{i}") for i in range(2 * MAX_ENTRIES + 1)], chosen)

    assert [len(_members([piece])) for piece in pieces] == [MAX_ENTRIES, MAX_ENTRIES, 1]


NAMES = st.one_of(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80),
    st.sampled_from(["n" * 255, "\udcff" * 255]),
)
TARGETS = st.one_of(st.just(""), st.sampled_from(["t", "é" * 51, "\udcff" * 4095]))


@settings(deadline=None)
@given(NAMES, st.sampled_from(["office", "office/" + "d" * 500]), TARGETS, st.integers(0, 5000))
def test_the_framed_size_is_never_less_than_what_a_member_takes(name: str, prefix: str, target: str, size: int) -> None:
    entry = _entry(name, 0 if target else size, SYMLINK if target else FILE, target=target)
    path, link = os.fsencode(member_path(prefix, name)), os.fsencode(target)
    owner = (2**32, 2**32, b"u" * 32, b"g" * 32)
    header = tar_format.header(path, b"2" if target else b"0", 0o777, owner, entry.size, entry.mtime_ns, link)
    in_tar = len(header) + entry.size + len(tar_format.padding(entry.size))
    body = len(link) if target else size
    member = ZipMember(path, 0o100644, entry.mtime_ns, zip_format.STORED, 0, body, body)
    moved = zip_format.rebase_central(zip_format.central_entry(member, 0), 1 << 40)

    assert in_tar <= size_in_frame(entry, prefix, archive_format("gz", None, CAPACITY))
    assert len(zip_format.local_header(member)) + body + len(moved) <= size_in_frame(
        entry, prefix, archive_format("zip", None, CAPACITY)
    )


def test_a_path_that_a_zip_cannot_hold_is_a_problem_and_the_rest_goes_on() -> None:
    longest = "n" * (MAX_NAME - len("office/"))
    entries = [_entry("a"), _entry(longest + "x"), _entry(longest), _entry("z")]
    pieces = _cut(entries, archive_format("zip", None, CAPACITY))

    assert [piece for piece in pieces if isinstance(piece, Problem)] == [
        Problem(f"/srv/office/{longest}x", NAME_TOO_LONG)
    ]
    assert _members(pieces) == ["office/a", f"office/{longest}", "office/z"]
    assert not any(isinstance(piece, Problem) for piece in _cut(entries, archive_format("gz", None, CAPACITY)))


def _kinds(pieces: Iterable[Batch | Large | Problem]) -> list[tuple[str, str]]:
    entries = []
    for piece in pieces:
        if isinstance(piece, Batch):
            entries += [entry for part in piece.slices for entry in part.entries]
        elif isinstance(piece, Large):
            entries.append(piece.entry)
    return [(entry.kind, entry.target) for entry in entries]


def test_in_a_tar_the_second_name_of_a_file_is_a_hard_link_to_its_first() -> None:
    tree = [
        Directory("", [_entry("a", 10, key=(1, 2)), _entry("b", 10, key=(1, 3)), _entry("c", 10, key=(1, 2))]),
        Directory("dir", [_entry("d", 10, key=(1, 2)), _entry("e", 10, key=(2, 2))]),
    ]
    pieces = list(make_batches(tree, "/srv/office", "office", archive_format("gz", None, CAPACITY)))

    assert _kinds(pieces) == [(FILE, ""), (FILE, ""), (HARD_LINK, "office/a"), (HARD_LINK, "office/a"), (FILE, "")]


def test_in_a_tar_a_hard_link_to_a_large_file_is_small() -> None:
    chosen = archive_format("gz", None, SMALL)
    pieces = _cut([_entry("a", 10**9, key=(1, 2)), _entry("b", 10**9, key=(1, 2))], chosen)

    assert [type(piece) for piece in pieces] == [Large, Batch]


def test_in_a_zip_every_name_of_a_file_has_its_content() -> None:
    pieces = _cut([_entry("a", 10, key=(1, 2)), _entry("b", 10, key=(1, 2))], archive_format("zip", None, CAPACITY))

    assert _kinds(pieces) == [(FILE, ""), (FILE, "")]


LINKED_FILES = st.lists(
    st.tuples(st.sampled_from([None, (1, 1), (1, 2), (1, 3)]), st.sampled_from([0, 100, 200_000, 400_000])),
    min_size=1,
    max_size=12,
)


class _Archive:
    """Takes pieces as the run does; some large files in it cannot be read after all."""

    def __init__(self, chosen: ArchiveFormat, unreadable: set[str]) -> None:
        self._chosen = chosen
        self._unreadable = unreadable
        self.placed: dict[Key, str] = {}
        self.seen: list[str] = []

    def take(self, piece: Batch | Large) -> None:
        if isinstance(piece, Large):
            self.seen.append(piece.entry.name)
            if piece.entry.key is not None and piece.entry.name not in self._unreadable:
                self.placed[piece.entry.key] = f"office/{piece.entry.name}"
            return
        again = relink(piece, self.placed)
        if again is not None:
            for part in rebatch(again, self._chosen):
                self.take(part)
            return
        for entry in (entry for part in piece.slices for entry in part.entries):
            self.seen.append(entry.name)
            if entry.kind == HARD_LINK:
                assert entry.key is not None
                assert self.placed[entry.key] == entry.target
            elif entry.key is not None:
                self.placed.setdefault(entry.key, f"office/{entry.name}")


@given(LINKED_FILES, st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11).map(str)))
def test_after_relink_every_hard_link_points_to_content_that_comes_earlier_in_its_archive(
    files: list[tuple[Key | None, int]], new_volumes: set[int], unreadable: set[str]
) -> None:
    chosen = archive_format("gz", None, SMALL)
    archive = _Archive(chosen, unreadable)
    for number, piece in enumerate(
        _cut([_entry(f"{i}", size, key=key) for i, (key, size) in enumerate(files)], chosen)
    ):
        assert not isinstance(piece, Problem)
        if number in new_volumes:
            archive.placed.clear()
        archive.take(piece)

    assert archive.seen == [f"{i}" for i in range(len(files))]


@given(LINKED_FILES, st.sets(st.sampled_from([(1, 1), (1, 2), (1, 3)])))
def test_relink_has_nothing_to_do_the_second_time(files: list[tuple[Key | None, int]], there: set[Key]) -> None:
    chosen = replace(archive_format("gz", None, SMALL), frame_size=1 << 40, large_size=1 << 40)
    placed = {key: f"office/earlier-{key[1]}" for key in there}
    for piece in _cut([_entry(f"{i}", size, key=key) for i, (key, size) in enumerate(files)], chosen):
        assert isinstance(piece, Batch)
        again = relink(piece, placed)
        if again is not None:
            assert relink(again, placed) is None


def test_links_that_are_right_are_left_alone() -> None:
    chosen = archive_format("gz", None, CAPACITY)
    first, second = (
        piece
        for entries in ([_entry("a", 1, key=(1, 2))], [_entry("a", 1, key=(1, 2)), _entry("b", 1, key=(1, 2))])
        for piece in _cut(entries, chosen)
    )

    assert isinstance(first, Batch)
    assert isinstance(second, Batch)
    assert relink(first, {}) is None
    assert relink(second, {}) is None


@given(TREES)
def test_cutting_a_batch_again_loses_nothing_and_keeps_to_the_frame(tree: list[Directory]) -> None:
    chosen = archive_format("gz", None, SMALL)
    everything = Batch()
    for path, entries in tree:
        for entry in entries:
            everything.add(f"/srv/{path}", f"office/{path}", entry, 0)
    pieces = list(rebatch(everything, chosen))

    assert _members(pieces) == _members([everything])
    assert all(piece.size <= chosen.frame_size or piece.count == 1 for piece in pieces if isinstance(piece, Batch))
