"""A stand-in for `pynvml` in the place of a drill: faked GPUs, whose state is a file that the drill writes.

It is laid over the installed pynvml.py, whose own text lies beside the state: constants, structures and errors are the
real ones, and what is not answered here fails as in a driver that lacks it. No driver is asked.
"""

from __future__ import annotations

import json
import os
import sys
import types
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

OWN = "/drill.own"
STATE, REAL = f"{OWN}/gpus.json", f"{OWN}/pynvml_itself.py"
GIB = 1 << 30
WELL: dict[str, Any] = {
    "name": "NVIDIA H100 80GB HBM3", "temperature": 41, "margin": 46, "memory_total": 80 * GIB, "memory_used": GIB,
    "utilization": 97, "power": 350, "power_limit": 700, "power_limit_default": 700, "ecc": 0, "remap_pending": False,
    "remap_failed": False, "throttle": 0, "mig": False, "recovery": 0, "error": 0, "processes": [],
}  # fmt: skip

_spec = spec_from_file_location("pynvml_itself", REAL)
assert _spec is not None
assert _spec.loader is not None
real: Any = module_from_spec(_spec)
sys.modules["pynvml_itself"] = real  # it asks for itself by its name
_spec.loader.exec_module(real)
globals().update({name: value for name, value in vars(real).items() if not name.startswith("__")})


