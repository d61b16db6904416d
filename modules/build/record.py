"""What is kept of a build between runs, beside its logs: from what and with what it was made, and how it ended.

It is written before anything is built, so that a build that was cut off is known for one.
"""

import contextlib
import json
import os
from dataclasses import asdict, field
from typing import Any, Dict, List, Mapping, Optional

from runbook.modules.frozen import frozen

FILE = "build.json"
_LARGEST = 128 << 20  # bytes


@frozen
class Record:
    """One build."""

    state: str  # building, failed or done
    began: float  # seconds since the epoch
    files: Mapping[str, List[Any]] = field(default_factory=dict)  # of the source: digest, size and times
    commit: str = ""
    tools: Mapping[str, str] = field(default_factory=dict)  # versions by program
    options: str = ""  # everything that was given, as one text
    made: Mapping[str, List[int]] = field(default_factory=dict)  # artifacts: size and time (ns)
    products: Mapping[str, str] = field(default_factory=dict)  # what it is for, by the hash of its content
    said: str = ""  # how it failed


def read(directory: str) -> Optional[Record]:
    """Return the record in a directory; None where there is none that can be read."""
    try:
        with open(os.path.join(directory, FILE), "rb") as file:
            kept = json.loads(file.read(_LARGEST))
        return Record(**{name: kept[name] for name in Record.__dataclass_fields__})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(directory: int, record: Record) -> None:
    """Put a record into an opened directory, whole or not at all."""
    body: Dict[str, Any] = asdict(record)
    fresh = f"{FILE}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(fresh, flags, 0o644, dir_fd=directory), "wb") as file:
        file.write(json.dumps(body, separators=(",", ":")).encode("utf-8", "surrogateescape"))
        file.flush()
        os.fsync(file.fileno())
    os.rename(fresh, FILE, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)
