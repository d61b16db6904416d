"""Where nothing can be heard, the look says why, and the detector is polled as ever; and nothing is left behind."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import agents
import pytest
from hearing import Listener
from own_modules import python39
from sshds import sshds

from runbook.engine.fleet import here, local, messages
from runbook.engine.fleet.hosts import Hosts
from runbook.engine.fleet.line import Here
from runbook.engine.fleet.messages import Errand, Spec
from runbook.engine.model import NotSeen, Order

__all__ = ["sshds"]

SCRIPT = """
import json, sys
from hearing import Listener
from runbook.engine.fleet import here
with here(sys.argv[1]) as hosts:
    listener = Listener(hosts)
    found = [listener.watch(f"k{at}", **one) for at, one in enumerate(json.loads(sys.argv[2]))]
    print(json.dumps(found))
"""


@pytest.fixture
def listener(tmp_path):
    with here(str(tmp_path / "agent")) as hosts:
        yield Listener(hosts)


def limited(limit, place, *looks, who=("--map-root-user",)):
    """Return what is heard by a user of a namespace with such a limit."""
    argv = ["unshare", "--user", *who, "sh", "-c", f'{limit} && exec "$@"', "sh"]
    argv += [sys.executable, "-c", SCRIPT, str(place / "agent"), json.dumps(looks)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    if "unshare" in done.stderr or "cannot create" in done.stderr:
        pytest.skip(f"no user namespace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_host_without_room_for_another_inotify_instance_is_polled(tmp_path):
    log, process = limited(
        "echo 0 > /proc/sys/user/max_inotify_instances",
        tmp_path,
        {"probe": "log", "paths": [str(tmp_path / "x.log")], "patterns": ["ERROR"]},
        {"probe": "process", "match": "^no such process$"},
    )
    assert log == "inotify can't be used: Too many open files; see fs.inotify.max_user_instances"
    assert process is True


def test_a_host_whose_watches_are_used_up_says_how_to_have_more(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    first, second = limited(
        "echo 1 > /proc/sys/user/max_inotify_watches",
        tmp_path,
        {"probe": "log", "paths": [str(tmp_path / "a" / "x.log")], "patterns": ["ERROR"]},
        {"probe": "log", "paths": [str(tmp_path / "b" / "x.log")], "patterns": ["ERROR"]},
    )
    assert first is True
    assert "inotify's watches of this user are used up" in second
    assert "fs.inotify.max_user_watches" in second


def test_a_directory_that_may_not_be_read_is_polled(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(0)
    look = {"probe": "log", "paths": [f"{closed}/x.log"], "patterns": ["E"]}
    told = limited("true", tmp_path, look, who=("--map-user=1000", "--map-group=1000"))
    closed.chmod(0o700)
    assert told == [f"{closed} may not be watched: Permission denied"]


def test_a_network_file_system_is_polled_and_says_so(sshds, tmp_path):
    if os.geteuid() != 0 or not os.access("/usr/bin/sshfs", os.X_OK) or not os.access("/dev/fuse", os.R_OK):
        pytest.skip("no sshfs here: `apt-get install sshfs`")
    hosts = sshds(conf="Subsystem sftp internal-sftp")
    there, mounted, script = tmp_path / "there", tmp_path / "mounted", tmp_path / "script.py"
    for folder in (there, mounted, tmp_path / "here"):
        folder.mkdir()
    script.write_text(SCRIPT)
    look = {"probe": "log", "patterns": ["ERROR"]}
    looks = json.dumps([{**look, "paths": [f"{mounted}/x.log"]}, {**look, "paths": [f"{tmp_path}/here/x.log"]}])
    mount = f"sshfs -F {hosts.ssh_config} h1:{there} {mounted}"
    argv = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-ec",
        f'{mount}; trap "umount -l {mounted}" EXIT; "$@"',
        "sh",
    ]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    argv += [sys.executable, str(script), str(tmp_path / "agent"), looks]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    remote, local = json.loads(done.stdout or "[0, 0]")
    assert remote == (f"{mounted} lies on a network file system (fuse.sshfs): what others write is not heard"), (
        done.stderr
    )
    assert local is True


def test_a_probe_of_ones_own_says_what_can_be_heard(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_text("one")
    with agents.packed(monkeypatch), here(str(tmp_path / "agent")) as hosts:
        listener = Listener(hosts)
        assert listener.watch("felt", "felt", path=str(path)) is True
        path.write_text("two")
        listener.answer("felt", lambda found: found[0]["read"] == "two")
        heard = listener.watch("odd", "felt", path=str(path), fails=True)
        assert heard == "what can be heard could not be told: RuntimeError: no idea"
        assert listener.records("odd") == [{"read": "two"}]
        assert listener.watch("deaf", "odd", kind="print") is None


def test_a_look_that_hangs_is_heard_of_all_the_same(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_text("one")
    with agents.packed(monkeypatch), here(str(tmp_path / "agent")) as hosts:
        listener = Listener(hosts)
        listener.watch("felt", "felt", path=str(path))
        listener._specs["felt"] = Spec("felt", "felt", {"path": str(path)}, listen="felt", deadline=0.5)
        path.write_text("hang")
        listener.await_stir("felt")
        look, heard = listener.look("felt")
        assert (type(look), heard) == (NotSeen, True)
        path.write_text("three")
        listener.answer("felt", lambda found: found == [{"read": "three"}])


def test_a_look_under_another_python_is_polled(listener, tmp_path):
    old = python39()
    if old is None:
        pytest.skip("there is no Python 3.9 here")
    listener._specs["log"] = Spec(
        "log", "log", {"paths": (f"{tmp_path}/x.log",), "patterns": ("E",)}, listen="log", python=old
    )
    assert listener.look("log")[1] == "what can be heard is not told by a look under a `python` of its own"


def test_a_look_that_nobody_listens_for_costs_nothing_and_says_nothing(listener, tmp_path):
    spec = Spec("log", "log", {"paths": (f"{tmp_path}/x.log",), "patterns": ("E",)})
    answer = listener._answer(messages.probe([spec]))
    assert listener.hosts.heard(answer) == {}
    (tmp_path / "x.log").write_text("E\n")
    assert listener.quiet() == []


def test_who_listens_only_after_a_look_is_told_to_look_once_more(tmp_path):
    with here(str(tmp_path / "agent")) as hosts:
        spec = Spec("log", "log", {"paths": (f"{tmp_path}/x.log",), "patterns": ("E",)}, listen="log")
        first = hosts.send("localhost", messages.probe([spec]))
        answers = {}
        agents.wait_for(lambda: answers.update(hosts.receive(0.1)) or first in answers)
        assert hosts.heard(answers[first]) == {}
        listener = Listener(hosts)
        listener.await_stir("log")
        assert listener.watch("log", "log", **spec.params) is True


def ears(pid):
    """Return what an agent listens by, as the kernel tells: watches, and descriptors of processes and the kernel."""
    found = []
    for name in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            text = name.read_text()
            found += ["inotify"] * text.count("inotify wd:") + ["pid"] * ("\nPid:" in text)
    return sorted(found)


def test_what_is_no_longer_asked_for_is_let_go(listener, tmp_path):
    pid = agents.pid_of(next(iter(listener.hosts._places.values())).agent)
    for name in "abc":
        (tmp_path / name).mkdir()
    paths = [f"{tmp_path}/{name}/x.log" for name in "abc"]
    listener.watch("log", "log", paths=tuple(paths), patterns=("E",))
    sleeper = subprocess.Popen(["/bin/sleep", "321.5"])
    listener.watch("process", "process", match="^/bin/sleep 321.5$")
    assert ears(pid) == ["inotify"] * 3 + ["pid"]
    listener.watch("log", "log", paths=(paths[0],), patterns=("E",))
    sleeper.kill()
    sleeper.wait()
    listener.answer("process", lambda found: found[0]["count"] == 0)
    agents.wait_for(lambda: ears(pid) == ["inotify"])


def test_an_agent_that_is_left_with_a_step_in_hand_listens_no_more(tmp_path, monkeypatch):
    with agents.packed(monkeypatch):
        with here(str(tmp_path / "agent")) as hosts:
            listener = Listener(hosts)
            listener.watch("log", "log", paths=(f"{tmp_path}/x.log",), patterns=("E",))
            pid = agents.pid_of(next(iter(hosts._places.values())).agent)
            order = Order("dawdle", {"path": str(tmp_path / "step")}, timeout=30)
            hosts.submit("localhost", Errand("one", order, writable=(str(tmp_path),)))
            agents.wait_for(lambda: hosts.receive(0.01) is not None and (tmp_path / "step.begun").exists())
            assert ears(pid) == ["inotify"]
        agents.wait_for(lambda: ears(pid) == [])
        assert not agents.gone(pid)
        (tmp_path / "step.go").touch()
        agents.wait_for(lambda: agents.gone(pid))


def test_several_engines_hear_the_same_each_by_its_own_agent(tmp_path):
    with here(str(tmp_path / "agent")) as one, here(str(tmp_path / "agent")) as two:
        listeners = [Listener(one), Listener(two)]
        for listener in listeners:
            listener.watch("log", "log", paths=(f"{tmp_path}/x.log",), patterns=("ERROR",))
        (tmp_path / "x.log").write_text("ERROR\n")
        for listener in listeners:
            listener.answer("log", bool)


def test_an_agent_of_the_oldest_python_hears_as_well(tmp_path):
    old = python39()
    if old is None:
        pytest.skip("there is no Python 3.9 here")

    class Old(Here):
        def agent(self, user=None):
            return local.connect(str(tmp_path / "agent"), python=old)

    with Hosts(lambda _host: Old(), forks=0) as hosts:
        listener = Listener(hosts)
        assert hosts.python("localhost").startswith("3.9.")
        assert listener.watch("log", "log", paths=(f"{tmp_path}/*.log",), patterns=("ERROR",)) is True
        (tmp_path / "x.log").write_text("ERROR\n")
        listener.answer("log", bool)
        sleeper = subprocess.Popen(["/bin/sleep", "323.5"])
        listener.watch("process", "process", match="^/bin/sleep 323.5$")
        sleeper.kill()
        sleeper.wait()
        listener.answer("process", lambda found: found[0]["count"] == 0)


def test_over_ssh_it_is_heard_as_well(sshds, tmp_path, cli):
    from runbook.engine.among import Among, Reach

    inventory = str(sshds().inventory)
    with Among(Reach(inventories=(inventory,))).fleet() as hosts:
        listener = Listener(hosts, "h1")
        assert listener.watch("log", "log", paths=(f"{tmp_path}/x.log",), patterns=("ERROR",)) is True
        (tmp_path / "x.log").write_text("ERROR over there\n")
        assert [found["line"] for found in listener.answer("log", bool)] == ["ERROR over there"]
        sleeper = subprocess.Popen(["/bin/sleep", "322.5"])
        listener.watch("process", "process", match="^/bin/sleep 322.5$")
        sleeper.kill()
        listener.answer("process", lambda found: found[0]["count"] == 0)
        sleeper.wait()
