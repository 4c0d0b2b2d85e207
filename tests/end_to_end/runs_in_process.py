"""Runs of a job in this process, many of them in little time, and their sources as they were and as the catalogue
tells it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from xxhash import xxh3_128_digest

from backalaika.catalogue import open_catalogue
from backalaika.job.loading import load_job
from backalaika.restoring.report import RestoreReport
from backalaika.restoring.running import Destination, run_restore
from backalaika.restoring.selecting import find_by_catalogue, places_by_catalogue, resolve_links, select_state
from backalaika.restoring.shelf import Shelf
from backalaika.run.answers import Answers
from backalaika.run.report import Report
from backalaika.run.resuming import answers_of, find_early_run
from backalaika.run.session import Session

State = dict[bytes, tuple[Any, ...]]


class Watcher:
    """Hears of a run, and keeps what is wrong."""

    def __init__(self) -> None:
        self.problems: list[Any] = []
        self.notes: list[str] = []

    def advance(self, files: int, size: int, name: str) -> None: ...

    def volume(self, volume: object) -> None: ...

    def problem(self, problem: Any) -> None:
        self.problems.append(problem)

    def note(self, line: str) -> None:
        self.notes.append(line)

    def wait(self, request: str) -> bool:
        return False


class Share:
    """A folder with sources, backups and a catalogue of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.watcher = Watcher()  # of the last run
        self.tree = root / "tree"
        self.tree.mkdir(parents=True)
        self.uri = f"sqlite:///{root}/catalogue.sqlite"

    def backup(
        self,
        option: str = "zip",
        name: str = "office",
        sources: Any = None,
        status: int = 0,
        resume: bool = False,
        **settings: Any,
    ) -> Report:
        """Run the job; settings that are answers are taken for them, the others are configuration."""
        known = "skip_known", "since_ns", "rehash", "copies", "comment"
        answers = {key: settings.pop(key) for key in known if key in settings}
        file = self.root / "job.py"
        file.touch(0o600)
        sources = sources or [(str(self.tree), option)]
        config = {
            "db_uri": self.uri,
            "dir_backups": str(self.root / "backups"),
            **settings.pop("config", {}),
            **settings,
        }
        file.write_text(f"job = dict(name={name!r}, sources={sources!r})\nconfig = {config!r}\n")
        defaults: dict[str, Any] = {"skip_known": False, "since_ns": None, "comment": ""}
        job, given, early = load_job(str(file)), Answers(**(defaults | answers)), None
        if resume:
            early = find_early_run(job)
            assert early is not None
            given = answers_of(early)
        with Session(job, given, 0, start_at_once=True, early=early) as session:
            self.watcher = Watcher()
            report = session.run(self.watcher)
        assert report.exit_status == status, (report.state, report.failure, report.problems)
        return report

    def restore(self, place: Path, job: str = "office", as_of_ns: int | None = None) -> RestoreReport:
        """Bring a state of the job's sources back."""
        with open_catalogue(self.uri, to_write=False) as catalogue:
            selection = select_state(catalogue, job, as_of_ns, [])
            resolve_links(selection, find_by_catalogue(catalogue))
            shelf = Shelf(catalogue.complete_volumes(), catalogue.volumes_with_archives)
            to = Destination(str(place), "never", 0)
            places = places_by_catalogue(catalogue)
            return run_restore(selection, to, shelf, places, lambda order: None, Watcher(), lambda: None)

    def told(self, number: int = -1, job: str = "office", uri: str = "") -> State:
        """The state as of one of the job's runs that have a picture, by default the last, as the catalogue tells it."""
        with open_catalogue(uri or self.uri) as catalogue:
            runs = [row for row in catalogue.run_rows(job) if row.added is not None]
            state: State = {}
            for entry in catalogue.picture(runs[number].id):
                path = os.path.join(entry.folder, entry.name) if entry.name else entry.folder
                assert path not in state
                state[path] = (entry.kind, entry.size, entry.mtime_ns, entry.digest, entry.target)
        return state

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """All rows of a table of the catalogue."""
        import sqlite3

        with sqlite3.connect(f"{self.root}/catalogue.sqlite") as connection:
            return connection.execute(f"select * from {table}").fetchall()


def state_of(*sources: Path) -> State:
    """How the sources are on disk."""
    state: State = {}
    for source in sources:
        for folder, folders, files in os.walk(os.fsencode(source)):
            info = os.lstat(folder)
            state[folder] = ("dir", 0, info.st_mtime_ns, None, None)
            for path in (os.path.join(folder, name) for name in files + folders):
                info = os.lstat(path)
                if stat.S_ISLNK(info.st_mode):
                    state[path] = ("symlink", 0, info.st_mtime_ns, None, os.readlink(path))
                elif stat.S_ISREG(info.st_mode):
                    with open(path, "rb") as file:
                        digest = xxh3_128_digest(file.read())
                    state[path] = ("file", info.st_size, info.st_mtime_ns, digest, None)
    return state
