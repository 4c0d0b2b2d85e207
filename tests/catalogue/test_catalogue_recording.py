from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from catalogue_samples import file_row, save_volume, start_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, select

from backalaika.catalogue import Catalogue
from backalaika.catalogue.database import bulk_insert
from backalaika.catalogue.results import FileEntry
from backalaika.catalogue.rows import (
    COMPLETE,
    DIRECTORY,
    FILE,
    HARD_LINK,
    INCOMPLETE,
    INTERRUPTED,
    KIND_NUMBERS,
    KINDS,
    RUNNING,
    SYMLINK,
    ErrorRow,
    FileRow,
    FrameMembers,
    FrameRow,
    RunStart,
    SourceFound,
)
from backalaika.catalogue.schema import folders, metadata
from backalaika.errors import CatalogueError

INT64 = st.integers(-(2**63), 2**63 - 1)
NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name)
FOLDERS = st.lists(NAMES, max_size=4).map(lambda names: b"/" + b"/".join(names))
FILES = st.tuples(
    FOLDERS,
    NAMES,
    st.sampled_from(KINDS),
    st.integers(0, 2**50),
    INT64,
    st.none() | INT64,
    st.none() | st.integers(0, 2**64 - 1),
    st.none() | st.binary(min_size=16, max_size=32),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(FILES, max_size=30))
def test_what_is_recorded_is_listed_again_exactly(catalogue: Catalogue, found: list[tuple[Any, ...]]) -> None:
    # The examples share a catalogue: to make a new one for each takes a minute on a server.
    volume_id = catalogue.add_volume(None, "disc", None, None, None)
    catalogue.record([], [FileRow(volume_id, None, *values, None, None, None) for values in found])
    listed = list(catalogue.files("disc"))
    catalogue.remove("disc")

    assert listed == [
        FileEntry("disc", None, os.fsdecode(os.path.join(path, name)), kind, size, mtime_ns, digest)
        for path, name, kind, size, mtime_ns, _, _, digest in found
    ]


@pytest.mark.parametrize("number", [1, 49, 50, 51, 150, 199])
def test_the_members_of_frames_are_listed_as_files_in_the_order_in_which_they_came(
    catalogue: Catalogue, number: int
) -> None:
    run_id = start_run(catalogue)
    volume_id = catalogue.add_volume(run_id, "run/vol001", 1, "/b/run/vol001", 1000)
    archive_id = catalogue.add_archive(volume_id, "office.001.zip", "zip", 0)
    rows = [(b"%d \xfe" % i, KIND_NUMBERS[FILE], i, i, -i, i, b"%16d" % i, i, None) for i in range(number)]
    folder = (b"", KIND_NUMBERS[DIRECTORY], 7, 0, 0, 0, None, 0, None)
    part = (b"film", KIND_NUMBERS[FILE], 5, 1, 1, 1, b"p" * 16, 0, None)
    frames = [
        FrameMembers(volume_id, archive_id, 0, [(b"/s", [folder, *rows]), (b"/left", [])], number, sum(range(number))),
        FrameMembers(volume_id, archive_id, 1, [(b"/s", [part])], 1, 5, (1, 0, 9, None)),
    ]
    catalogue.record_members([FrameRow(archive_id, 0, 0, 5, 10), FrameRow(archive_id, 1, 5, 5, 10)], frames)
    catalogue.finish_volume(volume_id, 10)
    listed = list(catalogue.files("run/vol001"))
    (volume,) = catalogue.volumes()

    assert [(os.fsencode(entry.path), entry.kind, entry.size, entry.digest) for entry in listed] == [
        (b"/s", DIRECTORY, 7, None),
        *((b"/s/" + row[0], FILE, row[2], row[6]) for row in rows),
        (b"/s/film.part001", FILE, 5, b"p" * 16),
    ]
    assert (volume.files, volume.bytes) == (number + 1, sum(range(number)) + 5)


def test_names_that_differ_in_case_accents_or_undecodable_bytes_are_different_files(catalogue: Catalogue) -> None:
    names = [b"a", b"A", "é".encode(), "e\u0301".encode(), b"e", b"\xff\xfe", b"new\nline", b"x" * 255]
    paths = [b"/srv/" + folder + b"/" + name for folder in names for name in names]
    save_volume(catalogue, start_run(catalogue), "run/vol001", *paths)

    assert [os.fsencode(entry.path) for entry in catalogue.files("run/vol001")] == paths


