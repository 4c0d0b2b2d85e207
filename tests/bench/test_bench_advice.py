"""What a bench recommends, from figures that were not measured but thought out."""

from backalaika.bench.advice import CATALOGUE, CPU, DESTINATION, DISK, advise
from backalaika.bench.figures import CodecRate, DigestRate, Figures, ReadRate

MB = 10**6
# Of each format and level: MB a second of one process, and size.
CODECS = {
    ("zip", 6): (80, 0.50),
    ("gz", 6): (90, 0.49),
    ("bz2", 9): (12, 0.43),
    ("zst", 1): (400, 0.52),
    ("zst", 2): (350, 0.48),
    ("zst", 9): (50, 0.44),
    ("xz", 6): (5, 0.40),
}


def figures(reads=((1, 1000),), writes=None, rows=None, mean_size=10**5, gain=1.0):
    """Figures of a machine with 4 processes; ``gain`` is what each one more adds, 1.0 as much as the first."""
    made = Figures("/srv", 4, 1000, 1000 * mean_size, True, 10**5)
    made.reads = [ReadRate(readers, mb * MB, 1000, True) for readers, mb in reads]
    made.write_bytes_a_second = writes and writes * MB
    made.rows_a_second = rows
    for workers in (1, 2, 4):
        scale = 1 + gain * (workers - 1)
        made.digests.append(DigestRate("xxh3-128", workers, 10_000 * MB * scale))
        made.digests.append(DigestRate("sha256", workers, 400 * MB * scale))
        for (option, level), (mb, ratio) in CODECS.items():
            made.codecs.append(CodecRate(option, level, workers, mb * MB * scale, ratio))
    return made


def test_where_the_cpu_is_the_limit_the_fastest_format_is_best_and_nothing_else_is_changed():
    advice = advise(figures(reads=((1, 9000),)))

    assert (advice.best.format, advice.best.limit) == ("zst", CPU)
    assert advice.config() == {"level": 1}
    assert advice.enough == 4


def test_behind_a_slow_disk_the_smallest_format_that_keeps_up_is_best():
    advice = advise(figures(reads=((1, 45),)))

    assert (advice.best.format, advice.best.level, advice.best.limit) == ("bz2", 9, DISK)
    assert advice.config() == {}
    assert advice.smallest.format == "xz"


def test_the_fewest_processes_that_keep_up_are_told():
    assert advise(figures(reads=((1, 20),))).best.format == "xz"
    assert [advise(figures(reads=((1, mb),))).enough for mb in (20, 9, 4)] == [4, 2, 1]


def test_fewer_processes_are_recommended_only_where_more_are_slower():
    assert advise(figures(reads=((1, 9000),), gain=-0.1)).workers == 1
    assert advise(figures(reads=((1, 9000),), gain=0.0)).workers is None


def test_few_readers_are_recommended_where_many_are_slower():
    assert advise(figures(reads=((1, 100), (2, 60), (4, 30)))).config()["readers"] == 1
    assert advise(figures(reads=((1, 40), (2, 90), (4, 50)))).readers == 2
    assert advise(figures(reads=((1, 100), (2, 150), (4, 149)))).readers is None


def test_a_slow_destination_is_the_limit_by_what_is_written_and_not_by_what_is_read():
    advice = advise(figures(writes=20))

    assert advice.best.limit == DESTINATION
    rates = {setting.format: setting.bytes_a_second for setting in advice.settings if setting.limit == DESTINATION}
    assert abs(rates["bz2"] - 20 * MB / 0.43) < 1


def test_with_tiny_files_the_catalogue_may_be_the_limit():
    advice = advise(figures(rows=100_000, mean_size=100))

    assert advice.best.limit == CATALOGUE
    assert advice.best.bytes_a_second == 10 * MB


def test_another_digest_costs_time_only_where_the_cpu_is_the_limit():
    assert advise(figures(reads=((1, 45),))).digests == {"sha256": 1.0}
    assert advise(figures(reads=((1, 9000),))).digests["sha256"] > 1.5
