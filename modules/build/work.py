"""Carrying out a build: its lock, its record, its log, its commands, and whether what it made is whole."""

import contextlib
import fcntl
import glob
import hashlib
import os
import shlex
import signal
import time
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from runbook.modules.acting.hands import Hands
from runbook.modules.acting.walking import Found
from runbook.modules.build import artifacts, evidence, record, running, tools
from runbook.modules.build.record import Record
from runbook.modules.build.verdict import Verdict
from runbook.modules.declare import Failed
from runbook.modules.frozen import frozen
from runbook.modules.logs.patterns import Pattern

LOG = "build.log"
_LOCK = "lock"
_PATIENCE = 20.0  # seconds for an earlier build, that was killed, to end
_NAMED = 5
_SAID = 200  # characters of why a build failed that the next one repeats


@frozen
class Job:
    """What is to be built, and how."""

    root: str
    build: str
    logs: str
    tool: str
    verdict: Verdict
    env: Mapping[str, str]
    arguments: Tuple[Tuple[str, ...], Tuple[str, ...], Tuple[str, ...]]  # options, targets, command
    jobs: int
    produces: Tuple[str, ...]
    keep_logs: int
    patterns: Tuple[Pattern, ...]
    record: Record


def carry_out(job: Job, hands: Hands) -> Dict[str, Any]:
    """Build, and keep what came of it.

    Raises:
        Failed: it can't be built; the message is the first real error of the log.
    """
    hands.output.add(f"{job.verdict.rebuild} build: {job.verdict.why}\n".encode("utf-8", "replace"))
    os.close(hands.directory(job.build, make=True))
    logs = hands.directory(job.logs, make=True)
    lock = log = -1
    try:
        lock = _locked(logs, job)
        record.write(logs, job.record)
        _rotate(logs, job.keep_logs)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        log = os.open(LOG, flags, 0o644, dir_fd=logs)
        try:
            _run(job, hands, log, lock)
            kept = _finished(job)
        except Failed as problem:
            said = str(hands.data.get("evidence") or problem)
            record.write(logs, replace(job.record, state="failed", said=said[:_SAID]))
            raise
        record.write(logs, kept)
    finally:
        for descriptor in (log, lock, logs):
            if descriptor >= 0:
                os.close(descriptor)
    return {"rebuild": job.verdict.rebuild, "why": job.verdict.why, "log": os.path.join(job.logs, LOG)}


def made(build: str, found: Sequence[Found], sources: Set[str]) -> Tuple[Dict[str, Tuple[int, int]], Dict[str, str]]:
    """Return the artifacts of a build directory with size and time, and what is wrong with those that are not whole.

    Args:
        build: the directory.
        found: what lies in it.
        sources: files that are none, whatever they look like.
    """
    whole: Dict[str, Tuple[int, int]] = {}
    faults: Dict[str, str] = {}
    for thing in found:
        path = os.path.join(build, thing.path)
        name = os.path.basename(path)
        if not thing.file or path in sources:
            continue
        executable = thing.stat.st_mode & 0o111 and artifacts.is_program(path)
        if not (artifacts.is_artifact(name) or artifacts.own_file(name) or executable):
            continue
        try:
            wrong = artifacts.fault(path, thing.stat.st_size)
        except OSError:
            continue
        whole[thing.path] = thing.stat.st_size, thing.stat.st_mtime_ns
        if wrong:
            faults[thing.path] = wrong
    return whole, faults


def products(root: str, build: str, produces: Sequence[str], before: Optional[Record]) -> Tuple[List[str], List[str]]:
    """Return what should be there and is not, and which of it (from the build directory on) was altered."""
    missing: List[str] = []
    altered: List[str] = []
    for name in produces:
        files = _fitting(root, name)
        if not files:
            missing.append(name)
        for path in files:
            known = before.products.get(path) if before is not None and before.state == "done" else None
            below = path.startswith(build + os.sep)
            if known is not None and below and known != _digest(path):
                altered.append(path[len(build) + 1 :])
    return missing, altered


