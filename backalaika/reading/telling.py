"""Telling: rows, troubles and signs of life of one file on a medium, on their way to who records them."""

from __future__ import annotations

from collections.abc import Callable

from ..digests import DIGESTS, hasher_factory
from .members import Member, folder_and_name, is_too_long, left_out, shortened
from .memory import Memory
from .messages import Message, Moved, Row, Rows, Settings, Trouble
from .sniffing import kind_by_name
from .streams import Budget
from .troubles import Troubles

_ROWS_AT_A_TIME = 2000
# Of their paths: of long ones, fewer are held back.
_BYTES_AT_A_TIME = 1024 * 1024


class Telling:
    """Tells what is found.

    Args:
        settings: how media are read.
        send: takes the messages.
        memory: what decoders may take.

    Attributes:
        path: of the file on the medium that is being read.
        budget: what it may grow to.
        unreadable: whether the medium could not be read somewhere: then nobody tries to read the file once more.
        encrypted, other: members of the archive being read that have no content to be had, and that are left out.
    """

    def __init__(self, settings: Settings, send: Callable[[Message], None], memory: Memory) -> None:
        self.settings = settings
        self.send = send
        self.hasher = hasher_factory(settings.digest if settings.hashing else DIGESTS[0])
        self.path = b""
        self._memory = memory
        self.budget = Budget(0, 0, 0)
        self.unreadable = False
        self.encrypted = self.other = 0
        self._rows: list[Row] = []
        self._bytes = 0
        self._troubles = Troubles(b"", send)

    def begin(self, path: bytes, size: int) -> None:
        """Another file on the medium."""
        self.path, self.unreadable = path, False
        self.budget = Budget(size, self.settings.max_ratio, self.settings.max_members, self._memory)
        self._troubles = Troubles(path, self.send)

    def end(self) -> None:
        """All troubles of the file are told."""
        self._troubles.end()

    def row(self, archive: bytes | None, member: Member, digest: bytes | None) -> None:
        """Tell a row; or why there is none, where the catalogue would not hold it."""
        if is_too_long(member):
            self.trouble(self.path if archive is None else archive, left_out(member.path))
            return
        folder, name = folder_and_name(member.path, member.kind)
        looks = member.kind, member.size, member.mtime_ns
        self._rows.append(Row(archive, folder, name, *looks, digest, member.target, None, member.raw_path))
        self._bytes += len(member.path) + len(member.target or b"")
        if len(self._rows) >= _ROWS_AT_A_TIME or self._bytes >= _BYTES_AT_A_TIME:
            self.flush()

    def member(self, archive: bytes, member: Member, digest: Callable[[], bytes | None] | None, depth: int) -> None:
        """Tell a member, after what is in it.

        ``digest`` is None if its content is not to be had; ``depth`` is that of the archive, 0 on the medium itself.
        """
        self.budget.count_member()
        if member.kind == "other":
            self.other += 1
            return
        found = None
        try:
            if digest is not None and self._wants(member, depth):
                found = digest()
        finally:
            self.row(archive, member, found)

    def _wants(self, member: Member, depth: int) -> bool:
        return self.settings.hashing or (depth < self.settings.depth and kind_by_name(member.path) is not None)

    def flush(self) -> None:
        """Send the rows that are held back."""
        if self._rows:
            rows, self._rows, self._bytes = self._rows, [], 0
            self.send(Rows(rows, self.path))

    def trouble(self, path: bytes, message: str, is_note: bool = False) -> None:
        """What could not be read, or not as it should be; of very many the first are sent."""
        self._troubles.tell(Trouble(shortened(path), message, is_note))

    def moved(self, size: int) -> None:
        """So many bytes of the medium were read; 0 is a sign of life."""
        self.send(Moved(size, self.path))
