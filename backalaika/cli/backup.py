"""``backalaika backup``: the questions, what will be done, the run, and what was done."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import click

from ..errors import SourceError, UsageError
from . import display
from .questions import Given, ask_answers, default_answers, unanswered

if TYPE_CHECKING:
    from ..catalogue.results import EarlyRun
    from ..job.loading import Job
    from ..run.answers import Answers
    from ..run.dry_run import Plan
    from ..run.report import Report
    from ..run.session import Session

EPILOG = """\b
Examples:
  backalaika backup jobs/example.py
  backalaika backup jobs/office.py --yes --comment 'before the move'
  backalaika backup jobs/office.py --yes --dry-run
  backalaika backup jobs/office.py --skip-known --since 2026-01-31 --yes
  backalaika backup jobs/office.py --resume

Without a terminal, give --yes or all of --skip-known/--no-skip-known, --since and --comment.

Exit status: 0 all done; 1 done, but some files could not be saved or a hook failed (listed);
2 wrong usage or configuration, nothing was started; 3 the run failed; 130 interrupted.
"""

_NO_COPIES = "--copies says when a file is known, and no known files are left out"


class _Backup(click.Command):
    """``--verify`` takes its value with ``=`` only, for what follows it may be the job file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["--verify=sums" if arg == "--verify" else arg for arg in args])


@click.command(epilog=EPILOG, cls=_Backup)
@click.argument("job_file", metavar="FILE", type=click.Path())
@click.option("--skip-known/--no-skip-known", default=None, help="Leave out files that a complete volume has already.")
@click.option(
    "--since", metavar="DATE", help="Only files modified since DATE (2008-12-25, 2008-12-25 14:30), or 'all'."
)
@click.option("--comment", metavar="TEXT", help="A brief comment; it becomes part of the folder's name.")
@click.option(
    "-y", "--yes", is_flag=True, help="Ask nothing: no, all and none where nothing else is given; do not wait."
)
@click.option("--rehash", is_flag=True, help="With --skip-known: read files though they look as they did.")
@click.option(
    "--copies",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --skip-known: save a file again until N volumes have it.",
)
@click.option("--allow-shrunk", is_flag=True, help="Go on though a source is empty or has lost over half of its files.")
@click.option(
    "--workers", type=click.IntRange(min=0), metavar="N", help="Processes that compress; by default one a CPU."
)
@click.option(
    "--readers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes that read at a time; 1 or 2 for a spinning disk or a share.",
)
@click.option("--nice/--no-nice", default=None, help="Leave processor and disks to other programs first.")
@click.option(
    "--verify",
    type=click.Choice(["sums", "deep"]),
    metavar="[=sums|deep]",
    help="Read each complete volume back from the drive: its files, or every member too.",
)
@click.option(
    "--resume/--no-resume", default=None, help="Go on with the job's last run, which ended early; or begin a new one."
)
@click.option("--dry-run", is_flag=True, help="Show which volumes the same command would make, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one report object on standard output at the end.")
def backup(
    job_file: str,
    skip_known: bool | None,
    since: str | None,
    comment: str | None,
    yes: bool,
    rehash: bool,
    copies: int | None,
    allow_shrunk: bool,
    workers: int | None,
    readers: int | None,
    nice: bool | None,
    verify: str | None,
    resume: bool | None,
    dry_run: bool,
    as_json: bool,
) -> NoReturn:
    """Run the backup job in FILE."""
    if dry_run and resume:
        raise UsageError("--dry-run shows the plan of a new run; leave out --resume")
    if rehash and skip_known is False:
        raise UsageError("--rehash looks for files that are known by their content; leave out --no-skip-known")
    if resume and rehash:
        raise UsageError("--resume goes on with what its run has read; leave out --rehash")
    skip_known = True if rehash else skip_known
    if copies is not None and not resume and not skip_known and (yes or skip_known is False):
        raise UsageError(_NO_COPIES + "; give --skip-known, or leave out --copies")
    trusting = partial(_trusting, rehash=rehash, copies=copies)
    load = partial(_load, job_file, readers, nice, verify)
    if dry_run:
        _dry_run(load, Given(skip_known, since, comment or ""), yes, as_json, trusting, workers, allow_shrunk)
    from ..run.resuming import answers_of
    from ..run.session import Session
    from .progress import RemovalLines, watch

    terminal = display.can_ask() and not yes
    report_to = _keep_standard_output() if as_json else None
    job = load()
    given = Given(skip_known, since, comment)
    early = _early_run(job, given, resume, terminal)
    answers = trusting(answers_of(early) if early else _answers(given, yes or bool(resume), terminal))
    with Session(
        job, answers, workers, start_at_once=not terminal, early=early, tell_removal=RemovalLines()
    ) as session:
        with session.interruptible():
            _check_shrunk(session, allow_shrunk, terminal)
            _show_plan(job, session, answers, early)
            if terminal:
                click.prompt("Press Enter to start, CTRL-C to leave", default="", show_default=False, err=True)
        with watch(session.survey.files, session.survey.bytes, terminal) as observer:
            report = session.run(observer)
    if report_to is not None:
        _write_json(report, report_to)
    _show_report(report, job_file)
    sys.exit(report.exit_status)


