"""Pairs: run programs in turn, A B A B, and tell how they compare.

A time is that of a whole process, from its start to its end. Memory is watched in the round that does not count, for
the watching itself takes time: every 20 ms the proportional set sizes of the process and all below it are added up, so
that memory which several share is counted once (where the system does not tell these, the resident sizes).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
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
_said: set[str] = set()  # on stderr


@dataclass(slots=True)
class Run:
    """One process: its time, its output, and the most memory it had with all that it started, if that was watched."""

    seconds: float
    out: bytes
    memory: int | None = None
    status: int = 0


def run(
    command: list[str] | str,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    watch: bool = False,
    statuses: tuple[int, ...] = (0,),
    keep: bool = True,
) -> Run:
    """Run a program and wait for its end; a string is a line for bash.

    Args:
        command: the program and its arguments.
        cwd: the directory to run it in.
        environment: variables to set.
        watch: whether to watch its memory.
        statuses: exit statuses that are no failure.
        keep: whether its output is kept; otherwise it goes to the null device.

    Raises:
        CalledProcessError: it failed; its ``stderr`` has what the program said.
    """
    arguments = ["bash", "-o", "pipefail", "-c", command] if isinstance(command, str) else command
    variables = os.environ | {"PYTHONPATH": str(CHECKOUT)} | dict(environment or {})
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled too
    start = perf_counter()
    stdout = subprocess.PIPE if keep else subprocess.DEVNULL
    process = subprocess.Popen(arguments, cwd=cwd, env=variables, stdout=stdout, stderr=subprocess.PIPE)
    memory = _Memory(process.pid) if watch else None
    out, err = process.communicate()
    seconds = perf_counter() - start
    peak = memory.stop() if memory else None
    if process.returncode not in statuses:
        raise subprocess.CalledProcessError(process.returncode, arguments, out, err)
    return Run(seconds, out, peak, process.returncode)


def run_ours(
    arguments: list[str], home: Path, watch: bool = False, environment: Mapping[str, str] | None = None
) -> Run:
    """Run a command of ours that prints JSON, with a home of its own.

    Status 1 is 'done, but some files could not be saved': no failure. What it was is told once on stderr.
    """
    done = run([*BACKALAIKA, *arguments], None, {"HOME": str(home), **(environment or {})}, watch, (0, 1))
    errors = json.loads(done.out).get("errors") or [{"path": "", "message": ""}] if done.status else []
    if errors:
        more = f", and {len(errors) - 1:,} more" if len(errors) > 1 else ""
        _tell(f"backalaika {arguments[0]}: done, but not with all: {errors[0]['path']}: {errors[0]['message']}{more}")
    return done


def _tell(message: str) -> None:
    """Once on stderr, in one line."""
    if message not in _said:
        _said.add(message)
        print(message.replace("\n", "\\n"), file=sys.stderr, flush=True)


def last_words(error: subprocess.CalledProcessError) -> str:
    """In one line, which program failed, how, and the last that it said."""
    program = error.cmd if isinstance(error.cmd, str) else error.cmd[-1] if error.cmd[0] == "bash" else error.cmd[0]
    said = (error.stderr or b"").decode(errors="replace").split("\n")
    return f"{program}: status {error.returncode}: {next((line for line in reversed(said) if line.strip()), '')}"


def lacking(*commands: str) -> list[str]:
    """The programs of shell lines that are not installed, bash included."""
    programs = ["bash", *(stage.split()[0] for command in commands for stage in command.split("|"))]
    return [program for program in dict.fromkeys(programs) if not shutil.which(program)]


def without(row: str, programs: list[str]) -> dict[str, Any]:
    """A line of the result for a row that has no peer."""
    return {"row": row, "missing": f"left out: no peer, for these are not installed: {', '.join(programs)}"}


def no_peer_could(row: str) -> dict[str, Any]:
    """A line of the result for a row whose peers all failed."""
    return {"row": row, "missing": "left out: no peer can do it with these files; see above"}


def add_rounds(parser: argparse.ArgumentParser, default: int = 5) -> None:
    """The option ``--rounds``."""
    parser.add_argument("--rounds", type=at_least_one, default=default, help=f"pairs of each row ({default})")


def at_least_one(text: str) -> int:
    """A whole number from 1 on, for an option.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 1 on")
    return number


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


def try_once(name: str, peer: Side) -> Run | None:
    """The round of a peer that does not count; nothing, and a word on stderr, where it fails on these files."""
    try:
        return peer.once(counts=False)
    except subprocess.CalledProcessError as error:
        _tell(f"{name} is left out, for it fails on these files: {last_words(error)}")
        return None


def leave_out(name: str, reason: str) -> None:
    """Say on stderr why a peer has no part in a row."""
    _tell(f"{name} is left out: {reason}")


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


def write_job(home: Path, source: Path, option: str, more: str = "") -> Path:
    """A private job file in a home directory of its own; all of it goes on one volume."""
    job = home / "job.py"
    job.write_text(
        f"job = dict(name='bench', sources=[({str(source)!r}, {option!r})])\nconfig = dict(max_size=1 << 50{more})\n"
    )
    job.chmod(0o600)
    return job
