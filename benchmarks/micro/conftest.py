"""What the micro-benchmarks share: an entry, and content like that of an office."""

import random

import pytest

from backalaika.walk import FILE, Entry
from benchmarks.office import Office


@pytest.fixture(scope="session")
def entries():
    """A thousand entries with names as people give them, a few of which are not ASCII."""
    chance = random.Random(1)
    names = [f"{'Börse' if i % 20 == 0 else 'letter'} to the customer {i}.odt" for i in range(1000)]
    now = 1_700_000_000_000_000_000
    return [
        Entry(name, FILE, 0o100644, 1000, now + chance.randrange(10**15), now, number, 1000, 1000, None, "")
        for number, name in enumerate(names)
    ]


@pytest.fixture(scope="session")
def content():
    """8 MiB, the half of which shrinks."""
    office = Office(1)
    text = office.letter(1 << 20) + office.table(1 << 20) + office.mailbox(1 << 20) + office.old_document(1 << 20)
    return text + office.photo(1 << 22)
