"""Whatever steps write, move and own in whatever tree: undone, all of it is as it was."""

import json
import os
import stat
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.modules.acting import walking
from runbook.modules.acting.hands import Hands
from runbook.modules.acting.perform import Performance, undo_all
from runbook.modules.actions import Move, Own, Write
from runbook.modules.declare import Failed, Refused
from runbook.modules.host import Host

ROOT = os.geteuid() == 0
OLD = 1_600_000_000_000_000_000  # nanoseconds; when the trees were made
NAMES = ("a", "b", "c d", "ü", "n\udcff", "-e", "x\ny")

names = st.sampled_from(NAMES)
places = st.lists(names, min_size=1, max_size=4).map(tuple)
modes = st.sampled_from([0o400, 0o600, 0o640, 0o644, 0o755, 0o777, 0o4755, 0o2750])
owners = st.sampled_from([0, 1, 12345]) if ROOT else st.just(os.geteuid())
moments = st.integers(0, 10**18)
files = st.fixed_dictionaries(
    {"content": st.binary(max_size=40), "mode": modes, "uid": owners, "gid": owners, "at": moments}
)
trees = st.dictionaries(places, files | st.just("link") | st.just("directory"), max_size=8)
numbers = st.none() | owners
acts = st.lists(
    st.one_of(
        st.tuples(st.just("write"), places, st.binary(max_size=40)),
        st.tuples(st.just("move"), places, places),
        st.tuples(st.just("own"), places, numbers, numbers, st.none() | modes),
    ),
    min_size=1,
    max_size=6,
)


def made(root, given_tree):
    """Make the tree; what a name's place does not allow is left out."""
    for place, thing in given_tree.items():
        path = Path(root, *place)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if thing == "link":
                path.symlink_to("a/b")
            elif thing == "directory":
                path.mkdir()
            else:
                path.write_bytes(thing["content"])
                os.chown(path, thing["uid"], thing["gid"])
                path.chmod(thing["mode"])
                os.utime(path, ns=(OLD, OLD + thing["at"]))
        except OSError:
            continue
    for number, (folder, _, _) in enumerate(os.walk(root, topdown=False)):
        os.utime(folder, ns=(OLD, OLD + number))


def seen(root):
    """Return everything below, with its content, owner, mode and time of change."""
    found = {}
    for path in [*sorted(Path(root).rglob("*")), Path(root)]:
        about = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(about.st_mode) else b""
        content = os.fsencode(path.readlink()) if stat.S_ISLNK(about.st_mode) else content
        found[os.fsencode(path)] = (about.st_mode, about.st_uid, about.st_gid, about.st_mtime_ns, about.st_ino, content)
    return found


def action(root, kind, *rest):
    if kind == "write":
        return Write(str(Path(root, *rest[0])), rest[1])
    if kind == "move":
        return Move(str(Path(root, *rest[0])), str(Path(root, *rest[1])))
    place, uid, gid, mode = rest
    top = str(Path(root, *place))
    entries = tuple(found.entry for found in walking.walk(Host(), top))
    return Own(top, entries, uid=uid, gid=gid, file_mode=mode, directory_mode=mode)


def performed(root, wanted):
    """Carry out what can be, and return its undos, as the ledger gives them back."""
    undos = []
    for one in wanted:
        hands = Hands([root], lambda undo: undos.append(json.loads(json.dumps(undo))), lambda _: None)
        try:
            Performance(hands, [action(root, *one)]).carry_out()
        except (Refused, Failed, OSError):
            continue
        finally:
            hands.close()
    return undos


def undone(root, undos):
    hands = Hands([root], lambda _: None, lambda _: None)
    try:
        undo_all(hands, undos[::-1])
    finally:
        hands.close()


def without_inodes(found, kept):
    """What a Write replaced has another inode when it is back; all else has its own."""
    return {path: (*about[:4], about[5], about[4] if path in kept else 0) for path, about in found.items()}


@settings(max_examples=150, deadline=None)
@given(trees, acts)
def test_what_was_written_moved_and_owned_is_undone_to_content_owner_mode_and_time(given_tree, wanted):
    with tempfile.TemporaryDirectory() as place:
        root = os.path.realpath(place)
        made(root, given_tree)
        before = seen(root)
        undos = performed(root, wanted)
        undone(root, undos)
        kept = set() if any(undo["undo"] == "write" for undo in undos) else set(before)
        assert without_inodes(seen(root), kept) == without_inodes(before, kept)


@settings(max_examples=40, deadline=None)
@given(trees, acts)
def test_checking_changes_nothing_at_all(given_tree, wanted):
    with tempfile.TemporaryDirectory() as place:
        root = os.path.realpath(place)
        made(root, given_tree)
        before = seen(root)
        for one in wanted:
            hands = Hands([root], lambda undo: (_ for _ in ()).throw(AssertionError(undo)), lambda _: None, diff=True)
            try:
                Performance(hands, [action(root, *one)]).check()
            except (Refused, Failed, OSError):
                continue
            finally:
                hands.close()
        assert seen(root) == before


@settings(max_examples=40, deadline=None)
@given(trees, acts)
def test_doing_it_a_second_time_changes_nothing_more(given_tree, wanted):
    with tempfile.TemporaryDirectory() as place:
        root = os.path.realpath(place)
        made(root, given_tree)
        for one in wanted:
            if one[0] == "move":
                continue
            performed(root, [one])
            after = seen(root)
            assert performed(root, [one]) == []
            assert seen(root) == after


@settings(max_examples=40, deadline=None)
@given(trees, places, st.binary(max_size=40))
def test_what_somebody_puts_into_a_directory_meanwhile_keeps_its_new_time(given_tree, at, content):
    with tempfile.TemporaryDirectory() as place:
        root = os.path.realpath(place)
        made(root, given_tree)
        undos = performed(root, [("write", at, content)])
        if not undos:
            return
        folder = Path(root, *at).parent
        (folder / "new").write_bytes(b"")
        changed = folder.stat().st_mtime_ns
        undone(root, undos)
        assert folder.stat().st_mtime_ns >= changed
        assert (folder / "new").exists()
