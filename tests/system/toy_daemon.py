"""A toy daemon with a pidfile, in a directory of its own, and an agent to ask about it."""

import contextlib
import itertools
import os
import signal
import sys
import time
from pathlib import Path

from runbook.engine.fleet import local
from runbook.engine.fleet.messages import Spec
from runbook.engine.language import params
from runbook.engine.model import Order
from runbook.modules import catalogue

# Starts a child, writes its own pid, and lives; `--die` ends at once, `--deaf` does not hear TERM.
TOY = """
import os, signal, subprocess, sys, time
if "--child" not in sys.argv:
    if "--deaf" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, sys.argv[0], "--child"])
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(f"{os.getpid()}\\n")
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    print("serving", flush=True)
    if "--die" in sys.argv:
        child.kill()
        sys.exit(3)
time.sleep(300)
"""


class Machine:
    """A directory with a toy daemon in it, and an agent to ask about it."""

    def __init__(self, place: Path, agent) -> None:
        self.place = place
        self.pidfile = place / "toy.pid"
        self.script = place / "toy.py"
        self.script.write_text(TOY)
        self.unit = {"unit": str(self.pidfile), "match": f"{place}/toy[.]py"}
        self.numbers = itertools.count(1)
        self.agent = agent

    @property
    def argv(self):
        return [sys.executable, str(self.script), str(self.pidfile)]

    def step(self, module, *, check=False, writable=None, **more):
        typed = params.coerce(catalogue.step(module), {**self.unit, **more})
        intent = f"{self.place.name}-{next(self.numbers)}"
        return self.agent.run(
            intent, Order(module, typed, timeout=30), subject="toy", check=check,
            writable=[str(self.place)] if writable is None else writable,
        )  # fmt: skip

    def start(self, *options, **more):
        return self.step(
            "daemon", start=[*self.argv, *options], log=str(self.place / "out.log"), settle="200ms", **more
        )

    def restart(self, *options, **more):
        return self.step("restart_daemon", start=[*self.argv, *options], settle="200ms", **more)

    def look(self, probe="daemon", **given):
        typed = params.coerce(catalogue.probe(probe), given or self.unit)
        (record,) = self.agent.probe([Spec("it", probe, typed)])["it"].records
        return record.fields

    @property
    def pid(self):
        return int(self.pidfile.read_text())

    def living(self):
        """The toy's processes, dead ones left out."""
        found = set()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and str(self.script).encode() in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
        return found


@contextlib.contextmanager
def toy(tmp_path):
    """Yield a machine, and end what is left of its daemon."""
    place = tmp_path.resolve() / "work"
    place.mkdir()
    with local.connect(tmp_path) as agent:
        made = Machine(place, agent)
        yield made
    for pid in made.living():
        os.kill(pid, signal.SIGKILL)


def until(holds, within=10.0):
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def killed(machine):
    """Kill the daemon the hard way, and wait until init has taken note of it."""
    pid = machine.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists())
