"""Writing a bundle of evidence: a tar.gz in a directory of `writable`, for its owner alone; the last few are kept."""

import contextlib
import gzip
import io
import json
import os
import re
import stat
import tarfile
import time
from typing import Any, Dict, Iterable, List, Mapping, Tuple

from runbook.modules.acting import writable
from runbook.modules.acting.hands import Hands
from runbook.modules.declare import Absent, Unclear
from runbook.modules.evidence.pieces import Piece
from runbook.modules.evidence.redaction import Redaction, legible

OURS = re.compile(r"evidence-\d{8}T\d{6}Z-[a-z0-9]+\.tar\.gz")
_HALF = re.compile(r"\.evidence-\d{8}T\d{6}Z-[a-z0-9]+\.tar\.gz\.part")
_STALE = 3600.0  # seconds after which a half-written one is nobody's any more


def name(at: float, incident: str) -> str:
    """Return what a bundle is called: its time first, so that names sort by it."""
    mark = re.sub(r"[^a-z0-9]", "", incident.lower())[:32] or "byhand"
    return f"evidence-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(at))}-{mark}.tar.gz"


def write(
    hands: Hands,
    into: str,
    called: str,
    pieces: Iterable[Piece],
    redaction: Redaction,
    about: Mapping[str, Any],
    largest: int,
) -> Dict[str, Any]:
    """Write a bundle, whole or not at all.

    Args:
        hands: what opens the directory.
        into: the directory; made where it is missing.
        called: the bundle's name in it.
        pieces: what belongs into it, what tells most first.
        redaction: takes secrets out.
        about: what the manifest says of the occasion.
        largest: bytes that the pieces may have in all, before they are compressed.

    Returns:
        `bytes`, `pieces`, and `missing`: what could not be had.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(writable.covering(into, hands.writable)[1], 0o700)
    directory = hands.directory(into, make=True)
    half = f".{called}.part"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(half, dir_fd=directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(half, flags, 0o600, dir_fd=directory)
        hands.touched = True
        try:
            with os.fdopen(descriptor, "wb") as file:
                manifest = _fill(hands, file, called, pieces, redaction, about, largest)
                file.flush()
                os.fsync(file.fileno())
                size = os.fstat(file.fileno()).st_size
            os.rename(half, called, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(half, dir_fd=directory)
            raise
    finally:
        os.close(directory)
    return {"bytes": size, "pieces": len(manifest) - len(_missing(manifest)), "missing": _missing(manifest)}


def prune(hands: Hands, into: str, keep: int, now: float) -> List[str]:
    """Delete all but the last so many bundles, and what a killed step left half-written; return their names."""
    directory = hands.directory(into)
    try:
        names = sorted(os.listdir(directory))
        mine = [one for one in names if OURS.fullmatch(one) and _mine(directory, one)]
        gone = mine[:-keep]
        for one in names:
            if _HALF.fullmatch(one) and now - os.stat(one, dir_fd=directory, follow_symlinks=False).st_mtime > _STALE:
                gone.append(one)
        for one in gone:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(one, dir_fd=directory)
    finally:
        os.close(directory)
    return gone


def _mine(directory: int, one: str) -> bool:
    """Tell whether a bundle is one of ours: others may write files of such names where all may write."""
    about = os.stat(one, dir_fd=directory, follow_symlinks=False)
    return stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid()


def _fill(
    hands: Hands,
    file: Any,
    called: str,
    pieces: Iterable[Piece],
    redaction: Redaction,
    about: Mapping[str, Any],
    largest: int,
) -> List[Dict[str, Any]]:
    top = called[: -len(".tar.gz")]
    listed: List[Dict[str, Any]] = []
    with (
        gzip.GzipFile(fileobj=file, mode="wb", filename="", compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        room = largest
        taken = set()
        for piece in pieces:
            hands.progress(f"collecting {piece.source}")
            at = piece.name
            while at in taken:
                at += "_"
            taken.add(at)
            told, content = _content(piece, redaction, room)
            if content:
                _add(archive, f"{top}/{at}", content)
                room -= len(content)
            listed.append({"name": at if content else None, "source": legible(piece.source), **told})
        manifest = {**about, "pieces": listed}
        _add(archive, f"{top}/manifest.json", json.dumps(manifest, indent=1, default=str).encode())
    return listed


def _content(piece: Piece, redaction: Redaction, room: int) -> Tuple[Dict[str, Any], bytes]:
    """Return what the manifest says of a piece, and the piece."""
    try:
        found, taken = redaction.text(piece.get())
    except (Unclear, Absent) as error:
        return {"error": legible(redaction.text(str(error))[0])}, b""
    except OSError as error:
        return {"error": error.strerror or str(error)}, b""
    content = legible(found).encode("utf-8", "replace")
    told: Dict[str, Any] = {"bytes": len(content), "redacted": taken}
    if len(content) > room:  # its end is what tells
        told["left_out"] = len(content) - room
        content = content[len(content) - room :].partition(b"\n")[2] if room > 0 else b""
        told["bytes"] = len(content)
    return told, content


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size, about.mode, about.mtime = len(content), 0o600, int(time.time())
    archive.addfile(about, io.BytesIO(content))


def _missing(listed: Iterable[Mapping[str, Any]]) -> List[str]:
    return [
        f"{one['source']}: {one.get('error', 'no room')}"
        for one in listed
        if one["name"] is None and "bytes" not in one
    ]
