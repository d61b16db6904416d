"""The last line: what the pass came to, and what is next."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from runbook.engine.report import words
from runbook.engine.report.passes import BAD, LOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.report.passes import OperationReport, PassReport

_NAMED: Final = {"cured": "healed", "cleared": "over by itself", "verifying": "not seen cured yet"}
_ORDER: Final = (
    "cured",
    "cleared",
    "unhealed",
    "interrupted",
    "unverified",
    "open",
    "recovering",
    "suppressed",
    "observed",
    "waiting",
    "verifying",
    "pending",
)
_NEXT: Final = (
    ("interrupted", "look whether the step took effect, then `runbook release` it"),
    ("failed", "mend what is shown above, then run it again"),
    ("unhealed", "this needs a person; see `runbook history` too"),
    ("waiting", "rerun with --yes to approve"),
    ("unreachable", "see why above, then run it again"),
    ("unknown", "see why above, then run it again"),
    ("unverified", "run it again to look once more"),
    ("verifying", "the next run looks again"),
    ("suppressed", "see why above"),
    ("observed", "heal by hand, or let its `mode` say approve or auto"),
    ("open", "this needs a person"),
    ("pending", "run it again, or with --now to wait for no hold"),
    ("halted", "see why above, then run it again"),
    ("untold", "see why above"),
    ("cured", "nothing is left to do"),
    ("cleared", "nothing is left to do"),
)
_TYPED: Final = frozenset({"waiting", "interrupted"})


def summary_line(report: PassReport) -> str:
    """Return one line: `3 healed, 1 waiting: runbook approve 7f2a91c3`."""
    counts = count(report)
    said = counted(report)
    if report.stopped:
        return f"stopped{', ' + said if said else ''}: run it again to go on"
    if not said:
        in_vain = any(run.in_vain for run in report.runs)
        return "no channel took the message: see why above" if in_vain else _well(report)
    following = _next(report, counts)
    return said + (f": {following}" if following else "")


def counted(report: PassReport) -> str:
    """Return the first half of that line: `3 healed, 1 waiting`."""
    counts = count(report)
    said = [f"{counts[state]} {_NAMED.get(state, state)}" for state in _ORDER if counts[state]]
    if counts["failed"] and len(report.hosts) > 1 and all(run.command == "run" for run in report.runs):
        said.insert(0, f"failed on {counts['failed']} of {len(report.hosts)} hosts")
    elif counts["failed"]:
        said.insert(0, f"{words.amount(counts['failed'], 'operation')} failed")
    if counts["step"]:
        said.insert(0, f"{words.amount(counts['step'], 'step')} failed")
    if counts["unreachable"]:
        said.append(f"{words.amount(counts['unreachable'], 'host')} unreachable")
    if counts["unknown"]:
        said.append(f"{counts['unknown']} unknown")
    if any(run.halted for run in report.runs):
        said.append("ended before its end")
    if counts["untold"]:
        said.append(f"{words.amount(counts['untold'], 'channel')} not told")
    return ", ".join(said)


def count(report: PassReport) -> Counter[str]:
    """Return how many incidents are in each state, and what else went wrong."""
    counts: Counter[str] = Counter()
    for host in report.hosts:
        counts.update("cleared" if incident.by_itself else incident.state for incident in host.incidents)
        counts.update(operation.state for operation in host.operations if operation.state in LOST)
        counts.update("waiting" for operation in host.operations if operation.state == "waiting" and not host.incidents)
        counts.update("step" for step in host.steps if step.failed)
        counts["unreachable"] += bool(host.unreachable)
        counts["unknown"] += len(host.unknown)
    counts["untold"] += len(report.untold)
    counts["halted"] += sum(bool(run.halted) for run in report.runs)
    return counts


def _next(report: PassReport, counts: Counter[str]) -> str:
    if any(run.check for run in report.runs) and (would := _would(report, counts)):
        return would
    if {state for state, number in counts.items() if number} == {"pending"} and _looked(report):
        return "--now takes it for a fault; else `apply` or `watch` must have seen it for so long"
    state = next((state for state, _ in _NEXT if counts[state]), "")
    return _typed(report, state) or dict(_NEXT).get(state, "")


def _typed(report: PassReport, state: str) -> str:
    """Return what a person can type about what waits for one; nothing where the journal knows nothing of it."""
    if state not in _TYPED or any(run.check for run in report.runs):
        return ""
    those = [one.id for host in report.hosts for one in host.incidents if one.state == state and one.id]
    if state == "waiting":
        return f"runbook approve {those[0]}" if len(those) == 1 else "see `runbook approvals`" if those else ""
    return f"look whether its step took effect, then runbook release {those[0]}" if len(those) == 1 else ""


def _looked(report: PassReport) -> bool:
    """Tell whether this was `check`, which remembers nothing, so that no hold ends by running it again."""
    return all(run.command == "check" and run.check for run in report.runs)


def _would(report: PassReport, counts: Counter[str]) -> str:
    """Say what `apply` would try about what `check` found; whether that heals is seen afterwards."""
    found = [incident for host in report.hosts for incident in host.incidents if incident.state in BAD]
    curable = sum(
        incident.state == "open" and any(step.state == "planned" for step in incident.steps) for incident in found
    )
    waiting, together = counts["waiting"], curable + counts["waiting"]
    fix = "`--fix`" if all(run.command == "check" for run in report.runs) else "`runbook apply`"
    if together and any(run.watched for run in report.runs):
        return "it is watched: `runbook status` says what the watch does about that"
    if curable and waiting:
        return f"{fix} would try to heal {curable}, with --yes {together}"
    if not together:
        return ""
    whole = together == len(found) + waiting
    which = _them(together) if whole else f"{together} of them"
    return f"{fix.removesuffix('`')}{' --yes' if waiting else ''}` would try to heal {which}"


def _well(report: PassReport) -> str:
    hosts = {host.name for host in report.hosts}
    if not hosts:
        return "nothing to do: no host was looked at"
    operations = [one for host in report.hosts for one in host.operations]
    done = sum(one.state == "succeeded" for one in operations)
    planned = sum(one.state == "planned" and one.would for one in operations)
    detectors, spent = sum(run.detectors for run in report.runs), sum(run.duration for run in report.runs)
    timed = [words.duration(spent)] if spent >= 0.05 else []
    if all(run.command == "run" for run in report.runs):
        on = f" on {len(hosts)} hosts" if len(hosts) > 1 else ""
        return _step(operations) + on + (f" ({timed[0]})" if timed else "")
    who = words.printable(next(iter(hosts))) if len(hosts) == 1 else f"{len(hosts)} hosts"
    absent = sum(len({one.detector for host in run.hosts.values() for one in host.absent}) for run in report.runs)
    told = [words.amount(done, "operation") + " done"] if done else []
    told += [words.amount(planned, "operation") + " would run"] if planned else []
    told += [words.amount(detectors, "detector")] if detectors and not absent else []
    aside = f" ({', '.join(told + timed)})" if told or timed else ""
    if absent:
        where = "" if len(hosts) == 1 else f" on {who}"
        well = f"nothing wrong seen{where}; {absent} of {words.amount(max(detectors, absent), 'detector')} absent"
    else:
        well = f"{who} {'is' if len(hosts) == 1 else 'are'} well"
    if left := sum(run.aside for run in report.runs):
        return f"{well}, {words.amount(left, 'operation')} not looked at{aside}: `apply --check` shows {_them(left)}"
    return f"{well}{'' if done or planned or absent else ', nothing to do'}{aside}"


def _step(operations: Sequence[OperationReport]) -> str:
    """Say what a step by itself came to: nobody asked a detector, so nothing is known of the host."""
    if any(one.state == "planned" for one in operations):
        return "1 step would run" if any(one.would for one in operations) else "nothing to do"
    if any(one.state == "succeeded" for one in operations):
        return "1 step done" if any(one.would for one in operations) else "1 step done, nothing changed"
    return "nothing to do"


def _them(count: int) -> str:
    return "it" if count == 1 else "them"
