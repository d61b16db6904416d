"""The step `shell`."""

import os
from dataclasses import field
from typing import List, Mapping, Optional, Tuple

from runbook.modules.actions import Action, Run
from runbook.modules.declare import Impact, Invalid, Path, Script, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host


@frozen
class Shell(Step):
    """Run a script with `/bin/sh -eu`: it ends at the first command that fails and at a variable that is not set.

    A mistyped variable thus never makes `rm -rf "$ROOT/cache"` mean `/cache`; a script that wants otherwise says
    `set +eu`. What comes from a host (an incident, a log line, an earlier step's output) never stands in the script:
    hand it over in `env` and write "$NAME" there. `writable` does not confine what a script does.

    Example:
        - shell:
            script: |
              nvidia-smi --query-gpu=index,temperature.gpu --format=csv > /var/tmp/gpus.csv
              gzip -f /var/tmp/gpus.csv
        - shell:
            script: journalctl -u "$UNIT" | tail -n 200 > /var/tmp/unit.log
            env: {UNIT: "{{ incident.subject }}"}
    """

    impact = Impact.DESTRUCTIVE
    idempotent = False

    script: Script  # the script
    env: Mapping[str, str] = field(default_factory=dict)  # variables added to the environment
    cwd: Optional[Path] = None  # the directory to run in
    exit_codes: Tuple[int, ...] = (0,)  # the exit codes that mean success

    def check(self) -> None:
        """A script to run, and a directory that means the same from wherever the agent runs."""
        if not self.script.strip():
            raise Invalid("`script` is empty: write what the shell is to run")
        if self.cwd is not None and not os.path.isabs(self.cwd):
            raise Invalid(f"`cwd` must be an absolute path, not {self.cwd}")
        if not self.exit_codes:
            raise Invalid("`exit_codes` is empty: write the codes that mean success, such as [0]")

    def plan(self, host: Host) -> List[Action]:  # noqa: ARG002 -- nothing on the host says whether it is needed
        """Run the script."""
        argv = ("/bin/sh", "-eu", "-c", self.script)
        return [Run(argv, env=self.env, cwd=self.cwd, ok_codes=self.exit_codes)]
