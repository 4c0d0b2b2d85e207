import sys

import pytest

from backalaika.job.hooks import run_after_backup, run_after_volume
from backalaika.job.loading import load_job

JOB = "job = dict(name='work', sources=['/a'])\ncalls = []\n"
RUNNERS = {"after_backup": run_after_backup, "after_volume": run_after_volume}


@pytest.fixture(params=sorted(RUNNERS))
def call(request, write):
    """Load a job with a hook, written as HOOK, call it with "argument"; its result, and what it noted in `calls`."""

    def call(text):
        job = load_job(str(write(JOB + text.replace("HOOK", request.param))))
        result = RUNNERS[request.param](job, "argument")
        hook = getattr(job, request.param)
        return result, getattr(hook, "__globals__", {}).get("calls")

    return call


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("def HOOK(): calls.append('none')", ["none"]),
        ("def HOOK(run): calls.append(run)", ["argument"]),
        ("def HOOK(run=None): calls.append(run)", ["argument"]),
        ("def HOOK(*everything): calls.append(everything)", [("argument",)]),
        ("def HOOK(*, burn=True): calls.append(burn)", [True]),
        ("def HOOK(run, burn=True): calls.append((run, burn))", [("argument", True)]),
        ("HOOK = lambda x: calls.append(x)", ["argument"]),
    ],
)
def test_a_hook_gets_the_argument_if_it_takes_one(call, text, calls):
    assert call(text) == (None, calls)


def test_a_hook_may_be_a_method_or_written_in_c(call, capsys):
    assert call("HOOK = calls.append")[0] is None
    assert call("HOOK = print")[0] is None
    assert call("from time import time as HOOK")[0] is None


def test_no_hook_is_no_failure(call):
    assert call("")[0] is None


def test_a_hook_that_raises_is_told_in_one_line(call, home):
    failed, _ = call("def HOOK():\n    calls.append(1)\n    raise OSError('no\\ndisc')")

    assert failed == f"OSError: no disc ({home}/work.py:5)"


def test_a_hook_that_fails_deep_inside_is_told_by_its_own_line(call, home):
    failed, _ = call("import json\ndef HOOK():\n    json.loads('{')")

    assert failed.startswith("JSONDecodeError: ")
    assert failed.endswith(f"({home}/work.py:5)")


def test_a_type_error_of_its_own_is_not_taken_for_a_wrong_call(call):
    failed, calls = call("def HOOK(run):\n    calls.append(run)\n    return 1 + ''")

    assert failed.startswith("TypeError: unsupported operand")
    assert calls == ["argument"]


def test_a_failure_outside_of_the_job_file_is_told_with_its_place(call):
    failed, _ = call("from json import loads as HOOK")

    assert failed.startswith("JSONDecodeError: ")
    assert "json" in failed.rpartition("(")[2]


@pytest.mark.parametrize(
    ("leave", "failed"),
    [
        ("sys.exit()", None),
        ("sys.exit(0)", None),
        ("sys.exit(3)", "it left with sys.exit(3)"),
        ("sys.exit('no disc')", "it left with sys.exit('no disc')"),
    ],
)
def test_a_hook_that_leaves_does_not_take_the_run_with_it(call, leave, failed):
    assert call(f"import sys\ndef HOOK(): {leave}")[0] == failed


def test_ctrl_c_in_a_hook_is_ctrl_c(call):
    with pytest.raises(KeyboardInterrupt):
        call("def HOOK(): raise KeyboardInterrupt")


def test_a_hook_without_end_is_a_failure(call):
    limit = sys.getrecursionlimit()

    assert call("def HOOK(): HOOK()")[0].startswith("RecursionError: ")

    assert sys.getrecursionlimit() == limit