def _trusting(answers: Answers, rehash: bool, copies: int | None) -> Answers:
    """The answers with what the switches say; a run that goes on has its number of copies already."""
    if copies is not None and not answers.skip_known:
        display.say(f"{_NO_COPIES}; so it makes no difference")
    return replace(answers, rehash=rehash, copies=answers.copies if copies is None else copies)


def _early_run(job: Job, given: Given, resume: bool | None, terminal: bool) -> EarlyRun | None:
    """The run to go on with, if there is one and the user wants that."""
    if resume is False:
        return None
    if resume and len(unanswered(given)) < 3:
        raise UsageError("--resume keeps the answers of its run; leave out --skip-known, --since and --comment")
    if not (resume or terminal):
        return None
    from ..run.resuming import find_early_run
    from .progress import RemovalLines

    early = find_early_run(job, RemovalLines())
    if resume:
        if early is None:
            raise UsageError(f"{job.path}: the last run of the job {job.name!r} did not end early; leave out --resume")
        return early
    if early is None:
        return None
    display.say(
        f"The run {display.printable(os.path.basename(early.folder))} ended early, "
        f"with {display.files(early.files)}, {display.size(early.bytes)} saved."
    )
    return early if click.confirm("Go on with it?", default=True, err=True) else None


def _load(job_file: str, readers: int | None, nice: bool | None, verify: str | None) -> Job:
    """The job, with what the switches say instead; from here on with less priority, if that is wanted."""
    from ..job.loading import load_job

    job = load_job(job_file)
    if readers is not None:
        job = replace(job, config=replace(job.config, readers=readers))
    if verify is not None:
        job = replace(job, config=replace(job.config, verify_after=verify))
    if job.config.nice if nice is None else nice:
        from ..run.priority import lower_priority

        lower_priority()
    return job


def _dry_run(
    load: Callable[[], Job],
    given: Given,
    yes: bool,
    as_json: bool,
    trusting: Callable[[Answers], Answers],
    workers: int | None,
    allow_shrunk: bool,
) -> NoReturn:
    """Show the plan and leave."""
    from ..run.dry_run import plan_run
    from .planning import show_plan

    report_to = _keep_standard_output() if as_json else None
    job = load()
    answers = trusting(_answers(given, yes, display.can_ask() and not yes))
    plan = plan_run(job, answers, workers=workers, allow_shrunk=allow_shrunk)
    if report_to is not None:
        _write_json(plan, report_to)
    else:
        show_plan(plan)
    sys.exit(plan.exit_status)


def _answers(given: Given, yes: bool, terminal: bool) -> Answers:
    missing = unanswered(given)
    if yes or not missing:
        return default_answers(given)
    if not terminal:
        raise UsageError(f"no terminal to ask at: give {', '.join(missing)}, or --yes for the defaults (no, all, none)")
    return ask_answers(
        given,
        lambda question: str(click.prompt(question, default="", show_default=False, prompt_suffix="", err=True)),
        display.say,
    )


def _check_shrunk(session: Session, allowed: bool, terminal: bool) -> None:
    lines = session.shrunk_sources()
    if not lines or allowed:
        return
    if not terminal:
        raise SourceError("; ".join(lines) + "; nothing was started. To insist, give --allow-shrunk")
    for line in lines:
        display.say(line)
    if not click.confirm("Back up all the same?", default=False, err=True):
        raise SourceError("nothing was started")


