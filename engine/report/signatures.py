"""The pages of the catalogue: its entries and the codes of the NVIDIA driver, on a terminal, as JSON, as Markdown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runbook.engine.report import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.language.signatures import Catalogue, Signature, Xid
    from runbook.engine.report.paint import Paint

_COLOURS = {"critical": "red", "high": "red", "medium": "yellow", "low": "dim"}


def listing(found: Sequence[Signature], paint: Paint) -> Iterator[str]:
    """Yield a line for each signature: its id, how bad it is, its role, what it is."""
    width = max(len(one.id) for one in found)
    for one in found:
        facts = f"{one.severity.value:8}  {one.role:12}"
        first, *more = words.wrapped(words.printable(one.title), max(paint.columns - width - len(facts) - 4, 24))
        yield f"{paint(f'{one.id:{width}}', 'cyan')}  {paint(facts, _COLOURS[one.severity.value])}  {first}"
        yield from (" " * (width + len(facts) + 4) + line for line in more)
    yield ""
    yield f"{words.amount(len(found), 'signature')}; `runbook doc ID` tells all about one."


def text(one: Signature, catalogue: Catalogue, paint: Paint) -> Iterator[str]:
    """Yield all about a signature for a terminal."""
    yield paint(one.id, "bold") + f"  {words.printable(one.title)}"
    yield f"  {nature(one)}"
    yield ""
    for paragraph in (one.meaning, one.advice):
        if paragraph:
            yield from ("  " + line for line in words.wrapped(words.printable(paragraph), paint.columns - 2))
            yield ""
    names = _caused(one, catalogue)
    if names:
        yield paint("It brings about", "bold")
        yield from ("  " + line for line in words.wrapped(", ".join(names), paint.columns - 2))
        yield ""
    for head, told in _facts(one):
        yield paint(head, "bold")
        yield from ("  " + words.printable(line) for line in told)
        yield ""
    if one.tells_xid:
        yield "`runbook doc xid` lists the codes, and what each calls for."


def codes(found: Sequence[Xid], source: str, paint: Paint) -> Iterator[str]:
    """Yield a line for each code of the NVIDIA driver."""
    for one in found:
        told = f"{one.mnemonic}: {one.meaning}" if one.meaning else one.mnemonic
        notes = [told, *([one.note] if one.note else []), *(f"overridden in {file}" for file in one.files)]
        first, *more = (line for note in notes for line in words.wrapped(words.printable(note), paint.columns - 15))
        yield f"{paint(f'{one.code:4}', 'cyan')}  {one.action:7}  {first}"
        yield from (" " * 15 + paint(line, "dim") for line in more)
    yield ""
    yield from words.wrapped(source, paint.columns)


def code(one: Xid, source: str, paint: Paint) -> Iterator[str]:
    """Yield all about one code of the NVIDIA driver."""
    yield paint(f"xid.{one.code}", "bold") + f"  {words.printable(one.mnemonic)}"
    yield f"  calls for {one.action}"
    yield ""
    for line in (one.meaning, one.note):
        if line:
            yield from ("  " + part for part in words.wrapped(words.printable(line), paint.columns - 2))
    if one.meaning or one.note:
        yield ""
    for head, told in (("NVIDIA", one.nvidia), ("gpud", one.gpud), ("overridden in", ", ".join(one.files))):
        if told:
            yield f"  {paint(head, 'dim')}  {words.printable(told)}"
    yield ""
    yield from words.wrapped(source, paint.columns)


def markdown(found: Sequence[Signature]) -> Iterator[str]:
    """Yield signatures as Markdown."""
    for one in found:
        yield from (f"## {one.id}", "", f"{_sentence(one.title)}", "", f"*{nature(one)}*", "")
        for paragraph in (one.meaning, one.advice):
            if paragraph:
                yield from (_escaped(paragraph), "")
        if one.causes:
            yield from ("It brings about " + ", ".join(f"`{glob}`" for glob in one.causes) + ".", "")
        if one.match:
            yield from (
                "```text",
                *(line for sample in one.match[:2] for line in words.printable_lines(sample)),
                "```",
                "",
            )


def markdown_codes(found: Sequence[Xid], source: str) -> Iterator[str]:
    """Yield the codes of the NVIDIA driver as a table in Markdown."""
    yield from (source, "", "| code | action | | NVIDIA | note |", "|---|---|---|---|---|")
    for one in found:
        cells = [f"{one.mnemonic}: {one.meaning}" if one.meaning else one.mnemonic, one.nvidia, one.note]
        yield f"| {one.code} | `{one.action}` | " + " | ".join(map(_escaped, cells)) + " |"


def document(found: Sequence[Signature], codes: Sequence[Xid], source: str) -> str:
    """Return signatures and codes as one JSON document."""
    made: dict[str, Any] = {"schema": 1}
    if found:
        made["signatures"] = [_plain(one) for one in found]
    if codes:
        made["xid_source"] = source
        made["xid"] = [
            {name: value for name, value in _fields(one).items() if name != "files"} | {"overridden": list(one.files)}
            for one in codes
        ]
    return json.dumps(made, indent=2, ensure_ascii=False)


def nature(one: Signature) -> str:
    """Return in one line what kind of failure it is."""
    parts = [one.severity.value, one.category.replace("_", " "), one.role, f"seen in {one.scope} logs"]
    if one.action is not None:
        parts.append(f"calls for {one.action}")
    if one.retryable:
        parts.append("trying again can help")
    return " · ".join(parts)


def _facts(one: Signature) -> Iterator[tuple[str, Sequence[str]]]:
    if one.match:
        yield "Matches", [line for sample in one.match for line in sample.splitlines()]
    if one.near_miss:
        yield "Does not match", [line for sample in one.near_miss for line in sample.splitlines()]
    yield "Pattern", one.pattern
    if one.groups:
        yield "Fields", [", ".join(one.groups)]
    yield "Written in", one.files[:1]
    if len(one.files) > 1:
        yield "Overridden in", one.files[1:]


def _caused(one: Signature, catalogue: Catalogue) -> list[str]:
    """Return the ids that a signature brings about."""
    from fnmatch import fnmatchcase

    return [
        name for name in catalogue.signatures if name != one.id and any(fnmatchcase(name, glob) for glob in one.causes)
    ]


def _plain(one: Signature) -> dict[str, Any]:
    made = {name: list(value) if isinstance(value, tuple) else value for name, value in _fields(one).items()}
    return {**made, "severity": one.severity.value, "groups": list(one.groups)}


def _fields(one: Signature | Xid) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


def _sentence(title: str) -> str:
    return _escaped(title[:1].upper() + title[1:] + ("" if title.endswith(".") else "."))


def _escaped(shown: str) -> str:
    return shown.replace("|", "\\|").replace("<", "&lt;")
