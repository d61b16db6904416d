"""What the controller knows: one `squeue`, whatever the number of jobs; finished ones for as long as it keeps them."""

import re
from functools import lru_cache
from typing import Dict, List, Optional, Sequence

from runbook.modules.declare import Unclear
from runbook.modules.host import Host
from runbook.modules.slurm import commands, units
from runbook.modules.slurm.job import Job

SEPARATOR = "\x1f"
_COLUMNS = (
    "%i",
    "%A",
    "%u",
    "%T",
    "%r",
    "%P",
    "%a",
    "%l",
    "%M",
    "%m",
    "%C",
    "%D",
    "%N",
    "%V",
    "%S",
    "%e",
    "%E",
    "%k",
    "%j",
)
_ID = re.compile(r"\d+(?:[_+]\d+)?")
_BEGINS = re.compile(rf"\d[\w+.\[\],%-]*{SEPARATOR}").match  # an id, a step's, or tasks that wait together
_NO_CONF = re.compile(r"resolve_ctls_from_dns_srv|[Cc]ould not establish a configuration source")
TIME = 60.0  # seconds for a busy controller
ENV = {"TZ": "UTC", "SLURM_TIME_FORMAT": "%s"}  # no zone, and no hour that comes twice in autumn
_SAME = 4096  # of ten thousand jobs most say the same
_state = lru_cache(_SAME)(units.state)
_duration = lru_cache(_SAME)(units.duration)
_memory = lru_cache(_SAME)(units.memory)
_text = lru_cache(_SAME)(units.text)


def read(host: Host, users: Sequence[str] = (), partitions: Sequence[str] = ()) -> List[Job]:
    """Return the jobs that the controller knows, the tasks of arrays one by one.

    Raises:
        Absent: there is no Slurm here.
        Unclear: the controller does not answer.
    """
    commands.find(host)
    argv = ["squeue", "--noheader", "--all", "--array", "--states=all", f"--format={SEPARATOR.join(_COLUMNS)}"]
    argv += [f"--user={','.join(users)}"] if users else []
    argv += [f"--partition={','.join(partitions)}"] if partitions else []
    done = host.run(*argv, timeout=TIME, env=ENV)
    if done.exit_code:
        raise Unclear(f"the Slurm controller does not answer: {said(done.stderr or done.stdout)}")
    found = parsed(done.stdout)
    if done.stdout.strip() and not found:
        raise Unclear(f"what squeue prints is not understood: {said(done.stdout)[:200]}")
    if not found and "error:" in done.stderr:
        raise Unclear(f"the Slurm controller does not answer: {said(done.stderr)}")
    return found


def parsed(told: str) -> List[Job]:
    """Return the jobs of what `squeue` printed; what is no job's line is left out."""
    found: List[Job] = []
    for row in rows(told, len(_COLUMNS)):
        job = _job(row)
        if job is not None:
            found.append(job)
    return found


def rows(told: str, width: int) -> List[List[str]]:
    """Return the rows of a table whose first column is a job's id, and whose texts may hold the end of a line.

    The last column is a name, which may hold what separates, too.
    """
    found: List[List[str]] = []
    lines: List[str] = []
    for line in told.split("\n"):
        if _BEGINS(line):
            _close(found, lines, width)
            lines = [line]
        elif lines:
            lines.append(line)  # a comment, a name or a path went on
    _close(found, lines, width)
    return found


def _close(found: List[List[str]], lines: Sequence[str], width: int) -> None:
    cells = "\n".join(lines).split(SEPARATOR, width - 1)
    if len(cells) == width:
        cells[-1] = cells[-1].rstrip("\n")
        found.append(cells)


def _job(row: Sequence[str]) -> Optional[Job]:
    (key, raw, user, state, reason, partition, account, limit, used, memory, cpus, nodes, names, *rest) = row
    submitted, started, ended, dependency, comment, name = rest
    known = _state(state)[0] or units.UNKNOWN
    if _ID.fullmatch(key) is None:
        return None
    count = units.count(nodes) or 1
    return Job(
        id=key,
        raw=raw,
        user=user,
        state=known,
        reason=_text(reason),
        partition=partition,
        account=_text(account),
        limit=_duration(limit),
        elapsed=_duration(used),
        memory=_memory(memory, unit="M")[0] or None,
        cpus=units.count(cpus) or 1,
        node_count=count,
        nodes=_text(names),
        submitted=units.moment(submitted),
        started=units.moment(started),
        ended=units.moment(ended) if known in units.OVER else None,
        comment=_text(comment),
        name=name,
        dependency=_text(dependency),
    )


def said(output: str) -> str:
    """Return the first line of what a program of Slurm complains of."""
    if _NO_CONF.search(output):
        return (
            "no slurm.conf is found, in none of the usual places, by SLURM_CONF or by DNS: set SLURM_CONF where logins "
            "without a terminal have it, such as ~/.profile"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[0] if lines else "it says nothing"


def by_id(jobs: Sequence[Job]) -> Dict[str, Job]:
    """Return jobs by their ids."""
    return {job.id: job for job in jobs}
