"""GPUs where there are none: the NVML library of `fake_nvml.c`, and what it shall tell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("fake_nvml.c")
WELL = {
    "name": "NVIDIA H100 80GB HBM3", "temperature": 41, "margin": 46, "slowdown": 87, "memory_total": 80 << 30,
    "memory_used": 1 << 30, "utilization": 97, "power": 350500, "power_limit": 700000,
    "power_default": 700000, "power_min": 200000, "power_max": 700000, "ecc": 0, "remap_pending": 0,
    "remap_failed": 0, "throttle": 0, "mig": 0, "recovery": 0,
}  # fmt: skip


class Gpus:
    """What the fake driver tells; `environ` makes a program see it."""

    def __init__(self, library: Path, place: Path) -> None:
        self.state = place / "gpus"
        self.environ = {"LD_LIBRARY_PATH": str(library), "FAKE_NVML": str(self.state)}
        self.tell()

    def tell(self, count: int | None = 2, **values: object) -> None:
        """Say how many there are and how they do; `gpu1__error=15` is `gpu1.error=15`."""
        lines = [] if count is None else [f"count={count}"]
        lines += [f"all.{name}={value}" for name, value in WELL.items()]
        for index in range(count or 0):
            lines += [f"gpu{index}.uuid=GPU-{index}", f"gpu{index}.pci=00000000:{0x3B + index:02X}:00.0"]
            lines += [f"gpu{index}.minor={index}"]
        lines += [f"{name.replace('__', '.')}={value}" for name, value in values.items()]
        fresh = self.state.with_suffix(".new")
        fresh.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        fresh.replace(self.state)  # the library reads it at every question


def build(place: Path, *flags: str) -> Path:
    """Compile the library into a directory, and return that."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no gcc to build the fake NVML library with: apt install gcc libc6-dev")
    made = place / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", *flags, "-o", made, SOURCE], check=True, timeout=60)
    return place


@pytest.fixture(scope="session")
def nvml(tmp_path_factory):
    """The library of a new driver."""
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="session")
def old_nvml(tmp_path_factory):
    """The library of a driver before r470."""
    return build(tmp_path_factory.mktemp("nvml"), "-DOLD")


@pytest.fixture
def gpus(nvml, tmp_path):
    """Two GPUs that are well."""
    return Gpus(nvml, tmp_path)


@pytest.fixture
def old_gpus(old_nvml, tmp_path):
    """The same with the old driver."""
    return Gpus(old_nvml, tmp_path)
