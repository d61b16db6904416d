"""hf_cache on caches that huggingface_hub itself filled."""

import hashlib
import os
import time
from pathlib import Path

import pytest
from faulty_hub import Hub, weights

pytest.importorskip("huggingface_hub")

from downloads import Steps, impatient
from huggingface_hub import scan_cache_dir, snapshot_download

from runbook.modules.actions import Delete
from runbook.modules.declare import Refused

FIRST, SECOND = (hashlib.sha1(name).hexdigest() for name in (b"first", b"second"))
DAY = 86400


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Two revisions that share a file, the older one without a branch; and another repo."""
    impatient(monkeypatch)
    place = tmp_path / "cache"
    shared = weights(300_000, 1)
    with Hub({"shared.safetensors": shared, "old.safetensors": weights(200_000, 2)}) as hub:
        snapshot_download("org/toy", endpoint=hub.url, cache_dir=place, token=False)
        hub.files = {"shared.safetensors": shared, "new.safetensors": weights(100_000, 3)}
        hub.commit = SECOND
        snapshot_download("org/toy", endpoint=hub.url, cache_dir=place, token=False)
    with Hub({"x.safetensors": weights(50_000, 4)}, repo="org/other") as hub:
        hub.commit = "c" * 40
        snapshot_download("org/other", endpoint=hub.url, cache_dir=place, token=False)
    return place


@pytest.fixture
def steps(tmp_path):
    return Steps(tmp_path, None)


def revisions(cache):
    scanned = scan_cache_dir(cache)
    assert not scanned.warnings
    return {one.commit_hash for repo in scanned.repos for one in repo.revisions}


def age(cache, name, seconds):
    """Make a file's blob as old as that."""
    blob = next(cache.glob(f"*/snapshots/*/{name}")).resolve()
    os.utime(blob, (time.time() - seconds,) * 2)


def test_a_revision_without_a_branch_goes_and_what_it_shares_stays(cache, steps):
    done = steps.run("hf_cache", cache=str(cache), detached=True)
    assert (done.data["revisions"], done.data["freed"]) == (1, 200_000)
    assert revisions(cache) == {SECOND, "c" * 40}
    snapshot = Path(snapshot_download("org/toy", cache_dir=cache, local_files_only=True))
    assert {path.name for path in snapshot.iterdir()} == {"shared.safetensors", "new.safetensors"}
    assert steps.run("hf_cache", cache=str(cache), detached=True).planned == []


def test_the_plan_is_what_the_library_would_delete(cache, steps):
    strategy = scan_cache_dir(cache).delete_revisions(FIRST)
    done = steps.run("hf_cache", cache=str(cache), revision=[FIRST])
    [action] = done.planned
    assert isinstance(action, Delete)
    assert done.data["freed"] == strategy.expected_freed_size
    for path in [*strategy.blobs, *strategy.snapshots, *strategy.refs]:
        assert not os.path.lexists(path)


def test_a_whole_repo_goes_with_its_last_revision(cache, steps):
    steps.run("hf_cache", cache=str(cache), repo="org/other", older_than="0s")
    assert revisions(cache) == {FIRST, SECOND}
    assert not (cache / "models--org--other").exists()


def test_revisions_go_by_when_they_were_last_used(cache, steps):
    age(cache, "old.safetensors", 40 * DAY)
    age(cache, "shared.safetensors", 40 * DAY)
    age(cache, "new.safetensors", 10 * DAY)
    steps.run("hf_cache", cache=str(cache), older_than="30d")
    assert revisions(cache) == {SECOND, "c" * 40}


def test_no_more_goes_than_it_takes(cache, steps):
    age(cache, "x.safetensors", 40 * DAY)
    done = steps.run("hf_cache", cache=str(cache), max_size="620kB")
    assert revisions(cache) == {FIRST, SECOND}
    assert done.data["freed"] == 50_000
    assert steps.run("hf_cache", cache=str(cache), max_size="620kB").planned == []


def test_until_free_counts_what_is_free(cache, steps, monkeypatch):
    from runbook.modules.host import Host

    monkeypatch.setattr(Host, "free_space", lambda *_: 10**9)
    assert steps.run("hf_cache", cache=str(cache), until_free="1GB").planned == []
    age(cache, "x.safetensors", 40 * DAY)
    steps.run("hf_cache", cache=str(cache), until_free="1000001kB")
    assert revisions(cache) == {FIRST, SECOND}


