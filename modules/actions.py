"""What a step may do: a plan is a finite list of these, and nothing depends on the result of an earlier one.

Write, Delete, Move, Own, Keep and Restore name paths; only `perform.py` opens them, beneath the runbook's `writable`
entries.
"""

from typing import Any, Callable, Collection, Mapping, NamedTuple, Optional, Tuple, Union

from runbook.modules.frozen import field, frozen


@frozen
class Run:
    """Run a program and wait for its end; another exit code than `ok_codes` fails the step."""

    argv: Tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)  # added to the agent's own environment
    cwd: Optional[str] = None
    stdin: Optional[str] = None
    ok_codes: Tuple[int, ...] = (0,)
    detach: bool = False  # start it in a session of its own and leave it running
    log: Optional[str] = None  # with detach: a file beneath `writable` that gets its output


@frozen
class Write:
    """Replace a file's content atomically; owner and mode stay as they are (or `mode` for a new file)."""

    path: str
    content: bytes
    mode: Optional[int] = None
    before: Optional[bytes] = None  # what the plan saw; another content by now refuses


class Entry(NamedTuple):
    """One file or directory as the plan saw it, relative to the tree's root; another inode by now is refused.

    There may be hundreds of thousands in a plan. An Own also wants to know the rest: it is what an undo gives back.
    """

    path: str  # relative to the tree's root; "" is the root itself
    device: int
    inode: int
    size: int = 0
    directory: bool = False
    links: int = 1  # names of the file; of a directory it does not matter
    uid: int = -1
    gid: int = -1
    mode: int = 0  # with what it is, as in st_mode


@frozen
class Delete:
    """Delete entries of one tree, children before parents. One action, however many entries."""

    root: str
    entries: Tuple[Entry, ...]


@frozen
class Move:
    """Rename within one file system; an existing target is refused."""

    source: str
    target: str


@frozen
class Own:
    """Set owner, group and mode of entries of one tree; None leaves a thing as it is."""

    root: str
    entries: Collection[Entry]
    uid: Optional[int] = None
    gid: Optional[int] = None
    file_mode: Optional[int] = None
    directory_mode: Optional[int] = None


@frozen
class Kept:
    """One thing of a tree as a copy holds it; its path is absolute."""

    path: str
    kind: str  # file, directory, link, other (it was there, and is not kept) or absent
    mode: int = 0
    uid: int = 0
    gid: int = 0
    times: Tuple[int, int] = (0, 0)  # read and changed, in nanoseconds since the epoch
    size: int = 0
    digest: str = ""  # of a file's content
    file: str = ""  # the copy's file that holds the content
    content: str = ""  # the content itself in base64, where no copy has a file of it
    target: str = ""  # where a link leads
    attributes: Optional[Tuple[Tuple[str, str], ...]] = ()  # extended ones, values in base64; None leaves them
    seen: Tuple[int, int, int] = (0, 0, 0)  # device, inode, and when it last changed in any way (nanoseconds)
    twin: str = ""  # another name of the same file, kept before


@frozen
class Keep:
    """Copy trees, whole or not at all; the undo puts back what they held. What is `same` is not copied again."""

    roots: Tuple[str, ...]
    paths: Tuple[str, ...]  # all that is to be kept, directories before what lies in them
    store: str  # the directory that holds the copies
    name: str = ""
    keep: int = 5  # of the same name and roots; older ones are deleted
    largest: int = 10**9  # bytes that it may take
    same: str = ""  # the copy that holds all of it as it is


@frozen
class Restore:
    """Put things back as a copy holds them, each at once; what stood there is kept for the undo."""

    what: str  # what is put back, in words
    things: Tuple[Kept, ...]  # those that are otherwise, directories before what lies in them
    remove: Tuple[Entry, ...] = ()  # what the copy does not hold, by absolute path
    store: str = ""  # where the copy is; empty where the things hold their content themselves
    copy: str = ""
    undo: str = ""  # the directory that takes what stood there


@frozen
class Target:
    """A process that can't be mistaken for another: a pid with its start time (clock ticks since boot)."""

    pid: int
    started: int
    name: str = ""


ENDING = frozenset({"TERM", "INT", "QUIT", "KILL", "ABRT"})  # signals after which a process is expected to end


@frozen
class Signal:
    """Signal processes through pidfds; those still there after `grace` seconds get KILL when `kill` is set."""

    targets: Tuple[Target, ...]
    signal: str = "TERM"
    grace: float = 10.0
    kill: bool = True
    tree: bool = False  # and what they start while they are being ended


@frozen
class Until:
    """Wait until `holds` returns true; the step fails with `what` when it does not within `within` seconds."""

    what: str  # completes "did not see that …", such as "vllm is active"
    holds: Callable[[], bool]
    within: float = 60.0
    every: float = 0.2


@frozen
class Do:
    """What no other action says (a download). The function gets the opened hands, not paths.

    What it returns is registered, but for `changed` (default true) and `what` (in place of what was known before).
    Meanwhile it tells how far it is by `hands.progress`, with `hands.share` for a bar, and in `hands.data["progress"]`
    how much was gained should it fail (bytes, steps): `retry` does not charge an attempt that came forward.
    """

    what: str
    function: Callable[[Any], Optional[Mapping[str, Any]]]


Action = Union[Run, Write, Delete, Move, Own, Keep, Restore, Signal, Until, Do]
