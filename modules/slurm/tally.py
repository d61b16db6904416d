"""How many jobs of those that are looked at are in each state: counted from the first look on, each lineage once."""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from runbook.modules.declare import UNSEEN, Tally
from runbook.modules.slurm import seeing, units

SHOWN = ("completed", "running", "pending", "failed", "blocked")
_WAITING = frozenset({"pending", "requeued", "requeue_hold", "requeue_fed", "special_exit", "resv_del_hold"})
_OFTEN = 60.0  # seconds to which the time is rounded down since which the accounting is asked


def counted(
    kept: Mapping[str, Any], seen: Sequence[Any], wrong: Mapping[str, Mapping[str, Any]], cursor: float
) -> Dict[str, Any]:
    """Return what the next look is to know, with `counts`: how many are in each state.

    A lineage that is well and ended so long ago that the accounting is asked for it no more stays as a number alone.

    Args:
        kept: what the look before returned.
        seen: the newest job of each lineage (`seeing.Seen`).
        wrong: by lineage what is known of those with which something is wrong, seen or not.
        cursor: since when the next look asks, in seconds since the epoch.
    """
    ended: Dict[str, float] = dict(kept.get("ended", {}))
    well, passed = int(kept.get("well", 0)), float(kept.get("passed", 0.0))
    counts = dict.fromkeys(SHOWN, 0)
    for one in seen:
        word = _word(one.job, wrong.get(one.first))
        at = one.job.ended or cursor
        if word == "completed":
            if one.first in ended or at >= passed:
                ended[one.first] = at
            continue
        ended.pop(one.first, None)
        counts[word] = counts.get(word, 0) + 1
    for word in _unseen(seen, wrong):
        counts[word] = counts.get(word, 0) + 1
    horizon = cursor - seeing.OVERLAP - _OFTEN
    late = [first for first, at in ended.items() if at < horizon]
    for first in late:
        del ended[first]
    well += len(late)
    counts["completed"] = well + len(ended)
    return {"counts": counts, "ended": ended, "well": well, "passed": max(passed, horizon)}


def _word(job: Any, told: Optional[Mapping[str, Any]]) -> str:
    if job.state not in units.OVER:
        return ("blocked" if "Depend" in job.reason else "pending") if job.state in _WAITING else "running"
    if job.state == "cancelled":
        return "cancelled"
    return "completed" if job.state == "completed" and told is None else "failed"


def _unseen(seen: Sequence[Any], wrong: Mapping[str, Mapping[str, Any]]) -> List[str]:
    """Return the words of those that were seen by an earlier look alone."""
    now = {one.first for one in seen}
    states = [one.get("state") for first, one in wrong.items() if first not in now]
    return ["cancelled" if state == "cancelled" else "failed" for state in states]


def told(state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> Optional[Tally]:
    """Return what a look that counted has counted."""
    found = state.get("tally")
    counts = found.get("counts") if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or not isinstance(counts, Mapping):
        return None
    numbers = {str(name): value for name, value in counts.items() if isinstance(value, int)}
    active = sum(numbers.get(name, 0) for name in ("running", "pending", "blocked"))
    active += int(found.get("unread", 0))  # failed, and why is yet to be read, or what follows is missing
    return Tally(numbers, active, numbers.get("failed", 0), tuple(_left(records)))


def _left(records: Sequence[Mapping[str, Any]]) -> List[str]:
    """Return a line for each job that failed, those first that were given up."""
    failed: List[Tuple[bool, str]] = []
    for one in records:
        verdict = one.get("verdict")
        if not isinstance(verdict, str) or verdict == "human" or verdict is UNSEEN:
            continue
        tries = one.get("tries") or 0
        again = "" if not tries else f", after {tries} resubmission{'s' * (tries != 1)}"
        why = one.get("held") or ", ".join(map(str, one.get("evidence") or ()))
        failed.append((not one.get("held"), f"{one.get('job_id')} ({one.get('name')}): {verdict}{again}: {why}"))
    return [line for _, line in sorted(failed)]
