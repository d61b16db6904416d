"""hf_download against a hub that fails: what it fetches, how often, and what it says."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from faulty_hub import COMMIT, Fault, Hub, blob, date_in, weights

pytest.importorskip("huggingface_hub")

from downloads import Steps, impatient

from runbook.modules.declare import Failed, Refused

BIG = "model-1.safetensors"
FILES = {
    "config.json": b'{"model_type": "toy"}',
    "deep/er/tokenizer.json": b"[]" * 5000,
    BIG: weights(6 << 20, 1),
    "model-2.safetensors": weights(2 << 20, 2),
    "empty.txt": b"",
}
SIZE = sum(map(len, FILES.values()))


@pytest.fixture
def hub():
    with Hub(FILES) as served:
        yield served


@pytest.fixture
def steps(tmp_path, hub, monkeypatch):
    impatient(monkeypatch)
    return Steps(tmp_path, hub)


def content(place, files=FILES):
    return {name: (Path(place) / name).read_bytes() for name in files}


def test_a_folder_gets_the_files_as_they_are(steps, tmp_path):
    done = steps.run(dest=str(tmp_path / "model"))
    assert content(tmp_path / "model") == FILES
    assert done.actions == [f"download 8.4 MB of org/toy@main (5 files) to {tmp_path}/model"]
    assert done.changed
    assert done.data["path"] == f"{tmp_path}/model"
    assert done.data["commit"] == COMMIT
    assert done.data["fetched"] == done.data["progress"] == SIZE


def test_a_second_run_has_nothing_to_do_and_fetches_nothing(steps, hub, tmp_path):
    for goal in ({"dest": str(tmp_path / "model")}, {"cache": str(tmp_path / "cache")}):
        steps.run(**goal)
        hub.log.clear()
        again = steps.run(**goal)
        assert again.planned == []
        assert not hub.asked("/resolve/")
        assert not [one for one in hub.log if one["server"] == "cdn"]
        assert again.data["commit"] == COMMIT


def test_the_library_finds_a_complete_snapshot_in_the_cache(steps, hub, tmp_path):
    from huggingface_hub import HfApi, scan_cache_dir, snapshot_download

    done = steps.run(cache=str(tmp_path / "cache"))
    found = snapshot_download(hub.repo, cache_dir=tmp_path / "cache", local_files_only=True)
    assert found == done.data["path"]
    assert content(found) == FILES
    assert (Path(found) / BIG).readlink() == Path(f"../../blobs/{hub.etag(BIG)}")
    scanned = scan_cache_dir(tmp_path / "cache")
    assert not scanned.warnings
    [repo] = scanned.repos
    [revision] = repo.revisions
    assert (repo.repo_id, revision.commit_hash, set(revision.refs)) == (hub.repo, COMMIT, {"main"})
    verified = HfApi(endpoint=hub.url, token=False).verify_repo_checksums(hub.repo, cache_dir=tmp_path / "cache")
    assert (verified.checked_count, verified.mismatches, verified.missing_paths, verified.extra_paths) == (
        5,
        [],
        [],
        [],
    )


def test_the_library_takes_a_folder_for_its_own(steps, hub, tmp_path):
    from huggingface_hub import HfApi, snapshot_download

    steps.run(dest=str(tmp_path / "model"))
    hub.log.clear()
    snapshot_download(hub.repo, endpoint=hub.url, local_dir=tmp_path / "model", token=False)
    assert not [one for one in hub.log if one["method"] == "GET" and "/resolve/" in one["path"]]
    verified = HfApi(endpoint=hub.url, token=False).verify_repo_checksums(hub.repo, local_dir=tmp_path / "model")
    assert (verified.checked_count, verified.mismatches, verified.missing_paths) == (5, [], [])
    assert all(path.startswith(".cache/huggingface/") for path in verified.extra_paths)  # the library's own, to 1.x


def test_what_the_library_downloaded_is_checked_once_and_not_fetched(steps, hub, tmp_path):
    from huggingface_hub import snapshot_download

    snapshot_download(hub.repo, endpoint=hub.url, cache_dir=tmp_path / "cache", token=False)
    hub.log.clear()
    done = steps.run(cache=str(tmp_path / "cache"))
    assert done.actions == [f"check the hashes of 5 files (8.4 MB) of org/toy@main in {tmp_path}/cache"]
    assert not done.changed
    assert not hub.asked("/resolve/")
    assert steps.run(cache=str(tmp_path / "cache")).planned == []


@pytest.mark.parametrize(
    ("fault", "note"),
    [
        (Fault("cut", 2 << 20), "the connection was cut"),
        (Fault("reset", 2 << 20), "the connection was cut"),
        (Fault("stall", 2 << 20), "the connection stalls (timed out)"),
        (Fault("503"), "503 Server Error"),
        (Fault("429", headers={"Retry-After": "1"}), "waiting 1 s, as the hub asks"),
        (Fault("429", headers=date_in(1)), "as the hub asks"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_what_passes_is_tried_again_and_costs_no_byte_twice(steps, hub, tmp_path, fault, note):
    hub.faults = [fault]
    done = steps.run(dest=str(tmp_path / "model"), workers=1)
    assert content(tmp_path / "model") == FILES
    assert done.data["retries"] == 1
    assert note in done.output
    assert done.data["fetched"] == SIZE
    assert steps.said[-1][1] == 1.0


@pytest.mark.parametrize("headers", [{"Retry-After": "2"}, date_in(2), {"RateLimit": '"resolvers";r=0;t=2'}])
def test_the_hub_gets_the_time_that_it_asks_for(steps, hub, tmp_path, headers):
    hub.faults = [Fault("429", headers=headers)]
    steps.run(dest=str(tmp_path / "model"), workers=1)
    first, second = [one["at"] for one in hub.log if one["path"] == f"/{BIG}"]
    assert 1.5 <= second - first < 4


def test_the_list_of_files_is_asked_for_again_too(steps, hub, tmp_path):
    hub.meta = [Fault("503"), Fault("429", headers={"Retry-After": "1"})]
    steps.run(dest=str(tmp_path / "model"))
    assert content(tmp_path / "model") == FILES


def test_a_wait_longer_than_the_patience_ends_the_step_and_tells_the_engine_how_long(steps, hub, tmp_path):
    hub.faults = [Fault("429", headers={"Retry-After": "300"})] * 9
    with pytest.raises(Failed, match=f"{BIG}: 429 Too Many Requests by 127.0.0.2:[0-9]+; the hub asks to wait 300 s"):
        steps.run(dest=str(tmp_path / "model"), patience="10s", workers=1)
    assert steps.data["retry_after"] == 300


def test_patience_is_of_what_does_not_move(steps, hub, tmp_path):
    hub.faulty = lambda _name, _begin, _end: Fault("cut", 300_000)
    steps.run(dest=str(tmp_path / "model"), patience="3s", allow_patterns=["model-2*"])
    assert (tmp_path / "model/model-2.safetensors").read_bytes() == FILES["model-2.safetensors"]
    hub.faulty = lambda _name, _begin, _end: Fault("cut", 0)
    with pytest.raises(Failed, match=f"{BIG}: the connection was cut.*; nothing came for [0-9]+ s"):
        steps.run(dest=str(tmp_path / "model"), patience="2s")


def test_a_failed_attempt_tells_how_far_it_came(steps, hub, tmp_path):
    hub.faulty = lambda _name, begin, _end: Fault("cut", (3 << 20) - begin)
    with pytest.raises(Failed, match=BIG):
        steps.run(dest=str(tmp_path / "model"), patience="1s", allow_patterns=[BIG])
    assert 0 < steps.data["progress"] <= 3 << 20
    came = steps.data["progress"]
    with pytest.raises(Failed, match=BIG):
        steps.run(dest=str(tmp_path / "model"), patience="1s", allow_patterns=[BIG])
    assert steps.data["progress"] == (3 << 20) - came


def test_what_was_there_is_told_before_it_resumes(steps, hub, tmp_path):
    hub.faulty = lambda _name, begin, _end: Fault("cut", (3 << 20) - begin)
    with pytest.raises(Failed, match=BIG):
        steps.run(dest=str(tmp_path / "model"), patience="1s", allow_patterns=[BIG])
    hub.faulty = None
    done = steps.run(dest=str(tmp_path / "model"), allow_patterns=[BIG])
    found = re.escape("3.15 MB of 6.29 MB")
    assert re.search(f"download 3.15 MB of org/toy@main .1 file. to .*/model: found {found}, resuming", done.actions[0])
    assert re.search(f"found {found}, resuming", done.output)
    assert done.data["fetched"] == 3 << 20


@pytest.mark.parametrize("goal", ["dest", "cache"])
def test_a_flipped_byte_on_the_way_is_noticed_and_only_what_is_wrong_is_written_anew(steps, hub, tmp_path, goal):
    hub.faults = [Fault("corrupt", 1 << 20)]
    done = steps.run(**{goal: str(tmp_path / "x")}, workers=1)
    assert content(done.data["path"]) == FILES
    assert "checksum mismatch" in done.output
    assert SIZE < done.data["fetched"] < SIZE + (2 << 20)


@pytest.mark.parametrize("goal", ["dest", "cache"])
def test_a_byte_that_flipped_on_the_disk_is_found_by_its_time_or_when_asked(steps, hub, tmp_path, goal):
    done = steps.run(**{goal: str(tmp_path / "x")})
    path = Path(done.data["path"], BIG).resolve()
    times = path.stat()
    broken = bytearray(FILES[BIG])
    broken[4 << 20] ^= 1
    with path.open("r+b") as file:
        file.write(broken)
    mended = steps.run(**{goal: str(tmp_path / "x")})
    assert mended.actions[0].startswith("check the hashes of 1 file (6.29 MB)")
    assert mended.changed
    assert content(done.data["path"]) == FILES
    with path.open("r+b") as file:
        file.write(broken)
    os.utime(path, ns=(times.st_atime_ns, path.stat().st_mtime_ns))
    path = Path(done.data["path"], BIG).resolve()
    steps.run(**{goal: str(tmp_path / "x")})
    before = path.stat()
    with path.open("r+b") as file:
        file.write(broken)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert steps.run(**{goal: str(tmp_path / "x")}).planned == []
    assert steps.run(**{goal: str(tmp_path / "x")}, recheck=True).changed
    assert content(done.data["path"]) == FILES


def test_a_small_file_that_was_edited_is_put_back(steps, tmp_path):
    steps.run(dest=str(tmp_path / "model"))
    (tmp_path / "model/config.json").write_text('{"model_type": "mine"}')
    assert steps.run(dest=str(tmp_path / "model")).changed
    assert content(tmp_path / "model") == FILES


def test_a_hub_that_sends_something_else_than_it_lists_is_told_and_nothing_of_it_is_kept(steps, hub, tmp_path):
    hub.faulty = lambda _name, _begin, end: Fault("corrupt", end - 1)
    with pytest.raises(Failed, match=f"{BIG}: checksum mismatch: what http.* sends has not the SHA-256 that it lists"):
        steps.run(dest=str(tmp_path / "model"), allow_patterns=[BIG])
    assert not (tmp_path / "model" / BIG).exists()
    hub.faulty = None
    steps.run(dest=str(tmp_path / "model"))
    assert content(tmp_path / "model") == FILES


def test_a_server_without_ranges_is_put_up_with(steps, hub, tmp_path):
    hub.ranges = False
    hub.faults = [Fault("cut", 2 << 20)]
    steps.run(dest=str(tmp_path / "model"))
    assert content(tmp_path / "model") == FILES


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"repo": "org/no"}, "RepositoryNotFoundError: 404 Client Error: org/no@main is not there, or it is private"),
        ({"revision": "v9"}, "RevisionNotFoundError: 404 Client Error: org/toy@v9: there is no such revision"),
        ({"revision": "0" * 40}, "404 Client Error"),
    ],
)
def test_what_is_not_there_ends_it_at_once(steps, hub, tmp_path, given, said):
    if given.get("revision") == "0" * 40:
        hub.meta = [Fault("404", headers={"X-Error-Code": "RevisionNotFound"})]
    began = time.monotonic()
    with pytest.raises(Failed, match=re.escape(said)):
        steps.run(dest=str(tmp_path / "model"), **given)
    assert time.monotonic() - began < 5
    assert len(hub.log) == 1


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        ("401", {"X-Error-Code": "RepoNotFound"}, "RepositoryNotFoundError: 401 Client Error"),
        ("401", {"X-Error-Message": "Invalid credentials in Authorization header"}, "the token is not valid"),
        (
            "403",
            {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"},
            "GatedRepoError: 403 Client Error",
        ),
        ("403", {}, "403 Client Error: org/toy@main is not open to anybody without a token"),
        ("451", {"X-Error-Message": "taken down"}, "451 Client Error: org/toy@main; the hub says: taken down"),
    ],
)
def test_a_refusal_ends_it_at_once_with_what_to_do(steps, hub, tmp_path, status, headers, said):
    hub.meta = [Fault(status, headers=headers)]
    with pytest.raises(Failed, match=re.escape(said)):
        steps.run(dest=str(tmp_path / "model"))
    assert len(hub.log) == 1


def test_a_file_that_vanished_or_is_refused_ends_it_at_once(steps, hub, tmp_path):
    hub.faults = [Fault("403")]
    with pytest.raises(Failed, match=re.escape(f"403 Client Error by {hub.cdn[7:]}: {BIG} is not open to")):
        steps.run(dest=str(tmp_path / "model"), workers=1)
    assert len([one for one in hub.log if one["server"] == "cdn"]) == 1


def test_no_answer_at_all_is_told_as_what_it_is(steps, tmp_path):
    with pytest.raises(Failed, match=r"org/toy@main: http://127.0.0.1:9: no connection: connection refused"):
        steps.run(dest=str(tmp_path / "model"), endpoint="http://127.0.0.1:9", patience="0.5s")


def test_a_page_in_between_is_told(steps, hub, tmp_path):
    hub.meta = [Fault("200")]
    with pytest.raises((Failed, Refused), match=r"is no hash|is no hub's answer"):
        steps.run(dest=str(tmp_path / "model"))


def test_no_room_is_told_before_it_begins(steps, hub, tmp_path, monkeypatch):
    from runbook.modules.host import Host

    monkeypatch.setattr(Host, "free_space", lambda *_: 1_000_000)
    with pytest.raises(
        Failed, match=r"no space left for it: 8.4 MB are still to come to .*, and 1 MB are free on /.* \("
    ):
        steps.run(dest=str(tmp_path / "model"))
    assert not hub.asked("/resolve/")


def test_patterns_choose_as_the_library_does(steps, tmp_path):
    from huggingface_hub import snapshot_download

    steps.run(cache=str(tmp_path / "c"), allow_patterns=["*.json", "model-*"], ignore_patterns=["*-2.*"])
    found = snapshot_download(
        "org/toy", cache_dir=tmp_path / "c", local_files_only=True, allow_patterns=["*.json", "model-1*"]
    )
    names = {str(path.relative_to(found)) for path in Path(found).rglob("*") if path.is_file()}
    assert names == {"config.json", "deep/er/tokenizer.json", BIG}
    with pytest.raises(Failed, match="holds 5 files, and no pattern fits any"):
        steps.run(cache=str(tmp_path / "c"), allow_patterns=["*.gguf"])


def test_a_branch_moves_on_when_all_files_of_the_new_commit_are_there(steps, hub, tmp_path):
    cache = str(tmp_path / "c")
    steps.run(cache=cache)
    hub.files["model-2.safetensors"] = weights(2 << 20, 9)
    hub.commit = hashlib.sha1(b"second").hexdigest()
    hub.faulty = lambda _name, _begin, _end: Fault("cut", 1000)
    with pytest.raises(Failed, match="model-2"):
        steps.run(cache=cache, patience="0s")
    ref = tmp_path / "c/models--org--toy/refs/main"
    assert ref.read_text() == COMMIT
    hub.faulty = None
    done = steps.run(cache=cache)
    assert ref.read_text() == hub.commit
    assert content(done.data["path"]) == hub.files
    assert done.data["fetched"] < 2 << 20


def test_the_hosts_own_cache_may_be_a_link_to_a_larger_disk(steps, tmp_path, monkeypatch):
    import huggingface_hub.constants

    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to("disk")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "home/hub"))
    done = steps.run(writable=tmp_path / "disk")
    assert done.data["path"] == str(tmp_path / "disk/hub/models--org--toy/snapshots" / COMMIT)
    (tmp_path / "home").unlink()
    (tmp_path / "home").symlink_to("elsewhere")
    with pytest.raises(Refused, match="outside of what is writable"):
        steps.run(writable=tmp_path / "disk")


def test_what_is_whole_is_enough_while_the_hub_is_away(steps, hub, tmp_path):
    steps.run(cache=str(tmp_path / "c"))
    hub.meta = [Fault("503")] * 50
    assert steps.run(cache=str(tmp_path / "c"), patience="30s").planned == []


def test_offline_is_honoured(steps, hub, tmp_path, monkeypatch):
    import huggingface_hub.constants

    steps.run(dest=str(tmp_path / "model"))
    hub.log.clear()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert steps.run(dest=str(tmp_path / "model")).planned == []
    (tmp_path / "model" / BIG).unlink()
    with pytest.raises(Failed, match=f"HF_HUB_OFFLINE is set on this host, and {BIG} of org/toy is not in"):
        steps.run(dest=str(tmp_path / "model"))
    with pytest.raises(Failed, match="was never fetched"):
        steps.run(dest=str(tmp_path / "other"))
    assert not hub.log


def test_snapshots_are_files_where_there_can_be_no_links(steps, hub, tmp_path, monkeypatch):
    import huggingface_hub.constants
    from huggingface_hub import snapshot_download

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_SYMLINKS", True)
    done = steps.run(cache=str(tmp_path / "c"))
    assert not Path(done.data["path"], BIG).is_symlink()
    assert content(snapshot_download("org/toy", cache_dir=tmp_path / "c", local_files_only=True)) == FILES
    assert steps.run(cache=str(tmp_path / "c")).planned == []


def test_what_the_library_left_behind_is_built_on(steps, hub, tmp_path):
    blobs = tmp_path / "c/models--org--toy/blobs"
    blobs.mkdir(parents=True)
    etag = hub.etag(BIG)
    (blobs / f"{etag}.0123abcd.incomplete").write_bytes(FILES[BIG][:1000])
    (blobs / f"{etag}.89abcdef.incomplete").write_bytes(FILES[BIG][: 4 << 20])
    done = steps.run(cache=str(tmp_path / "c"))
    assert "found 4.19 MB of 8.4 MB, resuming" in done.actions[0]
    assert done.data["fetched"] == SIZE - (4 << 20)
    assert sorted(path.name for path in blobs.iterdir()) == sorted(map(hub.etag, FILES))


def test_two_processes_fetch_each_byte_once(steps, hub, tmp_path):
    hub.rate = 20e6
    argv = [sys.executable, str(Path(__file__).with_name("hub_downloader.py")), str(tmp_path)]
    given = f'{{"repo": "org/toy", "endpoint": "{hub.url}", "cache": "{tmp_path}/c"}}'
    both = [
        subprocess.Popen([*argv, given], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate("\n", timeout=60)[0] for process in both]
    assert all("\ndone " in one or one.startswith("done ") for one in said), said
    assert content(tmp_path / f"c/models--org--toy/snapshots/{COMMIT}") == FILES
    assert hub.sent == len(FILES[BIG]) + len(FILES["model-2.safetensors"])


def test_it_waits_for_the_librarys_own_lock(steps, hub, tmp_path):
    from huggingface_hub.utils import WeakFileLock

    lock = tmp_path / f"c/.locks/models--org--toy/{hub.etag(BIG)}.lock"
    lock.parent.mkdir(parents=True)
    taken, free = threading.Event(), threading.Event()

    def hold():
        with WeakFileLock(lock):
            taken.set()
            free.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(10)
    ended = []
    waiter = threading.Thread(target=lambda: ended.append(steps.run(cache=str(tmp_path / "c"))))
    waiter.start()
    while not any("another process fetches it" in text for text, _ in steps.said):
        assert waiter.is_alive()
        time.sleep(0.01)
    assert not hub.asked(BIG)
    free.set()
    waiter.join(30)
    holder.join(30)
    assert content(ended[0].data["path"]) == FILES


def test_what_comes_compressed_and_in_pieces_is_put_together(steps, hub, tmp_path):
    name = "deep/er/tokenizer.json"
    hub.files = {name: weights(50_000, 5)}
    hub.compressed = True
    hub.meta = [None, None, Fault("cut", 20_000)]  # of the commit, of the tree, and of the file
    steps.run(dest=str(tmp_path / "model"))
    assert content(tmp_path / "model", hub.files) == hub.files
    assert hub.meta == []


def test_a_file_larger_than_a_network_sends_at_once_is_asked_for_in_parts(steps, hub, tmp_path, monkeypatch):
    from runbook.modules.hub import library

    monkeypatch.setattr(library, "LONGEST", 2_500_000)
    steps.run(dest=str(tmp_path / "model"))
    assert content(tmp_path / "model") == FILES
    asked = [one["range"] for one in hub.log if one["server"] == "cdn" and one["path"] == f"/{BIG}"]
    assert asked == ["bytes=0-2499999", "bytes=2500000-4999999", "bytes=5000000-6291455"]


def test_the_folder_may_be_the_writable_directory_itself(steps, tmp_path):
    (tmp_path / "model").mkdir()
    steps.run(dest=str(tmp_path / "model"), writable=tmp_path / "model")
    assert content(tmp_path / "model") == FILES


def test_a_file_that_was_edited_in_a_snapshot_is_put_back_and_its_blob_was_never_touched(steps, hub, tmp_path):
    done = steps.run(cache=str(tmp_path / "c"))
    pointer = Path(done.data["path"], "config.json")
    edited = FILES["config.json"].replace(b"toy", b"yot")
    pointer.unlink()
    pointer.write_bytes(edited)
    hub.log.clear()
    assert steps.run(cache=str(tmp_path / "c")).changed
    assert content(done.data["path"]) == FILES
    assert not hub.asked("/resolve/")


def test_a_step_whose_time_is_over_keeps_what_came(steps, hub, tmp_path):
    class Over(BaseException):
        pass

    def over(*_):
        raise Over

    def watch():
        while not (steps.said and steps.said[-1][1] > 0.2):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)

    hub.rate = 2e6
    before = signal.signal(signal.SIGUSR1, over)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(Over):
            steps.run(dest=str(tmp_path / "model"))
    finally:
        watcher.join()
        signal.signal(signal.SIGUSR1, before)
    came = steps.data["progress"]
    assert came > 0.2 * SIZE
    hub.rate = 0
    done = steps.run(dest=str(tmp_path / "model"))
    assert content(tmp_path / "model") == FILES
    assert done.data["fetched"] <= SIZE - came


def test_git_hashes_are_those_of_git():
    assert blob(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
