"""The agent of this machine: a child process, spoken to as one behind SSH would be."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import os
import pathlib
import signal
import sys
from typing import TYPE_CHECKING

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet import pack, starting
from runbook.engine.fleet.agent import Agent
from runbook.engine.fleet.link import Pipes
from runbook.engine.fleet.target import begin, own_dir

if TYPE_CHECKING:
    from runbook.engine.fleet.target import Target

HOST = "localhost"


def connect(journal_dir: str | os.PathLike[str] | None = None, *, python: str | None = None) -> Agent:
    """Start an agent and return it while it still wakes up.

    What it keeps (code, intents, locks) goes to `agent/` beside the journal, or to its usual place without one.

    Raises:
        HostUnreachable: the interpreter can't be started.
    """
    base = None if journal_dir is None else str(pathlib.Path(journal_dir).resolve() / "agent")
    link = _begin([python or sys.executable, "-I", "-c", pack.loader()])
    return Agent(HOST, link, base=base, packages=_packages() if python is None else ())


class LocalLine:
    """The line to this machine: each agent is a child process, under `become` one of sudo's."""

    def __init__(self, target: Target) -> None:
        self.host = target.name
        self._target = target

    def agent(self, user: str | None = None) -> Agent:
        """Start an agent."""
        target = self._target
        other = None if user == getpass.getuser() else user
        if other is None and target.python == starting.AUTO:
            return connect(target.agent_dir)
        begun = begin(target, other)
        link = _begin(["/bin/sh", "-c", begun.command])
        base = own_dir(target, other)
        return Agent(target.name, link, base=base, before=begun.before, far=True, become=other is not None)

    def close(self) -> None:
        """There is nothing to hang up but the agents."""


def _begin(argv: list[str]) -> Pipes:
    """Start a process and return the link to it."""
    _reap()
    theirs_in, requests = os.pipe()
    answers, theirs_out = os.pipe()
    log, theirs_log = os.pipe()
    try:
        pid = os.posix_spawn(
            argv[0],
            argv,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs_in, 0),
                (os.POSIX_SPAWN_DUP2, theirs_out, 1),
                (os.POSIX_SPAWN_DUP2, theirs_log, 2),
            ],
            setsid=True,  # a Ctrl-C at the terminal is the controller's to judge
            setsigdef=[signal.SIGPIPE, signal.SIGINT],
        )
    except OSError as error:
        for descriptor in (requests, answers, log):
            os.close(descriptor)
        raise HostUnreachable(f"{argv[0]} can't be started: {error.strerror}", where=HOST) from error
    finally:
        for descriptor in (theirs_in, theirs_out, theirs_log):
            os.close(descriptor)
    process = _Process(pid)
    _started.append(process)
    return Pipes(requests, answers, log, process.ended)


class _Process:
    """The agent's process, reaped once."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._how: str | None = None

    def ended(self) -> str | None:
        """Say how it ended; None while it runs."""
        if self._how is None:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(self._pid, os.WNOHANG)
                if pid:
                    code = os.waitstatus_to_exitcode(status)
                    self._how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        return self._how


def _packages() -> tuple[str, ...]:
    """Return where psutil was found: an isolated interpreter does not look where `pip install --user` puts it."""
    found = importlib.util.find_spec("psutil")
    return () if found is None or found.origin is None else (str(pathlib.Path(found.origin).parents[1]),)


_started: list[_Process] = []


def _reap() -> None:
    """Let go of agents that ended after their connection: one may still have had a step in hand."""
    _started[:] = [process for process in _started if process.ended() is None]
