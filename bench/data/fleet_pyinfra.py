"""The same as fleet.yml, as a deploy of pyinfra."""

from __future__ import annotations

from pyinfra import host
from pyinfra.facts.files import File
from pyinfra.facts.server import Command
from pyinfra.operations import server

root = host.data.root
host.get_fact(Command, "df --output=avail /")
host.get_fact(Command, "grep MemAvailable /proc/meminfo")
host.get_fact(Command, f"grep -cE 'CUDA out of memory|NCCL WARN' {root}/train.log || true")
if host.get_fact(File, f"{root}/marker"):
    server.shell(name="Take the step", commands=[f"mv {root}/marker {root}/done"])
