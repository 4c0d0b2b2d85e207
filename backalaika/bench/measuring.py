"""Measuring: take one time after another, within the seconds that are given.

Each measurement has a weight; it gets that part of the time that is left which it has of the weights that are left. So
one that takes longer than its share takes it from all that follow, and the end comes when it was promised. Looking at
the files and reading them have at least `_LEAST_LOOK_S`, however little was given: all that follows is about what
they saw.

Machines have other things to do: now this measurement is slowed down, now that. So all are taken in turn, and that
several times, each time for a part of its share; the median counts.

The pool has as many processes as will ever work at once; ``k`` of them work while ``k`` tasks are given. Each task
measures itself and the rates are added up, so that waking a process does not count.
"""

from __future__ import annotations

import importlib.util
import random
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

from ..codecs import CODECS
from ..digests import DIGESTS
from ..errors import BackalaikaError, SourceError
from ..run.memory import make_block
from ..run.pool import start_pool, start_tracker, stop_pool
from ..run.stopping import StopSignals, signals_held
from ..run.work import wait_for
from . import tasks
from .advice import usual_level
from .figures import CodecRate, DigestRate, Figures, ReadRate
from .memory_disks import is_in_memory
from .sample import Piece, Sample, take_sample
from .tasks import Span, Work

if TYPE_CHECKING:
    from ..job.config import Config

T = TypeVar("T")
Tell = Callable[[str, float], None]
"""Hears what is measured next, and how much of the time is over: from 0 to 1."""

SAMPLE_BYTES = 64 * 1024 * 1024
# Sensible levels: those between two of them are between them in all. xz: frames are 8 MiB, and what sets the levels
# above 6 apart is a larger dictionary.
LEVELS = {
    "zip": (1, 5, 6, 9, 12),
    "gz": (1, 5, 6, 9, 12),
    "bz2": (1, 9),
    "zst": (1, 2, 3, 6, 9, 12, 19),
    "xz": (0, 3, 6),
}
# Weights: how much of the time each measurement gets, relative to the others.
_WALK, _READ, _CACHED, _HASH, _RULER, _COMPRESS, _WRITE, _INSERT = 3.0, 3.0, 0.5, 0.4, 1.0, 1.0, 2.0, 3.0
_SLOW = {"bz2": 1.5, "xz": 2.0}
# How often each rate is taken. Two would have no median, and each round less needs longer pieces.
_ROUNDS = 3
# A round is left out if the last took so many times its share: a slow codec's piece, or a member of a zip.
_TOO_LONG = 3.0
# In a share of 40 ms a busy machine comes no further than the first of a few small files.
_LEAST_LOOK_S = 0.5


def measure(
    path: str,
    config: Config,
    workers: int,
    seconds: float,
    tell: Tell,
    signals: StopSignals,
    sample_bytes: int = SAMPLE_BYTES,
) -> Figures:
    """Measure everything.

    Args:
        path: absolute path of a directory with files of the user's.
        config: for the catalogue, the destination, what a zip stores, and the settings that a backup here has.
        workers: the most processes at once, at least 1.
        seconds: how long it may take, about.
        tell: hears how far it is.
        signals: whether the user wants to stop.
        sample_bytes: how much of the files to keep in memory.

    Raises:
        SourceError: nothing there can be read.
        Interrupted: the user wants to stop, as is KeyboardInterrupt.
        RunError: a task failed.
    """
    started = time.perf_counter()
    clock = _Clock(seconds, workers, config, tell)
    share = max(clock.next("looking at the files", _WALK), _LEAST_LOOK_S)
    sample = take_sample(path, sample_bytes, share, signals.check)
    figures = Figures(path, workers, sample.files, sample.bytes, sample.whole, sample.files / sample.walk_s)
    figures.problems += sample.problems
    figures.in_memory = is_in_memory(path)
    figures.database = config.db_uri.partition(":")[0].partition("+")[0]
    with ExitStack() as undo:
        with signals_held():
            start_tracker()
            block = make_block(sample.memory)
        undo.callback(block.close)
        undo.callback(block.unlink)
        pool = start_pool(workers, block.name, slot_bytes=0)
        undo.callback(lambda: stop_pool(pool, at_once=True))
        bench = _Bench(pool, config, figures, clock, signals)
        bench.read(sample)
        bench.hash()
        bench.compress()
        bench.write()
    bench.insert()
    figures.seconds = time.perf_counter() - started
    return figures


