"""What the accounting knows: one `sacct` for all jobs that ended since a moment, with their steps.

A job that Slurm itself requeued has several runs; the newest one counts. `-P` and not `--json`: that of 22.05 shows
exit code 42 as success, and newer ones differ in its shape.
"""

import re
import time
from functools import lru_cache
from typing import Dict, List, Optional, Sequence, Tuple

from runbook.modules.declare import Unclear
from runbook.modules.host import Host
from runbook.modules.slurm import units
from runbook.modules.slurm.job import Job, Part
from runbook.modules.slurm.queue import ENV, SEPARATOR, TIME, rows, said

COLUMNS = (
    *("JobID", "JobIDRaw", "User", "State", "ExitCode", "DerivedExitCode", "ElapsedRaw", "TimelimitRaw", "ReqMem"),
    *(
        "MaxRSS",
        "AllocCPUS",
        "AllocTRES",
        "NNodes",
        "NodeList",
        "Partition",
        "Account",
        "Submit",
        "Start",
        "End",
        "Reason",
    ),
    *("Comment", "JobName"),
)
_OVER = "BF,CA,CD,DL,F,NF,OOM,PR,TO"
_KEY = re.compile(r"(\d+(?:[_+]\d+)?)(?:\.([\w+]+))?")
_PENDING = re.compile(r"\d+_\[")  # tasks of an array that never ran, in one row
_NONE = ("accounting storage is disabled", "accounting_storage/none")
_PLACES = re.compile(r"none assigned|unknown", re.IGNORECASE)
_SAME = 4096  # of ten thousand jobs most say the same
_state = lru_cache(_SAME)(units.state)
_duration = lru_cache(_SAME)(units.duration)
_memory = lru_cache(_SAME)(units.memory)
_exit_code = lru_cache(_SAME)(units.exit_code)
_text = lru_cache(_SAME)(units.text)


class Disabled(Exception):
    """This Slurm keeps no accounts."""


def since(host: Host, moment: float, users: Sequence[str] = (), partitions: Sequence[str] = ()) -> List[Job]:
    """Return the jobs that ended since a moment (seconds since the epoch).

    Raises:
        Disabled: there is no accounting.
        Unclear: the accounting does not answer.
    """
    whose = [f"--user={','.join(users)}"] if users else ["--allusers"]
    where = [f"--partition={','.join(partitions)}"] if partitions else []
    begin = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return _ask(host, f"--starttime={begin}", "--endtime=now", f"--state={_OVER}", *whose, *where)


def of(host: Host, job: str) -> List[Job]:
    """Return the newest run of one job, by its id; nothing where the accounting does not know it.

    Raises:
        Disabled: there is no accounting.
        Unclear: the accounting does not answer.
    """
    return [one for one in _ask(host, f"--jobs={job}") if one.id == job]


def tasks(host: Host, array: str) -> List[Job]:
    """Return the newest run of each task of an array that the accounting knows.

    Raises:
        Disabled: there is no accounting.
        Unclear: the accounting does not answer.
    """
    return [one for one in _ask(host, f"--jobs={array}") if one.id.startswith(f"{array}_")]


def _ask(host: Host, *words: str) -> List[Job]:
    if host.which("sacct") is None:
        raise Disabled
    argv = ("sacct", "--noheader", "--parsable2", f"--delimiter={SEPARATOR}", "--duplicates")
    done = host.run(*argv, f"--format={','.join(COLUMNS)}", *words, timeout=TIME, env=ENV)
    if done.exit_code:
        if any(word in done.stderr.lower() for word in _NONE):
            raise Disabled
        raise Unclear(f"the Slurm accounting does not answer: {said(done.stderr or done.stdout)}")
    found = parsed(done.stdout)
    if not found and any(line.strip() and not _PENDING.match(line) for line in done.stdout.split("\n")):
        raise Unclear(f"what sacct prints is not understood: {said(done.stdout)[:200]}")
    if not found and "error:" in done.stderr:
        raise Unclear(f"the Slurm accounting does not answer: {said(done.stderr)}")
    return found


def parsed(told: str) -> List[Job]:
    """Return the newest run of each job of what `sacct` printed, with that run's steps, in the order of their ends."""
    runs: Dict[str, List[Tuple[Sequence[str], List[Part]]]] = {}
    for row in rows(told, len(COLUMNS)):
        found = _KEY.fullmatch(row[0].strip())
        if found is None:
            continue
        key, step = found[1], found[2]
        if step is None:
            runs.setdefault(key, []).append((row, []))
        elif key in runs:
            runs[key][-1][1].append(_part(step, row))
    made = [_newest(key, several) for key, several in runs.items()]
    return sorted((job for job in made if job is not None), key=lambda job: job.ended or 0.0)


def _newest(key: str, several: "Sequence[Tuple[Sequence[str], List[Part]]]") -> Optional[Job]:
    jobs = [_job(key, row, parts, len(several)) for row, parts in several]
    known = [job for job in jobs if job is not None]
    return max(known, key=lambda job: (job.submitted or 0.0, job.started or 0.0), default=None)


def _part(step: str, row: Sequence[str]) -> Part:
    code, signal = _exit_code(row[4])
    return Part(step, _state(row[3])[0], code, signal, _memory(row[9])[0])


def _job(key: str, row: Sequence[str], parts: Sequence[Part], runs: int) -> Optional[Job]:
    (_, raw, user, state, code, derived, elapsed, limit, memory, _, cpus, tres, nodes, names, *rest) = row
    partition, account, submitted, started, ended, reason, comment, name = rest
    told, by = _state(state)
    known = told or units.UNKNOWN
    exit_code, signal = _exit_code(code)
    count = units.count(nodes) or 1
    allotted = units.count(cpus) or 1
    asked, per = _memory(memory, unit="M")
    if asked is not None and not per:
        asked //= count  # since 21.08 it is what the whole job asked for
    elif asked is not None and per == "c":
        asked = asked * allotted // count
    return Job(
        id=key,
        raw=raw,
        user=user,
        state=known,
        reason=_text(reason),
        partition=partition,
        account=_text(account),
        limit=_duration(limit),
        elapsed=_duration(elapsed, unit=1.0),
        memory=asked or None,
        cpus=allotted,
        gpus=units.gpus(tres),
        node_count=count,
        nodes="" if _PLACES.fullmatch(names.strip()) else _text(names),
        submitted=units.moment(submitted),
        started=units.moment(started),
        ended=units.moment(ended),
        comment=_text(comment),
        name=name,
        exit_code=exit_code,
        signal=signal,
        derived=_exit_code(derived)[0] if _exit_code(derived)[1] == 0 else _exit_code(derived)[1],
        by=by,
        parts=tuple(parts),
        runs=runs,
    )
