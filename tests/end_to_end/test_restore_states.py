"""Each of five states of a share comes back as it was, whatever the runs between had to save."""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_backups import FORMATS, manifest_of
from restores import command, errors_of, restore
from runs_cut_short import end_when, forget_all, start
from runs_in_process import Share
from starting import PROGRAM, run_program
from test_pictures import edit
from trees_compared import Tree, look, noise, seen_by, text, write

pytestmark = pytest.mark.timeout(240)


def this_second() -> str:
    """This second, as a date that means it to its end; and wait for that."""
    now = datetime.now().isoformat(" ", "seconds")
    time.sleep(1 - time.time() % 1)
    return now


RUNS = st.lists(
    st.tuples(
        st.sampled_from(FORMATS),
        st.sampled_from(["", ",separate_dirs"]),
        st.booleans(),
        st.one_of(st.integers(300_000, 2_000_000), st.just(10**9)),
        st.booleans(),
    ),
    min_size=5,
    max_size=5,
)


def inodes(top: Path) -> dict[bytes, tuple[int, int]]:
    """The files in a tree: which each is, and since when it has the names and the looks that it has."""
    found = {}
    for folder, _, names in os.walk(os.fsencode(top)):
        for name in names:
            info = os.lstat(os.path.join(folder, name))
            if stat.S_ISREG(info.st_mode):
                path = os.path.relpath(os.path.join(folder, name), os.fsencode(top))
                found[path] = info.st_ino, info.st_ctime_ns
    return found


class Saved:
    """What a run found in a tree, when, and in which archive it saved which name."""

    def __init__(self, share: Share, report) -> None:
        self.tree, self.inodes, self.ended_ns = look(share.tree), inodes(share.tree), time.time_ns()
        self.archives = {
            os.fsencode(line["path"]).removeprefix(b"tree/"): (volume.folder, line["archive"])
            for volume in report.volumes
            for line in manifest_of(Path(volume.folder))
            if line["kind"] in ("file", "hardlink") and not line["archive"].endswith(".zip")
        }


def as_it_comes_back(runs: list[Saved]) -> Tree:
    """The tree of the last of these runs. Names of one file are that again if a run has saved them in one tar.

    That is so of the run that saw the file first as it is now. A volume is of use alone, a zip has no links, and what
    is known by its content is not saved.
    """
    tree, now = dict(runs[-1].tree), runs[-1].inodes

    def saved_in(path: bytes) -> tuple[str, str] | None:
        first = next(run for run in runs if run.inodes.get(path) == now[path])
        return first.archives.get(path)

    for path, thing in tree.items():
        together = {other for other in thing.links if saved_in(other) == saved_in(path)}
        is_together = len(together) > 1 and saved_in(path) is not None
        tree[path] = replace(thing, links=frozenset(together if is_together else ()))
    return tree


def five_states(chance: random.Random, runs) -> None:
    """Run after edits that are drawn, five times, and compare what then comes back of each."""
    with tempfile.TemporaryDirectory() as root:
        share = Share(Path(root) / "share")
        write(share.tree / "first", b"there has to be something")
        saved = []
        for option, separate, known, size, split in runs:
            for _ in range(chance.randrange(12)):
                edit(share.tree, chance)
            report = share.backup(option + separate, skip_known=known, max_size=size, split_files=split)
            saved.append(Saved(share, report))

        for number, run in enumerate(saved):
            place = Path(root) / f"back{number}"
            report = share.restore(place, as_of_ns=run.ended_ns)
            assert (report.exit_status, report.problems) == (0, [])
            assert look(place / "tree") == as_it_comes_back(saved[: number + 1])


@settings(max_examples=6, deadline=None)
@given(chance=st.randoms(use_true_random=False), runs=RUNS)
def test_each_of_five_states_comes_back(chance, runs):
    five_states(chance, runs)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=25, deadline=None)
@given(chance=st.randoms(use_true_random=False), runs=RUNS)
def test_each_of_five_states_comes_back_of_many(chance, runs):
    five_states(chance, runs)


def test_what_was_moved_copied_or_given_other_rights_comes_back_so(office):
    write(office.tree / "old" / "report.txt", text(5000), 0o644)
    write(office.tree / "private.txt", text(3000, 1), 0o644)
    (office.tree / "empty").mkdir()
    office.backup()
    moved = office.tree / "new" / "final.txt"
    moved.parent.mkdir()
    (office.tree / "old" / "report.txt").rename(moved)
    shutil.copyfile(moved, office.tree / "copy.txt")
    (office.tree / "private.txt").chmod(0o600)
    (office.tree / "empty").chmod(0o711)
    os.utime(office.tree / "empty", ns=(10**18, 10**18))
    office.backup("--skip-known")

    place = office.place()
    restore(office, "--job", "office", to=place)
    assert look(place / "tree") == look(office.tree)

    place = office.place()
    restore(office, moved, to=place)
    assert (place / "tree/new/final.txt").read_bytes() == text(5000)


