"""What is wrong with an inventory, or with a file of its vars, before a run reads it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

from runbook.engine.errors import UserError
from runbook.engine.inventory import files, sources, vars_files, yaml11
from runbook.engine.inventory.draft import Draft, Group, Named
from runbook.engine.inventory.host_vars import Judged, judge
from runbook.engine.inventory.vault import Locked, Vault
from runbook.engine.language.lint import catalogue, noqa
from runbook.engine.language.source import Source
from runbook.engine.model import Finding, Span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WHERE = re.compile(r":(\d+)(?::(\d+))?\Z")
_MANY: Final = 100
_WARNING: Final = re.compile(r"(.*?):(\d+)(?::(\d+))?: (.*)", re.DOTALL)


def examine(path: Path, name: str) -> tuple[list[Finding], str]:
    """Check a file.

    Args:
        path: an inventory, or a file below group_vars/ or host_vars/.
        name: what findings call it.

    Returns:
        what is wrong, in the order of the file, and its text.
    """
    try:
        raw = files.read(str(path))
        text = files.decoded(raw)
    except (UserError, UnicodeDecodeError) as error:
        return [_finding(name, "", 1, 1, 1, "RB001", "error", getattr(error, "what", "this is not UTF-8"))], ""
    if text.startswith("$ANSIBLE_VAULT"):
        return [], text
    of_vars = any(folder.name in {vars_files.GROUPS, vars_files.HOSTS} for folder in path.parents)
    found = list(_vars_file(text, name) if of_vars else _inventory(path, text, name))
    found = noqa.apply(Source(name, text), found, complete=False)
    return sorted(found, key=lambda each: (each.span.line, each.span.column))[:_MANY], text


def _inventory(path: Path, text: str, name: str) -> Iterator[Finding]:
    draft = Draft()
    notices: list[yaml11.Notice] = []
    reader = _Reader(draft, notices, text, name)
    try:
        sources.parsed(draft, reader, text, name, path.suffix, opened=False)
        draft.reconcile()
    except Locked:
        pass
    except UserError as error:
        where = _WHERE.search(error.where)
        line, column = (int(where[1]), int(where[2] or 1)) if where else (1, 1)
        code = "RB001" if reader.failed else "RB068"
        yield _finding(name, text, line, column, 0, code, "error", error.what, error.mend)
    yield from _notices(notices, text, name)
    for warning in draft.warnings:
        if (told := _WARNING.match(warning)) and "stands here a second time" not in warning:
            yield _finding(name, text, int(told[2]), int(told[3] or 1), 0, "RB007", "warning", told[4])
    seen: set[tuple[str, str]] = set()
    entities: list[Group | Named] = [*draft.groups.values(), *draft.hosts.values()]
    for each in entities:
        for var, value in each.vars.items():
            origin = each.origins.get(var, "")
            if (origin, str(var)) not in seen:
                seen.add((origin, str(var)))
                where = _WHERE.search(origin)
                yield from _judged(text, name, var, value, int(where[1]) if where else 1)


def _vars_file(text: str, name: str) -> Iterator[Finding]:
    notices: list[yaml11.Notice] = []
    try:
        data = yaml11.read(text, name, notices)
    except UserError as error:
        where = _WHERE.search(error.where)
        line, column = (int(where[1]), int(where[2] or 1)) if where else (1, 1)
        yield _finding(name, text, line, column, 0, "RB001", "error", error.what, error.mend)
        return
    yield from _notices(notices, text, name)
    if data is None:
        return
    if not isinstance(data, dict):
        yield _finding(
            name, text, 1, 1, 0, "RB068", "error", "a file of vars is a mapping", "write `NAME: VALUE` lines"
        )
        return
    places = getattr(data, "places", {})
    for var, value in data.items():
        yield from _judged(text, name, var, value, places[var][0][0] if var in places else 1)


class _Reader:
    """Stands where `files.Files` does, and keeps the notices."""

    def __init__(self, draft: Draft, notices: list[yaml11.Notice], text: str, name: str) -> None:
        self.draft, self.notices, self._text, self._name = draft, notices, text, name
        self.vault = Vault()
        self.failed = False

    def parsed(self, text: str, path: str, *, opened: bool) -> Any:
        """Return the data of a text."""
        self.failed = True
        data = yaml11.read(text, path, self.notices, opened=opened)
        self.failed = False
        return data


def _notices(notices: list[yaml11.Notice], text: str, name: str) -> Iterator[Finding]:
    for each in notices:
        yield _finding(name, text, *each.mark, each.length, each.code, "warning", each.message, each.hint)


def _judged(text: str, name: str, var: Any, value: Any, line: int) -> Iterator[Finding]:
    told: Judged | None = judge(var, value) if isinstance(var, str) else None
    if told is None:
        return
    lines = text.splitlines()
    here = lines[line - 1] if 0 < line <= len(lines) else ""
    found = re.search(rf"(?<![\w.-]){re.escape(var)}(?![\w.-])", here)
    column = found.start() + 1 if found else 1
    yield _finding(name, text, line, column, len(var), told.code, told.level, told.message, told.hint)


def _finding(
    name: str,
    text: str,
    line: int,
    column: int,
    length: int,
    code: str,
    level: Literal["error", "warning"],
    message: str,
    hint: str = "",
) -> Finding:
    lines = text.splitlines()
    here = lines[line - 1] if 0 < line <= len(lines) else ""
    if not length:
        begun = len(here) - len(here.lstrip()) + 1
        column = max(column, begun)
        length = max(1, len(here.rstrip()) - column + 1)
    span = Span(name, line, column, line, column + length)
    return Finding(code, catalogue.documented(code).name, level, message, span, hint)
