"""Attempts of operations, from which components and their breakers are told."""

from __future__ import annotations

from typing import NamedTuple


class Attempt(NamedTuple):
    """One attempt of an operation that needed a component. A tuple, since thousands are read for each report."""

    at: float  # when it ended, in seconds since the epoch
    ok: bool
    seconds: float  # that it took
