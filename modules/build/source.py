"""What a build is made from: the files of a source tree and the hashes of their content."""

import fnmatch
import hashlib
import os
import stat
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.build import artifacts
from runbook.modules.declare import Failed, Unclear
from runbook.modules.host import Host

MOST = 200_000  # files
_LEFT = frozenset({"__pycache__", "node_modules", "CMakeFiles"})
_LEFT_AT_THE_TOP = frozenset({"build", "dist"})
_MADE = (".pyc", ".pyo", ".log", ".d", ".dep")
_BLOCK = 1 << 20
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false")


class Seen(NamedTuple):
    """One file, as it was when its hash was made."""

    digest: str
    size: int
    changed: int  # in nanoseconds, when its content was set
    touched: int  # in nanoseconds, when anything about it was


class Source(NamedTuple):
    """A source tree."""

    files: Mapping[str, Seen]
    commit: str  # of git; empty elsewhere


def look(
    host: Host, root: str, without: Sequence[str], ignore: Sequence[str], known: Mapping[str, Sequence[object]]
) -> Source:
    """Return a tree's files by their relative paths.

    Args:
        host: is asked for git.
        root: the tree.
        without: directories and files below it that are no source: what is built, and logs.
        ignore: globs of others.
        known: what was seen before; a file whose size and times are the same is not read again.

    Raises:
        Failed: there is no such tree, or it is too large.
    """
    if not os.path.isdir(root):
        raise Failed(f"the source {root} is not there; fetch it first")
    commit, listed = _git(host, root)
    found: Dict[str, Seen] = {}
    for path in _deeper(host, root, listed) if listed is not None else _walked(root, without):
        full = os.path.join(root, path)
        if any(full == each or full.startswith(each + os.sep) for each in without) or _ignored(path, ignore):
            continue
        seen = _seen(full, path, known, judged=listed is None)
        if seen is not None:
            found[path] = seen
        if len(found) > MOST:
            raise Failed(f"{root} holds more than {MOST:,} files; leave out with `ignore` what is no source")
    if not found:
        raise Failed(f"there is no source in {root}")
    return Source(found, commit)


def _git(host: Host, root: str) -> Tuple[str, Optional[List[str]]]:
    """Return the commit, and the files that git tracks or would; None where git can't tell."""
    if not os.path.exists(os.path.join(root, ".git")) or host.which("git") is None:
        return "", None
    try:
        listed = host.run(*_GIT, "-C", root, "ls-files", "-coz", "--exclude-standard", timeout=60.0)
        head = host.run(*_GIT, "-C", root, "rev-parse", "HEAD", timeout=10.0)
    except Unclear:
        return "", None
    if listed.exit_code:
        return "", None
    return (head.stdout.strip() if not head.exit_code else ""), [each for each in listed.stdout.split("\0") if each]


def _deeper(host: Host, root: str, listed: Sequence[str]) -> Iterator[str]:
    """Yield what git lists, and in the place of each submodule what that holds."""
    for path in listed:
        full = os.path.join(root, path)
        if not os.path.isdir(full) or os.path.islink(full):
            yield path
            continue
        inner = _git(host, full)[1]
        below = _deeper(host, full, inner) if inner is not None else _walked(full, ())
        yield from (f"{path.rstrip('/')}/{each}" for each in below)


def _walked(root: str, without: Sequence[str]) -> Iterator[str]:
    for here, folders, files in os.walk(root):
        left = _LEFT | _LEFT_AT_THE_TOP if here == root else _LEFT
        kept = [name for name in folders if not name.startswith(".") and name not in left]
        folders[:] = sorted(
            name for name in kept if not name.endswith(".egg-info") and os.path.join(here, name) not in without
        )
        for name in sorted(files):
            if not (name.startswith(".") or name.endswith(_MADE) or artifacts.is_artifact(name)):
                yield os.path.relpath(os.path.join(here, name), root)


def _ignored(path: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, each) or fnmatch.fnmatchcase(os.path.basename(path), each) for each in globs)


def _seen(full: str, path: str, known: Mapping[str, Sequence[object]], *, judged: bool) -> Optional[Seen]:
    try:
        about = os.lstat(full)
        if stat.S_ISLNK(about.st_mode):
            return Seen("link:" + os.readlink(full), 0, about.st_mtime_ns, about.st_ctime_ns)
        if not stat.S_ISREG(about.st_mode):
            return None
        before = known.get(path)
        times = (about.st_size, about.st_mtime_ns, about.st_ctime_ns)
        if before is not None and tuple(before[1:]) == times:
            return Seen(str(before[0]), *times)
        if judged and about.st_mode & 0o111 and artifacts.is_program(full):
            return None  # made in place
        return Seen(_digest(full), *times)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Failed(f"{full} can't be read: {error.strerror}") from error


def _digest(path: str) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            block = file.read(_BLOCK)
            if not block:
                return found.hexdigest()[:32]
            found.update(block)
