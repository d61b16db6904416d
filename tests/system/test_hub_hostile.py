"""hf_download against a hub, or a neighbour on the host, that means harm."""

import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from faulty_hub import COMMIT, Fault, Hub, weights

pytest.importorskip("huggingface_hub")

from downloads import Steps, impatient

from runbook.modules.declare import Failed, Refused

FILES = {"config.json": b"{}", "sub/model.safetensors": weights(3 << 20, 1)}
TOKEN = "hf_SecretSecretSecretSecret"


@pytest.fixture
def hub():
    with Hub(FILES) as served:
        yield served


@pytest.fixture
def steps(tmp_path, hub, monkeypatch):
    impatient(monkeypatch)
    (tmp_path / "in").mkdir()
    return Steps(tmp_path / "in", hub)


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../out", "it leaves the folder"),
        ("a/../../out", "it leaves the folder"),
        ("..\\out", "it leaves the folder"),
        ("/etc/cron.d/x", "it is absolute"),
        ("a//b", "it is no path"),
        ("./a", "it is no path"),
        (".git/hooks/post-checkout", "it belongs to git"),
        ("a/.GIT/config", "it belongs to git"),
        (".cache/huggingface/download/x.metadata", "it belongs to huggingface_hub"),
        ("a\x1b[2Jb", "it is no path"),
        ("a" * 300, "a part of it is too long"),
    ],
)
def test_a_name_that_could_do_harm_is_refused_before_anything_is_fetched(steps, hub, tmp_path, name, why):
    hub.files[name] = b"owned"
    for goal in ({"dest": f"{tmp_path}/in/model"}, {"cache": f"{tmp_path}/in/cache"}):
        with pytest.raises(Refused, match=re.escape(why)) as refused:
            steps.run(**goal)
        assert "\x1b" not in str(refused.value)
    assert not hub.asked("/resolve/")
    assert names(tmp_path) == ["in"]
    assert names(tmp_path / "in") == []


def test_a_name_that_could_do_harm_can_be_left_out(steps, hub, tmp_path):
    hub.files["../out"] = b"owned"
    steps.run(dest=f"{tmp_path}/in/model", ignore_patterns=["../*"])
    assert (tmp_path / "in/model/config.json").read_bytes() == b"{}"


@pytest.mark.parametrize("etag", ["../../../out", "x", "A" * 64, 7])
def test_a_hash_that_is_none_is_refused(steps, hub, tmp_path, monkeypatch, etag):
    monkeypatch.setattr(hub, "etag", lambda _name: etag)
    with pytest.raises((Refused, Failed), match=r"which is no hash|is no hub's answer"):
        steps.run(cache=f"{tmp_path}/in/cache")
    assert names(tmp_path / "in") == []


def test_a_commit_that_is_a_path_is_refused(steps, hub, tmp_path):
    hub.commit = "../../out"
    with pytest.raises(Refused, match="which is no hash"):
        steps.run(cache=f"{tmp_path}/in/cache")


def test_a_link_in_the_way_is_not_followed(steps, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "in/model").mkdir()
    (tmp_path / "in/model/sub").symlink_to(outside)
    with pytest.raises(Refused, match="links are not followed"):
        steps.run(dest=f"{tmp_path}/in/model")
    assert names(outside) == []


def test_a_link_in_a_files_place_is_replaced_and_what_it_points_to_stays(steps, tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "in/model/sub").mkdir(parents=True)
    (tmp_path / "in/model/sub/model.safetensors").symlink_to(tmp_path / "victim")
    (tmp_path / "in/model/config.json").symlink_to(tmp_path / "victim")
    steps.run(dest=f"{tmp_path}/in/model")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "in/model/config.json").is_symlink()
    assert (tmp_path / "in/model/sub/model.safetensors").read_bytes() == FILES["sub/model.safetensors"]


