"""Sums: SUMS.xxh128, every byte of which counts, for nothing else says whether it is whole itself."""

from __future__ import annotations

import os
import re

from ..manifest import SUMS, sums_line
from ..walk import describe_error

_MOST = 16 * 1024 * 1024
_LINE = re.compile(rb"([0-9a-f]{32})  ([^/\n]+)")


def strict_sums(folder: str) -> tuple[dict[bytes, bytes], list[str]]:
    """XXH3-128 of each file by its name, and what is wrong with the file of sums."""
    path = os.path.join(folder, SUMS)
    if os.path.lexists(path) and not os.path.isfile(path):  # a FIFO would be waited for
        return {}, ["is no regular file"]
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST)
    except FileNotFoundError:
        return {}, ["is missing"]
    except OSError as error:
        return {}, [f"cannot be read: {describe_error(error)}"]
    sums: dict[bytes, bytes] = {}
    wrong = []
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            wrong.append(f"is damaged: line {number} is no sum of a file")
        elif match[2] in sums:
            wrong.append(f"is damaged: line {number} has the name of another")
        else:
            sums[match[2]] = bytes.fromhex(match[1].decode())
    whole = b"".join(os.fsencode(sums_line(digest.hex(), os.fsdecode(name))) for name, digest in sums.items())
    if not wrong and whole != data:
        wrong.append("is damaged: it does not end as it was written")
    return sums, wrong
