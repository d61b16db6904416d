"""The command line's door: it imports nothing before it knows what for."""

from __future__ import annotations

import gc
import os
import sys

from runbook import __version__

COLLECTIONS = 50_000, 20, 20  # a command makes much that stays, and searching it again and again costs a tenth


def main() -> None:
    """Run the command line; a user's error becomes a message and its exit code, never a traceback."""
    gc.set_threshold(*COLLECTIONS)
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        _opened()
    code: object = 0
    try:
        if sys.argv[1:] == ["--version"]:
            sys.stdout.write(f"runbook, version {__version__}\n")
        elif sys.argv[1:2] != ["status"] or (code := _status()) is None:
            from runbook.engine.cli._commands import runbook

            code = runbook.main(prog_name="runbook", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 -- whatever it is, it ends here
        from runbook.engine.cli import _ending

        code = _ending.told(error, sys.argv[1:])
    gc.freeze()  # the interpreter would search all of it once more on its way out
    sys.exit(code if isinstance(code, int) else 0)


def _status() -> int | None:
    """Answer what is asked most often, by every prompt and probe; None where it is not asked in plain words."""
    from runbook.engine.cli import _standing

    return _standing.direct(sys.argv[2:])


def _opened() -> None:
    """Put something in the place of closed standard streams, lest the journal's file becomes one of them."""
    for number, name, how in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            # Opened for reading, stdout fails at the first write as a full disk does: what is not printed is told.
            os.open(os.devnull, how)
            stream = open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False)  # noqa: SIM115 -- for good
            setattr(sys, name, stream)