@pytest.mark.parametrize("plant", ["link", "hardlink", "fifo"])
def test_what_stands_in_the_partial_files_place_is_not_written_to(steps, hub, tmp_path, plant):
    (tmp_path / "victim").write_bytes(FILES["sub/model.safetensors"][:1000])
    before = (tmp_path / "victim").read_bytes()
    partial = tmp_path / f"in/cache/models--org--toy/blobs/{hub.etag('sub/model.safetensors')}.incomplete"
    partial.parent.mkdir(parents=True)
    if plant == "link":
        partial.symlink_to(tmp_path / "victim")
    elif plant == "hardlink":
        os.link(tmp_path / "victim", partial)
    else:
        os.mkfifo(partial)
    steps.run(cache=f"{tmp_path}/in/cache")
    assert (tmp_path / "victim").read_bytes() == before
    snapshot = tmp_path / f"in/cache/models--org--toy/snapshots/{COMMIT}"
    assert (snapshot / "sub/model.safetensors").read_bytes() == FILES["sub/model.safetensors"]


def test_a_repo_that_is_a_link_in_the_cache_is_refused(steps, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "in/cache").mkdir()
    (tmp_path / "in/cache/models--org--toy").symlink_to(tmp_path / "outside")
    with pytest.raises(Refused, match="links are not followed"):
        steps.run(cache=f"{tmp_path}/in/cache")
    assert names(tmp_path / "outside") == []


def test_outside_of_what_is_writable_nothing_is_asked_of_the_hub(steps, hub, tmp_path):
    with pytest.raises(Refused, match="lies outside of what is writable"):
        steps.run(dest=f"{tmp_path}/elsewhere")
    assert not hub.log


def test_the_token_goes_to_the_hub_and_not_to_where_it_sends_us(steps, hub, tmp_path):
    hub.token = TOKEN
    with pytest.raises(Failed, match=r"RepositoryNotFoundError: 401 Client Error: .* give `token:`"):
        steps.run(dest=f"{tmp_path}/in/model")
    done = steps.run(dest=f"{tmp_path}/in/model", token=TOKEN)
    assert {one["authorization"] for one in hub.log if one["server"] == "hub"} == {None, f"Bearer {TOKEN}"}
    assert {one["authorization"] for one in hub.log if one["server"] == "cdn"} == {None}
    said = json.dumps([done.actions, done.data, done.output, steps.said])
    assert TOKEN not in said
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert kept == []


