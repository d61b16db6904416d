"""When the next attempt of an operation is, if there is one: backoff, what a server asked for, and budgets. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.language.amounts import format_duration
from runbook.engine.model import Backoff
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.model import Retry

LONGEST_ASKED: Final = 600.0  # seconds of a `Retry-After` that are honoured, unless `max` allows more
MOST_FREE: Final = 100  # attempts that are not charged, since they made progress


@frozen
class Failures:
    """What failed of one kind: what one `error` detector matched, or none did."""

    charged: int = 0
    free: int = 0  # those that made progress, or were followed by another member of the pool
    since: float = 0.0  # when the first of these attempts began, in seconds since the epoch


def delay(retry: Retry, failures: int, seed: str = "") -> float:
    """Return the seconds to wait after the nth failure.

    Args:
        retry: strategy, base and max in seconds, jitter as a share of the delay.
        failures: how many attempts have failed so far, from 1.
        seed: names the attempt; the same seed gives the same jitter, so that a replay decides alike.

    Returns:
        immediate 0; linear base, 2 base, 3 base…; exponential base, 2 base, 4 base…; fibonacci base x 1, 1, 2, 3, 5…;
        capped at max, and then spread by plus or minus jitter (never above max).

    Example:
        >>> from runbook.engine.model import Backoff, Retry
        >>> [delay(Retry(Backoff.FIBONACCI, base=2.0, max=120.0), n) for n in range(1, 7)]
        [2.0, 2.0, 4.0, 6.0, 10.0, 16.0]
    """
    if retry.strategy is Backoff.IMMEDIATE:
        return 0.0
    if retry.strategy is Backoff.LINEAR:
        factor = float(failures)
    elif retry.strategy is Backoff.EXPONENTIAL:
        factor = 2.0 ** min(failures - 1, 64)
    else:
        factor = float(_fibonacci(failures))
    plain = min(retry.base * factor, retry.max)
    if not retry.jitter:
        return plain
    spread = 1 + retry.jitter * (2 * _share(seed, failures) - 1)
    return min(plain * spread, retry.max)


def pause(retry: Retry, failures: Failures, data: Mapping[str, Any], seed: str = "") -> float:
    """Return the seconds until the next attempt: the backoff's, or what the server asked for if that is longer.

    Args:
        retry: how it is tried again.
        failures: of this kind, the last one included.
        data: of the attempt's outcome; `retry_after` in seconds is what a server asked for.
        seed: see `delay`.
    """
    usual = delay(retry, max(1, failures.charged), seed)
    asked = data.get("retry_after")
    if isinstance(asked, bool) or not isinstance(asked, int | float) or not asked > 0:
        return usual
    return max(usual, min(float(asked), max(retry.max, LONGEST_ASKED)))


def exhausted(retry: Retry, failures: Failures, begins: float) -> str | None:
    """Return why there is no further attempt, as words behind an error; None where there is one.

    Args:
        retry: its budgets: `attempts`, and `within` seconds.
        failures: of this kind, the last one included.
        begins: when the next attempt would begin.
    """
    if retry.attempts is not None and failures.charged >= retry.attempts:
        return ""
    if retry.within is not None and begins > failures.since + retry.within:
        return f"the next attempt would begin later than {format_duration(retry.within)} after the first"
    if failures.free >= MOST_FREE:
        return f"{MOST_FREE} attempts made progress and did not come to an end"
    return None


def progressed(data: Mapping[str, Any]) -> bool:
    """Tell whether an attempt that failed came forward: bytes or steps, in its outcome's `progress`."""
    made = data.get("progress")
    return made is True or (isinstance(made, int | float) and not isinstance(made, bool) and made > 0)


def _fibonacci(n: int) -> int:
    before, now = 0, 1
    for _ in range(min(n, 128) - 1):
        before, now = now, before + now
    return now


def _share(seed: str, failures: int) -> float:
    digest = hashlib.sha256(f"{seed}:{failures}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / float(1 << 56)
