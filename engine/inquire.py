"""Why a detector does not fire on a host: what it sees now, what it would take, and what the guards would say.

Everything is asked of the production code: one look by the host's agent, then `advance` and the guards, and nothing of
it is kept or done.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- frozen classes look at their types
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jinja2 import nodes

from runbook.engine import keep, looking, restore
from runbook.engine.detect import components, correlate, errors
from runbook.engine.detect.judge import Verdict, judge
from runbook.engine.errors import RenderError, UserError
from runbook.engine.fleet.bounded import within
from runbook.engine.language import closures, grammar, render
from runbook.engine.language.expression import Expression
from runbook.engine.language.names import members
from runbook.engine.language.truth import is_unknown, truth
from runbook.engine.model import UNKNOWN, IncidentState, Lacking, NotSeen, Record, Seen
from runbook.engine.recover import decision
from runbook.engine.recover import incident as life
from runbook.engine.recover.advance import advance
from runbook.engine.recover.commands import Happened, Looked, Recover
from runbook.engine.recover.state import Plan, Settings, Turn
from runbook.engine.start import HOST, Request, Session
from runbook.modules import catalogue
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.among import Among
    from runbook.engine.detect.hold import Hold
    from runbook.engine.journal.store import Journal
    from runbook.engine.model import Detector, Look, Runbook, Truth
    from runbook.engine.recover.state import Incident, State

_PATTERN_SECONDS: Final = 1.0
_FAILURES: Final = 5  # of operations, that an `error` detector is tried on


@frozen
class Part:
    """One part of a condition: what it says, and what it says it of."""

    text: str
    holds: Truth
    values: Mapping[str, Any] = field(default_factory=dict)


@frozen
class Sight:
    """What is seen of one subject now, against the condition."""

    subject: str
    holds: Truth
    fields: Mapping[str, Any]
    parts: tuple[Part, ...] = ()
    hold: Hold | None = None  # as the last pass left it
    after: Hold | None = None  # as the next pass would
    incident: Incident | None = None  # that is open about it
    opens: bool = False  # the next pass would open one


@frozen
class Failure:
    """A failed attempt of an operation, and whether an `error` detector is about it."""

    operation: str
    message: str
    at: float
    matches: Truth


@frozen
class Inquiry:
    """All that is known of a detector on a host."""

    detector: Detector
    runbook: Runbook
    host: str
    condition: str
    concerns: bool  # its `hosts` name this host
    looked: float | None = None  # when; None = nobody looked
    unseen: str = ""  # why the look saw nothing
    absent: str = ""  # what the host lacks
    sights: tuple[Sight, ...] = ()
    holds: Mapping[str, Hold] = field(default_factory=dict)  # by subject, as the last pass left them
    incidents: tuple[Incident, ...] = ()  # that are open
    members: tuple[tuple[str, Truth, float | None], ...] = ()  # of a correlation: name, what it says, when it last held
    failures: tuple[Failure, ...] = ()  # of an `error` detector: the last ones
    cursor: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)  # the cursor that this look would leave
    guards: tuple[Mapping[str, Any], ...] = ()  # as they would answer now
    input_of: tuple[str, ...] = ()  # the detectors that ask this one, which opens nothing by itself


def inquire(
    journal: Journal,
    runbook: Runbook,
    name: str,
    host: str,
    now: float,
    among: Among,
    *,
    look: bool,
    given: Mapping[str, Any],
) -> Inquiry:
    """Return what is known of a detector on a host.

    Args:
        journal: what earlier passes left.
        runbook: whose detector it is.
        name: the detector's.
        host: where.
        now: seconds since the epoch.
        among: the inventory, and how its hosts are reached.
        look: ask the host, too.
        given: secrets that stand in the place of the runbook's.
    """
    detector = next(each for each in runbook.detectors if each.name == name)
    settings = Settings(check=True, operations=False)
    session = Session(Request(runbook, "explain", settings, commits=False, secrets=given)) if look else None
    secrets = session.secrets if session is not None else dict.fromkeys(runbook.secrets, "")
    chosen = among.only(host)
    own = replace(runbook, vars={**chosen.vars(host), **runbook.vars})
    scope = render.Scope(own, host=host, run={"id": "explain", "scratch": "/nonexistent"}, secrets=secrets)
    every = runbook.every if isinstance(runbook.every, float) else 60.0
    groups = {each.name: each.groups for each in chosen.hosts}
    plan = Plan(runbook, "explain", settings, every, {host: scope}, groups, chosen.users)
    since = restore.horizon(runbook, now)
    state, cursors = restore.load(plan, journal, [host], since, now)
    keeper = keep.Keeper(journal, runbook.name, "explain", cursors, since=since, commits=False)
    state, _ = advance(state, keeper.told(now), now)
    found = Inquiry(
        detector,
        runbook,
        host,
        plan.condition(detector),
        plan.concerns(detector, host),
        holds={key[2]: hold for key, hold in state.holds.items() if key[:2] == (host, name)},
        incidents=tuple(one for one in state.incidents.values() if (one.host, one.detector) == (host, name)),
        cursor=cursors[host].get(name, {}),
        input_of=_askers(runbook, name) if detector.is_input else (),
        failures=tuple(_failures(journal, runbook, detector, host)) if detector.error is not None else (),
    )
    if session is not None and found.concerns:
        found = _looked(found, state, host, cursors[host], now, among)
    return replace(found, guards=_guards(state, found, now))


def parts(condition: Expression, values: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the parts of a condition with what each says, in the order in which they are written."""
    for node in _leaves(condition.ast):
        try:
            holds: Truth = truth(closures.closure(node)(values))
        except RenderError:
            holds = UNKNOWN
        names = {found.name for found in grammar.walk(node) if isinstance(found, nodes.Name)}
        yield Part(_text(condition, node), holds, {name: values[name] for name in sorted(names) if name in values})


