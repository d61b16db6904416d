"""What `runbook new step` and `runbook new probe` write: a module that works, and its cases."""

from __future__ import annotations

from typing import Final

STEP: Final = '''\
"""The step `{name}`."""

from dataclasses import dataclass
from typing import List

from runbook.modules.acting import tree
from runbook.modules.actions import Action, Write
from runbook.modules.declare import Impact, Path, Step
from runbook.modules.host import Host


@dataclass(frozen=True)
class {cls}(Step):
    """Write a line into a file, unless it says so already.

    Example:
        - {name}: {{path: /srv/app/drain, text: disk full}}
    """

    impact = Impact.LOW  # what it can do to the work on a host: NONE, LOW, DISRUPTIVE or DESTRUCTIVE
    idempotent = True  # it may run again after a crash of which nothing is known
    writes = ("path",)  # these parameters must lie in the runbook's `writable`

    path: Path  # the file
    text: str = ""  # what it says

    def plan(self, host: Host) -> List[Action]:
        """Look, and say what is to be done; nothing is changed here. An empty list means that all is well."""
        tree.inside(self.path, host.writable)
        content = f"{{self.text}}\\n".encode()
        try:
            with open(self.path, "rb") as file:
                before = file.read()
        except FileNotFoundError:
            before = None
        return [] if before == content else [Write(self.path, content, mode=0o644, before=before)]
'''

STEP_CASES: Final = """\
# The cases of {name}: parameters and what the host has in, actions out. `runbook test {file}` judges them.
- case: a file that is not there is written
  params: {{path: "{{tmp}}/drain", text: disk full}}
  actions: [{{write: {{path: "{{tmp}}/drain", content: "disk full\\n"}}}}]
- case: a file that says so already is left alone
  params: {{path: "{{tmp}}/drain", text: disk full}}
  files: {{drain: "disk full\\n"}}
  actions: []
- case: a file outside of what is writable is refused
  params: {{path: /etc/drain}}
  refused: /etc/drain
"""

PROBE: Final = '''\
"""The probe `{name}`."""

from dataclasses import dataclass
from typing import Iterator, Optional

from runbook.modules.declare import Path, Probe, Record, Unclear
from runbook.modules.host import Host


@dataclass(frozen=True)
class {cls}Record(Record):
    """What it saw of one path."""

    path: str  # the path that was asked for
    number: Optional[float]  # the number in it; null where there is no such file


@dataclass(frozen=True)
class {cls}(Probe):
    """The number that a file holds.

    Example:
        - {name}: /run/app/queue
          when: number > 100
    """

    record = {cls}Record
    subject = "path"  # the field that names what an incident is about
    timeout = 10.0  # seconds for a look

    path: Path  # the file

    def look(self, host: Host) -> Iterator[Record]:
        """Yield what is there; raise Absent where the host has no such thing, Unclear where the look failed."""
        try:
            with open(self.path, encoding="utf-8") as file:
                number: Optional[float] = float(file.read(100))
        except FileNotFoundError:
            number = None
        except (OSError, ValueError) as error:
            raise Unclear(f"{{self.path}} can't be read: {{error}}") from error
        yield {cls}Record(self.path, number)
'''

PROBE_CASES: Final = """\
# The cases of {name}: parameters and what the host has in, records out. `runbook test {file}` judges them.
- case: the number is read
  params: "{{tmp}}/queue"
  files: {{queue: "12\\n"}}
  records: [{{path: "{{tmp}}/queue", number: 12}}]
- case: a file that is not there has no number
  params: "{{tmp}}/queue"
  records: [{{number: null}}]
- case: a file that holds no number is unknown
  params: "{{tmp}}/queue"
  files: {{queue: many}}
  unclear: can't be read
"""
