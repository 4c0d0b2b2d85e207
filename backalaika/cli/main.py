"""The command line: names of commands, the switches of version 0.2, errors and exit statuses.

It only translates: each command parses, calls the library, prints, and leaves with the library's exit status. Heavy
libraries are imported by the commands that need them, so that ``--help`` is there at once.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from .. import __version__
from ..errors import BackalaikaError
from . import display
from .leaving import leave, leave_at_once

EPILOG = """\b
Examples:
  backalaika init                                writes a job file to start from
  backalaika backup jobs/example.py              asks three questions, then backs up
  backalaika backup jobs/office.py --yes         asks nothing: for cron
  backalaika restore ~/2010/offer.odt --to back  brings a file back
  backalaika verify /media/cdrom                 is this disc still what was written?
  backalaika add 'Holidays 2009' /media/cdrom    catalogues a disc and what is in its archives
  backalaika runs                                what was backed up when, and what had changed
  backalaika volumes                             which volumes there are
  backalaika files 2026-11-22_0915-office/vol001 what is on one
  backalaika find budget                         which volumes hold a file
  backalaika bench ~/Documents                   how fast this machine is on your files

\b
The switches of version 0.2 work as they did:
  -j FILE   backup FILE        -v         volumes
  -f TITLE  files TITLE        -r TITLE   remove TITLE
  -a TITLE -d TEXT [-n] [PATH] add TITLE [PATH] -d TEXT [-n]

\b
Exit status: 0 all done; 1 done, but some files could not be saved (they are
listed); 2 wrong usage or configuration; 3 the run failed or is incomplete;
130 interrupted.
"""

_INTERRUPTED = "\nbackalaika: interrupted; nothing more is done"

# The switches of version 0.2 and the commands that they became.
_SWITCHES = {"-j": "backup", "-a": "add", "-v": "volumes", "-f": "files", "-r": "remove"}


# Each command, in the order of the help: the module that has it, and what it does in a few words.
_COMMANDS = {
    "init": ("init", "Write a commented job file, and ~/.backalaika."),
    "backup": ("backup", "Run the backup job in FILE."),
    "restore": ("restoring", "Bring files back: by path, job and date, volume, content."),
    "verify": ("verifying", "Check that volumes are still what was written."),
    "rebuild": ("rebuilding", "Make a catalogue from volumes."),
    "add": ("adding", "Catalogue a disc, a folder or an image, with its archives."),
    "runs": ("runs", "List the runs, and what had changed since the run before."),
    "volumes": ("listing", "List the volumes."),
    "files": ("listing", "List the files of a volume, of all, or of a job as of a date."),
    "find": ("finding", "Find which volumes hold a file."),
    "coverage": ("coverage", "Tell on how many volumes a job's files are."),
    "remove": ("listing", "Remove a volume, or a run that ended early."),
    "bench": ("bench", "Measure this machine on your own files."),
}


class _Commands(click.Group):
    """Imports a command's module when it is called; the help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__package__}.{_COMMANDS[cmd_name][0]}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands as a part of the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; for a name that there is not, the error names the nearest."""
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            import difflib

            nearest = difflib.get_close_matches(args[0], _COMMANDS, 1)
            advice = f"; did you mean {nearest[0]}?" if nearest else ""
            raise click.UsageError(f"there is no command {args[0]!r}{advice}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a reader that has seen enough ends it, which is no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Nothing may be left that the interpreter would flush at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


@click.group(
    cls=_Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="backalaika")
def cli() -> None:
    """Back up directories into plain zip and tar archives, sized to fit your discs, and know what is on each.

    A backup job is a small file that says what to save; jobs/example.py is one to start from.
    """


def translate_switches(arguments: Sequence[str]) -> list[str]:
    """Put a command's name where a switch of version 0.2 stands first."""
    if not arguments or len(arguments[0]) < 2 or arguments[0].startswith("--"):
        return list(arguments)
    switch, attached = arguments[0][:2], arguments[0][2:]
    if switch not in _SWITCHES:
        return list(arguments)
    return [_SWITCHES[switch], *([attached] if attached else []), *arguments[1:]]


def main() -> NoReturn:
    """Run the command line and leave with its exit status."""
    # A name may hold what the terminal's encoding has not.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.unraisablehook = _obey_lost_interrupt
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = cli.main(args=translate_switches(sys.argv[1:]), prog_name="backalaika", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as leaving:  # how a command gives its status
        status = leaving.code
    except BackalaikaError as error:
        display.say(f"backalaika: {display.printable(str(error))}")
        status = error.exit_status
    except click.ClickException as error:
        display.say(_usage_message(error))
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        display.say(_INTERRUPTED)
        status = 130
    except Exception:
        traceback.print_exc()
        display.say("backalaika: this is a mistake in Backalaika and not yours; please report it with the lines above")
        status = 3
    # All is said and done; an interrupt of the interpreter's own end would only make noise.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave(status if isinstance(status, int) else 0)


def _obey_lost_interrupt(lost: sys.UnraisableHookArgs) -> None:
    """End the program where an interrupt came within what cannot raise, such as a weak reference's call-back.

    It would only be printed, and the program go on as if nobody had asked. Where more is at stake than at the start,
    `StopSignals` remembers that it was asked to stop.
    """
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
    elif signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        display.say(_INTERRUPTED)
        leave_at_once(130)


def _usage_message(error: click.ClickException) -> str:
    """What is wrong with the command line, on one line; the help itself where nothing was said."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message()
    message = display.printable(" ".join(error.format_message().split())).rstrip(".")
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "backalaika"
    return f"backalaika: {message}; see {command} --help"