def _leaves(node: nodes.Node) -> Iterator[nodes.Expr]:
    if isinstance(node, nodes.And | nodes.Or):
        for part in grammar.flat(node):
            yield from _leaves(part)
    elif isinstance(node, nodes.Expr):
        yield node


def _text(condition: Expression, node: nodes.Expr) -> str:
    """Return a part as it is written, without the parentheses around it."""
    begin = grammar.offset(node)
    if isinstance(node, nodes.Not) and node.lineno is not None:
        begin = node.lineno
    begins = sorted(grammar.offset(leaf) for leaf in _leaves(condition.ast))
    end = next((other for other in begins if other > grammar.offset(node)), len(condition.text))
    text = condition.text[begin:end].strip()
    while (cut := _without_tail(text)) != text:
        text = cut
    return text


def _without_tail(text: str) -> str:
    """Cut off what joins a part to the next one: `and`, `or`, `not`, parentheses that it did not open."""
    for word in (" and", " or", " not", "(", ")and", ")or"):
        if text.endswith(word):
            return text.removesuffix(word.lstrip(")")).rstrip()
    return text[:-1].rstrip() if text.endswith(")") and text.count(")") > text.count("(") else text


def _looked(found: Inquiry, state: State, host: str, cursors: Mapping[str, Any], now: float, among: Among) -> Inquiry:
    """Look at the host once, and say what the next pass would make of it."""
    if host != HOST and not among.knows(host):
        return replace(found, unseen=f"{host} is in no inventory that was given: name it by -i")
    runbook, detector = found.runbook, found.detector
    wanted = [one for one in runbook.detectors if one.name in {detector.name, *_members(runbook, detector)}]
    looks = _looks(state.plan, wanted, host, cursors, among) | _heard(state.plan, wanted, host, cursors, now)
    found = replace(found, looked=now)
    recovering, _ = advance(state, Recover(), now)
    after, commands = advance(recovering, Looked(host, looks), now)
    opened = {told.subject for told in commands if isinstance(told, Happened) and told.kind == "incident.opened"
              and told.detector == detector.name}  # fmt: skip
    look = looks.get(detector.name)
    if detector.probe == "component":
        look = _component(state, detector, host)
    if isinstance(look, NotSeen):
        return replace(found, unseen=look.reason)
    if isinstance(look, Lacking):
        return replace(found, absent=look.reason)
    scope, events = state.plan.scopes[host], catalogue.probe(detector.probe).events
    if detector.members:
        said = {name: told for (place, name), told in after.said.items() if place == host}
        told = tuple((name, said[name].holds if name in said else UNKNOWN, said[name].true_at if name in said else None)
                     for name in detector.members)  # fmt: skip
        verdicts = [correlate.correlate(detector, said, now)]
        found = replace(found, members=told)
    elif isinstance(look, Seen):
        found = replace(found, after=look.state)
        try:
            verdicts = judge(detector, look.records, scope, now, events)
        except RenderError as error:
            return replace(found, unseen=error.what)
    else:
        verdicts = []
    sights = [_sight(found, state, after, verdict, opens=verdict.subject in opened) for verdict in verdicts]
    return replace(found, sights=tuple(sights))


