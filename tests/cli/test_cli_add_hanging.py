"""`backalaika add` where a drive hangs, wherever that is: it costs what lies there, and no more."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import pycdlib
import pytest

pytestmark = pytest.mark.timeout(120)

# The program's processes look at these with it; no signal but SIGKILL ends who waits.
SHIM = """
import os, signal, time
def hang():
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    with open({log!r}, "a") as log:
        log.write("hung\\n")
    time.sleep(1000)
def name_of(descriptor):
    return os.readlink(f"/proc/self/fd/{{descriptor}}")
scandir, pread = os.scandir, os.pread
def slow_scandir(path="."):
    name = name_of(path) if isinstance(path, int) else os.fspath(path)
    if os.path.basename(name) == {folder!r}:
        hang()
    return scandir(path)
def slow_pread(descriptor, size, offset):
    if os.path.basename(name_of(descriptor)) == {file!r} and os.path.getsize({pauses!r}):
        os.truncate({pauses!r}, os.path.getsize({pauses!r}) - 1)
        time.sleep(0.1)
    if os.path.basename(name_of(descriptor)) == {file!r} and {start} <= offset < {stop}:
        if not os.path.exists({switch!r}) or os.path.getsize({switch!r}) == 0:
            hang()
        os.truncate({switch!r}, os.path.getsize({switch!r}) - 1)
    return pread(descriptor, size, offset)
lstat = os.lstat
def slow_lstat(path, **more):
    if {looked_at!r} and os.fsdecode(path).endswith({looked_at!r}):
        hang()
    return lstat(path, **more)
os.scandir, os.pread, os.lstat = slow_scandir, slow_pread, slow_lstat
"""


class Hanging:
    """Makes environments in which a folder, or a file from an offset on, hangs.

    A file is read ``gives`` times there before it does; the first ``slow`` times that it is read anywhere take longer.
    """

    def __init__(self, environment, place) -> None:
        self._environment, self._place, self.log = environment, place, place / "log"
        place.mkdir()

    def at(self, folder="", file="", start=0, stop=1 << 60, gives=0, slow=0, looked_at=""):
        self.log.write_text("")
        switch = self._place / "switch"
        switch.write_bytes(b"x" * gives)
        pauses = self._place / "pauses"
        pauses.write_bytes(b"x" * slow)
        values = {
            "pauses": str(pauses),
            "folder": folder,
            "looked_at": looked_at,
            "file": file,
            "start": start,
            "stop": stop,
            "log": str(self.log),
            "switch": str(switch),
        }
        (self._place / "sitecustomize.py").write_text(SHIM.format(**values))
        return self._environment | {"PYTHONPATH": f"{self._place}:{self._environment['PYTHONPATH']}"}

    @property
    def times(self):
        """How often somebody hung."""
        return len(self.log.read_text().split())


@pytest.fixture
def hanging(home, tmp_path):
    return Hanging(home.environment, tmp_path / "shim")


@pytest.fixture
def disc(tmp_path):
    root = tmp_path / "disc"
    for folder in ("good", "hangs/below", "more"):
        (root / folder).mkdir(parents=True)
        (root / folder / "a.txt").write_text(folder)
    return root


def listed(home, title):
    rows = map(json.loads, home.run("files", title, "--json", status=0).out.splitlines())
    return [(row["archive"], row["path"], row["digest"]) for row in rows]


def test_a_folder_that_hangs_costs_what_is_in_it(home, hanging, disc):
    environment = hanging.at(folder="hangs")
    report = home.run("add", "Holidays", disc, "--timeout", "1", "--json", status=1, env=environment).json()

    message = "directory is given up: nothing could be read of it for 1 seconds"
    assert report["errors"] == [{"path": str(disc / "hangs"), "message": message}]
    assert report["state"] == "complete"
    assert [path for _, path, _ in listed(home, "Holidays")] == ["good", "more", "good/a.txt", "more/a.txt"]
    assert hanging.times == 1


def test_a_folder_that_hangs_is_waited_for_once_though_a_medium_is_walked_more_than_once(hanging, disc):
    """To count its files, say, or to compare it with what an interrupted call had recorded."""
    code = (
        "from backalaika.reading.messages import Settings\n"
        "from backalaika.reading.watched import count, watched_tree\n"
        f"with watched_tree({str(disc)!r}, Settings(), lambda: None, 2, 1) as tree:\n"
        "    for _ in range(3):\n"
        "        problems = []\n"
        "        print(count(tree), sorted(found.member.path for found in tree.walk(problems.append)), len(problems))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=hanging.at(folder="hangs"),
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert done.stdout == "(2, 8) [b'good', b'good/a.txt', b'more', b'more/a.txt'] 1\n" * 3
    assert hanging.times == 1


def test_a_medium_that_hangs_is_an_error_that_says_so(home, hanging, disc):
    begun = time.monotonic()
    done = home.run("add", "Holidays", disc, "--timeout", "1", status=2, env=hanging.at(folder="disc"))

    assert f"{disc}: given up: nothing could be read of it for 1 seconds" in done.err
    assert time.monotonic() - begun < 30


def test_a_hanging_medium_of_many_does_not_end_the_pile(home, hanging, disc, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(disc, tmp_path / "pile" / name)
    environment = hanging.at(folder="one")
    done = home.run("add", "--each", tmp_path / "pile", "--timeout", "1", status=1, env=environment)

    assert "one: given up" in done.err
    assert len(listed(home, "two")) == 7


DEADLY = """
import os, signal
scandir = os.scandir
def deadly_scandir(path="."):
    name = os.readlink(f"/proc/self/fd/{{path}}") if isinstance(path, int) else os.fspath(path)
    if name.endswith({folder!r}) and os.path.getsize({switch!r}):
        os.truncate({switch!r}, os.path.getsize({switch!r}) - 1)
        os.kill(os.getpid(), signal.SIGKILL)
    return scandir(path)
