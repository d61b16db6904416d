"""Filling in a step's values, under the rules that keep what hosts write, and secrets, from becoming code."""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import RenderError
from runbook.engine.language import params
from runbook.engine.language.kinds import is_template
from runbook.engine.language.scope import Scope, value
from runbook.engine.language.taint import Refused, host_text, mentioned, reached, registered, secret
from runbook.engine.language.words import BY_ENV, argv
from runbook.engine.model import Order
from runbook.modules import catalogue
from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runbook.engine.model import Path, Runbook, StepCall
    from runbook.modules.declare import Probe, Step

__all__ = [
    "Refused",
    "Scope",
    "host_text",
    "mentioned",
    "order",
    "probe",
    "reached",
    "redactor",
    "registered",
    "secret",
    "value",
    "writable",
]

_TOLD: Final = ("uuid", "pci", "path", "line_no", "time")  # of the record: which card, and where a log says so


@dataclass
class _Filled:
    values: dict[str, Any] = field(default_factory=dict)
    host_text: set[str] = field(default_factory=set)
    secret: set[str] = field(default_factory=set)


def order(call: StepCall, scope: Scope, secrets: Mapping[str, str] | None = None) -> Order:
    """Fill in a step's values.

    Args:
        call: the step as the runbook has it.
        scope: what its templates may name.
        secrets: the values of secrets by name, where the scope has none yet.

    Raises:
        Refused: host text or a secret would become code or an argument that others can see.
        RenderError: a name is undefined, or a value does not fit the parameter.
    """
    if secrets is not None:
        scope = scope.bind(secrets=secrets)
    cls = catalogue.step(call.module)
    try:
        filled = _fill(cls, call.params, scope)
    except RenderError as error:
        raise _located(error, call.title, scope.runbook, call.path) from error
    return Order(
        module=call.module,
        params=filled.values,
        host_text=frozenset(filled.host_text),
        secret=frozenset(filled.secret),
        timeout=call.timeout if call.timeout is not None else cls.timeout,
        become=bool(call.become),
        become_user=call.become_user,
        title=call.title,
        path=call.path,
        python=call.python,
        about=_about(scope),
        hide=frozenset(scope["secrets"].values()) if cls.gathers else frozenset(),
    )


def _about(scope: Scope) -> dict[str, Any]:
    """Return what a step may know of what it is for, beyond its parameters: plain values alone."""
    incident = scope.get("incident") or {}
    told = {name: incident[name] for name in _TOLD if isinstance(incident.get(name), str | int | float)}
    if "id" in incident:
        told |= {"incident": str(incident["id"]), "detector": str(incident.get("detector", ""))}
    return {"host": scope["host"], "runbook": scope.runbook.name, **told}


def probe(name: str, given: Mapping[str, Any], scope: Scope, *, path: Path = ()) -> dict[str, Any]:
    """Fill in a probe's parameters, under the same rules as a step's.

    Raises:
        Refused: host text or a secret would become code or an argument that others can see.
        RenderError: a name is undefined, or a value does not fit the parameter.
    """
    try:
        return _fill(catalogue.probe(name), given, scope).values
    except RenderError as error:
        raise _located(error, name, scope.runbook, path) from error


def writable(scope: Scope) -> tuple[str, ...]:
    """Return the runbook's `writable` trees; what a host wrote can't name one.

    Raises:
        RenderError: an entry is no absolute path, or made of host text.
    """
    made = []
    for place, entry in enumerate(scope.runbook.writable):
        try:
            made.append(_tree(entry, scope))
        except RenderError as error:
            raise _located(error, "writable", scope.runbook, ("writable", place)) from error
    return tuple(made)


def _tree(entry: Any, scope: Scope) -> str:
    if host_text(mentioned(entry), scope):
        raise Refused("is made of what a host wrote", mend="name the tree in the runbook")
    found = value(entry, scope)
    if not isinstance(found, str) or not os.path.isabs(found):  # noqa: PTH117 -- text, not looked up
        raise RenderError(f"'{found}' is no absolute path", mend="begin it with /")
    return found


def redactor(secrets: Mapping[str, str] | Iterable[str]) -> Callable[[str], str]:
    """Return the function that replaces the values of secrets by `***`; see redact.py."""
    from runbook.engine.language import redact

    return redact.redactor(secrets)


