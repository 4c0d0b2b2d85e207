"""Questions: the conversation before a backup, with no terminal in sight.

Three things are asked: skip known files, since when, a comment. Each may be answered by a switch; what is not, is
asked through a function that the caller brings, and what cannot be asked can at least be named.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..errors import UsageError
from ..run.answers import Answers

SKIP_KNOWN = "Skip files that are already in the catalogue? [y/N] "
SINCE = "Only files modified since when? (2008-12-25, 2008-12-25 14:30; Enter: all) "
COMMENT = "A brief comment? (Enter: none) "

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?", re.ASCII)
_DATE_FORMS = "write 2008-12-25, 2008-12-25 14:30 or 2008-12-25 14:30:05"
_SINCE_FORMS = "write 2008-12-25, 2008-12-25 14:30, 2008-12-25 14:30:05 or all"


@dataclass(frozen=True, slots=True)
class Given:
    """What the switches answered; None: not answered. ``since`` is as it was written."""

    skip_known: bool | None = None
    since: str | None = None
    comment: str | None = None


def unanswered(given: Given) -> list[str]:
    """The switches that would answer what is still open."""
    switches = {
        "--skip-known/--no-skip-known": given.skip_known,
        "--since": given.since,
        "--comment": given.comment,
    }
    return [switch for switch, answer in switches.items() if answer is None]


def default_answers(given: Given) -> Answers:
    """The answers where nothing is asked: no, all and none for what is open.

    Raises:
        UsageError: the date given is none, or in the future.
    """
    return Answers(
        bool(given.skip_known), parse_date(given.since or "", time.time_ns()), _one_line(given.comment or "")
    )


def ask_answers(given: Given, ask: Callable[[str], str], tell: Callable[[str], None]) -> Answers:
    """Ask what is open, in order, and again after an answer that cannot be understood.

    Args:
        given: what need not be asked.
        ask: shows a question and returns the line that was typed.
        tell: shows what was wrong with an answer.

    Raises:
        UsageError: the date given is none, or in the future; nothing was asked.
    """
    answers = default_answers(given)
    skip_known, since_ns, comment = answers.skip_known, answers.since_ns, answers.comment
    if given.skip_known is None:
        skip_known = _ask_yes_or_no(SKIP_KNOWN, ask, tell)
    if given.since is None:
        since_ns = _ask_date(SINCE, ask, tell)
    if given.comment is None:
        comment = _one_line(ask(COMMENT))
    return Answers(skip_known, since_ns, comment)


def _ask_yes_or_no(question: str, ask: Callable[[str], str], tell: Callable[[str], None]) -> bool:
    while True:
        answer = ask(question).strip().lower()
        if answer in ("y", "yes"):
            return True
        if answer in ("n", "no", ""):
            return False
        tell(f"{answer!r} is neither y nor n")


def _ask_date(question: str, ask: Callable[[str], str], tell: Callable[[str], None]) -> int | None:
    while True:
        try:
            return parse_date(ask(question), time.time_ns())
        except UsageError as error:
            tell(str(error))


def parse_date(text: str, now_ns: int) -> int | None:
    """A date with or without a time, in the local time zone, as nanoseconds since 1970.

    Args:
        text: such as ``2008-12-25``, ``2008-12-25 14:30`` or ``2008-12-25T14:30:05``; a date alone is its midnight.
        now_ns: the time now, in nanoseconds since 1970.

    Returns:
        None for ``all`` and for nothing.

    Raises:
        UsageError: it is no date, or in the future: no file would be backed up.
    """
    text = text.strip()
    since_ns = _begin_of(text, _SINCE_FORMS)
    if since_ns is not None and since_ns > now_ns:
        raise UsageError(f"{text!r} is in the future, so that no file would be backed up; write an earlier date or all")
    return since_ns


def _begin_of(text: str, forms: str) -> int | None:
    """The first nanosecond that a date means; ``forms`` tells how to write one."""
    if text.lower() in ("", "all"):
        return None
    if not _DATE.fullmatch(text):
        raise UsageError(f"{text!r} is not a date; {forms}")
    try:
        return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000
    except (ValueError, OverflowError, OSError):  # 2008-02-30, or a year that the system's clock does not know
        raise UsageError(f"{text!r} is not in the calendar; {forms}") from None


def end_of(date: str | None) -> int | None:
    """The last nanosecond of a day, minute or second as of which is asked: what was saved in it counts. None for none.

    Raises:
        UsageError: it is no date, or in the future.
    """
    text = (date or "").strip()
    begins_ns = _begin_of(text, _DATE_FORMS)
    if begins_ns is None:
        return None
    if begins_ns > time.time_ns():
        raise UsageError(
            f"--as-of: {text!r} is in the future; write an earlier date, or leave it out for how the sources were last"
        )
    length = {10: timedelta(days=1), 16: timedelta(minutes=1)}.get(len(text), timedelta(seconds=1))
    begins = datetime.fromtimestamp(begins_ns // 1_000_000_000)
    return int((begins + length).timestamp()) * 1_000_000_000 - 1


def _one_line(text: str) -> str:
    """Without line ends, control characters and undecodable bytes: it goes to the catalogue and to each disc."""
    return " ".join("".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text).split())
