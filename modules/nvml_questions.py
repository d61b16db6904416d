"""What a GPU is asked through NVML, one question each: what a card or a driver lacks is an error of its own.

A question gets the module `pynvml` and the GPU's handle, and returns fields of a reading.
"""

from contextlib import suppress
from typing import Any, Callable, Dict, Literal, Mapping, Tuple

_INVALID = 2
LACKS = {3, 13, 25}  # not supported, no such function, an argument of another version: it does not tell
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


def throttles(bits: int) -> Tuple[str, ...]:
    """Return why the clocks are held down, by name; a reason that is newer than this program by its bit."""
    known = tuple(name for bit, name in _THROTTLES.items() if bits & bit)
    strange = bits & ~(sum(_THROTTLES) | _IDLE)
    return known + tuple(f"unknown_0x{1 << at:x}" for at in range(strange.bit_length()) if strange >> at & 1)


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
        if error.value not in LACKS:
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
        if error.value not in LACKS:
            raise
        count = 0
    return {"ecc_uncorrected": int(count)}


def _remapped(nvml: Any, handle: Any) -> Mapping[str, Any]:
    try:
        _, _, pending, failed = nvml.nvmlDeviceGetRemappedRows(handle)
    except nvml.NVMLError as error:
        if error.value not in LACKS:
            raise
        pending = failed = 0  # cards before Ampere remap no rows
    return {"remap_pending": bool(pending), "remap_failed": bool(failed)}


def _throttle(nvml: Any, handle: Any) -> Mapping[str, Any]:
    try:
        bits = nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)
    except nvml.NVMLError as error:
        if error.value not in LACKS:
            raise
        bits = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    return {"throttle": throttles(int(bits))}


def _mig(nvml: Any, handle: Any) -> Mapping[str, Any]:
    try:
        return {"mig": bool(nvml.nvmlDeviceGetMigMode(handle)[0])}
    except nvml.NVMLError as error:
        if error.value not in LACKS:
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
        if error.value not in LACKS:
            raise
        found = nvml.nvmlDeviceGetComputeRunningProcesses_v2(handle)
    return {
        "processes": tuple(
            {"pid": int(one.pid), "name": _program(one.pid), "memory": one.usedGpuMemory} for one in found
        )
    }


def _power_range(nvml: Any, handle: Any) -> Mapping[str, Any]:
    """In milliwatts, as they are set; nothing where a card's limit can't be."""
    least, most = nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)
    return {
        "power_set": int(nvml.nvmlDeviceGetPowerManagementLimit(handle)),
        "power_default": int(nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle)),
        "power_least": int(least),
        "power_most": int(most),
    }


def _minor(nvml: Any, handle: Any) -> Mapping[str, Any]:
    return {"minor": int(nvml.nvmlDeviceGetMinorNumber(handle))}


def _others(nvml: Any, handle: Any) -> Mapping[str, Any]:
    """Those that draw on it, and those that compute through a server (MPS)."""
    found: Dict[str, Any] = {}
    for kind, ask in (("displays", "Graphics"), ("served", "MPSCompute")):
        found[kind] = ()
        for version in ("v3", "v2"):
            try:
                listed = getattr(nvml, f"nvmlDeviceGet{ask}RunningProcesses_{version}")(handle)
            except nvml.NVMLError as error:
                if error.value not in LACKS:
                    raise
                continue
            found[kind] = tuple(int(one.pid) for one in listed)
            break
    return found


def _links(nvml: Any, handle: Any) -> Mapping[str, Any]:
    """The cards at the other ends of its NVLinks, by PCI address, and whether there are switches between them."""
    peers, switched = set(), False
    for link in range(nvml.NVML_NVLINK_MAX_LINKS):
        try:
            if not nvml.nvmlDeviceGetNvLinkState(handle, link):
                continue
            kind = nvml.nvmlDeviceGetNvLinkRemoteDeviceType(handle, link)
            if kind == nvml.NVML_NVLINK_DEVICE_TYPE_GPU:
                found = nvml.nvmlDeviceGetNvLinkRemotePciInfo(handle, link)
                peers.add(f"{found.domain:04x}:{found.bus:02x}:{found.device:02x}")
            switched = switched or kind == nvml.NVML_NVLINK_DEVICE_TYPE_SWITCH
        except nvml.NVMLError as error:
            if error.value not in {*LACKS, _INVALID}:
                raise
            break  # a card has its links from 0 on
    return {"peers": tuple(sorted(peers)), "switched": switched}


CLOSER: Tuple[Question, ...] = (_power_range, _minor, _others, _links)  # what only steps ask
QUESTIONS: Tuple[Question, ...] = (
    _identity, _name, _pci, _recovery, _temperature, _margin, _memory, _utilization, _power, _power_limit, _ecc,
    _remapped, _throttle, _mig, _processes,
)  # fmt: skip


def _program(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""  # it ended, or lives in another namespace