def _fill(cls: type[Step | Probe], given: Mapping[str, Any], scope: Scope) -> _Filled:
    known = params.fields(cls)
    filled = _Filled()
    for name, raw in given.items():
        kind = known[name].kind if name in known else None
        try:
            filled.values[name] = _value(name, kind, raw, scope, filled)
        except RenderError as error:
            raise _under(name, error) from error
    try:
        filled.values = params.coerce(cls, filled.values, rendered=True, literal_only=True)
    except params.Wrong as wrong:
        raise RenderError(str(wrong)) from wrong
    if "signatures" in filled.values or ("signatures" in known and known["signatures"].default):
        from runbook.engine.language import chosen

        filled.values = chosen.resolved(cls, filled.values)
    if "stdin" in filled.host_text and "argv" in filled.values:
        from runbook.engine.language.programs import reads_code

        if reads_code(filled.values["argv"]):
            raise Refused("stdin: host text would be code for the program", mend=f"use `shell`: {BY_ENV}")
    return filled


def _value(name: str, kind: Kind | None, raw: Any, scope: Scope, filled: _Filled) -> Any:
    if raw is None:
        return None
    if kind is Kind.PROBE:
        return _nested(name, raw, scope, filled)
    if kind is Kind.CONDITION:
        return _condition(raw)
    names = mentioned(raw)
    hosts, hides = host_text(names, scope), secret(names, scope)
    if hosts:
        filled.host_text.add(name)
    if hides and isinstance(raw, Mapping):
        filled.secret.update(f"{name}.{key}" for key, each in raw.items() if secret(mentioned(each), scope))
    elif hides:
        filled.secret.add(name)
    if kind is Kind.SCRIPT:
        _harmless_script(raw, scope, hosts=hosts, hides=hides)
    if kind in {Kind.REGEX, Kind.GLOB} and hosts:
        what = "a regular expression" if kind is Kind.REGEX else "a pattern of names"
        raise Refused(
            f"host text ({_culprits(raw, scope)}) can't be {what}",
            mend="compare it in `when`, or write the pattern into the runbook",
        )
    if name == "env" and hosts and isinstance(raw, Mapping):
        _harmless_variables(raw, scope)
    if kind is Kind.ARGV:
        if hides:
            raise Refused(
                "a secret can't stand in a command's words: every user of the host can read them",
                mend="give it by `env`, or in a file",
            )
        return argv(raw, scope)
    return value(raw, scope)


def _nested(name: str, raw: Any, scope: Scope, filled: _Filled) -> Any:
    if is_template(raw) or not isinstance(raw, Mapping) or len(raw) != 1:
        if is_template(raw):
            raise Refused("a probe can't come out of a template", mend="write it out, with templates in its parameters")
        return raw
    [(module, given)] = raw.items()
    if module not in catalogue.probe_names():
        return raw
    cls = catalogue.probe(module)
    try:
        inner = _fill(cls, params.spread(cls, given), scope)
    except params.Wrong as wrong:
        raise RenderError(str(wrong)) from wrong
    if inner.host_text:
        filled.host_text.add(name)
    if inner.secret:
        filled.secret.add(name)
    return {module: inner.values}


def _condition(raw: Any) -> Any:
    if isinstance(raw, (list, tuple)):
        return [_condition(each) for each in raw]
    if is_template(raw):
        if getattr(raw, "template", False):
            raise Refused("a condition is an expression and no template", mend="leave out the {{ }}")
        return raw.text
    return raw


def _harmless_script(raw: Any, scope: Scope, *, hosts: bool, hides: bool) -> None:
    if hosts:
        raise Refused(
            f"host text ({_culprits(raw, scope)}) can't be part of a script",
            mend=BY_ENV,
        )
    if hides:
        raise Refused("a secret can't be part of a script", mend=BY_ENV)


def _harmless_variables(given: Mapping[str, Any], scope: Scope) -> None:
    from runbook.engine.language.programs import loads_code

    for variable, raw in given.items():
        if loads_code(variable) and host_text(mentioned(raw), scope):
            raise Refused(
                f"host text ({_culprits(raw, scope)}) in {variable} would be code for what reads it",
                mend="give it by a variable of your own name",
            )


def _culprits(raw: Any, scope: Scope) -> str:
    return ", ".join(sorted(name for name in mentioned(raw) if host_text({name}, scope)))


def _under(name: str, error: RenderError) -> RenderError:
    return type(error)(f"{name}: {error.what}", where=error.where, mend=error.mend)


def _located(error: RenderError, title: str, runbook: Runbook, path: Path) -> RenderError:
    steps = ".".join(str(part) if isinstance(part, str) else f"[{part}]" for part in path).replace(".[", "[")
    where = f"{runbook.file}: {steps}" if steps else runbook.file
    return type(error)(f"{title}: {error.what}", where=where, mend=error.mend)
