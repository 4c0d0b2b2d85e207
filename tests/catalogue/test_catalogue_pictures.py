"""Pictures: how sources were as of each run, in rows for what changed only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from catalogue_samples import file_row, save_volume, start_run

from backalaika.catalogue import Catalogue, paging
from backalaika.catalogue.changes import Recorded, SourcePicture
from backalaika.catalogue.rows import DIRECTORY, FILE, HARD_LINK, SYMLINK, KnownEntry, RunEnd

SOURCE = b"/srv/office"
NOTHING: list[Any] = []


@pytest.fixture(autouse=True, params=[100_000, 1])
def entries_a_page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is the same where a picture is recorded by one transaction, and where by many."""
    monkeypatch.setattr(paging, "ENTRIES", request.param)
    monkeypatch.setattr(paging, "PAUSE_S", 0)


def complete(catalogue: Catalogue, run_id: int, **found: Any) -> Recorded:
    """Enter a run of one source as complete; ``found`` is what it found besides what it saved."""
    tree = catalogue.trees("office").get(SOURCE)
    known = {"coarse": False, "resumed": False} | found
    results = []

    def tell(recorded: Recorded) -> list[Any]:
        results.append(recorded)
        return NOTHING

    catalogue.complete_run(run_id, RunEnd(9, 0, 0, 0, 0), [SourcePicture(0, SOURCE, tree, **known)], tell)
    return results[0]


def save(catalogue: Catalogue, title: str, *paths: str, found: dict[str, Any] | None = None, **values: Any) -> Recorded:
    """A run that saves these files; all look the same but for ``values``."""
    run_id = start_run(catalogue)
    if paths:
        save_volume(catalogue, run_id, title, *paths, **values)
    return complete(catalogue, run_id, **(found or {}))


def counts(recorded: Recorded) -> tuple[int, int, int, int]:
    return recorded.added, recorded.changed, recorded.deleted, recorded.moved


def picture(catalogue: Catalogue, number: int) -> dict[bytes, Any]:
    """Path and digest of all in the picture of a run, counted from 1."""
    return {entry.folder + b"/" + entry.name: entry.digest for entry in catalogue.picture(number)}


def known(path: bytes, **values: Any) -> KnownEntry:
    folder, _, name = path.rpartition(b"/")
    entry = KnownEntry(folder, name, FILE, 10, 1_000, 2_000, 3, b"d" * 16, None, 0o100644, 1, 2)
    return entry._replace(**values)


def folder_number(catalogue: Catalogue, path: bytes = SOURCE) -> int:
    tree = catalogue.trees("office")[SOURCE]
    return catalogue.listings(tree.id, [path])[path][0]


def test_a_run_that_saves_the_same_again_adds_no_entries(catalogue: Catalogue, ask: Callable[[str], list[Any]]) -> None:
    assert counts(save(catalogue, "v1", "/srv/office/a", "/srv/office/b")) == (2, 0, 0, 0)
    assert counts(save(catalogue, "v2", "/srv/office/a", "/srv/office/b")) == (0, 0, 0, 0)

    assert ask("SELECT COUNT(*) FROM entries") == [(2,)]
    assert picture(catalogue, 1) == picture(catalogue, 2) == {b"/srv/office/a": b"d" * 16, b"/srv/office/b": b"d" * 16}


def test_what_is_different_is_told_differently_from_its_run_on(catalogue: Catalogue) -> None:
    save(catalogue, "v1", "/srv/office/a", "/srv/office/b")
    changed = save(catalogue, "v2", "/srv/office/a", digest=b"e" * 16, mtime_ns=5)
    assert counts(changed) == (0, 1, 0, 0)
    assert changed.rotten == []

    assert picture(catalogue, 1)[b"/srv/office/a"] == b"d" * 16
    assert picture(catalogue, 2) == {b"/srv/office/a": b"e" * 16, b"/srv/office/b": b"d" * 16}


def test_other_content_of_the_same_size_and_time_is_told_as_rot(catalogue: Catalogue) -> None:
    save(catalogue, "v1", "/srv/office/a", "/srv/office/b")

    recorded = save(catalogue, "v2", "/srv/office/a", digest=b"e" * 16, ctime_ns=77)

    assert recorded.rotten == [b"/srv/office/a"]
    assert counts(recorded) == (0, 1, 0, 0)


