"""The pieces of a bundle of evidence, and how each is got from the host."""

import os
import stat
from collections import deque
from typing import Callable, Deque, Iterator, List, Optional, Sequence

from runbook.modules.daemons import pidfile
from runbook.modules.declare import Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

LARGEST = 8 * 1024 * 1024  # bytes of one piece, of which the last are kept
FARTHEST = 2 * 1024**3  # bytes of a log in which a line is looked for
_BLOCK = 1 << 20
_TIME = 20.0  # seconds for a program; nvidia-smi beside an ill card takes its time


@frozen
class Piece:
    """One piece: its name in the bundle, what it is, and how to get it."""

    name: str
    source: str  # in words
    get: Callable[[], str]  # raises Unclear, or OSError, where it can't be had


def pieces(
    host: Host, *, logs: Sequence[str], files: Sequence[str], units: Sequence[str], lines: int
) -> Iterator[Piece]:
    """Yield what belongs to the evidence, what tells most first."""
    path, number = str(host.about.get("path") or ""), host.about.get("line_no")
    if path.startswith("/") and isinstance(number, int):
        yield Piece(_member("finding", path), f"{path} around line {number}", lambda: around(path, number, lines))
    yield Piece("dmesg.txt", "dmesg", lambda: _dmesg(host))
    if host.which("nvidia-smi") is not None:
        yield Piece("nvidia-smi.txt", "nvidia-smi -q", lambda: _program(host, "nvidia-smi", "-q"))
    yield Piece("processes.txt", "the process table", lambda: _processes(host))
    for file in files:
        yield Piece(_member("files", file), file, lambda file=file: last(file))  # type: ignore[misc]
    for log in logs:
        yield Piece(_member("logs", log), f"the last {lines} lines of {log}", lambda log=log: last(log, lines))  # type: ignore[misc]
    for unit in units:
        argv = ("journalctl", "--no-pager", "--output=short-iso", f"--lines={lines}", f"--unit={unit}")
        yield Piece(_member("journal", unit), f"the journal of {unit}", lambda argv=argv: _program(host, *argv))  # type: ignore[misc]


def last(path: str, lines: Optional[int] = None) -> str:
    """Return the end of a file: so many lines, or as much as a piece may hold."""
    descriptor = _opened(path)
    try:
        size = os.fstat(descriptor).st_size
        if size > LARGEST:
            os.lseek(descriptor, size - LARGEST, os.SEEK_SET)
        text = _read(descriptor, LARGEST).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
    if size > LARGEST:
        text = text.partition("\n")[2]
    return text if lines is None else "".join(text.splitlines(keepends=True)[-lines:])


def around(path: str, number: int, lines: int) -> str:
    """Return the lines of a log around one of them, each with its number; the end where it is not there any more."""
    descriptor = _opened(path)
    found: Deque[str] = deque(maxlen=lines)
    at, begun, read = 0, b"", 0
    try:
        while at < number + lines // 2 and read < FARTHEST:
            block = os.read(descriptor, _BLOCK)
            if not block:
                break
            read += len(block)
            whole = (begun + block).split(b"\n")
            begun = whole.pop()[-_BLOCK:]
            if at + len(whole) < number - lines:
                at += len(whole)
                continue
            for line in whole:
                at += 1
                found.append(f"{at:>8}{'>' if at == number else ' '} {line[:_BLOCK].decode('utf-8', 'replace')}\n")
                if at >= number + lines // 2:
                    break
    finally:
        os.close(descriptor)
    if at < number:
        return f"line {number} is not there any more; these are the last\n{last(path, lines)}"
    return "".join(found)


def _opened(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    about = os.fstat(descriptor)
    trouble = "" if stat.S_ISREG(about.st_mode) else "not a regular file"
    trouble = trouble or _stranger(path, about)
    if trouble:
        os.close(descriptor)
        raise Unclear(trouble)
    return descriptor


def _stranger(path: str, about: os.stat_result) -> str:
    """Say whose link leads to a file that is not theirs to show: they would have us read it for them."""
    writers = pidfile.writers(path, about)
    if writers is None:
        return "it is replaced while it is read"
    stranger = min(writers - {0, os.geteuid(), about.st_uid}, default=None)
    return "" if stranger is None else f"a link of uid {stranger} leads to it, and it belongs to uid {about.st_uid}"


def _read(descriptor: int, most: int) -> bytes:
    parts: List[bytes] = []
    while most > 0:
        block = os.read(descriptor, min(most, _BLOCK))
        if not block:
            break
        parts.append(block)
        most -= len(block)
    return b"".join(parts)


def _dmesg(host: Host) -> str:
    try:
        return _program(host, "dmesg", "--time-format=iso")
    except Unclear:  # one that knows no such option, as busybox has it, or one that says better why not
        return _program(host, "dmesg")


def _program(host: Host, *argv: str) -> str:
    done = host.run(*argv, timeout=_TIME)
    if done.exit_code:
        raise Unclear(f"exit code {done.exit_code}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout[-LARGEST:]


def _processes(host: Host) -> str:
    head = f"{'pid':>8} {'parent':>8} {'uid':>6} {'state':5} {'rss':>14} {'cpu_s':>10}  command\n"
    return head + "".join(
        f"{one.pid:>8} {one.parent:>8} {one.uid:>6} {one.state:5} {one.rss:>14} {one.cpu_seconds:>10.1f}  "
        f"{one.command}\n"
        for one in host.processes()
    )


def _member(folder: str, name: str) -> str:
    """Return a name for a piece that stays in its folder and is legible, whatever the host calls things."""
    kept = "".join(one if one.isascii() and (one.isalnum() or one in "._-") else "_" for one in name.strip("/"))
    return f"{folder}/{kept.lstrip('.') or 'unnamed'}"
