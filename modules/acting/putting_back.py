"""Things of a copy on their way back into their trees.

A name is looked at and replaced in the directory that is held open; what it leads to is never followed or written.
"""

import base64
import contextlib
import os
import stat
from typing import Any, Dict, List, Optional, Sequence

from runbook.modules.acting import content, likeness, perform_file
from runbook.modules.acting.beside import beside
from runbook.modules.acting.copies import Store
from runbook.modules.acting.hands import Hands, counted
from runbook.modules.actions import Entry, Kept
from runbook.modules.declare import Failed, Refused
from runbook.modules.frozen import replace

_NAMED = 5  # problems that are told in full
SHOWN = 100  # things that are told by name, or as a diff
_SHORT = 1 << 20  # bytes of a file that a diff is made of
_LIVELY = 200
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SAID = {"missing": "is missing", "kind": "is something else", "new": "is new", "name": "is another file by now"}


def in_order(path: str) -> List[str]:
    """Sort paths so that a directory comes before what lies in it."""
    return path.split("/")


class Back:
    """Things on their way back into their trees."""

    def __init__(self, hands: Hands, store: Optional[Store], identity: str) -> None:
        self.removed = 0
        self._hands = hands
        self._trees = hands.trees
        self._store = store
        self._id = identity
        self._problems: List[str] = []
        self._changed: Dict[int, None] = {}

    def problem(self, path: str, reason: str) -> None:
        """Note what could not be done to one thing; the others are done all the same."""
        self._problems.append(reason if reason.startswith(path) else f"{path}: {reason}")

    def speak(self, total: int) -> None:
        """Raise when there are problems: Refused when nothing at all was done."""
        if not self._problems:
            return
        more = f"; and {len(self._problems) - _NAMED} more" if len(self._problems) > _NAMED else ""
        number = counted(max(total, len(self._problems)), "entry", "entries")
        message = f"{len(self._problems)} of {number} not put back: {'; '.join(self._problems[:_NAMED])}{more}"
        raise Failed(message) if self._hands.touched else Refused(message)

    def put(self, things: Sequence[Kept]) -> None:
        """Put things back: directories before what lies in them, their times at the end."""
        directories = []
        for number, thing in enumerate(things):
            if number % _LIVELY == 0:
                self._hands.progress(f"put back {number:,} of {len(things):,}")
            with self._noting(thing.path):
                self._one(thing)
                if thing.kind == "directory":
                    directories.append(thing)
        for thing in reversed(directories):
            with self._noting(thing.path):
                self._terms(thing)

    def clear(self, entries: Sequence[Entry]) -> None:
        """Remove what the copy does not hold, children before their directories; what became another thing stays."""
        for entry in sorted(entries, key=lambda entry: in_order(entry.path), reverse=True):
            with self._noting(entry.path):
                tree, relative = self._trees.open(entry.path)
                parent, name = tree.parent(relative)
                held = likeness.hold(tree, relative)
                os.close(held.descriptor)
                if held.kind == "other" and stat.S_ISDIR(held.seen.st_mode):
                    raise Refused(f"{entry.path}: something is mounted there")
                if (held.seen.st_dev, held.seen.st_ino) != (entry.device, entry.inode):
                    raise Refused(f"{entry.path}: became something else since it was looked at")
                self._hands.touched = True
                (os.rmdir if held.kind == "directory" else os.unlink)(name, dir_fd=parent)
                _sync(parent)
                self.removed += 1

    def unmake(self, things: Sequence[Kept]) -> None:
        """Delete what a restore made where nothing was; a directory that was filled since stays."""
        for thing in reversed(things):
            with self._noting(thing.path), contextlib.suppress(FileNotFoundError):
                tree, relative = self._trees.open(thing.path)
                parent, name = tree.parent(relative)
                seen = os.stat(name, dir_fd=parent, follow_symlinks=False)
                self._hands.touched = True
                (os.rmdir if stat.S_ISDIR(seen.st_mode) else os.unlink)(name, dir_fd=parent)
                _sync(parent)

    def sweep(self, path: str) -> None:
        """Delete what a restore that was killed left beside a thing."""
        with contextlib.suppress(OSError, Refused):
            tree, relative = self._trees.open(path)
            parent, name = tree.parent(relative)
            os.unlink(beside(name), dir_fd=parent)

    def show(self, things: Sequence[Kept], remove: Sequence[Entry]) -> None:
        """Say what is otherwise, thing by thing, as a diff where it is text."""
        for thing in things[:SHOWN]:
            why = likeness.difference(self._trees, thing, 0.0)
            if why == "content" and thing.kind == "file":
                old, new = self._now(thing.path), self._then(thing)
                if max(len(old), len(new)) <= _SHORT:
                    mask = self._hands.mask.value
                    self._hands.diffs.append(perform_file.diff(thing.path, mask(old), mask(new)))
                    continue
            if why:
                self._hands.diffs.append(f"{thing.path}: {self._told(thing, why)}\n")
        self._hands.diffs += [f"{entry.path}: is removed\n" for entry in remove[:SHOWN]]
        more = max(len(things) - SHOWN, 0) + max(len(remove) - SHOWN, 0)
        if more:
            self._hands.diffs.append(f"… and {more} more\n")

    def _told(self, thing: Kept, why: str) -> str:
        if why == "content" and thing.kind == "link":
            return f"leads elsewhere, goes to {thing.target}"
        if why != "terms":
            return f"{_SAID.get(why, 'holds something else')}, becomes {_A[thing.kind]}"
        tree, relative = self._trees.open(thing.path)
        held = likeness.hold(tree, relative)
        now = likeness.taken(thing.path, held)
        os.close(held.descriptor)
        owners = f"owner {now.uid}:{now.gid} becomes {thing.uid}:{thing.gid}"
        parts = [f"mode {now.mode:04o} becomes {thing.mode:04o}" if now.mode != thing.mode else ""]
        parts += [owners if (now.uid, now.gid) != (thing.uid, thing.gid) else ""]
        return ", ".join(filter(None, parts)) or "gets back its time and attributes"

    def _now(self, path: str) -> bytes:
        tree, relative = self._trees.open(path)
        held = likeness.hold(tree, relative)
        try:
            with os.fdopen(likeness.reading(held), "rb") as file:
                return file.read(_SHORT + 1)
        finally:
            os.close(held.descriptor)

    def _then(self, thing: Kept) -> bytes:
        if thing.content or self._store is None:
            return base64.b64decode(thing.content)
        with os.fdopen(self._store.content(self._id, thing), "rb") as file:
            return file.read(_SHORT + 1)

    @contextlib.contextmanager
    def _noting(self, path: str) -> Any:
        try:
            yield
        except FileNotFoundError:
            self.problem(path, "its directory is not there")
        except Refused as error:
            self.problem(path, str(error))
        except Failed as error:
            self.problem(path, str(error))
        except OSError as error:
            self.problem(path, os.strerror(error.errno or 0))

    def _one(self, thing: Kept) -> None:
        tree, relative = self._trees.open(thing.path)
        parent, name = tree.parent(relative)
        if not name:
            return  # a `writable` entry itself: only what it is like can be wrong
        now = _kind(parent, name)
        if thing.kind == "directory":
            if now not in {"directory", ""}:
                self._hands.touched = True
                os.unlink(name, dir_fd=parent)
            if now != "directory":
                self._hands.touched = True
                os.mkdir(name, 0o700, dir_fd=parent)
                _sync(parent)
            return
        if now == "directory":
            os.close(likeness.hold(tree, relative).descriptor)
            self._hands.touched = True
            os.rmdir(name, dir_fd=parent)
        why = likeness.difference(self._trees, thing, 0.0)
        parent, name = tree.parent(relative)
        if why == "terms":
            held = likeness.hold(tree, relative)
            try:
                if thing.kind == "link" or held.seen.st_nlink == 1:
                    self._hands.touched = True
                    likeness.dress(held.descriptor, thing)
                    return
            finally:
                os.close(held.descriptor)
        if why:
            self._replace(thing, parent, name)

    def _replace(self, thing: Kept, parent: int, name: str) -> None:
        """Make the thing beside its place, and rename it over what is there: whoever looks sees the old or the new."""
        fresh = beside(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=parent)  # of one that was killed
        if thing.attributes is None:
            thing = replace(thing, attributes=self._worn(thing.path))
        here = os.dup(parent)  # the way to a twin may close it
        try:
            if thing.kind == "link":
                os.symlink(thing.target, fresh, dir_fd=here)
                held = os.open(fresh, likeness.HOLD, dir_fd=here)
                try:
                    if not stat.S_ISLNK(os.fstat(held).st_mode):
                        raise Refused(f"{thing.path}: somebody else put {fresh} beside it")
                    likeness.dress(held, thing)
                finally:
                    os.close(held)
            elif not (thing.twin and self._twin(thing, fresh, here)):
                self._file(thing, fresh, here)
            self._hands.touched = True
            os.rename(fresh, name, src_dir_fd=here, dst_dir_fd=here)
            _sync(here)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(fresh, dir_fd=here)
            raise
        finally:
            os.close(here)

    def _worn(self, path: str) -> Any:
        """Return the attributes of what stands at a path."""
        try:
            held = likeness.hold(*self._trees.open(path))
        except FileNotFoundError:
            return ()
        try:
            return likeness.taken(path, held).attributes
        finally:
            os.close(held.descriptor)

    def _file(self, thing: Kept, fresh: str, parent: int) -> None:
        target = os.open(fresh, _NEW, 0o600, dir_fd=parent)
        try:
            write = content.writer(target)
            if thing.content or not thing.file:
                found = content.digest(content.pieces_of(base64.b64decode(thing.content)), thing.size, write)
            else:
                found = self._copied(thing, write)
            if found != thing.digest:
                raise Failed(f"{thing.path}: its copy in {self._id} is damaged; it stays as it is")
            os.ftruncate(target, thing.size)
            likeness.dress(target, thing)
            os.fsync(target)
        finally:
            os.close(target)

    def _copied(self, thing: Kept, write: Any) -> str:
        if self._store is None:
            raise Failed(f"{thing.path}: nothing holds its content")
        source = self._store.content(self._id, thing)
        try:
            return content.digest(content.pieces(source, thing.size), thing.size, write)
        finally:
            os.close(source)

    def _twin(self, thing: Kept, fresh: str, parent: int) -> bool:
        """Make another name of the twin, where that is as the copy holds it; tell whether it was."""
        try:
            tree, relative = self._trees.open(thing.twin)
            held = likeness.hold(tree, relative)
        except (FileNotFoundError, Refused):
            return False
        try:
            if held.kind != "file" or held.seen.st_size != thing.size or likeness.digest(held) != thing.digest:
                return False
            os.link(f"/proc/self/fd/{held.descriptor}", fresh, dst_dir_fd=parent, follow_symlinks=True)
        except OSError:
            return False
        finally:
            os.close(held.descriptor)
        return True

    def _terms(self, thing: Kept) -> None:
        tree, relative = self._trees.open(thing.path)
        held = likeness.hold(tree, relative)
        try:
            if held.kind != "directory":
                raise Refused(f"{thing.path}: became something else")
            self._hands.touched = True
            likeness.dress(held.descriptor, thing)
        finally:
            os.close(held.descriptor)


_A = {"file": "a file", "directory": "a directory", "link": "a link"}


def _kind(parent: int, name: str) -> str:
    try:
        return likeness.kind(os.stat(name, dir_fd=parent, follow_symlinks=False))
    except FileNotFoundError:
        return ""


def _sync(directory: int) -> None:
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
