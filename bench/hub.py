"""How long 200 MB from a hub on loopback take: `runbook run hf_download`, which checks them, against huggingface_hub.

Both start a process, ask for the list of files, and write into a cache of their own that is empty before each run. The
library is told to use plain HTTP, as it does where Xet is not installed.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import measure

NEEDS_ANSIBLE = False
LIMIT = 1 / 0.9  # of the library's time
_SIZE = 200_000_000  # bytes
_TESTS = Path(__file__).resolve().parents[1] / "tests" / "system"
_PLAIN = (
    "import sys, huggingface_hub\n"
    "huggingface_hub.snapshot_download('org/toy', endpoint=sys.argv[1], cache_dir=sys.argv[2], token=False)\n"
)


def results(rounds: int) -> list[measure.Result]:
    """Measure."""
    sys.path.insert(0, str(_TESTS))
    served = importlib.import_module("faulty_hub")  # the tests' own
    place = Path(tempfile.mkdtemp(prefix="runbook-bench-"))
    files = {"config.json": b"{}", "model.safetensors": served.weights(_SIZE)}
    try:
        with served.Hub(files) as hub:
            programs = {
                "runbook run hf_download": _ours(hub.url, place),
                "huggingface_hub.snapshot_download": [sys.executable, "-c", _PLAIN, hub.url, str(place / "theirs")],
            }
            times = measure.interleaved(programs, rounds, _environment(), before=lambda: _empty(place))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    ours, theirs = times
    return [measure.ratio("200 MB from a hub against huggingface_hub", ours, theirs, times, LIMIT)]


def _empty(place: Path) -> None:
    shutil.rmtree(place)
    place.mkdir()


def _ours(url: str, place: Path) -> list[str]:
    given = [f"endpoint={url}", f"cache={place / 'ours'}"]
    return [
        measure.RUNBOOK,
        "run",
        "hf_download",
        "repo=org/toy",
        *given,
        "--writable",
        str(place),
        "--journal",
        f"{place}/j.db",
    ]


def _environment() -> dict[str, str]:
    kept = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    return {**os.environ, **kept}
