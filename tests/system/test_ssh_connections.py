"""Agents over real sshds: what is configured is done, and nothing stays when a line is closed."""

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from agents import wait_for
from sshds import USER, lacking, make_key, sshds

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet import Spec
from runbook.engine.fleet.asker import Asker
from runbook.engine.fleet.dial import dial
from runbook.engine.fleet.ssh.channel import ChannelLink
from runbook.engine.fleet.target import Target
from runbook.engine.model import Seen

__all__ = ["sshds"]
pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def reached(hosts, name="h1", **more):
    """Return how one of them is reached."""
    one = hosts[name]
    settings = {
        "name": name,
        "address": one.address,
        "port": one.port,
        "key_file": str(hosts.key),
        "ssh_args": f"-o UserKnownHostsFile={hosts.known_hosts} -o GlobalKnownHostsFile=/dev/null",
        "agent_dir": str(one.agent_dir),
    }
    return Target(**{**settings, **more})


def by_config(hosts, name, *lines, **more):
    """Return how one is reached by an ssh_config, with lines before the usual ones."""
    hosts.ssh_config.write_text("".join(f"{line}\n" for line in lines) + hosts.ssh_config.read_text())
    return Target(name=name, ssh_args=f"-F {hosts.ssh_config}", agent_dir=str(hosts[name].agent_dir), **more)


def works(target, asker=None):
    """Return what a host calls itself; a command answers that, which is quicker than an agent."""
    line = dial(target, asker or Asker())
    try:
        link = ChannelLink(line._session, "echo $RB_HOST", target.timeout)
        said = b""
        while (data := link.read()) != b"":
            said += data or b""
            if data is None:
                select.select([*link.polled()], [], [], 10.0)
        link.close()
        return said.decode().strip()
    finally:
        line.close()


def looks(target):
    """Return what a host calls itself, asked by a look of its agent."""
    line = dial(target, Asker())
    with line.agent() as agent:
        look = agent.probe([Spec("c", "command", {"argv": ["sh", "-c", "echo $RB_HOST"]})])["c"]
    line.close()
    assert isinstance(look, Seen), look
    return look.records[0].fields["stdout"].strip()


def threads():
    """Return the threads of ours."""
    return [thread for thread in threading.enumerate() if thread.name == "runbook ssh"]


def descriptors():
    """Return how many are open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_an_agent_looks_and_nothing_stays_when_the_line_is_closed(sshds):
    hosts = sshds()
    assert looks(reached(hosts)) == "h1"  # what is imported and kept once is there from now on
    before = descriptors()
    for _ in range(2):
        assert looks(reached(hosts)) == "h1"
    assert descriptors() == before
    assert not threads()
    wait_for(lambda: not hosts.remote())
    wait_for(lambda: not hosts["h1"].sessions())


def test_one_connection_carries_several_agents(sshds):
    hosts = sshds()
    line = dial(reached(hosts), Asker())
    agents = [line.agent() for _ in range(3)]
    assert all(isinstance(agent.probe([Spec("h", "port", {"address": "127.0.0.1:1"})])["h"], Seen) for agent in agents)
    assert hosts["h1"].log.count("Accepted publickey") == 1
    agents[0].close()
    assert isinstance(agents[1].probe([Spec("h", "port", {"address": "127.0.0.1:1"})])["h"], Seen)
    line.close()
    wait_for(lambda: not hosts.remote())
    with pytest.raises(HostUnreachable, match="the connection was lost: it was hung up here"):
        agents[1].probe([Spec("h", "port", {"address": "127.0.0.1:1"})])
    for agent in agents:
        agent.close()


def test_an_interpreter_ends_at_once_though_connections_are_open(sshds, tmp_path):
    hosts = sshds()
    program = f"""
