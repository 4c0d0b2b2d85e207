"""Media: what a folder of files takes on a disc, and how much a disc holds.

A volume is burnt as one flat folder. Burning programs make an ISO 9660 file system of it, with the names of Rock Ridge
and Joliet, and often a UDF beside them, all over the same files: what ``genisoimage -r -J -udf`` does. What it
needs at most is counted here, also with the options that programs with windows set: long names in ISO 9660
(``-iso-level 3``, ``-l``, ``-max-iso9660-filenames``) and in Joliet (``-joliet-long``). Each file takes whole sectors,
and beside the files there are:

- the fixed part: system area, volume descriptors, path tables, the UDF's sequences and anchors, and the 150 sectors
  that a CD needs at its end;
- three directories, each in whole sectors: ISO 9660 with Rock Ridge (ECMA-119 9.1, RRIP 1.12; what does not fit
  into a record of 255 bytes goes to a continuation area), Joliet (two bytes a character), UDF (ECMA-167 4/14.4);
- a UDF file entry for each file, one sector.

It is an upper bound: exact for some archives, and for hundreds up to 5 % more than is needed beside their content,
because names are taken to be long in all three, and because a record does not cross the end of a sector, so that each
sector may lose as much as the longest record. (Images made by genisoimage are the judge in the tests.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

SECTOR = 2048
# ISO 9660 counts a file in 32 bits, and genisoimage refuses one byte less already.
_LARGEST_ON_DISC = 2**32 - 2
_LARGEST_ON_FAT32 = 2**32 - 1
# All but the sectors of the files, of their UDF entries and of the four areas below.
_FIXED_SECTORS = 420
# Bytes in the directories of an empty folder: the entries for itself and its parent.
_ISO_EMPTY, _JOLIET_EMPTY, _UDF_EMPTY = 136 + 102, 34 + 34, 40


@dataclass(frozen=True, slots=True)
class Medium:
    """What a volume is made for.

    Attributes:
        capacity: bytes of the whole medium; on a disc this includes what the file system needs.
        name: as in `MEDIA`; empty where the capacity was given in bytes.
        largest_file: bytes that one file may have; None: any.
        sector: bytes of the unit in which files are kept: 1, or 2048 for discs.
    """

    capacity: int
    name: str = ""
    largest_file: int | None = None
    sector: int = 1

    def round_up(self, size: int) -> int:
        """Bytes that the content of a file of ``size`` bytes takes."""
        return -(-size // self.sector) * self.sector

    def overhead(self, names: Iterable[str]) -> int:
        """Bytes that the file system needs for a folder with files of these names, content not included.

        It never shrinks as names are added. 1 µs a name that was seen before: ask again only when there is a new one.
        """
        return 0 if self.sector == 1 else _overhead_sectors(names) * SECTOR

    def used(self, files: Sequence[tuple[str, int]]) -> int:
        """Bytes of the medium that a folder with these files takes: each with its name and its size in bytes."""
        return sum(self.round_up(size) for _, size in files) + self.overhead(name for name, _ in files)

    def room(self, files: int) -> int:
        """Bytes that any so many files can have together and surely fit, if each is one that the medium can have."""
        longest = ("x" * 255 for _ in range(files))
        return self.capacity - self.overhead(longest) - files * (self.sector - 1)

    def holds(self, files: Sequence[tuple[str, int]]) -> bool:
        """Whether a folder with these files fits, and each file is one that the medium can have."""
        most = max((size for _, size in files), default=0)
        return self.used(files) <= self.capacity and (self.largest_file is None or most <= self.largest_file)


def _disc(name: str, sectors: int) -> Medium:
    return Medium(sectors * SECTOR, name, _LARGEST_ON_DISC, SECTOR)


# 80-minute CDs have 359,846 to 359,849 sectors: the 360,000 of 80 minutes include the 150 before the first; and the
# drive takes two to end a track. DVD and Blu-ray: as the standards have them; the Blu-ray discs without spare areas.
_DISCS = (
    _disc("cd-74", 333_000),
    _disc("cd", 359_844),
    _disc("dvd", 2_295_104),  # what any DVD-R and DVD+R has
    _disc("dvd+r", 2_295_104),
    _disc("dvd-r", 2_298_496),
    _disc("dvd-dl", 4_171_712),  # what any DVD-R DL and DVD+R DL has
    _disc("bd", 12_219_392),
    _disc("bd-dl", 24_438_784),
    _disc("bd-xl", 48_878_592),  # three layers
)
_FAT32 = Medium(_LARGEST_ON_FAT32, "fat32", _LARGEST_ON_FAT32)
MEDIA: Mapping[str, Medium] = MappingProxyType({medium.name: medium for medium in (*_DISCS, _FAT32)})
"""Every medium that has a name. ``fat32`` is no disc: its volumes are small enough to be one file there."""


class _Need(NamedTuple):
    """Bytes of one name in the four areas."""

    iso: int
    continued: int
    joliet: int
    udf: int


@lru_cache(maxsize=100_000)
def _need(name: str) -> _Need:
    length = len(name.encode("utf-8", "surrogateescape"))
    units = len(name.encode("utf-16-le", "surrogatepass")) // 2
    # The name in ISO 9660 with its version: 8.3, or as long as it is and up to 37. Then RR 5, NM 5 and the name, PX 36,
    # TF 26. Of a long record genisoimage puts TF elsewhere, then maybe PX, then what is left of the name; CE 28 stands
    # in for them. ``beyond`` is how much longer the two names are together than a name of 8.3 alone.
    iso_name = max(min(length, 37), 12) + 2
    beyond = length + iso_name - 14
    record = 33 + iso_name + 1 + 5 + 5 + length + 36 + 1
    if beyond <= 80:
        iso, continued = record + 26, 0
    else:
        iso, continued = min(record + 28, 238), 26 if beyond <= 100 else 26 + 36 + 6 + max(beyond - 140, 0)
    # Where the locale is not known to the program, each byte is a character.
    joliet = 33 + 2 * min(max(units, length), 103) + 1
    wide = not all(ord(character) < 256 for character in name)
    udf = -(-(38 + 1 + min(max(units * (1 + wide), length), 254)) // 4) * 4
    return _Need(iso, continued, joliet, udf)


def _overhead_sectors(names: Iterable[str]) -> int:
    count = continuing = 0
    iso, continued, joliet, udf = _ISO_EMPTY, 0, _JOLIET_EMPTY, _UDF_EMPTY
    longest_iso, longest_continued, longest_joliet = 136, 1, 34
    for need in map(_need, names):
        count += 1
        iso += need.iso
        joliet += need.joliet
        udf += need.udf
        longest_iso = max(longest_iso, need.iso)
        longest_joliet = max(longest_joliet, need.joliet)
        if need.continued:
            continuing += 1
            continued += need.continued
            longest_continued = max(longest_continued, need.continued)
    areas = (
        _sectors(iso, count + 2, longest_iso)
        + _sectors(continued, continuing, longest_continued)
        + _sectors(joliet, count + 2, longest_joliet)
        + -(-udf // SECTOR)
    )
    return _FIXED_SECTORS + count + areas


def _sectors(total: int, records: int, longest: int) -> int:
    """Sectors for so many records, ``total`` bytes, that do not cross the end of a sector; at most ``longest`` each."""
    if total <= SECTOR:
        return 1 if records else 0
    # Each sector but the last holds more than SECTOR - longest bytes, or the next record would have fitted; and
    # as many records as would fit if all were the longest.
    by_bytes = 1 + (total - 1) // (SECTOR - longest + 1)
    return min(by_bytes, -(-records // (SECTOR // longest)))