def _sight(found: Inquiry, state: State, after: State, verdict: Verdict, *, opens: bool) -> Sight:
    scope = state.plan.scopes[found.host]
    detector, key = found.detector, (found.host, found.detector.name, verdict.subject)
    values = {**_variables(detector, scope), **members(detector.probe, verdict.record.fields)}
    whole = detector.match == "all" or bool(detector.members)
    return Sight(
        verdict.subject,
        verdict.holds,
        {name: value for name, value in verdict.record.fields.items() if not is_unknown(value)},
        () if whole or not isinstance(detector.when, Expression) else tuple(parts(detector.when, values)),
        state.holds.get(key),
        after.holds.get(key),
        state.incidents.get(key),
        opens,
    )


def _variables(detector: Detector, scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables that a condition mentions, as far as they are no fields."""
    found = {}
    for name in detector.when.names if detector.when is not None else ():
        try:
            found[name] = scope[name]
        except KeyError:
            continue
    return found


def _looks(
    plan: Plan, wanted: Sequence[Detector], host: str, cursors: Mapping[str, Any], among: Among
) -> dict[str, Look]:
    names = [one.name for one in wanted]
    specs, looks = looking.specs(plan, host, names, lambda _, name: cursors.get(name, {}))
    if specs:
        with among.fleet() as hosts:
            looks |= looking.now(hosts, host, specs)
    return looks


def _heard(
    plan: Plan, wanted: Sequence[Detector], host: str, cursors: Mapping[str, Any], now: float
) -> dict[str, Look]:
    """Return what is known by alerts: what a watch has heard stands in the journal."""
    names = [one.name for one in wanted if catalogue.probe(one.probe).heard]
    if not names:
        return {}
    from runbook.engine.alerts.hearing import Hearing
    from runbook.engine.alerts.inbox import Inbox

    return Hearing(Inbox(), lambda _, name: cursors.get(name, {})).looks(plan, host, names, now)


def _component(state: State, detector: Detector, host: str) -> Look:
    try:
        params = render.probe("component", detector.params, state.plan.scopes[host], path=detector.path)
    except RenderError as error:
        return NotSeen(error.what)
    return components.look(state.plan.runbook, params.get("name"), state.attempts, host, state.people.resets)


def _guards(state: State, found: Inquiry, now: float) -> tuple[Mapping[str, Any], ...]:
    """Ask the guards about a recovery that would begin now, about what is seen, or about the host."""
    detector = found.detector
    if not detector.recover or not found.concerns:
        return ()
    sight = next((one for one in found.sights if one.holds is True), next(iter(found.sights), None))
    subject = sight.subject if sight is not None else next(iter(found.holds), "")
    key = (found.host, detector.name, subject)
    turn = Turn(replace(state, recovering=True), now)
    incident = state.incidents.get(key)
    if incident is not None and incident.state not in life.ASKED_AGAIN:
        return tuple(incident.answers)
    verdict = Verdict(subject, True, False, Record(subject, dict(sight.fields) if sight is not None else {}))
    asked = life.open_incident(turn, detector, key, verdict, now) if incident is None else incident
    turn.put(replace(asked, state=IncidentState.OPEN, seen=now, blind=False, answers=()))
    try:
        decision.decide(turn, turn.read("incidents")[key])
    except (RenderError, UserError):
        return ()  # its steps need what only an incident has
    told = [one.data["guards"] for one in turn.commands if isinstance(one, Happened) and one.kind == "decided"]
    return tuple(told[-1]) if told else ()


def _failures(journal: Journal, runbook: Runbook, detector: Detector, host: str) -> Iterator[Failure]:
    from runbook.engine.journal.ask import detector as questions

    assert detector.error is not None
    about = [one.name for one in runbook.operations if not detector.error.during or one.name in detector.error.during]
    for at, operation, data in questions.failures(journal, runbook.name, host, about, _FAILURES):
        message = str(data.get("error") or "")
        fields = {"message": message, "output": str(data.get("output") or ""), "exit_code": data.get("exit_code")}
        answer = within(_PATTERN_SECONDS, partial(errors.matches, detector, fields))
        yield Failure(operation, message, at, UNKNOWN if answer is None else answer)


def _members(runbook: Runbook, detector: Detector) -> set[str]:
    names = {name for name in (*detector.members, detector.verify.detector) if name}
    for name in list(names):
        inner = runbook.detector(name)
        if inner is not None and inner is not detector and inner.members:
            names |= _members(runbook, inner)
    return names


def _askers(runbook: Runbook, name: str) -> tuple[str, ...]:
    return tuple(one.name for one in runbook.detectors if name in one.members or one.verify.detector == name)
