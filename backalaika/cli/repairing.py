"""``backalaika verify --repair``: a copy of a damaged volume, and whether it is whole."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import display

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..catalogue.results import VolumeAt
    from ..recovery.repairing import Copy
    from ..restoring.report import Observer
    from ..run.stopping import StopSignals
    from ..verifying.verify import Verify, VerifyReport


@dataclass(frozen=True, slots=True)
class Repaired:
    """How a repair ended; ``copy`` and ``report``, of the copy, are None where none was made."""

    target: str
    failure: str
    copy: Copy | None = None
    report: VerifyReport | None = None

    @property
    def exit_status(self) -> int:
        """0: the copy is whole; 1: it is not, or there is none; 130 interrupted."""
        if self.report is None:
            return 1
        return self.report.exit_status or (1 if self.failure else 0)

    def as_json(self) -> dict[str, Any]:
        """As plain values, beside those of the report of the volume."""
        copy, report = self.copy, self.report
        told = {
            "folder": None if copy is None else copy.folder,
            "failure": self.failure or None,
            "repaired": copy.repaired if copy else [],
            "unreadable": copy.lost if copy else {},
            "copy": report.as_json() if report else None,
        }
        return {"repair": told, "exit_status": self.exit_status}

    def show(self) -> None:
        """Tell the user."""
        copy, target = self.copy, display.printable(self.target)
        for name, lost in sorted(copy.lost.items()) if copy else ():
            display.say(f"unreadable: {display.printable(name)}: {display.size(lost)}, copied as zeros")
        for name in copy.repaired if copy else ():
            display.say(f"repaired: {display.printable(name)}")
        if self.exit_status == 0:
            display.say(f"REPAIRED: {target} is a whole copy; burn or keep it in place of the damaged volume")
        elif self.exit_status == 130:
            display.say(f"INTERRUPTED: {target} was not made whole")
        else:
            why = f": {display.printable(self.failure)}" if self.failure else "; its problems are listed above"
            what = f"{target} is not whole" if copy else "no copy was made"
            display.say(f"NOT REPAIRED: {what}{why}. What can be read comes back with: backalaika restore")


def check_repair(target: str, folders: Iterable[str]) -> str:
    """Look whether a copy could be made, before a volume is read, which takes its time; the par2 program.

    Args:
        target: where the copy is to be.
        folders: of volumes.

    Raises:
        UsageError: the copy cannot be there.
        ConfigurationError: there is no par2 program.
    """
    from ..recovery.program import needed_par2
    from ..recovery.repairing import check_target

    for folder in folders:
        check_target(target, folder)
    return needed_par2("verify --repair")


def repaired(
    check: Verify,
    target: str,
    program: str,
    using: tuple[VolumeAt | None, Catalogue | None, Executor, int],
    observer: Observer,
    signals: StopSignals,
    deep: bool,
) -> Repaired:
    """Repair a copy of a volume that was checked, and check the copy.

    Args:
        check: the volume, checked.
        target: where the copy is to be.
        program: the par2 program, from `check_repair`.
        using: the volume and the catalogue, the pool and how many processes it has, as ``check`` had them.
        observer: is told how it goes.
        signals: whether the user wants to stop.
        deep: whether every member of the copy is decoded too.
    """
    from ..recovery.moved import other_files
    from ..recovery.program import Stopped
    from ..recovery.repairing import repair_copy
    from ..verifying.verify import Verify, VerifyReport

    volume, catalogue, pool, workers = using
    folder, recovery, found = check.report.folder, check.report.recovery, check.recovery_set
    if recovery is None or found is None:
        return Repaired(target, "the volume has no recovery files")
    if recovery.repairable is False:
        return Repaired(target, recovery.line())
    others = other_files(folder, found) if recovery.moved else []
    try:
        copy = repair_copy(
            folder, target, found, others, program, workers, signals.asked, lambda what: observer.advance(0, 0, what)
        )
    except Stopped:
        return Repaired(target, "interrupted", None, VerifyReport("", target, "interrupted"))
    if copy.failure:
        return Repaired(target, copy.failure, copy, VerifyReport("", target))
    again = Verify(target, volume, catalogue, pool, workers, observer, signals.check, is_copy=True)
    return Repaired(target, "", copy, again.run(deep))
