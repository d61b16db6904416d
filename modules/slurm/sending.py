"""Sending a job again: whether it was done before, what it gets, and the sending itself."""

import contextlib
import os
import re
import subprocess
import tempfile
from typing import ContextManager, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.alone import alone as alone_at
from runbook.modules.declare import Failed, Refused, Unclear
from runbook.modules.frozen import replace
from runbook.modules.host import Host
from runbook.modules.slurm import accounts, lineage, queue, submission, units
from runbook.modules.slurm import owner as owners
from runbook.modules.slurm.job import Job
from runbook.modules.slurm.lineage import Mark
from runbook.modules.slurm.owner import Owner
from runbook.modules.slurm.submission import Submission

_LONGEST_CHAIN = 100
_PATIENCE = 120.0  # seconds for another sending on this host
_PASSING = re.compile(r"contact|timed out|connect|communication|temporar|try again|socket|busy", re.IGNORECASE)
_NUMBER = re.compile(r"^(\d+)(?:;\S+)?$", re.MULTILINE)  # and the cluster's name; sites print greetings before it
_SEND = 120.0  # seconds for a busy controller


class Standing(NamedTuple):
    """A job that failed, and what Slurm knows of its like."""

    job: Job
    mark: Optional[Mark]
    comment: str  # what people wrote
    queued: Sequence[Job]  # of its user
    successor: Optional[Job]  # what follows it already


def look(host: Host, wanted: str) -> Standing:
    """Return how a job stands.

    Raises:
        Failed: Slurm knows no such job, or does not answer.
    """
    try:
        queued = queue.read(host)
        try:
            known = accounts.of(host, wanted)
            job = known[-1] if known else None
        except accounts.Disabled:
            job = None
        waits = queue.by_id(queued).get(wanted)
        if waits is not None and (job is None or waits.state not in units.OVER):
            job = waits
        elif waits is not None and job is not None:
            job = job._replace(name=waits.name)  # the accounts write other quotes than were given
        if job is None:
            raise Failed(f"Slurm knows no job {wanted}")
        mark, people = lineage.read(job.comment or (waits.comment if waits is not None else ""))
        return Standing(job, mark, people, queued, successor(host, job, queued))
    except Unclear as error:
        raise Failed(str(error)) from error


def newest(host: Host, wanted: Optional[str]) -> Job:
    """Return the job that is named, or the newest of the incident's lineage.

    Raises:
        Failed: there is no such job, or Slurm does not answer.
    """
    return following(host, wanted).job


def following(host: Host, wanted: Optional[str]) -> Standing:
    """Return how the job that is named stands, or the newest of the incident's lineage.

    Raises:
        Failed: there is no such job, or Slurm does not answer.
    """
    name = wanted or str(host.about.get("subject") or "")
    if not name[:1].isdigit():
        raise Failed("which job is meant? Write `job`, or use the step in a detector of the probe `slurm`")
    standing = look(host, name)
    for _ in range(_LONGEST_CHAIN if wanted is None else 0):
        if standing.successor is None:
            break
        standing = look(host, standing.successor.id)
    return standing


def state(host: Host, wanted: str) -> Optional[str]:
    """Return the state that the controller has of a job; None where it knows it no more."""
    job = queue.by_id(queue.read(host)).get(wanted)
    return None if job is None else job.state


def successor(host: Host, job: Job, queued: Sequence[Job]) -> Optional[Job]:
    """Return the job that was sent in place of a failed one, whatever has become of it.

    Raises:
        Unclear: the accounting does not answer, so that nobody can say.
    """
    later = list(queued)
    if job.ended is not None:
        with contextlib.suppress(accounts.Disabled):
            later += accounts.since(host, job.ended - 60.0, (job.user,))
    for one in later:
        mark = lineage.read(one.comment)[0] if "[runbook " in one.comment else None
        if mark is not None and mark.after == job.id and one.id != job.id and one.user == job.user:
            return one
    return None


def alone(host: Host, first: str) -> ContextManager[None]:
    """Keep other steps of this host from sending the same lineage at once.

    Raises:
        Failed: another one is at it for too long.
    """
    return alone_at(host, f"slurm-{first}", f"been sending the lineage {first}", _PATIENCE)


class Request(NamedTuple):
    """What the new job gets that the old one had not, or that must be said anew."""

    memory: Optional[int]  # bytes a node; None leaves it
    time: Optional[float]  # seconds; infinite is UNLIMITED
    cpus: Optional[int]  # a task
    exclude: Tuple[str, ...]
    comment: str
    env: Mapping[str, str]


def words(job: Job, sent: Submission, request: Request) -> List[str]:
    """Return the options of `sbatch`: those of the old job, and behind them what goes before."""
    options = [*sent.options]
    options += [f"--job-name={job.name}", f"--comment={request.comment}"]
    options += [f"--chdir={sent.directory}"] if sent.directory else []
    named = (("--partition", "-p", job.partition), ("--account", "-A", job.account), ("--qos", "-q", sent.qos))
    for long, short, value in named:
        if value and not submission.has(sent.options, sent.script, long, short):
            options.append(f"{long}={value}")
    if sent.array:
        options.append(f"--array={job.id.partition('_')[2]}")
    if request.memory is not None and sent.whole and request.memory == job.memory:
        options.append("--mem=0")
    elif request.memory is not None:
        options.append(f"--{sent.per}={_share(job, sent, request.memory)}M")
    if request.time is not None:
        options.append(f"--time={units.shown_time(request.time)}")
    if request.cpus is not None:
        options.append(f"--cpus-per-task={request.cpus}")
    bad = ",".join(filter(None, (sent.exclude, *request.exclude)))
    return [*options, f"--exclude={bad}"] if bad else options


