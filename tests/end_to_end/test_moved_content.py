"""Content of a volume that lies elsewhere than it did: what the count of blocks gives up, a par2 program finds."""

from __future__ import annotations

import os
import random

import pytest
from restores import command
from test_recovery_files import fill, snapshot

pytestmark = pytest.mark.timeout(120)


def without_par2(office, tmp_path):
    """An office in which no par2 program is found, whatever is installed."""
    (tmp_path / "hidden/par2").mkdir(parents=True)
    (tmp_path / "hidden/par2/__init__.py").touch()
    hidden = type("Hidden", (), {})()
    hidden.root = office.root
    hidden.environment = office.environment | {"PATH": str(tmp_path)}
    hidden.environment["PYTHONPATH"] = f"{tmp_path}/hidden:{office.environment['PYTHONPATH']}"
    return hidden


def move(volume, archive, how):
    if how == "shifted":
        archive.write_bytes(b"junk" + archive.read_bytes())
    else:
        archive.rename(volume / how)


@pytest.mark.parametrize("how", ["shifted", "other name", "-rf", "line\nbreak", os.fsdecode(b"\xff")])
def test_content_that_moved_is_found_and_a_copy_made_whole(office, how):
    fill(office)
    saved = office.backup(options="zst", redundancy=10)
    (volume,) = saved.volumes
    before = snapshot(volume)
    move(volume, saved.archive, how)
    (volume / "stranger").write_bytes(b"of no use")
    moved = snapshot(volume)

    told, err = command(office, "verify", volume, "--repair", "--to", office.root / "whole")

    assert told["recovery"]["needed"] > told["recovery"]["recovery_blocks"]
    assert told["recovery"]["repairable"] is True
    assert "this damage can be repaired" in err
    assert snapshot(office.root / "whole") == before
    assert snapshot(volume) == moved


def test_without_a_par2_program_nobody_says_that_it_cannot_be_repaired(office, tmp_path):
    fill(office)
    saved = office.backup(options="zst", redundancy=10)
    (volume,) = saved.volumes
    move(volume, saved.archive, "shifted")

    told, err = command(without_par2(office, tmp_path), "verify", volume, status=1)

    assert told["recovery"]["repairable"] is None
    assert "may not suffice" in err
    assert "cannot be repaired" not in err


@pytest.mark.parametrize("name", ["*", "other.PAR2"])
def test_a_file_that_the_program_would_take_for_another_thing_is_tried_on_the_copy(office, name):
    fill(office)
    saved = office.backup(options="zst", redundancy=10)
    (volume,) = saved.volumes
    before = snapshot(volume)
    move(volume, saved.archive, name)

    told, _ = command(office, "verify", volume, "--repair", "--to", office.root / "whole")

    assert told["recovery"]["repairable"] is None
    assert snapshot(office.root / "whole") == before


def test_beside_a_link_or_a_fifo_the_program_is_not_asked_but_tries_on_the_copy(office):
    fill(office)
    saved = office.backup(options="zst", redundancy=10)
    (volume,) = saved.volumes
    before = snapshot(volume)
    move(volume, saved.archive, "elsewhere")
    os.mkfifo(volume / "fifo")
    (volume / "link").symlink_to("/dev/zero")

    told, _ = command(office, "verify", volume, "--repair", "--to", office.root / "whole")

    assert told["recovery"]["repairable"] is None
    assert snapshot(office.root / "whole") == before


def test_what_is_gone_cannot_be_repaired_whatever_lies_beside_it(office):
    fill(office)
    saved = office.backup(options="zst", redundancy=10)
    (volume,) = saved.volumes
    (volume / "noise").write_bytes(random.Random(0).randbytes(saved.archive.stat().st_size))
    saved.archive.unlink()

    told, err = command(office, "verify", volume, "--repair", "--to", office.root / "whole", status=1)

    assert told["recovery"]["repairable"] is False
    assert "NOT REPAIRED" in err
    assert not (office.root / "whole").exists()


def test_a_repair_that_cannot_be_is_refused_before_the_volume_is_read(office, tmp_path):
    fill(office)
    saved = office.backup(redundancy=10)
    (volume,) = saved.volumes
    saved.archive.write_bytes(b"damaged")
    (office.root / "full").mkdir()
    (office.root / "full/letter").touch()

    _, full = command(office, "verify", volume, "--repair", "--to", office.root / "full", status=2)
    hidden = without_par2(office, tmp_path)
    _, lacking = command(hidden, "verify", volume, "--repair", "--to", office.root / "whole", status=2)

    assert "is not empty" in full
    assert "needs a par2 program" in lacking
    for said in (full, lacking):
        assert saved.archive.name not in said
        assert said.count("\n") == 1
    assert not (office.root / "whole").exists()
