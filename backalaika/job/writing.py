"""Writing: a first job file and a first ``~/.backalaika``, with comments, for one who has never written a program.

What a setting is for stands in the table of `config`, so a new key appears here by itself. A file is made only where
none is, for its owner alone: `permissions` would not run another.
"""

from __future__ import annotations

import os
import shlex
import textwrap

from ..errors import UsageError
from ..walk import describe_error
from .config import KEYS

_WIDTH = 100

_JOB = """\
# A backup job. To run it:
#
#     backalaika backup {file}
#
# A line that begins with # is a comment: it is for you, and does nothing. Text stands between quotation marks; keep
# them, the commas and the brackets as they are. Only you may be able to change this file, for it is a program.

job = dict(
    # A part of the name of the backup's folder: 2026-11-22_0915-{name_shown}
    name={name},
    # What to save: one line for each folder, with everything inside it. First the folder, then how to save it:
    #   zip                opens everywhere with a double click
    #   gz, bz2, zst, xz   a tar.gz, tar.bz2, tar.zst or tar.xz: zst is the fastest, xz the smallest
    #   separate_dirs      each folder inside becomes an archive of its own: "zip,separate_dirs"
    sources=[
        ({source}, {option}),
        # ("~/Pictures", "zip,separate_dirs"),
    ],
)

# Settings for this job only. Those for all your jobs, with what each is for, stand in ~/.backalaika.
config = dict(
{settings}
)


# What to do as each volume is complete, while the next is written, and when all is saved. Take away the # to use them.
#
# def after_volume(volume):
#     print(volume.folder, "can be burnt now")
#
#
# def after_backup(run):
#     print(run.files, "files are safe in", run.folder)
"""

_USER = """\
# Settings for all your backup jobs. Those in a job file win over these.
#
# Each stands here with its default, behind a #. To change one, take that # away and write another value. A line with a
# key or a value that cannot be is told before anything is started. Only you may be able to change this file.

config = dict(
{settings}
)
"""

_NO_SETTINGS = """\
    # max_size="dvd",             # the medium of a volume: its capacity in bytes, or its name
    # skip_files="*.tmp|.cache",  # what to leave out, by name"""
_SKIPPED = "    skip_files={0},  # what to leave out, by name; the backups themselves lie in this folder"


def job_text(file: str, name: str, source: str, option: str, skipped: str = "") -> str:
    """The text of a job file.

    Args:
        file: as the user writes it after ``backalaika backup``.
        name: of the job.
        source: the directory to save.
        option: its format.
        skipped: a name to leave out; empty for none.
    """
    settings = _SKIPPED.format(_quoted(skipped)) if skipped else _NO_SETTINGS
    name_shown = "".join(c if c.isprintable() else "_" for c in name)
    file_shown = "".join(c if c.isprintable() else "?" for c in shlex.quote(file))
    return _JOB.format(
        file=file_shown,
        name_shown=name_shown,
        name=_quoted(name),
        source=_quoted(source),
        option=_quoted(option),
        settings=settings,
    )


def user_text() -> str:
    """The text of a ``~/.backalaika`` that changes nothing yet."""
    lines: list[str] = []
    for name, key in KEYS.items():
        meaning = key["meaning"]
        lines += textwrap.wrap(
            f"{meaning[0].upper()}{meaning[1:]}.", _WIDTH, initial_indent="    # ", subsequent_indent="    # "
        )
        lines += [f"    # {name}={_quoted(key['default'])},", ""]
    return _USER.format(settings="\n".join(lines[:-1]))


def _quoted(value: object) -> str:
    """The value as Python text, in double quotes where that needs no more than other quotes."""
    text = repr(value)
    return f'"{text[1:-1]}"' if text[0] == "'" and '"' not in text and "\\'" not in text else text


def write_new(path: str, text: str) -> bool:
    """Write a file that only its owner can read or write; False, and nothing is done, if there is one.

    Raises:
        UsageError: it cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        return False
    except FileNotFoundError:
        raise UsageError(f"{path}: its directory is not there; make it, or name another file") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {describe_error(error)}; name another file") from None
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        os.unlink(path)
        raise UsageError(f"{path}: cannot be written: {describe_error(error)}; make room, or name another") from None
    return True
