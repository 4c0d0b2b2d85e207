import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from backalaika.codecs import CODECS
from backalaika.errors import ConfigurationError
from backalaika.job.config import KEYS, read_settings
from backalaika.job.loading import load_job, load_user_config

JOBS = Path(__file__).parents[2] / "jobs"


@pytest.fixture
def load(home, write):
    def load(text, **arguments):
        return load_job(str(write(text)), **arguments)

    return load


@pytest.fixture
def complaint(home, write):
    """The error about a job file, which must name the file in one line."""

    def complaint(text):
        path = write(text)
        with pytest.raises(ConfigurationError) as caught:
            load_job(str(path))
        message = str(caught.value)
        assert "\n" not in message
        assert str(path) in message
        assert caught.value.exit_status == 2
        return message

    return complaint


def job_text(sources="['/a']", more="", name="'work'"):
    return f"job = dict(name={name}, sources={sources})\n{more}\n"


def test_a_job_of_version_0_2_loads(load, home):
    job = load(
        "job = dict(name='nandos-work',\n"
        "    sources = [\n"
        "        ('/home/nando/2010',    'zip,separate_dirs'),\n"
        '        ("/home/nando/.mozilla-thunderbird/", "bz2"),\n'
        "    ])\n"
        "def after_backup():\n"
        "    pass\n"
    )

    assert job.name == "nandos-work"
    assert job.path == str(home / "work.py")
    first, second = job.sources
    assert (first.path, first.format, first.separate_dirs) == ("/home/nando/2010", "zip", True)
    assert first.options == "zip,separate_dirs"
    assert (second.path, second.format, second.separate_dirs) == ("/home/nando/.mozilla-thunderbird", "bz2", False)
    assert callable(job.after_backup)
    assert job.after_volume is None


@pytest.mark.parametrize(
    ("options", "format_", "separate"),
    [
        ("", "bz2", False),
        ("separate_dirs", "bz2", True),
        ("zip", "zip", False),
        ("gz", "gz", False),
        ("bz2", "bz2", False),
        ("zst", "zst", False),
        ("xz", "xz", False),
        (" zst ,\tseparate_dirs , ", "zst", True),
        ("ZIP,Separate_Dirs", "zip", True),
        ("zip,zip", "zip", False),
    ],
)
def test_options_name_the_format(load, options, format_, separate):
    (source,) = load(job_text([("/a", options)])).sources

    assert (source.format, source.separate_dirs, source.options) == (format_, separate, options)


@pytest.mark.parametrize("source", ["'/a'", "('/a',)", "['/a', '']", "Path('/a')", "(Path('/a'), 'bz2')", "'/a/'"])
def test_a_source_may_be_written_in_several_ways(load, source):
    (loaded,) = load("from pathlib import Path\n" + job_text(f"[{source}]")).sources

    assert (loaded.path, loaded.format) == ("/a", "bz2")


def test_sources_are_absolute_and_know_home(load, home, monkeypatch):
    monkeypatch.chdir(home)

    job = load(job_text("['~', '~/a/', 'b']"))

    assert [source.path for source in job.sources] == [str(home), f"{home}/a", f"{home}/b"]


def test_another_home_may_be_given(load, tmp_path):
    other = tmp_path / "other"
    other.mkdir(mode=0o755)
    settings = other / ".backalaika"
    settings.write_text("config = dict(workers=7)")
    settings.chmod(0o644)

    job = load(job_text("['~/a']"), home=str(other))

    assert job.sources[0].path == f"{other}/a"
    assert job.config.dir_backups == f"{other}/backups"
    assert job.config.workers == 7


def test_a_name_that_is_not_utf_8_can_be_a_source(load):
    (source,) = load("import os\n" + job_text("[os.fsdecode(b'/caf\\xe9')]")).sources

    assert os.fsencode(source.path) == b"/caf\xe9"


def test_the_job_file_wins_over_the_users_and_that_over_the_defaults(load, write):
    write("config = dict(workers=1, max_size=1000, digest='sha256')", ".backalaika")

    config = load(job_text(more="config = dict(workers=2, level=5)")).config

    assert (config.workers, config.max_size.capacity, config.digest, config.level) == (2, 1000, "sha256", 5)
    assert config.one_filesystem is False


def test_the_users_configuration_holds_without_a_job(home, write):
    assert load_user_config().db_uri == "sqlite:///~/backups/backalaika.sqlite"

    write("import os\nconfig = dict(db_uri='sqlite:///' + os.path.join('/srv', 'catalogue'))", ".backalaika")

    assert load_user_config().db_uri == "sqlite:////srv/catalogue"


def test_a_users_file_without_config_changes_nothing(home, write):
    write("# nothing yet", ".backalaika")

    assert load_user_config().workers is None


def test_code_in_a_job_file_runs_once_and_knows_its_file(load, home, capfd):
    load("import os\nopen(__file__ + '.ran', 'a').write('x')\nprint(__name__)\n" + job_text())

    assert (home / "work.py.ran").read_text() == "x"
    assert capfd.readouterr().out == "__backalaika_job__\n"
    assert "__backalaika_job__" not in sys.modules


