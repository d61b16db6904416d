"""ssh_config means to us what it means to `ssh`, which is asked by `ssh -G`."""

import getpass
import shutil
import subprocess

import pytest

from runbook.engine.errors import UserError
from runbook.engine.fleet.ssh.hop import resolve
from runbook.engine.fleet.target import Target

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh: `apt-get install openssh-client`")

CONFIGS = {
    "hosts": """
        Host gpu1 gpu2
          HostName %h.cluster.lan
          Port 2201
        Host gpu* !gpu2
          User ops
          Port 2202
          IdentityFile ~/.ssh/ops_key
        Host *
          Port = 2203
          IdentityFile ~/.ssh/%r_%h
          ConnectTimeout 7
          UserKnownHostsFile ~/.ssh/a ~/.ssh/b
    """,
    "quotes": """
        Host "db 1" db2
          User "the user"   # a comment
          HostKeyAlias = "alias"
        # a comment
        host=DB3
        USER three
        hostname db3.lan
    """,
    "match": """
        Match host gpu1 user root,ops
          Port 1001
        Match originalhost gpu1,gpu2 !user somebody
          User matched
        Host gpu2
          HostName two.lan
        Match host two.lan user matched
          Port 1002
        Match exec "test %h = gpu3 -a %n = gpu3"
          Port 1003
        Match exec "false"
          Port 1004
        Match final host gpu4
          Port 1005
        Match localuser nobody-of-that-name
          Port 1006
        Match all
          User everybody
    """,
    "include": """
        Host gpu1
          Include {tmp}/inner
        Host *
          Include {tmp}/none* {tmp}/outer
          Port 3
    """,
    "jump": """
        Host gpu1
          ProxyJump ops@gate:2222,second
        Host gpu2
          ProxyCommand nc -X 5 %h %p   # not a comment
        Host gpu3
          ProxyJump none
        Host * !gate !second !everywhere
          ProxyJump everywhere
          ServerAliveInterval 1m30s
          StrictHostKeyChecking accept-new
          IdentitiesOnly yes
          HashKnownHosts yes
    """,
}
HOSTS = ("gpu1", "gpu2", "gpu3", "gpu4", "GPU1", "db2", "db3")


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "inner").write_text("Host gpu1\nUser inner\nPort 1\nHost gpu2\nUser never\n")
    (tmp_path / "outer").write_text("User outer\nPort 2\nHost gpu3\nPort 33\n")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


def asked(path, host):
    """What ssh says."""
    done = subprocess.run(["ssh", "-G", "-F", str(path), host], capture_output=True, text=True, check=True)
    found = {}
    for line in done.stdout.splitlines():
        word, _, value = line.partition(" ")
        found.setdefault(word, []).append(value)
    return found


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("host", HOSTS)
def test_it_is_read_as_ssh_reads_it(home, name, host):
    path = home / "config"
    path.write_text(CONFIGS[name].format(tmp=home) if name == "include" else CONFIGS[name])
    theirs = asked(path, host)
    ours = resolve(Target(host, ssh_args=f"-F {path}"))
    assert ours.user == theirs["user"][0]
    assert ours.port == int(theirs["port"][0])
    assert ours.address.lower() == theirs["hostname"][0].lower()
    # ssh prints files with their tokens, and its own user's home, whatever $HOME says
    if name in {"jump", "match"}:
        assert len(ours.identities) >= 1
    timeout = theirs["connecttimeout"][0]
    assert ours.connect_timeout == (10.0 if timeout == "none" else float(timeout))
    assert len(ours.known_hosts) == len(theirs["userknownhostsfile"][0].split())
    assert ours.identities_only == (theirs.get("identitiesonly", ["no"])[0] == "yes")
    jump = theirs.get("proxyjump", ["none"])[0]
    assert len(ours.jumps) >= (0 if jump == "none" else jump.count(",") + 1)
    assert bool(ours.jumps) == (jump != "none")
    assert (
        ours.proxy_command.split("#")[0].strip()
        == theirs.get("proxycommand", [""])[0]
        .replace("%h", ours.address)
        .replace("%p", str(ours.port))
        .split("#")[0]
        .strip()
    )
    assert ours.hashed == (theirs["hashknownhosts"][0] == "yes")
    if "hostkeyalias" in theirs:
        assert ours.key_name == theirs["hostkeyalias"][0]


def test_identity_files_add_up_in_their_order_after_the_inventorys_own(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    path = home / "config"
    path.write_text(
        "Host gpu*\nIdentityFile ~/one\nIdentityFile /two_%h\nUser ops\nHost *\nIdentityFile ~/one\nIdentityFile ~/%r\n"
    )
    ours = resolve(Target("gpu1", key_file="/mine", ssh_args=f"-F {path}"))
    assert ours.identities == ("/mine", f"{home}/one", "/two_gpu1", f"{home}/ops")


def test_what_the_inventory_says_goes_before_its_arguments_and_those_before_files(home):
    path = home / "config"
    path.write_text("Port 1\nUser one\nConnectTimeout 1\nBindAddress 127.0.0.1\n")
    ours = resolve(Target("gpu1", port=3, ssh_args=f"-F {path} -p 2 -o User=two -oConnectTimeout=2 -l three"))
    assert (ours.port, ours.user, ours.connect_timeout, ours.bind) == (3, "two", 2.0, "127.0.0.1")


def test_options_that_mean_nothing_to_a_connection_of_ours_are_passed_over():
    ours = resolve(
        Target("gpu1", ssh_args="-F none -C -tt -q -4 -o ControlMaster=auto -o ControlPersist=60s -S none -J a,b")
    )
    assert [hop.address for hop in ours.jumps] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("-F /nowhere/at/all", "no such ssh_config"),
        ("-W host:22", "-W is not understood"),
        ("-o", "-o wants a value"),
        ("gpu1", "`gpu1` is no option"),
        ("-o 'Port 0x'", "port: `0x` is no number"),
        ("-o ConnectTimeout=soon", "connecttimeout: `soon` is no time"),
        ("-o StrictHostKeyChecking=perhaps", "stricthostkeychecking: `perhaps` is not known"),
        ("-o ProxyJump=a:b", "ProxyJump: `a:b` is no"),
        ("-o HostName=%q", "`%q` is not known here"),
        ("-o 'User=\"x'", "No closing quotation|a quote is not closed"),
        ("-F none -J x,gpu1", "ProxyJump leads in a circle: gpu1 → gpu1"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text, what):
    with pytest.raises(UserError, match=what) as caught:
        resolve(Target("gpu1", ssh_args=text))
    assert caught.value.where


def test_what_is_wrong_in_a_file_is_told_with_its_line(home):
    path = home / "config"
    for text, what in {
        "Host *\n\nPort abc\n": "port",
        "Host x\nnonsense\n": "a word and a value",
        "Match frob x\n": "`Match frob`",
    }.items():
        path.write_text(text)
        with pytest.raises(UserError, match=what) as caught:
            resolve(Target("gpu1", ssh_args=f"-F {path}"))
        assert caught.value.where.startswith(f"{path}:")


def test_nothing_said_is_what_ssh_would_do(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    ours = resolve(Target("gpu1", ssh_args="-F none"))
    assert (ours.address, ours.port, ours.user, ours.strict) == ("gpu1", 22, getpass.getuser(), "yes")
    assert ours.identities[0] == f"{home}/.ssh/id_rsa"
    assert ours.known_hosts[0] == f"{home}/.ssh/known_hosts"
