"""What the YAML parser could not read, in words that say how to mend it."""

from __future__ import annotations

import re
from typing import Any

from runbook.modules.frozen import frozen

_KNOWN = (
    (
        "mapping values are not allowed",
        "a `:` stands where no key can be",
        "indent it as its neighbours, or quote text that contains `: `",
    ),
    (
        "block sequence entries are not allowed",
        "a list item `- ` stands where none can be",
        "start it on its own line, indented",
    ),
    (
        "did not find expected ',' or ']'",
        "the list opened with [ is not closed, or a comma is missing",
        "write a comma or ]",
    ),
    (
        "did not find expected ',' or '}'",
        "the mapping opened with { is not closed, or a comma is missing",
        "write a comma or }",
    ),
    (
        "did not find expected key",
        "this is neither a key nor the end of the value before it",
        "check its indentation; quote text that contains quotes or { } [ ]",
    ),
    (
        "did not find expected '-' indicator",
        "a list item was expected here",
        "begin it with `- `, or indent it as the line it belongs to",
    ),
    ("could not find expected ':'", "a key without its `:`", "write `key: value`"),
    ("found unexpected end of stream", "the text that begins here has no closing quote", "close it"),
    ("found unexpected document indicator", "the text that begins here has no closing quote", "close it"),
    (
        "found unknown escape character",
        "a backslash before a character that has no such escape",
        "use single quotes, as for a regex, or write \\\\",
    ),
    ("found invalid Unicode character escape code", "an escape that is no character", "write another \\u escape"),
    (
        "did not find expected hexdecimal number",
        "an escape with too few digits",
        "write \\xNN, \\uNNNN, or use single quotes",
    ),
    ("did not find expected node content", "a value was expected here", "write one, or quote the text"),
    ("did not find expected <document start>", "the document ended before this", "check its indentation"),
    ("found a tab character", "a tab indents this line", "indent with spaces"),
    (
        "found undefined tag handle",
        "a tag has no place in a runbook",
        "delete it, or quote the text that begins with !",
    ),
    ("did not find expected comment or line break", "more text behind | or >", "start the text in the next line"),
    ("found extra", "a second directive", "delete it"),
    ("unknown directive", "a line that begins with % is read as a directive", "quote the text"),
    ("did not find expected alphabetic or numeric character", "& and * begin anchors and aliases", "quote the text"),
    ("exceeded max nesting level", "nested too deeply", "flatten it"),
)
_RESERVED = "@`%"
_TEMPLATE = re.compile(r"""[:\-\[,]\s+(\{\{.*)""")


@frozen
class Explained:
    """A syntax error: what, where as character offsets, and how to mend it."""

    message: str
    start: int
    end: int
    hint: str = ""


def explain(error: Any, text: str) -> Explained:
    """Say what a YAMLError of the C parser means."""
    problem = str(getattr(error, "problem", None) or error).strip()
    mark = getattr(error, "problem_mark", None)
    context = getattr(error, "context_mark", None)
    opened = context is not None and ("end of stream" in problem or "document indicator" in problem)
    shown = context if opened else mark or context
    at = min(shown.index, len(text)) if shown is not None else 0
    line_start = max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
    line = re.split(r"[\r\n]", text[line_start:], maxsplit=1)[0]
    if template := _TEMPLATE.search(line):
        start = line_start + template.start(1)
        end = line_start + len(line.rstrip())
        return Explained("a value that begins with {{ must be in quotes", start, end, 'write "{{ … }}…"')
    character = text[at : at + 1]
    if "cannot start any token" in problem:
        if character == "\t":
            return Explained("a tab stands where none can", at, at + 1, "indent with spaces")
        hint = "quote the text" if character in _RESERVED else "check the quotes before it"
        return Explained(f"text can't begin with {character}", at, at + 1, hint)
    end = max(at + 1, line_start + len(line.rstrip()))
    for known, message, hint in _KNOWN:
        if known in problem:
            return Explained(message, at, min(end, len(text)), hint)
    return Explained(f"this is not YAML: {problem}", at, min(end, len(text)))