os.scandir = deadly_scandir
"""


@pytest.fixture
def pile(disc, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(disc, tmp_path / "pile" / name)
    return tmp_path / "pile"


def deadly(home, place, folder, deaths):
    """An environment in which the process that lists a folder is killed, so many times."""
    (place / "switch").write_bytes(b"x" * deaths)
    (place / "sitecustomize.py").write_text(DEADLY.format(folder=folder, switch=str(place / "switch")))
    return home.environment | {"PYTHONPATH": f"{place}:{home.environment['PYTHONPATH']}"}


def test_another_takes_the_place_of_a_process_that_looks_at_a_medium_and_is_killed(home, pile, tmp_path):
    home.run("add", "--each", pile, status=0, env=deadly(home, tmp_path, "/one", 1))

    assert len(listed(home, "one")) == len(listed(home, "two")) == 7


@pytest.mark.parametrize(("folder", "status"), [("/one", 1), ("/one/more", 3)])  # of that, something was recorded
def test_a_medium_that_kills_who_looks_at_it_does_not_end_the_pile(home, pile, tmp_path, folder, status):
    done = home.run("add", "--each", pile, status=status, env=deadly(home, tmp_path, folder, 100))

    assert f"not catalogued: {pile / 'one'}: the process that looks at the medium was killed" in done.err
    assert len(listed(home, "two")) == 7


@pytest.fixture
def image(disc, tmp_path):
    path = tmp_path / "disc.iso"
    subprocess.run(["genisoimage", "-quiet", "-R", "-o", path, disc], check=True, timeout=60)
    return path


def test_the_header_of_an_image_that_hangs_is_an_error_that_says_so(home, hanging, image):
    environment = hanging.at(file="disc.iso")
    done = home.run("add", "Holidays", image, "--timeout", "1", status=2, env=environment)

    assert f"{image}: given up: nothing could be read of it for 1 seconds" in done.err


@pytest.mark.parametrize("gives", [0, 3])
def test_an_image_whose_folders_hang_costs_what_follows(home, hanging, image, gives):
    """What else it has in common with a whole one is for the pool to say, which reads files with as much patience."""
    environment = hanging.at(file="disc.iso", start=40_000, gives=gives)
    report = home.run("add", "Holidays", image, "--timeout", "1", "--json", status=1, env=environment).json()

    assert report["errors"][0]["path"] == str(image)
    assert report["errors"][0]["message"].startswith(
        "given up: nothing could be read of it for 1 seconds; what follows"
    )
    assert report["state"] == "complete"


@pytest.fixture
def folders_image(tmp_path):
    """An image of empty files in three folders, and where on it the last folder, and the root, are told of."""
    root = tmp_path / "folders"
    for folder in ("a", "b", "z"):
        (root / folder).mkdir(parents=True)
        for number in range(20):
            (root / folder / f"{number}.txt").touch()
    path = tmp_path / "folders.iso"
    subprocess.run(["genisoimage", "-quiet", "-R", "-o", path, root], check=True, timeout=60)
    image = pycdlib.PyCdlib()
    image.open(str(path))
    places = [image.get_record(rr_path=name).extent_location() * 2048 for name in ("/z", "/")]
    image.close()
    return path, *places


BEFORE_Z = {"a", "b", "z", *(f"{folder}/{number}.txt" for folder in "ab" for number in range(20))}
WALKS = """
from backalaika.reading.messages import Settings
from backalaika.reading.watched import count, watched_tree
with watched_tree({path!r}, Settings(), lambda: None, 2, 1) as tree:
    for _ in range(3):
        problems = []
        print(count(tree)[0], len(list(tree.walk(problems.append))), len(problems))
