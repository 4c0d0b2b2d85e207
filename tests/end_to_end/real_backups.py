"""Backups through the real command line: a private home, job files, and what the program said."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash
from starting import PROGRAM, environment_of, run_program, without_privileges

FORMATS = ("zip", "gz", "bz2", "zst", "xz")
# What a volume has beside its archives.
OWN_FILES = ("MANIFEST.jsonl.gz", "SUMS.xxh128", "README.txt")


@dataclass
class Outcome:
    """How a backup ended: its exit status, its report, what it said on standard error."""

    status: int
    report: dict[str, Any]
    err: str

    @property
    def volumes(self) -> list[Path]:
        return [Path(volume["folder"]) for volume in self.report["volumes"]]

    @property
    def archives(self) -> list[Path]:
        return [folder / name for folder, volume in self._folders() for name in volume["archives"]]

    @property
    def archive(self) -> Path:
        """The only archive."""
        (archive,) = self.archives
        return archive

    @property
    def errors(self) -> dict[str, str]:
        return {error["path"]: error["message"] for error in self.report["errors"]}

    def _folders(self):
        return zip(self.volumes, self.report["volumes"], strict=True)


class Office:
    """A private home with an empty source."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.backups = self.home / "backups"
        self.tree = root / "tree"
        self.home.mkdir(parents=True)
        self.tree.mkdir()
        self._unpacked = 0

    @property
    def environment(self) -> dict[str, str]:
        return environment_of(self.home)

    def command(self, *arguments: str, sources=None, options="zip", name="office", more="", **config) -> list[str]:
        """Write a job file, for its owner alone; the command that backs it up.

        ``sources`` are those of the job, by default the tree with ``options``; ``config`` its settings.
        """
        sources = [(str(self.tree), options)] if sources is None else [(str(path), how) for path, how in sources]
        file = self.root / "job.py"
        file.touch(0o600)
        file.write_text(f"job = dict(name={name!r}, sources={sources!r})\nconfig = {config!r}\n{more}\n")
        return [*PROGRAM, "backup", str(file), "--yes", "--json", *arguments]

    def backup(self, *arguments: str, status=0, timeout=60, program=None, **job) -> Outcome:
        """Back up; ``status`` is what the program must leave with, ``program`` are more options for its process."""
        done = run_program(self.command(*arguments, **job), self.environment, self.root, timeout, **(program or {}))
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        return Outcome(done.returncode, json.loads(done.stdout), done.stderr)

    def place(self) -> Path:
        """A new empty folder to unpack into."""
        self._unpacked += 1
        place = self.root / f"unpacked{self._unpacked}"
        place.mkdir()
        return place

    def catalogued(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the catalogue."""
        with sqlite3.connect(f"file:{self.backups}/backalaika.sqlite?mode=rw", uri=True) as catalogue:
            return catalogue.execute(statement).fetchall()


def manifest_of(volume: Path) -> list[dict[str, Any]]:
    """The lines of a volume's manifest."""
    return [json.loads(line) for line in gzip.decompress((volume / "MANIFEST.jsonl.gz").read_bytes()).splitlines()]


def digest_of(path: Path | bytes) -> str:
    """XXH3-128 of a file."""
    hasher = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return hasher.hexdigest()


def archives_on(volume: Path) -> list[Path]:
    """The archives on a volume, in the order of their names."""
    return sorted(path for path in volume.iterdir() if path.name not in OWN_FILES)


def bytes_on(volume: Path) -> int:
    """What burning a volume would take: the sum of its files."""
    return sum(entry.stat().st_size for entry in os.scandir(volume))


UNPRIVILEGED = {"preexec_fn": without_privileges}
