"""What the catalogue tells of a run that ended early, on every database."""

from __future__ import annotations

import pytest
from catalogue_samples import file_row, save_volume, start_run

from backalaika.catalogue import Catalogue
from backalaika.catalogue.rows import (
    COMPLETE,
    DIRECTORY,
    FAILED,
    HARD_LINK,
    INCOMPLETE,
    INTERRUPTED,
    ErrorRow,
    FileRow,
    FrameRow,
    RunStart,
    SourceFound,
)
from backalaika.errors import CatalogueError

TWO = [SourceFound("/srv/\udcff", "a", "zip", 7, 70), SourceFound("/srv/b", "b-2", "bz2,separate_dirs", 8, 80)]


def cut_short(catalogue: Catalogue, state: str = INTERRUPTED, at_ns: int = 1) -> tuple[int, int]:
    """A run of two sources with a complete volume and one that is not; the ids of the run and of its open archive."""
    run_id = catalogue.start_run(RunStart("office", "/b/run", "moved", at_ns, TWO, 5, True))
    save_volume(catalogue, run_id, "run/vol001", b"/srv/\xff/saved")
    volume_id = catalogue.add_volume(run_id, "run/vol002", 2, "/b/run/vol002", 2_000)
    archive_id = catalogue.add_archive(volume_id, "b.002.tar.bz2", "tar.bz2", 1)
    link = file_row(volume_id, archive_id, "/srv/b/link", kind=HARD_LINK, size=10, frame=1, offset=512)
    rows = [
        file_row(volume_id, archive_id, "/srv/b/x", kind=DIRECTORY, digest=None)._replace(folder=b"/srv/b/x", name=b""),
        file_row(volume_id, archive_id, "/srv/b/file", frame=1, offset=0, inode=2**64 - 1),
        link,
    ]
    catalogue.record([FrameRow(archive_id, 0, 0, 5, 10), FrameRow(archive_id, 1, 5, 2**40, 10)], rows)
    catalogue.finish_run(run_id, state, 9, 3, 20, 0, 0)
    return run_id, archive_id


@pytest.mark.parametrize("state", [INTERRUPTED, FAILED])
def test_the_last_run_of_a_job_is_told_if_it_ended_early(catalogue: Catalogue, state: str) -> None:
    run_id, _ = cut_short(catalogue, state)
    early = catalogue.early_run("office")

    assert early is not None
    assert (early.id, early.folder, early.comment, early.since_ns, early.skip_known) == (
        run_id,
        "/b/run",
        "moved",
        5,
        True,
    )
    assert early.sources == [("/srv/\udcff", "a", "zip"), ("/srv/b", "b-2", "bz2,separate_dirs")]
    assert (early.files, early.bytes) == (3, 20)
    assert catalogue.early_run("Office") is None


def test_a_file_that_was_cut_counts_when_all_of_its_parts_are_there(catalogue: Catalogue) -> None:
    run_id, archive_id = cut_short(catalogue)
    volume_id = catalogue.recorded_volumes(run_id)[1].id

    def parts(name: str, *numbers: int) -> list[FileRow]:
        row = file_row(volume_id, archive_id, f"/srv/b/{name}", frame=1, size=100)
        return [
            row._replace(part=n, part_offset=100 * n - 100, whole_size=300, whole_digest=b"w" * 16 if n == 3 else None)
            for n in numbers
        ]

    anew = parts("anew", 1, 3) + parts("anew", 1, 2, 3)
    catalogue.record([], [*parts("whole", 1, 2, 3), *parts("begun", 1, 2), *parts("lost", 1, 3), *anew])

    assert catalogue.saved_totals(run_id) == (3 + 2, 20 + 300 + 200 + 300)
    assert {size for size, _ in catalogue.kept_contents(run_id)} == {10}  # parts are no files


def test_a_run_that_is_complete_or_running_is_not_gone_on_with(catalogue: Catalogue) -> None:
    cut_short(catalogue)
    later = start_run(catalogue, at_ns=2)
    assert catalogue.early_run("office") is None
    catalogue.finish_run(later, COMPLETE, 3, 1, 1, 0, 0)

    assert catalogue.early_run("office") is None


def test_only_one_process_goes_on_with_a_run(catalogue: Catalogue) -> None:
    run_id, _ = cut_short(catalogue)
    catalogue.resume_run(run_id)

    with pytest.raises(CatalogueError, match="another process"):
        catalogue.resume_run(run_id)
    assert catalogue.early_run("office") is None
    assert catalogue.mark_abandoned_runs() == []


def test_volumes_and_archives_are_told_as_far_as_they_are_recorded(catalogue: Catalogue) -> None:
    run_id, archive_id = cut_short(catalogue)
    whole, cut = catalogue.recorded_volumes(run_id)

    assert (whole.number, whole.state, whole.size, whole.archives[0].state) == (1, COMPLETE, 500, COMPLETE)
    assert (cut.number, cut.state, cut.folder, cut.capacity) == (2, INCOMPLETE, "/b/run/vol002", 2_000)
    (archive,) = cut.archives
    assert (archive.id, archive.source, archive.format) == (archive_id, 1, "tar.bz2")
    assert (archive.frames, archive.end, archive.members) == (2, 5 + 2**40, 3)
    assert list(catalogue.member_places(archive)) == [0, 5, 517]


def test_what_was_saved_is_told_by_source_and_folder(catalogue: Catalogue) -> None:
    run_id, archive_id = cut_short(catalogue)
    catalogue.resume_run(run_id)
    saved = catalogue.saved_entries(1, [b"/srv/b", b"/srv/b/x", b"/srv/nothing", b"/srv/\xff"])

    assert set(saved[b"/srv/b"]) == {b"file", b"link"}
    entry = saved[b"/srv/b"][b"file"]
    assert (entry.archive_id, entry.kind, entry.size, entry.mtime_ns) == (archive_id, "file", 10, 1_000)
    assert entry.inode is not None
    assert entry.inode % 2**64 == 2**64 - 1
    assert saved[b"/srv/b/x"][b""].kind == DIRECTORY
    assert saved[b"/srv/nothing"] == saved[b"/srv/\xff"] == {}
    assert set(catalogue.saved_entries(0, [b"/srv/\xff"])[b"/srv/\xff"]) == {b"saved"}


def test_errors_stay_only_where_the_file_was_saved_all_the_same(catalogue: Catalogue) -> None:
    run_id, _ = cut_short(catalogue)
    told = [ErrorRow(b"/srv/b/file", "changed", 1), ErrorRow(b"/srv/b/locked", "denied", 1), ErrorRow(None, "full", 1)]
    catalogue.record_errors(run_id, told)

    assert catalogue.forget_errors(run_id) == [(b"/srv/b/file", "changed")]
    assert catalogue.forget_errors(run_id) == [(b"/srv/b/file", "changed")]
