"""How large recovery files become is known before they are made: two par2 programs make them, and are weighed."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backalaika.media import MEDIA, Medium
from backalaika.recovery.layout import INDEX, NEVER, Blocks, Layout, Making
from backalaika.recovery.program import create, find_par2, recovery_files

# Debian's, and that of the extra.
PROGRAMS = sorted({path for path in (shutil.which("par2", path="/usr/bin:/usr/local/bin"), find_par2()) if path})

FILES = st.dictionaries(
    st.text("abcxyz_-. éß", min_size=1, max_size=40).map(lambda name: f"a{name}.zip"),
    st.one_of(st.integers(1, 5000), st.integers(1, 150_000)),
    min_size=1,
    max_size=6,
)


def made(program, files, layout, place):
    for number, (name, size) in enumerate(files.items()):
        with open(os.path.join(place, name), "wb") as file:
            file.write(random.Random(number).randbytes(size))
    blocks = layout.of_files(files.items())
    making = Making(layout.block, layout.recovery_blocks(blocks.count), layout.files(blocks.count))
    names = create(program, place, sorted(files), making, 2, lambda: False, lambda percent: None)
    assert names == recovery_files(place)
    return blocks, [os.path.getsize(os.path.join(place, name)) for name in names]


@pytest.mark.parametrize("program", PROGRAMS)
@settings(deadline=None, max_examples=25)
@given(FILES, st.integers(1, 100), st.integers(300_000, 8_000_000), st.integers(1, 4))
def test_recovery_files_are_as_large_as_was_said_but_for_the_name_of_the_program(
    program, files, percent, capacity, most_files
):
    plain = Layout.of_medium(percent, Medium(capacity))
    layout = Layout(percent, plain.block, most_files)
    with tempfile.TemporaryDirectory() as place:
        blocks, sizes = made(program, files, layout, place)
        said = layout.used(Medium(capacity), blocks)

        assert sum(sizes) <= said <= sum(sizes) + 256 * len(sizes)
        assert layout.used(MEDIA["dvd"], blocks) >= sum(-(-size // 2048) * 2048 for size in sizes)
        assert subprocess.run([PROGRAMS[0], "verify", INDEX], cwd=place, capture_output=True).returncode == 0


def test_the_blocks_of_real_media():
    for medium in MEDIA.values():
        for percent in (1, 10, 100):
            layout = Layout.of_medium(percent, medium)
            blocks = Blocks(layout.blocks(medium.capacity) + 100, 30_000)
            files = layout.files(blocks.count)
            largest = -(-layout.recovery_blocks(blocks.count) // files) * (layout.block + 68)

            assert 1900 <= blocks.count <= 2101
            assert layout.block % 2048 == 0
            assert medium.largest_file is None or largest < medium.largest_file
            # The checksums and their copies are little beside the recovery blocks.
            assert layout.used(medium, blocks) <= (percent + 0.2) / 100 * (medium.capacity + 101 * layout.block)


def test_what_the_format_cannot_hold_fits_nowhere():
    layout = Layout.of_medium(10, Medium(1 << 30))

    assert layout.used(Medium(1 << 30), Blocks(32_769, 0)) == NEVER
    assert Layout.of_medium(0, Medium(1 << 30)) is None


@given(st.integers(300_000, 1 << 40), st.integers(1, 100), st.integers(1, 500))
def test_content_that_a_room_holds_with_its_recovery_files(room, percent, files):
    medium = Medium(room)
    layout = Layout.of_medium(percent, medium)
    size = layout.content(medium, room, files)

    assert size == 0 or size + layout.room(medium, size, files) <= room
    assert size + 1 + layout.room(medium, size + 1, files) > room