def _share(job: Job, sent: Submission, memory: int) -> int:
    """Return MiB of what the job asked for by."""
    if sent.per == "mem-per-cpu":
        return units.megabytes(memory * job.node_count / max(1, job.cpus))
    if sent.per == "mem-per-gpu":
        told = sent.record.get("TresPerNode", "").rpartition(":")[2]
        each = (job.gpus or 0) // max(1, job.node_count) or (int(told) if told.isdigit() else 1)
        return units.megabytes(memory / max(1, each))
    return units.megabytes(memory)


def send(host: Host, job: Job, sent: Submission, request: Request) -> str:
    """Ask whether it would fit, send it as the user whose it is, and return its id.

    Raises:
        Failed: Slurm refuses it, or does not answer.
        Refused: Slurm would never take it, or it is another user's job, and we are not root.
    """
    owner = sent.owner
    sbatch = host.which("sbatch")
    if sbatch is None:
        raise Failed("sbatch is not on the PATH")
    argv = [sbatch, "--parsable", *words(job, sent, request)]
    env = _environment(host, owner, sent, request)
    if sent.env is None and owners.foreign(host, owner):
        argv.append("--get-user-env")
    with _script(host, owner, sent) as path:
        test = _run(host, owner, [*argv, "--test-only", path, *sent.args], env)
        if test[0] and _PASSING.search(_said(test)):
            raise Failed(f"the Slurm controller does not answer: {_said(test)}")
        if test[0]:
            raise Refused(f"Slurm would not take it: {_said(test)}")
        done = _run(host, owner, [*argv, path, *sent.args], env)
    numbers = _NUMBER.findall(done[1])
    if done[0] or not numbers:
        raise Failed(f"sbatch did not take job {job.id} again: {_said(done)}")
    number = numbers[-1]
    return f"{number}_{job.id.partition('_')[2]}" if sent.array else number


def hold(host: Host, standing: Standing, why: str) -> None:
    """Write into the accounting why a job is not sent again, so that nobody tries for ever."""
    job, mark = standing.job, standing.mark
    told = mark if mark is not None else Mark(first=lineage.leader(job.id), after="-", attempt=1)
    text = lineage.written(standing.comment, replace(told, held=True, why=why)).replace('"', "'")
    if host.which("sacctmgr") is not None:
        host.run(
            *("sacctmgr", "--immediate", "--quiet", "modify", "job", "where", f"jobid={job.raw}"),
            *("set", f'comment="{text}"'), timeout=60.0,
        )  # fmt: skip


def _environment(host: Host, owner: Owner, sent: Submission, request: Request) -> Dict[str, str]:
    """Return the environment of the old job, with what finds this Slurm, and what the runbook sets.

    Where that is not kept, another user's job gets nothing of ours, which may hold secrets.
    """
    conf = {name: value for name, value in host.env.items() if name == "SLURM_CONF"}
    if sent.env is not None:
        return {**sent.env, **conf, **request.env}
    if not owners.foreign(host, owner):
        ours = {
            name: value for name, value in host.env.items() if not name.startswith(("RUNBOOK", "SLURM_", "SBATCH_"))
        }
        return {**ours, **conf, **request.env}
    login = {"HOME": owner.pw_dir, "USER": owner.pw_name, "LOGNAME": owner.pw_name, "SHELL": owner.pw_shell}
    return {**login, "PATH": os.defpath, **conf, **request.env}


@contextlib.contextmanager
def _script(host: Host, owner: Owner, sent: Submission) -> Iterator[str]:
    """Give the script a file for as long as sbatch reads it; the old one, where that holds the same still."""
    if sent.path and submission.plain(sent.path) == sent.script:
        yield sent.path
        return
    own = None if owners.foreign(host, owner) else host.own_directory() or None
    with tempfile.TemporaryDirectory(prefix="slurm-", dir=own) as place:
        path = os.path.join(place, os.path.basename(sent.path) or "job.sh")
        with open(path, "w", encoding="utf-8") as file:
            file.write(sent.script)
        owners.give(host, owner, path, place)
        yield path


def _run(host: Host, owner: Owner, argv: Sequence[str], env: Mapping[str, str]) -> Tuple[int, str, str]:
    try:
        code, out, err = owners.run(host, owner, argv, env, _SEND)
    except subprocess.TimeoutExpired as error:
        raise Failed(
            f"sbatch did not answer within {_SEND:g} s; whether it was taken is looked at before the next"
        ) from error
    except OSError as error:
        raise Failed(f"{argv[0]} can't be started: {error.strerror or error}") from error
    return code, out.decode("utf-8", "replace"), err


def _said(done: Tuple[int, str, str]) -> str:
    lines = [line.strip() for line in f"{done[2]}\n{done[1]}".splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line or "fail" in line]
    return (wrong or lines or [f"exit code {done[0]}"])[-1].replace("sbatch: error: ", "").replace("sbatch: ", "")
