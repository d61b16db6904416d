"""What the NVIDIA driver tells of its GPUs, by its own library: every error is a value, or a reason in words.

NVML must not be used on both sides of a fork, and a process that has it open keeps a GPU from being reset. So each
reading opens it and closes it again; looks are forked children, and one that the driver lets hang is killed.
"""

import os
import re
from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from runbook.modules.declare import UNSEEN, Absent, Failed, Unclear
from runbook.modules.nvml_questions import CLOSER, LACKS, QUESTIONS, Question

NO_POWER, NOT_LOADED, NO_LIBRARY, LOST, RESET_REQUIRED, MISMATCH = 8, 9, 12, 15, 16, 18
_UNREACHABLE = {2, 6, 8, 11, 15, 28, 999}  # what asking for a GPU's handle gives when it can't be reached
_WORDS = {
    4: "the user that the agent runs as may not ask it: set `become: true`, or let that user read /dev/nvidia*",
    8: "its power cables are not plugged in, or give too little: see to them",
    10: "the driver did not answer in time",
    11: "the kernel sees a problem with its interrupts",
    14: "its infoROM is corrupted",
    15: "it fell off the bus, or can't be reached otherwise",
    16: "it must be reset before it can be used again",
    17: "the operating system blocks the question",
    28: "the driver does not find it any more",
    999: "the driver can't reach it and does not say why; `dmesg | grep -i nvrm` may",
}
_DRIVER = "/proc/driver/nvidia"
_DEVICES = "/sys/bus/pci/devices"
_ADDRESS = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.[0-7])?$", re.IGNORECASE)


class NotLoaded(Unclear):
    """The machine has GPUs, and no driver runs that knows them."""


def read() -> List[Dict[str, Any]]:
    """Return a reading for each GPU that the driver counts, in the order of their indexes.

    A reading has `index` and whatever could be read; `lost` says whether the GPU can be reached, `error` what the
    driver says otherwise.

    Raises:
        Absent: there is no NVIDIA driver, or no GPU for one.
        NotLoaded: there are GPUs, and the driver does not run.
        Unclear: the driver can't be asked.
    """
    return _read(QUESTIONS)


def read_closely() -> List[Dict[str, Any]]:
    """Return the same with what only a step asks: limits of its power, all its users, and the cards it hangs on.

    Raises:
        Absent, NotLoaded, Unclear: as `read`.
    """
    return _read((*QUESTIONS, *CLOSER))


def limit_power(uuid: str, milliwatts: int) -> int:
    """Set what a GPU may draw, and return what the driver says of it afterwards, in milliwatts.

    Raises:
        Failed: the driver refuses.
        Absent, NotLoaded, Unclear: as `read`.
    """
    with _opened() as nvml:
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            nvml.nvmlDeviceSetPowerManagementLimit(handle, milliwatts)
            return int(nvml.nvmlDeviceGetPowerManagementLimit(handle))
        except nvml.NVMLError as error:
            why = "this card's limit can't be set" if error.value in LACKS else _words(error)
            raise Failed(f"the power limit of {uuid} was not set: {why}") from error


