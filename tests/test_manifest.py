"""Manifest, sums and README, as one finds them on a disc without this program."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backalaika import manifest
from backalaika.digests import digest_function
from backalaika.manifest import manifest_piece, readme_text, sums_line, sums_line_size
from backalaika.run.framing import manifest_line
from backalaika.walk import DIRECTORY, FILE, SYMLINK

PATHS = st.one_of(
    st.binary(min_size=1, max_size=100),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(lambda text: text.encode()),
    st.sampled_from(
        [b"line\nbreak", b'"quoted"', b"{brace}", b"},\n{", b"\xed\xa0\xbd\xed\xb8\x80", "😀\u2028".encode()]
    ),
).map(os.fsdecode)
MEMBERS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([FILE, SYMLINK]),
        "size": st.integers(0, 2**60),
        "mtime_ns": st.integers(-(2**63), 2**63),
        "digest": st.one_of(st.none(), st.binary(min_size=16, max_size=32)),
        "offset": st.integers(0, 2**40),
        "target": st.one_of(st.just(""), PATHS),
    }
)


@settings(deadline=None)
@given(st.lists(st.tuples(PATHS, MEMBERS), min_size=1, max_size=5), st.integers(0, 2**45))
def test_a_piece_is_one_line_of_json_for_each_member(members: list[tuple[str, dict[str, Any]]], frame: int) -> None:
    lines = "".join(manifest_line(path, **saved) for path, saved in members).encode()
    text = gzip.decompress(manifest_piece(lines, "büro.001.zip", frame))

    assert text.endswith(b"\n")
    assert text.count(b"\n") == len(members)
    for line, (path, saved) in zip(text.splitlines(), members, strict=True):
        found = json.loads(line)
        assert found.pop("target", "") == saved["target"]
        assert found == {
            "archive": "büro.001.zip",
            "frame": frame,
            "path": path,
            "kind": saved["kind"],
            "size": saved["size"],
            "mtime_ns": saved["mtime_ns"],
            "digest": saved["digest"].hex() if saved["digest"] is not None else None,
            "offset": saved["offset"],
        }


@pytest.mark.timeout(30)
def test_zcat_finds_a_file_in_pieces_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / manifest.MANIFEST
    pieces = [
        manifest_piece(manifest_line(f"a/{i}", DIRECTORY, 0, 0, None).encode(), "a.001.tar.gz", i * 1000)
        for i in range(3)
    ]
    path.write_bytes(b"".join(pieces))
    found = subprocess.run(f"zcat {path} | grep a/1", shell=True, check=True, capture_output=True).stdout

    assert json.loads(found)["frame"] == 1000


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
@example("a.001.zip")
@example("büro.001.tar.zst")
def test_the_size_of_a_sums_line_is_exact(name: str) -> None:
    assert sums_line_size(name) == len(sums_line("0" * 32, name).encode())


@pytest.mark.timeout(30)
def test_xxhsum_checks_the_sums_of_a_folder(tmp_path: Path) -> None:
    contents = {"a.001.zip": b"", "büro mit leer.002.tar.bz2": b"content", "-it's.001.zip": bytes(100_000)}
    sums = ""
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        sums += sums_line(digest_function("xxh3-128")(content).hex(), name)
    (tmp_path / manifest.SUMS).write_text(sums, encoding="utf-8")
    check = ["xxhsum", "-c", manifest.SUMS]

    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 0
    (tmp_path / "a.001.zip").write_bytes(b"changed")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1


@pytest.mark.timeout(30)
@pytest.mark.parametrize("stem", ["plain", "with space", "it's", "-dash", "$HOME `x`", "büro", "a&b;c", "#1", "[1]"])
@pytest.mark.parametrize("suffix", ["zip", "tar.gz", "tar.bz2", "tar.zst", "tar.xz"])
def test_the_commands_in_the_readme_unpack_whatever_the_archive_is_called(
    stem: str, suffix: str, tmp_path: Path
) -> None:
    archive = f"{stem}.001.{suffix}"
    (tmp_path / "file").write_bytes(b"content")
    if suffix == "zip":
        with zipfile.ZipFile(tmp_path / archive, "w") as target:
            target.write(tmp_path / "file", "file")
    else:
        subprocess.run(["tar", "-caf", f"./{archive}", "file"], cwd=tmp_path, check=True)
    (tmp_path / "file").unlink()
    text = readme_text("job", "run", "", 1, [(archive, suffix)], "xxh3-128")
    lines = text.splitlines()
    command = lines[lines.index("Archives here, and a command that unpacks each:") + 1].strip()
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)

    assert (tmp_path / "file").read_bytes() == b"content"


def test_the_readme_says_what_the_disc_is() -> None:
    text = readme_text("büro", "2026-11-22_0915-büro", "before the move", 12, [("a.012.zip", "zip")], "sha256")

    for words in ("'büro', volume 12", "2026-11-22_0915-büro", "before the move", "a.012.zip", "sha256"):
        assert words in text
    assert "Comment" not in readme_text("job", "run", "", 1, [], "sha256")


def test_a_line_of_readme_is_added_for_each_archive() -> None:
    names = [(f"{random.Random(i).getrandbits(30)}.001.zip", "zip") for i in range(20)]
    lines = readme_text("job", "run", "", 1, names, "sha256").splitlines()

    assert all(any(name in line for line in lines) for name, _ in names)
