"""Runs that ended early and go on: what comes out is what an uninterrupted run gives."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from real_backups import FORMATS
from runs_cut_short import (
    MIB,
    ROWS_OF_CONTENT,
    SMALL_MEDIA,
    assert_consistent,
    assert_whole,
    cut_short,
    end_when,
    forget_all,
    last_run,
    make_office_tree,
    recorded_files,
    report_counts,
    resume,
    start,
    unfinished,
    unpack_run,
)
from trees_compared import noise, write

pytestmark = pytest.mark.timeout(180)

ONE_MEDIUM = {"max_size": 60 * MIB, "level": 1}


@pytest.mark.parametrize("option", FORMATS)
def test_a_run_that_was_killed_goes_on_as_if_nothing_had_been(office, option):
    make_office_tree(office.tree)
    uninterrupted = office.backup(options=option, **SMALL_MEDIA)
    forget_all(office)
    cut_short(office, options=option, **SMALL_MEDIA)
    folder, before = last_run(office), recorded_files(office)

    outcome = resume(office, options=option, **SMALL_MEDIA)

    assert outcome.report["folder"] == str(folder)
    assert report_counts(outcome) == report_counts(uninterrupted)
    assert_whole(office, folder, option)
    assert recorded_files(office) >= before > 0
    assert office.catalogued("select count(*) from runs") == [(1,)]


@pytest.mark.parametrize("option", ["zip", "zst,separate_dirs"])
def test_a_run_that_ctrl_c_ended_goes_on(office, option):
    make_office_tree(office.tree)
    cut_short(office, options=option, number=signal.SIGINT, **SMALL_MEDIA)
    assert office.catalogued("select state from runs") == [("interrupted",)]

    resume(office, options=option, **SMALL_MEDIA)

    assert_whole(office, last_run(office), option)


@pytest.mark.parametrize("option", ["zip,separate_dirs", "gz"])
def test_a_run_may_be_killed_again_and_again(office, option):
    make_office_tree(office.tree)
    cut_short(office, options=option, **SMALL_MEDIA)
    command = office.command("--resume", options=option, **SMALL_MEDIA)
    for _ in range(3):
        saved = recorded_files(office)
        process = start(command, office)
        end_when(process, lambda saved=saved: recorded_files(office) > saved and bool(unfinished(office)))
        if process.returncode == 0:
            break
    else:
        resume(office, options=option, **SMALL_MEDIA)

    assert_whole(office, last_run(office), option)


def saved_paths(office):
    """Paths of the files that the catalogue has of the last run, in the order they were saved."""
    return [Path(os.fsdecode(path)) for (path,) in office.catalogued(ROWS_OF_CONTENT + " order by files.id")]


def stopped_in_one_archive(office, option):
    """Stop a run by CTRL-C in the midst of its only archive, which is kept."""
    cut_short(office, least=0, written=6_000_000, number=signal.SIGINT, options=option, **ONE_MEDIUM)
    assert 1 < recorded_files(office) < 60


@pytest.mark.parametrize("option", FORMATS)
def test_a_file_that_changed_meanwhile_is_saved_again_and_its_new_content_wins(office, option):
    make_office_tree(office.tree)
    stopped_in_one_archive(office, option)
    changed = {path: noise(200_000, 9) for path in saved_paths(office)[-2:]}
    gone = saved_paths(office)[-3]
    for path, content in changed.items():
        write(path, content)
    gone.unlink()
    write(office.tree / "zz new", b"new")

    outcome = resume(office, options=option, **ONE_MEDIUM)

    place = unpack_run(office, last_run(office))
    for path, content in changed.items():
        assert (place / path.relative_to(office.root)).read_bytes() == content
    assert (place / gone.relative_to(office.root)).exists()  # it was there when it was saved
    assert (place / "tree" / "zz new").read_bytes() == b"new"
    assert_consistent(office, last_run(office))
    times = Counter(saved_paths(office))
    # A zip has one place for a name, so the old content gives it up; a tar has them one after another.
    assert [times[path] for path in changed] == [1 if option == "zip" else 2] * 2
    assert outcome.report["files"] == times.total()