def worker_counts(workers: int, used: int | None = None) -> list[int]:
    """1, 2, 4 and so on, the number itself, and another that is used if it is smaller."""
    counts = [1]
    while counts[-1] * 2 < workers:
        counts.append(counts[-1] * 2)
    return sorted({*counts, workers, min(max(used or 1, 1), workers)})


def _reader_counts(workers: int, config: Config) -> list[int]:
    return sorted({1, min(2, workers), workers, min(config.readers or workers, workers)})


def _digests() -> list[str]:
    return [name for name in DIGESTS if name != "blake3" or importlib.util.find_spec("blake3") is not None]


def _levels(option: str, config: Config) -> list[int]:
    return sorted({*LEVELS[option], usual_level(option, config.level)})


def _counts(option: str, level: int, workers: int, config: Config) -> list[int]:
    """On how many processes a level is measured: the usual one on all numbers, the others on one and on all."""
    usual = level == usual_level(option, config.level)
    return worker_counts(workers, config.workers) if usual else sorted({1, workers})


class _Clock:
    """Shares out the time that is left by weights."""

    def __init__(self, seconds: float, workers: int, config: Config, tell: Tell) -> None:
        self._start = time.perf_counter()
        self._seconds = seconds
        self._tell = tell
        self._weights = _WALK + _READ * len(_reader_counts(workers, config)) + _CACHED + _RULER + _WRITE + _INSERT
        self._weights += _HASH * len(_digests()) * len(worker_counts(workers, config.workers))
        for option in LEVELS:
            for level in _levels(option, config):
                self._weights += _compress_weight(option) * len(_counts(option, level, workers, config))

    def next(self, what: str, weight: float) -> float:
        """Seconds for what is measured next."""
        gone = time.perf_counter() - self._start
        self._tell(what, min(gone / self._seconds, 1.0))
        share = max(self._seconds - gone, 0.0) * weight / self._weights
        self._weights -= weight
        return share


def _compress_weight(option: str) -> float:
    return _COMPRESS * _SLOW.get(option, 1.0)


