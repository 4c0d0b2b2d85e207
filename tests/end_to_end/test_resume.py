"""Runs that ended early and go on: what comes out is what an uninterrupted run gives."""

from __future__ import annotations

import signal

import pytest
from real_backups import FORMATS
from runs_cut_short import (
    SMALL_MEDIA,
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
)

pytestmark = pytest.mark.timeout(180)


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