def test_a_branch_names_a_revision_and_the_newest_stay(cache, steps):
    steps.run("hf_cache", cache=str(cache), revision=["main"], repo="org/toy", keep=1)
    assert revisions(cache) == {FIRST, SECOND, "c" * 40}
    steps.run("hf_cache", cache=str(cache), revision=["main"], repo="org/toy")
    assert revisions(cache) == {FIRST, "c" * 40}


def test_partial_downloads_go_when_nobody_writes_to_them(cache, steps):
    blobs = cache / "models--org--toy/blobs"
    old, young = blobs / f"{'a' * 64}.0123abcd.incomplete", blobs / f"{'b' * 64}.incomplete"
    old.write_bytes(b"x" * 1000)
    young.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    done = steps.run("hf_cache", cache=str(cache), partials=True)
    assert (done.data["partials"], done.data["freed"]) == (1, 1000)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_repo_that_is_being_downloaded_is_left_alone(cache, steps):
    (cache / f"models--org--toy/blobs/{'b' * 64}.incomplete").write_bytes(b"x")
    done = steps.run("hf_cache", cache=str(cache), older_than="0s")
    assert revisions(cache) == {FIRST, SECOND}
    assert done.data["skipped"] == 1


def test_a_repo_that_is_a_link_is_left_alone(cache, steps, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (cache / "models--org--other").rename(tmp_path / "elsewhere/models--org--other")
    (cache / "models--org--other").symlink_to(tmp_path / "elsewhere/models--org--other")
    done = steps.run("hf_cache", cache=str(cache), older_than="0s")
    assert done.data["skipped"] == 1
    assert (tmp_path / "elsewhere/models--org--other/snapshots").is_dir()


@pytest.mark.parametrize("trap", ["zero", "fifo", "large", "refs", "snapshot"])
def test_a_repo_with_what_the_library_would_choke_on_is_named_and_left_alone(cache, steps, trap):
    repo = cache / "models--org--other"
    ref = repo / "refs/pr/main"
    ref.parent.mkdir()
    if trap == "zero":
        ref.symlink_to("/dev/zero")
    elif trap == "fifo":
        os.mkfifo(ref)
    elif trap == "large":
        ref.write_bytes(b"a" * 5000)
    elif trap == "refs":
        (repo / "refs").rename(repo / "others")
        (repo / "refs").symlink_to("/dev")
    else:
        (repo / "snapshots" / FIRST).symlink_to("/")
    steps.run("hf_cache", cache=str(cache), detached=True, repo="org/toy")
    done = steps.run("hf_cache", cache=str(cache), older_than="0s")
    assert (done.data["skipped"], done.data["revisions"]) == (1, 1)
    assert sorted(path.name for path in cache.glob("models--*")) == ["models--org--other"]
    told = {"zero": "refs/pr/main is no regular file", "fifo": "refs/pr/main is no regular file",
            "large": "refs/pr/main has 5000 bytes", "refs": "refs is no directory",
            "snapshot": f"snapshots/{FIRST} is a link"}  # fmt: skip
    assert [told[trap] in note for note in done.notes] == [True]


def test_what_several_repos_share_goes_with_the_last_link(cache, steps):
    store = cache / "blobs/ab"
    store.mkdir(parents=True)
    (cache / "blobs/.huggingface-shared-blobs").write_text("1\n")
    payload = store / ("ab" * 32)
    blob = next((cache / "models--org--other/snapshots").glob("*/x.safetensors")).resolve()
    blob.rename(payload)
    blob.symlink_to(os.path.relpath(payload, blob.parent))
    other = cache / "models--org--toy/blobs" / ("d" * 64)
    other.symlink_to(os.path.relpath(payload, other.parent))
    steps.run("hf_cache", cache=str(cache), repo="org/other", older_than="0s")
    assert payload.exists()
    other.unlink()
    blob.parent.mkdir(parents=True)
    blob.symlink_to(os.path.relpath(payload, blob.parent))
    snapshot = cache / "models--org--other/snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "x.safetensors").symlink_to(os.path.relpath(blob, snapshot))
    steps.run("hf_cache", cache=str(cache), repo="org/other", older_than="0s")
    assert not payload.exists()


def test_a_cache_that_is_not_there_needs_nothing(steps, tmp_path):
    assert steps.run("hf_cache", cache=str(tmp_path / "none"), older_than="1d").planned == []


def test_a_cache_outside_of_what_is_writable_is_refused(cache, steps, tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(Refused, match="lies outside"):
        steps.run("hf_cache", cache=str(cache), older_than="0s", writable=tmp_path / "in")
