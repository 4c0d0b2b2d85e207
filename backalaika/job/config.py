"""Configuration: every key that a ``config`` may hold, in one table: the class `Config`.

Each field says its default, how a value is checked, and what it is for. A reader turns what the user wrote into what
the program works with (megabytes into bytes, a list of names into a matcher) and says in a `ValueError` what it
expected. Each file is checked by itself, so that an error can name the file; only then are the layers laid over each
other: the defaults, ``~/.backalaika``, the job file.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from reprlib import Repr
from typing import Any

from ..digests import DIGESTS
from ..errors import ConfigurationError
from ..media import MEDIA, Medium
from .skipping import SkipFiles

MIB = 1024 * 1024
# The catalogue's integers have 64 bits.
_LARGEST = 2**63 - 1
# What shrinks by less than 1 % in a zip. Office documents are zips too, but shrink by 10 % (docx) to 18 % (xlsx).
_INCOMPRESSIBLE = "7z|aac|bz2|flac|gz|heic|jpeg|jpg|m4a|mkv|mp3|mp4|ogg|opus|png|rar|tbz2|tgz|txz|webm|webp|xz|zip|zst"
READ_BACK = ("sums", "deep")
"""How a volume can be read back when it is complete."""
_shortened = Repr()
_shortened.maxstring = _shortened.maxother = 80


def _text(value: object, expected: str) -> str:
    if not isinstance(value, str):
        raise ValueError(expected)
    return value


def _integer(value: object, smallest: int, largest: int, expected: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= largest:
        raise ValueError(expected)
    return value


def read_path(value: object) -> str:
    """A path as text or as `os.PathLike`, not yet made absolute."""
    path = os.fsdecode(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError("the path of a directory, such as '/home/nando/2010'")
    if path.startswith("~") and os.path.expanduser(path) == path:
        raise ValueError(f"the path of a directory; there is no such user, and a directory named so is './{path}'")
    return path


def _read_extensions(value: object) -> frozenset[str]:
    expected = "extensions separated by '|', such as 'jpg|mp3|zip'"
    extensions = {part.strip().removeprefix(".").lower() for part in _text(value, expected).split("|")}
    for extension in extensions:
        if re.search(r"[.*?/\\\s]", extension):
            raise ValueError(f"{expected}; {extension!r} is not an extension")
    return frozenset(extensions - {""})


def _read_names(value: object) -> SkipFiles:
    names = _text(value, "names separated by '|', such as '*.tmp|Thumbs.db'").split("|")
    for name in names:
        if "/" in name:
            raise ValueError(f"names of files and directories without a '/'; {name!r} is a path and would match none")
    return SkipFiles(tuple(name for name in names if name))


def _named_medium(name: str, expected: str) -> Medium:
    medium = MEDIA.get(name.strip().lower())
    if medium is None:
        raise ValueError(f"{expected}; {nearest(name, MEDIA)}")
    return medium


def _read_max_size(value: object) -> Medium:
    expected = "a whole number of bytes above 0, such as 1024 * 1024 * 4350, or the name of a medium"
    if isinstance(value, str):
        return _named_medium(value, expected)
    return Medium(_integer(value, 1, _LARGEST, expected))


def _read_volume_sizes(value: object) -> tuple[Medium, ...]:
    expected = "a list of numbers of megabytes above 0 and names of media, such as [700, 4350, 'dvd']"
    if not isinstance(value, list | tuple):
        raise ValueError(expected)
    media = []
    for written in value:
        if isinstance(written, str):
            media.append(_named_medium(written, f"{expected}; for {_shortened.repr(written)}"))
            continue
        if isinstance(written, bool) or not isinstance(written, int | float) or not 1 <= written * MIB <= _LARGEST:
            raise ValueError(expected)
        media.append(Medium(int(written * MIB)))
    return tuple(media)


def _read_db_uri(value: object) -> str:
    uri = _text(value, "text such as 'sqlite:///~/backups/backalaika.sqlite'")
    if not uri.strip():
        raise ValueError("text such as 'sqlite:///~/backups/backalaika.sqlite'")
    return uri


def _read_digest(value: object) -> str:
    if not isinstance(value, str) or value not in DIGESTS:
        raise ValueError(f"one of {', '.join(map(repr, DIGESTS))}")
    if value == "blake3" and importlib.util.find_spec("blake3") is None:
        raise ValueError(
            "a digest whose library is installed; for this one: pip install blake3 (the extra backalaika[blake3])"
        )
    return value


def _read_level(value: object) -> int | None:
    # The range depends on the format of each source: `load_job` knows both.
    return None if value is None else _integer(value, 0, 100, "a whole number, or None for each format's own level")


def _read_workers(value: object) -> int | None:
    return None if value is None else _integer(value, 0, 10_000, "a whole number from 0, or None for one for each CPU")


def _read_readers(value: object) -> int | None:
    return None if value is None else _integer(value, 1, 10_000, "a whole number above 0, or None for as many as read")


def _read_redundancy(value: object) -> int:
    return _integer(value, 0, 100, "a whole number of percent from 0, for none, to 100, such as 10")


def _read_verify_after(value: object) -> str | None:
    if value is not None and (not isinstance(value, str) or value not in READ_BACK):
        raise ValueError(f"{' or '.join(map(repr, READ_BACK))}, or None to read nothing back")
    return value


def _read_limit(value: object) -> int:
    return _integer(value, 1, _LARGEST, "a whole number above 0")


def _read_switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


def _key(default: object, read: Callable[[object], Any], meaning: str, secret: bool = False) -> Any:
    return field(metadata={"default": default, "read": read, "meaning": meaning, "secret": secret})


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a job, checked. Made by `make_config`."""

    dir_backups: str = _key("~/backups", read_path, "the folder for backups")
    db_uri: str = _key(
        "sqlite:///~/backups/backalaika.sqlite",
        _read_db_uri,
        "the catalogue: sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE, or mysql:// in the same way",
        secret=True,
    )
    max_size: Medium = _key(  # noqa: RUF009 - it makes a field, as the others do
        MIB * 4350,
        _read_max_size,
        "the medium of a volume: its capacity in bytes, or its name, such as 'cd', 'dvd' or 'bd'",
    )
    volume_sizes: tuple[Medium, ...] = _key(
        [], _read_volume_sizes, "media to fill first, in megabytes of 1024 * 1024 or by name: [300, 2100, 'cd']"
    )
    volume_pause: bool = _key(
        False, _read_switch, "wait for Enter after a volume when free space might not hold the next"
    )
    split_files: bool = _key(
        False, _read_switch, "cut files of more than a quarter of max_size too, so that volumes are filled completely"
    )
    skip_files: SkipFiles = _key(  # noqa: RUF009 - it makes a field, as the others do
        "",
        _read_names,
        "names of files and directories to leave out, separated by |, with * for anything: '*.tmp|Thumbs.db'",
    )
    store_only: frozenset[str] = _key(
        _INCOMPRESSIBLE, _read_extensions, "extensions that a zip stores without compressing, separated by |"
    )
    digest: str = _key(
        "xxh3-128",
        _read_digest,
        "what names a file's content: 'xxh3-128' is the fastest, 'sha256' and 'blake3' cannot be forged",
    )
    level: int | None = _key(
        None,
        _read_level,
        "how hard to compress: zip and gz 1 to 12, bz2 1 to 9, zst 1 to 19, xz 0 to 9; None: the format's own",
    )
    workers: int | None = _key(
        None, _read_workers, "processes that compress; None: one for each CPU, 0: none but the main one"
    )
    readers: int | None = _key(
        None, _read_readers, "how many of them read at a time; for a spinning disk or a share 1 or 2; None: all"
    )
    nice: bool = _key(False, _read_switch, "leave processor and disks to other programs first")
    one_filesystem: bool = _key(False, _read_switch, "leave out other file systems mounted below a source")
    redundancy: int = _key(
        0, _read_redundancy, "percent of PAR2 recovery files on each volume, counted in its capacity; 0: none"
    )
    verify_after: str | None = _key(
        None,
        _read_verify_after,
        "read each complete volume back from the drive: 'sums' compares its files, 'deep' every member too; None: no",
    )
    copies: int = _key(1, _read_limit, "how many volumes must have a file before it is left out as known")
    max_ratio: int = _key(1000, _read_limit, "how many times its size an archive may grow to when it is catalogued")
    max_members: int = _key(10_000_000, _read_limit, "how many members an archive may have when it is catalogued")


