"""Session: one backup from the loaded job to the report.

The processes of the pool start while the sources are walked and the catalogue is opened, for each of these takes a
tenth of a second; nothing is written before `Session.run`. Leaving the session ends all processes and frees the shared
memory, however it is left.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from ..catalogue.direct import direct_path
from ..catalogue.paging import Tell, tell_nobody
from ..catalogue.rows import RunEnd, RunStart, SourceFound
from ..errors import CatalogueError, NoRoomError, RunError
from ..formats import archive_format
from ..job.hooks import run_after_backup
from ..looks import Trust, coarse_mounts, seed_of_looks
from ..manifest import readme_text
from ..media import MEDIA, Medium
from ..planner import Media
from ..survey import Found, Survey, take_survey
from ..walk import Directory, Problem, describe_error
from .answers import Answers, comment_slug
from .backup import Backup
from .finishing import Finishing, FinishWith
from .folders import make_folder
from .hooking import VolumeHooks
from .naming import run_name
from .opening import RunCatalogue
from .orders import WriterOrders
from .placing import Placer
from .pool import start_pool, start_tracker, worker_count
from .precautions import check_destination, shrunk_sources, smallest_capacity
from .recorder import Recorder
from .report import COMPLETE, FAILED, INTERRUPTED, Observer, Report
from .room import Room
from .slots import make_slots, slot_size
from .stopping import StopSignals, signals_held
from .turns import Turns
from .volumes import VolumeDone
from .work import BatchOnItsWay, Compressing, Selection, plan_work, start_early

if TYPE_CHECKING:
    from ..catalogue.results import EarlyRun, RecordedVolume
    from ..job.loading import Job
    from .comparing import Comparisons
    from .known import KnownFiles
    from .resuming import Resumption

# A disk that holds few volumes has no room for unfinished ones: with `volume_pause` none waits for what fills it.
_IN_USE_WITH_PAUSES = 1
# With `split_files`, a file is cut only if it is larger than this part of `max_size`.
_SPLIT_PART = 4


class Session:
    """The processes, the survey and the catalogue of one backup.

    Args:
        job: what to back up.
        answers: the three questions, answered.
        workers: how many processes compress; None: one for each CPU, 0: none, all is done here.
        start_at_once: nobody will be asked before `run`.
        tell: called during the survey with the files and bytes found so far.
        early: the run to go on with; ``answers`` are its own.
        tell_removal: hears, in another thread, how removals are finished that were cut off.

    Raises:
        ConfigurationError: a volume is too small.
        SourceError: a source cannot be read, or the destination lies in it.
        CatalogueError: the catalogue cannot be opened.
        KeyboardInterrupt: the user wants to stop.

    As long as it is open, CTRL-C is noticed only by `run` and where it is `interruptible`.
    """

    def __init__(
        self,
        job: Job,
        answers: Answers,
        workers: int | None,
        start_at_once: bool,
        tell: Callable[[int, int], None] | None = None,
        early: EarlyRun | None = None,
        tell_removal: Tell = tell_nobody,
    ) -> None:
        self.job = job
        self._early_run = early
        self._resumption: Resumption | None = None
        self._answers = answers
        config = job.config
        check_destination(job)
        workers = worker_count(workers, config)
        smallest = smallest_capacity(job)
        self._finish_with = FinishWith.of_config(job.path, config, workers)
        self._formats = tuple(archive_format(source.format, config.level, smallest) for source in job.sources)
        copies = (answers.copies or config.copies) if answers.skip_known else 1
        self._trust = Trust(config.digest, copies, answers.rehash)
        self._known: KnownFiles | None = None
        self._comparing: Comparisons | None = None
        self._finished = False
        with ExitStack() as undo:
            self._signals = undo.enter_context(StopSignals())
            self._start_processes(workers, undo)  # before threads, so that they can be forked
            self._catalogue = undo.enter_context(RunCatalogue(config.db_uri, tell_removal))
            directly = start_at_once and early is None and direct_path(config.db_uri) is not None
            if not directly:
                self._catalogue.open_in_background()
            self._mounts = coarse_mounts()
            self.survey: Survey = undo.enter_context(self._take_survey(workers, tell))
            if early:
                from .resuming import check_sources

                check_sources(job, early, self.survey.sources)
            self._report = Report(job.name, "", answers.comment, time.time_ns())
            self._plan_work(start_at_once)
            if directly:  # while the pool is at its first batches
                self._catalogue.open_directly()
            with self._signals.interruptible():
                self._catalogue.wait()
            self._open_things = undo.pop_all()

    def _start_processes(self, workers: int, undo: ExitStack) -> None:
        with signals_held():
            start_tracker()
            slots = make_slots(max(workers, 1), slot_size(list(self._formats)))
        undo.callback(slots.close)
        self._orders = WriterOrders(slots)
        undo.callback(self._orders.stop)
        readers = self.job.config.readers
        turns = Turns(readers) if readers is not None and workers else None
        pool = start_pool(workers, slots.name, slots.size, turns)
        self._compressing = Compressing(pool, slots, self.job.config.digest, self.job.config.store_only, turns)
        undo.callback(lambda: self._compressing.stop_pool(at_once=not self._finished))

    def _take_survey(self, workers: int, tell: Callable[[int, int], None] | None) -> AbstractContextManager[Survey]:
        def found(files: int, size: int) -> None:
            self._signals.check()
            if tell:
                tell(files, size)

        return take_survey(
            self.job.sources,
            self.job.config,
            self._answers.since_ns,
            found,
            self._mounts.has,
            seed_of_looks(self._trust),
            self._compressing.pool if workers else None,
        )

    def _plan_work(self, start_at_once: bool) -> None:
        """What is to be compressed, in batches; the first of them are on their way, if it is sure what they are."""
        skip_known = self._answers.skip_known
        selections: list[Selection] = [self._by_looks] if skip_known else []
        selections += [self._not_saved_yet] if self._early_run else []
        selections += [self._by_content] if skip_known else []
        config = self.job.config
        first = None if config.volume_pause else (*config.volume_sizes, config.max_size)[0].capacity
        self._work = plan_work(self.survey, self._formats, selections, first)
        self._early: deque[BatchOnItsWay] = deque()
        # Not while a user reads what will be done: what is read now would be old when Enter is pressed. And not
        # before the catalogue was asked what is known, or saved already.
        if start_at_once and not skip_known and self._early_run is None:
            self._early, self._work = start_early(self._work, self._compressing)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open_things.close()

    def interruptible(self) -> AbstractContextManager[None]:
        """Where CTRL-C may raise KeyboardInterrupt at once: for questions."""
        return self._signals.interruptible()

    def shrunk_sources(self) -> list[str]:
        """What is suspicious about the sources: one line for each that is empty or has lost half of its files."""
        return shrunk_sources(self.survey, self._catalogue.recording.last_complete_run(self.job.name))

    def run(self, observer: Observer) -> Report:
        """Back up what the survey found."""
        self._signals.check()
        report = self._report
        self._make_folder(report)
        run_id = self._enter_run(report)
        if self._early_run:
            self._resumption = self._resume(self._early_run, report, observer)
        room = self._room(report, observer)
        self._orders.on_full = room.disk_full
        placer = self._placer(report)
        adopted = placer.restore(self._resumption, self._formats) if self._resumption else None
        for title in placer.unprotected:
            observer.note(f"{title}: gets no recovery files, for it was filled when there was less redundancy")
        finishing = Finishing(self._finish_with, self._compressing.pool, observer)
        with VolumeHooks(self.job, observer, self._signals.asked) as hooks:
            with (
                finishing,
                Recorder(self._catalogue.recording, run_id, self.job.config.digest, adopted, room) as recorder,
            ):
                backup = Backup(
                    self._compressing,
                    self._orders,
                    placer,
                    report,
                    observer,
                    recorder.record,
                    recorder.is_done,
                    self._signals.asked,
                    hooks.volume,
                    finishing,
                    room.pause,
                    self.job.config.max_size.capacity // _SPLIT_PART if self.job.config.split_files else None,
                    *((self._resumption.begun, self._resumption.superseded) if self._resumption else ()),
                )
                backup.run(self.survey.problems, self._early, self._work)
            if recorder.failure() and report.state == COMPLETE:
                report.state, report.failure = FAILED, recorder.failure()
        report.problems += hooks.problems
        self._finish(report, run_id, observer)
        if report.state == COMPLETE:
            self._after_backup(report, observer)
        return report

    def _make_folder(self, report: Report) -> None:
        if self._early_run:
            report.started_at_ns, report.folder = self._early_run.started_at_ns, self._early_run.folder
            self._orders.folder = report.folder
            return
        report.started_at_ns = time.time_ns()
        name = run_name(report.started_at_ns, self.job.name, comment_slug(self._answers.comment))
        report.folder = make_folder(self.job.config.dir_backups, name, self._catalogue.recording.has_run)
        self._orders.folder = report.folder

    def _enter_run(self, report: Report) -> int:
        """Enter the run in the catalogue, for nothing may be written that it does not know; returns its id."""
        if self._early_run:
            self._catalogue.whole.resume_run(self._early_run.id)
            return self._early_run.id
        answers = self._answers
        start = RunStart(
            report.job,
            report.folder,
            report.comment,
            report.started_at_ns,
            self._sources_found(),
            answers.since_ns,
            answers.skip_known,
            self.job.config.digest,
            self._trust.copies,
        )
        try:
            self._catalogue.recording.mark_abandoned_runs()
            return self._catalogue.recording.start_run(start)
        except BaseException:
            os.rmdir(report.folder)
            raise

    def _finish(self, report: Report, run_id: int, observer: Observer) -> None:
        report.finished_at_ns = time.time_ns()
        try:
            if not os.listdir(report.folder):
                os.rmdir(report.folder)
                report.folder = ""
        except OSError as error:  # the disk was pulled out
            if report.state != INTERRUPTED:
                gone = f"{report.folder}: the backup's folder is gone: {describe_error(error)}"
                report.state, report.failure = FAILED, report.failure or gone
        end = RunEnd(report.finished_at_ns, report.files, report.bytes, report.known_files, len(report.problems))
        try:
            if report.state == COMPLETE:
                self._complete(report, run_id, end, observer)
            else:
                self._catalogue.recording.finish_run(run_id, report.state, *end)
        except (CatalogueError, RunError) as error:  # the next start enters the run as interrupted
            if report.state != INTERRUPTED:
                report.state, report.failure = FAILED, report.failure or str(error)
        self._finished = report.state == COMPLETE

    def _complete(self, report: Report, run_id: int, end: RunEnd, observer: Observer) -> None:
        """Enter the run as complete, with the picture of its sources."""
        comparing = self._comparisons()
        if not self._answers.skip_known:
            comparing.compare()
        if self._early_run:
            comparing.drop_vanished(self._catalogue.whole)
        late, recorded = comparing.complete_run(
            run_id,
            end,
            self._early_run is not None,
            lambda pairs: self._catalogue.whole.known_digests(pairs),
            report.problems,
        )
        report.follows = any(comparison.tree for comparison in comparing.by_label.values())
        report.changes = (recorded.added, recorded.changed, recorded.deleted, recorded.moved)
        if recorded.begun_by:
            observer.note(
                f"{recorded.begun_by} is recording how the sources of this job were, so for this run that is not "
                "recorded; if that process is gone, the next backup takes back what it began, or the first a day "
                "later, if it was on another computer"
            )
        elif recorded.overtaken:
            observer.note("another run of this job was complete before: how the sources were now is not recorded")
        if recorded.voided:
            observer.note("a volume was removed while the backup ran: what only that had is saved by the next run")
        report.problems += late
        for problem in late:
            observer.problem(problem)

    def _after_backup(self, report: Report, observer: Observer) -> None:
        try:
            with self._signals.interruptible():
                failed = run_after_backup(self.job, report)
        except KeyboardInterrupt:
            failed = "interrupted; the backup itself is complete"
        if failed:
            problem = Problem(self.job.path, f"after_backup() failed: {failed}")
            report.problems.append(problem)
            observer.problem(problem)

    def _resume(self, early: EarlyRun, report: Report, observer: Observer) -> Resumption:
        """Repair the folder of a run that goes on, and count what it has."""
        resumed = self._repaired(early, observer)
        report.files, report.bytes = resumed.files, resumed.bytes
        observer.advance(resumed.files, resumed.bytes, "")
        report.problems += resumed.problems
        kinds = self._kinds()
        for volume in resumed.complete:
            names = tuple(archive.name for archive in volume.archives)
            used = _used(volume, kinds.get(volume.capacity))
            report.volumes.append(
                VolumeDone(volume.number, volume.title, volume.folder, volume.capacity, volume.size, used, names)
            )
            report.archive_bytes += volume.size
        return resumed

    def _repaired(self, early: EarlyRun, observer: Observer) -> Resumption:
        from .resuming import Resumption

        while True:
            try:
                return Resumption(self._catalogue.whole, early, self.survey, observer.note)
            except NoRoomError as error:
                with self._signals.interruptible():
                    if not observer.wait(f"{error}, or here press Enter (CTRL-C stops)"):
                        raise

    def _room(self, report: Report, observer: Observer) -> Room:
        memory = self._compressing.slots.bytes
        return Room(self.job.config, self.survey, report, observer, self._signals.interruptible, memory)

    def _placer(self, report: Report) -> Placer:
        config, folder = self.job.config, report.folder
        job, comment, run = self.job.name, self._answers.comment, os.path.basename(folder)

        def readme(number: int, archives: list[tuple[str, str]], recovery: bool) -> str:
            return readme_text(job, run, comment, number, archives, config.digest, recovery)

        sizes = [medium.capacity for medium in config.volume_sizes]
        for capacity in self._resumption.capacities if self._resumption else ():
            if capacity in sizes:
                sizes.remove(capacity)
        media = Media(tuple(sizes), config.max_size.capacity)
        in_use = _IN_USE_WITH_PAUSES if config.volume_pause else None
        unused = report.passed_over.extend
        return Placer(self._orders, media, folder, readme, unused, in_use, self._kinds(), config.redundancy)

    def _kinds(self) -> dict[int, Medium]:
        """What media of these capacities are made for."""
        media = [*self.job.config.volume_sizes, self.job.config.max_size]
        if self._early_run:  # the settings may have changed since its volumes were begun, and discs stay discs
            media += MEDIA.values()
        # If one was given by its name and another as so many bytes, both are taken for what has the name.
        return {medium.capacity: medium for medium in sorted(media, key=lambda medium: medium.sector)}

    def _comparisons(self) -> Comparisons:
        """What is found, held against the newest pictures; asked for when the catalogue is open."""
        if self._comparing is None:
            from .comparing import Comparisons

            self._comparing = Comparisons(self.survey, self._catalogue.recording, self.job, self._mounts)
            self._open_things.callback(self._comparing.close)
        return self._comparing

    def _known_files(self) -> KnownFiles:
        if self._known is None:
            from .known import KnownFiles

            self._known = KnownFiles(
                self._comparisons().by_label,
                self._catalogue.recording,
                lambda: self._catalogue.whole,
                self._compressing.pool,
                self._trust,
                self._tell_known,
                self._signals.asked,
                self._compressing.turns,
                self._kept_contents,
            )
        return self._known

    def _kept_contents(self) -> Iterable[tuple[int, bytes]]:
        return self._catalogue.whole.kept_contents(self._early_run.id) if self._early_run else ()

    def _by_looks(self, survey: Survey, found: Found) -> Iterable[Directory]:
        return self._known_files().by_looks(survey, found)

    def _by_content(self, survey: Survey, found: Found) -> Iterable[Directory]:
        return self._known_files().by_content(survey, found)

    def _not_saved_yet(self, survey: Survey, found: Found) -> Iterable[Directory]:
        return self._resumption.select(survey, found) if self._resumption else survey.directories(found)

    def _tell_known(self, files: int, size: int) -> None:
        self._report.known_files += files
        self._report.known_bytes += size

    def _sources_found(self) -> list[SourceFound]:
        return [
            SourceFound(found.source.path, found.label, found.source.options, found.found_files, found.found_bytes)
            for found in self.survey.sources
        ]


def _used(volume: RecordedVolume, kind: Medium | None) -> int:
    """What a complete volume takes of its medium; the bytes of its files, if these were moved away."""
    try:
        with os.scandir(volume.folder) as entries:
            files = [(entry.name, entry.stat().st_size) for entry in entries]
    except OSError:
        files = []
    whole = sum(size for _, size in files) == volume.size
    return kind.used(files) if kind is not None and whole else volume.size
