"""Attempts of operations, from which components and their breakers are told."""

from __future__ import annotations

from runbook.modules.frozen import frozen


@frozen
class Attempt:
    """One attempt of an operation that needed a component."""

    at: float  # when it ended, in seconds since the epoch
    ok: bool
    seconds: float  # that it took
