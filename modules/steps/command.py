"""The step `command`."""

import os
from typing import List, Mapping, Optional, Tuple

from runbook.modules.actions import Action, Run
from runbook.modules.declare import Argv, Failed, Impact, Invalid, Path, Step, Unclear
from runbook.modules.frozen import field, frozen
from runbook.modules.host import Host


@frozen
class Command(Step):
    """Run a program with its arguments, without a shell: no pipes, no globs, no variables; `shell` has those.

    With `creates` or `unless` it runs only when it is needed, and may be run again after a crash.

    Example:
        - command: make -C src
        - command:
            argv: [git, clone, --depth=1, "https://github.com/vllm-project/vllm", /opt/vllm]
            creates: /opt/vllm/.git
    """

    impact = Impact.DISRUPTIVE
    idempotent = False  # but see `again`

    argv: Argv  # the program and its arguments: a list, or a line that is split at spaces
    creates: Optional[Path] = None  # a path; when it exists, there is nothing to do
    unless: Optional[Argv] = None  # a command that only looks; when it ends with 0, there is nothing to do
    env: Mapping[str, str] = field(default_factory=dict)  # variables added to the environment
    cwd: Optional[Path] = None  # the directory to run in
    stdin: Optional[str] = None  # text that the program reads from its standard input
    exit_codes: Tuple[int, ...] = (0,)  # the exit codes that mean success

    def check(self) -> None:
        """A program to run, and paths that mean the same from wherever the agent runs."""
        if not self.argv:
            raise Invalid("`argv` is empty: write the program and its arguments")
        if self.unless is not None and not self.unless:
            raise Invalid("`unless` is empty: write a program that ends with 0 when there is nothing to do")
        if self.cwd is not None and not os.path.isabs(self.cwd):
            raise Invalid(f"`cwd` must be an absolute path, not {self.cwd}")
        if self.creates is not None and not os.path.isabs(self.creates) and self.cwd is None:
            raise Invalid(f"`creates` must be an absolute path, or `cwd` must say where {self.creates} is")
        if not self.exit_codes:
            raise Invalid("`exit_codes` is empty: write the codes that mean success, such as [0]")

    def again(self) -> bool:
        """Whether the host can be asked if it was done already."""
        return self.creates is not None or self.unless is not None

    def plan(self, host: Host) -> List[Action]:
        """Run it, unless the host shows that it is done."""
        if self.creates is not None and os.path.exists(os.path.join(self.cwd or "/", self.creates)):
            return []
        if self.unless is not None and self._done(host, self.unless):
            return []
        return [Run(self.argv, env=self.env, cwd=self.cwd, stdin=self.stdin, ok_codes=self.exit_codes)]

    def _done(self, host: Host, unless: Tuple[str, ...]) -> bool:
        try:
            return host.run(*unless, timeout=60.0, env=self.env, cwd=self.cwd).exit_code == 0
        except Unclear as error:
            raise Failed(f"`unless` gave no answer, so the command was not run: {error}") from error
