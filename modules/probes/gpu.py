"""The probe `gpu`."""

from typing import Any, ClassVar, Dict, Iterator, Literal, Mapping, Optional, Sequence, Tuple, Type

from runbook.modules.declare import UNSEEN, Absent, Celsius, Invalid, Percent, Probe, Record, Size, Watt
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.nvml import NotLoaded
from runbook.modules.nvml_questions import RecoveryAction

Remedy = Literal["none", "ignore", "app", "update", "drain", "reset", "reboot", "vendor"]

_MOST = 64  # GPUs that one machine can be expected to have
_VERDICT: Mapping[str, Remedy] = {
    "NONE": "none",
    "GPU_RESET": "reset",
    "NODE_REBOOT": "reboot",
    "DRAIN_P2P": "app",  # end what speaks with other GPUs, and look again
    "DRAIN_AND_RESET": "reset",
    "RECOVER_IMEX_DOMAIN": "drain",
    "BUS_RESET": "reboot",
    "SYSTEM_REBOOT": "reboot",
    "UNKNOWN": "drain",
}


@frozen
class GpuRecord(Record):
    """How one GPU does. What a card or its driver does not tell is unknown."""

    index: int  # its number, as nvidia-smi and CUDA_DEVICE_ORDER=PCI_BUS_ID count
    uuid: str  # its name for good, such as GPU-8a56a4bc-…
    name: str  # the model, such as NVIDIA H100 80GB HBM3
    pci: str  # its PCI address, such as 0000:3b:00
    temperature: Celsius  # of the chip
    slowdown_margin: Celsius  # how much hotter it may get before it slows itself down; negative: it does
    memory_total: Size  # its memory
    memory_used: Size  # what programs hold of it
    memory_used_percent: Percent  # the same, of all of it
    utilization: Percent  # share of the last second or so in which something ran on it; unknown in MIG mode
    power: Watt  # what it draws
    power_limit: Watt  # what it may draw
    ecc_uncorrected: int  # memory errors that ECC could not correct since the last reset; 0 on cards without ECC
    remap_pending: bool  # a broken row of its memory waits to be replaced: the GPU has to start anew
    remap_failed: bool  # a broken row could not be replaced
    throttle: Tuple[str, ...]  # what slows it down, such as hw_thermal_slowdown, sw_power_cap; idling is none
    mig: bool  # it is divided into MIG instances
    recovery_action: RecoveryAction  # the driver's own verdict; unknown where the driver is older than r570
    action: Remedy  # what is to be done: the driver's verdict first, else by what is lost, broken or counted above
    lost: bool  # the driver can't reach it (it fell off the bus, it has no power), or it is missing
    error: str  # what the driver says about it; empty when it answers
    processes: Tuple[Mapping[str, Any], ...]  # those that compute on it, each as {pid, name, memory}


@frozen
class Gpu(Probe):
    """Every NVIDIA GPU of the host, as its driver tells.

    A GPU that is lost or must be reset is a record that says so. With `expected`, GPUs that are missing are records
    too, with `lost` and under the numbers that are left over; a host without a driver then misses them all, and is
    not merely one that has no GPUs.

    Example:
        - name: gpu overheating
          gpu:
          when: temperature > 85 or memory_used_percent > 95
          for: 2m
          clear: temperature < 80 and memory_used_percent < 90
        - name: gpu ill
          gpu: {expected: 8}
          when: action >= 'drain' or slowdown_margin < 5
    """

    record: ClassVar[Type[Record]] = GpuRecord
    subject: ClassVar[Optional[str]] = "index"

    expected: Optional[int] = None  # how many the host should have

    def check(self) -> None:
        """Refuse numbers that no machine has."""
        if self.expected is not None and not 1 <= self.expected <= _MOST:
            raise Invalid(f"`expected` is from 1 to {_MOST}; leave it out where a host needs no GPU")

    def look(self, host: Host) -> Iterator[Record]:
        """Ask the driver, and compare with those that were there before."""
        missing: Dict[str, Any] = {"lost": True, "error": "the driver does not tell of it"}
        try:
            readings = host.gpus()
        except (Absent, NotLoaded) as error:
            if self.expected is None:
                raise
            readings, missing = [], {**missing, "error": str(error), "no_driver": isinstance(error, Absent)}
        if not readings and self.expected is None:
            raise Absent("the NVIDIA driver tells of no GPU")
        for reading in sorted(self._complete(host, readings, missing), key=lambda reading: int(reading["index"])):
            yield _record(reading)

    def _complete(
        self, host: Host, readings: Sequence[Mapping[str, Any]], missing: Mapping[str, Any]
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the readings and those of the missing, with what earlier looks knew of the ones that are silent."""
        present = {str(one["uuid"]): _identity(one) for one in readings if "uuid" in one}
        gone = {uuid: one for uuid, one in host.remembered.get("known", {}).items() if uuid not in present}
        silent = [one for one in readings if "uuid" not in one]
        taken = {one["index"] for one in readings}
        free = [index for index in range(self.expected or 0) if index not in taken]
        silent += [{**missing, "index": index} for index in free[: (self.expected or 0) - len(readings)]]
        yield from (one for one in readings if "uuid" in one)
        for one in silent:
            uuid = next((uuid for uuid in gone if gone[uuid].get("index") == one["index"]), None)
            if uuid is None and one["index"] not in taken:  # the numbers moved up, so any of the gone may be it
                uuid = next(iter(gone), None)
            if uuid is None:
                yield one
            else:
                present[uuid] = {**gone.pop(uuid), "index": one["index"]}
                yield {**present[uuid], "uuid": uuid, **one}
        host.remember(known=present)


def _identity(reading: Mapping[str, Any]) -> Dict[str, Any]:
    return {name: reading[name] for name in ("index", "name", "pci") if name in reading}


def _record(reading: Mapping[str, Any]) -> GpuRecord:
    seen = {name: reading.get(name, UNSEEN) for name in GpuRecord.__dataclass_fields__}
    total, used = seen["memory_total"], seen["memory_used"]
    share = 100.0 * used / total if total and used is not UNSEEN else UNSEEN
    return GpuRecord(**{**seen, "memory_used_percent": share, "action": _remedy(reading)})


def _remedy(reading: Mapping[str, Any]) -> Any:
    """Return what is to be done: the driver's own verdict first, then what the counters of older drivers say."""
    if reading.get("lost"):
        return "vendor" if reading.get("unpowered") else "update" if reading.get("no_driver") else "reboot"
    verdict = reading.get("recovery_action")
    if verdict is not None and verdict != "NONE":
        return _VERDICT[verdict]
    if reading.get("remap_failed"):
        return "vendor"
    if verdict is None and reading.get("remap_pending"):
        return "reboot"
    if verdict is None and reading.get("ecc_uncorrected"):
        return "reset"
    return UNSEEN if reading.get("error") and "uuid" not in reading else "none"
