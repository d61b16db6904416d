"""The `error` probe: an operation's attempt that failed."""

from typing import ClassVar, Literal, Optional, Tuple, Type

from runbook.modules.declare import Invalid, Probe, Record, Regex
from runbook.modules.frozen import frozen


@frozen
class FailedAttempt(Record):
    """One attempt of an operation that failed."""

    operation: str  # the operation's name
    message: str  # what it said when it failed: what the patterns are looked for in
    exit_code: Optional[int]  # the exit code of its program; none where no program ended
    signal: Optional[str]  # the signal that ended its program, such as KILL
    output: str  # the end of what it printed
    attempt: int  # the number of the attempt, from 1
    signature: Optional[str]  # the entry of the catalogue that matches; null where it was something else
    role: Optional[Literal["root", "cascade", "confirmation", "advice"]]  # of the signature


@frozen
class Error(Probe):
    """An operation's attempt fails with a message or an exit code: its recovery runs, then comes the next attempt.

    The first detector in the file that matches is the one that counts. Without any parameter it matches every
    failure. `runbook doc signatures` lists the catalogue; what it calls advice is no evidence here.

    Example:
        - name: disk full
          error: '(?i)no space left|disk full|quota exceeded'
          recover: [{clear_cache: {path: /srv/cache, older_than: 7d}}]
    """

    record: ClassVar[Type[Record]] = FailedAttempt
    subject: ClassVar[Optional[str]] = "operation"
    events: ClassVar[bool] = True
    engine: ClassVar[bool] = True

    patterns: Tuple[Regex, ...] = ()  # regular expressions; one of them is found in the message or the output
    signatures: Tuple[str, ...] = ()  # entries of the catalogue by id, such as hf.auth, or hf.* for several
    exit_codes: Tuple[int, ...] = ()  # the program's exit code is one of these; -9 is the signal KILL
    during: Tuple[str, ...] = ()  # only these operations; none named = all

    def check(self) -> None:
        """Refuse exit codes that no program can have."""
        for code in self.exit_codes:
            if not -64 <= code <= 255:
                raise Invalid(f"{code} is no exit code: they go from 0 to 255, and -1 to -64 stand for signals")
