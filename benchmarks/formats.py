"""Time a whole backup in each format against the tool that an office would use instead.

    python -m benchmarks.formats DIRECTORY [--formats zip,gz,zst,bz2,xz] [--rounds 5]

Both run in turn on the same files, A B A B, after one round that does not count: backalaika as a process of its own,
with hashing, cataloguing and syncing, into a fresh folder with a catalogue that exists; the peer as its shell command.
Before the clock starts, both archives are listed and must hold the same number of files. One JSON line a format:
seconds of each round, the ratio of medians with its spread (of the ratios pair by pair), sizes, and whether it reached
the wanted ratio of DESIGN.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Format: peers (name and shell command; {source} is its name, {out} a file), wanted time ratio, wanted size ratio.
PEERS: dict[str, tuple[dict[str, str], float, float]] = {
    "gz": ({"pigz": "tar c {source} | pigz -6 > {out}"}, 0.5, 1.00),
    "zip": (
        {"zip": "zip -q -6 -r {out}.zip {source}", "7z": "7z a -bd -tzip {out}.zip {source} > /dev/null"},
        0.3,
        1.01,
    ),
    "zst": ({"zstd": "tar c {source} | zstd -q -T0 -3 > {out}"}, 1.0, 1.02),
    "bz2": ({"pbzip2": "tar c {source} | pbzip2 > {out}"}, 1.0, 1.01),
    "xz": ({"xz": "tar c {source} | xz -T0 -6 > {out}"}, 1.0, 1.01),
}
# As users start it; where only the checkout is there, as a module.
_INSTALLED = Path(sys.executable).with_name("backalaika")
PROGRAM = [str(_INSTALLED)] if _INSTALLED.exists() else [sys.executable, "-m", "backalaika"]
LISTERS = {
    "zip": "unzip -Z1 {0}",
    "gz": "tar tzf {0}",
    "bz2": "tar tjf {0}",
    "zst": "zstd -dc {0} | tar t",
    "xz": "tar tJf {0}",
}


def time_backalaika(source: Path, option: str, home: Path) -> tuple[float, Path]:
    """Back up once; seconds and the archive."""
    job = home / "job.py"
    job.write_text(f"job = dict(name='bench', sources=[({str(source)!r}, {option!r})])\n")
    job.chmod(0o600)
    for old in (home / "backups").glob("2*"):
        shutil.rmtree(old)
    command = [*PROGRAM, "backup", str(job), "--yes", "--json"]
    environment = os.environ | {"HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled too
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    volume = json.loads(done.stdout)["volumes"][0]
    return seconds, Path(volume["folder"], volume["archives"][0])


def time_peer(source: Path, command: str, folder: Path) -> tuple[float, Path]:
    """Run the peer once; seconds and the archive."""
    for old in folder.glob("peer*"):
        old.unlink()
    shell = command.format(source=source.name, out=folder / "peer")
    start = time.perf_counter()
    subprocess.run(["bash", "-o", "pipefail", "-c", shell], cwd=source.parent, check=True)
    return time.perf_counter() - start, next(folder.glob("peer*"))


def count_files(archive: Path, option: str) -> int:
    """Members of an archive that are no directories."""
    shell = LISTERS[option].format(archive)
    listed = subprocess.run(["bash", "-o", "pipefail", "-c", shell], check=True, capture_output=True).stdout
    return sum(not line.endswith(b"/") for line in listed.splitlines())


def compare(source: Path, option: str, rounds: int) -> dict[str, object]:
    """All rounds of one format."""
    peers, wanted_time, wanted_size = PEERS[option]
    peers = {name: command for name, command in peers.items() if shutil.which(name)}
    if not peers:
        return {"format": option, "error": f"no peer is installed: {', '.join(PEERS[option][0])}"}
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as home:
        folder = Path(home)
        _, ours = time_backalaika(source, option, folder)
        theirs = {name: time_peer(source, command, folder)[1] for name, command in peers.items()}
        sizes = {}
        for name, command in peers.items():
            _, theirs[name] = time_peer(source, command, folder)
            assert count_files(ours, option) == count_files(theirs[name], option)
            sizes[name] = theirs[name].stat().st_size
        our_size = ours.stat().st_size
        our_times: list[float] = []
        their_times: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(rounds):
            our_times.append(time_backalaika(source, option, folder)[0])
            for name, command in peers.items():
                their_times[name].append(time_peer(source, command, folder)[0])
    fastest = min(their_times, key=lambda name: statistics.median(their_times[name]))
    ratio = statistics.median(our_times) / statistics.median(their_times[fastest])
    pairs = sorted(a / b for a, b in zip(our_times, their_times[fastest], strict=True))
    size_ratio = our_size / sizes[fastest]
    return {
        "format": option,
        "peer": fastest,
        "ratio": round(ratio, 3),
        "ratio_spread": [round(pairs[0], 3), round(pairs[-1], 3)],
        "wanted": wanted_time,
        "size_ratio": round(size_ratio, 4),
        "size_wanted": wanted_size,
        "reached": ratio <= wanted_time and size_ratio <= wanted_size,
        "seconds": [round(t, 3) for t in our_times],
        "peer_seconds": {name: [round(t, 3) for t in times] for name, times in their_times.items()},
        "bytes": our_size,
        "peer_bytes": sizes,
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
    }


def main() -> None:
    """Compare on the directory that the command line names."""
    parser = argparse.ArgumentParser(description="Time backups against their peers.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--formats", default="zip,gz,zst,bz2,xz")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for option in arguments.formats.split(","):
        print(json.dumps(compare(arguments.directory.resolve(), option, arguments.rounds)), flush=True)


if __name__ == "__main__":
    main()