def _show_plan(job: Job, session: Session, answers: Answers, early: EarlyRun | None) -> None:
    from ..run.room import free_space

    config, survey = job.config, session.survey
    display.say(f"Job        {job.name}  ({display.printable(job.path)})")
    width = max(len(display.printable(found.source.path)) for found in survey.sources)
    for found in survey.sources:
        what = f"{found.source.format}{', separate_dirs' if found.source.separate_dirs else ''}"
        path = display.printable(found.source.path)
        display.say(f"Source     {path:{width}}  {what}  {display.files(found.files)}, {display.size(found.bytes)}")
    copies = answers.copies or config.copies
    chosen = []
    if answers.skip_known:
        chosen.append("known files are left out" if copies == 1 else f"files that {copies} volumes have are left out")
    if answers.rehash:
        chosen.append("all are read")
    if answers.since_ns is not None:
        chosen.append(f"only those modified since {display.moment(answers.since_ns)}")
    display.say(
        f"To save    {display.files(survey.files)}, {display.size(survey.bytes)}"
        + (f" ({'; '.join(chosen)})" if chosen else "")
    )
    if early:
        saved = f"{display.files(early.files)}, {display.size(early.bytes)}"
        display.say(f"Goes on    {display.printable(early.folder)}, which has {saved} already")
    first = ", ".join(display.medium(medium) for medium in config.volume_sizes)
    each = f"volumes of {display.medium(config.max_size)}"
    display.say(f"Where to   {display.printable(config.dir_backups)}, {f'{first}, then ' if first else ''}{each}")
    free = free_space(config.dir_backups)
    left = survey.bytes - (early.bytes if early else 0)
    warning = "" if left < free else "  LESS than there is to save: it fits only if it compresses well"
    safety = display.safety(config.redundancy, config.verify_after)
    if safety:
        display.say(f"Safety     {safety}")
    display.say(f"Free       {display.size(free)}{warning}")


def _keep_standard_output() -> int:
    """A descriptor for the report alone: what the job file's code and its programs print goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


def _write_json(report: Report | Plan, descriptor: int) -> None:
    try:
        with open(descriptor, "w", encoding="utf-8") as out:
            out.write(json.dumps(report.as_json()) + "\n")
    except OSError as error:  # the backup's own exit status tells more
        display.say(f"the report cannot be written: {error.strerror}")


def _changes(report: Report) -> str:
    """What changed at the sources since the run before, where there was one and something did."""
    changes = zip(("added", "changed", "deleted", "moved"), report.changes or (), strict=False)
    words = ", ".join(f"{number:,} {what}" for what, number in changes if number)
    return f"; since the run before: {words}" if words and report.follows else ""


def _show_report(report: Report, job_file: str) -> None:
    from .progress import problem_line

    if report.problems:
        count = len(report.problems)
        display.say(f"\n{count:,} problem{'s' if count != 1 else ''}:")
        for problem in report.problems:
            display.say("  " + problem_line(problem))
    for capacity in report.passed_over:
        display.say(f"unused: a medium of {display.size(capacity)}, on which nothing was put")
    seconds = (report.finished_at_ns - report.started_at_ns) / 1e9
    known = f"; {display.files(report.known_files)} known already" if report.known_files else ""
    known += _changes(report)
    saved = f"{display.files(report.files)}, {display.size(report.bytes)}"
    if report.state == "complete":
        volumes = f"{len(report.volumes)} volume{'s' if len(report.volumes) != 1 else ''}"
        where = f" in {display.printable(report.folder)}" if report.volumes else "; there was nothing to save"
        display.say(
            f"Saved {saved} as {display.size(report.archive_bytes)} on {volumes}{where}, "
            f"in {display.duration(seconds)}{known}"
        )
        return
    why = f": {display.printable(report.failure)}" if report.failure else ""
    display.say(f"\n{report.state.upper()} after {saved}{why}")
    for volume in report.volumes:
        display.say(f"  complete:   {display.printable(volume.folder)}")
    for path in report.unfinished:
        display.say(f"  unfinished: {display.printable(path)}")
    if report.folder:
        display.say(f"To go on with it: backalaika backup --resume {shlex.quote(display.printable(job_file))}")
