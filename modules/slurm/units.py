"""What Slurm prints, read exactly: memory, times, limits, states and exit codes of 20.11 to 25.x.

A text that is none of what its field may hold is None and never a guess.
"""

import re
from datetime import datetime, timezone
from typing import Optional, Tuple

UNLIMITED = float("inf")
UNKNOWN = "unknown"  # the state of a job that says what no version that we know says
_NO_VALUE = 0xFFFFFFFE  # what Slurm writes for a number that it has not; the next one is infinity
_LARGEST = 1 << 60  # bytes; NO_VAL64 in whatever unit is more
_NOTHING = {"", "N/A", "NONE", "UNKNOWN", "(NULL)", "NOT_SET", "INVALID", "?"}
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]?)B?([nc]?)(?:/(?:node|cpu|core))?", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?(?:\.\d+)?")
_COUNT = re.compile(r"[0-9]{1,20}")
_GPUS = re.compile(r"(?:^|,)gres/gpu((?::[^=,]+)?)=(\d+)(?=,|$)")
_CODE = re.compile(r"(\d+)(?::(\d+))?")
_CUT = 4  # letters of a state that tell it from all others, where a column was too narrow
STATES = (
    *("pending", "configuring", "running", "suspended", "stopped", "completing", "stage_out", "signaling", "resizing"),
    *("requeued", "requeue_hold", "requeue_fed", "special_exit", "resv_del_hold", "revoked"),
    *("completed", "failed", "timeout", "out_of_memory", "node_fail", "boot_fail", "launch_failed", "deadline"),
    *("preempted", "cancelled"),
)
SHORT = {
    "pd": "pending",
    "cf": "configuring",
    "r": "running",
    "s": "suspended",
    "st": "stopped",
    "cg": "completing",
    "so": "stage_out",
    "si": "signaling",
    "rs": "resizing",
    "rq": "requeued",
    "rh": "requeue_hold",
    "rf": "requeue_fed",
    "se": "special_exit",
    "rd": "resv_del_hold",
    "rv": "revoked",
    "cd": "completed",
    "f": "failed",
    "to": "timeout",
    "oom": "out_of_memory",
    "nf": "node_fail",
    "bf": "boot_fail",
    "dl": "deadline",
    "pr": "preempted",
    "ca": "cancelled",
    "lf": "launch_failed",
}
OVER = frozenset(
    {"completed", "failed", "timeout", "out_of_memory", "node_fail", "boot_fail", "launch_failed", "deadline"}
    | {"preempted", "cancelled"}
)


def memory(text: str, *, unit: str = "") -> "Tuple[Optional[int], str]":
    """Return (bytes, what they are of): `n` for a node, `c` for a CPU, empty where Slurm does not say.

    Args:
        text: such as 4000M, 2.50G, 4Gn (20.x) or 1080K; 0 is no bytes, and asks for a whole node.
        unit: what a number without a letter counts, such as M.

    Example:
        >>> memory("1.50Gc")
        (1610612736, 'c')
    """
    found = _MEMORY.fullmatch(text.strip())
    if found is None:
        return None, ""
    count = round(float(found[1]) * _FACTORS[(found[2] or unit).upper()])
    return (count, found[3].lower()) if count < _LARGEST else (None, "")


def duration(text: str, *, unit: float = 60.0) -> Optional[float]:
    """Return seconds of D-HH:MM:SS, D-HH:MM, D-HH, HH:MM:SS, MM:SS, or a bare number of `unit` seconds.

    Returns:
        Infinity of UNLIMITED and INFINITE, None where there is no time (N/A, INVALID, Partition_Limit).

    Example:
        >>> duration("1-02:03:04"), duration("90"), duration("UNLIMITED")
        (93784.0, 5400.0, inf)
    """
    bare = text.strip()
    if bare.upper() in {"UNLIMITED", "INFINITE"}:
        return UNLIMITED
    found = _TIME.fullmatch(bare)
    if found is None:
        return None
    days, *parts = found[1], *(part for part in found.groups()[1:] if part is not None)
    numbers = [int(part) for part in parts]
    if days is not None:
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
        return float(int(days) * 86400 + hours * 3600 + minutes * 60 + seconds)
    if len(numbers) == 1:
        return numbers[0] * unit if numbers[0] < _NO_VALUE else None
    total = 0
    for number in numbers:
        total = total * 60 + number
    return float(total)


