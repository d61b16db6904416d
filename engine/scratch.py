"""`run.scratch`: a private directory that goes with its run."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import contextlib

    from runbook.engine.model import Runbook

_NAMED: Final = "runbook-"  # how their names begin


def about_run(stack: contextlib.ExitStack, runbook: Runbook, run: str, *, made: bool) -> dict[str, str]:
    """Return what templates read as `run`; the directory is made where a runbook mentions it.

    Args:
        stack: removes it at its end.
        runbook: whose run.
        run: its id.
        made: make it; else it is only named.
    """
    about = {"id": run, "scratch": str(Path(tempfile.gettempdir()) / f"{_NAMED}{run}")}
    files = {runbook.file, *(detector.origin for detector in runbook.detectors)}
    mentioned = any("run.scratch" in Path(file).read_text(encoding="utf-8") for file in files if file)
    if not made or not mentioned:
        return about
    about["scratch"] = os.path.realpath(tempfile.mkdtemp(prefix=_NAMED))
    stack.callback(shutil.rmtree, about["scratch"], ignore_errors=True)
    return about


def is_gone(subject: str) -> bool:
    """Tell whether a subject lies in a directory that `run.scratch` was, and that is not there any more."""
    made = re.match(rf"{re.escape(str(Path(tempfile.gettempdir()).resolve()))}/{_NAMED}[a-z0-9_]{{8}}(?=/|$)", subject)
    return made is not None and not Path(made[0]).exists()
