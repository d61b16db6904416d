"""What a repo holds at one commit: its files with their sizes and hashes, as the hub or an earlier download tells."""

import importlib
import json
from typing import Any, Dict, Iterable, Mapping, Optional, Sequence, Tuple

from runbook.modules.declare import Refused
from runbook.modules.frozen import frozen
from runbook.modules.hub import names

FORMAT = 1  # of huggingface_hub's own `trees/COMMIT.json`


@frozen
class HubFile:
    """One file of a repo."""

    path: str  # within the repo; harmless below a folder
    size: int  # bytes
    etag: str  # SHA-256 of its content, or git's blob SHA-1 of a file that is not in LFS
    blob: str = ""  # git's own hash; of a large file that of its pointer
    xet: str = ""

    @property
    def large(self) -> bool:
        """It is kept in LFS (or Xet), and known by its SHA-256."""
        return len(self.etag) == 64


@frozen
class Listing:
    """A repo at a commit."""

    commit: str
    files: Tuple[HubFile, ...]  # those that are wanted
    every: Tuple[HubFile, ...]  # all of the repo's

    @property
    def size(self) -> int:
        """Bytes of the wanted files."""
        return sum(file.size for file in self.files)


def file(path: str, size: object, blob: object, sha256: object, xet: object = None) -> HubFile:
    """Return a file as the hub's tree tells it; its path is not judged yet.

    Raises:
        Refused: what the hub tells can't be.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise Refused(f"the hub says that {path!r} has {str(size)[:80]!r} bytes")
    etag = names.etag(sha256 if sha256 is not None else blob)
    return HubFile(path, size, etag, str(blob or ""), str(xet or ""))


def chosen(
    commit: str, every: Sequence[HubFile], allow: Optional[Iterable[str]], ignore: Optional[Iterable[str]]
) -> Listing:
    """Return what the patterns leave, as the library reads them (`*` crosses slashes, `dir/` means `dir/*`).

    Raises:
        Refused: a wanted file has a name that could do harm.
    """
    utils = importlib.import_module("huggingface_hub.utils")
    wanted = utils.filter_repo_objects(
        list(every),
        allow_patterns=None if allow is None else list(allow),
        ignore_patterns=None if ignore is None else list(ignore),
        key=lambda one: one.path,
    )
    files = tuple(sorted(wanted, key=lambda one: one.path))
    for one in files:
        names.file(one.path)
    return Listing(commit, files, tuple(every))


def written(files: Iterable[HubFile]) -> bytes:
    """Return a commit's files as huggingface_hub keeps them beside what it downloaded."""
    told: Dict[str, Dict[str, Any]] = {}
    for one in sorted(files, key=lambda one: one.path):
        about: Dict[str, Any] = {"size": one.size, "blob_id": one.blob}
        if one.large:
            about.update(lfs_sha256=one.etag, lfs_size=one.size)
        if one.xet:
            about["xet_hash"] = one.xet
        told[one.path] = about
    return json.dumps({"format_version": FORMAT, "files": told}, indent=1).encode()


def read(content: bytes) -> Optional[Tuple[HubFile, ...]]:
    """Return the files that were kept for a commit; None where they can't be read."""
    try:
        kept = json.loads(content)
        if kept.get("format_version") != FORMAT:
            return None
        return tuple(_kept(path, about) for path, about in kept["files"].items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Refused):
        return None


def _kept(path: str, about: Mapping[str, Any]) -> HubFile:
    size = about.get("lfs_size", about["size"])
    return file(path, size, about.get("blob_id"), about.get("lfs_sha256"), about.get("xet_hash"))
