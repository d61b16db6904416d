"""Conditions that can't be true: `x > 95 and x < 90`, a percentage over 100, a member that the set lacks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jinja2 import nodes

from runbook.engine.language import grammar
from runbook.engine.language.names import Compared, compared
from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.language.expression import Expression
    from runbook.engine.language.params import Parameter


@dataclass
class _Range:
    """What one name can still be, while the parts of an `and` are read."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    members: set[Any] | None = None  # None = anything
    without: set[Any] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    def narrow(self, operator: str, value: Any, shown: str) -> bool:
        """Take one comparison in; tell whether anything is left."""
        self.said.append(shown)
        if operator == "==":
            self.members = {value} if self.members is None else self.members & {value}
        elif operator == "!=":
            self.without.add(value)
        elif operator in {">", ">="} and (value, operator == ">") > (self.low, self.open_low):
            self.low, self.open_low = value, operator == ">"
        elif operator in {"<", "<="} and (value, operator != "<") < (self.high, not self.open_high):
            self.high, self.open_high = value, operator == "<"
        return self.possible()

    def possible(self) -> bool:
        """Tell whether some value fulfils all that was said."""
        if self.members is not None:
            return any(value not in self.without and self._between(value) for value in self.members)
        return self.low < self.high or (self.low == self.high and not self.open_low and not self.open_high)

    def _between(self, value: Any) -> bool:
        if isinstance(value, str) or (self.low == -math.inf and self.high == math.inf):
            return True
        if value is None:
            return False
        above = value > self.low or (value == self.low and not self.open_low)
        return bool(above and (value < self.high or (value == self.high and not self.open_high)))


def impossible(expression: Expression, fields: Mapping[str, Parameter]) -> str | None:
    """Return why a condition can't be true whatever is seen, or None where it can (as far as this check sees)."""
    reasons = [_impossible(tree, fields) for tree in expression.expressions]
    return next((reason for reason in reasons if reason), None) if not expression.template else None


def _impossible(node: nodes.Expr, fields: Mapping[str, Parameter]) -> str | None:
    if isinstance(node, nodes.Or):
        reasons = [_impossible(part, fields) for part in grammar.flat(node)]
        return reasons[0] if all(reasons) else None
    if isinstance(node, nodes.Const) and not node.value:
        return "it is false, always"
    parts = grammar.flat(node) if isinstance(node, nodes.And) else [node]
    if len(parts) > 1:
        for part in parts:
            reason = _impossible(part, fields)
            if reason:
                return reason
    return _contradiction(parts, fields)


def _contradiction(parts: Iterable[nodes.Expr], fields: Mapping[str, Parameter]) -> str | None:
    ranges: dict[str, _Range] = {}
    for part in parts:
        for name, operator, values, shown in _facts(part, fields):
            known = ranges.setdefault(name, _start(fields.get(name)))
            if operator == "in":
                chosen = set(values)
                known.said.append(shown)
                known.members = chosen if known.members is None else known.members & chosen
                left = known.possible()
            else:
                left = known.narrow(operator, values[0], shown)
            if not left:
                return _reason(name, known.said, fields.get(name))
    return None


def _facts(part: nodes.Expr, fields: Mapping[str, Parameter]) -> list[tuple[str, str, list[Any], str]]:
    found: dict[tuple[str, str], list[Compared]] = {}
    for fact in compared(part):
        found.setdefault((fact.name, fact.operator), []).append(fact)
    facts: list[tuple[str, str, list[Any], str]] = []
    for (name, operator), each in found.items():
        values = [_placed(fact.value, operator, fields.get(name)) for fact in each]
        if any(value is NotImplemented for value in values):
            continue
        if operator == "in" and _whole_list(part, len(each)):
            listed = ", ".join(_shown(fact.value) for fact in each)
            facts.append((name, "in", values, f"{name} in [{listed}]"))
        elif operator == "not in":
            facts += [(name, "!=", [v], f"{name} not {_shown(f.value)}") for v, f in zip(values, each, strict=True)]
        elif operator != "in":
            facts += [
                (name, operator, [value], f"{name} {operator} {_shown(fact.value)}")
                for value, fact in zip(values, each, strict=True)
            ]
    return facts


def _whole_list(part: nodes.Expr, count: int) -> bool:
    """Every item of the list is a literal, and the list is the only comparison here."""
    if not isinstance(part, nodes.Compare) or len(part.ops) != 1:
        return False
    right = part.ops[0].expr
    return isinstance(right, (nodes.List, nodes.Tuple)) and len(right.items) == count


def _placed(value: Any, operator: str, parameter: Parameter | None) -> Any:
    """Return a value that compares with `<`: a member's place in its set, a number, or for equality anything."""
    if isinstance(value, str) and parameter is not None and value in parameter.choices:
        return parameter.choices.index(value)
    if isinstance(value, bool) or value is None:
        return value if operator in {"==", "!=", "in", "not in"} else NotImplemented
    if isinstance(value, str):
        return value if operator in {"==", "!=", "in", "not in"} else NotImplemented
    return value if isinstance(value, (int, float)) else NotImplemented


def _start(parameter: Parameter | None) -> _Range:
    if parameter is None:
        return _Range()
    if parameter.choices and all(isinstance(choice, str) for choice in parameter.choices):
        places = set(range(len(parameter.choices)))
        return _Range(members=places | {None} if parameter.optional else places)
    if parameter.kind is Kind.PERCENT and not parameter.many:
        return _Range(low=0.0, high=math.inf if parameter.name.startswith("cpu") else 100.0)
    if parameter.kind in {Kind.SIZE, Kind.DURATION} and not parameter.many:
        return _Range(low=0.0)
    return _Range()


def _reason(name: str, said: list[str], parameter: Parameter | None) -> str:
    if len(said) > 1:
        return f"{' and '.join(said)} can't hold together"
    if parameter is not None and parameter.choices:
        return f"{said[0]} can't hold: {name} is one of {', '.join(map(str, parameter.choices))}"
    if parameter is not None and parameter.kind is Kind.PERCENT:
        return f"{said[0]} can't hold: {name} is between 0 and 100"
    if parameter is not None and parameter.kind in {Kind.SIZE, Kind.DURATION}:
        return f"{said[0]} can't hold: {name} is never negative"
    return f"{said[0]} can't hold"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    return f"'{value}'" if isinstance(value, str) else str(getattr(value, "text", value))
