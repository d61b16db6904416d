"""How long to wait between attempts: the four backoff strategies."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from runbook.engine.model import Backoff

if TYPE_CHECKING:
    from runbook.engine.model import Retry


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


def _fibonacci(n: int) -> int:
    before, now = 0, 1
    for _ in range(min(n, 128) - 1):
        before, now = now, before + now
    return now


def _share(seed: str, failures: int) -> float:
    digest = hashlib.sha256(f"{seed}:{failures}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / float(1 << 56)
