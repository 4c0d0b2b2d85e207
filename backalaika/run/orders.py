"""Orders: the main process's end of the writer.

Sends the writer what to do, hears which slots are free again and what is safe, and holds back what the catalogue
shall know until the bytes behind it are on disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from multiprocessing import Pipe
from typing import Any

from ..errors import RunError
from . import rows
from .patience import ROOM_MADE, DiskFull
from .pool import WRITER_NAME, start_process
from .slots import Slots
from .writer import ArchiveSafe, Ended, Safe, SlotFree, VolumeSafe, WriteFailed, run_writer


class WriterOrders:
    """The writer's process, as the run talks to it.

    Attributes:
        folder: the run's, for messages.
        on_full: called with the system's message when the disk is full; when it returns, the write is tried again.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.folder = ""
        self.on_full: Callable[[str, int], None] | None = None
        self._connection, theirs = Pipe()
        self._process = start_process(run_writer, (theirs, slots.name, slots.size), WRITER_NAME)
        theirs.close()
        self._number = 0
        self._safe_number = 0
        self._sent = 0
        # With the number, and the count of all orders, that must be carried out and safe before it is told.
        self._held: deque[tuple[int, int, rows.Record]] = deque()
        self.safe: deque[rows.Record] = deque()

    @property
    def ended(self) -> bool:
        """Whether the writer was told to end."""
        return self._connection.closed

    def order(self, name: str, *arguments: Any) -> None:
        """Send an order: the name of a method of `Writer`, and its arguments."""
        try:
            self._connection.send((name, *arguments))
        except OSError:
            self.listen(block=False)
            raise RunError(f"{self.folder}: the process that writes is gone; start the backup again") from None
        self._sent += 1

    def numbered(self, name: str, *arguments: Any) -> int:
        """Send an order that is answered when it is carried out; returns its number."""
        self._number += 1
        self.order(name, self._number, *arguments)
        return self._number

    def hold(self, record: rows.Record) -> None:
        """Let the catalogue know this once all that was ordered before is safe."""
        # Bytes ordered since the last numbered order are safe with the next one.
        self._held.append((self._number + 1, self._sent, record))

    def listen(self, block: bool, timeout_s: float = 0.2) -> None:
        """Take the writer's answers; with ``block``, wait up to ``timeout_s`` for the first.

        Raises:
            RunError: the writer could not write, or is gone.
        """
        try:
            while self._connection.poll(timeout_s if block else 0):
                block = False
                self._take(self._connection.recv())
        except (EOFError, OSError):
            raise RunError(f"{self.folder}: the process that writes is gone; start the backup again") from None

    def _take(self, answer: Any) -> None:
        match answer:
            case SlotFree(slot):
                self._slots.release(slot)
            case Safe(number):
                self._release(number)
            case ArchiveSafe(number, archive, size, digest):
                self._release(number)
                self.safe.append(rows.ArchiveComplete(archive, size, digest))
            case VolumeSafe(number, volume, size):
                self._release(number)
                self.safe.append(rows.VolumeComplete(volume, size))
            case Ended(orders):
                self._release_carried_out(orders)
            case DiskFull(message):
                if self.on_full is None:
                    raise RunError(f"{self.folder}: {message}; make room, then start the backup again")
                self.on_full(message, 0)
                self._connection.send(ROOM_MADE)
            case WriteFailed(message):
                raise RunError(f"{self.folder}: {message}; make room or mend the disk, then start the backup again")

    def _release(self, number: int) -> None:
        self._safe_number = number
        while self._held and self._held[0][0] <= number:
            self._tell(self._held.popleft()[2])

    def _release_carried_out(self, orders: int) -> None:
        """The writer has ended, maybe for want of room in the midst of the orders: what came before is safe."""
        while self._held and self._held[0][1] <= orders:
            self._tell(self._held.popleft()[2])

    def _tell(self, record: rows.Record) -> None:
        last = self.safe[-1] if self.safe else None
        if isinstance(record, rows.Rows) and isinstance(last, rows.Rows) and last.takes(record):
            last.frames.extend(record.frames)
            last.members.extend(record.members)
        else:
            self.safe.append(record)

    def wait_until_safe(self, interrupted: Callable[[], bool]) -> None:
        """Wait until all that was ordered is safe, or the run is interrupted."""
        last = self.numbered("sync")
        while self._safe_number < last and not interrupted():
            self.listen(block=True)

    def stop(self) -> None:
        """Let the writer finish its orders, close its files and end; once is enough, more do no harm."""
        if self._connection.closed:
            return
        failure = None
        try:
            self._connection.send(None)
            # What it still says (slots, syncs) must be taken, or it would wait for us.
            while True:
                answer = self._connection.recv()
                if isinstance(answer, DiskFull):  # no longer: it has been told to end
                    continue
                try:
                    self._take(answer)
                except RunError as error:
                    failure = error
        except (EOFError, OSError):
            pass  # the pipe's end: the writer has closed its files, or is gone, which `wait_until_safe` has told
        finally:
            self._process.join()
            self._connection.close()
        if failure is not None:
            raise failure
