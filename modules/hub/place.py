"""Where the files of a repo go: the library's cache, or a folder. Both in the library's own layout."""

import base64
import enum
import hashlib
import os
import posixpath
import stat
from typing import Optional, Protocol, Tuple

from runbook.modules.declare import Blameless
from runbook.modules.frozen import frozen
from runbook.modules.hub import partial
from runbook.modules.hub.ground import Ground
from runbook.modules.hub.listing import HubFile, Listing, read, written
from runbook.modules.hub.names import is_commit

_CACHE_TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This file is a cache directory tag created by huggingface_hub.\n"
    b"# For information about cache directory tags, see:\n"
    b"#\thttps://bford.info/cachedir/\n"
)


class State(enum.Enum):
    """How a file does that should be there."""

    RIGHT = "right"  # its hash was right, and it was not changed since
    WHOLE = "whole"  # it has its size; its hash is not known
    MISSING = "missing"  # or of another size, or no file


@frozen
class Seat:
    """Where the parts of one file lie, relative to the ground."""

    whole: str  # the content, wherever it is
    target: str  # where content goes that was fetched
    partial: str
    lock: str
    memo: str  # remembers that the hash was right


@frozen
class Seen:
    """What was found of one file."""

    state: State
    found: int = 0  # bytes that need not be fetched
    settled: bool = True  # what the library keeps beside it is there too


class Place(Protocol):
    """A layout."""

    ground: Ground
    path: str  # where the files are found in the end

    def seat(self, file: HubFile) -> Seat:
        """Say where a file's parts lie."""

    def settled(self, file: HubFile) -> bool:
        """Tell whether what belongs beside a file is there."""

    def settle(self, file: HubFile) -> None:
        """Put it there."""

    def introduced(self, listing: Listing) -> bool:
        """Tell whether what belongs to the whole repo is there."""

    def introduce(self, listing: Listing) -> None:
        """Put it there, when all files are: until then the branch stands where it stood."""


def look(place: Place, file: HubFile, *, trust: bool = True) -> Seen:
    """Look at one file, without reading it; `trust` in what is remembered of its hash."""
    seat = place.seat(file)
    about = place.ground.stat(seat.whole)
    if about is None or not stat.S_ISREG(about.st_mode) or about.st_size != file.size:
        return Seen(State.MISSING, min(partial.there(place.ground, seat.partial), file.size), settled=False)
    known = trust and place.ground.read(seat.memo) == _memo(file, about)
    return Seen(State.RIGHT if known else State.WHOLE, file.size, place.settled(file))


def remember(place: Place, file: HubFile) -> None:
    """Keep that a file's hash is right, as long as its size and time stay."""
    seat = place.seat(file)
    about = place.ground.stat(seat.whole)
    if about is not None:
        place.ground.write(seat.memo, _memo(file, about))


def mended(place: Place, file: HubFile) -> int:
    """Return up to which byte a broken file was compared with the hub's, should the process that did so have ended."""
    kept = (place.ground.read(place.seat(file).memo) or b"").split()
    known = len(kept) == 3 and kept[:2] == [b"mending", file.etag.encode()] and kept[2].isdigit()
    return min(int(kept[2]), file.size) if known else 0


def remember_mended(place: Place, file: HubFile, at: int) -> None:
    """Keep up to which byte a broken file was compared."""
    place.ground.write(place.seat(file).memo, b"mending %s %d\n" % (file.etag.encode(), at))


def _memo(file: HubFile, about: os.stat_result) -> bytes:
    return b"%s %d %d\n" % (file.etag.encode(), about.st_size, about.st_mtime_ns)


