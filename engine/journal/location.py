"""Where the journal lies, and whether a database may lie there. Paths are texts: pathlib costs a start-up."""

from __future__ import annotations

import contextlib
import os

from runbook.engine.errors import JournalUnusable

SHARED = "/var/lib/runbook"
MOUNTS = "/proc/self/mountinfo"

# SQLite's locks and shared memory do not hold across the machines that mount these.
NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p", "virtiofs"),
        *("lustre", "gpfs", "beegfs", "ceph", "glusterfs", "orangefs", "pvfs2"),
        *("fuse.sshfs", "fuse.ceph", "fuse.cephfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse"),
        "fuse.juicefs",
    }
)


def choose(given: str | None) -> str:
    """Return the journal's path: as given, by $RUNBOOK_JOURNAL, in /var/lib/runbook, or in the user's state."""
    named = given or os.environ.get("RUNBOOK_JOURNAL")
    if named:
        whole = os.path.join(os.getcwd(), os.path.expanduser(named))
        return whole if ".." in whole.split("/") else os.path.normpath(whole)  # a/link/.. need not be a
    if os.access(SHARED if os.path.isdir(SHARED) else os.path.dirname(SHARED), os.W_OK | os.X_OK):
        return f"{SHARED}/journal.db"
    import platformdirs

    return f"{platformdirs.user_state_dir('runbook', appauthor=False)}/journal.db"


def prepare(path: str) -> None:
    """Make the journal's directory (700) and file (600) where they are missing.

    Raises:
        OSError: they can't be made.
    """
    folder = os.path.dirname(path)
    if not os.path.exists(folder):
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        _sync(os.path.dirname(folder))  # SQLite itself sees to the directory that its files lie in
    # An existing file is never opened and closed here: that would drop the locks this process holds on it.
    if not os.path.exists(path):
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def refuse_unfit(path: str) -> None:
    """Raise where a journal can't lie: in place of a directory or device, or on a network file system."""
    if os.path.isdir(path):
        raise JournalUnusable(
            "the journal is a directory", where=path, mend=f"Name a file: --journal {path}/journal.db"
        )
    if os.path.exists(path) and not os.path.isfile(path):
        raise JournalUnusable(
            "the journal is a device or a pipe", where=path, mend="Name a file on a local disk with --journal PATH"
        )
    kind = file_system(path)
    if kind in NETWORK:
        raise JournalUnusable(
            f"the journal lies on a network file system ({kind}), where its locks do not hold",
            where=path,
            mend="Name a file on a local disk with --journal PATH or RUNBOOK_JOURNAL=PATH",
        )


def file_system(path: str) -> str:
    """Return the type of the file system that a path lies on, or "" where that can't be told."""
    try:
        with open(MOUNTS, "rb") as file:
            mounts = file.read()
    except OSError:
        return ""
    real = os.fsencode(os.path.realpath(path))
    found, longest = "", -1
    for line in mounts.splitlines():
        before, _, after = line.partition(b" - ")
        fields, kind = before.split(b" "), after.split(b" ")
        if len(fields) < 5:
            continue
        point = _unescaped(fields[4])
        inside = real == point or real.startswith(point.rstrip(b"/") + b"/")
        # Of two mounts on one point the later one is seen.
        if inside and len(point) >= longest:
            found, longest = os.fsdecode(kind[0]), len(point)
    return found


def _sync(directory: str) -> None:
    """Let the names in a directory outlast a power cut."""
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def _unescaped(point: bytes) -> bytes:
    if b"\\" not in point:
        return point
    for code in (b"040", b"011", b"012", b"134"):
        point = point.replace(b"\\" + code, bytes([int(code, 8)]))
    return point


def mark(place: str) -> tuple[int, int] | None:
    """Return what tells a file from another that took its place; None where there is none."""
    try:
        seen = os.stat(place)
    except OSError:
        return None
    return seen.st_dev, seen.st_ino