def test_a_path_of_4_kb_is_kept(catalogue: Catalogue) -> None:
    path = b"/srv" + b"/\xe4" * 2000 + b"/" + b"n" * 255
    save_volume(catalogue, start_run(catalogue), "run/vol001", path)

    assert [os.fsencode(entry.path) for entry in catalogue.files("")] == [path]


def test_the_entry_of_a_folder_itself_has_the_folders_path(catalogue: Catalogue) -> None:
    volume_id = catalogue.add_volume(None, "disc", None, "/media/disc", None)
    row = file_row(volume_id, None, "/media/disc/x", name=b"", kind=DIRECTORY, digest=None)
    catalogue.record([], [row, row._replace(folder=b"/")])

    assert [entry.path for entry in catalogue.files("disc")] == ["/media/disc", "/"]


def test_a_folder_is_stored_once_for_all_its_files_and_volumes(
    catalogue: Catalogue, ask: Callable[[str], list[Any]]
) -> None:
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "run/vol001", *(f"/srv/office/{i}" for i in range(100)))
    save_volume(catalogue, run_id, "run/vol002", "/srv/office/x", "/srv/other/x")

    assert sorted(ask("SELECT path FROM folders")) == [(b"/srv/office",), (b"/srv/other",)]


def test_a_batch_in_which_every_file_has_its_own_folder_is_recorded(catalogue: Catalogue) -> None:
    paths = [f"/srv/{i}/file" for i in range(3000)]
    save_volume(catalogue, start_run(catalogue), "run/vol001", *paths)

    assert [entry.path for entry in catalogue.files("")] == paths


def test_every_column_of_a_member_is_kept(catalogue: Catalogue, ask: Callable[[str], list[Any]]) -> None:
    run_id = start_run(catalogue, sources=[SourceFound("/s", "s", "zip", 1, 2), SourceFound("/t", "t-2", "xz", 3, 4)])
    volume_id = catalogue.add_volume(run_id, "run/vol001", 1, "/b/run/vol001", 99, digest="sha256")
    archive_id = catalogue.add_archive(volume_id, "t.001.tar.xz", "tar.xz", 1)
    row = FileRow(volume_id, archive_id, b"/t", b"n", SYMLINK, 1, 2, 3, 4, b"5", 6, 7, b"8", 9, 10, 11, b"12", b"\x84")
    catalogue.record([FrameRow(archive_id, 6, 10, 11, 12)], [row])

    assert ask("SELECT * FROM files") == [
        (1, volume_id, archive_id, 1, b"n", 2, 1, 2, 3, 4, b"5", 6, 7, b"8", 9, 10, 11, b"12", b"\x84")
    ]
    assert ask("SELECT * FROM frames") == [(archive_id, 6, 10, 11, 12)]
    assert ask(
        "SELECT label, sources.path, sources.options, found_files, found_bytes, archives.name, volumes.digest"
        " FROM archives JOIN sources ON sources.id = source_id JOIN volumes ON volumes.id = volume_id"
    ) == [(b"t-2", b"/t", "xz", 3, 4, b"t.001.tar.xz", "sha256")]


def test_inodes_and_times_beyond_64_bits_do_not_end_a_run(catalogue: Catalogue) -> None:
    volume_id = catalogue.add_volume(start_run(catalogue), "run/vol001", 1, "/b", None)
    far = 2**64
    rows = [
        file_row(volume_id, None, "/s/a", mtime_ns=far, ctime_ns=-far, inode=2**64 - 1),
        file_row(volume_id, None, "/s/b", inode=2**80 + 5),
    ]
    catalogue.record([], rows)
    catalogue.finish_volume(volume_id, 1)

    looks = catalogue.known_by_looks([b"/s"])[b"/s"]
    assert looks[b"a"] == (10, 2**63 - 1, -(2**63), 2**64 - 1, b"d" * 16)
    assert looks[b"b"] == (10, 1_000, 2_000, 5, b"d" * 16)


def test_rows_are_recorded_all_or_none(catalogue: Catalogue) -> None:
    volume_id = catalogue.add_volume(start_run(catalogue), "run/vol001", 1, "/b", None)
    archive_id = catalogue.add_archive(volume_id, "s.001.zip", "zip", 0)
    frame = FrameRow(archive_id, 0, 0, 5, 10)
    with pytest.raises(CatalogueError):
        catalogue.record([frame, frame], [file_row(volume_id, archive_id, "/s/a")])
    with pytest.raises(CatalogueError):
        catalogue.record([frame], [file_row(volume_id, archive_id, "/s/a"), file_row(77, None, "/s/b")])

    assert list(catalogue.files("")) == []
    catalogue.record([frame], [file_row(volume_id, archive_id, "/s/a")])


