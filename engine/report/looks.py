"""What `runbook probe` saw: of one host as it is; of many each, or once where it is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.glance import Unreached
from runbook.engine.model import UNKNOWN, Lacking, NotSeen, Seen
from runbook.engine.report import words
from runbook.engine.report.folded import alike, grouped
from runbook.engine.report.passes import SCHEMA
from runbook.engine.report.ranges import natural, written
from runbook.modules.declare import Kind
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runbook.engine.model import Look
    from runbook.engine.report.paint import Paint

HOLDS, NOT, UNSURE = "holds", "does not hold", "unknown"  # what is said of a record, where a condition was asked
_SIGNS: Final = {"seen": ("✔", "green"), "absent": ("-", "dim"), "unknown": ("?", "yellow"),
                 "unreachable": ("!", "yellow"), HOLDS: ("!", "red")}  # fmt: skip


@frozen
class Answer:
    """What one host answered, and what was judged of each record of it."""

    look: Look | Unreached
    verdicts: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """Seen, absent, unknown or unreachable."""
        if isinstance(self.look, Unreached):
            return "unreachable"
        return "absent" if isinstance(self.look, Lacking) else "unknown" if isinstance(self.look, NotSeen) else "seen"


def exit_code(answers: Mapping[str, Answer]) -> int:
    """Return 2 where the condition holds, 4 where something could not be seen, else 0."""
    verdicts = {verdict for answer in answers.values() for verdict in answer.verdicts}
    blind = UNSURE in verdicts or any(answer.status in ("unknown", "unreachable") for answer in answers.values())
    if len(answers) == 1 and blind:
        return 4
    return 2 if HOLDS in verdicts else 4 if blind else 0


def document(answer: Answer) -> dict[str, Any]:
    """Return what one host answered, for programs."""
    look = answer.look
    if not isinstance(look, Seen):
        return {"status": answer.status, "reason": look.reason, "records": []}
    records: list[Mapping[str, Any]] = []
    for place, record in enumerate(look.records):
        fields = {name: value for name, value in record.fields.items() if value is not UNKNOWN}
        unseen = [name for name, value in record.fields.items() if value is UNKNOWN]
        judged = {"when": answer.verdicts[place]} if answer.verdicts else {}
        records.append({"subject": record.subject, "fields": fields, "unseen": unseen, **judged})
    return {"status": "seen", "reason": "", "records": records}


def documents(answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Return what all hosts answered, for programs."""
    hosts = {host: document(answers[host]) for host in sorted(answers, key=natural)}
    return {"schema": SCHEMA, "exit_code": exit_code(answers), "hosts": hosts}


def lines(answer: Answer, kinds: Mapping[str, Kind]) -> list[str]:
    """Return what one host answered, for people; `kinds` tells the units of the fields."""
    look = answer.look
    if not isinstance(look, Seen):
        return [f"{answer.status}: {words.printable(words.one_line(look.reason))}"]
    if not look.records:
        return ["nothing there"]
    shown: list[str] = []
    for place, record in enumerate(look.records):
        width = max(map(len, record.fields), default=0)
        shown += [""] if shown else []
        if record.subject:
            shown.append(words.printable(record.subject))
        for name, value in record.fields.items():
            said = "unknown" if value is UNKNOWN else _shown(kinds.get(name), value)
            shown.append(f"  {name:{width}}  {words.printable(said)}")
        if answer.verdicts:
            shown.append(f"  {'':{width}}  {answer.verdicts[place]}")
    return shown


def across(paint: Paint, answers: Mapping[str, Answer], kinds: Mapping[str, Kind]) -> Iterator[str]:
    """Yield what many hosts answered: the same words once; where a condition was asked, those first that it leaves out.

    Args:
        paint: how to write.
        answers: by host.
        kinds: the units of the fields.
    """
    judged = any(answer.verdicts for answer in answers.values())
    calm = [host for host, answer in answers.items() if judged and answer.status == "seen" and _calm(answer)]
    told = [(host, answers[host]) for host in sorted(answers, key=natural) if host not in set(calm)]
    groups = grouped(told, lambda host, answer: (answer.status, *_same(host, answer, kinds)))
    for group in sorted(groups, key=lambda group: list(_SIGNS).index(group.first.status)):
        answer = group.first
        sign, colour = _SIGNS[HOLDS if HOLDS in answer.verdicts else answer.status]
        names = words.wrapped(f"{_count(group.hosts)}{written(group.hosts)}", paint.columns - 2)
        yield f"{paint(sign, colour)} {paint(names[0], 'bold')}"
        yield from ("  " + paint(name, "bold") for name in names[1:])
        for line in lines(answer, kinds):
            parts = words.wrapped(line, paint.columns - 4) if answer.status != "seen" else [line]
            yield from (f"    {part}".rstrip() for part in parts)
        yield ""
    if calm:
        names = words.wrapped(f"does not hold on {_count(calm)}{written(calm)}", paint.columns - 2)
        yield from (f"{paint('✔', 'green')} {name}" if not place else f"  {name}" for place, name in enumerate(names))
        yield from [""] if groups else []
    if groups:
        colour = {0: "green", 2: "red"}.get(exit_code(answers), "yellow")
        yield paint(_summary(answers, calm, judged=judged), "bold", colour)


def _calm(answer: Answer) -> bool:
    return all(verdict == NOT for verdict in answer.verdicts)


def _same(host: str, answer: Answer, kinds: Mapping[str, Kind]) -> tuple[str, ...]:
    """Return what has to be the same for hosts to be told together: every word, but of a reason its amounts."""
    if answer.status in ("unknown", "unreachable"):
        return (alike("\n".join(lines(answer, kinds)), host),)
    return tuple(lines(answer, kinds))


def _summary(answers: Mapping[str, Answer], calm: Sequence[str], *, judged: bool) -> str:
    counts = dict.fromkeys(("seen", "absent", "unknown", "unreachable"), 0)
    for answer in answers.values():
        counts[answer.status] += 1
    holding = sum(HOLDS in answer.verdicts for answer in answers.values())
    said = [f"holds on {words.amount(holding, 'host')}"] if holding else []
    said += [f"does not hold on {words.amount(len(calm), 'host')}"] if calm else []
    said += [f"{counts['seen']} seen"] if counts["seen"] and not judged else []
    said += [f"{number} {state}" for state, number in counts.items() if number and state != "seen"]
    return ", ".join(said)


def _count(hosts: Sequence[str]) -> str:
    return "" if len(hosts) == 1 else f"{len(hosts)} hosts: "


def _shown(kind: Kind | None, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if kind is Kind.DURATION:
        return words.duration(value)
    if kind is Kind.SIZE:
        return words.size(value)
    if kind is Kind.PERCENT:
        return f"{value:.1f}%"
    if isinstance(value, dict | list | tuple):
        return words.as_json(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