def test_functions_see_the_names_of_their_file(load):
    job = load("seen = []\ndef note(what):\n    seen.append(what)\n    return seen\nafter_backup = note\n" + job_text())

    assert job.after_backup("run") == ["run"]
    assert job.after_backup("again") == ["run", "again"]


def test_job_files_do_not_see_each_other(load, write):
    load("secret = 1\n" + job_text())

    with pytest.raises(ConfigurationError, match="NameError"):
        load("secret\n" + job_text())


def test_a_job_file_may_be_in_another_encoding(home):
    path = home / "latin.py"
    path.write_bytes("# coding: latin-1\njob = dict(name='não', sources=['/a'])".encode("latin-1"))
    path.chmod(0o644)

    assert load_job(str(path)).name == "não"


def test_a_missing_job_file_is_told(home):
    with pytest.raises(ConfigurationError, match=r"none\.py: there is no such file"):
        load_job(str(home / "none.py"))


def test_a_directory_is_no_job_file(home):
    with pytest.raises(ConfigurationError, match="not a regular file"):
        load_job(str(home))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_job_file_is_told(write):
    path = write(job_text())
    path.chmod(0)

    with pytest.raises(ConfigurationError, match=r"work\.py: cannot be read: Permission denied"):
        load_job(str(path))


def test_a_file_in_the_place_of_a_directory_is_told(write):
    path = write(job_text())

    with pytest.raises(ConfigurationError, match="cannot be read: Not a directory"):
        load_job(f"{path}/work.py")


def test_a_job_file_that_others_can_write_does_not_run(write, home):
    path = write("open(__file__ + '.ran', 'w')\n" + job_text())
    path.chmod(0o666)

    with pytest.raises(ConfigurationError, match="chmod go-w"):
        load_job(str(path))

    assert not (home / "work.py.ran").exists()


def test_a_users_file_that_others_can_write_does_not_run(load, write):
    write("raise AssertionError", ".backalaika").chmod(0o666)

    with pytest.raises(ConfigurationError, match=r"\.backalaika: not run, for everybody can write it"):
        load(job_text())


def test_a_users_file_that_is_a_link_to_nowhere_is_told(load, home):
    (home / ".backalaika").symlink_to(home / "gone")

    with pytest.raises(ConfigurationError, match=r"\.backalaika: there is no such file"):
        load(job_text())


def test_a_syntax_error_is_told_with_its_line(complaint, home):
    assert f"{home}/work.py:2: syntax error: " in complaint("job = dict(\nname=='x' sources)\n")


@pytest.mark.parametrize("text", ["x = '\udcff'", "x = 1\0"])
def test_a_file_that_is_no_text_is_told(complaint, text):
    complaint(text)


def test_an_exception_in_the_users_code_is_told_with_its_line(complaint, home):
    message = complaint("import json\ndef read():\n    return json.loads('{')\n\nread()\n")

    assert f"{home}/work.py:3: this file's own code failed: JSONDecodeError: " in message


def test_an_exception_of_several_lines_is_told_in_one(complaint):
    assert "RuntimeError: one two" in complaint("raise RuntimeError('one\\n  two')")


def test_an_exception_without_a_word_is_told_by_its_name(complaint):
    assert complaint("raise OSError").endswith(": OSError")


def test_a_job_file_may_refuse_with_a_message(complaint):
    assert "before the backup: share not mounted" in complaint("import sys\nsys.exit('share not mounted')")


@pytest.mark.parametrize("leave", ["raise SystemExit", "raise SystemExit(0)", "raise SystemExit(3)"])
def test_a_job_file_that_leaves_is_no_success(complaint, leave):
    assert "sys.exit() before the backup" in complaint(leave)


