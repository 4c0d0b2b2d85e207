"""Runs that ended early and go on: what comes out is what an uninterrupted run gives."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import time
from collections import Counter
from pathlib import Path

import ordinary_tools as tools
import pytest
from real_backups import FORMATS, archives_on
from restores import restore
from runs_cut_short import (
    MIB,
    ROWS_OF_CONTENT,
    SMALL_MEDIA,
    assert_consistent,
    assert_whole,
    bytes_unfinished,
    content_saved,
    cut_short,
    end_when,
    forget_all,
    killed_again,
    last_run,
    make_office_tree,
    recorded_files,
    report_counts,
    resume,
    start,
    unfinished,
    unpack_run,
)
from starting import run_program
from trees_compared import look, make_tree, noise, seen_by, write

from backalaika.media import MEDIA

pytestmark = pytest.mark.timeout(180)

TINY_MEDIA = {"volume_sizes": [1, 3], "max_size": 2 * MIB, "level": 1}
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
    assert outcome.report["bytes"] == content_saved(office) >= uninterrupted.report["bytes"] - 2_000_000
    assert_whole(office, folder, option)
    assert recorded_files(office) >= before > 0
    assert office.catalogued("select count(*) from runs") == [(1,)]


@pytest.mark.parametrize("option", ["zip", "zst,separate_dirs"])
def test_a_run_that_ctrl_c_ended_goes_on(office, option):
    make_office_tree(office.tree)
    cut_short(office, signal.SIGINT, options=option, **SMALL_MEDIA)
    assert office.catalogued("select state from runs") == [("interrupted",)]

    resume(office, options=option, **SMALL_MEDIA)

    assert_whole(office, last_run(office), option)


@pytest.mark.parametrize("option", ["zip,separate_dirs", "gz"])
def test_a_run_may_be_killed_again_and_again(office, option):
    make_office_tree(office.tree)
    cut_short(office, options=option, **SMALL_MEDIA)
    for _ in range(2):
        if not killed_again(office, options=option, **SMALL_MEDIA):
            break
    if office.catalogued("select state from runs") != [("complete",)]:
        resume(office, options=option, **SMALL_MEDIA)

    assert_whole(office, last_run(office), option)


def saved_paths(office):
    """Paths of the files that the catalogue has of the last run, in the order they were saved."""
    return [Path(os.fsdecode(path)) for (path,) in office.catalogued(ROWS_OF_CONTENT + " order by files.id")]


def stopped_in_one_archive(office, option):
    """Stop a run by CTRL-C in the midst of its only archive; the files that it has saved in the tree's folders."""
    cut_short(office, signal.SIGINT, options=option, **ONE_MEDIUM)
    return [path for path in saved_paths(office) if path.parent.name.startswith("folder")]


@pytest.mark.parametrize("option", FORMATS)
def test_a_file_that_changed_meanwhile_is_saved_again_and_its_new_content_wins(office, option):
    make_office_tree(office.tree)
    *_, gone, first, second = stopped_in_one_archive(office, option)
    changed = {path: noise(200_000, 9) for path in (first, second)}
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


@pytest.mark.parametrize("option", ["zip", "gz"])
def test_what_is_saved_again_goes_to_no_volume_before_the_one_that_has_the_old(office, option):
    make_office_tree(office.tree)
    cut_short(office, signal.SIGINT, options=option, **SMALL_MEDIA)
    places = office.catalogued(ROWS_OF_CONTENT.replace("select", "select volumes.number,", 1))
    places = [(number, Path(os.fsdecode(path))) for number, path in places if "/folder" in str(path)]
    last = max(number for number, _ in places)
    changed = [path for number, path in places if number == last]
    assert last > 1
    for number, path in enumerate(changed):
        write(path, noise(1000, number))  # so small that any volume has room for it

    resume(office, options=option, **SMALL_MEDIA)

    place = unpack_run(office, last_run(office))
    for path in changed:
        assert (place / path.relative_to(office.root)).read_bytes() == path.read_bytes()
    assert_consistent(office, last_run(office))


@pytest.mark.parametrize(("option", "suffix"), [("zip", "zip"), ("zst", "tar.zst")])
def test_what_is_saved_again_of_a_source_that_was_done_comes_in_an_archive_that_sorts_later(office, option, suffix):
    first = office.root / "first"
    for number in range(3):
        write(first / f"{number}.bin", noise(100_000, number))
    make_office_tree(office.tree)
    sources = [(first, option), (office.tree, option)]
    process = start(office.command(sources=sources, **ONE_MEDIUM), office)
    end_when(process, lambda: any(office.backups.glob(f"2*/vol001/first.001.{suffix}")), signal.SIGINT)
    assert process.returncode == 130
    write(first / "1.bin", b"new")

    (volume,) = resume(office, sources=sources, **ONE_MEDIUM).volumes

    assert [path.name for path in archives_on(volume)][:2] == [f"first.001.{suffix}", f"first.001b.{suffix}"]
    place = unpack_run(office, last_run(office))
    assert (place / "first" / "1.bin").read_bytes() == b"new"
    assert_consistent(office, last_run(office))


