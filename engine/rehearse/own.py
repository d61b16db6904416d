"""The cases of users' modules (`steps/NAME.case.yaml`): what the host answers in, actions or records out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import RunbookInvalid, UserError
from runbook.engine.language import params
from runbook.engine.language.own import cases, folders
from runbook.engine.language.own.cases import SUFFIXES
from runbook.engine.language.own.trust import Untrusted
from runbook.engine.rehearse.compare import Difference
from runbook.engine.rehearse.suite import Result
from runbook.modules.golden import case as golden

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runbook.engine.language.own.read import Noun, Read

_PATIENCE = 15.0  # seconds for a case, and for the interpreter's start
_PROGRAM = "from runbook.modules.golden import judging; judging.main()"


def run(file: Path, wanted: Callable[[str], bool]) -> list[Result]:
    """Judge the cases of a file that are wanted.

    Raises:
        RunbookInvalid: the file holds something else, or its module is none.
        UserError: there is no module beside it, or it can't be trusted.
    """
    noun, name = _module(file)
    folder = folders.Folder(str(file.absolute().parent.parent))
    try:
        module = folder.module(noun, name)
        files = folder.sources()
    except Untrusted as error:
        raise UserError(error.what, where=str(file), mend=error.mend) from error
    if module.cls is None:
        raise RunbookInvalid([found for found in module.findings if found.level == "error"])
    listed = cases.examine(file)
    if listed.findings:
        raise RunbookInvalid(listed.findings)
    chosen = [(body, line) for body, line in listed.bodies if wanted(str(body["case"]))]
    with tempfile.TemporaryDirectory(prefix="runbook-") as scratch:
        for path, content in files.items():
            place = Path(scratch, "code", folders.NAME, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        return _judged(file, module, chosen, Path(os.path.realpath(scratch)))


def _module(file: Path) -> tuple[Noun, str]:
    name = next(file.name.removesuffix(suffix) for suffix in SUFFIXES if file.name.endswith(suffix))
    noun = next((noun for noun in folders.NOUNS if file.absolute().parent.name == f"{noun}s"), None)
    if noun is None:
        mend = f"it belongs into {folders.NAME}/steps or {folders.NAME}/probes, beside {name}.py"
        raise UserError("this file of cases stands in no folder of modules", where=str(file), mend=mend)
    if not file.with_name(f"{name}.py").exists():
        raise UserError(f"there is no {name}.py beside it", where=str(file), mend="the file is named after its module")
    return noun, name


def _judged(file: Path, module: Read, chosen: Sequence[tuple[Mapping[str, Any], int]], scratch: Path) -> list[Result]:
    orders: list[dict[str, Any]] = []
    said: dict[int, str] = {}  # by the case's number, what is wrong with it
    for number, (body, _) in enumerate(chosen):
        tmp = scratch / str(number)
        tmp.mkdir()
        case = golden.Case(f"{module.noun}s", module.name, body)
        try:
            assert module.cls is not None
            typed = params.coerce(module.cls, params.spread(module.cls, golden.fill(body.get("params"), str(tmp))))
        except ValueError as error:
            try:
                golden.invalid(case, str(tmp), error)
                said[number] = ""
            except golden.Mismatch as mismatch:
                said[number] = str(mismatch).partition("\n")[2].strip()
            continue
        orders.append({"number": number, "body": dict(body), "params": typed, "tmp": str(tmp)})
    began = time.perf_counter()
    answers = _asked(module, orders, scratch) if orders else []
    spent = (time.perf_counter() - began) / max(len(orders), 1)
    for order, answer in zip(orders, answers, strict=True):
        said[order["number"]] = answer
    return [_result(file, body, line, spent, said[number]) for number, (body, line) in enumerate(chosen)]


def _result(file: Path, body: Mapping[str, Any], line: int, spent: float, said: str) -> Result:
    what, *more = said.splitlines() or [""]
    if not more:
        return Result(str(file), str(body["case"]), line, spent, (), what)
    shown = (each.strip() for each in more)
    lines = [("- " if each.startswith(("expected", "should")) else "+ ") + each for each in shown]
    return Result(str(file), str(body["case"]), line, spent, (Difference(what, tuple(lines)),))


def _asked(module: Read, orders: Sequence[Mapping[str, Any]], scratch: Path) -> list[str]:
    """Judge cases in another process; one that died or hangs says so, and so do those behind it."""
    from runbook.modules import wire

    assert module.cls is not None
    order = {
        "code": str(scratch / "code"),
        "module": f"{folders.NAME}.{module.noun}s.{module.name}",
        "class": module.cls.__name__,
        "kind": f"{module.noun}s",
        "name": module.name,
        "cases": list(orders),
    }
    try:
        done = subprocess.run(  # noqa: S603 -- this interpreter
            [sys.executable, "-I", "-c", _PROGRAM],
            input=json.dumps(order, default=wire.plain).encode("ascii"),
            capture_output=True,
            timeout=_PATIENCE * (len(orders) + 1),
            check=False,
        )
        lines, died = done.stdout.splitlines(), f"its process ended with exit code {done.returncode}"
    except subprocess.TimeoutExpired as late:
        lines, died = (late.stdout or b"").splitlines(), "its process did not end and was killed"
    answers = [json.loads(line) for line in lines]
    found = [
        f"it can't be judged here: {answer['skipped']}" if "skipped" in answer else answer["wrong"]
        for answer in answers
    ]
    return [*found, *([died] * (len(orders) - len(found)))]
