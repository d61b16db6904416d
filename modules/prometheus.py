"""Prometheus' text format (and OpenMetrics', as far as it is the same), and selectors of series in it.

https://prometheus.io/docs/instrumenting/exposition_formats/ says what a page is made of,
https://prometheus.io/docs/prometheus/latest/querying/basics/#instant-vector-selectors what a selector is.
"""

import re
from typing import Dict, Iterator, List, Mapping, Optional, Pattern, Tuple

from runbook.modules.frozen import frozen

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')\s*(,|$)')
_PAGE_LABEL = re.compile(r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(?:,|\Z)')
_SELECTOR = re.compile(rf"\s*({_NAME})\s*(?:\{{(.*)\}})?\s*$", re.DOTALL)
_LINE = re.compile(rf'({_NAME})(?:\{{((?:[^"}}]|"(?:[^"\\]|\\.)*")*)\}})?[ \t]+(\S+)(?:[ \t]+(-?[0-9.]+))?')
_ESCAPED = re.compile(r"\\(.)")
_COUNTERS = ("_total", "_count", "_sum", "_bucket")
_MILLISECONDS = 1e11  # a time beyond this is in milliseconds; OpenMetrics has seconds
LONGEST = 64 * 1024  # characters of a line


@frozen
class Selector:
    """Which series of a page are meant: a name, and what their labels must be."""

    name: str
    matchers: Tuple[Tuple[str, str, str, Optional[Pattern[str]]], ...] = ()  # label, operator, value, its expression

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a series with these labels is meant; a label that it lacks is empty."""
        for label, operator, value, expression in self.matchers:
            own = labels.get(label, "")
            same = own == value if expression is None else expression.fullmatch(own) is not None
            if same == operator.startswith("!"):
                return False
        return True


@frozen
class Series:
    """One line of a page."""

    name: str  # with its labels, as in the page
    labels: Mapping[str, str]
    value: float
    time: Optional[float] = None  # in seconds since the epoch, where the page says when
    counter: bool = False  # it only rises, until it begins anew


def selector(text: str) -> Selector:
    """Return the selector in a text such as `vllm:num_requests_waiting{model_name=~"llama.*"}`.

    Raises:
        ValueError: it is none.
    """
    match = _SELECTOR.match(text)
    if match is None:
        raise ValueError(f'`{text}` names no metric: write its name, or name{{label="value"}}')
    matchers = []
    rest = (match[2] or "").strip()
    while rest:
        label = _LABEL.match(rest)
        if label is None:
            raise ValueError(f'`{rest}` says nothing of a label: write label="value", or with !=, =~ or !~')
        value = _unescaped(label[3][1:-1])
        try:
            expression = re.compile(value) if "~" in label[2] else None
        except re.error as error:
            raise ValueError(f"`{value}` is no regular expression: {error}") from error
        matchers.append((label[1], label[2], value, expression))
        rest = rest[label.end() :].strip()
    return Selector(match[1], tuple(matchers))


def series(page: str, wanted: Selector) -> Iterator[Series]:
    """Yield the series of a page that a selector means, in its order; lines that are none are passed over."""
    counter = wanted.name.endswith(_COUNTERS)
    for line in _lines(page):
        if line.startswith("#"):
            words = line[:LONGEST].split()
            if words[1:2] == ["TYPE"] and words[2:3] == [wanted.name]:
                counter = words[3:4] == ["counter"]
            continue
        if not line.startswith(wanted.name):
            continue
        match = _LINE.match(line[:LONGEST])
        if match is None or match[1] != wanted.name:
            continue
        labels, value = _labels(match[2] or ""), number(match[3])
        if labels is None or value is None or not wanted.fits(labels):
            continue
        shown = ",".join(f'{label}="{_escaped(labels[label])}"' for label in sorted(labels))
        yield Series(
            f"{wanted.name}{{{shown}}}" if shown else wanted.name, labels, value, _time(match[4]), counter=counter
        )


def number(text: str) -> Optional[float]:
    """Return the number that a text is, NaN and infinities among them; None where it is none."""
    try:
        return float(text)
    except (ValueError, OverflowError):
        return None


def names(page: str) -> List[str]:
    """Return the names of the metrics on a page."""
    found = (_LINE.match(line[:LONGEST]) for line in _lines(page) if line and not line.startswith("#"))
    return sorted({match[1] for match in found if match is not None})


def _lines(page: str) -> Iterator[str]:
    """Yield the lines; only a line feed ends one: a label's value may hold whatever else Unicode takes for an end."""
    for line in page.split("\n"):
        yield line.rstrip("\r")


def _labels(text: str) -> Optional[Dict[str, str]]:
    """Return the labels of a series; None where they are not written as a page writes them."""
    labels: Dict[str, str] = {}
    at, end = 0, len(text.rstrip(" \t"))
    while at < end:
        label = _PAGE_LABEL.match(text, at)
        if label is None:
            return None
        labels[label[1]] = _unescaped(label[2])
        at = label.end()
    return labels


def _escaped(text: str) -> str:
    """Return a label's value as a page writes it, so that no value makes one series look like another."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], text)


def _time(text: Optional[str]) -> Optional[float]:
    at = number(text) if text else None
    return at / 1000 if at is not None and abs(at) > _MILLISECONDS else at
