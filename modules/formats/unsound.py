"""What a check of a file's content says when it is not content."""

import json

LARGEST_TEXT = 16 * 1024 * 1024  # bytes of a text that are parsed: parsed, it takes up to 25 times as much memory


class Unsound(Exception):
    """The file is not what it should be; the message says where."""


class Untold(Exception):
    """It can't be told here; the message says why."""


def told(error: json.JSONDecodeError) -> str:
    """Return what is wrong with a JSON text; the place, with which some of Python's messages end, is named before it.

    Example:
        "Unterminated string starting at" becomes "Unterminated string"
    """
    said = error.msg
    for end in (" at", " starting"):
        said = said.removesuffix(end)
    return said
