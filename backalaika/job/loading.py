"""Loading: run a job file and make a `Job` of what it leaves behind.

A job file is Python, as in version 0.2: it runs once, from top to bottom, and may do what it likes (mount a share).
Then ``job``, ``config``, ``after_backup`` and ``after_volume`` are looked up among its names and checked, before
anything is started. Whatever is wrong becomes one line that names the file; a traceback would only frighten.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError
from .config import Config, absolute_path, make_config, nearest, read_path, read_settings
from .hooks import Hook, describe_failure, takes_arguments
from .permissions import read_program

FORMATS = ("zip", "gz", "bz2", "zst", "xz")
_DEFAULT_FORMAT = "bz2"
_OPTIONS = dict.fromkeys((*FORMATS, "separate_dirs"))
_JOB_KEYS = dict.fromkeys(("name", "sources"))
# With date, time and comment it stays below the 255 bytes that a file system gives a name.
_MAX_NAME_BYTES = 100
_EXAMPLE = "job = dict(name='work', sources=[('/home/nando/2010', 'zip')])"


@dataclass(frozen=True, slots=True)
class Source:
    """A directory to back up, with its options.

    Attributes:
        path: absolute, without a slash at its end; whether it exists is for the survey to say.
        format: ``zip``, ``gz``, ``bz2``, ``zst`` or ``xz``.
        separate_dirs: whether each subfolder becomes an archive of its own.
        options: as they were written.
    """

    path: str
    format: str
    separate_dirs: bool
    options: str


@dataclass(frozen=True, slots=True)
class Job:
    """What a job file says; ``path`` is the file, ``after_backup`` and ``after_volume`` are called by `hooks`."""

    name: str
    sources: tuple[Source, ...]
    config: Config
    path: str
    after_backup: Hook | None
    after_volume: Hook | None


def load_job(path: str, home: str | None = None) -> Job:
    """Run a job file and ``~/.backalaika``, and check what they say.

    Args:
        path: the job file.
        home: where ``.backalaika`` is looked for, and what ``~`` means; by default the user's home directory.

    Raises:
        ConfigurationError: either cannot be read or is not safe to run, its code fails, or it says something wrong.
    """
    user_path, user_settings = _user_settings(home)
    path = os.path.abspath(path)
    names = _run_program(path)
    if "job" not in names:
        raise ConfigurationError(f"{path}: this file defines no job; write {_EXAMPLE}")
    job = names["job"]
    if not isinstance(job, Mapping):
        raise ConfigurationError(f"{path}: job must be a dict; write {_EXAMPLE}")
    for key in job:
        if key not in _JOB_KEYS:
            raise ConfigurationError(f"{path}: job has an unknown key {key!r}; {nearest(key, _JOB_KEYS)}")
    for key in _JOB_KEYS:
        if key not in job:
            raise ConfigurationError(f"{path}: job has no {key!r}; write {_EXAMPLE}")
    name = _read_name(path, job["name"])
    sources = _read_sources(path, job["sources"], home)
    settings = read_settings(path, names.get("config", {}))
    config = make_config(user_settings, settings, home=home)
    _check_level(path if "level" in settings else user_path, config.level, sources)
    return Job(name, sources, config, path, _hook(path, names, "after_backup"), _hook(path, names, "after_volume"))


def load_user_config(home: str | None = None) -> Config:
    """The configuration without a job: ``~/.backalaika`` over the defaults.

    Args:
        home: where ``.backalaika`` is looked for, and what ``~`` means; by default the user's home directory.

    Raises:
        ConfigurationError: as `load_job`.
    """
    return make_config(_user_settings(home)[1], home=home)


def _user_settings(home: str | None) -> tuple[str, dict[str, Any]]:
    path = os.path.join(absolute_path("~", home), ".backalaika")
    # A link to nowhere is not the absence of settings.
    if not os.path.lexists(path):
        return path, {}
    return path, read_settings(path, _run_program(path).get("config", {}))


def _run_program(path: str) -> dict[str, Any]:
    """Run a file of the user's in a namespace of its own, and return that."""
    try:
        source = read_program(path)
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file; correct its name or make it") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read: {error.strerror or error}; check its name and its permissions"
        ) from None
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ConfigurationError(f"{path}:{error.lineno or 1}: syntax error: {error.msg}; correct this line") from None
    except ValueError:
        raise ConfigurationError(f"{path}: this is not Python text: it holds a null byte") from None
    names: dict[str, Any] = {"__name__": "__backalaika_job__", "__file__": path}
    try:
        exec(code, names)  # noqa: S102 - a job file is a program; read_program has seen whose it is
    except SystemExit as leaving:
        why = " ".join(str(leaving.code or "no reason given").split())
        raise ConfigurationError(f"{path}: this file ended with sys.exit() before the backup: {why}") from None
    except Exception as error:
        what, where = describe_failure(error, path)
        raise ConfigurationError(f"{where}: this file's own code failed: {what}") from None
    return names


