"""Where the journal lies, and whether a database may lie there."""

from __future__ import annotations

import os
import pathlib

from runbook.engine.errors import JournalUnusable

SHARED = pathlib.Path("/var/lib/runbook")
MOUNTS = pathlib.Path("/proc/self/mountinfo")

# SQLite's locks and shared memory do not hold across the machines that mount these.
NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p", "virtiofs"),
        *("lustre", "gpfs", "beegfs", "ceph", "glusterfs", "orangefs", "pvfs2"),
        *("fuse.sshfs", "fuse.ceph", "fuse.cephfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse"),
        "fuse.juicefs",
    }
)


def choose(given: str | None) -> pathlib.Path:
    """Return the journal's path: as given, by $RUNBOOK_JOURNAL, in /var/lib/runbook, or in the user's state."""
    named = given or os.environ.get("RUNBOOK_JOURNAL")
    if named:
        return pathlib.Path(named).expanduser().absolute()
    if os.access(SHARED if SHARED.is_dir() else SHARED.parent, os.W_OK | os.X_OK):
        return SHARED / "journal.db"
    import platformdirs

    return pathlib.Path(platformdirs.user_state_dir("runbook", appauthor=False)) / "journal.db"


def prepare(path: pathlib.Path) -> None:
    """Make the journal's directory (700) and file (600) where they are missing.

    Raises:
        OSError: they can't be made.
    """
    if not path.parent.exists():
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _sync(path.parent.parent)  # SQLite itself sees to the directory that its files lie in
    # An existing file is never opened and closed here: that would drop the locks this process holds on it.
    if not path.exists():
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return


def refuse_unfit(path: pathlib.Path) -> None:
    """Raise where a journal can't lie: in place of a directory or device, or on a network file system."""
    if path.is_dir():
        raise JournalUnusable(
            "the journal is a directory", where=str(path), mend=f"Name a file: --journal {path / 'journal.db'}"
        )
    if path.exists() and not path.is_file():
        raise JournalUnusable(
            "the journal is a device or a pipe", where=str(path), mend="Name a file on a local disk with --journal PATH"
        )
    kind = file_system(path)
    if kind in NETWORK:
        raise JournalUnusable(
            f"the journal lies on a network file system ({kind}), where its locks do not hold",
            where=str(path),
            mend="Name a file on a local disk with --journal PATH or RUNBOOK_JOURNAL=PATH",
        )


def file_system(path: pathlib.Path) -> str:
    """Return the type of the file system that a path lies on, or "" where that can't be told."""
    try:
        mounts = MOUNTS.read_bytes()
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


def _sync(directory: pathlib.Path) -> None:
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
