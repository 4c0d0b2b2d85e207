"""Pairs: run programs in turn, A B A B, and tell how they compare.

A time is that of a whole process, from its start to its end. Memory is watched in the round that does not count, for
the watching itself takes time: every 20 ms the proportional set sizes of the process and all below it are added up, so
that memory which several share is counted once (where the system does not tell these, the resident sizes).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil

CHECKOUT = Path(__file__).parents[1]
# As users start it; where only the checkout is there, as a module.
_INSTALLED = Path(sys.executable).with_name("backalaika")
BACKALAIKA = [str(_INSTALLED)] if _INSTALLED.exists() else [sys.executable, "-m", "backalaika"]
_SAMPLE_S = 0.02


@dataclass(slots=True)
class Run:
    """One process: its time, its output, and the most memory it had with all that it started, if that was watched."""

    seconds: float
    out: bytes
    memory: int | None = None


def run(
    command: list[str] | str,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    watch: bool = False,
    statuses: tuple[int, ...] = (0,),
) -> Run:
    """Run a program and wait for its end; a string is a line for bash.

    Args:
        command: the program and its arguments.
        cwd: the directory to run it in.
        environment: variables to set.
        watch: whether to watch its memory.
        statuses: exit statuses that are no failure.

    Raises:
        CalledProcessError: it failed; its message has what the program said.
    """
    arguments = ["bash", "-o", "pipefail", "-c", command] if isinstance(command, str) else command
    variables = os.environ | {"PYTHONPATH": str(CHECKOUT)} | dict(environment or {})
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled too
    start = perf_counter()
    process = subprocess.Popen(arguments, cwd=cwd, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    memory = _Memory(process.pid) if watch else None
    out, err = process.communicate()
    seconds = perf_counter() - start
    if process.returncode not in statuses:
        print(err.decode(errors="replace")[-2000:], file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, arguments, out, err)
    return Run(seconds, out, memory.stop() if memory else None)


class _Memory:
    """Watches a process and all below it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._end.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while True:
            try:
                root = psutil.Process(self._pid)
                processes = [root, *root.children(recursive=True)]
            except psutil.Error:
                processes = []
            self._peak = max(self._peak, sum(map(_size, processes)))
            if self._end.wait(_SAMPLE_S):
                return


def _size(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(full, "pss", full.rss))


@dataclass(slots=True)
class Side:
    """One of the programs that are compared; ``prepare`` is not timed."""

    act: Callable[[bool], Run]
    prepare: Callable[[], object] = lambda: None
    seconds: list[float] = field(default_factory=list)
    memory: int | None = None
    size: int | None = None

    def once(self, counts: bool = True) -> Run:
        """Run it; a round that does not count is watched."""
        self.prepare()
        done = self.act(not counts)
        if counts:
            self.seconds.append(done.seconds)
        else:
            self.memory = done.memory
        return done

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)


def take_turns(sides: Mapping[str, Side], rounds: int) -> None:
    """So many rounds of all sides, one after another in each."""
    for _ in range(rounds):
        for side in sides.values():
            side.once()


def compared(
    row: str,
    work: str,
    ours: Side,
    peers: Mapping[str, Side],
    wanted: float | None,
    files: int | None = None,
    content: int | None = None,
    against: str | None = None,
) -> dict[str, Any]:
    """A line of the result: our side against the fastest of the peers, or against the one named.

    Args:
        row: its name, for ``--only``.
        work: what was done.
        ours: our side.
        peers: the others.
        wanted: the ratio of medians that DESIGN.md asks for.
        files: how many there were.
        content: their bytes.
        against: the peer to compare with.
    """
    peer = against or min(peers, key=lambda name: peers[name].median)
    pairs = sorted(a / b for a, b in zip(ours.seconds, peers[peer].seconds, strict=True))
    ratio = ours.median / peers[peer].median
    line: dict[str, Any] = {
        "row": row,
        "work": work,
        "against": peer,
        "ratio": round(ratio, 3),
        "ratio_spread": [round(pairs[0], 3), round(pairs[-1], 3)],
        "wanted": wanted,
        "reached": None if wanted is None else ratio <= wanted,
        "files": files,
        "bytes": content,
        "programs": {name: _told(side, files, content) for name, side in {"backalaika": ours, **peers}.items()},
    }
    if ours.size and peers[peer].size:
        line["size_ratio"] = round(ours.size / peers[peer].size, 4)
    return line


def _told(side: Side, files: int | None, content: int | None) -> dict[str, Any]:
    told: dict[str, Any] = {"seconds": [round(seconds, 3) for seconds in side.seconds], "peak_memory": side.memory}
    if side.size is not None:
        told["archive_bytes"] = side.size
    if files:
        told["files_a_second"] = round(files / side.median)
    if content:
        told["bytes_a_second"] = round(content / side.median)
    return told


def count(directory: Path) -> tuple[int, int]:
    """Regular files below a directory, and their bytes."""
    files = size = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path) and os.path.isfile(path):
                files += 1
                size += os.path.getsize(path)
    return files, size


def write_job(home: Path, source: Path, option: str, more: str = "") -> Path:
    """A private job file in a home directory of its own; all of it goes on one volume."""
    job = home / "job.py"
    job.write_text(
        f"job = dict(name='bench', sources=[({str(source)!r}, {option!r})])\nconfig = dict(max_size=1 << 50{more})\n"
    )
    job.chmod(0o600)
    return job
