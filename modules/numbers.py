"""A number in what a file, a program or a server says: in JSON, behind a pattern, or the text as a whole."""

import math
import re
from typing import Any, List, Match, Optional, Sequence, Union

from runbook.modules.acting.regular_file import Irregular, reading
from runbook.modules.formats.structure import structure

LARGEST = 8 << 20  # bytes of a file or a page that are read
_PART = re.compile(r"\[(-?\d+)\]|([^.\[\]]+)")
_TRIM = " \t\r\n,;:%)]}\"'"


class NoNumber(Exception):
    """There is no number to be had just now; the message says why."""


def content(path: str) -> str:
    """Return what a file holds.

    Raises:
        FileNotFoundError: it is not there.
        NoNumber: it can't be read.
    """
    try:
        with reading(path) as file:
            found = file.read(LARGEST + 1)
    except Irregular as error:
        raise NoNumber(f"{path} is no file, so it is not read") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except OSError as error:
        raise NoNumber(f"{path} can't be read: {error.strerror}") from error
    if len(found) > LARGEST:
        raise NoNumber(f"{path} is larger than {LARGEST >> 20} MiB")
    return found.decode("utf-8", "replace")


def in_json(text: str, field: str, where: str) -> float:
    """Return the number at a field such as `metrics.loss` or `ranks[0].step`; NaN and infinities are numbers.

    Raises:
        NoNumber: the text is no JSON (it may be being written), or there is no number.
    """
    data = structure(text)
    if data is None:
        raise NoNumber(f"{where} {'is empty' if not text.strip() else 'holds no whole JSON'} at this moment")
    return _plain(_at(data, field, where), f"`{field}` of {where}")


def path(field: str) -> List[Union[str, int]]:
    """Return the parts of a field's path.

    Raises:
        ValueError: it is none.
    """
    parts: List[Union[str, int]] = []
    place = 0
    while place < len(field):
        match = _PART.match(field, place)
        if match is None:
            break
        parts.append(match[2] if match[1] is None else int(match[1]))
        place = match.end()
        if field[place : place + 1] == "." and field[place + 1 : place + 2] not in ("", ".", "["):
            place += 1
    if place < len(field) or not parts:
        raise ValueError(f"`{field}` is no path to a value: write a.b, or a[0].b")
    return parts


def as_a_whole(text: str, where: str) -> float:
    """Return the number that a text is.

    Raises:
        NoNumber: it is none.
    """
    return _plain(text.strip(), where)


def in_match(match: Match[str]) -> Optional[float]:
    """Return the number that a pattern found: the group `value`, else the first group, else the match."""
    group = "value" if "value" in match.re.groupindex else 1 if match.re.groups else 0
    text = match[group]
    return None if text is None else _number(text)


def _at(data: Any, field: str, where: str) -> Any:
    if isinstance(data, dict) and field in data:
        return data[field]
    for part in path(field):
        if isinstance(data, dict) and part in data:
            data = data[part]
        elif isinstance(data, dict) and str(part) in data:
            data = data[str(part)]
        elif isinstance(data, list) and _is_index(part, data):
            data = data[int(part)]
        else:
            raise NoNumber(f"{where} has no `{field}`{_there_is(data)}")
    return data


def _is_index(part: Union[str, int], data: Sequence[Any]) -> bool:
    try:
        return -len(data) <= int(part) < len(data)
    except ValueError:
        return False


def _there_is(data: Any) -> str:
    if isinstance(data, list):
        return f", there is a list of {len(data)}"
    known = ", ".join(sorted(map(str, data))[:12]) if isinstance(data, dict) else ""
    return f", there is {known}" if known else ""


def _plain(value: Any, what: str) -> float:
    found = _number(value)
    if found is None:
        shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
        raise NoNumber(f"{what} is no number: {shown if len(shown) <= 60 else shown[:59] + '…'}")
    return found


def _number(value: Any) -> Optional[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value.strip(_TRIM) if isinstance(value, str) else value)
    except ValueError:
        return None
    except OverflowError:
        return math.inf
    return found