def _read_name(path: str, name: object) -> str:
    if not isinstance(name, str) or not name.strip() or name in (".", ".."):
        must = "be text"
    elif any(c in "/\\" or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name):
        must = "hold no slashes, line ends and other control characters"
    elif len(name.encode()) > _MAX_NAME_BYTES:
        must = f"be no longer than {_MAX_NAME_BYTES} bytes"
    else:
        return name
    raise ConfigurationError(f"{path}: name in job is {name!r}; it becomes part of a folder's name, so it must {must}")


def _read_sources(path: str, sources: object, home: str | None) -> tuple[Source, ...]:
    if not isinstance(sources, list | tuple) or not sources:
        raise ConfigurationError(f"{path}: sources in job must be a list with at least one directory; write {_EXAMPLE}")
    return tuple(_read_source(path, source, home) for source in sources)


def _read_source(path: str, source: object, home: str | None) -> Source:
    folder, options = source, ""
    if isinstance(source, list | tuple):
        if not 1 <= len(source) <= 2:
            raise ConfigurationError(f"{path}: the source {source!r} must be a directory and its options: {_EXAMPLE}")
        folder, options = source[0], source[1] if len(source) == 2 else ""
    try:
        folder = absolute_path(read_path(folder), home)
    except ValueError as error:
        raise ConfigurationError(f"{path}: the source {folder!r} must be {error}") from None
    if not isinstance(options, str):
        raise ConfigurationError(
            f"{path}: the options of the source {folder} are {options!r}, but must be text such as 'zip,separate_dirs'"
        )
    chosen = {option.strip().lower() for option in options.split(",")} - {""}
    for option in sorted(chosen.difference(_OPTIONS)):
        raise ConfigurationError(
            f"{path}: the source {folder} has an unknown option {option!r}; {nearest(option, _OPTIONS)}"
        )
    formats = [name for name in FORMATS if name in chosen]
    if len(formats) > 1:
        raise ConfigurationError(
            f"{path}: the source {folder} has {len(formats)} formats, {', '.join(formats)}; choose one, "
            "or name the source once for each"
        )
    return Source(folder, formats[0] if formats else _DEFAULT_FORMAT, "separate_dirs" in chosen, options)


def _hook(path: str, names: Mapping[str, Any], name: str) -> Hook | None:
    hook: Hook | None = names.get(name)
    if hook is None:
        return None
    # Looked at now: a hook that cannot be called would be found out only when the work is done.
    if not callable(hook) or not (takes_arguments(hook) or takes_arguments(hook, None)):
        argument = "volume" if name == "after_volume" else "run"
        raise ConfigurationError(f"{path}: {name} must be a function; write def {name}({argument}):")
    return hook


def _check_level(path: str, level: int | None, sources: tuple[Source, ...]) -> None:
    if level is None:
        return
    from ..codecs import CODECS  # it brings the compression libraries, for which listing the catalogue need not wait

    for source in sources:
        levels = CODECS["gz" if source.format == "zip" else source.format].levels
        if level not in levels:
            raise ConfigurationError(
                f"{path}: level in config is {level}, but {source.format}, the format of {source.path}, "
                f"has levels {levels[0]} to {levels[-1]}"
            )