def _locked(logs: int, job: Job) -> int:
    """Return the held lock; whatever the build starts holds it too, so that no two builds ever meet."""
    lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=logs)
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # noqa: PERF203 -- it waits
            if time.monotonic() > until:
                os.close(lock)
                raise Failed(f"another build in {job.build} is running: wait for its end, or end it") from None
            time.sleep(0.1)
        else:
            return lock


def _rotate(logs: int, keep: int) -> None:
    """Make room for a new log: build.log becomes build.log.1, and so on; the oldest goes."""
    for number in range(keep - 1, 0, -1):
        older = LOG if number == 1 else f"{LOG}.{number - 1}"
        with contextlib.suppress(FileNotFoundError):
            os.rename(older, f"{LOG}.{number}", src_dir_fd=logs, dst_dir_fd=logs)
    for number in (*range(keep, keep + 64), *([0] if keep == 1 else [])):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{LOG}.{number}" if number else LOG, dir_fd=logs)


def _run(job: Job, hands: Hands, log: int, lock: int) -> None:
    options, targets, command = job.arguments
    env = tools.environment(job.tool, job.env, job.jobs)
    for argv in tools.commands(job.tool, job.root, job.build, options, targets, command, job.jobs):
        os.write(log, f"$ {' '.join(map(shlex.quote, argv))}\n".encode("utf-8", "surrogateescape"))
        code = running.run(hands, argv, job.root, env, log, [lock])
        hands.exit_code = code
        if code:
            raise Failed(_failure(job, hands, argv, code))


def _failure(job: Job, hands: Hands, argv: Sequence[str], code: int) -> str:
    path = os.path.join(job.logs, LOG)
    found = evidence.first(path, job.patterns)
    how = f"exit code {code}" if code > 0 else f"ended by {_signal(-code)}"
    said = str(found) if found is not None else hands.output.last_line()
    if found is not None:
        hands.data.update(evidence=found.line, signature=found.signature)
    hands.data["log"] = path
    return f"{os.path.basename(argv[0])}: {how}{': ' + said if said else ''}; the whole log is {path}"


def _signal(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _finished(job: Job) -> Record:
    """Return the record of a build that ended well.

    Raises:
        Failed: what it should have made is not there, or not whole.
    """
    whole: Dict[str, List[int]] = {}
    for here, folders, files in os.walk(job.build):
        folders[:] = [name for name in folders if os.path.join(here, name) != job.logs]
        for name in files:
            path = os.path.join(here, name)
            with contextlib.suppress(OSError):
                seen = os.lstat(path)
                relative = os.path.relpath(path, job.build)
                executable = seen.st_mode & 0o111 and artifacts.is_program(path)
                known = job.build == job.root and os.path.relpath(path, job.root) in job.record.files
                if not known and (artifacts.is_artifact(name) or artifacts.own_file(name) or executable):
                    whole[relative] = [seen.st_size, seen.st_mtime_ns]
    hashes: Dict[str, str] = {}
    wrong: List[str] = []
    for name in job.produces:
        files = _fitting(job.root, name)
        if not files:
            wrong.append(f"{name} is not there")
        for path in files:
            said = artifacts.fault(path, os.path.getsize(path)) or ("" if os.path.getsize(path) else "empty")
            if said:
                wrong.append(f"{path} is {said}")
            hashes[path] = _digest(path)
    if wrong:
        raise Failed(f"it was built, and {'; '.join(wrong[:_NAMED])}; the log is {os.path.join(job.logs, LOG)}")
    return replace(job.record, state="done", made=whole, products=hashes)


def _fitting(root: str, pattern: str) -> List[str]:
    found = glob.glob(os.path.join(glob.escape(root), pattern), recursive=True)
    return sorted(path for path in found if os.path.isfile(path))


def _digest(path: str) -> str:
    found = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while True:
                block = file.read(1 << 20)
                if not block:
                    return found.hexdigest()
                found.update(block)
    except OSError:
        return ""