def test_a_volumes_counts_leave_out_folders(catalogue: Catalogue) -> None:
    volume_id = catalogue.add_volume(start_run(catalogue), "run/vol001", 1, "/b", None)
    for kind, size in [("file", 7), (SYMLINK, 0), (HARD_LINK, 0), (DIRECTORY, 0), ("file", 5)]:
        catalogue.record([], [file_row(volume_id, None, f"/s/{kind}", kind=kind, size=size)])

    (row,) = catalogue.volumes()
    assert (row.files, row.bytes, row.archives) == (4, 12, 0)


def test_text_that_is_no_unicode_is_recorded_as_it_can_be(catalogue: Catalogue) -> None:
    run_id = catalogue.start_run(RunStart("job \udcff", "/b/run \udcff", "comment \udcff", 1, []))
    volume_id = catalogue.add_volume(run_id, "run \udcff/vol001", 1, "/b/run \udcff/vol001", None)
    catalogue.record_errors(run_id, [ErrorRow(b"/s/\xff", "message \udcff", 1), ErrorRow(None, "disk full", 2)])
    catalogue.record([], [file_row(volume_id, None, b"/s/\xff")])

    assert [entry.path for entry in catalogue.files("run \udcff/vol001")] == ["/s/\udcff"]
    catalogue.finish_run(run_id, COMPLETE, 2, 1, 1, 0, 2)
    assert catalogue.remove("run \udcff/vol001").files == 1


def test_a_title_is_taken_once(catalogue: Catalogue) -> None:
    catalogue.add_volume(None, "holiday", None, None, None)
    catalogue.add_volume(None, "Holiday", None, None, None)
    with pytest.raises(CatalogueError, match=r"'holiday'.*remove it or take another"):
        catalogue.add_volume(None, "holiday", None, None, None)


def test_a_runs_state_and_counts_are_kept(catalogue: Catalogue, ask: Callable[[str], list[Any]]) -> None:
    run_id = start_run(catalogue)
    assert ask("SELECT state, finished_at_ns, pid FROM runs") == [(RUNNING, None, os.getpid())]
    catalogue.finish_run(run_id, INCOMPLETE, 9, 1, 2, 3, 4)

    assert ask("SELECT state, finished_at_ns, files, bytes, known_files, error_count FROM runs") == [
        (INCOMPLETE, 9, 1, 2, 3, 4)
    ]


def test_a_run_whose_process_was_killed_is_marked_as_interrupted_once(catalogue: Catalogue, db_uri: str) -> None:
    code = (
        "import os, sys; from backalaika.catalogue import open_catalogue\n"
        "from backalaika.catalogue.rows import RunStart\n"
        "c = open_catalogue(sys.argv[1])\n"
        "c.add_volume(c.start_run(RunStart('job', '/b/dead', '', 1, [])), 'dead/vol001', 1, '/b/dead/vol001', None)\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code, db_uri], timeout=60, check=False)
    start_run(catalogue)

    assert catalogue.mark_abandoned_runs() == ["/b/dead"]
    assert catalogue.mark_abandoned_runs() == []
    assert [(row.state, row.run_state) for row in catalogue.volumes()] == [(INCOMPLETE, INTERRUPTED)]


def test_a_run_whose_process_number_another_process_has_now_is_marked(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("time.time", lambda: 1_000_000.0)
        start_run(catalogue, "old")
    start_run(catalogue, "now")

    assert catalogue.mark_abandoned_runs() == ["/b/old"]


def test_a_run_of_another_host_is_not_marked(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as there:
        there.setattr("socket.gethostname", lambda: "elsewhere")
        there.setattr("time.time", lambda: 1_000_000.0)
        start_run(catalogue)

    assert catalogue.mark_abandoned_runs() == []


def test_bulk_inserts_work_with_drivers_that_take_parameters_by_name_only(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/x.sqlite", paramstyle="named")
    metadata.create_all(engine)
    with engine.begin() as connection:
        bulk_insert(connection, folders, [(b"k1", b"/a"), (b"k2", b"/b")])

        assert connection.execute(select(folders)).all() == [(1, b"k1", b"/a"), (2, b"k2", b"/b")]
    engine.dispose()
