"""The pages of modules: on a terminal, as JSON, as Markdown."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from runbook.engine.report import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.language.manual import Entry, Page
    from runbook.engine.report.paint import Paint

_HEADINGS = {"step": "Steps", "probe": "Probes"}


def listing(pages: Sequence[Page], paint: Paint) -> Iterator[str]:
    """Yield a line for each module: its name, its impact, what it is for."""
    width = max(len(page.name) for page in pages)
    for noun in dict.fromkeys(page.noun for page in pages):
        yield paint(f"{_HEADINGS[noun]}", "bold")
        for page in pages:
            if page.noun == noun:
                impact = f"{page.impact:11}  " if noun == "step" else ""
                room = paint.columns - width - 4 - len(impact)
                first, *more = words.wrapped(page.summary, room)
                yield f"  {paint(f'{page.name:{width}}', 'cyan')}  {impact}{first}"
                yield from (" " * (width + 4 + len(impact)) + line for line in more)
        yield ""
    yield "`runbook doc MODULE` tells the parameters, the fields and an example."
    yield "`runbook doc signatures` lists the failures that logs tell of."


def text(page: Page, paint: Paint) -> Iterator[str]:
    """Yield a module's page for a terminal."""
    yield paint(f"{page.name}", "bold") + f"  {nature(page)}"
    yield ""
    for paragraph in page.description.split("\n\n"):
        yield from ("  " + line for line in words.wrapped(" ".join(paragraph.split()), paint.columns - 2))
        yield ""
    if page.parameters:
        yield paint("Parameters", "bold")
        yield from _entries(page.parameters, paint, page.first)
    else:
        yield "It takes no parameters."
        yield ""
    if page.fields:
        yield paint("Fields", "bold") + f"  (for `when`; {_subject(page)})"
        yield from _entries(page.fields, paint, None)
    if page.example:
        yield paint("Example", "bold")
        yield from ("  " + line if line else "" for line in page.example.splitlines())


def markdown(pages: Sequence[Page]) -> Iterator[str]:
    """Yield the pages as Markdown."""
    for page in pages:
        yield from (f"## {page.name} ({page.noun})", "", page.description, "", f"*{nature(page)}*", "")
        if page.parameters:
            yield from _table("parameter", page.parameters)
        if page.fields:
            yield f"Its records ({_subject(page)}):"
            yield ""
            yield from _table("field", page.fields)
        if page.example:
            yield from ("```yaml", page.example, "```", "")


def document(pages: Sequence[Page]) -> str:
    """Return the pages as one JSON document."""
    modules = [{**dataclasses.asdict(page), "summary": page.summary} for page in pages]
    return json.dumps({"schema": 1, "modules": modules}, indent=2, ensure_ascii=False)


def nature(page: Page) -> str:
    """Return in one line what kind of module it is."""
    if page.noun == "probe":
        parts = ["probe", *(["each record is an event"] if page.events else [])]
    else:
        again = "may run again after a crash" if page.idempotent else "never runs again by itself after a crash"
        parts = ["step", f"impact {page.impact}", again]
    if page.writes:
        parts.append(f"`{'`, `'.join(page.writes)}` must lie in `writable`")
    if page.needs:
        parts.append(f"needs {', '.join(page.needs)}")
    parts.append("carried out by the engine" if page.engine else f"timeout {page.timeout}")
    return " · ".join(parts)


def _subject(page: Page) -> str:
    return f"the subject is `{page.subject}`" if page.subject else "the subject is the host"


def _entries(entries: Sequence[Entry], paint: Paint, first: str | None) -> Iterator[str]:
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        facts = [entry.type, *([f"written {entry.unit}"] if _written(entry, first) else [])]
        if first is not None:
            facts.append("required" if entry.required else _default(entry))
        if entry.name == first:
            facts.append("a lone value stands for it")
        indent = " " * (width + 4)
        lines = words.wrapped("; ".join(fact for fact in facts if fact), paint.columns - len(indent))
        yield f"  {paint(f'{entry.name:{width}}', 'cyan')}  {paint(lines[0], 'dim')}"
        yield from (indent + paint(line, "dim") for line in lines[1:])
        if entry.description:
            yield from (indent + line for line in words.wrapped(entry.description, paint.columns - len(indent)))
    yield ""


def _written(entry: Entry, first: str | None) -> bool:
    return bool(entry.unit) and first is not None


def _default(entry: Entry) -> str:
    return "" if entry.default is None else f"default {_value(entry.default)}"


def _value(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _table(head: str, entries: Sequence[Entry]) -> Iterator[str]:
    asked = head == "parameter"
    yield f"| {head} | type |{' default |' if asked else ''} |"
    yield f"|---|---|{'---|' if asked else ''}---|"
    for entry in entries:
        unit = f" ({entry.unit})" if entry.unit else ""
        default = "" if entry.default is None else f"`{_value(entry.default)}`"
        middle = [" required" if entry.required else f" {default}"] if asked else []
        cells = [f" `{entry.name}`", f" {_cell(entry.type + unit)}", *middle, f" {_cell(entry.description)}"]
        yield "|" + " |".join(cells) + " |"
    yield ""


def _cell(shown: str) -> str:
    return shown.replace("|", "\\|")
