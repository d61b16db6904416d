"""Hosts that can be cut off: a real sshd each, in network, process and mount namespaces of its own, behind a veth.

The namespaces have no names and nothing holds them but the host's processes: when the first of these dies, the kernel
ends the others and takes the link away. The first one dies with the process that runs the tests, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import sshds

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 2222
ALONE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL", "--")  # with a process table of its own
CUTS = ("link down", "blackhole", "drop", "reset", "stop")
TELLS = {
    "link down": False,
    "blackhole": False,
    "drop": False,
    "reset": True,
    "stop": False,
}  # a peer notices by itself
# eth0 leads from a new network namespace to that of whoever started us
PLUG = """
nsenter --target $PPID --net ip link delete "$1" 2>/dev/null || :  # of a run that was killed: TCP still holds its host
ip link add eth0 type veth peer name "$1" netns $PPID
ip addr add "$3/30" dev eth0
ip link set eth0 up
ip link set lo up
nsenter --target $PPID --net sh -ec 'ip addr add "$2/30" dev "$1"; ip link set "$1" up' sh "$1" "$2"
shift 3
exec "$@"
"""


def lacking() -> str:
    """What keeps this machine from having such hosts; empty when nothing does."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if lacks := sshds.lacking():
        return lacks
    missing = [each for each in ("ip", "iptables", "unshare", "nsenter", "setpriv") if shutil.which(each) is None]
    return f"no {', '.join(missing)}: `apt-get install iproute2 iptables util-linux`" if missing else ""


class Block:
    """Addresses that no other run of tests on this machine uses: 64 networks of two hosts each."""

    def __init__(self) -> None:
        self._claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)  # the kernel lets go of it when we are killed
        for number in (*range(os.getpid() % 256, 256), *range(os.getpid() % 256)):
            with contextlib.suppress(OSError):
                self._claim.bind(f"\0runbook-tests-network-{number}")
                self.number = number
                return
        raise RuntimeError("256 runs of tests have networks at this moment")

    def ours(self, index: int) -> str:
        return f"10.231.{self.number}.{4 * index + 1}"

    def theirs(self, index: int) -> str:
        return f"10.231.{self.number}.{4 * index + 2}"

    @property
    def prefix(self) -> str:
        return f"rbt{self.number}x"

    def link(self, index: int) -> str:
        return f"{self.prefix}{index}"

    def plug(self, index: int) -> tuple[str, ...]:
        """Return the command that runs another one in a network namespace with these addresses; it dies with us."""
        words = (self.link(index), self.ours(index), self.theirs(index))
        return ("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--", "sh", "-ec", PLUG, "sh", *words)

    def close(self) -> None:
        """Let go of the addresses, once the kernel has taken the links away, which it does after the hosts' end."""
        until = time.monotonic() + 10.0
        while (left := [name for name in links() if name.startswith(self.prefix)]) and time.monotonic() < until:
            time.sleep(0.01)
        self._claim.close()
        assert not left, f"these links are left: {left}"


class Namespaced(sshds.Sshd):
    """One host that can be cut off and healed."""

    def __init__(self, directory: Path, name: str, block: Block, index: int, conf: str = "") -> None:
        super().__init__(directory, name, block.theirs(index), conf, before=(*block.plug(index), *ALONE))
        self.port = PORT
        self.controller = block.ours(index)
        self.link = block.link(index)
        self.how = ""  # it is cut off at present

    def stop(self, *, sessions: bool = True) -> None:
        """End it, and take its link away: what TCP has still to send would keep that for a minute."""
        super().stop(sessions=sessions)
        subprocess.run(("ip", "link", "delete", self.link), check=False, capture_output=True, timeout=20)

    def cut(self, how: str) -> None:
        """Cut it off in one of the ways of `CUTS`."""
        self.how = how
        if how == "stop":
            self._signal(signal.SIGSTOP)
        else:
            self._inside(self._words(how, "down", "add", "--append"))

    def heal(self) -> None:
        """Take back what `cut` did; nothing when it was not cut."""
        how, self.how = self.how, ""
        if how == "stop":
            self._signal(signal.SIGCONT)
        elif how:
            self._inside(self._words(how, "up", "del", "--delete"))
        if how:
            self._await_answer()

    def _await_answer(self) -> None:
        """Wait until its sshd can be reached: a link that comes up takes a while to find its neighbour."""
        until = time.monotonic() + 20.0
        while True:
            try:
                with socket.create_connection((self.address, self.port), timeout=1.0) as connection:
                    if connection.recv(4) == b"SSH-":
                        return
            except OSError:
                pass
            assert time.monotonic() < until, f"{self.name} does not answer after it was healed"
            time.sleep(0.01)

    def kill_sessions(self) -> None:
        """Kill what serves the connections of the moment; what they started lives on."""
        listener = self._first()
        for pid in self._sshds():
            if pid != listener:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def inside(self) -> list[int]:
        """Return the pids of all that runs on the host, but for sshd; zombies left out."""
        ours = Path(f"/proc/{self._first()}/ns/pid").readlink()
        found = []
        for pid in sshds.processes():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/ns/pid").readlink() == ours and not _is_sshd(pid) and not _is_zombie(pid):
                    found.append(pid)
        return found

    def _words(self, how: str, link: str, route: str, rule: str) -> tuple[str, ...]:
        packets = ("iptables", "--wait", rule, "INPUT", "--protocol", "tcp", "--dport", str(self.port), "--jump")
        return {
            "link down": ("ip", "link", "set", "eth0", link),
            "blackhole": ("ip", "route", route, "blackhole", f"{self.controller}/32"),
            "drop": (*packets, "DROP"),
            "reset": (*packets, "REJECT", "--reject-with", "tcp-reset"),
        }[how]

    def _inside(self, words: tuple[str, ...]) -> None:
        entered = ("nsenter", "--target", str(self._first()), "--net", "--", *words)
        subprocess.run(entered, check=True, capture_output=True, timeout=20)

    def _signal(self, number: int) -> None:
        """Stop the sessions before the listener, which would else tell of them; let them go on in the other order."""
        for pid in sorted(self._sshds(), reverse=number == signal.SIGSTOP):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _first(self) -> int:
        """Return the pid of its first process, which is the sshd that listens."""
        assert self.process is not None, f"{self.name} does not run"
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def _sshds(self) -> list[int]:
        assert self.process is not None, f"{self.name} does not run"
        return [pid for pid in sshds.descendants(self.process.pid) if _is_sshd(pid)]


@contextlib.contextmanager
def running(directory: Path, plain: int, cuttable: int, conf: str = "") -> Iterator[sshds.Sshds]:
    """Start `plain` hosts h1, h2, … that share our network, and `cuttable` ones n1, n2, … that can be cut off."""
    with contextlib.closing(Block()) as block, sshds.running(directory, plain, conf=conf) as hosts:
        for number in range(1, cuttable + 1):
            hosts[f"n{number}"] = host = Namespaced(directory, f"n{number}", block, number - 1, conf)
            host.begin()
        for host in hosts.values():
            host.await_up()
        hosts.write()
        yield hosts


def links() -> list[str]:
    """Return the network links that hosts of ours have at this moment, of whichever run of tests."""
    return [name for name in os.listdir("/sys/class/net") if name.startswith("rbt")]  # noqa: PTH208 -- names


def _is_sshd(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == "sshd"
    return False


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    return True
