"""What is told of one file, as a medium would tell it."""

from __future__ import annotations

import os
from pathlib import Path

from backalaika.reading.entering import Entering
from backalaika.reading.members import joined
from backalaika.reading.messages import (
    ArchiveBegins,
    ArchiveEnds,
    LooseFile,
    Message,
    NotEntered,
    Row,
    Rows,
    Settings,
    Trouble,
)
from backalaika.reading.trees import Tree, tree_at


class Told:
    """What was told of one file, in a folder or in an image of a disc."""

    def __init__(
        self, path: Path, threads: int = 1, tree: Tree | None = None, file: LooseFile | None = None, **chosen
    ) -> None:
        messages: list[Message] = []
        tree = tree or tree_at(str(path.parent))
        entering = Entering(tree, Settings(**{"digest": "sha256"} | chosen), messages.append)
        if file is None:
            info = path.stat()
            file = LooseFile(os.fsencode(path.name), info.st_size, info.st_mtime_ns)
        entering.enter(file, threads)
        entering.flush()
        self.archives = {message.path: message.kind for message in messages if isinstance(message, ArchiveBegins)}
        self.ended = [message.path for message in messages if isinstance(message, ArchiveEnds)]
        self.rows: list[Row] = [row for message in messages if isinstance(message, Rows) for row in message.rows]
        self.troubles = [message for message in messages if isinstance(message, Trouble) and not message.is_note]
        self.notes = [message for message in messages if isinstance(message, Trouble) and message.is_note]
        self.not_entered = {message.path: message.kind for message in messages if isinstance(message, NotEntered)}

    def paths(self, archive: bytes | None) -> list[bytes]:
        return [joined(row.folder, row.name) for row in self.rows if row.archive == archive]

    def digests(self, archive: bytes) -> dict[bytes, tuple[int, bytes | None]]:
        return {
            joined(row.folder, row.name).removeprefix(b"./"): (row.size, row.digest)
            for row in self.rows
            if row.archive == archive and row.kind == "file"
        }
