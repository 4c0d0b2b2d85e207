"""Precautions: what is looked at before a run starts: where it writes, what has shrunk, what fits on a volume."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, SourceError
from ..media import Medium
from ..recovery.layout import Layout
from ..survey import Survey

if TYPE_CHECKING:
    from ..job.config import Config
    from ..job.loading import Job

# Less holds README.txt, sums, manifest, and little else.
SMALLEST_VOLUME = 256 * 1024
# Manifest, sums and README.txt.
_OWN_FILES = 3


def check_destination(job: Job) -> None:
    """Refuse a backup that would back itself up.

    Raises:
        SourceError: ``dir_backups`` lies in a source, and ``skip_files`` does not leave it out.
    """
    destination = os.path.realpath(job.config.dir_backups)
    for source in job.sources:
        path = os.path.realpath(source.path)
        if os.path.splitdrive(path)[0] != os.path.splitdrive(destination)[0]:
            continue  # another drive of Windows
        if os.path.commonpath([path, destination]) != path:
            continue
        below = os.path.relpath(destination, path)
        if below != os.curdir and any(job.config.skip_files.matches(name) for name in below.split(os.sep)):
            continue
        name = os.path.basename(destination)
        raise SourceError(
            f"{job.config.dir_backups}: the destination lies in the source {source.path}; the backup would save "
            f"itself. Choose another dir_backups, or add {name!r} to skip_files"
        )


def shrunk_sources(survey: Survey, before: Mapping[str, int]) -> list[str]:
    """One line for each source that is empty, or has less than half of the files that it had ``before``."""
    lines = []
    for found in survey.sources:
        path, last = found.source.path, before.get(found.source.path, 0)
        if not found.found_files:
            lines.append(f"{path}: this source is empty; is its share mounted?")
        elif found.found_files * 2 < last:
            lines.append(
                f"{path}: this source has {found.found_files:,} files, the last complete run found {last:,}; "
                "is its share mounted?"
            )
    return lines


@dataclass(frozen=True, slots=True)
class UsableMedium:
    """What surely fits on a medium, whatever its files are called.

    Attributes:
        medium: the medium.
        files: how many there may be, without recovery files.
        room: bytes of all files.
        content: bytes of all but the recovery files.
        layout: of these; None: there are none.
    """

    medium: Medium
    files: int
    room: int
    content: int
    layout: Layout | None

    @classmethod
    def of_medium(cls, medium: Medium, redundancy: int, files: int) -> UsableMedium:
        """With this percentage of recovery files."""
        layout = Layout.of_medium(redundancy, medium)
        if layout is None:
            return cls(medium, files, medium.room(files), medium.room(files), None)
        room = medium.room(files + 1 + layout.most_files)
        return cls(medium, files, room, layout.content(medium, room, files), layout)

    def recovery(self, content: int) -> int:
        """Bytes of recovery files for so much content, at most."""
        if self.layout is None:
            return 0
        smaller = Layout.of_content(self.layout.percent, self.medium, content) or self.layout
        return min(layout.room(self.medium, content, self.files) for layout in (self.layout, smaller))


def usable_media(config: Config, survey: Survey) -> list[UsableMedium]:
    """The media of a run for its plan: those of ``volume_sizes``, and that of ``max_size`` at the end."""
    archives = sum(found.subfolders + 1 if found.source.separate_dirs else 1 for found in survey.sources)
    files = archives + _OWN_FILES
    media = [*config.volume_sizes, config.max_size]
    return [UsableMedium.of_medium(medium, config.redundancy, files) for medium in media]


def smallest_capacity(job: Job) -> int:
    """Bytes of the smallest volume.

    Raises:
        ConfigurationError: it is too small.
    """
    key, smallest = min(
        [("max_size", job.config.max_size.capacity)]
        + [("volume_sizes", medium.capacity) for medium in job.config.volume_sizes],
        key=lambda item: item[1],
    )
    if smallest < SMALLEST_VOLUME:
        raise ConfigurationError(
            f"{job.path}: {key} has a volume of {smallest:,} bytes, too small for an archive with its manifest; "
            f"give at least {SMALLEST_VOLUME:,}"
        )
    return smallest