def count(text: str) -> int:
    """Return a number of nodes or CPUs; 0 where that is not told."""
    bare = text.strip()
    return int(bare) if _COUNT.fullmatch(bare) and int(bare) < _NO_VALUE else 0


def gpus(text: str) -> Optional[int]:
    """Return how many GPUs a list of trackable resources holds; None where it holds nothing at all.

    Some clusters count them by their type only, others both ways: the count without a type is that of all.

    Example:
        >>> gpus("billing=8,cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=40M,node=1"), gpus("cpu=8,node=1")
        (2, 0)
    """
    bare = text.strip()
    if not bare or bare.upper() in _NOTHING:
        return None
    told = {name: int(count) for name, count in _GPUS.findall(bare)}
    return told[""] if "" in told else sum(told.values())


def moment(text: str) -> Optional[float]:
    """Return seconds since the epoch; of a time without a zone, as we ask for it, in UTC.

    Example:
        >>> moment("1795373234"), moment("2026-11-22T18:47:14"), moment("Unknown")
        (1795373234.0, 1795373234.0, None)
    """
    bare = text.strip()
    if _COUNT.fullmatch(bare):
        return float(bare) if 0 < int(bare) < _NO_VALUE else None
    try:
        read = datetime.fromisoformat(bare[:-1] + "+00:00" if bare.endswith("Z") else bare)
    except ValueError:
        return None
    aware = read if read.tzinfo is not None else read.replace(tzinfo=timezone.utc)
    return aware.timestamp()


def state(text: str) -> "Tuple[Optional[str], Optional[str]]":
    """Return (state, who cancelled it): a uid or a name, where that is told.

    Example:
        >>> state("CANCELLED by 1000"), state("OUT_OF_ME+"), state("NODE_FAIL")
        (('cancelled', '1000'), ('out_of_memory', None), ('node_fail', None))
    """
    word, _, rest = text.strip().partition(" ")
    name = word.rstrip("*~#").lower()
    who = rest[3:].strip().rstrip("+") or None if rest.startswith("by ") else None
    if name.endswith("+"):
        cut = name[:-1]
        fits = [one for one in STATES if one.startswith(cut)] if len(cut) >= _CUT else []
        return (fits[0] if len(fits) == 1 else None), who
    if name in STATES:
        return name, who
    return SHORT.get(name), who


def exit_code(text: str) -> "Tuple[Optional[int], Optional[int]]":
    """Return (exit code, signal).

    Example:
        >>> exit_code("0:125"), exit_code("")
        ((0, 125), (None, None))
    """
    found = _CODE.fullmatch(text.strip())
    if found is None:
        return None, None
    code, signal = int(found[1]), int(found[2] or 0)
    return (code, signal) if code < _NO_VALUE and signal < _NO_VALUE else (None, None)


def text(told: str) -> str:
    """Return a text field; nothing where Slurm says that there is none."""
    return "" if told.strip().upper() in _NOTHING else told.strip()


def megabytes(count: float) -> int:
    """Return how many MiB are enough for so many bytes."""
    return -int(-count // (1 << 20))


def shown_memory(count: float) -> str:
    """Return bytes as people write them for Slurm.

    Example:
        >>> shown_memory(12 << 30), shown_memory(60 << 20)
        ('12 GiB', '60 MiB')
    """
    size, unit = count / (1 << 20), "MiB"
    if (size >= 1024 and size % 1024 == 0) or size >= 10240:
        size, unit = size / 1024, "GiB"
    return f"{size:.0f} {unit}" if size == int(size) else f"{size:.1f} {unit}"


def shown_time(seconds: float) -> str:
    """Return a limit as Slurm writes it.

    Example:
        >>> shown_time(5400), shown_time(93784)
        ('1:30:00', '1-02:03:04')
    """
    if seconds == UNLIMITED:
        return "UNLIMITED"
    days, rest = divmod(int(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{days}-{hours:02}:{minutes:02}:{rest:02}" if days else f"{hours}:{minutes:02}:{rest:02}"
