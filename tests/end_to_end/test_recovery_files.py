"""Recovery files: made by any par2 program, counted in the capacity, and good for repairing a volume."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from real_backups import Office, bytes_on, manifest_of
from restores import command, errors_of, restore
from runs_cut_short import bytes_unfinished, end_when, start
from trees_compared import look, make_tree, noise, text, write

from backalaika.media import MEDIA
from backalaika.recovery.program import find_par2

PAR2 = shutil.which("par2", path="/usr/bin:/usr/local/bin") or "par2"
SMALL = {"max_size": 1_500_000, "redundancy": 10}


def fill(office: Office) -> None:
    make_tree(office.tree, 300_000)
    for number in range(30):
        write(office.tree / f"d{number % 3}" / f"{number}.bin", noise(90_000 + number, number))


def recovery_files(volume: Path) -> list[str]:
    return sorted(path.name for path in volume.iterdir() if path.name.startswith("RECOVERY"))


def par2(verb: str, volume: Path) -> int:
    return subprocess.run([PAR2, verb, "-q", "-q", "RECOVERY.par2"], cwd=volume, capture_output=True).returncode


def damage(path: Path, at: int, length: int = 2048) -> None:
    whole = bytearray(path.read_bytes())
    for place in range(at, min(at + length, len(whole))):
        whole[place] ^= 0x55
    path.write_bytes(whole)


def snapshot(volume: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in volume.iterdir()}


def test_volumes_with_recovery_files_keep_their_capacity_and_are_full(office):
    fill(office)
    saved = office.backup(options="zst", **SMALL)
    titles = [volume["title"] for volume in saved.report["volumes"]]

    assert len(titles) >= 3
    for volume, told in zip(saved.volumes, saved.report["volumes"], strict=True):
        assert len(recovery_files(volume)) == 2
        assert bytes_on(volume) == told["size"] <= 1_500_000
        assert par2("verify", volume) == 0
        assert "par2 repair RECOVERY.par2" in (volume / "README.txt").read_text()
        assert {path.stat().st_mode & 0o777 for path in volume.iterdir()} == {0o600}
        sizes = {path.name: path.stat().st_size for path in volume.iterdir()}
        recovery = sum(size for name, size in sizes.items() if name.startswith("RECOVERY"))
        assert 0.10 <= recovery / (sum(sizes.values()) - recovery) <= 0.16
    assert all(bytes_on(volume) >= 0.99 * 1_500_000 - 95_000 for volume in saved.volumes[:-1])
    assert [size for (size,) in office.catalogued("select size from volumes order by number")] == [
        bytes_on(volume) for volume in saved.volumes
    ]
    for title in titles:
        assert command(office, "verify", title, "--deep")[0]["notes"] == []


def test_volumes_of_a_real_tree_are_filled_to_99_percent(office):
    for number in range(400):
        write(office.tree / f"d{number % 9}" / f"{number}.bin", noise(5_000 + 171 * number, number))
    saved = office.backup(options="gz", max_size=6_000_000, redundancy=10, level=1)

    assert len(saved.volumes) == 3
    for volume in saved.volumes[:-1]:
        assert 0.99 * 6_000_000 <= bytes_on(volume) <= 6_000_000


def test_a_disc_with_recovery_files_holds_them_in_its_sectors(office):
    write(office.tree / "a", noise(3_000_000))
    (volume,) = office.backup(max_size="cd", redundancy=20).volumes
    files = [(path.name, path.stat().st_size) for path in volume.iterdir()]

    assert MEDIA["cd"].used(files) <= MEDIA["cd"].capacity
    assert par2("verify", volume) == 0


def test_the_same_bytes_whatever_the_number_of_workers(office):
    fill(office)
    names, found = {0, 1}, []
    while len(names) != 1:  # README.txt, which is protected too, has the minute of the run
        names, found = set(), []
        for workers in ("0", "3"):
            saved = office.backup("--workers", workers, options="bz2", **SMALL)
            found.append([snapshot(volume) for volume in saved.volumes])
            names.add(saved.volumes[0].parent.name)
            shutil.rmtree(office.backups)

    assert found[0] == found[1]


@pytest.mark.parametrize(
    "which", ["archive", "MANIFEST.jsonl.gz", "README.txt", "SUMS.xxh128", "RECOVERY.par2", ".vol"]
)
def test_damage_anywhere_is_found_and_a_copy_of_the_volume_repaired(office, which):
    fill(office)
    saved = office.backup(options="zst", redundancy=10)
    (volume,) = saved.volumes
    before = snapshot(volume)
    name = saved.archive.name if which == "archive" else next(name for name in before if which in name)
    damage(volume / name, 100)
    damaged = snapshot(volume)

    told, err = command(office, "verify", volume, status=1)
    repaired, said = command(office, "verify", volume, "--repair", "--to", office.root / "whole")

    assert any(name in path for path in errors_of(told))
    assert told["recovery"]["repairable"] is True
    assert told["recovery"]["needed"] <= 2
    assert "this damage can be repaired" in err
    assert repaired["exit_status"] == 0
    assert repaired["repair"]["copy"]["state"] == "healthy"
    assert snapshot(office.root / "whole") == before
    assert snapshot(volume) == damaged
    assert "REPAIRED" in said
    # And Debian's program alone, as README.txt tells.
    assert par2("repair", volume) == 0
    assert {name: data for name, data in snapshot(volume).items() if "RECOVERY" not in name and name in before} == {
        name: data for name, data in before.items() if "RECOVERY" not in name
    }


@pytest.mark.parametrize("redundancy", [10, 5])
def test_recovery_files_of_which_only_the_index_is_left_are_made_anew(office, redundancy):
    fill(office)
    (volume,) = office.backup(options="zst", redundancy=redundancy).volumes
    before = snapshot(volume)
    for name in recovery_files(volume):
        if ".vol" in name:
            (volume / name).unlink()

    told, err = command(office, "verify", volume, status=1)
    repaired, said = command(office, "verify", volume, "--repair", "--to", office.root / "whole")

    assert told["recovery"]["repairable"] is True
    assert "this damage can be repaired: it is of the recovery files alone" in err
    assert "0 recovery blocks" not in err
    assert repaired["repair"]["copy"]["state"] == "healthy"
    assert "REPAIRED" in said
    assert par2("verify", office.root / "whole") == 0
    damage(next(path for path in (office.root / "whole").glob("tree*.zst")), 100)
    assert par2("repair", office.root / "whole") == 0
    if redundancy == 10:  # nothing is left that tells of any other
        assert before == {name: (office.root / "whole" / name).read_bytes() for name in before}


@pytest.mark.parametrize("missing", ["archive", "SUMS.xxh128", "README.txt"])
def test_a_file_that_is_missing_is_made_again(office, missing):
    fill(office)
    for number in range(30, 60):  # nothing may be a tenth of the volume
        write(office.tree / f"{number}" / f"{number}.bin", noise(90_000 + number, number))
    saved = office.backup(options="zst,separate_dirs", redundancy=30)
    (volume,) = saved.volumes
    before = snapshot(volume)
    name = missing if missing != "archive" else min(saved.archives, key=lambda path: path.stat().st_size).name
    (volume / name).unlink()

    command(office, "verify", volume, "--repair", "--to", office.root / "whole")

    assert snapshot(office.root / "whole") == before


def test_more_damage_than_there_are_recovery_blocks_is_told_and_nothing_is_copied(office):
    fill(office)
    saved = office.backup(options="zst", redundancy=5)
    (volume,) = saved.volumes
    damage(saved.archive, 100_000, 600_000)

    told, err = command(office, "verify", volume, "--repair", "--to", office.root / "whole", status=1)

    recovery = told["recovery"]
    assert (recovery["repairable"], recovery["needed"] > recovery["recovery_blocks"] > 0) == (False, True)
    assert "cannot be repaired" in err
    assert "NOT REPAIRED" in err
    assert not (office.root / "whole").exists()
    assert par2("repair", volume) == 2


def test_a_repair_overwrites_nothing_and_needs_a_place(office):
    write(office.tree / "a", noise(300_000))
    saved = office.backup(redundancy=10)
    (volume,) = saved.volumes
    damage(saved.archive, 100)
    (office.root / "full").mkdir()
    write(office.root / "full/letter", text(100))

    _, full = command(office, "verify", volume, "--repair", "--to", office.root / "full", status=2)
    _, inside = command(office, "verify", volume, "--repair", "--to", volume / "copy", status=2)
    office.backup(redundancy=10)
    _, several = command(office, "verify", office.backups, "--repair", "--to", office.root / "other", status=2)
    _, nowhere = command(office, "verify", volume, "--repair", status=2)

    assert "is not empty" in full
    assert "lies on the volume itself" in inside
    assert "--to DIR" in nowhere
    assert "takes one volume, and 2 are meant" in several
    assert (office.root / "full/letter").read_bytes() == text(100)


def test_a_volume_without_recovery_files_says_so(office):
    write(office.tree / "a", noise(300_000))
    saved = office.backup()
    damage(saved.archive, 100)
    told, err = command(office, "verify", saved.volumes[0], "--repair", "--to", office.root / "whole", status=1)

    assert told["recovery"] is None
    assert "has no recovery files" in err


def test_recovery_files_that_are_gone_are_missed(office):
    write(office.tree / "a", noise(300_000))
    (volume,) = office.backup(redundancy=10).volumes
    for name in recovery_files(volume):
        (volume / name).unlink()
    told, _ = command(office, "verify", volume, status=1)

    assert "missing" in errors_of(told)["RECOVERY.par2"]


def test_other_commands_take_a_volume_with_recovery_files(office):
    fill(office)
    saved = office.backup(options="zst", redundancy=10)
    (volume,) = saved.volumes
    size = office.catalogued("select size from volumes")
    restore(office, "--volume", saved.report["volumes"][0]["title"], to=office.root / "back")
    again, noted = command(office, "add", "disc", volume)
    (office.backups / "backalaika.sqlite").unlink()
    command(office, "rebuild", office.backups)
    rebuilt = office.catalogued("select size from volumes")
    (office.backups / "backalaika.sqlite").unlink()
    added, err = command(office, "add", "disc", volume)
    loose = office.catalogued("select name from files where archive_id is null")

    assert look(office.root / "back/tree") == look(office.tree)
    assert "not entered" not in noted + err
    assert (again["exit_status"], added["exit_status"]) == (0, 0)
    assert rebuilt == size
    assert loose == []


def test_a_dry_run_counts_recovery_files(office):
    for number in range(20):
        write(office.tree / f"{number}.bin", noise(200_000, number))
    plain = office.backup("--dry-run", max_size=2_500_000).report
    planned = office.backup("--dry-run", max_size=2_500_000, redundancy=50).report
    saved = office.backup(max_size=2_500_000, redundancy=50)

    assert len(plain["volumes"]) == 2
    assert len(planned["volumes"]) == len(saved.volumes) == 3
    sizes = [volume["size"] for volume in planned["volumes"]]
    assert sum(sizes) == pytest.approx(sum(map(bytes_on, saved.volumes)), rel=0.06)


def test_without_a_par2_program_nothing_is_started_and_the_extra_is_named(office, tmp_path):
    write(office.tree / "a", noise(300_000))
    # The extra's program is found by its package, which is hidden by one without it.
    write(tmp_path / "hidden/par2/__init__.py", b"")
    program = [*office.command(redundancy=10)]
    environment = office.environment | {"PATH": str(tmp_path)}
    environment["PYTHONPATH"] = f"{tmp_path}/hidden:{environment['PYTHONPATH']}"
    done = subprocess.run(program, capture_output=True, text=True, env=environment, cwd=office.root)

    assert done.returncode == 2
    assert "backalaika[par2]" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not office.backups.exists()


def slow_par2(folder: Path, seconds: float, then: str = "") -> Path:
    """A program that tells how far it is for a while, before it does what par2 does."""
    folder.mkdir()
    script = folder / "par2"
    script.write_text(
        f"#!{sys.executable}\n"
        "import os, subprocess, sys, time\n"
        "open('RECOVERY.partial.par2', 'w').close()\n"
        f"until = time.monotonic() + {seconds}\n"
        "while time.monotonic() < until:\n"
        "    print('Processing: 1.0%', end='\\r', flush=True)\n"
        "    time.sleep(0.02)\n"
        "os.unlink('RECOVERY.partial.par2')\n"
        f"status = subprocess.call([{PAR2!r}, *sys.argv[1:]])\n"
        f"{then}\n"
        "sys.exit(status)\n"
    )
    script.chmod(0o700)
    return script


class OwnProgram:
    """An office in which another par2 program is found, whatever extras are installed."""

    def __init__(self, office: Office, folder: Path) -> None:
        self.office = office
        write(folder.parent / "hidden/par2/__init__.py", b"")
        self.environment = office.environment | {"PATH": f"{folder}:{os.environ['PATH']}"}
        self.environment["PYTHONPATH"] = f"{folder.parent}/hidden:{self.environment['PYTHONPATH']}"
        self.root = office.root


def running(folder: Path) -> list[str]:
    """Processes that run a script in a folder."""
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if f"{folder}/par2" in line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_cut_off_while_recovery_files_are_made_goes_on(office, tmp_path, number):
    fill(office)
    job = {"options": "zst", "max_size": 20_000_000, "redundancy": 10}
    slow = slow_par2(tmp_path / "slow", 30)
    process = start(office.command(**job), OwnProgram(office, slow.parent))
    if number == signal.SIGKILL:
        until = time.monotonic() + 30
        while not list(office.backups.glob("2*/vol*/RECOVERY.partial.par2")):
            assert time.monotonic() < until
            time.sleep(0.01)
        process.kill()  # alone: par2 has a group of its own
        process.communicate(timeout=30)
    else:
        end_when(process, lambda: bool(list(office.backups.glob("2*/vol*/RECOVERY.partial.par2"))), number)
    status = process.returncode
    until = time.monotonic() + 10
    while running(slow.parent):
        assert time.monotonic() < until, "par2 goes on"
        time.sleep(0.05)
    (run,) = office.backups.glob("2*")
    states = office.catalogued("select state from volumes")
    left = [path.name for path in run.glob("vol001/RECOVERY*")]
    resumed = office.backup("--resume", **job)

    assert status == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    assert states != [("complete",)]
    if number != signal.SIGKILL:
        assert left == []
    (volume,) = resumed.volumes
    assert len(recovery_files(volume)) == 2
    assert par2("verify", volume) == 0
    assert office.catalogued("select state, size from volumes") == [("complete", bytes_on(volume))]
    assert {line["path"] for line in manifest_of(volume)} >= {"tree/letter.txt"}


def test_a_par2_program_that_fails_fails_the_run_and_it_can_go_on(office, tmp_path):
    fill(office)
    job = {"options": "zst", "redundancy": 10}
    script = slow_par2(tmp_path / "bad", 0, "print('no luck today'); status = 6")
    failing = OwnProgram(office, script.parent)
    done = subprocess.run(
        office.command(**job), capture_output=True, text=True, env=failing.environment, cwd=office.root, timeout=60
    )
    (run,) = office.backups.glob("2*")
    left = [path.name for path in run.glob("vol001/RECOVERY*")]
    resumed = office.backup("--resume", **job)

    assert done.returncode == 3
    assert "no luck today" in done.stderr
    assert left == []
    assert par2("verify", resumed.volumes[0]) == 0


def test_a_run_that_goes_on_with_more_redundancy_leaves_a_volume_without_where_it_has_no_room(office):
    for number in range(400):
        write(office.tree / f"{number:03d}.bin", noise(90_000, number))
    # More than half of the volume is taken when the run ends, and much less than all of it.
    job = {"options": "zst", "max_size": 30_000_000}
    process = start(office.command(**job), office)
    end_when(process, lambda: bytes_unfinished(office) > 16_500_000, signal.SIGINT)
    assert process.returncode == 130
    resumed = office.backup("--resume", redundancy=100, **job)

    assert [len(recovery_files(volume)) for volume in resumed.volumes] == [0, 2]
    assert "gets no recovery files" in resumed.err
    assert all(bytes_on(volume) <= 30_000_000 for volume in resumed.volumes)
    assert "par2" not in (resumed.volumes[0] / "README.txt").read_text()


def test_the_program_of_the_extra_is_found_before_others():
    found = find_par2()

    assert found is not None
    assert os.access(found, os.X_OK)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["zip", "zst"])
def test_two_hundred_bytes_and_two_hundred_blocks_are_found_and_repaired(office, option):
    """Eight damages at a time, for each repair starts a program; 25 times with each option, always elsewhere."""
    chance = random.Random(option)
    for number in range(20):
        write(office.tree / f"{number}.bin", noise(90_000 + number, number))
    (volume,) = office.backup(options=option, redundancy=10).volumes
    before = snapshot(volume)
    for turn in range(25):
        places = []
        for number in range(8):
            name = sorted(before)[turn % len(before)] if number == 0 else chance.choices(
                sorted(before), [len(before[name]) for name in sorted(before)]
            )[0]  # fmt: skip
            at = chance.randrange(len(before[name]))
            damage(volume / name, at, 1 if number % 2 else 2048)
            places.append((name, at))
        target = office.root / f"whole{turn}"
        told, _ = command(office, "verify", volume, "--repair", "--to", target, "--workers", "0")
        for name, _ in places:
            if snapshot(volume)[name] != before[name]:
                assert any(name in path for path in errors_of(told)), (turn, places)
        assert told["repair"]["copy"]["state"] == "healthy", (turn, places)
        assert snapshot(target) == before, (turn, places)
        shutil.rmtree(target)
        for name, data in before.items():
            (volume / name).write_bytes(data)
