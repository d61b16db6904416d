"""What a checkpoint says of itself: its step, and its metrics, from `trainer_state.json`, JSON files or its name."""

import json
import math
import os
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

from runbook.modules.acting.regular_file import reading

STATE = "trainer_state.json"
RESULTS = ("metrics.json", "eval_results.json", "all_results.json", "results.json", "metrics.jsonl")
LARGEST = 64 * 1024 * 1024  # bytes of a file with metrics; a trainer's state tells all steps so far
_STEP = re.compile(r"(?:checkpoint|ckpt|step|iter)[-_=]?(\d{1,18})", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,18}")
_IN_NAME = re.compile(r"(?P<name>[A-Za-z][\w/]*?)=(?P<value>-?\d+(?:\.\d+)?(?:e-?\d+)?)(?=[-_,.]|$)")


def step(name: str) -> Optional[int]:
    """Return the step in a checkpoint's name; without a word for it, its last number."""
    found = _STEP.findall(name) or _NUMBER.findall(name)
    return int(found[-1]) if found else None


def metrics(path: str, results: Optional[str]) -> Dict[str, float]:
    """Return the metrics of a checkpoint by their names; dotted where they lie in each other.

    Args:
        path: its file or directory.
        results: the JSON file below it that tells them; None for what trainers write.
    """
    found: Dict[str, float] = {}
    name = os.path.basename(path)
    for told in _IN_NAME.finditer(name):
        found[told["name"]] = float(told["value"])
    if not os.path.isdir(path):
        return found
    state = _content(os.path.join(path, STATE))
    if isinstance(state, dict):
        found.update(_logged(state))
    for file in (results,) if results else RESULTS:
        found.update(_numbers(_content(os.path.join(path, file))))
    return found


def best_so_far(path: str) -> str:
    """Return the name of the checkpoint that the trainer itself takes for the best; empty where it says none."""
    state = _content(os.path.join(path, STATE))
    best = state.get("best_model_checkpoint") if isinstance(state, dict) else None
    return os.path.basename(best.rstrip("/")) if isinstance(best, str) else ""


def _logged(state: Dict[str, Any]) -> Dict[str, float]:
    """Return the last value of each metric that was logged up to the state's own step."""
    found: Dict[str, float] = {}
    history, until = state.get("log_history"), state.get("global_step")
    for entry in history if isinstance(history, list) else ():
        at = entry.get("step") if isinstance(entry, dict) else None
        if isinstance(entry, dict) and not (isinstance(at, int) and isinstance(until, int) and at > until):
            found.update(_numbers(entry))
    return found


def _numbers(data: Any) -> Dict[str, float]:
    return {name: value for name, value in _spread(data, "", 0) if math.isfinite(value)}


def _spread(data: Any, prefix: str, depth: int) -> Iterator[Tuple[str, float]]:
    if isinstance(data, dict) and depth < 5:
        for name, value in data.items():
            yield from _spread(value, f"{prefix}.{name}" if prefix else str(name), depth + 1)
    elif isinstance(data, (int, float)) and not isinstance(data, bool) and prefix and abs(data) < 1e300:
        yield prefix, float(data)


def _content(path: str) -> Any:
    """Return what a JSON file holds; of JSON lines all of them in one, the later over the earlier; None if nothing."""
    try:
        with reading(path) as file:
            text = file.read(LARGEST).decode("utf-8-sig", "replace")
        if not path.endswith(".jsonl"):
            return json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None
    told: Dict[str, Any] = {}
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        told.update(entry if isinstance(entry, dict) else {})
    return told


def ranked(values: Dict[str, float], goal: str) -> List[str]:
    """Return the names, the best first, by `min` or `max`; of equals the later one."""
    sign = 1.0 if goal == "min" else -1.0
    later = sorted(values, key=lambda name: (step(name) or 0, name), reverse=True)
    return sorted(later, key=lambda name: sign * values[name])
