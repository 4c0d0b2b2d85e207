"""A pool ends, however its processes do."""

import multiprocessing
import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import pytest

from backalaika.run.pool import Pool, kill_pool, stop_pool

pytestmark = pytest.mark.timeout(20)

# More than a pipe holds.
LARGE = bytes(1_000_000)


@contextmanager
def stuck_pool(somebody_keeps_the_pipe):
    """A pool of one process that does not end, and whose pipe is full of what it is to do next; and what it is at.

    A process that somebody forked may keep the pipe, so that writing to it does not fail when the pool's are gone.
    """
    pool = Pool(1, os.getpid, ())
    kept = os.dup(pool._call_queue._reader.fileno())
    if not somebody_keeps_the_pipe:
        os.close(kept)
    first = pool.submit(time.sleep, 3600)
    for _ in range(3):
        pool.submit(len, LARGE)
    while not first.running():
        time.sleep(0.01)
    time.sleep(0.2)  # for the thread that writes
    try:
        yield pool, first
    finally:
        if somebody_keeps_the_pipe:
            os.close(kept)  # the write fails


def kill_processes():
    for process in multiprocessing.active_children():
        os.kill(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("somebody_keeps_the_pipe", [False, True])
def test_a_pool_that_is_stopped_at_once_ends_though_its_pipe_is_full(somebody_keeps_the_pipe):
    with stuck_pool(somebody_keeps_the_pipe) as (pool, first):
        stop_pool(pool, at_once=True)

        assert isinstance(first.exception(), BrokenProcessPool)
        assert not multiprocessing.active_children()


@pytest.mark.parametrize("somebody_keeps_the_pipe", [False, True])
def test_a_pool_that_is_killed_ends_though_its_pipe_is_full(somebody_keeps_the_pipe):
    with stuck_pool(somebody_keeps_the_pipe) as (pool, first):
        assert kill_pool(pool)

        assert isinstance(first.exception(), BrokenProcessPool)
        assert not multiprocessing.active_children()


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("somebody_keeps_the_pipe", [False, True])
def test_a_pool_whose_process_was_killed_ends_though_its_pipe_is_full(somebody_keeps_the_pipe, at_once):
    with stuck_pool(somebody_keeps_the_pipe) as (pool, first):
        kill_processes()

        assert isinstance(first.exception(), BrokenProcessPool)
        stop_pool(pool, at_once)
        assert not multiprocessing.active_children()


def test_a_pool_that_ends_in_order_does_all_that_it_was_given():
    pool = Pool(2, os.getpid, ())
    futures = [pool.submit(len, LARGE) for _ in range(20)]

    pool.shutdown()

    assert [future.result() for future in futures] == [len(LARGE)] * 20
    assert not multiprocessing.active_children()
