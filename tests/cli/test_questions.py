import time
import unicodedata
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backalaika.cli.questions import (
    COMMENT,
    SINCE,
    SKIP_KNOWN,
    Answers,
    Given,
    ask_answers,
    default_answers,
    end_of,
    parse_date,
    unanswered,
)
from backalaika.errors import UsageError
from backalaika.run.answers import comment_slug

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND


@pytest.fixture
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def converse(answers, switches=Given()):  # noqa: B008 - it is frozen
    """Answer questions from a list; the answers, the questions asked and what was told."""
    pending, asked, told = list(answers), [], []

    def ask(question):
        asked.append(question)
        return pending.pop(0)

    result = ask_answers(switches, ask, told.append)
    assert not pending
    return result, asked, told


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2008-12-25", (2008, 12, 25)),
        ("2008-12-25 14:30", (2008, 12, 25, 14, 30)),
        ("2008-12-25T14:30", (2008, 12, 25, 14, 30)),
        ("2008-12-25 14:30:05", (2008, 12, 25, 14, 30, 5)),
        ("2008-12-25T14:30:05", (2008, 12, 25, 14, 30, 5)),
        ("  2008-12-25\n", (2008, 12, 25)),
        ("1969-07-20 20:17", (1969, 7, 20, 20, 17)),
    ],
)
def test_a_date_is_read_as_local_time(text, moment):
    assert parse_date(text, NOW) == int(datetime(*moment).timestamp()) * SECOND


@pytest.mark.usefixtures("berlin")
def test_the_time_zone_is_that_of_the_date_and_not_of_today():
    assert parse_date("2008-12-25 14:30", NOW) == 1230211800 * SECOND  # date -d '2008-12-25 14:30 +0100' +%s
    assert parse_date("2008-06-25 14:30", NOW) == 1214397000 * SECOND  # date -d '2008-06-25 14:30 +0200' +%s


@pytest.mark.parametrize("text", ["", "  ", "all", "ALL"])
def test_all_is_no_date(text):
    assert parse_date(text, NOW) is None


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "25.12.2008",
        "2008-12",
        "20081225",
        "2008-W52-4",
        "2008-12-25 14",
        "2008-12-25 14:30:05.5",
        "2008-12-25 14:30+01:00",
        "2008-12-25  14:30",
        "2008-02-30",
        "2008-13-01",
        "2008-12-25 24:30",
        "0000-01-01",
        "٢٠٠٨-١٢-٢٥",
        "2008-12-25\n2009-12-25",
    ],
)
def test_what_is_no_date_is_told_with_the_accepted_forms(text):
    with pytest.raises(UsageError) as caught:
        parse_date(text, NOW)

    message = str(caught.value)
    assert "2008-12-25, 2008-12-25 14:30, 2008-12-25 14:30:05 or all" in message
    assert "\n" not in message


def test_a_date_in_the_future_is_refused_for_it_would_save_nothing():
    now = int(datetime(2026, 11, 22, 9, 15).timestamp()) * SECOND

    assert parse_date("2026-11-22", now) is not None
    assert parse_date("2026-11-22 09:15", now) == now
    for text in ("2026-11-22 09:15:01", "2026-11-23", "9999-12-31"):
        with pytest.raises(UsageError, match="in the future"):
            parse_date(text, now)


def test_as_of_a_date_in_the_future_is_refused_in_words_that_fit():
    assert end_of(None) is None
    for text in ("9999-12-31", " 9999-12-31 09:15"):
        with pytest.raises(
            UsageError, match=r"--as-of: '9999-.* is in the future; .* how the sources were last"
        ) as told:
            end_of(text)
        assert "backed up" not in str(told.value)
    with pytest.raises(UsageError, match=r"write 2008-12-25, 2008-12-25 14:30 or 2008-12-25 14:30:05$"):
        end_of("soon")


@given(st.text())
def test_any_text_is_a_date_or_an_error_of_the_user(text):
    try:
        since = parse_date(text, NOW)
    except UsageError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both ways are right
    else:
        assert since is None or since <= NOW


