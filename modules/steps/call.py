"""The step `call`."""

from dataclasses import field
from typing import Any, List, Mapping

from runbook.modules.actions import Action
from runbook.modules.declare import Failed, Impact, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

ONLY_FROM_PYTHON = "only a Python program that uses this runbook can call its functions: `from runbook import Engine`"


@frozen
class Call(Step):
    """Call a function of the Python program that uses this runbook, as an operation or as a recovery.

    An operation's `call:` without a name stands for the function that the program hands over: `@heal("api.yaml",
    operation="generate")`, or `engine.run(function, …)`. A name is one that the program registered by `@engine.action`.
    A function that raises has failed, and `error` detectors see its message; what it returns is the answer.

    Example:
        - call: clean_up
        - call: {function: shrink_batch, arguments: {factor: 0.5}}
    """

    impact = Impact.DISRUPTIVE
    idempotent = False  # nobody knows what a function does

    function: str = ""  # the name under which the program registered it; empty = what it hands over
    arguments: Mapping[str, Any] = field(default_factory=dict)  # given by name, beside those of the program's own call

    def plan(self, host: Host) -> List[Action]:  # noqa: ARG002 -- no host has the program's functions
        """Refuse: a host has no such function."""
        raise Failed(ONLY_FROM_PYTHON)
