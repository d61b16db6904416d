"""What a module needs beyond the standard library: distributions, as `pip install` names them.

An entry is `DISTRIBUTION`, or `DISTRIBUTION as IMPORT` where the import name is another, such as `PyYAML as yaml`.
"""

import importlib.util
import os
import re
import sys
from typing import Dict, Iterable, Sequence, Tuple

UNFIT: Dict[str, str] = {}  # packages of the controller's that this host can't use, and why
ENTRY = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:\s+as\s+([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*))?")


def parsed(entry: str) -> Tuple[str, str]:
    """Return the distribution of an entry, and the name under which it is imported.

    Raises:
        ValueError: it is no entry.

    Example:
        >>> parsed("PyYAML as yaml"), parsed("huggingface-hub")
        (('PyYAML', 'yaml'), ('huggingface-hub', 'huggingface_hub'))
    """
    found = ENTRY.fullmatch(entry)
    if found is None:
        raise ValueError(f"`{entry}` names no distribution: write DISTRIBUTION, or DISTRIBUTION as IMPORT")
    return found[1], found[2] or found[1].replace("-", "_")


def missing(entries: Iterable[str], newer: Sequence[Tuple[str, str]] = ()) -> str:
    """Say what can't be imported here, and what installs it; empty where everything can.

    Args:
        entries: what is needed.
        newer: what the controller has of it, and the Python that this asks for, which is newer than this one.
    """
    lacking = [name for name, module in map(parsed, entries) if not importable(module)]
    if not lacking:
        return ""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    notes = [f"the controller's {name} asks for Python {least}" for name, least in newer if name in lacking]
    if notes:
        notes[-1] += f", and this is {here}"
    notes += [UNFIT[name] for name in lacking if name in UNFIT]
    return (
        f"missing on this host: {', '.join(lacking)}; install with `{sys.executable} -m pip install "
        f"{' '.join(lacking)}`{''.join(f'; {note}' for note in notes)}"
    )


def unfit(error: BaseException) -> str:
    """Say why what an import did not find is not here, though the controller has it; empty where that is not so."""
    name = (getattr(error, "name", None) or "") if isinstance(error, ImportError) else ""
    return UNFIT.get(name.partition(".")[0], "")


def libc() -> str:
    """Return the C library of this interpreter and its version, such as `glibc 2.36`; `musl` where it is another."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or "musl"
    except (ValueError, OSError):
        return "musl"


def importable(module: str) -> bool:
    """Tell whether something can be imported here, without importing more than its parents."""
    parts = module.split(".")
    try:
        return all(importlib.util.find_spec(".".join(parts[: end + 1])) is not None for end in range(len(parts)))
    except (ImportError, ValueError, AttributeError):
        return False
    except Exception:  # noqa: BLE001 -- what its parent package does when it is imported is not ours
        return False
