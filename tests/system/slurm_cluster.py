"""A real Slurm of one node: munged, slurmctld and slurmd, on free ports of loopback. Needs root, slurm-wlm and munge."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "scontrol", "sbatch")
CONF = """
ClusterName=t
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ctld}
AuthType=auth/munge
AuthInfo=socket={place}/munge.sock
CredType=cred/munge
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldTimeout=10
SlurmdTimeout=30
KillWait=1
ReturnToService=2
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=gpu01 NodeHostname={host} NodeAddr=127.0.0.1 Port={slurmd} CPUs=2 RealMemory=500 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def lacking() -> str:
    """What keeps this machine from having a Slurm; empty when nothing does."""
    if os.geteuid() != 0:
        return "only root can be Slurm's own user here"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"{', '.join(missing)} not installed: `apt-get install slurm-wlm munge`" if missing else ""


class Cluster:
    """The daemons, from their start to their end."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._started: list[subprocess.Popen[bytes]] = []
        self.env = {"SLURM_CONF": str(place / "slurm.conf")}
        for name in ("state", "spool"):
            (place / name).mkdir()
        with contextlib.ExitStack() as taken:
            ports = []
            for _ in range(2):
                sock = taken.enter_context(socket.socket())
                sock.bind(("127.0.0.1", 0))
                ports.append(sock.getsockname()[1])
        text = CONF.format(host=socket.gethostname(), place=place, ctld=ports[0], slurmd=ports[1])
        (place / "slurm.conf").write_text(text)
        key = place / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        try:
            self._begin(
                *("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={place}/munge.sock"),
                *(f"--{kind}-file={place}/munge.{kind}" for kind in ("pid", "log", "seed")),
            )
            self._await((place / "munge.sock").exists)
            self._begin("slurmctld", "-D", "-i", "-c")
            self._begin("slurmd", "-D", "-N", "gpu01")
            self._await(lambda: "State=IDLE " in self.node())
        except BaseException:
            self.close()
            raise

    def _begin(self, *argv: str) -> None:
        with (self.place / f"{argv[0]}.out").open("wb") as out:
            self._started.append(
                subprocess.Popen(argv, env={**os.environ, **self.env}, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
            )

    def _await(self, holds, within: float = 30.0) -> None:
        until = time.monotonic() + within
        while not holds():
            ended = [one.args[0] for one in self._started if one.poll() is not None]
            if ended or time.monotonic() > until:
                logs = "\n".join(log.read_text(errors="replace")[-1500:] for log in self.place.glob("*.out"))
                raise RuntimeError(f"Slurm does not come up ({ended} ended):\n{logs}")
            time.sleep(0.05)

    def __call__(self, *argv: str, check: bool = True) -> str:
        done = subprocess.run(
            argv, env={**os.environ, **self.env}, capture_output=True, text=True, timeout=30, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{argv}: {done.stdout}{done.stderr}")
        return done.stdout

    def node(self) -> str:
        return self("scontrol", "show", "node", "gpu01", check=False)

    def close(self) -> None:
        for one in reversed(self._started):
            one.terminate()
        for one in reversed(self._started):
            try:
                one.wait(10)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait(10)
