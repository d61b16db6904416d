"""Golden cases of modules: what a case means, and whether a module does what it says. Runs under Python 3.9 too.

A file lists the cases of a module; {tmp} is a fresh directory wherever it stands:

    case        the behaviour, in words; the test's name
    params      as behind the module's name in a runbook
    files       real files below {tmp}, by relative path: text, or a mapping of `content mode age size cut owner group`,
                or of one of `directory link hardlink fifo zip safetensors base64`
    writable    default [{tmp}]
    host        what the host answers: `now boot_time free_space which run processes env state`, `about` and `hide` of a
                step's order, or any other question of Host by its name; `run` by the argv joined with spaces: text,
                {stdout, stderr, exit_code}, {unclear: reason}, or a list of these, one after the other
    requires    root, or a Python package that the host must have; where nothing less will do

and what is expected, at least one of:

    values      of the parameters, once they have their types: those to be compared
    actions     of a step, exactly these; of each action the fields to be compared; entries by their relative paths
    report      of a step: the values to be compared
    again       of a step: whether it may be run again after a crash
    records     of a probe, exactly these; of each record the fields to be compared; UNSEEN for what could not be seen
    keeps       of a probe: what it remembers, the values to be compared
    invalid failed refused absent unclear       how it ends instead: a part of the message
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.modules import catalogue, needs, values
from runbook.modules.acting.alike import Crowd
from runbook.modules.declare import UNSEEN, Absent, Failed, Invalid, Probe, Refused, Step, Unclear
from runbook.modules.golden.host import FakeHost, make_files
from runbook.modules.host import Host

ENDINGS = {"invalid": Invalid, "failed": Failed, "refused": Refused, "absent": Absent, "unclear": Unclear}
EXPECTATIONS = {"values", "actions", "report", "again", "records", "keeps", *ENDINGS}
KEYS = {"case", "params", "files", "writable", "host", "requires"} | EXPECTATIONS
DEPTH = 12  # levels of a value shown in a message


class Mismatch(AssertionError):
    """What a module does is not what its case says."""


@dataclass(frozen=True)
class Case:
    """One case of one module."""

    kind: str  # steps or probes
    module: str
    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What stands before its messages."""
        return f"{self.kind}/{self.module}: {self.body.get('case', '?')}"


def prepare(case: Case, tmp: str) -> tuple[Any, FakeHost]:
    """Make the case's files below `tmp` and return its raw parameters and its host."""
    body = fill(case.body, os.path.realpath(tmp))
    answers = dict(body.get("host") or {})
    now = float(answers.get("now", time.time()))
    make_files(Path(os.path.realpath(tmp)), body.get("files") or {}, now)
    host = FakeHost(
        writable=tuple(body.get("writable", [os.path.realpath(tmp)])),
        remembered=answers.pop("state", {}),
        env={"PATH": os.environ.get("PATH", os.defpath), **answers.pop("env", {})},
        about=answers.pop("about", {}),
        hide=tuple(answers.pop("hide", ())),
        answers=answers,
    )
    known = {"now", "boot_time", "free_space", "which", "run", "processes"}
    for name in set(answers) - known:  # other questions a host is asked: their answer as it stands
        if not hasattr(Host, name):
            raise Mismatch(f"`host: {{{name}: …}}` answers nothing that a module can ask")
        setattr(host, name, lambda *_args, _answer=answers[name], **_options: _answer)
    return body.get("params"), host


def problem(body: Any) -> str:
    """Say what keeps something from being a case; empty for a case."""
    if not isinstance(body, Mapping) or not isinstance(body.get("case"), str):
        return "a list of mappings, each with a `case`, belongs here"
    unknown = sorted(map(str, set(body) - KEYS))
    if unknown:
        return f"case `{body['case']}` has keys that mean nothing: {', '.join(unknown)}"
    if not EXPECTATIONS & set(body):
        return f"case `{body['case']}` expects nothing: add one of {', '.join(sorted(EXPECTATIONS))}"
    return ""


def judge(case: Case, params: Mapping[str, Any], host: FakeHost, tmp: str, cls: Any = None) -> None:
    """Carry out a case with typed parameters; raise `Mismatch` where the module does something else.

    Args:
        case: what is expected.
        params: the parameters, as they travel to a host.
        host: what answers the module's questions.
        tmp: the directory of the case's files.
        cls: the module, where it is none of the bundled.
    """
    body = fill(case.body, os.path.realpath(tmp))
    ending = next((name for name in ENDINGS if name in body), None)
    try:
        if cls is None:
            cls = catalogue.step(case.module) if case.kind == "steps" else catalogue.probe(case.module)
        module: Any = values.build(cls, params)
        got = _perform(module, host, body)
    except (Invalid, Failed, Refused, Absent, Unclear) as error:
        if ending is None or not isinstance(error, ENDINGS[ending]):
            raise Mismatch(f"{case.name}\n  ends with {type(error).__name__}: {error}") from error
        _same_text(case, ending, body[ending], str(error))
        return
    if ending is not None:
        raise Mismatch(f"{case.name}\n  should end with {ending}: {body[ending]}\n  but gives {_show(got)}")
    for name, actual in got.items():
        expected = body[name]
        if name in {"actions", "records"} and len(actual) != len(expected):
            raise Mismatch(_compared(case, name, expected, actual, f"{len(expected)} expected, {len(actual)} given"))
        difference = _difference(expected, actual, name)
        if difference:
            raise Mismatch(_compared(case, name, expected, actual, difference))


