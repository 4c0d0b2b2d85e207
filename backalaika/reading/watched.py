"""Watched: a tree that is looked at through a process which may be lost, so that no folder can hang the rest.

A folder that hangs costs what is in it, once: who walks again leaves it out at once. In an image of a disc it costs
all that comes after, for only its folders tell where others are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from ..errors import SourceError
from ..walk import Problem
from .looking import Looker, SilenceError
from .messages import LooseFile, Row, Settings
from .own import OwnVolume, find_own, manifest_rows
from .salvaging import Salvaged, salvaged
from .trees import Found, Listed, Sign, Tell, Tree, tree_at

_AT_A_TIME = 500


class WatchedTree:
    """A medium that may hang.

    Attributes:
        tree: the tree itself, for processes that may be lost too.
        in_disc_order: whether its files are best read in the order of the disc.
    """

    def __init__(self, tree: Tree, path: str, looker: Looker) -> None:
        self.tree = tree
        self.in_disc_order = tree.in_disc_order
        self._path, self._looker = path, looker
        self._hanging: dict[str, Problem] = {}
        self._hung_after: tuple[int, Problem] | None = None

    def walk(self, tell: Tell) -> Iterator[Found]:
        """All that is there, folder by folder; ``tell`` hears of what cannot be read, by its whole path.

        Raises:
            SourceError: the medium itself cannot be read.
        """
        return self._walk_image(tell) if self.tree.is_one_piece else self._walk_folders(tell)

    def _walk_folders(self, tell: Tell) -> Iterator[Found]:
        pending = [""]
        while pending:
            try:
                for listed in self._looker.ask(_listed, self.tree, pending, set(self._hanging)):
                    yield from _told(listed, tell)
                    if listed.is_last:
                        pending.pop()
                        pending += self._without_hanging(listed.below, tell)
            except SilenceError as error:
                folder = pending.pop()
                if not folder:
                    raise SourceError(f"{self._path}: {error}") from None
                self._hanging[folder] = Problem(os.path.join(self._path, folder), f"directory is {error}")
                tell(self._hanging[folder])

    def _walk_image(self, tell: Tell) -> Iterator[Found]:
        number = 0
        if self._hung_after is None:
            try:
                for listed in self._looker.ask(_listed, self.tree, [""], set()):
                    yield from _told(listed, tell)
                    number += len(listed.found)
            except SilenceError as error:
                self._hung_after = number, Problem(self._path, f"{error}; what follows there is not listed")
                tell(self._hung_after[1])
            return
        # Once more, up to where it hung; what it told of until then is told again.
        most, problem = self._hung_after
        try:
            for listed in self._looker.ask(_listed, self.tree, [""], set(), most) if most else ():
                yield from _told(listed, tell)
                number += len(listed.found)
        except SilenceError:  # the drive hangs before that now: the next walk need not find out
            self._hung_after = number, problem
        tell(problem)

    def _without_hanging(self, folders: list[str], tell: Tell) -> list[str]:
        for folder in folders:
            if folder in self._hanging:
                tell(self._hanging[folder])
        return [folder for folder in folders if folder not in self._hanging]

    def top(self, names: list[bytes]) -> dict[bytes, LooseFile]:
        """Those of these files that lie directly in it.

        Raises:
            SilenceError: it hangs.
        """
        return self._looker.ask_one(_top, self.tree, names)

    def find_own(self) -> OwnVolume | None:
        """The volume that this medium is; None if it is none of ours.

        Raises:
            ArchiveError, OSError: as `own.find_own`.
            SilenceError: it hangs.
        """
        try:
            return self._looker.ask_one(_own, self.tree)
        except SilenceError:
            if self.tree.is_one_piece:
                return None  # all of it had to be looked through for a manifest: who walks will tell where it hangs
            raise

    def manifest_rows(self, own: OwnVolume) -> Iterator[Row]:
        """What the manifest says of members, in its order; streamed.

        Raises:
            ArchiveError, OSError: as `own.manifest_rows`.
            SilenceError: it hangs.
        """
        for rows in self._looker.ask(_manifest, own):
            yield from rows

    def salvaged(self, own: OwnVolume, archive: bytes) -> Iterator[Salvaged]:
        """What can still be read of a damaged archive, some members at a time; of one in an image, nothing is told.

        Raises:
            ArchiveError, OSError: as `salvaging.salvaged`.
            SilenceError: it hangs.
        """
        if not self.tree.is_one_piece:
            folder = os.path.join(self._path, os.fsdecode(own.folder))
            yield from self._looker.ask(salvaged, folder, archive.rpartition(b"/")[2], own.digest)


def _told(listed: Listed, tell: Tell) -> Iterator[Found]:
    for problem in listed.problems:
        tell(problem)
    yield from listed.found


@contextmanager
def watched_tree(
    path: str, settings: Settings, stop: Callable[[], None], workers: int, timeout_s: float
) -> Iterator[WatchedTree]:
    """The tree of a folder or of an image of a disc, of which nothing waits longer than ``timeout_s``.

    Args:
        path: absolute.
        settings: how it is read.
        stop: called often; may raise to end it.
        workers: processes that read; 0: none, and this one waits for the drive.
        timeout_s: seconds of silence after which a folder or a file is given up.

    Raises:
        SourceError: it is neither, or empty, or cannot be read.
    """
    with Looker(path, timeout_s if workers else None, stop) as looker:
        try:
            tree = looker.ask_one(_tree, path, settings)
        except SilenceError as error:
            raise SourceError(f"{path}: {error}") from None
        yield WatchedTree(tree, path, looker)


def count(tree: WatchedTree) -> tuple[int, int]:
    """Files on a medium and their bytes, for progress.

    Raises:
        SourceError: it cannot be read.
    """
    files = size = 0
    for found in tree.walk(lambda problem: None):
        if found.file is not None:
            files, size = files + 1, size + found.file.size
    return files, size


def _tree(sign: Sign, path: str, settings: Settings) -> Iterator[Tree]:
    yield tree_at(path, settings.encoding, settings.max_ratio, settings.max_members)


def _listed(sign: Sign, tree: Tree, pending: list[str], hanging: set[str], most: int | None = None) -> Iterator[Listed]:
    return tree.listed(sign, list(pending), hanging, most)


def _top(sign: Sign, tree: Tree, names: list[bytes]) -> Iterator[dict[bytes, LooseFile]]:
    yield tree.top(names, sign)


def _own(sign: Sign, tree: Tree) -> Iterator[OwnVolume | None]:
    yield find_own(tree, sign)


def _manifest(sign: Sign, own: OwnVolume) -> Iterator[list[Row]]:
    rows = manifest_rows(own)
    while some := list(islice(rows, _AT_A_TIME)):
        yield some
