"""What an expression may name at one moment: a record's fields, vars, the incident, registered results, secrets."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Final

from runbook.engine.errors import RenderError
from runbook.engine.language import units
from runbook.engine.language.kinds import is_template
from runbook.engine.language.taint import HOST_TEXT, host_text, reached, registered
from runbook.engine.language.truth import Member
from runbook.engine.model import UNKNOWN, Runbook, Severity

_FIXED: Final = frozenset({"host", "runbook", "run", "secrets"})  # what does not change while one scope serves
_SEVERITIES: Final = tuple(member.value for member in Severity)


class Scope(dict[str, Any]):
    """The names of one moment. A var is rendered when it is first asked for, once, and never again.

    Args:
        runbook: whose vars and name they are.
        host: the host's name, from the inventory.
        run: `id`, `scratch`.
        secrets: their values by name.
        record: the fields of the record that is looked at.
        incident: `id host detector subject severity since`, and the fields of the record that opened it.
        registers: what steps registered, by name.
        more: `member` and `to` of a pool, and the like, text of the runbook.
    """

    def __init__(
        self,
        runbook: Runbook,
        *,
        host: str = "localhost",
        run: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        record: Mapping[str, Any] | None = None,
        incident: Mapping[str, Any] | None = None,
        registers: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(more)
        self.runbook = runbook
        self.host_names = HOST_TEXT | registered(runbook)
        self._rendered: dict[str, Any] = {}
        self._rendering: list[str] = []
        self["host"] = host
        self["run"] = run if run is not None else {}
        self["secrets"] = secrets if secrets is not None else {}
        self["runbook"] = {
            "name": runbook.name,
            "file": runbook.file,
            "dir": os.path.dirname(os.path.abspath(runbook.file)),  # noqa: PTH100, PTH120 -- text, not looked up
        }
        self.add(record, incident, registers)

    def bind(
        self,
        *,
        record: Mapping[str, Any] | None = None,
        incident: Mapping[str, Any] | None = None,
        registers: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Scope:
        """Return a scope that knows more; vars that don't depend on it are rendered once for both."""
        made = copy(self)
        made.update(more)
        made.add(record, incident, registers)
        return made

    def __copy__(self) -> Scope:
        made = Scope.__new__(Scope)
        made.update(self)
        vars(made).update(vars(self), _rendering=[])
        return made

    def add(
        self,
        record: Mapping[str, Any] | None,
        incident: Mapping[str, Any] | None,
        registers: Mapping[str, Any] | None,
    ) -> None:
        """Let this scope know more."""
        if record is not None:
            self.host_names = self.host_names | record.keys()
            self.update(record)
        if registers is not None:
            self.host_names = self.host_names | registers.keys()
            self.update(registers)
        if incident is not None:
            self["incident"] = incident
            if isinstance(incident.get("severity"), str):
                self["incident"] = {**incident, "severity": Member(incident["severity"], _SEVERITIES)}

    def __missing__(self, name: str) -> Any:
        if name in self._rendered:
            return self._rendered[name]
        given = self.runbook.vars[name]  # a KeyError is what the evaluator wants to see
        if name in self._rendering:
            circle = " → ".join([*self._rendering[self._rendering.index(name) :], name])
            raise RenderError(f"the vars {circle} name each other in a circle", mend="give one of them a plain value")
        self._rendering.append(name)
        try:
            value = self._resolved(given)
        except RenderError as error:
            if type(error) is RenderError:
                raise
            raise RenderError(f"in the var '{name}': {error.what}", mend=error.mend) from error
        finally:
            self._rendering.pop()
        if self._is_fixed(name):
            self._rendered[name] = value
        else:
            self[name] = value
        return value

    def names(self) -> Iterable[str]:
        """Return every name that is defined."""
        return {*self, *self.runbook.vars}

    def _resolved(self, given: Any) -> Any:
        if is_template(given):
            value = given.evaluate(self)
            if isinstance(value, str) and not host_text(given.names, self):
                return units.amount(value) or value
            return value
        if isinstance(given, str):
            return units.amount(given) or given
        if isinstance(given, Mapping):
            return {key: self._resolved(value) for key, value in given.items()}
        if isinstance(given, (list, tuple)):
            return [self._resolved(value) for value in given]
        return given

    def _is_fixed(self, name: str) -> bool:
        return all(
            each in _FIXED or (each in self.runbook.vars and each not in self) for each in reached({name}, self.runbook)
        )


def value(given: Any, scope: Mapping[str, Any]) -> Any:
    """Return a value with its templates evaluated, in lists and mappings too.

    Raises:
        RenderError: a name is undefined, or the value is unknown.
    """
    if is_template(given):
        found = given.evaluate(scope)
        if found is UNKNOWN:
            raise RenderError(f"'{given.text}' is unknown", mend="test it in `when`, or give it a default")
        return found
    if isinstance(given, Mapping):
        return {key: value(each, scope) for key, each in given.items()}
    if isinstance(given, (list, tuple)):
        return [value(each, scope) for each in given]
    return given
