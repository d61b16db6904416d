"""What the NVIDIA driver tells of its GPUs, by its own library: every error is a value, or a reason in words.

NVML must not be used on both sides of a fork, and a process that has it open keeps a GPU from being reset. So each
reading opens it and closes it again; looks are forked children, and one that the driver lets hang is killed.
"""

import os
import re
from contextlib import contextmanager, suppress
from typing import Any, Callable, Dict, Iterator, List, Literal, Mapping, Optional, Tuple

from runbook.modules.declare import UNSEEN, Absent, Unclear

RecoveryAction = Literal[
    "NONE", "GPU_RESET", "NODE_REBOOT", "DRAIN_P2P", "DRAIN_AND_RESET", "RECOVER_IMEX_DOMAIN", "BUS_RESET",
    "SYSTEM_REBOOT", "UNKNOWN",
]  # fmt: skip
_RECOVERY = (
    "NONE", "GPU_RESET", "NODE_REBOOT", "DRAIN_P2P", "DRAIN_AND_RESET", "RECOVER_IMEX_DOMAIN", "BUS_RESET",
    "SYSTEM_REBOOT",
)  # fmt: skip
_RECOVERY_FIELD, _RESET_FIELD, _DRAIN_FIELD = 230, 226, 227  # the last two from drivers before r570

# The bits of both generations of the call: `…ThrottleReasons` before r535, `…EventReasons` since. An idle GPU's low
# clock (bit 0) is no throttling.
_THROTTLES = {
    0x002: "applications_clocks",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clocks",
    0x200: "board_limit",
    0x400: "reliability",
}
_IDLE = 0x001
Question = Callable[[Any, Any], Mapping[str, Any]]

NOT_SUPPORTED, NO_PERMISSION, NO_POWER, NOT_LOADED, NO_LIBRARY, NO_FUNCTION = 3, 4, 8, 9, 12, 13
LOST, RESET_REQUIRED, MISMATCH, OTHER_VERSION = 15, 16, 18, 25
_UNREACHABLE = {2, 6, 8, 11, 15, 28, 999}  # what asking for a GPU's handle gives when it can't be reached
_LACKS = {NOT_SUPPORTED, NO_FUNCTION, OTHER_VERSION}  # this card or this driver does not tell
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
    with _opened() as nvml:
        try:
            readings = [_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
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


def throttles(bits: int) -> Tuple[str, ...]:
    """Return why the clocks are held down, by name; a reason that is newer than this program by its bit."""
    known = tuple(name for bit, name in _THROTTLES.items() if bits & bit)
    strange = bits & ~(sum(_THROTTLES) | _IDLE)
    return known + tuple(f"unknown_0x{1 << at:x}" for at in range(strange.bit_length()) if strange >> at & 1)


@contextmanager
def _opened() -> Iterator[Any]:
    try:
        import pynvml as nvml
    except ImportError as error:
        if not os.path.exists(_DRIVER):
            raise Absent("no NVIDIA driver runs here") from error
        raise Unclear("GPUs are asked through the package nvidia-ml-py: `pip install nvidia-ml-py`") from error
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


def _gpu(nvml: Any, index: int) -> Dict[str, Any]:
    reading: Dict[str, Any] = {"index": index, "lost": False, "error": ""}
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:
        said = _meaning(error.value, lost=error.value in _UNREACHABLE)
        return {**reading, "error": _words(error), **(said or {"lost": UNSEEN})}
    for question in _QUESTIONS:
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
        if error.value in _LACKS:
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


def _identity(nvml: Any, handle: Any) -> Mapping[str, Any]:
    return {"uuid": nvml.nvmlDeviceGetUUID(handle)}


def _name(nvml: Any, handle: Any) -> Mapping[str, Any]:
    return {"name": nvml.nvmlDeviceGetName(handle)}


def _pci(nvml: Any, handle: Any) -> Mapping[str, Any]:
    found = nvml.nvmlDeviceGetPciInfo(handle)
    return {"pci": f"{found.domain:04x}:{found.bus:02x}:{found.device:02x}"}


def _temperature(nvml: Any, handle: Any) -> Mapping[str, Any]:
    return {"temperature": float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))}


