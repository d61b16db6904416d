"""What events of logs show of the catalogue's signatures, kept small: one entry for each kind, however many lines.

A sight is plain data, so that an incident can carry it from run to run. `seen` makes of it what the order of cause is
made from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.detect.sightings import ADVICE, Seen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from runbook.engine.detect.sightings import Sign

    Sight = Mapping[str, Any]  # signature role variant device job path line time count

MOST: Final = 100  # kinds that one incident carries
_KIND: Final = ("signature", "variant", "device", "job", "path")
_KERNEL: Final = "kmsg."  # what the driver says of one GPU; what applications say of theirs goes over to other GPUs


def is_advice(fields: Mapping[str, Any]) -> bool:
    """Tell whether a line is advice alone, which is evidence of nothing."""
    return fields.get("role") == ADVICE


def of(records: Iterable[Mapping[str, Any]], now: float) -> tuple[Sight, ...]:
    """Return what records of a log show; those of no signature of the catalogue show nothing.

    Args:
        records: the fields of each, in order.
        now: when they were read, which is the time of a line that bears none.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for number, fields in enumerate(records):
        if not fields.get("role"):
            continue
        time, gpu = fields.get("time"), fields.get("gpu")
        name = str(fields["signature"])
        sight = {
            "signature": name,
            "role": fields["role"],
            "variant": str(fields.get("xid") or ""),
            "device": str(gpu) if gpu is not None and name.startswith(_KERNEL) else "",
            "job": str(fields.get("job") or ""),
            "path": str(fields.get("path") or ""),
            "line": _line(fields, number),
            "time": float(time) if isinstance(time, int | float) else now,
            "count": 1,
        }
        known = found.setdefault(_kind(sight), sight)
        if known is not sight:
            known["count"] += 1
    return _most(found.values())


def shows(fields: Mapping[str, Any], number: int, sight: Sight) -> bool:
    """Tell whether a record of those that `of` was given, the `number`-th, is the one that a sight was made from."""
    place = str(fields.get("signature")), str(fields.get("path") or ""), _line(fields, number)
    return place == (sight["signature"], sight["path"], sight["line"])


def merged(before: Sequence[Sight], more: Sequence[Sight]) -> tuple[Sight, ...]:
    """Return what was shown before and now."""
    if not more:
        return tuple(before)
    found = {_kind(sight): sight for sight in before}
    for sight in more:
        known = found.get(_kind(sight))
        found[_kind(sight)] = sight if known is None else {**known, "count": known["count"] + sight["count"]}
    return _most(found.values())


def seen(sight: Sight, signs: Mapping[str, Sign], host: str, evidence: Any) -> Seen | None:
    """Return a sight as the order of cause wants it; None where the catalogue does not know its signature any more."""
    sign = signs.get(sight["signature"])
    if sign is None or sign.role == ADVICE:
        return None
    return Seen(
        sign,
        f"{host}:{sight['path']}",
        sight["line"],
        sight["time"],
        sight["count"],
        sight["variant"],
        f"{host}/{sight['device']}" if sight["device"] else "",
        sight["job"],
        host,
        evidence=evidence,
    )


def _most(found: Collection[Sight]) -> tuple[Sight, ...]:
    """Return as many as an incident carries: of hundreds of files the one that shows what no other does is the root."""
    if len(found) <= MOST:
        return tuple(found)
    first: dict[tuple[str, str], Sight] = {}
    for sight in found:
        known = first.get(name := (sight["signature"], sight["variant"]))
        if known is None or sight["time"] < known["time"]:
            first[name] = sight
    leading = {_kind(sight) for sight in first.values()}
    ordered = sorted(found, key=lambda sight: _kind(sight) not in leading)  # stable: the others in their order
    return tuple(ordered[:MOST])


def _line(fields: Mapping[str, Any], number: int) -> int:
    line = fields.get("line_no")
    return line if isinstance(line, int) else number


def _kind(sight: Sight) -> tuple[Any, ...]:
    return tuple(sight[name] for name in _KIND)
