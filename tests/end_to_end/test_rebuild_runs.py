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
from trees_compared import Tree, look, noise, seen_by, set_times, write

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
        self.moment = datetime.fromisoformat(f"2026-11-22 {second}")
        set_times(self.share.tree, int(self.moment.timestamp()) - 1_000_000)  # each folder is saved: it has changed
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


@pytest.fixture
def lost(tmp_path, monkeypatch):
    """A share of which runs begin when the test says so."""
    made = Lost(Share(tmp_path / "share"), datetime(2026, 11, 22, 9, 5))

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
