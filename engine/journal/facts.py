"""What goes into the journal and comes out of it: facts, and the rows of its projections.

The kinds of facts, with what their `data` says (all keys are optional, the reports show what is there):

=================  ====================================================================================
run.begun          runbook file command check hosts (names) detectors (how many) chosen (their names) counted (seconds
                   for which its limits count recoveries; null: for ever) watched (of a `check`: a watch is at it)
run.ended          exit_code duration
look.unknown       reason; subjects, where not all is unknown; here and below, `detector` stands in the data where the
                   fact names none
look.seen          after an unknown look: the detector can be asked again
look.absent        reason
look.well          holds input fields when; no subject: nothing was there; for reports alone
host.unreachable   reason; once for each reason, until it is
host.reached       it answers again
host.looked        all that was asked of its detectors is in; of runs over several hosts, for reports alone
run.halted         reason: nothing new is begun (max_fail_percentage, a deadline)
incident.pending   since hold fields when; detector_pending subject_pending where the fact names none
incident.resumed   of an earlier run: state reason opened severity since fields when count; for reports alone
incident.opened    severity since fields when count category; `state` when it does not open as `open`; of a state whose
                   recovery was in vain, in place of since: again (that incident), first (when it was first seen)
incident.changed   from to reason
incident.ended     to reason opened since; fields: what was seen at the last look
incident.folded    root root_host root_detector: it follows from that incident, and is listed below it
guard.refused      guard reason until; rung, where it stood before one
decided            guards (each guard ok reason until); when one of them says something else than the last time
recovery.begun     strategy
recovery.ended     begun
rung.vain          rung
rung.won           rungs left: side by side; it is well, and those that were left are not begun
verified.look      fields clear (true, false or null) at; when the answer is another, and the last one
step.begun         module title path subject_acted; the fact's `step` is its intent
step.ended         module title rung phase status changed duration error output exit_code actions diff
step.undone        what step.ended says, of an undo; the fact's `step` is the intent that was undone
attempt.begun      attempt attempts
attempt.ended      attempt ok module progress local (it failed by what is here), and what step.ended says
attempt.delayed    attempt (the next one) delay
operation.ended    state attempts duration error
attempt.refused    component member reason until: its breaker is open
operation.undone   what was undone after an operation failed for good
pool.switched      pool from to
notified           message title severity; kind, where `tell` says it: open waiting remind unhealed cured
channel.told       channel status (sent, failed, held) reason message place cured: a message to one channel of people
approval.given     by reason until digest; here and below the fact's run is empty: a person said it
approval.refused   by reason until digest
incident.acked     by reason until
incident.unacked   by
incident.released  by reason; an `incident.ended` follows
maintenance.begun  id hosts by reason until
maintenance.ended  id by
component.reset    component by; no host: on every host
=================  ====================================================================================

`fields` are those of the record that was seen; `evidence`, a sentence, may stand in their place.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- dataclass fields
from typing import Any

from runbook.modules.frozen import field, frozen


@frozen
class RunStart:
    """A run as it begins."""

    id: str
    runbook: str
    file: str
    digest: str  # of the runbook's text
    command: str  # apply, check, run
    started: float
    by: str  # who started it: user@machine


@frozen
class Fact:
    """Something that happened: an event of the journal, and what reports are made of."""

    kind: str
    at: float
    run: str
    host: str = ""
    detector: str = ""
    subject: str = ""
    incident: str = ""
    operation: str = ""
    step: str = ""  # the step's path in the runbook, as text
    data: Mapping[str, Any] = field(default_factory=dict)


@frozen
class IncidentRow:
    """An incident as it stands now; `data` holds everything that the state machine needs to go on."""

    id: str
    runbook: str
    detector: str
    host: str
    subject: str
    state: str
    severity: str
    opened: float
    updated: float
    closed: float | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@frozen
class HoldRow:
    """A condition that has held since `since`, as the last look at `seen` found it."""

    detector: str
    host: str
    subject: str
    since: float
    seen: float
    data: Mapping[str, Any] = field(default_factory=dict)


@frozen
class IntentRow:
    """A step that is about to be sent: durable before it is."""

    id: str
    run: str
    host: str
    subject: str
    incident: str
    operation: str
    module: str
    title: str
    params: Mapping[str, Any]  # redacted
    at: float
    epoch: int = 0
    carrier: str = ""  # the host that carries it out, where that is another one
    user: str = ""  # under whom; "" = who logs in there


@frozen
class Recovery:
    """A recovery that was begun; `ended` is None while it runs, or when its run was killed."""

    detector: str
    host: str
    subject: str
    begun: float
    ended: float | None = None


@frozen
class StepBegun:
    """A step that was begun: what a step's own limit counts."""

    module: str
    path: str
    host: str
    subject: str
    at: float
