"""Reading back: a volume is complete only when the drive gives what was written to it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from real_backups import OWN_FILES, bytes_on
from restores import restore
from runs_in_process import Share, state_of
from trees_compared import look, noise, write

from backalaika.catalogue import open_catalogue
from backalaika.verifying import reading_back


def fill(tree: Path) -> None:
    for number in range(30):
        write(tree / f"d{number % 3}" / f"{number}.bin", noise(90_000 + number, number))


def spoil(path: Path, at: int = 5000) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def volumes_of(share: Share) -> dict[str, str]:
    """Title and state of each volume."""
    with sqlite3.connect(share.root / "catalogue.sqlite") as catalogue:
        return dict(catalogue.execute("select title, state from volumes order by number"))


@pytest.fixture
def share(tmp_path):
    made = Share(tmp_path / "share")
    fill(made.tree)
    return made


@pytest.mark.parametrize("how", ["sums", "deep"])
@pytest.mark.parametrize(
    "name", ["tree.002.tar.zst", "MANIFEST.jsonl.gz", "README.txt", "SUMS.xxh128", "RECOVERY.par2"]
)
def test_a_volume_that_is_not_read_as_it_was_written_is_not_complete(share, monkeypatch, how, name):
    forget = reading_back.forget

    def and_spoil(folder: str) -> None:
        forget(folder)
        if folder.endswith("vol002"):
            spoil(Path(folder) / name, 20)

    job = {"option": "zst", "max_size": 1_500_000, "redundancy": 10, "verify_after": how}
    with monkeypatch.context() as patched:
        patched.setattr(reading_back, "forget", and_spoil)
        failed = share.backup(status=3, **job)
    states = volumes_of(share)
    told = [volume.title[-6:] for volume in failed.volumes]
    aside = [path.name for path in (share.root / "backups").glob("2*/*.damaged")]
    resumed = share.backup(resume=True, **job)
    given_up = [path.name for path in (share.root / "backups").glob("2*/*.damaged")]

    assert failed.state == "failed"
    assert name in failed.failure
    assert "--resume" in failed.failure
    assert any(name in problem.path for problem in failed.problems)
    assert "vol002" not in told
    assert [state for title, state in states.items() if title.endswith("vol002")] != ["complete"]
    if name != "SUMS.xxh128":  # where that is damaged, it may say that an archive is
        assert aside == (["tree.002.tar.zst.damaged"] if name == "tree.002.tar.zst" else [])
        # Without its lines in the manifest a whole archive is of no use to the run, but it may be the last copy.
        assert given_up == ([] if name in ("README.txt", "RECOVERY.par2") else ["tree.002.tar.zst.damaged"])
        assert len(share.watcher.notes) == (name == "MANIFEST.jsonl.gz")
    assert (resumed.state, resumed.problems) == ("complete", [])
    assert set(volumes_of(share).values()) == {"complete"}
    for volume in resumed.volumes:
        folder = Path(volume.folder)
        assert bytes_on(folder) <= 1_500_000
        assert subprocess.run(["par2", "verify", "-q", "-q", "RECOVERY.par2"], cwd=folder).returncode == 0
        assert subprocess.run(["xxhsum", "--quiet", "-c", "SUMS.xxh128"], cwd=folder).returncode == 0


@pytest.mark.parametrize("which", ["vol001", "vol002", "vol003"])
def test_a_file_of_which_a_part_was_damaged_is_counted_once(tmp_path, monkeypatch, which):
    share = Share(tmp_path / "share")
    write(share.tree / "large", noise(2_500_000))
    write(share.tree / "small", noise(1000, 1))
    forget = reading_back.forget

    def and_spoil(folder: str) -> None:
        forget(folder)
        if folder.endswith(which):
            spoil(Path(folder) / f"tree.{which[3:]}.tar.zst")

    job = {"option": "zst", "max_size": 1_000_000, "verify_after": "sums"}
    with monkeypatch.context() as patched:
        patched.setattr(reading_back, "forget", and_spoil)
        share.backup(status=3, **job)
    resumed = share.backup(resume=True, **job)

    assert (resumed.files, resumed.bytes) == (2, 2_501_000)
    (note,) = share.watcher.notes or [""]
    assert bool(note) == (which != "vol003")  # else it goes on with the last part
    assert not note or (str(share.tree / "large") in note and "of no use" in note)
    assert share.told() == state_of(share.tree)


@pytest.mark.parametrize("option", ["zip", "zst"])
def test_what_only_a_volume_with_a_damaged_manifest_has_is_not_lost(share, monkeypatch, option):
    forget = reading_back.forget

    def and_spoil(folder: str) -> None:
        forget(folder)
        spoil(Path(folder) / "MANIFEST.jsonl.gz", 20)

    job = {"option": option, "verify_after": "sums"}
    last = noise(90_000 + 7, 7)
    with monkeypatch.context() as patched:
        patched.setattr(reading_back, "forget", and_spoil)
        share.backup(status=3, **job)
    (share.tree / "d1/7.bin").unlink()
    resumed = share.backup(resume=True, **job)
    (aside,) = (share.root / "backups").glob("2*/*.damaged")
    (note,) = share.watcher.notes
    unpacked = share.root / "unpacked"
    unpacked.mkdir()
    unpack = ["7z", "x", "-y", str(aside)] if option == "zip" else ["tar", "--zstd", "-xf", str(aside)]
    subprocess.run(unpack, cwd=unpacked, check=True, capture_output=True)

    assert resumed.state == "complete"
    assert note.startswith(f"{aside}: put aside")
    assert (unpacked / "tree/d1/7.bin").read_bytes() == last
    assert share.told() == state_of(share.tree)


def test_what_a_damaged_archive_had_is_saved_anew_and_all_comes_back(office, tmp_path):
    """In processes of their own: the program that makes recovery files spoils an archive."""
    fill(office.tree)
    script = tmp_path / "bin/par2"
    script.parent.mkdir()
    script.write_text(
        f"#!{sys.executable}\n"
        "import subprocess, sys\n"
        f"status = subprocess.call([{find_other_par2()!r}, *sys.argv[1:]])\n"
        "if sys.argv[-4].endswith('.002.zip'):\n"
        "    with open(sys.argv[-4], 'r+b') as file:\n"
        "        file.seek(50_000); file.write(b'spoilt')\n"
        "sys.exit(status)\n"
    )
    script.chmod(0o700)
    write(tmp_path / "hidden/par2/__init__.py", b"")
    job = {
        "max_size": 1_500_000,
        "redundancy": 10,
        "more": "def after_volume(volume):\n    print('told', volume.title)",
    }
    environment = office.environment | {"PATH": f"{script.parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = f"{tmp_path}/hidden:{environment['PYTHONPATH']}"
    failed = subprocess.run(
        office.command("--verify", **job),
        capture_output=True,
        text=True,
        env=environment,
        cwd=office.root,
        timeout=60,
    )
    states = dict(office.catalogued("select substr(title, -6), state from volumes"))
    resumed = office.backup("--resume", "--verify=deep", **job)
    restored = restore(office, "--job", "office", to=office.root / "back")

    assert failed.returncode == 3, failed.stderr
    assert "tree.002.zip" in failed.stderr
    assert "told" in failed.stderr
    assert "vol002" not in "".join(line for line in failed.stderr.splitlines() if line.startswith("told"))
    assert states["vol002"] != "complete"
    assert restored["exit_status"] == 0
    assert look(office.root / "back/tree") == look(office.tree)
    for volume in resumed.volumes:
        assert bytes_on(volume) <= 1_500_000


def find_other_par2() -> str:
    return next(path for path in ("/usr/bin/par2", "/usr/local/bin/par2") if os.access(path, os.X_OK))


@pytest.mark.parametrize("how", ["--verify", "--verify=sums", "--verify=deep"])
def test_the_switch_of_backup(office, how):
    fill(office.tree)
    saved = office.backup(how, options="bz2", max_size=1_000_000)

    assert len(saved.volumes) == 3
    assert all({path.name for path in volume.iterdir()} >= set(OWN_FILES) for volume in saved.volumes)
    assert {state for (state,) in office.catalogued("select state from volumes")} == {"complete"}


def test_the_rows_say_complete_after_the_read_back_and_not_before(share, monkeypatch):
    seen = []

    def look_at_rows(folder: str) -> None:
        states = volumes_of(share)
        seen.append((folder[-6:], states.get(f"{Path(folder).parent.name}/{folder[-6:]}")))

    monkeypatch.setattr(reading_back, "forget", look_at_rows)
    share.backup(option="zst", max_size=1_000_000, verify_after="sums")

    assert {folder for folder, _ in seen} == {"vol001", "vol002", "vol003"}
    assert "complete" not in {state for _, state in seen}
    assert set(volumes_of(share).values()) == {"complete"}


@pytest.mark.parametrize("how", ["sums", "deep", None])
def test_a_volume_that_was_read_back_has_been_seen_whole(share, how):
    before = time.time_ns()
    share.backup(option="zst", max_size=1_000_000, verify_after=how)
    with open_catalogue(share.uri) as catalogue:
        seen = [volume.verified_at_ns for volume in catalogue.volumes()]

    assert len(seen) == 3
    if how is None:
        assert seen == [None] * 3
    else:
        assert all(before < at_ns < time.time_ns() for at_ns in seen)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system cannot be asked to forget")
def test_the_system_is_asked_to_forget_what_it_has_of_the_files(tmp_path, monkeypatch):
    asked = []
    write(tmp_path / "a", noise(100_000))
    write(tmp_path / "b", noise(100))
    real = os.posix_fadvise

    def advise(descriptor: int, start: int, length: int, advice: int) -> None:
        asked.append((os.readlink(f"/proc/self/fd/{descriptor}"), start, length, advice))
        real(descriptor, start, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", advise)
    reading_back.forget(str(tmp_path))

    assert sorted(asked) == [(str(tmp_path / name), 0, 0, os.POSIX_FADV_DONTNEED) for name in "ab"]