def test_what_is_on_no_volume_any_more_is_told(office):
    write(office.tree / "a.txt", text(5000))
    first = office.backup()
    write(office.tree / "b.txt", text(4000, 1))
    office.backup("--skip-known")
    remove(office, first.volumes[0])

    report = restore(office, "--job", "office", to=office.root / "back", status=1)

    assert set(errors_of(report)) == {"tree/a.txt"}
    assert "on no volume" in errors_of(report)["tree/a.txt"]
    assert (office.root / "back/tree/b.txt").read_bytes() == text(4000, 1)


def same_as_the_source(office, *arguments):
    place = office.place()
    restore(office, *arguments, to=place)
    assert seen_by(look(place / "tree"), hard_links=False) == seen_by(look(office.tree), hard_links=False)


def remove(office, volume):
    command = [*PROGRAM, "remove", "--yes", f"{volume.parent.name}/{volume.name}"]
    run_program(command, office.environment, office.root).check_returncode()


def test_a_path_is_as_the_last_run_found_it_whatever_was_saved_under_it(office):
    write(office.tree / "big", text(50_000))
    write(office.tree / "goes", text(100, 1))
    write(office.tree / "folder" / "small", text(100, 2))
    office.backup()
    (office.tree / "big").rename(office.tree / "folder" / "moved")
    shutil.copyfile(office.tree / "folder" / "moved", office.tree / "again")
    (office.tree / "goes").unlink()
    office.backup("--skip-known")

    same_as_the_source(office, office.tree)

    # What is in no picture any more comes from where it was saved last.
    place = office.place()
    restore(office, office.tree / "goes", to=place)
    assert (place / "tree/goes").read_bytes() == text(100, 1)


def test_a_number_that_was_used_again_does_not_make_a_link_known(office):
    write(office.tree / "stays", text(2000, 1))
    office.backup()
    write(office.tree / "file", text(5000))
    write(office.tree / "empty", b"")
    (office.tree / "link").symlink_to("file")
    second = office.backup("--skip-known")
    remove(office, second.volumes[0])
    other = office.root / "other"
    for number in range(8):
        write(other / f"{number}", text(1000, 10 + number))
    office.backup(sources=[(other, "zip")], name="other")
    office.backup("--skip-known")

    same_as_the_source(office, "--job", "office")


def test_of_a_file_that_was_cut_twice_in_one_run_the_new_content_comes_back(office):
    media = {"max_size": 900_000, "level": 1}
    write(office.tree / "a large", noise(3_000_000, 1))
    for number in range(12):
        write(office.tree / f"z{number}", noise(700_000, 10 + number))
    for _ in range(10):
        process = start(office.command(**media), office)
        end_when(process, lambda: any(office.backups.glob("2*/vol006")), signal.SIGINT)
        if process.returncode == 130:
            break
        forget_all(office)
    write(office.tree / "a large", noise(2_500_000, 2))

    office.backup("--resume", **media)

    same_as_the_source(office, "--job", "office")
    same_as_the_source(office, office.tree)


def test_a_file_that_was_cut_is_taken_from_where_all_its_parts_are(office):
    write(office.tree / "large", noise(2_500_000))
    first = office.backup(max_size=900_000)
    remove(office, first.volumes[0])
    office.backup("--skip-known", max_size=900_000)

    same_as_the_source(office, "--job", "office")


def test_what_a_first_run_with_a_date_left_out_is_still_there_after_a_rebuild(office):
    old = 10**18
    for name in ("old", "deep/old", "deep/large", "changes", "goes"):
        write(office.tree / name, noise(2_000_000) if name == "deep/large" else text(5000, len(name)), mtime_ns=old)
    (office.tree / "link").symlink_to("old")
    os.utime(office.tree / "link", ns=(old, old), follow_symlinks=False)
    office.backup(max_size=900_000)
    for path in office.backups.glob("backalaika.sqlite*"):
        path.unlink()
    command(office, "rebuild", office.backups)

    write(office.tree / "changes", text(300, 7))
    write(office.tree / "goes", text(300, 8))
    write(office.tree / "new", text(300, 9))
    office.backup("--since", "2020-01-01")
    first = this_second(), seen_by(look(office.tree), hard_links=False)
    (office.tree / "goes").unlink()
    office.backup("--since", "2020-01-01")
    same_as_the_source(office, "--job", "office")
    same_as_the_source(office, office.tree)
    place = office.place()
    restore(office, "--job", "office", "--as-of", first[0], to=place)
    assert seen_by(look(place / "tree"), hard_links=False) == first[1]
    place = office.place()
    restore(office, office.tree / "deep", to=place)
    assert (place / "tree/deep/large").read_bytes() == noise(2_000_000)

    # A run without a date sees all that is there, and then what is gone is gone.
    (office.tree / "old").unlink()
    office.backup("--skip-known")
    same_as_the_source(office, "--job", "office")