def test_ctrl_c_in_a_job_file_is_ctrl_c(load):
    with pytest.raises(KeyboardInterrupt):
        load("raise KeyboardInterrupt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jobs = 1", "defines no job; write job = dict("),
        ("job = 3", "job must be a dict"),
        ("job = None", "job must be a dict"),
        ("job = dict(sources=['/a'])", "job has no 'name'"),
        ("job = dict(name='x')", "job has no 'sources'"),
        ("job = dict(name='x', source=['/a'])", "unknown key 'source'; did you mean 'sources'?"),
        ("job = dict(Name='x', sources=['/a'])", "unknown key 'Name'; did you mean 'name'?"),
        ("job = {3: 'x'}", "unknown key 3; there are: name, sources"),
        (job_text("'/a'"), "sources in job must be a list"),
        (job_text("[]"), "sources in job must be a list"),
        (job_text("{'/a'}"), "sources in job must be a list"),
        (job_text("[3]"), "the source 3 must be the path of a directory"),
        (job_text("['']"), "the source '' must be the path of a directory"),
        (job_text("[b'/a']"), "the source b'/a' must be the path of a directory"),
        (job_text("['~nobody-of-this-name/a']"), "there is no such user"),
        (job_text("[('/a', 'zip', 'gz')]"), "must be a directory and its options"),
        (job_text("[()]"), "must be a directory and its options"),
        (job_text("[('/a', ['zip'])]"), "the options of the source /a are ['zip'], but must be text"),
        (job_text("[('/a', None)]"), "the options of the source /a are None"),
        (job_text("[('/a', 'zipp')]"), "unknown option 'zipp'; did you mean 'zip'?"),
        (job_text("[('/a', 'zip,seperate_dirs')]"), "unknown option 'seperate_dirs'; did you mean 'separate_dirs'?"),
        (job_text("[('/a', 'zip separate_dirs')]"), "did you mean 'separate_dirs'?"),
        (job_text("[('/a', 'quickly')]"), "there are: zip, gz, bz2, zst, xz, separate_dirs"),
        (job_text("[('/a', 'zip,gz')]"), "the source /a has 2 formats, zip, gz; choose one"),
        (job_text(more="config = dict(worker=2)"), "unknown key 'worker'; did you mean 'workers'?"),
        (job_text(more="config = dict(workers=True)"), "workers in config is True, but must be"),
        (job_text(more="config = None"), "config must be a dict"),
        (job_text(more="after_backup = 3"), "after_backup must be a function; write def after_backup(run):"),
        (job_text(more="def after_backup(a, b): pass"), "after_backup must be a function"),
        (job_text(more="after_volume = 'burn'"), "after_volume must be a function; write def after_volume(volume):"),
    ],
)
def test_what_is_wrong_in_a_job_is_told_in_one_line(complaint, text, message):
    assert message in complaint(text)


@pytest.mark.parametrize(
    "name", [None, 3, "", "  ", ".", "..", "a/b", "a\\b", "a\0", "a\nb", "a\x1bb", "\udcff", "é" * 51, "a" * 101]
)
def test_a_name_that_cannot_be_in_a_folders_name_is_refused(complaint, name):
    assert "name in job is" in complaint(job_text(name=ascii(name)))


@pytest.mark.parametrize("name", ["nandos-work", "a" * 100, "João & Söhne", "財務", ".hidden"])
def test_a_name_may_be_any_text_that_can_be_in_a_folders_name(load, name):
    assert load(job_text(name=ascii(name))).name == name


@pytest.mark.parametrize(
    ("format_", "lowest", "highest"), [("zip", 1, 12), ("gz", 1, 12), ("bz2", 1, 9), ("zst", 1, 19), ("xz", 0, 9)]
)
def test_a_level_must_be_one_of_the_format(load, complaint, format_, lowest, highest):
    for level in (lowest, highest):
        assert load(job_text([("/a", format_)], f"config = dict(level={level})")).config.level == level
    for level in {lowest - 1, highest + 1} - {-1}:
        message = complaint(job_text([("/a", format_)], f"config = dict(level={level})"))
        assert f"level in config is {level}, but {format_}" in message
        assert f"levels {lowest} to {highest}" in message


def test_a_wrong_level_is_blamed_on_the_file_that_has_it(load, write, home):
    write("config = dict(level=12)", ".backalaika")

    with pytest.raises(ConfigurationError, match=r"\.backalaika: level in config is 12, but bz2"):
        load(job_text())
    assert load(job_text([("/a", "zip")])).config.level == 12


def test_the_example_backs_up_the_checkout_it_is_in(home, tmp_path):
    checkout = tmp_path / "checkout"
    (checkout / "jobs").mkdir(parents=True)
    (checkout / "jobs").chmod(0o755)
    shutil.copyfile(JOBS / "example.py", checkout / "jobs" / "example.py")
    (checkout / "jobs" / "example.py").chmod(0o644)

    job = load_job(str(checkout / "jobs" / "example.py"))

    assert [(source.path, source.format) for source in job.sources] == [
        (str(checkout / "backalaika"), "zip"),
        (str(checkout / "jobs"), "bz2"),
    ]
    assert job.config.skip_files.matches("__pycache__")


def test_nandos_job_loads(load):
    job = load((JOBS / "nandos_work.py").read_text())

    assert job.name == "nandos-work"
    assert [(source.path, source.options) for source in job.sources] == [
        ("/home/nando/2010", "zip,separate_dirs"),
        ("/home/nando/.mozilla-thunderbird", "bz2"),
    ]
    assert job.after_backup is not None
    assert job.after_volume is not None


def test_nandos_job_shows_every_key_with_its_default():
    lines = (line.strip().removeprefix("# ") for line in (JOBS / "nandos_work.py").read_text().splitlines())
    settings = [line for line in lines if line.partition("=")[0] in KEYS]

    shown = eval(f"dict({''.join(settings)})")

    assert shown == {name: key["default"] for name, key in KEYS.items()}
    read_settings("nandos_work.py", shown)


def test_nandos_job_tells_the_level_that_each_format_has_by_default():
    found = re.search(r"None is what suits each: ([\d, ]+)\.", (JOBS / "nandos_work.py").read_text())

    # "zip and gz … bz2 … zst … xz", as the line says; a zip deflates as gz does
    assert found[1] == ", ".join(str(CODECS[name].default_level) for name in ("gz", "bz2", "zst", "xz"))