def invalid(case: Case, tmp: str, error: Exception) -> None:
    """Judge a case whose parameters could not be given their types."""
    if "invalid" not in case.body:
        raise Mismatch(f"{case.name}\n  its parameters are refused: {error}") from error
    _same_text(case, "invalid", fill(case.body["invalid"], os.path.realpath(tmp)), str(error))


def lacks(case: Case) -> str:
    """Say what a case requires and is not here, or an empty text."""
    needed = case.body.get("requires")
    if needed == "root":
        return "" if os.geteuid() == 0 else "only root can do what this case needs"
    return "" if needed is None or needs.importable(needed) else f"the package {needed} is not here"


def fill(value: Any, tmp: str) -> Any:
    """Put the case's directory where {tmp} stands."""
    if isinstance(value, str):
        return value.replace("{tmp}", tmp)
    if isinstance(value, Mapping):
        return {fill(key, tmp): fill(item, tmp) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, tmp) for item in value]
    return value


def _perform(module: Any, host: FakeHost, body: Mapping[str, Any]) -> dict[str, Any]:
    got: dict[str, Any] = {}
    if "values" in body:
        got["values"] = module
    if "again" in body:
        got["again"] = module.again()
    if isinstance(module, Probe):
        if not module.engine:
            records = list(module.look(host))
            got.update({"records": records, "keeps": host.kept})
    elif isinstance(module, Step) and not module.engine:
        actions = [{type(action).__name__.lower(): action} for action in module.plan(host)]
        got["actions"] = actions
        if "report" in body:
            got["report"] = module.report(host)
    return {name: actual for name, actual in got.items() if name in body}


def _difference(expected: Any, actual: Any, where: str) -> str:
    """Where `actual` lacks something of `expected`; empty when it has it all."""
    if isinstance(expected, Mapping):
        for key, item in expected.items():
            if dataclasses.is_dataclass(actual):
                if not hasattr(actual, key):
                    return f"{where} has no `{key}`"
                found = getattr(actual, key)
            elif isinstance(actual, Mapping):
                if key not in actual:
                    return f"{where} has no `{key}`"
                found = actual[key]
            else:
                return f"{where} is {_show(actual)}"
            difference = _difference(item, found, f"{where}.{key}")
            if difference:
                return difference
        return ""
    if isinstance(actual, Crowd):
        actual = tuple(actual)
    if isinstance(expected, (list, tuple)):
        if not isinstance(actual, (list, tuple)):
            return f"{where} is {_show(actual)}"
        if len(expected) != len(actual):
            return f"{where} has {len(actual)} items, not {len(expected)}"
        differences = (_difference(e, a, f"{where}[{n}]") for n, (e, a) in enumerate(zip(expected, actual)))
        return next((difference for difference in differences if difference), "")
    return "" if _equal(expected, actual, where) else f"{where} is {_show(actual)}, not {_show(expected)}"


def _equal(expected: Any, actual: Any, where: str) -> bool:
    if actual is UNSEEN or expected == "UNSEEN":
        return actual is UNSEEN and expected == "UNSEEN"
    if isinstance(actual, bytes) and isinstance(expected, str):
        return actual == expected.encode()
    if isinstance(expected, str) and hasattr(actual, "path"):
        return bool(actual.path == expected)  # an entry by its relative path
    if isinstance(expected, str) and isinstance(actual, int) and where.endswith("mode"):
        return int(expected, 8) == actual
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, float) or isinstance(actual, float):
        numbers = isinstance(expected, (int, float)) and isinstance(actual, (int, float))
        same_nan = numbers and math.isnan(expected) and math.isnan(actual)
        return numbers and (same_nan or math.isclose(expected, actual, rel_tol=1e-6, abs_tol=1e-9))
    return bool(expected == actual)


def _same_text(case: Case, ending: str, expected: str, actual: str) -> None:
    if expected not in actual:
        raise Mismatch(f"{case.name}\n  {ending} should say: {expected}\n  but says:   {actual}")


def _compared(case: Case, what: str, expected: Any, actual: Any, difference: str) -> str:
    return f"{case.name}\n  {difference}\n  expected {what}: {_show(expected)}\n  actual {what}:   {_show(actual)}"


def _show(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, default=repr)


def _plain(value: Any, depth: int = DEPTH) -> Any:
    if depth and dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {name: _plain(item, depth - 1) for name, item in named.items() if item not in (None, (), {})}
    if depth and isinstance(value, Mapping):
        return {str(key): _plain(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, (list, tuple)):
        return [_plain(item, depth - 1) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)
