"""A source on a slow disk: a job whose own code makes each read take its time, and keeps a diary of who did what when.

A job file is a program that runs before the processes are started, so what it changes is changed in all of them (they
are forked). The diary has a line for each folder that is listed, each read, each compression and each piece of advice
to the system. What is about a piece of a file ("piece": it will be read now, "fetched": the system is told to fetch
it) has the offset and the size before the path.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_CODE = """
import io, lzma, os, sys, time
import backalaika.run.hashing, backalaika.run.large, backalaika.run.turns, backalaika.run.worker

source, rate = {source!r}, {rate!r}
diary = os.open({diary!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def note(what, start, path):
    os.write(diary, f"{{what}} {{start}} {{time.monotonic()}} {{os.getpid()}} {{path}}\\n".encode())


def path_of(descriptor):
    try:
        return os.readlink(f"/proc/self/fd/{{descriptor}}")
    except OSError:
        return ""


def slowly(read, descriptor, size, *arguments):
    path = path_of(descriptor)
    if not path.startswith(source):
        return read(*arguments)
    start = time.monotonic()
    note("begins", start, path)
    result = read(*arguments)
    time.sleep(size / rate)
    note("read", start, path)
    return result


class SlowFile(io.FileIO):
    def readinto(self, buffer):
        note("piece", time.monotonic(), f"{{self.tell()}} {{len(buffer)}} {{path_of(self.fileno())}}")
        return slowly(super().readinto, self.fileno(), len(buffer), buffer)

    def read(self, size=-1):
        return slowly(super().read, self.fileno(), os.fstat(self.fileno()).st_size, size)


def open_slowly(descriptor, *arguments, **options):
    return SlowFile(descriptor, "rb")


def compress(data, **options):
    start = time.monotonic()
    packed = really_compress(data, **options)
    note("compressed", start, "-")
    return packed


class Scan:
    # As what os.scandir gives: also for os.walk, which takes one entry after another.
    def __init__(self, folder="."):
        self.path, self.start = path_of(folder) if isinstance(folder, int) else os.fsdecode(folder), time.monotonic()
        self.found = really_scan(folder)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.found)

    def __enter__(self):
        return self

    def __exit__(self, *how):
        self.close()

    def close(self):
        self.found.close()
        if (self.path + os.sep).startswith(source):
            time.sleep(0.01)
            note("listed", self.start, self.path)


def advise(descriptor, offset, size, advice):
    note("advised", time.monotonic(), path_of(descriptor))
    if advice == os.POSIX_FADV_WILLNEED:
        note("fetched", time.monotonic(), f"{{offset}} {{size}} {{path_of(descriptor)}}")
    really_advise(descriptor, offset, size, advice)


def read_into(descriptor, places):
    return slowly(really_read_into, descriptor, sum(map(len, places)), descriptor, places)


really_read_into, really_compress, really_advise = os.readv, lzma.compress, os.posix_fadvise
really_scan, os.scandir = os.scandir, Scan
backalaika.run.worker.read_into = read_into
backalaika.run.large.open = backalaika.run.hashing.open = open_slowly
lzma.compress, os.posix_fadvise = compress, advise
"""


@dataclass(frozen=True)
class Event:
    """What a process did, from when to when, by `time.monotonic`."""

    what: str
    start: float
    end: float
    pid: int
    path: str


class SlowSource:
    """The code for a job file, and the diary that it keeps."""

    def __init__(self, source: Path, diary: Path, bytes_a_second: float) -> None:
        self._source = source
        self._diary = diary
        self.code = _CODE.format(source=str(source) + os.sep, rate=bytes_a_second, diary=str(diary))

    def forget(self) -> None:
        """Begin a new diary."""
        self._diary.unlink(missing_ok=True)

    def events(self, what: str) -> list[Event]:
        """What was done, by its start."""
        if not self._diary.exists():
            return []
        found = []
        for line in self._diary.read_text().splitlines():
            kind, start, end, pid, path = line.split(" ", 4)
            if kind == what:
                found.append(Event(kind, float(start), float(end), int(pid), path))
        return sorted(found, key=lambda event: event.start)

    def files_read(self) -> list[str]:
        """Paths in the source, in the order in which they were read."""
        paths = [os.path.relpath(event.path, self._source) for event in self.events("read")]
        return [path for number, path in enumerate(paths) if number == 0 or paths[number - 1] != path]


def most_at_once(events: list[Event]) -> int:
    """How many of them were under way at a time."""
    changes = sorted([(event.start, 1) for event in events] + [(event.end, -1) for event in events])
    under_way = most = 0
    for _, change in changes:
        under_way += change
        most = max(most, under_way)
    return most
