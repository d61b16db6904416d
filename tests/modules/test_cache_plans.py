"""What `clear_cache` promises of any cache: limits are kept, the newest stay, and no more goes than must."""

import os
import tempfile
from pathlib import Path

from case_host import FakeHost
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.modules.acting import walking
from runbook.modules.acting.walking import Folder, Found
from runbook.modules.steps.chown import Chown
from runbook.modules.steps.clear_cache import ClearCache

NOW = 1_700_000_000
FREE = 1000

folders = st.sampled_from(["", "a/", "a/b/", "c/", "c/d/e/"])
files = st.dictionaries(
    st.tuples(folders, st.sampled_from(["x.bin", "y.json", "z.tmp", "w.bin"])).map("".join),
    st.tuples(st.integers(0, 40), st.integers(0, 20)),  # size, age in hours
    max_size=12,
)
maybe = st.none() | st.integers(0, 20)


def planned(made, **conditions):
    """Make the files, and return the entries a plan deletes (by their paths, in order) and its report."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(os.path.realpath(place)) / "cache"
        root.mkdir()
        for name, (size, age) in made.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)
            os.utime(path, (NOW - age * 3600, NOW - age * 3600))
        host = FakeHost(writable=(str(root),), answers={"now": NOW, "free_space": FREE})
        step = ClearCache(path=str(root), **conditions)
        entries = [entry.path for action in step.plan(host) for entry in action.entries]
        return entries, step.report(host)


@settings(max_examples=60, deadline=None)
@given(files, maybe, maybe)
def test_what_is_young_or_among_the_newest_stays(made, older_than, keep):
    hours = None if older_than is None else older_than * 3600.0
    entries, report = planned(made, older_than=hours, keep=keep)
    gone = [name for name in entries if name in made]
    ages = sorted(age for _, age in made.values())
    assert len(set(gone)) == len(gone) == report["deleted"]
    assert all(made[name][1] > (older_than if older_than is not None else -1) for name in gone)
    assert len(made) - len(gone) >= min(keep or 0, len(made))
    assert sorted(made[name][1] for name in made if name not in gone)[: keep or 0] == ages[: keep or 0]
    may_go = [age for age in ages[keep or 0 :] if older_than is None or age > older_than]
    assert len(gone) == len(may_go)


@settings(max_examples=60, deadline=None)
@given(files, st.integers(0, 200), st.none() | st.integers(0, 200), maybe)
def test_a_limit_takes_the_oldest_and_no_more_than_it_must(made, more, max_size, older_than):
    hours = None if older_than is None else older_than * 3600.0
    entries, report = planned(made, until_free=FREE + more, max_size=max_size, older_than=hours)
    gone = [name for name in entries if name in made]
    sizes = [made[name][0] for name in gone]
    total = sum(size for size, _ in made.values())
    needed = max(more, 0 if max_size is None else total - max_size)
    assert report["freed"] == sum(sizes)
    assert [made[name][1] for name in gone] == sorted((made[name][1] for name in gone), reverse=True)
    if gone:
        assert sum(sizes[:-1]) < needed
    staying = [name for name in made if name not in gone and (older_than is None or made[name][1] > older_than)]
    if staying and sum(sizes) < needed:
        raise AssertionError(f"{staying} could have gone")
    assert not gone or all(made[name][1] <= made[gone[-1]][1] for name in staying)


@settings(max_examples=60, deadline=None)
@given(files, maybe, st.sampled_from([None, ("*.bin",), ("a",), ("a/**",), ("c/d/*", "*.json")]))
def test_a_directory_goes_only_after_all_that_it_holds(made, older_than, match):
    hours = None if older_than is None else older_than * 3600.0
    entries, _ = planned(made, older_than=hours, match=match)
    order = {name: place for place, name in enumerate(entries)}
    assert "" not in order
    directories = {parent for name in made for parent in map(str, Path(name).parents) if parent != "."}
    for directory in directories:
        within = [name for name in [*made, *directories] if name.startswith(directory + "/")]
        if directory in order:
            assert all(name in order and order[name] < order[directory] for name in within)
        else:
            assert not all(name in order for name in within)


@settings(max_examples=30, deadline=None)
@given(files, st.integers(0, 3))
def test_directories_that_match_go_or_stay_as_a_whole(made, keep):
    entries, _ = planned(made, match=("*",), keep=keep)
    tops = {name.split("/")[0] for name in made}
    gone = {name.split("/")[0] for name in entries}
    assert len(tops - gone) == min(keep, len(tops))
    youngest = {top: min(age for name, (_, age) in made.items() if name.split("/")[0] == top) for top in tops}
    assert not gone or not (tops - gone) or max(youngest[top] for top in tops - gone) <= min(youngest[t] for t in gone)
    assert {name for name in made if name.split("/")[0] in gone} <= set(entries)


def test_what_is_mounted_below_stays_with_the_directories_above_it(tmp, monkeypatch):
    root = Path(tmp) / "cache"
    (root / "d/mounted").mkdir(parents=True)
    (root / "file").touch()
    found = [Found(path, (root / path).stat(), mount=path == "d/mounted") for path in ("file", "d/mounted", "d", "")]
    monkeypatch.setattr(walking, "walk", lambda *_: iter(found))
    host = FakeHost(writable=(tmp,))
    for match in (None, ("d",), ("mounted",)):
        entries = [entry.path for action in ClearCache(str(root), match=match).plan(host) for entry in action.entries]
        assert entries == (["file"] if match is None else [])
    file, mounted, folder, top = (each.stat for each in found)
    folders = [Folder("d", folder, [], [("mounted", mounted)]), Folder("", top, [("file", file)], [])]
    monkeypatch.setattr(walking, "folders", lambda *_: iter(folders))
    owned = [
        entry.path for action in Chown(str(root), mode="0700", recursive=True).plan(host) for entry in action.entries
    ]
    assert owned == ["file", "d", ""]
