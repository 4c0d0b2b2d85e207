"""Advice: what limits a backup here, and which settings suit; a pure function of what was measured.

A run is a pipeline, so its rate is that of its slowest part: the disk that is read, the processes that read, hash and
compress, the disk that is written, the catalogue. What it cannot overlap, the walk before it, is not counted. So a rate
is the most that can be expected, and what limits it is where more would help.

What a backup here would do anyway, by the user's configuration or by default, is left as it is unless something else
wins clearly: a recommendation that another measurement would take back is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..codecs import CODECS
from .figures import CodecRate, Figures

if TYPE_CHECKING:
    from ..job.config import Config

DISK, CPU, DESTINATION, CATALOGUE = "disk", "CPU", "destination", "catalogue"
# What is slower by less than this is as fast, on a machine that has other things to do.
_AS_FAST = 0.9
# What wins is so many times as fast; or makes archives of this part of the size and is not slower, nor would be if it
# compressed so many times as slowly.
_CLEARLY_FASTER = 1.2
_CLEARLY_SMALLER = 0.97
# The processor keeps up with the slowest part if it could do so many times as much.
_KEEPS_UP = 1.1
_ENOUGH_WORKERS = 0.95
FORMATS = ("zip", "gz", "bz2", "zst", "xz")


@dataclass(frozen=True, slots=True)
class Setting:
    """A format at a level: the most bytes of content a second that a run can do, what limits it, and the size.

    ``cpu_bytes_a_second`` is what the processes could do if nothing else were the limit.
    """

    format: str
    level: int
    bytes_a_second: float
    limit: str
    ratio: float
    cpu_bytes_a_second: float


@dataclass(frozen=True, slots=True)
class Advice:
    """What to write into the job file.

    Attributes:
        settings: of each format the level that suits best here, in the order of `FORMATS`.
        best: the one of them that makes the smallest archives of those that are as fast as any.
        smallest: the one that makes the smallest archives.
        changes: the keys of ``config`` that a backup here should have otherwise: what they are, and what to make them.
        enough: the fewest processes that are nearly as fast as all.
        digest: the one that a backup here uses.
        digests: how much longer a run with ``best`` takes with each other digest than with that one; 1.0 is as long.
    """

    settings: tuple[Setting, ...]
    best: Setting
    smallest: Setting
    changes: dict[str, tuple[int | None, int | None]]
    enough: int
    digest: str
    digests: dict[str, float]


def usual_level(archive_format: str, level: int | None) -> int:
    """The level of a format where the configuration has ``level``: its own if that is None, or none that it knows."""
    codec = CODECS["gz" if archive_format == "zip" else archive_format]
    return level if level is not None and level in codec.levels else codec.default_level


def advise(figures: Figures, config: Config) -> Advice:
    """Choose settings.

    Args:
        figures: with a rate of each format at its usual level, and of each digest, on ``workers`` processes.
        config: what a backup here would do; each key that it sets is compared, and is to have been measured.
    """
    all_of_them = [
        _setting(figures, rate, config.digest, rate.workers)
        for rate in figures.codecs
        if rate.workers == figures.workers
    ]
    settings = tuple(
        _suitable(
            [s for s in all_of_them if s.format == name], usual_level(name, None), usual_level(name, config.level)
        )
        for name in FORMATS
    )
    best = _smallest_as_fast(list(settings))
    limits = _limits_by_workers(figures, best, config)
    now = {
        "level": usual_level(best.format, None) if config.level is None else config.level,
        "workers": config.workers,
        "readers": config.readers,
    }
    wanted = {
        "level": best.level,
        "workers": _workers(figures, limits, config.workers),
        "readers": _readers(figures, limits[figures.workers], config.readers),
    }
    return Advice(
        settings,
        best,
        min(settings, key=lambda setting: setting.ratio),
        {key: (now[key], wanted[key]) for key in now if now[key] != wanted[key]},
        _enough(figures, limits),
        config.digest,
        _digests(figures, best, config.digest),
    )


def _suitable(settings: list[Setting], own: int, used: int) -> Setting:
    """The level that suits a format: the one that is used, or the format's own, unless another wins clearly."""
    by_level = {setting.level: setting for setting in settings}
    suits = _winner(settings, by_level[own])
    return _winner([suits], by_level[used])