KEYS = {key.name: key.metadata for key in fields(Config)}


def read_settings(path: str, written: object) -> dict[str, Any]:
    """Check the ``config`` of one file.

    Args:
        path: the file, for errors.
        written: what the file calls ``config``.

    Raises:
        ConfigurationError: a key that does not exist, or a value that it cannot have.
    """
    if not isinstance(written, Mapping):
        raise ConfigurationError(f"{path}: config must be a dict, such as config = dict(workers=2)")
    settings = {}
    for key, value in written.items():
        if key not in KEYS:
            raise ConfigurationError(f"{path}: config has an unknown key {key!r}; {nearest(key, KEYS)}")
        try:
            settings[key] = KEYS[key]["read"](value)
        except ValueError as error:
            # A db_uri may hold a password, in whatever form it was written.
            found = f"a {type(value).__name__}" if KEYS[key]["secret"] else _shortened.repr(value)
            raise ConfigurationError(f"{path}: {key} in config is {found}, but must be {error}") from None
    return settings


def make_config(*layers: Mapping[str, Any], home: str | None = None) -> Config:
    """The configuration from checked settings; later layers win over earlier ones, and all over the defaults.

    Args:
        layers: what `read_settings` returned.
        home: what ``~`` means in ``dir_backups``; by default the user's home directory.
    """
    values = {name: key["read"](key["default"]) for name, key in KEYS.items()}
    for layer in layers:
        values.update(layer)
    values["dir_backups"] = absolute_path(values["dir_backups"], home)
    return Config(**values)


def absolute_path(path: str, home: str | None = None) -> str:
    """The path from the root on, without a slash at its end; ``~`` is ``home``, or the user's home directory."""
    if home is not None and re.match(r"~(/|$)", path):
        path = home + path[1:]
    return os.path.abspath(os.path.expanduser(path))


def nearest(wrong: object, right: Mapping[str, object]) -> str:
    """Advice for one who wrote ``wrong``: the word that was meant, or all that there are."""
    close = get_close_matches(str(wrong).strip().lower(), right, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(right)}"