def _read(questions: Sequence[Question]) -> List[Dict[str, Any]]:
    with _opened() as nvml:
        try:
            readings = [_gpu(nvml, index, questions) for index in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError as error:
            raise Unclear(f"the NVIDIA driver can't say how many GPUs there are: {_words(error)}") from error
    _locate(readings)
    return readings


def address(written: str) -> Optional[str]:
    """Return a PCI address in one form, `0000:3b:00`, however it is written: `PCI:0000:3b:00`, `00000000:3B:00.0`."""
    match = _ADDRESS.search(written.strip().strip("()"))
    if match is None:
        return None
    domain, bus, device = (int(part or "0", 16) for part in match.groups())
    return f"{domain:04x}:{bus:02x}:{device:02x}"


def cards(devices: str = _DEVICES) -> int:
    """Return how many NVIDIA GPUs the kernel sees on the PCI bus, whatever driver they have."""
    found = 0
    with suppress(OSError):
        for name in os.listdir(devices):
            vendor, kind = (_line(os.path.join(devices, name, part)) for part in ("vendor", "class"))
            found += vendor == "0x10de" and kind.startswith(("0x0300", "0x0302"))
    return found


@contextmanager
def _opened() -> Iterator[Any]:
    try:
        import pynvml as nvml
    except ImportError as error:
        if not os.path.exists(_DRIVER):
            raise Absent("no NVIDIA driver runs here") from error
        from runbook.modules import needs

        raise Unclear(f"GPUs are asked through nvidia-ml-py: {needs.missing(['nvidia-ml-py as pynvml'])}") from error
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise _shut(error) from error
    try:
        yield nvml
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _shut(error: Any) -> Exception:
    """Return why the library can't be used."""
    if error.value == NO_LIBRARY:
        return Absent("no NVIDIA driver is installed here: there is no libnvidia-ml.so.1")
    if error.value == NOT_LOADED:
        if not cards():
            return Absent("this machine has no NVIDIA GPU; its driver is installed and not loaded")
        return NotLoaded(
            "the NVIDIA driver is not loaded: try `modprobe nvidia`; `dmesg | grep -i nvrm` and `dkms status` say why"
        )
    if error.value == MISMATCH:
        version = _line(f"{_DRIVER}/version").partition("  ")[2].split("  ")[0]
        return Unclear(
            f"the NVIDIA driver that runs{f' ({version})' if version else ''} is another version than its library, as "
            "after an update: end what uses the GPUs and load the new one (`rmmod nvidia_uvm nvidia_drm "
            "nvidia_modeset nvidia && modprobe nvidia`), or reboot"
        )
    return Unclear(f"the NVIDIA driver can't be asked: {_words(error)}")


def _gpu(nvml: Any, index: int, questions: Sequence[Question]) -> Dict[str, Any]:
    reading: Dict[str, Any] = {"index": index, "lost": False, "error": ""}
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:
        said = _meaning(error.value, lost=error.value in _UNREACHABLE)
        return {**reading, "error": _words(error), **(said or {"lost": UNSEEN})}
    for question in questions:
        for name, value in _answer(nvml, handle, question).items():
            if name != "error" or not reading["error"]:
                reading[name] = value
        if reading["lost"]:
            break  # each further question may take the driver seconds
    return reading


def _answer(nvml: Any, handle: Any, question: Question) -> Mapping[str, Any]:
    try:
        return question(nvml, handle)
    except nvml.NVMLError as error:
        if error.value in LACKS:
            return {}
        return {"error": _words(error), **_meaning(error.value, lost=error.value == LOST)}
    except UnicodeDecodeError:
        return {}  # a name that is none


def _meaning(code: int, *, lost: bool) -> Dict[str, Any]:
    """Return what an error says of the GPU itself."""
    if lost:
        return {"lost": True, "unpowered": code == NO_POWER}
    if code == RESET_REQUIRED:
        return {"recovery_action": "GPU_RESET"}
    return {}


def _locate(readings: List[Dict[str, Any]], driver: str = f"{_DRIVER}/gpus") -> None:
    """Tell where a GPU sits that does not say so itself any more: NVML counts in the order of the PCI addresses."""
    silent = [reading for reading in readings if "pci" not in reading]
    if not silent:
        return
    known = set()
    with suppress(OSError):
        known = {address(name) for name in os.listdir(driver)}
    left = sorted(place for place in known - {reading.get("pci") for reading in readings} if place is not None)
    if len(left) == len(silent):
        for reading, place in zip(silent, left):
            reading["pci"] = place


def _words(error: Any) -> str:
    code = error.value
    return _WORDS.get(code) or f"{str(error).rstrip('.')} (NVML error {code})"


def _line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""
