"""Judges the cases of one module in a process of its own: they come as JSON on standard input, a line answers each."""

import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any, Dict, Mapping

from runbook.modules.golden.case import Case, Mismatch, judge, lacks, prepare

_PATIENCE = 10.0  # seconds for a case


class Hangs(BaseException):
    """A case does not end; no Exception, so that the module can't swallow it."""


def main() -> None:
    """Answer with what is wrong: empty for a case that holds, and `skipped` where something is not here."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what a module prints is no answer
    order = json.load(sys.stdin)
    sys.path.insert(0, order["code"])
    try:
        cls = getattr(importlib.import_module(order["module"]), order["class"])
    except BaseException as error:  # noqa: BLE001 -- whatever a user's file does when it is imported
        said = f"it can't be imported: {type(error).__name__}: {error}{_place(error, order['code'])}"
        for _ in order["cases"]:
            _tell(answers, {"wrong": said})
        os._exit(0)
    for given in order["cases"]:
        _tell(answers, _judged(order, given, cls))
    sys.stdout.flush()
    os._exit(0)


def _judged(order: Mapping[str, Any], given: Mapping[str, Any], cls: Any) -> Dict[str, str]:
    case = Case(order["kind"], order["name"], given["body"])
    why = lacks(case)
    if why:
        return {"skipped": why}

    def late(*_: object) -> None:
        raise Hangs

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    try:
        judge(case, given["params"], prepare(case, given["tmp"])[1], given["tmp"], cls)
    except Mismatch as mismatch:
        return {"wrong": str(mismatch).partition("\n")[2].strip() or str(mismatch)}
    except Hangs as error:
        return {"wrong": f"it does not end within {_PATIENCE:g} s{_place(error, order['code'])}"}
    except AssertionError as error:
        return {"wrong": str(error)}
    except BaseException as error:  # noqa: BLE001 -- the same
        return {"wrong": f"it raises {type(error).__name__}: {error}{_place(error, order['code'])}"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    return {"wrong": ""}


def _place(error: BaseException, code: str) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(code + os.sep)]
    if not frames:
        return ""
    last = frames[-1]
    inside = "" if last.name.startswith("<") else f" in {last.name}"
    return f" ({last.filename[len(code) + 1 :]}:{last.lineno}{inside})"


def _tell(answers: int, said: Mapping[str, str]) -> None:
    os.write(answers, json.dumps(said).encode("ascii") + b"\n")
