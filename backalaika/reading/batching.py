"""Batching: files of a medium as tasks for the processes that read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .messages import LooseFile
from .sniffing import promised_kind
from .trees import Found

_FILES_A_TASK = 64
_BYTES_A_TASK = 8 * 1024 * 1024
# An archive of this size is a task of its own, so that several are read at once.
_LARGE_ARCHIVE = 1024 * 1024


def batches(found: Iterable[Found]) -> Iterator[list[LooseFile]]:
    """The files in their order, some at a time; a large one by itself."""
    batch: list[LooseFile] = []
    size = 0
    for each in found:
        file = each.file
        assert file is not None
        alone = _LARGE_ARCHIVE if promised_kind(file.path) else _BYTES_A_TASK
        if file.size >= alone:
            yield [file]
            continue
        batch.append(file)
        size += file.size
        if len(batch) >= _FILES_A_TASK or size >= _BYTES_A_TASK:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
