"""Machines that boot and are reached by ssh: several at once, each with real systemd, on networks of their own."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import booted_host
import fleet_namespaces
import sshds
from booted_host import BootedHost
from fleet_namespaces import PORT, Block

if TYPE_CHECKING:
    from collections.abc import Iterator

SSHD = """\
ListenAddress {address}:{port}
HostKey {kept}/host_key
AuthorizedKeysFile {kept}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
UseDNS no
SetEnv RB_HOST={name}
"""


def lacking() -> str:
    """What keeps this machine from having such hosts; empty when nothing does."""
    return booted_host.lacking() or fleet_namespaces.lacking()


class SshHost(BootedHost):
    """One that is reached by ssh, as `sshds.Sshd` is."""

    def __init__(
        self, directory: Path, name: str, block: Block, index: int, units: dict[str, str], files: dict[str, str | Path]
    ) -> None:
        self.name, self.address, self.port = name, block.theirs(index), PORT
        self.agent_dir = Path("/root/agent")
        place = directory / name
        place.mkdir()
        self.host_key = sshds.make_key(place / "host_key", comment=name)
        conf = SSHD.format(kept=place / "kept", address=self.address, port=PORT, name=name)
        service = f"[Service]\nRuntimeDirectory=sshd\nExecStart={sshds.SSHD} -D -e -f {place}/kept/sshd_config\nKillMode=process\n"
        files = {
            **files,
            "sshd_config": conf,
            "host_key": place / "host_key",
            "authorized_keys": directory / "authorized_keys",
        }
        super().__init__(place, {**units, "ssh-of-tests.service": service}, files, block.plug(index))

    def where(self) -> str:
        return f"[{self.address}]:{self.port}"

    def await_up(self, within: float = 60.0) -> None:
        """Wait until its sshd answers."""
        until = time.monotonic() + within
        while time.monotonic() < until and self._keeper.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 1.0) as there:
                if there.recv(4) == b"SSH-":
                    return
            time.sleep(0.05)
        raise TimeoutError(f"{self.name} is not up within {within:g} s; it says:\n{self.said()}")


@contextlib.contextmanager
def running(directory: Path, count: int, units: dict[str, str], files: dict[str, str | Path]) -> Iterator[sshds.Sshds]:
    """Boot b1, b2, … with sshd, and yield them with a key, known_hosts and an inventory of theirs."""
    directory.mkdir()
    hosts = sshds.Sshds(directory)
    hosts.authorized_keys.write_text(sshds.make_key(hosts.key) + "\n")
    with contextlib.closing(Block()) as block:
        try:
            for index in range(count):
                hosts[f"b{index + 1}"] = SshHost(directory, f"b{index + 1}", block, index, units, files)
            for host in hosts.values():
                host.await_up()
            hosts.write()
            yield hosts
        finally:
            for host in hosts.values():
                host.close()