def _all() -> list[dict[str, Any]]:
    try:
        listed = json.loads(Path(STATE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise real.NVMLError(real.NVML_ERROR_LIBRARY_NOT_FOUND) from None
    return [
        _cooled({**WELL, "uuid": f"GPU-{index}", "pci": f"0000:{0x3B + index:02x}:00", **told})
        for index, told in enumerate(listed)
    ]


def _cooled(gpu: dict[str, Any]) -> dict[str, Any]:
    """Let a hot GPU cool down where it got less power than the drill says that it takes."""
    if gpu["power_limit"] < gpu.get("cools_below", 0):
        return {**gpu, "temperature": WELL["temperature"], "margin": WELL["margin"]}
    return gpu


def _of(handle: int) -> dict[str, Any]:
    found = _all()[handle]
    if found["error"]:
        raise real.NVMLError(found["error"])
    return found


def _write(handle: int, **values: Any) -> None:
    """Take in what somebody set."""
    listed = json.loads(Path(STATE).read_text(encoding="utf-8"))
    listed[handle].update(values)
    draft = Path(f"{STATE}.{os.getpid()}")
    draft.write_text(json.dumps(listed), encoding="utf-8")
    draft.replace(STATE)


def _lacks(*_: Any) -> Any:
    raise real.NVMLError(real.NVML_ERROR_NOT_SUPPORTED)


def _find(key: str, wanted: str) -> int:
    def plain(address: str) -> str:
        return address.lower().removesuffix(".0")[-10:]

    for index, gpu in enumerate(_all()):
        if gpu[key] == wanted or (key == "pci" and plain(gpu[key]) == plain(wanted)):
            if gpu["error"]:
                raise real.NVMLError(gpu["error"])
            return index
    raise real.NVMLError(real.NVML_ERROR_NOT_FOUND)


def _handle(index: int) -> int:
    if not 0 <= index < len(_all()):
        raise real.NVMLError(real.NVML_ERROR_INVALID_ARGUMENT)
    _of(index)
    return index


def _place(handle: int) -> Any:
    domain, bus, device = (int(part, 16) for part in _of(handle)["pci"].removesuffix(".0").split(":"))
    found = real.nvmlPciInfo_t()
    found.domain, found.bus, found.device = domain, bus, device
    found.busId = f"{domain:08X}:{bus:02X}:{device:02X}.0".encode()
    return found


def _field(number: int, value: int, known: bool) -> Any:
    code = real.NVML_SUCCESS if known else real.NVML_ERROR_NOT_SUPPORTED
    return types.SimpleNamespace(fieldId=number, nvmlReturn=code, value=types.SimpleNamespace(uiVal=value))


def _fields(handle: int, numbers: list[int]) -> list[Any]:
    recovery = _of(handle)["recovery"]
    return [_field(number, recovery if number == 230 else 0, number == 230) for number in numbers]


def _memory(handle: int, _version: Any = None) -> Any:
    gpu = _of(handle)
    total, used = gpu["memory_total"], gpu["memory_used"]
    return types.SimpleNamespace(total=total, used=used, free=total - used, reserved=0, version=2)


def _running(handle: int) -> list[Any]:
    return [
        types.SimpleNamespace(pid=one["pid"], usedGpuMemory=one.get("memory", GIB), gpuInstanceId=None)
        for one in _of(handle)["processes"]
    ]


def _limit(handle: int, milliwatts: int) -> None:
    _of(handle)
    _write(handle, power_limit=milliwatts / 1000)


def _remapped(handle: int) -> tuple[int, int, int, int]:
    gpu = _of(handle)
    return 0, 0, int(gpu["remap_pending"]), int(gpu["remap_failed"])


globals().update({name: _lacks for name in vars(real) if name.startswith("nvml") and callable(vars(real)[name])
                  and not isinstance(vars(real)[name], type)})  # fmt: skip
globals().update(
    nvmlInit=_all,
    nvmlInitWithFlags=lambda _flags: _all(),
    nvmlShutdown=lambda: None,
    nvmlDeviceGetCount=lambda: len(_all()),
    nvmlDeviceGetHandleByIndex=_handle,
    nvmlDeviceGetHandleByUUID=lambda uuid: _find("uuid", uuid),
    nvmlDeviceGetHandleByPciBusId=lambda pci: _find("pci", pci),
    nvmlDeviceGetIndex=_handle,
    nvmlDeviceGetMinorNumber=_handle,
    nvmlDeviceGetUUID=lambda handle: _of(handle)["uuid"],
    nvmlDeviceGetName=lambda handle: _of(handle)["name"],
    nvmlDeviceGetPciInfo=_place,
    nvmlDeviceGetTemperature=lambda handle, _sensor: _of(handle)["temperature"],
    nvmlDeviceGetTemperatureThreshold=lambda _handle, _kind: 87,
    nvmlErrorString=real.nvmlErrorString,
    nvmlDeviceGetMarginTemperature=lambda handle: _of(handle)["margin"],
    nvmlDeviceGetMemoryInfo=_memory,
    nvmlDeviceGetUtilizationRates=lambda handle: types.SimpleNamespace(gpu=_of(handle)["utilization"], memory=0),
    nvmlDeviceGetPowerUsage=lambda handle: int(_of(handle)["power"] * 1000),
    nvmlDeviceGetEnforcedPowerLimit=lambda handle: int(_of(handle)["power_limit"] * 1000),
    nvmlDeviceGetPowerManagementLimit=lambda handle: int(_of(handle)["power_limit"] * 1000),
    nvmlDeviceGetPowerManagementDefaultLimit=lambda handle: int(_of(handle)["power_limit_default"] * 1000),
    nvmlDeviceGetPowerManagementLimitConstraints=lambda handle: [
        200_000, int(_of(handle)["power_limit_default"] * 1000),
    ],
    nvmlDeviceSetPowerManagementLimit=_limit,
    nvmlDeviceGetTotalEccErrors=lambda handle, _kind, _counter: _of(handle)["ecc"],
    nvmlDeviceGetRemappedRows=_remapped,
    nvmlDeviceGetCurrentClocksEventReasons=lambda handle: _of(handle)["throttle"],
    nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: _of(handle)["throttle"],
    nvmlDeviceGetMigMode=lambda handle: [int(_of(handle)["mig"])] * 2,
    nvmlDeviceGetFieldValues=_fields,
    nvmlDeviceGetComputeRunningProcesses=_running,
    nvmlDeviceGetComputeRunningProcesses_v2=_running,
    nvmlDeviceGetComputeRunningProcesses_v3=_running,
    nvmlDeviceGetGraphicsRunningProcesses=lambda _handle: [],
    nvmlDeviceGetGraphicsRunningProcesses_v3=lambda _handle: [],
    nvmlSystemGetDriverVersion=lambda: "580.00.faked",
)  # fmt: skip