"""


def walked(path, environment):
    """How many files and members there are each time, and problems."""
    command = [sys.executable, "-c", WALKS.format(path=str(path))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return [tuple(map(int, line.split())) for line in done.stdout.splitlines()]


def test_an_image_that_hangs_costs_nothing_of_what_came_before(home, hanging, folders_image):
    path, last, _ = folders_image
    environment = hanging.at(file="folders.iso", start=last, stop=last + 2048)
    home.run("add", "Disc", path, "--timeout", "1", "--json", status=1, env=environment)

    assert {name for _, name, _ in listed(home, "Disc")} == BEFORE_Z


@pytest.mark.parametrize("slow", [0, 10])
def test_an_image_that_hangs_is_waited_for_once_though_it_is_walked_more_than_once(hanging, folders_image, slow):
    """What took long when it was read first is at hand the next time, and comes with what is behind it."""
    path, last, _ = folders_image
    environment = hanging.at(file="folders.iso", start=last, stop=last + 2048, slow=slow)

    assert walked(path, environment) == [(40, 43, 1)] * 3
    assert hanging.times == 1


def test_an_image_that_gives_less_the_next_time_is_listed_as_far_as_it_goes(hanging, folders_image):
    path, _, root = folders_image
    environment = hanging.at(file="folders.iso", start=root, gives=5)

    assert walked(path, environment) == [(40, 0, 1), (0, 0, 1), (0, 0, 1)]


@pytest.fixture
def volume(home):
    """A volume of a run that is in no catalogue any more."""
    home.run("backup", home.job(), "--yes", status=0)
    made = home.folders()[0] / "vol001"
    shutil.copytree(made, home.root / "burnt")
    home.run("remove", f"{made.parent.name}/vol001", "--yes", status=0)
    return home.root / "burnt"


@pytest.mark.parametrize("gives", range(3))
def test_where_a_manifest_hangs_the_archives_are_read(home, hanging, volume, gives):
    """When it is compared with its sum, or when its lines are wanted."""
    home.run("add", "Whole", volume, status=0)
    environment = hanging.at(file="MANIFEST.jsonl.gz", gives=gives)
    report = home.run("add", "Burnt", volume, "--timeout", "2", "--json", status=1, env=environment).json()

    silence = "given up: nothing could be read of it for 2 seconds"
    assert f"{silence}; the archives are read instead" in {error["message"] for error in report["errors"]}
    assert hanging.times >= 1
    burnt, whole = ({row for row in listed(home, title) if row[0]} for title in ("Burnt", "Whole"))
    assert {path for _, path, _ in whole} > {"source", "source/0.txt"}
    assert {row for row in burnt if row[0] != "MANIFEST.jsonl.gz"} == whole


@pytest.mark.parametrize("is_known", [True, False])
def test_a_volume_whose_archives_cannot_be_looked_for_is_not_said_to_lack_them(home, hanging, volume, is_known):
    if is_known:
        home.run("backup", home.job(), "--yes", status=0)
        [made] = [folder / "vol001" for folder in home.folders() if (folder / "vol001").is_dir()][-1:]
        shutil.rmtree(volume)
        shutil.copytree(made, volume)
    [archive] = [path.name for path in volume.iterdir() if ".001." in path.name][:1]
    environment = hanging.at(looked_at=archive)
    done = home.run("add", "Burnt", volume, "--timeout", "1", status=2 if is_known else 1, env=environment)

    assert "is missing" not in done.err
    assert "damaged copy" not in done.err
    assert "given up: nothing could be read of it for 1 seconds; " in done.err
    if is_known:
        assert "Burnt" not in home.run("volumes", status=0).out
    else:
        assert {row for row in listed(home, "Burnt") if row[0]}


def test_an_add_at_a_folder_that_hangs_can_be_stopped(home, hanging, disc):
    process = home.start("add", "Holidays", disc, "--timeout", "100", env=hanging.at(folder="hangs"))
    deadline = time.monotonic() + 30
    while not hanging.times and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)

    assert process.returncode == 130, err
    assert "the same command goes on with it" in err


def test_a_file_on_a_slow_drive_that_makes_progress_is_not_given_up(home, hanging, tmp_path):
    """Each read is well within the time, all before the first member take longer: of an image, all folders are read."""
    root, disc = tmp_path / "folders", tmp_path / "disc"
    for number in range(30):
        (root / f"folder {number}").mkdir(parents=True)
        (root / f"folder {number}" / "a.txt").write_text("a")
    disc.mkdir()
    subprocess.run(["genisoimage", "-quiet", "-R", "-o", disc / "slow.iso", root], check=True, timeout=60)
    environment = hanging.at(file="slow.iso", start=1 << 60, slow=30)
    report = home.run("add", "Disc", disc, "--timeout", "1", "--json", status=0, env=environment).json()

    assert (report["errors"], report["members"]) == ([], 60)
    assert (tmp_path / "shim" / "pauses").stat().st_size == 0


def test_a_file_that_gave_something_and_then_hangs_is_given_up(home, hanging, tmp_path):
    disc = tmp_path / "disc"
    disc.mkdir()
    with zipfile.ZipFile(disc / "a.zip", "w") as out:
        for number in range(20):
            out.writestr(f"{number}", bytes(2_000_000))
    environment = hanging.at(file="a.zip", start=20_000_000, stop=21_000_000, slow=5)
    command = ["add", "Disc", disc, "--workers", "1", "--timeout", "1", "--json"]
    report = home.run(*command, status=1, env=environment).json()

    [problem] = report["errors"]
    assert problem["message"] == "given up: nothing could be read of it for 1 seconds"
    assert hanging.times == 1