@pytest.mark.parametrize(
    ("comment", "slug"),
    [
        ("before the move", "before-the-move"),
        ("  Before -- the/move!  ", "Before-the-move"),
        ("", ""),
        ("?!/..", ""),
        ("../../etc", "etc"),
        ("1º de março_2", "1º-de-março-2"),
        ("日本 語", "日本-語"),
        ("हिन्दी", "हिन्दी"),
        ("cafe\u0301", "caf\u00e9"),
        ("a\udcffb\0c\nd", "a-b-c-d"),
    ],
)
def test_a_comment_becomes_part_of_a_folders_name(comment, slug):
    assert comment_slug(comment) == slug


def test_a_long_comment_is_cut_between_characters():
    assert comment_slug("x" * 61) == "x" * 60
    assert comment_slug("x" + "é" * 40) == "x" + "é" * 29
    assert comment_slug("x" * 59 + " y") == "x" * 59


@given(st.text())
def test_a_slug_is_short_and_without_danger(text):
    slug = comment_slug(text)

    assert len(slug.encode()) <= 60
    assert not slug.startswith("-")
    assert not slug.endswith("-")
    assert "--" not in slug
    assert all(c == "-" or c.isalnum() or unicodedata.category(c).startswith("M") for c in slug)


def test_all_three_questions_are_asked_in_order():
    answers, asked, told = converse(["y", "2008-12-25", " before the move "])

    assert answers == Answers(True, parse_date("2008-12-25", NOW), "before the move")
    assert asked == [SKIP_KNOWN, SINCE, COMMENT]
    assert told == []


def test_enter_takes_the_defaults():
    assert converse(["", "", ""])[0] == Answers(False, None, "")


@pytest.mark.parametrize(
    ("answer", "skip"), [("y", True), ("YES", True), (" yes ", True), ("n", False), ("No", False), ("", False)]
)
def test_yes_and_no_may_be_short(answer, skip):
    assert converse([answer, "", ""])[0].skip_known is skip


def test_what_is_neither_yes_nor_no_is_asked_again():
    answers, asked, told = converse(["perhaps", "y", "", ""])

    assert answers.skip_known
    assert asked == [SKIP_KNOWN, SKIP_KNOWN, SINCE, COMMENT]
    assert told == ["'perhaps' is neither y nor n"]


def test_a_bad_date_is_asked_again():
    answers, asked, told = converse(["", "christmas", "9999-12-31", "all", ""])

    assert answers.since_ns is None
    assert asked == [SKIP_KNOWN, SINCE, SINCE, SINCE, COMMENT]
    assert "'christmas' is not a date" in told[0]
    assert "in the future" in told[1]


@pytest.mark.parametrize(
    ("switches", "questions"),
    [
        (Given(skip_known=True), [SINCE, COMMENT]),
        (Given(skip_known=False), [SINCE, COMMENT]),
        (Given(since="2008-12-25"), [SKIP_KNOWN, COMMENT]),
        (Given(since="all"), [SKIP_KNOWN, COMMENT]),
        (Given(comment=""), [SKIP_KNOWN, SINCE]),
        (Given(False, "", "moved"), []),
    ],
)
def test_what_a_switch_answered_is_not_asked(switches, questions):
    answers, asked, _ = converse([""] * len(questions), switches)

    assert asked == questions
    assert answers == default_answers(switches)


def test_a_bad_date_in_a_switch_is_told_before_anything_is_asked():
    with pytest.raises(UsageError, match="'christmas' is not a date"):
        converse([], Given(since="christmas"))


def test_defaults_fill_what_no_switch_answered():
    assert default_answers(Given()) == Answers(False, None, "")
    assert default_answers(Given(True, "2008-12-25", "x")) == Answers(True, parse_date("2008-12-25", NOW), "x")


def test_a_comment_is_one_line_of_text():
    assert default_answers(Given(comment=" a\nb\x1b[31m\t\udcff c ")).comment == "a b [31m c"


def test_missing_answers_are_named_by_their_switches():
    assert unanswered(Given()) == ["--skip-known/--no-skip-known", "--since", "--comment"]
    assert unanswered(Given(skip_known=False, comment="")) == ["--since"]
    assert unanswered(Given(True, "all", "x")) == []
