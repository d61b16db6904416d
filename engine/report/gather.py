"""From facts to what a pass came to: a fold that can be asked at any time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.journal import codec
from runbook.engine.report import evidence, finished, reading
from runbook.engine.report.findings import Findings
from runbook.engine.report.lasting import Lasting
from runbook.engine.report.passes import (
    AttemptReport,
    HostReport,
    IncidentReport,
    OperationReport,
    PassReport,
    RefusedReport,
    RunReport,
    Well,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runbook.engine.journal.facts import Fact

_OF_HOSTS = frozenset({"host.reached", "host.looked"})  # kinds without data


class Gather:
    """Takes facts in, in the order in which they happened; secrets are left outside."""

    def __init__(self, redact: codec.Redact = codec.as_is) -> None:
        self._redact = redact
        self._runs: dict[str, RunReport] = {}
        self._hosts: dict[str, dict[str, HostReport]] = {}  # of each run: what its report shows, in place
        self._incidents: dict[tuple[str, str], Findings] = {}  # by run and host
        self._well_there: dict[tuple[str, str], dict[tuple[str, str], Well]] = {}  # the same, by detector and subject
        self._changed_on: dict[str, set[str]] = {}  # by run: the hosts whose reports lack the last of them
        self._looked: dict[str, set[str]] = {}  # names of hosts, of runs that tell of them
        self._lasting = Lasting()

    def add(self, fact: Fact) -> Fact:
        """Take a fact in; return it without secrets."""
        if fact.kind in _OF_HOSTS and fact.run in self._runs:  # every healthy host has these, and no others
            self._stands(fact)
            return fact
        fact = reading.clean(fact, self._redact)
        run = self._runs.get(fact.run)
        if run is None:
            hosts = self._hosts[fact.run] = {}
            run = RunReport(fact.data.get("runbook", ""), fact.run, fact.at, 0.0, hosts)
        self._runs[fact.run] = replace(run, duration=max(run.duration, fact.at - run.started))
        if fact.kind == "run.begun":
            self._begin(fact)
        elif take := _KINDS.get(fact.kind):
            take(self, fact)
        return fact

    def report(self, *, stopped: bool = False) -> PassReport:
        """Return what it has come to so far."""
        whole = [finished.ordered(self._whole(run)) for run in self._runs.values()]
        runs = tuple(replace(run, looked=self._seen_hosts(run, stopped)) for run in whole)
        if stopped and runs:  # the last one: no other begins after a signal
            runs = (*runs[:-1], finished.cut_short(runs[-1]))
        return PassReport(runs, stopped=stopped)

    def _seen_hosts(self, run: RunReport, stopped: bool) -> set[str] | None:
        """Return the hosts that were looked at; where a run over many was cut short before it told of any, none."""
        early = (stopped or run.halted) and len(run.hosts) > 1
        return self._looked.get(run.run_id, set() if early else None)

    def run(self, fact: Fact) -> RunReport:
        """Return the run that a fact belongs to; its hosts go on changing."""
        return self._whole(self._runs[fact.run])

    def host(self, fact: Fact) -> HostReport:
        """Return the host that a fact is about, as it is so far."""
        self._whole(self._runs[fact.run])
        return self._host(fact)

    def incident(self, fact: Fact) -> IncidentReport:
        """Return the incident that a fact is about, as it is so far."""
        known = self._found(fact).find(fact)
        return known or IncidentReport(fact.incident, reading.detector(fact), reading.subject(fact), "open")

    def operation(self, fact: Fact) -> OperationReport:
        """Return the operation that a fact is about, as it is so far."""
        known = (one for one in self._host(fact).operations if one.name == fact.operation)
        return next(known, OperationReport(fact.operation, "running"))

    def _begin(self, fact: Fact) -> None:
        data = fact.data
        names, detectors, aside = data.get("hosts"), data.get("detectors"), data.get("aside")
        if isinstance(names, list):
            self._hosts[fact.run].update((str(name), HostReport(str(name))) for name in names)
        self._runs[fact.run] = replace(
            self._runs[fact.run],
            runbook=str(data.get("runbook", "")),
            check=bool(data.get("check")),
            command=str(data.get("command") or ""),
            planned=reading.names(data.get("operations")),
            order=reading.names(data.get("order")),
            detectors=detectors if isinstance(detectors, int) else 0,
            aside=aside if isinstance(aside, int) else 0,
            watched=data.get("watched") is True,
        )

    def _host(self, fact: Fact) -> HostReport:
        return self._hosts[fact.run].get(fact.host) or HostReport(fact.host)

    def _put(self, fact: Fact, host: HostReport) -> None:
        self._hosts[fact.run][fact.host] = host

    def _change(self, fact: Fact, **changes: Any) -> None:
        old = self.incident(fact)
        self._found(fact).put(fact, replace(old, id=fact.incident or old.id, **changes))
        self._hosts[fact.run].setdefault(fact.host, HostReport(fact.host))
        self._changed_on.setdefault(fact.run, set()).add(fact.host)

    def _found(self, fact: Fact) -> Findings:
        return self._incidents.setdefault((fact.run, fact.host), Findings())

    def _whole(self, run: RunReport) -> RunReport:
        """Bring what has changed into the report of its hosts: once, however many facts came."""
        hosts = self._hosts[run.run_id]
        for name in self._changed_on.pop(run.run_id, ()):
            found, well = self._incidents.get((run.run_id, name)), self._well_there.get((run.run_id, name), {})
            incidents = hosts[name].incidents if found is None else found.rows()
            hosts[name] = replace(hosts[name], incidents=incidents, well=tuple(well.values()))
        return run

    def _operate(self, fact: Fact, **changes: Any) -> None:
        host, old = self._host(fact), self.operation(fact)
        new = replace(old, **changes)
        kept = tuple(new if one is old else one for one in host.operations)
        self._put(fact, replace(host, operations=kept if old in host.operations else (*host.operations, new)))

    def _unknown(self, fact: Fact) -> None:
        host = self._host(fact)
        others = tuple(one for one in host.unknown if one.detector != reading.detector(fact))
        self._put(fact, replace(host, unknown=(*others, reading.unseen(fact))))

    def _seen(self, fact: Fact) -> None:
        host, detector = self._host(fact), reading.detector(fact)
        unknown, absent = (
            tuple(one for one in group if one.detector != detector) for group in (host.unknown, host.absent)
        )
        self._put(fact, replace(host, unknown=unknown, absent=absent))

    def _absent(self, fact: Fact) -> None:
        host = self._host(fact)
        others = tuple(one for one in host.absent if one.detector != reading.detector(fact))
        self._put(fact, replace(host, absent=(*others, reading.unseen(fact))))

    def _well(self, fact: Fact) -> None:
        about = reading.detector(fact), fact.subject
        seen = reading.seen(fact)
        new = Well(
            *about,
            seen["evidence"],
            seen["fields"],
            holds=bool(fact.data.get("holds")),
            is_input=bool(fact.data.get("input")),
            when=str(fact.data.get("when") or ""),
        )
        there = self._well_there.setdefault((fact.run, fact.host), {})
        there.pop(about, None)  # the newest stands last
        there[about] = new
        self._put(fact, self._host(fact))
        self._changed_on.setdefault(fact.run, set()).add(fact.host)

    def _unreachable(self, fact: Fact) -> None:
        self._put(fact, replace(self._host(fact), unreachable=str(fact.data.get("reason") or "unreachable")))

    def _stands(self, fact: Fact) -> None:
        """Take in that a host was reached, or looked at."""
        if fact.kind == "host.looked":
            self._looked.setdefault(fact.run, set()).add(fact.host)
        elif (host := self._host(fact)).unreachable:
            self._put(fact, replace(host, unreachable=""))

    def _halted(self, fact: Fact) -> None:
        self._runs[fact.run] = replace(self._runs[fact.run], halted=str(fact.data.get("reason") or "it was halted"))

    def _pending(self, fact: Fact) -> None:
        since = fact.data.get("since", fact.at)
        self._change(
            fact,
            state="pending",
            since=since,
            held=fact.at - since,
            hold=fact.data.get("hold"),
            count=fact.data.get("counted") or 1,
            wanted=fact.data.get("count") or 1,
            **reading.seen(fact),
        )

    def _open(self, fact: Fact) -> None:
        data = fact.data
        self._lasting.opened(fact)
        self._change(
            fact,
            state=str(data.get("state") or "open"),
            reason=str(data.get("reason") or ""),
            since=data.get("since", data.get("first")),
            count=data.get("count") or 1,
            **reading.seen(fact),
        )

    def _changed(self, fact: Fact) -> None:
        to = str(fact.data.get("to") or "open")
        if to == "verifying":
            self._lasting.verifying(fact)
        self._change(fact, state=to, reason=str(fact.data.get("reason") or ""), **self._times(fact))

    def _folded(self, fact: Fact) -> None:
        data = fact.data
        self._change(fact, root=f"{data.get('root_detector')} on {data.get('root_host')} ({data.get('root')})")

    def _ended(self, fact: Fact) -> None:
        data = fact.data
        self._lasting.ended(fact)
        after = evidence.sentence({"when": self.incident(fact).when, **data}, subject=reading.subject(fact))
        self._change(fact, state=str(data.get("to") or "cured"), reason=str(data.get("reason") or ""), after=after,
                     **self._times(fact))  # fmt: skip

    def _times(self, fact: Fact) -> dict[str, float | None]:
        return self._lasting.times(fact, self.incident(fact))

    def _begun(self, fact: Fact) -> None:
        late, hosts = self._lasting.recovering(fact)
        if late > self._runs[fact.run].late:
            self._runs[fact.run] = replace(self._runs[fact.run], late=late, late_for=hosts)

    def _waits(self, fact: Fact) -> None:
        self._lasting.held(fact)

    def _refused(self, fact: Fact) -> None:
        self._change(fact, reason=str(fact.data.get("reason") or fact.data.get("guard") or ""))

    def _step(self, fact: Fact) -> None:
        if fact.data.get("phase") == "switch":
            return  # its `failover` tells of it
        step = reading.step_report(fact.data)
        if fact.incident:
            self._change(fact, steps=(*self.incident(fact).steps, step))
        elif fact.operation:
            self._operate(fact, steps=(*self.operation(fact).steps, step))
        else:
            host = self._host(fact)
            self._put(fact, replace(host, steps=(*host.steps, step)))

    def _channel(self, fact: Fact) -> None:
        host, data = self._host(fact), fact.data
        one = {name: data.get(name) for name in ("channel", "status", "reason", "message", "cured")}
        self._put(fact, replace(host, told=(*host.told, one)))

    def _attempting(self, fact: Fact) -> None:
        self._operate(fact, state="running", attempts=int(fact.data.get("attempt") or 1))

    def _attempt(self, fact: Fact) -> None:
        data, tries = fact.data, self.operation(fact).tries
        attempt = AttemptReport(
            bool(data.get("ok")),
            str(data.get("error") or ""),
            reading.number(data.get("duration")),
            member=str(data.get("member") or ""),
        )
        self._operate(
            fact,
            tries=(*tries, attempt),
            attempts=int(data.get("attempt") or len(tries) + 1),
            steps=(reading.step_report(data),) if data.get("module") else self.operation(fact).steps,
        )

    def _delayed(self, fact: Fact) -> None:
        *others, last = self.operation(fact).tries or (AttemptReport(ok=False),)
        self._operate(fact, tries=(*others, replace(last, delay=reading.number(fact.data.get("delay")))))

    def _held(self, fact: Fact) -> None:
        data, refused = fact.data, self.operation(fact).refused
        until = data.get("until")
        one = RefusedReport(
            str(data.get("component") or ""),
            str(data.get("reason") or ""),
            float(until) if isinstance(until, int | float) else None,
        )
        self._operate(fact, refused=(*refused, one))

    def _operated(self, fact: Fact) -> None:
        data, known = fact.data, self.operation(fact)
        state, attempts = str(data.get("state") or "succeeded"), int(data.get("attempts") or known.attempts)
        if self._runs[fact.run].check:  # nothing was attempted
            state, attempts = "planned" if state == "succeeded" else state, 0
        self._operate(
            fact,
            state=state,
            attempts=attempts,
            duration=reading.number(data.get("duration"))
            or sum(one.duration + (one.delay or 0.0) for one in known.tries),
            error=str(data.get("error") or ""),
            member=str(data.get("member") or ""),
            fallback=str(data.get("fallback") or ""),
            after=str(data.get("after") or ""),
            undone=tuple(reading.undone(each) for each in data.get("undone") or ()),
            hindered=bool(data.get("hindered")),
        )


_KINDS: Mapping[str, Callable[[Gather, Fact], None]] = {
    "look.unknown": Gather._unknown,  # noqa: SLF001 -- the class's own table
    "look.seen": Gather._seen,  # noqa: SLF001
    "look.absent": Gather._absent,  # noqa: SLF001
    "look.well": Gather._well,  # noqa: SLF001
    "host.unreachable": Gather._unreachable,  # noqa: SLF001
    "run.halted": Gather._halted,  # noqa: SLF001
    "incident.pending": Gather._pending,  # noqa: SLF001
    "incident.opened": Gather._open,  # noqa: SLF001
    "incident.resumed": Gather._open,  # noqa: SLF001
    "incident.folded": Gather._folded,  # noqa: SLF001
    "incident.changed": Gather._changed,  # noqa: SLF001
    "incident.ended": Gather._ended,  # noqa: SLF001
    "recovery.begun": Gather._begun,  # noqa: SLF001
    "decisions.held": Gather._waits,  # noqa: SLF001
    "guard.refused": Gather._refused,  # noqa: SLF001
    "channel.told": Gather._channel,  # noqa: SLF001
    "step.ended": Gather._step,  # noqa: SLF001
    "step.undone": Gather._step,  # noqa: SLF001
    "attempt.begun": Gather._attempting,  # noqa: SLF001
    "attempt.ended": Gather._attempt,  # noqa: SLF001
    "attempt.refused": Gather._held,  # noqa: SLF001
    "attempt.delayed": Gather._delayed,  # noqa: SLF001
    "operation.ended": Gather._operated,  # noqa: SLF001
}
