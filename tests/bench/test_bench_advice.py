"""What a bench recommends, from figures that were not measured but thought out."""

import random

from backalaika.bench.advice import CATALOGUE, CPU, DESTINATION, DISK, advise
from backalaika.bench.figures import CodecRate, DigestRate, Figures, ReadRate
from backalaika.job.config import make_config

MB = 10**6
# Of each format and level: MB a second of one process, and size.
CODECS = {
    ("zip", 1): (120, 0.53),
    ("zip", 5): (80, 0.50),
    ("zip", 9): (20, 0.49),
    ("gz", 1): (130, 0.52),
    ("gz", 5): (90, 0.49),
    ("gz", 9): (20, 0.48),
    ("bz2", 1): (13, 0.46),
    ("bz2", 9): (12, 0.43),
    ("zst", 1): (500, 0.52),
    ("zst", 2): (350, 0.48),
    ("zst", 9): (50, 0.44),
    ("xz", 1): (5.5, 0.44),
    ("xz", 6): (5, 0.40),
    ("xz", 9): (4, 0.40),
}


def figures(
    reads=((1, 1000),), writes=None, rows=None, mean_size=10**5, gain=1.0, codecs=CODECS, cold=True, spread=0.05
):
    """Figures of a machine with 4 processes; ``gain`` is what each one more adds, 1.0 as much as the first."""
    made = Figures("/srv", 4, 1000, 1000 * mean_size, True, 10**5)
    made.reads = [
        ReadRate(readers, mb * MB, 1000, cold, mb * MB * (1 - spread), mb * MB * (1 + spread)) for readers, mb in reads
    ]
    made.write_bytes_a_second = writes and writes * MB
    made.rows_a_second = rows
    for workers in (1, 2, 4):
        scale = 1 + gain * (workers - 1)
        made.digests.append(DigestRate("xxh3-128", workers, 10_000 * MB * scale))
        made.digests.append(DigestRate("sha256", workers, 400 * MB * scale))
        for (option, level), (mb, ratio) in codecs.items():
            made.codecs.append(CodecRate(option, level, workers, mb * MB * scale, ratio))
    return made


def advice_on(measured, **used):
    """Advice where the configuration has these settings."""
    return advise(measured, make_config(used))


def changes(measured, **used):
    """What is to be changed: key, what it is, what it shall be."""
    return {(key, old, new) for key, (old, new) in advice_on(measured, **used).changes.items()}


def test_where_the_cpu_is_the_limit_the_fastest_format_is_best_and_nothing_else_is_changed():
    advice = advice_on(figures(reads=((1, 9000),)))

    assert (advice.best.format, advice.best.limit) == ("zst", CPU)
    assert advice.changes == {"level": (2, 1)}
    assert advice.enough == 4


def test_behind_a_slow_disk_the_smallest_format_that_keeps_up_is_best():
    advice = advice_on(figures(reads=((1, 45),)))

    assert (advice.best.format, advice.best.level, advice.best.limit) == ("bz2", 9, DISK)
    assert advice.changes == {}
    assert advice.smallest.format == "xz"


def test_a_level_is_changed_only_if_another_is_clearly_faster_or_smaller_and_as_fast():
    fast = {"reads": ((1, 9000),)}
    assert changes(figures(**fast, codecs=CODECS | {("zst", 1): (400, 0.52)})) == set()
    assert changes(figures(**fast, codecs=CODECS | {("zst", 1): (600, 0.52)})) == {("level", 2, 1)}
    slow = {"reads": ((1, 100),)}
    assert changes(figures(**slow)) == {("level", 2, 9)}
    assert changes(figures(**slow, codecs=CODECS | {("zst", 9): (50, 0.475)})) == set()
    assert changes(figures(**slow, codecs=CODECS | {("zst", 9): (24, 0.44)})) == set()
    assert changes(figures(**slow, codecs=CODECS | {("zst", 9): (28, 0.44)})) == set()  # it keeps up, but just so


