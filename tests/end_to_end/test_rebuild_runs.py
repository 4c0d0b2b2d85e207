"""Of several runs, some of one minute, a catalogue that was lost is made again; or manifests alone tell them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from restores import command
from runs_in_process import Share
from test_rebuild import ARCHIVES, FILES, KNOWN, RUNS, VOLUMES
from trees_compared import NS, Tree, look, noise, seen_by, write

from backalaika.run import session

pytestmark = pytest.mark.timeout(240)


@dataclass
class Lost:
    """A share, the states in which its runs found it, and a catalogue made anew."""

    share: Share
    moment: datetime
    states: list[Tree] = field(default_factory=list)

    @property
    def backups(self) -> Path:
        return self.share.root / "backups"

    def backup(self, second: str, **settings) -> str:
        """Run at this time of a certain day; the name of the run's folder."""
        self.moment = datetime.fromisoformat(f"2024-11-22 {second}")
        give_times(self.share.tree, int(self.moment.timestamp()) - 1_000_000)
        report = self.share.backup("gz", max_size=900_000, **settings)
        self.states.append(seen_by(look(self.share.tree), hard_links=False))
        return os.path.basename(report.folder)

    def rebuild(self, *folders: Path) -> None:
        """Enter all volumes, or those in one folder after another, in another catalogue, and use that from now on."""
        self.share.uri = f"sqlite:///{self.share.root}/again.sqlite"
        for folder in folders or (self.backups,):
            command(self.office, "rebuild", folder, "--db", self.share.uri)

    @property
    def office(self) -> SimpleNamespace:
        """What gives commands in the name of this share."""
        from starting import environment_of

        return SimpleNamespace(environment=environment_of(self.share.root), root=self.share.root)

    def rows(self, statement: str, catalogue: str) -> list[tuple]:
        with sqlite3.connect(f"file:{self.share.root}/{catalogue}.sqlite?mode=ro", uri=True) as connection:
            return connection.execute(statement).fetchall()

    def known_to_media(self, catalogue: str) -> list[list[tuple]]:
        """What a catalogue has, folders by their paths in archives."""
        rows = [
            (title, archive, label + folder[len(source) :], *rest)
            for title, archive, label, source, folder, *rest in self.rows(FILES, catalogue)
        ]
        return [rows, *(self.rows(asked, catalogue) for asked in (RUNS, VOLUMES, ARCHIVES, KNOWN))]

    def starts(self) -> list[int]:
        """When each run began, by the catalogue made anew, in their order."""
        return [start for (start,) in self.rows("select started_at_ns from runs order by started_at_ns", "again")]

    def states_restored(self, job: str = "office") -> list[Tree]:
        """The state of each run."""
        found = []
        for start in self.starts():
            place = self.share.root / f"back {start}"
            report = self.share.restore(place, job, as_of_ns=start)
            assert (report.exit_status, report.problems) == (0, [])
            found.append(seen_by(look(place / "tree"), hard_links=False))
        return found

    def restored(self, *arguments, status: int = 0) -> Tree:
        """What the command line restores."""
        place = self.share.root / f"restored {len(list(self.share.root.glob('restored*')))}"
        arguments = (*arguments, "--to", place, "--db", self.share.uri)
        command(self.office, "restore", *arguments, status=status)
        return seen_by(look(place / "tree"), hard_links=False)


def give_times(top: Path, start_s: int) -> None:
    """Give what was changed just now a time that looks like any other."""
    for folder, folders, files in os.walk(top, topdown=False):
        for path in (os.path.join(folder, name) for name in ["", *folders, *files]):
            if os.lstat(path).st_mtime > time.time() - 3600:
                os.utime(path, ns=(start_s * NS, start_s * NS + len(path)), follow_symlinks=False)


@pytest.fixture
def lost(tmp_path, monkeypatch):
    """A share of which runs begin when the test says so."""
    made = Lost(Share(tmp_path / "share"), datetime(2024, 11, 22, 9, 5))

    class Clock:
        def __getattr__(self, name):
            return getattr(time, name)

        @staticmethod
        def time_ns():
            return int(made.moment.timestamp()) * 1_000_000_000

    monkeypatch.setattr(session, "time", Clock())
    yield made
    shutil.rmtree(made.share.root)


def test_each_version_of_a_file_that_was_cut_has_its_own_size(lost):
    tree = lost.share.tree
    for minute, size in enumerate((1_550_000, 1_500_000, 2_400_000)):
        write(tree / "mbox", noise(size, size))
        lost.backup(f"09:{minute:02d}:00")
    lost.rebuild()

    assert lost.known_to_media("again") == lost.known_to_media("catalogue")
    assert lost.states_restored() == lost.states


def test_runs_of_one_minute_keep_their_order(lost):
    names = []
    for number in range(11):
        write(lost.share.tree / "letter", noise(1000, number))
        names.append(lost.backup(f"09:05:{5 * number:02d}", skip_known=True))
    assert sorted(names) != names  # -10 and -11 come before -2
    # Manifests alone tell it too.
    assert lost.restored("--from", lost.backups) == lost.states[-1]
    lost.rebuild()

    assert lost.known_to_media("again") == lost.known_to_media("catalogue")
    assert lost.states_restored() == lost.states
    assert lost.restored("--job", "office") == lost.states[-1]
    assert lost.restored(lost.share.tree) == lost.states[-1]


