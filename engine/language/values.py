"""A document's values as the loader reads them: located findings, templates, and the language's own quantities."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, overload

from runbook.engine.errors import RenderError
from runbook.engine.language import cron, expression, source, units
from runbook.engine.language.nearest import nearest
from runbook.engine.language.validate import validate
from runbook.engine.model import UNKNOWN, Finding, Limit, Path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from runbook.engine.language.source import Source
    from runbook.engine.language.validate import Problem
    from runbook.engine.model import Pool

_LIMIT = re.compile(r"\s*([0-9]{1,9})(?:\s+per\s+(\S.*))?\s*\Z", re.DOTALL)


def is_templated(text: str) -> bool:
    """Tell whether a text is a template; statements ({% %}) count, so that they are refused and not passed on."""
    return "{{" in text or "{%" in text


class Reader:
    """Reads a source's values, keeps the findings, and leaves out what was found wrong before."""

    def __init__(self, read: Source) -> None:
        self.source = read
        self.findings: list[Finding] = list(read.problems)
        self.vars: Mapping[str, Any] = {}
        self.pools: Mapping[str, Pool] = {}  # as far as they were read
        self._dead: set[Path] = set()
        self._around: set[Path] = set()  # what holds something dead, and the dead themselves

    @property
    def sound(self) -> bool:
        """Whether the document's structure is right, so that nothing was left out."""
        return not self._dead and not self.source.problems

    def add(self, code: str, message: str, path: Path, hint: str = "", *, key: bool = False) -> None:
        """Report what is wrong with the value at a path, or with its key."""
        span = self.source.head(path, key=key)
        self.findings.append(Finding(code, source.RULES[code], "error", message, span, hint))

    def structure(self, problems: Iterable[Problem], told: Collection[Path] = ()) -> None:
        """Report what does not fit the schema, and leave it out from now on.

        Args:
            problems: what does not fit.
            told: the keys that are known to be no modules, and why.
        """
        known = {(found.span.line, found.span.column) for found in self.findings}
        around = {path[:-1] for path in told}
        for problem in problems:
            span = self.source.head(problem.path, key=problem.key)
            # A trap was reported there already, with what it was read as.
            if ((span.line, span.column) not in known or problem.code in {"RB007", "RB008", "RB009"}) and (
                problem.path not in told and problem.path not in around
            ):
                rule = source.RULES[problem.code]
                self.findings.append(Finding(problem.code, rule, "error", problem.message, span, problem.hint))
            self._dead.add(problem.path)
            self._around.update(problem.path[:length] for length in range(len(problem.path) + 1))

    def fits(self, schema: dict[str, Any], begin: str) -> bool:
        """Report what does not fit a schema, such as a file without the key `begin`; tell whether all does."""
        data = self.source.data
        if data is None and not self.source.problems:
            self.add("RB006", "the file is empty", (), f"write `{begin}:`")
        elif data is not None:
            self.structure(validate(data, schema))
        return isinstance(data, dict) and self.sound

    def dead(self, path: Path) -> bool:
        """Whether the structure of the value at a path, or of anything in it, is wrong."""
        return path in self._around

    def get(self, mapping: Mapping[str, Any], key: str, path: Path, default: Any = None) -> Any:
        """Return a key's value, or the default where it is not there or was found wrong."""
        if key not in mapping or (*path, key) in self._dead:
            return default
        return mapping[key]

    def items(self, value: Any, path: Path) -> Iterator[tuple[Any, Path]]:
        """Yield a list's items with their paths, without those found wrong."""
        for number, item in enumerate(value if isinstance(value, list) else ()):
            at = (*path, number)
            if at not in self._dead:
                yield item, at

    def entries(self, value: Any, path: Path) -> Iterator[tuple[str, Any, Path]]:
        """Yield a mapping's entries with their paths, without those found wrong."""
        for key, item in value.items() if isinstance(value, dict) else ():
            at = (*path, key)
            if at not in self._dead:
                yield key, item, at

    def condition(self, value: Any, path: Path) -> expression.Expression | None:
        """Return an expression; a list is an `and`."""
        if value is None:
            return None
        if isinstance(value, list):
            parts = [self._parsed(_said(item), (*path, number)) for number, item in enumerate(value)]
            texts = [part.text for part in parts if part is not None]
            if len(texts) < len(parts):
                return None
            return parts[0] if len(texts) == 1 else self._parsed(" and ".join(f"({text})" for text in texts), path)
        return self._parsed(_said(value), path)

    def template(self, value: Any, path: Path) -> Any:
        """Return a value with every text in it that is a template parsed."""
        if isinstance(value, str):
            if not is_templated(value):
                return value
            parsed = self._parsed(value, path, template=True)
            return value if parsed is None else parsed
        if isinstance(value, dict):
            return {key: self.template(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.template(item, (*path, number)) for number, item in enumerate(value)]
        return value

    def subject(self, value: str, path: Path) -> expression.Expression | None:
        """Return a template that is one even where it holds no {{ }}."""
        return self._parsed(value, path, template=True)

    def _parsed(self, text: str, path: Path, *, template: bool = False) -> expression.Expression | None:
        try:
            return expression.parse(text, template=template)
        except expression.Syntax as error:
            span = self.source.inside(path, error.offset)
            message = str(getattr(error, "message", error))
            if not template and is_templated(text):
                hint = "a condition is an expression already: leave out {{ }}"
            else:
                hint = ""
            self.findings.append(Finding("RB010", source.RULES["RB010"], "error", message, span, hint))
            return None

    def static(self, value: Any, path: Path) -> Any:
        """Return a value of the language's own keys; a template in it may use vars, which are known now."""
        if not isinstance(value, str) or not is_templated(value):
            return value
        parsed = self._parsed(value, path, template=True)
        if parsed is None:
            return None
        if foreign := sorted(parsed.names - set(self.vars)):
            near = nearest(foreign[0], self.vars)
            hint = f"did you mean {near}?" if near else "a template here may use vars only"
            self.add("RB010", f"`{foreign[0]}` is not known when the runbook is read", path, hint)
            return None
        try:
            made = parsed.evaluate(Resolved(self.vars))
        except RenderError as error:
            self.add("RB010", error.what, path, error.mend)
            return None
        return None if made is UNKNOWN else made

    def seconds(self, value: Any, path: Path, default: Any = None) -> Any:
        """Return a duration in seconds."""
        return self._made(value, path, _seconds, default)

    def percent(self, value: Any, path: Path) -> float | None:
        """Return a percentage: 25, or `25%`."""
        made: float | None = self._made(value, path, _percent, None)
        return made

    def limit(self, value: Any, path: Path) -> Limit | None:
        """Return a limit: `3`, or `3 per 1h`."""
        made: Limit | None = self._made(value, path, _limit, None)
        return made

    @overload
    def schedule(self, value: Any, path: Path) -> float | str: ...

    @overload
    def schedule(self, value: Any, path: Path, default: None) -> float | str | None: ...

    def schedule(self, value: Any, path: Path, default: float | None = 30.0) -> float | str | None:
        """Return seconds, or a cron expression of five fields."""
        made: float | str | None = self._made(value, path, _schedule, default)
        return made

    def share(self, value: Any, path: Path) -> float:
        """Return a share from 0 to 1, or a percentage as one."""
        made: float = self._made(value, path, _share, 0.0)
        return made

    def whole(self, value: Any, path: Path, default: Any) -> Any:
        """Return a whole number of at least 1, or the default where there is none."""
        made: Any = self._made(value, path, _whole, default)
        return made

    def words(self, value: Any, path: Path) -> tuple[str, ...]:
        """Return a text or a list of texts as texts."""
        items = value if isinstance(value, list) else [] if value is None else [value]
        made = [self.static(item, (*path, number) if isinstance(value, list) else path)
                for number, item in enumerate(items)]  # fmt: skip
        return tuple(str(word) for word in made if word is not None)

    def _made(self, value: Any, path: Path, make: Callable[[Any], Any], default: Any) -> Any:
        if value is None:
            return default
        value = self.static(value, path)
        if value is None:
            return default
        try:
            return make(value)
        except (ValueError, OverflowError) as error:
            self.add("RB011", str(error), path)
            return default


class Resolved(Mapping[str, Any]):
    """Vars as an expression reads them: templates among them are rendered when they are asked for."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def __getitem__(self, name: str) -> Any:
        return self._rendered(self._given[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def _rendered(self, value: Any) -> Any:
        if isinstance(value, expression.Expression):
            return value.evaluate(self)
        if isinstance(value, dict):
            return {key: self._rendered(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._rendered(item) for item in value]
        if isinstance(value, str):
            return units.amount(value) or value
        return value


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _seconds(value: Any) -> float:
    if isinstance(value, str):
        return units.duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{value} is not a duration: write it as {units.SHAPES[units.Duration.kind]}")
    return float(value)


def _limit(value: Any) -> Limit:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return Limit(int(value))
    match = _LIMIT.match(value) if isinstance(value, str) else None
    if match is None or int(match[1]) < 1:
        raise ValueError(f"'{value}' is not a limit: write it as 3 or 3 per 1h")
    per = units.duration(match[2]) if match[2] else None
    if per == 0:
        raise ValueError(f"'{value}' is a window of no length: write it as 3 per 1h")
    return Limit(int(match[1]), per)


def _schedule(value: Any) -> float | str:
    if cron.meant(value):
        return cron.parse(value)
    seconds = _seconds(value)
    if seconds == 0:
        raise ValueError("`every` must be longer than 0: write it as 30s")
    return seconds


def _share(value: Any) -> float:
    share = units.percent(value) / 100 if isinstance(value, str) else float(value)
    if not 0 <= share <= 1:
        raise ValueError(f"{value} is no share: write a number from 0 to 1, or a percentage")
    return share


def _percent(value: Any) -> float:
    found = units.percent(value) if isinstance(value, str) else float(value)
    if not 0 <= found <= 100:
        raise ValueError(f"{value} is no percentage: write a number from 0 to 100")
    return found


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 1:
        raise ValueError(f"{value} is not a whole number of at least 1")
    return int(value)
