"""Names that a hub tells us: text of a stranger, that becomes the path of a file."""

import re

from runbook.modules.declare import Refused

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REPO = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?")
_LONGEST = 255  # bytes of a name, on every file system that matters


def file(path: str) -> str:
    """Return a file's path within a repo, when it can do no harm below a folder.

    Raises:
        Refused: it is absolute, climbs with `..`, or names what belongs to git or to the library.
    """
    parts = path.split("/")
    wrong = (
        "it is absolute"
        if path.startswith("/")
        else "it leaves the folder"
        if ".." in path.replace("\\", "/").split("/")
        else "it is no path"
        if not path or not path.isprintable() or any(part in {"", "."} for part in parts)
        else "it belongs to git"
        if any(part.lower() == ".git" for part in parts)
        else "it belongs to huggingface_hub"
        if [part.lower() for part in parts[:2]] == [".cache", "huggingface"]
        else "a part of it is too long"
        if any(len(os_bytes(part)) > _LONGEST for part in parts)
        else ""
    )
    if wrong:
        raise Refused(f"the repo holds a file {path!r}: {wrong}; nothing was fetched. `ignore_patterns` leaves it out")
    return path


def os_bytes(name: str) -> bytes:
    """Return a name as the kernel gets it."""
    return name.encode("utf-8", "surrogateescape")


def commit(text: object) -> str:
    """Return a commit's hash.

    Raises:
        Refused: it is none.
    """
    if not isinstance(text, str) or not _COMMIT.fullmatch(text):
        raise Refused(f"the hub names a commit {str(text)[:80]!r}, which is no hash")
    return text


def is_commit(revision: str) -> bool:
    """Tell a commit from a branch or a tag."""
    return _COMMIT.fullmatch(revision) is not None


def etag(text: object) -> str:
    """Return a content's hash: the SHA-256 of a large file, or git's SHA-1 of a small one.

    Raises:
        Refused: it is neither.
    """
    if not isinstance(text, str) or not _HASH.fullmatch(text):
        raise Refused(f"the hub names a file's content {str(text)[:80]!r}, which is no hash")
    return text


def repo(text: str) -> bool:
    """Tell whether this can be a repo's id: `name` or `owner/name`."""
    return _REPO.fullmatch(text) is not None and "--" not in text and ".." not in text and len(text) <= 200


def revision(text: str) -> bool:
    """Tell whether this can be a branch, a tag or a commit."""
    parts = text.split("/")
    return bool(text) and text.isprintable() and not any(part in {"", ".", ".."} for part in parts)