def _winner(settings: list[Setting], now: Setting) -> Setting:
    """The setting there is now, unless one of these is clearly faster, or clearly smaller and no slower."""
    fastest = _smallest_as_fast(settings)
    if fastest.bytes_a_second > _CLEARLY_FASTER * now.bytes_a_second:
        return fastest
    smaller = [
        setting
        for setting in settings
        if setting.ratio < _CLEARLY_SMALLER * now.ratio
        and setting.bytes_a_second >= now.bytes_a_second
        and setting.cpu_bytes_a_second >= _CLEARLY_FASTER * now.bytes_a_second
    ]
    return min(smaller, key=lambda setting: setting.ratio, default=now)


def _smallest_as_fast(settings: list[Setting]) -> Setting:
    """Of those that are nearly as fast as the fastest, the one with the smallest archives."""
    fastest = max(setting.bytes_a_second for setting in settings)
    near = [setting for setting in settings if setting.bytes_a_second >= _AS_FAST * fastest]
    return min(near, key=lambda setting: setting.ratio)


def _setting(figures: Figures, rate: CodecRate, digest: str, workers: int) -> Setting:
    limits = _limits(figures, rate, digest, workers)
    limit = min(limits, key=lambda name: limits[name])
    return Setting(rate.format, rate.level, limits[limit], limit, rate.ratio, limits[CPU])


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


def _limits_by_workers(figures: Figures, best: Setting, config: Config) -> dict[int, dict[str, float]]:
    """The limits of a run with the best setting on each number of processes."""
    usual = usual_level(best.format, config.level)
    rates = {rate.workers: rate for rate in figures.codecs if rate.format == best.format and rate.level == usual}
    return {
        workers: _limits(figures, _scaled(figures, best, rate, rates[figures.workers]), config.digest, workers)
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


def _workers(figures: Figures, limits: dict[int, dict[str, float]], used: int | None) -> int | None:
    """How many processes to use; None: one for each CPU. ``used`` is what the configuration has."""
    rates = {workers: min(of_it.values()) for workers, of_it in limits.items()}
    usual = rates[figures.workers]
    now = usual if used is None else rates[min(max(used, 1), figures.workers)]
    fastest = max(rates, key=lambda workers: rates[workers])
    if rates[fastest] > _CLEARLY_FASTER * usual and rates[fastest] > _CLEARLY_FASTER * now:
        return fastest
    return None if usual > _CLEARLY_FASTER * now else used


def _readers(figures: Figures, limits: dict[str, float], used: int | None) -> int | None:
    """How many processes to let read; None: all. ``used`` is what the configuration has.

    Only where it is a disk that was read, and only if a run is faster by that: not where another part is the limit. And
    only if each round was faster: some hundred small files are read in a moment, in which anything may happen.
    """
    if not figures.read.cold:
        return used
    others = min((rate for name, rate in limits.items() if name != DISK), default=figures.read.bytes_a_second)
    reads = {rate.readers: rate for rate in figures.reads}
    most, fastest = reads[max(reads)], figures.read
    now = most if used is None else reads.get(min(used, figures.workers), most)
    rate = min(others, fastest.bytes_a_second)
    if fastest.lowest <= now.highest or rate <= _CLEARLY_FASTER * now.bytes_a_second:
        return used
    return None if rate <= _CLEARLY_FASTER * most.bytes_a_second else fastest.readers


def _enough(figures: Figures, limits: dict[int, dict[str, float]]) -> int:
    """The fewest processes that are surely as fast as all: the limit is elsewhere, or more of them do no more."""
    everything = limits[figures.workers]
    fastest = min(everything.values())
    return min(
        workers
        for workers, of_it in limits.items()
        if min(of_it.values()) >= _ENOUGH_WORKERS * fastest
        and (of_it[CPU] >= everything[CPU] or of_it[CPU] >= _KEEPS_UP * min(of_it.values()))
    )


def _digests(figures: Figures, best: Setting, used: str) -> dict[str, float]:
    rate = next(
        rate
        for rate in figures.codecs
        if (rate.format, rate.level, rate.workers) == (best.format, best.level, figures.workers)
    )
    names = {digest.digest for digest in figures.digests if digest.workers == figures.workers} - {used}
    return {
        name: best.bytes_a_second / _setting(figures, rate, name, figures.workers).bytes_a_second
        for name in sorted(names)
    }