def test_the_hosts_own_token_is_not_sent_to_another_hub(steps, hub, tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    steps.run(dest=f"{tmp_path}/in/model")
    assert {one["authorization"] for one in hub.log} == {None}
    usual = huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE
    template = usual.replace(huggingface_hub.constants.ENDPOINT, hub.url)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    steps.run(dest=f"{tmp_path}/in/other")
    assert {one["authorization"] for one in hub.log if one["server"] == "hub"} == {None, f"Bearer {TOKEN}"}


def test_a_proxy_is_gone_through(steps, tmp_path, monkeypatch):
    """What the proxy was asked is seen by its first line; the hub itself is not reached."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def answer():
            connection, _ = proxy.accept()
            with connection:
                asked.append(connection.recv(4096).split(b"\r\n")[0].decode())
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("http_proxy", os.environ["HTTP_PROXY"])
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        from huggingface_hub.utils import close_session

        close_session()
        with pytest.raises(Failed, match="403 Client Error"):
            steps.run(dest=f"{tmp_path}/in/model", endpoint="http://hub.invalid:81")
        thread.join(10)
        close_session()
    assert asked == ["GET http://hub.invalid:81/api/models/org/toy/revision/main HTTP/1.1"]


def test_more_than_was_listed_is_not_kept(steps, hub, tmp_path, monkeypatch):
    real = hub.files["sub/model.safetensors"]
    etag = hub.etag("sub/model.safetensors")
    monkeypatch.setattr(hub, "etag", lambda name: etag if name.endswith("safetensors") else "0" * 40)
    steps_files = {"sub/model.safetensors": real}
    hub.files = {"sub/model.safetensors": real + b"x" * 100}
    with pytest.raises(Failed, match=r"checksum mismatch|the server sends"):
        steps.run(dest=f"{tmp_path}/in/model", patience="1s")
    hub.files = steps_files
    steps.run(dest=f"{tmp_path}/in/model")
    assert (tmp_path / "in/model/sub/model.safetensors").read_bytes() == real


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("kind", ["nothing", "short"])
def test_answers_that_bring_nothing_new_are_not_asked_for_without_end(steps, hub, tmp_path, kind, large):
    name = "sub/model.safetensors" if large else "sub/tiny.safetensors"
    hub.files = {name: weights(3 << 20 if large else 1000, 1)}
    hub.faulty = lambda *_: Fault(kind)
    began = time.monotonic()
    with pytest.raises(Failed, match="the server sends nothing new of it"):
        steps.run(dest=f"{tmp_path}/in/model", patience="3s")
    assert time.monotonic() - began < 20
    assert len(hub.asked(name)) < 40
    hub.faulty = None
    steps.run(dest=f"{tmp_path}/in/model")
    assert (tmp_path / "in/model" / name).read_bytes() == hub.files[name]


@pytest.mark.parametrize("kind", ["nothing", "short"])
def test_a_broken_file_is_not_mended_without_end_either(steps, hub, tmp_path, kind):
    hub.faulty = lambda name, begin, end: Fault("corrupt", after=2_000_000) if hub.sent < 3 << 20 else Fault(kind)
    with pytest.raises(Failed, match="the server sends nothing new of it"):
        steps.run(dest=f"{tmp_path}/in/model", patience="3s")
    assert len(hub.asked("model.safetensors")) < 40


def test_an_answer_without_end_is_left_where_the_file_ends(steps, hub, tmp_path):
    hub.faulty = lambda *_: Fault("endless")
    with pytest.raises(Failed, match=r"checksum mismatch|nothing new"):
        steps.run(dest=f"{tmp_path}/in/model", patience="1s")
    assert (tmp_path / "in/model/config.json").read_bytes() == b"{}"
    assert hub.sent < 200 << 20


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        (1, "listing does not end: it has told"),
        (2, "lists more than 20,000 entries"),
        (-1, "listing does not end: it has more than 200 pages"),
    ],
)
def test_a_listing_without_end_is_left(steps, hub, tmp_path, monkeypatch, pages, told):
    monkeypatch.setattr("runbook.modules.hub.library._MOST", 20_000)
    monkeypatch.setattr("runbook.modules.hub.library._PAGES", 200)
    hub.pages = pages
    with pytest.raises(Failed, match=told):
        steps.run(dest=f"{tmp_path}/in/model")
    assert names(tmp_path / "in") == []


def test_words_of_the_hub_can_not_move_the_cursor(steps, hub, tmp_path):
    hub.meta = [Fault("403", headers={"X-Error-Message": "no" + "x" * 1000})]
    with pytest.raises(Failed) as failed:
        steps.run(dest=f"{tmp_path}/in/model")
    assert len(str(failed.value)) < 600


def test_a_directory_that_is_swapped_for_a_link_all_the_time_leads_nowhere(steps, hub, tmp_path):
    outside, model = tmp_path / "outside", tmp_path / "in/model"
    outside.mkdir()
    (outside / "a.json").write_text("mine")
    (model / "sub").mkdir(parents=True)
    (model / "link").symlink_to(outside)
    ends = set()
    with swapping(model / "sub", model / "link"):
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            hub.files = {"sub/a.json": os.urandom(50), "sub/deep/b.json": os.urandom(50)}
            try:
                steps.run(dest=str(model), workers=2)
                ends.add("done")
            except (Refused, Failed, OSError):
                ends.add("refused")
    assert names(outside) == ["a.json"]
    assert (outside / "a.json").read_text() == "mine"
    assert "refused" in ends, "the attacker never got in the way"


@contextlib.contextmanager
def swapping(one, other):
    """A process that exchanges two names as fast as it goes."""
    attacker = os.fork()
    if not attacker:
        swap = ctypes.CDLL(None).renameat2
        while True:
            swap(-100, os.fsencode(one), -100, os.fsencode(other), 2)
    try:
        yield
    finally:
        os.kill(attacker, signal.SIGKILL)
        os.waitpid(attacker, 0)


def test_a_directory_in_a_files_place_is_told(steps, tmp_path):
    (tmp_path / "in/model/config.json").mkdir(parents=True)
    with pytest.raises(Failed, match=r"config.json is a directory, and a file of the repo"):
        steps.run(dest=f"{tmp_path}/in/model")
    assert Path(tmp_path / "in/model/config.json").is_dir()