def test_what_changes_with_each_measurement_is_not_recommended():
    chance = random.Random(1)
    for _ in range(200):
        codecs = {key: (mb * chance.uniform(0.96, 1.04), ratio) for key, (mb, ratio) in CODECS.items()}
        codecs[("zst", 1)] = (codecs[("zst", 2)][0] * chance.uniform(0.9, 1.19), 0.52)
        reads = tuple((readers, 9000 * chance.uniform(0.8, 1.2)) for readers in (1, 2, 4))

        advice = advice_on(figures(reads=reads, codecs=codecs))

        assert (advice.best.format, advice.best.level, advice.changes, advice.enough) == ("zst", 2, {}, 4)


def test_what_is_recommended_is_told_by_what_a_backup_here_would_do():
    fast = figures(reads=((1, 9000), (2, 9000), (4, 9000)))

    assert changes(fast, level=9, workers=1, readers=1, digest="sha256") == {("level", 9, 2), ("workers", 1, None)}
    assert changes(fast, level=1) == set()
    assert changes(fast, workers=4) == {("level", 2, 1)}
    assert changes(fast, level=1, workers=2) == {("workers", 2, None)}
    assert changes(figures(reads=((1, 20),)), workers=4) == set()
    assert changes(figures(reads=((1, 4),)), workers=1) == set()
    assert changes(figures(reads=((1, 100), (2, 200), (4, 300))), readers=1) == {("readers", 1, None)}


def test_digests_are_compared_with_the_one_that_is_used():
    assert advice_on(figures(reads=((1, 9000),)), level=1, digest="sha256").digests["xxh3-128"] < 0.5
    assert advice_on(figures(reads=((1, 45),)), digest="sha256").digests == {"xxh3-128": 1.0}


def test_the_fewest_processes_that_keep_up_are_told():
    assert advice_on(figures(reads=((1, 20),))).best.format == "xz"
    assert [advice_on(figures(reads=((1, mb),))).enough for mb in (20, 9, 4)] == [4, 2, 1]


def test_fewer_processes_are_recommended_only_where_more_are_slower():
    assert advice_on(figures(reads=((1, 9000),), gain=-0.1)).changes["workers"] == (None, 1)
    assert "workers" not in advice_on(figures(reads=((1, 9000),), gain=0.0)).changes


def test_few_readers_are_recommended_where_many_are_slower():
    assert advice_on(figures(reads=((1, 100), (2, 60), (4, 30)))).changes["readers"] == (None, 1)
    assert advice_on(figures(reads=((1, 40), (2, 90), (4, 50)))).changes["readers"] == (None, 2)
    assert "readers" not in advice_on(figures(reads=((1, 100), (2, 150), (4, 149)))).changes


def test_readers_are_left_alone_where_no_disk_is_the_limit():
    assert "readers" not in advice_on(figures(reads=((1, 9000), (4, 4000)))).changes
    assert "readers" not in advice_on(figures(reads=((1, 200), (4, 50)), writes=20)).changes
    assert "readers" not in advice_on(figures(reads=((1, 100), (4, 30)), cold=False)).changes


def test_readers_are_left_alone_where_the_rounds_contradict_each_other():
    assert "readers" in advice_on(figures(reads=((1, 100), (4, 60)), spread=0.2)).changes
    assert "readers" not in advice_on(figures(reads=((1, 100), (4, 60)), spread=0.4)).changes


def test_a_slow_destination_is_the_limit_by_what_is_written_and_not_by_what_is_read():
    advice = advice_on(figures(writes=20))

    assert advice.best.limit == DESTINATION
    rates = {setting.format: setting.bytes_a_second for setting in advice.settings if setting.limit == DESTINATION}
    assert abs(rates["bz2"] - 20 * MB / 0.43) < 1


def test_with_tiny_files_the_catalogue_may_be_the_limit():
    advice = advice_on(figures(rows=100_000, mean_size=100))

    assert advice.best.limit == CATALOGUE
    assert advice.best.bytes_a_second == 10 * MB


def test_another_digest_costs_time_only_where_the_cpu_is_the_limit():
    assert advice_on(figures(reads=((1, 45),))).digests == {"sha256": 1.0}
    assert advice_on(figures(reads=((1, 9000),))).digests["sha256"] > 1.5
