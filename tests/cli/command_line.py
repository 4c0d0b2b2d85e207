"""The command line as its users meet it: a process of its own, a private home, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pexpect
import psutil
from starting import PROGRAM, environment_of, run_program

# How Python names segments of shared memory.
OURS = ("psm_",)


@dataclass
class Result:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


class Home:
    """A private home with a source of a few files, and a way to write jobs and give commands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.backups = root / "backups"
        self.source = root / "source"
        self.temporary = root / "tmp"
        self.source.mkdir(parents=True)
        self.temporary.mkdir()
        for i in range(4):
            (self.source / f"{i}.txt").write_text(f"file {i}\n" * 10)
        self.shared_before = shared_memory()

    @property
    def environment(self):
        return environment_of(self.root) | {"TMPDIR": str(self.temporary), "TERM": "xterm", "COLUMNS": "100"}

    def job(self, options="zip", name="office", source=None, more="", file="job.py"):
        """Write a job file, only for its owner, and return its path."""
        path = self.root / file
        path.write_text(f"job = dict(name={name!r}, sources=[({str(source or self.source)!r}, {options!r})])\n{more}\n")
        path.chmod(0o600)
        return str(path)

    def run(self, *arguments, status=None, timeout=60, **options) -> Result:
        """Give a command without a terminal; ``status`` is what it must leave with."""
        environment, folder = options.pop("env", self.environment), options.pop("cwd", self.root)
        done = run_program([*PROGRAM, *arguments], environment, folder, timeout, **options)
        assert "Traceback" not in done.stderr, done.stderr
        if status is not None:
            assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments, **options) -> subprocess.Popen:
        """Start a command in a process group of its own, as a shell would."""
        settings = {"stdin": subprocess.DEVNULL, "env": self.environment, "cwd": self.root} | options
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
            **settings,
        )

    def refused(self, *arguments, **options) -> str:
        """Give a command that must be refused with exit status 2 and one line; the line."""
        before = sorted(map(str, self.backups.glob("2*")))
        done = self.run(*arguments, status=2, **options)
        assert done.out == ""
        lines = done.err.splitlines()
        assert len(lines) == 1, done.err
        assert lines[0].startswith("backalaika: ")
        assert sorted(map(str, self.backups.glob("2*"))) == before
        return lines[0]

    def processes(self):
        """Processes that have this home in their environment, or were forked by one that works in it."""
        found = []
        for process in psutil.process_iter():
            try:
                is_ours = str(self.root) in (process.environ().get("HOME"), process.cwd())
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append((process.pid, process.cmdline()))
            except psutil.Error:
                continue
        return found

    def leftovers(self):
        """Processes, shared memory and temporary files that should not be there."""
        return self.processes(), shared_memory() - self.shared_before, os.listdir(self.temporary)

    def assert_nothing_left(self, within_s=5.0):
        """Nothing of a command is left, at the latest after a while."""
        until = time.monotonic() + within_s
        while self.leftovers() != ([], set(), []):
            assert time.monotonic() < until, self.leftovers()
            time.sleep(0.05)

    def folders(self):
        """The folders of the runs, oldest first."""
        return sorted(self.backups.glob("2*"))

    def runs(self):
        """State and number of each run's volumes by state, as the catalogue has them."""
        import sqlite3

        with sqlite3.connect(f"file:{self.backups}/backalaika.sqlite?mode=rw", uri=True) as catalogue:
            runs = catalogue.execute("select id, state from runs order by id").fetchall()
            states = catalogue.execute("select run_id, state from volumes order by id").fetchall()
        return [(state, [volume for owner, volume in states if owner == run]) for run, state in runs]

    def kill(self):
        """End what a failed test left running."""
        for pid, _ in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def shared_memory():
    """Names of the shared memory segments that no process uses any more, whoever made them."""
    try:
        left = {name for name in os.listdir("/dev/shm") if name.startswith(OURS)}
    except FileNotFoundError:
        return set()
    for maps in Path("/proc").glob("[0-9]*/maps") if left else ():
        try:
            used = maps.read_text(errors="replace")
        except OSError:
            continue
        left = {name for name in left if f"/dev/shm/{name}" not in used}
    return left


def wait_for(condition, within_s=30.0):
    """Wait until something is so; its value."""
    until = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)
    return value


def on_terminal(home, *arguments, timeout=30, dimensions=(40, 100)):
    """Start a command on a terminal of its own; the caller closes it."""
    return pexpect.spawn(
        PROGRAM[0],
        [*PROGRAM[1:], *arguments],
        env=home.environment,
        cwd=str(home.root),
        encoding="utf-8",
        use_poll=True,
        codec_errors="surrogateescape",
        timeout=timeout,
        dimensions=dimensions,
    )


def press(terminal, key):
    """Press CTRL and a key once the program waits for it; before that, an interrupt may come between two system calls.

    Its question is on the screen a moment before it sleeps in the terminal's driver.
    """
    status = Path(f"/proc/{terminal.pid}/stat")

    def used():
        fields = status.read_text().rpartition(")")[2].split()  # proc(5): from the state on
        return fields[0], fields[11], fields[12]

    def asleep():
        before = used()
        time.sleep(0.1)
        return before[0] == "S" and used() == before

    wait_for(asleep)
    terminal.sendcontrol(key)
