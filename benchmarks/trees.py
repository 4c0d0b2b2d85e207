"""Make a tree of many small files to measure with: the same for the same seed.

    python -m benchmarks.trees DIRECTORY [--files 200000] [--size 1000] [--seed 1]

A hundred files a folder; the content is half text that compresses and half bytes that do not.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

_PIECE = 16 << 20
WORDS = [b"invoice", b"office", b"report", b"budget", b"letter", b"meeting", b"quarter", b"account", b"total", b"draft"]


def make_tree(directory: Path, files: int, size: int, seed: int) -> None:
    """Write the files; ``size`` is in bytes."""
    rng = random.Random(seed)
    for number in range(files):
        folder = directory / f"{number // 10_000:04d}" / f"{number // 100 % 100:02d}"
        if number % 100 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        text = b" ".join(rng.choices(WORDS, k=size // 12 + 1))[: size // 2]
        (folder / f"{number:08d}.txt").write_bytes(text + rng.randbytes(size - len(text)))


def make_large_files(directory: Path, files: int, size: int, seed: int) -> None:
    """Write some large files that do not compress; ``size`` is in bytes."""
    directory.mkdir(parents=True)
    piece = random.Random(seed).randbytes(_PIECE)
    for number in range(files):
        with (directory / f"{number:04d}.bin").open("wb") as file:
            file.write(b"%020d" % number)
            for start in range(20, size, _PIECE):
                file.write(piece[: size - start])


def make_random_files(directory: Path, megabytes: int, seed: int) -> None:
    """Write files of 1 MB that do not compress, a hundred a folder."""
    rng = random.Random(seed)
    for number in range(megabytes):
        folder = directory / f"{number // 100:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06d}.bin").write_bytes(rng.randbytes(1_000_000))


def main() -> None:
    """Make the tree that the command line describes."""
    parser = argparse.ArgumentParser(description="Make a tree of small files.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    make_tree(arguments.directory, arguments.files, arguments.size, arguments.seed)


if __name__ == "__main__":
    main()
