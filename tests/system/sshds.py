# ruff: noqa: PTH123
"""Real sshds on loopback addresses, each a host of its own; needs openssh-server.

`running(directory, 3)` starts h1 to h3 on 127.0.1.1 to 127.0.1.3, each with a home, an agent directory and a log of its
own below `directory`, which also gets a key, known_hosts, ssh_config and an inventory of them. Nothing outlives it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SSHD = "/usr/sbin/sshd"
USER = getpass.getuser()
CONF = """
ListenAddress {address}:{port}
HostKey {place}/host_key
AuthorizedKeysFile {directory}/authorized_keys
PidFile {place}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 100:30:200
MaxSessions 100
SetEnv RB_HOST={name} RB_SSHDS={directory} HOME={place}/home
"""


def lacking() -> str:
    """What keeps this machine from having sshds; empty when nothing does."""
    return "" if os.access(SSHD, os.X_OK) else "no sshd: `apt-get install openssh-server`"


def make_key(path: Path, passphrase: str = "", comment: str = "") -> str:
    """Write an Ed25519 key and its .pub, and return the public line without a comment."""
    key = Ed25519PrivateKey.generate()
    openssh = serialization.PrivateFormat.OpenSSH
    quick = openssh.encryption_builder().kdf_rounds(1)
    how = quick.build(passphrase.encode()) if passphrase else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, openssh, how))
    path.chmod(0o600)
    encodings = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    line = key.public_key().public_bytes(*encodings).decode()
    path.with_name(f"{path.name}.pub").write_text(f"{line} {comment or path.name}\n")
    return line


def free_port(address: str) -> int:
    """Return a port that nobody listens on there."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.bind((address, 0))
        return sock.getsockname()[1]