import threading, time
from runbook.engine.fleet.asker import Asker
from runbook.engine.fleet.dial import dial
from runbook.engine.fleet.target import Target
target = Target(**{ {name: getattr(reached(hosts), name) for name in ("name", "address", "port", "key_file", "ssh_args", "agent_dir")}!r})
agent = dial(target, Asker()).agent()
agent.ready()
print(time.time(), flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert time.time() - float(done.stdout) < 2.0
    wait_for(lambda: not hosts.remote())


def test_a_message_larger_than_every_window_arrives_whole_both_ways(sshds):
    hosts = sshds()
    line = dial(reached(hosts), Asker())
    with line.agent() as agent:
        agent.ready()
        argv = ["sh", "-c", "printf '[\"'; head -c 500000 /dev/zero | tr '\\0' x; printf '\"]'"]
        kept = {"kept": "y" * 200_000}
        found = agent.probe([Spec(str(at), "command", {"argv": argv}, kept) for at in range(30)])
        assert {len(look.records[0].fields["json"][0]) for look in found.values()} == {500_000}
    line.close()


def test_sending_to_a_host_that_stands_still_never_waits(sshds):
    hosts = sshds()
    line = dial(reached(hosts), Asker())
    agent = line.agent()
    agent.ready()
    hosts["h1"].freeze()
    try:
        began = time.monotonic()
        for _ in range(60):
            agent.send({"op": "nonsense", "filler": "x" * 500_000})
            assert agent.receive(0.0) == []
        assert time.monotonic() - began < 3.0
        assert agent.pending or all(events == select.POLLIN for events in agent.polled().values())
        began = time.monotonic()
        agent.close()
        line.close()
        assert time.monotonic() - began < 1.0
    finally:
        hosts["h1"].thaw()


def test_keys_are_exchanged_anew_while_messages_run(sshds):
    hosts = sshds(conf="RekeyLimit 64K\n")
    line = dial(reached(hosts), Asker())
    with line.agent() as agent:
        for _ in range(5):
            spec = Spec("c", "command", {"argv": ["sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x"]})
            assert agent.probe([spec])["c"].records[0].fields["exit_code"] == 0
    line.close()


def test_a_connection_that_is_lost_is_told_with_its_reason(sshds):
    hosts = sshds()
    line = dial(reached(hosts), Asker())
    agent = line.agent()
    agent.ready()
    hosts["h1"].stop()
    with pytest.raises(HostUnreachable, match=r"closed it|reset|hung up"):
        agent.probe([Spec("h", "port", {"address": "127.0.0.1:1"})])
    agent.close()
    line.close()


def test_a_host_that_gives_no_sign_of_life_is_given_up(sshds):
    hosts = sshds()
    more = "-o ServerAliveInterval=1 -o ServerAliveCountMax=1"
    target = reached(hosts)
    line = dial(reached(hosts, ssh_args=f"{target.ssh_args} {more}"), Asker())
    agent = line.agent()
    agent.ready()
    hosts["h1"].freeze()
    try:
        with pytest.raises(HostUnreachable, match=r"no sign of life for [23] s"):
            agent.receive(10.0)
    finally:
        hosts["h1"].thaw()
    agent.close()
    line.close()


def test_an_idle_host_that_lives_is_kept(sshds):
    hosts = sshds()
    line = dial(
        reached(hosts, ssh_args=f"{reached(hosts).ssh_args} -o ServerAliveInterval=1 -o ServerAliveCountMax=1"), Asker()
    )
    with line.agent() as agent:
        agent.ready()
        assert agent.receive(3.5) == []
        assert isinstance(agent.probe([Spec("h", "port", {"address": "127.0.0.1:1"})])["h"], Seen)
    line.close()


def test_the_signal_that_ended_an_agent_is_told(sshds):
    hosts = sshds()
    line = dial(reached(hosts), Asker())
    agent = line.agent()
    agent.ready()
    for pid in hosts["h1"].remote():
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(HostUnreachable, match=r"the agent ended with (signal KILL|exit code 137)"):
        agent.receive(10.0)
    agent.close()
    line.close()


# the configuration


def test_a_host_is_reached_by_the_users_own_configuration(sshds, tmp_path):
    hosts = sshds()
    (tmp_path / "home/.ssh/config").write_text(hosts.ssh_config.read_text())
    assert works(Target("h1", agent_dir=str(hosts["h1"].agent_dir))) == "h1"


def test_a_chain_of_jump_hosts_passes_us_on(sshds):
    hosts = sshds(4)
    target = by_config(hosts, "h4", "Host h4", "ProxyJump h2,h3", "Host h2", "ProxyJump h1")
    before = descriptors()
    assert works(target) == "h4"
    for name in ("h1", "h2", "h3", "h4"):
        assert hosts[name].log.count("Accepted publickey") == 1, name
    assert descriptors() <= before + 1  # what is imported keeps one
    assert not threads()


def test_hosts_behind_one_jump_host_share_the_connection_to_it(sshds):
    hosts = sshds(3)
    common = reached(hosts).ssh_args
    asker = Asker()
    jump = f"{common} -o ProxyJump=h1 -F {hosts.ssh_config}"
    lines = [dial(reached(hosts, name, ssh_args=jump), asker) for name in ("h2", "h3")]
    agents = [line.agent() for line in lines]
    assert all(isinstance(agent.probe([Spec("h", "port", {"address": "127.0.0.1:1"})])["h"], Seen) for agent in agents)
    assert hosts["h1"].log.count("Accepted publickey") == 1
    lines[0].close()
    assert isinstance(agents[1].probe([Spec("h", "port", {"address": "127.0.0.1:1"})])["h"], Seen)
    lines[1].close()
    assert not threads()
    for agent in agents:
        agent.close()


def test_sending_through_a_jump_host_to_a_host_that_stands_still_never_waits(sshds):
    hosts = sshds(2)
    line = dial(by_config(hosts, "h2", "Host h2", "ProxyJump h1"), Asker())
    agent = line.agent()
    agent.ready()
    hosts["h2"].freeze()
    try:
        began = time.monotonic()
        for _ in range(60):
            agent.send({"op": "nonsense", "filler": "x" * 500_000})
            assert agent.receive(0.0) == []
        agent.close()
        line.close()
        assert time.monotonic() - began < 4.0
    finally:
        hosts["h2"].thaw()


def test_hosts_behind_a_jump_host_that_stands_still_wait_for_it_together(sshds):
    hosts = sshds(2)
    hosts["h1"].freeze()
    asker = Asker()
    jump = f"{reached(hosts).ssh_args} -o ProxyJump=h1 -F {hosts.ssh_config}"

    def told(_number):
        with pytest.raises(HostUnreachable) as caught:
            dial(reached(hosts, "h2", ssh_args=jump, timeout=0.5), asker)
        return caught.value.what

    began = time.monotonic()
    with ThreadPoolExecutor(16) as several:
        whys = set(several.map(told, range(16)))
    assert time.monotonic() - began < 4.0
    (why,) = whys
    assert why.startswith("h1 (jump host): 127.0.1.1 port ")
    hosts["h1"].thaw()
    dial(reached(hosts, "h2", ssh_args=jump), asker).close()
    assert not threads()


def test_a_jump_host_that_does_not_pass_us_on_says_why(sshds):
    hosts = sshds(2, conf="AllowTcpForwarding no\n")
    target = by_config(hosts, "h2", "Host h2", "ProxyJump h1")
    with pytest.raises(HostUnreachable) as caught:
        works(target)
    assert caught.value.what.startswith("h1 (jump host): the jump host does not pass us on to 127.0.1.2")
    assert not threads()


def test_a_proxy_command_is_the_connection_and_ends_with_it(sshds):
    hosts = sshds(2)
    command = f"{shutil.which('ssh')} -F {hosts.ssh_config} -W %h:%p h1"
    target = by_config(hosts, "h2", "Host h2", f"ProxyCommand {command}")
    before = descriptors()
    assert works(target) == "h2"
    assert descriptors() <= before + 1
    assert not threads()
    wait_for(lambda: not hosts["h1"].sessions())


def test_a_proxy_command_that_fails_is_told_in_its_own_words(sshds):
    hosts = sshds()
    target = by_config(hosts, "h1", "Host h1", "ProxyCommand sh -c 'echo no route from here >&2; exit 7'")
    with pytest.raises(
        HostUnreachable, match="its proxy command ended before it said its version: exit code 7: no route from here"
    ):
        works(target)


def test_a_proxy_command_that_does_not_end_is_ended(sshds):
    hosts = sshds()
    target = by_config(hosts, "h1", "Host h1", "ProxyCommand sleep 1000.7", timeout=0.5)
    with pytest.raises(HostUnreachable, match=r"within 0.5 s \(banner\)"):
        works(target)
    assert subprocess.run(["pgrep", "-f", "sleep 1000[.]7"], check=False).returncode == 1


# who we are


def test_a_passphrase_is_asked_for_once_and_only_where_the_key_would_do(sshds, tmp_path):
    hosts = sshds(2)
    useless, right = tmp_path / "useless", tmp_path / "right"
    make_key(useless, "never asked")
    hosts.authorized_keys.write_text(make_key(right, "open sesame") + "\n")
    asked = []

    def ask(prompt):
        asked.append(prompt)
        return "open sesame" if len(asked) > 1 else "wrong"

    asker = Asker(ask)
    for name in ("h1", "h2"):
        more = f"-o IdentitiesOnly=yes -o IdentityFile={useless}"
        assert (
            works(reached(hosts, name, key_file=str(right), ssh_args=f"{reached(hosts).ssh_args} {more}"), asker)
            == name
        )
    assert asked == [f"passphrase of {right}: ", f"that was not it; passphrase of {right}: "]


def test_a_passphrase_without_anybody_to_ask_is_told_with_what_helps(sshds, tmp_path):
    hosts = sshds()
    hosts.authorized_keys.write_text(make_key(tmp_path / "right", "secret") + "\n")
    with pytest.raises(HostUnreachable) as caught:
        works(reached(hosts, key_file=str(tmp_path / "right")))
    assert "has a passphrase: there is no terminal to ask" in str(caught.value)
    assert f"ssh-add {tmp_path / 'right'}" in caught.value.mend


@pytest.fixture
def ssh_agent(tmp_path, monkeypatch):
    path = tmp_path / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    wait_for(path.exists)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield lambda key: subprocess.run(["ssh-add", "-q", str(key)], check=True, stderr=subprocess.DEVNULL)
    process.terminate()
    process.wait(10)


@pytest.mark.parametrize("kind", ["ed25519", "rsa -b 2048", "ecdsa"])
def test_a_key_of_the_users_ssh_agent_opens(sshds, tmp_path, ssh_agent, kind):
    hosts = sshds()
    key = tmp_path / "held"
    subprocess.run(["ssh-keygen", "-q", "-t", *kind.split(), "-N", "", "-f", str(key)], check=True)
    hosts.authorized_keys.write_text((tmp_path / "held.pub").read_text())
    ssh_agent(key)
    key.unlink()
    assert works(reached(hosts, key_file="")) == "h1"
    assert works(reached(hosts, key_file=str(key), ssh_args=f"{reached(hosts).ssh_args} -o IdentitiesOnly=yes")) == "h1"
    with pytest.raises(HostUnreachable, match="may not log in"):
        works(reached(hosts, key_file="", ssh_args=f"{reached(hosts).ssh_args} -o IdentityAgent=none"))


@pytest.mark.parametrize("kind", ["rsa -b 2048", "ecdsa", "ecdsa -b 521", "rsa -b 2048 -m PEM", "ecdsa -m PKCS8"])
def test_keys_of_every_kind_and_format_open(sshds, tmp_path, kind):
    hosts = sshds()
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", str(tmp_path / "key"), "-t", *kind.split()], check=True)
    hosts.authorized_keys.write_text((tmp_path / "key.pub").read_text())
    assert works(reached(hosts, key_file=str(tmp_path / "key"))) == "h1"


def test_a_certificate_beside_the_key_opens(sshds, tmp_path):
    authority = make_key(tmp_path / "authority")
    (tmp_path / "authorities").write_text(authority + "\n")
    hosts = sshds(conf=f"TrustedUserCAKeys {tmp_path}/authorities\n")
    hosts.authorized_keys.write_text("")
    with pytest.raises(HostUnreachable, match="may not log in"):
        works(reached(hosts))
    sign = ["ssh-keygen", "-q", "-s", str(tmp_path / "authority"), "-I", "me", "-n", USER, f"{hosts.key}.pub"]
    subprocess.run(sign, check=True)
    assert works(reached(hosts)) == "h1"


def test_a_key_that_others_may_read_is_not_used(sshds):
    hosts = sshds()
    hosts.key.chmod(0o644)
    with pytest.raises(HostUnreachable, match="others may read the private key") as caught:
        works(reached(hosts))
    assert caught.value.mend == f"chmod 600 {hosts.key}"


def test_many_hosts_dialled_at_once_are_all_reached(sshds):
    hosts = sshds(12)
    asker = Asker()
    with ThreadPoolExecutor(12) as threads_:
        lines = list(threads_.map(lambda name: dial(reached(hosts, name), asker), list(hosts) * 2))
    assert sum(one.log.count("Accepted publickey") for one in hosts.values()) == 24
    for line in lines:
        line.close()
    assert not threads()


def test_an_interpreter_that_can_be_none_is_told_before_anything_is_started(sshds):
    hosts = sshds()
    with pytest.raises(HostUnreachable, match="is no path of an interpreter"):
        looks(reached(hosts, python="python3; rm -rf /"))
    with pytest.raises(HostUnreachable, match="become_method: su is not known"):
        dial(reached(hosts, become_method="su"), Asker()).agent("somebody")


def test_a_jump_host_in_a_circle_is_told_with_its_place(sshds):
    hosts = sshds(2)
    with pytest.raises(HostUnreachable, match="ProxyJump leads in a circle: h1 → h2 → h1") as caught:
        works(by_config(hosts, "h1", "Host h1", "ProxyJump h2", "Host h2", "ProxyJump h1"))
    assert str(hosts.ssh_config) in caught.value.what
    assert caught.value.where == "h1"
