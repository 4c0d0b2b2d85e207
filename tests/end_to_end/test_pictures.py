"""Each run is a whole picture of its sources, whatever it saved; the catalogue has rows only for what changed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs_in_process import Share, state_of
from trees_compared import noise, text, write

from backalaika.catalogue import open_catalogue
from backalaika.run import worker
from backalaika.run.placing import Placer

FORMATS = ("zip", "gz", "bz2", "zst", "xz")


@pytest.fixture
def share(tmp_path):
    return Share(tmp_path / "share")


def some_content(chance: random.Random) -> bytes:
    """Of sizes and contents that come again, and now and then a large one."""
    kind = chance.random()
    if kind < 0.1:
        return b""
    if kind < 0.15:
        return noise(chance.choice([700_000, 1_300_000]), chance.randrange(3))
    return text(chance.choice([10, 100, 5000]), chance.randrange(6))


def edit(top: Path, chance: random.Random) -> None:
    """Change something in a tree, as people do."""
    folders = sorted(Path(folder) for folder, _, _ in os.walk(top))
    files = sorted(Path(folder) / name for folder, _, names in os.walk(top) for name in names)
    folder = chance.choice(folders)
    new = folder / f"{chance.choice('abcdefgh')}{chance.randrange(4)}"
    file = chance.choice(files) if files else None
    what = chance.randrange(13)
    if what <= 3:
        if new.is_dir() and not new.is_symlink():
            shutil.rmtree(new)
        elif new.is_symlink():
            new.unlink()
        write(new, some_content(chance))
    elif what == 4:
        if new.is_symlink() or new.is_file():
            new.unlink()
        new.mkdir(exist_ok=True)
    elif what == 5 and not os.path.lexists(new):
        new.symlink_to(chance.choice(["a1", "../b2", "/no/where"]))
    elif file is None:
        return
    elif what == 6:
        file.unlink()
    elif what == 7 and not os.path.lexists(new):
        file.rename(new)
    elif what == 8 and not os.path.lexists(new) and not file.is_symlink():
        shutil.copyfile(file, new)
    elif what == 9 and not os.path.lexists(new) and not file.is_symlink():
        os.link(file, new)
    elif what == 10:
        time_ns = chance.randrange(10**18)
        os.utime(file, ns=(time_ns, time_ns), follow_symlinks=False)
    elif what == 11 and not file.is_symlink():
        file.chmod(chance.choice([0o600, 0o644, 0o755]))
    elif what == 12 and folder != top:
        if not os.path.lexists(top / new.name):
            folder.rename(top / new.name)
        else:
            shutil.rmtree(folder)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_each_of_five_states_is_told_as_it_was(seed):
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as root:
        share = Share(Path(root) / "share")
        states = []
        for _ in range(5):
            for _ in range(chance.randrange(12)):
                edit(share.tree, chance)
            states.append(state_of(share.tree))
            share.backup(
                chance.choice(FORMATS) + chance.choice(["", ",separate_dirs"]),
                skip_known=chance.random() < 0.7,
                rehash=chance.random() < 0.2,
                copies=chance.choice([1, 1, 2]),
                max_size=chance.choice([300_000, 1_000_000, 10**9]),
            )

        for number, state in enumerate(states):
            assert share.told(number) == state


def entries_of(share: Share) -> int:
    return len(share.rows("entries"))


def test_an_unchanged_run_writes_no_rows_but_its_own(share):
    for number in range(40):
        write(share.tree / f"{number % 4}" / f"{number}", text(100, number))
    os.symlink("0", share.tree / "link")
    share.backup()
    tables = ("files", "frames", "entries", "listings", "folders", "known", "archives", "volumes")
    before = {table: share.rows(table) for table in tables}

    report = share.backup(skip_known=True)

    assert {table: share.rows(table) for table in tables} == before
    assert (report.files, report.known_files, report.changes) == (0, 41, (0, 0, 0, 0))
    assert share.told() == state_of(share.tree)


def test_a_whole_backup_of_what_is_unchanged_adds_no_entries(share):
    for number in range(10):
        write(share.tree / f"{number}", text(100, number))
    share.backup("zst,separate_dirs")
    before = share.rows("entries")

    share.backup("gz")

    assert share.rows("entries") == before
    assert len(share.rows("files")) == 2 * 11


@pytest.mark.parametrize("skip_known", [False, True])
def test_what_the_date_or_a_pattern_leaves_out_is_not_deleted(share, skip_known):
    old, recent = 10**18, 1_700_000_000 * 10**9
    for name in ("old", "deep/old", "a.tmp", "deep/b.tmp", ".cache/x", "gone", "away/x"):
        write(share.tree / name, text(100, len(name)), mtime_ns=old)
    share.backup()
    before = share.told()

    write(share.tree / "new", b"new", mtime_ns=recent)
    (share.tree / "gone").unlink()
    shutil.rmtree(share.tree / "away")
    report = share.backup(skip_known=skip_known, since_ns=recent, skip_files="*.tmp|.cache")

    after = share.told()
    top = os.fsencode(share.tree)
    assert before.keys() - after.keys() == {top + b"/gone", top + b"/away", top + b"/away/x"}
    assert after.keys() - before.keys() == {top + b"/new"}
    assert report.changes[2] == 3
    share.backup(skip_known=skip_known)
    assert share.told() == state_of(share.tree)


def test_sources_that_come_and_go_are_told_as_they_were_in_each_run(share):
    other = share.root / "other"
    write(share.tree / "a", b"a")
    write(other / "b", b"b")
    both = [(str(share.tree), "zip"), (str(other), "gz")]
    share.backup(sources=both)
    share.backup(skip_known=True)
    write(other / "c", b"c")
    share.backup(sources=both, skip_known=True)

    assert [len(share.told(number)) for number in range(3)] == [4, 2, 5]
    assert share.told() == state_of(share.tree, other)


def test_a_source_that_a_job_saves_in_two_formats_has_one_picture(share):
    write(share.tree / "a", b"a")
    both = [(str(share.tree), "zip"), (str(share.tree), "gz")]
    share.backup(sources=both)
    for _ in range(2):
        report = share.backup(sources=both, skip_known=True)
        assert report.changes == (0, 0, 0, 0)
    write(share.tree / "b", b"b")
    share.backup(sources=both)

    assert [len(share.told(number)) for number in range(4)] == [2, 2, 2, 3]
    assert share.told() == state_of(share.tree)
    assert len(share.rows("trees")) == 1


def test_copies_in_one_run_are_saved_once_and_told_with_their_content(share):
    for name in ("b/second", "a/first", "c", "other"):
        write(share.tree / name, text(5000, name == "other"))
    write(share.tree / "large 2", noise(1_300_000))
    write(share.tree / "large 1", noise(1_300_000))

    report = share.backup("gz", skip_known=True)

    assert (report.files, report.known_files) == (3, 3)
    names = {name for (name,) in [(row[4],) for row in share.rows("files")] if name}
    assert names == {b"c", b"other", b"large 1"}  # first in the order of the tree: its own files, then its folders'
    assert share.told() == state_of(share.tree)
    assert share.backup(skip_known=True).files == 0


def test_a_copy_is_told_if_what_it_is_a_copy_of_could_not_be_saved(share, monkeypatch):
    from backalaika.run import known

    for name in ("first", "second"):
        write(share.tree / name, text(5000))
    hashed = known.digest_files

    def then_it_changes(*asked):
        digests = hashed(*asked)
        write(share.tree / "first", text(5000, 7))
        return digests

    monkeypatch.setattr(known, "digest_files", then_it_changes)
    report = share.backup(skip_known=True, status=1)
    monkeypatch.undo()

    assert [problem.path for problem in report.problems] == [str(share.tree / "second")]
    assert share.told()[os.fsencode(share.tree / "second")][3] is None
    assert share.backup(skip_known=True).files == 1
    assert share.told() == state_of(share.tree)


@pytest.mark.parametrize("settings", [{}, {"skip_known": True}, {"skip_known": True, "rehash": True}])
def test_content_that_changed_under_the_same_size_and_time_is_reported(share, settings):
    write(share.tree / "photo", text(5000), mtime_ns=10**18)
    write(share.tree / "healthy", text(5000, 1))
    share.backup()

    write(share.tree / "photo", text(5000, 2), mtime_ns=10**18)
    report = share.backup(status=1, **settings)

    ((path, message),) = report.problems
    assert path == str(share.tree / "photo")
    assert "the source may be damaged" in message
    assert [row[2] for row in share.rows("errors")] == [os.fsencode(path)]
    assert share.told() == state_of(share.tree)
    assert share.backup(**settings).problems == []  # it is told once


def test_rehash_trusts_no_looks(share, monkeypatch):
    write(share.tree / "photo", text(5000), mtime_ns=10**18)
    share.backup()
    # What rots beneath the file system leaves inode and times alone: as if the system told the same as before.
    with open(share.tree / "photo", "r+b") as file:
        file.write(text(5000, 2))
    os.utime(share.tree / "photo", ns=(10**18, 10**18))
    changed = os.stat(share.tree / "photo")
    import sqlite3

    with sqlite3.connect(f"{share.root}/catalogue.sqlite") as catalogue:
        catalogue.execute("update entries set ctime_ns = ? where name = ?", (changed.st_ctime_ns, b"photo"))

    assert share.backup(skip_known=True).files == 0
    report = share.backup(skip_known=True, rehash=True, status=1)
    assert (report.files, len(report.problems)) == (1, 1)
    report = share.backup(skip_known=True, rehash=True)
    assert (report.files, report.known_files, entries_of(share)) == (0, 1, 3)


def test_a_file_is_saved_again_until_enough_volumes_have_it(share):
    for name in ("a", "b/c"):
        write(share.tree / name, text(5000, len(name)))
    share.backup()

    assert [share.backup(skip_known=True, copies=3).files for _ in range(3)] == [2, 2, 0]
    assert share.backup(skip_known=True, copies=2).files == 0
    write(share.tree / "d", b"new")
    assert [share.backup(skip_known=True, copies=2).files for _ in range(3)] == [1, 1, 0]
    assert share.told() == state_of(share.tree)
    assert share.backup(skip_known=True).files == 0


@pytest.mark.parametrize("option", ["zip", "gz"])
def test_empty_files_and_links_are_saved_again_until_enough_volumes_have_them(share, option):
    write(share.tree / "full", text(5000))
    write(share.tree / "e")
    write(share.tree / "deep/e")
    os.makedirs(share.tree / "other")
    os.link(share.tree / "e", share.tree / "other/same")
    os.link(share.tree / "full", share.tree / "other/full")
    os.symlink("full", share.tree / "other/link")

    found = [share.backup(option, skip_known=True, copies=2).files for _ in range(3)]
    assert found[1:] == [found[0], 0]
    os.symlink("e", share.tree / "deep/link")
    assert [share.backup(option, skip_known=True, copies=3).files for _ in range(4)] == [found[0] + 1, 1, 1, 0]
    assert share.backup(option, skip_known=True).files == 0
    assert share.told() == state_of(share.tree)


def test_the_configuration_may_ask_for_copies(share):
    write(share.tree / "a", text(5000))
    assert [share.backup(skip_known=True, config={"copies": 2}).files for _ in range(3)] == [1, 1, 0]


def test_what_a_removed_volume_had_is_saved_again_and_the_pictures_stay_true(share):
    write(share.tree / "a", text(5000))
    os.symlink("a", share.tree / "link")
    title = share.backup().volumes[0].title
    before = share.told()
    write(share.tree / "b", text(4000, 1))
    share.backup(skip_known=True)
    state = share.told()

    with open_catalogue(share.uri) as catalogue:
        catalogue.remove(title)

    assert share.told() == state
    assert share.backup(skip_known=True).files == 2
    assert share.told(0) == before
    assert share.told(1) == share.told(2) == state
    assert share.backup(skip_known=True).files == 0


def test_a_file_that_cannot_be_read_is_told_without_content(share, monkeypatch):
    write(share.tree / "bad", b"bad")
    write(share.tree / "good", b"good")
    opened = worker.open_file

    def open_file(directory, descriptor, name):
        if name == "bad":
            raise OSError(5, "Input/output error")
        return opened(directory, descriptor, name)

    monkeypatch.setattr(worker, "open_file", open_file)
    share.backup(status=1)
    state = state_of(share.tree)
    bad = os.fsencode(share.tree / "bad")
    assert share.told() == state | {bad: (*state[bad][:3], None, None)}
    assert share.backup(skip_known=True, status=1).known_files == 1  # it is tried again
    monkeypatch.undo()

    assert share.backup(skip_known=True).files == 1
    assert share.told() == state_of(share.tree)


def test_a_folder_that_cannot_be_read_is_not_deleted(share, monkeypatch):
    from backalaika import walk

    write(share.tree / "locked" / "deep" / "a", b"a")
    write(share.tree / "gone", b"b")
    share.backup()
    state = state_of(share.tree)
    (share.tree / "gone").unlink()
    listed = walk._list_directory

    def list_directory(path, skips, device):
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return listed(path, skips, device)

    monkeypatch.setattr(walk, "_list_directory", list_directory)
    for skip_known in (False, True):
        share.backup(skip_known=skip_known, status=1)
        assert share.told().keys() == state.keys() - {os.fsencode(share.tree / "gone")}


def test_on_a_stick_a_file_is_known_though_its_inode_changes_and_summer_comes(share, monkeypatch):
    from backalaika.looks import CoarseMounts
    from backalaika.run import session

    monkeypatch.setattr(session, "coarse_mounts", lambda: CoarseMounts([("/", "ext4"), (str(share.tree), "vfat")]))
    for name in ("a", "b", "c"):
        write(share.tree / name, text(5000, ord(name)), mtime_ns=10**18)
    share.backup()
    rows = share.rows("entries")

    for name, moved in (("a", 0), ("b", 2 * 10**9), ("c", 3600 * 10**9)):
        content = (share.tree / name).read_bytes()
        (share.tree / name).unlink()
        write(share.tree / name, content, mtime_ns=10**18 + moved)
    monkeypatch.setattr("backalaika.run.known.digest_files", None)  # nothing is read
    assert share.backup(skip_known=True).known_files == 3
    assert share.rows("entries") == rows
    monkeypatch.undo()
    write(share.tree / "a", text(5000, 9), mtime_ns=10**18 + 3 * 10**9)
    assert share.backup(skip_known=True).files == 1


def test_no_volume_is_made_for_what_was_deleted_or_moved(share):
    for name in ("a", "deep/b", "deep/er/c"):
        write(share.tree / name, text(5000, ord(name[-1])))
    share.backup()
    (share.tree / "a").unlink()
    (share.tree / "deep" / "b").rename(share.tree / "moved")
    shutil.rmtree(share.tree / "deep" / "er")

    report = share.backup(skip_known=True)

    assert (report.files, report.known_files, report.volumes) == (0, 1, [])
    assert report.changes == (1, 2, 4, 1)
    assert share.told() == state_of(share.tree)
    assert share.backup(skip_known=True).volumes == []


@pytest.mark.parametrize("skip_known", [False, True])
def test_a_run_that_ended_early_has_a_picture_when_it_went_on(share, skip_known, monkeypatch):
    def make(start):
        for number in range(60):
            write(share.tree / f"{number:02}", noise(100_000, number + start))
        write(share.tree / "a folder" / "x", noise(1000, start))

    make(0)
    if skip_known:
        share.backup()
        make(100)
    ended = Placer.end_large
    saved = []

    def then_stop(placer, unit, *how):
        saved.append(unit)
        if len(saved) == 30:
            os.kill(os.getpid(), signal.SIGINT)
        ended(placer, unit, *how)

    monkeypatch.setattr(Placer, "end_large", then_stop)
    early = share.backup(skip_known=skip_known, max_size=300_000, status=130, option="gz")
    monkeypatch.undo()
    assert 0 < early.files < 60
    with open_catalogue(share.uri) as catalogue:
        assert [row.added is not None for row in catalogue.run_rows()] == [True] * skip_known + [False]

    (share.tree / "00").unlink()
    write(share.tree / "01", noise(90_000, 50))
    write(share.tree / "new", b"new")
    shutil.rmtree(share.tree / "a folder")
    share.backup(max_size=300_000, resume=True, option="gz")

    assert share.told() == state_of(share.tree)
    assert share.backup(skip_known=True).files == 0


def test_copies_of_what_a_run_that_goes_on_has_kept_are_not_saved(share, monkeypatch):
    for number in range(12):
        for folder in "abc":
            write(share.tree / folder / f"{number:02}", noise(1_300_000, number))
    ended = Placer.end_large
    saved = []

    def then_stop(placer, unit, *how):
        saved.append(unit)
        if len(saved) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        ended(placer, unit, *how)

    monkeypatch.setattr(Placer, "end_large", then_stop)
    share.backup("gz", skip_known=True, status=130)
    monkeypatch.undo()
    with open_catalogue(share.uri) as catalogue:
        run = catalogue.early_run("office")
        assert 0 < len(set(catalogue.kept_contents(run.id))) == run.files < 12
    went_on = share.backup("gz", resume=True)

    assert (went_on.files, went_on.bytes, went_on.known_files) == (12, 12 * 1_300_000, 24)
    assert share.told() == state_of(share.tree)
    assert share.backup("gz", skip_known=True).files == 0


@pytest.mark.parametrize("skip_known", [False, True])
def test_a_picture_that_cannot_be_recorded_leaves_none(share, skip_known, monkeypatch):
    from backalaika.catalogue import pictures
    from backalaika.errors import CatalogueError

    write(share.tree / "a", b"a")
    share.backup()
    before = share.rows("entries")
    write(share.tree / "b", b"b")

    def fails(transaction, run_id, state, end):
        raise CatalogueError("the power went")

    monkeypatch.setattr(pictures, "enter_end", fails)
    report = share.backup(skip_known=skip_known, status=3)
    monkeypatch.undo()

    assert report.failure == "the power went"
    assert share.rows("entries") == before
    share.backup(skip_known=skip_known)
    assert share.told() == state_of(share.tree)
