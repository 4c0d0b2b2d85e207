"""Time a second run of which nothing has changed, against restic's and borg's.

    python -m benchmarks.second_run DIRECTORY [--rounds 5] [--peers restic,borg]

Each program backs up the directory once, which does not count; then all run in turn on what is unchanged, A B C A B C.
Ours is `backup --skip-known --yes` as a process of its own. Before the figures are printed it is checked that it knew
all files, that the catalogue has no new rows of files, folders or entries, and that a file that is then changed is
found. Prints one JSON line: seconds of each round, and for each peer the ratio of medians with its spread (of the
ratios pair by pair). ``peak_mb`` is resident memory of all our processes together, looked at every 20 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

WANTED = 0.2
# Of restic's wall time.
WANTED_OF = "restic"
TABLES = ("files", "frames", "entries", "listings", "folders", "known", "archives", "volumes")


class Ours:
    """Backalaika, with a home of its own."""

    def __init__(self, source: Path, home: Path) -> None:
        self.home = home
        self.job = home / "job.py"
        self.job.touch(0o600)
        self.job.write_text(f"job = dict(name='bench', sources=[({str(source)!r}, 'zst')])\n")
        self.peak_bytes = 0

    def run(self) -> tuple[float, dict[str, Any]]:
        """Back up; seconds and the report."""
        command = [sys.executable, "-m", "backalaika", "backup", str(self.job), "--yes", "--skip-known", "--json"]
        environment = os.environ | {"HOME": str(self.home), "PYTHONPATH": str(Path(__file__).parents[1])}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled too
        start = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        while process.poll() is None:
            self._look(process.pid)
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        assert process.returncode == 0
        assert process.stdout
        return seconds, json.loads(process.stdout.read())

    def _look(self, pid: int) -> None:
        try:
            parent = psutil.Process(pid)
            together = [parent, *parent.children(recursive=True)]
            self.peak_bytes = max(self.peak_bytes, sum(process.memory_info().rss for process in together))
        except psutil.NoSuchProcess:
            pass  # one of them has just ended

    def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        with sqlite3.connect(self.home / "backups" / "backalaika.sqlite") as catalogue:
            return {table: catalogue.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in TABLES}


def peer_commands(name: str, source: Path, home: Path) -> tuple[list[str], list[str]]:
    """What makes a repository, and what backs up into it."""
    if name == "restic":
        restic = ["restic", "-q", "-r", str(home / name)]
        return [*restic, "init"], [*restic, "backup", str(source)]
    borg = str(home / name)
    return ["borg", "init", "-e", "none", borg], ["borg", "create", f"{borg}::{{now:%s.%f}}", str(source)]


def time_peer(command: list[str], home: Path) -> float:
    """Run a peer once; seconds."""
    environment = os.environ | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "RESTIC_PASSWORD": "bench"}
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def compare(source: Path, peers: list[str], rounds: int) -> dict[str, Any]:
    """All rounds."""
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as folder:
        home = Path(folder)
        ours = Ours(source, home)
        _, first = ours.run()
        commands = {}
        for name in peers:
            init, commands[name] = peer_commands(name, source, home)
            time_peer(init, home)
            time_peer(commands[name], home)
        files = first["files"] + first["known_files"]
        before, ours.peak_bytes = ours.rows(), 0
        times: dict[str, list[float]] = {name: [] for name in ("ours", *peers)}
        for _ in range(rounds):
            seconds, report = ours.run()
            assert (report["files"], report["known_files"]) == (0, files), report
            times["ours"].append(seconds)
            for name, command in commands.items():
                times[name].append(time_peer(command, home))
        assert ours.rows() == before
        new = source / "backalaika-bench-new"
        new.write_bytes(os.urandom(1000))
        try:
            assert ours.run()[1]["files"] == 1
        finally:
            new.unlink()
    result: dict[str, Any] = {"files": files, "peak_mb": round(ours.peak_bytes / 1e6, 1)}
    for name in peers:
        pairs = sorted(a / b for a, b in zip(times["ours"], times[name], strict=True))
        ratio = statistics.median(times["ours"]) / statistics.median(times[name])
        result[name] = {"ratio": round(ratio, 3), "spread": [round(pairs[0], 3), round(pairs[-1], 3)]}
    if WANTED_OF in peers:
        result |= {"wanted": WANTED, "reached": result[WANTED_OF]["ratio"] <= WANTED}
    return result | {"seconds": {name: [round(t, 2) for t in all_of] for name, all_of in times.items()}}


def main() -> None:
    """Compare on the directory that the command line names."""
    parser = argparse.ArgumentParser(description="Time a second run against its peers.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="restic,borg")
    arguments = parser.parse_args()
    peers = [name for name in arguments.peers.split(",") if shutil.which(name)]
    print(json.dumps(compare(arguments.directory.resolve(), peers, arguments.rounds)))


if __name__ == "__main__":
    main()