class _Bench:
    """The measurements that use the pool, one after another; fills in the figures."""

    def __init__(self, pool: Executor, config: Config, figures: Figures, clock: _Clock, signals: StopSignals) -> None:
        self._pool = pool
        self._config = config
        self._figures = figures
        self._clock = clock
        self._signals = signals
        self._workers = figures.workers
        self._pieces: list[Piece] = []
        self._content: list[Span] = []
        # Of one process at a time: for how long it computed, and had a processor.
        self._alone_s = self._alone_cpu_s = 0.0

    def _submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        return self._pool.submit(function, *arguments)

    def _wait(self, future: Future[T]) -> T:
        return wait_for(future, self._signals.asked)

    def _all(self, futures: list[Future[Work]]) -> list[Work]:
        """What tasks have computed at the same time."""
        done = [self._wait(future) for future in futures]
        if len(done) == 1:
            self._alone_s += done[0].seconds
            self._alone_cpu_s += done[0].cpu_s
            self._figures.busy = max(1 - self._alone_cpu_s / max(self._alone_s, 1e-9), 0.0)
        return done

    # Reading

    def read(self, sample: Sample) -> None:
        """Read the sample, a part by each number of readers in each round."""
        numbers = list(range(len(sample.pieces)))
        random.Random(1).shuffle(numbers)  # noqa: S311 - chance, not secrets
        turns = _reader_counts(self._workers, self._config) * _ROUNDS
        read: list[int] = []
        rates: dict[int, list[ReadRate]] = defaultdict(list)
        for turn, readers in enumerate(turns):
            part = sorted(numbers[turn :: len(turns)])
            if part:
                read += self._read_part(sample, part, readers, rates[readers])
        self._figures.reads += [_median_read(some) for _, some in sorted(rates.items()) if some]
        if not read:
            first = self._figures.problems[0] if self._figures.problems else None
            why = f": {first.path}: {first.message}" if first else ""
            raise SourceError(f"{sample.path}: no file there could be read{why}; name another directory")
        self._pieces = [sample.pieces[number] for number in sorted(read)]
        self._content = [(piece.place, piece.place + piece.size) for piece in self._pieces]
        self._figures.sample_files = len({(piece.directory, piece.name) for piece in self._pieces})
        self._figures.sample_bytes = sum(piece.size for piece in self._pieces)
        self._wait(self._submit(tasks.place_heads, self._pieces))
        self._figures.compressible = self._wait(self._submit(tasks.shrinks, self._content))
        again = self._wait(
            self._submit(tasks.read_pieces, self._pieces, self._clock.next("reading from memory", _CACHED))
        )
        self._figures.cached = _read_rate([again.work], 1, cold=False)

    def _read_part(self, sample: Sample, part: list[int], readers: int, rates: list[ReadRate]) -> list[int]:
        pieces = [sample.pieces[number] for number in part]
        share = max(self._clock.next(f"reading with {_processes(readers)}", _READ / _ROUNDS), _LEAST_LOOK_S / _ROUNDS)
        cold = not self._figures.in_memory and self._wait(self._submit(tasks.forget, pieces))
        # Neighbours are read at the same time, as they are in a run.
        hands = [range(hand, len(pieces), readers) for hand in range(min(readers, len(pieces)))]
        futures = [self._submit(tasks.read_pieces, [pieces[i] for i in hand], share) for hand in hands]
        readings = [self._wait(future) for future in futures]
        read = []
        for hand, reading in zip(hands, readings, strict=True):
            read += [part[hand[i]] for i in reading.read]
            self._figures.problems += reading.problems
        if read:
            rates.append(_read_rate([reading.work for reading in readings], readers, cold))
        return read

    # Computing

    def hash(self) -> None:
        """Measure each digest on each number of processes."""
        rates: dict[tuple[str, int], list[float]] = defaultdict(list)
        for _ in range(_ROUNDS):
            for digest in _digests():
                for workers in worker_counts(self._workers, self._config.workers):
                    share = self._clock.next(f"{digest} on {_processes(workers)}", _HASH / _ROUNDS)
                    hands = _hands(self._content, workers)
                    done = self._all([self._submit(tasks.hash_spans, digest, hand, share) for hand in hands])
                    rates[digest, workers].append(_rate(done))
        self._figures.digests += [DigestRate(*key, median(some)) for key, some in rates.items()]

    def compress(self) -> None:
        """Measure each format at each level."""
        rulers = self._rulers()
        rounds: dict[tuple[str, int, int], list[list[Work]]] = defaultdict(list)
        for number in range(_ROUNDS):
            for option in LEVELS:
                whole: list[Any] = self._members() if option == "zip" else self._frames(CODECS[option].frame_size)
                start = len(whole) * number // _ROUNDS
                for level in _levels(option, self._config):
                    for workers in _counts(option, level, self._workers, self._config):
                        self._compress(
                            whole[start:] + whole[:start], rounds[option, level, workers], option, level, workers
                        )
        for (option, level, workers), some in rounds.items():
            rate = median(map(_rate, some)) * (1.0 if option == "zip" else self._content_of_tar())
            works = [work for done in some for work in done]
            ratio = rulers[option == "zip"] * sum(w.small for w in works) / sum(w.ruler for w in works)
            self._figures.codecs.append(CodecRate(option, level, workers, rate, ratio))

    def _compress(self, whole: list[Any], rounds: list[list[Work]], option: str, level: int, workers: int) -> None:
        """A round of one level on so many processes; left out where one before has taken the time of several."""
        what = f"{option} level {level} on {_processes(workers)}"
        share = self._clock.next(what, _compress_weight(option) / _ROUNDS)
        if rounds and max(work.seconds for work in rounds[-1]) > _TOO_LONG * share:
            return
        expected = _rate(rounds[-1]) / workers if rounds else None
        hands = _hands(whole, workers)
        rounds.append(self._all([self._submit(*self._task(option, level, hand, share, expected)) for hand in hands]))

    def _task(self, option: str, level: int, hand: list[Any], share: float, expected: float | None) -> tuple[Any, ...]:
        if option == "zip":
            return tasks.compress_members, level, self._config.store_only, hand, share
        return tasks.compress_frames, option, level, hand, share, expected

    def _rulers(self) -> tuple[float, float]:
        """What the ruler makes of the whole sample, as a part of its content: as tars, and as members of zips."""
        self._clock.next("a first look at how it compresses", _RULER)
        tars, members = self._frames(CODECS["gz"].frame_size), self._members()
        turns = range(self._workers)
        of_tars = [self._submit(tasks.ruler_of_frames, tars[turn :: self._workers]) for turn in turns]
        of_members = [self._submit(tasks.ruler_of_members, members[turn :: self._workers]) for turn in turns]
        framed = sum(end - start for frame in tars for start, end in frame)
        return (
            sum(map(self._wait, of_tars)) / framed / self._content_of_tar(),
            sum(map(self._wait, of_members)) / self._figures.sample_bytes,
        )

    def _content_of_tar(self) -> float:
        """The part of a tar that is content; the rest is headers and padding."""
        return self._figures.sample_bytes / sum(piece.end - _head(piece) for piece in self._pieces)

    def _members(self) -> list[tasks.Member]:
        members = [tasks.Member(p.name, p.place, p.place + p.size) for p in self._pieces]
        random.Random(1).shuffle(members)  # noqa: S311 - chance, not secrets
        return members

    def _frames(self, size: int) -> list[list[Span]]:
        """The sample as frames of a tar, in any order: a slow codec does only some, which must be like the others."""
        frames = cut_frames([(_head(piece), piece.end) for piece in self._pieces], size)
        random.Random(1).shuffle(frames)  # noqa: S311 - chance, not secrets
        return frames

    # Writing

    def write(self) -> None:
        """Measure the disk that backups go to."""
        from ..catalogue.throwaway import nearest_folder

        folder = nearest_folder(self._config.dir_backups)
        self._figures.write_folder = folder
        self._figures.write_in_memory = is_in_memory(folder)
        share = self._clock.next("writing to the destination", _WRITE)
        size = max(end for _, end in self._content)
        # A sync takes time too, and cannot be cut short.
        done = self._wait(self._submit(tasks.write_and_sync, folder, size, share / 2))
        if isinstance(done, str):
            self._figures.failures["destination"] = f"{folder}: {done}"
            return
        self._figures.write_bytes_a_second = _rate([done])

    def insert(self) -> None:
        """Measure the catalogue, in this process, as in a run."""
        from .inserting import insert_rate

        share = self._clock.next("inserting into a throw-away catalogue", _INSERT)
        try:
            self._figures.rows_a_second = insert_rate(self._config.db_uri, share, self._signals.check)
        except (BackalaikaError, OSError) as error:
            self._figures.failures["catalogue"] = str(error)