def test_runs_that_are_entered_one_after_another_in_any_order_are_what_they_were(lost):
    for number in range(4):
        write(lost.share.tree / "letter", noise(1000, number))
        write(lost.share.tree / "mbox", noise(1_500_000 + 100_000 * (number % 2), number))
        lost.backup(f"09:05:{5 * number:02d}", skip_known=True)

    folders = sorted(lost.backups.iterdir())
    lost.rebuild(*(folders[number] for number in (2, 0, 3, 1)))

    assert lost.states_restored() == lost.states
    assert lost.restored("--job", "office") == lost.states[-1]
    assert lost.restored(lost.share.tree) == lost.states[-1]


@pytest.mark.parametrize(("job", "comment"), [("office-3", ""), ("office", "room 12"), ("office-2", "2 3\n\nnew 4")])
def test_a_number_at_the_end_of_a_name_or_comment_is_not_taken_for_that_of_a_run(lost, job, comment):
    for number in range(3):
        write(lost.share.tree / "letter", noise(1000, number))
        lost.backup(f"09:05:{5 * number:02d}", name=job, comment=comment)
    lost.rebuild()

    assert [start % 60_000_000_000 for start in lost.starts()] == [0, 1, 2]
    assert lost.states_restored(job) == lost.states


def replace_things(tree, step):
    """Folders become files and links, and the other way round."""
    if step == 0:
        for number, name in enumerate(("x/inner", "x/deep/er/inner", "y/inner", "z", "stays/inner")):
            write(tree / name, noise(500, 10 + number))
    elif step == 1:
        shutil.rmtree(tree / "x")
        write(tree / "x", noise(700, 1))
        shutil.rmtree(tree / "y")
        (tree / "y").symlink_to("stays")
        (tree / "z").unlink()
        write(tree / "z/new", noise(700, 2))
    elif step == 2:  # nothing of the first x may come again
        (tree / "x").unlink()
        write(tree / "x/other", noise(800, 3))
        shutil.rmtree(tree / "z")
        write(tree / "z", noise(800, 4))
    elif step == 3:
        shutil.rmtree(tree / "x")
        (tree / "x").symlink_to("nowhere")


def test_where_a_folder_became_a_file_and_a_file_a_folder_the_newest_counts(lost):
    tree = lost.share.tree
    for step in range(4):
        replace_things(tree, step)
        lost.backup(f"09:{step:02d}:00", skip_known=True)
        # Manifests alone tell it too.
        assert lost.restored("--from", lost.backups) == lost.states[-1]
    lost.rebuild()

    assert lost.states_restored() == lost.states
    assert lost.restored(tree) == lost.states[-1]
    assert lost.restored(tree / "x", tree / "z", tree / "y").keys() == {b"", b"x", b"y", b"z"}


def test_what_became_a_file_after_a_rebuild_stays_one_where_a_date_left_out_what_is_older(lost):
    replace_things(lost.share.tree, 0)
    write(lost.share.tree / "old", noise(900, 5))
    lost.backup("09:00:00", skip_known=True)
    lost.rebuild()

    (lost.share.tree / "x/new").mkdir()
    replace_things(lost.share.tree, 1)
    since = datetime.fromisoformat("2024-11-22 09:30:00").timestamp()
    for name in ("x", "z", "z/new"):
        os.utime(lost.share.tree / name)
    os.utime(lost.share.tree / "y", follow_symlinks=False)
    lost.moment = datetime.fromisoformat("2024-11-22 10:00:00")
    lost.share.backup("gz", since_ns=int(since) * 1_000_000_000)

    back = lost.restored("--job", "office")
    there = seen_by(look(lost.share.tree), hard_links=False)
    assert {path: thing.content for path, thing in back.items()} == {
        path: thing.content for path, thing in there.items()
    }


def test_of_a_file_that_was_cut_manifests_tell_the_parts_of_one_run(lost):
    for minute, size in enumerate((2_400_000, 1_500_000, 2_450_000, 500_000)):
        write(lost.share.tree / "mbox", noise(size, size))
        lost.backup(f"09:{minute:02d}:00")
        assert lost.restored("--from", lost.backups) == lost.states[-1]


@pytest.mark.parametrize("disc_by_disc", [False, True])
def test_the_catalogue_of_many_runs_is_rebuilt_row_by_row(lost, disc_by_disc):
    """Two in one minute, a file of several parts that grows and shrinks, folders that become files, a comment."""
    tree = lost.share.tree
    times = "09:05:10", "09:05:40", "09:06:05", "09:07:05"
    for step, (moment, size) in enumerate(zip(times, (1_500_000, 1_550_000, 2_400_000, 1_450_000), strict=True)):
        replace_things(tree, step)
        write(tree / "mbox", noise(size, size))
        write(tree / "deep" / "letter", noise(3000, 100 + step))
        write(os.fsencode(tree) + b"/n\xe4me \xff\n", noise(2000, 200 + step))
        lost.backup(moment, skip_known=step != 2, comment="room 12" if step == 3 else "")
    before = lost.known_to_media("catalogue")

    if disc_by_disc:  # the third one of each run, then the second ones, and the first
        lost.rebuild(*sorted(lost.backups.glob("*/vol*"), key=lambda folder: folder.name, reverse=True))
        again = lost.known_to_media("again")
        # Runs come in the order of their discs.
        assert [sorted(map(repr, rows)) for rows in again] == [sorted(map(repr, rows)) for rows in before]
    else:
        lost.rebuild()
        assert lost.known_to_media("again") == before

    assert lost.states_restored() == lost.states
    assert lost.restored("--job", "office") == lost.states[-1]
    assert lost.restored(tree) == lost.states[-1]
    assert lost.restored("--from", lost.backups) == lost.states[-1]
