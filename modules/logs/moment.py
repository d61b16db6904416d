"""When a line was written, by the time it begins with."""

import re
import time
from datetime import datetime, timedelta, timezone
from typing import Match, Optional

SEARCHED = 160  # characters in which a line's time stands, if it has one

_ISO = re.compile(
    r"(?P<year>20\d\d)[-/](?P<month>\d\d)[-/](?P<day>\d\d)[T ](?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    r"(?:[.,](?P<fraction>\d{1,9}))? ?(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?"
)
_SYSLOG = re.compile(
    r"(?P<name>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}(?P<day>\d{1,2}) "
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?(?: (?P<year>20\d\d))?"
)
_SHORT = re.compile(  # vLLM and Python programs: 11-22 01:46:50; glog: E1122 01:46:50.123456
    r"(?:^|[\s\[])(?:[A-Z]+ )?[IWEF]?(?P<month>[01]\d)[-/]?(?P<day>[0-3]\d) "
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?"
)
_APACHE = re.compile(
    r"(?P<day>\d\d)/(?P<name>[A-Z][a-z]{2})/(?P<year>20\d\d):(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    r"(?: (?P<zone>[+-]\d{4}))?"
)
_EPOCH = re.compile(r"^\[?(?P<epoch>1[5-9]\d{8}|2\d{9})(?P<fraction>\.\d{1,9})?\b")
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HOUR = 3600


def written(line: str, now: float) -> Optional[float]:
    """Return when a line says it was written, in seconds since the epoch; None where it does not say.

    A time without a zone is the host's own, a date without a year the latest that is not in the future.
    """
    start = line[:SEARCHED]
    epoch = _EPOCH.match(start)
    if epoch is not None:
        return float(epoch["epoch"] + (epoch["fraction"] or ""))
    found = _first(start)
    if found is None:
        return None
    try:
        return _moment(found.groupdict(), now)
    except (ValueError, OverflowError):
        return None


def _first(text: str) -> "Optional[Match[str]]":
    """Return the first time in a text."""
    first: Optional[Match[str]] = None
    for pattern in (_ISO, _SYSLOG, _APACHE, _SHORT):
        found = pattern.search(text)
        if found is not None and (first is None or found.start() < first.start()):
            first = found
            if not found.start():
                break
    return first


def _moment(parts: "dict[str, str]", now: float) -> float:
    month = _NAMES.index(parts["name"]) + 1 if parts.get("name") else int(parts["month"])
    year = int(parts.get("year") or time.localtime(now).tm_year)
    clock = datetime(  # noqa: DTZ001 -- its zone is added below, where it is known
        year, month, int(parts["day"]), int(parts["hour"]), int(parts["minute"]), int(parts["second"])
    )
    moment = _zoned(clock, parts.get("zone"))
    if not parts.get("year") and moment > now + 24 * _HOUR:
        moment = _zoned(clock.replace(year=year - 1), parts.get("zone"))
    return moment + float(f"0.{parts.get('fraction') or 0}")


def _zoned(clock: datetime, zone: Optional[str]) -> float:
    if not zone:
        return clock.timestamp()
    if zone in ("Z", "UTC"):
        return clock.replace(tzinfo=timezone.utc).timestamp()
    digits = zone[1:].replace(":", "")
    away = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return clock.replace(tzinfo=timezone(-away if zone[0] == "-" else away)).timestamp()
