"""Whose job it is, and what runs as that user: a job's script, options and environment may hold anything."""

import os
import pwd
import subprocess
from typing import Any, Dict, Mapping, Sequence, Tuple

from runbook.modules.declare import Failed, Refused
from runbook.modules.host import Host

Owner = pwd.struct_passwd
_ASK = 60.0  # seconds


def of(host: Host, job: str) -> Owner:
    """Return whose job it is, as Slurm says when it is asked for nothing else: names and comments can't pretend it.

    Raises:
        Failed: Slurm does not tell.
        Refused: it is another user's job, and we are not root.
    """
    asked = ["squeue --noheader --all --states=all --format=%U"]
    if host.which("sacct") is not None:
        asked.append("sacct --noheader --parsable2 --allocations --duplicates --format=UID")
    uids = {line for words in asked for line in host.run(*words.split(), f"--jobs={job}", timeout=_ASK).stdout.split()}
    if len(uids) != 1 or not min(uids).isdigit():
        raise Failed(f"whose job {job} is Slurm does not tell: {', '.join(sorted(uids)) or 'it says nothing'}")
    try:
        owner = pwd.getpwuid(int(min(uids)))
    except KeyError as error:
        raise Refused(f"job {job} is of the uid {min(uids)}, whom this host does not know") from error
    if foreign(host, owner) and host.uid() != 0:
        raise Refused(f"job {job} is {owner.pw_name}'s: only they, or root, can send it again; write `become`")
    return owner


def foreign(host: Host, owner: Owner) -> bool:
    """Tell whether it is somebody else."""
    return owner.pw_uid != host.uid()


def run(
    host: Host, owner: Owner, argv: Sequence[str], env: Mapping[str, str], timeout: float
) -> Tuple[int, bytes, str]:
    """Run a program as the owner; return (exit code, stdout, stderr).

    Raises:
        subprocess.TimeoutExpired: it takes longer than `timeout` seconds.
        OSError: it can't be started.
    """
    became: Dict[str, Any] = {}
    if foreign(host, owner):
        groups = os.getgrouplist(owner.pw_name, owner.pw_gid)
        became = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": groups}
    done = subprocess.run(
        argv, env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False, cwd="/",
        **became,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")


def give(host: Host, owner: Owner, *paths: str) -> None:
    """Let files be theirs that they are to read."""
    for path in paths if foreign(host, owner) else ():
        os.chown(path, owner.pw_uid, owner.pw_gid)
