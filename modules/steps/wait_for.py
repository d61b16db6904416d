"""The step `wait_for`."""

from runbook.modules import catalogue
from runbook.modules.declare import Condition, Duration, Impact, Invalid, ProbeCall, Step
from runbook.modules.frozen import frozen


@frozen
class WaitFor(Step):
    """Look with a probe again and again until a condition holds for one of its records; fail when it does not in time.

    Looking is all it does, so it may be run again. An unknown look counts as "not yet".

    Example:
        - wait_for:
            probe: {http: {url: "http://127.0.0.1:8000/health"}}
            when: status == 200
            within: 5m
    """

    impact = Impact.NONE
    engine = True
    timeout = 7 * 86400.0  # `within` is the bound

    probe: ProbeCall  # one probe and its parameters, as in a detector
    when: Condition  # what must hold, over the fields of the probe's record
    every: Duration = 2.0  # the time between two looks
    within: Duration = 60.0  # the time after which the step fails

    def check(self) -> None:
        """One probe that looks at hosts, and times that leave room for a look."""
        if len(self.probe) != 1:
            raise Invalid("`probe` takes one probe and its parameters: write {http: {url: …}}")
        name = next(iter(self.probe))
        if name in catalogue.probe_names() and catalogue.probe(name).engine:
            raise Invalid(f"`{name}` looks at no host: wait for a probe such as http, port or daemon")
        if self.every <= 0:
            raise Invalid("`every` must be longer than 0: write 2s")
        if self.within < self.every:
            raise Invalid("`within` must be at least as long as `every`")
