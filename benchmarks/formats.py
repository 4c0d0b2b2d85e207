"""Time a whole backup in each format against the tool that an office would use instead.

    python -m benchmarks.formats DIRECTORY [--formats zip,gz,zst,bz2,xz] [--rounds 5]

Both run in turn on the same files, A B A B, after one round that does not count: backalaika as a process of its own,
with hashing, cataloguing and syncing, into a fresh folder with a catalogue that exists; the peer as its shell command.
Before the clock starts, both archives are listed by Python and must hold the same number of files and links; FIFOs,
devices and sockets are not counted, for not every tool saves them. One JSON line a format: seconds of each round, the
ratio of medians with its spread (of the ratios pair by pair), sizes, and whether it reached the wanted ratio of
DESIGN.md.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import tarfile
import tempfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import zstandard

from .contents import survey
from .pairs import (
    Run,
    Side,
    add_rounds,
    compared,
    lacking,
    leave_out,
    no_peer_could,
    run,
    run_ours,
    take_turns,
    try_once,
    without,
    write_job,
)

# Format: peers (name and shell command; {source} is its name, {out} a file), wanted time ratio, wanted size ratio.
PEERS: dict[str, tuple[dict[str, str], float, float]] = {
    "gz": ({"pigz": "tar c {source} | pigz -6 > {out}"}, 0.5, 1.00),
    "zip": (
        # Both would follow links by default, which tar and we do not.
        {"zip": "zip -q -6 -y -r {out}.zip {source}", "7z": "7z a -bd -snl -tzip {out}.zip {source} > /dev/null"},
        0.3,
        1.01,
    ),
    "zst": ({"zstd": "tar c {source} | zstd -q -T0 -3 > {out}"}, 1.0, 1.02),
    "bz2": (
        {"pbzip2": "tar c {source} | pbzip2 > {out}", "lbzip2": "tar c {source} | lbzip2 > {out}"},
        1.0,
        1.01,
    ),
    "xz": ({"xz": "tar c {source} | xz -T0 -6 > {out}"}, 1.0, 1.01),
}
# Against whom, where it is there, though another may be faster: what DESIGN.md wants is next.
AGAINST = {"bz2": "pbzip2"}
# These wait at a FIFO for somebody to write to it.
WAITING = frozenset({"7z"})


def back_up(job: Path, home: Path, watch: bool = False, *switches: str) -> Run:
    """Back up once, as a process of its own."""
    return run_ours(["backup", str(job), "--yes", "--json", *switches], home, watch)


def remove_backups(home: Path) -> None:
    """Remove the folders of earlier runs; the catalogue stays."""
    for old in (home / "backups").glob("2*"):
        shutil.rmtree(old)


def archive_of(done: Run) -> Path:
    """The archive that a backup made, which must be one."""
    (volume,) = json.loads(done.out)["volumes"]
    (name,) = volume["archives"]
    return Path(volume["folder"], name)


def ours(source: Path, option: str, home: Path) -> Side:
    """Backalaika, writing one archive."""
    return Side(partial(back_up, write_job(home, source, option), home), partial(remove_backups, home))


def peer(source: Path, command: str, folder: Path) -> Side:
    """A shell command, writing ``peer*`` in a folder."""

    def prepare() -> None:
        for old in folder.glob("peer*"):
            old.unlink()

    shell = command.format(source=shlex.quote(f"./{source.name}"), out=shlex.quote(str(folder / "peer")))
    return Side(lambda watch: run(shell, cwd=source.parent, watch=watch), prepare)


def count_files(archive: Path, option: str) -> int:
    """Files and links in an archive."""
    if option == "zip":
        with zipfile.ZipFile(archive) as opened:
            return sum(not name.endswith("/") for name in opened.namelist())
    with archive.open("rb") as file:
        if option == "zst":
            stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            with tarfile.open(fileobj=stream, mode="r|") as members:
                return sum(_counts(member) for member in members)
        with tarfile.open(fileobj=file, mode="r:*") as members:
            return sum(_counts(member) for member in members)


def _counts(member: tarfile.TarInfo) -> bool:
    return member.isreg() or member.issym() or member.islnk()


def compare(source: Path, option: str, rounds: int) -> dict[str, Any]:
    """All rounds of one format."""
    peers, wanted_time, wanted_size = PEERS[option]
    commands = {name: command for name, command in peers.items() if not lacking(command)}
    if not commands:
        return without(option, lacking(*peers.values()))
    found = survey(source)
    with tempfile.TemporaryDirectory(prefix="backalaika-bench-") as home:
        folder = Path(home)
        us = ours(source, option, folder)
        archive = archive_of(us.once(counts=False))
        us.size, members = archive.stat().st_size, count_files(archive, option)
        them = {}
        for name, command in commands.items():
            side = peer(source, command, folder)
            if found.pipes and name in WAITING:
                leave_out(name, "it waits for ever at a FIFO or a device, and these files have some")
            elif try_once(name, side):
                (made,) = folder.glob("peer*")
                side.size = made.stat().st_size
                theirs = count_files(made, option)
                assert theirs == members, f"{name} has saved {theirs:,} files and links, backalaika {members:,}"
                them[name] = side
        if not them:
            return no_peer_could(option)
        take_turns({"backalaika": us, **them}, rounds)
    work = ("zip" if option == "zip" else f"tar.{option}") + f", {found.size / 1e6:,.0f} MB"
    against = AGAINST[option] if AGAINST.get(option) in them else None
    line = compared(option, work, us, them, wanted_time, found.files, found.size, against)
    line["size_wanted"] = wanted_size
    line["reached"] = line["reached"] and line["size_ratio"] <= wanted_size
    return line


def main() -> None:
    """Compare on the directory that the command line names."""
    parser = argparse.ArgumentParser(description="Time backups against their peers.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--formats", default="zip,gz,zst,bz2,xz")
    add_rounds(parser)
    arguments = parser.parse_args()
    for option in arguments.formats.split(","):
        print(json.dumps(compare(arguments.directory.resolve(), option, arguments.rounds)), flush=True)


if __name__ == "__main__":
    main()
