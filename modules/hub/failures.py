"""What can go wrong between us and a hub: what passes, with how long to wait, and what trying again can't help."""

import re
import time
from typing import Any, Mapping, Optional

from runbook.modules.declare import Blameless, Failed

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
_WAIT = re.compile(r'"[^"]*"\s*;(?:[^,]*;)?\s*r\s*=\s*0\s*;(?:[^,]*;)?\s*t\s*=\s*(\d{1,6})')  # "api";r=0;t=55
_LONGEST = 7 * 86400.0  # seconds; whoever asks for more means never
_SHOWN = 300  # characters of what a server says


class Hindered(Exception):
    """It did not work this time, and may the next: a reset, a stall, an overloaded server."""

    def __init__(self, message: str, retry_after: Optional[float] = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds that the server asked for


class GaveUp(Failed):
    """What was tried until the patience was over; `data` is what the engine's retry goes by."""

    def __init__(self, message: str, data: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.data = dict(data)


def of_status(status: int, headers: Mapping[str, str], what: str, *, token: bool, where: str = "") -> Exception:
    """Return what an answer that is no success means.

    Args:
        status: such as 503.
        headers: of the answer, by any case of their names.
        what: was asked for, in words: `org/toy@main`, with the file behind it.
        token: whether one was sent along.
        where: the host that answered, when it is another than the hub's.
    """
    given = {name.lower(): value for name, value in headers.items()}
    at = f" by {where}" if where else ""
    if status in PASSING:
        few = {408: "Request Timeout", 425: "Too Early", 429: "Too Many Requests"}
        word = few.get(status, "Server Error")
        return Hindered(f"{status} {word}{at}", asked(given))
    code = given.get("x-error-code", "")
    said = _said(given.get("x-error-message", ""))
    kind = "Client Error" if 400 <= status < 500 else "Error"
    begin = f"{status} {kind}{at}: {what}"
    who = "this token" if token else "anybody without a token: give `token:`"
    if code == "GatedRepo" or "gated" in said.lower():
        mend = "ask for access on its page" if token else "ask for access on its page, and give `token:`"
        return Blameless(
            f"GatedRepoError: {begin} is gated and not open to {who.partition(':')[0]}; {mend}{_tail(said)}"
        )
    if code == "RevisionNotFound":
        return Blameless(f"RevisionNotFoundError: {begin}: there is no such revision")
    if code == "EntryNotFound":
        return Blameless(f"EntryNotFoundError: {begin}: there is no such file")
    if status == 401 and said.startswith("Invalid credentials"):
        return Blameless(f"{begin}: the token is not valid (expired, or revoked?){_tail(said)}")
    if code == "RepoNotFound" or status == 401:
        return Blameless(
            f"RepositoryNotFoundError: {begin} is not there, or it is private and not open to {who};"
            f" see to its name and `repo_type`{_tail(said)}"
        )
    if status == 403:
        return Blameless(f"{begin} is not open to {who}{_tail(said)}")
    if status == 404:
        return Blameless(f"{begin} is not there{_tail(said)}")
    return Failed(f"{begin}{_tail(said)}")


def asked(headers: Mapping[str, str], now: Optional[float] = None) -> Optional[float]:
    """Return the seconds that a server asks to wait, by `Retry-After` in either form or by `RateLimit`; None without.

    Args:
        headers: with names in lower case.
        now: seconds since the epoch; the server's own `Date` is better, since its clock may be another.

    Example:
        >>> asked({"retry-after": "120"})
        120.0
    """
    wanted = headers.get("retry-after", "").strip()
    seconds: Optional[float] = None
    if wanted.isdigit() and len(wanted) < 10:
        seconds = float(wanted)
    elif wanted:
        until, here = _moment(wanted), _moment(headers.get("date", ""))
        if until is not None:
            seconds = until - (here if here is not None else time.time() if now is None else now)
    limit = _WAIT.search(headers.get("ratelimit", ""))
    if limit is not None:
        seconds = max(seconds or 0.0, float(limit[1]))
    return None if seconds is None else min(max(seconds, 0.0), _LONGEST)


def _moment(text: str) -> Optional[float]:
    import email.utils  # as long as all of this file, and seldom needed

    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _said(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _SHOWN else plain[:_SHOWN] + "…"


def _tail(said: str) -> str:
    return f"; the hub says: {said}" if said else ""
