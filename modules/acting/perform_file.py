"""Carrying out Write and Move, and undoing them: one file at a time, through descriptors of its directory."""

import base64
import contextlib
import errno
import hashlib
import os
import stat
from typing import Any, Dict, Mapping, Optional, Tuple

from runbook.modules import cut
from runbook.modules.acting import folders
from runbook.modules.acting.beside import begin, beside
from runbook.modules.acting.hands import Hands, size
from runbook.modules.acting.tree import Tree
from runbook.modules.actions import Move, Write
from runbook.modules.declare import Failed, Refused
from runbook.modules.frozen import frozen

_LARGEST = 64 << 20  # bytes of a file whose previous content is kept for the undo
_DIFF = 64 << 10
_NO_REPLACE = 1  # RENAME_NOREPLACE


@frozen
class _Before:
    """A file as it stands before it is written."""

    content: bytes
    seen: os.stat_result
    attributes: Tuple[Tuple[str, bytes], ...]


def write(hands: Hands, action: Write, doing: bool) -> Tuple[str, bool]:
    """Replace a file's content, or make the file."""
    tree, relative, parent, name = _place(hands, action.path)
    before = _read(tree, parent, name, relative)
    if action.before is not None and (before is None or before.content != action.before):
        raise Refused(f"{action.path} was changed by somebody since it was looked at; nothing was written")
    if before is not None and before.content == action.content:
        return f"{action.path} (as it should be)", False
    if hands.diff:
        old = b"" if before is None else before.content
        hands.diffs.append(diff(action.path, hands.mask.value(old), hands.mask.value(action.content)))
    what = f"{action.path} ({size(len(action.content))}{', new' if before is None else ''})"
    if doing:
        undo: Dict[str, Any] = {"undo": "write", "path": action.path, "wrote": _digest(action.content)}
        notes = folders.noted(parent)
        hands.keep_undo({**undo, "folders": notes, **_kept(before)})
        _replace(hands, parent, name, action.content, before, mode=action.mode)
        folders.date(notes, parent)
    return what, True


def _kept(before: Optional[_Before]) -> Dict[str, Any]:
    if before is None:
        return {"absent": True}
    seen = before.seen
    return {
        "content": base64.b64encode(before.content).decode(),
        "mode": stat.S_IMODE(seen.st_mode),
        "uid": seen.st_uid,
        "gid": seen.st_gid,
        "times": [seen.st_atime_ns, seen.st_mtime_ns],
    }


def undo_write(hands: Hands, undo: Mapping[str, Any]) -> str:
    """Bring back the content that a Write replaced, unless somebody wrote since."""
    path = str(undo["path"])
    tree, relative, parent, name = _place(hands, path)
    now = _read(tree, parent, name, relative)
    notes = folders.untouched(undo, parent)
    if undo.get("absent"):
        if now is None:
            return f"{path} (gone already)"
        if _digest(now.content) != undo["wrote"]:
            raise Refused(f"{path} was changed by somebody since; it stays")
        hands.touched = True
        os.unlink(name, dir_fd=parent)
        folders.give_back(notes, parent)
        return f"{path} deleted"
    content = base64.b64decode(undo["content"])
    if now is None or _digest(now.content) not in {undo["wrote"], _digest(content)}:
        raise Refused(f"{path} was changed by somebody since; it stays")
    descriptor = _replace(hands, parent, name, content, now, keep_open=True)
    try:
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, undo["uid"], undo["gid"])
        os.fchmod(descriptor, undo["mode"])
        os.utime(descriptor, ns=(undo["times"][0], undo["times"][1]))
    finally:
        os.close(descriptor)
    folders.give_back(notes, parent)
    return f"{path} ({size(len(content))}, as it was)"


