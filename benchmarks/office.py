"""Make a tree like the share of an office, to measure with: the same for the same seed.

    python -m benchmarks.office DIRECTORY [--bytes 350000000] [--seed 1]

Half of the bytes shrink: letters, tables, logs, a mailbox, old documents. The others do so little or not at all:
photos, scans, and new documents, which are zips of XML. Sizes are log-normal within each kind; no two passages are the
same, for words are drawn anew each time, so nobody gains by a long memory.
"""

from __future__ import annotations

import argparse
import io
import itertools
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

_VOCABULARY = 12_000
_LETTERS = "etaoinshrdlucmfwypvbgk"
_FOLDERS = ("accounts", "clients", "letters", "marketing", "personnel", "projects", "scans", "server")
_YEARS = range(2006, 2011)


class _Words:
    """Text as people write it, as far as a compressor can tell: words by Zipf's law."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._words = ["".join(chance.choices(_LETTERS, k=chance.randint(2, 11))) for _ in range(_VOCABULARY)]
        self._weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(_VOCABULARY)))

    def text(self, size: int) -> bytes:
        """About so many bytes of running text."""
        words = self._chance.choices(self._words, cum_weights=self._weights, k=size // 5 + 1)
        for place in range(9, len(words), 14):
            words[place] += ".\n"
        return " ".join(words).encode()[:size]


class Office:
    """Makes the content of files, kind by kind."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._words = _Words(self.chance)

    def letter(self, size: int) -> bytes:
        """Plain text."""
        return self._words.text(size)

    def table(self, size: int) -> bytes:
        """Comma-separated values."""
        lines, length, number = [], 0, 0
        while length < size:
            number += 1
            cells = self.chance.choices(range(100_000), k=4)
            line = f"{number},2009-{cells[0] % 12 + 1:02}-{cells[1] % 28 + 1:02},{cells[2] / 100},{cells[3]}\n"
            lines.append(line)
            length += len(line)
        return "".join(lines).encode()[:size]

    def mailbox(self, size: int) -> bytes:
        """Mails, every eighth with something attached, in base64 as it were."""
        parts: list[bytes] = []
        length = 0
        while length < size:
            head = f"From: {self.chance.random()}@office.example\nSubject: ".encode()
            body = self._words.text(self.chance.randint(300, 4000))
            extra = self.chance.randbytes(20_000).hex().encode() if self.chance.random() < 0.125 else b""
            parts += head, body, b"\n\n", extra
            length += len(head) + len(body) + len(extra)
        return b"".join(parts)[:size]

    def old_document(self, size: int) -> bytes:
        """A .doc of the nineties: text in two bytes a character, tables of numbers, empty blocks."""
        text = self._words.text(size // 4).decode().encode("utf-16-le")
        numbers = b"".join(number.to_bytes(4, "little") for number in range(size // 16))
        return (text + numbers + bytes(size))[:size]

    def document(self, size: int) -> bytes:
        """A .docx: a zip with XML and a picture."""
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            text = self._words.text(size)
            archive.writestr(zipfile.ZipInfo("word/document.xml"), b"<w:t>" + text.replace(b"\n", b"</w:t><w:t>"))
            archive.writestr(zipfile.ZipInfo("word/media/image1.png"), self.chance.randbytes(size // 2))
        return made.getvalue()

    def photo(self, size: int) -> bytes:
        """What does not shrink."""
        return b"\xff\xd8\xff\xe1" + self.chance.randbytes(size)

    def scan(self, size: int) -> bytes:
        """A PDF: objects in text around streams that do not shrink."""
        parts = []
        for number in range(max(size // 60_000, 1)):
            parts += [f"{number} 0 obj << /Length 60000 /Filter /DCTDecode >> stream\n".encode()]
            parts += [self.chance.randbytes(min(size, 60_000)), b"\nendstream endobj\n"]
        return b"".join(parts)


def make_office(directory: Path, size: int, seed: int) -> None:
    """Write files of ``size`` bytes in all, about."""
    office = Office(seed)
    # Kind, how its name ends, the part of the bytes, median of the size, and how far sizes are apart.
    kinds: list[tuple[Callable[[int], bytes], str, float, int, float]] = [
        (office.letter, "txt", 0.10, 12_000, 1.3),
        (office.table, "csv", 0.12, 60_000, 1.2),
        (office.mailbox, "mbox", 0.15, 8_000_000, 0.6),
        (office.old_document, "doc", 0.13, 70_000, 1.0),
        (office.document, "docx", 0.20, 90_000, 1.1),
        (office.photo, "jpg", 0.20, 2_200_000, 0.5),
        (office.scan, "pdf", 0.10, 350_000, 1.0),
    ]
    for make, suffix, part, median, spread in kinds:
        left, number = int(size * part), 0
        while left > 0:
            number += 1
            wanted = min(int(median * office.chance.lognormvariate(0, spread)) + 1, left)
            folder = directory / office.chance.choice(_FOLDERS) / str(office.chance.choice(_YEARS))
            folder.mkdir(parents=True, exist_ok=True)
            content = make(wanted)
            (folder / f"{suffix} {number:05}.{suffix}").write_bytes(content)
            left -= max(len(content), 1)


def main() -> None:
    """Make the tree that the command line describes."""
    parser = argparse.ArgumentParser(description="Make a tree like an office's share.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--bytes", type=int, default=350_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    make_office(arguments.directory, arguments.bytes, arguments.seed)


if __name__ == "__main__":
    main()
