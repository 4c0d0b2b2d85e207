"""Ours: whether a medium is a volume of a run, and how much of it is what the run wrote.

Its archives are compared with its sums before anything is entered. If the catalogue has the volume already, nothing is.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..digests import has_library
from ..errors import ArchiveError, SourceError
from ..manifest import MANIFEST, SUMS
from ..walk import DIRECTORY, Problem, describe_error
from .looking import SilenceError
from .members import joined
from .messages import INSIDE, LooseFile, Settings, Summed, Trouble
from .own import OwnVolume
from .report import LEFT_OUT, AddReport, Medium
from .trees import Tree
from .troubles import Troubles
from .watched import WatchedTree

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..catalogue.direct import DirectCatalogue


class OwnMedium(ABC):
    """The part of cataloguing a medium that knows whether this program wrote it."""

    def __init__(
        self,
        catalogue: Catalogue | DirectCatalogue,
        medium: Medium,
        tree: WatchedTree,
        settings: Settings,
        report: AddReport,
    ) -> None:
        self._catalogue, self._medium, self._tree, self._report = catalogue, medium, tree, report
        self.settings = settings
        self._own: OwnVolume | None = None
        self._known: str | None = None
        self._sound: dict[bytes, int] = {}
        self._damaged: dict[bytes, Summed] = {}

    @abstractmethod
    def _trouble(self, trouble: Trouble) -> None:
        """Tell it."""

    @abstractmethod
    def _problem(self, problem: Problem) -> None:
        """Tell it."""

    def find_own(self) -> None:
        """Look whether this program wrote the medium; then its manifest says which digest there is."""
        try:
            self._own = self._tree.find_own()
        except ArchiveError as error:
            self._trouble(Trouble(os.fsencode(MANIFEST), str(error)))
        except SilenceError as error:
            self._trouble(Trouble(os.fsencode(MANIFEST), f"{error}; the archives are read instead"))
        except OSError as error:
            self._trouble(Trouble(os.fsencode(MANIFEST), f"cannot be read: {describe_error(error)}"))
        if self._own is not None:
            self._known = self._catalogue.volume_with_archives(list(self._own.archives.values()))
        if self._own is not None and self._known is None and self._own.folder:
            self._own = None  # its manifest tells of archives in that folder, and rows are of paths on the medium
        if self._own is not None and not self._own.is_sound:
            instead = "" if self._known is not None else "; the archives are read instead"
            self._trouble(Trouble(self._path_of_manifest(), f"is not what {SUMS} says{instead}"))
            self._own = self._own if self._known is not None else None
        if self._own is not None and self._own.is_sound:
            self.settings = replace(self.settings, digest=self._own.digest)

    def _path_of_manifest(self) -> bytes:
        return joined(b"" if self._own is None else self._own.folder, os.fsencode(MANIFEST))

    @property
    def settings_of_readers(self) -> Settings:
        """How files are read. Of our own media a digest may be known whose library is not here, and is not needed."""
        return self.settings if has_library(self.settings.digest) else replace(self.settings, hashing=False)

    @property
    def tree(self) -> Tree:
        """The medium itself, for those who read it."""
        return self._tree.tree

    def is_left_out(self) -> bool:
        """Whether it is one of many, and a volume of a run that was recognised before; then the report says so."""
        if not self._medium.is_one_of_many or self._known != self._medium.title:
            return False
        self._report.state = LEFT_OUT
        return True

    def sums(self) -> Iterator[list[LooseFile]]:
        """Archives of our own, to be compared with their sums; where nothing is to be read, only their sizes are.

        Raises:
            SourceError: the catalogue has the volume, and whether this is a sound copy cannot be found out.
        """
        if self._own is None:
            return
        names = sorted(self._own.archives)
        try:
            there = self._tree.top(names)
        except SilenceError as error:
            if self._known is not None:
                path = self._medium.path
                raise SourceError(
                    f"{path}: {error}; whether it is a sound copy of {self._known} is not known"
                ) from None
            self._trouble(Trouble(b"", f"{error}; the archives are read instead, and not compared with {SUMS}"))
            return
        for name in names:
            if name not in there:
                self._trouble(Trouble(name, f"is missing, though {SUMS} has it"))
        digests = [] if self._known is None or self.settings.hashing else list(self._own.archives.values())
        sizes = {saved.digest: saved.size for saved in self._catalogue.archives_of_runs([], digests)}
        for name, file in sorted(there.items(), key=lambda item: tuple(item[1].extents or ())):
            if self.settings.hashing:
                yield [file._replace(only_sum=True)]
            elif (size := sizes.get(self._own.archives[name], file.size)) != file.size:
                self._trouble(Trouble(name, f"is damaged: it has {file.size:,} bytes, and not {size:,}"))
            else:
                self._count_sound(file)

    def recognise(self, stop: Callable[[], None]) -> bool:
        """Whether the medium is a volume that a run has in the catalogue already; if it is whole it gets its new title.

        A damaged copy gets none: the catalogue's rows are true of another medium, which is the one to look for.
        """
        own = self._own
        if own is None:
            return False
        if self._damaged and self._known is None:
            self._doubt_sums(own)
        for name in self._damaged:
            listed = "" if self._known is not None else "; what can be read of it is listed"
            self._trouble(Trouble(name, f"is damaged: it is not what {SUMS} says{listed}"))
        if self._known is None:
            return False
        self._count_others(own, stop)
        self._settle(self._known, self._sound.keys() == own.archives.keys())
        return True

    def _doubt_sums(self, own: OwnVolume) -> None:
        """Look whether the catalogue has archives as they are, and it is the sums that are damaged."""
        digests = own.archives | {name: heard.digest for name, heard in self._damaged.items()}
        if self._sound.keys() | self._damaged.keys() == own.archives.keys():
            self._known = self._catalogue.volume_with_archives(list(digests.values()))
        if self._known is not None:
            for name, heard in self._damaged.items():
                self._count_sound(heard.file)
                message = f"is damaged: {os.fsdecode(name)} has another sum, and is what the catalogue says"
                self._trouble(Trouble(joined(own.folder, os.fsencode(SUMS)), message))
            self._damaged = {}

    def _lost(self, own: OwnVolume) -> dict[bytes, set[tuple[bytes, int | None]]]:
        """Of damaged archives that are partly sound, by path, the place and part of each member that is lost."""
        found: dict[bytes, set[tuple[bytes, int | None]]] = {}
        for name in self._damaged if self.settings_of_readers.hashing else ():
            troubles = Troubles(name, self._trouble)
            members, lost = 0, []
            try:
                for some in self._tree.salvaged(own, name):
                    members += some.members
                    lost += some.lost
            except (SilenceError, OSError):
                continue  # who reads it as any archive will tell
            if len(lost) == members:
                continue
            for member in lost:
                troubles.tell(Trouble(name + INSIDE + member.path, member.why))
            troubles.end()
            found[name] = {(member.place, member.part) for member in lost}
        return found

    def _settle(self, title: str, is_sound: bool) -> None:
        """Give a volume of a run the new title, if this medium is a sound copy of it."""
        if is_sound:
            self._catalogue.retitle(title, self._medium.title, self._medium.description)
            self._report.recognised = title
        else:
            self._report.damaged_copy_of = title
            self._trouble(Trouble(b"", f"is a damaged copy of {title}, which keeps its title"))

    def _count_others(self, own: OwnVolume, stop: Callable[[], None]) -> None:
        """Tell of files that no run wrote: a known volume has no rows of them."""
        others = 0
        for found in self._tree.walk(self._problem):
            stop()
            member = found.member
            others += member.kind != DIRECTORY and member.path not in own.archives and not own.has(member.path)
        if others:
            self._trouble(Trouble(b"", f"other files on it, which were not entered: {others:,}", True))

    def _tell_if_unhashed(self) -> None:
        if self.settings.hashing and not self.settings_of_readers.hashing:
            name = self.settings.digest
            message = (
                f"what {SUMS} and {MANIFEST} do not tell of is listed without digest, for the library for {name} is "
                f"not installed; pip install 'backalaika[{name}]', remove the volume, and add it again"
            )
            self._trouble(Trouble(b"", message))

    def _compare(self, heard: Summed) -> None:
        assert self._own is not None
        if heard.digest == self._own.archives[heard.file.path]:
            self._count_sound(heard.file)
        else:
            self._damaged[heard.file.path] = heard

    def _count_sound(self, file: LooseFile) -> None:
        self._sound[file.path] = file.size
        self._report.files, self._report.bytes = self._report.files + 1, self._report.bytes + file.size
