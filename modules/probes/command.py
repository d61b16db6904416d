"""The `command` probe: what a program says of the host."""

import shlex
import time
from dataclasses import field
from typing import Any, ClassVar, Iterator, Mapping, Optional, Type

from runbook.modules import cut
from runbook.modules.declare import Argv, Duration, Invalid, Path, Probe, Record
from runbook.modules.formats.structure import structure
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

HEAD, TAIL = 16 * 1024, 48 * 1024  # characters of its output that are kept: where it begins, and how it ends


@frozen
class Answer(Record):
    """One run of a program."""

    command: str  # the command line
    exit_code: int  # 0 = it says that all is well; negative: the signal that ended it
    stdout: str  # what it printed: the first 16 and the last 48 KiB
    stderr: str  # what it complained of, cut in the same way
    json: Any  # what it printed, where that is a JSON mapping or list of at most 64 levels; else null
    duration: Duration  # how long it ran


@frozen
class Command(Probe):
    """Run a program that only looks, and judge its exit code or its output.

    No shell takes part: `command: a | b` passes `|` and `b` to `a`. A program that can't be started, or does not end
    in time, says nothing: the detector is `unknown`.

    Example:
        - name: fabric manager ill
          command: nvidia-smi topo -m
          when: exit_code != 0
    """

    record: ClassVar[Type[Record]] = Answer
    subject: ClassVar[Optional[str]] = "command"

    argv: Argv  # the program and its arguments
    env: Mapping[str, str] = field(default_factory=dict)  # variables added to its environment
    cwd: Optional[Path] = None  # the directory in which it runs
    timeout_: Duration = 20.0  # how long it may take

    def check(self) -> None:
        """Refuse what can't be run."""
        if not self.argv:
            raise Invalid("there is nothing to run: name a program")
        if self.timeout_ <= 0:
            raise Invalid("a program needs some time: write `timeout: 20s`")

    def look(self, host: Host) -> Iterator[Record]:
        """Run it once."""
        begun = time.monotonic()
        done = host.run(*self.argv, timeout=self.timeout_, env=self.env, cwd=self.cwd)
        yield Answer(
            command=shlex.join(self.argv),
            exit_code=done.exit_code,
            stdout=_kept(done.stdout),
            stderr=_kept(done.stderr),
            json=structure(done.stdout),
            duration=time.monotonic() - begun,
        )


def _kept(text: str) -> str:
    if len(text) <= HEAD + TAIL:
        return text
    begins, ends = cut.before(text[:HEAD]), cut.after(text[-TAIL:])
    return f"{begins}\n… {len(text) - len(begins) - len(ends)} characters left out …\n{ends}"
