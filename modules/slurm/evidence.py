"""What stands beside the accounts of jobs that failed: their own output, their progress, and what ails their nodes."""

import contextlib
import os
import pwd
import re
import stat
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.declare import Unclear
from runbook.modules.host import Host
from runbook.modules.logs.patterns import Pattern
from runbook.modules.slurm import said, units, verdict
from runbook.modules.slurm.job import Job
from runbook.modules.slurm.queue import ENV, TIME
from runbook.modules.slurm.said import Line

_TAIL = 256 * 1024  # bytes of a job's output that are read
_FIELD = re.compile(r"(?:^|\s)(StdErr|StdOut|WorkDir|JobId)=(.*?)(?=\s\w[\w:/.-]*=|\s*$)")
_ILL = re.compile(
    r"\bxid\b|\becc\b|\bgpu\b|nvlink|nvrm|not responding|kill task failed|hardware|\bnhc\b", re.IGNORECASE)  # fmt: skip
_UNLAUNCHED = re.compile(r"prolog error|batch job complete failure|duplicate jobid", re.IGNORECASE)
_AT_ONCE = 60.0  # seconds from the start of a job to the end of what can't launch it
_DOWN = re.compile(r"down|fail|inval", re.IGNORECASE)
_SOON = 600.0  # seconds after a job's end within which what ails its node may have ended it


class Output(NamedTuple):
    """Where a job writes."""

    err: str
    out: str


class Read(NamedTuple):
    """What a job's output tells."""

    lines: Tuple[Line, ...] = ()
    progress: Optional[float] = None
    unread: str = ""


class Node(NamedTuple):
    """A node as the controller has it."""

    host: str  # the machine behind it
    ails: str  # what ails it, in the words of whoever took it out; empty where nothing does
    since: Optional[float]  # when that was said
    why: str = ""  # for which it was taken out, whether that ails it or not


def outputs(host: Host, job: Job) -> Optional[Output]:
    """Return where a job writes; None where the controller does not know it any more.

    Raises:
        Unclear: the controller does not answer.
    """
    done = host.run("scontrol", "--oneliner", "show", "job", job.id, timeout=TIME)
    if done.exit_code:
        if "nvalid job id" in done.stderr + done.stdout:
            return None
        raise Unclear(
            f"the Slurm controller does not tell of job {job.id}: {(done.stderr or done.stdout).strip()[:200]}"
        )
    fields = dict(_FIELD.findall(done.stdout.strip()))
    return Output(fields.get("StdErr", ""), fields.get("StdOut", "")) if fields else None


def read(
    host: Host,
    found: Optional[Output],
    job: Job,
    pattern: Optional["re.Pattern[str]"],
    patterns: Sequence[Pattern] = (),
) -> Read:
    """Return what the end of a job's output tells; a pattern's last match is how far the job came."""
    if found is None:
        return Read(unread="the controller has forgotten where its output is")
    lines: List[Line] = []
    progress, unread = None, ""
    for path in dict.fromkeys((found.err, found.out)):
        if not path or path == "/dev/null":
            continue
        try:
            text = _end(host, path, job.user)
        except OSError as error:
            unread = f"{path} can't be read: {error.strerror or error}"
            continue
        lines += said.telling(text, {job.id, job.raw}, patterns)
        progress = _last(pattern, text) if pattern is not None and progress is None else progress
    return Read(tuple(lines), progress, unread)


def _last(pattern: "re.Pattern[str]", text: str) -> Optional[float]:
    found = None
    for match in pattern.finditer(text):
        told = match.groupdict().get("value") or (match[1] if pattern.groups else match[0])
        try:
            found = float(told)
        except (TypeError, ValueError):
            continue
    return found


def _end(host: Host, path: str, user: str) -> str:
    """Return the end of a plain file: a pipe or a device would wait for ever."""
    with _as(host, user):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with open(descriptor, "rb") as file:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            raise OSError(0, "it is no plain file")
        file.seek(max(0, seen.st_size - _TAIL))
        return file.read(_TAIL).decode("utf-8", "replace")


