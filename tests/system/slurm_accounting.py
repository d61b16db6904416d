"""A whole Slurm for tests: four nodes with cgroups, slurmdbd and its MariaDB, all in one directory and on free ports."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "mariadb-install-db", "sacctmgr", "sbatch")
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
SlurmdSpoolDir={place}/spool/%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd-%n.pid
SlurmctldTimeout=10
SlurmdTimeout=5
MessageTimeout=5
KillWait=1
MinJobAge=300
ReturnToService=2
RebootProgram=/bin/true
MpiDefault=none
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1,sched_min_interval=0,requeue_delay=1
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoragePass={place}/munge.sock
AccountingStoreFlags=job_comment,job_script,job_env
AccountingStorageTRES=gres/gpu,gres/gpu:a100
GresTypes=gpu
PreemptType=preempt/qos
PreemptMode=REQUEUE
Prolog={place}/prolog
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=60 DefaultTime=5 State=UP DefMemPerCPU=50
"""
CGROUPS = """
CgroupMountpoint=/sys/fs/cgroup
CgroupPlugin=cgroup/v1
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
ConstrainCores=no
ConstrainDevices=no
"""
DBD = """
AuthType=auth/munge
AuthInfo=socket={place}/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={dbd}
SlurmUser=root
LogFile={place}/slurmdbd.log
PidFile={place}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""


def lacking() -> str:
    """What keeps this machine from having such a Slurm; empty when nothing does."""
    if os.geteuid() != 0:
        return "only root can be Slurm's own user here"
    if not os.access("/sys/fs/cgroup/memory/cgroup.procs", os.W_OK):
        return "no cgroup v1 for memory here"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"{', '.join(missing)} not installed: `sh tests/debian.sh`" if missing else ""


class Accounted:
    """The daemons, from their start to their end."""

    def __init__(self, place: Path, nodes: int = 4) -> None:
        self.place = place
        self.nodes = [f"n{os.getpid()}x{number}" for number in range(1, nodes + 1)]
        self.env = {"SLURM_CONF": str(place / "slurm.conf")}
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        shm = Path("/dev/shm")  # a database that nobody needs later waits for no disk there
        self.database = Path(tempfile.mkdtemp(prefix="slurm-", dir=shm if os.access(shm, os.W_OK) else place))
        for name in ("state", "jobs", "dev", *(f"spool/{node}" for node in self.nodes)):
            (place / name).mkdir(parents=True)
        for number in range(8):  # GPUs without a device are refused
            os.mknod(place / "dev" / f"nvidia{number}", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        ctld, dbd, self.sql, *slurmds = _ports(3 + nodes)
        named = "\n".join(
            f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=1200 Gres=gpu:a100:8"
            for name, port in zip(self.nodes, slurmds, strict=True)
        )
        words = {"host": socket.gethostname(), "place": place, "ctld": ctld, "dbd": dbd, "sql": self.sql}
        (place / "slurm.conf").write_text(CONF.format(nodes=named, **words))
        (place / "cgroup.conf").write_text(CGROUPS)
        (place / "prolog").write_text(f"#!/bin/sh\n[ ! -e {place}/unlaunched.$SLURM_JOB_ID ]\n")
        (place / "prolog").chmod(0o755)
        (place / "gres.conf").write_text(f"Name=gpu Type=a100 File={place}/dev/nvidia[0-7]\n")
        (place / "slurmdbd.conf").write_text(DBD.format(**words))
        (place / "slurmdbd.conf").chmod(0o600)
        (place / "munge.key").write_bytes(os.urandom(128))
        (place / "munge.key").chmod(0o600)
        try:
            self._up()
        except BaseException:
            self.close()
            raise

    def _up(self) -> None:
        self.begin(
            "munged",
            *("munged", "--foreground", "--force", f"--key-file={self.place}/munge.key"),
            f"--socket={self.place}/munge.sock",
            *(f"--{kind}-file={self.place}/munge.{kind}" for kind in ("pid", "log", "seed")),
        )
        database = f"--datadir={self.database}"
        subprocess.run(
            [
                *("mariadb-install-db", "--no-defaults", database, "--user=root", "--skip-test-db", "--skip-name-resolve"),
                *("--innodb-log-file-size=8M", "--auth-root-authentication-method=normal"),
            ],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        sock = f"--socket={self.place}/sql.sock"
        self.begin(
            "mariadbd",
            *("mariadbd", "--no-defaults", database, "--user=root", sock, f"--port={self.sql}"),
            *("--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=8M"),
            f"--pid-file={self.place}/sql.pid",
        )
        grant = "CREATE USER slurm@'127.0.0.1' IDENTIFIED BY 'slurm'; GRANT ALL ON *.* TO slurm@'127.0.0.1'"
        self.wait(
            lambda: (
                subprocess.run(
                    ["mariadb", "--no-defaults", sock, "-e", "SELECT 1"], capture_output=True, check=False
                ).returncode
                == 0
            )
        )
        subprocess.run(["mariadb", "--no-defaults", sock, "-e", grant], check=True, timeout=30)
        self.wait((self.place / "munge.sock").exists)
        self.accounting()
        self.wait(lambda: self._run("sacctmgr", "-i", "-Q", "add", "cluster", "t").returncode == 0)
        self("sacctmgr", "-i", "-Q", "add", "account", "physics", check=False)
        self("sacctmgr", "-i", "-Q", "add", "qos", "other", check=False)
        self("sacctmgr", "-i", "-Q", "add", "qos", "urgent", "preempt=normal", check=False)
        self("sacctmgr", "-i", "-Q", "add", "user", "root", "account=physics", "qos=normal,other,urgent", check=False)
        self.controller()
        for name in self.nodes:
            self.node(name)
        self.wait(lambda: self("sinfo", "-h", "-t", "idle", "-o", "%D", check=False).strip() == str(len(self.nodes)))

    def controller(self, *more: str) -> None:
        self.begin("slurmctld", "slurmctld", "-D", *(more or ("-i", "-c")))

    def accounting(self) -> None:
        self.begin("slurmdbd", "slurmdbd", "-D")

    def node(self, name: str) -> None:
        self.begin(name, "slurmd", "-D", "-N", name)

    def begin(self, name: str, *argv: str) -> None:
        with (self.place / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                argv, env={**os.environ, **self.env}, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )

    def kill(self, name: str) -> None:
        """End a daemon as a power cut does; a node with what looks after its jobs."""
        daemon = self.daemons.pop(name)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait(10)
        jobs = self("squeue", "-h", "-w", name, "-o", "%A").split() if name in self.nodes else []
        for pid in _stepds(self.place, jobs):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait(self, holds, within: float = 40.0, told=None):
        until = time.monotonic() + within
        while True:
            found = holds()
            if found:
                return found
            ended = [name for name, one in self.daemons.items() if one.poll() is not None]
            if told is not None and not ended and time.monotonic() > until:
                raise AssertionError(f"after {within:g} s: {told()}")
            if ended or time.monotonic() > until:
                logs = "\n".join(
                    f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in self.place.glob("*.out")
                )
                raise RuntimeError(f"Slurm does not come to it ({ended} ended):\n{logs}")
            time.sleep(0.1)

    def _run(self, *argv: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        known = {**os.environ, **self.env, **(env or {})}
        return subprocess.run(argv, env=known, capture_output=True, text=True, timeout=60, check=False)

    def __call__(self, *argv: str, check: bool = True, env: dict[str, str] | None = None) -> str:
        done = self._run(*argv, env=env)
        if check and done.returncode:
            raise AssertionError(f"{argv}: {done.stdout}{done.stderr}")
        return done.stdout

    def at_epoch(self, *argv: str) -> str:
        """Ask with times as seconds since the epoch."""
        return self(*argv, env={"SLURM_TIME_FORMAT": "%s", "TZ": "UTC"})

    def submit(self, script: str, *options: str, args: tuple[str, ...] = (), env: dict[str, str] | None = None) -> str:
        """Send a job and return its id; its output goes to jobs/."""
        file = self.place / "jobs" / f"script-{len(list((self.place / 'jobs').iterdir()))}.sh"
        file.write_text(f"#!/bin/bash\n{script}\n")
        output = (
            f"{self.place}/jobs/%A_%a.out" if any("array" in one for one in options) else f"{self.place}/jobs/%j.out"
        )
        argv = ("sbatch", "--parsable", f"--chdir={self.place}/jobs", f"--output={output}", *options, str(file), *args)
        return self(*argv, env=env).strip()

    def rows(self, *columns: str) -> list[list[str]]:
        """What the accounting tells of all jobs, without their steps."""
        told = self("sacct", "-a", "-X", "-n", "-P", "--duplicates", "-S", "now-1days", "-o", ",".join(columns))
        rows = [line.split("|") for line in told.splitlines()]
        return [row for row in rows if len(row) >= len(columns)]  # the rest of a comment of several lines is none

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self("scancel", "--user=root", check=False)
        for one in reversed(self.daemons.values()):
            one.terminate()
        for one in reversed(self.daemons.values()):
            try:
                one.wait(10)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait(10)
        self._end_jobs()
        shutil.rmtree(self.database, ignore_errors=True)

    def _end_jobs(self) -> None:
        """End what jobs left behind, and the cgroups of these nodes."""
        for top in Path("/sys/fs/cgroup").glob("*/"):
            for name in self.nodes:
                for group in sorted(top.glob(f"slurm_{name}/**/"), key=lambda one: -len(str(one))):
                    for pid in (group / "cgroup.procs").read_text().split() if group.is_dir() else ():
                        with contextlib.suppress(OSError):
                            os.kill(int(pid), signal.SIGKILL)
                    until = time.monotonic() + 2
                    while time.monotonic() < until:
                        with contextlib.suppress(FileNotFoundError):
                            try:
                                group.rmdir()
                            except OSError:
                                time.sleep(0.02)
                                continue
                        break


def _stepds(place: Path, jobs: list[str]) -> list[int]:
    """Return the processes that look after jobs of this cluster."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            title = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            ours = str(place).encode() in (entry / "environ").read_bytes()
            if ours and any(title.startswith(f"slurmstepd: [{job}.") for job in jobs):
                found.append(int(entry.name))
    return found


def _ports(count: int) -> list[int]:
    with contextlib.ExitStack() as taken:
        found = []
        for _ in range(count):
            sock = taken.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            found.append(sock.getsockname()[1])
        return found
