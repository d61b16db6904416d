"""Shortening texts so that no word is cut in two: half a secret is not recognized, and so not masked, by anybody."""

import re

NEAR = 4096  # characters next to a cut in which the end of a line is looked for; longer lines are cut between words
_BLANK = re.compile(r"\s")


def before(text: str) -> str:
    """Return what stands before a cut at the end of a text, without the line, or else the word, that it may split."""
    end = text.rfind("\n", max(0, len(text) - NEAR)) + 1
    return text[: end or _last_blank(text)]


def after(text: str) -> str:
    """Return what stands after a cut at the beginning of a text, without the line or word that it may split."""
    begin = text.find("\n", 0, NEAR) + 1
    if not begin:
        blank = _BLANK.search(text)
        begin = blank.end() if blank else len(text)
    return text[begin:]


def start(text: str, most: int) -> str:
    """Return as many whole words from the beginning of a line as fit; not one, when the first is too long."""
    if len(text) <= most:
        return text
    return text[: _last_blank(text[: most + 1])].rstrip()


def _last_blank(text: str) -> int:
    """Return where the last blank ends; 0 without one."""
    return next((at for at in range(len(text), 0, -1) if text[at - 1].isspace()), 0)
