"""The command line's door: it imports nothing before it knows what for."""

from __future__ import annotations

import gc
import sys

from runbook import __version__


def main() -> None:
    """Run the command line; a user's error becomes a message and its exit code, never a traceback."""
    gc.set_threshold(50_000, 20, 20)  # a command makes much that stays, and searching it again and again costs a tenth
    code: object = 0
    try:
        if sys.argv[1:] == ["--version"]:
            sys.stdout.write(f"runbook, version {__version__}\n")
        else:
            from runbook.engine.cli._commands import runbook

            code = runbook.main(prog_name="runbook", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 -- whatever it is, it ends here
        from runbook.engine.cli import _ending

        code = _ending.told(error, sys.argv[1:])
    gc.freeze()  # the interpreter would search all of it once more on its way out
    sys.exit(code if isinstance(code, int) else 0)
