"""Making what a drill gives: disks, files, faked GPUs and programs, servers and daemons."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.drill import linux
from runbook.engine.language.drill_words import ANSWERING, GPUS, OWN, SCRATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runbook.engine.language.drill_words import DaemonGiven, FileGiven, Given

_PATIENCE: Final = 20.0  # seconds for a daemon to be up
_ALIVE: Final = 0.2  # seconds that a daemon lives which shows in no other way that it is up
_COMMAND: Final = 60.0  # seconds for a command that prepares or breaks something
_SMI: Final = Path(__file__).with_name("faked_smi.py")
_STAND_IN: Final = Path(__file__).with_name("faked_nvml.py")


class NotMade(Exception):
    """The place could not be made as the drill says, so the fault can't be shown."""


def environment(given: Given) -> dict[str, str]:
    """Return the environment of everything in the place."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNBOOK_", "XDG_"))}
    return {
        **kept,
        "HOME": f"{OWN}/home",
        "TMPDIR": f"{OWN}/tmp",  # noqa: S108 -- the place's own
        "PATH": f"{OWN}/bin:{os.environ.get('PATH', os.defpath)}",
        "RUNBOOK_AGENT_DIR": f"{OWN}/agent",
        "RUNBOOK_DRILL_GPUS": GPUS,
        "PYTHONDONTWRITEBYTECODE": "1",
        **given.env,
    }


def furnish(given: Given) -> None:
    """Make everything, in the order in which one thing may need another.

    Raises:
        NotMade: something could not be made.
    """
    try:
        os.chdir(SCRATCH)
        _gpus(given)
        for path, size in given.disks.items():
            os.makedirs(path, exist_ok=True)  # noqa: PTH103
            linux.mount("drill", path, "tmpfs", options=f"size={size},mode=0755")
        for file in given.files:
            make(file)
        for name, script in given.programs.items():
            program(name, script)
        os.makedirs(ANSWERING, exist_ok=True)  # noqa: PTH103
        for server in given.servers:
            pidfile = given.daemon(server.name).pidfile
            told = {"port": server.port, "folder": server.folder, "hub": server.hub, "answers": server.answers}
            state(server.name, **told, pidfile=pidfile)
        for daemon in given.daemons:
            start(daemon)
        for argv in given.run:
            command(argv)
    except (OSError, LookupError) as error:
        raise NotMade(f"the place could not be made: {error}") from error


def program(name: str, script: str) -> None:
    """Put a program where the PATH finds it first."""
    made = Path(OWN, "bin", name)
    made.write_text(script, encoding="utf-8")
    made.chmod(0o755)


def make(file: FileGiven) -> None:
    """Make a file or directory."""
    path = Path(file.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if file.folder:
        path.mkdir(exist_ok=True)
    elif file.copy is not None and Path(file.copy).is_dir():
        shutil.copytree(file.copy, path)
    else:
        path.write_bytes(body(file))
    if file.mode is not None:
        path.chmod(file.mode)
    own(file.path, file.owner, file.group)
    if file.age is not None:
        age(file.path, file.age)


def body(file: FileGiven) -> bytes:
    """Return a file's content."""
    if file.copy is not None:
        return Path(file.copy).read_bytes()
    if file.weights is not None:
        length = file.weights // 4 * 4
        tensor = {"dtype": "F32", "shape": [length // 4], "data_offsets": [0, length]}
        head = json.dumps({"weights": tensor}).encode()
        return struct.pack("<Q", len(head)) + head + os.urandom(length)
    return os.urandom(file.size) if file.size is not None else (file.content or "").encode()


def own(path: str, owner: str | None, group: str | None) -> None:
    """Give a file to somebody, by name or number."""
    if owner is not None or group is not None:
        user, them = (int(name) if name is not None and name.isdigit() else name for name in (owner, group))
        shutil.chown(path, user, them)  # type: ignore[arg-type]


def age(path: str, seconds: float) -> None:
    """Say that a file was written so long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def state(server: str, **changes: Any) -> None:
    """Write down how a server answers from now on."""
    file = Path(ANSWERING, f"{server}.json")
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps({**known, **changes}), encoding="utf-8")
    draft.replace(file)


def met() -> float | None:
    """Return when a request first met the fault of a server, in seconds since the epoch; None when none did."""
    found = [file.stat().st_mtime for file in Path(ANSWERING).glob("*.met")]
    return min(found, default=None)


def pid(daemon: DaemonGiven) -> int:
    """Return the process that a daemon's pidfile names.

    Raises:
        NotMade: it names none.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(daemon.pidfile).read_text(encoding="ascii").split()[0])
    raise NotMade(f"{daemon.pidfile} of `{daemon.name}` names no process")


def command(argv: tuple[str, ...]) -> None:
    """Run a command of the drill.

    Raises:
        NotMade: it failed.
    """
    shown = " ".join(argv)
    try:
        done = subprocess.run(  # noqa: S603 -- what the drill's file says
            argv, capture_output=True, text=True, timeout=_COMMAND, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMade(f"`{shown}` could not be run: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise NotMade(f"`{shown}` ended with exit code {done.returncode}{f': {said}' if said else ''}")


def start(daemon: DaemonGiven) -> None:
    """Start a daemon as a session of its own, whose parent is the first process of the place; wait until it is up.

    Raises:
        NotMade: it did not come up.
    """
    Path(daemon.pidfile).parent.mkdir(parents=True, exist_ok=True)
    printed = Path(OWN, "logs", f"{daemon.name}.log")
    begun = _spawn(daemon.start, {**os.environ, **daemon.env}, printed)
    since = time.monotonic()

    def up() -> bool:
        if daemon.ready is None:
            return Path(daemon.pidfile).exists() or time.monotonic() - since >= _ALIVE
        kind, what = daemon.ready
        if kind == "file":
            return Path(what).exists()
        if kind == "line":
            return re.search(what, printed.read_text(encoding="utf-8", errors="replace")) is not None
        return answers(int(what))

    while not up():
        ended = not Path(f"/proc/{begun}").exists() and not Path(daemon.pidfile).exists()
        if ended or time.monotonic() - since > _PATIENCE:
            said = printed.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
            why = "ended at once" if ended else f"was not up within {_PATIENCE:g} s"
            raise NotMade(f"the daemon `{daemon.name}` {why}{f': {said}' if said else ''}")
        time.sleep(0.02)
    if not Path(daemon.pidfile).exists():
        Path(daemon.pidfile).write_text(f"{begun}\n", encoding="ascii")


def answers(port: int) -> bool:
    """Tell whether something takes connections at a port."""
    with socket.socket() as asked:
        asked.settimeout(0.5)
        return asked.connect_ex(("127.0.0.1", port)) == 0


def _spawn(argv: tuple[str, ...], env: Mapping[str, str], printed: Path) -> int:
    """Start a program that is nobody's child here, and return its pid."""
    reader, writer = os.pipe()
    between = os.fork()
    if between == 0:
        _quietly(lambda: _begin(argv, env, printed, writer))
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as told:
        number, _, wrong = told.read().partition(" ")
    os.waitpid(between, 0)
    if wrong:
        raise NotMade(f"{argv[0]} can't be started: {wrong}")
    return int(number)


def _begin(argv: tuple[str, ...], env: Mapping[str, str], printed: Path, writer: int) -> None:
    if os.fork():
        return
    try:
        os.setsid()
        os.write(writer, f"{os.getpid()} ".encode())
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        log = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for number, to in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
            os.dup2(to, number)
        os.set_inheritable(writer, False)
        os.execvpe(argv[0], argv, env)  # noqa: S606 -- the same
    except OSError as error:
        os.write(writer, (error.strerror or str(error)).encode())


def _quietly(work: Callable[[], None]) -> None:
    """Do something in a forked child, and end it whatever happens."""
    try:
        work()
    finally:
        os._exit(0)


def _gpus(given: Given) -> None:
    """Lay the stand-in over pynvml; a place without GPUs has none, whatever this machine has."""
    found = importlib.util.find_spec("pynvml")
    if found is None or found.origin is None:
        return
    shutil.copyfile(found.origin, f"{OWN}/pynvml_itself.py")
    linux.bind(str(_STAND_IN), found.origin)
    if given.gpus:
        Path(GPUS).write_text(json.dumps([dict(gpu) for gpu in given.gpus]), encoding="utf-8")
        program("nvidia-smi", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I {shlex.quote(str(_SMI))} "$@"\n')