@contextlib.contextmanager
def _as(host: Host, user: str) -> Iterator[None]:
    """Open as root what the job's user may open: no more, since they name the file; and no less, on NFS too."""
    if host.uid() != 0 or user == "root":
        yield
        return
    try:
        owner = pwd.getpwnam(user)
    except KeyError as error:
        raise OSError(0, f"this host knows no user {user}") from error
    groups, group = os.getgroups(), os.getegid()
    os.setgroups(os.getgrouplist(owner.pw_name, owner.pw_gid))
    os.setegid(owner.pw_gid)
    os.seteuid(owner.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def nodes(host: Host) -> Dict[str, Node]:
    """Return the nodes by their names, and what ails those that are ill.

    Raises:
        Unclear: the controller does not answer.
    """
    done = host.run("sinfo", "--noheader", "--Node", "--format=%N|%n|%T|%H|%E", timeout=TIME, env=ENV)
    if done.exit_code:
        raise Unclear(f"the Slurm controller does not tell of its nodes: {done.stderr.strip()[:200]}")
    found = {}
    for line in done.stdout.splitlines():
        name, machine, state, since, reason = (*line.split("|", 4), *[""] * 5)[:5]
        taken_out = "drain" in state.lower() and _ILL.search(reason)
        ails = f"{state} {'' if reason in {'none', ''} else reason}".strip()
        found[name] = Node(machine, ails if taken_out or _DOWN.search(state) else "", units.moment(since), reason)
    return found


def ailing(known: Dict[str, Node], job: Job) -> Tuple[Tuple[str, str], ...]:
    """Return those of a job's nodes that are ill, and not only since long after it ended."""
    until = None if job.ended is None else job.ended + _SOON
    return tuple(
        (name, known[name].ails)
        for name in names(job.nodes)
        if name in known and known[name].ails and (until is None or (known[name].since or 0.0) <= until)
    )


def unfit(node: Node) -> bool:
    """Tell whether something ails a node, or Slurm could not launch a job there."""
    return bool(node.ails or _UNLAUNCHED.search(node.why))


def brief(job: Job) -> bool:
    """Tell whether a cancelled job ended when it had hardly begun, and not by its own user: some can't be launched."""
    own = job.user != "root" and person(job.by, job.user).endswith(verdict.OWN)
    at_once = job.started is not None and (job.elapsed or 0.0) <= _AT_ONCE and not job.peak
    return job.state == "cancelled" and at_once and not own


def unlaunched(known: Dict[str, Node], job: Job) -> Tuple[Tuple[str, str], ...]:
    """Return those of a job's nodes that Slurm drained as it could not launch the job there.

    The accounting calls such a job cancelled, by root or by Slurm's own user, where it may not be queued again.
    """
    return tuple(
        (name, known[name].why)
        for name in (names(job.nodes) if brief(job) else ())
        if name in known
        and _UNLAUNCHED.search(known[name].why)
        and abs((known[name].since or 0.0) - (job.started or 0.0)) <= _AT_ONCE
    )


def here(known: Dict[str, Node], job: Job, machine: str) -> bool:
    """Tell whether a job ran on this machine."""
    machines = {known[name].host.partition(".")[0] if name in known else name for name in names(job.nodes)}
    return machine in machines


def person(by: Optional[str], user: str) -> str:
    """Return in words who cancelled a job of a user's."""
    if by is None:
        return ""
    name = by
    if by.isdecimal():
        try:
            name = pwd.getpwuid(int(by)).pw_name
        except (KeyError, OverflowError):
            name = f"the uid {by}"
    return f"{name}{verdict.OWN}" if name == user else name


def names(nodes: str) -> List[str]:
    """Return the nodes of a list as Slurm writes it.

    Example:
        >>> names("n[1-3,07],gpu12"), names("r[1-2]n[08-09]")
        (['n1', 'n2', 'n3', 'n07', 'gpu12'], ['r1n08', 'r1n09', 'r2n08', 'r2n09'])
    """
    found: List[str] = []
    for word in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", nodes):
        several = [""]
        for plain, ranges in re.findall(r"([^\[]+)|\[([^\]]*)\]", word):
            ends = [plain] if plain else list(_numbers(ranges))
            several = [one + end for one in several for end in ends][:_MOST]
        found += several
    return found[:_MOST]


_MOST = 20_000  # nodes of one job


def _numbers(ranges: str) -> Iterator[str]:
    for part in ranges.split(","):
        low, dash, high = part.partition("-")
        if not dash:
            yield part
        elif low.isdecimal() and high.isdecimal() and int(high) - int(low) < _MOST:
            yield from (str(number).zfill(len(low)) for number in range(int(low), int(high) + 1))