def replaced_job(office, **changes):
    job = {"options": "zip", **SMALL_MEDIA} | changes
    return office.command("--resume", **job)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"options": "gz"}, "sources or their options have changed"), ({"digest": "sha256"}, "digest")],
)
def test_a_job_that_changed_is_refused_in_one_line(office, changes, said):
    make_office_tree(office.tree)
    cut_short(office, signal.SIGINT, options="zip", **SMALL_MEDIA)

    assert said in refused(office, replaced_job(office, **changes))

    resume(office, options="zip", **SMALL_MEDIA)
    assert_whole(office, last_run(office), "zip")
    assert "did not end early" in refused(office, replaced_job(office))


def refused(office, command):
    """The one line with which a command is refused."""
    done = run_program(command, office.environment, office.root)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("given", [("--comment", "x"), ("--since", "all"), ("--skip-known",), ("--dry-run",)])
def test_a_run_that_goes_on_takes_no_new_answers(office, given):
    write(office.tree / "a", b"a")
    assert "--resume" in refused(office, office.command("--resume", *given))


def test_the_answers_are_those_of_the_run(office):
    make_office_tree(office.tree)
    old = office.tree / "folder0" / "0.bin"
    os.utime(old, (1, 1))
    command = office.command("--since", "2001-01-01", "--comment", "before the move", **ONE_MEDIUM)
    process = start(command, office)
    end_when(process, lambda: bytes_unfinished(office) >= 4_000_000, signal.SIGINT)

    outcome = resume(office, **ONE_MEDIUM)

    assert outcome.report["comment"] == "before the move"
    assert old not in saved_paths(office)
    assert len(saved_paths(office)) == outcome.report["files"] > 60


@pytest.mark.parametrize("option", ["zip", "zst"])
@pytest.mark.parametrize(
    "damage", ["a volume is gone", "an archive is cut", "the manifest is empty", "only users' files"]
)
def test_what_was_damaged_meanwhile_is_saved_again(office, option, damage):
    make_office_tree(office.tree)
    cut_short(office, signal.SIGINT, options=option, **SMALL_MEDIA)
    volume = sorted(last_run(office).glob("vol*"))[0]
    mine = [volume / "holiday.zip", volume / "download.partial"]
    if damage == "a volume is gone":
        shutil.rmtree(volume)
    elif damage == "an archive is cut":
        for archive in volume.glob(f"*{option}.partial"):
            os.truncate(archive, 1000)
    elif damage == "the manifest is empty":
        os.truncate(volume / "MANIFEST.jsonl.gz.partial", 0)
    else:
        for path in mine:
            path.write_bytes(b"the user's own")

    resume(office, options=option, **SMALL_MEDIA)

    if damage == "only users' files":
        for path in mine:
            assert path.read_bytes() == b"the user's own"
            path.unlink()
    assert_whole(office, last_run(office), option)


def test_a_run_that_ended_before_anything_was_recorded_goes_on(office):
    make_office_tree(office.tree)
    process = start(office.command(**SMALL_MEDIA), office)
    end_when(process, lambda: bool(unfinished(office)))
    assert recorded_files(office) == 0
    mine = last_run(office) / "vol001" / "mine.txt"
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(b"the user's own")

    resume(office, **SMALL_MEDIA)

    assert mine.read_bytes() == b"the user's own"
    shutil.rmtree(mine.parent)
    assert_whole(office, last_run(office), "zip")


@pytest.mark.parametrize("option", ["zip", "gz"])
def test_a_run_that_could_write_no_more_goes_on(office, option):
    """A limit on the size of files stands in for a full disk where nobody may mount a small one."""
    make_office_tree(office.tree)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_500_000, 3_500_000))

    failed = office.backup(options=option, status=3, program={"preexec_fn": limit}, **SMALL_MEDIA)
    assert "File too large" in failed.report["failure"]
    assert office.catalogued("select state from runs") == [("failed",)]

    outcome = resume(office, options=option, **SMALL_MEDIA)

    assert outcome.report["folder"] == failed.report["folder"]
    assert_whole(office, last_run(office), option)


