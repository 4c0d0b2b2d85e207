"""How long a medium is waited for: only while somebody looks, and of one wait at a time."""

from __future__ import annotations

import pytest

from backalaika.restoring.signs import Signs, Watch


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def signs(clock):
    made = Signs(2, clock)
    Watch.attach(made.name)
    yield made
    Watch.attach("")
    made.close()


def seen(signs, clock, *gaps_s):
    """What is seen of the first slot, after so many seconds each."""
    for gap_s in gaps_s:
        clock.now += gap_s
        waited = signs.waited()
    return waited


def test_a_wait_is_as_long_as_it_was_looked_at(signs, clock):
    slot = signs.take()
    with Watch(slot):
        assert seen(signs, clock, 5.0)[slot] == 0  # it may have begun just now
        assert seen(signs, clock, 0.5, 0.5)[slot] == pytest.approx(1.0)
    assert seen(signs, clock, 0.5)[slot] == 0


def test_what_a_stopped_computer_slept_counts_as_a_second(signs, clock):
    slot = signs.take()
    with Watch(slot):
        assert seen(signs, clock, 0.5, 0.5, 3600.0, 0.5)[slot] == pytest.approx(2.0)


def test_many_waits_are_no_long_one(signs, clock):
    slot = signs.take()
    watch = Watch(slot)
    for _ in range(10):
        with watch:
            assert seen(signs, clock, 0.9)[slot] == 0


def test_a_slot_that_is_taken_again_has_not_waited(signs, clock):
    slot = signs.take()
    Watch(slot).__enter__()
    seen(signs, clock, 0.5, 0.5)
    signs.give_back(slot)
    assert signs.take() == slot
    assert seen(signs, clock, 0.5) == {slot: 0.0}
