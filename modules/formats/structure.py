"""What a program or a server says as JSON: taken only where everybody it travels to can take it as well."""

import json
from typing import Any

DEEPEST = 64  # levels of mappings and lists
_SEVERAL = (dict, list, tuple)
_DIGITS = 1000  # of a whole number; Python refuses to read more than a few thousand


def structure(text: str) -> Any:
    """Return the mapping or list that a text is, or None: it is something else, or nested too deeply."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        found = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError):
        return None
    return found if shallow(found) else None


def shallow(value: Any) -> bool:
    """Tell whether a value has no more levels than travel; it does not recurse itself."""
    level = [value]
    for _ in range(DEEPEST):
        level = [item for outer in level if isinstance(outer, _SEVERAL) for item in _items(outer)]
        if not level:
            return True
    return not any(isinstance(item, _SEVERAL) for item in level)


def _items(outer: Any) -> Any:
    return outer.values() if isinstance(outer, dict) else outer


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError("a number of too many digits")
    return int(digits)
