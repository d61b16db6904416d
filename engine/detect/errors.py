"""Which `error` detectors match the failure of an operation's attempt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.model import Detector


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
    if error.exit_codes and fields["exit_code"] in error.exit_codes:
        return True
    text = f"{fields['message']}\n{fields['output']}"
    return any(re.search(pattern, text) for pattern in error.patterns)