def test_what_is_gone_is_gone_from_then_on(catalogue: Catalogue) -> None:
    listing = {"listings": [(SOURCE, b"1" * 16), (b"/srv/office/deep", b"2" * 16)]}
    save(catalogue, "v1", "/srv/office/a", "/srv/office/b", "/srv/office/deep/c", found=listing)
    numbers = folder_number(catalogue), folder_number(catalogue, b"/srv/office/deep")

    gone = save(catalogue, "", found={"gone": [(numbers[0], b"a")], "gone_folders": [numbers[1]]})

    assert counts(gone) == (0, 0, 2, 0)
    assert len(picture(catalogue, 1)) == 3
    assert set(picture(catalogue, 2)) == {b"/srv/office/b"}
    assert catalogue.count_listings(catalogue.trees("office")[SOURCE].id) == 1


def test_what_moved_is_counted_and_keeps_its_content(catalogue: Catalogue) -> None:
    save(catalogue, "v1", "/srv/office/a", found={"listings": [(SOURCE, b"1" * 16)]})
    gone = [(folder_number(catalogue), b"a")]

    moved = save(catalogue, "", found={"gone": gone, "known": [known(b"/srv/office/new/b")]})

    assert counts(moved) == (1, 0, 1, 1)
    (entry,) = catalogue.picture(2)
    assert (entry.folder, entry.name, entry.digest, entry.mode, entry.file_id) == (
        b"/srv/office/new", b"b", b"d" * 16, 0o100644, None,
    )  # fmt: skip


def test_a_file_comes_back_after_it_was_deleted(catalogue: Catalogue) -> None:
    save(catalogue, "v1", "/srv/office/a", found={"listings": [(SOURCE, b"1" * 16)]})
    save(catalogue, "", found={"gone": [(folder_number(catalogue), b"a")]})
    assert counts(save(catalogue, "v3", "/srv/office/a")) == (1, 0, 0, 0)

    assert [len(picture(catalogue, number)) for number in (1, 2, 3)] == [1, 0, 1]


def test_what_could_not_be_saved_is_there_without_content_until_it_is(catalogue: Catalogue) -> None:
    unsaved = known(b"/srv/office/b", digest=None)
    save(catalogue, "v1", "/srv/office/a", found={"unsaved": [unsaved], "listings": [(SOURCE, b"1" * 16)]})

    assert picture(catalogue, 1) == {b"/srv/office/a": b"d" * 16, b"/srv/office/b": None}
    tree = catalogue.trees("office")[SOURCE]
    assert catalogue.listings(tree.id, [SOURCE])[SOURCE][1] is None  # so the next run looks at it
    assert counts(save(catalogue, "", found={"unsaved": [unsaved]})) == (0, 0, 0, 0)
    assert counts(save(catalogue, "v3", "/srv/office/b")) == (0, 1, 0, 0)
    assert picture(catalogue, 3)[b"/srv/office/b"] == b"d" * 16


