"""What the driver tells of each GPU by its PCI address, for lines of logs that name one."""

import json
import os
import select
import signal
import time
from contextlib import suppress
from typing import Any, Callable, Dict, List, Mapping

from runbook.modules import nvml
from runbook.modules.declare import Absent, Unclear

PATIENCE = 3.0  # seconds; a driver in trouble, which is when it matters, may hang for ever
_DRIVER = "/proc/driver/nvidia/gpus"


def by_address(driver: str = _DRIVER) -> Dict[str, Mapping[str, Any]]:
    """Return the GPUs by PCI address (`0000:3b:00`), each with its `index` and the driver's `recovery_action`.

    Where the driver's library can't be asked, the addresses that its files name are counted, as the library does; a
    machine without a driver has none.
    """
    ready()
    told = within(PATIENCE, _readings)
    if told is not None:
        found = {one["pci"]: one for one in told if "pci" in one}
        if found:
            return found
    addresses: List[str] = []
    with suppress(OSError):
        addresses = sorted(place for place in map(nvml.address, os.listdir(driver)) if place is not None)
    return {place: {"index": index} for index, place in enumerate(addresses)}


def ready() -> None:
    """Import what asks the driver, so that not each process that does has to: that takes longer than the answer."""
    with suppress(ImportError):  # told by who asks
        import pynvml  # noqa: F401


def within(seconds: float, question: Callable[[], Any]) -> Any:
    """Return what a question gives as plain data, asked in a process that is left behind when it hangs; else None."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            with os.fdopen(writer, "wb") as answer:
                answer.write(json.dumps(question()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        return _answer(reader, time.monotonic() + seconds)
    finally:
        os.close(reader)
        with suppress(OSError):
            os.kill(child, signal.SIGKILL)
        _reap(child)


def _answer(reader: int, until: float) -> Any:
    said = b""
    while True:
        ready, _, _ = select.select([reader], [], [], max(until - time.monotonic(), 0.0))
        if not ready:
            return None
        part = os.read(reader, 1 << 16)
        if not part:
            break
        said += part
    try:
        return json.loads(said)
    except ValueError:
        return None


def _reap(child: int) -> None:
    """Wait for a child that was killed, and not for one that the kernel holds in the driver."""
    for pause in (0.0005, 0.001, 0.002, *[0.005] * 20):
        with suppress(ChildProcessError):
            if os.waitpid(child, os.WNOHANG)[0]:
                return
            time.sleep(pause)
            continue
        return


def _readings() -> List[Dict[str, Any]]:
    try:
        return [
            {key: one[key] for key in ("index", "pci", "recovery_action", "lost") if key in one} for one in nvml.read()
        ]
    except (Absent, Unclear):
        return []
