"""Walking, batching, compressing batches, recording and planning: what costs by the file."""

import random

import pytest

from backalaika.batch import make_batches
from backalaika.bench.inserting import BATCH, make_rows
from backalaika.catalogue import open_catalogue
from backalaika.catalogue.rows import RunStart, SourceFound
from backalaika.formats import archive_format
from backalaika.planner import Media, plan_volumes
from backalaika.run.memory import attach_block
from backalaika.run.messages import BatchTask
from backalaika.run.slots import make_slots, slot_size
from backalaika.run.worker import attach_slots, compress_batch
from backalaika.walk import walk
from benchmarks.trees import make_tree

FILES = 10_000


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tree")
    make_tree(directory, FILES, 1000, seed=1)
    return str(directory)


def directories_of(tree):
    return [directory for directory, _ in walk(tree, lambda name: False)]


def test_walking_10000_files(benchmark, tree):
    found = benchmark(directories_of, tree)

    assert sum(len(directory.entries) - 1 for directory in found) == FILES


def test_cutting_10000_files_into_batches(benchmark, tree):
    directories = directories_of(tree)

    batches = benchmark(lambda: list(make_batches(directories, tree, "tree", archive_format("zst", None, 1 << 40))))

    assert sum(batch.count for batch in batches) == FILES + len(directories)


@pytest.mark.parametrize("option", ["zip", "zst"])
def test_a_worker_reading_hashing_and_compressing_a_batch(benchmark, tree, option):
    chosen = archive_format(option, None, 1 << 40)
    batch = next(iter(make_batches(directories_of(tree), tree, "tree", chosen)))
    slots = make_slots(1, slot_size([chosen]))
    try:
        attach_slots(attach_block(slots.name), slots.size)
        task = BatchTask(batch, chosen, "xxh3-128", frozenset(), 0)
        done = benchmark(compress_batch, task)
        assert done.count == batch.count
        assert done.problems == []
    finally:
        slots.close()


def test_recording_5000_files(benchmark, tmp_path):
    with open_catalogue(f"sqlite:///{tmp_path}/catalogue.sqlite") as catalogue:
        run = catalogue.start_run(RunStart("bench", "/b/run", "", 0, [SourceFound("/srv", "srv", "zip", 1, 0)]))
        volume = catalogue.add_volume(run, "run/vol001", 1, "/b/run/vol001", None)
        archive = catalogue.add_archive(volume, "srv.001.zip", "zip", 0)
        batches = (make_rows(number, volume, archive) for number in range(1000))

        benchmark.pedantic(catalogue.record, setup=lambda: (([], next(batches)), {}), rounds=10, warmup_rounds=1)

        assert sum(1 for _ in catalogue.files("run/vol001")) >= 10 * BATCH


def test_planning_100000_sizes(benchmark):
    chance = random.Random(1)
    sizes = [int(2 ** chance.uniform(6, 24)) for _ in range(100_000)]
    media = Media((), sum(sizes) // 50)

    plan = benchmark.pedantic(plan_volumes, (sizes, media), rounds=3)

    assert sorted(number for volume in plan.volumes for number in volume) == list(range(len(sizes)))
