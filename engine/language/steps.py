"""Steps and recoveries of a document → the frozen types, with their parameters checked as far as they are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runbook.engine.language import params
from runbook.engine.language.nearest import nearest
from runbook.engine.language.values import is_templated
from runbook.engine.language.words import split
from runbook.engine.model import Limit, Mode, Path, Rung, StepCall
from runbook.modules import catalogue
from runbook.modules.declare import Kind, Probe, Step

if TYPE_CHECKING:
    from runbook.engine.language.values import Reader

_BLOCK_KEYS = ("become", "become_user", "python", "delegate_to", "tags", "mode")


def call(reader: Reader, data: Any, path: Path, outer: tuple[Mapping[str, Any], Path] | None = None) -> StepCall | None:
    """Return a step, or None where its structure was found wrong. `outer` is the block that it stands in."""
    if not isinstance(data, dict):
        return None
    module = next((key for key in data if key in catalogue.step_names()), None)
    if module is None or reader.dead((*path, module)):
        return None

    def common(key: str) -> tuple[Any, Path]:
        if outer is not None and key not in data and key in _BLOCK_KEYS:
            return reader.get(outer[0], key, outer[1]), (*outer[1], key)
        return reader.get(data, key, path), (*path, key)

    def static(key: str) -> Any:
        return reader.static(*common(key))

    mode = reader.get({"mode": common("mode")[0]}, "mode", ())
    given = parameters(reader, catalogue.step(module), data[module], (*path, module))
    holds: tuple[StepCall, ...] = ()
    if module == "failover":
        given, holds = _failover(reader, given, (*path, module))
        mode = mode or _strictest(holds)
    return StepCall(
        module,
        given,
        path,
        name=str(static("name") or ""),
        when=_both(reader, data, path, outer),
        timeout=reader.seconds(*common("timeout")),
        register=static("register"),
        become=static("become"),
        become_user=static("become_user"),
        python=static("python"),
        delegate_to=static("delegate_to"),
        tags=reader.words(*common("tags")),
        mode=Mode(mode) if mode is not None else None,
        limit=reader.limit(*common("limit")) or _budget(catalogue.step(module)),
        holds=holds,
    )


def _budget(cls: type[Step]) -> Limit | None:
    """Return how often a step may be taken where the runbook says nothing."""
    return None if cls.budget is None else Limit(*cls.budget)


def _failover(reader: Reader, given: Mapping[str, Any], path: Path) -> tuple[Mapping[str, Any], tuple[StepCall, ...]]:
    """Return a `failover`'s parameters, with a pool that is known now, and the steps that it will run."""
    written = given.get("pool", "")
    name = reader.static(getattr(written, "text", written), path)
    if not isinstance(name, str) or name not in reader.pools:
        return given, ()
    return {**given, "pool": name}, reader.pools[name].switch


def _strictest(holds: tuple[StepCall, ...]) -> str | None:
    """Return the mode that the steps which a step holds ask for by name; the strictest counts for all."""
    modes = [held.mode for held in holds if held.mode is not None and held.mode is not Mode.AUTO]
    return min(modes, key=lambda mode: mode.rank).value if modes else None


def calls(reader: Reader, data: Any, path: Path) -> tuple[StepCall, ...]:
    """Return a list of steps."""
    found = (call(reader, item, at) for item, at in reader.items(data, path))
    return tuple(step for step in found if step is not None)


def rungs(reader: Reader, data: Any, path: Path) -> tuple[Rung, ...]:
    """Return a recovery's rungs: each a step, or a block of them."""
    made = []
    for item, at in reader.items(data, path):
        if isinstance(item, dict) and "block" in item:
            inside = reader.items(item["block"], (*at, "block"))
            steps = tuple(step for each, where in inside if (step := call(reader, each, where, (item, at))) is not None)
            name = str(reader.static(reader.get(item, "name", at), (*at, "name")) or "")
        else:
            step = call(reader, item, at)
            steps, name = (step,) if step is not None else (), ""
        if steps:
            made.append(Rung(steps, at, name))
    return tuple(made)


def parameters(reader: Reader, cls: type[Step | Probe], data: Any, path: Path) -> Mapping[str, Any]:
    """Return what is written behind a module's name as parameters, with templates parsed and the rest checked."""
    try:
        given = dict(params.spread(cls, data))
    except params.Wrong as refused:
        reader.add("RB011", str(refused), path)
        return {}
    before = len(reader.findings)
    known = params.fields(cls)
    made: dict[str, Any] = {}
    for name, value in given.items():
        at = (*path, name) if isinstance(data, dict) else path
        kind = known[name].kind if name in known else None
        made[name] = _argv(reader, value, at) if kind is Kind.ARGV else _templated(reader, kind, value, at)
    for wrong in params.problems(cls, made):
        at = (*path, wrong.parameter) if isinstance(data, dict) and wrong.parameter in data else path
        reader.add("RB011", wrong.message, at)
    if len(reader.findings) == before and not _holds_template(made):
        try:
            params.build(cls, made, rendered=False)
        except params.Wrong as refused:
            reader.add("RB011", refused.message, path)
    return made


def name_of(reader: Reader, wanted: Any, known: Any, what: str, path: Path) -> bool:
    """Tell whether a name is known, and report it where it is not."""
    if wanted in known:
        return True
    near = nearest(str(wanted), known)
    hint = f"did you mean {near}?" if near else f"there is {', '.join(map(str, known))}"
    if not known:
        hint = f"no {what} is defined"
    reader.add("RB012", f"there is no {what} `{wanted}`", path, hint)
    return False


def _both(reader: Reader, data: Mapping[str, Any], path: Path, outer: tuple[Mapping[str, Any], Path] | None) -> Any:
    own = reader.condition(reader.get(data, "when", path), (*path, "when"))
    if outer is None or "when" not in outer[0]:
        return own
    block = reader.condition(reader.get(outer[0], "when", outer[1]), (*outer[1], "when"))
    if own is None or block is None:
        return own or block
    return reader.condition(f"({block.text}) and ({own.text})", (*path, "when"))


def _templated(reader: Reader, kind: Kind | None, value: Any, path: Path) -> Any:
    """A condition is parsed where it is used, with a record's fields; all else may hold templates."""
    if kind is Kind.CONDITION:
        return value
    if kind is Kind.PROBE and isinstance(value, dict) and len(value) == 1:
        [(name, inner)] = value.items()
        if name in catalogue.probe_names() and isinstance(name, str):
            return {name: parameters(reader, catalogue.probe(name), inner, (*path, name))}
    return reader.template(value, path)


def _argv(reader: Reader, value: Any, path: Path) -> Any:
    """Split a command line before its templates are filled in, so that a value stays one word."""
    if not isinstance(value, str) or not is_templated(value):
        return reader.template(value, path)
    parsed = reader.template(value, path)
    if isinstance(parsed, str):
        return value  # its syntax was reported
    try:
        words = split(value)
    except ValueError as error:
        reader.add("RB011", str(error), path, "close the quote")
        return value
    return parsed if len(words) == 1 else list(words)  # one template alone may be a var that holds the words


def _holds_template(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_template(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_template(item) for item in value)
    return hasattr(value, "evaluate")
