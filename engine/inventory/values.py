"""Vars of an inventory as a runbook's vars are: templates parsed, vaulted values decrypted when they are used."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import RenderError, UserError
from runbook.engine.inventory.texts import Opened, Sealed, Unsafe
from runbook.engine.language.kinds import is_template
from runbook.engine.language.taint import SECRETS
from runbook.engine.model import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbook.engine.inventory.vault import Vault

_OPENINGS: Final = ("{{", "{%", "{#")


class Unreadable:
    """A template in Ansible's Jinja that a runbook's templates can't say: an error where it is used, not before."""

    names: frozenset[str] = frozenset()

    def __init__(self, text: str, why: str, where: str) -> None:
        self.text, self._why, self._where = text, why, where

    def evaluate(self, scope: Mapping[str, Any]) -> Any:  # noqa: ARG002 -- the shape of an Expression
        """Say what is wrong with it."""
        mend = "give the var a plain value, or one that a runbook's templates can say (docs/expressions.md)"
        raise RenderError(f"this template of the inventory can't be read: {self._why}", where=self._where, mend=mend)


class Secret:
    """A value out of a vault; by its name (`secrets`) it is followed as the runbook's own secrets are."""

    def __init__(self, value: str | Sealed, vault: Vault, where: str) -> None:
        self.text = "a vaulted value"
        self._value, self._vault, self._where = value, vault, where

    @property
    def names(self) -> frozenset[str]:
        """`secrets`, and what a template in it names."""
        inner = template(self._value, self._where) if isinstance(self._value, str) else None
        return SECRETS | inner.names if inner is not None else SECRETS

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """Return the plain text.

        Raises:
            Locked: no password fits.
        """
        plain = opened(self._value, self._vault)
        inner = template(plain, self._where)
        return plain if inner is None else inner.evaluate(scope)


def opened(value: str | Sealed, vault: Vault) -> str:
    """Return a secret's plain text."""
    return vault.decrypt(value.ciphertext, value.where) if isinstance(value, Sealed) else str(value)


def template(text: str, where: str) -> Any:
    """Return a text's template; None where it is plain."""
    if not any(each in text for each in _OPENINGS):
        return None
    parsed = _parsed(text)
    return parsed if not isinstance(parsed, str) else Unreadable(text, parsed, where)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Any:
    """Return a parsed template, or why it is none."""
    from runbook.engine.language import expression  # what brings Jinja, which printing an inventory does without

    try:
        return expression.parse(text, template=True)
    except expression.Syntax as error:
        return str(error)


def converted(value: Any, vault: Vault, where: str) -> Any:
    """Return a value of an inventory as the vars of a runbook have it."""
    kind = type(value)
    if kind is str:
        return value if "{" not in value else (template(value, where) or value)
    if kind is Unsafe:
        return str(value)
    if kind is Opened or kind is Sealed:
        return Secret(value, vault, where)
    if isinstance(value, dict):
        return {key: converted(each, vault, where) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [converted(each, vault, where) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def secrets(value: Any) -> Iterator[str | Sealed]:
    """Yield what came out of a vault, or is still in it, however deep it stands."""
    if isinstance(value, (Opened, Sealed)):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from secrets(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from secrets(each)


class Names(dict[str, Any]):
    """The vars of one host, each evaluated when it is first asked for."""

    def __init__(self, vars_: Mapping[str, Any]) -> None:
        super().__init__()
        self._vars = vars_
        self._under_way: list[str] = []

    def __missing__(self, name: str) -> Any:
        given = self._vars[name]
        if name in self._under_way:
            circle = " → ".join([*self._under_way[self._under_way.index(name) :], name])
            raise RenderError(f"the vars {circle} name each other in a circle", mend="give one of them a plain value")
        self._under_way.append(name)
        try:
            self[name] = self._value(given)
        except UserError as error:
            raise type(error)(error.what, where=error.where or f"the var {name}", mend=error.mend) from None
        finally:
            self._under_way.pop()
        return self[name]

    def names(self) -> set[str]:
        """Return what is defined."""
        return set(self._vars)

    def _value(self, given: Any) -> Any:
        if is_template(given):
            value = given.evaluate(self)
            if value is UNKNOWN:
                raise RenderError(f"`{given.text}` is unknown")
            return value
        if isinstance(given, dict):
            return {key: self._value(each) for key, each in given.items()}
        return [self._value(each) for each in given] if isinstance(given, list) else given
