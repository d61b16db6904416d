"""Many hosts' names, as people write them: `gpu01-gpu09, gpu11`, or `rack2-gpu[01-09,11]`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from runbook.engine.report import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_NUMBER: Final = re.compile(r"(.*?)([0-9]{1,9})([^0-9]*)", re.DOTALL)  # the last number of a label
_PARTS: Final = re.compile(r"([0-9]{1,18})")
_LEAST: Final = 3  # names in a row, from which on they are written as a range
_MOST: Final = 8  # numbers and ranges in one pair of brackets


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by their size: gpu10 behind gpu9."""
    return [(int(part), "") if part.isascii() and part.isdecimal() else (-1, part) for part in _PARTS.split(name)]


def written(names: Iterable[str], columns: int = 0) -> str:
    """Return names in as few words as possible, printable; what is wider than so many columns is counted.

    Example:
        >>> written(["gpu2", "gpu1", "gpu3", "login"])
        'gpu1-gpu3, login'
        >>> written(["r1-gpu01", "r1-gpu02", "r1-gpu03", "r1-gpu07"])
        'r1-gpu[01-03,07]'
        >>> written(["gpu1", "gpu2", "gpu3", "login"], 17)
        'gpu1-gpu3, 1 more'
    """
    found = list(_said(names))
    whole = ", ".join(text for text, _ in found)
    if not columns or words.width(whole) <= columns:
        return whole
    said, left = "", sum(count for _, count in found)
    for text, count in found:
        longer = f"{said}, {text}" if said else text
        if said and words.width(f"{longer}, {left - count} more") > columns:
            break
        said, left = longer, left - count
    more = f", {left} more" if left else ""
    return words.cut(said, max(1, columns - len(more))) + more


def _said(names: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield words, and how many names each stands for, in the natural order of the first name of each kind."""
    kinds: dict[tuple[str, str], list[str]] = {}  # numbers, by what stands before and behind them
    for name in sorted(dict.fromkeys(names), key=natural):
        before, number, behind = _split(name)
        kinds.setdefault((before, behind), []).append(number)
    for (before, behind), numbers in kinds.items():
        around = words.printable(before), words.printable(behind)
        runs = list(_runs(numbers))
        if before.isalpha() and not behind:
            yield from ((_range(run, before, "-"), len(run)) for run in runs)
        elif len(numbers) < _LEAST:
            yield from ((number.join(around), 1) for number in numbers)
        else:
            for place in range(0, len(runs), _MOST):
                part = runs[place : place + _MOST]
                inside = ",".join(_range(run, "", "-") for run in part)
                count = sum(map(len, part))
                yield (f"[{inside}]" if count > 1 else inside).join(around), count


def _split(name: str) -> tuple[str, str, str]:
    """Return what stands before the number that names a host, the number, and what stands behind it."""
    label, dot, domain = name.partition(".")
    if name.replace(".", "").isdecimal():  # an address
        label, dot, domain = name, "", ""
    match = _NUMBER.fullmatch(label)
    return (match[1], match[2], match[3] + dot + domain) if match else (name, "", "")


def _runs(numbers: Sequence[str]) -> Iterator[list[str]]:
    """Yield numbers that follow each other, padded alike; of fewer than three each by itself."""
    run: list[str] = []
    for number in numbers:
        if run and not _follows(run[-1], number):
            yield from [run] if len(run) >= _LEAST else ([one] for one in run)
            run = []
        run.append(number)
    yield from [run] if len(run) >= _LEAST else ([one] for one in run)


def _follows(one: str, other: str) -> bool:
    if not one or not other or int(other) != int(one) + 1:
        return False
    return len(one) == len(other) or not (one.startswith("0") or other.startswith("0"))


def _range(run: Sequence[str], before: str, dash: str) -> str:
    return f"{before}{run[0]}" if len(run) == 1 else f"{before}{run[0]}{dash}{before}{run[-1]}"
