"""Advice: what limits a backup here, and which settings suit; a pure function of what was measured.

A run is a pipeline, so its rate is that of its slowest part: the disk that is read, the processes that read, hash and
compress, the disk that is written, the catalogue. What it cannot overlap, the walk before it, is not counted. So a rate
is the most that can be expected, and what limits it is where more would help.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..codecs import CODECS
from .figures import CodecRate, Figures

DISK, CPU, DESTINATION, CATALOGUE = "disk", "CPU", "destination", "catalogue"
# What is slower by less than this is as fast, on a machine that has other things to do.
_AS_FAST = 0.9
_ENOUGH_WORKERS = 0.95
_DIGEST = "xxh3-128"
FORMATS = ("zip", "gz", "bz2", "zst", "xz")


@dataclass(frozen=True, slots=True)
class Setting:
    """A format at a level: the most bytes of content a second that a run can do, what limits it, and the size."""

    format: str
    level: int
    bytes_a_second: float
    limit: str
    ratio: float


@dataclass(frozen=True, slots=True)
class Advice:
    """What to write into the job file.

    Attributes:
        settings: of each format the level that suits best here, in the order of `FORMATS`.
        best: the one of them that makes the smallest archives of those that are as fast as any.
        smallest: the one that makes the smallest archives.
        workers: fewer than there are CPUs, where more are slower; None: one for each, the default.
        enough: the fewest that are nearly as fast as all.
        readers: fewer than there are workers, where more are slower; None: as many, the default.
        digests: how much longer a run with ``best`` takes with another digest than the default one; 1.0 is as long.
    """

    settings: tuple[Setting, ...]
    best: Setting
    smallest: Setting
    workers: int | None
    enough: int
    readers: int | None
    digests: dict[str, float]

    def config(self) -> dict[str, int]:
        """The keys of ``config`` that differ from their defaults."""
        chosen: dict[str, int] = {}
        if self.best.level != default_level(self.best.format):
            chosen["level"] = self.best.level
        if self.workers is not None:
            chosen["workers"] = self.workers
        if self.readers is not None:
            chosen["readers"] = self.readers
        return chosen


def default_level(archive_format: str) -> int:
    """The level of a format where the user names none."""
    return CODECS["gz" if archive_format == "zip" else archive_format].default_level


def advise(figures: Figures) -> Advice:
    """Choose settings.

    Args:
        figures: with at least one rate of each format, and of each digest, on ``workers`` processes.
    """
    all_of_them = [
        _setting(figures, rate, _DIGEST, rate.workers) for rate in figures.codecs if rate.workers == figures.workers
    ]
    settings = tuple(_smallest_as_fast([s for s in all_of_them if s.format == name]) for name in FORMATS)
    best = _smallest_as_fast(list(settings))
    rates = _rates_by_workers(figures, best)
    fastest = max(rates, key=lambda workers: rates[workers])
    return Advice(
        settings,
        best,
        min(settings, key=lambda setting: setting.ratio),
        fastest if rates[figures.workers] < _AS_FAST * rates[fastest] else None,
        min(workers for workers in rates if rates[workers] >= _ENOUGH_WORKERS * rates[figures.workers]),
        _readers(figures),
        _digests(figures, best),
    )


def _smallest_as_fast(settings: list[Setting]) -> Setting:
    """Of those that are nearly as fast as the fastest, the one with the smallest archives."""
    fastest = max(setting.bytes_a_second for setting in settings)
    near = [setting for setting in settings if setting.bytes_a_second >= _AS_FAST * fastest]
    return min(near, key=lambda setting: setting.ratio)


def _setting(figures: Figures, rate: CodecRate, digest: str, workers: int) -> Setting:
    limits = _limits(figures, rate, digest, workers)
    limit = min(limits, key=lambda name: limits[name])
    return Setting(rate.format, rate.level, limits[limit], limit, rate.ratio)


def _limits(figures: Figures, rate: CodecRate, digest: str, workers: int) -> dict[str, float]:
    """Bytes of content a second that each part of a run can do."""
    limits = {DISK: figures.read.bytes_a_second, CPU: _cpu(figures, rate, digest, workers)}
    if figures.write_bytes_a_second is not None:
        limits[DESTINATION] = figures.write_bytes_a_second / max(rate.ratio, 1e-6)
    if figures.rows_a_second is not None:
        limits[CATALOGUE] = figures.rows_a_second * figures.mean_size
    return limits


def _cpu(figures: Figures, rate: CodecRate, digest: str, workers: int) -> float:
    """What the processes can do together: each opens and reads a file, hashes it and compresses it."""
    hashing = next(d.bytes_a_second for d in figures.digests if d.digest == digest and d.workers == workers)
    seconds = 1 / rate.bytes_a_second + 1 / hashing
    if figures.cached is not None:
        seconds += 1 / (figures.cached.bytes_a_second * workers)
    return 1 / seconds


def _rates_by_workers(figures: Figures, best: Setting) -> dict[int, float]:
    """Bytes a second that a run with the best setting does on each number of processes."""
    usual = default_level(best.format)
    rates = {rate.workers: rate for rate in figures.codecs if rate.format == best.format and rate.level == usual}
    return {
        workers: _setting(
            figures, _scaled(figures, best, rate, rates[figures.workers]), _DIGEST, workers
        ).bytes_a_second
        for workers, rate in rates.items()
    }


def _scaled(figures: Figures, best: Setting, some: CodecRate, full: CodecRate) -> CodecRate:
    """The best level on fewer processes, by what the usual level does there."""
    top = next(
        rate
        for rate in figures.codecs
        if (rate.format, rate.level, rate.workers) == (best.format, best.level, figures.workers)
    )
    rate = top.bytes_a_second * some.bytes_a_second / full.bytes_a_second
    return CodecRate(best.format, best.level, some.workers, rate, best.ratio)


def _readers(figures: Figures) -> int | None:
    """Few readers where more make the disk slower; None where they do not."""
    most = max(figures.reads, key=lambda rate: rate.readers)
    best = figures.read
    if best.readers < most.readers and most.bytes_a_second < _AS_FAST * best.bytes_a_second:
        return best.readers
    return None


def _digests(figures: Figures, best: Setting) -> dict[str, float]:
    rate = next(
        rate
        for rate in figures.codecs
        if (rate.format, rate.level, rate.workers) == (best.format, best.level, figures.workers)
    )
    names = {digest.digest for digest in figures.digests if digest.workers == figures.workers} - {_DIGEST}
    return {
        name: best.bytes_a_second / _setting(figures, rate, name, figures.workers).bytes_a_second
        for name in sorted(names)
    }
