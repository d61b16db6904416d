"""A download as an operation: its attempts, the detectors of its errors, what is shown of it, and what is not."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faulty_hub import Fault, Hub, weights

pytest.importorskip("huggingface_hub")

BIG = "model-1.safetensors"
FILES = {"config.json": b"{}", BIG: weights(6 << 20, 1), "model-2.safetensors": weights(1 << 20, 2)}
TOKEN = "hf_SecretSecretSecretSecret"
BOOK = """
name: deploy
writable: ["{root}"]
secrets: {{hf_token: {{env: TEST_HUB_TOKEN}}}}
operations:
  - name: download model
    hf_download: {{repo: org/toy, endpoint: "{url}", dest: "{root}/model", patience: {patience}{more}}}
    {component}
    timeout: 60s
    retry: {{strategy: immediate, attempts: {attempts}}}
    register: model
  - name: tell
    command: [echo, "{{{{ model.path }}}}", "{{{{ model.commit }}}}"]
    timeout: 10s
detectors:
  - name: gated
    error: '401 Client Error|GatedRepo'
    retry: false
  - name: disk full
    error: '(?i)no space|disk full|quota'
    mode: auto
    recover: [{{clear_cache: "{root}/old"}}]
  - name: network timeout
    error: '(?i)connection|timed? ?out|unreachable'
    retry: {{strategy: immediate, attempts: 2}}
"""


@pytest.fixture
def hub():
    with Hub(FILES) as served:
        yield served


@pytest.fixture
def root(cli):
    place = cli.home / "root"
    (place / "old").mkdir(parents=True)
    return place


def book(cli, hub, root, *, patience="0s", attempts=2, more="", component=""):
    about = {"patience": patience, "attempts": attempts, "more": more, "component": component}
    return cli.write("deploy.yaml", BOOK.format(root=root, url=hub.url, **about))


def environment():
    return {"HF_HUB_DOWNLOAD_TIMEOUT": "2", "TEST_HUB_TOKEN": TOKEN}


def content(root):
    return {name: (root / "model" / name).read_bytes() for name in FILES}


def operation(ran):
    return ran.host["operations"][0]


def test_attempts_that_came_forward_are_not_charged(cli, hub, root):
    """With two attempts and no patience, five of which each brings a bit more are enough."""
    hub.faulty = lambda _name, begin, end: Fault("cut", 2_000_000) if end - begin > 2_000_000 else None
    ran = cli.json("apply", book(cli, hub, root, more=", workers: 1"), env=environment())
    assert ran.exit_code == 0, ran.out
    assert operation(ran)["attempts"] == 4
    assert content(root) == FILES
    assert hub.sent < 1.1 * sum(map(len, FILES.values()))


def test_attempts_that_came_no_further_are_charged(cli, hub, root):
    hub.faulty = lambda name, _begin, _end: Fault("cut") if name == BIG else None
    ran = cli.json("apply", book(cli, hub, root, more=", workers: 1"), env=environment())
    assert ran.exit_code == 2
    assert operation(ran)["attempts"] == 2
    assert f"{BIG}: the connection was cut" in operation(ran)["error"]


def charged(cli):
    """Attempts that the component `hub` is told from."""
    return {one["name"]: one["attempts"] for one in cli.json("status").json["components"]}.get("hub", 0)


@pytest.mark.parametrize(
    ("repo", "attempts"), [("org/none", 0), ("org/toy", 2)], ids=["a name that is not there", "a hub that is ill"]
)
def test_a_component_is_charged_with_what_the_hub_did_and_not_with_what_is_wrong_here(cli, hub, root, repo, attempts):
    hub.meta = [Fault("503")] * 9 if repo == "org/toy" else []
    path = book(cli, hub, root, component="component: hub")
    path.write_text(path.read_text().replace("org/toy", repo))
    assert cli("apply", path, env=environment()).exit_code == 2
    assert charged(cli) == attempts


def test_a_refusal_is_tried_once_and_says_what_to_do(cli, hub, root):
    hub.meta = [Fault("403", headers={"X-Error-Code": "GatedRepo"})] * 9
    ran = cli.json("apply", book(cli, hub, root), env=environment())
    assert operation(ran)["attempts"] == 1
    assert len(hub.log) == 1
    assert [one["detector"] for one in ran.host["incidents"]] == ["gated"]
    assert "GatedRepoError: 403 Client Error: org/toy@main is gated" in operation(ran)["error"]
    assert "ask for access on its page, and give `token:`" in operation(ran)["error"]


def test_a_check_says_what_would_be_fetched_and_changes_nothing(cli, hub, root):
    (root / "model").mkdir()
    (root / "model/config.json").write_text("[]")
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    ran = cli("apply", book(cli, hub, root), "--check", env=environment())
    assert "would download 7.34 MB of org/toy@main (2 files of 3)" in " ".join(ran.out.split())
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before
    assert not hub.asked("/resolve/")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the step's process by /proc")
def test_a_step_that_is_killed_goes_on_where_it_stood_and_is_not_charged(cli, hub, root):
    hub.rate = 2e6
    ran = subprocess.Popen(
        [sys.executable, "-m", "runbook", "apply", str(book(cli, hub, root, attempts=3)), "--format", "json"],
        env={**cli.env, **environment()}, cwd=cli.home, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    size = sum(map(len, FILES.values()))
    for share in (0.2, 0.4, 0.6):  # as many kills as there are attempts
        while hub.sent < share * size:
            time.sleep(0.01)
        time.sleep(0.5)  # the word of how far it is comes four times a second
        os.kill(writer(root), signal.SIGKILL)
    out, _ = ran.communicate(timeout=100)
    found = json.loads(out)["runs"][0]["hosts"]["localhost"]["operations"][0]
    assert found["attempts"] == 4, found
    assert content(root) == FILES
    assert hub.sent < 1.3 * size  # a quarter is on its way, or not yet hashed, at each kill


def writer(root):
    """The process that has a partial file below `root` open."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                target = str(link.readlink())
            except OSError:
                continue
            if target.startswith(f"{root}/") and target.endswith(".incomplete"):
                return int(link.parts[2])
        time.sleep(0.02)
    pytest.fail("nobody writes there")