def move(hands: Hands, action: Move, doing: bool) -> Tuple[str, bool]:
    """Rename a file or directory; nothing is replaced."""
    source_tree, source, parent, name = _place(hands, action.source)
    held = _hold(source_tree, parent, name, source, action.source)
    here = os.dup(parent)  # the way to the target may close it
    try:
        seen = os.fstat(held)
        _, _, there, target = _place(hands, action.target)
        with contextlib.suppress(FileNotFoundError):
            os.stat(target, dir_fd=there, follow_symlinks=False)
            raise Refused(f"{action.target} is there already; nothing is moved over it")
        if doing:
            undo = {"undo": "move", "path": action.target, "source": action.source}
            notes = folders.noted(there, here)[: 1 if os.path.samestat(os.fstat(here), os.fstat(there)) else 2]
            hands.keep_undo({**undo, "folders": notes, "device": seen.st_dev, "inode": seen.st_ino})
            hands.touched = True
            _rename(here, name, there, target, action)
            folders.date(notes, there, here)
    finally:
        os.close(here)
        os.close(held)
    return f"{action.source} to {action.target}", True


def _is(hands: Hands, path: str, undo: Mapping[str, Any]) -> bool:
    """Tell whether what a Move was to move stands at a path."""
    try:
        _, _, parent, name = _place(hands, path)
        seen = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except (OSError, Refused, Failed):
        return False
    return (seen.st_dev, seen.st_ino) == (undo["device"], undo["inode"])


def undo_move(hands: Hands, undo: Mapping[str, Any]) -> str:
    """Move back what a Move moved, when it is still there and its old place is free."""
    if _is(hands, str(undo["source"]), undo):
        return f"{undo['source']} (was not moved)"  # the renaming itself failed, or its step was killed before it
    tree, relative, parent, name = _place(hands, str(undo["path"]))
    held = _hold(tree, parent, name, relative, str(undo["path"]))
    seen = os.fstat(held)
    os.close(held)
    if (seen.st_dev, seen.st_ino) != (undo["device"], undo["inode"]):
        raise Refused(f"{undo['path']} is not what was moved there; it stays")
    unkept = Hands(hands.writable, lambda _: None, hands.progress)
    here = os.dup(parent)
    try:
        _, _, there, _ = _place(unkept, str(undo["source"]))
        notes = folders.untouched(undo, here, there)
        what, _ = move(unkept, Move(str(undo["path"]), str(undo["source"])), doing=True)
        _, _, there, _ = _place(unkept, str(undo["source"]))
        folders.give_back(notes, here, there)
    finally:
        os.close(here)
        hands.touched = hands.touched or unkept.touched
        unkept.close()
    return what


def diff(path: str, before: bytes, after: bytes) -> str:
    """Return a unified diff, or a line that says why there is none."""
    if b"\0" in before or b"\0" in after or max(len(before), len(after)) > _LARGEST >> 6:
        return f"{path}: binary or long, {size(len(before))} before, {size(len(after))} after\n"
    try:
        old, new = before.decode().splitlines(keepends=True), after.decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return f"{path}: not text in UTF-8, {size(len(before))} before, {size(len(after))} after\n"
    import difflib

    lines = difflib.unified_diff(old, new, path, path)
    text = "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return text if len(text) <= _DIFF else cut.before(text[:_DIFF]) + "\n… the rest is left out\n"


def _place(hands: Hands, path: str) -> Tuple[Tree, str, int, str]:
    """Return the tree, the path in it, the open directory that holds it and its last name."""
    try:
        tree, relative = hands.open(path)
        parent, name = tree.parent(relative)
    except FileNotFoundError as error:
        raise Failed(f"{path}: its directory is not there") from error
    if not name:
        raise Refused(f"{path} is a `writable` entry itself; only what lies below it is written or moved")
    return tree, relative, parent, name


def _hold(tree: Tree, parent: int, name: str, relative: str, path: str) -> int:
    try:
        return tree.hold(parent, name, relative)
    except FileNotFoundError as error:
        raise Failed(f"{path} is not there") from error