class Cache:
    """`models--org--toy/` with `blobs/`, `snapshots/COMMIT/` and `refs/`, and locks in `.locks/` beside it."""

    def __init__(
        self, ground: Ground, folder: str, commit: str, revision: str, *, links: bool = True, tag: bool = True
    ) -> None:
        self.ground = ground
        self._folder = folder
        self._commit = commit
        self._revision = revision
        self._links = links
        self._tag = tag
        self.path = f"{ground.path}/{folder}/snapshots/{commit}"

    def seat(self, file: HubFile) -> Seat:
        """Say where a file's parts lie."""
        blobs = f"{self._folder}/blobs"
        return Seat(
            whole=self._whole(file),
            target=self._blob(file),
            partial=f"{blobs}/{file.etag}.incomplete",
            lock=f".locks/{self._folder}/{file.etag}.lock",
            memo=f"{self._folder}/.runbook/{file.etag}",
        )

    def settled(self, file: HubFile) -> bool:
        """Tell whether the snapshot names the file."""
        pointer = self._pointer(file)
        target = self.ground.link(pointer)
        if target is not None:
            return posixpath.normpath(posixpath.join(posixpath.dirname(pointer), target)) == self._blob(file)
        about, held = self.ground.stat(pointer), self.ground.stat(self._blob(file))
        return about is not None and stat.S_ISREG(about.st_mode) and (held is None or os.path.samestat(about, held))

    def settle(self, file: HubFile) -> None:
        """Name the file in the snapshot: by a link, or as a file where there can't be links."""
        pointer, blob = self._pointer(file), self._blob(file)
        if self.settled(file):
            return
        target = posixpath.relpath(blob, posixpath.dirname(pointer))
        with self.ground.parent(pointer, make=True) as (directory, name):
            fresh = f".{name[:200]}.{os.getpid()}"
            try:
                if self._links:
                    os.symlink(target, fresh, dir_fd=directory)
                linked = self._links
            except PermissionError:  # the file system has none
                linked = False
            if not linked:
                with self.ground.parent(blob) as (blobs, etag):
                    try:
                        os.link(etag, fresh, src_dir_fd=blobs, dst_dir_fd=directory, follow_symlinks=False)
                    except OSError:
                        os.rename(etag, fresh, src_dir_fd=blobs, dst_dir_fd=directory)
            os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)

    def introduced(self, listing: Listing) -> bool:
        """Tell whether the branch is known to stand at the commit, and what the commit holds."""
        return self._ref_right() and self.ground.stat(self._tree(listing)) is not None

    def introduce(self, listing: Listing) -> None:
        """Write what the commit holds, and where the branch stands."""
        if self._tag and self.ground.stat("CACHEDIR.TAG") is None:
            self.ground.write("CACHEDIR.TAG", _CACHE_TAG)
        with self.ground.directory(f"{self._folder}/snapshots/{self._commit}", make=True):
            pass  # of an empty repo; a ref without its snapshot makes the library call the whole repo corrupt
        if self.ground.stat(self._tree(listing)) is None:
            self.ground.write(self._tree(listing), written(listing.every))
        if not self._ref_right():
            self.ground.write(f"{self._folder}/refs/{self._revision}", self._commit.encode())

    def _ref_right(self) -> bool:
        ref = self.ground.read(f"{self._folder}/refs/{self._revision}")
        return self._revision == self._commit or ref == self._commit.encode()

    def _whole(self, file: HubFile) -> str:
        """Return where the content lies: a blob, what a blob of the library's shared store points to, or a file."""
        blob = self._blob(file)
        target = self.ground.link(blob)
        if target is not None:
            inside = posixpath.normpath(posixpath.join(posixpath.dirname(blob), target))
            return inside if inside.startswith("blobs/") else blob
        if self.ground.stat(blob) is None:
            about = self.ground.stat(self._pointer(file))
            if about is not None and stat.S_ISREG(about.st_mode):
                return self._pointer(file)
        return blob

    def _blob(self, file: HubFile) -> str:
        return f"{self._folder}/blobs/{file.etag}"

    def _pointer(self, file: HubFile) -> str:
        return f"{self._folder}/snapshots/{self._commit}/{file.path}"

    def _tree(self, listing: Listing) -> str:
        return f"{self._folder}/trees/{listing.commit}.json"


class Folder:
    """The repo's files as they are, and what the library keeps of them in `.cache/huggingface/`."""

    def __init__(self, ground: Ground, commit: str, revision: str, now: float) -> None:
        self.ground = ground
        self.path = ground.path
        self._commit = commit
        self._revision = revision
        self._now = now

    def seat(self, file: HubFile) -> Seat:
        """Say where a file's parts lie."""
        above, name = posixpath.split(f"{_OWN}/download/{file.path}.metadata")
        short = base64.urlsafe_b64encode(hashlib.sha1(name.encode(), usedforsecurity=False).digest()).decode()
        return Seat(
            whole=file.path,
            target=file.path,
            partial=f"{above}/{short}.{file.etag}.incomplete",
            lock=f"{_OWN}/download/{file.path}.lock",
            memo=f"{_OWN}/runbook/{hashlib.sha256(file.path.encode()).hexdigest()}",
        )

    def settled(self, file: HubFile) -> bool:
        """Tell whether the library knows the file, at this commit."""
        kept = (self.ground.read(self._metadata(file)) or b"").split(b"\n")
        about = self.ground.stat(file.path)
        try:
            fresh = about is not None and about.st_mtime - 1 <= float(kept[2])
        except (IndexError, ValueError):
            return False
        return fresh and kept[:2] == [self._commit.encode(), file.etag.encode()]

    def settle(self, file: HubFile) -> None:
        """Say what the file is."""
        about = self.ground.stat(file.path)
        if about is None:
            raise Blameless(f"{self.path}/{file.path} vanished while it was being fetched")
        when = max(self._now, about.st_mtime)
        self.ground.write(self._metadata(file), f"{self._commit}\n{file.etag}\n{when}\n".encode())

    def introduced(self, listing: Listing) -> bool:
        """Tell whether what the commit holds is known."""
        there = self.ground.stat(f"{_OWN}/trees/{listing.commit}.json") is not None
        return there and kept_commit(self.ground, "", self._revision) == self._commit

    def introduce(self, listing: Listing) -> None:
        """Write what the commit holds."""
        for name, content in ((".gitignore", b"*"), ("CACHEDIR.TAG", _CACHE_TAG)):
            if self.ground.stat(f"{_OWN}/{name}") is None:
                self.ground.write(f"{_OWN}/{name}", content)
        self.ground.write(f"{_OWN}/trees/{listing.commit}.json", written(listing.every))
        if not is_commit(self._revision):
            self.ground.write(f"{_OWN}/runbook/refs/{self._revision}", self._commit.encode())

    @staticmethod
    def _metadata(file: HubFile) -> str:
        return f"{_OWN}/download/{file.path}.metadata"


_OWN = ".cache/huggingface"


def kept_commit(ground: Ground, folder: str, revision: str) -> Optional[str]:
    """Return where a branch stood when it was last fetched into a cache's repo, or a folder (""); None if never."""
    if is_commit(revision):
        return revision
    kept = ground.read(f"{folder}/refs/{revision}" if folder else f"{_OWN}/runbook/refs/{revision}")
    commit = (kept or b"").decode("ascii", "replace").strip()
    return commit if is_commit(commit) else None


def kept_files(ground: Ground, folder: str, commit: str) -> Optional[Tuple[HubFile, ...]]:
    """Return a commit's files as an earlier download kept them."""
    kept = ground.read(f"{folder}/trees/{commit}.json" if folder else f"{_OWN}/trees/{commit}.json")
    return None if kept is None else read(kept)