class Sshd:
    """One of them."""

    def __init__(self, directory: Path, name: str, address: str, conf: str, *, before: tuple[str, ...] = ()) -> None:
        self.name, self.address, self.port = name, address, 0
        self.directory = directory
        self.place = directory / name
        (self.place / "home").mkdir(parents=True)
        self.host_key = make_key(self.place / "host_key", comment=name)
        self.agent_dir = self.place / "agent"
        self._conf = conf
        self._before = before  # a command that runs another one, such as `ip netns exec h1`
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it said so far."""
        return (self.place / "sshd.log").read_text(errors="replace")

    def where(self) -> str:
        """Return its name as known_hosts has it."""
        return f"[{self.address}]:{self.port}"

    def reconfigure(self, conf: str) -> None:
        """Let these lines of sshd_config stand in place of the usual ones from its next start on."""
        self._conf = conf

    def begin(self) -> None:
        """Start it; `await_up` says when it listens."""
        self.port = self.port or free_port(self.address)
        about = {"name": self.name, "place": self.place, "directory": self.directory}
        shown = f"[{self.address}]" if ":" in self.address else self.address
        given = {line.split()[0] for line in self._conf.splitlines() if line.strip()} - {"HostKey"}
        usual = CONF.format(address=shown, port=self.port, **about)
        ours = "\n".join([self._conf, *(line for line in usual.splitlines() if line.partition(" ")[0] not in given)])
        (self.place / "sshd_config").write_text(ours)
        (self.place / "sshd.pid").unlink(missing_ok=True)
        with open(self.place / "sshd.log", "ab") as log:
            argv = (*self._before, SSHD, "-D", "-e", "-f", str(self.place / "sshd_config"))
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def await_up(self) -> None:
        """Wait until it listens; with another port, where somebody was quicker to take the one that was free."""
        until = time.monotonic() + 20.0
        while not (self.place / "sshd.pid").exists():
            if self.process.poll() is not None:
                if "Address already in use" not in self.log or time.monotonic() > until:
                    raise RuntimeError(f"{self.name} did not start:\n{self.log}")
                self.port = 0
                self.begin()
            time.sleep(0.002)

    def start(self) -> None:
        """Start it and wait until it listens; again on the port that it had."""
        self.begin()
        self.await_up()

    def stop(self, *, sessions: bool = True) -> None:
        """End it, and (unless told otherwise) every connection to it."""
        if self.process is None:
            return
        below = descendants(self.process.pid)
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(10)
        self.process = None
        for pid in below if sessions else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP the listener and all that serve its connections: the kernel still accepts, nobody answers."""
        for pid in (self.process.pid, *descendants(self.process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in (*descendants(self.process.pid), self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def sessions(self) -> list[int]:
        """Return the pids that serve its connections."""
        return [] if self.process is None else descendants(self.process.pid)

    def remote(self) -> list[int]:
        """Return the pids of what runs on this host: shells, agents and their children."""
        return marked(f"RB_SSHDS={self.directory}", f"RB_HOST={self.name}")


class Sshds(dict[str, Sshd]):
    """All of them, by name; and the files of whoever connects to them."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.key = directory / "id_ed25519"
        self.known_hosts = directory / "known_hosts"
        self.ssh_config = directory / "ssh_config"
        self.authorized_keys = directory / "authorized_keys"
        self.inventory = directory / "inventory.yaml"

    def write(self) -> None:
        """Write the files anew, as the hosts are now."""
        self.known_hosts.write_text("".join(f"{one.where()} {one.host_key}\n" for one in self.values()))
        common = f"IdentityFile {self.key}\n  IdentitiesOnly yes\n  IdentityAgent none\n  User {USER}\n"
        self.ssh_config.write_text(
            "".join(
                f"Host {one.name} {one.address}\n  HostName {one.address}\n  Port {one.port}\n" for one in self.values()
            )
            + f"Host *\n  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n  {common}"
        )
        options = f"-o UserKnownHostsFile={self.known_hosts} -o IdentitiesOnly=yes -o IdentityAgent=none"
        hosts = "".join(
            f"    {one.name}: {{ansible_host: '{one.address}', ansible_port: {one.port}, agent_dir: {one.agent_dir}}}\n"
            for one in self.values()
        )
        self.inventory.write_text(
            f"all:\n  vars:\n    ansible_user: {USER}\n    ansible_ssh_private_key_file: {self.key}\n"
            f"    ansible_ssh_common_args: {options}\n  hosts:\n{hosts}"
        )

    def remote(self) -> list[int]:
        """Return the pids of what runs on any of them."""
        return marked(f"RB_SSHDS={self.directory}")


@contextlib.contextmanager
def running(directory: Path, count: int = 1, *, conf: str = "", first: int = 1, before: tuple[str, ...] = ()):
    """Start sshds and yield them; end them and everything that was started through them.

    Args:
        directory: an empty one of their own; is made.
        count: how many, named h1 and so on.
        conf: lines of sshd_config that stand in place of the usual ones.
        first: the number of the first one, which is also the last part of its address.
        before: a command that runs each of them, such as `unshare -m`.
    """
    directory.mkdir(exist_ok=True, parents=True)
    hosts = Sshds(directory)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists on it; the package makes it at boot
    hosts.authorized_keys.write_text(make_key(hosts.key) + "\n")
    try:
        for number in range(first, first + count):
            name = f"h{number}"
            hosts[name] = Sshd(directory, name, f"127.0.{1 + number // 250}.{number % 250}", conf, before=before)
            hosts[name].begin()
        for one in hosts.values():
            one.await_up()
        hosts.write()
        yield hosts
    finally:
        for one in hosts.values():
            one.stop()
        until = time.monotonic() + 10.0
        while (left := hosts.remote()) and time.monotonic() < until:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        assert not left, f"what was started through the sshds can't be ended: {left}"


@pytest.fixture
def sshds(tmp_path):
    """Return a function that starts so many sshds for this test."""
    if lacking():
        pytest.skip(lacking())
    with contextlib.ExitStack() as stack:
        started = iter(range(1000))

        def start(count: int = 1, **options) -> Sshds:
            return stack.enter_context(running(tmp_path / f"sshds{next(started)}", count, **options))

        yield start


def descendants(pid: int) -> list[int]:
    """Return the pids of all that a process started, and those started, as far as they are not orphans."""
    children: dict[int, list[int]] = {}
    for each in processes():
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{each}/stat", "rb") as file:
            children.setdefault(int(file.read().rpartition(b")")[2].split()[1]), []).append(each)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def marked(*wanted: str) -> list[int]:
    """Return the pids whose environment has all of these, zombies left out."""
    found = []
    for pid in processes():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            if {one.encode() for one in wanted} <= set(file.read().split(b"\0")):
                found.append(pid)
    return found


def processes() -> list[int]:
    """Return all pids."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 -- a name is all that is asked


def ssh(hosts: Sshds, name: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a host with the real `ssh`."""
    argv = (shutil.which("ssh") or "ssh", "-F", str(hosts.ssh_config), name, *command)
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL)
