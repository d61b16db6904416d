"""A stand-in for `nvidia-smi` in the place of a drill: it resets faked GPUs, and lists them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

STATE = Path("/drill.own/gpus.json")
RESET = ("--gpu-reset", "-r")
HEALED = {"recovery": 0, "ecc": 0, "remap_pending": False, "error": 0}


def main() -> int:
    """Do what was asked for."""
    words = sys.argv[1:]
    gpus = json.loads(STATE.read_text(encoding="utf-8"))
    called = [{str(index), gpu.get("uuid", f"GPU-{index}"), gpu.get("pci")} for index, gpu in enumerate(gpus)]
    if not words or words == ["-L"]:
        for index, gpu in enumerate(gpus):
            print(f"GPU {index}: {gpu.get('name', 'NVIDIA H100 80GB HBM3')} (UUID: {gpu.get('uuid', f'GPU-{index}')})")  # noqa: T201
        return 0
    if not set(words) & set(RESET):
        print("this nvidia-smi is a drill's: it knows --gpu-reset and -L", file=sys.stderr)  # noqa: T201
        return 2
    asked = words[words.index("-i") + 1].split(",") if "-i" in words else [str(index) for index in range(len(gpus))]
    for wanted in asked:
        found = [index for index, names in enumerate(called) if wanted in names]
        if not found or gpus[found[0]].get("processes"):
            why = "In use by another client" if found else "No devices were found"
            print(f"GPU {wanted} could not be reset: {why}")  # noqa: T201
            return 1
        gpus[found[0]].update(HEALED)
    draft = STATE.with_suffix(".smi")
    draft.write_text(json.dumps(gpus), encoding="utf-8")
    draft.replace(STATE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