def test_a_disc_stays_a_disc_when_the_run_goes_on_with_other_media(office):
    make_office_tree(office.tree)
    cut_short(office, signal.SIGINT, max_size="cd")

    outcome = resume(office, max_size="dvd")

    (volume,), (folder,) = outcome.report["volumes"], outcome.volumes
    assert volume["capacity"] == MEDIA["cd"].capacity
    sectors = tools.call("genisoimage", "-r", "-J", "-udf", "-quiet", "-print-size", folder)
    assert int(sectors) * 2048 == round(volume["fill"] * volume["capacity"]) > volume["size"] + 400 * 2048


def test_sources_that_overlap_are_both_saved(office):
    make_office_tree(office.tree)
    sources = [(office.tree, "zip"), (office.tree / "folder1", "gz"), (office.tree / "deep", "zip,separate_dirs")]
    uninterrupted = office.backup(sources=sources, **SMALL_MEDIA)
    forget_all(office)
    cut_short(office, sources=sources, **SMALL_MEDIA)

    outcome = resume(office, sources=sources, **SMALL_MEDIA)

    assert report_counts(outcome) == report_counts(uninterrupted)
    assert_consistent(office, last_run(office))


def test_a_file_that_cannot_be_saved_is_told_by_both_and_counted_once(office):
    make_office_tree(office.tree)
    os.mkfifo(office.tree / "deep" / "fifo")
    cut_short(office, signal.SIGINT, **SMALL_MEDIA)

    outcome = resume(office, status=1, **SMALL_MEDIA)

    assert list(outcome.errors) == [str(office.tree / "deep" / "fifo")]
    assert office.catalogued("select count(*) from errors") == [(1,)]
    assert office.catalogued("select error_count from runs") == [(1,)]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("option", ["zip", "gz", "bz2", "zst", "xz"])
def test_a_run_killed_at_any_moment_goes_on(office, option):
    """Ten moments in each format, so fifty in all: before, in and after writing, and in the repair."""
    make_tree(office.tree, large=600_000)
    for number in range(20):
        write(office.tree / f"folder{number % 3}" / f"{number}.bin", noise(200_000, number))
    moments = random.Random(f"crash {option}")
    for number in range(10):
        delays = [moments.uniform(0.2, 1.6) for _ in range(moments.randint(1, 3))]
        print(option, number, delays)  # shown if it fails
        forget_all(office)
        arguments: tuple[str, ...] = ()
        for delay_s in delays:
            process = start(office.command(*arguments, options=option, **TINY_MEDIA), office)
            until = time.monotonic() + delay_s
            end_when(process, lambda until=until: time.monotonic() >= until)
            if states(office) != ["interrupted"] and states(office) != ["running"]:
                break
            arguments = ("--resume",)
        state = states(office)
        if state != ["complete"]:
            office.backup(*arguments if state else (), options=option, **TINY_MEDIA)
        assert_whole(office, last_run(office), option)


def states(office):
    """The states of all runs; none while there is no catalogue."""
    try:
        return [state for (state,) in office.catalogued("select state from runs")]
    except sqlite3.Error:
        return []


def complete_volumes(office):
    """How many volumes the catalogue has as complete; 0 while there is none."""
    try:
        return office.catalogued("select count(*) from volumes where state = 'complete'")[0][0]
    except sqlite3.Error:
        return 0


@pytest.mark.parametrize("option", ["zip", "zst"])
def test_a_run_that_leaves_out_known_files_goes_on_and_has_a_picture(office, option):
    make_office_tree(office.tree)
    slow = "import time\ndef after_volume(volume):\n    time.sleep(60)"  # it is waited for, so the run is not over
    process = start(office.command("--skip-known", options=option, more=slow, **SMALL_MEDIA), office)
    end_when(process, lambda: complete_volumes(office) > 0)
    assert complete_volumes(office) > 0

    resume(office, options=option, **SMALL_MEDIA)

    restore(office, "--job", "office", to=office.root / "back")
    back, tree = look(office.root / "back" / "tree"), look(office.tree)
    assert seen_by(back, hard_links=False) == seen_by(tree, hard_links=False)
    again = office.backup("--skip-known", options=option, **SMALL_MEDIA)
    assert again.report["files"] == 0


def test_a_run_that_goes_on_makes_as_many_copies_as_it_began_with(office):
    make_office_tree(office.tree)
    office.backup(**ONE_MEDIUM)
    process = start(office.command("--skip-known", "--copies", "2", options="xz", max_size=60 * MIB), office)
    end_when(process, lambda: bytes_unfinished(office) >= 4_000_000, signal.SIGINT)
    assert process.returncode == 130

    went_on = resume(office, options="xz", max_size=60 * MIB)

    assert went_on.report["files"] > 60
    assert office.backup("--skip-known", "--copies", "2", **ONE_MEDIUM).report["files"] == 0
