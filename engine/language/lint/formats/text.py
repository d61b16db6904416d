"""Findings for people: where, the line with a caret under it, and how to mend it."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.model import Finding

_WIDEST = 110  # columns of a source line; more is cut around the caret
_LEFT = 50  # columns kept before the caret of a cut line
_TAB = 4
_CLEAR = "RB031"
_COLOURS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "help": "\x1b[1;36m", "dim": "\x1b[34m", "bold": "\x1b[1m"}
_BREAK = re.compile(r"\r\n|\n|\r")


def render(findings: Sequence[Finding], texts: Mapping[str, str], *, colour: bool = False) -> str:
    """Return the findings as text, one block each; `texts` holds the files' contents by name."""
    lines = {file: _BREAK.split(text) for file, text in texts.items()}
    return "\n".join(_block(finding, lines.get(finding.span.file, []), _Paint(on=colour)) for finding in findings)


def totals(findings: Sequence[Finding], files: int, mended: int = 0, *, colour: bool = False) -> str:
    """Return the last line: how many there are of what."""
    paint = _Paint(on=colour)
    errors = sum(finding.level == "error" for finding in findings)
    warnings = len(findings) - errors
    fixable = sum(bool(finding.fixes) for finding in findings)
    parts = [f"{mended} fixed"] if mended else []
    if errors:
        parts.append(paint("error", _many(errors, "error")))
    if warnings:
        parts.append(paint("warning", _many(warnings, "warning")))
    found = ", ".join(parts) if parts else "no findings"
    tail = f"; {fixable} can be fixed with --fix" if fixable else ""
    if findings:
        tail += f"; runbook lint --explain {findings[0].code} says more"
    return f"{found} in {_many(files, 'file')}{tail}"


class _Paint:
    def __init__(self, *, on: bool) -> None:
        self.on = on

    def __call__(self, colour: str, text: str) -> str:
        return f"{_COLOURS[colour]}{text}\x1b[0m" if self.on else text


def _block(finding: Finding, lines: Sequence[str], paint: _Paint) -> str:
    span = finding.span
    head = f"{paint(finding.level, f'{finding.level}[{finding.code} {finding.rule}]')}: {visible(finding.message)}"
    gutter = " " * len(str(span.line))
    where = f"{visible(span.file)}:{span.line}:{span.column}"
    out = [head, f"{gutter}{paint('dim', '-->')} {where}"]
    if 0 < span.line <= len(lines) and lines[span.line - 1].strip():
        source, caret = _pointed(finding, lines[span.line - 1])
        bar = paint("dim", "|")
        out += [f"{paint('dim', str(span.line))} {bar} {source}", f"{gutter} {bar} {paint(finding.level, caret)}"]
    if finding.hint:
        out.append(f"{gutter} {paint('help', 'help')}: {visible(finding.hint)}")
    return "\n".join(out) + "\n"


def _pointed(finding: Finding, line: str) -> tuple[str, str]:
    """Return the source line and the carets below it, as a terminal shows them."""
    span = finding.span
    begin = min(span.column - 1, len(line))
    stop = span.end_column - 1 if span.end_line == span.line else len(line.rstrip())
    before, marked, after = line[:begin], line[begin : max(stop, begin + 1)], line[max(stop, begin + 1) :]
    if finding.code == _CLEAR:  # what is reported must not be spread by reporting it
        marked, after = marked[:3] + "*" * max(len(marked) - 3, 0), ""
    most = _WIDEST + 1  # a line may be a megabyte long, and no more of it than this is shown
    before, marked, after = visible(before[-most:]), visible(marked[:most]), visible(after[:most])
    cut = ""
    if width(before) > _LEFT and width(before) + width(marked) + width(after) > _WIDEST:
        before, cut = _end(before, _LEFT - 1), "…"
    room = max(_WIDEST - width(cut + before), 10)
    if width(marked) > room:
        marked, after = _start(marked, room - 1) + "…", ""
    elif width(marked) + width(after) > room:
        after = _start(after, room - width(marked) - 1) + "…"
    return f"{cut}{before}{marked}{after}".rstrip(), " " * width(cut + before) + "^" * max(width(marked), 1)


def visible(text: str) -> str:
    """Return text that a terminal can show: tabs as spaces, and whatever could steer it as its code."""
    return "".join(_shown(letter) for letter in text)


def _shown(letter: str) -> str:
    if letter == "\t":
        return " " * _TAB
    if letter.isprintable() or letter == " ":
        return letter
    if unicodedata.category(letter) == "Zs":
        return " "
    return f"\\x{ord(letter):02x}" if ord(letter) < 256 else f"\\u{ord(letter):04x}"


def width(text: str) -> int:
    """Return how many columns a terminal needs."""
    return len(text) if text.isascii() else sum(_columns(letter) for letter in text)


def _columns(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def _start(text: str, columns: int) -> str:
    while width(text) > columns:
        text = text[:-1] if width(text) - columns < 100 else text[: columns + 50]
    return text


def _end(text: str, columns: int) -> str:
    while width(text) > columns:
        text = text[1:] if width(text) - columns < 100 else text[-(columns + 50) :]
    return text


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
