# ruff: noqa: PTH123
# os and not pathlib: names are compared as the kernel tells them
"""Agents for tests: real processes, with a few modules of their own packed beside the real ones."""

import contextlib
import os
import signal
import time

from runbook.engine.fleet import pack

MODULES = {
    "probes/hang.py": """
import signal, time
from dataclasses import dataclass
from typing import Iterator
from runbook.modules.declare import Probe, Record

@dataclass(frozen=True)
class HangRecord(Record):
    slept: float

@dataclass(frozen=True)
class Hang(Probe):
    record = HangRecord
    seconds: float = 3600.0
    def look(self, host) -> Iterator[HangRecord]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(self.seconds)
        yield HangRecord(self.seconds)
""",
    "probes/odd.py": """
import os, re, sys
from dataclasses import dataclass
from typing import Any, Iterator, Tuple
from runbook.modules.declare import UNSEEN, Absent, Probe, Record, Unclear

@dataclass(frozen=True)
class OddRecord(Record):
    name: str
    value: Any = UNSEEN

@dataclass(frozen=True)
class Odd(Probe):
    record = OddRecord
    subject = "name"
    kind: str
    words: Tuple[str, ...] = ()
    def look(self, host) -> Iterator[OddRecord]:
        if self.kind == "absent": raise Absent("no such driver")
        if self.kind == "unclear": raise Unclear("may not read /x")
        if self.kind == "broken": 1 / 0
        if self.kind == "exit": sys.exit(3)
        if self.kind == "die": os.kill(os.getpid(), 9)
        if self.kind == "regex": re.match("(a+)+$", "a" * 64 + "b")
        if self.kind == "pid": yield OddRecord("pid", os.getpid())
        if self.kind == "print": print("garbage on stdout", flush=True)
        if self.kind == "stdin": yield OddRecord("stdin", sys.stdin.read())
        if self.kind == "huge": yield OddRecord("huge", "x" * (17 << 20))
        if self.kind == "greedy": bytearray(3 << 30)
        if self.kind == "limit": yield OddRecord("limit", host.run("sh", "-c", "ulimit -d").stdout.strip())
        if self.kind == "big": yield OddRecord("big", "x" * (14 << 20))
        if self.kind == "object": yield OddRecord("object", object())
        if self.kind == "name": yield OddRecord(b"\\xff".decode("utf-8", "surrogateescape"), 1)
        if self.kind == "count":
            host.remember(count=host.remembered.get("count", 0) + 1)
            yield OddRecord("count", host.kept["count"])
        yield OddRecord("a")
        yield OddRecord("b", self.words)
""",
    "probes/felt.py": """
import time
from dataclasses import dataclass
from typing import Iterator
from runbook.modules.declare import Probe, Record
from runbook.modules.listening import sources

@dataclass(frozen=True)
class FeltRecord(Record):
    read: str

@dataclass(frozen=True)
class Felt(Probe):
    record = FeltRecord
    path: str
    fails: bool = False
    def look(self, host) -> Iterator[FeltRecord]:
        with open(self.path) as file: text = file.read()
        if text == "hang": time.sleep(3600)
        yield FeltRecord(text)
    def sources(self, host, records):
        if self.fails: raise RuntimeError("no idea")
        yield sources.path(self.path)
""",
    "steps/dawdle.py": """
import os, signal, time
from dataclasses import dataclass
from typing import Any, Dict, List
from runbook.modules.actions import Action, Do, Run
from runbook.modules.declare import Impact, Path, Step

@dataclass(frozen=True)
class Dawdle(Step):
    impact = Impact.LOW
    path: Path
    kind: str = "wait"
    def plan(self, host) -> List[Action]:
        if self.kind == "deaf":
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGTERM])
            time.sleep(3600)
        if self.kind == "broken": 1 / 0
        if self.kind == "die": os.kill(os.getpid(), 9)
        if self.kind == "swallow": return [Do("swallow", self.swallow)]
        return [Do("dawdle", self.dawdle)]
    def dawdle(self, hands) -> Dict[str, Any]:
        with open(self.path + ".begun", "a") as file: file.write("x")
        hands.progress("half way")
        while not os.path.exists(self.path + ".go"): time.sleep(0.005)
        return {"waited": True}
    def swallow(self, hands) -> None:
        with open(self.path + ".begun", "a") as file: file.write("x")
        while True:
            try: time.sleep(60)
            except Exception: pass
    def report(self, host) -> Dict[str, Any]:
        return {"reported": True}
""",
}


def extended():
    """Return the real modules, these ones, and a short patience with steps that do not listen."""
    found = dict(pack.contents())
    for name, text in MODULES.items():
        found[f"runbook/modules/{name}"] = text.encode()
    act = found["runbook/modules/act.py"]
    found["runbook/modules/act.py"] = act.replace(b"_GRACE = 10.0", b"_GRACE = 1.0")
    assert found["runbook/modules/act.py"] != act
    return dict(sorted(found.items()))


@contextlib.contextmanager
def packed(monkeypatch):
    """Let agents start with the extended modules."""
    contents = extended()
    monkeypatch.setattr(pack, "contents", lambda: contents)
    pack.digest.cache_clear()
    pack.packed.cache_clear()
    try:
        yield
    finally:
        pack.digest.cache_clear()
        pack.packed.cache_clear()


def wait_for(holds, seconds=20.0):
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.005)


def pid_of(agent):
    """Return the agent's pid."""
    agent.ready()
    return agent._link._ended.__self__._pid


def gone(pid):
    """Say whether a process ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in {b"Z", b"X"}
    except OSError:
        return True


def kill(agent):
    """Kill an agent the hard way."""
    pid = pid_of(agent)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: gone(pid))
