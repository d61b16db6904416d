"""Injecting faults: each is the real thing, done to what the place holds."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.drill import furnish, linux
from runbook.engine.drill.furnish import NotMade
from runbook.engine.drill.walls import KERNEL_LOG
from runbook.engine.language.drill_words import GPUS, FileGiven

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runbook.engine.language.drill_words import Given, Injection

_RECORD: Final = 8192  # bytes of a line of the kernel's log: who reads the device gets one at a time
_BLOCK: Final = 1 << 20
_LARGE: Final = 64 << 20  # bytes that filling a disk may take of the memory
_GONE: Final = 5.0  # seconds for a killed process to be gone
_ERROR: Final = 3  # the level of a kernel's line


def inject(one: Injection, given: Given) -> None:
    """Do the damage.

    Raises:
        NotMade: it could not be done.
    """
    try:
        _INJECTIONS[one.kind](one.params, given)
    except OSError as error:
        raise NotMade(f"{one.said}: {error.strerror or error}") from error


def _kill(params: Mapping[str, Any], given: Given) -> None:
    number = signal.Signals[f"SIG{params.get('signal', 'KILL')}"]
    if "match" in params:
        wanted = re.compile(params["match"])
        pids = [pid for pid, line in _processes() if wanted.search(line)]
        if not pids:
            raise NotMade(f"no process matches {params['match']!r}")
    else:
        main = furnish.pid(given.daemon(params["daemon"]))
        pids = [*(_below(main) if params.get("tree") else ()), main]
    for pid in pids:
        os.kill(pid, number)
    if number is signal.SIGKILL:
        _until(lambda: not any(_lives(pid) for pid in pids))


def _hang(params: Mapping[str, Any], given: Given) -> None:
    main = furnish.pid(given.daemon(params["daemon"]))
    for pid in [main, *_below(main)]:
        os.kill(pid, signal.SIGSTOP)


def _remove(params: Mapping[str, Any], _given: Given) -> None:
    for path in params["paths"]:
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path)
        else:
            Path(path).unlink()


def _write(params: Mapping[str, Any], _given: Given) -> None:
    furnish.make(FileGiven(**params))


def _append(params: Mapping[str, Any], _given: Given) -> None:
    with Path(params["path"]).open("a", encoding="utf-8") as file:
        file.write(params["content"])


def _log(params: Mapping[str, Any], given: Given) -> None:
    text = "".join(f"{line}\n" for line in params["lines"])
    Path(params["path"]).parent.mkdir(parents=True, exist_ok=True)
    _append({"path": params["path"], "content": text}, given)


def _corrupt(params: Mapping[str, Any], _given: Given) -> None:
    """Damage a file in its place, as a torn write or a bad disk does."""
    how = params.get("how", "truncate")
    with Path(params["path"]).open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if how == "truncate":
            file.truncate(size // 2)
            return
        start, length = (size // 2, 1) if how == "flip" else (0, size)
        file.seek(start)
        before = file.read(length)
        file.seek(start)
        damaged = {"flip": bytes(byte ^ 0xFF for byte in before), "zero": bytes(length)}
        file.write(damaged.get(how) or os.urandom(length))


def _permit(params: Mapping[str, Any], _given: Given) -> None:
    if "mode" in params:
        Path(params["path"]).chmod(params["mode"])
    furnish.own(params["path"], params.get("owner"), params.get("group"))


def _age(params: Mapping[str, Any], _given: Given) -> None:
    furnish.age(params["path"], params["by"])


def _fill(params: Mapping[str, Any], _given: Given) -> None:
    """Write until the disk takes no more, then give back what is to be left.

    A disk that has more room than fits into memory is made smaller first: a tmpfs may be.
    """
    found = os.statvfs(params["path"])
    if found.f_bavail * found.f_frsize > _LARGE:
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        linux.mount("drill", params["path"], "tmpfs", flags=linux.REMOUNT, options=f"size={used + _LARGE}")
    Path(params["as"]).parent.mkdir(parents=True, exist_ok=True)
    with Path(params["as"]).open("ab", buffering=0) as file:
        size = _BLOCK
        while size:
            try:
                file.write(b"\1" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
        file.truncate(max(0, file.tell() - params["leave"]))


def _kernel(params: Mapping[str, Any], _given: Given) -> None:
    with Path(KERNEL_LOG).open("ab") as file:
        for line in params["lines"]:
            number, moment = file.tell() // _RECORD, time.clock_gettime(time.CLOCK_MONOTONIC)
            record = f"{_ERROR},{number},{int(moment * 1e6)},-;{line}\n".encode()
            file.write(record[: _RECORD - 1].ljust(_RECORD, b"\0"))


def _gpu(params: Mapping[str, Any], _given: Given) -> None:
    told = json.loads(Path(GPUS).read_text(encoding="utf-8"))
    values = {name: value for name, value in params.items() if name != "index"}
    for index, gpu in enumerate(told):
        if params.get("index", index) == index:
            gpu.update(values)
    draft = Path(f"{GPUS}.new")
    draft.write_text(json.dumps(told), encoding="utf-8")
    draft.replace(GPUS)


def _server(params: Mapping[str, Any], given: Given) -> None:
    for name, answer in params.items():
        furnish.state(name, fault=answer)
        port = next(one.port for one in given.servers if one.name == name)
        if answer.get("how") == "refuse":
            _until(lambda port=port: not furnish.answers(port))  # type: ignore[misc]
        elif answer.get("how") == "well":
            _until(lambda port=port: furnish.answers(port))  # type: ignore[misc]


def _run(params: Mapping[str, Any], _given: Given) -> None:
    furnish.command(tuple(params["argv"]))


def _wait(params: Mapping[str, Any], _given: Given) -> None:
    time.sleep(params["seconds"])


_INJECTIONS: Final[dict[str, Callable[[Mapping[str, Any], Given], None]]] = {
    "kill": _kill,
    "hang": _hang,
    "remove": _remove,
    "write": _write,
    "append": _append,
    "corrupt": _corrupt,
    "permit": _permit,
    "age": _age,
    "fill": _fill,
    "log": _log,
    "kernel": _kernel,
    "gpu": _gpu,
    "server": _server,
    "run": _run,
    "wait": _wait,
}


def _until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + _GONE
    while not done():
        if time.monotonic() > until:
            raise NotMade(f"nothing came of it within {_GONE:g} s")
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    """Tell whether a process lives; one that is dead and not yet noted does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    return False


def _below(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
            found += [*_below(int(child)), int(child)]
    return found


def _processes() -> Iterator[tuple[int, str]]:
    """Yield the place's processes with their command lines, without the drill's own."""
    own = {1, os.getpid()}
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) not in own:
            with suppress(OSError):
                line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                if line and "# runbook agent" not in line:
                    yield int(place.name), line
