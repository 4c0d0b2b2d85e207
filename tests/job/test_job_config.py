import importlib.util
import math
import os
from pathlib import Path

import pytest

from backalaika.errors import ConfigurationError
from backalaika.job.config import KEYS, absolute_path, make_config, read_settings
from backalaika.media import MEDIA, Medium


def configured(**settings):
    return make_config(read_settings("work.py", settings))


def complaint(**settings):
    with pytest.raises(ConfigurationError) as caught:
        read_settings("/x/work.py", settings)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("/x/work.py: ")
    return message


def test_every_key_has_a_default_that_needs_no_thought(home):
    config = make_config()

    assert config.dir_backups == str(home / "backups")
    assert config.db_uri == "sqlite:///~/backups/backalaika.sqlite"
    assert config.max_size == Medium(1024 * 1024 * 4350)
    assert config.volume_sizes == ()
    assert config.skip_files.patterns == ()
    assert {"jpg", "mp3", "zip"} <= config.store_only
    assert "docx" not in config.store_only
    assert config.digest == "xxh3-128"
    assert (config.level, config.workers, config.one_filesystem) == (None, None, False)


def test_every_key_is_described_in_one_line():
    for key in KEYS.values():
        assert key["meaning"]
        assert "\n" not in key["meaning"]


def test_values_become_what_the_program_works_with(tmp_path):
    config = configured(
        dir_backups=tmp_path,
        max_size=700,
        volume_sizes=[700, 0.5],
        skip_files="*.tmp|Thumbs.db|",
        digest="sha256",
        level=3,
        workers=0,
        one_filesystem=True,
        db_uri="postgresql://office/backups",
    )

    assert config.dir_backups == str(tmp_path)
    assert config.max_size == Medium(700)
    assert config.volume_sizes == (Medium(700 * 1024 * 1024), Medium(512 * 1024))
    assert config.skip_files.matches("a.tmp")
    assert not config.skip_files.matches("")
    assert (config.digest, config.level, config.workers, config.one_filesystem) == ("sha256", 3, 0, True)
    assert config.db_uri == "postgresql://office/backups"


@pytest.mark.parametrize("written", ["dvd-dl", "DVD-DL", " Dvd-dl "])
def test_a_medium_may_be_named_in_any_case(written):
    config = configured(max_size=written, volume_sizes=[written, 700, "cd"])

    assert config.max_size is MEDIA["dvd-dl"]
    assert config.volume_sizes == (MEDIA["dvd-dl"], Medium(700 * 1024 * 1024), MEDIA["cd"])


def test_for_an_unknown_medium_the_nearest_name_is_told_or_all():
    assert "; did you mean 'dvd'?" in complaint(max_size="dwd")
    assert "for 'bd-d'; did you mean 'bd-dl'?" in complaint(volume_sizes=[1, "bd-d"])
    assert all(name in complaint(max_size="zip drive") for name in MEDIA)


@pytest.mark.parametrize("written", ["jpg|MP3|.Zip", " jpg | .mp3|ZIP||", ".JPG|.MP3|.ZIP"])
def test_extensions_count_in_any_case_with_or_without_dot(written):
    assert configured(store_only=written).store_only == {"jpg", "mp3", "zip"}


def test_no_extension_at_all_can_be_named():
    assert configured(store_only="").store_only == frozenset()


def test_a_later_layer_wins_over_an_earlier_one():
    config = make_config({"workers": 1, "level": 2}, {"workers": 3})

    assert (config.workers, config.level, config.digest) == (3, 2, "xxh3-128")


@pytest.mark.parametrize(
    ("path", "expected"),
    [("~", "/h"), ("~/a/", "/h/a"), ("/a/~/b//", "/a/~/b"), ("a", os.path.abspath("a")), ("/", "/")],
)
def test_a_path_becomes_absolute(path, expected):
    assert absolute_path(path, "/h") == expected


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("skip_file", "skip_files"), ("maxsize", "max_size"), ("VOLUME_SIZES", "volume_sizes"), ("diggest", "digest")],
)
def test_an_unknown_key_is_told_with_the_nearest_right_one(wrong, right):
    assert f"{wrong!r}; did you mean {right!r}?" in complaint(**{wrong: 1})


@pytest.mark.parametrize("key", ["zzz", 7, None])
def test_a_key_like_no_other_is_told_with_all_that_there_are(key):
    with pytest.raises(ConfigurationError, match=r"there are: .*dir_backups.*one_filesystem"):
        read_settings("work.py", {key: 1})


@pytest.mark.parametrize("config", [None, [], "workers=2", 3])
def test_a_config_that_is_no_dict_is_refused(config):
    with pytest.raises(ConfigurationError, match=r"work\.py: config must be a dict"):
        read_settings("work.py", config)


WRONG = {
    "dir_backups": [None, "", 3, b"/backups", "a\0b", ["/backups"], "~nobody-of-this-name/backups"],
    "db_uri": [None, "", "  ", 3, {"password": "secret"}],
    "max_size": [None, 0, -1, 1.5, "4 GB", True, 2**63, float("nan")],
    "volume_sizes": [None, 700, "700", [0], [-1], [True], ["700"], [math.inf], [math.nan], [1e-9], [2**62]],
    "skip_files": [None, 3, ["*.tmp"], "a/b", "*.tmp|cache/*"],
    "store_only": [None, 3, ["jpg"], "*.jpg", "tar.gz", "jpg mp3", "a/b"],
    "digest": [None, "md5", "XXH3-128", 128, True, ["sha256"]],
    "level": ["6", 1.0, True, -1],
    "workers": ["2", 2.0, True, -1],
    "readers": ["2", 0, -1, 1.5, True],
    "nice": [None, 0, 1, "yes", 10],
    "one_filesystem": [None, 0, 1, "yes"],
    "volume_pause": [None, 0, 1, "yes", []],
    "split_files": [None, 0, 1, "yes", []],
    "max_ratio": [None, 0, -1, 1.5, "1000", True],
    "max_members": [None, 0, -1, 1.5, "1000", True],
    "redundancy": [None, -1, 101, 10.5, "10", True],
    "verify_after": [True, False, "", "sum", "Deep", 1, ["sums"]],
    "copies": [None, 0, -1, 1.5, "2", True],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_a_wrong_value_is_told_with_its_key_and_what_it_must_be(key, value):
    message = complaint(**{key: value})

    assert key in message
    assert "but must be" in message


def test_wrong_values_are_tried_for_every_key():
    assert WRONG.keys() == KEYS.keys()


def test_a_password_in_a_wrong_db_uri_is_not_shown():
    message = complaint(db_uri={"user": "nando", "password": "hunter2"})

    assert "hunter2" not in message
    assert "dict" in message


def test_a_long_wrong_value_is_shown_in_short():
    assert len(complaint(max_size="x" * 10_000)) < 300


def test_blake3_says_what_to_install_where_it_is_missing(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "blake3" else find_spec(name))

    assert "pip install blake3" in complaint(digest="blake3")


def test_blake3_may_be_chosen_where_it_is_installed():
    pytest.importorskip("blake3")

    assert configured(digest="blake3").digest == "blake3"


def test_a_path_may_be_a_path_object():
    assert configured(dir_backups=Path("/backups")).dir_backups == "/backups"