def _margin(nvml: Any, handle: Any) -> Mapping[str, Any]:
    """Newer cards tell the margin itself, older ones where the slowdown begins."""
    with suppress(nvml.NVMLError):
        return {"slowdown_margin": float(nvml.nvmlDeviceGetMarginTemperature(handle))}
    limit = nvml.nvmlDeviceGetTemperatureThreshold(handle, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN)
    return {"slowdown_margin": float(limit) - nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)}


def _memory(nvml: Any, handle: Any) -> Mapping[str, Any]:
    """The newer call does not count as used what the driver keeps for itself."""
    try:
        found = nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2)
    except nvml.NVMLError as error:
        if error.value not in _LACKS:
            raise
        found = nvml.nvmlDeviceGetMemoryInfo(handle)
    return {"memory_total": int(found.total), "memory_used": int(found.used)}


def _utilization(nvml: Any, handle: Any) -> Mapping[str, Any]:
    return {"utilization": float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)}


def _power(nvml: Any, handle: Any) -> Mapping[str, Any]:
    return {"power": nvml.nvmlDeviceGetPowerUsage(handle) / 1000}


def _power_limit(nvml: Any, handle: Any) -> Mapping[str, Any]:
    return {"power_limit": nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000}


def _ecc(nvml: Any, handle: Any) -> Mapping[str, Any]:
    """A card without ECC counts nothing."""
    try:
        count = nvml.nvmlDeviceGetTotalEccErrors(
            handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
        )
    except nvml.NVMLError as error:
        if error.value not in _LACKS:
            raise
        count = 0
    return {"ecc_uncorrected": int(count)}


def _remapped(nvml: Any, handle: Any) -> Mapping[str, Any]:
    try:
        _, _, pending, failed = nvml.nvmlDeviceGetRemappedRows(handle)
    except nvml.NVMLError as error:
        if error.value not in _LACKS:
            raise
        pending = failed = 0  # cards before Ampere remap no rows
    return {"remap_pending": bool(pending), "remap_failed": bool(failed)}


def _throttle(nvml: Any, handle: Any) -> Mapping[str, Any]:
    try:
        bits = nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)
    except nvml.NVMLError as error:
        if error.value not in _LACKS:
            raise
        bits = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    return {"throttle": throttles(int(bits))}


def _mig(nvml: Any, handle: Any) -> Mapping[str, Any]:
    try:
        return {"mig": bool(nvml.nvmlDeviceGetMigMode(handle)[0])}
    except nvml.NVMLError as error:
        if error.value not in _LACKS:
            raise
        return {"mig": False}


def _recovery(nvml: Any, handle: Any) -> Mapping[str, Any]:
    """The driver's own verdict, by number: its texts differ from version to version."""
    fields = nvml.nvmlDeviceGetFieldValues(handle, [_RECOVERY_FIELD, _RESET_FIELD, _DRAIN_FIELD])
    told = {field.fieldId: int(field.value.uiVal) for field in fields if field.nvmlReturn == 0}
    if _RECOVERY_FIELD in told:
        number = told[_RECOVERY_FIELD]
        return {"recovery_action": _RECOVERY[number] if number < len(_RECOVERY) else "UNKNOWN"}
    if told.get(_RESET_FIELD):
        return {"recovery_action": "GPU_RESET"}
    return {"recovery_action": "DRAIN_AND_RESET"} if told.get(_DRAIN_FIELD) else {}


def _processes(nvml: Any, handle: Any) -> Mapping[str, Any]:
    try:
        found = nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
    except nvml.NVMLError as error:
        if error.value not in _LACKS:
            raise
        found = nvml.nvmlDeviceGetComputeRunningProcesses_v2(handle)
    return {
        "processes": tuple(
            {"pid": int(one.pid), "name": _line(f"/proc/{one.pid}/comm"), "memory": one.usedGpuMemory} for one in found
        )
    }


_QUESTIONS: Tuple[Question, ...] = (
    _identity, _name, _pci, _recovery, _temperature, _margin, _memory, _utilization, _power, _power_limit, _ecc,
    _remapped, _throttle, _mig, _processes,
)  # fmt: skip


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
