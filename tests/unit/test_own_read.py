"""What is read of a user's module without running it, and what is said of one that would not work."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.engine.language import params
from runbook.engine.language.own.read import read
from runbook.modules.declare import Impact, Kind

HEAD = """\
from dataclasses import dataclass, field
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Tuple, Type, Union
import typing as t

from runbook.modules.declare import Duration, Glob, Impact, Path, Probe, Record, Size, Step

Side = Literal["left", "right"]
HOUR = 60 * 60
"""
STEP = (
    HEAD
    + """

@dataclass(frozen=True)
class OpenGate(Step):
    '''Open a gate.

    It stays open.

    Example:
        - open_gate: {gate: north}
    '''

    impact = Impact.LOW

    gate: str  # which one

    def plan(self, host):
        return []
"""
)
PROBE = (
    HEAD
    + """

@dataclass(frozen=True)
class Width(Record):
    gate: str  # which one
    width: Optional[float]  # how wide it is
    state: Literal["shut", "open"]  # how it stands


@dataclass(frozen=True)
class OpenGate(Probe):
    '''How wide a gate is.

    Example:
        - open_gate: north
          when: width > 1
    '''

    record: ClassVar[Type[Record]] = Width
    subject = "gate"

    gate: str  # which one

    def look(self, host):
        yield Width(self.gate, 1.0, "open")