def test_the_token_is_in_no_argv_journal_output_or_file(cli, hub, root):
    hub.token, hub.rate = TOKEN, 6e6
    path = book(cli, hub, root, more=', token: "{{ secrets.hf_token }}"')
    ran = subprocess.Popen(
        [sys.executable, "-m", "runbook", "apply", str(path), "-v", "--format", "jsonl"],
        env={**cli.env, **environment()}, cwd=cli.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    seen = 0
    while ran.poll() is None:
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert TOKEN.encode() not in line.read_bytes()
                seen += 1
            except OSError:
                continue
        time.sleep(0.05)
    out = ran.stdout.read()
    ran.stdout.close()
    assert ran.returncode == 0, out
    assert seen
    assert TOKEN.encode() not in out
    assert content(root) == FILES
    kept = [one for one in cli.home.rglob("*") if one.is_file() and TOKEN.encode() in one.read_bytes()]
    assert kept == []
    assert {one["authorization"] for one in hub.log if one["server"] == "cdn"} == {None}


def test_a_terminal_shows_a_bar_and_a_pipe_nothing_that_moves(cli, hub, root):
    hub.rate = 2e6
    shown = on_terminal(cli, "apply", book(cli, hub, root))
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert re.search(r"━+.* download model: [0-9.]+ MB of 7.34 MB, [0-9.]+ MB/s, [0-9]+ s left", plain), plain
    assert "✔ download model" in plain
    shutil.rmtree(root / "model")
    piped = cli("apply", book(cli, hub, root), env=environment())
    assert "\x1b" not in piped.out
    assert "MB/s" not in piped.out


def on_terminal(cli, *words):
    import pty

    leader, follower = pty.openpty()
    env = {**cli.env, **environment(), "COLUMNS": "100", "TERM": "xterm"}
    argv = [sys.executable, "-m", "runbook", *map(str, words)]
    with subprocess.Popen(argv, stdout=follower, stderr=follower, env=env, cwd=cli.home):
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part
    os.close(leader)
    return shown.decode()


def test_what_was_found_is_in_the_output_of_the_step(cli, hub, root):
    hub.faults = [Fault("cut", 3_000_000)]
    path = book(cli, hub, root, more=", workers: 1")
    ran = cli("apply", path, "-v", env=environment())
    assert ran.exit_code == 0, ran.out
    assert "found 3 MB of 7.34 MB, resuming" in ran.out


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
@pytest.mark.parametrize("size", ["8m", "9m"])
def test_a_full_disk_is_told_healed_and_gone_on_with(cli, hub, root, size):
    """On 8 MiB the model has no room beside what lies there; on 9 MiB it has, until somebody else writes."""
    hub.rate = 8e6
    script = f"""
        mount -t tmpfs -o size={size} tmpfs {root}
        mkdir {root}/old
        head -c {2_000_000 if size == "8m" else 1} /dev/zero > {root}/old/early
        while ! [ -e {root}/model/.cache/huggingface/download ] && ! [ -e {cli.home}/over ]; do sleep 0.05; done \\
          && [ {size} = 9m ] && head -c 4000000 /dev/zero > {root}/old/late &
        {sys.executable} -m runbook apply {book(cli, hub, root, component="component: hub")} --format json
        code=$?
        touch {cli.home}/over
        sha256sum < {root}/model/{BIG} > {cli.home}/sum
        exit $code
    """
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script],
        env={**cli.env, **environment()}, capture_output=True, text=True, timeout=100, check=False, cwd=cli.home,
    )  # fmt: skip
    assert done.returncode == 0, done
    [host] = [run["hosts"]["localhost"] for run in json.loads(done.stdout)["runs"]]
    [incident] = host["incidents"]
    assert (incident["detector"], incident["state"]) == ("disk full", "cured")
    assert host["operations"][0]["attempts"] == 2
    assert charged(cli) == 1  # the attempt that succeeded: the hub was well all the time
    assert (cli.home / "sum").read_text().split()[0] == hub.etag(BIG)
    said = json.dumps(host)
    assert ("are free on" in said) if size == "8m" else ("No space left on device" in said), said
