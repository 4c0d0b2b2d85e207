"""Each of five states of a share comes back as it was, whatever the runs between had to save."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from datetime import datetime

import pytest
from real_backups import FORMATS, PROGRAM
from restores import errors_of, restore
from test_pictures import edit
from trees_compared import look, seen_by, text, write

pytestmark = pytest.mark.timeout(240)


def this_second() -> str:
    """This second, as a date that means it to its end; and wait for that."""
    now = datetime.now().isoformat(" ", "seconds")
    time.sleep(1 - time.time() % 1)
    return now


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_of_five_states_comes_back(office, seed):
    chance = random.Random(seed)
    write(office.tree / "first", b"there has to be something")
    states = []
    for _ in range(5):
        for _ in range(chance.randrange(12)):
            edit(office.tree, chance)
        known = chance.random() < 0.7
        option = chance.choice(FORMATS) + chance.choice(["", ",separate_dirs"])
        size = chance.choice([400_000, 1_000_000, 10**9])
        arguments = ["--allow-shrunk", "--skip-known" if known else "--no-skip-known"]
        office.backup(*arguments, options=option, max_size=size)
        states.append((this_second(), seen_by(look(office.tree), hard_links=False)))

    for moment, state in states:
        place = office.place()
        restore(office, "--job", "office", "--as-of", moment, to=place)
        assert seen_by(look(place / "tree"), hard_links=False) == state


def test_what_was_moved_copied_or_given_other_rights_comes_back_so(office):
    write(office.tree / "old" / "report.txt", text(5000), 0o644)
    write(office.tree / "private.txt", text(3000, 1), 0o644)
    (office.tree / "empty").mkdir()
    office.backup()
    moved = office.tree / "new" / "final.txt"
    moved.parent.mkdir()
    (office.tree / "old" / "report.txt").rename(moved)
    shutil.copyfile(moved, office.tree / "copy.txt")
    (office.tree / "private.txt").chmod(0o600)
    (office.tree / "empty").chmod(0o711)
    os.utime(office.tree / "empty", ns=(10**18, 10**18))
    office.backup("--skip-known")

    place = office.place()
    restore(office, "--job", "office", to=place)
    assert look(place / "tree") == look(office.tree)

    place = office.place()
    restore(office, moved, to=place)
    assert (place / "tree/new/final.txt").read_bytes() == text(5000)


def test_what_is_on_no_volume_any_more_is_told(office):
    write(office.tree / "a.txt", text(5000))
    first = office.backup()
    write(office.tree / "b.txt", text(4000, 1))
    office.backup("--skip-known")
    title = f"{first.volumes[0].parent.name}/{first.volumes[0].name}"
    command = [*PROGRAM, "remove", "--yes", title]
    subprocess.run(command, env=office.environment, check=True, capture_output=True)

    report = restore(office, "--job", "office", to=office.root / "back", status=1)

    assert set(errors_of(report)) == {"tree/a.txt"}
    assert "on no volume" in errors_of(report)["tree/a.txt"]
    assert (office.root / "back/tree/b.txt").read_bytes() == text(4000, 1)