def _read(tree: Tree, parent: int, name: str, relative: str) -> Optional[_Before]:
    """Return a file as it stands; None when there is none.

    Raises:
        Refused: it is a link, a mount, no regular file, too large to be kept, or has several hard links.
    """
    shown = f"{tree.root}/{relative}"
    try:
        held = tree.hold(parent, name, relative)
    except FileNotFoundError:
        return None
    try:
        seen = os.fstat(held)
        if not stat.S_ISREG(seen.st_mode):
            raise Refused(f"{shown} is not a regular file")
        if seen.st_nlink > 1:
            raise Refused(f"{shown} has {seen.st_nlink} hard links: another name of it would be written too")
        if seen.st_size > _LARGEST:
            raise Refused(f"{shown} has {size(seen.st_size)}, more than the {size(_LARGEST)} kept for an undo")
        with open(f"/proc/self/fd/{held}", "rb") as file:  # the held one, whatever its name says by now
            attributes = [(key, os.getxattr(file.fileno(), key)) for key in _attributes(file.fileno())]
            return _Before(file.read(), seen, tuple(attributes))
    finally:
        os.close(held)


def _attributes(descriptor: int) -> "list[str]":
    try:
        return os.listxattr(descriptor)
    except OSError:
        return []  # a file system without them


def _replace(
    hands: Hands,
    parent: int,
    name: str,
    content: bytes,
    before: Optional[_Before],
    *,
    mode: Optional[int] = None,
    keep_open: bool = False,
) -> int:
    """Write a new file beside the old one and rename it over: whoever reads sees the old or the new, whole."""
    fresh = beside(name)
    descriptor = begin(parent, name)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if before is None:
            umask = os.umask(0)
            os.umask(umask)
            os.fchmod(descriptor, 0o666 & ~umask if mode is None else mode)
        else:
            _like(descriptor, before)
        os.fsync(descriptor)
        _unchanged(parent, name, before)
        hands.touched = True
        os.rename(fresh, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=parent)
        raise
    if not keep_open:
        os.close(descriptor)
    _sync(parent)
    return descriptor


def _like(descriptor: int, before: _Before) -> None:
    """Give the new file the old one's owner, attributes and mode, as far as that is allowed."""
    seen = before.seen
    try:
        os.fchown(descriptor, seen.st_uid, seen.st_gid)
    except PermissionError:
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, -1, seen.st_gid)
    for key, value in before.attributes:
        with contextlib.suppress(OSError):
            os.setxattr(descriptor, key, value)
    os.fchmod(descriptor, stat.S_IMODE(seen.st_mode))


def _unchanged(parent: int, name: str, before: Optional[_Before]) -> None:
    try:
        now = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        if before is None:
            return
        raise Refused(f"{name} vanished while it was being written") from None
    same = before is not None and (now.st_ino, now.st_mtime_ns, now.st_nlink) == (
        before.seen.st_ino,
        before.seen.st_mtime_ns,
        1,
    )
    if not same:
        raise Refused(f"{name} was changed by somebody while it was being written; it stays as it is")


def _rename(here: int, name: str, there: int, target: str, action: Move) -> None:
    """Rename without replacing, in one call where the C library has it."""
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    code = errno.ENOSYS
    if call is not None:
        done = call(here, os.fsencode(name), there, os.fsencode(target), _NO_REPLACE)
        code = 0 if done == 0 else ctypes.get_errno()
    if code in {errno.ENOSYS, errno.EINVAL}:  # an old kernel, or a file system that can't
        try:
            os.rename(name, target, src_dir_fd=here, dst_dir_fd=there)
            code = 0
        except OSError as error:
            code = error.errno or errno.EIO
    if code == errno.EEXIST:
        raise Refused(f"{action.target} is there already; nothing is moved over it")
    if code == errno.EXDEV:
        raise Failed(f"{action.source} and {action.target} lie on different file systems; a Move renames only")
    if code:
        raise Failed(f"{action.source} to {action.target}: {os.strerror(code)}")
    _sync(there)


def _sync(parent: int) -> None:
    directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
