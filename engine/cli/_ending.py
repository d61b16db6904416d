"""How the command line ends when something went wrong: a message on stderr, an exit code, and no traceback.

Exit codes are those of DESIGN's list where a user can cause it; beyond them 70 for a bug of ours, 74 where the output
can't be written, and 141 where its reader went away.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING

import click

from runbook.engine.errors import RunbookInvalid, UserError
from runbook.engine.report.words import printable, printable_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE, BUG, OUTPUT, STOPPED, NO_READER = 1, 70, 74, 130, 141
_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF)


def told(error: BaseException, words: Sequence[str]) -> int:
    """Say what went wrong, and return the exit code.

    Args:
        error: what reached the end of the command line.
        words: the command line's words, of which -vv asks for a traceback.
    """
    if isinstance(error, SystemExit):
        return _silenced() if _reader_gone(error) else _code(error)
    if isinstance(error, KeyboardInterrupt | click.exceptions.Abort):
        return STOPPED
    if isinstance(error, BrokenPipeError):
        return _silenced()
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if wants_traceback(words):
        import traceback

        _say("".join(traceback.format_exception(error)).rstrip("\n"))
    if isinstance(error, click.ClickException):
        _say(_usage(error))
        return USAGE
    if isinstance(error, RunbookInvalid) and error.findings:
        from runbook.engine.cli._admitting import refuse

        refuse(error.findings)
        return USAGE
    if isinstance(error, UserError):
        _say(message(error))
        return error.exit_code
    if isinstance(error, OSError):
        return _system(error)
    kind = type(error).__name__
    what = printable(f"{kind}: {error}" if str(error) else kind)
    _say(f"error: this is a bug in runbook: {what}\n  `runbook -vv …` shows the traceback; please report it")
    return BUG


def message(error: UserError) -> str:
    """Return an error as it is shown: `error: where: what`, and below it how to mend it."""
    what = error.what
    if isinstance(error.__cause__, OSError) and error.__cause__.strerror:  # without its number and its quotes
        what = what.replace(str(error.__cause__), error.__cause__.strerror.lower())
    head = f"{error.where}: {what}" if error.where else what
    return "\n  ".join(["error: " + printable(head), *(printable_lines(error.mend) if error.mend else [])])


def _usage(error: click.ClickException) -> str:
    said = error.format_message().replace("is not a valid integer range", "is not a whole number")
    lines = ["error: " + "\n".join(printable_lines(said))]
    if isinstance(error, click.UsageError) and error.ctx is not None:
        lines.append(f"  `{error.ctx.command_path} --help` says more")
    return "\n".join(lines)


def wants_traceback(words: Sequence[str]) -> bool:
    """Tell whether -v was given twice, before the command or behind it."""
    own = words[: words.index("--")] if "--" in words else words
    letters = (word[1:] if word.strip("v") == "-" else "v" * (word == "--verbose") for word in own)
    return sum(map(len, letters)) > 1


def _system(error: OSError) -> int:
    """Tell of what the system refused; without a file's name, and where a disk is full, it is the output."""
    why = error.strerror or str(error)
    if error.filename is None and error.errno in _OUTPUT:
        _silenced()
        what = "stdout is closed" if error.errno == errno.EBADF else printable(why)
        _say(f"error: the output can't be written: {what}")
        return OUTPUT
    named = f"{error.filename}: " if error.filename is not None else ""
    _say(f"error: {printable(named + why)}\n  `runbook -vv …` shows where it happened")
    return USAGE


def _silenced() -> int:
    """Let the interpreter's last flush of a broken stdout go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return NO_READER


def _reader_gone(error: SystemExit) -> bool:
    """Tell whether click left because nobody reads its output; in some versions its wrapped stdout is the only sign."""
    return isinstance(error.__context__, BrokenPipeError) or type(sys.stdout).__name__.endswith("PacifyFlushWrapper")


def _code(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    _say(printable(str(error.code)))
    return USAGE


def _say(text: str) -> None:
    """Write to stderr, which may be full or closed as well."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(text, err=True)