def cut_frames(spans: list[Span], size: int) -> list[list[Span]]:
    """Cut a stream, which lies in several places, into frames of ``size`` bytes; a last one of less than half goes."""
    frames: list[list[Span]] = []
    frame: list[Span] = []
    room = size
    for start, end in spans:
        while start < end:
            taken = min(room, end - start)
            frame.append((start, start + taken))
            start, room = start + taken, room - taken
            if not room:
                frames.append(frame)
                frame, room = [], size
    if frame and (not frames or room < size // 2):
        frames.append(frame)
    return frames


def _hands(things: list[T], workers: int) -> list[list[T]]:
    """What each of the workers goes round in: all things, each worker beginning elsewhere."""
    starts = [len(things) * hand // workers for hand in range(workers)]
    return [things[start:] + things[:start] for start in starts]


def _head(piece: Piece) -> int:
    return piece.place - len(piece.head)


def _rate(done: list[Work]) -> float:
    return sum(work.taken / max(work.seconds, 1e-9) for work in done)


def _read_rate(done: list[Work], readers: int, cold: bool) -> ReadRate:
    seconds = max(max(work.seconds for work in done), 1e-9)
    rate = sum(work.taken for work in done) / seconds
    return ReadRate(readers, rate, sum(work.count for work in done) / seconds, cold, rate, rate)


def _median_read(rates: list[ReadRate]) -> ReadRate:
    in_order = sorted(rates, key=lambda rate: rate.bytes_a_second)
    lowest, highest = in_order[0].bytes_a_second, in_order[-1].bytes_a_second
    return replace(in_order[(len(rates) - 1) // 2], lowest=lowest, highest=highest)


def _processes(count: int) -> str:
    return f"{count} process" if count == 1 else f"{count} processes"
