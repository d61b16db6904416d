"""What `--yes` is about to allow on many hosts: said before it is done, from a pass that changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.report import words
from runbook.engine.report.lines import INDENT
from runbook.engine.report.ranges import written
from runbook.modules import catalogue
from runbook.modules.declare import Impact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.report.paint import Paint
    from runbook.engine.report.passes import PassReport

_IMPACTS: Final = tuple(Impact)  # from none to destructive
_COLOURS: Final = {Impact.DESTRUCTIVE: "red", Impact.DISRUPTIVE: "yellow"}


def lines(paint: Paint, report: PassReport) -> Iterator[str]:
    """Yield how many recoveries wait on how many hosts, and each step of them with its impact and its hosts.

    Args:
        paint: how to write.
        report: what a pass with `--check` and without `--yes` came to.
    """
    waiting = [(host.name, one) for host in report.hosts for one in host.incidents if one.state == "waiting"]
    if not waiting:
        return
    known = frozenset(catalogue.step_names())
    steps: dict[tuple[str, Impact | None], list[str]] = {}
    for host, one in waiting:
        planned = [step for step in one.steps if step.state == "planned" and step.phase in ("", "recover")]
        for step in planned:
            cls = catalogue.step(step.module) if step.module in known else None
            named = step.title if step.title in ("", step.module) else f"{step.title} ({step.module})"
            steps.setdefault((named or step.module, cls.impact if cls else None), []).append(host)
        if not planned:
            steps.setdefault((f"the recovery of `{one.detector}`", None), []).append(host)
    hosts = {host for host, _ in waiting}
    recoveries = "1 recovery" if len(waiting) == 1 else f"{len(waiting)} recoveries"
    yield paint(f"--yes allows {recoveries} on {words.amount(len(hosts), 'host')}:", "bold")
    for (title, impact), those in sorted(steps.items(), key=_worst, reverse=True):
        names = list(dict.fromkeys(those))
        times = f", {len(those)} times" if len(those) > len(names) else ""
        named = f"{words.printable(title)} ({impact.value if impact else 'impact unknown'}{times})"
        text = f"{named} on {words.amount(len(names), 'host')}: {written(names, paint.columns * 2)}"
        first, *rest = words.wrapped(text, paint.columns - len(INDENT))
        colour = _COLOURS.get(impact, "") if impact else ""
        yield f"  {paint('!', colour) if colour else '-'} {first}"
        yield from ("    " + line for line in rest)


def _worst(step: tuple[tuple[str, Impact | None], list[str]]) -> tuple[int, int]:
    (_, impact), hosts = step
    return (_IMPACTS.index(impact) if impact else -1, len(hosts))