"""
)


def step(text=STEP):
    return read("step", "open_gate", "open_gate.py", text.encode())


def messages(found, level="error"):
    return [f"{each.span.line}: {each.message}" for each in found.findings if each.level == level]


def test_what_a_class_says_of_itself_is_known():
    body = STEP.replace(
        "    gate: str  # which one\n",
        "    timeout = 2 * HOUR\n    needs = ('tomlkit', 'PyYAML as yaml')\n    writes: ClassVar[Tuple[str, ...]] = ('path',)\n"
        "    first = 'gate'\n    path: Path  # where\n    gate: str = 'north'  # which one\n    side: Side = 'left'  # where\n"
        "    sizes: Tuple[Size, ...] = ()  # how large\n    rest: Optional[Duration] = None  # a while\n"
        "    env: Mapping[str, str] = field(default_factory=dict)  # more\n    any_: t.Any = None  # whatever\n",
    ).replace("{gate: north}", "{path: /x}")
    found = step(body)
    assert found.findings == ()
    assert found.cls is not None
    assert (found.cls.impact, found.cls.timeout, found.cls.needs) == (Impact.LOW, 7200, ("tomlkit", "PyYAML as yaml"))
    known = params.fields(found.cls)
    assert list(known) == ["path", "gate", "side", "sizes", "rest", "env", "any"]
    assert (known["path"].kind, known["path"].required, known["path"].description) == (Kind.PATH, True, "where")
    assert known["side"].choices == ("left", "right")
    assert (known["rest"].kind, known["rest"].optional) == (Kind.DURATION, True)
    assert known["env"].default == {}
    assert params.description(found.cls) == "Open a gate.\n\nIt stays open."
    assert params.example(found.cls) == "- open_gate: {gate: north}".replace("{gate: north}", "{path: /x}")
    assert params.build(found.cls, {"path": "/x", "sizes": ["1GB"], "side": "right"}, rendered=False).sizes == (10**9,)
    with pytest.raises(params.Wrong, match="did you mean right"):
        params.build(found.cls, {"path": "/x", "side": "rigth"})


def test_a_probes_records_are_known():
    found = read("probe", "open_gate", "open_gate.py", PROBE.encode())
    assert found.findings == ()
    assert found.cls is not None
    known = params.record_fields(found.cls)
    assert {name: each.type for name, each in known.items()} == {
        "gate": str, "width": float | None, "state": Literal["shut", "open"],
    }  # fmt: skip
    assert known["width"].description == "how wide it is"
    assert known["state"].choices == ("shut", "open")


WRONG = [
    ("class OpenGate(Step)", "class OpneGate(Step)", "12: the step `open_gate` needs a class OpenGate"),
    ("class OpenGate(Step)", "class OpenGate", "12: OpenGate is no Step"),
    ("(frozen=True)", "", "12: OpenGate is no frozen dataclass"),
    ("    impact = Impact.LOW\n", "", "12: OpenGate says nothing of its impact"),
    ("Impact.LOW", "Impact.LWO", "21: `Impact.LWO` is nothing that is known"),
    (
        "Impact.LOW",
        "'low'",
        "21: `impact` is one of Impact.NONE, Impact.LOW, Impact.DISRUPTIVE, Impact.DESTRUCTIVE, not 'low'",
    ),
    ("Impact.LOW", "pick()", "21: `pick` is not defined in this file"),
    ("gate: str", "gate: strr", "23: `strr` is not defined in this file"),
    ("gate: str", "gate: 'str'", "23: the type is a text"),
    ("gate: str", "gate: type", "23: `type` is not defined in this file"),
    ("gate: str", "gate: Step", "23: `gate` can't be of the type `Step`"),
    ("gate: str", "gate: List[Step]", "23: `gate` can't be of the type `List[Step]`"),
    ("gate: str", "gate: List[str] = []", "23: the default of `gate` could be changed"),
    ("gate: str", "gate: str = open('/etc/passwd')", "23: `open('/etc/passwd')` would have to be run"),
    ("gate: str  #", "a: int = 1\n    gate: str  #", "12: "),
    ("gate: str  #", "timeout: float = 3.0\n    gate: str  #", "23: `timeout: float` would be a parameter"),
    ("    impact", "    timeuot = 3\n    impact", "21: `timeuot` means nothing here"),
    ("    impact", "    timeout = 'long'\n    impact", "21: `timeout` is seconds, not 'long'"),
    ("    impact", "    engine = True\n    impact", "21: `engine` marks the engine's own words"),
    ("    impact", "    needs = 'yaml'\n    impact", "21: `needs` is a tuple of texts"),
    ("    impact", "    needs = ('a>=1',)\n    impact", "21: `a>=1` names no distribution"),
    ("    impact", "    writes = ('gaet',)\n    impact", "21: `writes` names `gaet`, which is no parameter"),
    ("    impact", "    first = 'gaet'\n    impact", "21: `first` names no parameter: there are gate"),
    ("def plan(self, host)", "def paln(self, host)", "12: OpenGate has no `plan`"),
    ("def plan(self, host)", "async def plan(self, host)", "25: `plan` takes self and the host"),
    ("def plan(self, host)", "def plan(self)", "25: `plan` takes self and the host"),
    (
        "open_gate: {gate: north}",
        "open_gate: {gaet: north}",
        "13: the example does not fit: gaet: is no parameter here",
    ),
    ("- open_gate: {gate: north}", "- open_door: x", "13: the example is no list of `- open_gate: …`"),
    (
        "from dataclasses",
        "from __future__ import annotations\nfrom dataclasses",
        "1: with this, the types of parameters are texts",
    ),
    ("        return []", "        return [", "26: this is no Python: '[' was never closed"),
    ("import Duration,", "import Duratoin,", "5: there is no `Duratoin` in runbook.modules.declare"),
]


@pytest.mark.parametrize(("before", "after", "expected"), WRONG, ids=[each[1][:40] + each[2][:12] for each in WRONG])
def test_what_would_not_work_is_told_where_it_stands(before, after, expected):
    text = STEP.replace(before, after, 1)
    if "Duratoin" in after:
        text = text.replace("gate: str", "gate: Duratoin")
    found = step(text)
    assert found.cls is None
    assert any(each.startswith(expected) for each in messages(found)), messages(found)


WARNED = [
    ("gate: str", "gate: str | None", "23: Python 3.9, which hosts may have, can't read `str | None`"),
    (
        "        return []",
        "        match 1:\n            case _: return []",
        "27: Python 3.9, which hosts may have, can't read this",
    ),
    ("        return []", "        print(1)\n        return []", "26: nobody sees what a module prints"),
    ("from dataclasses", "import requests\nfrom dataclasses", "1: `requests` is not in the standard library"),
    (
        "    def plan",
        "    def effective_impact(self):\n        return 1\n\n    def plan",
        "25: `effective_impact` is never asked",
    ),
    ("    Example:\n        - open_gate: {gate: north}\n", "", "13: OpenGate shows no example"),
]


@pytest.mark.parametrize(("before", "after", "expected"), WARNED, ids=[each[2][:30] for each in WARNED])
def test_what_may_not_work_everywhere_is_a_warning(before, after, expected):
    found = step(STEP.replace(before, after, 1))
    assert found.cls is not None
    assert any(each.startswith(expected) for each in messages(found, "warning")), messages(found, "warning")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("    record: ClassVar[Type[Record]] = Width\n", "", "OpenGate says nothing of its records"),
        ("= Width\n", "= Duration\n", "OpenGate says nothing of its records"),
        ('subject = "gate"', 'subject = "gaet"', "`subject` names no field of Width"),
        ("width: Optional[float]", "width: Optional[flaot]", "`flaot` is not defined in this file"),
        ("def look", "def lok", "OpenGate has no `look`"),
    ],
)
def test_a_probe_that_would_not_work_is_told(before, after, expected):
    found = read("probe", "open_gate", "open_gate.py", PROBE.replace(before, after, 1).encode())
    assert found.cls is None
    assert any(expected in each for each in messages(found)), messages(found)


@given(st.integers(0, len(STEP)), st.integers(0, 40), st.text(alphabet="()[]{}:,.=|'\"\\\n #@aS1\0é", max_size=6))
def test_nothing_that_a_file_holds_makes_reading_raise(at, length, put):
    text = STEP[:at] + put + STEP[at + length :]
    found = step(text)
    assert found.cls is not None or messages(found)


@given(st.binary(max_size=300))
def test_no_bytes_make_reading_raise(content):
    assert read("probe", "open_gate", "open_gate.py", content).cls is None
