"""Which `error` detectors match the failure of an operation's attempt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runbook.modules.logs.groups import numeric_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runbook.engine.model import Detector, ErrorMatch
    from runbook.modules.logs.patterns import Pattern


def about(detectors: Iterable[Detector], operation: str) -> list[Detector]:
    """Return the `error` detectors that an operation's failures may match, in file order."""
    return [
        detector
        for detector in detectors
        if detector.error is not None and (not detector.error.during or operation in detector.error.during)
    ]


def matches(detector: Detector, fields: Mapping[str, Any]) -> bool:
    """Tell whether a failure matches; its patterns may be slow, so the drivers ask under a time limit.

    Args:
        detector: an `error` detector.
        fields: of the failed attempt; `message`, `output` and `exit_code` are asked.
    """
    error = detector.error
    if error is None:
        return False
    return any_failure(detector) or fields["exit_code"] in error.exit_codes or _found(error, fields) is not None


def any_failure(detector: Detector) -> bool:
    """Tell whether an `error` detector asks for nothing in particular, so that every failure matches."""
    error = detector.error
    return error is not None and not (error.patterns or error.exit_codes) and error.signatures is None


def told(detector: Detector, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a failed attempt that matched, with the signature and its named groups."""
    error = detector.error
    if error is None:
        return dict(fields)
    groups = {name: None for regex in _regexes(error) for name in re.compile(regex).groupindex}
    found = None if fields["exit_code"] in error.exit_codes else _found(error, fields)
    if found is None:
        return {**groups, **fields}
    match, pattern = found
    kinds = numeric_groups(match.re.pattern)
    named = {name: _typed(value, kinds.get(name)) for name, value in match.groupdict().items()}
    own = {"signature": pattern.name, "role": pattern.role} if pattern is not None else {}
    return {**groups, **named, **fields, **own}


def _found(error: ErrorMatch, fields: Mapping[str, Any]) -> tuple[re.Match[str], Pattern | None] | None:
    """Return what is found in what the attempt said: by the detector's own patterns, or else by a signature.

    Of signatures the first root comes before whatever follows from one.
    """
    text = f"{fields['message']}\n{fields['output']}"
    for regex in error.patterns:
        own = re.search(regex, text)
        if own is not None:
            return own, None
    for pattern in sorted(error.signatures or (), key=lambda each: each.role != "root"):
        match = re.search(pattern.regex, text)
        if match is not None:
            return match, pattern
    return None


def _regexes(error: ErrorMatch) -> Iterator[str]:
    yield from error.patterns
    yield from (pattern.regex for pattern in error.signatures or ())


def _typed(text: str | None, kind: type | None) -> Any:
    """Return digits as a number, as in the records of a log."""
    try:
        return text if text is None or kind is None or len(text) > 18 else kind(text)
    except ValueError:
        return text
