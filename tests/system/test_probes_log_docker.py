"""Containers' logs as docker keeps them: JSON lines, found by the container's name, rotated, joined, recreated."""

import json
import os

import pytest

from runbook.modules.declare import Absent, Unclear
from runbook.modules.host import Completed, Host
from runbook.modules.logs import containers
from runbook.modules.probes.log import Log


class Docked(Host):
    """A host whose `docker` answers what a test says."""

    answer = None

    def which(self, program):
        return "/bin/docker" if program == "docker" and self.answer else None

    def run(self, *argv, **_):
        assert argv[:2] == ("docker", "inspect")
        return self.answer(argv[-1])


@pytest.fixture
def root(tmp_path, monkeypatch):
    root = tmp_path / "containers"
    root.mkdir()
    monkeypatch.setattr(containers, "ROOT", str(root))
    monkeypatch.setattr(Docked, "answer", None)
    return root


def made(root, name, identity):
    folder = root / (identity * 64)[:64]
    folder.mkdir()
    log = folder / f"{folder.name}-json.log"
    log.touch()
    (folder / "config.v2.json").write_text(json.dumps({"Name": f"/{name}", "ID": folder.name, "LogPath": str(log)}))
    return log


def say(log, *texts, stream="stderr", time="2026-01-31T12:00:00.25Z"):
    with log.open("a") as file:
        for text in texts:
            file.write(json.dumps({"log": text, "stream": stream, "time": time}, separators=(",", ":")) + "\n")


class Watch:
    def __init__(self, *names, patterns=("error.*",), from_="end"):
        self.probe = Log(patterns=patterns, docker=names, from_=from_)
        self.state = {}

    def look(self):
        host = Docked(remembered=json.loads(json.dumps(self.state)))
        records = list(self.probe.look(host))
        self.state = host.kept
        return records

    def lines(self):
        return [record.line for record in self.look()]


def test_lines_of_a_container_come_up_once_under_its_name(root):
    log = made(root, "vllm", "ab")
    watch = Watch("vllm")
    assert watch.look() == []
    say(log, "all is well\n", "error 1\n")
    [record] = watch.look()
    assert (record.path, record.line, record.time) == ("vllm", "error 1", 1769860800.25)
    assert watch.look() == []


def test_a_container_may_be_named_by_its_id_and_others_are_not_read(root):
    one, other = made(root, "one", "ab"), made(root, "other", "cd")
    by_id = Watch("ab" * 6)
    by_id.look()
    say(one, "error of one\n")
    say(other, "error of other\n")
    assert by_id.lines() == ["error of one"]


def test_a_line_that_docker_parted_is_one_line(root):
    log = made(root, "vllm", "ab")
    watch = Watch("vllm", patterns=("begin x+ error",))
    watch.look()
    say(log, "begin " + "x" * 16378, "x" * 16384)
    say(log, "of the other stream\n", stream="stdout")
    assert watch.look() == []
    say(log, "x error\n")
    assert [len(line) for line in watch.lines()] == [8192]
    assert watch.look() == []


def test_a_parted_line_without_an_end_holds_nothing_up(root):
    log = made(root, "vllm", "ab")
    watch = Watch("vllm")
    watch.look()
    say(log, *["x" * 16384] * 90, "\n", "error behind\n")
    assert watch.lines() == ["error behind"]


def test_a_log_that_docker_rotates_is_read_on(root):
    log = made(root, "vllm", "ab")
    watch = Watch("vllm")
    watch.look()
    say(log, "error 1\n")
    log.rename(f"{log}.1")
    say(log, "error 2\n")
    assert watch.lines() == ["error 1", "error 2"]
    os.system(f"gzip {log}.1")
    assert watch.look() == []


def test_a_container_that_is_made_anew_is_read_from_its_beginning(root):
    log = made(root, "vllm", "ab")
    watch = Watch("vllm")
    watch.look()
    say(log, "error 1\n")
    assert watch.lines() == ["error 1"]
    for file in log.parent.iterdir():
        file.unlink()
    log.parent.rmdir()
    assert watch.look() == []
    assert watch.state["nothing"]
    say(made(root, "vllm", "cd"), "error 2\n")
    assert watch.lines() == ["error 2"]


def test_a_traceback_in_json_lines_is_one_record(root):
    log = made(root, "vllm", "ab")
    watch = Watch("vllm", patterns={"any": "main", "oom": "OutOfMemoryError"})
    watch.look()
    say(
        log,
        "Traceback (most recent call last):\n",
        '  File "x.py", line 1, in main\n',
        "torch.OutOfMemoryError: CUDA\n",
        "bye\n",
    )
    assert [record.signature for record in watch.look()] == ["oom"]


def test_docker_is_asked_where_its_directory_is_another(tmp_path, root, monkeypatch):
    monkeypatch.setattr(containers, "ROOT", str(tmp_path / "none"))
    log = made(root, "vllm", "ab")
    monkeypatch.setattr(
        Docked,
        "answer",
        lambda _, name: (
            Completed(0, f"{log}\tjson-file\n") if name == "vllm" else Completed(1, "", "Error: No such container: x")
        ),
    )
    watch = Watch("vllm", "x")
    watch.look()
    say(log, "error 1\n")
    assert watch.lines() == ["error 1"]


def test_a_container_whose_log_is_kept_otherwise_is_unclear(tmp_path, root, monkeypatch):
    monkeypatch.setattr(containers, "ROOT", str(tmp_path / "none"))
    monkeypatch.setattr(Docked, "answer", lambda *_: Completed(0, "\tjournald\n"))
    with pytest.raises(Unclear, match="is kept by docker's driver `journald`, not as JSON lines"):
        Watch("vllm").look()


def test_a_docker_that_does_not_answer_is_unclear(tmp_path, root, monkeypatch):
    monkeypatch.setattr(containers, "ROOT", str(tmp_path / "none"))
    monkeypatch.setattr(Docked, "answer", lambda *_: Completed(1, "", "Cannot connect to the Docker daemon\n"))
    with pytest.raises(Unclear, match="can't be asked about vllm: Cannot connect to the Docker daemon"):
        Watch("vllm").look()


def test_a_host_without_docker_lacks_it(tmp_path, root, monkeypatch):
    monkeypatch.setattr(containers, "ROOT", str(tmp_path / "none"))
    with pytest.raises(Absent, match="there is no docker here"):
        Watch("vllm").look()
