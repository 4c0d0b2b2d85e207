"""BCJ2: programs for x86 whose calls and jumps lie apart, which 7-Zip puts together again (Bcj2.c of the LZMA SDK).

There are four streams: the program without those addresses, the absolute addresses of calls, those of jumps, both most
significant byte first, and one that tells by a range coder, for each call or jump met, whether its address was taken
out. An address is put back as a relative one. Between two of them bytes are copied as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import ArchiveError
from .streams import PIECE, Stream

_BRANCH = re.compile(rb"[\xe8\xe9]|(?<=\x0f)[\x80-\x8f]")
_CALL, _JUMP, _PREFIX = 0xE8, 0xE9, 0x0F
_TOP, _MASK = 1 << 24, 0xFFFFFFFF


class _Bits:
    """The range decoder, with a probability for each kind of branch: of calls, for each byte before them."""

    def __init__(self, source: Stream) -> None:
        self._source = source
        self._range = _MASK
        start = source.read(5)
        if len(start) < 5 or start[0]:
            raise ArchiveError("is damaged: its content ends too early")
        self._code = int.from_bytes(start[1:], "big")
        self._odds = [1024] * 258

    def is_taken_out(self, branch: int, before: int) -> bool:
        """Whether the address of the next branch was taken out."""
        if self._range < _TOP:
            # The last byte may be missing, and says nothing.
            self._range, self._code = self._range << 8, self._code << 8 | int.from_bytes(self._source.read(1), "big")
        kind = before if branch == _CALL else 256 if branch == _JUMP else 257
        odds = self._odds[kind]
        bound = (self._range >> 11) * odds
        if self._code < bound:
            self._range = bound
            self._odds[kind] = odds + (2048 - odds >> 5)
            return False
        self._range, self._code = self._range - bound, self._code - bound
        self._odds[kind] = odds - (odds >> 5)
        return True


def joined(main: Stream, calls: Stream, jumps: Stream, bits: Stream, size: int) -> Iterator[bytes]:
    """The first ``size`` bytes of the program.

    Raises:
        ArchiveError: a stream is damaged or ends too early.
        OSError: the medium cannot be read.
    """
    decoder = _Bits(bits)
    before, told = 0, 0
    while told < size:
        piece = bytes(main.take(PIECE))
        if not piece:
            raise ArchiveError("is damaged: its content ends too early")
        out = bytearray()
        at = 0
        while (found := _next_branch(piece, at, before)) >= 0:
            branch = piece[found]
            before = piece[found - 1] if found > at else before
            out += piece[at : found + 1]
            at = found + 1
            if told + len(out) >= size:
                break
            if not decoder.is_taken_out(branch, before):
                before = branch
                continue
            address = (calls if branch == _CALL else jumps).read(4)
            if len(address) < 4:
                raise ArchiveError("is damaged: its content ends too early")
            relative = (int.from_bytes(address, "big") - (told + len(out) + 4)) & _MASK
            out += relative.to_bytes(4, "little")
            before = relative >> 24
        if at < len(piece) and told + len(out) < size:
            out += piece[at:]
            before = piece[-1]
        del out[size - told :]
        told += len(out)
        yield bytes(out)


def _next_branch(piece: bytes, at: int, before: int) -> int:
    """Where the next branch is, -1 if there is none; ``before`` is the byte of the program before this place."""
    if at < len(piece) and before == _PREFIX and piece[at] & 0xF0 == 0x80:
        return at
    # What stands before this place in the piece is a branch, or nothing: no prefix.
    match = _BRANCH.search(piece, at)
    return -1 if match is None else match.start()