def test_further_names_of_a_file_have_its_content(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    volume_id = catalogue.add_volume(run_id, "v1", 1, "/b", 1_000)
    archive_id = catalogue.add_archive(volume_id, "office.tar.gz", "tar.gz", 0)
    link = file_row(volume_id, archive_id, "/srv/office/b", kind=HARD_LINK, digest=None, target=b"office/a")
    catalogue.record([], [file_row(volume_id, archive_id, "/srv/office/a"), link])
    catalogue.finish_volume(volume_id, 1)
    complete(catalogue, run_id)

    assert {(entry.name, entry.kind, entry.digest) for entry in catalogue.picture(run_id)} == {
        (b"a", FILE, b"d" * 16),
        (b"b", FILE, b"d" * 16),
    }


def test_a_file_that_was_cut_is_one_entry(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    volume_id = catalogue.add_volume(run_id, "v1", 1, "/b", 1_000)
    archive_id = catalogue.add_archive(volume_id, "office.zip", "zip", 0)
    parts = [
        file_row(volume_id, archive_id, "/srv/office/a", part=1, part_offset=0, whole_size=20),
        file_row(
            volume_id, archive_id, "/srv/office/a", part=2, part_offset=10, whole_size=20, whole_digest=b"w" * 16
        ),
    ]  # fmt: skip
    catalogue.record([], parts)
    catalogue.finish_volume(volume_id, 1)
    complete(catalogue, run_id)

    assert [(entry.size, entry.digest) for entry in catalogue.picture(run_id)] == [(20, b"w" * 16)]


def test_a_removed_volume_leaves_the_picture_and_takes_the_trust(
    catalogue: Catalogue, ask: Callable[[str], list[Any]]
) -> None:
    save(catalogue, "v1", "/srv/office/a", "/srv/office/deep/b", found={"listings": [(SOURCE, b"1" * 16)]})
    tree = catalogue.trees("office")[SOURCE]
    assert catalogue.listings(tree.id, [SOURCE])[SOURCE][1] == b"1" * 16
    save(catalogue, "v2", "/srv/office/c")

    assert catalogue.remove("v1").runs == 0

    assert set(picture(catalogue, 1)) == {b"/srv/office/a", b"/srv/office/deep/b"}
    assert catalogue.listings(tree.id, [SOURCE])[SOURCE][1] is None
    assert ask("SELECT COUNT(*) FROM folders") == [(2,)]
    assert [row.added for row in catalogue.run_rows()] == [2, 1]


def test_no_hash_is_trusted_that_was_made_before_a_volume_was_removed(catalogue: Catalogue) -> None:
    save(catalogue, "v1", "/srv/office/a", found={"listings": [(SOURCE, b"1" * 16)]})
    run_id, before = start_run(catalogue), catalogue.trees("office")[SOURCE]
    catalogue.remove("v1")
    found = SourcePicture(0, SOURCE, before, False, False, listings=[(SOURCE, b"2" * 16)])
    catalogue.complete_run(run_id, RunEnd(9, 0, 0, 0, 0), [found], lambda recorded: [])

    assert catalogue.listings(before.id, [SOURCE])[SOURCE][1] is None


def test_a_run_that_another_has_overtaken_gets_no_picture(catalogue: Catalogue) -> None:
    save(catalogue, "v1", "/srv/office/a")
    slow, before = start_run(catalogue), catalogue.trees("office")[SOURCE]
    save(catalogue, "v3", "/srv/office/b")
    told: list[Recorded] = []

    def tell(recorded: Recorded) -> list[Any]:
        told.append(recorded)
        return NOTHING

    found = SourcePicture(0, SOURCE, before, False, False, known=[known(b"/srv/office/c")])
    catalogue.complete_run(slow, RunEnd(9, 0, 0, 0, 0), [found], tell)

    assert told[0].overtaken
    assert picture(catalogue, slow) == {}
    assert [row.added for row in catalogue.run_rows()] == [1, None, 1]


def test_on_coarse_file_systems_times_and_inodes_may_move(catalogue: Catalogue) -> None:
    save(catalogue, "v1", "/srv/office/a", mtime_ns=10**18)
    for at, summer in enumerate((0, 2 * 10**9, -3600 * 10**9)):
        same = save(
            catalogue, f"s{at}", "/srv/office/a", found={"coarse": True}, mtime_ns=10**18 + summer, inode=at
        )  # fmt: skip
        assert counts(same) == (0, 0, 0, 0)
    other = save(catalogue, "v5", "/srv/office/a", found={"coarse": True}, mtime_ns=10**18 + 3 * 10**9)
    assert counts(other) == (0, 1, 0, 0)


def test_pictures_of_thousands_are_told_whole(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "ENTRIES", max(paging.ENTRIES, 700))
    paths = [f"/srv/office/{i % 7}/{i}" for i in range(12_000)]
    save(catalogue, "v1", *paths)
    assert counts(save(catalogue, "v2", *paths[:6000], digest=b"e" * 16, mtime_ns=1)) == (0, 6000, 0, 0)

    assert len(picture(catalogue, 1)) == len(picture(catalogue, 2)) == 12_000
    assert sum(digest == b"e" * 16 for digest in picture(catalogue, 2).values()) == 6000


@pytest.mark.parametrize("below", [b"/srv/office/a", b"/srv/office/a/b", b"/srv/office/a/b/c"])
def test_a_part_of_a_picture_is_what_is_below_a_path(catalogue: Catalogue, below: bytes) -> None:
    save(catalogue, "v1", "/srv/office/a/b/c", "/srv/office/a.txt", "/srv/office/ab/d")

    assert [entry.name for entry in catalogue.picture(1, [below])] == [b"c"]


def test_the_newest_run_by_a_moment_is_found(catalogue: Catalogue) -> None:
    for at_ns in (10, 20):
        complete(catalogue, start_run(catalogue, at_ns=at_ns))
    start_run(catalogue, at_ns=30)  # still running

    found = [catalogue.run_as_of("office", at_ns) for at_ns in (9, 10, 19, 20, None)]
    assert [row and row.started_at_ns for row in found] == [None, 10, 10, 20, 20]
    assert catalogue.run_as_of("home", None) is None


def test_folders_themselves_are_entries(catalogue: Catalogue) -> None:
    save(catalogue, "v1", "/srv/office/deep/", kind=DIRECTORY, size=0, digest=None)

    (entry,) = catalogue.picture(1)
    assert (entry.folder, entry.name, entry.kind) == (b"/srv/office/deep", b"", DIRECTORY)


def test_the_content_of_each_entry_is_found_where_it_still_is(
    catalogue: Catalogue, ask: Callable[[str], list[Any]]
) -> None:
    save(catalogue, "v1", "/srv/office/a", "/srv/office/b", found={"known": [known(b"/srv/office/copy")]})
    save(catalogue, "v2", "/srv/office/a", digest=b"e" * 16, mtime_ns=5)

    def where(number: int) -> dict[bytes, int | None]:
        entries = list(catalogue.picture(number))
        return {entry.name: member for entry, member in zip(entries, catalogue.members(entries), strict=True)}

    ids = {(title, bytes(name)): number for title, name, number in ask(
        "SELECT volumes.title, files.name, files.id FROM files JOIN volumes ON volumes.id = files.volume_id"
    )}  # fmt: skip
    a, b, newer = ids["v1", b"a"], ids["v1", b"b"], ids["v2", b"a"]
    assert where(1) == {b"a": a, b"b": b, b"copy": a}  # the first of that content
    assert where(2) == {b"a": newer, b"b": b, b"copy": a}
    catalogue.remove("v1")
    assert where(1) == {b"a": None, b"b": None, b"copy": None}
    assert where(2) == {b"a": newer, b"b": None, b"copy": None}
    save(catalogue, "v3", "/srv/office/c")  # it may get the number that a had
    ((c,),) = ask("SELECT MAX(id) FROM files")
    assert where(1) == {b"a": c, b"b": c, b"copy": c}


def test_a_run_that_went_on_has_of_each_path_what_it_saved_last(catalogue: Catalogue) -> None:
    save(catalogue, "v1", "/srv/office/a", "/srv/office/b", "/srv/office/c")
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "v2", "/srv/office/a", "/srv/office/b", digest=b"e" * 16, mtime_ns=5)
    save_volume(catalogue, run_id, "v3", "/srv/office/b", "/srv/office/d")  # b is as it was at first
    save_volume(catalogue, run_id, "v4", "/srv/office/d", digest=b"f" * 16)
    recorded = complete(catalogue, run_id, resumed=True)

    assert counts(recorded) == (1, 1, 0, 0)
    assert picture(catalogue, run_id) == {
        b"/srv/office/a": b"e" * 16,
        b"/srv/office/b": b"d" * 16,
        b"/srv/office/c": b"d" * 16,
        b"/srv/office/d": b"f" * 16,
    }


def test_links_and_empty_files_count_by_the_complete_volumes_that_have_them(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    for title, target in (("run/vol001", b"a"), ("run/vol002", b"a"), ("run/vol003", b"b")):
        volume_id = catalogue.add_volume(run_id, title, 1, f"/b/{title}", 1_000)
        link = file_row(volume_id, None, "/srv/office/link", kind=SYMLINK, target=target, digest=None)
        catalogue.record([], [link, file_row(volume_id, None, "/srv/office/e", size=0)])
        if target == b"a":
            catalogue.finish_volume(volume_id, 500)

    assert catalogue.copies_of_names([1, 2, 3, 4, 5, 6]) == {1: 2, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2}
